//! What alarms make of a ticket.

use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use serde_json::json;

use super::state::enter;
use super::{Entry, Priority, Standing, State};

/// A new ticket for the first alarm life of a case.
pub fn open(severity: Severity, alarm_id: &str, reason: &str) -> (Standing, Entry) {
    let priority = Priority::of(severity);
    let standing = Standing {
        state: State::Recorded,
        severity,
        priority,
        condition_cleared_at: None,
        resolved_at: None,
        closed_at: None,
        recurrences: 0,
        level: None,
        major: false,
    };
    let detail = json!({
        "alarm_id": alarm_id, "severity": severity.as_str(), "priority": priority.as_str(),
        "reason": reason,
    });
    (standing, Entry { what: "opened", detail })
}

/// A new ticket that a person records: no alarm says how bad it is.
pub fn record(priority: Priority) -> Standing {
    Standing {
        state: State::Recorded,
        severity: Severity::Indeterminate,
        priority,
        condition_cleared_at: None,
        resolved_at: None,
        closed_at: None,
        recurrences: 0,
        level: None,
        major: false,
    }
}

/// Another life of the same fault. While the condition stands, a resolved ticket is open again:
/// what was done did not hold.
pub fn recur(
    standing: &mut Standing,
    alarm_id: &str,
    active: bool,
    reason: &str,
    at: Time,
) -> Vec<Entry> {
    standing.recurrences += 1;
    let detail = json!({
        "alarm_id": alarm_id, "recurrences": standing.recurrences, "reason": reason,
    });
    let mut entries = vec![Entry { what: "recurred", detail }];
    if active && standing.state.is_settled() {
        entries.push(reopen(standing, "recurred", at));
    }
    entries
}

/// The other side says the same of a fault that stands: nothing changes, but it is known.
pub fn confirm(alarm_id: &str, reason: &str) -> Entry {
    Entry { what: "confirmed", detail: json!({ "alarm_id": alarm_id, "reason": reason }) }
}

/// The severity of one of its alarms is now this. The ticket keeps the worst. Getting worse opens
/// a ticket again that was resolved or closed while the condition stood; `may_reopen` is false
/// where a newer ticket has the fault.
pub fn worsen(
    standing: &mut Standing,
    severity: Severity,
    alarm_id: &str,
    may_reopen: bool,
    at: Time,
) -> Vec<Entry> {
    if severity <= standing.severity {
        return Vec::new();
    }
    let detail = json!({
        "alarm_id": alarm_id, "from": standing.severity.as_str(), "to": severity.as_str(),
    });
    let mut entries = vec![Entry { what: "severity", detail }];
    standing.severity = severity;
    let priority = Priority::of(severity);
    if priority < standing.priority {
        let detail = json!({
            "from": standing.priority.as_str(), "to": priority.as_str(), "reason": "severity",
        });
        entries.push(Entry { what: "priority", detail });
        standing.priority = priority;
    }
    if may_reopen && (standing.state.is_settled() || standing.state == State::Rejected) {
        entries.push(reopen(standing, "severity", at));
    }
    entries
}

/// Whether any of its alarms is active now; `at`: when that came to be so.
pub fn condition(standing: &mut Standing, active: bool, alarm_id: &str, at: Time) -> Option<Entry> {
    let detail = json!({ "alarm_id": alarm_id, "at": at.to_string() });
    match (active, standing.condition_cleared_at) {
        (false, None) => {
            standing.condition_cleared_at = Some(at);
            Some(Entry { what: "cleared", detail })
        }
        (false, Some(before)) => {
            standing.condition_cleared_at = Some(before.max(at));
            None
        }
        (true, Some(_)) => {
            standing.condition_cleared_at = None;
            Some(Entry { what: "raised-again", detail })
        }
        (true, None) => None,
    }
}

/// An alarm that was held to be cleared stands. A ticket that was resolved or closed on the strength of
/// it is open again; `may_reopen` is false where a newer ticket has the fault.
pub fn stands_again(
    standing: &mut Standing,
    reason: &str,
    may_reopen: bool,
    at: Time,
) -> Option<Entry> {
    let settled = standing.state.is_settled();
    (settled && may_reopen).then(|| reopen(standing, reason, at))
}

fn reopen(standing: &mut Standing, reason: &str, at: Time) -> Entry {
    // What a manager refused is his to decide again.
    let refused = standing.state == State::Rejected;
    let to = if refused { State::WaitingApproval } else { State::InDiagnosis };
    let detail = json!({ "from": standing.state.as_str(), "to": to.as_str(), "reason": reason });
    enter(standing, to, at);
    Entry { what: "state", detail }
}
