//! What `[privacy]` means.

use callhome_shared::config_error::did_you_mean;
use callhome_shared::limits::MAX_ID_BYTES;

use super::check::Checker;
use super::written::{Privacy, PrivacyRule, Pseudonym, Text};
use crate::redact::{Kind, MAX_RULES, OwnRule, Settings, builtin_names};

/// Longest replacement, bytes.
const MAX_REPLACEMENT: usize = 256;
/// Domains at most.
const MAX_DOMAINS: usize = 64;

impl Checker<'_> {
    /// What is taken out of everything that leaves. After the devices, whose names it needs.
    pub(super) fn privacy(&mut self, written: &Privacy) -> Settings {
        let mut pseudonyms: Vec<Kind> = written.pseudonyms.iter().map(|p| kind(*p)).collect();
        pseudonyms.sort_unstable();
        pseudonyms.dedup();
        if let (false, Some(first)) = (pseudonyms.contains(&Kind::Host), written.domains.first()) {
            let message = "privacy.domains: has no effect unless privacy.pseudonyms has \"host\"";
            self.problem(first.span(), message);
        }
        if let Some(rule) = written.rule.get(MAX_RULES) {
            let message = format!("privacy.rule: at most {MAX_RULES} rules");
            self.problem(rule.name.span(), message);
        }
        if let Some(domain) = written.domains.get(MAX_DOMAINS) {
            self.problem(domain.span(), format!("privacy.domains: at most {MAX_DOMAINS} domains"));
        }
        let devices = self.devices.keys().cloned().collect();
        Settings {
            disabled: written.disable.iter().map(|name| self.builtin(name)).collect(),
            domains: written.domains.iter().map(|domain| self.domain(domain)).collect(),
            rules: self.own_rules(&written.rule),
            pseudonyms,
            devices,
        }
    }

    fn builtin(&mut self, name: &Text) -> String {
        let known = builtin_names();
        if !known.contains(&name.get_ref().as_str()) {
            let hint = did_you_mean(name.get_ref(), known.iter().copied())
                .or_else(|| Some(format!("known: {}", known.join(", "))));
            let message =
                format!("privacy.disable: there is no built-in rule {:?}", name.get_ref());
            self.problem_with(name.span(), message, hint);
        }
        name.get_ref().clone()
    }

    /// `corp.example`, in small letters. A domain of one label would take ordinary words for hosts.
    fn domain(&mut self, text: &Text) -> String {
        let domain = text.get_ref().trim_matches('.').to_ascii_lowercase();
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if domain.len() > 253 || !domain.contains('.') || !domain.split('.').all(label) {
            let message = format!(
                "privacy.domains: expected a domain of at least two parts such as corp.example, found {:?}",
                text.get_ref()
            );
            self.problem(text.span(), message);
        }
        domain
    }

    fn own_rules(&mut self, written: &[PrivacyRule]) -> Vec<OwnRule> {
        let mut rules: Vec<OwnRule> = Vec::new();
        for (i, rule) in written.iter().enumerate() {
            let at = format!("privacy.rule[{}]", i + 1);
            let name = self.id(&rule.name, &format!("{at}.name"));
            if builtin_names().contains(&name.as_str())
                || Kind::ALL.iter().any(|kind| kind.as_str() == name)
                || rules.iter().any(|known| known.name == name)
            {
                let message = format!("{at}.name: {name:?} is taken already");
                self.problem(rule.name.span(), message);
            }
            let regex = self.regex(&rule.pattern, &format!("{at}.match"));
            if regex.as_ref().is_some_and(|regex| regex.is_match("")) {
                let message = format!("{at}.match: must not match the empty text");
                self.problem(rule.pattern.span(), message);
            }
            if let (Some(text), Some(regex)) = (&rule.replacement, &regex) {
                self.placeholders_of(text, regex, &format!("{at}.replacement"), "match", &[]);
                if text.get_ref().len() > MAX_REPLACEMENT {
                    let message =
                        format!("{at}.replacement: expected at most {MAX_REPLACEMENT} bytes");
                    self.problem(text.span(), message);
                }
                // In every text again and again: an identity must not grow each time it is told.
                if text.get_ref().len() <= MAX_ID_BYTES && regex.is_match(text.get_ref()) {
                    let message = format!("{at}.replacement: must not match `match` itself");
                    self.problem(text.span(), message);
                }
            }
            let replacement = rule.replacement.as_ref().map(|text| text.get_ref().clone());
            rules.extend(regex.map(|regex| OwnRule { name, regex, replacement }));
        }
        rules
    }
}

fn kind(written: Pseudonym) -> Kind {
    match written {
        Pseudonym::Ipv4 => Kind::Ipv4,
        Pseudonym::Ipv6 => Kind::Ipv6,
        Pseudonym::Mac => Kind::Mac,
        Pseudonym::Host => Kind::Host,
        Pseudonym::Device => Kind::Device,
    }
}
