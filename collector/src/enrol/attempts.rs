//! How often enrolment may be tried. Pure: the caller brings the time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::broker::places::network;

/// Tries from one source address within a [`WINDOW`]: a site behind one address may enrol a few
/// agents at a time.
const PER_SOURCE: u32 = 10;
/// Tries in all within a [`WINDOW`].
const IN_ALL: u32 = 120;
/// The window.
const WINDOW: Duration = Duration::from_secs(60);

/// The table. Bounded: it forgets with each window, which lets at most [`IN_ALL`] entries in.
#[derive(Debug, Default)]
pub struct Attempts {
    since: Option<Instant>,
    all: u32,
    by_source: HashMap<IpAddr, u32>,
}

impl Attempts {
    /// One more try; refused with the time to wait.
    pub fn take(&mut self, source: IpAddr, now: Instant) -> Result<(), Duration> {
        let begun = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(begun);
        if passed >= WINDOW {
            *self = Attempts { since: Some(now), ..Attempts::default() };
        }
        let here = self.by_source.get(&network(source)).copied().unwrap_or(0);
        if self.all >= IN_ALL || here >= PER_SOURCE {
            return Err(WINDOW.saturating_sub(passed));
        }
        self.all += 1;
        self.by_source.insert(network(source), here + 1);
        Ok(())
    }
}

/// Refusals that are recorded one by one within an [`HOUR`].
const RECORDED: u32 = 100;
const HOUR: Duration = Duration::from_secs(3600);

/// How many refusals are recorded: the table they go into only grows.
#[derive(Debug, Default)]
pub struct Budget {
    since: Option<Instant>,
    used: u32,
    beyond: u64,
}

impl Budget {
    /// Whether one more may be recorded; then with the number of those before it that were not.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        let begun = *self.since.get_or_insert(now);
        if now.saturating_duration_since(begun) >= HOUR {
            *self = Budget { since: Some(now), used: 0, beyond: self.beyond };
        }
        if self.used >= RECORDED {
            self.beyond += 1;
            return None;
        }
        self.used += 1;
        Some(std::mem::take(&mut self.beyond))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_source_and_in_all() {
        let mut attempts = Attempts::default();
        let start = Instant::now();
        let source = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from(n));
        for _ in 0..PER_SOURCE {
            assert!(attempts.take(source(1), start).is_ok());
        }
        let wait = attempts.take(source(1), start + Duration::from_secs(20)).unwrap_err();
        assert_eq!(wait, Duration::from_secs(40));
        for n in 2..2 + IN_ALL - PER_SOURCE {
            assert!(attempts.take(source(n), start).is_ok(), "{n}");
        }
        assert!(attempts.take(source(1000), start).is_err());
        assert!(attempts.take(source(1), start + WINDOW).is_ok());
    }

    #[test]
    fn a_flood_of_refusals_becomes_a_number() {
        let mut budget = Budget::default();
        let start = Instant::now();
        assert!((0..RECORDED).all(|_| budget.take(start) == Some(0)));
        assert!((0..7).all(|_| budget.take(start).is_none()));
        assert_eq!(budget.take(start + HOUR), Some(7));
        assert_eq!(budget.take(start + HOUR), Some(0));
    }
}
