//! What `status` and `test` answer. Written by the running agent, read by the command line.

use std::collections::BTreeMap;

use callhome_shared::envelope::Lane;
use callhome_shared::heartbeat::SourceHealth;
use callhome_shared::id::AgentId;
use callhome_shared::probe::PathState;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::reload::Picture;
use crate::bundle;
use crate::enrol::trust::TrustReport;
use crate::hold::{Hold, Shown};
use crate::ledger;
use crate::link::LinkReport;
use crate::redact::RuleCount;
use crate::source::listener::Listener;

/// `GET /status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusReport {
    /// Who we are.
    pub agent: AgentReport,
    /// The connection to the collector.
    pub link: LinkReport,
    /// What waits for it.
    pub outbox: OutboxReport,
    /// Where readings become alarms.
    pub line: LineReport,
    /// Each source.
    pub sources: Vec<SourceHealth>,
    /// What those that listen heard, and from whom, by source.
    #[serde(default)]
    pub listeners: BTreeMap<String, Listener>,
    /// The record of what left.
    #[serde(default)]
    pub ledger: ledger::Status,
    /// What was taken out of texts since the start, by rule.
    #[serde(default)]
    pub redactions: Vec<RuleCount>,
    /// Each source's path to a ticket; none where probes are turned off.
    #[serde(default)]
    pub paths: Vec<PathState>,
    /// Evidence bundles.
    #[serde(default)]
    pub bundles: bundle::Report,
    /// When the configuration was read, and whether a newer one was refused.
    #[serde(default)]
    pub configuration: Picture,
    /// Windows of maintenance, those that are now first.
    #[serde(default)]
    pub maintenance: Vec<Shown>,
    /// Alarms that are held back, the newest first, at most [`MAX_ALARMS`].
    #[serde(default)]
    pub held: Vec<HeldAlarm>,
    /// Active alarms, the newest first, at most [`MAX_ALARMS`].
    pub alarms: Vec<ActiveAlarm>,
}

/// Alarms that a status report lists.
pub const MAX_ALARMS: usize = 100;

/// The agent itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentReport {
    /// Its id.
    pub id: AgentId,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started_at: Time,
    /// When its certificate ends.
    pub certificate_expires_at: Time,
    /// The certificate's life and renewal.
    pub trust: TrustReport,
    /// Resident memory, bytes.
    pub resident_bytes: u64,
    /// Processor time used, milliseconds.
    pub cpu_ms: u64,
}

/// The outbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutboxReport {
    /// Its life.
    pub epoch: Uuid,
    /// Since when.
    pub created_at: Time,
    /// Bytes stored.
    pub stored_bytes: u64,
    /// The limit for them.
    pub budget_bytes: u64,
    /// Transactions since the start.
    pub commits: u64,
    /// Transactions that failed.
    pub commit_errors: u64,
    /// Transactions put off because the budget is used up.
    pub refused_full: u64,
    /// Files set aside because they were damaged.
    pub set_aside: u64,
    /// How often the collector had another store than before: it was restored or replaced, and what it
    /// had committed since its backup is lost there. Everything active was sent again.
    #[serde(default)]
    pub store_changes: u64,
    /// When that was noticed last.
    #[serde(default)]
    pub store_changed_at: Option<Time>,
    /// Envelopes taken over from them.
    #[serde(default)]
    pub salvaged: u64,
    /// Older damaged files that were removed.
    #[serde(default)]
    pub aside_removed: u64,
    /// The balance of each lane: `last_seq = acked + folded + evicted + depth`.
    pub lanes: Vec<LaneReport>,
}

/// One lane of the outbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LaneReport {
    /// Which.
    pub lane: Lane,
    /// Envelopes of this life.
    pub last_seq: u64,
    /// Acknowledged by the collector.
    pub acked: u64,
    /// Of these, refused by it.
    pub rejected: u64,
    /// Given up at the budget, declared as lost.
    pub evicted: u64,
    /// Folded into later ones of the same alarm at the budget, declared.
    #[serde(default)]
    pub folded: u64,
    /// Waiting.
    pub depth: u64,
    /// Since when the oldest of them waits.
    #[serde(default)]
    pub oldest_at: Option<Time>,
}

/// The line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LineReport {
    /// Number of active alarms.
    pub active_alarms: u64,
    /// Since when nothing can be stored.
    #[serde(default)]
    pub blocked_since: Option<Time>,
    /// Why.
    #[serde(default)]
    pub blocked_by: Option<String>,
    /// Batches stored since the start.
    pub batches: u64,
    /// Readings stored.
    pub readings: u64,
    /// Alarms raised.
    pub raised: u64,
    /// Alarms changed.
    pub changed: u64,
    /// Alarms cleared.
    pub cleared: u64,
    /// Losses declared.
    pub losses: u64,
    /// Times the whole active set was sent.
    #[serde(default)]
    pub resyncs: u64,
    /// Times it was said of a device, or of the agent, that no alarm stands any more.
    #[serde(default)]
    pub clear_alls: u64,
    /// Times it was told what a device is and is made of.
    #[serde(default)]
    pub inventories: u64,
    /// Alarms held back for maintenance now.
    #[serde(default)]
    pub held_maintenance: u64,
    /// Alarms held back for a device that is down now.
    #[serde(default)]
    pub held_parent: u64,
    /// Alarms held back since the start: `held = held_ended + released + still held`.
    #[serde(default)]
    pub held: u64,
    /// Of these, those that ended before they were told.
    #[serde(default)]
    pub held_ended: u64,
    /// Of these, those that were told when the reason was gone.
    #[serde(default)]
    pub released: u64,
    /// Raises refused because the active set is full, and readings not judged because the rule state is.
    pub refused: u64,
}

/// One alarm that is held back: nobody was told of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldAlarm {
    /// The alarm.
    #[serde(flatten)]
    pub alarm: ActiveAlarm,
    /// For what.
    pub hold: Hold,
}

/// One active alarm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActiveAlarm {
    /// This life.
    pub alarm_id: Uuid,
    /// Present severity.
    pub severity: Severity,
    /// The device's name.
    pub device: String,
    /// What has the fault.
    pub resource: String,
    /// Alarm type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The device's words.
    pub text: String,
    /// When it was last changed.
    pub observed_at: Time,
    /// Its ticket, once the collector has said so.
    #[serde(default)]
    pub ticket: Option<String>,
}

/// `POST /test`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestReport {
    /// The ticket's number.
    pub ticket: String,
    /// The test alarm.
    pub alarm_id: Uuid,
    /// From raising to the receipt, milliseconds.
    pub took_ms: u64,
    /// When the collector committed it.
    pub committed_at: Time,
}

/// `POST /probe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// The source.
    pub source: String,
    /// The shadow ticket's number; `None`: not proven in time.
    #[serde(default)]
    pub ticket: Option<String>,
    /// From the reader to the receipt, milliseconds.
    #[serde(default)]
    pub took_ms: Option<u64>,
    /// Where the probe is, where it is not back.
    #[serde(default)]
    pub stuck: Option<String>,
}

/// Any refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Why.
    pub error: String,
}
