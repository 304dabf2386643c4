//! Faults in profiles are told with place, expectation and nearest name; what is right compiles.

use std::sync::Arc;

use callhome_shared::severity::Severity;

use super::Library;
use super::compile::read_head;
use super::oid::Oid;
use super::plan::{Convert, Part};
use crate::rule::Condition;

/// A profile with two metrics that the faulty alarms below are appended to.
const BASE: &str = "\
metrics:
  - table: { OID: 1.3.6.1.4.1.1.1, name: fanTable }
    symbols:
      - { OID: 1.3.6.1.4.1.1.1.1.2, name: fanStatus }
      - { OID: 1.3.6.1.4.1.1.1.1.3, name: fanSpeed }
    metric_tags:
      - { tag: name, symbol: { OID: 1.3.6.1.4.1.1.1.1.1, name: fanName } }
alarms:
";

/// (what is appended to BASE, `§` before the place of the fault; message; hint)
const FAULTY_ALARMS: &[(&str, &str, &str)] = &[
    ("  - { metric: §fanStatu, type: t, states: { 1: ok } }", "no metric is called", "fanStatus"),
    ("  - { metric: fanStatus, type: t, states: { 1: §okay } }", "expected one of critical", "ok"),
    ("  - { metric: fanStatus, type: t, states: { 1: §criticl } }", "\"criticl\"", "critical"),
    ("  - §{ metric: fanStatus, type: t }", "needs one of `states`, `threshold`, `rate`", ""),
    (
        "  - §{ metric: fanSpeed, type: t, rate: { above: 5, severity: minor }, delta: { above: 5, severity: minor } }",
        "needs one of `states`, `threshold`, `rate`",
        "",
    ),
    (
        "  - { metric: fanSpeed, type: t, rate: { above: 5, severity: minor, §clar: 1 } }",
        "unknown key `clar`",
        "clear",
    ),
    (
        "  - { metric: fanStatus, type: t, states: { 1: ok }, count: §{ times: 3 } }",
        "a count needs `within`",
        "",
    ),
    (
        "  - { metric: fanStatus, type: t, states: { 1: ok }, count: { times: §101, within: 1m } }",
        "expected at most 100 times, found 101",
        "",
    ),
    (
        "  - { metric: fanStatus, type: t, states: { 1: ok }, count: { times: §0, within: 1m } }",
        "expected a whole number of at least 1",
        "",
    ),
    (
        "  - { metric: fanStatus, type: t, states: { 1: ok }, flapping: §{ high: 20 } }",
        "`low` 25 is more than `high` 20",
        "",
    ),
    (
        "  - { metric: fanStatus, type: t, silence: { after: §never, severity: minor } }",
        "expected a duration",
        "",
    ),
    ("  - §{ metric: fanStatus, states: { 1: ok } }", "an alarm needs `type`", ""),
    ("  - { metric: fanStatus, §typ: t, type: t, states: { 1: ok } }", "unknown key `typ`", "type"),
    ("  - { metric: fanSpeed, type: t, threshold: §{ above: 1 } }", "needs `severity`", ""),
    (
        "  - { metric: fanSpeed, type: t, threshold: { above: §x, severity: minor } }",
        "expected a number, found \"x\"",
        "",
    ),
    (
        "  - { metric: fanSpeed, type: t, threshold: { below: 5, clear: §1, severity: minor } }",
        "bad side",
        "",
    ),
    (
        "  - { metric: fanSpeed, type: t, threshold: §{ abov: 5, severity: minor } }",
        "either `above` or `below`",
        "",
    ),
    (
        "  - { metric: fanSpeed, type: t, for: §soon, threshold: { above: 5, severity: minor } }",
        "expected a duration",
        "",
    ),
    (
        "  - { metric: fanStatus, type: t, resource: §\"${nam}\", states: { 1: ok } }",
        "no tag of this metric",
        "name",
    ),
    (
        "  - { metric: fanStatus, type: t, text: §\"${vlue}\", states: { 1: ok } }",
        "no tag of this metric",
        "value",
    ),
    (
        "  - { metric: fanStatus, type: t, skip_when: { §nme: x }, states: { 1: ok } }",
        "no tag of this metric",
        "name",
    ),
    (
        "  - { metric: fanStatus, type: t, names: { 1: up }, states: { §dwn: ok } }",
        "not in `names`",
        "",
    ),
    (
        "  - { metric: fanStatus, type: t, states: { 1: ok, §2: ignore }, otherwise: minor }",
        "cannot be ignored",
        "",
    ),
    ("  - { metric: fanStatus, type: t, states: §[1, 2] }", "expected a map, found a list", ""),
    (
        "  - { metric: fanStatus, type: t, states: { 1: ok } }
  - §{ metric: fanStatus, type: t, states: { 2: ok } }",
        "two alarms with the id",
        "",
    ),
    (
        "  - { metric: fanStatus, type: t, resource: a, states: { 1: ok } }
  - §{ metric: fanStatus, type: u, resource: b, states: { 2: ok } }",
        "already given by the alarm in line 9",
        "",
    ),
    (
        "  - metric: fanSpeed
    type: t
    threshold:
      - { above: { OID: 1.3.6.1.4.1.1.1.1.4, name: limit }, severity: minor }
      - { below: §{ OID: 1.3.6.1.4.1.1.1.1.5, name: limit }, severity: minor }",
        "two limits of this metric are called \"limit\"",
        "",
    ),
    (
        "  - { metric: fanSpeed, type: t, threshold: { above: { OID: 1.3.6.1.4.1.1.1.1.4, name: l }, severity: minor } }
  - §{ metric: fanSpeed, type: u, threshold: { above: { OID: 1.3.6.1.4.1.1.1.1.5, name: l }, severity: minor } }",
        "two limits of this metric are called \"l\"",
        "",
    ),
    (
        "  - { metric: fanSpeed, type: t, threshold: { above: §{ OID: 1.3.6.1.4.1.1.1.1.4, name: name }, severity: minor } }",
        "a limit cannot be called \"name\"",
        "",
    ),
];

/// (a whole profile, message, hint)
const FAULTY: &[(&str, &str, &str)] = &[
    ("extends: [§_devce.yaml]", "no profile is called \"_devce\"", "_device"),
    ("extends: [§x]", "extends this profile in turn", ""),
    ("sysobjectid: §1.3.6.x", "expected a sysObjectID", ""),
    ("metrics:\n  - symbol: { OID: §sysUpTime.0, name: a }", "object identifier in numbers", ""),
    ("metrics:\n  - symbol: §{ name: sysUpTime }", "a symbol needs `OID`", ""),
    ("metrics:\n  - symbol: §{ OID: 1.3.6.1.2.1.1.3.0 }", "a symbol needs `name`", ""),
    ("metrics:\n  - §symbols: [{ OID: 1.3.6.1, name: a }]", "needs `table`", ""),
    ("metrics: §3", "expected a list, found the number 3", ""),
    ("metrics:\n  - §MIB: X", "needs `symbol` (a scalar) or", ""),
    (
        "metrics:\n  - symbol: { OID: 1.3.6.1.2, name: a, scale_factor: §big }",
        "expected a number",
        "",
    ),
    (
        "metrics:\n  - symbol: { OID: 1.3.6.1.2, name: a, extract_value: §\"(\" }",
        "expected a regular expression",
        "",
    ),
    (
        "metrics:\n  - table: t\n    symbols: []\n    metric_tags: [§{ tag: a }]",
        "a tag needs `symbol`, `index` or `index_text`",
        "",
    ),
    (
        "metrics:\n  - table: t\n    symbols: []\n    metric_tags: [{ tag: a, index: §0 }]",
        "a whole number of at least 1",
        "",
    ),
    ("metrics: [", "", ""),
];

fn expect(marked: &str, message: &str, hint: &str) {
    let text = marked.replace('§', "");
    let problems = Library::with(&[("x", &text)]).expect_err(&text).0;
    let problem = &problems[0];
    assert!(problem.message.contains(message), "{text}\n{problem}");
    assert_eq!(problem.file, "x.yaml");
    if let Some((before, _)) = marked.split_once('§') {
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
        assert_eq!((problem.line, problem.column), (line, column), "{text}\n{problem}");
    }
    let found = problem.hint.clone().unwrap_or_default();
    assert!(found.contains(hint), "{text}\n{problem}");
}

#[test]
fn faults_are_told_with_their_place() {
    for (alarm, message, hint) in FAULTY_ALARMS {
        expect(
            &format!(
                "{BASE}{alarm}
"
            ),
            message,
            hint,
        );
    }
    for (text, message, hint) in FAULTY {
        expect(text, message, hint);
    }
}

#[test]
fn all_faults_of_a_file_are_told_at_once() {
    let text =
        format!("{BASE}  - {{ metric: a, type: t, states: {{ 1: bad }} }}\n  - {{ metric: b }}\n");
    let problems = Library::with(&[("x", &text)]).unwrap_err().0;
    assert!(problems.len() >= 4, "{problems:#?}");
}

#[test]
fn unknown_keys_of_datadogs_are_noted() {
    let text = "metrics:\n  - MIB: X\n    symbl: 3\n    symbol: { OID: 1.3.6.1.2, name: a, metric_type: gauge }\nprofile_note: x\n";
    let library = Library::with(&[("x", text)]).unwrap();
    let notes: Vec<String> = library.notes().iter().map(|n| n.to_string()).collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].starts_with("x.yaml:3:5: unknown key `symbl` is ignored"), "{notes:?}");
    assert!(notes[0].contains("did you mean \"symbol\"?"), "{notes:?}");
}

const GENERIC: [&str; 7] = [
    "entity-sensor",
    "entity-state",
    "fcmgmt",
    "host-resources",
    "if-mib",
    "lm-sensors",
    "ucd-snmp",
];

#[test]
fn the_shipped_profiles_are_in_order() {
    let library = Library::built_in().unwrap();
    assert!(library.notes().is_empty(), "{:?}", library.notes());
    let profiles = library.all(library.names()).unwrap();
    let generic = profiles.iter().filter(|p| p.head.fits_any());
    let generic: Vec<&str> = generic.map(|p| p.name.as_str()).collect();
    assert_eq!(generic, GENERIC, "a generic profile is used for every unknown device");
    for profile in &profiles {
        assert!(!profile.metrics.is_empty() && !profile.metadata.is_empty(), "{}", profile.name);
        for rule in profile.rules.iter().filter(|rule| raises(&rule.condition)) {
            assert!(rule.template.fault_code.is_some(), "{} {}", profile.name, rule.id);
            assert!(rule.template.proposed_repair.is_some(), "{} {}", profile.name, rule.id);
        }
    }
}

/// Whether a rule can raise at all; one that only names states cannot.
fn raises(condition: &Condition) -> bool {
    match condition {
        Condition::StateMap { states, otherwise, .. } => {
            states.values().any(Option::is_some) || otherwise.flatten().is_some()
        }
        _ => true,
    }
}

#[test]
fn the_heads_of_shipped_profiles_say_what_the_whole_says() {
    let library = Library::built_in().unwrap();
    assert_eq!(library.in_use(), 0, "nothing is compiled before it is needed");
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = super::library::is_profile(&path) else { continue };
        let profile = library.get(name).unwrap();
        assert_eq!(*library.head(name).unwrap(), profile.head, "{name}");
        count += 1;
    }
    assert!(count > 60, "{count} profiles");
    assert_eq!(read_head("x.yaml", "").unwrap(), Default::default());
}

#[test]
fn compiled_is_what_somebody_uses_and_once() {
    let library = Library::with(&[
        ("a", "extends: [if-mib.yaml]\nsysobjectid: 1.3.6.1.4.1.99.1\n"),
        ("b", "extends: [if-mib.yaml]\nsysobjectid: 1.3.6.1.4.1.99.2\n"),
    ])
    .unwrap();
    assert_eq!(library.in_use(), 0, "they were only checked");
    let a = library.get("a").unwrap();
    assert_eq!(library.in_use(), 3, "a, if-mib, _device");
    let b = library.get("b").unwrap();
    assert!(Arc::ptr_eq(&a, &library.get("a").unwrap()));
    assert!(a.metrics.iter().zip(&b.metrics).all(|(a, b)| Arc::ptr_eq(a, b)), "they share");
    drop(a);
    assert_eq!(library.in_use(), 3);
    let mib = library.get("if-mib").unwrap();
    assert!(Arc::ptr_eq(&mib.metrics[0], &b.metrics[0]));
    drop((b, mib));
    assert_eq!(library.in_use(), 0, "nobody uses them any more");
    assert_eq!(library.get("a").unwrap().metrics.len(), library.get("b").unwrap().metrics.len());
    let problems = library.get("if-mb").unwrap_err().to_string();
    assert!(problems.contains("if-mb") && problems.contains("did you mean"), "{problems}");
}

#[test]
fn a_file_that_takes_a_shipped_profiles_place_is_tried_with_those_that_extend_it() {
    let text = "metrics:\n  - symbol: { OID: 1.3.6.1.4.1.99.5.0, name: mine }\n";
    let library = Library::with(&[("_poe", text)]).unwrap();
    let profile = library.get("cisco-ios").unwrap();
    assert!(profile.metrics.iter().any(|metric| metric.symbol == "mine"));
    // Another profile has alarms on what this one reads no more.
    let problems = Library::with(&[("entity-sensor", text)]).unwrap_err().0;
    assert!(problems.iter().all(|p| p.file == "built-in arista-eos.yaml"), "{problems:?}");
    assert!(problems[0].message.contains("no metric is called"), "{problems:?}");
}

#[test]
fn the_most_specific_profile_is_selected() {
    let library = Library::with(&[
        ("vendor", "sysobjectid: 1.3.6.1.4.1.99.*\n"),
        ("model", "sysobjectid: [1.3.6.1.4.1.99.1.2, 1.3.6.1.4.1.99.1.3]\n"),
    ])
    .unwrap();
    let select = |oid: &str| {
        let chosen = library.select(Oid::parse(oid).as_ref(), &|_| None).unwrap();
        chosen.iter().map(|p| p.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(select("1.3.6.1.4.1.99.1.3"), ["model"]);
    assert_eq!(select("1.3.6.1.4.1.99.7"), ["vendor"]);
    assert_eq!(select("1.3.6.1.4.1.99999.3"), GENERIC, "all generic ones");
    assert_eq!(library.choose(None, &|_| None).len(), GENERIC.len());
}

#[test]
fn families_that_share_a_sysobjectid_are_told_apart() {
    let library = Library::with(&[
        ("host", "sysobjectid: 1.3.6.1.4.1.98.3.10\n"),
        (
            "nas",
            "sysobjectid: 1.3.6.1.4.1.98.3.10\nmatch: [{ OID: 1.3.6.1.4.1.97.1, pattern: ^NAS }]\n",
        ),
        ("tape", "match: [{ OID: 1.3.6.1.4.1.96 }, { OID: 1.3.6.1.4.1.95 }]\n"),
    ])
    .unwrap();
    let host = Oid::parse("1.3.6.1.4.1.98.3.10");
    let questions = library.questions(host.as_ref());
    for oid in ["1.3.6.1.4.1.97.1", "1.3.6.1.4.1.96", "1.3.6.1.4.1.95"] {
        assert!(questions.contains(&Oid::parse(oid).unwrap()), "{oid}");
    }
    let select = |id: Option<&Oid>, there: &str, text: &str| {
        let find = |oid: &Oid| (oid.to_string() == there).then(|| text.to_owned());
        library.choose(id, &find)[0].to_owned()
    };
    assert_eq!(select(host.as_ref(), "1.3.6.1.4.1.97.1", "NAS 7"), "nas");
    assert_eq!(select(host.as_ref(), "1.3.6.1.4.1.97.1", "SAN 7"), "host");
    assert_eq!(
        select(host.as_ref(), "1.3.6.1.4.1.95", ""),
        "host",
        "what it says it is goes first"
    );
    assert_eq!(select(None, "1.3.6.1.4.1.95", ""), "tape");
}

#[test]
fn conversions_and_wrong_ones() {
    let through = |names: &[&str], number: f64| {
        let known = |name: &&str| Convert::ALL.iter().find(|(n, _)| n == name).unwrap().1;
        let all: Vec<Convert> = names.iter().map(known).collect();
        let decoded = all.iter().try_fold(number, |n, c| c.decode(n))?;
        all.iter().try_fold(decoded, |n, c| c.convert(n))
    };
    assert_eq!(through(&["signed8"], 246.0), Some(-10.0));
    assert_eq!(through(&["signed16"], 65526.0), Some(-10.0));
    assert_eq!(through(&["signed16"], 70000.0), None);
    assert_eq!(through(&["signed32"], 4294967286.0), Some(-10.0));
    assert_eq!(through(&["float32"], 1092616192.0), Some(10.0));
    assert_eq!(through(&["fahrenheit"], 212.0).map(f64::round), Some(100.0));
    assert_eq!(through(&["dbm_from_mw"], 1.0), Some(0.0));
    assert_eq!(through(&["dbm_from_mw"], 0.0), None);
    let wrong = "sysobjectid: 1.3.6.1.4.1.99.1\nmetrics:\n  - { symbol: { OID: 1.3.6.1.4.1.99.2.0, name: a, convert: farenheit } }\n";
    let problems = Library::with(&[("x", wrong)]).unwrap_err().to_string();
    assert!(problems.contains("x.yaml:3:60") && problems.contains("fahrenheit"), "{problems}");
}

#[test]
fn an_alarm_on_an_inherited_metric_replaces_the_inherited_one() {
    let child = "extends: if-mib.yaml\nsysobjectid: 1.3.6.1.4.1.99.1\nversion: 7\nalarms:\n  - metric: ifOperStatus\n    type: port-down\n    resource: \"Port ${index}\"\n    states: { 1: ok, 2: critical }\n    otherwise: warning\n    absent: minor\n    for: 2m\n";
    let library = Library::with(&[("switch", child)]).unwrap();
    let profile = library.get("switch").unwrap();
    assert_eq!(profile.rules.len(), 1);
    let rule = &profile.rules[0];
    assert_eq!((rule.pack.as_str(), rule.version.as_str()), ("switch", "7"));
    assert_eq!(rule.metric, "switch.ifOperStatus");
    let Condition::StateMap { states, otherwise, for_ms } = &rule.condition else { panic!() };
    assert_eq!((*otherwise, *for_ms), (Some(Some(Severity::Warning)), 120_000));
    assert_eq!(states["2"], Some(Severity::Critical));
    assert_eq!(states["absent"], Some(Severity::Minor));
    assert_eq!(states["skipped"], None);
    let metric = &profile.metrics[0];
    assert!(
        metric.skip.is_empty() && metric.after.is_empty(),
        "the child's alarm says nothing of it"
    );
    assert_eq!(metric.resource.parts[0], Part::Text("Port ".to_owned()));
    // The parent is untouched.
    assert_eq!(&*library.get("if-mib").unwrap().metrics[0].name, "if-mib.ifOperStatus");
}

#[test]
fn a_single_object_redefined_as_a_column_is_replaced_with_its_alarms() {
    let parent = "metrics:\n  - symbol: { OID: 1.3.6.1.4.1.99.5.0, name: state }\nalarms:\n  - { metric: state, type: bad, states: { 2: major } }\n";
    let child = "extends: [_parent.yaml]\nsysobjectid: 1.3.6.1.4.1.99.1\nmetrics:\n  - table: { OID: 1.3.6.1.4.1.99.6, name: t }\n    symbols: [{ OID: 1.3.6.1.4.1.99.6.1.2, name: state }]\nalarms:\n  - { metric: state, type: bad, states: { 2: minor } }\n";
    let library = Library::with(&[("_parent", parent), ("child", child)]).unwrap();
    let profile = library.get("child").unwrap();
    let metrics: Vec<_> = profile.metrics.iter().map(|m| (&*m.name, m.column)).collect();
    assert_eq!(metrics, [("child.state", true)]);
    let rules: Vec<_> = profile.rules.iter().map(|r| (r.pack.as_str(), r.id.as_str())).collect();
    assert_eq!(rules, [("child", "state:bad")]);
}

#[test]
fn several_numbers_may_have_one_name() {
    let text = "metrics:\n  - { MIB: X, symbol: { OID: 1.3.6.1.4.1.99.2.0, name: a } }\nalarms:\n  - { metric: a, type: t, names: { 1: ok, 2: failed, 3: failed }, states: { ok: ok, failed: major }, after: [failed] }\n";
    let library = Library::with(&[("x", text)]).unwrap();
    let profile = library.get("x").unwrap();
    let Condition::StateMap { states, .. } = &profile.rules[0].condition else { panic!() };
    for raw in ["2", "3"] {
        assert_eq!(states[raw], Some(Severity::Major), "{raw}");
    }
    assert_eq!(*profile.metrics[0].after, ["2".to_owned(), "3".to_owned()]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn fuzz_mutated_profiles_never_panic(at in 0usize..2000, with in "[a-z{}\\[\\]:,\"$ \n0-9]{0,3}") {
        let text = include_str!("../../profiles/entity-state.yaml");
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) { at -= 1; }
        let mutated = format!("{}{with}{}", &text[..at], &text[at..]);
        if let Err(problems) = Library::with(&[("x", &mutated)]) {
            for problem in &problems.0 {
                proptest::prop_assert!(problem.line >= 1 && problem.column >= 1);
            }
        }
    }
}
