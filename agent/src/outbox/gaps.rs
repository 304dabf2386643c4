//! Numbers of a lane that are not in the file any more although later ones are: folded ones.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A set of numbers, kept as ranges. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Gaps {
    /// First → last, never touching each other.
    ranges: Arc<BTreeMap<u64, u64>>,
    total: u64,
}

impl Gaps {
    /// How many numbers.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// How many of them are below `seq`.
    pub(super) fn below(&self, seq: u64) -> u64 {
        self.ranges.range(..seq).map(|(first, last)| (*last).min(seq - 1) - first + 1).sum()
    }

    /// The last number of the range that `seq` is in.
    pub(super) fn end_of(&self, seq: u64) -> Option<u64> {
        let (_, last) = self.ranges.range(..=seq).next_back()?;
        (*last >= seq).then_some(*last)
    }

    /// Adds a number that is not in it.
    pub(super) fn insert(&mut self, seq: u64) {
        if self.end_of(seq).is_some() {
            return;
        }
        self.total += 1;
        let ranges = Arc::make_mut(&mut self.ranges);
        let last = ranges.remove(&(seq + 1)).unwrap_or(seq);
        match ranges.range_mut(..seq).next_back() {
            Some((_, before)) if *before + 1 == seq => *before = last,
            _ => {
                ranges.insert(seq, last);
            }
        }
    }

    /// Forgets numbers up to and with `floor`.
    pub(super) fn forget(&mut self, floor: u64) {
        if self.ranges.first_key_value().is_none_or(|(first, _)| *first > floor) {
            return;
        }
        let ranges = Arc::make_mut(&mut self.ranges);
        while let Some(entry) = ranges.first_entry().filter(|e| *e.key() <= floor) {
            let (first, last) = entry.remove_entry();
            self.total -= last.min(floor) - first + 1;
            if last > floor {
                ranges.insert(floor + 1, last);
            }
        }
    }

    /// The ranges, ascending.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().map(|(first, last)| (*first, *last))
    }

    /// How many ranges.
    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn prop_it_is_a_set_of_numbers(steps in prop::collection::vec((0u8..5, 1u64..60), 0..120)) {
            let (mut gaps, mut model) = (Gaps::default(), BTreeSet::new());
            for (what, seq) in steps {
                if what == 0 {
                    gaps.forget(seq);
                    model.retain(|n| *n > seq);
                } else {
                    gaps.insert(seq);
                    model.insert(seq);
                }
                prop_assert_eq!(gaps.total(), model.len() as u64);
                prop_assert_eq!(gaps.below(seq), model.range(..seq).count() as u64);
                prop_assert_eq!(gaps.end_of(seq).is_some(), model.contains(&seq));
                let all: Vec<u64> = gaps.ranges().flat_map(|(first, last)| first..=last).collect();
                prop_assert_eq!(all, Vec::from_iter(model.iter().copied()));
                let touching = gaps.ranges().zip(gaps.ranges().skip(1)).any(|(a, b)| a.1 + 1 >= b.0);
                prop_assert!(!touching);
            }
        }
    }
}
