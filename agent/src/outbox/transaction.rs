//! What happens inside one transaction.

use std::collections::BTreeMap;

use callhome_shared::ack::{Receipt, Reject};
use callhome_shared::envelope::{Kind, Lane, Loss};
use callhome_shared::id::new_uuid;
use callhome_shared::logging::STAGE;
use callhome_shared::time::Time;
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};
use serde::Serialize;

use super::frame::{
    self, ALARMS, ENVELOPES, HEARD, META, META_KEY, Meta, POSITIONS, RECEIPTS, REJECTS, RULES,
    RejectRow, json, lane_key,
};
use super::lanes::LaneBook;
use super::store::{KEPT_RECEIPTS, KEPT_REJECTS};
use super::{Committed, Decision, Draft, Loaded, OutboxError, database};
use crate::source::Position;

/// Acknowledged entries that one transaction removes at most.
const REMOVED_AT_ONCE: u64 = 1024;
/// What an entry costs besides its value, for the budget.
const ENTRY_OVERHEAD: u64 = 32;
/// Refused envelopes that wait for the next transaction, at most; further ones are only counted.
const REFUSED_AT_ONCE: usize = 256;

type Envelopes<'t> = redb::Table<'t, (u8, u64), &'static [u8]>;

/// What acknowledgements and receipts left to be written down.
#[derive(Default)]
pub(super) struct Pending {
    /// Whether there is anything.
    pub(super) dirty: bool,
    /// Refused envelopes by (lane, number).
    pub(super) refused: BTreeMap<(Lane, u64), (Reject, Time)>,
    /// New receipts.
    pub(super) receipts: Vec<Receipt>,
}

impl Pending {
    /// Remembers a refusal.
    pub(super) fn refuse(&mut self, lane: Lane, reject: &Reject, now: Time) {
        if self.refused.len() < REFUSED_AT_ONCE {
            self.refused.entry((lane, reject.seq)).or_insert_with(|| (reject.clone(), now));
        }
    }
}

/// Whether the file was just made.
pub(super) fn is_new(opened: &Database) -> Result<bool, OutboxError> {
    let read = opened.begin_read().map_err(database)?;
    Ok(read.list_tables().map_err(database)?.next().is_none())
}

/// Makes all tables and the first envelope.
pub(super) fn create(
    opened: &Database,
    meta: &Meta,
    first: Option<Draft>,
) -> Result<(), OutboxError> {
    let mut meta = meta.clone();
    let txn = begin(opened)?;
    {
        let mut envelopes = txn.open_table(ENVELOPES).map_err(database)?;
        if let Some(draft) = first {
            append(&mut envelopes, &mut meta, &draft, &frame::write_envelope(&draft)?)?;
        }
        txn.open_table(POSITIONS).map_err(database)?;
        txn.open_table(HEARD).map_err(database)?;
        txn.open_table(RULES).map_err(database)?;
        txn.open_table(ALARMS).map_err(database)?;
        txn.open_table(RECEIPTS).map_err(database)?;
        txn.open_table(REJECTS).map_err(database)?;
    }
    write_meta(&txn, &meta)?;
    txn.commit().map_err(database)
}

/// Reads everything but the envelopes.
pub(super) fn load(
    opened: &Database,
) -> Result<(Meta, Loaded, BTreeMap<u128, Receipt>), OutboxError> {
    let read = opened.begin_read().map_err(database)?;
    let table = read.open_table(META).map_err(database)?;
    let row = table.get(META_KEY).map_err(database)?;
    let meta = serde_json::from_slice(row.as_ref().map(|r| r.value()).unwrap_or_default())
        .map_err(json("meta"))?;
    let mut loaded = Loaded {
        rules: read_pairs(&read, RULES)?,
        alarms: read_pairs(&read, ALARMS)?,
        ..Loaded::default()
    };
    for (source, bytes) in read_pairs(&read, POSITIONS)? {
        loaded.positions.insert(source, Position(bytes));
    }
    for row in read.open_table(HEARD).map_err(database)?.iter().map_err(database)? {
        let (source, at) = row.map_err(database)?;
        loaded.heard.insert(source.value().to_owned(), Time(at.value()));
    }
    let mut receipts = BTreeMap::new();
    for row in read.open_table(RECEIPTS).map_err(database)?.iter().map_err(database)? {
        let (alarm_id, value) = row.map_err(database)?;
        let receipt = serde_json::from_slice(value.value()).map_err(json("receipt"))?;
        receipts.insert(alarm_id.value(), receipt);
    }
    Ok((meta, loaded, receipts))
}

/// Writes `decision` and what is pending, and moves `meta` on. On an error nothing is stored and
/// `meta` is to be thrown away.
pub(super) fn write(
    opened: &Database,
    meta: &mut Meta,
    pending: &Pending,
    decision: &Decision,
    budget: u64,
) -> Result<Committed, OutboxError> {
    let framed = decision
        .drafts
        .iter()
        .map(|draft| Ok((draft, frame::write_envelope(draft)?)))
        .collect::<Result<Vec<_>, OutboxError>>()?;
    let wanted = framed.iter().map(|(_, value)| cost(value)).sum();
    let txn = begin(opened)?;
    let committed = {
        let mut envelopes = txn.open_table(ENVELOPES).map_err(database)?;
        write_refused(&txn, &envelopes, meta, pending)?;
        remove_acked(&mut envelopes, meta)?;
        make_room(&mut envelopes, meta, wanted, budget, decision.time)?;
        let first_seq = meta.lanes.alarm.last_seq + 1;
        for (draft, value) in &framed {
            append(&mut envelopes, meta, draft, value)?;
        }
        let last_seq = meta.lanes.alarm.last_seq;
        Committed { id: decision.id, epoch: meta.epoch, first_seq, last_seq }
    };
    write_state(&txn, decision)?;
    write_receipts(&txn, pending)?;
    meta.commit = Some(committed);
    write_meta(&txn, meta)?;
    if !decision.drafts.is_empty() || !decision.positions.is_empty() {
        let (first_seq, last_seq) = (committed.first_seq, committed.last_seq);
        tracing::trace!(target: STAGE, at = "outbox.writing", first_seq, last_seq);
    }
    txn.commit().map_err(database)?;
    Ok(committed)
}

/// Begins the numbers anew, from 1, for everything that is in the file; `meta` has the new epoch.
pub(super) fn renumber(opened: &Database, meta: &mut Meta) -> Result<(), OutboxError> {
    let txn = begin(opened)?;
    {
        let mut envelopes = txn.open_table(ENVELOPES).map_err(database)?;
        for lane in Lane::ALL {
            let key = lane_key(lane);
            let book = meta.lanes.of_mut(lane);
            let LaneBook { floor, last_seq, bytes, .. } = *book;
            *book = LaneBook { last_seq: last_seq - floor, bytes, ..LaneBook::default() };
            if floor == 0 {
                continue;
            }
            // A new number is below every old one that is still to come.
            for old in floor + 1..=last_seq {
                let value = envelopes.remove((key, old)).map_err(database)?;
                let value = value.map(|v| v.value().to_vec()).unwrap_or_default();
                envelopes.insert((key, old - floor), value.as_slice()).map_err(database)?;
            }
        }
    }
    write_meta(&txn, meta)?;
    txn.commit().map_err(database)
}

fn begin(opened: &Database) -> Result<WriteTransaction, OutboxError> {
    let mut txn = opened.begin_write().map_err(database)?;
    txn.set_durability(Durability::Immediate).map_err(database)?;
    Ok(txn)
}

fn cost(value: &[u8]) -> u64 {
    value.len() as u64 + ENTRY_OVERHEAD
}

/// Gives `draft` the next number of its lane.
fn append(
    envelopes: &mut Envelopes<'_>,
    meta: &mut Meta,
    draft: &Draft,
    value: &[u8],
) -> Result<(), OutboxError> {
    let lane = draft.kind.lane();
    let book = meta.lanes.of_mut(lane);
    book.last_seq += 1;
    book.bytes += cost(value);
    envelopes.insert((lane_key(lane), book.last_seq), value).map_err(database)?;
    Ok(())
}

/// Removes acknowledged entries, a bounded number at once.
fn remove_acked(envelopes: &mut Envelopes<'_>, meta: &mut Meta) -> Result<(), OutboxError> {
    let mut removed = 0;
    for lane in Lane::ALL {
        let book = meta.lanes.of_mut(lane);
        while book.floor < book.acked_seq && removed < REMOVED_AT_ONCE {
            let freed = take(envelopes, lane, book.floor + 1)?;
            book.floor += 1;
            book.bytes = book.bytes.saturating_sub(freed);
            book.acked += 1;
            removed += 1;
        }
    }
    Ok(())
}

/// Removes one entry; how much it had cost.
fn take(envelopes: &mut Envelopes<'_>, lane: Lane, seq: u64) -> Result<u64, OutboxError> {
    let gone = envelopes.remove((lane_key(lane), seq)).map_err(database)?;
    Ok(gone.map_or(0, |value| cost(value.value())))
}

/// What an eviction says: a loss with the numbers that were given up, so that the collector's
/// contiguous count can pass over them.
#[derive(Serialize)]
struct Eviction {
    #[serde(flatten)]
    loss: Loss,
    lane: Lane,
    #[serde(with = "callhome_shared::envelope::decimal")]
    first_seq: u64,
    #[serde(with = "callhome_shared::envelope::decimal")]
    last_seq: u64,
}

/// Holds to the budget: bulk goes first, oldest first, declared. If the alarm lane alone is over it,
/// nothing more is taken until something was acknowledged; but an empty lane takes any one decision.
fn make_room(
    envelopes: &mut Envelopes<'_>,
    meta: &mut Meta,
    wanted: u64,
    budget: u64,
    now: Time,
) -> Result<(), OutboxError> {
    let fits = |meta: &Meta, spare: u64| meta.lanes.bytes() + wanted + spare <= budget;
    if wanted == 0 || fits(meta, 0) {
        return Ok(());
    }
    evict_bulk(envelopes, meta, now, |meta| fits(meta, budget / 16))?;
    if !fits(meta, 0) && meta.lanes.alarm.depth() > 0 {
        let stored = meta.lanes.bytes();
        return Err(OutboxError::Full { stored, wanted, budget });
    }
    Ok(())
}

/// Gives up bulk entries until there is enough room, and declares them as lost.
fn evict_bulk(
    envelopes: &mut Envelopes<'_>,
    meta: &mut Meta,
    now: Time,
    enough: impl Fn(&Meta) -> bool,
) -> Result<(), OutboxError> {
    let first_seq = meta.lanes.bulk.floor + 1;
    let mut from = None;
    // More than needed is given up at once, so that this is not done for every decision.
    while meta.lanes.bulk.floor < meta.lanes.bulk.last_seq && !enough(meta) {
        let seq = meta.lanes.bulk.floor + 1;
        if from.is_none() {
            let oldest = envelopes.get((lane_key(Lane::Bulk), seq)).map_err(database)?;
            from = oldest.and_then(|value| frame::read_time(value.value()));
        }
        let freed = take(envelopes, Lane::Bulk, seq)?;
        let book = &mut meta.lanes.bulk;
        book.floor = seq;
        book.bytes = book.bytes.saturating_sub(freed);
        book.evicted += 1;
    }
    let last_seq = meta.lanes.bulk.floor;
    if last_seq >= first_seq {
        let loss = Loss {
            source: "outbox".to_owned(),
            from: from.unwrap_or(now),
            to: now,
            reason: "evicted".to_owned(),
            count: Some(last_seq - first_seq + 1),
        };
        let said = Eviction { loss, lane: Lane::Bulk, first_seq, last_seq };
        let data = serde_json::to_vec(&said).map_err(json("loss"))?;
        let draft = Draft { id: new_uuid(), kind: Kind::Loss, time: now, data };
        append(envelopes, meta, &draft, &frame::write_envelope(&draft)?)?;
        tracing::warn!(count = last_seq - first_seq + 1, "outbox budget: bulk entries given up");
    }
    Ok(())
}

fn write_state(txn: &WriteTransaction, decision: &Decision) -> Result<(), OutboxError> {
    if !decision.positions.is_empty() {
        let mut table = txn.open_table(POSITIONS).map_err(database)?;
        for (source, position) in &decision.positions {
            table.insert(&**source, position.0.as_slice()).map_err(database)?;
        }
    }
    if !decision.heard.is_empty() {
        let mut table = txn.open_table(HEARD).map_err(database)?;
        for (source, at) in &decision.heard {
            table.insert(&**source, at.millis()).map_err(database)?;
        }
    }
    write_pairs(txn, RULES, &decision.rules)?;
    write_pairs(txn, ALARMS, &decision.alarms)
}

fn write_pairs(
    txn: &WriteTransaction,
    name: TableDefinition<'_, &str, &[u8]>,
    pairs: &[(String, Option<Vec<u8>>)],
) -> Result<(), OutboxError> {
    if pairs.is_empty() {
        return Ok(());
    }
    let mut table = txn.open_table(name).map_err(database)?;
    for (key, value) in pairs {
        match value {
            Some(value) => table.insert(key.as_str(), value.as_slice()).map_err(database)?,
            None => table.remove(key.as_str()).map_err(database)?,
        };
    }
    Ok(())
}

fn read_pairs(
    read: &redb::ReadTransaction,
    name: TableDefinition<'_, &str, &[u8]>,
) -> Result<Vec<(String, Vec<u8>)>, OutboxError> {
    let table = read.open_table(name).map_err(database)?;
    let mut pairs = Vec::new();
    for row in table.iter().map_err(database)? {
        let (key, value) = row.map_err(database)?;
        pairs.push((key.value().to_owned(), value.value().to_vec()));
    }
    Ok(pairs)
}

/// Moves refused envelopes aside, before their entries are removed.
fn write_refused(
    txn: &WriteTransaction,
    envelopes: &Envelopes<'_>,
    meta: &mut Meta,
    pending: &Pending,
) -> Result<(), OutboxError> {
    if pending.refused.is_empty() {
        return Ok(());
    }
    let mut table = txn.open_table(REJECTS).map_err(database)?;
    for ((lane, seq), (reject, at)) in &pending.refused {
        let key = (lane_key(*lane), *seq);
        let envelope = match envelopes.get(key).map_err(database)? {
            Some(value) => {
                Some(serde_json::from_slice(value.value()).map_err(json("stored envelope"))?)
            }
            None => None,
        };
        let row = RejectRow { at: *at, lane: *lane, reject: reject.clone(), envelope };
        let value = serde_json::to_vec(&row).map_err(json("refused envelope"))?;
        if table.insert(key, value.as_slice()).map_err(database)?.is_none() {
            meta.lanes.of_mut(*lane).rejected += 1;
        }
    }
    while table.len().map_err(database)? > KEPT_REJECTS {
        table.pop_first().map_err(database)?;
    }
    Ok(())
}

fn write_receipts(txn: &WriteTransaction, pending: &Pending) -> Result<(), OutboxError> {
    if pending.receipts.is_empty() {
        return Ok(());
    }
    let mut table = txn.open_table(RECEIPTS).map_err(database)?;
    for receipt in &pending.receipts {
        let value = serde_json::to_vec(receipt).map_err(json("receipt"))?;
        table.insert(receipt.alarm_id.as_u128(), value.as_slice()).map_err(database)?;
    }
    while table.len().map_err(database)? > KEPT_RECEIPTS as u64 {
        table.pop_first().map_err(database)?;
    }
    Ok(())
}

fn write_meta(txn: &WriteTransaction, meta: &Meta) -> Result<(), OutboxError> {
    let value = serde_json::to_vec(meta).map_err(json("meta"))?;
    let mut table = txn.open_table(META).map_err(database)?;
    table.insert(META_KEY, value.as_slice()).map_err(database)?;
    Ok(())
}
