//! How fast the API may be asked: per user and per source address. Pure: the caller brings the time.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::broker::Rate;
use crate::broker::places::network;

/// So many seconds' worth of requests may come at once.
pub const BURST_S: u32 = 10;
/// Sources, and users, that are remembered.
const REMEMBERED: usize = 4096;

/// Requests a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Of one user, all his sessions together.
    pub per_user: u32,
    /// From one source address (IPv6: one /64), all users behind it together.
    pub per_source: u32,
}

impl Default for RequestLimits {
    fn default() -> Self {
        RequestLimits { per_user: 50, per_source: 400 }
    }
}

/// How a limit stands for one who asks: what the `RateLimit` fields say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which limit: `user` or `source`.
    pub limit: &'static str,
    /// Requests that may come at once when nothing came before.
    pub quota: u32,
    /// Requests that may come now.
    pub remaining: u32,
    /// Seconds until all of them may.
    pub reset_s: u64,
}

/// One request too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFast {
    /// How the limit stands.
    pub standing: Standing,
    /// Seconds until the next request may come, at least 1.
    pub wait_s: u64,
    /// The first of a row of refusals: worth a line in the log.
    pub first: bool,
}

/// Who has asked how fast.
#[derive(Debug)]
pub struct Paces {
    sources: Table<IpAddr>,
    users: Table<String>,
}

impl Paces {
    /// Nobody has asked yet.
    pub fn new(limits: RequestLimits) -> Self {
        Paces {
            sources: Table::new("source", limits.per_source),
            users: Table::new("user", limits.per_user),
        }
    }

    /// One more request from there.
    pub fn from_source(&mut self, source: IpAddr, now: Instant) -> Result<Standing, TooFast> {
        self.sources.take(network(source), now)
    }

    /// One more request of that user.
    pub fn of_user(&mut self, name: &str, now: Instant) -> Result<Standing, TooFast> {
        self.users.take(name.to_owned(), now)
    }
}

#[derive(Debug)]
struct Pace {
    rate: Rate,
    /// The refusals since the last request that was let through were told of.
    told: bool,
}

#[derive(Debug)]
struct Table<K> {
    limit: &'static str,
    per_second: u32,
    paces: HashMap<K, Pace>,
}

impl<K: Eq + Hash> Table<K> {
    fn new(limit: &'static str, per_second: u32) -> Self {
        Table { limit, per_second, paces: HashMap::new() }
    }

    fn take(&mut self, key: K, now: Instant) -> Result<Standing, TooFast> {
        if self.paces.len() >= REMEMBERED && !self.paces.contains_key(&key) {
            self.make_room(now);
        }
        let quota = self.per_second.saturating_mul(BURST_S);
        let fresh = || Pace { rate: Rate::new(self.per_second, quota - 1), told: false };
        let pace = self.paces.entry(key).or_insert_with(fresh);
        let taken = pace.rate.try_take_many(1, now, Duration::ZERO);
        let standing = Standing {
            limit: self.limit,
            quota,
            remaining: pace.rate.left(now),
            reset_s: seconds(pace.rate.rested_in(now)),
        };
        match taken {
            Ok(_) => {
                pace.told = false;
                Ok(standing)
            }
            Err(wait) => {
                let first = !std::mem::replace(&mut pace.told, true);
                Err(TooFast { standing, wait_s: seconds(wait).max(1), first })
            }
        }
    }

    /// Those who have rested are forgotten. If too many are left, all are: whoever comes from more
    /// places than are remembered is held by the limits of connections.
    fn make_room(&mut self, now: Instant) {
        self.paces.retain(|_, pace| !pace.rate.is_rested(now));
        if self.paces.len() > REMEMBERED / 4 * 3 {
            self.paces.clear();
        }
    }
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn ten_seconds_worth_at_once_then_steadily() {
        let mut paces = Paces::new(RequestLimits { per_user: 5, per_source: 1000 });
        let start = Instant::now();
        let first = paces.of_user("li", start).unwrap();
        assert_eq!(first, Standing { limit: "user", quota: 50, remaining: 49, reset_s: 1 });
        let more = (0..100).filter(|_| paces.of_user("li", start).is_ok()).count();
        assert_eq!(more, 49);
        let refused = paces.of_user("li", start).unwrap_err();
        assert_eq!((refused.wait_s, refused.standing.remaining, refused.first), (1, 0, false));
        assert_eq!(refused.standing.reset_s, 10);
        assert!(paces.of_user("wang", start).is_ok(), "nobody else is held");
        let later = start + Duration::from_secs(1);
        let steady = (0..100).filter(|_| paces.of_user("li", later).is_ok()).count();
        assert_eq!(steady, 5);
        assert!(!paces.of_user("li", later).unwrap_err().first);
        let rested = paces.of_user("li", start + Duration::from_secs(60)).unwrap();
        assert_eq!(rested.remaining, 49);
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_the_first_refusal_is_told() {
        let mut paces = Paces::new(RequestLimits { per_user: 1, per_source: 1 });
        let now = Instant::now();
        for n in 0..10 {
            let address = format!("2001:db8::{n}").parse().unwrap();
            assert!(paces.from_source(address, now).is_ok(), "{n}");
        }
        let next = "2001:db8::ffff:0:1".parse().unwrap();
        assert!(paces.from_source(next, now).unwrap_err().first);
        assert!(!paces.from_source(next, now).unwrap_err().first);
        assert!(paces.from_source(HERE, now).is_ok());
    }

    #[test]
    fn the_table_stays_small() {
        let mut paces = Paces::new(RequestLimits::default());
        let now = Instant::now();
        for n in 0..20_000_u32 {
            let _ = paces.from_source(IpAddr::V4(n.into()), now);
        }
        assert!(paces.sources.paces.len() <= REMEMBERED);
    }

    proptest! {
        #[test]
        fn prop_no_more_than_the_burst_and_the_rate(
            rate in 1_u32..200, steps in prop::collection::vec(0_u64..500, 1..400),
        ) {
            let mut paces = Paces::new(RequestLimits { per_user: rate, per_source: 1 });
            let start = Instant::now();
            let (mut now, mut taken) = (start, 0_u64);
            for step in steps {
                now += Duration::from_millis(step);
                match paces.of_user("li", now) {
                    Ok(standing) => {
                        taken += 1;
                        prop_assert!(standing.remaining < standing.quota);
                    }
                    Err(refused) => prop_assert_eq!(refused.standing.remaining, 0),
                }
            }
            let most = u64::from(rate) * (10 + (now - start).as_secs() + 1);
            prop_assert!(taken <= most, "{} of {}", taken, most);
        }
    }
}
