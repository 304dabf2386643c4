//! Names: alarm types out of symbols' names, and which states of an enumeration are bad.

const GOOD: &[&str] = &[
    "ok",
    "normal",
    "up",
    "online",
    "active",
    "good",
    "enabled",
    "running",
    "ready",
    "on",
    "inservice",
    "operational",
    "present",
    "healthy",
    "optimal",
    "nofault",
    "noalarm",
    "noerror",
    "closed",
    "installed",
    "connected",
    "full",
    "fullfunctional",
    "fullyoperational",
];
const CRITICAL: &[&str] = &["critical", "nonrecoverable", "emergency", "shutdown", "fatal"];
const BAD: &[&str] = &[
    "fail",
    "fault",
    "error",
    "down",
    "dead",
    "broken",
    "lost",
    "nonoperational",
    "offline",
    "notoperational",
    "bad",
    "missing",
    "abnormal",
    "major",
    "alarm",
    "disconnected",
];
const WORSE: &[&str] = &["warn", "degrad", "minor", "noncritical", "rebuild", "attention"];

/// Verdicts on all states, if at least one is good and one bad; else the names do not say.
pub fn verdicts(names: &[(String, String)]) -> Option<Vec<(String, &'static str)>> {
    let all: Vec<(String, &'static str)> =
        names.iter().map(|(raw, name)| (raw.clone(), verdict(name))).collect();
    let any = |good: bool| all.iter().any(|(_, v)| *v != "ignore" && (*v == "ok") == good);
    (any(true) && any(false)).then_some(all)
}

fn verdict(name: &str) -> &'static str {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| plain.contains(word));
    if GOOD.contains(&plain.as_str()) {
        "ok"
    } else if has(WORSE) {
        "warning"
    } else if has(CRITICAL) {
        "critical"
    } else if has(BAD) {
        "major"
    } else {
        "ignore"
    }
}

/// `powerSupplyStatus` and `abnormal` → `power-supply-abnormal`.
pub fn kind(symbol: &str, what: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    for c in symbol.chars() {
        if !c.is_ascii_alphanumeric() {
            before = ' ';
            continue;
        }
        let begins = c.is_ascii_uppercase() && !before.is_ascii_uppercase();
        match words.last_mut() {
            Some(word) if !begins && before != ' ' => word.push(c.to_ascii_lowercase()),
            _ => words.push(c.to_ascii_lowercase().to_string()),
        }
        before = c;
    }
    while words.len() > 1
        && words.last().is_some_and(|w| ["status", "state", "oper", "value"].contains(&w.as_str()))
    {
        words.pop();
    }
    let mut kind = words.join("-");
    // Types are at most 64 characters, all of them ASCII here.
    kind.truncate(48);
    let kind = kind.trim_matches('-');
    if kind.is_empty() { format!("value-{what}") } else { format!("{kind}-{what}") }
}

/// A word that can be a symbol's or a tag's name.
pub fn name(text: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = text.chars().take(80).map(keep).collect();
    let name = name.trim_matches('_');
    let mut single = String::new();
    for c in name.chars() {
        if c != '_' || !single.ends_with('_') {
            single.push(c);
        }
    }
    if single.is_empty() { "value".to_owned() } else { single }
}

/// The unit as we write it; empty = none that we know.
pub fn unit(text: &str) -> String {
    let text = text.trim().trim_start_matches('!');
    let known = match text {
        "°C" | "℃" | "C" | "celsius" => "C",
        "°F" => "F",
        "rpm" | "RPM" => "rpm",
        "b" | "bytes" => "B",
        "bps" => "bit/s",
        "dbm" => "dBm",
        "percent" => "%",
        other => other,
    };
    let ours = super::super::lint::UNITS;
    if ours.contains(&known) { known.to_owned() } else { String::new() }
}
