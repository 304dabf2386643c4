//! What labels and annotations mean here. Pure.

use std::collections::BTreeMap;

use callhome_shared::alarm::{Alarm, Device, Evidence, Message, RuleRef, Transition};
use callhome_shared::limits::{MAX_INLINE_EVIDENCE_BYTES, MAX_TEXT_BYTES, cut};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use uuid::Uuid;

use super::Alert;

/// Longest name that is taken from a label, bytes: two of them are one id.
const MAX_NAME_BYTES: usize = 120;

/// Which labels mean what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The first of them that an alert has names the device.
    pub device_labels: Vec<String>,
    /// Whether the port is left out of `host:port`.
    pub strip_port: bool,
    /// The first of them that an alert has names the site.
    pub site_labels: Vec<String>,
    /// The site of alerts that name none.
    pub site: Option<String>,
    /// The first of them that an alert has, and that does not name the device, names the part.
    pub resource_labels: Vec<String>,
    /// The device's serial number.
    pub serial_label: String,
    /// Where the severity is.
    pub severity_label: String,
    /// What its values mean, in lower case.
    pub severities: BTreeMap<String, Severity>,
    /// The severity of alerts with another value, or none.
    pub default_severity: Severity,
}

impl Default for Mapping {
    fn default() -> Self {
        let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect();
        let severities = [
            (Severity::Critical, &["critical", "page", "emergency", "disaster", "fatal"][..]),
            (Severity::Major, &["major", "error", "high"]),
            (Severity::Minor, &["minor", "average"]),
            (Severity::Warning, &["warning", "warn", "low"]),
            (Severity::Indeterminate, &["info", "informational", "none", "indeterminate"]),
        ];
        let each = severities
            .iter()
            .flat_map(|(severity, all)| all.iter().map(|word| ((*word).to_owned(), *severity)));
        Mapping {
            device_labels: words(&["instance", "host", "hostname", "node", "device"]),
            strip_port: true,
            site_labels: words(&["site", "datacenter"]),
            site: None,
            resource_labels: words(&[
                "resource",
                "interface",
                "ifName",
                "ifDescr",
                "mountpoint",
                "disk",
                "device",
                "name",
            ]),
            serial_label: "serial".to_owned(),
            severity_label: "severity".to_owned(),
            severities: each.collect(),
            default_severity: Severity::Warning,
        }
    }
}

/// What an alert says, in our words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The site, where one is named.
    pub site: Option<String>,
    /// As a raised alarm; of a resolved alert, too.
    pub alarm: Alarm,
}

impl Mapping {
    /// What the alert says. `now`: nothing has begun after it.
    pub fn say(&self, alert: &Alert, now: Time) -> Said {
        let label =
            |name: &str| alert.labels.get(name).map(|v| name_of(v)).filter(|v| !v.is_empty());
        let first = |names: &[String]| names.iter().find_map(|n| label(n).map(|v| (n.clone(), v)));
        let device = first(&self.device_labels);
        let site = first(&self.site_labels).map(|(_, site)| site).or_else(|| self.site.clone());
        let kind = label("alertname").unwrap_or_else(|| "alert".to_owned());
        let by = device.as_ref().map(|(name, _)| name.as_str());
        let others = self.resource_labels.iter().filter(|n| Some(n.as_str()) != by);
        let resource = others.into_iter().find_map(|n| label(n)).unwrap_or_default();
        let name = match &device {
            Some((_, name)) if self.strip_port => without_port(name).to_owned(),
            Some((_, name)) => name.clone(),
            None => label("job").unwrap_or_else(|| "unknown".to_owned()),
        };
        let id = site.as_ref().map_or_else(|| name.clone(), |site| format!("{site}/{name}"));
        let severity =
            alert.labels.get(&self.severity_label).map(|word| word.trim().to_lowercase());
        let severity = severity.and_then(|word| self.severities.get(&word).copied());
        let mut message =
            Message { key: "alertmanager.alert".to_owned(), arguments: BTreeMap::new() };
        message.arguments.insert("type".to_owned(), kind.clone());
        message.arguments.insert("resource".to_owned(), resource.clone());
        let serial = label(&self.serial_label);
        let device = Device { id, name, serial, site: site.clone(), ..Device::default() };
        let raised = if alert.starts_at.millis() > 0 { alert.starts_at.min(now) } else { now };
        let alarm = Alarm {
            alarm_id: Uuid::nil(),
            transition: Transition::Raised,
            severity: severity.unwrap_or(self.default_severity),
            kind: kind.clone(),
            qualifier: alert.fingerprint.clone(),
            fault_code: label("fault_code"),
            message,
            text: text_of(alert, &kind),
            device,
            resource,
            occurred_at: None,
            observed_at: raised,
            raised_at: None,
            reason: None,
            clock_skew_s: None,
            rule: RuleRef { pack: "alertmanager".to_owned(), version: "4".to_owned(), id: kind },
            proposed_repair: alert
                .annotations
                .get("runbook_url")
                .map(|url| kept(url, MAX_TEXT_BYTES)),
            evidence: vec![evidence_of(alert, raised)],
            flapping: false,
            test: false,
        };
        Said { site, alarm }
    }
}

/// What people wrote for people: description, else summary, else message, else the alert's name.
fn text_of(alert: &Alert, kind: &str) -> String {
    let said = ["description", "summary", "message"];
    let mut said = said.iter().filter_map(|name| alert.annotations.get(*name));
    let text = said.find(|text| !text.trim().is_empty()).map_or(kind, |text| text.trim());
    kept(text, MAX_TEXT_BYTES)
}

/// Labels and annotations as they came, a line each.
fn evidence_of(alert: &Alert, at: Time) -> Evidence {
    let lines = |all: &BTreeMap<String, String>| {
        all.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>()
    };
    let mut text = format!("{}\n{}", lines(&alert.labels), lines(&alert.annotations));
    let truncated = cut(&mut text, MAX_INLINE_EVIDENCE_BYTES / 4);
    let origin = if alert.generator.is_empty() { "alertmanager" } else { &alert.generator };
    Evidence {
        kind: "webhook".to_owned(),
        origin: kept(origin, 1024),
        at,
        text: text.trim_end().to_owned(),
        truncated,
    }
}

fn kept(text: &str, max: usize) -> String {
    let mut text = text.to_owned();
    cut(&mut text, max);
    text
}

/// A label's value as a name: without control characters, not too long.
fn name_of(value: &str) -> String {
    let mut name: String = value.chars().filter(|c| !c.is_control()).collect();
    cut(&mut name, MAX_NAME_BYTES);
    name.trim().to_owned()
}

/// `host` of `host:port`, `2001:db8::1` of `[2001:db8::1]:9100`; an IPv6 address without brackets as it is.
fn without_port(text: &str) -> &str {
    if let Some((inner, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(digits);
        return if is_port && !inner.is_empty() { inner } else { text };
    }
    match text.split_once(':') {
        Some((host, port)) if !host.is_empty() && digits(port) => host,
        _ => text,
    }
}

fn digits(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}
