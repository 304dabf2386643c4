//! What rules have in common, and `[[host.rule]]`.

use callhome_shared::config_error::did_you_mean;

use super::check::Checker;
use super::written::{self, HostRule, Pattern};
use crate::rule::{Condition, Count, Damping, Flapping, Level, Measure, Op, Rule, Template};
use crate::source::host::METRICS;

/// What texts may name.
const NAMES: [&str; 5] = ["resource", "metric", "value", "unit", "device"];

impl Checker<'_> {
    /// The damping of a pattern.
    pub(super) fn pattern_damping(&mut self, written: &Pattern, at: &str) -> Option<Box<Damping>> {
        if let Some(for_s) = &written.for_s {
            if written.clear.is_none() {
                let message = format!("{at}.for_s: needs `clear`: else nothing can end it in time");
                self.problem(for_s.span(), message);
            }
            if written.count.is_some() {
                self.problem(for_s.span(), format!("{at}.for_s: not together with `count`"));
            }
        }
        if let (Some(flapping), None) = (&written.flapping, &written.clear) {
            let message = format!("{at}.flapping: needs `clear`: else it cannot come and go");
            let span = flapping.low.span();
            self.problem(if span.is_empty() { written.id.span() } else { span }, message);
        }
        let for_s = written.for_s.as_ref().map_or(0, |for_s| *for_s.get_ref());
        self.damping(milliseconds(for_s), &written.count, &written.flapping, at)
    }

    fn damping(
        &mut self,
        for_ms: i64,
        count: &Option<written::Count>,
        flapping: &Option<written::Flapping>,
        at: &str,
    ) -> Option<Box<Damping>> {
        if let Some(flapping) = flapping.as_ref().filter(|f| *f.low.get_ref() > f.high) {
            let (found, high) = (flapping.low.get_ref(), flapping.high);
            let message = format!(
                "{at}.flapping.low: expected at most flapping.high ({high}), found {found}"
            );
            self.problem(flapping.low.span(), message);
        }
        let count = count.as_ref().map(|count| Count {
            times: *count.times.get_ref(),
            within_ms: milliseconds(count.within_s),
        });
        let flapping = flapping.as_ref().map(|flapping| Flapping {
            high: flapping.high,
            low: *flapping.low.get_ref(),
            within_ms: milliseconds(flapping.within_s),
        });
        let damping = Damping { for_ms, count, flapping };
        (damping != Damping::default()).then(|| Box::new(damping))
    }

    /// `[[host.rule]]`.
    pub(super) fn host_rules(&mut self, written: &[HostRule], rules: &mut Vec<Rule>) {
        for (i, rule) in written.iter().enumerate() {
            let at = format!("host.rule[{}]", i + 1);
            let id = self.id(&rule.id, &format!("{at}.id"));
            if rules.iter().any(|other| other.pack == "config" && other.id == id) {
                let message = format!("{at}.id: {id:?} is taken already in this source");
                self.problem(rule.id.span(), message);
            }
            rules.extend(self.host_rule(rule, id, &at));
        }
    }

    fn host_rule(&mut self, written: &HostRule, id: String, at: &str) -> Option<Rule> {
        let metric = written.metric.get_ref();
        if !METRICS.contains(&metric.as_str()) {
            let hint = did_you_mean(metric, METRICS.iter().copied())
                .or_else(|| Some(format!("known: {}", METRICS.join(", "))));
            let message = format!("{at}.metric: the host has no reading {metric:?}");
            self.problem_with(written.metric.span(), message, hint);
        }
        let kind = self.id(&written.kind, &format!("{at}.type"));
        for (key, text) in [("text", &written.text), ("qualifier", &written.qualifier)] {
            self.names(text, &format!("{at}.{key}"), &NAMES);
        }
        Some(Rule {
            pack: "config".to_owned(),
            version: String::new(),
            id,
            metric: metric.clone(),
            condition: self.host_condition(written, at)?,
            damping: self.damping(0, &written.count, &written.flapping, at),
            template: Template {
                kind,
                qualifier: written.qualifier.get_ref().clone(),
                resource: String::new(),
                text: written.text.get_ref().clone(),
                fault_code: written.fault_code.as_ref().map(|t| t.get_ref().clone()),
                proposed_repair: written.repair.as_ref().map(|t| t.get_ref().clone()),
            },
        })
    }

    fn host_condition(&mut self, written: &HostRule, at: &str) -> Option<Condition> {
        let limits = [
            ("threshold", &written.threshold, Measure::Value),
            ("rate", &written.rate, Measure::Rate),
            ("delta", &written.delta, Measure::Delta),
        ];
        let mut given = limits.iter().filter(|(_, limits, _)| !limits.is_empty());
        match (given.next(), given.next(), &written.silence) {
            (Some((key, limits, measure)), None, None) => {
                let mut levels = Vec::new();
                for (i, limit) in limits.iter().enumerate() {
                    levels.extend(self.limit(limit, &format!("{at}.{key}[{}]", i + 1)));
                }
                let (for_ms, measure) = (milliseconds(written.for_s), *measure);
                let levels = levels.into_iter().map(Into::into).collect();
                Some(Condition::Threshold { levels, for_ms, measure })
            }
            (None, None, Some(silence)) => Some(Condition::Silence {
                after_ms: milliseconds(*silence.after_s.get_ref()),
                severity: silence.severity,
            }),
            _ => {
                let message = format!("{at}: expected one of threshold, rate, delta and silence");
                self.problem(written.id.span(), message);
                None
            }
        }
    }

    fn limit(&mut self, written: &written::Limit, at: &str) -> Option<Level> {
        let severity = *written.severity.get_ref();
        let (op, limit) = match (written.above, written.below) {
            (Some(limit), None) => (Op::Above, limit),
            (None, Some(limit)) => (Op::Below, limit),
            _ => {
                let message = format!("{at}: expected either above or below");
                self.problem(written.severity.span(), message);
                return None;
            }
        };
        let clear = written.clear.as_ref().map_or(limit, |clear| *clear.get_ref());
        let wrong = match op {
            Op::Above => clear > limit,
            Op::Below => clear < limit,
        };
        if let (true, Some(written)) = (wrong, &written.clear) {
            let message = format!("{at}.clear: {clear} is on the bad side of the limit {limit}");
            self.problem(written.span(), message);
        }
        Some(Level { severity, op, limit, clear })
    }
}

fn milliseconds(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
}
