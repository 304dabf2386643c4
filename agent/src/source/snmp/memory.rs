//! What a device's source remembers from poll to poll, and what of it outlives a restart.

use std::collections::BTreeSet;
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
    /// The rows of each metric. Metrics of one table share them.
    known: Vec<(Arc<str>, Arc<Known>)>,
    stored: Stored,
    changed: bool,
}

/// Rows that are known, in few pieces of memory: most of what a device takes would else be these.
#[derive(Debug, Default, PartialEq)]
struct Known {
    /// Their resources, one after the other.
    names: Box<str>,
    /// Where each ends, and the polls in a row that did not show it.
    rows: Box<[(u32, u32)]>,
}

impl Known {
    fn new<'a>(rows: impl Iterator<Item = (&'a str, u32)>) -> Self {
        let (mut names, mut ends) = (String::new(), Vec::new());
        for (name, missed) in rows {
            names.push_str(name);
            ends.push((u32::try_from(names.len()).unwrap_or(u32::MAX), missed));
        }
        Known { names: names.into(), rows: ends.into() }
    }

    fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        let mut start = 0;
        self.rows.iter().map(move |(end, missed)| {
            let from = std::mem::replace(&mut start, *end as usize);
            (self.names.get(from..start).unwrap_or_default(), *missed)
        })
    }
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
    pub fn gone<'a>(
        &mut self,
        metric: &Arc<str>,
        present: impl Iterator<Item = &'a str> + Clone,
    ) -> Vec<String> {
        let at = self.known.iter().position(|(name, _)| name == metric);
        let known = at.and_then(|at| self.known.get(at)).map(|(_, known)| known.clone());
        let known = known.unwrap_or_default();
        // Nearly always: the same rows as last time, in the same order.
        if known.iter().eq(present.clone().map(|resource| (resource, 0))) {
            return Vec::new();
        }
        let shown: BTreeSet<&str> = present.clone().collect();
        let misses = if shown.is_empty() { MISSES_OF_ALL } else { MISSES };
        let missing = known.iter().filter(|(resource, _)| !shown.contains(resource));
        let missing = missing.map(|(resource, missed)| (resource, missed + 1));
        let (gone, missing): (Vec<_>, Vec<_>) = missing.partition(|(_, n)| *n >= misses);
        let next = Known::new(present.map(|resource| (resource, 0)).chain(missing));
        let shared = self.known.iter().map(|(_, known)| known).find(|known| ***known == next);
        let next = shared.cloned().unwrap_or_else(|| Arc::new(next));
        match at.and_then(|at| self.known.get_mut(at)) {
            Some((_, known)) => *known = next,
            None => self.known.push((metric.clone(), next)),
        }
        gone.into_iter().map(|(resource, _)| resource.to_owned()).collect()
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
        let mut gone = |rows: &[&'static str]| memory.gone(&metric, rows.iter().copied());
        assert!(gone(&["a", "b"]).is_empty());
        assert!(gone(&["a"]).is_empty());
        assert_eq!(gone(&["a"]), ["b"]);
        assert!(gone(&["a"]).is_empty());
        for _ in 0..9 {
            assert!(gone(&[]).is_empty(), "an empty table is doubted");
        }
        assert_eq!(gone(&[]), ["a"]);

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

    proptest::proptest! {
        /// Whatever comes and goes, in whatever order: as if each row were counted in a map.
        #[test]
        fn prop_rows_are_gone_as_if_counted_in_a_map(
            polls in proptest::collection::vec(proptest::collection::btree_set(0usize..4, 0..4), 0..40),
            backwards in proptest::bool::ANY,
        ) {
            const NAMES: [&str; 4] = ["a", "ab", "b", ""];
            let (mut memory, metric): (_, Arc<str>) = (Memory::default(), "m".into());
            let mut counted = std::collections::BTreeMap::new();
            for poll in polls {
                let mut rows: Vec<&str> = poll.iter().map(|row| NAMES[*row]).collect();
                if backwards { rows.reverse(); }
                let misses = if rows.is_empty() { MISSES_OF_ALL } else { MISSES };
                counted.values_mut().for_each(|missed| *missed += 1);
                rows.iter().for_each(|row| { counted.insert(*row, 0); });
                let wanted: BTreeSet<&str> =
                    counted.iter().filter(|(_, n)| **n >= misses).map(|(row, _)| *row).collect();
                counted.retain(|_, n| *n < misses);
                let gone = memory.gone(&metric, rows.iter().copied());
                let gone: BTreeSet<&str> = gone.iter().map(String::as_str).collect();
                proptest::prop_assert_eq!(gone, wanted);
            }
        }
    }
}
