//! Files that say what traps mean (`trap.dir`): whatever keeps them from loading, and what loads and was
//! probably not meant.

use std::collections::BTreeMap;

use callhome_shared::config_error::Problem;

use super::alarms::judged_type;
use super::{Finding, Severity, Shelf, shelf};
use crate::profile::node::{Kind, Node, Place};
use crate::profile::oid::Oid;
use crate::source::trap::db::{Db, Meaning};

/// Keys that only such a file has at its top.
const KEYS: [&str; 3] = ["traps", "vars", "names"];
/// A profile has one of these.
const PROFILE: [&str; 4] = ["metrics", "alarms", "sysobjectid", "extends"];

/// Whether a file says what traps mean.
pub(super) fn is_one(root: &Node) -> bool {
    let Kind::Map(entries) = &root.kind else { return false };
    let has = |keys: &[&str]| entries.iter().any(|(key, _)| keys.contains(&key.name.as_str()));
    has(&KEYS) && !has(&PROFILE)
}

/// Looks at all of them together, over the shipped ones, as the agent reads them. Says which do not load.
pub(super) fn all(shelf: &Shelf, found: &mut Vec<Finding>) -> Vec<String> {
    let files: Vec<_> = shelf.given().map(|(_, entry)| entry).filter(|e| e.is_traps()).collect();
    if files.is_empty() {
        return Vec::new();
    }
    let texts: Vec<_> = files.iter().map(|e| (e.file.as_str(), e.text.as_str())).collect();
    let (db, problems) = Db::over_shipped(&texts);
    let broken = problems.iter().map(|problem| problem.file.clone()).collect();
    found.extend(problems.into_iter().map(|problem| Finding {
        severity: Severity::Error,
        check: "load",
        problem,
    }));
    let mut known = shelf.known_types("");
    let shipped = Db::shipped().ok();
    known.extend(shipped.iter().flat_map(|db| db.types()));
    let mut first: BTreeMap<Oid, &str> = BTreeMap::new();
    for entry in files {
        let mut look = Look { entry, found };
        for (key, trap) in entry.root.iter().flat_map(|root| children(root, "traps")) {
            let Some(oid) = Oid::parse(key.name.as_str()) else { continue };
            match first.get(&oid) {
                Some(other) => {
                    let message = format!("{oid} is in {other}, too; what is here goes before it");
                    look.warn("trap-twice", key.at, message, None);
                }
                None => drop(first.insert(oid, &entry.file)),
            }
            look.trap(trap, &db, &known);
        }
    }
    broken
}

/// One file under the checks.
struct Look<'a> {
    entry: &'a shelf::Entry,
    found: &'a mut Vec<Finding>,
}

impl Look<'_> {
    fn trap(&mut self, trap: &Node, db: &Db, known: &[&str]) {
        if let Some((Kind::Text(kind), at)) = child(trap, "type").map(|node| (&node.kind, node.at))
            && !kind.contains("${")
            && let Some((message, hint)) = judged_type(kind, known)
        {
            self.warn("type-name", at, message, hint);
        }
        let clears = child(trap, "clears");
        let names = clears.into_iter().flat_map(|node| match &node.kind {
            Kind::List(list) => list.iter().collect(),
            _ => vec![node],
        });
        for node in names {
            let Kind::Text(name) = &node.kind else { continue };
            if db.named(name).is_some_and(|trap| !matches!(trap.meaning, Meaning::Fault(_))) {
                let message =
                    format!("{name} raises nothing that this could end: it has no severity");
                self.warn("clears-nothing", node.at, message, None);
            }
        }
    }

    fn warn(&mut self, check: &'static str, at: Place, message: String, hint: Option<String>) {
        let (file, text) = (&self.entry.file, &self.entry.text);
        let problem = Problem::at_line(file, text, at.line, at.column, message).hint(hint);
        self.found.push(Finding { severity: Severity::Warning, check, problem });
    }
}

fn child<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Kind::Map(entries) = &node.kind else { return None };
    entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
}

fn children<'n>(
    root: &'n Node,
    name: &str,
) -> impl Iterator<Item = (&'n crate::profile::node::Key, &'n Node)> {
    let entries = child(root, name).map(|node| &node.kind);
    let entries = match entries {
        Some(Kind::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|(key, node)| (key, node))
}
