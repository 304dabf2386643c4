//! `[diagnosis]`.

use callhome_shared::config_error::did_you_mean;
use callhome_shared::severity::Severity;
use toml::Spanned;

use super::check::Checker;
use super::written;
use crate::diagnosis::rules::{Rule, Rules, Then};

/// Rules, at most.
const MOST: usize = 200;
/// Patterns of one list, and characters of one pattern, at most.
const LONG: usize = 200;
/// Words of `then`.
const THEN: [&str; 3] = ["open", "hold", "never"];
const DAY_S: i64 = 86_400;

impl Checker<'_> {
    pub(super) fn diagnosis(&mut self, written: &written::Diagnosis) -> Rules {
        let usual = Rules::default();
        let seconds = |ms: i64| ms / 1000;
        let wait = &written.wait_for_cause_s;
        let wait = self.number(wait, "diagnosis.wait_for_cause_s", seconds(usual.wait_ms), 0..=600);
        let within = &written.within_s;
        let within = self.number(within, "diagnosis.within_s", seconds(usual.within_ms), 1..=DAY_S);
        let lives = &written.flap_lives;
        let flap_lives = self.number(lives, "diagnosis.flap_lives", usual.flap_lives, 2..=1000);
        let flap = &written.flap_window_s;
        let flap =
            self.number(flap, "diagnosis.flap_window_s", seconds(usual.flap_ms), 1..=7 * DAY_S);
        let sites = &written.fleet_sites;
        let fleet_sites =
            self.number(sites, "diagnosis.fleet_sites", usual.fleet_sites, 2..=10_000);
        let fleet = &written.fleet_window_s;
        let fleet =
            self.number(fleet, "diagnosis.fleet_window_s", seconds(usual.fleet_ms), 1..=7 * DAY_S);
        if let Some(one) = written.rule.get(MOST) {
            self.problem(one.span(), format!("diagnosis.rule: expected at most {MOST} rules"));
        }
        let call_home = written.rule.iter().take(MOST).map(|rule| self.rule(rule)).collect();
        Rules {
            call_home,
            wait_ms: wait * 1000,
            within_ms: within * 1000,
            flap_lives,
            flap_ms: flap * 1000,
            fleet_sites,
            fleet_ms: fleet * 1000,
        }
    }

    fn rule(&mut self, written: &Spanned<written::Rule>) -> Rule {
        let (span, rule) = (written.span(), written.get_ref());
        let name = rule.name.as_ref().map(|name| name.get_ref().trim()).unwrap_or_default();
        if !(1..=100).contains(&name.chars().count()) || name.chars().any(char::is_control) {
            let at = rule.name.as_ref().map_or(span.clone(), Spanned::span);
            self.problem(at, "diagnosis.rule.name: expected a name of 1 to 100 characters");
        }
        let mut severities = Vec::new();
        for word in &rule.severity {
            let found = Severity::ALL.into_iter().find(|s| s.as_str() == word.get_ref());
            match found {
                Some(severity) => severities.push(severity),
                None => {
                    let words = Severity::ALL.map(Severity::as_str);
                    let message = format!(
                        "diagnosis.rule.severity: expected {}, found {:?}",
                        words.join(", "),
                        word.get_ref()
                    );
                    let hint = did_you_mean(word.get_ref(), words);
                    self.problem(word.span(), message).hint = hint;
                }
            }
        }
        let lists = [&rule.types, &rule.rules, &rule.site, &rule.device];
        let [types, rules, sites, devices] = lists.map(|list| self.patterns(list));
        let hold = self.number(&rule.hold_s, "diagnosis.rule.hold_s", 60_i64, 1..=DAY_S);
        let word = rule.then.as_ref();
        let then = match word.map(|word| word.get_ref().as_str()) {
            Some("open") => Then::Open,
            Some("hold") => Then::Hold(hold * 1000),
            Some("never") => Then::Never,
            other => {
                let at = word.map_or(span, Spanned::span);
                let found =
                    other.map_or_else(|| "nothing".to_owned(), |other| format!("{other:?}"));
                let message =
                    format!("diagnosis.rule.then: expected {}, found {found}", THEN.join(", "));
                let hint = other.and_then(|other| did_you_mean(other, THEN));
                self.problem(at, message).hint = hint;
                Then::Open
            }
        };
        if let (Some(seconds), false) = (&rule.hold_s, matches!(then, Then::Hold(_))) {
            let message = "diagnosis.rule.hold_s: only with then = \"hold\"";
            self.problem(seconds.span(), message);
        }
        Rule { name: name.to_owned(), severities, types, rules, sites, devices, then }
    }

    fn patterns(&mut self, written: &[Spanned<String>]) -> Vec<String> {
        if let Some(one) = written.get(LONG) {
            self.problem(one.span(), format!("diagnosis.rule: expected at most {LONG} patterns"));
        }
        for one in written.iter().take(LONG) {
            if !(1..=LONG).contains(&one.get_ref().chars().count()) {
                let message = format!(
                    "diagnosis.rule: expected a pattern of 1 to {LONG} characters, * for anything"
                );
                self.problem(one.span(), message);
            }
        }
        written.iter().take(LONG).map(|one| one.get_ref().clone()).collect()
    }
}
