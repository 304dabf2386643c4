//! The last latencies of a path.

use std::collections::VecDeque;

/// Latencies kept of one path.
const KEPT: usize = 200;

/// A bounded ring of milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring(VecDeque<u32>);

impl Ring {
    /// Adds one; beyond the bound the oldest goes.
    pub(super) fn push(&mut self, ms: u64) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(u32::try_from(ms).unwrap_or(u32::MAX));
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// The latency that `percent` of them do not exceed (nearest rank).
    pub(super) fn percentile(&self, percent: usize) -> Option<u64> {
        let mut sorted: Vec<u32> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map(|ms| u64::from(*ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rank_of_the_newest() {
        let mut ring = Ring::default();
        assert_eq!((ring.percentile(50), ring.len()), (None, 0));
        ring.push(7);
        assert_eq!((ring.percentile(50), ring.percentile(99)), (Some(7), Some(7)));
        for ms in 1..=1000 {
            ring.push(ms);
        }
        // 801 to 1000 are left.
        assert_eq!(
            (ring.len(), ring.percentile(50), ring.percentile(99)),
            (200, Some(900), Some(998))
        );
        ring.push(u64::MAX);
        assert_eq!(ring.percentile(100), Some(u64::from(u32::MAX)));
    }
}
