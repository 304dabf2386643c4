//! How near the end of our certificate is, and what is said about it. Pure.

use std::sync::Arc;

use callhome_shared::alarm::Device;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use crate::rule::{Condition, Rule, Template, Watched};
use crate::source::{Batch, Reading, SourceKind, Value};

/// The source that the alarm is of; no configuration can name it.
const SOURCE: &str = "callhome-agent trust";
const METRIC: &str = "certificate.state";
const DAY_MS: i64 = 86_400_000;

/// Limits, before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Days left at which it is a warning (but not before five sixths of its life).
    pub warning_days: u32,
    /// Days left at which it is major (but not before 23 of 24 parts).
    pub major_days: u32,
}

/// How near the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Far.
    Good,
    /// Renewal has failed for some time.
    Near,
    /// It must be mended now.
    VeryNear,
    /// It is over: only renewal and alarms are taken.
    Ended,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            State::Good => "good",
            State::Near => "near its end",
            State::VeryNear => "very near its end",
            State::Ended => "ended",
        }
    }
}

/// The state at `now` of a certificate that is valid from and to these.
pub fn state((from, to): (Time, Time), now: Time, limits: Limits) -> State {
    let (life, left) = (to.since_ms(from).max(0), to.since_ms(now));
    let within = |days: u32, part: i64| left < (i64::from(days) * DAY_MS).min(life / part);
    if left < 0 {
        State::Ended
    } else if within(limits.major_days, 24) {
        State::VeryNear
    } else if within(limits.warning_days, 6) {
        State::Near
    } else {
        State::Good
    }
}

/// The rule that makes an alarm of it.
pub fn watched(host: &Arc<Device>) -> Watched {
    let states = [
        (State::Good, None),
        (State::Near, Some(Severity::Warning)),
        (State::VeryNear, Some(Severity::Major)),
        (State::Ended, Some(Severity::Critical)),
    ];
    let rule = Rule {
        pack: "builtin".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        id: "certificate-ending".to_owned(),
        metric: METRIC.to_owned(),
        condition: Condition::StateMap {
            states: states.into_iter().map(|(s, bad)| (s.as_str().to_owned(), bad)).collect(),
            otherwise: None,
            for_ms: 0,
        },
        damping: None,
        template: Template {
            kind: "certificate-ending".to_owned(),
            text: "the agent's certificate is ${value} (${until}); ${why}".to_owned(),
            fault_code: Some("callhome-certificate-ending".to_owned()),
            proposed_repair: Some(
                "see `callhome-agent status`; renew the given files, or mend the way to the \
                 collector's HTTPS address"
                    .to_owned(),
            ),
            ..Template::default()
        },
    };
    Watched {
        source: SOURCE.into(),
        kind: SourceKind::Host,
        device: host.clone(),
        rules: vec![Arc::new(rule)],
    }
}

/// What the line is told.
pub fn batch(host: &Arc<Device>, state: State, until: Time, why: &str, now: Time) -> Batch {
    let reading = Reading {
        metric: METRIC.into(),
        resource: "callhome-agent".to_owned(),
        value: Value::Text(state.as_str().to_owned()),
        unit: "".into(),
        origin: "certificate".into(),
        labels: vec![("until".into(), until.to_string()), ("why".into(), why.to_owned())],
        occurred_at: None,
        observed_at: now,
    };
    Batch {
        source: SOURCE.into(),
        kind: SourceKind::Host,
        device: host.clone(),
        rules: None,
        readings: vec![reading],
        position: None,
        gaps: Vec::new(),
        heard_until: None,
        stored: None,
        inventory: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_and_a_minute() {
        let limits = Limits { warning_days: 14, major_days: 3 };
        let at = |life: i64, left: i64| state((Time(0), Time(life)), Time(life - left), limits);
        let year = 365 * DAY_MS;
        for (left_days, wanted) in [
            (200, State::Good),
            (15, State::Good),
            (13, State::Near),
            (4, State::Near),
            (2, State::VeryNear),
            (-1, State::Ended),
        ] {
            assert_eq!(at(year, left_days * DAY_MS), wanted, "{left_days}");
        }
        for (left_s, wanted) in
            [(30, State::Good), (9, State::Near), (2, State::VeryNear), (-1, State::Ended)]
        {
            assert_eq!(at(60_000, left_s * 1000), wanted, "{left_s}");
        }
    }
}
