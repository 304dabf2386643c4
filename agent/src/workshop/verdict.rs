//! What a profile says of one value. Pure.

use std::sync::Arc;

use callhome_shared::severity::Severity;
use serde::Serialize;

use crate::rule::{Glance, Rule, glance};
use crate::source::Reading;

/// What a value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The profile does not know this state, or the row says nothing now.
    Unknown,
    /// Healthy.
    Ok,
    /// A fault of severity minor, warning or indeterminate.
    Warning,
    /// A fault of severity critical or major.
    Critical,
}

impl Verdict {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Unknown => "unknown",
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Critical => "critical",
        }
    }
}

impl From<Severity> for Verdict {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Critical | Severity::Major => Verdict::Critical,
            Severity::Minor | Severity::Warning | Severity::Indeterminate => Verdict::Warning,
        }
    }
}

impl From<Glance> for Verdict {
    fn from(glance: Glance) -> Self {
        match glance {
            Glance::Bad(severity) => severity.into(),
            Glance::Good => Verdict::Ok,
            Glance::Unknown => Verdict::Unknown,
        }
    }
}

/// The worst word of the rules on a reading; `None` = a plain value that no rule judges.
pub fn verdict(rules: &[Arc<Rule>], reading: &Reading) -> Option<Verdict> {
    let words = rules.iter().filter(|rule| rule.metric == *reading.metric);
    words.filter_map(|rule| glance(&rule.condition, reading)).map(Verdict::from).max()
}
