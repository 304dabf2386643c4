//! What is said after a batch is committed: acknowledgements, receipts, events, counts.

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::ack::{Ack, Receipt, Reject};
use callhome_shared::envelope::Lane;
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::topic::Down;
use uuid::Uuid;

use super::Event;
use super::batch::Batch;
use super::decide::{Verdict, Verdicts};
use super::ledger::Ledger;
use super::resync::Applied;
use crate::inbox::Content;
use crate::link::Downward;
use crate::metrics::{Metrics, Outcome};
use crate::store::streams::StreamKey;

/// One acknowledgement per stream, then one receipt per alarm envelope, also for those that came
/// again: the first answer may have been lost.
pub(super) fn messages(
    store: Uuid,
    batch: &Batch,
    ledger: &Ledger,
    verdicts: &Verdicts,
    committed_at: Time,
) -> Vec<Downward> {
    let mut rejects: BTreeMap<&StreamKey, Vec<Reject>> = BTreeMap::new();
    let mut receipts = Vec::new();
    for (entry, verdict) in batch.entries.iter().zip(&verdicts.entries) {
        let (reason, text) = match verdict {
            Verdict::Applied => {
                receipts.extend(receipt(ledger, entry, committed_at));
                continue;
            }
            Verdict::Duplicate(before) => {
                receipts.extend(receipt(ledger, entry, *before));
                continue;
            }
            Verdict::NotAdmitted => continue,
            Verdict::Rejected(r) => (r.reason.as_str().to_owned(), r.text.clone()),
            Verdict::RejectedBefore(word, text) => (word.clone(), text.clone()),
        };
        let seq = u64::try_from(entry.numbered.seq).unwrap_or(0);
        let reject = Reject { seq, id: entry.numbered.id, reason, text };
        rejects.entry(&entry.stream).or_default().push(reject);
    }
    let acks = verdicts.touched.iter().filter_map(|key| {
        let rejects = rejects.remove(key).unwrap_or_default();
        acknowledge(store, ledger, key, rejects)
    });
    let resynced = ledger.added.resynced.iter().flat_map(|applied| {
        let tell = |alarm: &Uuid| {
            receipt_of(ledger, &applied.agent, applied.envelope, *alarm, committed_at)
        };
        applied.told.iter().filter_map(tell)
    });
    acks.chain(receipts).chain(resynced).collect()
}

fn acknowledge(
    store: Uuid,
    ledger: &Ledger,
    key: &StreamKey,
    rejects: Vec<Reject>,
) -> Option<Downward> {
    // Of a stream that nothing has come of yet nothing is committed.
    let acked = ledger.streams.get(key).map_or(0, |held| held.row.acked_seq);
    let ack = Ack {
        store,
        epoch: Uuid::parse_str(&key.epoch).ok()?,
        lane: Lane::parse(&key.lane)?,
        seq: u64::try_from(acked).ok()?,
        rejects,
    };
    let agent = AgentId::new(&key.agent_id).ok()?;
    let payload = serde_json::to_vec(&ack).ok()?;
    Some(Downward { agent, down: Down::Ack, payload })
}

fn receipt(ledger: &Ledger, entry: &super::batch::Entry, committed_at: Time) -> Option<Downward> {
    let alarm = match &entry.numbered.content {
        Ok(Content::Alarm(alarm)) => alarm,
        Ok(Content::Probe(probe)) => &probe.alarm,
        _ => return None,
    };
    receipt_of(ledger, &entry.agent, entry.numbered.id, alarm.alarm_id, committed_at)
}

fn receipt_of(
    ledger: &Ledger,
    agent: &str,
    envelope: Uuid,
    alarm_id: Uuid,
    committed_at: Time,
) -> Option<Downward> {
    let (case, ticket) = ledger.case_and_ticket(&alarm_id.to_string())?;
    let receipt = Receipt {
        envelope,
        alarm_id,
        case: case.id.clone(),
        ticket: ticket.row.number.clone(),
        committed_at,
    };
    let agent = AgentId::new(agent).ok()?;
    let payload = serde_json::to_vec(&receipt).ok()?;
    Some(Downward { agent, down: Down::Receipt, payload })
}

/// What has changed, for live pages.
pub(super) fn events(batch: &Batch, ledger: &Ledger) -> Vec<Event> {
    let at = ledger.now;
    let tickets = ledger.tickets.values().filter(|t| t.changed && !t.row.shadow);
    let tickets = tickets.map(|t| Event::Ticket { number: t.row.number.clone(), at });
    let alarms = ledger.alarms.values().filter(|a| a.changed && !a.row.shadow);
    let alarms = alarms.map(|a| Event::Alarm { alarm_id: a.row.alarm_id.clone(), at });
    let agents: BTreeSet<&String> =
        batch.beats.iter().map(|b| &b.agent).filter(|a| ledger.agents.contains_key(*a)).collect();
    let agents = agents.into_iter().map(|id| Event::Agent { id: id.clone(), at });
    tickets.chain(alarms).chain(agents).collect()
}

/// Counts what was committed.
pub(super) fn count(metrics: &Metrics, batch: &Batch, ledger: &Ledger, verdicts: &Verdicts) {
    for verdict in &verdicts.entries {
        match verdict {
            Verdict::Applied => metrics.envelope(Outcome::Applied),
            Verdict::Duplicate(_) | Verdict::RejectedBefore(..) => {
                metrics.envelope(Outcome::Duplicate);
            }
            Verdict::Rejected(rejection) => {
                metrics.envelope(Outcome::Rejected);
                metrics.reject(rejection.reason.as_str());
            }
            Verdict::NotAdmitted => {
                metrics.envelope(Outcome::Rejected);
                metrics.reject("not-admitted");
            }
        }
    }
    for stray in &batch.strays {
        metrics.envelope(Outcome::Rejected);
        metrics.reject(stray.rejection.reason.as_str());
    }
    for applied in &ledger.added.resynced {
        let Applied { raised, changed, cleared, unchanged, .. } = *applied;
        metrics.resync_applied([raised, changed, cleared, unchanged]);
    }
    for stock in ledger.inventories.values() {
        metrics.inventoried(stock.told, stock.changes.len());
    }
    for cleared in &ledger.added.cleared_all {
        metrics.cleared_all(cleared.alarms);
    }
    metrics.resyncs_asked(verdicts.controls.len());
    metrics.probes_proven(ledger.added.probes.len());
    for ticket in ledger.tickets.values().filter(|t| t.new && !t.row.shadow) {
        metrics.ticket_opened(ticket.row.test);
    }
}
