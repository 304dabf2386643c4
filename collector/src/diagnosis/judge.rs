//! What becomes of an alarm life: at once, and when it has waited. Pure.

use callhome_shared::time::Time;

use super::effect::effect;
use super::rules::{Rules, Subject, Then};

/// Between two looks at one that waits, ms.
pub const LOOK_MS: i64 = 5_000;
/// How many times as long as others it waits for a cause that waits itself.
const PATIENCE: i64 = 4;

/// Why a life waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A rule holds it down: it may be gone in a moment.
    HoldDown,
    /// A lost parent could explain it, and none is known yet.
    Cause,
}

impl Why {
    /// A stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::HoldDown => "hold-down",
            Why::Cause => "cause",
        }
    }

    /// Reads `as_str` back.
    pub fn parse(text: &str) -> Option<Self> {
        [Why::HoldDown, Why::Cause].into_iter().find(|why| why.as_str() == text)
    }
}

/// What becomes of a new life at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// A ticket.
    Open {
        /// Because it flaps although it would be held down.
        flapping: bool,
    },
    /// It waits until then.
    Wait {
        /// The end of it.
        until: Time,
        /// Why.
        why: Why,
    },
    /// It is recorded, no more.
    Record,
}

/// Judges a new life whose identity has no open case. `hangs`: its device hangs on something. `lives`: of
/// its identity within the flap window, this one included.
pub fn first(
    rules: &Rules,
    of: &Subject<'_>,
    hangs: bool,
    lives: i64,
    now: Time,
) -> (First, Option<String>) {
    let (then, rule) = rules.call_home(of);
    let rule = rule.map(str::to_owned);
    let first = match then {
        Then::Never => First::Record,
        Then::Hold(_) if flaps(rules, lives) => First::Open { flapping: true },
        Then::Hold(ms) => First::Wait { until: now.plus_ms(ms), why: Why::HoldDown },
        Then::Open if hangs && rules.wait_ms > 0 && effect(of.kind).is_some() => {
            First::Wait { until: now.plus_ms(rules.wait_ms), why: Why::Cause }
        }
        Then::Open => First::Open { flapping: flaps(rules, lives) },
    };
    (first, rule)
}

/// Whether so many lives are flapping.
pub fn flaps(rules: &Rules, lives: i64) -> bool {
    rules.flap_lives > 1 && lives >= rules.flap_lives
}

/// What is known of the cause of one that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// No cause.
    Nothing,
    /// It has a ticket that is open.
    InTicket,
    /// It waits itself.
    Waits,
}

/// One that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Why.
    pub why: Why,
    /// Since when.
    pub since: Time,
    /// Until when.
    pub until: Time,
    /// Whether its condition stands.
    pub active: bool,
}

/// What becomes of one that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It goes on.
    Wait {
        /// When to look again.
        look: Time,
        /// Until when.
        until: Time,
        /// Why.
        why: Why,
    },
    /// It was gone before its time: no ticket.
    Transient,
    /// Part of its cause's ticket.
    Attach,
    /// A ticket of its own.
    Open,
}

/// Judges one that waits.
pub fn again(rules: &Rules, one: &Waiting, cause: Known, now: Time) -> Next {
    match one.why {
        Why::HoldDown if !one.active => Next::Transient,
        Why::HoldDown if now < one.until => {
            Next::Wait { look: one.until, until: one.until, why: Why::HoldDown }
        }
        Why::HoldDown | Why::Cause if cause == Known::InTicket => Next::Attach,
        Why::Cause if now < one.until => {
            let look = now.plus_ms(LOOK_MS).min(one.until);
            Next::Wait { look, until: one.until, why: Why::Cause }
        }
        Why::HoldDown | Why::Cause => {
            let patience = one.since.plus_ms(rules.wait_ms.saturating_mul(PATIENCE));
            if cause == Known::Waits && now < patience {
                Next::Wait { look: now.plus_ms(LOOK_MS), until: one.until, why: Why::Cause }
            } else {
                Next::Open
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::rules::Rule;
    use callhome_shared::severity::Severity;

    fn subject(kind: &str) -> Subject<'_> {
        Subject { severity: Severity::Minor, kind, rule: ("p", "r"), site: "", device: ("d", "d") }
    }

    #[test]
    fn what_a_parent_could_explain_waits_and_nothing_else() {
        let rules = Rules::default();
        let of = |kind, hangs| first(&rules, &subject(kind), hangs, 1, Time(0)).0;
        let wait = First::Wait { until: Time(30_000), why: Why::Cause };
        assert_eq!(of("device-unreachable", true), wait);
        assert_eq!(of("device-unreachable", false), First::Open { flapping: false });
        assert_eq!(of("disk-failed", true), First::Open { flapping: false });
    }

    #[test]
    fn what_is_held_down_opens_when_it_stays_or_flaps() {
        let rule = Rule {
            name: "hold".into(),
            severities: vec![],
            types: vec![],
            rules: vec![],
            sites: vec![],
            devices: vec![],
            then: Then::Hold(1000),
        };
        let rules = Rules { call_home: vec![rule], ..Rules::default() };
        let of = |lives| first(&rules, &subject("fan-failed"), false, lives, Time(0)).0;
        assert_eq!(of(1), First::Wait { until: Time(1000), why: Why::HoldDown });
        assert_eq!(of(5), First::Open { flapping: true });
        let held =
            |active| Waiting { why: Why::HoldDown, since: Time(0), until: Time(1000), active };
        assert_eq!(again(&rules, &held(false), Known::Nothing, Time(500)), Next::Transient);
        assert_eq!(again(&rules, &held(true), Known::Nothing, Time(1000)), Next::Open);
        let early = again(&rules, &held(true), Known::Nothing, Time(999));
        assert_eq!(early, Next::Wait { look: Time(1000), until: Time(1000), why: Why::HoldDown });
    }

    #[test]
    fn one_that_waits_for_its_cause_is_never_forgotten() {
        let rules = Rules::default();
        let one = Waiting { why: Why::Cause, since: Time(0), until: Time(30_000), active: false };
        assert_eq!(again(&rules, &one, Known::InTicket, Time(1)), Next::Attach);
        assert_eq!(again(&rules, &one, Known::Nothing, Time(30_000)), Next::Open, "over, but told");
        assert!(matches!(again(&rules, &one, Known::Waits, Time(60_000)), Next::Wait { .. }));
        assert_eq!(again(&rules, &one, Known::Waits, Time(120_000)), Next::Open);
    }
}
