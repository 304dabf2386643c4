//! Lets go what is over, and compares rows with files. On a timer, in slices, idempotent.

use std::path::PathBuf;
use std::time::Duration;

use callhome_shared::time::Time;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::desk::Bundles;
use super::failure::Failure;
use super::files::{Found, agent_hash};
use super::judge::{self, Stray};
use crate::flow::rounds::Rounds;
use crate::store::bundles;

/// Between two sweeps.
const EVERY: Duration = Duration::from_secs(60);
/// Rows and files are compared at the start, and then after so many sweeps: once a day.
const COMPARE_AFTER: u32 = 24 * 60;
/// Bundles let go in one sweep, by kind.
const SLICE: i64 = 200;
/// Rows looked at together.
const PAGE: i64 = 200;
/// Refused uploads are remembered for so long: their agents may ask why.
const REFUSED_MS: i64 = 7 * 24 * 3600 * 1000;

/// Sweeps until `stop` is cancelled.
pub async fn run(desk: Bundles, stop: CancellationToken) {
    let mut rounds = Rounds::new(EVERY, stop.clone());
    let mut to_compare = 0;
    while rounds.next().await {
        let done = async {
            desk.sweep(Time::now()).await?;
            if to_compare == 0 {
                desk.compare(Time::now()).await?;
            }
            Ok::<(), Failure>(())
        };
        let done = tokio::select! {
            done = done => done,
            () = stop.cancelled() => return,
        };
        match done {
            Ok(()) => to_compare = if to_compare == 0 { COMPARE_AFTER } else { to_compare - 1 },
            Err(failure) => tracing::warn!(error = failure.tell(), "bundle: the sweep failed"),
        }
    }
}

/// What a comparison of rows and files found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Complete bundles without their file.
    pub(crate) missing: u64,
    /// Files that belonged to nothing and were removed.
    pub(crate) removed: u64,
    /// Whole files that no row knows; they stay for a week.
    pub(crate) unknown: u64,
}

impl Bundles {
    /// One sweep.
    pub(crate) async fn sweep(&self, now: Time) -> Result<(), Failure> {
        self.expire(now).await?;
        self.remove_old(now).await?;
        bundles::forget_refused(&self.db, now.plus_ms(-REFUSED_MS)).await?;
        self.metrics.set_bundles(bundles::census(&self.db).await?);
        Ok(())
    }

    /// Uploads that nobody goes on with.
    async fn expire(&self, now: Time) -> Result<(), Failure> {
        let before = now.plus_ms(-ms(self.settings.idle));
        for row in bundles::resting(&self.db, "open", before, SLICE).await? {
            let Ok(id) = Uuid::parse_str(&row.id) else { continue };
            if !self.keeps(&row) {
                continue;
            }
            let _hold = self.hold(id).await?;
            if self.drop_upload(&row, id, Some(before)).await? {
                self.metrics.bundle_event("expired");
                tracing::info!(bundle = row.id, agent.id = row.agent_id, "idle upload let go");
            }
        }
        Ok(())
    }

    /// Bundles whose time is over.
    async fn remove_old(&self, now: Time) -> Result<(), Failure> {
        let before = now.plus_ms(-ms(self.settings.keep));
        for row in bundles::resting(&self.db, "complete", before, SLICE).await? {
            let Ok(id) = Uuid::parse_str(&row.id) else { continue };
            if !self.keeps(&row) {
                continue;
            }
            let _hold = self.hold(id).await?;
            let mut tx = self.db.begin().await?;
            let removed = bundles::remove(&mut tx, &row.id, now).await?;
            tx.commit().await?;
            if removed {
                // Fails this, the comparison finds the file.
                let agent = row.agent_id.clone();
                self.work(move |files| files.remove(&agent, id)).await?;
                self.metrics.bundle_event("removed");
            }
        }
        Ok(())
    }

    /// Complete rows without their files are marked, files without their rows removed.
    pub(crate) async fn compare(&self, now: Time) -> Result<Comparison, Failure> {
        let mut found = Comparison::default();
        let mut after = String::new();
        loop {
            let page = bundles::complete_after(&self.db, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id.clone();
            for row in page.iter().filter(|row| self.keeps(row)) {
                let Ok(id) = Uuid::parse_str(&row.id) else { continue };
                let (agent, size) = (row.agent_id.clone(), u64::try_from(row.size).unwrap_or(0));
                let file = self.work(move |files| files.read(&agent, id)).await;
                let there = matches!(file, Ok(Some((_, found))) if found == size);
                found.missing += u64::from(!there);
                if there == row.missing {
                    bundles::set_missing(&self.db, &row.id, !there).await?;
                    tracing::warn!(bundle = row.id, missing = !there, "bundle's file");
                }
            }
        }
        let shelves = self.work(|files| files.shelves()).await?;
        for shelf in shelves {
            self.compare_shelf(shelf, now, &mut found).await?;
        }
        if found != Comparison::default() {
            let Comparison { missing, removed, unknown } = found;
            tracing::warn!(missing, removed, unknown, "bundles: rows and files differ");
        }
        self.metrics.set_bundles(bundles::census(&self.db).await?);
        Ok(found)
    }

    async fn compare_shelf(
        &self,
        shelf: PathBuf,
        now: Time,
        sum: &mut Comparison,
    ) -> Result<(), Failure> {
        let files = self.work(move |files| files.on_shelf(&shelf)).await?;
        for file in files {
            // What has another name is not ours to touch.
            let Some(id) = file.id else { continue };
            let _hold = self.hold(id).await?;
            match self.judge_file(&file, id, now).await? {
                Stray::No => {}
                Stray::Wait => sum.unknown += 1,
                Stray::Remove => {
                    self.work(move |files| files.discard(&file)).await?;
                    self.metrics.bundle_event("stray-removed");
                    sum.removed += 1;
                }
            }
        }
        Ok(())
    }

    async fn judge_file(&self, file: &Found, id: Uuid, now: Time) -> Result<Stray, Failure> {
        let row = bundles::get(&self.db, &id.to_string()).await?;
        // On another agent's shelf, or kept by another collector: no row of this file.
        let row = row.filter(|r| agent_hash(&r.agent_id) == file.agent_hash && self.keeps(r));
        let state = row.as_ref().map(|row| row.state.as_str());
        Ok(judge::stray(file.part, state, file.changed_at, now))
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
