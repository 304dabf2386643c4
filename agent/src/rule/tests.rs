mod damping;

use std::sync::{Arc, OnceLock};

use callhome_shared::alarm::Device;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use proptest::prelude::*;
use regex::Regex;

mod told;

use super::*;
use crate::redact::Redactor;
use crate::source::{Reading, SourceKind, Value};

fn rule(id: &str, metric: &str, condition: Condition) -> Arc<Rule> {
    Arc::new(Rule {
        pack: "config".to_owned(),
        version: "1".to_owned(),
        id: id.to_owned(),
        metric: metric.to_owned(),
        condition,
        damping: None,
        template: Template { kind: id.to_owned(), ..Template::default() },
    })
}

fn pattern(id: &str, metric: &str, raise: &str, clear: Option<&str>) -> Arc<Rule> {
    let condition = Condition::Pattern {
        raise: Regex::new(raise).unwrap().into(),
        clear: clear.map(|c| Regex::new(c).unwrap().into()),
        severity: Severity::Major,
    };
    let template =
        Template { kind: id.to_owned(), resource: "PSU ${psu}".to_owned(), ..Template::default() };
    Arc::new(Rule { template, ..(*rule(id, metric, condition)).clone() })
}

fn above(for_ms: i64) -> Condition {
    let level = |severity, limit, clear| Level { severity, op: Op::Above, limit, clear };
    let levels = [level(Severity::Critical, 95.0, 92.0), level(Severity::Warning, 85.0, 80.0)]
        .map(Limit::from)
        .to_vec();
    Condition::Threshold { levels, for_ms, measure: Measure::Value }
}

fn states(for_ms: i64) -> Condition {
    let states = [("1", None), ("2", Some(Severity::Minor)), ("failed", Some(Severity::Major))];
    let states = states.map(|(state, severity)| (state.to_owned(), severity)).into();
    Condition::StateMap { states, otherwise: None, for_ms }
}

fn reading(metric: &str, resource: &str, value: Value, at: i64) -> Reading {
    Reading {
        metric: metric.into(),
        resource: resource.to_owned(),
        value,
        unit: "%".into(),
        origin: "here".into(),
        labels: vec![("tag".into(), "blue".to_owned())],
        occurred_at: None,
        observed_at: Time(at),
    }
}

fn line(metric: &str, text: &str, at: i64) -> Reading {
    reading(metric, "", Value::Line { text: text.to_owned(), truncated: false }, at)
}

/// An engine with one source `s` on device `d`.
struct Bench {
    engine: Engine,
    source: Arc<str>,
    device: Arc<Device>,
    redactor: Redactor,
}

impl Bench {
    fn new(rules: Vec<Arc<Rule>>) -> Self {
        let source: Arc<str> = "s".into();
        let name = "d".to_owned();
        let device = Arc::new(Device { id: name.clone(), name, ..Device::default() });
        let (kind, watched) = (SourceKind::Serial, device.clone());
        let watched = Watched { source: source.clone(), kind, device: watched, rules };
        let engine = Engine::new([watched], Time(0));
        Bench { engine, source, device, redactor: Redactor::default() }
    }

    fn read(&mut self, reading: &Reading) -> Vec<Finding> {
        let mut findings = Vec::new();
        let (source, device, kind) = (&self.source, &self.device, SourceKind::Serial);
        let context = Context { source, kind, device, redactor: &self.redactor };
        self.engine.read(context, reading, &mut findings);
        findings
    }

    fn tick(&mut self, at: i64) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.engine.tick(Time(at), &self.redactor, &mut findings);
        findings
    }

    /// In short: `+critical`, `-`, or nothing, for each finding.
    fn short(&mut self, reading: &Reading) -> String {
        short(&self.read(reading))
    }

    /// What is stored is put into a new engine with the same rules.
    fn restart(&mut self, rules: Vec<Arc<Rule>>) {
        self.engine.keep();
        let stored = self.engine.everything().into_iter().filter_map(|(k, v)| Some((k, v?)));
        let mut next = Bench::new(rules);
        assert_eq!(next.engine.load(stored.collect()), Vec::<String>::new());
        self.engine = next.engine;
    }
}

fn short(findings: &[Finding]) -> String {
    let word = |f: &Finding| match &f.verdict {
        Verdict::Raise(raise) if raise.flapping => format!("+{}~", raise.severity),
        Verdict::Raise(raise) => format!("+{}", raise.severity),
        Verdict::Clear { .. } => "-".to_owned(),
    };
    findings.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn threshold_the_worst_level_counts_with_hysteresis() {
    let mut bench = Bench::new(vec![rule("full", "used", above(0))]);
    let expected = [
        (84.0, ""),
        (f64::NAN, ""),
        (85.0, "+warning"),
        (f64::INFINITY, ""),
        (95.0, "+critical"),
        (93.0, "+critical"),
        (91.9, "+warning"),
        (80.0, "+warning"),
        (79.9, "-"),
        (82.0, ""),
        (99.0, "+critical"),
        (10.0, "-"),
    ];
    for (at, (value, expected)) in expected.into_iter().enumerate() {
        let reading = reading("used", "/var", Value::Number(value), at as i64);
        assert_eq!(bench.short(&reading), expected, "at {value}");
    }
    bench.engine.keep();
    assert!(bench.engine.is_empty(), "healthy values need no state");
}

#[test]
fn a_thing_that_is_gone_or_does_not_count_ends_its_threshold() {
    for word in [crate::source::ABSENT, crate::source::SKIPPED] {
        let mut bench = Bench::new(vec![rule("full", "used", above(0))]);
        let gone = reading("used", "/var", Value::Text(word.to_owned()), 2);
        assert_eq!(bench.short(&gone), "", "nothing stood");
        assert_eq!(bench.short(&reading("used", "/var", Value::Number(99.0), 3)), "+critical");
        let other = reading("used", "/var", Value::Text("?".to_owned()), 4);
        assert_eq!(bench.short(&other), "", "any other text says nothing");
        assert_eq!(bench.short(&gone), "-");
        bench.engine.keep();
        assert!(bench.engine.is_empty());
    }
}

#[test]
fn threshold_below_and_its_message() {
    let level = Level { severity: Severity::Minor, op: Op::Below, limit: 3.0, clear: 3.2 };
    let (levels, measure) = (vec![level.into()], Measure::Value);
    let condition = Condition::Threshold { levels, for_ms: 0, measure };
    let mut bench = Bench::new(vec![rule("low", "volt", condition)]);
    let findings = bench.read(&reading("volt", "PSU 1", Value::Number(2.95), 1));
    let Verdict::Raise(raise) = &findings[0].verdict else { panic!("{findings:?}") };
    assert_eq!(raise.message.key, "threshold.below");
    let arguments: Vec<_> = raise.message.arguments.iter().map(|(k, v)| (&**k, &**v)).collect();
    let expected = [("limit", "3"), ("metric", "volt"), ("resource", "PSU 1"), ("unit", "%")];
    assert_eq!(arguments[..4], expected);
    assert_eq!(arguments[4], ("value", "2.95"));
    assert_eq!(raise.text, "volt[PSU 1] = 2.95 %");
    let evidence = findings[0].evidence.as_ref().unwrap();
    assert_eq!((&*evidence.kind, &*evidence.origin), ("console", "here"));
    assert_eq!(bench.short(&reading("volt", "PSU 1", Value::Number(3.1), 2)), "+minor");
    assert_eq!(bench.short(&reading("volt", "PSU 1", Value::Number(3.21), 3)), "-");
}

#[test]
fn for_duration_must_be_filled_without_a_break() {
    let mut bench = Bench::new(vec![rule("full", "used", above(100))]);
    let mut at = |value, at| bench.short(&reading("used", "", Value::Number(value), at));
    assert_eq!(at(90.0, 0), "");
    assert_eq!(at(90.0, 99), "");
    assert_eq!(at(83.0, 110), "", "in the band: not beyond, so the wait ends");
    assert_eq!(at(90.0, 120), "");
    assert_eq!(at(90.0, 219), "");
    assert_eq!(at(90.0, 220), "+warning");
    assert_eq!(at(83.0, 230), "+warning", "in the band: once raised it stays");
    assert_eq!(at(96.0, 240), "+warning", "critical has its own wait");
    assert_eq!(at(96.0, 340), "+critical");
    assert_eq!(at(96.0, 100), "+critical", "a clock that was set back");
    assert_eq!(at(1.0, 110), "-");
    assert_eq!(at(90.0, 1000), "");
    assert_eq!(at(90.0, 500), "", "set back: the wait begins anew");
    assert_eq!(at(90.0, 600), "+warning");
}

#[test]
fn state_map_knows_good_bad_and_unknown() {
    let mut bench = Bench::new(vec![rule("psu", "state", states(100))]);
    let text = |text: &str| Value::Text(text.to_owned());
    let mut at = |value, at| bench.short(&reading("state", "PSU 1", value, at));
    assert_eq!(at(Value::Number(1.0), 0), "");
    assert_eq!(at(Value::Number(2.0), 0), "");
    assert_eq!(at(text("failed"), 50), "", "bad since 0, in another way");
    assert_eq!(at(text(" failed "), 100), "+major");
    assert_eq!(at(Value::Number(2.0), 101), "+minor", "once raised, a change tells at once");
    assert_eq!(at(text("unheard-of"), 102), "");
    assert_eq!(at(Value::Number(f64::NAN), 102), "");
    assert_eq!(at(Value::Number(1.0), 103), "-");
    assert_eq!(at(Value::Number(1.0), 104), "");
}

#[test]
fn pattern_captures_fill_the_template() {
    let raise = r"^(?P<host>\S+) PSU (?P<psu>\d+) failed: (.*)$";
    let mut rule = (*pattern("psu", "line", raise, Some(r"PSU (?P<psu>\d+) ok"))).clone();
    rule.template.qualifier = "${psu}/${3}/${unknown}${device}".to_owned();
    rule.template.text = "${0} on ${tag} ${unit} ${ open".to_owned();
    let mut bench = Bench::new(vec![Arc::new(rule)]);
    let findings = bench.read(&line("line", "sw1 PSU 2 failed: fan\u{1b}[0m", 1));
    let identity = &findings[0].identity;
    assert_eq!(identity.resource, "PSU 2");
    assert_eq!(identity.qualifier, "2/fan [0m/d");
    let Verdict::Raise(raise) = &findings[0].verdict else { panic!("{findings:?}") };
    assert_eq!(raise.text, "sw1 PSU 2 failed: fan\u{fffd}[0m on blue % ${ open");
    assert_eq!(raise.message.key, "pattern.matched");
    let cleared = bench.read(&line("line", "PSU 2 ok", 2));
    assert_eq!(short(&cleared), "-");
    assert_eq!(cleared[0].identity.resource, "PSU 2");
    assert_eq!(bench.short(&line("other", "sw1 PSU 2 failed: x", 3)), "");
}

#[test]
fn long_identities_are_cut_and_stay_different() {
    let resource = |tail: &str| format!("{}{tail}", "x".repeat(300));
    let mut bench = Bench::new(vec![rule("full", "used", above(0))]);
    let one = bench.read(&reading("used", &resource("1"), Value::Number(99.0), 1));
    let two = bench.read(&reading("used", &resource("2"), Value::Number(99.0), 1));
    let (one, two) = (&one[0].identity.resource, &two[0].identity.resource);
    assert_ne!(one, two);
    assert!(one.len() <= callhome_shared::limits::MAX_ID_BYTES);
}

#[test]
fn a_complete_answer_clears_what_it_does_not_say_again() {
    let rules = || {
        vec![
            pattern("psu", "answer:env", r"PSU (?P<psu>\d+) failed", None),
            pattern("other", "answer:other", r"PSU (?P<psu>\d+) failed", None),
            // The same fault in other words: it counts as said.
            Arc::new(Rule {
                id: "psu-b".to_owned(),
                ..(*pattern("psu", "answer:env", r"supply (?P<psu>\d+) dead", None)).clone()
            }),
        ]
    };
    let mut bench = Bench::new(rules());
    let end = |at| reading("answer-end:env", "", Value::Text(String::new()), at);
    assert_eq!(bench.short(&line("answer:env", "PSU 1 failed", 1)), "+major");
    assert_eq!(bench.short(&line("answer:env", "PSU 2 failed", 1)), "+major");
    assert_eq!(bench.short(&line("answer:other", "PSU 3 failed", 1)), "+major");
    assert_eq!(bench.short(&end(2)), "");
    bench.restart(rules());
    assert_eq!(bench.short(&line("answer:env", "supply 1 dead", 3)), "+major");
    assert_eq!(bench.short(&reading("answer-end:other", "", Value::Text(String::new()), 3)), "");
    let ended = bench.read(&end(4));
    assert_eq!(short(&ended), "-");
    assert_eq!(ended[0].identity.resource, "PSU 2");
    assert_eq!(bench.short(&end(5)), "-", "nothing said PSU 1 again");
    assert_eq!(bench.short(&end(6)), "");
    let other = reading("answer-end:other", "", Value::Text(String::new()), 7);
    assert_eq!(bench.short(&other), "-");
    bench.engine.keep();
    assert!(bench.engine.is_empty());
}

#[test]
fn silence_is_raised_once_and_cleared_by_a_reading() {
    let silence = Condition::Silence { after_ms: 10_000, severity: Severity::Warning };
    let rules = || vec![rule("quiet", "line", silence.clone())];
    let mut bench = Bench::new(rules());
    assert_eq!(short(&bench.tick(1000)), "", "it counts from the first tick");
    assert_eq!(short(&bench.tick(10_999)), "");
    let raised = bench.tick(11_000);
    assert_eq!(short(&raised), "+warning");
    let Verdict::Raise(raise) = &raised[0].verdict else { panic!() };
    assert_eq!(raise.message.arguments["after_s"], "10");
    assert_eq!(raised[0].identity.qualifier, "s", "other sources of the device are told apart");
    assert_eq!(short(&bench.tick(12_000)), "");
    bench.restart(rules());
    assert_eq!(short(&bench.tick(13_000)), "");
    assert_eq!(bench.short(&line("line", "hello", 20_000)), "-");
    assert_eq!(short(&bench.tick(29_000)), "");
    assert_eq!(short(&bench.tick(30_000)), "+warning");
    assert_eq!(short(&bench.tick(5_000)), "", "a clock that was set back");
}

#[test]
fn a_source_nobody_listened_to_was_not_silent() {
    let silence = Condition::Silence { after_ms: 10_000, severity: Severity::Warning };
    let mut bench = Bench::new(vec![rule("quiet", "line", silence.clone())]);
    assert_eq!(bench.short(&line("line", "hello", 0)), "");
    bench.engine.keep();
    let stored = bench.engine.everything().into_iter().filter_map(|(k, v)| Some((k, v?)));
    let mut later = Bench::new(vec![rule("quiet", "line", silence)]);
    let watched = Watched {
        source: later.source.clone(),
        kind: SourceKind::Logfile,
        device: later.device.clone(),
        rules: vec![rule(
            "quiet",
            "line",
            Condition::Silence { after_ms: 10_000, severity: Severity::Warning },
        )],
    };
    later.engine = Engine::new([watched], Time(1_000_000));
    later.engine.load(stored.collect());
    assert_eq!(short(&later.tick(1_000_000)), "");
    assert_eq!(short(&later.tick(1_009_999)), "");
    assert_eq!(short(&later.tick(1_010_000)), "+warning");
}

#[test]
fn states_are_bounded_and_faults_are_forgotten_last() {
    let mut bench = Bench::new(vec![rule("full", "used", above(1000))]);
    let pending = |n: usize, at| reading("used", &format!("r{n}"), Value::Number(90.0), at);
    bench.read(&pending(0, 0));
    assert_eq!(bench.short(&pending(0, 1000)), "+warning");
    for n in 1..STATES_PER_SOURCE + 50 {
        bench.read(&pending(n, n as i64));
        bench.engine.keep();
    }
    assert!(bench.engine.len() <= STATES_PER_SOURCE);
    assert_eq!(bench.engine.take_refused(), 0);
    assert_eq!(bench.short(&reading("used", "r0", Value::Number(1.0), 5000)), "-");

    let mut bench = Bench::new(vec![rule("full", "used", above(0))]);
    for n in 0..STATES_PER_SOURCE + 3 {
        bench.read(&pending(n, 0));
        bench.engine.keep();
    }
    assert_eq!(bench.engine.len(), STATES_PER_SOURCE);
    assert_eq!(bench.engine.take_refused(), 3);
}

#[test]
fn states_without_a_rule_are_named() {
    let mut bench = Bench::new(vec![rule("full", "used", above(0))]);
    bench.read(&reading("used", "/", Value::Number(99.0), 0));
    let stored: Vec<_> =
        bench.engine.changes().into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
    assert_eq!(stored.len(), 1);
    let mut other = Bench::new(vec![rule("other", "used", above(0))]);
    assert_eq!(other.engine.load(stored.clone()), vec![stored[0].0.clone()]);
    let garbled = vec![(stored[0].0.clone(), b"{".to_vec())];
    assert_eq!(bench.engine.load(garbled).len(), 1);
}

fn any_rules() -> Vec<Arc<Rule>> {
    // Made once: compiling the expressions would take most of the test's time.
    static RULES: OnceLock<Vec<Arc<Rule>>> = OnceLock::new();
    RULES.get_or_init(make_any_rules).clone()
}

fn make_any_rules() -> Vec<Arc<Rule>> {
    let silence = Condition::Silence { after_ms: 50, severity: Severity::Warning };
    vec![
        rule("full", "a", above(0)),
        rule("slow", "a", above(30)),
        rule("state", "a", states(20)),
        pattern("psu", "line", r"(?P<psu>\d)", Some("ok")),
        pattern("env", "answer:e", r"(?P<psu>\d)", Some("ok")),
        rule("quiet", "line", silence),
        damping(rule("comes-and-goes", "a", above(0))),
        damping(pattern("often", "line", r"(?P<psu>\d)", Some("ok"))),
        damping(pattern("asked", "answer:e", r"(?P<psu>\d)", None)),
        rule("grows", "a", rate(Measure::Rate)),
        rule("jumps", "a", rate(Measure::Delta)),
    ]
}

fn damping(rule: Arc<Rule>) -> Arc<Rule> {
    let count = Some(Count { times: 2, within_ms: 60 });
    let flapping = Some(Flapping { within_ms: 100, ..Flapping::default() });
    let damping = Some(Box::new(Damping { for_ms: 0, count, flapping }));
    Arc::new(Rule { damping, ..(*rule).clone() })
}

fn rate(of: Measure) -> Condition {
    let Condition::Threshold { levels, for_ms, .. } = above(0) else { unreachable!() };
    Condition::Threshold { levels, for_ms, measure: of }
}

fn any_reading() -> impl Strategy<Value = Reading> {
    let number = prop_oneof![
        Just(f64::NAN),
        Just(f64::NEG_INFINITY),
        Just(f64::MAX),
        (0u8..110).prop_map(f64::from)
    ];
    let value = prop_oneof![
        number.prop_map(Value::Number),
        "[0-9a-z]{0,3}|ok 1|failed".prop_map(Value::Text),
        ".{0,6}|PSU 1|PSU 2|ok 1".prop_map(|text| Value::Line { text, truncated: true }),
    ];
    let metric = prop_oneof![Just("a"), Just("line"), Just("answer:e"), Just("answer-end:e")];
    (metric, "[xy]?", value, -50i64..200).prop_map(|(m, r, v, at)| reading(m, &r, v, at))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A restart anywhere, and a failed transaction anywhere, change nothing of what is found.
    #[test]
    fn prop_restarts_and_failed_transactions_leave_no_trace(
        steps in proptest::collection::vec((any_reading(), 0u8..4), 1..60),
    ) {
        let mut plain = Bench::new(any_rules());
        let mut shaken = Bench::new(any_rules());
        for (reading, shake) in &steps {
            if *shake == 0 {
                shaken.restart(any_rules());
            } else if *shake == 1 {
                shaken.engine.keep();
                shaken.read(reading);
                shaken.tick(reading.observed_at.millis());
                shaken.engine.discard();
            }
            let now = reading.observed_at.millis();
            let found = (plain.read(reading), plain.tick(now));
            prop_assert_eq!(&found, &(shaken.read(reading), shaken.tick(now)));
            prop_assert_eq!(plain.engine.len(), shaken.engine.len());
        }
    }

    /// Inside the band nothing ever changes; outside it the level is what the limits say.
    #[test]
    fn prop_hysteresis_never_flaps_inside_the_band(values in proptest::collection::vec(80.0f64..85.0, 1..40), high: bool) {
        let mut bench = Bench::new(vec![rule("full", "a", above(0))]);
        let first = if high { 90.0 } else { 70.0 };
        let before = bench.short(&reading("a", "", Value::Number(first), 0));
        for (at, value) in values.into_iter().enumerate() {
            let said = bench.short(&reading("a", "", Value::Number(value), at as i64));
            prop_assert_eq!(&said, &before);
        }
    }
}

/// `otherwise: ok`: a state that nobody listed ends what a listed one began.
#[test]
fn states_that_are_not_listed_can_be_healthy() {
    let states = std::collections::BTreeMap::from([("5".to_owned(), Some(Severity::Major))]);
    let judge = |otherwise, number| {
        let condition = Condition::StateMap { states: states.clone(), otherwise, for_ms: 0 };
        glance(&condition, &reading("m", "", Value::Number(number), 0))
    };
    assert_eq!(judge(Some(None), 5.0), Some(Glance::Bad(Severity::Major)));
    assert_eq!(judge(Some(None), 7.0), Some(Glance::Good));
    assert_eq!(judge(Some(Some(Severity::Minor)), 7.0), Some(Glance::Bad(Severity::Minor)));
    assert_eq!(judge(None, 7.0), Some(Glance::Unknown));
}
