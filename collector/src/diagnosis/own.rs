//! The shape of an alarm that the collector raises by itself. Pure.

use callhome_shared::alarm::{Alarm, Device, Message, RuleRef, Transition};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use uuid::Uuid;

/// What the collector has found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Alarm type.
    pub kind: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub device: Device,
    /// Which part of it.
    pub resource: String,
    /// The catalogue's key with its arguments.
    pub message: Message,
    /// The same in plain English.
    pub text: String,
    /// Since when.
    pub since: Option<Time>,
    /// What usually mends it.
    pub repair: Option<String>,
}

/// The alarm that says so, as of `now`.
pub fn alarm(finding: Finding, alarm_id: Uuid, now: Time) -> Alarm {
    Alarm {
        alarm_id,
        transition: Transition::Raised,
        severity: finding.severity,
        kind: finding.kind.to_owned(),
        qualifier: String::new(),
        fault_code: None,
        message: finding.message,
        text: finding.text,
        device: finding.device,
        resource: finding.resource,
        occurred_at: finding.since,
        observed_at: now,
        raised_at: None,
        reason: None,
        clock_skew_s: None,
        rule: RuleRef {
            pack: "collector".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            id: finding.kind.to_owned(),
        },
        proposed_repair: finding.repair,
        evidence: Vec::new(),
        flapping: false,
        test: false,
    }
}

/// `2026-01-31 08:00:00 UTC`.
pub fn seconds(at: Time) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((whole, _)) => format!("{} UTC", whole.replace('T', " ")),
        None => text,
    }
}
