//! `profile explain`: how each value came about, and why it did or did not become an alarm.
//!
//! Nothing is computed here a second time: stages of a value are the real conversion with its later
//! parts left out, and verdicts are those of the rig.

mod choice;
mod stages;
mod why;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::Serialize;

use super::{Rig, Survey};
use crate::profile::Library;
use crate::profile::oid::Oid;
use crate::profile::plan::Metric;
use crate::source::Value;
use crate::source::snmp::evaluate::{Examined, Snapshot};
use crate::source::snmp::value::Value as Raw;

pub use choice::Choice;
use stages::Stage;
use why::Judged;

/// Which values; what is not given does not matter.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Objects at or below this one.
    pub oid: Option<Oid>,
    /// Parts whose name holds this.
    pub resource: Option<String>,
    /// The symbol's name.
    pub name: Option<String>,
}

/// Everything that is said.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// Which profiles, and why.
    pub choice: Choice,
    /// The values, in the order of the plan.
    pub values: Vec<Line>,
}

/// One value.
#[derive(Debug, Serialize)]
pub struct Line {
    /// `<profile>.<symbol>`.
    pub metric: String,
    /// The full object identifier.
    pub oid: String,
    /// The part.
    pub resource: String,
    /// As the device answers it: type and text.
    pub raw: String,
    /// From the raw value to the reading's.
    pub stages: Vec<Stage>,
    /// The reading's value.
    pub value: String,
    /// Its unit.
    pub unit: String,
    /// What tells its row apart, and limits that the device says.
    pub tags: Vec<(String, String)>,
    /// Why the row says nothing now.
    pub silent: Option<String>,
    /// What each rule says of it.
    pub rules: Vec<Judged>,
}

/// Explains the wanted values of a device. `named` = the profiles were asked for by name.
pub fn explain(survey: &Survey, library: &Library, named: bool, wanted: &Wanted) -> Explained {
    let mut rig = Rig::new(&survey.profiles);
    let rows = rig.examined(&survey.snapshot);
    rig.poll(&survey.snapshot);
    let at_once = rig.active();
    rig.settle(&survey.snapshot);
    let settled = rig.active();
    let known = why::Alarms { at_once, settled };
    let mut values = Vec::new();
    for (metric, rows) in rows {
        let chosen: Vec<&Examined> = rows.iter().filter(|row| wanted.holds(&metric, row)).collect();
        if chosen.is_empty() {
            continue;
        }
        let stages = stages::of(&metric, &survey.snapshot);
        for row in chosen {
            let rules = rig.rules_on(&metric.name);
            let rules = rules.map(|rule| why::judged(rule, &metric, row, &known)).collect();
            values.push(line(&metric, row, &survey.snapshot, stages.of_row(&row.oid), rules));
        }
    }
    Explained { choice: choice::choice(survey, library, named), values }
}

impl Wanted {
    fn holds(&self, metric: &Metric, row: &Examined) -> bool {
        self.oid.as_ref().is_none_or(|root| row.oid.after(root).is_some())
            && self.name.as_ref().is_none_or(|name| *name == metric.symbol)
            && self.resource.as_ref().is_none_or(|part| row.reading.resource.contains(part))
    }
}

fn line(
    metric: &Arc<Metric>,
    row: &Examined,
    snapshot: &Snapshot,
    stages: Vec<Stage>,
    rules: Vec<Judged>,
) -> Line {
    let silent = match &row.skipped {
        Some(tag) if **tag == *"value" => Some("the symbol ignores this raw value".to_owned()),
        Some(tag) => {
            let value = row.reading.labels.iter().find(|(name, _)| name == tag);
            let value = value.map(|(_, value)| value.as_str()).unwrap_or_default();
            Some(format!("`skip_when` or `only_when`: {tag} is {value:?}"))
        }
        None if !row.readable => Some("the symbol cannot be read from this raw value".to_owned()),
        None => None,
    };
    let raw = raw(metric, row, snapshot).map(shown).unwrap_or_default();
    let tags = row.reading.labels.iter().map(|(name, value)| (name.to_string(), value.clone()));
    Line {
        metric: metric.name.to_string(),
        oid: row.oid.to_string(),
        resource: row.reading.resource.clone(),
        raw,
        stages,
        value: said(&row.reading.value),
        unit: row.reading.unit.to_string(),
        tags: tags.collect(),
        silent,
        rules,
    }
}

fn raw<'s>(metric: &Metric, row: &Examined, snapshot: &'s Snapshot) -> Option<&'s Raw> {
    match metric.column {
        true => snapshot.columns.get(&metric.oid)?.rows.get(row.oid.after(&metric.oid)?),
        false => snapshot.scalars.get(&metric.oid),
    }
}

fn shown(raw: &Raw) -> String {
    let kind = match raw {
        Raw::Integer(_) => "INTEGER",
        Raw::Counter32(_) => "Counter32",
        Raw::Counter64(_) => "Counter64",
        Raw::Unsigned(_) => "unsigned",
        Raw::Real(_) => "Opaque float",
        Raw::Octets(_) => "OCTET STRING",
        Raw::Oid(_) => "OBJECT IDENTIFIER",
        Raw::Ip(_) => "IpAddress",
        _ => "no value",
    };
    match raw.text() {
        Some(text) if matches!(raw, Raw::Octets(_)) => format!("{kind} {text:?}"),
        Some(text) => format!("{kind} {text}"),
        None => kind.to_owned(),
    }
}

fn said(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Text(text) | Value::Line { text, .. } => text.clone(),
        Value::Probe(_) => String::new(),
    }
}

impl Explained {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = self.choice.text();
        for line in &self.values {
            text.push('\n');
            text.push_str(&line.text());
        }
        if self.values.is_empty() {
            text.push_str("\nnone of the profiles reads such a value here\n");
        }
        // What a device says must not steer the terminal it is shown on.
        let shown = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
        text.chars().map(shown).collect()
    }
}

impl Line {
    fn text(&self) -> String {
        let mut text = format!("{}  {}\n", self.metric, self.oid);
        let mut say = |label: &str, words: &str| text.push_str(&format!("  {label:<9} {words}\n"));
        say("part", if self.resource.is_empty() { "(the device)" } else { &self.resource });
        say("raw", &self.raw);
        for stage in &self.stages {
            say("", &format!("{} → {}", stage.what, stage.value));
        }
        say("value", format!("{} {}", self.value, self.unit).trim_end());
        let tags: Vec<String> = self.tags.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
        say("tags", &tags.join(" "));
        if let Some(why) = &self.silent {
            say("silent", &format!("the row says nothing now: {why}"));
        }
        if self.rules.is_empty() {
            say("rules", "no alarm looks at it");
        }
        for rule in &self.rules {
            say("rule", &format!("{} ({}, type {})", rule.rule, rule.kind, rule.alarm_type));
            for words in &rule.says {
                say("", words);
            }
            say("", &format!("⇒ {}", rule.why));
        }
        text
    }
}
