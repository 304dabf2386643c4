//! `alarms:` of a profile: callhome's own part of the format. See `docs/profiles.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use callhome_shared::severity::Severity;

use super::damping::{damping, silence};
use super::name::{check_name, resource};
use super::node::{Node, Place};
use super::plan::{Metric, Name, Part, ReadLimit, Skip};
use super::reader::{Map, Reader};
use super::thresholds::{severity, thresholds, told_apart};
use crate::rule::{Condition, Measure, Rule, Template};
use crate::source::{ABSENT, SKIPPED};

/// What a state may mean besides a severity.
const OK: &str = "ok";
/// A state that says nothing.
const IGNORE: &str = "ignore";
/// Names that templates may use besides tags.
const BUILT_IN: [&str; 6] = ["index", "resource", "metric", "value", "unit", "device"];

/// Reads `alarms:`. `metrics` are this profile's with those of the profiles it extends; a metric
/// gets what the alarms on it need.
pub fn alarms(
    reader: &Reader<'_>,
    profile: &str,
    version: &str,
    node: &Node,
    metrics: &mut [Arc<Metric>],
) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut claimed: BTreeMap<usize, Place> = BTreeMap::new();
    for entry in reader.list(node) {
        let Some(map) = reader.map(entry) else { continue };
        let rule = alarm(reader, profile, version, &map, metrics, &mut claimed);
        let at = map.at;
        map.no_others();
        let Some(rule) = rule else { continue };
        if rules.iter().any(|r| r.id == rule.id) {
            reader.error(
                at,
                format!("two alarms with the id {:?}; give one of them an `id`", rule.id),
            );
            continue;
        }
        rules.push(rule);
    }
    rules
}

fn alarm(
    reader: &Reader<'_>,
    profile: &str,
    version: &str,
    map: &Map<'_>,
    metrics: &mut [Arc<Metric>],
    claimed: &mut BTreeMap<usize, Place>,
) -> Option<Rule> {
    let symbol_node = map.need("metric", "an alarm");
    let kind = map.need("type", "an alarm").and_then(|n| reader.text(n)).unwrap_or_default();
    let found = symbol_node.and_then(|node| find_metric(reader, node, metrics));
    let tags = found
        .and_then(|at| metrics.get(at))
        .map(|m| m.tags.iter().map(|t| t.name.to_string()).collect::<Vec<_>>());
    let tags = tags.unwrap_or_default();
    let names = map.get("names").map(|n| reader.pairs(n)).unwrap_or_default();
    let polled = found.and_then(|at| metrics.get(at)).map(|m| &**m);
    let (condition, limits) = condition(reader, map, &names, polled).unzip();
    let limits = limits.unwrap_or_default();
    // What a text may name besides tags.
    let named = limits.iter().map(|limit| limit.label.to_string());
    let words: Vec<String> = tags.iter().cloned().chain(named).collect();
    let damping = damping(reader, map);
    let for_states = map.get("for").and_then(|n| reader.duration_ms(n));
    let shape = Shape {
        resource: map.get("resource").and_then(|n| resource(reader, n, &tags)),
        skip: skips(reader, map, &tags),
        after: after(reader, map, &names),
        stateful: map.get("states").is_some(),
        counted: map.get("rate").or(map.get("delta")).is_some(),
        names,
        limits,
    };
    let text = |key| {
        let node = map.get(key)?;
        let text = reader.text(node)?;
        check_template(reader, node.at, &text, &words);
        Some(text)
    };
    let template = Template {
        kind: kind.clone(),
        qualifier: text("qualifier").unwrap_or_default(),
        resource: String::new(),
        text: text("text").unwrap_or_default(),
        fault_code: text("fault_code"),
        proposed_repair: text("repair"),
    };
    let id = map.get("id").and_then(|n| reader.text(n));
    let metric = own(reader, profile, map.at, found?, shape, metrics, claimed)?;
    let mut condition = condition?;
    if let Some(ms) = for_states {
        match &mut condition {
            Condition::StateMap { for_ms, .. } | Condition::Threshold { for_ms, .. } => {
                *for_ms = ms
            }
            _ => {}
        }
    }
    Some(Rule {
        pack: profile.to_owned(),
        version: version.to_owned(),
        id: id.unwrap_or_else(|| format!("{}:{kind}", metric.symbol)),
        metric: metric.name.to_string(),
        condition,
        damping,
        template,
    })
}

/// When it is a fault, and the limits that it needs from the device.
fn condition(
    reader: &Reader<'_>,
    map: &Map<'_>,
    names: &[(String, String)],
    metric: Option<&Metric>,
) -> Option<(Condition, Vec<ReadLimit>)> {
    let all = ["states", "threshold", "rate", "delta", "silence"].map(|key| (key, map.get(key)));
    let mut given = all.iter().filter_map(|(key, node)| Some((*key, (*node)?)));
    let only = given.next().filter(|_| given.next().is_none());
    if only.is_none_or(|(key, _)| key == "states") {
        // Keys of states: known, whatever becomes of them.
        map.get("otherwise");
        map.get("absent");
    }
    match only {
        Some(("states", node)) => Some((state_map(reader, map, node, names), Vec::new())),
        Some(("silence", node)) => Some((silence(reader, node)?, Vec::new())),
        Some((key, node)) => {
            let (mut condition, limits) = thresholds(reader, node, metric)?;
            if let Condition::Threshold { measure, .. } = &mut condition {
                *measure = match key {
                    "rate" => Measure::Rate,
                    "delta" => Measure::Delta,
                    _ => Measure::Value,
                };
            }
            Some((condition, limits))
        }
        None => {
            let message =
                "an alarm needs one of `states`, `threshold`, `rate`, `delta` and `silence`";
            reader.error(map.at, message);
            None
        }
    }
}

/// What an alarm asks of its metric.
struct Shape {
    resource: Option<Name>,
    skip: Vec<Skip>,
    after: Vec<String>,
    names: Vec<(String, String)>,
    stateful: bool,
    /// Rates and differences of it are asked for.
    counted: bool,
    limits: Vec<ReadLimit>,
}

fn find_metric(reader: &Reader<'_>, node: &Node, metrics: &[Arc<Metric>]) -> Option<usize> {
    let symbol = reader.text(node)?;
    let found = metrics.iter().rposition(|m| m.symbol == symbol);
    if found.is_none() {
        reader.error_near(
            node.at,
            format!("no metric is called {symbol:?} here or in the profiles this one extends"),
            &symbol,
            metrics.iter().map(|m| m.symbol.as_str()),
        );
    }
    found
}

/// Makes the metric this profile's own, with what the alarm asks of it.
fn own(
    reader: &Reader<'_>,
    profile: &str,
    at: Place,
    index: usize,
    shape: Shape,
    metrics: &mut [Arc<Metric>],
    claimed: &mut BTreeMap<usize, Place>,
) -> Option<Arc<Metric>> {
    let slot = metrics.get_mut(index)?;
    let mut metric = Metric::clone(slot);
    let first = claimed.insert(index, at);
    if first.is_none() {
        metric.name = format!("{profile}.{}", metric.symbol).into();
        metric.stateful = false;
        metric.counted = false;
        metric.alarmed = true;
        metric.limits = Arc::new([]);
        metric.skip = shape.skip.into();
        metric.after = shape.after.into();
        if let Some(name) = shape.resource {
            metric.resource = Arc::new(name);
        }
    } else if shape.resource.is_some_and(|name| name != *metric.resource)
        || !shape.skip.is_empty()
        || !shape.after.is_empty()
    {
        let line = first.map_or(0, |p| p.line);
        reader.error(
            at,
            format!(
                "`resource`, `skip_when`, `only_when` and `after` of {} are already given by the alarm in line {line}",
                metric.symbol
            ),
        );
    }
    if !shape.names.is_empty() {
        metric.states = shape.names.into();
    }
    metric.stateful |= shape.stateful;
    metric.counted |= shape.counted;
    if !shape.limits.is_empty() {
        for limit in &shape.limits {
            told_apart(reader, at, &metric.limits, limit);
        }
        let known = metric.limits.iter().filter(|known| !shape.limits.contains(known)).cloned();
        metric.limits = known.chain(shape.limits.iter().cloned()).collect();
    }
    *slot = Arc::new(metric);
    Some(slot.clone())
}

fn state_map(
    reader: &Reader<'_>,
    map: &Map<'_>,
    node: &Node,
    names: &[(String, String)],
) -> Condition {
    let mut states = BTreeMap::new();
    let mut ignored = None;
    let entries = reader.map(node).map(|m| m.entries).unwrap_or_default();
    for (key, verdict) in entries {
        let Some(verdict) = severity(reader, verdict, &[OK, IGNORE]) else { continue };
        // A name stands for its number where the alarm names its numbers.
        let raw = names.iter().find(|(_, name)| *name == key.name).map(|(raw, _)| raw);
        if !names.is_empty() && raw.is_none() && !names.iter().any(|(raw, _)| *raw == key.name) {
            let message = format!("state {:?} is not in `names`", key.name);
            let valid = names.iter().map(|(_, name)| name.as_str());
            reader.error_near(key.at, message, &key.name, valid);
        }
        // Several numbers may have one name.
        let named = names.iter().filter(|(_, name)| *name == key.name).map(|(raw, _)| raw.clone());
        let own = raw.is_none().then(|| key.name.clone());
        for raw in named.chain(own) {
            match &verdict {
                Ok(severity) => {
                    states.insert(raw, Some(*severity));
                }
                Err(word) if word == OK => {
                    states.insert(raw, None);
                }
                Err(_) => {
                    ignored.get_or_insert(key.at);
                }
            }
        }
    }
    let verdict = |key| match severity(reader, map.get(key)?, &[OK, IGNORE])? {
        Ok(severity) => Some(Some(severity)),
        Err(word) if word == OK => Some(None),
        Err(_) => None,
    };
    states.insert(SKIPPED.to_owned(), None);
    let otherwise = verdict("otherwise");
    if let (Some(at), Some(severity)) = (ignored, otherwise) {
        let severity = severity.map_or(OK, Severity::as_str);
        reader.error(at, format!("a state cannot be ignored where `otherwise` is {severity}"));
    }
    if map.get("absent").is_none() {
        states.insert(ABSENT.to_owned(), None);
    } else if let Some(absent) = verdict("absent") {
        states.insert(ABSENT.to_owned(), absent);
    }
    Condition::StateMap { states, otherwise, for_ms: 0 }
}

fn check_template(reader: &Reader<'_>, at: Place, text: &str, tags: &[String]) {
    let mut built_in = BUILT_IN.to_vec();
    built_in.push("state");
    match Name::parse(text) {
        Ok(name) => {
            for part in &name.parts {
                if let Part::Tags(names) = part {
                    // The rule engine knows no alternatives: the whole is one name.
                    check_name(reader, at, &names.join("|"), tags, &built_in);
                }
            }
        }
        Err(message) => reader.error(at, message),
    }
}

fn skips(reader: &Reader<'_>, map: &Map<'_>, tags: &[String]) -> Vec<Skip> {
    let mut skips = Vec::new();
    for (key, unless) in [("skip_when", false), ("only_when", true)] {
        let Some(conditions) = map.get(key).and_then(|n| reader.map(n)) else { continue };
        for (tag, values) in conditions.entries {
            check_name(reader, tag.at, &tag.name, tags, &["index"]);
            let patterns = reader.texts(values).into_iter().map(|(_, text)| text).collect();
            skips.push(Skip { tag: tag.name.as_str().into(), patterns, unless });
        }
    }
    skips
}

/// `after: [up]`: one of these states must have been seen first.
fn after(reader: &Reader<'_>, map: &Map<'_>, names: &[(String, String)]) -> Vec<String> {
    let Some(node) = map.get("after") else { return Vec::new() };
    let raws = |text: String| {
        let named = names.iter().filter(|(_, name)| *name == text).map(|(raw, _)| raw.clone());
        let named: Vec<String> = named.collect();
        if named.is_empty() { vec![text] } else { named }
    };
    reader.texts(node).into_iter().flat_map(|(_, text)| raws(text)).collect()
}
