//! `[alertmanager]`.

use std::collections::BTreeMap;

use callhome_shared::config_error::did_you_mean;
use callhome_shared::severity::Severity;
use toml::Spanned;

use super::check::{Checker, Text};
use super::written;
use crate::alertmanager::Mapping;

/// Labels of one list, and values of severities, at most.
const MOST: usize = 50;

impl Checker<'_> {
    pub(super) fn alertmanager(&mut self, written: &written::Alertmanager) -> Mapping {
        let usual = Mapping::default();
        let severities = match &written.severities {
            Some(all) => self.severities(all),
            None => usual.severities,
        };
        let default_severity = written.default_severity.as_ref();
        let default_severity = default_severity
            .and_then(|word| self.severity(word, "alertmanager.default_severity"))
            .unwrap_or(usual.default_severity);
        Mapping {
            device_labels: self.labels(
                &written.device_labels,
                "device_labels",
                usual.device_labels,
            ),
            strip_port: written.strip_port.unwrap_or(usual.strip_port),
            site_labels: self.labels(&written.site_labels, "site_labels", usual.site_labels),
            site: written.site.as_ref().and_then(|site| self.site(site)),
            resource_labels: self.labels(
                &written.resource_labels,
                "resource_labels",
                usual.resource_labels,
            ),
            serial_label: self.label(&written.serial_label, "serial_label", usual.serial_label),
            severity_label: self.label(
                &written.severity_label,
                "severity_label",
                usual.severity_label,
            ),
            severities,
            default_severity,
        }
    }

    fn labels(
        &mut self,
        written: &Option<Vec<Spanned<String>>>,
        key: &str,
        usual: Vec<String>,
    ) -> Vec<String> {
        let Some(written) = written else { return usual };
        if let Some(one) = written.get(MOST) {
            let message = format!("alertmanager.{key}: expected at most {MOST} labels");
            self.problem(one.span(), message);
        }
        for one in written.iter().take(MOST) {
            self.is_label(one, key);
        }
        written.iter().take(MOST).map(|one| one.get_ref().clone()).collect()
    }

    fn label(&mut self, written: &Text, key: &str, usual: String) -> String {
        let Some(written) = written else { return usual };
        self.is_label(written, key);
        written.get_ref().clone()
    }

    /// A label's name, after Prometheus' data model.
    fn is_label(&mut self, written: &Spanned<String>, key: &str) {
        let name = written.get_ref();
        let fits = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let begins = name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        if !fits || !begins || name.len() > 100 {
            let message = format!(
                "alertmanager.{key}: expected a label's name (letters, digits, _), found {name:?}"
            );
            self.problem(written.span(), message);
        }
    }

    fn site(&mut self, written: &Spanned<String>) -> Option<String> {
        let site = written.get_ref().trim();
        if !(1..=100).contains(&site.len()) || site.chars().any(char::is_control) {
            let message = "alertmanager.site: expected a site's id of 1 to 100 bytes";
            self.problem(written.span(), message);
            return None;
        }
        Some(site.to_owned())
    }

    fn severities(
        &mut self,
        written: &BTreeMap<String, Spanned<String>>,
    ) -> BTreeMap<String, Severity> {
        let mut found = BTreeMap::new();
        for (value, word) in written {
            if let Some(severity) = self.severity(word, "alertmanager.severities") {
                found.insert(value.trim().to_lowercase(), severity);
            }
        }
        if written.len() > MOST
            && let Some(one) = written.values().next()
        {
            let message = format!("alertmanager.severities: expected at most {MOST} values");
            self.problem(one.span(), message);
        }
        found
    }

    fn severity(&mut self, word: &Spanned<String>, key: &str) -> Option<Severity> {
        let found = Severity::parse(word.get_ref());
        if found.is_none() {
            let words = Severity::ALL.map(Severity::as_str);
            let text = word.get_ref();
            let message = format!("{key}: expected {}, found {text:?}", words.join(", "));
            let hint = did_you_mean(text, words);
            self.problem(word.span(), message).hint = hint;
        }
        found
    }
}
