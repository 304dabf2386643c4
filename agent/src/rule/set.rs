//! Rules, found by the metric that they look at.

use std::sync::Arc;

use super::Rule;

/// Rules of a source. Cheap to clone: one set is shared by all devices that are read alike.
#[derive(Clone, Debug, Default)]
pub struct RuleSet(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By metric; those on one metric in the order in which they were given.
    rules: Box<[Arc<Rule>]>,
    /// Whether any of them looks at the passing of time.
    ticks: bool,
}

impl RuleSet {
    /// Takes each rule once.
    pub fn new(rules: impl IntoIterator<Item = Arc<Rule>>) -> Self {
        let mut all: Vec<Arc<Rule>> = Vec::new();
        for rule in rules {
            if !all.iter().any(|known| Arc::ptr_eq(known, &rule)) {
                all.push(rule);
            }
        }
        all.sort_by(|a, b| a.metric.cmp(&b.metric));
        let ticks = all.iter().any(|rule| rule.minds_time());
        RuleSet(Arc::new(Inner { rules: all.into(), ticks }))
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<Rule>] {
        &self.0.rules
    }

    /// Those on a metric.
    pub fn on(&self, metric: &str) -> &[Arc<Rule>] {
        let rules = self.all();
        let from = rules.partition_point(|rule| rule.metric.as_str() < metric);
        let rest = rules.get(from..).unwrap_or_default();
        let count = rest.partition_point(|rule| rule.metric == metric);
        rest.get(..count).unwrap_or_default()
    }

    /// Whether any of them looks at the passing of time.
    pub fn ticks(&self) -> bool {
        self.0.ticks
    }
}

#[cfg(test)]
mod tests {
    use callhome_shared::alarm::Device;
    use callhome_shared::severity::Severity;
    use callhome_shared::time::Time;

    use super::*;
    use crate::redact::Redactor;
    use crate::source::{Reading, SourceKind, Value};

    use crate::rule::{Condition, Context, Engine, Template, Watched};

    fn rule(metric: &str, id: &str) -> Arc<Rule> {
        Arc::new(Rule {
            pack: "p".to_owned(),
            version: "1".to_owned(),
            id: id.to_owned(),
            metric: metric.to_owned(),
            condition: Condition::Probe,
            damping: None,
            template: Template::default(),
        })
    }

    #[test]
    fn rules_are_found_by_their_metric_in_the_order_given() {
        let twice = rule("b", "2");
        let given =
            [rule("c", "1"), twice.clone(), rule("a", "3"), rule("b", "1"), twice, rule("ba", "5")];
        let set = RuleSet::new(given);
        let ids = |metric| set.on(metric).iter().map(|r| r.id.as_str()).collect::<Vec<_>>();
        assert_eq!(ids("b"), ["2", "1"]);
        assert_eq!((ids("a"), ids("c"), ids("ba")), (vec!["3"], vec!["1"], vec!["5"]));
        for none in ["", "aa", "d", "b "] {
            assert!(ids(none).is_empty(), "{none}");
        }
        assert_eq!(set.all().len(), 5);
    }

    #[test]
    fn another_plan_forgets_what_others_remember_once_that_is_stored() {
        let bad = |pack: &str| {
            let states = [("2".to_owned(), Some(Severity::Major))].into();
            let condition = Condition::StateMap { states, otherwise: None, for_ms: 0 };
            Arc::new(Rule { pack: pack.to_owned(), condition, ..(*rule("fan", "r")).clone() })
        };
        let (source, device): (Arc<str>, Arc<Device>) = ("s".into(), Arc::default());
        let kind = SourceKind::Snmp;
        let watched =
            Watched { source: source.clone(), kind, device: device.clone(), rules: Vec::new() };
        let mut engine = Engine::new([watched], Time(0));
        assert!(engine.knows("s", "a", "r"), "nothing is known of it yet");
        engine.plan("s", &RuleSet::new([bad("a"), bad("b")]));
        let reading = Reading {
            metric: "fan".into(),
            resource: "1".to_owned(),
            value: Value::Number(2.0),
            unit: "".into(),
            origin: "".into(),
            labels: Vec::new(),
            occurred_at: None,
            observed_at: Time(1),
        };
        let redactor = Redactor::default();
        let context = Context { source: &source, kind, device: &device, redactor: &redactor };
        let mut findings = Vec::new();
        engine.read(context, &reading, &mut findings);
        engine.keep();
        assert_eq!((findings.len(), engine.len()), (2, 2));
        let only_b = RuleSet::new([bad("b")]);
        for stored in [false, true] {
            engine.plan("s", &only_b);
            assert!(!engine.knows("s", "a", "r") && engine.knows("s", "b", "r"));
            let changes = engine.changes();
            assert_eq!(changes.len(), 1, "{changes:?}");
            assert!(changes[0].0.contains("a/r") && changes[0].1.is_none());
            match stored {
                false => engine.discard(),
                true => engine.keep(),
            }
            assert_eq!(engine.len(), if stored { 1 } else { 2 });
        }
        assert!(engine.changes().is_empty());
    }
}
