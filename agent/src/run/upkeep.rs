//! What the upkeep of our certificate works with.

use std::sync::Arc;

use callhome_shared::alarm::Device;
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::enrol::est;
use crate::enrol::identity::{Enrolment, IdentityFiles};
use crate::enrol::pair::Files;
use crate::enrol::trust::TrustStatus;
use crate::enrol::upkeep::Upkeep;
use crate::link::Exit;
use crate::link::dial::meter::Meters;
use crate::settings::{LinkSettings, Proxy, Road, RoadKind, Settings};
use crate::source::Batch;

/// Starts the upkeep of a certificate with this validity. It renews what the enrolment wrote, and only
/// looks at files that the configuration names. Answers how trust stands, and what counts the
/// exchanges of the certificate.
pub(super) fn start(
    settings: &Settings,
    agent: &AgentId,
    host: Arc<Device>,
    validity: (Time, Time),
    batches: &mpsc::Sender<Batch>,
    (exit, meters): (Exit, Meters),
    stop: &CancellationToken,
) -> (Arc<TrustStatus>, watch::Receiver<u64>) {
    let link = &settings.link;
    let files = Files {
        certificate: link.certificate_file.clone(),
        key: link.key_file.clone(),
        ca: link.ca_file.clone(),
    };
    let own = IdentityFiles::new(&settings.state_dir).directory();
    let enrolled = [&files.certificate, &files.key, &files.ca].iter().all(|f| f.starts_with(&own));
    let enrolment = Enrolment::load(&settings.state_dir).ok().flatten();
    let collector = enrolment.filter(|_| enrolled).and_then(|enrolment| {
        let road = est::road(&enrolment.collector, None);
        let road = road.inspect_err(|e| tracing::error!(why = %e, "nothing can be renewed"));
        road.ok().map(|road| Arc::new(Road { proxy: proxy_to(&road, link), ..road }))
    });
    let status = Arc::new(TrustStatus::new(validity, !enrolled));
    let (exchanged, counted) = watch::channel(0);
    let upkeep = Upkeep {
        agent: agent.clone(),
        files,
        collector,
        meters,
        limits: link.ending,
        host,
        status: status.clone(),
        exchanged,
        batches: batches.clone(),
        exit,
    };
    tokio::spawn(upkeep.run(stop.clone()));
    (status, counted)
}

/// The proxy to the collector's HTTPS address: that of the configured road which goes there, else that of
/// all roads.
fn proxy_to(https: &Road, link: &LinkSettings) -> Option<Arc<Proxy>> {
    let there = |road: &&Arc<Road>| {
        road.kind != RoadKind::Mqtt && (&road.host, road.port) == (&https.host, https.port)
    };
    link.roads.iter().find(there).map_or_else(|| link.proxy.clone(), |road| road.proxy.clone())
}
