//! Failed log-ins: how long an account or a source address has to wait. Pure: the caller brings
//! the time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::broker::places::network;

/// Failures of one account before its log-ins are delayed.
const FREE_PER_ACCOUNT: u32 = 5;
/// Failures from one address before its log-ins are delayed: several people may share it.
const FREE_PER_SOURCE: u32 = 20;
/// The first delay; it doubles with every further failure.
const FIRST_DELAY: Duration = Duration::from_secs(5);
/// The longest delay. Bounded so that nobody can lock an account for good from outside.
const LONGEST_DELAY: Duration = Duration::from_secs(300);
/// Without a failure for this long the count starts anew.
const FORGET: Duration = Duration::from_secs(900);
/// Accounts and addresses remembered; the one that failed longest ago makes room.
const REMEMBERED: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Account(String),
    Source(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
    blocked_until: Option<Instant>,
}

/// The table.
#[derive(Debug, Default)]
pub struct Attempts {
    failures: HashMap<Key, Failures>,
}

impl Attempts {
    /// Begins a log-in: refused with the time to wait, or counted as failed until
    /// [`Attempts::succeeded`] says otherwise (so that many tries at the same time count, too).
    pub fn begin(&mut self, account: &str, source: IpAddr, now: Instant) -> Result<(), Duration> {
        let keys = [Key::Account(account.to_owned()), Key::Source(network(source))];
        let wait = keys.iter().filter_map(|key| self.wait(key, now)).max();
        if let Some(wait) = wait {
            return Err(wait);
        }
        for key in keys {
            self.count(key, now);
        }
        Ok(())
    }

    /// The log-in was right: the account starts anew, and the address loses the failure that
    /// [`Attempts::begin`] counted in advance.
    pub fn succeeded(&mut self, account: &str, source: IpAddr) {
        self.failures.remove(&Key::Account(account.to_owned()));
        let source = Key::Source(network(source));
        if let Some(failures) = self.failures.get_mut(&source) {
            failures.count = failures.count.saturating_sub(1);
            if failures.count < FREE_PER_SOURCE {
                failures.blocked_until = None;
            }
            if failures.count == 0 {
                self.failures.remove(&source);
            }
        }
    }

    fn wait(&self, key: &Key, now: Instant) -> Option<Duration> {
        let until = self.failures.get(key)?.blocked_until?;
        until.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    fn count(&mut self, key: Key, now: Instant) {
        if self.failures.len() >= REMEMBERED && !self.failures.contains_key(&key) {
            self.make_room(now);
        }
        let free = match key {
            Key::Account(_) => FREE_PER_ACCOUNT,
            Key::Source(_) => FREE_PER_SOURCE,
        };
        let fresh = Failures { count: 0, last: now, blocked_until: None };
        let failures = self.failures.entry(key).or_insert(fresh);
        if now.saturating_duration_since(failures.last) > FORGET {
            *failures = fresh;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        failures.blocked_until = delay(failures.count, free).and_then(|d| now.checked_add(d));
    }

    fn make_room(&mut self, now: Instant) {
        self.failures.retain(|_, f| now.saturating_duration_since(f.last) <= FORGET);
        if self.failures.len() < REMEMBERED {
            return;
        }
        let oldest = self.failures.iter().min_by_key(|(_, f)| f.last).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            self.failures.remove(&oldest);
        }
    }
}

/// Wrong API tokens, by the address that they come from.
#[derive(Debug, Default)]
pub struct TokenTries {
    attempts: Attempts,
    /// Tokens that were right, with the address: what is wrong beside them does not lock them out.
    proven: HashMap<(IpAddr, String), Instant>,
}

impl TokenTries {
    /// How long nothing is looked at that this address shows under this id.
    pub fn wait(&self, source: IpAddr, id: &str, now: Instant) -> Option<Duration> {
        let source = network(source);
        let wait = self.attempts.wait(&Key::Source(source), now)?;
        (!self.proven.contains_key(&(source, id.to_owned()))).then_some(wait)
    }

    /// One more wrong one.
    pub fn failed(&mut self, source: IpAddr, now: Instant) {
        self.attempts.count(Key::Source(network(source)), now);
    }

    /// It was right.
    pub fn succeeded(&mut self, source: IpAddr, id: &str, now: Instant) {
        let place = (network(source), id.to_owned());
        if self.proven.len() >= REMEMBERED && !self.proven.contains_key(&place) {
            let oldest = self.proven.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(place, _)| place.clone()) {
                self.proven.remove(&oldest);
            }
        }
        self.proven.insert(place, now);
    }
}

/// The delay after the `count`-th failure, `free` of which are without one.
fn delay(count: u32, free: u32) -> Option<Duration> {
    let over = count.checked_sub(free)?;
    let factor = 2_u32.checked_pow(over).unwrap_or(u32::MAX);
    Some(FIRST_DELAY.saturating_mul(factor).min(LONGEST_DELAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn an_account_is_delayed_after_five_failures_and_longer_each_time() {
        let mut attempts = Attempts::default();
        let mut now = Instant::now();
        for _ in 0..5 {
            attempts.begin("lan", HERE, now).unwrap();
        }
        assert_eq!(attempts.begin("lan", HERE, now), Err(FIRST_DELAY));
        attempts.begin("other", HERE, now).unwrap();
        now += FIRST_DELAY;
        attempts.begin("lan", HERE, now).unwrap();
        assert_eq!(attempts.begin("lan", HERE, now), Err(FIRST_DELAY * 2));
        for _ in 0..40 {
            now += LONGEST_DELAY;
            attempts.begin("lan", HERE, now).unwrap();
            attempts.failures.remove(&Key::Source(HERE));
        }
        assert_eq!(attempts.begin("lan", HERE, now), Err(LONGEST_DELAY));
        now += FORGET + LONGEST_DELAY;
        attempts.begin("lan", HERE, now).unwrap();
        attempts.begin("lan", HERE, now).unwrap();
    }

    #[test]
    fn success_forgets_the_account_but_not_the_address() {
        let mut attempts = Attempts::default();
        let now = Instant::now();
        for n in 0..19 {
            attempts.begin(&format!("name-{n}"), HERE, now).unwrap();
        }
        attempts.begin("lan", HERE, now).unwrap();
        assert!(attempts.begin("lan", HERE, now).is_err(), "the address has failed 20 times");
        attempts.succeeded("lan", HERE);
        assert!(!attempts.failures.contains_key(&Key::Account("lan".into())));
        assert_eq!(attempts.failures[&Key::Source(HERE)].count, 19);
    }

    #[test]
    fn wrong_tokens_lock_an_address_out_but_not_a_proven_token() {
        let (mut tries, now) = (TokenTries::default(), Instant::now());
        let there = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
        tries.succeeded(HERE, "good", now);
        for _ in 0..20 {
            assert_eq!(tries.wait(HERE, "bad", now), None);
            tries.failed(HERE, now);
        }
        assert_eq!(tries.wait(HERE, "bad", now), Some(FIRST_DELAY));
        assert_eq!(tries.wait(HERE, "good", now), None);
        assert_eq!(tries.wait(there, "bad", now), None);
        assert_eq!(tries.wait(HERE, "bad", now + FIRST_DELAY), None);
        tries.failed(HERE, now + FIRST_DELAY);
        let wait = tries.wait(HERE, "bad", now + FIRST_DELAY);
        assert_eq!(wait, Some(FIRST_DELAY * 2));
        for n in 0..REMEMBERED {
            tries.succeeded(there, &n.to_string(), now + Duration::from_secs(1));
        }
        assert_eq!(tries.proven.len(), REMEMBERED);
        assert!(!tries.proven.contains_key(&(HERE, "good".to_owned())), "the oldest makes room");
    }

    #[test]
    fn remembers_a_bounded_number() {
        let mut attempts = Attempts::default();
        let now = Instant::now();
        for n in 0..u32::try_from(REMEMBERED).unwrap() + 50 {
            let source = IpAddr::V4(n.into());
            let _ = attempts.begin("lan", source, now + Duration::from_millis(n.into()));
        }
        assert!(attempts.failures.len() <= REMEMBERED + 1);
        let a: IpAddr = "2001:db8::1".parse().unwrap();
        let b: IpAddr = "2001:db8::ffff:0:0:2".parse().unwrap();
        assert_eq!(network(a), network(b));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()).to_string(), "192.0.2.1");
    }
}
