//! Which road is taken next. Pure but for the back-off's jitter.

use std::time::Duration;

use callhome_shared::backoff::Backoff;

/// The roads' standing. Roads are numbered from 0, the preferred first.
#[derive(Debug)]
pub struct Roads {
    tries: u32,
    current: usize,
    /// Failures in a row on the present road.
    failures: u32,
    /// One series of delays a road: who comes round again waits where he left off.
    backoffs: Vec<Backoff>,
    /// Whether a road failed since it last held.
    failed: Vec<bool>,
}

impl Roads {
    /// `count` roads (at least one); the next one after `tries` failures in a row.
    pub fn new(count: usize, tries: u32, (first, max): (Duration, Duration)) -> Self {
        let count = count.max(1);
        Roads {
            tries: tries.max(1),
            current: 0,
            failures: 0,
            backoffs: vec![Backoff::new(first, max); count],
            failed: vec![false; count],
        }
    }

    /// The road to take.
    pub fn current(&self) -> usize {
        self.current
    }

    /// The present road failed; `steady`: after it had held for a while. Answers how long to wait
    /// before the next attempt, which may be on another road.
    pub fn failed(&mut self, steady: bool) -> Duration {
        if steady {
            self.held();
        }
        let mine = self.delay();
        if let Some(failed) = self.failed.get_mut(self.current) {
            *failed = true;
        }
        self.failures += 1;
        if self.failures < self.tries || self.backoffs.len() == 1 {
            return mine;
        }
        self.failures = 0;
        self.current = (self.current + 1) % self.backoffs.len();
        // A road that has not failed is not waited for.
        if self.failed.get(self.current) == Some(&true) { self.delay() } else { Duration::ZERO }
    }

    /// Road `index` has taken over from the present one, which stands well.
    pub fn moved_to(&mut self, index: usize) {
        self.held();
        self.current = index.min(self.backoffs.len() - 1);
        self.held();
    }

    fn held(&mut self) {
        self.failures = 0;
        if let Some(backoff) = self.backoffs.get_mut(self.current) {
            backoff.reset();
        }
        if let Some(failed) = self.failed.get_mut(self.current) {
            *failed = false;
        }
    }

    fn delay(&mut self) -> Duration {
        self.backoffs.get_mut(self.current).map_or(Duration::ZERO, Backoff::next_delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(4));

    #[test]
    fn after_some_failures_the_next_one_and_back_again() {
        let mut roads = Roads::new(3, 2, BACKOFF);
        let mut taken = Vec::new();
        let mut delays = Vec::new();
        for _ in 0..8 {
            taken.push(roads.current());
            delays.push(roads.failed(false));
        }
        assert_eq!(taken, [0, 0, 1, 1, 2, 2, 0, 0]);
        // A fresh road at once; a known one waits, and longer than the first time.
        assert!(delays[1].is_zero() && delays[3].is_zero(), "{delays:?}");
        assert!(delays[5] >= Duration::from_millis(200), "{delays:?}");
        assert!(delays[0] >= Duration::from_millis(50));
        roads.moved_to(0);
        assert_eq!(roads.current(), 0);
        assert!(roads.failed(true) <= Duration::from_millis(100));
        assert_eq!(roads.current(), 0, "one failure after a good time is no reason to go");
    }

    #[test]
    fn a_single_road_is_kept() {
        let mut roads = Roads::new(1, 1, BACKOFF);
        let delays: Vec<Duration> = (0..10).map(|_| roads.failed(false)).collect();
        assert_eq!(roads.current(), 0);
        assert!(delays[9] >= Duration::from_secs(2), "{delays:?}");
    }

    proptest! {
        #[test]
        fn prop_every_road_gets_its_turn_and_none_is_hammered(
            count in 1usize..6, tries in 1u32..5, steady in prop::collection::vec(any::<bool>(), 40)
        ) {
            let mut roads = Roads::new(count, tries, BACKOFF);
            let mut seen = vec![0; count];
            let mut waited = Duration::ZERO;
            let rounds = 40 * count;
            for _ in 0..rounds {
                seen[roads.current()] += 1;
                waited += roads.failed(false);
            }
            prop_assert!(seen.iter().all(|n| *n > 0));
            // In the end every attempt waits about the longest delay.
            prop_assert!(waited > Duration::from_secs(rounds as u64 / 2), "{waited:?}");
            for steady in steady {
                prop_assert!(roads.failed(steady) <= BACKOFF.1);
                prop_assert!(roads.current() < count);
            }
        }
    }
}
