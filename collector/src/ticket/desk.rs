//! What people do to a ticket beside moving it along: assign, set apart, merge.

use callhome_shared::time::Time;
use serde_json::json;

use super::state::enter;
use super::{Entry, Priority, Refused, Standing, State};

/// Gives it to a person. What nobody has taken up is assigned then.
pub fn assign(
    standing: &mut Standing,
    from: Option<&str>,
    to: &str,
    at: Time,
) -> Result<Vec<Entry>, Refused> {
    if standing.state.is_over() {
        return Err(Refused::Over);
    }
    if standing.state == State::WaitingApproval {
        return Err(Refused::NotAllowed { from: standing.state, to: State::Assigned });
    }
    let mut entries = vec![Entry { what: "assigned", detail: json!({ "from": from, "to": to }) }];
    if standing.state == State::Recorded {
        let detail = json!({ "from": standing.state.as_str(), "to": State::Assigned.as_str() });
        entries.push(Entry { what: "state", detail });
        enter(standing, State::Assigned, at);
    }
    Ok(entries)
}

/// A person says how urgent it is; alarms that get worse still make it more urgent.
pub fn prioritise(standing: &mut Standing, to: Priority) -> Option<Entry> {
    let from = std::mem::replace(&mut standing.priority, to);
    let detail = json!({ "from": from.as_str(), "to": to.as_str() });
    (from != to).then_some(Entry { what: "priority", detail })
}

/// A duplicate: another ticket takes over what it is about.
pub fn merge(standing: &mut Standing, into: &str, at: Time) -> Result<Entry, Refused> {
    if standing.state.is_over() {
        return Err(Refused::Over);
    }
    let detail =
        json!({ "from": standing.state.as_str(), "to": State::Merged.as_str(), "into": into });
    enter(standing, State::Merged, at);
    Ok(Entry { what: "state", detail })
}

/// What a duplicate's faults make of the ticket that takes them over: so many alarm lives more, whether one
/// of all is active, and the worse of the severities.
pub fn absorb(standing: &mut Standing, of: &Standing, lives: i64, active: bool, at: Time) {
    standing.recurrences += lives;
    standing.severity = standing.severity.max(of.severity);
    standing.priority = standing.priority.min(of.priority);
    standing.condition_cleared_at = (!active).then(|| {
        let latest = standing.condition_cleared_at.max(of.condition_cleared_at);
        latest.unwrap_or(at)
    });
}
