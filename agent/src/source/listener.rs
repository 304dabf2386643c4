//! How a listener is doing: what it counted, who sends most, and what it did not understand.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};

use super::senders::Sender;

/// Senders that are shown.
pub const SENDERS: usize = 10;
/// Messages that nobody understood, one of each name and device; the oldest makes room.
const RECENT: usize = 32;
/// Refusals that are shown, one of each reason and sender.
const REFUSED: usize = 16;
/// Text that is kept of one.
const MAX_TEXT: usize = 1024;

/// What is told of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Messages by what became of them.
    pub counts: BTreeMap<String, u64>,
    /// Those of whom most was dropped, then those that sent most.
    pub senders: Vec<Sender>,
    /// What nobody understood, the newest first.
    pub recent: Vec<Recent>,
    /// What was refused, the newest last.
    pub refusals: VecDeque<Refused>,
}

/// A message that nobody understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// The device.
    pub device: String,
    /// Its nearest name.
    pub name: String,
    /// All of it, in one line.
    pub text: String,
    /// How often it came.
    pub count: u64,
    /// When it came last.
    pub at: Time,
}

/// A sender whose messages are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// A stable word.
    pub why: String,
    /// The sender.
    pub address: IpAddr,
    /// In words.
    pub detail: String,
    /// How often.
    pub count: u64,
}

impl Listener {
    /// One more.
    pub fn count(&mut self, what: &str) {
        match self.counts.get_mut(what) {
            Some(count) => *count += 1,
            None => self.set(what, 1),
        }
    }

    /// As many as that; nothing is said of none.
    pub fn set(&mut self, what: &str, count: u64) {
        if count > 0 {
            self.counts.insert(what.to_owned(), count);
        }
    }

    /// A message of this sender is refused.
    pub fn refused(&mut self, why: &str, address: IpAddr, detail: &str) {
        let address = address.to_canonical();
        let known = self.refusals.iter().position(|r| r.why == why && r.address == address);
        let before = known.and_then(|at| self.refusals.remove(at)).map_or(0, |r| r.count);
        if self.refusals.len() >= REFUSED {
            self.refusals.pop_front();
        }
        let (why, detail, count) = (why.to_owned(), detail.chars().take(200).collect(), before + 1);
        self.refusals.push_back(Refused { why, address, detail, count });
    }
}

/// The newest messages that nobody understood.
#[derive(Debug, Default)]
pub struct Recents(VecDeque<Recent>);

impl Recents {
    /// One more.
    pub fn add(&mut self, device: &str, name: &str, text: &str, at: Time) {
        let known = self.0.iter().position(|r| r.device == device && r.name == name);
        let before = known.and_then(|place| self.0.remove(place)).map_or(0, |r| r.count);
        if self.0.len() >= RECENT {
            self.0.pop_front();
        }
        let mut text = text.to_owned();
        callhome_shared::limits::cut(&mut text, MAX_TEXT);
        let (device, name, count) = (device.to_owned(), name.to_owned(), before + 1);
        self.0.push_back(Recent { device, name, text, count, at });
    }

    /// The newest first.
    pub fn newest(&self) -> Vec<Recent> {
        self.0.iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_counted_and_the_oldest_makes_room() {
        let mut recents = Recents::default();
        for n in 0..100 {
            recents.add("switch", &format!("cisco.0.{n}"), "text", Time(n));
            recents.add("switch", "apc.0.1", "text", Time(n));
        }
        let newest = recents.newest();
        assert_eq!((newest.len(), newest[0].count, newest[0].at), (RECENT, 100, Time(99)));
        assert_eq!(newest[1].name, "cisco.0.99");
        let mut listener = Listener::default();
        for n in 0..100u8 {
            listener.refused("unknown-sender", [10, 0, 0, n].into(), "no device");
            listener.refused("unknown-sender", [10, 0, 0, 200].into(), "no device");
        }
        assert_eq!(listener.refusals.len(), REFUSED);
        assert_eq!(listener.refusals.back().map(|r| r.count), Some(100));
    }
}
