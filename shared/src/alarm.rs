//! The alarm, after RFC 8632: one life of one fault on one resource.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits::{MAX_ID_BYTES, MAX_INLINE_EVIDENCE_BYTES, MAX_TEXT_BYTES};
use crate::severity::Severity;
use crate::time::Time;

/// What happened to the alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transition {
    /// A new life begins.
    Raised,
    /// Severity or text of a living alarm changed.
    Changed,
    /// The condition is gone; the life ends.
    Cleared,
}

impl Transition {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Transition::Raised => "raised",
            Transition::Changed => "changed",
            Transition::Cleared => "cleared",
        }
    }
}

/// The device that has the fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Serial number where known, else the configured name. Part of the alarm's identity.
    pub id: String,
    /// Configured name.
    pub name: String,
    /// Serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Vendor's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Firmware or operating-system version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// Site the device stands on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Customer it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Service contract number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// Name of the device it hangs on (switch, enclosure, rack).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The part of that device that it hangs on (an interface, an outlet).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_resource: Option<String>,
}

/// A message that each side shows in the reader's language: a catalogue key with its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Catalogue key, for instance `threshold.above`.
    pub key: String,
    /// Arguments by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, String>,
}

/// Which rule said so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRef {
    /// The rule's pack: a profile's name or `config`.
    pub pack: String,
    /// The pack's version.
    pub version: String,
    /// The rule's id inside its pack.
    pub id: String,
}

/// Something that shows the fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// `log`, `console`, `snmp`, `host` or `command`.
    pub kind: String,
    /// Where it was read: a path, a port, an OID, a metric.
    pub origin: String,
    /// When it was read.
    pub at: Time,
    /// The text itself, redacted at the agent.
    pub text: String,
    /// Whether something was cut off to keep within a limit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// What makes two reports the same fault. Never the severity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// [`Device::id`].
    pub device: String,
    /// Canonical resource key, stable across index renumbering (`PSU 2`).
    pub resource: String,
    /// Alarm type, for instance `disk-failed`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Tells apart several alarms of one type on one resource; often empty.
    #[serde(default)]
    pub qualifier: String,
}

impl Identity {
    /// One text per identity: the parts joined by U+001F, which no part may hold.
    pub fn key(&self) -> String {
        [&self.device, &self.resource, &self.kind, &self.qualifier]
            .map(|part| part.replace('\u{1f}', " "))
            .join("\u{1f}")
    }
}

/// One transition of one alarm: the payload of an `alarm` envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// This raise-to-clear life.
    pub alarm_id: Uuid,
    /// What happened.
    pub transition: Transition,
    /// Present severity (the last one, when cleared).
    pub severity: Severity,
    /// Alarm type. With device, resource and qualifier it is the identity.
    #[serde(rename = "type")]
    pub kind: String,
    /// See [`Identity::qualifier`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub qualifier: String,
    /// Stable key of a knowledge article.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault_code: Option<String>,
    /// What to show, by catalogue.
    pub message: Message,
    /// The device's own words.
    #[serde(default)]
    pub text: String,
    /// The device.
    pub device: Device,
    /// See [`Identity::resource`].
    #[serde(default)]
    pub resource: String,
    /// When it happened by the device's clock, where the device says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Time>,
    /// When the agent saw it, by the agent's clock.
    pub observed_at: Time,
    /// When this life began, by the agent's clock: in `changed` and `cleared`, so that one of them alone
    /// tells the whole life. Absent in `raised`, where it is `observed_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised_at: Option<Time>,
    /// In `cleared`: why it is over, where the condition did not go. [`crate::clear_all::CONFIGURATION`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Device's clock minus the agent's, seconds, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew_s: Option<i64>,
    /// The rule.
    pub rule: RuleRef,
    /// What usually mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed_repair: Option<String>,
    /// What shows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Whether it comes and goes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flapping: bool,
    /// Whether it is a test (`callhome-agent test`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
}

impl Alarm {
    /// The fault's identity.
    pub fn identity(&self) -> Identity {
        Identity {
            device: self.device.id.clone(),
            resource: self.resource.clone(),
            kind: self.kind.clone(),
            qualifier: self.qualifier.clone(),
        }
    }

    /// When this life began; never after `observed_at`.
    pub fn began_at(&self) -> Time {
        self.raised_at.unwrap_or(self.observed_at).min(self.observed_at)
    }

    /// Checks the sizes that both sides hold to; the text says which part is over.
    pub fn validate(&self) -> Result<(), String> {
        let ids = [
            ("device.id", self.device.id.as_str()),
            ("device.name", self.device.name.as_str()),
            ("type", self.kind.as_str()),
            ("qualifier", self.qualifier.as_str()),
            ("message.key", self.message.key.as_str()),
        ];
        for (name, value) in ids {
            if value.len() > MAX_ID_BYTES {
                return Err(format!("{name} is longer than {MAX_ID_BYTES} bytes"));
            }
        }
        for (name, value) in [("device.id", &self.device.id), ("type", &self.kind)] {
            if value.is_empty() {
                return Err(format!("{name} is empty"));
            }
        }
        for (name, value) in [("text", &self.text), ("resource", &self.resource)] {
            if value.len() > MAX_TEXT_BYTES {
                return Err(format!("{name} is longer than {MAX_TEXT_BYTES} bytes"));
            }
        }
        let evidence: usize = self.evidence.iter().map(|e| e.text.len()).sum();
        if evidence > MAX_INLINE_EVIDENCE_BYTES {
            return Err(format!("evidence is larger than {MAX_INLINE_EVIDENCE_BYTES} bytes"));
        }
        Ok(())
    }
}
