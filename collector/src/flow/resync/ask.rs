//! Comparing digests, asking for whole sets, and what the history tells of it.

use std::collections::BTreeMap;

use callhome_shared::control::{Control, RESYNC};
use callhome_shared::envelope::Lane;
use callhome_shared::heartbeat::{AsOf, active_digest};
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::limits::cut;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use callhome_shared::topic::Down;
use uuid::Uuid;

use super::Applied;
use crate::flow::batch::{Batch, Beat};
use crate::flow::ledger::Ledger;
use crate::inbox::{self, Demand, Said};
use crate::link::Downward;
use crate::store::controls::{self, ControlRow};
use crate::store::resync_history::{self, HistoryRow};
use crate::store::resyncs::{self, ResyncRow};
use crate::store::streams::StreamKey;
use crate::store::{Result, Tx, alarms};

/// What the agent is given as the reason.
const DIFFERS: &str = "digest-differs";
/// Longest word for a reason that is kept, bytes.
const MAX_REASON_BYTES: usize = 64;

impl Ledger {
    /// What each agent says of its set, where that can be compared: its newest heartbeat names a place
    /// in the alarm lane, this store is exactly there, and nothing of that agent is in this batch.
    fn comparable<'b>(&self, batch: &'b Batch) -> BTreeMap<&'b str, &'b Beat> {
        let mut beats: BTreeMap<&str, &Beat> = BTreeMap::new();
        for beat in &batch.beats {
            beats.insert(&beat.agent, beat);
        }
        beats.retain(|agent, beat| {
            let busy = batch.entries.iter().any(|entry| entry.agent == **agent);
            let said = beat.heartbeat.active_as_of.filter(|_| beat.heartbeat.online && !busy);
            self.agents.contains_key(*agent) && said.is_some_and(|as_of| self.is_at(agent, as_of))
        });
        beats
    }

    fn is_at(&self, agent: &str, as_of: AsOf) -> bool {
        let key = StreamKey {
            agent_id: agent.to_owned(),
            epoch: as_of.epoch.to_string(),
            lane: Lane::Alarm.as_str().to_owned(),
        };
        let (acked, highest) =
            self.streams.get(&key).map_or((0, 0), |h| (h.row.acked_seq, h.row.highest_seq));
        acked == highest && u64::try_from(acked) == Ok(as_of.seq)
    }
}

/// Compares what heartbeats say of their agents' alarm sets with what is here, and writes down who is
/// to be asked for the whole set. Answers what is to be said after the commit.
pub(in crate::flow) async fn compare(
    tx: &mut Tx,
    ledger: &Ledger,
    batch: &Batch,
) -> Result<Vec<Downward>> {
    let beats = ledger.comparable(batch);
    if beats.is_empty() {
        return Ok(Vec::new());
    }
    let agents: Vec<String> = beats.keys().map(|agent| (*agent).to_owned()).collect();
    let mut sets: BTreeMap<String, Vec<(String, &'static str)>> = BTreeMap::new();
    for (agent, alarm, severity) in alarms::active_of(tx, &agents).await? {
        let severity = Severity::parse(&severity).map_or("?", Severity::as_str);
        sets.entry(agent).or_default().push((alarm, severity));
    }
    let open = controls::open_of(tx, &agents).await?;
    let history = resyncs::of_agents(tx, &agents).await?;
    let (mut asked, mut settled, mut said) = (Vec::new(), Vec::new(), Vec::new());
    let mut told = Vec::new();
    for (agent, beat) in beats {
        let ours = sets.remove(agent).unwrap_or_default();
        let differs = active_digest(ours.into_iter()) != beat.heartbeat.active_digest;
        let before = open.iter().find(|c| c.agent_id == agent && c.kind == RESYNC);
        let row = history.iter().find(|r| r.agent_id == agent);
        let not_before = row.map_or(Time(0), |r| r.not_before);
        let last = before.map(|c| Said { at: c.sent_at, times: c.sends });
        match inbox::demand(differs, last, not_before, ledger.now) {
            Demand::Nothing => {}
            Demand::Settled => {
                if let Some(before) = before {
                    told.push(HistoryRow { ended_at: Some(ledger.now), ..history_of(before) });
                    asked.push(ControlRow { done_at: Some(ledger.now), ..before.clone() });
                }
                if let Some(row) = row.filter(|r| r.in_a_row > 0) {
                    settled.push(ResyncRow { in_a_row: 0, not_before: Time(0), ..row.clone() });
                }
            }
            Demand::Ask | Demand::Repeat => {
                let control = next_control(before, agent, ledger.now);
                tracing::warn!(
                    agent,
                    times = control.sends,
                    "flow.resync.asked: the agent's alarm set is another one than here"
                );
                said.extend(message(&control));
                told.push(history_of(&control));
                asked.push(control);
            }
        }
    }
    asked.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    told.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    controls::save(tx, &asked).await?;
    resync_history::note(tx, &told).await?;
    resyncs::save(tx, &settled).await?;
    Ok(said)
}

/// A request as the history tells of it.
fn history_of(control: &ControlRow) -> HistoryRow {
    HistoryRow {
        id: control.id.clone(),
        agent_id: control.agent_id.clone(),
        reason: control.reason.clone(),
        asked_at: Some(control.created_at),
        asked: control.sends,
        at: control.created_at,
        ..HistoryRow::default()
    }
}

/// What a snapshot was: the answer to a request, or told unasked.
pub(super) fn answer_of(request: Option<&ControlRow>, applied: &Applied, now: Time) -> HistoryRow {
    let unasked = || HistoryRow {
        id: applied.envelope.to_string(),
        agent_id: applied.agent.clone(),
        reason: applied.reason.clone(),
        at: now,
        ..HistoryRow::default()
    };
    HistoryRow {
        answered_at: Some(now),
        alarms: applied.alarms,
        raised: applied.raised,
        changed: applied.changed,
        cleared: applied.cleared,
        unchanged: applied.unchanged,
        refused: applied.refused,
        ..request.map_or_else(unasked, history_of)
    }
}

/// The agent's word for the reason, as far as it is one.
pub(super) fn word(text: &str) -> String {
    let mut word: String = text.chars().filter(|c| !c.is_control()).collect();
    cut(&mut word, MAX_REASON_BYTES);
    word
}

/// The request, said once more.
fn next_control(before: Option<&ControlRow>, agent: &str, now: Time) -> ControlRow {
    let fresh = || ControlRow {
        id: new_uuid().to_string(),
        agent_id: agent.to_owned(),
        kind: RESYNC.to_owned(),
        reason: DIFFERS.to_owned(),
        created_at: now,
        sent_at: now,
        sends: 0,
        done_at: None,
    };
    let before = before.cloned().unwrap_or_else(fresh);
    ControlRow { sent_at: now, sends: before.sends + 1, ..before }
}

fn message(control: &ControlRow) -> Option<Downward> {
    let said = Control {
        id: Uuid::parse_str(&control.id).ok()?,
        kind: control.kind.clone(),
        at: control.created_at,
        reason: control.reason.clone(),
        maintenance: None,
    };
    let agent = AgentId::new(&control.agent_id).ok()?;
    let payload = serde_json::to_vec(&said).ok()?;
    Some(Downward { agent, down: Down::Control, payload })
}
