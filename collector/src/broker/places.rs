//! How many connections there may be: in all, and from one source address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts connections. Unfinished handshakes count too.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    max_per_source: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    source: IpAddr,
}

impl Places {
    /// `max` in all; one source gets a quarter of them: many agents may stand behind one address,
    /// but none may fill the house.
    pub(super) fn new(max: usize) -> Arc<Self> {
        let max_per_source = (max / 4).max(8);
        Arc::new(Places { max, max_per_source, taken: Mutex::default() })
    }

    /// A place, if there is one.
    pub(super) fn take(self: &Arc<Self>, source: IpAddr) -> Option<Place> {
        let source = network(source);
        let mut taken = self.lock();
        if taken.all >= self.max {
            return None;
        }
        let here = taken.by_source.entry(source).or_default();
        if *here >= self.max_per_source {
            return None;
        }
        *here += 1;
        taken.all += 1;
        Some(Place { places: self.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(here) = taken.by_source.get_mut(&self.source) {
            *here -= 1;
            if *here == 0 {
                taken.by_source.remove(&self.source);
            }
        }
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
    fn limits_in_all_and_per_source() {
        let places = Places::new(40);
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let mut held: Vec<_> = (0..10).map(|_| places.take(one).unwrap()).collect();
        assert!(places.take(one).is_none());
        for n in 0..30 {
            let source = format!("2001:db8:0:{n}::{n}").parse().unwrap();
            held.push(places.take(source).unwrap());
        }
        assert!(places.take("198.51.100.1".parse().unwrap()).is_none());
        held.remove(0);
        assert!(places.take(one).is_some());
        drop(held);
        assert!(places.lock().by_source.is_empty() && places.lock().all == 0);
    }
}
