//! Each way a value may go is said.

use super::*;
use crate::workshop::Recording;

const PROFILE: &str = "sysobjectid: [1.3.6.1.4.1.32473.7.*, 1.3.6.1.4.1.32473.7.1]\nmetrics:\n  - MIB: EXAMPLE-MIB\n    \
    table: { OID: 1.3.6.1.4.1.32473.5, name: fanTable }\n    symbols:\n      \
    - { OID: 1.3.6.1.4.1.32473.5.1.2, name: fanState, ignore: [9] }\n      \
    - { OID: 1.3.6.1.4.1.32473.5.1.3, name: air, unit: C, convert: [signed16, fahrenheit], scale_factor: 0.1 }\n      \
    - { OID: 1.3.6.1.4.1.32473.5.1.4, name: note, extract_value: 'rev (\\d+)' }\n    \
    metric_tags:\n      - { tag: slot, index: 1 }\n\
    alarms:\n  - metric: fanState\n    type: fan-failed\n    resource: \"fan ${slot}\"\n    \
    states: { 1: ok, 2: major, 3: ignore }\n    for: 90s\n    after: [1]\n  \
    - metric: air\n    type: temperature-high\n    resource: \"fan ${slot}\"\n    \
    threshold:\n      - { above: 40, clear: 35, severity: major }\n      \
    - { above: { OID: 1.3.6.1.4.1.32473.5.1.5, name: high }, severity: warning }\n";
const GENERAL: &str = "sysobjectid: 1.3.6.1.4.1.32473.*\nmetrics: []\n";

const RECORDING: &str = "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.32473.7.1
1.3.6.1.4.1.32473.5.1.2.1|2|2
1.3.6.1.4.1.32473.5.1.2.2|2|9
1.3.6.1.4.1.32473.5.1.2.3|2|3
1.3.6.1.4.1.32473.5.1.3.1|2|1130
1.3.6.1.4.1.32473.5.1.3.2|2|986
1.3.6.1.4.1.32473.5.1.4.1|4|fan rev 7
1.3.6.1.4.1.32473.5.1.5.1|2|0
1.3.6.1.4.1.32473.5.1.5.2|2|1500
";

fn explained(wanted: &Wanted) -> Explained {
    let library = Library::with(&[("fan", PROFILE), ("general", GENERAL)]).unwrap();
    let recording = Recording::parse("fan", RECORDING).unwrap();
    explain(&Survey::of_recording(&recording, &library).unwrap(), &library, false, wanted)
}

#[test]
fn every_step_and_every_reason_is_said() {
    let all = explained(&Wanted::default());
    let text = all.text();
    for words in [
        "sysObjectID 1.3.6.1.4.1.32473.7.1\nprofiles: fan\n  because its sysobjectid 1.3.6.1.4.1.32473.7.1 fits best\n",
        "  not general: its sysobjectid 1.3.6.1.4.1.32473.* fits, but no better\n",
        "raw       INTEGER 1130\n",
        "convert: signed16 → 1130\n",
        "scale_factor 0.1 → 113\n",
        "convert: fahrenheit → 45\n",
        "value     45 C\n",
        "major from 40 (the profile's), back below 35: reached\n",
        "warning: no limit, the device's high is unset\n",
        "⇒ major temperature-high on \"fan 1\", raised at once",
        "no alarm: within the limit; but not behind `clear` yet",
        "no alarm, though it would be major: on this part none of the states 1 has been seen yet",
        "silent    the row says nothing now: the symbol ignores this raw value\n",
        "the state \"3\" is not in the map; otherwise: ignore",
        "extracted by the expression → 7\n",
        "rules     no alarm looks at it\n",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert_eq!(all.values.len(), 6);
}

#[test]
fn only_what_is_wanted() {
    let count = |wanted: Wanted| explained(&wanted).values.len();
    let name = Some("air".to_owned());
    assert_eq!(count(Wanted { name, ..Wanted::default() }), 2);
    let oid = Oid::parse("1.3.6.1.4.1.32473.5.1.3.2");
    assert_eq!(count(Wanted { oid, ..Wanted::default() }), 1);
    let resource = Some("fan 1".to_owned());
    assert_eq!(count(Wanted { resource, ..Wanted::default() }), 2);
    let json = serde_json::to_value(explained(&Wanted::default())).unwrap();
    assert_eq!(json["values"][0]["rules"][0]["alarm_type"], "fan-failed");
    assert!(
        explained(&Wanted { name: Some("x".into()), ..Wanted::default() })
            .text()
            .contains("none of")
    );
}

#[test]
fn what_lasts_is_told_with_how_long() {
    let library = Library::with(&[("fan", &PROFILE.replace("    after: [1]\n", ""))]).unwrap();
    let recording = Recording::parse("fan", RECORDING).unwrap();
    let survey = Survey::of_recording(&recording, &library).unwrap();
    let text = explain(&survey, &library, true, &Wanted::default()).text();
    assert!(
        text.contains("major fan-failed on \"fan 1\", raised when it has lasted 90 s"),
        "{text}"
    );
    assert!(text.contains("because asked for by name"), "{text}");
}
