//! Between the bundles and the others, who do not know them: what leaves is noted in the ledger, and a
//! bundle that has arrived is told of in an envelope.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bundle::{Announcement, Bundles, Leaving, Uploader};
use crate::ledger::{Ledger, What};
use crate::line;
use crate::link::dial::meter::Meters;
use crate::redact::Redactor;
use crate::settings::Settings;

/// What left, in the ledger.
const KIND: &str = "bundle";
/// Before an uploader that panicked is started again.
const AGAIN: Duration = Duration::from_secs(60);
/// Announcements that wait for the line.
const WAITING: usize = 4;

/// The bundles of this state directory; starts their uploader, and keeps it.
pub(super) fn start(
    settings: &Settings,
    (ledger, redactor, meters): &(Ledger, Arc<Redactor>, Meters),
    line: mpsc::Sender<line::Command>,
    stop: &CancellationToken,
) -> Bundles {
    let kept = Bundles::open(&settings.state_dir, settings.bundle.clone(), redactor.clone());
    let (announce, announced) = mpsc::channel(WAITING);
    tokio::spawn(tell(announced, line));
    let (ledger, meters, bundles) = (ledger.clone(), meters.clone(), kept.clone());
    let (link, stop) = (settings.link.clone(), stop.clone());
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            let uploader = Uploader {
                bundles: bundles.clone(),
                link: link.clone(),
                meters: meters.clone(),
                notes: notes(ledger.clone()),
                announce: announce.clone(),
            };
            if tokio::spawn(uploader.run(stop.clone())).await.is_err() {
                tracing::error!("the uploader of bundles panicked; it is started again");
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    });
    kept
}

fn notes(ledger: Ledger) -> Arc<dyn Fn(Leaving<'_>) + Send + Sync> {
    Arc::new(move |leaving: Leaving<'_>| {
        let what = What::Sent {
            kind: KIND.to_owned(),
            road: leaving.road.to_owned(),
            id: Some(leaving.bundle),
            lane: None,
            seq: None,
            offset: leaving.offset,
            bytes: leaving.bytes,
            sha256: leaving.sha256.to_owned(),
        };
        ledger.leaves(what, leaving.payload);
    })
}

async fn tell(mut announced: mpsc::Receiver<Announcement>, line: mpsc::Sender<line::Command>) {
    while let Some(Announcement { told, stored }) = announced.recv().await {
        let command = line::Command::Bundle { told: Box::new(told), reply: stored };
        if line.send(command).await.is_err() {
            return;
        }
    }
}
