//! `threshold:` of an alarm: limits that the profile gives, and limits that the device says.

use std::sync::Arc;

use callhome_shared::severity::Severity;

use super::node::{Kind, Node, Place};
use super::plan::{Metric, ReadLimit};
use super::reader::{Map, Reader};
use super::symbols::instance;
use crate::rule::{Condition, Level, Limit, Measure, Op};

/// Reads one threshold or a list of them; with the limits that `metric` needs from the device.
pub(super) fn thresholds(
    reader: &Reader<'_>,
    node: &Node,
    metric: Option<&Metric>,
) -> Option<(Condition, Vec<ReadLimit>)> {
    let nodes = match &node.kind {
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut for_ms = 0;
    let mut levels = Vec::new();
    let mut limits = Vec::new();
    for node in nodes {
        let map = reader.map(node)?;
        if let Some(ms) = map.get("for").and_then(|n| reader.duration_ms(n)) {
            for_ms = for_ms.max(ms);
        }
        levels.extend(level(reader, &map, metric, &mut limits));
        map.no_others();
    }
    (!levels.is_empty())
        .then_some((Condition::Threshold { levels, for_ms, measure: Measure::Value }, limits))
}

fn level(
    reader: &Reader<'_>,
    map: &Map<'_>,
    metric: Option<&Metric>,
    limits: &mut Vec<ReadLimit>,
) -> Option<Limit> {
    let severity = map.need("severity", "a threshold").and_then(|n| severity(reader, n, &[]));
    let clear = map.get("clear").and_then(|n| Some((n.at, reader.number(n)?)));
    let back = map.get("clear_by").and_then(|n| Some((n.at, reader.number(n)?)));
    let (op, node) = match (map.get("above"), map.get("below")) {
        (Some(node), None) => (Op::Above, node),
        (None, Some(node)) => (Op::Below, node),
        _ => {
            reader.error(map.at, "a threshold needs either `above` or `below`");
            return None;
        }
    };
    let back = match back {
        Some((at, back)) if back < 0.0 => {
            reader.error(at, format!("`clear_by` is a distance from 0, found {back}"));
            0.0
        }
        Some((_, back)) => back,
        None => 0.0,
    };
    if matches!(node.kind, Kind::Map(_)) {
        if let Some((at, _)) = clear {
            reader.error(at, "a limit that the device says clears `clear_by` so much behind it");
        }
        let label = read_limit(reader, node, metric?, limits)?;
        return Some(Limit::Read { severity: severity?.ok()?, op, label, back });
    }
    let limit = reader.number(node)?;
    let clear = match (clear, op) {
        (Some((at, clear)), Op::Above) if clear > limit => {
            wrong_side(reader, at, clear, limit);
            clear
        }
        (Some((at, clear)), Op::Below) if clear < limit => {
            wrong_side(reader, at, clear, limit);
            clear
        }
        (Some((_, clear)), _) => clear,
        (None, Op::Above) => limit - back,
        (None, Op::Below) => limit + back,
    };
    Some(Level { severity: severity?.ok()?, op, limit, clear }.into())
}

fn wrong_side(reader: &Reader<'_>, at: Place, clear: f64, limit: f64) {
    reader.error(at, format!("`clear` {clear} is on the bad side of the limit {limit}"));
}

/// `{OID, name, scale_factor, unset}`: the limit stands at the device. Gives the label it becomes.
fn read_limit(
    reader: &Reader<'_>,
    node: &Node,
    metric: &Metric,
    limits: &mut Vec<ReadLimit>,
) -> Option<Arc<str>> {
    let map = reader.map(node)?;
    let oid = map.need("OID", "a limit").and_then(|n| reader.oid(n));
    let name = map.get("name").and_then(|n| reader.text(n));
    let scale = map.get("scale_factor").and_then(|n| reader.number(n));
    let numbers = |n: &Node| match &n.kind {
        Kind::List(items) => items.iter().filter_map(|n| reader.number(n)).collect(),
        _ => reader.number(n).into_iter().collect(),
    };
    let unset = map.get("unset").map_or_else(|| vec![0.0], numbers);
    map.no_others();
    let oid = oid?;
    // No column of any MIB is called 0: with an instance it is a scalar.
    let column = metric.column && oid.arcs().last() != Some(&0);
    let oid = if column { oid } else { instance(oid) };
    let label: Arc<str> = name.unwrap_or_else(|| format!("limit {oid}")).into();
    let limit = ReadLimit { label: label.clone(), oid, column, scale, unset };
    if metric.tags.iter().any(|tag| tag.name == label) || ["index", "state"].contains(&&*label) {
        let message = format!("a limit cannot be called {label:?}: its row has a tag of that name");
        reader.error(map.at, message);
    }
    told_apart(reader, map.at, limits, &limit);
    if !limits.contains(&limit) {
        limits.push(limit);
    }
    Some(label)
}

/// A limit is known by its name: two that differ need two.
pub(super) fn told_apart(reader: &Reader<'_>, at: Place, known: &[ReadLimit], limit: &ReadLimit) {
    if known.iter().any(|other| other.label == limit.label && other != limit) {
        let message = format!("two limits of this metric are called {:?}", limit.label);
        reader.error(at, format!("{message}; give one of them another `name`"));
    }
}

/// A severity, or one of `further` words as an error.
pub(super) fn severity(
    reader: &Reader<'_>,
    node: &Node,
    further: &[&str],
) -> Option<Result<Severity, String>> {
    let text = reader.text(node)?;
    if let Some(severity) = Severity::parse(&text) {
        return Some(Ok(severity));
    }
    if further.contains(&text.as_str()) {
        return Some(Err(text));
    }
    let mut valid: Vec<&str> = Severity::ALL.iter().map(|s| s.as_str()).collect();
    valid.extend(further);
    let message = format!("expected one of {}, found {text:?}", valid.join(", "));
    reader.error_near(node.at, message, &text, valid.iter().copied());
    None
}
