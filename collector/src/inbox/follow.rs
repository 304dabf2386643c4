//! What a transition makes of an alarm, in whatever order transitions come.
//!
//! Envelopes of one alarm may come late, twice, or ahead of a gap. So that every order ends with
//! the same alarm: a life that was cleared stays cleared (a new raise is a new life with an id of
//! its own); its words and severity are those of the newest envelope; it was raised at the earliest
//! time any of them tells. A `changed` without its raise counts as the raise. A `cleared` without
//! its raise is a life that is over: it still belongs to a case, because there was a fault.

use callhome_shared::alarm::{Alarm, Transition};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

/// An envelope's place among the others of the same alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The outbox's life.
    pub epoch: String,
    /// Its number.
    pub seq: i64,
    /// When it was made.
    pub at: Time,
}

impl Order {
    /// Numbers decide within one outbox life, the agent's clock between two.
    pub fn is_after(&self, other: &Order) -> bool {
        if self.epoch == other.epoch { self.seq > other.seq } else { self.at >= other.at }
    }
}

/// What is known of the alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whether its condition stands.
    pub active: bool,
    /// Its severity.
    pub severity: Severity,
    /// When it was raised.
    pub raised_at: Time,
    /// When it was cleared.
    pub cleared_at: Option<Time>,
    /// The newest envelope so far.
    pub order: Order,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The alarm from now on.
    pub now: Known,
    /// Whether the envelope is the newest: its words are to be shown.
    pub newest: bool,
}

/// Applies one transition.
pub fn follow(known: Option<&Known>, alarm: &Alarm, order: Order) -> Update {
    let cleared = alarm.transition == Transition::Cleared;
    let Some(before) = known else {
        let now = Known {
            active: !cleared,
            severity: alarm.severity,
            raised_at: alarm.began_at(),
            cleared_at: cleared.then_some(alarm.observed_at),
            order,
        };
        return Update { now, newest: true };
    };
    let newest = order.is_after(&before.order);
    let cleared_at = before.cleared_at.or(cleared.then_some(alarm.observed_at));
    let now = Known {
        active: cleared_at.is_none(),
        severity: if newest { alarm.severity } else { before.severity },
        raised_at: before.raised_at.min(alarm.began_at()),
        cleared_at,
        order: if newest { order } else { before.order.clone() },
    };
    Update { now, newest }
}
