//! Perceived severity (ITU-T X.733, RFC 8632), without `cleared`, which is a transition here.

use serde::{Deserialize, Serialize};

/// How bad a fault is. Ordered: `Critical` is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The severity could not be told.
    Indeterminate,
    /// A potential fault, before anything is affected.
    Warning,
    /// A fault that affects no service yet.
    Minor,
    /// A fault that affects service and must be mended soon.
    Major,
    /// A fault that affects service and must be mended at once.
    Critical,
}

impl Severity {
    /// All severities, the worst first.
    pub const ALL: [Severity; 5] = [
        Severity::Critical,
        Severity::Major,
        Severity::Minor,
        Severity::Warning,
        Severity::Indeterminate,
    ];

    /// The name on the wire and in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Indeterminate => "indeterminate",
            Severity::Warning => "warning",
            Severity::Minor => "minor",
            Severity::Major => "major",
            Severity::Critical => "critical",
        }
    }

    /// Reads [`Severity::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Severity::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
