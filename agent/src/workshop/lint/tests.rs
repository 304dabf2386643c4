//! Each check finds what it is for, at its place, and leaves good profiles alone.

use super::*;
use crate::profile::library::shipped;

const HEAD: &str = "sysobjectid: 1.3.6.1.4.1.32473.7.*\nmetrics:\n  - MIB: EXAMPLE-MIB\n    \
    table: { OID: 1.3.6.1.4.1.32473.5, name: fanTable }\n    symbols:\n      \
    - { OID: 1.3.6.1.4.1.32473.5.1.2, name: fanState }\n      \
    - { OID: 1.3.6.1.4.1.32473.5.1.3, name: fanSpeed, unit: rpm }\n    \
    metric_tags:\n      - { tag: slot, index: 1 }\n";

const GOOD: &str = "alarms:\n  - metric: fanState\n    type: fan-failed\n    resource: \"fan ${slot}\"\n    \
    names: { 1: ok, 2: failed, 3: absent }\n    states: { ok: ok, failed: major, absent: ignore }\n";

/// (what follows [`HEAD`], check, part of the message); `§` stands before the place.
const FAULTS: &[(&str, &str, &str)] = &[
    (
        "alarms:\n  - { metric: fanState, type: fan-failed, states: §{ 1: ignore, 2: major } }\n",
        "no-ok-state",
        "never ends",
    ),
    (
        "alarms:\n  - { metric: fanState, type: §Fan_Failed, states: { 1: ok, 2: major } }\n",
        "type-name",
        "did you mean \"fan-failed\"",
    ),
    (
        "alarms:\n  - { metric: fanState, type: §fan-fialed, states: { 1: ok, 2: major } }\n",
        "type-name",
        "did you mean \"fan-failed\"",
    ),
    (
        "alarms:\n  - { metric: fanState, type: §fan-faild, states: { 1: ok, 2: major } }\n",
        "type-name",
        "did you mean \"fan-failed\"",
    ),
    (
        "alarms:\n  - { metric: fanState, type: fan-failed, resource: §fan, states: { 1: ok, 2: major } }\n",
        "resource-not-unique",
        "${index}",
    ),
    (
        "alarms:\n  - { metric: fanState, type: fan-failed, names: { 1: ok, 2: bad, 3: §fanFailed }, states: { ok: ok, bad: major } }\n",
        "state-forgotten",
        "\"fanFailed\"",
    ),
    (
        "alarms:\n  - { metric: fanState, type: fan-failed, names: { 1: ok, 2: bad }, states: { §1: ok, ok: ok, bad: major } }\n",
        "state-twice",
        "given twice",
    ),
    (
        "alarms:\n  - { metric: fanState, type: fan-failed, states: { 1: ok, 2: major } }\n  \
         - { metric: fanSpeed, type: fan-slow, threshold: [{ below: 500, severity: critical }, §{ below: 300, severity: warning }] }\n",
        "level-unreachable",
        "critical is reached at 500 already",
    ),
    (
        "alarms:\n  - { metric: fanState, type: fan-failed, threshold: §{ above: 0, severity: major } }\n",
        "always-raised",
        "did you mean `above: 1`",
    ),
    (
        "alarms:\n  - { metric: fanState, type: fan-failed, states: { 1: ok, 2: major } }\n  \
         - { metric: fanSpeed, type: fan-slow, threshold: [§{ above: 100, severity: major }, { below: 200, severity: major }] }\n",
        "always-raised",
        "always stands",
    ),
    (
        "alarms:\n  - §{ metric: fanState, type: fan-failed, states: { 1: ok, 2: nonsense } }\n",
        "load",
        "expected one of",
    ),
];

fn found(text: &str) -> Vec<Finding> {
    lint_texts(&[("fan", text)]).findings
}

fn shown(findings: &[Finding]) -> String {
    findings.iter().map(|f| format!("{} {}\n", f.check, f.problem)).collect()
}

#[test]
fn a_good_profile_has_nothing_to_say() {
    let report = lint_texts(&[("fan", &format!("{HEAD}{GOOD}"))]);
    assert_eq!((report.files, report.loaded, report.exit()), (1, 1, 0), "{}", report.text());
}

#[test]
fn every_check_finds_its_fault_at_its_place() {
    for (rest, check, message) in FAULTS {
        let marked = format!("{HEAD}{rest}");
        let findings = found(&marked.replace('§', ""));
        let Some(finding) = findings.iter().find(|f| f.check == *check) else {
            panic!("{check} not found in\n{marked}\n{}", shown(&findings));
        };
        assert!(finding.problem.to_string().contains(message), "{}", finding.problem);
        let severity = if *check == "load" { Severity::Error } else { Severity::Warning };
        assert_eq!(finding.severity, severity);
        let before = marked.split('§').next().unwrap();
        let line = before.matches('\n').count() + 1;
        assert_eq!(finding.problem.line, line, "{}", finding.problem);
        if *check != "load" {
            let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
            assert_eq!(finding.problem.column, column, "{}", finding.problem);
            assert_eq!(findings.len(), 1, "nothing else is wrong:\n{}", shown(&findings));
        }
    }
}

#[test]
fn faults_of_symbols() {
    let text = "sysobjectid: 1.3.6.1.4.1.32473.7.*\nmetrics:\n  - MIB: EXAMPLE-MIB\n    \
        table: { OID: 1.3.6.1.4.1.32473.5, name: t }\n    resource: part\n    symbols:\n      \
        - { OID: 1.3.6.1.4.1.32473.6.1.2, name: a, unit: RPM }\n      \
        - { OID: 1.3.6.1.4.1.32473.5.1.3, name: b, scale_facter: 2 }\n      \
        - { OID: 1.3.6.1.4.1.32473.5.1.4, name: c, ignore: [2], bits: { 0: low, 3: high } }\n\
        alarms:\n  - { metric: c, type: c-low, states: { none: ok, lov: minor, 2: minor } }\n";
    let findings = found(text);
    let checks: Vec<_> = findings.iter().map(|f| (f.check, f.problem.line)).collect();
    for wanted in [
        ("resource-not-unique", 5),
        ("oid-outside-table", 7),
        ("unit-unknown", 7),
        ("unknown-key", 8),
        ("symbol-unused", 8),
        ("state-unreachable", 11),
    ] {
        assert!(checks.contains(&wanted), "{wanted:?}\n{}", shown(&findings));
    }
    let text = shown(&findings);
    for words in ["did you mean \"rpm\"", "did you mean \"scale_factor\"", "did you mean \"low\""] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn what_is_inherited_and_lost_and_who_else_is_for_a_device() {
    let parent = format!("{HEAD}{GOOD}");
    let child = "extends: fan.yaml\nsysobjectid:\n  - 1.3.6.1.4.1.32473.7.*\nalarms:\n  \
        - { metric: fanState, type: fan-slow, states: { 1: ok, 2: minor } }\n";
    let report = lint_texts(&[
        ("fan", &parent),
        ("fan2", child),
        ("every", "metrics:\n  - MIB: X\n    symbol: { OID: 1.3.6.1.4.1.32473.9.0, name: x }\n"),
    ]);
    let text = report.text();
    assert!(
        text.contains("the alarm fan-failed on fanState, inherited from fan, is overwritten"),
        "{text}"
    );
    assert!(text.contains("fan2.yaml:3:5: also the sysObjectID of fan; fan2 is chosen"), "{text}");
    assert!(text.contains("every.yaml:1:1: neither `sysobjectid` nor `match`"), "{text}");
    assert_eq!(report.exit(), 1);
    let json: Vec<serde_json::Value> =
        report.json().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json.last().unwrap()["kind"], "sum");
    assert_eq!(json.len(), report.findings.len() + 1);
}

#[test]
fn files_folders_and_the_exit_status() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("_base.yaml"), format!("{HEAD}{GOOD}").replace("sysobjectid", "#"))
        .unwrap();
    std::fs::write(path("fan.yaml"), "extends: _base.yaml\nsysobjectid: 1.3.6.1.4.1.32473.7.1\n")
        .unwrap();
    std::fs::write(path("fan.test.yaml"), "cases: []\n").unwrap();
    std::fs::write(path("broken.yaml"), "metrics: [").unwrap();
    let one = lint(&[path("fan.yaml")]).unwrap();
    assert_eq!((one.files, one.exit()), (1, 0), "{}", one.text());
    let all = lint(&[dir.path().to_owned()]).unwrap();
    assert_eq!((all.files, all.loaded, all.exit()), (3, 2, 2), "{}", all.text());
    assert!(lint(&[path("none.yaml")]).is_err());
}

#[test]
fn files_of_traps_are_checked_as_such_beside_profiles() {
    let own = "\
vars:
  1.3.6.1.4.1.32473.1.1: { name: fanState, enum: { 1: ok, 2: bad } }
traps:
  1.3.6.1.4.1.32473.0.1: { name: fanFailed, severity: major, type: fan-failed, resource: \"${fanState}\" }
  1.3.6.1.4.1.32473.0.2: { name: fanGood, clears: [fanFailed, linkDown] }
  1.3.6.1.4.1.32473.0.3: { name: logIn }
";
    let good = lint_texts(&[("fan", &format!("{HEAD}{GOOD}")), ("own", own)]);
    assert_eq!((good.files, good.loaded, good.exit()), (2, 2, 0), "{}", good.text());
    let odd = "\
traps:
  1.3.6.1.4.1.32473.0.1: { name: again, severity: major, type: fan-fialed }
  1.3.6.1.4.1.32473.0.4: { name: logOut, clears: logIn }
  1.3.6.1.4.1.32473.0.5: { name: up, clears: again }
";
    let report = lint_texts(&[("own", own), ("own2", odd)]);
    let text = report.text();
    for wanted in [
        "own2.yaml:2:3: 1.3.6.1.4.1.32473.0.1 is in own.yaml, too",
        "warning[type-name]: own2.yaml:2:",
        "did you mean \"fan-failed\"",
        "warning[clears-nothing]: own2.yaml:3:",
        "logIn raises nothing",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    // That fanFailed is not there any more, another trap having its place, is no error of the first file.
    assert_eq!((report.files, report.counts()), (2, (0, 3)), "{text}");
    let wrong = lint_texts(&[("own", &own.replace("severity: major", "severty: major"))]);
    let text = wrong.text();
    assert!(text.contains("error[load]: own.yaml:4:") && text.contains("severity"), "{text}");
    assert_eq!((wrong.files, wrong.loaded, wrong.exit()), (1, 0, 2), "{text}");
}

#[test]
fn the_shipped_files_of_traps_are_clean() {
    let file = |name: &str| {
        let path = format!("{}/profiles/traps/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let (generic, vendors) = (file("generic"), file("vendors"));
    let report = lint_texts(&[("traps-1", &generic), ("traps-2", &vendors)]);
    assert_eq!((report.files, report.loaded), (2, 2), "{}", report.text());
    assert!(report.findings.is_empty(), "{}", report.text());
}

/// What may be found in the shipped profiles, as it can be meant: tables of one row, tables whose rows are
/// the faults, numbers without a unit, states that sound worse than they are.
const MEANT: [&str; 7] = [
    "no-ok-state",
    "resource-not-unique",
    "symbol-unused",
    "state-forgotten",
    "unit-unknown",
    "same-sysobjectid",
    "inherited-alarm-lost",
];

#[test]
fn the_shipped_profiles_are_clean() {
    let texts: Vec<(&str, &str)> = shipped().collect();
    let mut report = lint_texts(&texts);
    assert_eq!((report.files, report.loaded), (texts.len(), texts.len()), "{}", report.text());
    let all = report.findings.len();
    report.findings.retain(|finding| !MEANT.contains(&finding.check));
    println!("{} shipped files, {all} warnings that can be meant", report.files);
    assert!(report.findings.is_empty(), "{}", report.text());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    #[test]
    fn mutated_profiles_never_panic_the_checks_panics(at in 0usize..900, with in "[a-z{}\\[\\]:,\"$ \n0-9]{0,3}") {
        let text = format!("{HEAD}{GOOD}");
        let at = at.min(text.len());
        let report = lint_texts(&[("fan", &format!("{}{with}{}", &text[..at], &text[at..]))]);
        for finding in &report.findings {
            proptest::prop_assert!(finding.problem.line >= 1 && finding.problem.column >= 1);
        }
    }

    #[test]
    fn mutated_files_of_traps_never_panic_the_checks_panics(at in 0usize..400, with in "[a-z{}\\[\\]:,\"$ \n0-9]{0,3}") {
        let text = "vars:\n  1.3.6.1.4.1.1.1: { name: state, enum: { 1: ok } }\ntraps:\n  \
            1.3.6.1.4.1.1.0.1: { name: down, severity: major, type: t-x, resource: \"${state}\" }\n  \
            1.3.6.1.4.1.1.0.2: { name: up, clears: [down] }\n";
        let at = at.min(text.len());
        let report = lint_texts(&[("own", &format!("{}{with}{}", &text[..at], &text[at..]))]);
        for finding in &report.findings {
            proptest::prop_assert!(finding.problem.line >= 1 && finding.problem.column >= 1);
        }
    }
}
