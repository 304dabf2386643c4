//! `clear-all`: of an agent or one of its devices no alarm stands any more.
//!
//! It ends what that agent told before it, and nothing that came after it in the same outbox life. The
//! collector's own words about the agent (that it is silent, for instance) are not the agent's to take back.

use std::collections::BTreeSet;

use callhome_shared::clear_all::{CONFIGURATION, ClearAll};

use super::batch::{Batch, Entry};
use super::fault::{Origin, known_of};
use super::ledger::Ledger;
use crate::inbox::{self, Content};
use crate::store::{Result, Tx, alarms};

/// What a timeline gives as the reason where the agent's word for it is not known here.
const OTHER: &str = "clear-all";

/// What one of them ended.
#[derive(Debug)]
pub(super) struct Cleared {
    /// How many alarms.
    pub(super) alarms: usize,
}

/// The alarms that stand of the agents that say so in this batch.
pub(super) async fn standing(tx: &mut Tx, batch: &Batch) -> Result<Vec<String>> {
    let says = |entry: &&Entry| matches!(entry.numbered.content, Ok(Content::ClearAll(_)));
    let agents: BTreeSet<String> =
        batch.entries.iter().filter(says).map(|entry| entry.agent.clone()).collect();
    if agents.is_empty() {
        return Ok(Vec::new());
    }
    let rows = alarms::active_of(tx, &Vec::from_iter(agents)).await?;
    Ok(rows.into_iter().map(|(_, id, _)| id).collect())
}

impl Ledger {
    /// Ends them.
    pub(super) fn clear_all(&mut self, entry: &Entry, said: &ClearAll) -> Result<()> {
        let mut origin = Origin::of(entry);
        origin.reason = Some(if said.reason == CONFIGURATION { CONFIGURATION } else { OTHER });
        let present = self.is_present(&entry.agent, &origin.order.epoch);
        let mut over = Vec::new();
        for held in self.alarms.values() {
            let row = &held.row;
            let meant = said.device.as_ref().is_none_or(|device| *device == row.device_id);
            let theirs = row.agent_id == entry.agent && !row.own && !row.shadow;
            if theirs && meant && inbox::is_gone(&known_of(row)?, &origin.order, present) {
                over.push(row.alarm_id.clone());
            }
        }
        for id in &over {
            self.end(&origin, id, said.at)?;
        }
        tracing::info!(
            agent = entry.agent,
            device = said.device,
            reason = said.reason,
            said = said.count,
            alarms = over.len(),
            "flow.clear-all.applied"
        );
        self.added.cleared_all.push(Cleared { alarms: over.len() });
        Ok(())
    }
}
