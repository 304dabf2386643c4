//! What a rule found.

use std::sync::Arc;

use callhome_shared::alarm::{Device, Evidence, Identity, Message, RuleRef};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};

/// One rule's word on one fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The source it was read from.
    pub source: Arc<str>,
    /// The rule.
    pub rule: RuleRef,
    /// Which fault.
    pub identity: Identity,
    /// The device, as known now. Its id may differ from the identity's, which was fixed at the raise.
    pub device: Arc<Device>,
    /// When it happened by the device's clock.
    pub occurred_at: Option<Time>,
    /// When it was read.
    pub observed_at: Time,
    /// How far the device's clock is ahead of ours, seconds, where it told the time just now.
    pub clock_skew_s: Option<i64>,
    /// What shows it.
    pub evidence: Option<Evidence>,
    /// Whether the fault is there.
    pub verdict: Verdict,
}

/// Whether the fault is there.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is.
    Raise(Box<Raise>),
    /// It is gone.
    Clear {
        /// Only an alarm that this very rule raised is cleared (values that are polled); otherwise any
        /// with the identity (lines).
        own_only: bool,
    },
}

/// What the alarm says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Raise {
    /// How bad.
    pub severity: Severity,
    /// By catalogue.
    pub message: Message,
    /// The device's own words.
    pub text: String,
    /// Knowledge key.
    pub fault_code: Option<String>,
    /// What usually mends it.
    pub proposed_repair: Option<String>,
    /// What it means when it is said again.
    pub repeat: Repeat,
    /// Whether it comes and goes.
    pub flapping: bool,
    /// Whether it is a test.
    pub test: bool,
}

/// What a second raise of an active alarm means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Repeat {
    /// The fault still stands: nothing new unless the severity changed.
    Standing,
    /// It happened again: other words are worth telling.
    Event,
}
