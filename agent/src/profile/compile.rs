//! One profile's text, with the profiles it extends, into a [`Profile`].

use std::sync::Arc;

use callhome_shared::config_error::{Problem, did_you_mean};

use super::alarms::alarms;
use super::node::{self, Kind, Node};
use super::plan::{Match, Pattern, Profile};
use super::reader::Reader;
use super::symbols::{metadata, metrics};

/// Top-level keys of Datadog's that say nothing to us.
const UNUSED: &[&str] = &["metric_tags", "static_tags", "device", "traps", "description"];

/// What a file is before it is compiled.
pub struct Written<'a> {
    /// The profile's name.
    pub name: &'a str,
    /// The file, for messages.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// What became of a file.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The profile, if nothing was wrong.
    pub profile: Option<Arc<Profile>>,
    /// What was wrong.
    pub problems: Vec<Problem>,
    /// What was not understood and left out.
    pub notes: Vec<Problem>,
}

/// Compiles `written`. `parent` gives the profiles that it extends; `None` = there is none of
/// that name, or it is wrong itself (then the message is given there).
pub fn compile<'p>(
    written: &Written<'_>,
    known: &[&str],
    mut parent: impl FnMut(&str) -> Result<Arc<Profile>, Missing> + 'p,
) -> Compiled {
    let reader = Reader::new(written.file, written.text);
    let root = match node::parse(written.file, written.text) {
        Ok(root) => root,
        Err(problem) => return Compiled { problems: vec![problem], ..Compiled::default() },
    };
    let mut parents = Vec::new();
    let profile = reader.map(&root).map(|map| {
        for (node, name) in map.get("extends").map(|n| extends(&reader, n)).unwrap_or_default() {
            match parent(&name) {
                Ok(profile) => parents.push(profile),
                Err(Missing::Unknown) => reader.error_near(
                    node.at,
                    format!("no profile is called {name:?}"),
                    &name,
                    known.iter().copied(),
                ),
                Err(Missing::Circle) => {
                    reader.error(node.at, format!("{name:?} extends this profile in turn"));
                }
                Err(Missing::Wrong) => {
                    reader.error(node.at, format!("{name:?} is itself wrong"));
                }
            }
        }
        let profile = body(&reader, written.name, &map, &parents);
        map.tolerate_others(UNUSED);
        profile
    });
    let (problems, notes) = reader.finish();
    let profile = profile.filter(|_| problems.is_empty()).map(Arc::new);
    Compiled { profile, problems, notes }
}

/// Why a profile to be extended is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No profile has that name.
    Unknown,
    /// It extends the one that asks.
    Circle,
    /// It has faults of its own.
    Wrong,
}

fn extends<'n>(reader: &Reader<'_>, node: &'n Node) -> Vec<(&'n Node, String)> {
    let items = match &node.kind {
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let bare = |text: String| text.trim_end_matches(".yaml").to_owned();
    items.iter().filter_map(|n| Some((n, bare(reader.text(n)?)))).collect()
}

fn body(
    reader: &Reader<'_>,
    name: &str,
    map: &super::reader::Map<'_>,
    parents: &[Arc<Profile>],
) -> Profile {
    let version = map.get("version").and_then(|n| reader.text(n));
    let version = version.unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
    let mut sysobjectids = Vec::new();
    for (at, text) in map.get("sysobjectid").map(|n| reader.texts(n)).unwrap_or_default() {
        match Pattern::parse(&text) {
            Some(pattern) => sysobjectids.push(pattern),
            None => reader.error(
                at,
                format!("expected a sysObjectID such as 1.3.6.1.4.1.9.1.* , found {text:?}"),
            ),
        }
    }
    let matches = map.get("match").map(|n| matches(reader, n)).unwrap_or_default();
    let mut known = map.get("metadata").map(|n| metadata(reader, n)).unwrap_or_default();
    let own = map.get("metrics").map(|n| metrics(reader, name, n)).unwrap_or_default();
    let mut all: Vec<_> = Vec::new();
    let mut rules: Vec<_> = Vec::new();
    for parent in parents {
        known.extend(parent.metadata.iter().cloned());
        for metric in &parent.metrics {
            let taken = |s: &str, c| own.iter().any(|m| m.symbol == s && m.column == c);
            if !taken(&metric.symbol, metric.column)
                && !all.iter().any(|m: &Arc<super::plan::Metric>| m.name == metric.name)
            {
                all.push(metric.clone());
            }
        }
        for rule in &parent.rules {
            if !rules.iter().any(|r| Arc::ptr_eq(r, rule)) {
                rules.push(rule.clone());
            }
        }
    }
    all.extend(own.into_iter().map(Arc::new));
    let alarm_node = map.get("alarms");
    let own_rules =
        alarm_node.map(|n| alarms(reader, name, &version, n, &mut all)).unwrap_or_default();
    rules.extend(own_rules.into_iter().map(Arc::new));
    // A rule on a metric that this profile has made its own, or replaced, has nothing to look at.
    rules.retain(|rule| all.iter().any(|metric| *metric.name == *rule.metric));
    Profile {
        name: name.to_owned(),
        version,
        sysobjectids,
        matches,
        metadata: known,
        metrics: all,
        rules,
    }
}

/// `match: [{OID, pattern}]`.
fn matches(reader: &Reader<'_>, node: &Node) -> Vec<Match> {
    let mut all = Vec::new();
    for node in reader.list(node) {
        let Some(map) = reader.map(node) else { continue };
        let oid = map.need("OID", "a match").and_then(|n| reader.oid(n));
        map.get("name");
        let pattern = map.get("pattern").and_then(|n| reader.regex(n));
        map.no_others();
        all.extend(oid.map(|oid| Match { oid, pattern }));
    }
    all
}

/// A hint for a name that is no profile.
pub fn near(name: &str, known: &[&str]) -> Option<String> {
    did_you_mean(name, known.iter().copied())
}
