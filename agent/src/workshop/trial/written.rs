//! A test file's text into cases.

use callhome_shared::config_error::{Problem, Problems, did_you_mean};
use callhome_shared::severity::Severity;

use super::Written;
use crate::profile::node::{self, Kind, Node, Place};
use crate::profile::oid::Oid;
use crate::profile::reader::{Map, Reader};
use crate::source::snmp::value::Value;
use crate::workshop::{Recording, recording};

/// What a row is in `inject` that is taken away.
const GONE: &str = "gone";
/// Most cases of a file, and steps of a case.
const MAX_ITEMS: usize = 1000;

/// A device, and what must be said of it.
pub struct Case {
    /// Where it stands.
    pub at: Place,
    /// Its name.
    pub name: String,
    /// The profiles; empty = the one that the file is named after.
    pub profiles: Vec<String>,
    /// The device.
    pub recording: Recording,
    /// Values that must be read.
    pub values: Vec<Expected>,
    /// The alarms that must stand, and no others.
    pub alarms: Vec<Wanted>,
    /// What happens then.
    pub steps: Vec<Step>,
}

/// A change, and what must follow.
pub struct Step {
    /// Where it stands.
    pub at: Place,
    /// Time that passes before the poll, ms; `None` = as much as any rule waits for.
    pub after_ms: Option<i64>,
    /// Rows that change; `None` = gone.
    pub inject: Vec<(Oid, Option<Value>)>,
    /// What must be raised, changed, cleared, and no others.
    pub transitions: [Vec<Wanted>; 3],
    /// Values that must be read.
    pub values: Vec<Expected>,
}

/// An alarm.
pub struct Wanted {
    /// Where it stands.
    pub at: Place,
    /// Its type.
    pub kind: String,
    /// Its resource; empty = the device.
    pub resource: String,
    /// Its severity, if that matters.
    pub severity: Option<Severity>,
    /// Its words, if they matter.
    pub text: Option<String>,
}

/// A value.
pub struct Expected {
    /// Where it stands.
    pub at: Place,
    /// The symbol's name.
    pub name: String,
    /// The part; `None` = any.
    pub resource: Option<String>,
    /// What must be said of it: value, unit, state, verdict.
    pub says: Vec<(&'static str, String)>,
}

/// Reads a test file.
pub fn read(written: &Written<'_>) -> Result<Vec<Case>, Problems> {
    let reader = Reader::new(written.file, written.text);
    let root = node::parse(written.file, written.text)?;
    let mut cases = Vec::new();
    if let Some(map) = reader.map(&root) {
        let list = map.need("cases", "a test file").map(|n| reader.list(n)).unwrap_or_default();
        for node in list.iter().take(MAX_ITEMS) {
            cases.extend(case(&reader, node, written));
        }
        if list.len() > MAX_ITEMS {
            reader.error(map.at, format!("more than {MAX_ITEMS} cases"));
        }
        map.no_others();
    }
    let (problems, _) = reader.finish();
    if problems.is_empty() { Ok(cases) } else { Err(Problems(problems)) }
}

fn case(reader: &Reader<'_>, node: &Node, written: &Written<'_>) -> Option<Case> {
    let map = reader.map(node)?;
    let name = map.need("name", "a case").and_then(|n| reader.text(n)).unwrap_or_default();
    let profiles = map.get("profiles").map(|n| reader.texts(n)).unwrap_or_default();
    let mut recording = Recording::default();
    if let Some(node) = map.get("recording")
        && let Some(file) = reader.text(node)
    {
        let path = written.folder.unwrap_or(std::path::Path::new(".")).join(&file);
        match Recording::load(&path) {
            Ok(loaded) => recording = loaded,
            Err(problems) => {
                let first = problems.0.first().map(Problem::to_string).unwrap_or_default();
                reader.error(node.at, first);
            }
        }
    }
    let rows = map.get("rows").map(|n| rows(reader, n)).unwrap_or_default();
    for (oid, value) in rows {
        recording.set(oid, value);
    }
    if recording.is_empty() {
        reader.error(map.at, "a case needs `rows` or a `recording` that is not empty");
    }
    let values = map.get("values").map(|n| values(reader, n)).unwrap_or_default();
    let alarms = map.get("alarms").map(|n| alarms(reader, n)).unwrap_or_default();
    let steps = map.get("steps").map(|n| reader.list(n)).unwrap_or_default();
    let steps = steps.iter().take(MAX_ITEMS).filter_map(|n| step(reader, n)).collect();
    let at = map.at;
    map.no_others();
    let profiles = profiles.into_iter().map(|(_, name)| name).collect();
    Some(Case { at, name, profiles, recording, values, alarms, steps })
}

fn step(reader: &Reader<'_>, node: &Node) -> Option<Step> {
    let map = reader.map(node)?;
    let after_ms = map.get("after").and_then(|n| reader.duration_ms(n));
    let inject = map.get("inject").map(|n| rows(reader, n)).unwrap_or_default();
    let list = |key| map.get(key).map(|n| alarms(reader, n)).unwrap_or_default();
    let transitions = [list("raised"), list("changed"), list("cleared")];
    let values = map.get("values").map(|n| values(reader, n)).unwrap_or_default();
    let at = map.at;
    map.no_others();
    Some(Step { at, after_ms, inject, transitions, values })
}

/// Rows as in a recording: a text of lines, or a list of them. `oid|gone` takes one away.
fn rows(reader: &Reader<'_>, node: &Node) -> Vec<(Oid, Option<Value>)> {
    let mut rows = Vec::new();
    let listed = matches!(node.kind, Kind::List(_));
    for (at, text) in reader.texts(node) {
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match row(line) {
                Ok(row) => rows.push(row),
                Err(why) if listed => reader.error(at, why),
                Err(why) => reader.error(at, format!("row {}: {why}", n + 1)),
            }
        }
    }
    rows
}

fn row(line: &str) -> Result<(Oid, Option<Value>), String> {
    let (name, rest) = line.split_once('|').ok_or("expected `oid|tag|value` or `oid|gone`")?;
    let oid = Oid::parse(name).ok_or_else(|| format!("{name:?} is no object identifier"))?;
    if rest.trim() == GONE {
        return Ok((oid, None));
    }
    recording::value(rest).map(|value| (oid, Some(value)))
}

fn alarms(reader: &Reader<'_>, node: &Node) -> Vec<Wanted> {
    let mut all = Vec::new();
    for node in reader.list(node) {
        let Some(map) = reader.map(node) else { continue };
        let kind = map.need("type", "an expected alarm").and_then(|n| reader.text(n));
        let resource = map.get("resource").and_then(|n| reader.text(n)).unwrap_or_default();
        let severity = map.get("severity").and_then(|n| severity(reader, n));
        let text = map.get("text").and_then(|n| reader.text(n));
        map.no_others();
        let at = map.at;
        all.extend(kind.map(|kind| Wanted { at, kind, resource, severity, text }));
    }
    all
}

fn severity(reader: &Reader<'_>, node: &Node) -> Option<Severity> {
    let text = reader.text(node)?;
    let severity = Severity::parse(&text);
    if severity.is_none() {
        let words = Severity::ALL.iter().map(|s| s.as_str());
        let valid = words.clone().collect::<Vec<_>>().join(", ");
        let message = format!("expected one of {valid}, found {text:?}");
        reader.error_near(node.at, message, &text, words);
    }
    severity
}

fn values(reader: &Reader<'_>, node: &Node) -> Vec<Expected> {
    let mut all = Vec::new();
    for node in reader.list(node) {
        let Some(map) = reader.map(node) else { continue };
        let name = map.need("name", "an expected value").and_then(|n| reader.text(n));
        let resource = map.get("resource").and_then(|n| reader.text(n));
        let says = ["value", "unit", "state", "verdict"].into_iter();
        let says: Vec<_> = says.filter_map(|key| Some((key, said(reader, &map, key)?))).collect();
        map.no_others();
        let at = map.at;
        all.extend(name.map(|name| Expected { at, name, resource, says }));
    }
    all
}

fn said(reader: &Reader<'_>, map: &Map<'_>, key: &'static str) -> Option<String> {
    let node = map.get(key)?;
    let text = reader.text(node)?;
    let words = ["ok", "warning", "critical", "unknown", "none"];
    if key == "verdict" && !words.contains(&text.as_str()) {
        let message = format!("expected one of {}, found {text:?}", words.join(", "));
        reader.error(
            node.at,
            match did_you_mean(&text, words) {
                Some(hint) => format!("{message}; {hint}"),
                None => message,
            },
        );
    }
    Some(text)
}
