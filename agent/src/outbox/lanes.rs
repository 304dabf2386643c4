//! Sequence numbers and the balance, by lane.

use callhome_shared::envelope::Lane;
use serde::{Deserialize, Serialize};

use super::gaps::Gaps;

/// Both lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lanes {
    pub(super) alarm: LaneBook,
    pub(super) bulk: LaneBook,
}

/// One lane. The entries `floor + 1 ..= last_seq` without the gaps are in the file; the balance is
/// `last_seq = acked + folded + evicted + (last_seq - floor - gaps)`, refused ones being among the
/// acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Envelopes folded into later ones at the disk budget, declared.
    #[serde(default)]
    pub(super) folded: u64,
    /// Numbers of the declarations of folded ones that are not acknowledged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) declared: Vec<u64>,
    /// Folded numbers above the floor. Not stored: they are the numbers whose entries are missing.
    #[serde(skip)]
    pub(super) gaps: Gaps,
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

    /// Acknowledged entries that are still in the file, and gaps among them.
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
        let numbers = (self.last_seq + 1).saturating_sub(self.head());
        numbers.saturating_sub(self.gaps.total() - self.gaps.below(self.head()))
    }

    /// Acknowledged envelopes, those that are still in the file too.
    pub(super) fn acked_in_all(&self) -> u64 {
        let there = self.head() - 1 - self.floor;
        self.acked + there.saturating_sub(self.gaps.below(self.head()))
    }

    /// Entries in the file.
    pub(super) fn entries(&self) -> u64 {
        self.last_seq.saturating_sub(self.floor).saturating_sub(self.gaps.total())
    }

    /// Nothing up to `seq` is in the file any more.
    pub(super) fn raise_floor(&mut self, seq: u64) {
        self.floor = seq;
        self.gaps.forget(seq);
        self.declared.retain(|declared| *declared > seq);
    }
}
