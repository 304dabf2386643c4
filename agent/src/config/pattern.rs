//! Patterns: regular expressions with the texts they fill.

use callhome_shared::config_error::did_you_mean;
use regex::{Regex, RegexBuilder};

use super::check::Checker;
use super::written::{Pattern, Silence, Text};
use crate::rule::{Condition, Rule, Template};

/// Memory that one compiled expression may take.
const REGEX_BYTES: usize = 1024 * 1024;
/// Id of the silence rule.
const SILENCE: &str = "silence";
/// What texts may name besides captures.
const COMMON_NAMES: [&str; 5] = ["resource", "metric", "value", "unit", "device"];

impl Checker<'_> {
    /// The rules of a source's patterns on readings of `metric`.
    pub(super) fn patterns(
        &mut self,
        patterns: &[Pattern],
        metric: &str,
        at: &str,
        rules: &mut Vec<Rule>,
    ) {
        for (i, pattern) in patterns.iter().enumerate() {
            let at = format!("{at}.pattern[{}]", i + 1);
            let id = self.id(&pattern.id, &format!("{at}.id"));
            if rules.iter().any(|rule| rule.id == id) {
                let message = format!("{at}.id: {id:?} is taken already in this source");
                self.problem(pattern.id.span(), message);
            }
            if let Some(rule) = self.pattern(pattern, id, metric, &at) {
                rules.push(rule);
            }
        }
    }

    fn pattern(&mut self, written: &Pattern, id: String, metric: &str, at: &str) -> Option<Rule> {
        let raise = self.regex(&written.raise, &format!("{at}.match"));
        let clear = written.clear.as_ref().map(|text| self.regex(text, &format!("{at}.clear")));
        let kind = self.id(&written.kind, &format!("{at}.type"));
        let raise = raise?;
        let clear = match clear {
            Some(clear) => Some(clear?),
            None => None,
        };
        let texts = [
            ("text", &written.text),
            ("resource", &written.resource),
            ("qualifier", &written.qualifier),
        ];
        for (key, text) in texts {
            self.placeholders(text, &raise, &format!("{at}.{key}"), "match");
        }
        if let Some(clear) = &clear {
            // The clearing line must lead to the same alarm: same resource, same qualifier.
            for (key, text) in [("resource", &written.resource), ("qualifier", &written.qualifier)]
            {
                self.placeholders(text, clear, &format!("{at}.{key}"), "clear");
            }
        }
        let damping = self.pattern_damping(written, at);
        Some(Rule {
            pack: "config".to_owned(),
            version: String::new(),
            id,
            metric: metric.to_owned(),
            condition: Condition::Pattern {
                raise: raise.into(),
                clear: clear.map(Into::into),
                severity: written.severity,
            },
            damping,
            template: Template {
                kind,
                qualifier: written.qualifier.get_ref().clone(),
                resource: written.resource.get_ref().clone(),
                text: written.text.get_ref().clone(),
                fault_code: written.fault_code.as_ref().map(|t| t.get_ref().clone()),
                proposed_repair: written.repair.as_ref().map(|t| t.get_ref().clone()),
            },
        })
    }

    /// The rule for a source that says nothing.
    pub(super) fn silence(
        &mut self,
        written: &Option<Silence>,
        metric: &str,
        rules: &mut Vec<Rule>,
    ) {
        let Some(silence) = written else { return };
        if rules.iter().any(|rule| rule.id == SILENCE) {
            let message =
                format!("a pattern with the id {SILENCE:?} cannot stand beside a silence rule");
            self.problem(silence.after_s.span(), message);
        }
        rules.push(Rule {
            pack: "config".to_owned(),
            version: String::new(),
            id: SILENCE.to_owned(),
            metric: metric.to_owned(),
            condition: Condition::Silence {
                after_ms: i64::try_from(silence.after_s.get_ref().saturating_mul(1000))
                    .unwrap_or(i64::MAX),
                severity: silence.severity,
            },
            damping: None,
            template: Template { kind: "source-silent".to_owned(), ..Template::default() },
        });
    }

    /// A regular expression of bounded size.
    pub(super) fn regex(&mut self, text: &Text, key: &str) -> Option<Regex> {
        match RegexBuilder::new(text.get_ref()).size_limit(REGEX_BYTES).build() {
            Ok(regex) => Some(regex),
            Err(error) => {
                let words = error.to_string();
                // The crate draws the expression over several lines; the last one says what is wrong.
                let why = words.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.problem(text.span(), format!("{key}: no regular expression: {why}"));
                None
            }
        }
    }

    /// Letters, digits, `-`, `_`, `.`.
    pub(super) fn id(&mut self, text: &Text, key: &str) -> String {
        let found = text.get_ref();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if found.is_empty() || found.len() > 64 || !found.chars().all(fits) {
            let message = format!(
                "{key}: expected 1 to 64 letters, digits, '-', '_' or '.', found {:?}",
                found.chars().take(80).collect::<String>()
            );
            self.problem(text.span(), message);
        }
        found.clone()
    }

    /// Every `${name}` is a group of the expression or a common name.
    fn placeholders(&mut self, text: &Text, regex: &Regex, key: &str, of: &str) {
        self.placeholders_of(text, regex, key, of, &COMMON_NAMES);
    }

    /// The same with other common names.
    pub(super) fn placeholders_of(
        &mut self,
        text: &Text,
        regex: &Regex,
        key: &str,
        of: &str,
        common: &[&str],
    ) {
        for name in placeholder_names(text.get_ref()) {
            let group = match name.parse::<usize>() {
                Ok(number) => number < regex.captures_len(),
                Err(_) => regex.capture_names().flatten().any(|group| group == name),
            };
            if group || common.contains(&name) {
                continue;
            }
            let groups: Vec<&str> = regex.capture_names().flatten().collect();
            let hint = did_you_mean(name, groups.iter().copied()).or_else(|| {
                Some(match groups.as_slice() {
                    [] => format!("`{of}` has no named group: write (?P<{name}>…) in it"),
                    groups => format!("groups of `{of}`: {}", groups.join(", ")),
                })
            });
            let message = format!("{key}: ${{{name}}} is no group of `{of}`");
            self.problem_with(text.span(), message, hint);
        }
    }
}

impl Checker<'_> {
    /// Every `${name}` is one of these.
    pub(super) fn names(&mut self, text: &Text, key: &str, known: &[&str]) {
        for name in placeholder_names(text.get_ref()).filter(|name| !known.contains(name)) {
            let hint = did_you_mean(name, known.iter().copied())
                .or_else(|| Some(format!("known: {}", known.join(", "))));
            self.problem_with(text.span(), format!("{key}: ${{{name}}} is not known"), hint);
        }
    }
}

fn placeholder_names(text: &str) -> impl Iterator<Item = &str> {
    text.split("${").skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}
