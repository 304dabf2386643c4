//! Whether a device was restarted between two polls: by sysUpTime (RFC 3418), and with version 3 by
//! snmpEngineBoots (RFC 3414). Pure; plus the metric and the built-in rule for those who want an alarm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use crate::rule::{Condition, Rule, Template};
use crate::source::{Reading, Value};

/// 1 = the device was restarted within [`TOLD_FOR`], 0 = it was not. Label `detail`: how that is known.
pub const METRIC: &str = "snmp.restarted";
/// A restart is told for so long.
pub const TOLD_FOR: Duration = Duration::from_secs(3600);
/// sysUpTime counts hundredths of a second in 32 bits: it begins anew after 497 days.
const ROUND: f64 = 4_294_967_296.0;
/// What clocks may differ by, besides a tenth of the time between two looks, hundredths of a second.
const SLACK: f64 = 6_000.0;

/// What is known of a device's restarts; nothing of it outlives the agent.
#[derive(Debug, Default)]
pub struct Restarts {
    up: Option<(f64, Instant)>,
    engine: Option<(Vec<u8>, i64)>,
    last: Option<(Instant, String)>,
}

impl Restarts {
    /// The device was looked at. `ticks`: its sysUpTime, hundredths of a second; `engine`: id and boots of
    /// its engine. Gives how it is known that it was restarted since the last look.
    pub fn look(
        &mut self,
        ticks: Option<f64>,
        engine: Option<(&[u8], i64)>,
        now: Instant,
    ) -> Option<String> {
        let mut why = None;
        if let (Some((id, boots)), Some((known, before))) = (engine, &self.engine)
            && id == known.as_slice()
            && boots > *before
        {
            why = Some(format!("snmpEngineBoots rose from {before} to {boots}"));
        }
        if let (Some(ticks), Some((before, at))) = (ticks, self.up) {
            let elapsed = now.saturating_duration_since(at).as_secs_f64() * 100.0;
            if began_anew(before, ticks, elapsed) {
                let text = format!("sysUpTime was {} and is {}", span(before), span(ticks));
                why = Some(text);
            }
        }
        self.up = ticks.map(|ticks| (ticks, now)).or(self.up);
        self.engine = engine.map(|(id, boots)| (id.to_vec(), boots)).or(self.engine.take());
        if let Some(why) = &why {
            self.last = Some((now, why.clone()));
        }
        why
    }

    /// How the last restart is known, while it is told.
    pub fn told(&self, now: Instant) -> Option<&str> {
        let (at, why) = self.last.as_ref()?;
        (now.saturating_duration_since(*at) < TOLD_FOR).then_some(why.as_str())
    }
}

/// Whether a clock that showed `before` and, after `elapsed`, shows `now` was set to 0 in between.
fn began_anew(before: f64, now: f64, elapsed: f64) -> bool {
    let slack = SLACK + elapsed / 10.0;
    if now >= before {
        // It has been up for less time than it was not looked at. One that stands still is broken.
        return now > before && now + slack < elapsed;
    }
    let round = (before + elapsed - ROUND - now).abs() <= slack;
    !round
}

fn span(ticks: f64) -> String {
    let seconds = ticks / 100.0;
    match seconds {
        s if s >= 172_800.0 => format!("{:.0} days", s / 86_400.0),
        s if s >= 7_200.0 => format!("{:.0} hours", s / 3_600.0),
        s => format!("{s:.0} s"),
    }
}

/// Raises `device-restarted`, a warning, as long as a restart is told.
pub fn builtin_rule() -> Arc<Rule> {
    let states =
        BTreeMap::from([("1".to_owned(), Some(Severity::Warning)), ("0".to_owned(), None)]);
    Arc::new(Rule {
        pack: "builtin".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        id: "device-restarted".to_owned(),
        metric: METRIC.to_owned(),
        condition: Condition::StateMap { states, otherwise: None, for_ms: 0 },
        damping: None,
        template: Template {
            kind: "device-restarted".to_owned(),
            text: "the device, or its SNMP agent, was restarted: ${detail}".to_owned(),
            fault_code: Some("device.restarted".to_owned()),
            proposed_repair: Some(
                "If nobody restarted it: check its power and its crash records.".to_owned(),
            ),
            ..Template::default()
        },
    })
}

/// The reading; `detail` is how a restart is known.
pub fn reading(address: &str, detail: Option<&str>) -> Reading {
    Reading {
        metric: METRIC.into(),
        resource: String::new(),
        value: Value::Number(if detail.is_some() { 1.0 } else { 0.0 }),
        unit: "".into(),
        origin: format!("SNMP {address}").into(),
        labels: vec![("detail".into(), detail.unwrap_or("not lately").to_owned())],
        occurred_at: None,
        observed_at: Time::now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: f64 = 6_000.0;

    #[test]
    fn a_clock_that_falls_began_anew_and_one_that_goes_round_did_not() {
        for (before, now, elapsed, restarted) in [
            (1_000.0, 1_000.0 + MINUTE, MINUTE, false),
            (100.0 * MINUTE, 0.5 * MINUTE, MINUTE, true),
            // Down while nobody looked, and up for longer than before.
            (MINUTE, 30.0 * MINUTE, 120.0 * MINUTE, true),
            // 497 days.
            (ROUND - 100.0, MINUTE - 100.0, MINUTE, false),
            (ROUND - 100.0, 9.0 * MINUTE, MINUTE, true),
            (ROUND - 1_000.0, 10.0, 1_100.0, false),
            // A clock that stands still, one that is told only now and then, one that jitters.
            (1_000.0, 1_000.0, 600.0 * MINUTE, false),
            (100.0 * MINUTE, 100.5 * MINUTE, 10.0 * MINUTE, false),
            (MINUTE, 1.2 * MINUTE, 2.0 * MINUTE, false),
        ] {
            assert_eq!(began_anew(before, now, elapsed), restarted, "{before} {now} {elapsed}");
        }
    }

    #[test]
    fn a_restart_is_told_once_and_remembered_for_an_hour() {
        let mut restarts = Restarts::default();
        let began = Instant::now();
        let at = |s: u64| began + Duration::from_secs(s);
        assert_eq!(restarts.look(Some(9e6), Some((b"e", 3)), at(0)), None, "nothing to compare");
        let why = restarts.look(Some(1_000.0), Some((b"e", 4)), at(60)).unwrap();
        assert_eq!(why, "sysUpTime was 25 hours and is 10 s");
        assert_eq!(restarts.look(Some(7_000.0), Some((b"e", 4)), at(120)), None, "once");
        assert_eq!(restarts.told(at(120)), Some(why.as_str()));
        assert_eq!(restarts.told(at(60 + 3600)), None);
        // An agent whose sysUpTime is the machine's, and only its engine was restarted.
        let why = restarts.look(Some(13_000.0), Some((b"e", 5)), at(180)).unwrap();
        assert_eq!(why, "snmpEngineBoots rose from 4 to 5");
        assert_eq!(restarts.look(Some(19_000.0), Some((b"f", 9)), at(240)), None, "another engine");
        assert_eq!(restarts.look(None, None, at(300)), None, "no sysUpTime");
    }

    proptest::proptest! {
        /// However long one does not look: a device that stays up is never said to have restarted.
        #[test]
        fn prop_a_device_that_stays_up_was_not_restarted(
            up in 0.0..ROUND, looks in proptest::collection::vec(1u64..2_000_000, 1..20),
        ) {
            let mut restarts = Restarts::default();
            let began = Instant::now();
            let mut after = 0;
            restarts.look(Some(up), None, began);
            for wait in looks {
                after += wait;
                let ticks = (up + after as f64 * 100.0) % ROUND;
                let found = restarts.look(Some(ticks), None, began + Duration::from_secs(after));
                proptest::prop_assert_eq!(found, None);
            }
        }
    }
}
