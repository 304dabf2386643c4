//! How agents come and go, as their heartbeats, wills and deliveries tell it.

use callhome_shared::time::Time;

use super::batch::{Batch, Beat};
use super::ledger::{Held, Ledger};
use super::own::own;
use crate::store::Result;
use crate::store::presence::PresenceRow;

/// Longest interval and wait that an agent may claim, seconds: an hour, as its configuration allows.
const LONGEST_S: u64 = 3600;

impl Ledger {
    /// Notes what a heartbeat, a good-bye or a last will says about presence.
    pub(super) fn note_beat(&mut self, beat: &Beat) {
        let said = &beat.heartbeat;
        let bounded = |seconds: u64| i64::try_from(seconds.clamp(1, LONGEST_S)).unwrap_or(30);
        let fresh = || PresenceRow {
            agent_id: beat.agent.clone(),
            interval_s: 30,
            reconnect_s: 60,
            departed: None,
            departed_at: None,
            silent_alarm: None,
        };
        let held = self
            .presence
            .entry(beat.agent.clone())
            .or_insert_with(|| Held { row: fresh(), changed: false });
        let before = held.row.clone();
        let row = &mut held.row;
        if said.online {
            (row.interval_s, row.reconnect_s) =
                (bounded(said.interval_s), bounded(said.reconnect_s));
            (row.departed, row.departed_at) = (None, None);
        } else {
            let how = if said.stopped { "stopped" } else { "lost" };
            (row.departed, row.departed_at) = (Some(how.to_owned()), Some(beat.received_at));
        }
        held.changed |= *row != before;
    }

    /// Whoever speaks in this batch is not silent, and not gone.
    pub(super) fn hear(&mut self, batch: &Batch) -> Result<()> {
        let beats = batch.beats.iter().filter(|beat| beat.heartbeat.online);
        let beats = beats.map(|beat| (beat.agent.as_str(), beat.received_at));
        let entries = batch.entries.iter().map(|entry| (entry.agent.as_str(), entry.received_at));
        for (agent, at) in beats.chain(entries) {
            if self.agents.contains_key(agent) {
                self.is_heard(agent, at)?;
            }
        }
        Ok(())
    }

    fn is_heard(&mut self, agent: &str, at: Time) -> Result<()> {
        let Some(held) = self.presence.get_mut(agent) else { return Ok(()) };
        if held.row.departed_at.is_some_and(|left| left < at) {
            (held.row.departed, held.row.departed_at, held.changed) = (None, None, true);
        }
        self.end_silence(agent, at, "heard")
    }

    /// The agent's silence, if it is noted, is over.
    pub(super) fn end_silence(&mut self, agent: &str, at: Time, why: &'static str) -> Result<()> {
        let Some(held) = self.presence.get_mut(agent) else { return Ok(()) };
        let Some(alarm) = held.row.silent_alarm.take() else { return Ok(()) };
        held.changed = true;
        tracing::info!(agent, why, "flow.agent.silence-ended");
        self.end(&own(agent, at, Some(why)), &alarm, at)
    }
}
