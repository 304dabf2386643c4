//! `profile read`: everything that the profiles read of a device, and the alarms that follow.

use std::collections::HashMap;

use callhome_shared::alarm::Alarm;
use serde::Serialize;

use super::rig::{Rig, Row};
use super::{Survey, Verdict};
use crate::profile::oid::Oid;
use crate::source::Value;
use crate::source::snmp::modules::{self, Module};

/// What is wanted beside one line for each object that is read, and the alarms.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent {
    /// Every reading of an object, also those that say nothing now.
    pub all: bool,
    /// The parts of the device.
    pub modules: bool,
}

/// One line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Line {
    /// A value.
    Reading(ReadingLine),
    /// A fault that stands.
    Alarm(AlarmLine),
    /// A part of the device, where they are asked for.
    Module(Module),
}

/// A value that was read.
#[derive(Debug, Serialize)]
pub struct ReadingLine {
    /// The profile that reads it.
    pub profile: String,
    /// The full object identifier.
    pub oid: String,
    /// The part it belongs to; empty = the device.
    pub resource: String,
    /// The symbol's name.
    pub name: String,
    /// A number, scaled to its unit, or a text.
    pub value: serde_json::Value,
    /// Its unit; empty = none.
    pub unit: String,
    /// What the value means; `null` = a plain value without a limit.
    pub verdict: Option<Verdict>,
    /// The state's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The tag for whose value the row says nothing now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// A fault that stands.
#[derive(Debug, Serialize)]
pub struct AlarmLine {
    /// The profile whose rule raised it.
    pub profile: String,
    /// The object identifier of the value that raised it.
    pub oid: String,
    /// The part it belongs to; empty = the device.
    pub resource: String,
    /// The symbol's name.
    pub name: String,
    /// The value that raised it; `null` where no single one did.
    pub value: serde_json::Value,
    /// Its unit; empty = none.
    pub unit: String,
    /// Its severity as a verdict.
    pub verdict: Verdict,
    /// Alarm type.
    #[serde(rename = "type")]
    pub kind: String,
    /// RFC 8632 severity.
    pub severity: &'static str,
    /// The words of the alarm.
    pub text: String,
}

/// All lines of a device: its parts where asked for, values in the order of the plan, then alarms.
pub fn lines(survey: &Survey, extent: Extent) -> Vec<Line> {
    let mut rig = Rig::new(&survey.profiles);
    let rows = rig.rows(&survey.snapshot);
    rig.settle(&survey.snapshot);
    let alarms = rig.active();
    let alarms: Vec<Line> =
        alarms.iter().map(|alarm| Line::Alarm(alarm_line(&rig, &rows, alarm))).collect();
    let parts = if extent.modules { modules::read(&survey.snapshot.columns).list } else { vec![] };
    let rows = if extent.all { rows } else { once(rows) };
    parts
        .into_iter()
        .map(Line::Module)
        .chain(rows.into_iter().map(|row| Line::Reading(reading_line(row))))
        .chain(alarms)
        .collect()
}

/// Each object once. Several symbols of a column, each for rows of its own kind, read the same object, and so do
/// two profiles: then the one that says something counts, of several the one with a verdict, the worst one.
pub fn once(rows: Vec<Row>) -> Vec<Row> {
    let weight = |row: &Row| (row.examined.skipped.is_none(), row.verdict);
    let mut best: HashMap<Oid, usize> = HashMap::new();
    for (n, row) in rows.iter().enumerate() {
        let kept = best.entry(row.examined.oid.clone()).or_insert(n);
        if weight(row) > weight(&rows[*kept]) {
            *kept = n;
        }
    }
    let of_rows = rows.into_iter().enumerate();
    of_rows.filter(|(n, row)| best.get(&row.examined.oid) == Some(n)).map(|(_, row)| row).collect()
}

fn value_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Number(number) => number_json(*number),
        Value::Text(text) | Value::Line { text, .. } => text.as_str().into(),
        Value::Probe(_) => serde_json::Value::Null,
    }
}

fn reading_line(row: Row) -> ReadingLine {
    let reading = row.examined.reading;
    let state = reading.labels.iter().find(|(name, _)| **name == *"state");
    ReadingLine {
        profile: pack(&row.metric.name).to_owned(),
        oid: row.examined.oid.to_string(),
        resource: reading.resource.clone(),
        name: row.metric.symbol.clone(),
        value: value_json(&reading.value),
        unit: reading.unit.to_string(),
        verdict: row.verdict,
        state: state.map(|(_, name)| name.clone()),
        skipped: row.examined.skipped.map(|tag| tag.to_string()),
    }
}

fn alarm_line(rig: &Rig, rows: &[Row], alarm: &Alarm) -> AlarmLine {
    let metric = rig.metric_of(&alarm.rule).unwrap_or_default();
    let of_metric = || rows.iter().filter(|row| *row.metric.name == *metric);
    // The rule may have given the resource a name of its own: then the metric's first row must do.
    let same = of_metric().find(|row| row.examined.reading.resource == alarm.resource);
    let row = same.or_else(|| of_metric().next());
    AlarmLine {
        profile: alarm.rule.pack.clone(),
        oid: row.map(|row| row.examined.oid.to_string()).unwrap_or_default(),
        resource: alarm.resource.clone(),
        name: row.map(|row| row.metric.symbol.clone()).unwrap_or_default(),
        value: row.map_or(serde_json::Value::Null, |row| value_json(&row.examined.reading.value)),
        unit: row.map(|row| row.examined.reading.unit.to_string()).unwrap_or_default(),
        verdict: alarm.severity.into(),
        kind: alarm.kind.clone(),
        severity: alarm.severity.as_str(),
        text: alarm.text.clone(),
    }
}

/// Whole numbers without a fraction, as a device says them.
fn number_json(number: f64) -> serde_json::Value {
    if number.fract() == 0.0 && number.abs() < 9e15 {
        return (number as i64).into();
    }
    number.into()
}

/// A metric is called `<profile>.<symbol>`.
fn pack(metric: &str) -> &str {
    metric.rsplit_once('.').map_or(metric, |(pack, _)| pack)
}

/// For people: one value or alarm a line.
pub fn text(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        let line = match line {
            Line::Reading(r) => {
                let value = r.value.as_str().map_or_else(|| r.value.to_string(), str::to_owned);
                let state = r.state.as_ref().filter(|state| **state != value);
                let state = state.map(|state| format!(" ({state})")).unwrap_or_default();
                let verdict = match (r.verdict, &r.skipped) {
                    (_, Some(tag)) => format!("- (says nothing now: {tag})"),
                    (Some(verdict), None) => verdict.as_str().to_owned(),
                    (None, None) => String::new(),
                };
                let unit = if r.unit.is_empty() { String::new() } else { format!(" {}", r.unit) };
                format!("{}.{}  {}  {value}{unit}{state}  {verdict}", r.profile, r.name, r.resource)
            }
            Line::Alarm(a) => {
                format!("ALARM {} {} on {}: {}", a.severity, a.kind, a.resource, a.text)
            }
            Line::Module(module) => module_text(module),
        };
        // What a device says must not steer the terminal it is shown on.
        text.extend(line.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }));
        text.push('\n');
    }
    text
}

/// One part, with whatever of it is known.
fn module_text(module: &Module) -> String {
    let known = [
        ("model", &module.model),
        ("serial number", &module.serial),
        ("hardware", &module.hardware),
        ("firmware", &module.firmware),
        ("software", &module.software),
    ];
    let known = known.iter().filter_map(|(what, text)| Some((what, text.as_ref()?)));
    let mut text = format!("MODULE {} {} {}", module.index, module.class, module.name);
    for (what, word) in known {
        text += &format!(", {what} {word}");
    }
    match module.inside {
        Some(inside) => format!("{text} (in {inside})"),
        None => text,
    }
}
