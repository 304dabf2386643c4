//! Who sends to us without being asked, and how much of it is taken: a token bucket for each address.
//!
//! A storm of one sender costs that sender only. The table is bounded: at the limit the address that
//! was quiet longest makes room, and what was counted of it stays in the totals.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// How much one sender may send, and how many senders are told apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Messages a second over time.
    pub per_s: f64,
    /// Messages at once.
    pub burst: f64,
    /// Addresses in the table at most.
    pub table: usize,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is read.
    Pass,
    /// It is over its sender's limit: counted, not read.
    Dropped,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that were read.
    pub passed: u64,
    /// Messages over their sender's limit.
    pub dropped: u64,
    /// Addresses that made room for others.
    pub evicted: u64,
}

/// One sender as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// Its address.
    pub address: IpAddr,
    /// Messages that were read.
    pub passed: u64,
    /// Messages over its limit.
    pub dropped: u64,
}

/// The table. Pure: the caller says what time it is.
#[derive(Debug)]
pub struct Senders {
    limits: Limits,
    known: HashMap<IpAddr, Bucket>,
    total: Counts,
    /// Dropped since the last [`Senders::take_dropped`].
    dropped: u64,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
    passed: u64,
    dropped: u64,
}

impl Senders {
    /// Nobody has sent anything yet.
    pub fn new(limits: Limits) -> Self {
        Senders { limits, known: HashMap::new(), total: Counts::default(), dropped: 0 }
    }

    /// Takes one message of `address` into account.
    pub fn admit(&mut self, address: IpAddr, now: Instant) -> Admission {
        let address = address.to_canonical();
        let Limits { per_s, burst, table } = self.limits;
        if !self.known.contains_key(&address) && self.known.len() >= table.max(1) {
            self.make_room();
        }
        let bucket = self.known.entry(address).or_insert(Bucket {
            tokens: burst.max(1.0),
            at: now,
            passed: 0,
            dropped: 0,
        });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * per_s).min(burst.max(1.0));
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            bucket.passed += 1;
            self.total.passed += 1;
            Admission::Pass
        } else {
            bucket.dropped += 1;
            self.total.dropped += 1;
            self.dropped += 1;
            Admission::Dropped
        }
    }

    /// Whether [`Senders::admit`] would let one more message pass. Nothing is counted.
    pub fn may(&self, address: IpAddr, now: Instant) -> bool {
        self.known.get(&address.to_canonical()).is_none_or(|bucket| {
            let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
            bucket.tokens + passed * self.limits.per_s >= 1.0
        })
    }

    /// The totals since the start.
    pub fn counts(&self) -> Counts {
        self.total
    }

    /// Messages dropped since it was last asked: to be declared.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Addresses in the table.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nobody is in the table.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Those of whom most was dropped, then those that sent most.
    pub fn worst(&self, most: usize) -> Vec<Sender> {
        let mut all: Vec<Sender> = self
            .known
            .iter()
            .map(|(address, b)| Sender { address: *address, passed: b.passed, dropped: b.dropped })
            .collect();
        all.sort_by_key(|s| (std::cmp::Reverse((s.dropped, s.passed)), s.address));
        all.truncate(most);
        all
    }

    /// An eighth of the table at once, so that many strangers do not cost a search each. Whoever has
    /// used up its tokens keeps its place longest: leaving the table must not refill them.
    fn make_room(&mut self) {
        let mut all: Vec<(bool, Instant, IpAddr)> =
            self.known.iter().map(|(address, b)| (b.tokens < 1.0, b.at, *address)).collect();
        all.sort_unstable();
        let leave = (all.len() / 8).max(1);
        for (_, _, address) in all.into_iter().take(leave) {
            self.known.remove(&address);
            self.total.evicted += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    const LIMITS: Limits = Limits { per_s: 10.0, burst: 20.0, table: 100 };

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from(0x0a00_0000 + n).into()
    }

    #[test]
    fn a_storm_costs_only_its_sender() {
        let mut senders = Senders::new(LIMITS);
        let start = Instant::now();
        let mut taken = 0;
        for ms in 0..1000 {
            let now = start + Duration::from_millis(ms);
            // A thousand a second of one, one in 200 ms of another.
            taken += u32::from(senders.admit(address(1), now) == Admission::Pass);
            if ms % 200 == 0 {
                assert_eq!(senders.admit(address(2), now), Admission::Pass);
            }
        }
        assert!((29..=30).contains(&taken), "burst and one second's worth: {taken}");
        let worst = senders.worst(1)[0];
        assert_eq!((worst.address, worst.passed), (address(1), u64::from(taken)));
        assert_eq!(worst.dropped, 1000 - u64::from(taken));
        assert_eq!(senders.take_dropped(), worst.dropped);
        assert_eq!(senders.take_dropped(), 0);
        let later = start + Duration::from_secs(60);
        assert_eq!(senders.admit(address(1), later), Admission::Pass);
    }

    #[test]
    fn v4_in_v6_is_the_same_sender() {
        let mut senders = Senders::new(Limits { burst: 1.0, ..LIMITS });
        let now = Instant::now();
        assert_eq!(senders.admit("::ffff:10.0.0.1".parse().unwrap(), now), Admission::Pass);
        assert_eq!(senders.admit(address(1), now), Admission::Dropped);
        assert_eq!(senders.len(), 1);
    }

    #[test]
    fn many_strangers_fill_no_memory_and_free_no_storm() {
        let mut senders = Senders::new(LIMITS);
        let now = Instant::now();
        for _ in 0..30 {
            senders.admit(address(0), now);
        }
        for n in 1..10_000 {
            senders.admit(address(n), now + Duration::from_micros(u64::from(n)));
            assert!(senders.len() <= 100);
        }
        let soon = now + Duration::from_millis(20);
        assert_eq!(senders.admit(address(0), soon), Admission::Dropped, "it kept its place");
        assert!(senders.counts().evicted > 9_000);
    }

    proptest::proptest! {
        #[test]
        fn prop_never_more_than_burst_and_rate(gaps in proptest::collection::vec(0u64..400, 1..200)) {
            let mut senders = Senders::new(LIMITS);
            let start = Instant::now();
            let (mut at, mut passed) = (0u64, 0u64);
            for gap in gaps {
                at += gap;
                let now = start + Duration::from_millis(at);
                passed += u64::from(senders.admit(address(7), now) == Admission::Pass);
                let most = LIMITS.burst + LIMITS.per_s * at as f64 / 1000.0;
                proptest::prop_assert!(passed as f64 <= most + 1e-6);
            }
        }
    }
}
