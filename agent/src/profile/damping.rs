//! `count`, `flapping` and `silence` of an alarm.

use super::node::{Kind, Node};
use super::reader::{Map, Reader};
use super::thresholds::severity;
use crate::rule::{Condition, Count, Damping, Flapping, MAX_COUNT};

/// Reads `count` and `flapping`.
pub(super) fn damping(reader: &Reader<'_>, map: &Map<'_>) -> Option<Box<Damping>> {
    let count = map.get("count").and_then(|node| count(reader, node));
    let flapping = map.get("flapping").and_then(|node| flapping(reader, node));
    let damping = Damping { for_ms: 0, count, flapping };
    (damping != Damping::default()).then(|| Box::new(damping))
}

/// `{times, within}`.
fn count(reader: &Reader<'_>, node: &Node) -> Option<Count> {
    let map = reader.map(node)?;
    // Once is enough for what happened between two polls and is not seen by the next: an alarm that stays
    // for the whole window.
    let times = map.need("times", "a count").and_then(|n| Some((n.at, reader.whole(n, 1)?)));
    let within_ms = map.need("within", "a count").and_then(|n| reader.duration_ms(n));
    map.no_others();
    let (at, times) = times?;
    if times > MAX_COUNT {
        reader.error(at, format!("expected at most {MAX_COUNT} times, found {times}"));
    }
    Some(Count { times, within_ms: within_ms? })
}

/// `true` or `{high, low}`, percent.
fn flapping(reader: &Reader<'_>, node: &Node) -> Option<Flapping> {
    if let Kind::Bool(wanted) = node.kind {
        return wanted.then(Flapping::default);
    }
    let map = reader.map(node)?;
    let usual = Flapping::default();
    let percent = |key, otherwise| {
        let Some(node) = map.get(key) else { return Some(otherwise) };
        let number = reader.number(node)?;
        if !(0.0..=100.0).contains(&number) || number == 0.0 {
            reader.error(node.at, format!("expected more than 0 and at most 100, found {number}"));
        }
        Some(number)
    };
    let (high, low) = (percent("high", usual.high), percent("low", usual.low));
    map.no_others();
    let (high, low) = (high?, low?);
    if low > high {
        reader.error(map.at, format!("`low` {low} is more than `high` {high}"));
    }
    Some(Flapping { high, low, ..usual })
}

/// `{after, severity}`.
pub(super) fn silence(reader: &Reader<'_>, node: &Node) -> Option<Condition> {
    let map = reader.map(node)?;
    let after_ms = map.need("after", "a silence").and_then(|n| reader.duration_ms(n));
    let severity = map.need("severity", "a silence").and_then(|n| severity(reader, n, &[]));
    map.no_others();
    Some(Condition::Silence { after_ms: after_ms?, severity: severity?.ok()? })
}
