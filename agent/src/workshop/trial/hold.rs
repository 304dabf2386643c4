//! Whether what a case wants is so. Pure: the rig has a clock of its own.

use std::sync::Arc;

use callhome_shared::alarm::{Alarm, Transition};
use callhome_shared::config_error::Problem;

use super::Written;
use super::written::{Case, Expected, Step, Wanted};
use crate::profile::Profile;
use crate::profile::node::Place;
use crate::source::Value;
use crate::source::snmp::evaluate::Snapshot;
use crate::workshop::rig::{Rig, Row};

/// What did not hold so far.
struct Ledger<'a> {
    written: &'a Written<'a>,
    case: &'a str,
    checked: usize,
    broken: Vec<Problem>,
}

/// Runs a case; gives how much was compared, and what did not hold.
pub fn hold(
    case: &Case,
    profiles: &[Arc<Profile>],
    written: &Written<'_>,
) -> (usize, Vec<Problem>) {
    let mut ledger = Ledger { written, case: &case.name, checked: 0, broken: Vec::new() };
    let mut rig = Rig::new(profiles);
    let mut recording = case.recording.clone();
    let snapshot = recording.snapshot(&rig.plan);
    rig.settle(&snapshot);
    let standing = rig.active();
    ledger.compare("standing", case.at, &case.alarms, &standing.iter().collect::<Vec<_>>());
    ledger.values(&rig, &snapshot, &case.values);
    for (n, step) in case.steps.iter().enumerate() {
        for (oid, value) in &step.inject {
            recording.set(oid.clone(), value.clone());
        }
        let snapshot = recording.snapshot(&rig.plan);
        ledger.step(&mut rig, &snapshot, n + 1, step);
    }
    (ledger.checked, ledger.broken)
}

impl Ledger<'_> {
    fn step(&mut self, rig: &mut Rig, snapshot: &Snapshot, n: usize, step: &Step) {
        let happened = match step.after_ms {
            Some(ms) => rig.poll_after(ms, snapshot),
            None => rig.settle(snapshot),
        };
        let kinds = [Transition::Raised, Transition::Changed, Transition::Cleared];
        for (kind, wanted) in kinds.into_iter().zip(&step.transitions) {
            let found: Vec<&Alarm> = happened.iter().filter(|a| a.transition == kind).collect();
            self.compare(&format!("step {n}: {}", kind.as_str()), step.at, wanted, &found);
        }
        self.values(rig, snapshot, &step.values);
    }

    fn say(&mut self, at: Place, message: String) {
        let message = format!("{}: {message}", self.case);
        let (file, text) = (self.written.file, self.written.text);
        self.broken.push(Problem::at_line(file, text, at.line, at.column, message));
    }

    /// Every wanted alarm must be there, and nothing else.
    fn compare(&mut self, what: &str, at: Place, wanted: &[Wanted], found: &[&Alarm]) {
        let mut left = found.to_vec();
        self.checked += wanted.len();
        for one in wanted {
            match left.iter().position(|alarm| one.is(alarm)) {
                Some(place) => {
                    left.remove(place);
                }
                None => {
                    let near: Vec<String> =
                        left.iter().filter(|a| a.kind == one.kind).map(|a| shown(a)).collect();
                    let near = match near.is_empty() {
                        true => "nothing of this type".to_owned(),
                        false => near.join("; "),
                    };
                    self.say(one.at, format!("{what}: expected {}, found {near}", one.shown()));
                }
            }
        }
        // One that was told as missing has most likely another severity or text: that is no news.
        let missed = |alarm: &&Alarm| {
            wanted.iter().any(|w| w.kind == alarm.kind && w.resource == alarm.resource)
        };
        for alarm in left.iter().filter(|alarm| !missed(alarm)) {
            self.say(at, format!("{what}: not expected: {}", shown(alarm)));
        }
        self.checked += usize::from(wanted.is_empty());
    }

    fn values(&mut self, rig: &Rig, snapshot: &Snapshot, wanted: &[Expected]) {
        if wanted.is_empty() {
            return;
        }
        let rows = rig.rows(snapshot);
        for one in wanted {
            self.checked += 1;
            let named: Vec<&Row> = rows.iter().filter(|r| r.metric.symbol == one.name).collect();
            let resource = |row: &&&Row| {
                one.resource.as_ref().is_none_or(|name| *name == row.examined.reading.resource)
            };
            let Some(row) = named.iter().find(resource) else {
                let there: Vec<&str> =
                    named.iter().take(8).map(|r| r.examined.reading.resource.as_str()).collect();
                let part = one.resource.as_deref().unwrap_or("any part");
                let message = match there.is_empty() {
                    true => format!("{} is not read at all", one.name),
                    false => format!("{} is not read of {part}; of {}", one.name, there.join(", ")),
                };
                self.say(one.at, message);
                continue;
            };
            for (key, wanted) in &one.says {
                let found = said(row, key);
                if !same(wanted, &found) {
                    let message =
                        format!("{key} of {}: expected {wanted:?}, found {found:?}", one.name);
                    self.say(one.at, message);
                }
            }
        }
    }
}

impl Wanted {
    fn is(&self, alarm: &Alarm) -> bool {
        // What clears carries the severity that it had.
        let severity = self.severity.is_none_or(|severity| severity == alarm.severity);
        self.kind == alarm.kind
            && self.resource == alarm.resource
            && severity
            && self.text.as_ref().is_none_or(|text| *text == alarm.text)
    }

    fn shown(&self) -> String {
        let severity = self.severity.map(|s| format!("{} ", s.as_str())).unwrap_or_default();
        let text = self.text.as_ref().map(|text| format!(": {text:?}")).unwrap_or_default();
        format!("{severity}{} on {:?}{text}", self.kind, self.resource)
    }
}

fn shown(alarm: &Alarm) -> String {
    format!("{} {} on {:?}: {:?}", alarm.severity.as_str(), alarm.kind, alarm.resource, alarm.text)
}

fn said(row: &Row, key: &str) -> String {
    let reading = &row.examined.reading;
    match key {
        "unit" => reading.unit.to_string(),
        "verdict" => row.verdict.map_or("none", |verdict| verdict.as_str()).to_owned(),
        "state" => {
            let state = reading.labels.iter().find(|(name, _)| **name == *"state");
            state.map(|(_, state)| state.clone()).unwrap_or_default()
        }
        _ => match &reading.value {
            Value::Number(number) => number.to_string(),
            Value::Text(text) | Value::Line { text, .. } => text.clone(),
            Value::Probe(_) => String::new(),
        },
    }
}

/// Numbers are the same however they are written.
fn same(wanted: &str, found: &str) -> bool {
    match (wanted.parse::<f64>(), found.parse::<f64>()) {
        (Ok(wanted), Ok(found)) => (wanted - found).abs() <= 1e-9 * wanted.abs().max(1.0),
        _ => wanted == found,
    }
}
