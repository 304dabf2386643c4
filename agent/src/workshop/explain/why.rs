//! What a rule says of a value, and why that is an alarm or none.

use callhome_shared::alarm::Alarm;
use serde::Serialize;

use crate::profile::plan::Metric;
use crate::rule::{Condition, Glance, Limit, Measure, Op, Rule, glance};
use crate::source::Value;
use crate::source::snmp::evaluate::Examined;

/// The alarms that stand after the first poll, and when everything has lasted long enough.
pub struct Alarms {
    /// After one poll.
    pub at_once: Vec<Alarm>,
    /// When whatever lasts has lasted.
    pub settled: Vec<Alarm>,
}

/// One rule on one value.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// `<profile>/<id>`.
    pub rule: String,
    /// `state map`, `threshold`, …
    pub kind: &'static str,
    /// The alarm type.
    pub alarm_type: String,
    /// The limits or states beside the value.
    pub says: Vec<String>,
    /// The alarm's severity, if it is raised.
    pub raised: Option<&'static str>,
    /// Why it is raised, or not.
    pub why: String,
}

/// Judges one value by one rule.
pub fn judged(rule: &Rule, metric: &Metric, row: &Examined, known: &Alarms) -> Judged {
    let (kind, says, for_ms) = match &rule.condition {
        Condition::StateMap { states, otherwise, for_ms, .. } => {
            let verdict = |verdict: &Option<callhome_shared::severity::Severity>| {
                verdict.map_or("ok", |severity| severity.as_str())
            };
            let words = match states.get(row.state().trim()) {
                Some(found) => format!("the state {:?} means {}", row.state(), verdict(found)),
                None => {
                    let other = otherwise.as_ref().map_or("ignore", verdict);
                    format!("the state {:?} is not in the map; otherwise: {other}", row.state())
                }
            };
            ("state map", vec![words], *for_ms)
        }
        Condition::Threshold { levels, for_ms, measure: Measure::Value } => {
            ("threshold", levels.iter().map(|limit| level(limit, row)).collect(), *for_ms)
        }
        Condition::Threshold { .. } => {
            let words = "its limits are on the change of the value: a single look does not tell it";
            ("change", vec![words.to_owned()], 0)
        }
        Condition::Pattern { .. } => ("pattern", Vec::new(), 0),
        _ => ("over time", vec!["it judges more than one value".to_owned()], 0),
    };
    let of_rule = |alarms: &[Alarm]| {
        let same = |alarm: &&Alarm| {
            alarm.rule.pack == rule.pack && alarm.rule.id == rule.id && is_of(alarm, rule, row)
        };
        alarms.iter().find(same).cloned()
    };
    let (now, later) = (of_rule(&known.at_once), of_rule(&known.settled));
    let why = match (&now, &later) {
        (Some(alarm), _) => raised(alarm, "at once"),
        (None, Some(alarm)) => raised(alarm, &format!("when it has lasted {} s", for_ms / 1000)),
        (None, None) => silent(rule, metric, row),
    };
    Judged {
        rule: format!("{}/{}", rule.pack, rule.id),
        kind,
        alarm_type: rule.template.kind.clone(),
        says,
        raised: now.or(later).map(|alarm| alarm.severity.as_str()),
        why,
    }
}

/// A rule may give the resource a name of its own; then it is the rule's alone.
fn is_of(alarm: &Alarm, rule: &Rule, row: &Examined) -> bool {
    !rule.template.resource.is_empty() || alarm.resource == row.reading.resource
}

fn raised(alarm: &Alarm, when: &str) -> String {
    format!(
        "{} {} on {:?}, raised {when}: {}",
        alarm.severity.as_str(),
        alarm.kind,
        alarm.resource,
        alarm.text
    )
}

fn silent(rule: &Rule, metric: &Metric, row: &Examined) -> String {
    if row.skipped.is_some() {
        return "no alarm: the row says nothing now, and whatever stood on it is cleared"
            .to_owned();
    }
    if !row.readable {
        return "no alarm: there is no value".to_owned();
    }
    match glance(&rule.condition, &row.reading) {
        Some(Glance::Bad(severity)) if !metric.after.is_empty() => format!(
            "no alarm, though it would be {}: on this part none of the states {} has been seen yet (`after`)",
            severity.as_str(),
            metric.after.join(", ")
        ),
        Some(Glance::Bad(severity)) => format!(
            "no alarm of its own, though it is {}: another rule has the same type, part and qualifier, \
             or it must be seen several times",
            severity.as_str()
        ),
        Some(Glance::Good) if between(rule, row) => {
            "no alarm: within the limit; but not behind `clear` yet: one that stood would stay"
                .to_owned()
        }
        Some(Glance::Good) => "no alarm: healthy".to_owned(),
        Some(Glance::Unknown) => {
            "no alarm: the state is ignored, it neither raises nor clears".to_owned()
        }
        None => {
            "no alarm: there is no limit for this value, or it judges several readings".to_owned()
        }
    }
}

fn between(rule: &Rule, row: &Examined) -> bool {
    let (Condition::Threshold { levels, .. }, Value::Number(number)) =
        (&rule.condition, &row.reading.value)
    else {
        return false;
    };
    let levels = levels.iter().filter_map(|limit| limit.level(&row.reading));
    levels.into_iter().any(|level| !level.is_reached(*number) && !level.is_back(*number))
}

/// A limit beside the value.
fn level(limit: &Limit, row: &Examined) -> String {
    let (severity, op, whose) = match limit {
        Limit::Fixed(level) => (level.severity, level.op, "the profile's".to_owned()),
        Limit::Read { severity, op, label, .. } => {
            (*severity, *op, format!("the device's {label}"))
        }
    };
    let (side, behind) = match op {
        Op::Above => ("from", "below"),
        Op::Below => ("down from", "above"),
    };
    let severity = severity.as_str();
    let Some(level) = limit.level(&row.reading) else {
        return format!("{severity}: no limit, {whose} is unset");
    };
    let reached = match row.reading.value {
        Value::Number(number) if level.is_reached(number) => "reached",
        Value::Number(_) => "not reached",
        _ => "the value is no number",
    };
    format!("{severity} {side} {} ({whose}), back {behind} {}: {reached}", level.limit, level.clear)
}
