//! `up/heartbeat`: the agent's state; the newest counts. The last will is the same topic with `online = false`.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::envelope::Lane;
use crate::probe::PathState;
use crate::time::Time;

/// One heartbeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// `false` only in the last will.
    pub online: bool,
    /// The agent's clock.
    pub at: Time,
    /// The agent's version.
    #[serde(default)]
    pub version: String,
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
    /// Health of each source.
    #[serde(default)]
    pub sources: Vec<SourceHealth>,
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

/// Digest of the active alarm set: SHA-256 over the sorted `identity key NUL alarm_id NUL severity LF`, hex.
pub fn active_digest<'a>(active: impl Iterator<Item = (&'a str, Uuid, &'a str)>) -> String {
    let mut lines: Vec<String> =
        active.map(|(key, id, severity)| format!("{key}\0{id}\0{severity}\n")).collect();
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
