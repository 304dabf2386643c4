//! Tickets: the state machine and what a case's alarms make of them. Pure.
//!
//! People move a ticket along [`MOVES`] ([`step`]); alarms change it through [`recur`], [`worsen`]
//! and [`condition`]. Whatever changes a ticket answers the timeline's entries for it. No alarm
//! ever resolves or closes a ticket: that the condition went away is only noted.

mod alarms;
mod desk;
mod state;

pub use alarms::{condition, confirm, open, record, recur, stands_again, worsen};
pub use desk::{absorb, assign, merge, prioritise};
pub use state::{
    Category, Class, Closing, Level, MOVES, Move, Refused, State, Wish, allowed, step,
};

use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

/// Longest comment, bytes.
pub const MAX_COMMENT_BYTES: usize = 16 * 1024;

/// How urgent it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// At once.
    P1,
    /// Severe.
    P2,
    /// Ordinary.
    P3,
    /// When there is time.
    P4,
}

impl Priority {
    /// What a severity asks for.
    pub fn of(severity: Severity) -> Self {
        match severity {
            Severity::Critical => Priority::P1,
            Severity::Major => Priority::P2,
            Severity::Minor => Priority::P3,
            Severity::Warning | Severity::Indeterminate => Priority::P4,
        }
    }

    /// The name in rows and on the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::P1 => "p1",
            Priority::P2 => "p2",
            Priority::P3 => "p3",
            Priority::P4 => "p4",
        }
    }

    /// Reads [`Priority::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        [Priority::P1, Priority::P2, Priority::P3, Priority::P4]
            .into_iter()
            .find(|p| p.as_str() == text)
    }
}

/// What the state machine and the alarms change of a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Where it is on its way.
    pub state: State,
    /// Worst severity of its alarms so far; never lowered.
    pub severity: Severity,
    /// How urgent it is.
    pub priority: Priority,
    /// Since when none of its alarms is active.
    pub condition_cleared_at: Option<Time>,
    /// When it was resolved, while it is.
    pub resolved_at: Option<Time>,
    /// When it was closed, while it is.
    pub closed_at: Option<Time>,
    /// Alarm lives after the first.
    pub recurrences: i64,
    /// Escalated to; it only climbs, until the ticket is opened again.
    pub level: Option<Level>,
    /// A major incident.
    pub major: bool,
}

/// An entry of the timeline: a stable word and more about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `opened`, `recurred`, `severity`, `priority`, `cleared`, `raised-again`, `state`, `assigned` or `comment`.
    pub what: &'static str,
    /// JSON object.
    pub detail: serde_json::Value,
}

#[cfg(test)]
mod tests;
