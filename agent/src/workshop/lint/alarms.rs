//! What is wrong with alarms that load.

use super::About;
use super::checks::same_for_all;
use super::view::{Alarm, entries, get, items, number, word};
use crate::profile::node::{Node, Place};
use crate::profile::plan::{Metric, Unit};
use callhome_shared::severity::Severity;

const OK: &str = "ok";
const IGNORE: &str = "ignore";
/// Parts of words for what is broken.
const FAULTS: &[&str] =
    &["fail", "fault", "crit", "error", "dead", "broken", "degrad", "abnormal", "emerg"];
/// Longest alarm type.
const MAX_TYPE: usize = 64;

/// All of them.
pub(super) fn all(about: &mut About<'_>) {
    let view = about.view;
    for alarm in &view.alarms {
        kind(about, alarm);
        let metric = about
            .profile()
            .and_then(|p| p.metrics.iter().rev().find(|m| m.symbol == alarm.metric).cloned());
        if let Some(states) = get(alarm.node, "states") {
            verdicts(about, alarm, states);
            if let Some(metric) = &metric {
                unreachable(about, alarm, states, metric);
            }
        }
        if let Some(threshold) = get(alarm.node, "threshold") {
            levels(about, threshold, metric.as_deref());
        }
        if let (Some(resource), true) =
            (get(alarm.node, "resource"), metric.is_some_and(|m| m.column))
        {
            same_for_all(about, resource);
        }
    }
}

/// An alarm type is a word that people file and search by.
fn kind(about: &mut About<'_>, alarm: &Alarm<'_>) {
    let Some(at) = get(alarm.node, "type").map(|n| n.at) else { return };
    let known = about.shelf.known_types(about.name);
    if let Some((message, hint)) = judged_type(&alarm.kind, &known) {
        about.warn_near("type-name", at, message, hint);
    }
}

/// What is odd about an alarm type, and what was probably meant.
pub(super) fn judged_type(kind: &str, known: &[&str]) -> Option<(String, Option<String>)> {
    let part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if kind.len() > MAX_TYPE || !kind.split('-').all(part) {
        let message = format!(
            "expected an alarm type of small letters, digits and `-`, such as psu-failed, found {kind:?}"
        );
        let plain = kind.to_ascii_lowercase().replace([' ', '_'], "-");
        return Some((message, About::near(&plain, known.iter().copied())));
    }
    if known.contains(&kind) {
        return None;
    }
    let hint = nearly(kind, known)?;
    Some((format!("no other profile has the alarm type {kind:?}"), Some(hint)))
}

/// One letter more, less or other than a known type, or two that changed places.
fn nearly(kind: &str, known: &[&str]) -> Option<String> {
    let near = known.iter().find(|known| {
        let (a, b): (Vec<char>, Vec<char>) = (kind.chars().collect(), known.chars().collect());
        let front = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
        let back = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
        let (longer, shorter) = (a.len().max(b.len()), a.len().min(b.len()));
        let same = front + back.min(shorter - front.min(shorter));
        // Two letters in a row may have changed places.
        let pair = |word: &[char]| Some((*word.get(front)?, *word.get(front + 1)?));
        let swapped = longer == shorter && pair(&a) == pair(&b).map(|(x, y)| (y, x));
        let other = if swapped { 2 } else { 1 };
        longer - shorter <= 1 && shorter >= 6 && same + other >= longer
    });
    near.map(|known| format!("did you mean {known:?}?"))
}

fn verdicts(about: &mut About<'_>, alarm: &Alarm<'_>, states: &Node) {
    let words: Vec<_> =
        entries(states).iter().filter_map(|(key, node)| Some((key, word(node)?))).collect();
    let otherwise = get(alarm.node, "otherwise").and_then(word).unwrap_or_else(|| IGNORE.into());
    let raises = words.iter().any(|(_, w)| Severity::parse(w).is_some());
    let raises = raises || Severity::parse(&otherwise).is_some();
    if raises && otherwise != OK && !words.iter().any(|(_, word)| word == OK) {
        let message =
            "no state is `ok`: what it raises never ends while the part is there".to_owned();
        about.warn("no-ok-state", states.at, message);
    }
    let names = get(alarm.node, "names").map(entries).unwrap_or_default();
    for (key, _) in &words {
        let named = names.iter().find(|(raw, _)| raw.name == key.name);
        let name = named.and_then(|(_, name)| word(name));
        if name.as_ref().is_some_and(|n| *n != key.name && words.iter().any(|(k, _)| k.name == *n))
        {
            let name = name.unwrap_or_default();
            let message =
                format!("state {} is given twice: as {:?} and as {name:?}", key.name, key.name);
            about.warn("state-twice", key.at, message);
        }
    }
    if get(alarm.node, "otherwise").is_some() || !raises {
        return;
    }
    for (raw, name) in names {
        let Some(named) = word(name) else { continue };
        let low = named.to_ascii_lowercase();
        let judged = words.iter().any(|(key, _)| key.name == raw.name || key.name == named);
        if !judged && FAULTS.iter().any(|fault| low.contains(fault)) {
            let message = format!(
                "state {named:?} sounds like a fault, but has no verdict: it neither raises nor clears; say `ignore` if that is meant"
            );
            about.warn("state-forgotten", name.at, message);
        }
    }
}

/// States that the metric's value never has.
fn unreachable(about: &mut About<'_>, alarm: &Alarm<'_>, states: &Node, metric: &Metric) {
    let names = get(alarm.node, "names").map(entries).unwrap_or_default();
    let conversion = &metric.conversion;
    let scaled = conversion.scale != 1.0
        || conversion.percent_of.is_some()
        || !conversion.exponents.is_empty();
    if scaled && !entries(states).is_empty() {
        let message = format!("{} is scaled: its values are no states", metric.symbol);
        about.warn("state-unreachable", states.at, message);
    }
    for (key, _) in entries(states) {
        let raw = names.iter().find(|(_, name)| word(name).as_deref() == Some(&key.name));
        let raw = raw.map_or(key.name.as_str(), |(raw, _)| raw.name.as_str());
        if conversion.ignore.iter().any(|ignored| ignored == raw) {
            let message = format!("state {:?} never comes: the symbol ignores {raw}", key.name);
            about.warn("state-unreachable", key.at, message);
        }
        let bits = &conversion.bits;
        let is_bit = raw == "none" || bits.iter().any(|(_, name)| name == raw);
        if !bits.is_empty() && !is_bit {
            let message =
                format!("state {:?} never comes: no bit of the symbol is called so", key.name);
            let hint = About::near(raw, bits.iter().map(|(_, name)| name.as_str()));
            about.warn_near("state-unreachable", key.at, message, hint);
        }
    }
}

/// A fixed level of a threshold.
struct Level {
    at: Place,
    above: bool,
    limit: f64,
    severity: Severity,
}

fn levels(about: &mut About<'_>, node: &Node, metric: Option<&Metric>) {
    let mut all: Vec<Level> = Vec::new();
    for item in items(node) {
        let (above, limit) = (get(item, "above"), get(item, "below"));
        let is_above = above.is_some();
        let Some(limit) = above.or(limit).and_then(number) else { continue };
        let severity = get(item, "severity").and_then(word).and_then(|w| Severity::parse(&w));
        let Some(severity) = severity else { continue };
        all.push(Level { at: item.at, above: is_above, limit, severity });
    }
    for level in &all {
        let sooner = |other: &&Level| {
            other.above == level.above
                && !std::ptr::eq(*other, level)
                && other.severity >= level.severity
                && if level.above { other.limit < level.limit } else { other.limit > level.limit }
        };
        if let Some(other) = all.iter().find(sooner) {
            let (limit, word) = (other.limit, other.severity.as_str());
            let message =
                format!("this level decides nothing: {word} is reached at {limit} already");
            about.warn("level-unreachable", level.at, message);
        }
        let other_side = |o: &&Level| level.above && !o.above && o.limit >= level.limit;
        if let Some(other) = all.iter().find(other_side) {
            let message = format!(
                "every value is above {} or below {}: the alarm always stands",
                level.limit, other.limit
            );
            about.warn("always-raised", level.at, message);
        }
        let counts = metric.is_some_and(|m| {
            let unitless = matches!(&m.conversion.unit, Unit::Fixed(unit) if unit.is_empty());
            unitless && m.conversion.convert.is_empty() && m.conversion.percent_of.is_none()
        });
        if counts && level.above && level.limit == 0.0 {
            let message = "the limit itself counts: `above: 0` holds at 0".to_owned();
            let hint = Some("did you mean `above: 1`?".to_owned());
            about.warn_near("always-raised", level.at, message, hint);
        }
        let percent = metric.is_some_and(|m| {
            m.conversion.percent_of.is_some()
                || matches!(&m.conversion.unit, Unit::Fixed(u) if **u == *"%")
        });
        if percent && level.above && level.limit > 100.0 {
            let message = format!("no percentage is above {}", level.limit);
            about.warn("level-unreachable", level.at, message);
        }
    }
}
