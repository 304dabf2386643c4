//! The words of a notice, in the language of who reads it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use callhome_shared::config_error::did_you_mean;
use serde::Deserialize;

use super::{Event, Facts};

/// A language of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Chinese.
    Chinese,
    /// English.
    English,
}

impl Language {
    /// Reads `zh-CN` or `en`; what is neither is read by most in Chinese.
    pub fn of(text: &str) -> Self {
        if text == "en" { Language::English } else { Language::Chinese }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    pub(super) events: BTreeMap<String, (String, String)>,
    labels: BTreeMap<String, String>,
    clocks: BTreeMap<String, String>,
    levels: BTreeMap<String, String>,
    summary: (String, String),
    more: String,
    somebody: String,
}

pub(super) static ENGLISH: LazyLock<Words> =
    LazyLock::new(|| read(include_str!("../../notices/en.json")));
pub(super) static CHINESE: LazyLock<Words> =
    LazyLock::new(|| read(include_str!("../../notices/zh-CN.json")));

/// The files are part of the program; a test reads them.
fn read(text: &str) -> Words {
    serde_json::from_str(text).unwrap_or_default()
}

pub(super) fn words(language: Language) -> &'static Words {
    match language {
        Language::Chinese => &CHINESE,
        Language::English => &ENGLISH,
    }
}

pub(super) fn known_event(name: &str) -> Result<(), String> {
    let all = Event::ALL.map(Event::as_str);
    if all.contains(&name) {
        return Ok(());
    }
    let found: String = name.chars().take(40).collect();
    let hint = did_you_mean(&found, all).map(|hint| format!(": {hint}")).unwrap_or_default();
    Err(format!("expected one of {}, found {found:?}{hint}", all.join(", ")))
}

/// Subject and text. `link`: where the ticket is.
pub fn text(facts: &Facts, language: Language, link: &str) -> (String, String) {
    let words = words(language);
    let (head, lead) = words.events.get(&facts.event).cloned().unwrap_or_default();
    let head = filled(&head, facts, words);
    let subject =
        format!("[{} {}] {head} – {}", facts.number, facts.priority.to_uppercase(), facts.device);
    let mut lines = vec![filled(&lead, facts, words), String::new()];
    let priority = facts.priority.to_uppercase();
    for (name, value) in [
        ("number", &facts.number),
        ("priority", &priority),
        ("device", &facts.device),
        ("site", &facts.site),
        ("customer", &facts.customer),
        ("person", &facts.person),
        ("text", &facts.text),
    ] {
        let label = words.labels.get(name).map(String::as_str).unwrap_or(name);
        if !value.is_empty() {
            lines.push(format!("{label}: {value}"));
        }
    }
    if facts.major {
        lines.push(words.labels.get("major").cloned().unwrap_or_default());
    }
    let label = words.labels.get("link").map(String::as_str).unwrap_or("link");
    lines.push(format!("{label}: {link}"));
    (one_line(&subject), lines.join("\n"))
}

/// Subject and text of many notices in one.
pub fn summary(all: &[Facts], language: Language) -> (String, String) {
    /// Lines of one summary.
    const MOST: usize = 20;
    let words = words(language);
    let count = all.len().to_string();
    let mut lines = vec![words.summary.1.replace("{count}", &count)];
    for facts in all.iter().take(MOST) {
        let head = words.events.get(&facts.event).map(|e| e.0.as_str()).unwrap_or_default();
        let head = filled(head, facts, words);
        let priority = facts.priority.to_uppercase();
        lines.push(one_line(&format!("{} {priority} {head} – {}", facts.number, facts.device)));
    }
    if all.len() > MOST {
        lines.push(words.more.replace("{count}", &(all.len() - MOST).to_string()));
    }
    (words.summary.0.replace("{count}", &count), lines.join("\n"))
}

/// Fills the places of a text; what a device or a person wrote is never looked through for places.
fn filled(template: &str, facts: &Facts, words: &Words) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let Some((name, after)) = after.split_once('}') else { break };
        let known = |map: &BTreeMap<String, String>, key: &str| {
            map.get(key).cloned().unwrap_or_else(|| key.to_owned())
        };
        text.push_str(&match name {
            "person" if facts.person.is_empty() => words.somebody.clone(),
            "person" => facts.person.clone(),
            "level" => known(&words.levels, &facts.level),
            "clock" => known(&words.clocks, &facts.clock),
            "until" => facts.until.clone(),
            _ => String::new(),
        });
        rest = after;
    }
    text.push_str(rest);
    text
}

/// No line of a header may be made by what a device says.
fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.chars().take(200).collect()
}
