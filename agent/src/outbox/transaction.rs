//! What happens inside one transaction.

use std::collections::BTreeMap;

use callhome_shared::ack::{Receipt, Reject};
use callhome_shared::envelope::Lane;
use callhome_shared::logging::STAGE;
use callhome_shared::time::Time;
use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, WriteTransaction,
};

use super::frame::{
    self, ALARMS, ENVELOPES, HEARD, META, META_KEY, Meta, POSITIONS, RECEIPTS, REJECTS, RULES,
    RejectRow, json, lane_key,
};
use super::lanes::LaneBook;
use super::queue::Queue;
use super::{Committed, Decision, Loaded, OutboxError, budget, database};
use crate::source::Position;

/// Receipts that are kept, the newest alarms'.
pub(super) const KEPT_RECEIPTS: usize = 1000;
/// Refused envelopes that are kept, the newest.
const KEPT_REJECTS: u64 = 256;
/// Refused envelopes that wait for the next transaction, at most; further ones are only counted.
const REFUSED_AT_ONCE: usize = 256;

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

/// Makes all tables.
pub(super) fn create(opened: &Database, meta: &Meta) -> Result<(), OutboxError> {
    let mut meta = meta.clone();
    let txn = begin(opened)?;
    {
        Queue::open(&txn)?;
        txn.open_table(POSITIONS).map_err(database)?;
        txn.open_table(HEARD).map_err(database)?;
        txn.open_table(RULES).map_err(database)?;
        txn.open_table(ALARMS).map_err(database)?;
        txn.open_table(RECEIPTS).map_err(database)?;
        txn.open_table(REJECTS).map_err(database)?;
    }
    write_meta(&txn, &mut meta)?;
    txn.commit().map_err(database)
}

/// Reads everything but the envelopes.
pub(super) fn load(
    opened: &impl ReadableDatabase,
) -> Result<(Meta, Loaded, BTreeMap<u128, Receipt>), OutboxError> {
    let read = opened.begin_read().map_err(database)?;
    let table = read.open_table(META).map_err(database)?;
    let row = table.get(META_KEY).map_err(database)?;
    let mut meta: Meta =
        serde_json::from_slice(row.as_ref().map(|r| r.value()).unwrap_or_default())
            .map_err(json("meta"))?;
    find_gaps(&read, &mut meta)?;
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

/// The numbers whose entries are missing: folded ones. Looked for only when there are fewer entries
/// than numbers.
fn find_gaps(read: &ReadTransaction, meta: &mut Meta) -> Result<(), OutboxError> {
    let table = read.open_table(ENVELOPES).map_err(database)?;
    let entries = meta.lanes.alarm.entries() + meta.lanes.bulk.entries();
    if table.len().map_err(database)? == entries {
        return Ok(());
    }
    for lane in Lane::ALL {
        let key = lane_key(lane);
        let book = meta.lanes.of_mut(lane);
        let mut next = book.floor + 1;
        for row in table.range((key, next)..=(key, book.last_seq)).map_err(database)? {
            let seq = row.map_err(database)?.0.value().1;
            (next..seq).for_each(|missing| book.gaps.insert(missing));
            next = seq + 1;
        }
        (next..=book.last_seq).for_each(|missing| book.gaps.insert(missing));
    }
    Ok(())
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
    let txn = begin(opened)?;
    let committed = {
        let mut queue = Queue::open(&txn)?;
        write_refused(&txn, &queue, meta, pending)?;
        queue.remove_acked(meta)?;
        let before = (meta.lanes.bytes(), meta.lanes.alarm.depth() > 0);
        let first_seq = meta.lanes.alarm.last_seq + 1;
        for draft in &decision.drafts {
            queue.append(meta, draft)?;
        }
        if !decision.drafts.is_empty() {
            budget::hold(&mut queue, meta, budget, before, decision.time)?;
        }
        let last_seq = meta.lanes.alarm.last_seq;
        Committed { id: decision.id, epoch: meta.epoch, first_seq, last_seq }
    };
    write_state(&txn, decision)?;
    write_receipts(&txn, pending)?;
    meta.commit = Some(committed);
    if let Some(store) = decision.synced_store {
        meta.sync_store(store, decision.time);
    }
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
        let mut queue = Queue::open(&txn)?;
        queue.lives.clear()?;
        for lane in Lane::ALL {
            let LaneBook { floor, last_seq, .. } = std::mem::take(meta.lanes.of_mut(lane));
            // A new number is never above the old one, and those below it are moved already.
            for old in floor + 1..=last_seq {
                let Some(value) = queue.get(lane, old)? else { continue };
                queue.envelopes.remove((lane_key(lane), old)).map_err(database)?;
                queue.append(meta, &frame::read_draft(&value)?)?;
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
    read: &ReadTransaction,
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
    queue: &Queue<'_>,
    meta: &mut Meta,
    pending: &Pending,
) -> Result<(), OutboxError> {
    if pending.refused.is_empty() {
        return Ok(());
    }
    let mut table = txn.open_table(REJECTS).map_err(database)?;
    for ((lane, seq), (reject, at)) in &pending.refused {
        let key = (lane_key(*lane), *seq);
        let envelope = match queue.get(*lane, *seq)? {
            Some(value) => Some(serde_json::from_slice(&value).map_err(json("stored envelope"))?),
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

fn write_meta(txn: &WriteTransaction, meta: &mut Meta) -> Result<(), OutboxError> {
    let value = meta.stored()?;
    let mut table = txn.open_table(META).map_err(database)?;
    table.insert(META_KEY, value.as_slice()).map_err(database)?;
    Ok(())
}
