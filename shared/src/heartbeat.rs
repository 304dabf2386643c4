//! `up/heartbeat`: the agent's state; the newest counts. The last will is the same topic with `online = false`.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::envelope::Lane;
use crate::limits::HEARTBEAT_S;
use crate::probe::PathState;
use crate::readout::Readout;
use crate::time::Time;

/// One heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// `false` in the last will, and in the good-bye of an agent that is stopped.
    pub online: bool,
    /// Beside `online = false`: it was stopped on purpose. A last will, which the broker sends for an
    /// agent that is gone without a word, has it not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// The agent's clock.
    pub at: Time,
    /// The agent's version.
    #[serde(default)]
    pub version: String,
    /// Seconds between two heartbeats of this agent; [`HEARTBEAT_S`] where it does not say.
    #[serde(default = "default_interval_s")]
    pub interval_s: u64,
    /// Longest wait of this agent between two attempts to connect, seconds.
    #[serde(default = "default_reconnect_s")]
    pub reconnect_s: u64,
    /// Seconds since the agent started.
    #[serde(default)]
    pub uptime_s: u64,
    /// The outbox's life.
    #[serde(default)]
    pub epoch: Option<Uuid>,
    /// The outbox, by lane.
    #[serde(default)]
    pub lanes: Vec<LaneState>,
    /// When the last acknowledgement came.
    #[serde(default)]
    pub last_ack_at: Option<Time>,
    /// The collector's store that gave it. Another one than the collector's own: it is told at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<Uuid>,
    /// Health of each source.
    #[serde(default)]
    pub sources: Vec<SourceHealth>,
    /// Sources that found no place in it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sources_left_out: u64,
    /// When the agent's certificate ends.
    #[serde(default)]
    pub certificate_expires_at: Option<Time>,
    /// Number of active alarms.
    #[serde(default)]
    pub active_alarms: u64,
    /// [`active_digest`] of them.
    #[serde(default)]
    pub active_digest: String,
    /// The paths that are proven by probes: one a source; none where probes are turned off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathState>,
    /// Paths that found no place in it. Then nothing follows from a path that is not named.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub paths_left_out: u64,
    /// The last envelope of the alarm lane that the digest takes into account; absent while the agent
    /// does not know it. Only a collector that is exactly there can compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_as_of: Option<AsOf>,
    /// What is held back at the agent: nobody is told of it.
    #[serde(default, skip_serializing_if = "Held::is_empty")]
    pub held: Held,
    /// The revision of the windows of maintenance that the centre set and the agent has
    /// ([`crate::maintenance::Set`]); empty: none. Absent: a version that cannot be told of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<String>,
    /// Site the agent stands on.
    #[serde(default)]
    pub site: Option<String>,
    /// Customer it belongs to.
    #[serde(default)]
    pub customer: Option<String>,
    /// The road it comes by: URL and proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub road: Option<String>,
    /// The connection it comes by. A last will of another one than the newest heartbeat's says nothing:
    /// the agent has gone on by another road.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Uuid>,
}

/// Windows of maintenance that a heartbeat names at most.
pub const MAX_HELD_WINDOWS: usize = 8;
/// Devices, and sites, of a window that a heartbeat names at most.
pub const MAX_HELD_NAMES: usize = 20;

/// Alarms that are held back at the agent, and why. They are in no count and no digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// For maintenance.
    #[serde(default)]
    pub maintenance: u64,
    /// For a device that is down and that they hang on.
    #[serde(default)]
    pub parent: u64,
    /// The windows of maintenance that are now, at most [`MAX_HELD_WINDOWS`].
    #[serde(default)]
    pub windows: Vec<HeldWindow>,
}

impl Held {
    /// Whether nothing is held and no window is open.
    pub fn is_empty(&self) -> bool {
        self.maintenance == 0 && self.parent == 0 && self.windows.is_empty()
    }
}

/// A window of maintenance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldWindow {
    /// Its id at the agent.
    pub id: String,
    /// Its devices, at most [`MAX_HELD_NAMES`].
    #[serde(default)]
    pub devices: Vec<String>,
    /// Its sites, likewise. Neither a device nor a site: everything.
    #[serde(default)]
    pub sites: Vec<String>,
    /// Until when.
    pub until: Time,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Who said so.
    #[serde(default)]
    pub by: String,
}

/// A place in the alarm lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOf {
    /// The outbox's life.
    pub epoch: Uuid,
    /// The sequence number in it.
    #[serde(with = "crate::envelope::decimal")]
    pub seq: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn default_interval_s() -> u64 {
    HEARTBEAT_S
}

fn default_reconnect_s() -> u64 {
    60
}

/// One lane of the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneState {
    /// Which lane.
    pub lane: Lane,
    /// Last sequence number given out.
    #[serde(with = "crate::envelope::decimal")]
    pub last_seq: u64,
    /// Last sequence number acknowledged.
    #[serde(with = "crate::envelope::decimal")]
    pub acked_seq: u64,
    /// Entries not yet acknowledged.
    pub depth: u64,
    /// Age of the oldest of them, seconds.
    pub oldest_s: u64,
    /// Envelopes acknowledged, refused ones too. The balance: `last_seq = acked + folded + evicted + depth`.
    #[serde(default)]
    pub acked: u64,
    /// Of these, refused by the collector.
    #[serde(default)]
    pub rejected: u64,
    /// Envelopes folded into later ones of the same alarm at the disk budget, declared.
    #[serde(default)]
    pub folded: u64,
    /// Envelopes given up at the disk budget, declared as lost.
    #[serde(default)]
    pub evicted: u64,
}

/// How a source is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceHealth {
    /// The source's configured name.
    pub source: String,
    /// The device it watches.
    pub device: String,
    /// `snmp`, `serial`, `logfile` or `host`.
    pub kind: String,
    /// What it is doing.
    pub state: SourceState,
    /// Why, when it is not `ok`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Since when.
    pub since: Time,
    /// The last time it read something.
    #[serde(default)]
    pub last_reading_at: Option<Time>,
    /// What the last reading was like, where the source reads a device as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readout: Option<Box<Readout>>,
}

/// State of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// Not heard anything yet.
    Starting,
    /// Reading.
    Ok,
    /// Reading, but something of it fails.
    Degraded,
    /// Nothing can be read.
    Failed,
}

/// Digest of the active alarm set: SHA-256 over the sorted `alarm_id SP severity LF`, hex. The alarm's id
/// in its usual form, the severity as its word; test alarms are among them.
pub fn active_digest<A: AsRef<str>>(active: impl Iterator<Item = (A, &'static str)>) -> String {
    let mut lines: Vec<String> =
        active.map(|(id, severity)| format!("{} {severity}\n", id.as_ref())).collect();
    lines.sort_unstable();
    let mut hash = Sha256::new();
    for line in &lines {
        hash.update(line.as_bytes());
    }
    hex(&hash.finalize())
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_knows_no_order_and_tells_ids_and_severities_apart() {
        let digest = |set: &[(&'static str, &'static str)]| active_digest(set.iter().copied());
        let both = digest(&[("a", "minor"), ("b", "major")]);
        assert_eq!(both, digest(&[("b", "major"), ("a", "minor")]));
        let others: [&[_]; 4] = [
            &[],
            &[("a", "minor")],
            &[("a", "major"), ("b", "minor")],
            &[("a", "minor"), ("c", "major")],
        ];
        for other in others {
            assert_ne!(both, digest(other), "{other:?}");
        }
    }

    #[test]
    fn an_older_agents_heartbeat_is_read() {
        let beat: Heartbeat =
            serde_json::from_str(r#"{"online":true,"at":"2026-01-31T08:00:00Z"}"#).unwrap();
        assert_eq!((beat.interval_s, beat.reconnect_s, beat.active_as_of), (30, 60, None));
        let said = AsOf { epoch: Uuid::from_u128(1), seq: u64::MAX };
        let text = serde_json::to_string(&said).unwrap();
        assert!(text.contains("\"18446744073709551615\""), "{text}");
        assert_eq!(serde_json::from_str::<AsOf>(&text).unwrap(), said);
    }
}
