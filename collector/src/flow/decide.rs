//! Applies a batch to the ledger: which envelopes are new, and what follows from them.

use std::collections::BTreeSet;

use callhome_shared::alarm::{Alarm, Evidence, Transition};
use callhome_shared::clear_all::CONFIGURATION;
use callhome_shared::envelope::{Lane, Loss};
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use uuid::Uuid;

use super::batch::{Batch, Beat, Entry};
use super::fault::Origin;
use super::ledger::Ledger;
use super::{maintenance, numbers, resync};
use crate::inbox::{Content, DeclaredLoss, MoreEvidence, Reason, Rejection};
use crate::link::Downward;
use crate::store::agents::Sign;
use crate::store::envelopes::{Committed, Outcome};
use crate::store::evidence::{EvidenceRow, KEPT_PER_ALARM};
use crate::store::losses::LossRow;
use crate::store::streams::{Passed, StreamKey};
use crate::store::{Result, Tx};

/// "Last seen" is not written more often than this.
const SEEN_MS: i64 = 5000;

/// What became of one envelope.
pub(super) enum Verdict {
    /// Its effect is in the ledger.
    Applied,
    /// It was committed before, at that time.
    Duplicate(Time),
    /// It is refused now.
    Rejected(Rejection),
    /// It was refused before, for that word and text.
    RejectedBefore(String, String),
    /// Its agent may not deliver.
    NotAdmitted,
}

/// What became of the batch.
pub(super) struct Verdicts {
    /// One for each of its entries.
    pub(super) entries: Vec<Verdict>,
    /// Streams whose mark is to be told.
    pub(super) touched: BTreeSet<StreamKey>,
    /// What agents are asked to do.
    pub(super) controls: Vec<Downward>,
    /// Windows of maintenance that agents do not know.
    pub(super) windows: Vec<Downward>,
}

/// Applies everything: heartbeats first, because they say where unknown streams begin. `store`: this
/// one; agents that know another one are told at once.
pub(super) async fn apply(
    tx: &mut Tx,
    ledger: &mut Ledger,
    batch: &Batch,
    store: Uuid,
) -> Result<Verdicts> {
    let mut told = Vec::new();
    let mut touched = BTreeSet::new();
    for beat in &batch.beats {
        if ledger.agents.contains_key(&beat.agent) {
            touched.extend(take_beat(tx, ledger, beat, store, &mut told).await?);
        }
    }
    for stray in batch.strays.iter().filter(|s| ledger.agents.contains_key(&s.agent)) {
        ledger.added.rejects.push(stray.reject_row());
    }
    let mut entries = Vec::with_capacity(batch.entries.len());
    for entry in &batch.entries {
        let verdict = take_entry(ledger, entry)?;
        if !matches!(verdict, Verdict::NotAdmitted) {
            touched.insert(entry.stream.clone());
        }
        entries.push(verdict);
    }
    touched.extend(ledger.added.passed.iter().map(|p| p.key.clone()));
    ledger.advance(tx).await?;
    for (key, acked) in told {
        if ledger.streams.get(&key).is_some_and(|held| held.row.acked_seq > acked) {
            touched.insert(key);
        }
    }
    ledger.hear(batch)?;
    let controls = resync::compare(tx, ledger, batch).await?;
    let windows = maintenance::compare(tx, ledger, batch).await?;
    Ok(Verdicts { entries, touched, controls, windows })
}

async fn take_beat(
    tx: &mut Tx,
    ledger: &mut Ledger,
    beat: &Beat,
    store: Uuid,
    told: &mut Vec<(StreamKey, i64)>,
) -> Result<Vec<StreamKey>> {
    let said = &beat.heartbeat;
    if is_of_a_former_connection(ledger, beat) {
        return Ok(Vec::new());
    }
    ledger.note_beat(beat);
    let json = said.online.then(|| serde_json::to_string(said).ok()).flatten();
    let version = Some(said.version.clone()).filter(|v| !v.is_empty());
    let sign = Sign {
        id: beat.agent.clone(),
        online: said.online,
        at: heard_at(ledger, beat),
        // A will after a heartbeat of the same batch must not make that one forgotten.
        heartbeat: json.or_else(|| ledger.signs.remove(&beat.agent).and_then(|s| s.heartbeat)),
        version,
        site: said.site.clone(),
        customer: said.customer.clone(),
    };
    ledger.signs.insert(beat.agent.clone(), sign);
    let Some(epoch) = said.epoch else { return Ok(Vec::new()) };
    let mut touched = Vec::new();
    for lane in Lane::ALL {
        let acked = numbers::told(said, lane);
        let key = StreamKey {
            agent_id: beat.agent.clone(),
            epoch: epoch.to_string(),
            lane: lane.as_str().to_owned(),
        };
        if numbers::waits(said, lane) {
            // What it sent may have been lost with a broker or a former collector: an answer says that
            // somebody is here, so that it sends again soon.
            touched.push(key.clone());
        }
        if lane == Lane::Alarm && said.store.is_some_and(|known| known != store) {
            touched.push(key.clone());
        } else if acked == 0 && !ledger.streams.contains_key(&key) {
            continue;
        }
        let now = ledger.now;
        let held = ledger.stream(&key);
        let since = held.row.updated_at;
        let missing = numbers::catch_up(tx, held, acked, now).await?;
        if missing > 0 {
            ledger.added.losses.push(restored(beat, missing, since));
        }
        told.push((key, acked));
    }
    Ok(touched)
}

/// When the agent itself spoke: a last will is the broker's word.
fn heard_at(ledger: &Ledger, beat: &Beat) -> Time {
    if beat.heartbeat.online || beat.heartbeat.stopped {
        return beat.received_at;
    }
    let now = ledger.signs.get(&beat.agent).map(|sign| sign.at);
    let before = ledger.agents.get(&beat.agent).and_then(|agent| agent.last_seen_at);
    now.or(before).unwrap_or(beat.received_at)
}

/// A last will that comes late: the agent speaks on another connection already.
fn is_of_a_former_connection(ledger: &Ledger, beat: &Beat) -> bool {
    let Some(gone) = beat.heartbeat.connection.filter(|_| !beat.heartbeat.online) else {
        return false;
    };
    let here = ledger.signs.get(&beat.agent).and_then(|sign| sign.heartbeat.as_deref());
    let before = ledger.agents.get(&beat.agent).and_then(|agent| agent.heartbeat.as_deref());
    let newest = here.or(before).and_then(|text| serde_json::from_str::<Heartbeat>(text).ok());
    newest.and_then(|beat| beat.connection).is_some_and(|standing| standing != gone)
}

/// The agent was told of envelopes that this store does not have.
fn restored(beat: &Beat, missing: i64, since: Time) -> LossRow {
    tracing::warn!(
        agent = beat.agent,
        missing,
        "the agent has acknowledgements that this store did not give: it was restored or is new"
    );
    LossRow {
        id: new_uuid().to_string(),
        agent_id: beat.agent.clone(),
        loss: Loss {
            source: "collector".into(),
            from: since.min(beat.received_at),
            to: beat.received_at,
            reason: "collector-restored".into(),
            count: u64::try_from(missing).ok(),
        },
        received_at: beat.received_at,
    }
}

fn take_entry(ledger: &mut Ledger, entry: &Entry) -> Result<Verdict> {
    if !ledger.agents.contains_key(&entry.agent) {
        return Ok(Verdict::NotAdmitted);
    }
    note_delivery(ledger, entry);
    let place = (entry.stream.clone(), entry.numbered.seq);
    let id = entry.numbered.id.to_string();
    if let Some(there) = ledger.at_place.get(&place) {
        if there.id == id {
            return Ok(again(there));
        }
        let text = format!("number {} holds envelope {} already", entry.numbered.seq, there.id);
        let rejection = Rejection::new(Reason::DuplicateSeq, text);
        ledger.added.rejects.push(entry.reject_row(&rejection));
        return Ok(Verdict::Rejected(rejection));
    }
    ledger.stream(&entry.stream).changed = true;
    let before = ledger.by_id.get(&(entry.agent.clone(), id)).cloned();
    let verdict = match before {
        Some(before) => again(&before),
        None => take_new(ledger, entry)?,
    };
    keep(ledger, entry, &verdict);
    Ok(verdict)
}

fn again(there: &Committed) -> Verdict {
    match &there.reason {
        Some((word, text)) => Verdict::RejectedBefore(word.clone(), text.clone()),
        None => Verdict::Duplicate(there.received_at),
    }
}

/// Keeps the row by which it is known when it comes again, in this batch or later.
fn keep(ledger: &mut Ledger, entry: &Entry, verdict: &Verdict) {
    let (outcome, reason) = match verdict {
        Verdict::Rejected(r) => {
            (Outcome::Rejected, Some((r.reason.as_str().to_owned(), r.text.clone())))
        }
        Verdict::RejectedBefore(word, text) => {
            (Outcome::Rejected, Some((word.clone(), text.clone())))
        }
        Verdict::Duplicate(_) => (Outcome::Repeated, None),
        Verdict::Applied | Verdict::NotAdmitted => (Outcome::Applied, None),
    };
    let row = Committed {
        stream: entry.stream.clone(),
        seq: entry.numbered.seq,
        id: entry.numbered.id.to_string(),
        kind: entry.numbered.kind.clone(),
        outcome,
        reason,
        received_at: entry.received_at,
    };
    if outcome == Outcome::Rejected {
        ledger.stream(&entry.stream).row.rejected += 1;
    }
    ledger.at_place.insert((row.stream.clone(), row.seq), row.clone());
    ledger.by_id.insert((row.stream.agent_id.clone(), row.id.clone()), row.clone());
    ledger.added.envelopes.push(row);
}

fn take_new(ledger: &mut Ledger, entry: &Entry) -> Result<Verdict> {
    let refused = match &entry.numbered.content {
        Ok(Content::Alarm(alarm)) => take_alarm(ledger, entry, alarm)?,
        Ok(Content::Evidence(more)) => take_evidence(ledger, entry, more),
        Ok(Content::Probe(probe)) => ledger.take_probe(entry, probe)?,
        Ok(Content::Resync(page)) => ledger.take_page(entry, page)?,
        Ok(Content::ClearAll(said)) => {
            ledger.clear_all(entry, said)?;
            None
        }
        Ok(Content::Inventory(said)) => {
            ledger.take_inventory(entry, said);
            None
        }
        Ok(Content::Loss(declared)) => {
            take_loss(ledger, entry, declared);
            None
        }
        Err(rejection) => Some(rejection.clone()),
    };
    Ok(match refused {
        Some(rejection) => {
            ledger.added.rejects.push(entry.reject_row(&rejection));
            Verdict::Rejected(rejection)
        }
        None => Verdict::Applied,
    })
}

fn take_alarm(ledger: &mut Ledger, entry: &Entry, alarm: &Alarm) -> Result<Option<Rejection>> {
    let mut origin = Origin::of(entry);
    if alarm.transition == Transition::Cleared && alarm.reason.as_deref() == Some(CONFIGURATION) {
        origin.reason = Some(CONFIGURATION);
    }
    if let Some(rejection) = ledger.fault(&origin, alarm)? {
        return Ok(Some(rejection));
    }
    add_evidence(ledger, entry, alarm.alarm_id, &alarm.evidence);
    Ok(None)
}

/// Evidence may come ahead of its alarm, but not for another agent's.
fn take_evidence(ledger: &mut Ledger, entry: &Entry, more: &MoreEvidence) -> Option<Rejection> {
    let alarm = more.alarm_id.and_then(|id| ledger.alarms.get(&id.to_string()));
    if alarm.is_some_and(|held| held.row.agent_id != entry.agent) {
        let text = "the alarm is another agent's";
        return Some(Rejection::new(Reason::AlarmMismatch, text));
    }
    if let Some(bundle) = &more.bundle {
        let place = (bundle.id.to_string(), entry.agent.clone());
        if ledger.bundles.contains(&place) {
            let (id, agent) = place;
            ledger.added.bundles_told.push((id, agent, entry.received_at));
        } else {
            let text =
                format!("bundle {} of this agent is not here: nothing was declared", bundle.id);
            tracing::warn!(agent = entry.agent, bundle = %bundle.id, "flow.bundle.unknown");
            return Some(Rejection::new(Reason::UnknownBundle, text));
        }
    }
    let alarm_id = more.alarm_id?;
    if add_evidence(ledger, entry, alarm_id, &more.evidence) {
        return None;
    }
    let text = format!("the alarm has {KEPT_PER_ALARM} items of evidence already");
    Some(Rejection::new(Reason::EvidenceFull, text))
}

/// Says whether there was room for all of it. What an alarm brings along beyond the limit is left
/// out: the alarm itself counts.
fn add_evidence(ledger: &mut Ledger, entry: &Entry, alarm_id: Uuid, items: &[Evidence]) -> bool {
    let alarm_id = alarm_id.to_string();
    let count = ledger.evidence_count.entry(alarm_id.clone()).or_insert(0);
    let room = usize::try_from(KEPT_PER_ALARM - *count).unwrap_or(0);
    let rows = items.iter().take(room).enumerate().map(|(place, evidence)| EvidenceRow {
        id: format!("{}-{place}", entry.numbered.id),
        agent_id: entry.agent.clone(),
        alarm_id: alarm_id.clone(),
        evidence: evidence.clone(),
    });
    let before = ledger.added.evidence.len();
    ledger.added.evidence.extend(rows);
    let added = ledger.added.evidence.len() - before;
    *count += i64::try_from(added).unwrap_or(0);
    added == items.len()
}

fn take_loss(ledger: &mut Ledger, entry: &Entry, declared: &DeclaredLoss) {
    ledger.added.losses.push(LossRow {
        id: entry.numbered.id.to_string(),
        agent_id: entry.agent.clone(),
        loss: declared.loss.clone(),
        received_at: entry.received_at,
    });
    for (lane, first, last) in declared.passed(entry.numbered.epoch) {
        let key = StreamKey { lane: lane.as_str().to_owned(), ..entry.stream.clone() };
        ledger.stream(&key).changed = true;
        ledger.added.passed.push(Passed { key, first, last });
    }
}

/// Whatever comes from an agent says that it is there.
fn note_delivery(ledger: &mut Ledger, entry: &Entry) {
    let at = entry.received_at;
    if let Some(sign) = ledger.signs.get_mut(&entry.agent) {
        if at >= sign.at {
            (sign.online, sign.at) = (true, at);
        }
        return;
    }
    let Some(agent) = ledger.agents.get(&entry.agent) else { return };
    let fresh = agent.last_seen_at.is_some_and(|seen| at.since_ms(seen) < SEEN_MS);
    if agent.online && fresh {
        return;
    }
    let sign = Sign {
        id: entry.agent.clone(),
        online: true,
        at,
        heartbeat: None,
        version: None,
        site: None,
        customer: None,
    };
    ledger.signs.insert(entry.agent.clone(), sign);
}
