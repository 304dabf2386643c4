//! The queue inside one transaction: entries come with their number, and go.

use callhome_shared::envelope::{Kind, Lane};
use redb::{ReadableTable, Table, WriteTransaction};

use super::frame::{self, ENVELOPES, Meta, lane_key};
use super::lives::Lives;
use super::{Draft, OutboxError, database};

/// Acknowledged entries that one transaction removes at most.
const REMOVED_AT_ONCE: u64 = 1024;
/// What an entry costs besides its value, for the budget.
pub(super) const ENTRY_OVERHEAD: u64 = 32;

/// The tables of the queue, open in a transaction.
pub(super) struct Queue<'t> {
    pub(super) envelopes: Table<'t, (u8, u64), &'static [u8]>,
    pub(super) lives: Lives<'t>,
}

impl<'t> Queue<'t> {
    pub(super) fn open(txn: &'t WriteTransaction) -> Result<Self, OutboxError> {
        Ok(Queue {
            envelopes: txn.open_table(ENVELOPES).map_err(database)?,
            lives: Lives::open(txn)?,
        })
    }

    /// Gives `draft` the next number of its lane.
    pub(super) fn append(&mut self, meta: &mut Meta, draft: &Draft) -> Result<u64, OutboxError> {
        let lane = draft.kind.lane();
        let seq = meta.lanes.of(lane).last_seq + 1;
        let value = frame::write_envelope(meta.epoch, lane, seq, draft)?;
        self.envelopes.insert((lane_key(lane), seq), value.as_slice()).map_err(database)?;
        if lane == Lane::Alarm && draft.kind != Kind::Loss {
            self.lives.appended(&draft.kind, &draft.data, seq)?;
        }
        let book = meta.lanes.of_mut(lane);
        book.last_seq = seq;
        book.bytes += cost(&value);
        Ok(seq)
    }

    /// Removes one entry; its value, if it was there.
    pub(super) fn take(
        &mut self,
        meta: &mut Meta,
        lane: Lane,
        seq: u64,
    ) -> Result<Option<Vec<u8>>, OutboxError> {
        let gone = self.envelopes.remove((lane_key(lane), seq)).map_err(database)?;
        let Some(value) = gone.map(|value| value.value().to_vec()) else { return Ok(None) };
        let book = meta.lanes.of_mut(lane);
        book.bytes = book.bytes.saturating_sub(cost(&value));
        if lane == Lane::Alarm {
            self.lives.removed(&value, seq)?;
        }
        Ok(Some(value))
    }

    /// Removes acknowledged entries, a bounded number at once.
    pub(super) fn remove_acked(&mut self, meta: &mut Meta) -> Result<(), OutboxError> {
        let mut removed = 0;
        for lane in Lane::ALL {
            while removed < REMOVED_AT_ONCE {
                let book = meta.lanes.of(lane);
                if book.floor >= book.acked_seq {
                    break;
                }
                let seq = book.floor + 1;
                if let Some(end) = book.gaps.end_of(seq) {
                    let end = end.min(book.acked_seq);
                    meta.lanes.of_mut(lane).raise_floor(end);
                    continue;
                }
                self.take(meta, lane, seq)?;
                let book = meta.lanes.of_mut(lane);
                book.raise_floor(seq);
                book.acked += 1;
                removed += 1;
            }
        }
        Ok(())
    }

    /// The value of an entry.
    pub(super) fn get(&self, lane: Lane, seq: u64) -> Result<Option<Vec<u8>>, OutboxError> {
        let found = self.envelopes.get((lane_key(lane), seq)).map_err(database)?;
        Ok(found.map(|value| value.value().to_vec()))
    }
}

/// What an entry counts for the budget.
pub(super) fn cost(value: &[u8]) -> u64 {
    value.len() as u64 + ENTRY_OVERHEAD
}
