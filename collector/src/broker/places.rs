//! How many connections a listener may have, and how fast they may come: in all, and from one
//! source address. Used by every listener of ours.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::rate::Rate;

/// Sources that are remembered for the sake of their pace, beside those that hold connections.
const REMEMBERED: usize = 4096;
/// Connections that a rested source may open at once, as a multiple of those per second: a site's
/// agents all come back when the collector has been restarted.
const BURST: u32 = 10;

/// What a listener keeps within.
#[derive(Clone, Copy, Debug)]
pub struct PlaceLimits {
    /// Connections at the same time. Unfinished handshakes count.
    pub in_all: usize,
    /// Of them, from one source address (IPv6: one /64).
    pub per_source: usize,
    /// New connections per second from one source address; ten times as many may come at once.
    pub pace_per_source: u32,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// All are taken.
    InAll,
    /// The source has all it may have.
    Source,
    /// The source comes too often.
    Pace,
}

impl NoPlace {
    /// As a label of the counter.
    pub fn as_str(self) -> &'static str {
        match self {
            NoPlace::InAll => "in-all",
            NoPlace::Source => "source",
            NoPlace::Pace => "pace",
        }
    }
}

/// Counts connections.
#[derive(Debug)]
pub struct Places {
    limits: PlaceLimits,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_source: HashMap<IpAddr, Source>,
}

#[derive(Debug)]
struct Source {
    held: usize,
    pace: Rate,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    source: IpAddr,
}

impl Places {
    /// Within `limits`.
    pub fn new(limits: PlaceLimits) -> Arc<Self> {
        Arc::new(Places { limits, taken: Mutex::default() })
    }

    /// A place, if there is one.
    pub fn take(self: &Arc<Self>, source: IpAddr, now: Instant) -> Result<Place, NoPlace> {
        let source = network(source);
        let mut taken = self.lock();
        if taken.all >= self.limits.in_all {
            return Err(NoPlace::InAll);
        }
        if !taken.by_source.contains_key(&source) {
            taken.forget(now);
        }
        let pace = self.limits.pace_per_source;
        let here = taken.by_source.entry(source).or_insert_with(|| Source {
            held: 0,
            pace: Rate::new(pace, pace.saturating_mul(BURST)),
        });
        if here.held >= self.limits.per_source {
            return Err(NoPlace::Source);
        }
        if !here.pace.try_take(now) {
            return Err(NoPlace::Pace);
        }
        here.held += 1;
        taken.all += 1;
        Ok(Place { places: self.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Keeps the table small: who holds nothing and has rested goes; in an attack from very many
    /// addresses, everybody who holds nothing.
    fn forget(&mut self, now: Instant) {
        if self.by_source.len() < REMEMBERED {
            return;
        }
        self.by_source.retain(|_, s| s.held > 0 || !s.pace.is_rested(now));
        if self.by_source.len() >= REMEMBERED {
            self.by_source.retain(|_, s| s.held > 0);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(here) = taken.by_source.get_mut(&self.source) {
            here.held = here.held.saturating_sub(1);
        }
    }
}

/// Who holds an IPv6 address holds its /64.
pub fn network(source: IpAddr) -> IpAddr {
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
    use std::time::Duration;

    use super::*;

    fn places(in_all: usize, per_source: usize, pace_per_source: u32) -> Arc<Places> {
        Places::new(PlaceLimits { in_all, per_source, pace_per_source })
    }

    #[test]
    fn limits_in_all_and_per_source() {
        let (places, now) = (places(40, 10, 1000), Instant::now());
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let mut held: Vec<_> = (0..10).map(|_| places.take(one, now).unwrap()).collect();
        assert_eq!(places.take(one, now).unwrap_err(), NoPlace::Source);
        for n in 0..30 {
            let source = format!("2001:db8:0:{n}::{n}").parse().unwrap();
            held.push(places.take(source, now).unwrap());
        }
        let other = "198.51.100.1".parse().unwrap();
        assert_eq!(places.take(other, now).unwrap_err(), NoPlace::InAll);
        held.remove(0);
        assert!(places.take(one, now).is_ok());
        drop(held);
        assert_eq!(places.lock().all, 0);
    }

    #[test]
    fn who_comes_too_often_is_refused_and_nobody_else() {
        let (places, now) = (places(100, 100, 2), Instant::now());
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let taken = (0..100).filter(|_| places.take(one, now).is_ok()).count();
        assert_eq!(taken, 21, "ten seconds' worth at once");
        assert_eq!(places.take(one, now).unwrap_err(), NoPlace::Pace);
        assert!(places.take("192.0.2.2".parse().unwrap(), now).is_ok());
        assert!(places.take(one, now + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn the_table_stays_small() {
        let (places, now) = (places(10, 10, 1), Instant::now());
        for n in 0..20_000_u32 {
            let source = IpAddr::V4(std::net::Ipv4Addr::from(n));
            drop(places.take(source, now).unwrap());
        }
        assert!(places.lock().by_source.len() <= REMEMBERED);
    }
}
