//! From a notification to what it says: a fault, its end, or something to be counted. Pure.

use std::sync::Arc;

use callhome_shared::alarm::Device;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use super::db::{Db, Fault, Level, Meaning, Trap};
use super::decode::Notification;
use crate::profile::oid::{Oid, dotted};
use crate::profile::plan::Name;
use crate::rule::{Condition, Rule, Template};
use crate::source::snmp::value::Value as Raw;
use crate::source::{Reading, Value};

/// The metric of all traps: one rule words them, from their labels.
pub const METRIC: &str = "trap";
/// Longest text of a notification with its variables.
const MAX_TEXT: usize = 4096;
/// Longest value in it.
const MAX_VALUE: usize = 512;

/// What a notification turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Faults, or their ends.
    Faults(Vec<Reading>),
    /// Known, and no fault: counted under its name.
    Event(String),
    /// Known and a fault by its name, but its values say otherwise (a port that was switched off).
    Ignored(String),
    /// Nobody knows it: its nearest name.
    Unknown(String),
}

/// Who said it, and when.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// The device.
    pub device: &'a Device,
    /// `trap 192.0.2.7 v2c`.
    pub origin: &'a str,
    /// When it came.
    pub at: Time,
}

/// The built-in rule that words traps: everything it says is in the labels.
pub fn rule() -> Arc<Rule> {
    let label = |name: &str| format!("${{{name}}}");
    Arc::new(Rule {
        pack: "traps".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        id: METRIC.to_owned(),
        metric: METRIC.to_owned(),
        condition: Condition::Told,
        damping: None,
        template: Template {
            kind: label("type"),
            qualifier: label("qualifier"),
            resource: String::new(),
            text: label("text"),
            fault_code: Some(label("fault_code")),
            proposed_repair: Some(label("repair")),
        },
    })
}

/// One notification with its variables' names.
pub struct Reader<'a> {
    db: &'a Db,
    notification: &'a Notification,
    heard: Heard<'a>,
    /// Name, row and value of each binding.
    vars: Vec<(String, Vec<u32>, String)>,
}

impl<'a> Reader<'a> {
    /// Names the variables.
    pub fn new(db: &'a Db, notification: &'a Notification, heard: Heard<'a>) -> Self {
        let vars = notification.varbinds.iter().map(|varbind| {
            let (name, index, raw) = match db.var(&varbind.oid) {
                Some((var, index)) => {
                    let named = match &varbind.value {
                        Raw::Integer(n) => var.values.get(n).cloned(),
                        _ => None,
                    };
                    (var.name.clone(), index.to_vec(), named)
                }
                None => (db.readable(&varbind.oid), Vec::new(), None),
            };
            let raw = raw.unwrap_or_else(|| match &varbind.value {
                Raw::Undecodable(tag) => format!("(undecodable value of type {tag:#04x})"),
                Raw::Oid(oid) => db.readable(oid),
                value => value.text().unwrap_or_default(),
            });
            (name, index, cut(raw, MAX_VALUE))
        });
        Reader { db, notification, heard, vars: vars.collect() }
    }

    /// In one line: its name, and each variable with its value.
    pub fn line(&self) -> String {
        let mut line = self.db.readable(&self.notification.trap);
        for (name, index, value) in &self.vars {
            line.push(' ');
            line.push_str(name);
            if !index.is_empty() && index != &[0] {
                line.push('.');
                line.push_str(&dotted(index));
            }
            line.push('=');
            let quoted = value.contains(' ') || value.is_empty();
            line.push_str(&if quoted { format!("{value:?}") } else { value.clone() });
        }
        if self.notification.left_out > 0 {
            line.push_str(&format!(" (and {} more)", self.notification.left_out));
        }
        cut(line, MAX_TEXT)
    }

    /// What it says. `named` gives the name of a polled row: (column, index). `ends_s`: when a fault
    /// ends that nothing else ends.
    pub fn told(&self, named: &dyn Fn(&Oid, &[u32]) -> Option<String>, ends_s: i64) -> Told {
        let Some(Trap { name, meaning }) = self.db.trap(&self.notification.trap) else {
            return Told::Unknown(self.db.readable(&self.notification.trap));
        };
        match meaning {
            Meaning::Event => Told::Event(name.clone()),
            Meaning::Clears(those) => {
                let faults = those.iter().filter_map(|oid| match &self.db.trap(oid)?.meaning {
                    Meaning::Fault(fault) => Some(&**fault),
                    _ => None,
                });
                let mut all: Vec<Reading> = Vec::new();
                for fault in faults {
                    let reading = self.reading(name, fault, None, None, named);
                    let says = |r: &Reading, label: &str| label_of(r, label).to_owned();
                    let same = |r: &Reading| {
                        r.resource == reading.resource
                            && ["type", "qualifier"].iter().all(|l| says(r, l) == says(&reading, l))
                    };
                    if !all.iter().any(same) {
                        all.push(reading);
                    }
                }
                if all.is_empty() { Told::Event(name.clone()) } else { Told::Faults(all) }
            }
            Meaning::Fault(fault) => {
                let is = |(var, values): &(String, Vec<String>)| {
                    self.var(var).is_some_and(|value| values.iter().any(|v| v == value))
                };
                if fault.unless.iter().any(is) {
                    return Told::Ignored(name.clone());
                }
                let severity = match &fault.severity {
                    Level::Fixed(severity) => Some(Some(*severity)),
                    Level::By { var, values, otherwise } => {
                        let said = self.var(var).and_then(|value| values.get(value)).copied();
                        said.or(otherwise.map(Some))
                    }
                };
                let over = fault.healthy.iter().any(is).then_some(None);
                let Some(severity) = over.or(severity) else {
                    return Told::Ignored(name.clone());
                };
                let ends = (!fault.ends).then_some(ends_s);
                Told::Faults(vec![self.reading(name, fault, severity, ends, named)])
            }
        }
    }

    /// An alarm for a notification that nobody knows.
    pub fn unknown(&self, ends_s: i64) -> Reading {
        let trap = self.db.readable(&self.notification.trap);
        let labels = [
            ("type", "unknown-trap".to_owned()),
            ("qualifier", self.notification.trap.to_string()),
            ("severity", Severity::Indeterminate.as_str().to_owned()),
            ("ends_s", ends_s.to_string()),
            ("text", self.line()),
            ("trap", trap),
        ];
        self.made(String::new(), labels.to_vec())
    }

    fn reading(
        &self,
        trap: &str,
        fault: &Fault,
        severity: Option<Severity>,
        ends_s: Option<i64>,
        named: &dyn Fn(&Oid, &[u32]) -> Option<String>,
    ) -> Reading {
        let polled = fault.polled.as_ref().and_then(|column| {
            let index = self.row(column)?;
            named(column, &index)
        });
        let resource = polled.unwrap_or_else(|| self.fill(&fault.resource, trap));
        let text = fault.text.as_ref().map(|text| self.fill(text, trap));
        let text = text.filter(|text| !text.is_empty()).unwrap_or_else(|| self.line());
        let labels = vec![
            ("type", self.fill(&fault.kind, trap)),
            ("qualifier", self.fill(&fault.qualifier, trap)),
            ("severity", severity.map(Severity::as_str).unwrap_or_default().to_owned()),
            ("ends_s", ends_s.map(|s| s.to_string()).unwrap_or_default()),
            ("text", text),
            ("repair", fault.repair.clone().unwrap_or_default()),
            ("fault_code", fault.fault_code.clone().unwrap_or_default()),
            ("trap", trap.to_owned()),
        ];
        self.made(resource, labels)
    }

    fn made(&self, resource: String, labels: Vec<(&str, String)>) -> Reading {
        Reading {
            metric: METRIC.into(),
            resource,
            value: Value::Line { text: self.line(), truncated: self.notification.left_out > 0 },
            unit: "".into(),
            origin: self.heard.origin.into(),
            labels: labels.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            occurred_at: None,
            observed_at: self.heard.at,
        }
    }

    /// The row of a polled table that a binding is of.
    fn row(&self, column: &Oid) -> Option<Vec<u32>> {
        let entry = column.arcs().split_last()?.1;
        self.notification.varbinds.iter().find_map(|varbind| {
            let rest = varbind.oid.arcs().strip_prefix(entry)?;
            let index = rest.split_first()?.1;
            (!index.is_empty()).then(|| index.to_vec())
        })
    }

    fn var(&self, name: &str) -> Option<&str> {
        self.vars.iter().find(|(n, ..)| n == name).map(|(.., value)| value.as_str())
    }

    fn fill(&self, name: &Name, trap: &str) -> String {
        let row = self.vars.iter().find(|(_, index, _)| !index.is_empty() && index != &[0]);
        let index = row.map(|(_, index, _)| dotted(index)).unwrap_or_default();
        name.fill(|word| match word {
            "index" => Some(index.as_str()),
            "trap" => Some(trap),
            "device" => Some(self.heard.device.name.as_str()),
            word => self.var(word),
        })
    }
}

fn label_of<'r>(reading: &'r Reading, label: &str) -> &'r str {
    let found = reading.labels.iter().find(|(name, _)| &**name == label);
    found.map(|(_, value)| value.as_str()).unwrap_or_default()
}

fn cut(mut text: String, most: usize) -> String {
    callhome_shared::limits::cut(&mut text, most);
    text
}

#[cfg(test)]
#[path = "tell_tests.rs"]
mod tests;
