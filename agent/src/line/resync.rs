//! When the whole active set is told again: because the collector asks, or because it is another store
//! than the one that has acknowledged so far.

use std::time::Duration;

use callhome_shared::envelope::Lane;
use callhome_shared::heartbeat::AsOf;
use callhome_shared::time::Time;
use tokio::time::Instant;

use super::run::Line;
use crate::outbox::{OutboxError, Status};

/// The reason that is our own.
const STORE_CHANGED: &str = "store-changed";

/// After the outbox had no room for it: writing out the whole set costs something.
const RETRY: Duration = Duration::from_secs(30);

/// What is to be told again.
#[derive(Default)]
pub(super) struct Resync {
    /// The collector asked, for this reason.
    asked: Option<String>,
    /// The last page of the snapshot that was sent last.
    sent: Option<AsOf>,
    /// After a failure: not tried again before.
    not_before: Option<Instant>,
}

impl Resync {
    /// The collector asks. A second question before the answer is the same question.
    pub(super) fn ask(&mut self, reason: String) {
        self.asked = Some(reason);
    }

    /// Whether the last snapshot has not arrived yet: then it is the answer.
    fn is_on_its_way(&self, status: &Status) -> bool {
        let lane = status.lanes.iter().find(|lane| lane.lane == Lane::Alarm);
        let acked = lane.map_or(0, |lane| lane.acked_seq);
        self.sent.is_some_and(|sent| sent.epoch == status.epoch && sent.seq > acked)
    }
}

impl Line {
    /// Once a second, with nothing staged. What cannot be stored now is tried again.
    pub(super) async fn resync(&mut self) -> Result<(), OutboxError> {
        let status = self.outbox.status().borrow().clone();
        let news = status.store.filter(|store| status.synced_store != Some(*store));
        let changed = news.is_some() && status.synced_store.is_some();
        if self.resync.is_on_its_way(&status) {
            self.resync.asked = None;
            return Ok(());
        }
        let reason =
            if changed { Some(STORE_CHANGED.to_owned()) } else { self.resync.asked.clone() };
        let waits = self.resync.not_before.is_some_and(|at| Instant::now() < at);
        if waits || (reason.is_none() && news.is_none()) {
            return Ok(());
        }
        let mut decision = self.desk.begin(Time::now());
        decision.synced_store = news;
        if let Some(reason) = &reason {
            self.desk.snapshot(reason, &mut decision);
        }
        let sends = !decision.drafts.is_empty();
        match self.store(decision).await {
            Ok(()) if sends => {
                self.resync = Resync { sent: Some(self.place()), ..Resync::default() };
            }
            Ok(()) => {}
            Err(OutboxError::Closed) => return Err(OutboxError::Closed),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the active set cannot be sent now; it is tried again");
                self.resync.not_before = Some(Instant::now() + RETRY);
            }
        }
        Ok(())
    }
}
