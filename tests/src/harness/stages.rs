//! Where a process is on a fault's way: read from the TRACE marks it prints.

use std::collections::BTreeMap;

/// Stages of the agent, in the order of the way.
pub const AGENT: [&str; 8] = [
    "source.read",
    "line.decided",
    "outbox.writing",
    "outbox.committed",
    "link.publishing",
    "link.puback",
    "link.ack",
    "outbox.acked",
];

/// Stages of the collector. The first one's name depends on the broker.
pub fn collector(external: bool) -> [&'static str; 4] {
    let first = if external { "link.received" } else { "broker.received" };
    [first, "flow.decided", "flow.committed", "flow.acked"]
}

/// Stages of the end of a bundle's upload at the collector: it is read again, it has its final name,
/// it is on its ticket.
pub const BUNDLE: [&str; 3] = ["bundle.verifying", "bundle.verified", "bundle.committed"];

/// Reads the stage out of a log line (text form: `… stage: at="outbox.committed" …`).
pub fn in_line(line: &str) -> Option<&'static str> {
    let after = line.split("stage:").nth(1)?;
    let name = after.split("at=\"").nth(1)?.split('"').next()?;
    AGENT
        .iter()
        .chain(&BUNDLE)
        .chain(&[
            "broker.received",
            "link.received",
            "flow.decided",
            "flow.committed",
            "flow.acked",
        ])
        .find(|s| **s == name)
        .copied()
}

/// How often each stage was the last one a process reached before it was killed.
#[derive(Debug, Default, Clone)]
pub struct Tally(pub BTreeMap<&'static str, usize>);

impl Tally {
    /// Counts one kill.
    pub fn add(&mut self, stage: &'static str) {
        *self.0.entry(stage).or_default() += 1;
    }

    /// All kills.
    pub fn total(&self) -> usize {
        self.0.values().sum()
    }

    /// Those of `wanted` that were not hit.
    pub fn missing(&self, wanted: &[&'static str]) -> Vec<&'static str> {
        wanted.iter().filter(|s| !self.0.contains_key(**s)).copied().collect()
    }

    /// The one of `wanted` that was hit least.
    pub fn rarest(&self, wanted: &[&'static str]) -> &'static str {
        wanted.iter().min_by_key(|s| self.0.get(**s).copied().unwrap_or(0)).copied().unwrap_or("")
    }
}
