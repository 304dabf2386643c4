//! One profile's text, with the profiles it extends, into a [`Profile`].

use std::sync::Arc;

use callhome_shared::config_error::{Problem, Problems, did_you_mean};

use super::alarms::alarms;
use super::node::{self, Kind, Node, Place};
use super::plan::{Field, Head, Match, Metadatum, Pattern, Profile, Source};
use super::reader::{Map, Reader};
use super::symbols::{metadata, metrics};

/// Top-level keys of Datadog's that say nothing to us.
const UNUSED: &[&str] = &["metric_tags", "static_tags", "traps", "description"];

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
        let (head, places) = head(&reader, &map);
        for (name, at) in head.extends.iter().zip(places) {
            match parent(name) {
                Ok(profile) => parents.push(profile),
                Err(Missing::Unknown) => reader.error_near(
                    at,
                    format!("no profile is called {name:?}"),
                    name,
                    known.iter().copied(),
                ),
                Err(Missing::Circle) => {
                    reader.error(at, format!("{name:?} extends this profile in turn"));
                }
                Err(Missing::Wrong) => {
                    reader.error(at, format!("{name:?} is itself wrong"));
                }
            }
        }
        let profile = body(&reader, written.name, &map, head, parents);
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

/// Reads which devices a profile is for, of its head alone: see `build.rs`.
pub fn read_head(file: &str, text: &str) -> Result<Head, Problems> {
    let root = node::parse(file, text)?;
    let reader = Reader::new(file, text);
    let head = match &root.kind {
        Kind::Null => Head::default(),
        _ => reader.map(&root).map(|map| head(&reader, &map).0).unwrap_or_default(),
    };
    match reader.finish().0 {
        problems if problems.is_empty() => Ok(head),
        problems => Err(Problems(problems)),
    }
}

/// The head, with the place of each profile that is extended.
fn head(reader: &Reader<'_>, map: &Map<'_>) -> (Head, Vec<Place>) {
    let extends = map.get("extends").map(|n| reader.texts(n)).unwrap_or_default();
    let bare = |(at, text): (Place, String)| (text.trim_end_matches(".yaml").to_owned(), at);
    let (extends, places) = extends.into_iter().map(bare).unzip();
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
    (Head { sysobjectids, matches, extends }, places)
}

fn body(
    reader: &Reader<'_>,
    name: &str,
    map: &Map<'_>,
    head: Head,
    parents: Vec<Arc<Profile>>,
) -> Profile {
    let version = map.get("version").and_then(|n| reader.text(n));
    let version = version.unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
    let mut known = map.get("metadata").map(|n| metadata(reader, n)).unwrap_or_default();
    // Datadog's older way to name the vendor.
    let older =
        map.get("device").and_then(|n| reader.map(n)).and_then(|device| device.get("vendor"));
    if let Some(vendor) = older.and_then(|n| reader.text(n)) {
        known.push(Metadatum { field: Field::Vendor, source: Source::Fixed(vendor) });
    }
    let own = map.get("metrics").map(|n| metrics(reader, name, n)).unwrap_or_default();
    let mut all: Vec<_> = Vec::new();
    let mut rules: Vec<_> = Vec::new();
    for parent in &parents {
        known.extend(parent.metadata.iter().cloned());
        for metric in &parent.metrics {
            // Whether it is a column there and a single object here or the other way round.
            let taken = own.iter().any(|m| m.symbol == metric.symbol);
            if !taken && !all.iter().any(|m: &Arc<super::plan::Metric>| m.name == metric.name) {
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
    Profile { name: name.to_owned(), version, head, metadata: known, metrics: all, rules, parents }
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
