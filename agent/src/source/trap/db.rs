//! What traps mean: names, variables, and which of them are faults. Data, in the shape of Datadog's
//! trap databases (`traps:` and `vars:` by object identifier) with keys of our own; see `docs/traps.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use callhome_shared::config_error::{Problem, Problems};
use callhome_shared::severity::Severity;

use crate::profile::node::{self, Kind, Node};
use crate::profile::oid::Oid;
use crate::profile::plan::{Name, Part};
use crate::profile::reader::{Map, Reader};

/// Largest file.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// The shipped files.
const BUILT_IN: &[(&str, &str)] = &[
    ("generic", include_str!("../../../profiles/traps/generic.yaml")),
    ("vendors", include_str!("../../../profiles/traps/vendors.yaml")),
];
/// Keys of Datadog's that say nothing to us.
const UNUSED: &[&str] = &["mib", "descr", "status", "module"];
/// Names that texts may use besides variables.
pub const BUILT_IN_NAMES: [&str; 3] = ["index", "trap", "device"];

/// All that is known of traps.
#[derive(Debug, Default, PartialEq)]
pub struct Db {
    traps: BTreeMap<Oid, Trap>,
    vars: BTreeMap<Oid, Var>,
    names: BTreeMap<Oid, String>,
}

/// One notification.
#[derive(Debug, PartialEq)]
pub struct Trap {
    /// Its name.
    pub name: String,
    /// What it says of a fault.
    pub meaning: Meaning,
}

/// What a notification says.
#[derive(Debug, PartialEq)]
pub enum Meaning {
    /// Nothing that is a fault: it is counted.
    Event,
    /// A fault.
    Fault(Box<Fault>),
    /// The faults of these notifications are over.
    Clears(Vec<Oid>),
}

/// What of a notification is a fault, and what the alarm says.
#[derive(Debug, PartialEq)]
pub struct Fault {
    /// Alarm type.
    pub kind: Name,
    /// What has the fault.
    pub resource: Name,
    /// Tells apart several of one type on one resource.
    pub qualifier: Name,
    /// Column whose row the fault is about: a polled row's own name is the resource then.
    pub polled: Option<Oid>,
    /// How bad, and by which variable.
    pub severity: Level,
    /// Variables and the values with which it says nothing.
    pub unless: Vec<(String, Vec<String>)>,
    /// Variables and the values with which it says that the fault is over.
    pub healthy: Vec<(String, Vec<String>)>,
    /// The alarm's text; `None` = the notification with its variables.
    pub text: Option<Name>,
    /// What usually mends it.
    pub repair: Option<String>,
    /// Stable key of a knowledge article.
    pub fault_code: Option<String>,
    /// Whether something ends it: a notification, a value, a poll.
    pub ends: bool,
}

/// How bad a notification's fault is.
#[derive(Debug, PartialEq)]
pub enum Level {
    /// Always so.
    Fixed(Severity),
    /// As a variable's value says; `None` = healthy: it clears.
    By {
        /// The variable.
        var: String,
        /// Its values.
        values: BTreeMap<String, Option<Severity>>,
        /// Any other value. `None` = it says nothing.
        otherwise: Option<Severity>,
    },
}

/// One variable.
#[derive(Debug, PartialEq)]
pub struct Var {
    /// Its name.
    pub name: String,
    /// Names of its numbers.
    pub values: BTreeMap<i64, String>,
}

impl Db {
    /// The shipped files alone: read once, then shared.
    pub fn shipped() -> Result<Arc<Self>, Problems> {
        static SHIPPED: OnceLock<Arc<Db>> = OnceLock::new();
        if let Some(db) = SHIPPED.get() {
            return Ok(db.clone());
        }
        let db = Arc::new(Db::load(None)?);
        Ok(SHIPPED.get_or_init(|| db).clone())
    }

    /// The shipped files, and those of `dir` (`*.yaml`) over them.
    pub fn load(dir: Option<&Path>) -> Result<Self, Problems> {
        let own = dir.map(files).transpose()?.unwrap_or_default();
        let texts: Vec<_> = own.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
        let (db, problems) = Db::over_shipped(&texts);
        if problems.is_empty() { Ok(db) } else { Err(Problems(problems)) }
    }

    /// These files (name, text) over the shipped ones, in this order, and whatever is wrong with them.
    pub fn over_shipped(texts: &[(&str, &str)]) -> (Self, Vec<Problem>) {
        let mut db = Db::default();
        let mut problems = Vec::new();
        for (name, text) in BUILT_IN {
            db.read(&format!("built-in traps/{name}.yaml"), text, &mut problems);
        }
        for (file, text) in texts {
            db.read(file, text, &mut problems);
        }
        db.note_ends();
        (db, problems)
    }

    /// The notification with this name.
    pub fn named(&self, name: &str) -> Option<&Trap> {
        self.traps.values().find(|trap| trap.name == name)
    }

    /// One text alone.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let mut db = Db::default();
        let mut problems = Vec::new();
        db.read(file, text, &mut problems);
        db.note_ends();
        if problems.is_empty() { Ok(db) } else { Err(Problems(problems)) }
    }

    /// A notification. Version 1 names some with a zero before the last number that have none in
    /// version 2 (RFC 3584, 3.1).
    pub fn trap(&self, oid: &Oid) -> Option<&Trap> {
        let without = || match oid.arcs() {
            [enterprise @ .., 0, number] => self.traps.get(&Oid::new(enterprise).with(&[*number])),
            _ => None,
        };
        self.traps.get(oid).or_else(without)
    }

    /// How many notifications are known, and how many of them are faults.
    pub fn len(&self) -> (usize, usize) {
        let faults = self.traps.values().filter(|t| matches!(t.meaning, Meaning::Fault(_)));
        (self.traps.len(), faults.count())
    }

    /// A variable's definition and the row that the binding is of.
    pub fn var<'o>(&self, oid: &'o Oid) -> Option<(&Var, &'o [u32])> {
        let arcs = oid.arcs();
        (2..=arcs.len()).rev().find_map(|len| {
            let (name, index) = arcs.split_at_checked(len)?;
            Some((self.vars.get(&Oid::new(name))?, index))
        })
    }

    /// The alarm types of all faults, where they do not depend on a variable.
    pub fn types(&self) -> BTreeSet<&str> {
        let faults = self.traps.values().filter_map(|trap| match &trap.meaning {
            Meaning::Fault(fault) => Some(fault.kind.parts.as_slice()),
            _ => None,
        });
        let fixed = faults.filter_map(|parts| match parts {
            [Part::Text(text)] => Some(text.as_str()),
            _ => None,
        });
        fixed.collect()
    }

    /// The columns whose rows' names notifications ask for.
    pub fn polled(&self) -> BTreeSet<Oid> {
        let fault = |trap: &Trap| match &trap.meaning {
            Meaning::Fault(fault) => fault.polled.clone(),
            _ => None,
        };
        self.traps.values().filter_map(fault).collect()
    }

    /// The name of an object, or the nearest one with the numbers that follow: `powernet.0.999`.
    pub fn readable(&self, oid: &Oid) -> String {
        let arcs = oid.arcs();
        let near = (2..=arcs.len()).rev().find_map(|len| {
            let (name, rest) = arcs.split_at_checked(len)?;
            let name = Oid::new(name);
            let found = self.traps.get(&name).map(|t| &t.name);
            let found = found.or_else(|| self.vars.get(&name).map(|v| &v.name));
            Some((found.or_else(|| self.names.get(&name))?.clone(), rest.to_vec()))
        });
        match near {
            Some((name, rest)) if rest.is_empty() => name,
            Some((name, rest)) => format!("{name}.{}", crate::profile::oid::dotted(&rest)),
            None => oid.to_string(),
        }
    }

    /// Every notification's identifier.
    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<Oid> {
        self.traps.keys().cloned().collect()
    }

    /// Every variable's.
    #[cfg(test)]
    pub(super) fn all_vars(&self) -> Vec<Oid> {
        self.vars.keys().cloned().collect()
    }

    fn read(&mut self, file: &str, text: &str, problems: &mut Vec<Problem>) {
        let root = match node::parse(file, text) {
            Ok(root) => root,
            Err(problem) => return problems.push(problem),
        };
        let reader = Reader::new(file, text);
        if let Some(map) = reader.map(&root) {
            for (oid, node) in entries(&reader, map.get("vars")) {
                self.vars.extend(variable(&reader, node).map(|var| (oid, var)));
            }
            for (oid, node) in entries(&reader, map.get("names")) {
                self.names.extend(reader.text(node).map(|name| (oid, name)));
            }
            let found = entries(&reader, map.get("traps"));
            let named = |node: &Node| {
                let Kind::Map(entries) = &node.kind else { return None };
                let name = entries.iter().find(|(key, _)| key.name == "name");
                name.and_then(|(_, node)| match &node.kind {
                    Kind::Text(name) => Some(name.clone()),
                    _ => None,
                })
            };
            let mut names: BTreeMap<String, Oid> =
                self.traps.iter().map(|(oid, trap)| (trap.name.clone(), oid.clone())).collect();
            names.extend(found.iter().filter_map(|(oid, node)| Some((named(node)?, oid.clone()))));
            let vars = self.vars.values().map(|var| var.name.as_str()).collect();
            for (oid, node) in found {
                let trap = trap(&reader, node, &names, &vars);
                self.traps.extend(trap.map(|trap| (oid, trap)));
            }
            map.no_others();
        }
        problems.extend(reader.finish().0);
    }

    /// A fault that another notification clears, or a poll, or a value of its own, ends.
    fn note_ends(&mut self) {
        let cleared: BTreeSet<Oid> = self
            .traps
            .values()
            .filter_map(|trap| match &trap.meaning {
                Meaning::Clears(those) => Some(those.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        for (oid, trap) in &mut self.traps {
            if let Meaning::Fault(fault) = &mut trap.meaning {
                let healthy = match &fault.severity {
                    Level::By { values, .. } => values.values().any(Option::is_none),
                    Level::Fixed(_) => false,
                };
                fault.ends = healthy || cleared.contains(oid);
            }
        }
    }
}

fn files(dir: &Path) -> Result<Vec<(String, String)>, Problem> {
    let trouble = |path: &Path, error: std::io::Error| {
        Problem::at_line(&path.display().to_string(), "", 1, 1, format!("cannot read: {error}"))
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|e| trouble(dir, e))? {
        let path = entry.map_err(|e| trouble(dir, e))?.path();
        if path.extension().is_some_and(|e| e == "yaml") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut texts = Vec::new();
    for path in paths {
        let size = std::fs::metadata(&path).map_err(|e| trouble(&path, e))?.len();
        if size > MAX_FILE_BYTES {
            let message = format!("{size} bytes are more than the allowed {MAX_FILE_BYTES}");
            return Err(Problem::at_line(&path.display().to_string(), "", 1, 1, message));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| trouble(&path, e))?;
        texts.push((path.display().to_string(), text));
    }
    Ok(texts)
}

/// A map by object identifier.
fn entries<'n>(reader: &Reader<'_>, node: Option<&'n Node>) -> Vec<(Oid, &'n Node)> {
    let Some(node) = node else { return Vec::new() };
    let Kind::Map(entries) = &node.kind else {
        reader.error(node.at, format!("expected a map, found {}", node.kind.describe()));
        return Vec::new();
    };
    let mut all = Vec::new();
    for (key, value) in entries {
        match Oid::parse(&key.name) {
            Some(oid) => all.push((oid, value)),
            None => reader.error(
                key.at,
                format!(
                    "expected an object identifier such as 1.3.6.1.6.3.1.1.5.3, found {:?}",
                    key.name
                ),
            ),
        }
    }
    all
}

fn variable(reader: &Reader<'_>, node: &Node) -> Option<Var> {
    let map = reader.map(node)?;
    let name = map.need("name", "a variable").and_then(|n| reader.text(n))?;
    let mut values = BTreeMap::new();
    if let Some(node) = map.get("enum") {
        for (number, word) in reader.pairs(node) {
            match number.parse() {
                Ok(number) => {
                    values.insert(number, word);
                }
                Err(_) => {
                    reader.error(node.at, format!("expected a whole number, found {number:?}"));
                }
            }
        }
    }
    map.tolerate_others(UNUSED);
    Some(Var { name, values })
}

fn trap(
    reader: &Reader<'_>,
    node: &Node,
    names: &BTreeMap<String, Oid>,
    vars: &BTreeSet<&str>,
) -> Option<Trap> {
    let map = reader.map(node)?;
    let name = map.need("name", "a trap").and_then(|n| reader.text(n))?;
    let clears = map.get("clears");
    let meaning = if let Some(node) = clears {
        let mut those = Vec::new();
        for (at, name) in reader.texts(node) {
            match names.get(&name) {
                Some(oid) => those.push(oid.clone()),
                None => reader.error_near(
                    at,
                    format!("no trap is called {name:?}"),
                    &name,
                    names.keys().map(String::as_str),
                ),
            }
        }
        Meaning::Clears(those)
    } else if let Some(severity) = map.get("severity") {
        let severity = level(reader, severity, vars)?;
        Meaning::Fault(Box::new(fault(reader, &map, severity, vars)?))
    } else {
        Meaning::Event
    };
    for key in UNUSED {
        map.get(key);
    }
    map.no_others();
    Some(Trap { name, meaning })
}

fn fault(
    reader: &Reader<'_>,
    map: &Map<'_>,
    severity: Level,
    vars: &BTreeSet<&str>,
) -> Option<Fault> {
    let name = |key| map.get(key).and_then(|n| template(reader, n, vars));
    let kind = map.need("type", "a trap with a severity")?;
    let conditions = |key| {
        let mut all = Vec::new();
        let Some(values) = map.get(key).and_then(|node| reader.map(node)) else { return all };
        for (key, value) in values.entries {
            known(reader, key.at, &key.name, vars);
            let words = reader.texts(value).into_iter().map(|(_, word)| word).collect();
            all.push((key.name.clone(), words));
        }
        all
    };
    let (unless, healthy) = (conditions("unless"), conditions("healthy"));
    let text = |key| map.get(key).and_then(|n| reader.text(n));
    Some(Fault {
        kind: template(reader, kind, vars)?,
        resource: name("resource").unwrap_or_default(),
        qualifier: name("qualifier").unwrap_or_default(),
        polled: map.get("polled").and_then(|n| reader.oid(n)),
        severity,
        unless,
        healthy,
        text: name("text"),
        repair: text("repair"),
        fault_code: text("fault_code"),
        ends: false,
    })
}

/// `major`, or `{ by: variable, values: { value: severity }, otherwise: severity }`.
fn level(reader: &Reader<'_>, node: &Node, vars: &BTreeSet<&str>) -> Option<Level> {
    let Kind::Map(_) = node.kind else { return severity(reader, node).map(Level::Fixed) };
    let map = reader.map(node)?;
    let by = map.need("by", "a severity by value")?;
    let var = reader.text(by)?;
    known(reader, by.at, &var, vars);
    let mut values = BTreeMap::new();
    if let Some(list) = map.need("values", "a severity by value").and_then(|n| reader.map(n)) {
        for (key, node) in list.entries {
            let healthy = matches!(&node.kind, Kind::Text(word) if word == "ok");
            let said = if healthy { None } else { Some(severity(reader, node)?) };
            values.insert(key.name.clone(), said);
        }
    }
    let otherwise = map.get("otherwise").and_then(|n| severity(reader, n));
    map.no_others();
    Some(Level::By { var, values, otherwise })
}

fn severity(reader: &Reader<'_>, node: &Node) -> Option<Severity> {
    let text = reader.text(node)?;
    let found = Severity::parse(&text);
    if found.is_none() {
        let valid = Severity::ALL.map(Severity::as_str);
        let message = format!("expected one of {}, found {text:?}", valid.join(", "));
        reader.error_near(node.at, message, &text, valid);
    }
    found
}

fn known(reader: &Reader<'_>, at: node::Place, name: &str, vars: &BTreeSet<&str>) {
    if !vars.contains(name) && !BUILT_IN_NAMES.contains(&name) {
        let valid = vars.iter().copied().chain(BUILT_IN_NAMES);
        reader.error_near(at, format!("no variable is called {name:?}"), name, valid);
    }
}

fn template(reader: &Reader<'_>, node: &Node, vars: &BTreeSet<&str>) -> Option<Name> {
    let text = reader.text(node)?;
    match Name::parse(&text) {
        Ok(name) => {
            for part in &name.parts {
                if let crate::profile::plan::Part::Tags(names) = part {
                    names.iter().for_each(|name| known(reader, node.at, name, vars));
                }
            }
            Some(name)
        }
        Err(message) => {
            reader.error(node.at, message);
            None
        }
    }
}

#[cfg(test)]
#[path = "db_tests.rs"]
mod tests;
