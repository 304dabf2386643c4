//! How often enrolment may be tried. Pure: the caller brings the time.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

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

/// Who holds an IPv6 address holds its /64.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
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
}
