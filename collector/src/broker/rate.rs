//! How fast somebody may be. Pure: the caller brings the time.

use std::time::{Duration, Instant};

/// A steady rate with room for bursts: who is faster is told how long to wait.
#[derive(Debug)]
pub struct Rate {
    /// Time between two at the full rate.
    interval: Duration,
    /// How far ahead of the steady rate a burst may run.
    tolerance: Duration,
    /// When the next one is due at the steady rate.
    due: Option<Instant>,
}

impl Rate {
    /// So many a second; twice as many may come at once.
    pub fn per_second(rate: u32) -> Self {
        Rate::new(rate, rate.saturating_mul(2))
    }

    /// So many a second; `burst` may come at once.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Rate { interval, tolerance: interval.saturating_mul(burst), due: None }
    }

    /// One more; how long it has to wait first.
    pub fn take(&mut self, now: Instant) -> Duration {
        self.take_many(1, now)
    }

    /// So many more; how long they have to wait first.
    pub fn take_many(&mut self, count: u32, now: Instant) -> Duration {
        let due = self.due.map_or(now, |due| due.max(now));
        self.due = Some(due + self.interval.saturating_mul(count));
        due.saturating_duration_since(now).saturating_sub(self.tolerance)
    }

    /// So many more, if they need not wait longer than `longest`; how long they have to wait first. The
    /// error is how long they would. What is refused does not count.
    pub fn try_take_many(
        &mut self,
        count: u32,
        now: Instant,
        longest: Duration,
    ) -> Result<Duration, Duration> {
        let due = self.due.map_or(now, |due| due.max(now));
        let wait = due.saturating_duration_since(now).saturating_sub(self.tolerance);
        if wait > longest {
            return Err(wait);
        }
        self.due = Some(due + self.interval.saturating_mul(count));
        Ok(wait)
    }

    /// One more, if it need not wait. What is refused does not count.
    pub fn try_take(&mut self, now: Instant) -> bool {
        let due = self.due.map_or(now, |due| due.max(now));
        let fits = due.saturating_duration_since(now) <= self.tolerance;
        if fits {
            self.due = Some(due + self.interval);
        }
        fits
    }

    /// So many may come now without waiting.
    pub fn left(&self, now: Instant) -> u32 {
        let ahead = self.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now));
        match self.tolerance.checked_sub(ahead) {
            None => 0,
            Some(room) => {
                let more = room.as_nanos() / self.interval.as_nanos().max(1);
                u32::try_from(more).unwrap_or(u32::MAX).saturating_add(1)
            }
        }
    }

    /// How long until nothing is left of what was taken.
    pub fn rested_in(&self, now: Instant) -> Duration {
        self.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now))
    }

    /// Whether nothing is left of what was taken: a new one would say the same.
    pub fn is_rested(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
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
        assert!(!rate.is_rested(start));
        assert!(rate.take(start + Duration::from_secs(10)).is_zero());
    }

    #[test]
    fn refused_ones_do_not_count() {
        let mut rate = Rate::new(1, 3);
        let start = Instant::now();
        let taken = (0..100).filter(|_| rate.try_take(start)).count();
        assert_eq!(taken, 4);
        assert!(rate.try_take(start + Duration::from_secs(1)));
        assert!(!rate.try_take(start + Duration::from_secs(1)));
        assert_eq!(rate.left(start + Duration::from_secs(1)), 0);
        assert_eq!(rate.left(start + Duration::from_secs(3)), 2);
        assert_eq!(rate.rested_in(start + Duration::from_secs(3)), Duration::from_secs(2));
        assert!(rate.is_rested(start + Duration::from_secs(10)));
    }

    #[test]
    fn many_at_once_wait_for_their_size() {
        let mut bytes = Rate::new(1000, 2000);
        let start = Instant::now();
        assert!(bytes.take_many(2000, start).is_zero());
        assert!(bytes.take_many(1000, start).is_zero());
        assert_eq!(bytes.take_many(1, start), Duration::from_secs(1));
    }
}
