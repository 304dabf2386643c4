//! A report as a table of its own.

use super::{Group, Report, Side, Spread};
use crate::masters::csv_line;

const HEAD: [&str; 15] = [
    "part",
    "key",
    "limit",
    "tickets",
    "automatic",
    "by_hand",
    "recurred",
    "decided",
    "kept",
    "first_count",
    "first_p50_s",
    "first_p90_s",
    "second_count",
    "second_p50_s",
    "second_p90_s",
];

/// CSV after RFC 4180: a line for all tickets, one a group, after each those of its limits, two for each fault that came
/// both ways. `first` and `second` are respond and restore of groups, to the ticket and to the engineer of faults,
/// in seconds.
pub fn csv(report: &Report) -> String {
    let mut out = line(&HEAD.map(str::to_owned));
    out += &group("all", &report.all);
    for one in &report.groups {
        out += &group("group", one);
    }
    for fault in std::iter::once(&report.both).chain(&report.faults) {
        out += &side("automatic", &fault.code, &fault.automatic);
        out += &side("by_hand", &fault.code, &fault.by_hand);
    }
    out
}

fn group(part: &str, group: &Group) -> String {
    let by_hand = group.tickets - group.automatic;
    let counts = [group.tickets, group.automatic, by_hand, group.recurred];
    let mut cells = vec![part.to_owned(), harmless(&group.key), String::new()];
    cells.extend(counts.map(|n| n.to_string()));
    cells.extend([String::new(), String::new()]);
    cells.extend(spread(group.respond));
    cells.extend(spread(group.restore));
    let mut out = line(&cells);
    for kept in &group.limits {
        let mut cells = vec![part.to_owned(), harmless(&group.key), kept.limit.clone()];
        cells.resize(7, String::new());
        cells.extend([kept.decided.to_string(), kept.kept.to_string()]);
        cells.resize(HEAD.len(), String::new());
        out += &line(&cells);
    }
    out
}

fn side(part: &str, code: &str, side: &Side) -> String {
    let mut cells = vec![part.to_owned(), harmless(code), String::new()];
    cells.push(side.tickets.to_string());
    cells.resize(9, String::new());
    cells.extend(spread(side.to_ticket));
    cells.extend(spread(side.to_engineer));
    line(&cells)
}

fn spread(of: Spread) -> [String; 3] {
    let seconds = |ms: Option<i64>| {
        ms.map_or_else(String::new, |ms| format!("{}.{:03}", ms / 1000, ms % 1000))
    };
    [of.count.to_string(), seconds(of.p50_ms), seconds(of.p90_ms)]
}

/// What a spreadsheet would take for a formula begins with an apostrophe.
fn harmless(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if formula { format!("'{text}") } else { text.to_owned() }
}

fn line(cells: &[String]) -> String {
    csv_line(cells.iter().map(String::as_str))
}
