//! Exponential back-off with full jitter.

use std::time::Duration;

/// Delays that double from `first` to `max`, each drawn between half of it and the whole.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    step: u32,
}

impl Backoff {
    /// A fresh sequence.
    pub fn new(first: Duration, max: Duration) -> Self {
        Backoff { first, max, step: 0 }
    }

    /// Start again from `first`, after a success.
    pub fn reset(&mut self) {
        self.step = 0;
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        let whole = self
            .first
            .saturating_mul(1_u32.checked_shl(self.step).unwrap_or(u32::MAX))
            .min(self.max);
        self.step = (self.step + 1).min(31);
        let half = whole / 2;
        half + half.mul_f64(random_unit())
    }
}

/// A random number in [0, 1); 0.5 where the system has no randomness.
fn random_unit() -> f64 {
    getrandom::u32().map_or(0.5, |n| f64::from(n) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_stays_bounded_and_restarts() {
        let mut b = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let delays: Vec<_> = (0..40).map(|_| b.next_delay()).collect();
        assert!(delays[0] >= Duration::from_millis(50) && delays[0] <= Duration::from_millis(100));
        assert!(
            delays[10..]
                .iter()
                .all(|d| *d >= Duration::from_secs(1) && *d <= Duration::from_secs(2))
        );
        b.reset();
        assert!(b.next_delay() <= Duration::from_millis(100));
    }
}
