//! Looking at what is stored, without changing anything.

use std::path::Path;

use callhome_shared::envelope::Lane;
use callhome_shared::id::AgentId;
use redb::{ReadOnlyDatabase, ReadableDatabase};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::frame::{self, ENVELOPES, Meta, lane_key};
use super::status::LaneStatus;
use super::{OutboxError, Page, database, reading, transaction};

/// Page cache of [`Shelf`].
const CACHE_BYTES: usize = 256 * 1024;

/// What a check of some entries found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Entries that were read.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Numbers whose entry is not what was stored.
    pub damaged: Vec<u64>,
    /// Numbers that are neither there nor among the folded ones.
    pub missing: Vec<u64>,
    /// Go on after this number; absent at the end.
    pub next: Option<u64>,
}

/// The next unacknowledged envelopes of a lane after `after_seq`; see [`super::Outbox::pending`].
pub(super) fn page(
    opened: &impl ReadableDatabase,
    meta: &Meta,
    (lane, after_seq): (Lane, u64),
    (max_count, max_bytes): (usize, usize),
) -> Result<Page, OutboxError> {
    let book = meta.lanes.of(lane);
    let mut page = Page { epoch: meta.epoch, ahead: Vec::new(), envelopes: Vec::new() };
    let from = book.head().max(after_seq.saturating_add(1));
    if from > book.last_seq {
        return Ok(page);
    }
    let read = opened.begin_read().map_err(database)?;
    let table = read.open_table(ENVELOPES).map_err(database)?;
    let key = lane_key(lane);
    let mut bytes = 0;
    for row in table.range((key, from)..=(key, book.last_seq)).map_err(database)? {
        let (seq, value) = row.map_err(database)?;
        bytes += value.value().len();
        let over = page.envelopes.len() >= max_count || bytes > max_bytes;
        if over && !page.envelopes.is_empty() {
            break;
        }
        let (_, seq) = seq.value();
        page.envelopes.push(frame::read_envelope(meta, lane, seq, value.value())?);
    }
    let last = page.envelopes.last().map_or(0, |envelope| envelope.seq);
    if book.gaps.below(last) > book.gaps.below(book.head()) {
        for seq in book.declared.iter().filter(|seq| **seq > last) {
            if let Some(value) = table.get((key, *seq)).map_err(database)? {
                page.ahead.push(frame::read_envelope(meta, lane, *seq, value.value())?);
            }
        }
    }
    Ok(page)
}

/// Reads at most `count` entries of a lane after `after_seq` against their checksums and places.
pub(super) fn check(
    opened: &impl ReadableDatabase,
    meta: &Meta,
    (lane, after_seq): (Lane, u64),
    count: u64,
) -> Result<Checked, OutboxError> {
    let book = meta.lanes.of(lane);
    let mut found = Checked::default();
    let first = after_seq.max(book.floor).saturating_add(1);
    let last = first.saturating_add(count.saturating_sub(1)).min(book.last_seq);
    let read = opened.begin_read().map_err(database)?;
    let table = read.open_table(ENVELOPES).map_err(database)?;
    for seq in first..=last {
        if book.gaps.end_of(seq).is_some() {
            continue;
        }
        let Some(value) = table.get((lane_key(lane), seq)).map_err(database)? else {
            found.missing.push(seq);
            continue;
        };
        found.entries += 1;
        found.bytes += value.value().len() as u64;
        if !frame::is_whole(meta.epoch, lane, seq, value.value()) {
            found.damaged.push(seq);
        }
    }
    found.next = (last < book.last_seq).then_some(last);
    Ok(found)
}

/// One lane as status tells it.
pub(super) fn lane_status(
    meta: &Meta,
    lane: Lane,
    oldest_at: Option<callhome_shared::time::Time>,
) -> LaneStatus {
    let book = meta.lanes.of(lane);
    LaneStatus {
        lane,
        last_seq: book.last_seq,
        acked_seq: book.acked_seq,
        depth: book.depth(),
        oldest_at,
        bytes: book.bytes,
        acked: book.acked_in_all(),
        rejected: book.rejected,
        evicted: book.evicted,
        folded: book.folded,
    }
}

/// The file of an agent that does not run, open for looking only. The caller holds the lock of the
/// state directory meanwhile.
pub struct Shelf {
    opened: ReadOnlyDatabase,
    meta: Meta,
}

impl Shelf {
    /// Opens the file; it is not changed, not even when it was left open by a kill.
    pub fn open(path: &Path) -> Result<Shelf, OutboxError> {
        // A healthy tree leads nowhere in circles, so any bound does.
        let opened = reading::open(path, u64::MAX, CACHE_BYTES)?;
        let (meta, _, _) = transaction::load(&opened)?;
        Ok(Shelf { opened, meta })
    }

    /// Whose outbox it is.
    pub fn agent(&self) -> &AgentId {
        &self.meta.agent
    }

    /// Its life.
    pub fn epoch(&self) -> Uuid {
        self.meta.epoch
    }

    /// Its lanes, without the age of the oldest entry.
    pub fn lanes(&self) -> Vec<LaneStatus> {
        Lane::ALL.map(|lane| lane_status(&self.meta, lane, None)).to_vec()
    }

    /// See [`super::Outbox::pending`].
    pub fn pending(
        &self,
        lane: Lane,
        after_seq: u64,
        max_count: usize,
        max_bytes: usize,
    ) -> Result<Page, OutboxError> {
        page(&self.opened, &self.meta, (lane, after_seq), (max_count, max_bytes))
    }

    /// See [`super::Outbox::check`].
    pub fn check(&self, lane: Lane, after_seq: u64, count: u64) -> Result<Checked, OutboxError> {
        check(&self.opened, &self.meta, (lane, after_seq), count)
    }
}
