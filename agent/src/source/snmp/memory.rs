//! What a device's source remembers from poll to poll, and what of it outlives a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::source::Position;

/// Resources that were seen healthy: at most this many are remembered (about 45 KiB stored).
const MAX_SEEN: usize = 4000;
/// Polls that a row must be missing before it counts as gone.
const MISSES: u32 = 2;
/// The same where the whole table is empty: more likely the agent on the device restarts.
const MISSES_OF_ALL: u32 = 10;

/// What is remembered.
#[derive(Debug, Default)]
pub struct Memory {
    /// Metric → resource → polls in a row that did not show it.
    known: BTreeMap<Arc<str>, BTreeMap<String, u32>>,
    stored: Stored,
    changed: bool,
}

/// What outlives a restart, as the source's position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    /// The device's id in alarms, once decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The serial number that was read when it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    /// Hashes of (metric, resource) seen healthy.
    #[serde(default)]
    seen: BTreeSet<u32>,
}

impl Memory {
    /// What the last run left; one that cannot be read counts as none.
    pub fn restore(position: Option<&Position>) -> Self {
        let stored = position.and_then(|p| serde_json::from_slice(&p.0).ok()).unwrap_or_default();
        Memory { stored, ..Memory::default() }
    }

    /// To be stored, if it changed since the last call.
    pub fn position(&mut self) -> Option<Position> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        serde_json::to_vec(&self.stored).ok().map(Position)
    }

    /// The device's id and the serial number read at the time, once decided.
    pub fn identity(&self) -> Option<(&str, Option<&str>)> {
        Some((self.stored.id.as_deref()?, self.stored.serial.as_deref()))
    }

    /// Decides on the device's id.
    pub fn identify(&mut self, id: &str, serial: Option<&str>) {
        let id = Some(id.to_owned());
        let serial = serial.map(str::to_owned);
        if (&self.stored.id, &self.stored.serial) != (&id, &serial) {
            self.stored.id = id;
            self.stored.serial = serial;
            self.changed = true;
        }
    }

    /// A resource is seen healthy.
    pub fn see(&mut self, metric: &str, resource: &str) {
        if self.stored.seen.len() < MAX_SEEN && self.stored.seen.insert(hash(metric, resource)) {
            self.changed = true;
        }
    }

    /// Whether it was, in this run or an earlier one. Beyond the limit everything counts as seen:
    /// a false alarm is better than a missed one.
    pub fn has_seen(&self, metric: &str, resource: &str) -> bool {
        self.stored.seen.len() >= MAX_SEEN || self.stored.seen.contains(&hash(metric, resource))
    }

    /// Takes note of the rows that are there; gives those that are gone for good.
    pub fn gone(&mut self, metric: &Arc<str>, present: Vec<String>) -> Vec<String> {
        let misses = if present.is_empty() { MISSES_OF_ALL } else { MISSES };
        let known = self.known.entry(metric.clone()).or_default();
        for count in known.values_mut() {
            *count += 1;
        }
        for resource in present {
            known.insert(resource, 0);
        }
        let gone: Vec<String> =
            known.iter().filter(|(_, n)| **n >= misses).map(|(r, _)| r.clone()).collect();
        for resource in &gone {
            known.remove(resource);
        }
        gone
    }
}

/// The same in every version of the program? Not promised: after an update a port may have to be
/// seen up once more.
fn hash(metric: &str, resource: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    (metric, resource).hash(&mut hasher);
    (hasher.finish() >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_gone_after_two_polls_and_the_rest_outlives_a_restart() {
        let mut memory = Memory::default();
        let metric: Arc<str> = "m".into();
        let both = || vec!["a".to_owned(), "b".to_owned()];
        assert!(memory.gone(&metric, both()).is_empty());
        assert!(memory.gone(&metric, vec!["a".to_owned()]).is_empty());
        assert_eq!(memory.gone(&metric, vec!["a".to_owned()]), ["b"]);
        assert!(memory.gone(&metric, vec!["a".to_owned()]).is_empty());
        for _ in 0..9 {
            assert!(memory.gone(&metric, Vec::new()).is_empty(), "an empty table is doubted");
        }
        assert_eq!(memory.gone(&metric, Vec::new()), ["a"]);

        assert_eq!(memory.position(), None);
        memory.see("m", "a");
        memory.identify("SN1", Some("SN1"));
        let position = memory.position().unwrap();
        assert_eq!(memory.position(), None);
        let again = Memory::restore(Some(&position));
        assert!(again.has_seen("m", "a") && !again.has_seen("m", "b"));
        assert_eq!(again.identity(), Some(("SN1", Some("SN1"))));
        assert_eq!(Memory::restore(Some(&Position(vec![1, 2]))).identity(), None);
    }
}
