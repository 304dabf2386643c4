//! What can be read of a damaged file goes into the new one that takes its place.
//!
//! Envelopes are found by themselves (see [`super::carve`]) and keep their ids: the collector knows
//! those that it has. Positions, rule state, the alarm set, receipts and refused envelopes are read
//! from the tables as far as those can be read. Whatever is missing is declared as lost.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use callhome_shared::ack::Receipt;
use callhome_shared::envelope::{Kind, Lane, Loss};
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::time::Time;
use redb::{
    Database, Key, ReadOnlyDatabase, ReadableDatabase, ReadableTable, TableDefinition, Value,
};
use uuid::Uuid;

use super::carve::{Carved, Found};
use super::frame::{ALARMS, HEARD, META, META_KEY, Meta, POSITIONS, RECEIPTS, RULES, read_draft};
use super::gaps::Gaps;
use super::transaction::{self, Pending};
use super::{Decision, Draft, OutboxError, budget, database, reading};
use crate::source::Position;

/// Entries that one transaction takes over.
const AT_ONCE: usize = 256;
/// Rows of a table that are taken over; the sets behind them are smaller.
const ROWS: usize = 200_000;
/// The whole file may be read so often before a damaged tree is held to lead in circles.
const READ_TIMES: u64 = 16;
/// The reason of the loss.
const REASON: &str = "outbox-damaged";

/// What was salvaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Envelopes that go out again, with the ids they had.
    pub envelopes: u64,
    /// Envelopes that should have been there and were not found; absent if that is not known.
    pub missing: Option<u64>,
    /// Positions of sources.
    pub positions: u64,
    /// Active alarms.
    pub alarms: u64,
    /// Rule states.
    pub rules: u64,
}

/// Takes over into `opened` what can be read of `aside`.
pub(super) fn take_over(
    opened: &Database,
    meta: &mut Meta,
    aside: &Path,
    agent: &AgentId,
) -> Result<Salvaged, OutboxError> {
    let now = Time::now();
    let file = File::open(aside).map_err(|source| OutboxError::File {
        step: "open",
        path: aside.to_owned(),
        source,
    })?;
    // An unreadable sector may be anywhere: then only the tables are tried.
    let carved = Carved::find(&file).unwrap_or_else(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "salvage: the file cannot be read"
        );
        Carved::default()
    });
    let mut done = Salvaged::default();
    if carved.meta.as_ref().is_some_and(|old| old.agent != *agent) {
        tracing::error!("salvage: the file is another agent's");
        return Ok(done);
    }
    let length = file.metadata().map(|m| m.len()).unwrap_or_default();
    let state = read_state(aside, length);
    // The tables' account is the last one; of those found by themselves the newest may be gone.
    let sure = state.meta.as_ref().is_some_and(|old| old.agent == *agent);
    let account = state.meta.clone().filter(|_| sure).or(carved.meta.clone());
    take_state(opened, meta, state, now, &mut done)?;
    take_envelopes(opened, meta, (&file, &carved), account.as_ref(), now, &mut done)?;
    if !sure {
        done.missing = None;
    }
    Ok(done)
}

/// The loss that a damaged file is.
pub(super) fn loss(from: Time, now: Time, count: Option<u64>) -> Result<Draft, OutboxError> {
    let (source, reason) = ("outbox".to_owned(), REASON.to_owned());
    let loss = Loss { source, from: from.min(now), to: now, reason, count };
    let data = serde_json::to_vec(&loss).map_err(super::frame::json("loss"))?;
    Ok(Draft { id: new_uuid(), kind: Kind::Loss, time: now, data })
}

fn take_envelopes(
    opened: &Database,
    meta: &mut Meta,
    (file, carved): (&File, &Carved),
    old: Option<&Meta>,
    now: Time,
    done: &mut Salvaged,
) -> Result<(), OutboxError> {
    let Some(epoch) = old.map(|old| old.epoch).or(carved.epoch()) else { return Ok(()) };
    let mark = |lane: Lane| old.map_or(0, |old| old.lanes.of(lane).head() - 1);
    let alarms = carved.above(epoch, Lane::Alarm, mark(Lane::Alarm));
    let folded = folded(file, &alarms, epoch);
    let mut missing = 0;
    let mut found = Vec::new();
    for lane in Lane::ALL {
        let mut some = carved.above(epoch, lane, mark(lane));
        // Folded entries may still stand in parts of the file that are not in use any more.
        some.retain(|(seq, _)| lane == Lane::Bulk || folded.end_of(*seq).is_none());
        if let Some(book) = old.map(|old| old.lanes.of(lane)) {
            let passed = match lane {
                Lane::Alarm => folded.below(book.last_seq + 1) - folded.below(book.head()),
                Lane::Bulk => 0,
            };
            let there = some.iter().filter(|(seq, _)| *seq <= book.last_seq).count() as u64;
            missing += (book.last_seq + 1 - book.head()).saturating_sub(passed + there);
        }
        found.extend(some);
    }
    done.missing = old.map(|_| missing);
    for some in found.chunks(AT_ONCE) {
        let mut next = Decision { id: new_uuid(), time: now, ..Decision::default() };
        let drafts = some.iter().filter_map(|(_, found)| read_draft(&value(file, *found)?).ok());
        next.drafts.extend(drafts);
        done.envelopes += next.drafts.len() as u64;
        commit(opened, meta, &Pending::default(), &next)?;
    }
    Ok(())
}

fn value(file: &File, found: Found) -> Option<Vec<u8>> {
    let mut value = vec![0; found.length];
    file.read_exact_at(&mut value, found.offset).ok()?;
    Some(value)
}

/// The numbers of this life that were folded, as declarations among the entries say.
fn folded(file: &File, entries: &[(u64, Found)], epoch: Uuid) -> Gaps {
    let mut folded = Gaps::default();
    for (seq, found) in entries.iter().filter(|(_, found)| found.is_loss) {
        let Some(value) = value(file, *found) else { continue };
        for (first, last) in budget::folded(&value, epoch, *seq).ranges() {
            (first..=last).for_each(|n| folded.insert(n));
        }
    }
    folded
}

/// What the tables of the file say.
fn read_state(aside: &Path, length: u64) -> State {
    // redb may panic on pages that were altered behind its back.
    let read = catch_unwind(AssertUnwindSafe(|| -> Result<State, OutboxError> {
        let bytes = length.saturating_mul(READ_TIMES).max(1 << 20);
        Ok(State::read(&reading::open(aside, bytes, 0)?))
    }));
    match read {
        Ok(Ok(state)) => state,
        Ok(Err(error)) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "salvage: the tables cannot be read");
            State::default()
        }
        Err(_) => {
            tracing::warn!("salvage: reading the tables panicked");
            State::default()
        }
    }
}

fn take_state(
    opened: &Database,
    meta: &mut Meta,
    state: State,
    now: Time,
    done: &mut Salvaged,
) -> Result<(), OutboxError> {
    done.positions = state.decision.positions.len() as u64;
    done.alarms = state.decision.alarms.len() as u64;
    done.rules = state.decision.rules.len() as u64;
    let pending = Pending { dirty: true, receipts: state.receipts, ..Pending::default() };
    let decision = Decision { id: new_uuid(), time: now, ..state.decision };
    commit(opened, meta, &pending, &decision)
}

/// The budget held for these entries before; it does not count while they are taken over.
fn commit(
    opened: &Database,
    meta: &mut Meta,
    pending: &Pending,
    decision: &Decision,
) -> Result<(), OutboxError> {
    let mut next = meta.clone();
    transaction::write(opened, &mut next, pending, decision, u64::MAX)?;
    *meta = next;
    Ok(())
}

/// What the tables say, as far as they can be read.
#[derive(Default)]
struct State {
    /// The outbox's own account, if it is whole.
    meta: Option<Meta>,
    decision: Decision,
    receipts: Vec<Receipt>,
}

impl State {
    fn read(opened: &ReadOnlyDatabase) -> State {
        let mut state = State::default();
        let account = rows(opened, META, &|key: &str, v: &[u8]| (key.to_owned(), v.to_vec()));
        let account = account.get(META_KEY).and_then(|value| Meta::find_whole(value));
        state.meta = account.map(|(meta, _)| meta);
        let decision = &mut state.decision;
        let pair = |key: &str, value: &[u8]| (key.to_owned(), value.to_vec());
        let positions = rows(opened, POSITIONS, &pair);
        decision.positions =
            positions.into_iter().map(|(s, p)| (Arc::from(s), Position(p))).collect();
        let heard = rows(opened, HEARD, &|source: &str, at: i64| (source.to_owned(), at));
        decision.heard = heard.into_iter().map(|(s, at)| (Arc::from(s), Time(at))).collect();
        let whole = |rows: BTreeMap<String, Vec<u8>>| {
            let json = |v: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(v).is_ok();
            rows.into_iter().filter(|(_, v)| json(v)).map(|(k, v)| (k, Some(v))).collect()
        };
        decision.rules = whole(rows(opened, RULES, &pair));
        decision.alarms = whole(rows(opened, ALARMS, &pair));
        let receipts = rows(opened, RECEIPTS, &|id: u128, v: &[u8]| (id, v.to_vec()));
        state.receipts = receipts.values().filter_map(|v| serde_json::from_slice(v).ok()).collect();
        state
    }
}

/// Makes one's own of a row.
type Own<'a, K, V, A, B> =
    &'a dyn for<'r> Fn(<K as Value>::SelfType<'r>, <V as Value>::SelfType<'r>) -> (A, B);

/// The rows of a table that can be reached, from either end.
fn rows<K, V, A: Ord, B>(
    opened: &ReadOnlyDatabase,
    name: TableDefinition<'_, K, V>,
    own: Own<'_, K, V, A, B>,
) -> BTreeMap<A, B>
where
    K: Key + 'static,
    V: Value + 'static,
{
    let mut found = BTreeMap::new();
    let mut read = |backwards: bool| -> Result<(), OutboxError> {
        let txn = opened.begin_read().map_err(database)?;
        let table = txn.open_table(name).map_err(database)?;
        let range = table.iter().map_err(database)?;
        let mut take = |row: Result<(redb::AccessGuard<'_, K>, redb::AccessGuard<'_, V>), _>| {
            let (key, value) = row.map_err(|e: redb::StorageError| database(e))?;
            let (key, value) = own(key.value(), value.value());
            found.insert(key, value);
            Ok::<(), OutboxError>(())
        };
        match backwards {
            false => range.take(ROWS).try_for_each(&mut take),
            true => range.rev().take(ROWS).try_for_each(&mut take),
        }
    };
    // The second way finds what lies behind the damage.
    for backwards in [false, true] {
        let end = catch_unwind(AssertUnwindSafe(|| read(backwards)));
        if matches!(end, Ok(Ok(()))) {
            break;
        }
    }
    found
}
