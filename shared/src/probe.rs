//! The proven path: the payload of a `probe` envelope, and what a heartbeat tells of each path.
//!
//! A probe is a synthetic fault that entered through a source's real reader. It travels like an alarm and
//! becomes a *shadow ticket* at the collector, whose number comes back in a receipt: the whole way is
//! proven. It is raised and over in one envelope; no active set ever holds it.

use serde::{Deserialize, Serialize};

use crate::alarm::Alarm;
use crate::limits::MAX_ID_BYTES;
use crate::time::Time;

/// Shadow tickets are numbered `P-000123`, apart from those of real faults.
pub const SHADOW_PREFIX: &str = "P-";
/// Type of the alarm inside a probe.
pub const PROBE_TYPE: &str = "callhome-probe";
/// Type of the alarm, of either side, that a path was not proven in time. Its device is the agent itself
/// (device id = agent id), its resource the source: both sides' alarms are the same fault.
pub const PATH_TYPE: &str = "path-not-proven";
/// Longest interval between two probes of a source, seconds: a week.
pub const MAX_INTERVAL_S: u64 = 7 * 24 * 3600;

/// After so many milliseconds without a proof a path counts as not proven: seven quarters of the
/// interval, so that both sides say it within two intervals, whatever moment the path was cut at.
pub fn overdue_ms(interval_s: u64) -> i64 {
    i64::try_from(interval_s.saturating_mul(1750)).unwrap_or(i64::MAX)
}

/// One probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The source it entered through, by its configured name.
    pub source: String,
    /// `snmp`, `serial`, `logfile` or `host`.
    pub source_kind: String,
    /// When it entered the reader, by the agent's clock.
    pub started_at: Time,
    /// Between two probes of this source, seconds.
    pub interval_s: u64,
    /// The synthetic fault; `test` is set.
    pub alarm: Alarm,
}

impl Probe {
    /// Checks what both sides hold to; the text says what is wrong.
    pub fn validate(&self) -> Result<(), String> {
        for (name, value) in [("source", &self.source), ("source_kind", &self.source_kind)] {
            if value.is_empty() || value.len() > MAX_ID_BYTES {
                return Err(format!("{name}: expected 1 to {MAX_ID_BYTES} bytes"));
            }
        }
        if !(1..=MAX_INTERVAL_S).contains(&self.interval_s) {
            return Err(format!(
                "interval_s: expected 1 to {MAX_INTERVAL_S}, found {}",
                self.interval_s
            ));
        }
        if self.alarm.kind != PROBE_TYPE || !self.alarm.test {
            return Err(format!("alarm: expected a test of type {PROBE_TYPE:?}"));
        }
        self.alarm.validate().map_err(|why| format!("alarm.{why}"))
    }
}

/// Where a probe got stuck, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hop {
    /// The source's reader has not handed it over: its device, port or file cannot be read.
    Reader,
    /// The rules or the alarm set did not take it.
    Rule,
    /// It could not be stored.
    Outbox,
    /// It is stored, but there is no connection to the collector.
    Link,
    /// It was sent, and the collector has not acknowledged it.
    Collector,
    /// It was acknowledged, but no receipt with a ticket came back.
    Receipt,
}

impl Hop {
    /// The word on the wire and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Hop::Reader => "reader",
            Hop::Rule => "rule",
            Hop::Outbox => "outbox",
            Hop::Link => "link",
            Hop::Collector => "collector",
            Hop::Receipt => "receipt",
        }
    }
}

/// That a path was not proven in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Where the probe is.
    pub hop: Hop,
    /// Since when it is missed.
    pub since: Time,
    /// Why, in words.
    #[serde(default)]
    pub detail: String,
}

/// One source's path from its reader to a ticket, as the agent knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathState {
    /// The source's configured name.
    pub source: String,
    /// `snmp`, `serial`, `logfile` or `host`.
    pub kind: String,
    /// Between two probes, seconds.
    pub interval_s: u64,
    /// When a receipt last came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_at: Option<Time>,
    /// The shadow ticket it named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// How long that probe was on its way from the reader to its receipt, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Median of the last probes since the agent's start, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<u64>,
    /// 99th percentile of them, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<u64>,
    /// How many probes these are of.
    #[serde(default)]
    pub samples: u64,
    /// Present while the path counts as not proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn overdue_is_within_two_intervals() {
        for interval in [1, 3, 60, 3600, MAX_INTERVAL_S] {
            let overdue = overdue_ms(interval);
            let interval = i64::try_from(interval).unwrap() * 1000;
            assert!(overdue > interval && overdue < 2 * interval, "{interval}");
        }
        assert_eq!(overdue_ms(u64::MAX), i64::MAX);
    }

    proptest! {
        #[test]
        fn no_input_panics(text in ".{0,300}", n: u64, bytes: Vec<u8>) {
            let json = serde_json::json!({
                "source": text, "source_kind": text, "started_at": text, "interval_s": n, "alarm": {},
            });
            let _ = serde_json::from_value::<Probe>(json).map(|p| p.validate());
            let _ = serde_json::from_slice::<Probe>(&bytes);
            let _ = serde_json::from_slice::<PathState>(&bytes);
        }
    }
}
