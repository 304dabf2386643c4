//! How many connections there may be, in all and per source address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The places. At the limit nobody gets one.
#[derive(Debug)]
pub struct Slots {
    in_all: usize,
    per_source: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    in_all: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// One place; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    source: IpAddr,
}

impl Slots {
    /// So many places.
    pub fn new(in_all: usize, per_source: usize) -> Arc<Self> {
        Arc::new(Slots { in_all, per_source, taken: Mutex::default() })
    }

    /// A place, if there is one.
    pub fn take(self: &Arc<Self>, source: IpAddr) -> Option<Slot> {
        let source = source.to_canonical();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_source = taken.by_source.get(&source).copied().unwrap_or(0);
        if taken.in_all >= self.in_all || of_source >= self.per_source {
            return None;
        }
        taken.in_all += 1;
        taken.by_source.insert(source, of_source + 1);
        Some(Slot { slots: self.clone(), source })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.in_all = taken.in_all.saturating_sub(1);
        match taken.by_source.get_mut(&self.source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_hold_and_places_come_back() {
        let slots = Slots::new(3, 2);
        let (a, b): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let first = slots.take(a).unwrap();
        let _second = slots.take(a).unwrap();
        assert!(slots.take(a).is_none(), "two of one source");
        let third = slots.take(b).unwrap();
        assert!(slots.take(b).is_none(), "three in all");
        drop((first, third));
        let _again = (slots.take(a).unwrap(), slots.take(b).unwrap());
        assert_eq!(slots.taken.lock().unwrap().in_all, 3);
    }
}
