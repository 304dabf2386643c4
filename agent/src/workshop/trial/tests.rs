//! Tests of tests: what holds, what does not, and what is no test file.

use super::*;

const PROFILE: &str = "sysobjectid: 1.3.6.1.4.1.32473.7.*\nmetrics:\n  - MIB: EXAMPLE-MIB\n    \
    table: { OID: 1.3.6.1.4.1.32473.5, name: fanTable }\n    symbols:\n      \
    - { OID: 1.3.6.1.4.1.32473.5.1.2, name: fanState }\n      \
    - { OID: 1.3.6.1.4.1.32473.5.1.3, name: fanSpeed, unit: rpm }\n    \
    metric_tags:\n      - { tag: slot, index: 1 }\n\
    alarms:\n  - metric: fanState\n    type: fan-failed\n    resource: \"fan ${slot}\"\n    \
    names: { 1: ok, 2: failed }\n    states: { ok: ok, failed: major }\n    text: \"fan ${slot} is ${state}\"\n  \
    - metric: fanSpeed\n    type: fan-slow\n    resource: \"fan ${slot}\"\n    \
    threshold: { below: 500, severity: warning, for: 2m }\n";

const CASE: &str = "cases:\n  - name: two fans\n    rows: |\n      \
    1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.32473.7.1\n      1.3.6.1.4.1.32473.5.1.2.1|2|1\n      \
    1.3.6.1.4.1.32473.5.1.2.2|2|2\n      1.3.6.1.4.1.32473.5.1.3.1|2|900\n    \
    values:\n      - { name: fanSpeed, resource: fan 1, value: 900.0, unit: rpm, verdict: ok }\n      \
    - { name: fanState, resource: fan 2, value: 2, state: failed, verdict: critical }\n    \
    alarms:\n      - { type: fan-failed, resource: fan 2, severity: major, text: fan 2 is failed }\n    \
    steps:\n      - after: 1m\n        inject: [1.3.6.1.4.1.32473.5.1.3.1|2|400]\n      \
    - after: 119s\n      - after: 1s\n        raised:\n          - { type: fan-slow, resource: fan 1, severity: warning }\n      \
    - inject: |\n          1.3.6.1.4.1.32473.5.1.2.2|gone\n          1.3.6.1.4.1.32473.5.1.3.1|2|1000\n        \
    cleared:\n          - { type: fan-failed, resource: fan 2 }\n          - { type: fan-slow, resource: fan 1 }\n";

fn outcomes(text: &str) -> Result<Vec<Outcome>, Problems> {
    let library = Library::with(&[("fan", PROFILE)]).unwrap();
    run_text(&Written { file: "fan.test.yaml", text, profile: "fan", folder: None }, &library)
}

#[test]
fn a_case_with_a_clock_of_its_own_holds() {
    let outcomes = outcomes(CASE).unwrap_or_else(|problems| panic!("{problems}"));
    let (text, status) = told(&outcomes, false);
    assert_eq!((outcomes.len(), status), (1, 0), "{text}");
    assert_eq!(outcomes[0].checked, 16, "{text}");
}

#[test]
fn what_does_not_hold_is_told_with_its_place() {
    for (from, to, line, message) in [
        ("value: 900.0", "value: 901", 9, "value of fanSpeed: expected \"901\", found \"900\""),
        (
            "severity: major, text",
            "severity: minor, text",
            12,
            "found major fan-failed on \"fan 2\"",
        ),
        ("text: fan 2 is failed", "text: burnt", 12, "expected major fan-failed"),
        (
            "resource: fan 2, value",
            "resource: fan 3, value",
            10,
            "is not read of fan 3; of fan 1, fan 2",
        ),
        ("- after: 119s", "- after: 120s", 16, "step 2: raised: not expected: warning fan-slow"),
        ("|2|1000", "|2|300", 25, "step 4: cleared: expected fan-slow"),
        ("32473.7.1\n", "32473.8\n", 2, "would be chosen, not fan"),
    ] {
        let text = CASE.replacen(from, to, 1);
        assert_ne!(text, CASE, "{from}");
        let outcomes = outcomes(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let (told, status) = told(&outcomes, false);
        assert_eq!(status, 1, "{to}\n{told}");
        let broken = &outcomes[0].broken[0];
        assert!(broken.message.contains(message), "{to}\n{told}");
        assert_eq!(broken.line, line, "{to}\n{told}");
    }
}

#[test]
fn what_is_no_test_file_is_told_with_its_place() {
    for (from, to, message) in [
        ("alarms:", "alarm:", "unknown key `alarm`"),
        ("severity: major", "severity: mayor", "did you mean \"major\""),
        ("|2|900", "|2|fast", "row 4: expected a whole number"),
        ("verdict: ok", "verdict: okay", "did you mean \"ok\""),
        ("after: 1m", "after: soon", "expected a duration"),
        ("rows: |", "recording: none.snmprec\n    rows: |", "cannot read"),
        (
            "- name: two fans",
            "- name: two fans\n    profiles: [fam]",
            "no profile is called \"fam\"",
        ),
    ] {
        let text = CASE.replacen(from, to, 1);
        let problems = outcomes(&text).map(|_| ()).expect_err(to).to_string();
        assert!(problems.contains(message), "{problems}");
        assert!(problems.starts_with("fan.test.yaml:"), "{problems}");
    }
}

#[test]
fn a_proposed_case_holds() {
    let dir = tempfile::tempdir().unwrap();
    let rows = CASE.split("rows: |\n").nth(1).unwrap().split("    values").next().unwrap();
    let rows: String = rows.lines().map(|line| format!("{}\n", line.trim())).collect();
    std::fs::write(dir.path().join("fan.yaml"), PROFILE).unwrap();
    std::fs::write(dir.path().join("lab fan.snmprec"), &rows).unwrap();
    let recording = crate::workshop::Recording::parse("lab", &rows).unwrap();
    let library = Library::with(&[("fan", PROFILE)]).unwrap();
    let profiles = [library.get("fan").unwrap().clone()];
    let case = propose::propose("lab fan.snmprec", &recording, &profiles);
    assert!(case.contains("fan-failed"), "{case}");
    std::fs::write(dir.path().join("fan.test.yaml"), format!("cases:\n{case}")).unwrap();
    for path in ["", "fan.yaml", "fan.test.yaml"] {
        let outcomes = run(&[dir.path().join(path)], None).unwrap();
        assert_eq!(told(&outcomes, true).1, 0, "{}", told(&outcomes, false).0);
        assert_eq!(outcomes.len(), 1);
    }
    assert!(run(&[dir.path().join("other.yaml")], None).is_err());
}

/// What the shipped profiles must say of made-up devices; the tests are shipped beside them.
#[test]
fn the_shipped_profiles_hold_their_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let outcomes = run(&[folder], None).unwrap_or_else(|problems| panic!("{problems}"));
    let (text, status) = told(&outcomes, false);
    assert_eq!(status, 0, "{text}");
    let files: std::collections::BTreeSet<&str> =
        outcomes.iter().map(|o| o.file.as_str()).collect();
    assert!(files.len() >= 50, "{files:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    #[test]
    fn mutated_test_files_never_panic_panics(at in 0usize..1500, with in "[a-z{}\\[\\]:,\"| \n0-9]{0,3}") {
        let at = at.min(CASE.len());
        let library = Library::with(&[("fan", PROFILE)]).unwrap();
        let text = format!("{}{with}{}", &CASE[..at], &CASE[at..]);
        let written = Written { file: "t", text: &text, profile: "fan", folder: None };
        let _ = run_text(&written, &library);
    }
}
