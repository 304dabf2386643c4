//! What was heard and not yet handed over: bounded, because a console does not wait.

use std::collections::VecDeque;

use callhome_shared::time::Time;

use crate::source::{Gap, Reading, Value};

/// Readings kept while the line is busy.
const MAX_READINGS: usize = 4096;
/// Text kept while the line is busy.
const MAX_BYTES: usize = 1 << 20;
/// Readings in one batch.
const BATCH_READINGS: usize = 256;

/// The bounded buffer. Beyond the bounds what comes new is dropped, counted and declared.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    readings: VecDeque<Reading>,
    bytes: usize,
    dropped: Option<Gap>,
    gaps: Vec<Gap>,
    /// A batch is due even if it is empty: the port was opened, or a sign of life.
    due: bool,
}

impl Outgoing {
    /// Adds a reading; `false` if it had to be dropped.
    pub(super) fn push(&mut self, reading: Reading) -> bool {
        let size = size(&reading);
        if self.readings.len() >= MAX_READINGS || self.bytes.saturating_add(size) > MAX_BYTES {
            let at = reading.observed_at;
            let gap = self.dropped.get_or_insert(Gap {
                from: at,
                to: at,
                reason: "overflow",
                count: Some(0),
            });
            gap.to = at;
            gap.count = gap.count.map(|n| n.saturating_add(1));
            return false;
        }
        self.bytes += size;
        self.readings.push_back(reading);
        true
    }

    /// Whether a small reading fits with much to spare: what can come again must not push out what cannot.
    pub(super) fn has_room(&self) -> bool {
        self.readings.len() < MAX_READINGS / 2 && self.bytes < MAX_BYTES / 2
    }

    /// Declares a deaf interval with the next batch.
    pub(super) fn declare(&mut self, gap: Gap) {
        self.gaps.push(gap);
        self.due = true;
    }

    /// Makes the next batch due, empty or not.
    pub(super) fn sign_of_life(&mut self) {
        self.due = true;
    }

    /// Whether there is anything to hand over.
    pub(super) fn is_due(&self) -> bool {
        self.due || !self.readings.is_empty() || self.dropped.is_some()
    }

    /// The next batch's readings and gaps.
    pub(super) fn take(&mut self) -> (Vec<Reading>, Vec<Gap>) {
        let count = self.readings.len().min(BATCH_READINGS);
        let readings: Vec<Reading> = self.readings.drain(..count).collect();
        self.bytes = self.bytes.saturating_sub(readings.iter().map(size).sum());
        let mut gaps = std::mem::take(&mut self.gaps);
        // In its place: behind what was kept before it.
        if self.readings.is_empty() {
            gaps.extend(self.dropped.take());
        }
        self.due = false;
        (readings, gaps)
    }

    /// Since when something heard waits here; `None` if nothing does.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.readings.front().map(|r| r.observed_at)
    }
}

fn size(reading: &Reading) -> usize {
    match &reading.value {
        Value::Line { text, .. } | Value::Text(text) => text.len() + 64,
        Value::Number(_) | Value::Probe(_) => 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn line(at: i64, len: usize) -> Reading {
        Reading {
            metric: Arc::from("line"),
            resource: String::new(),
            value: Value::Line { text: "x".repeat(len), truncated: false },
            unit: Arc::from(""),
            origin: "".into(),
            labels: Vec::new(),
            occurred_at: None,
            observed_at: Time(at),
        }
    }

    #[test]
    fn what_does_not_fit_is_counted_and_declared_behind_what_did() {
        let mut out = Outgoing::default();
        for n in 0..5000 {
            assert_eq!(out.push(line(n, 10)), n < 4096);
        }
        let mut kept = 0;
        let mut declared = Vec::new();
        while out.is_due() {
            let (readings, gaps) = out.take();
            assert!(declared.is_empty(), "nothing follows the gap");
            kept += readings.len();
            declared.extend(gaps);
        }
        assert_eq!(kept, 4096);
        let gap = Gap { from: Time(4096), to: Time(4999), reason: "overflow", count: Some(904) };
        assert_eq!(declared, [gap]);
        assert!(out.push(line(5000, 10)), "there is room again");
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut out = Outgoing::default();
        let kept = (0..1000).filter(|n| out.push(line(*n, 8192))).count();
        assert_eq!(kept, (1 << 20) / (8192 + 64));
    }
}
