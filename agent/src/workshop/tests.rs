//! From a recording to lines.

use callhome_shared::alarm::Alarm;

use super::read::{Extent, Line, lines};
use super::*;

const PROFILE: &str = "
sysobjectid: 1.3.6.1.4.1.32473.1.*
metrics:
  - MIB: EXAMPLE-MIB
    table: { OID: 1.3.6.1.4.1.32473.1.5, name: psuTable }
    symbols:
      - { OID: 1.3.6.1.4.1.32473.1.5.1.3, name: psuStatus }
      - { OID: 1.3.6.1.4.1.32473.1.5.1.4, name: psuTemperature, scale_factor: 0.1, unit: C }
      - { OID: 1.3.6.1.4.1.32473.1.5.1.5, name: psuPower, unit: W }
    metric_tags:
      - { tag: slot, symbol: { OID: 1.3.6.1.4.1.32473.1.5.1.2, name: psuSlot } }
alarms:
  - metric: psuStatus
    type: psu-failed
    resource: \"PSU ${slot|index}\"
    names: { 1: ok, 2: failed, 3: absent, 4: strange }
    states: { ok: ok, failed: major, absent: ignore }
    skip_when: { slot: [spare] }
    text: \"power supply ${slot} is ${state}\"
  - metric: psuTemperature
    type: psu-hot
    resource: \"PSU ${slot|index}\"
    threshold: { above: 70, clear: 65, severity: warning, for: 2m }
";

const RECORDING: &str = "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.32473.1.9
1.3.6.1.4.1.32473.1.5.1.2.1|4|A
1.3.6.1.4.1.32473.1.5.1.2.2|4|B
1.3.6.1.4.1.32473.1.5.1.2.3|4|spare
1.3.6.1.4.1.32473.1.5.1.3.1|2|1
1.3.6.1.4.1.32473.1.5.1.3.2|2|2
1.3.6.1.4.1.32473.1.5.1.3.3|2|2
1.3.6.1.4.1.32473.1.5.1.4.1|2|705
1.3.6.1.4.1.32473.1.5.1.4.2|2|255
1.3.6.1.4.1.32473.1.5.1.5.1|66|300
";

fn library() -> Library {
    Library::with(&[("example", PROFILE)]).unwrap()
}

#[test]
fn everything_is_said_and_the_alarms_follow() {
    let recording = Recording::parse("psu.snmprec", RECORDING).unwrap();
    let survey = Survey::of_recording(&recording, &library()).unwrap();
    let said: Vec<serde_json::Value> = lines(&survey, Extent::default())
        .iter()
        .map(|line| serde_json::to_value(line).unwrap())
        .collect();
    let short = |n: usize| {
        let line = &said[n];
        let word = |key: &str| match &line[key] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        [word("kind"), word("oid"), word("resource"), word("value"), word("verdict")].join(" ")
    };
    assert_eq!(short(0), "reading 1.3.6.1.4.1.32473.1.5.1.3.1 PSU A 1 ok");
    assert_eq!(short(1), "reading 1.3.6.1.4.1.32473.1.5.1.3.2 PSU B 2 critical");
    assert_eq!(short(2), "reading 1.3.6.1.4.1.32473.1.5.1.3.3 PSU spare 2 unknown");
    assert_eq!(short(3), "reading 1.3.6.1.4.1.32473.1.5.1.4.1 PSU A 70.5 warning");
    assert_eq!(short(4), "reading 1.3.6.1.4.1.32473.1.5.1.4.2 PSU B 25.5 ok");
    assert_eq!(short(5), "reading 1.3.6.1.4.1.32473.1.5.1.5.1 A 300 null");
    assert_eq!(said[3]["unit"], "C");
    assert_eq!(said[1]["state"], "failed");
    let alarms = &said[6..];
    assert_eq!(alarms.len(), 2, "{alarms:?}");
    assert_eq!(alarms[0]["type"], "psu-failed");
    assert_eq!(alarms[0]["severity"], "major");
    assert_eq!(alarms[0]["oid"], "1.3.6.1.4.1.32473.1.5.1.3.2");
    assert_eq!(alarms[0]["text"], "power supply B is failed");
    assert_eq!(alarms[1]["type"], "psu-hot", "two minutes have passed in the rig");
    assert!(matches!(lines(&survey, Extent::default()).last(), Some(Line::Alarm(_))));
}

#[test]
fn a_rig_raises_once_and_clears() {
    let mut recording = Recording::parse("psu.snmprec", RECORDING).unwrap();
    let survey = Survey::of_recording(&recording, &library()).unwrap();
    let mut rig = Rig::new(&survey.profiles);
    assert_eq!(rig.settle(&survey.snapshot).len(), 2);
    assert!(rig.settle(&survey.snapshot).is_empty());
    let failed = Oid::parse("1.3.6.1.4.1.32473.1.5.1.3.2").unwrap();
    recording.set(failed, Some(recording::value("2|1").unwrap()));
    let snapshot = recording.snapshot(&rig.plan);
    let cleared = rig.settle(&snapshot);
    assert_eq!(cleared.len(), 1);
    assert_eq!((cleared[0].resource.as_str(), rig.active().len()), ("PSU B", 1));
}

const LIMITS: &str = "
sysobjectid: 1.3.6.1.4.1.32473.2.*
metrics:
  - MIB: EXAMPLE-MIB
    table: { OID: 1.3.6.1.4.1.32473.6, name: probeTable }
    resource: \"${room} ${name|index}\"
    symbols:
      - { OID: 1.3.6.1.4.1.32473.6.1.3, name: probeTemperature, scale_factor: 0.1, unit: C, ignore: [-999, 65535] }
    metric_tags:
      - { tag: name, index_text: { start: 1 } }
      - tag: room
        index_from: 1.3.6.1.4.1.32473.6.1.2
        symbol: { OID: 1.3.6.1.4.1.32473.7.1.2, name: roomName }
alarms:
  - metric: probeTemperature
    type: temperature-high
    threshold:
      - { above: { OID: 1.3.6.1.4.1.32473.6.1.4, name: high }, clear_by: 2, severity: warning }
      - { above: { OID: 1.3.6.1.4.1.32473.8.0, name: all, scale_factor: 1 }, severity: critical }
    text: \"${value} of ${high}\"
";

/// Rows are called by the text in their index, rooms by a row of another table.
const PROBES: &str = "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.32473.2.1
1.3.6.1.4.1.32473.6.1.2.1.2.105.110|2|7
1.3.6.1.4.1.32473.6.1.2.1.3.111.117.116|2|8
1.3.6.1.4.1.32473.6.1.2.1.1.120|2|8
1.3.6.1.4.1.32473.6.1.3.1.2.105.110|2|305
1.3.6.1.4.1.32473.6.1.3.1.3.111.117.116|2|450
1.3.6.1.4.1.32473.6.1.3.1.1.120|2|-999
1.3.6.1.4.1.32473.6.1.4.1.2.105.110|2|300
1.3.6.1.4.1.32473.6.1.4.1.3.111.117.116|2|0
1.3.6.1.4.1.32473.7.1.2.7|4|Hall
1.3.6.1.4.1.32473.7.1.2.8|4|Yard
1.3.6.1.4.1.32473.8.0|2|60
";

#[test]
fn limits_that_the_device_says_and_rows_named_by_their_index() {
    let library = Library::with(&[("probes", LIMITS)]).unwrap();
    let mut recording = Recording::parse("probes.snmprec", PROBES).unwrap();
    let survey = Survey::of_recording(&recording, &library).unwrap();
    let mut rig = Rig::new(&survey.profiles);
    let mut rows: Vec<_> = rig
        .rows(&survey.snapshot)
        .into_iter()
        .map(|row| (row.examined.reading.resource.clone(), row.verdict, row.examined.skipped))
        .collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let value = Some(Arc::from("value"));
    assert_eq!(
        rows,
        [
            ("Hall in".to_owned(), Some(Verdict::Warning), None),
            ("Yard out".to_owned(), Some(Verdict::Ok), None),
            ("Yard x".to_owned(), None, value),
        ]
    );
    let raised = rig.settle(&survey.snapshot);
    assert_eq!(raised.len(), 1);
    assert_eq!((raised[0].resource.as_str(), raised[0].text.as_str()), ("Hall in", "30.5 of 30"));
    let probe = Oid::parse("1.3.6.1.4.1.32473.6.1.3.1.2.105.110").unwrap();
    for (tenths, standing) in [(285, 1), (279, 0), (600, 1)] {
        recording.set(probe.clone(), Some(Value::Integer(tenths)));
        rig.settle(&recording.snapshot(&rig.plan));
        assert_eq!(rig.active().len(), standing, "{tenths}");
    }
    assert_eq!(rig.active()[0].severity.as_str(), "critical");
}

const COUNTERS: &str = "
sysobjectid: 1.3.6.1.4.1.32473.3.*
metrics:
  - MIB: EXAMPLE-MIB
    table: { OID: 1.3.6.1.4.1.32473.9, name: portTable }
    symbols:
      - { OID: 1.3.6.1.4.1.32473.9.1.2, name: portErrors }
      - { OID: 1.3.6.1.4.1.32473.9.1.3, name: portOctets, scale_factor: 8, unit: bit }
    metric_tags: [{ tag: port, index: 1 }]
alarms:
  - { metric: portErrors, type: errors, resource: \"port ${port}\", rate: { above: 2, clear: 1, severity: minor } }
  - { metric: portOctets, type: idle, resource: \"port ${port}\", delta: { below: 80, severity: warning } }
";

/// A device's counters, one of 32 and one of 64 bits, over a wrap and over a restart.
#[test]
fn counters_of_a_recording_have_rates() {
    let library = Library::with(&[("counters", COUNTERS)]).unwrap();
    let begin = "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.32473.3.1
1.3.6.1.2.1.1.3.0|67|100000
1.3.6.1.4.1.32473.9.1.2.1|65|4294967200
1.3.6.1.4.1.32473.9.1.3.1|70|18446744073709551610
";
    let mut recording = Recording::parse("counters.snmprec", begin).unwrap();
    let survey = Survey::of_recording(&recording, &library).unwrap();
    let mut rig = Rig::new(&survey.profiles);
    assert!(rig.poll(&recording.snapshot(&rig.plan)).is_empty(), "one reading is no interval");
    let mut told = |uptime: &str, errors: &str, octets: &str| {
        for (oid, value) in [
            ("1.3.6.1.2.1.1.3.0", uptime),
            ("1.3.6.1.4.1.32473.9.1.2.1", errors),
            ("1.3.6.1.4.1.32473.9.1.3.1", octets),
        ] {
            recording.set(Oid::parse(oid).unwrap(), Some(recording::value(value).unwrap()));
        }
        let alarms = rig.poll(&recording.snapshot(&rig.plan));
        let short = |a: &Alarm| format!("{} {} {}", a.transition.as_str(), a.kind, a.text);
        alarms.iter().map(short).collect::<Vec<_>>()
    };
    // 120 errors in a minute beyond the wrap; 20 octets beyond the other.
    let first = told("67|106000", "65|24", "70|14");
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].starts_with("raised errors") && first[0].ends_with("= 2 /s"), "{first:?}");
    assert!(told("67|3000", "65|1", "70|1").is_empty(), "the device was started: nothing is said");
    let calm = told("67|9000", "65|11", "70|5");
    assert_eq!(calm.len(), 2, "{calm:?}");
    assert!(calm[0].starts_with("cleared errors"), "{calm:?}");
    assert!(calm[1].starts_with("raised idle") && calm[1].ends_with("= 32 bit"), "{calm:?}");
}

const SENSORS: &str = "
sysobjectid: 1.3.6.1.4.1.32473.3.*
metrics:
  - table: { OID: 1.3.6.1.4.1.32473.9, name: sensorTable }
    symbols:
      - OID: 1.3.6.1.4.1.32473.9.1.3
        name: reading
        exponents: [{ OID: 1.3.6.1.4.1.32473.9.1.5, name: precision, negative: true }]
        unit: { OID: 1.3.6.1.4.1.32473.9.1.2, mapping: { '*Temp*': C, 'FAN*': rpm, VBAT: V } }
    metric_tags:
      - { tag: name, symbol: { OID: 1.3.6.1.4.1.32473.9.1.2, name: sensorName } }
      - tag: sort
        symbol: { OID: 1.3.6.1.4.1.32473.9.1.2, name: sensorName }
        mapping: { '*Temp*': temperature, '*': other }
alarms:
  - metric: reading
    type: temperature-high
    only_when: { sort: temperature }
    threshold: { above: { OID: 1.3.6.1.4.1.32473.9.1.4, name: high }, severity: major }
    text: \"${value} ${unit} of ${high}\"
";

/// Sensors of all sorts in one column, with the number of decimals of value and limit in another.
const ROWS: &str = "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.32473.3.1
1.3.6.1.4.1.32473.9.1.2.1|4|CPU Temp
1.3.6.1.4.1.32473.9.1.2.2|4|FAN 1
1.3.6.1.4.1.32473.9.1.2.3|4|VBAT
1.3.6.1.4.1.32473.9.1.2.4|4|Inlet Temp
1.3.6.1.4.1.32473.9.1.3.1|2|715
1.3.6.1.4.1.32473.9.1.3.2|2|9000
1.3.6.1.4.1.32473.9.1.3.3|2|305
1.3.6.1.4.1.32473.9.1.3.4|2|31
1.3.6.1.4.1.32473.9.1.4.1|2|700
1.3.6.1.4.1.32473.9.1.4.2|2|8000
1.3.6.1.4.1.32473.9.1.4.4|2|42
1.3.6.1.4.1.32473.9.1.5.1|2|1
1.3.6.1.4.1.32473.9.1.5.2|2|0
1.3.6.1.4.1.32473.9.1.5.3|2|2
1.3.6.1.4.1.32473.9.1.5.4|2|0
";

#[test]
fn limits_are_converted_as_their_value_is_and_sorts_are_told_by_patterns() {
    let library = Library::with(&[("sensors", SENSORS)]).unwrap();
    let recording = Recording::parse("sensors.snmprec", ROWS).unwrap();
    let survey = Survey::of_recording(&recording, &library).unwrap();
    let mut rig = Rig::new(&survey.profiles);
    let mut rows: Vec<_> = rig
        .rows(&survey.snapshot)
        .into_iter()
        .map(|row| {
            let reading = row.examined.reading;
            (reading.resource, reading.value, reading.unit.to_string())
        })
        .collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let row = |name: &str, value, unit: &str| {
        (name.to_owned(), crate::source::Value::Number(value), unit.to_owned())
    };
    assert_eq!(
        rows,
        [
            row("CPU Temp", 71.5, "C"),
            row("FAN 1", 9000.0, "rpm"),
            row("Inlet Temp", 31.0, "C"),
            row("VBAT", 3.05, "V"),
        ]
    );
    let raised = rig.settle(&survey.snapshot);
    let told: Vec<_> = raised.iter().map(|a| (&*a.resource, &*a.text)).collect();
    assert_eq!(told, [("CPU Temp", "71.5 C of 70")]);
}

const TWO_KINDS: &str = "
sysobjectid: 1.3.6.1.4.1.32473.2.*
metrics:
  - MIB: EXAMPLE-MIB
    table: { OID: 1.3.6.1.4.1.32473.2.5, name: sensorTable }
    symbols:
      - { OID: 1.3.6.1.4.1.32473.2.5.1.3, name: sensorFan, unit: rpm }
      - { OID: 1.3.6.1.4.1.32473.2.5.1.3, name: sensorHeat, unit: C }
    metric_tags:
      - { tag: sort, symbol: { OID: 1.3.6.1.4.1.32473.2.5.1.2, name: sensorSort } }
alarms:
  - { metric: sensorFan, type: fan-slow, resource: \"${index}\", skip_when: { sort: [heat] }, threshold: { below: 500, severity: major } }
  - { metric: sensorHeat, type: hot, resource: \"${index}\", skip_when: { sort: [fan] }, threshold: { above: 70, severity: major } }
";

/// One column for several kinds of sensors, each with a symbol of its own: every object is told once, by the symbol
/// that is for it; the device's parts are no lines of it unless they are asked for.
#[test]
fn each_object_is_told_once() {
    let library = Library::with(&[("kinds", TWO_KINDS)]).unwrap();
    let text = "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.32473.2.9
1.3.6.1.2.1.47.1.1.1.1.5.1|2|9
1.3.6.1.2.1.47.1.1.1.1.7.1|4|Board
1.3.6.1.4.1.32473.2.5.1.2.1|4|fan
1.3.6.1.4.1.32473.2.5.1.2.2|4|heat
1.3.6.1.4.1.32473.2.5.1.3.1|2|8100
1.3.6.1.4.1.32473.2.5.1.3.2|2|81
";
    let recording = Recording::parse("kinds.snmprec", text).unwrap();
    let survey = Survey::of_recording(&recording, &library).unwrap();
    let said = |extent| -> Vec<String> {
        let all = lines(&survey, extent).into_iter().map(|line| match line {
            Line::Reading(r) => format!("{} {} {} {:?}", r.name, r.value, r.unit, r.verdict),
            Line::Alarm(a) => format!("alarm {} {} {}", a.kind, a.value, a.unit),
            Line::Module(m) => format!("module {}", m.name),
        });
        all.collect()
    };
    let usual = ["sensorFan 8100 rpm Some(Ok)", "sensorHeat 81 C Some(Critical)", "alarm hot 81 C"];
    assert_eq!(said(Extent::default()), usual);
    let more = said(Extent { all: true, modules: true });
    assert_eq!(more.len(), usual.len() + 3, "{more:?}");
    assert_eq!(more[0], "module Board");
}
