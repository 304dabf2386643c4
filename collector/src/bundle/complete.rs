//! The end of an upload: read again as a whole, then its row and its ticket's timeline in one transaction.

use std::time::Duration;

use callhome_shared::bundle::{Declaration, Standing, State};
use callhome_shared::id::AgentId;
use callhome_shared::logging::STAGE;
use callhome_shared::time::Time;
use serde_json::json;
use uuid::Uuid;

use super::desk::{ATTEMPTS, Bundles, Done, lock};
use super::failure::Failure;
use super::files::Ended;
use super::judge::{self, LEAST_WEIGHT, Refusal, Wrong};
use crate::flow::{Event, tickets as actions};
use crate::store::Remedy;
use crate::store::bundles::{self, BundleRow};

/// How long `complete` waits for a large file to be read again; it goes on without the request.
const READING: Duration = Duration::from_secs(20);

impl Bundles {
    /// Reads the whole upload again and puts it on its ticket. What takes longer than a request may
    /// goes on by itself: asked again, it is done.
    pub(super) async fn complete(&self, agent: &AgentId, id: Uuid) -> Done<Standing> {
        let hold = self.hold(id).await?;
        let row = self.own(agent, id).await?;
        if row.state == "complete" || row.state == "removed" {
            return self.standing(agent, &row).await;
        }
        let row = self.open_upload(agent, id).await?;
        let desk = self.clone();
        let agent = agent.clone();
        let done = tokio::spawn(async move {
            let _hold = hold;
            desk.finish(&agent, id, row).await
        });
        match tokio::time::timeout(READING, done).await {
            Ok(done) => done.map_err(Failure::Worker)?,
            Err(_) => Err(Refusal::Busy.into()),
        }
    }

    async fn finish(&self, agent: &AgentId, id: Uuid, row: BundleRow) -> Done<Standing> {
        tracing::trace!(target: STAGE, at = "bundle.verifying", bundle = %id);
        let size = u64::try_from(row.size).unwrap_or(0);
        let (name, sha256) = (agent.to_string(), row.sha256.clone());
        let ended = self.work(move |files| files.finish(&name, id, size, &sha256)).await?;
        match ended {
            Ended::Right => {}
            Ended::Short(offset) => return Err(Refusal::Incomplete { offset, size }.into()),
            Ended::Wrong => return Err(self.mismatch(agent, &row).await?.into()),
        }
        tracing::trace!(target: STAGE, at = "bundle.verified", bundle = %id);
        let mut attempt = 1;
        let ticket = loop {
            match self.try_complete(agent, &row).await {
                Err(Failure::Store(e)) if e.remedy() == Remedy::Again && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                done => break done?,
            }
        };
        tracing::trace!(target: STAGE, at = "bundle.committed", bundle = %id);
        lock(&self.noted).remove(&id);
        if let Some((number, at)) = ticket {
            self.metrics.bundle_event("complete");
            tracing::info!(agent.id = %agent, bundle = %id, ticket = number, "bundle complete");
            // Nobody listening is fine.
            let _ = self.events.send(Event::Ticket { number, at });
        }
        Ok(Standing { id, state: State::Complete, offset: size, reason: None })
    }

    /// One transaction: the row, and the ticket's timeline. `None`: it was done before.
    async fn try_complete(&self, agent: &AgentId, row: &BundleRow) -> Done<Option<(String, Time)>> {
        let now = Time::now();
        let mut tx = self.db.begin().await?;
        if !bundles::complete(&mut tx, &row.id, now).await? {
            return Ok(None);
        }
        let said: Option<Declaration> = serde_json::from_str(&row.declaration).ok();
        let detail = json!({
            "bundle": row.id, "name": row.name, "size": row.size, "sha256": row.sha256,
            "approved_by": said.as_ref().map(|said| said.approved.by.clone()),
            "note": said.and_then(|said| said.note),
        });
        let who = format!("agent:{agent}");
        let ticket = actions::bundle_arrived(&mut tx, &row.ticket_id, &who, detail, now).await?;
        tx.commit().await?;
        Ok(Some((ticket.number, now)))
    }

    async fn mismatch(&self, agent: &AgentId, row: &BundleRow) -> Done<Refusal> {
        let reason = "the whole file had another SHA-256 than declared, three times";
        let for_good = judge::wrong(row.mismatches) == Wrong::ForGood;
        let weight = i64::try_from(LEAST_WEIGHT).unwrap_or(i64::MAX);
        let mut tx = self.db.begin().await?;
        let refused = for_good.then_some((reason, weight));
        bundles::mismatch(&mut tx, &row.id, refused, Time::now()).await?;
        tx.commit().await?;
        self.metrics.bundle_event("wrong-hash");
        tracing::warn!(agent.id = %agent, bundle = row.id, for_good, "bundle has another SHA-256");
        Ok(if for_good { Refusal::Refused(reason.to_owned()) } else { Refusal::WrongHash })
    }
}
