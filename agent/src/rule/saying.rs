//! How a rule words what it found.

use callhome_shared::alarm::{Evidence, Identity, Message, RuleRef};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use regex::Captures;

use super::finding::{Finding, Raise, Repeat, Verdict};
use super::template::{self, Words, number_text, reading_text, value_text};
use super::{ANSWER, ANSWER_END, Condition, Context, Level, Op, Rule};
use crate::redact::MAX_TEXT;
use crate::source::{Reading, SourceKind, Value};

/// A rule that speaks of a reading of a source.
#[derive(Clone, Copy)]
pub(super) struct Saying<'a> {
    pub(super) context: Context<'a>,
    pub(super) rule: &'a Rule,
}

impl<'a> Saying<'a> {
    /// What this rule's placeholders stand for.
    pub(super) fn words(
        &self,
        reading: &'a Reading,
        captures: Option<&'a Captures<'a>>,
    ) -> Words<'a> {
        Words::new(reading, captures, self.context)
    }

    /// A part of an identity: redacted, then made fit.
    pub(super) fn id(&self, raw: &str) -> String {
        template::id(&self.context.redactor.id(raw))
    }

    /// A free text: redacted, then made fit.
    fn text(&self, raw: &str) -> String {
        template::text(&self.context.redactor.text(raw))
    }

    /// Which fault it is. Two secrets in it stay two, and one stays one.
    pub(super) fn identity(&self, words: &Words<'_>) -> Identity {
        let template = &self.rule.template;
        let resource = match template.resource.as_str() {
            "" => self.id(&words.reading.resource),
            resource => self.id(&words.fill_id(resource)),
        };
        let device = self.context.device;
        // Two sources of one device can be silent at once.
        let qualifier = match self.rule.condition {
            Condition::Silence { .. } if template.qualifier.is_empty() => {
                self.context.source.to_string()
            }
            _ => words.fill_id(&template.qualifier),
        };
        Identity {
            device: template::id(&self.context.redactor.device_id(device)),
            resource,
            kind: self.id(&words.fill_id(&template.kind)),
            qualifier: self.id(&qualifier),
        }
    }

    pub(super) fn raise(&self, words: &Words<'_>, severity: Severity, message: Message) -> Verdict {
        let template = &self.rule.template;
        let text = match template.text.as_str() {
            "" => self.text(&reading_text(words.reading)),
            text => self.text(&words.fill(text)),
        };
        let filled = |text: &Option<String>| {
            text.as_ref().map(|t| self.text(&words.fill(t))).filter(|t| !t.is_empty())
        };
        let repeat = match self.rule.condition {
            Condition::Pattern { .. } | Condition::Told => Repeat::Event,
            _ => Repeat::Standing,
        };
        Verdict::Raise(Box::new(Raise {
            severity,
            message,
            text,
            fault_code: filled(&template.fault_code),
            proposed_repair: filled(&template.proposed_repair),
            repeat,
            flapping: false,
            test: false,
        }))
    }

    pub(super) fn finding(
        &self,
        reading: &Reading,
        identity: Identity,
        verdict: Verdict,
    ) -> Finding {
        Finding {
            source: self.context.source.clone(),
            rule: RuleRef {
                pack: self.rule.pack.clone(),
                version: self.rule.version.clone(),
                id: self.rule.id.clone(),
            },
            identity,
            device: self.context.device.clone(),
            occurred_at: reading.occurred_at,
            clock_skew_s: reading
                .occurred_at
                .filter(|_| self.context.kind.is_live())
                .map(|at| at.since_ms(reading.observed_at) / 1000),
            observed_at: reading.observed_at,
            evidence: self.evidence(reading),
            verdict,
        }
    }

    /// `threshold.above {metric,value,limit,unit,resource}`, `threshold.below`.
    pub(super) fn threshold(&self, reading: &Reading, level: &Level) -> Message {
        let key = match level.op {
            Op::Above => "threshold.above",
            Op::Below => "threshold.below",
        };
        let (value, limit) = (value_text(&reading.value), number_text(level.limit));
        self.message(
            key,
            &[
                ("metric", &reading.metric),
                ("value", &value),
                ("limit", &limit),
                ("unit", &reading.unit),
                ("resource", &reading.resource),
            ],
        )
    }

    /// `state.bad {metric,value,resource}`, and of a path `path.not-proven {source,hop,detail}`.
    pub(super) fn bad_state(&self, reading: &Reading) -> Message {
        if *reading.metric == *super::PATH {
            let label = |name| words_of(reading, name);
            return self.message(
                "path.not-proven",
                &[
                    ("source", reading.resource.as_str()),
                    ("hop", label("hop")),
                    ("detail", label("detail")),
                ],
            );
        }
        // A profile names its states in this label: "disabled" says more than "2".
        let named = reading.labels.iter().find(|(name, _)| &**name == "state");
        let value = named.map_or_else(|| value_text(&reading.value), |(_, state)| state.into());
        let (metric, resource) = (&*reading.metric, reading.resource.as_str());
        self.message("state.bad", &[("metric", metric), ("value", &value), ("resource", resource)])
    }

    /// A synthetic fault: `probe.entered {source}`. Nothing is remembered of it.
    pub(super) fn probe(&self, reading: &'a Reading) -> Option<Finding> {
        let Value::Probe(_) = reading.value else { return None };
        let words = self.words(reading, None);
        let said = self.message("probe.entered", &[("source", self.context.source)]);
        let Verdict::Raise(raise) = self.raise(&words, Severity::Indeterminate, said) else {
            return None;
        };
        let verdict = Verdict::Raise(Box::new(Raise { test: true, ..*raise }));
        Some(self.finding(reading, self.identity(&words), verdict))
    }

    /// `pattern.matched {resource,type}`.
    pub(super) fn matched(&self, identity: &Identity) -> Message {
        self.message(
            "pattern.matched",
            &[("resource", &identity.resource), ("type", &identity.kind)],
        )
    }

    /// `trap.received {trap,resource,type}`.
    pub(super) fn told(&self, reading: &Reading, identity: &Identity) -> Message {
        let (resource, kind) = (&identity.resource, &identity.kind);
        let trap = words_of(reading, "trap");
        self.message("trap.received", &[("trap", trap), ("resource", resource), ("type", kind)])
    }

    /// `source.silent {source, after_s}`.
    pub(super) fn silent(&self, after_ms: i64) -> Message {
        let after_s = (after_ms / 1000).to_string();
        self.message("source.silent", &[("source", self.context.source), ("after_s", &after_s)])
    }

    /// A reading that stands for the absence of readings.
    pub(super) fn nothing_since(&self, last: Time, now: Time) -> Reading {
        Reading {
            metric: self.rule.metric.as_str().into(),
            resource: String::new(),
            value: Value::Line { text: format!("nothing read since {last}"), truncated: false },
            unit: "".into(),
            origin: (&**self.context.source).into(),
            labels: Vec::new(),
            occurred_at: None,
            observed_at: now,
        }
    }

    /// A reading that stands for the passing of time.
    pub(super) fn later(&self, now: Time) -> Reading {
        let text = format!("no further word by {now}");
        let value = Value::Line { text, truncated: false };
        Reading { value, ..self.nothing_since(now, now) }
    }

    fn evidence(&self, reading: &Reading) -> Option<Evidence> {
        let own = *reading.metric == *super::PATH || matches!(reading.value, Value::Probe(_));
        if own || reading.metric.starts_with(ANSWER_END) {
            return None;
        }
        let kind = match self.context.kind {
            SourceKind::Snmp => "snmp",
            SourceKind::Host => "host",
            SourceKind::Logfile => "log",
            SourceKind::Trap => "trap",
            SourceKind::Serial if reading.metric.starts_with(ANSWER) => "command",
            SourceKind::Serial => "console",
            SourceKind::Syslog => "syslog",
        };
        let raw = reading_text(reading);
        let (text, cut) = template::evidence(&self.context.redactor.text(&raw));
        let cut = cut || raw.len() > MAX_TEXT;
        let truncated = cut || matches!(reading.value, Value::Line { truncated: true, .. });
        let origin = self.text(&reading.origin.to_string());
        Some(Evidence { kind: kind.to_owned(), origin, at: reading.observed_at, text, truncated })
    }

    fn message(&self, key: &str, arguments: &[(&str, &str)]) -> Message {
        let arguments =
            arguments.iter().map(|(name, value)| ((*name).to_owned(), self.text(value))).collect();
        Message { key: key.to_owned(), arguments }
    }
}

pub(super) fn words_of<'a>(reading: &'a Reading, label: &str) -> &'a str {
    let found = reading.labels.iter().find(|(name, _)| **name == *label);
    found.map(|(_, words)| words.as_str()).unwrap_or_default()
}
