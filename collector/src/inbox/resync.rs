//! An agent's whole active set against what is known, and when it is asked for. Pure.
//!
//! A snapshot is the agent's word on everything before it: what it does not name is over, what it names
//! stands, whatever was known. What came after it stays as it is.

use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use super::{Known, Order};

/// What a snapshot makes of one of its alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is as known, or what is known is newer.
    Keep,
    /// It is not known: raised.
    Raise,
    /// It was held to be cleared: it stands.
    Again,
    /// Its severity is another one.
    Severity,
}

/// Looks at an alarm that a snapshot names. `present`: the snapshot comes from the outbox life that the
/// agent's newest heartbeat names; then everything of another life is older, whatever clocks say.
pub fn against(known: Option<&Known>, severity: Severity, snapshot: &Order, present: bool) -> Step {
    match known {
        None => Step::Raise,
        Some(known) if !is_older(known, snapshot, present) => Step::Keep,
        Some(known) if !known.active => Step::Again,
        Some(known) if known.severity != severity => Step::Severity,
        Some(_) => Step::Keep,
    }
}

/// Whether an alarm that a snapshot does not name is over.
pub fn is_gone(known: &Known, snapshot: &Order, present: bool) -> bool {
    known.active && is_older(known, snapshot, present)
}

fn is_older(known: &Known, snapshot: &Order, present: bool) -> bool {
    let other_life = known.order.epoch != snapshot.epoch;
    (present && other_life) || snapshot.is_after(&known.order)
}

/// A request that is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// When it was said last.
    pub at: Time,
    /// How often.
    pub times: i64,
}

/// What follows from a comparison of the digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing.
    Nothing,
    /// The sets are equal: nothing need be asked any more.
    Settled,
    /// The agent is to be asked.
    Ask,
    /// It is to be asked again.
    Repeat,
}

/// First wait before a request is said again: most likely it did not arrive.
const REPEAT_MS: i64 = 20_000;
const REPEAT_MAX_MS: i64 = 3_600_000;
/// First wait after a snapshot that did not make the sets equal.
const PAUSE_MS: i64 = 60_000;
const PAUSE_MAX_MS: i64 = 6 * 3_600_000;

/// How long an agent is left alone after so many snapshots in a row that did not help: something in its
/// set is refused here, and asking faster would not help either.
pub fn pause_ms(in_a_row: i64) -> i64 {
    doubled(PAUSE_MS, in_a_row, PAUSE_MAX_MS)
}

/// Decides. `open`: the request that is not done; `not_before`: see [`pause_ms`].
pub fn demand(differs: bool, open: Option<Said>, not_before: Time, now: Time) -> Demand {
    match (differs, open) {
        (false, _) => Demand::Settled,
        (true, None) => {
            // Further away than any pause: the clock was set back.
            let pause = not_before.since_ms(now);
            if (1..=PAUSE_MAX_MS).contains(&pause) { Demand::Nothing } else { Demand::Ask }
        }
        (true, Some(said)) => {
            let wait = doubled(REPEAT_MS, said.times, REPEAT_MAX_MS);
            let waits = (0..wait).contains(&now.since_ms(said.at));
            if waits { Demand::Nothing } else { Demand::Repeat }
        }
    }
}

/// `first` doubled for every time after the first, up to `max`.
fn doubled(first: i64, times: i64, max: i64) -> i64 {
    let steps = u32::try_from((times - 1).clamp(0, 30)).unwrap_or(0);
    first.saturating_mul(1_i64 << steps).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(epoch: &str, seq: i64, at: i64) -> Order {
        Order { epoch: epoch.into(), seq, at: Time(at) }
    }

    fn known(active: bool, severity: Severity, order: Order) -> Known {
        Known { active, severity, raised_at: Time(0), cleared_at: None, order }
    }

    #[test]
    fn a_snapshot_counts_for_what_came_before_it() {
        let (minor, major) = (Severity::Minor, Severity::Major);
        let snapshot = order("e", 10, 1000);
        let step = |known: &Known, present| against(Some(known), minor, &snapshot, present);
        assert_eq!(against(None, minor, &snapshot, false), Step::Raise);
        let before = |active, severity| known(active, severity, order("e", 9, 5000));
        assert_eq!(step(&before(true, minor), false), Step::Keep);
        assert_eq!(step(&before(true, major), false), Step::Severity);
        assert_eq!(step(&before(false, minor), false), Step::Again);
        assert!(is_gone(&before(true, minor), &snapshot, false));
        assert!(!is_gone(&before(false, minor), &snapshot, false));
        let after = known(false, major, order("e", 11, 0));
        assert_eq!(step(&after, true), Step::Keep, "cleared since");
        assert!(!is_gone(&known(true, major, order("e", 11, 0)), &snapshot, true), "raised since");
        // Another life: its clock, unless the heartbeat says which life is the present one.
        let other = known(true, minor, order("f", 99, 2000));
        assert!(!is_gone(&other, &snapshot, false));
        assert!(is_gone(&other, &snapshot, true));
    }

    #[test]
    fn asks_at_once_and_then_ever_more_rarely() {
        let now = Time(1_000_000_000);
        assert_eq!(demand(true, None, Time(0), now), Demand::Ask);
        assert_eq!(demand(true, None, now.plus_ms(1), now), Demand::Nothing);
        assert_eq!(demand(true, None, now.plus_ms(PAUSE_MAX_MS * 9), now), Demand::Ask, "clock");
        let said = |ago: i64, times| Some(Said { at: now.plus_ms(-ago), times });
        assert_eq!(demand(true, said(19_999, 1), Time(0), now), Demand::Nothing);
        assert_eq!(demand(true, said(20_000, 1), Time(0), now), Demand::Repeat);
        assert_eq!(demand(true, said(79_999, 3), Time(0), now), Demand::Nothing);
        assert_eq!(demand(true, said(-5, 3), Time(0), now), Demand::Repeat, "clock");
        assert_eq!(demand(false, said(1, 1), now.plus_ms(1), now), Demand::Settled);
        assert_eq!([1, 2, 3, 99].map(pause_ms), [60_000, 120_000, 240_000, PAUSE_MAX_MS]);
    }

    proptest! {
        #[test]
        fn no_number_panics(at: i64, times: i64, not_before: i64, now: i64, differs: bool, open: bool) {
            let open = open.then_some(Said { at: Time(at), times });
            let _ = demand(differs, open, Time(not_before), Time(now));
            prop_assert!((PAUSE_MS..=PAUSE_MAX_MS).contains(&pause_ms(times)));
        }
    }
}
