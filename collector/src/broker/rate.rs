//! How fast an agent may publish. Pure.

use std::time::{Duration, Instant};

/// Publishes that pass at once, as a multiple of those per second.
const BURST_SECONDS: u32 = 2;

/// A steady rate with room for bursts: who is faster is told how long to wait.
#[derive(Debug)]
pub(crate) struct Rate {
    /// Time between two publishes at the full rate.
    interval: Duration,
    /// How far ahead of the steady rate a burst may run.
    tolerance: Duration,
    /// When the next one is due at the steady rate.
    due: Option<Instant>,
}

impl Rate {
    pub(crate) fn per_second(rate: u32) -> Self {
        let interval = Duration::from_secs(1) / rate.max(1);
        Rate { interval, tolerance: interval * rate.max(1) * BURST_SECONDS, due: None }
    }

    /// One more; how long it has to wait first.
    pub(crate) fn take(&mut self, now: Instant) -> Duration {
        let due = self.due.map_or(now, |due| due.max(now));
        self.due = Some(due + self.interval);
        due.saturating_duration_since(now).saturating_sub(self.tolerance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_steady_then_rested() {
        let mut rate = Rate::per_second(10);
        let start = Instant::now();
        let waits: Vec<Duration> = (0..22).map(|_| rate.take(start)).collect();
        assert!(waits[..21].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!(waits[21], Duration::from_millis(100));
        assert!(rate.take(start + Duration::from_secs(10)).is_zero());
    }
}
