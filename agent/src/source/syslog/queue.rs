//! What was read and not yet handed over, by device: bounded, because senders do not wait. Pure.
//!
//! Devices take turns. Where there is no more room, the one that has most waiting loses its newest.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use callhome_shared::alarm::Device;
use callhome_shared::time::Time;

use crate::source::{Reading, Value};

/// Readings kept while the line is busy.
const MAX_READINGS: usize = 8192;
/// Text kept while the line is busy.
const MAX_BYTES: usize = 4 << 20;
/// Readings in one batch.
const BATCH_READINGS: usize = 256;

/// The bounded queues.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<String, Waiting>,
    readings: usize,
    bytes: usize,
    /// The device that was served last.
    served: String,
}

#[derive(Debug)]
struct Waiting {
    device: Arc<Device>,
    readings: VecDeque<Reading>,
    bytes: usize,
}

impl Queue {
    /// Adds a reading. Returns when one was read that had to be dropped for it: itself, or the newest
    /// of the device that has most.
    pub(super) fn push(&mut self, device: &Arc<Device>, reading: Reading) -> Option<Time> {
        let size = size(&reading);
        let mut dropped = None;
        if self.readings >= MAX_READINGS || self.bytes.saturating_add(size) > MAX_BYTES {
            let most = self.waiting.iter().max_by_key(|(_, w)| w.bytes);
            let Some((most, bytes)) = most.map(|(name, w)| (name.clone(), w.bytes)) else {
                return Some(reading.observed_at);
            };
            let own = self.waiting.get(&device.name).map_or(0, |w| w.bytes);
            if own.saturating_add(size) > bytes {
                return Some(reading.observed_at);
            }
            dropped = self.drop_newest(&most);
        }
        let waiting = self.waiting.entry(device.name.clone()).or_insert_with(|| Waiting {
            device: device.clone(),
            readings: VecDeque::new(),
            bytes: 0,
        });
        waiting.bytes += size;
        waiting.readings.push_back(reading);
        self.readings += 1;
        self.bytes += size;
        dropped
    }

    fn drop_newest(&mut self, name: &str) -> Option<Time> {
        let waiting = self.waiting.get_mut(name)?;
        let reading = waiting.readings.pop_back()?;
        let size = size(&reading);
        waiting.bytes -= size;
        self.bytes -= size;
        self.readings -= 1;
        Some(reading.observed_at)
    }

    /// Whether one who can wait should: what cannot must find room.
    pub(super) fn is_half_full(&self) -> bool {
        self.readings >= MAX_READINGS / 2 || self.bytes >= MAX_BYTES / 2
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.readings == 0
    }

    /// The next device's readings. `known` says as what a device is known now; `None` there: it is not
    /// decided, and its readings wait, those read before `patience` no longer.
    pub(super) fn take(
        &mut self,
        known: impl Fn(&Arc<Device>) -> Option<Arc<Device>>,
        patience: Time,
    ) -> Option<(Arc<Device>, Vec<Reading>)> {
        let (name, device) = self.next(known, patience)?;
        let waiting = self.waiting.get_mut(&name)?;
        let count = waiting.readings.len().min(BATCH_READINGS);
        let readings: Vec<Reading> = waiting.readings.drain(..count).collect();
        let bytes: usize = readings.iter().map(size).sum();
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
        if waiting.readings.is_empty() {
            self.waiting.remove(&name);
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        self.readings -= readings.len();
        self.served = name;
        Some((device, readings))
    }

    /// Whether [`Queue::take`] would hand out something.
    pub(super) fn has_ready(
        &self,
        known: impl Fn(&Arc<Device>) -> Option<Arc<Device>>,
        patience: Time,
    ) -> bool {
        self.next(known, patience).is_some()
    }

    /// Whose turn it is, and as what it is known.
    fn next(
        &self,
        known: impl Fn(&Arc<Device>) -> Option<Arc<Device>>,
        patience: Time,
    ) -> Option<(String, Arc<Device>)> {
        let ready = |(name, waiting): (&String, &Waiting)| {
            let oldest = waiting.readings.front()?.observed_at;
            let late = || (oldest <= patience).then(|| waiting.device.clone());
            Some((name.clone(), known(&waiting.device).or_else(late)?))
        };
        let behind = (Bound::Excluded(&self.served), Bound::Unbounded);
        let mut all = self.waiting.range::<String, _>(behind).chain(self.waiting.iter());
        all.find_map(ready)
    }

    /// Since when something waits here; `None` if nothing does.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.waiting.values().filter_map(|w| Some(w.readings.front()?.observed_at)).min()
    }
}

fn size(reading: &Reading) -> usize {
    let labels: usize = reading.labels.iter().map(|(_, value)| value.len() + 32).sum();
    match &reading.value {
        Value::Line { text, .. } | Value::Text(text) => text.len() + labels + 64,
        Value::Number(_) | Value::Probe(_) => labels + 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn device(name: &str) -> Arc<Device> {
        Arc::new(Device { name: name.to_owned(), id: name.to_owned(), ..Device::default() })
    }

    fn line(at: i64, len: usize) -> Reading {
        Reading {
            metric: "line".into(),
            resource: String::new(),
            value: Value::Line { text: "x".repeat(len), truncated: false },
            unit: "".into(),
            origin: "".into(),
            labels: Vec::new(),
            occurred_at: None,
            observed_at: Time(at),
        }
    }

    fn all_known(device: &Arc<Device>) -> Option<Arc<Device>> {
        Some(device.clone())
    }

    #[test]
    fn a_storm_of_one_device_pushes_out_itself() {
        let (storm, quiet) = (device("storm"), device("quiet"));
        let mut queue = Queue::default();
        let lost = (0..10_000).filter(|n| queue.push(&storm, line(*n, 10)).is_some()).count();
        assert_eq!(lost, 10_000 - MAX_READINGS);
        assert_eq!(queue.push(&quiet, line(7, 10)), Some(Time(8191)), "the storm's newest goes");
        let (first, readings) = queue.take(all_known, Time(0)).unwrap();
        assert_eq!((first.name.as_str(), readings.len()), ("quiet", 1), "in turn");
        assert_eq!(queue.oldest(), Some(Time(0)));
        let mut rest = 0;
        while let Some((_, readings)) = queue.take(all_known, Time(0)) {
            rest += readings.len();
        }
        assert_eq!((rest, queue.is_empty(), queue.bytes), (MAX_READINGS - 1, true, 0));
    }

    #[test]
    fn a_device_that_is_not_known_yet_waits_and_not_for_ever() {
        let (new, old) = (device("a-new"), device("b-old"));
        let mut queue = Queue::default();
        queue.push(&new, line(100, 1));
        queue.push(&old, line(200, 1));
        let known = |d: &Arc<Device>| (d.name == "b-old").then(|| device("SN1"));
        assert_eq!(queue.take(known, Time(99)).unwrap().0.id, "SN1");
        assert!(queue.take(known, Time(99)).is_none());
        assert_eq!(queue.oldest(), Some(Time(100)), "it is not heard yet");
        assert_eq!(queue.take(known, Time(100)).unwrap().0.id, "a-new", "as configured, then");
    }

    proptest! {
        #[test]
        fn prop_every_reading_is_handed_over_or_told(
            steps in proptest::collection::vec((0u8..5, 1usize..40_000, any::<bool>()), 0..400))
        {
            let mut queue = Queue::default();
            let (mut pushed, mut dropped, mut taken) = (0, 0, 0);
            for (n, (who, len, take)) in steps.into_iter().enumerate() {
                pushed += 1;
                let reading = line(i64::try_from(n).unwrap(), len);
                dropped += usize::from(queue.push(&device(&who.to_string()), reading).is_some());
                prop_assert!(queue.readings <= MAX_READINGS);
                prop_assert!(queue.bytes <= MAX_BYTES + 40_100);
                if take && let Some((_, readings)) = queue.take(all_known, Time(0)) {
                    taken += readings.len();
                }
            }
            while let Some((_, readings)) = queue.take(all_known, Time(0)) {
                taken += readings.len();
            }
            prop_assert_eq!(pushed, dropped + taken);
            prop_assert_eq!((queue.readings, queue.bytes), (0, 0));
        }
    }
}
