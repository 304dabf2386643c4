//! What the upkeep of our certificate works with.

use std::sync::Arc;

use callhome_shared::alarm::Device;
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::enrol::identity::{Enrolment, IdentityFiles};
use crate::enrol::pair::Files;
use crate::enrol::trust::TrustStatus;
use crate::enrol::upkeep::Upkeep;
use crate::link::Exit;
use crate::settings::Settings;
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
    exit: Exit,
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
    let collector = enrolment.filter(|_| enrolled).map(|enrolment| enrolment.collector);
    let status = Arc::new(TrustStatus::new(validity, !enrolled));
    let (exchanged, counted) = watch::channel(0);
    let upkeep = Upkeep {
        agent: agent.clone(),
        files,
        collector,
        proxy: link.proxy.clone(),
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
