//! What is wrong with symbols, whatever the alarms on them say.

use super::About;
use super::view::{entries, get, word};
use crate::profile::name::{Name, Part};
use crate::profile::node::Node;
use crate::profile::plan::Unit;

/// Units that the field uses; ours are in `docs/profiles.md`.
pub const UNITS: &[&str] = &[
    "%", "C", "F", "K", "V", "mV", "A", "mA", "W", "mW", "kW", "VA", "kVA", "var", "Wh", "kWh",
    "Hz", "kHz", "MHz", "GHz", "rpm", "dB", "dBm", "Pa", "hPa", "kPa", "bar", "psi", "m/s", "m3/h",
    "l/min", "CFM", "lx", "ppm", "B", "kB", "KB", "MB", "GB", "TB", "PB", "KiB", "MiB", "GiB",
    "TiB", "PiB", "bit/s", "kbit/s", "Mbit/s", "Gbit/s", "B/s", "KiB/s", "MB/s", "MiB/s", "IOPS",
    "1/s", "us", "ms", "s", "min", "h", "d", "", "m3/min", "L/s", "GPM", "m/min", "deg", "Ohm",
    "mm", "m", "g/m3",
];

/// All of them.
pub(super) fn all(about: &mut About<'_>) {
    tables(about);
    units(about);
    unused(about);
    unnamed_rows(about);
}

fn tables(about: &mut About<'_>) {
    let view = about.view;
    for symbol in &view.symbols {
        let (Some(oid), Some(table)) = (&symbol.oid, &symbol.table) else { continue };
        if oid.after(table).is_none_or(<[u32]>::is_empty) {
            let at = get(symbol.node, "OID").map_or(symbol.at, |n| n.at);
            let message = format!("{} ({oid}) is not under its table {table}", symbol.name);
            about.warn("oid-outside-table", at, message);
        }
    }
}

fn units(about: &mut About<'_>) {
    let view = about.view;
    for symbol in &view.symbols {
        let Some(unit) = get(symbol.node, "unit") else { continue };
        let mapped = get(unit, "mapping").map(entries).unwrap_or_default();
        let nodes = std::iter::once(unit).chain(mapped.iter().map(|(_, node)| node));
        for node in nodes {
            let known = |text: &String| UNITS.contains(&text.as_str());
            let converted = |text: &String| mapped_to_celsius(node, unit, text);
            let Some(text) = word(node).filter(|text| !known(text) && !converted(text)) else {
                continue;
            };
            let hint = UNITS.iter().find(|known| known.eq_ignore_ascii_case(&text));
            let hint = hint.map(|known| format!("did you mean {known:?}?"));
            about.warn_near("unit-unknown", node.at, format!("unknown unit {text:?}"), hint);
        }
    }
}

/// `fahrenheit` and `kelvin` in a mapping are conversions to °C.
fn mapped_to_celsius(node: &Node, unit: &Node, text: &str) -> bool {
    !std::ptr::eq(node, unit) && Unit::to_celsius(text).is_some()
}

/// A value that no alarm looks at is at least a measurement: then it has a unit.
fn unused(about: &mut About<'_>) {
    let (view, Some(profile)) = (about.view, about.profile()) else { return };
    if !view.has_alarms {
        return;
    }
    for symbol in &view.symbols {
        let of_metric = |rule: &&std::sync::Arc<crate::rule::Rule>| {
            rule.metric.rsplit_once('.').is_some_and(|(_, name)| name == symbol.name)
        };
        let judged = profile.rules.iter().any(|rule| of_metric(&rule));
        let alarmed = view.alarms.iter().any(|alarm| alarm.metric == symbol.name);
        if !judged && !alarmed && get(symbol.node, "unit").is_none() {
            let message = format!("{} is read, but has neither an alarm nor a unit", symbol.name);
            about.warn("symbol-unused", symbol.at, message);
        }
    }
}

/// `resource` of a table's entry in which nothing tells its rows apart.
fn unnamed_rows(about: &mut About<'_>) {
    let view = about.view;
    let mut seen = Vec::new();
    for symbol in &view.symbols {
        let Some(resource) = get(symbol.entry, "resource") else { continue };
        if get(symbol.entry, "symbols").is_none() || seen.contains(&resource.at) {
            continue;
        }
        seen.push(resource.at);
        same_for_all(about, resource);
    }
}

/// Warns where a resource is the same for every row.
pub(super) fn same_for_all(about: &mut About<'_>, resource: &crate::profile::node::Node) {
    let Some(name) = word(resource).and_then(|text| Name::parse(&text).ok()) else { return };
    if !name.parts.iter().any(|part| matches!(part, Part::Tags(_))) {
        let message = "every row of the table has this name; name a tag of the row in it, \
                       such as ${index}"
            .to_owned();
        about.warn("resource-not-unique", resource.at, message);
    }
}
