//! Sequence numbers and the balance, by lane.

use callhome_shared::envelope::Lane;
use serde::{Deserialize, Serialize};

/// Both lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lanes {
    pub(super) alarm: LaneBook,
    pub(super) bulk: LaneBook,
}

/// One lane. The entries `floor + 1 ..= last_seq` are in the file; the balance is
/// `last_seq = acked + evicted + (last_seq - floor)`, refused ones being among the acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LaneBook {
    /// Last sequence number given out.
    pub(super) last_seq: u64,
    /// Up to here nothing is left in the file.
    pub(super) floor: u64,
    /// Last sequence number that the collector acknowledged.
    pub(super) acked_seq: u64,
    /// Bytes in the file.
    pub(super) bytes: u64,
    /// Envelopes removed because they were acknowledged.
    pub(super) acked: u64,
    /// Of these, refused ones.
    pub(super) rejected: u64,
    /// Envelopes given up at the disk budget, declared as lost.
    pub(super) evicted: u64,
}

impl Lanes {
    pub(super) fn of(&self, lane: Lane) -> &LaneBook {
        match lane {
            Lane::Alarm => &self.alarm,
            Lane::Bulk => &self.bulk,
        }
    }

    pub(super) fn of_mut(&mut self, lane: Lane) -> &mut LaneBook {
        match lane {
            Lane::Alarm => &mut self.alarm,
            Lane::Bulk => &mut self.bulk,
        }
    }

    /// Envelopes removed because they were acknowledged.
    pub(super) fn acked(&self) -> u64 {
        self.alarm.acked + self.bulk.acked
    }

    /// Acknowledged entries that are still in the file.
    pub(super) fn removable(&self) -> u64 {
        Lane::ALL
            .map(|lane| self.of(lane))
            .iter()
            .map(|b| b.acked_seq.saturating_sub(b.floor))
            .sum()
    }

    /// Bytes of both lanes.
    pub(super) fn bytes(&self) -> u64 {
        self.alarm.bytes.saturating_add(self.bulk.bytes)
    }
}

impl LaneBook {
    /// The first sequence number that is still to be acknowledged.
    pub(super) fn head(&self) -> u64 {
        self.floor.max(self.acked_seq) + 1
    }

    /// Entries that are not acknowledged.
    pub(super) fn depth(&self) -> u64 {
        (self.last_seq + 1).saturating_sub(self.head())
    }
}
