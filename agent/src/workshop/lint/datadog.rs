//! Public profiles in Datadog's own writing: their shapes in small, and all of them where a variable says
//! where they are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::view::{entries, items};
use super::*;
use crate::profile::Library;
use crate::profile::node::{Kind, Node, parse};
use crate::workshop::{Recording, Rig, Survey};

/// A folder of Datadog's profiles (`snmp/…/default_profiles` of their public repository).
const FOLDER: &str = "CALLHOME_DATADOG_PROFILES";

/// What Datadog writes and we leave out: where it stands, and what that means.
const LEFT: &[(&str, &str)] = &[
    (".metrics[].metric_type", "how numbers are sent on: nothing is sent on here"),
    (".metrics[].forced_type", "the same, older"),
    (".metrics[].options", "flags of `flag_stream`"),
    (".metrics[].symbols[].metric_type", "as above"),
    (".metrics[].symbol.metric_type", "as above"),
    (
        ".metrics[].symbols[].constant_value_one",
        "a number that is always 1: there is nothing to read",
    ),
    (".metrics[].metric_tags[].symbol.format", "octets are shown as hexadecimal pairs"),
    (".metrics[].metric_tags[].name", "beside `symbol`, which counts"),
    (".metric_tags", "tags of the whole device"),
    (".metadata.device.fields.type", "no such field"),
    (".metadata.device.fields.os_name", "no such field"),
    (".metadata.device.fields.name", "the configuration names devices"),
    (".metadata.device.fields.description", "no such field"),
    (".metadata.device.fields.location", "no such field"),
    (".metadata.device.fields.sys_object_id", "always read"),
    (".metadata.device.fields.integration", "no such field"),
    (".metadata.device.fields.os_hostname", "no such field"),
    (".metadata.interface", "no inventory of ports"),
];

/// Counts keys by their path.
fn count(node: &Node, path: &str, counts: &mut BTreeMap<String, usize>) {
    match &node.kind {
        Kind::Map(_) => {
            for (key, value) in entries(node) {
                let path = format!("{path}.{}", key.name);
                *counts.entry(path.clone()).or_default() += 1;
                count(value, &path, counts);
            }
        }
        Kind::List(_) => {
            items(node).iter().for_each(|item| count(item, &format!("{path}[]"), counts))
        }
        _ => {}
    }
}

#[test]
fn all_public_profiles_are_tried() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        println!("skipped: {FOLDER} names no folder");
        return;
    };
    let report = lint(std::slice::from_ref(&folder)).unwrap();
    let of = |check: &str| report.findings.iter().filter(|f| f.check == check).count();
    println!("{} of {} files load as they are", report.loaded, report.files);
    for finding in report.findings.iter().filter(|f| f.severity == Severity::Error) {
        println!("{}", finding.problem);
    }
    let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
    for finding in report.findings.iter().filter(|f| f.check == "unknown-key") {
        *unknown.entry(finding.problem.message.clone()).or_default() += 1;
    }
    println!("noted: {unknown:#?}");
    let mut counts = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if let (Some(name), Ok(text)) = (path.to_str(), std::fs::read_to_string(&path))
            && name.ends_with(".yaml")
            && let Ok(root) = parse(name, &text)
        {
            count(&root, "", &mut counts);
        }
    }
    for (key, why) in LEFT {
        println!("{:>6} {key}: {why}", counts.get(*key).copied().unwrap_or(0));
    }
    for check in ["same-sysobjectid", "oid-outside-table", "for-every-device"] {
        println!("{:>6} {check}", of(check));
    }
    assert!(report.files >= 40, "{}", report.files);
    assert!(report.loaded * 100 >= report.files * 97, "{} of {}", report.loaded, report.files);
    Library::load(Some(&folder))
        .unwrap_or_else(|problems| panic!("as `agent.profiles_dir`: {problems}"));
}

/// Every shape that the public ones have: bare lists, string tags, anchors, constants, flags, old writing.
const SHAPES: &str = "
extends:
  - _base.yaml
  - _part.yaml
device:
  vendor: \"lab\"
sysobjectid:
  - 1.3.6.1.4.1.32473.1.1
  - 1.3.6.1.4.1.32473.2.*
metadata:
  device:
    fields:
      type: { value: \"switch\" }
      version:
        symbol:
          MIB: LAB-MIB
          OID: 1.3.6.1.2.1.1.1.0
          name: sysDescr
          match_pattern: 'Version (\\d+)\\.(\\d+)'
          match_value: '$1.$2'
      serial_number:
        symbols:
          - { OID: 1.3.6.1.4.1.32473.1.7.0, name: labSerial, format: mac_address }
      os_name: { value: LabOS }
  interface:
    fields: { name: { symbol: { OID: 1.3.6.1.2.1.31.1.1.1.1, name: ifName } } }
    id_tags: [{ tag: interface, symbol: { OID: 1.3.6.1.2.1.31.1.1.1.1, name: ifName } }]
metric_tags:
  - { OID: 1.3.6.1.2.1.1.5.0, symbol: sysName, tag: snmp_host }
  - { OID: 1.3.6.1.4.1.32473.1.9.0, symbol: labMode, tag: mode, mapping: { 1: a, 2: b } }
metrics:
  - MIB: LAB-MIB
    OID: 1.3.6.1.4.1.32473.9.0
    name: labOldest
  - MIB: LAB-MIB
    table: { OID: 1.3.6.1.4.1.32473.8, name: }
    symbols: [{ OID: 1.3.6.1.4.1.32473.8.1.2, name: labNoName }]
  - MIB: LAB-MIB
    symbol: { OID: 1.3.6.1.4.1.32473.1.2.0, name: labTemp, scale_factor: 0.1 }
    metric_type: gauge
  - MIB: LAB-MIB
    symbol: { OID: 1.3.6.1.4.1.32473.1.3, name: labWords, extract_value: '(\\d+)C' }
    forced_type: gauge
  - MIB: LAB-MIB
    OID: 1.3.6.1.4.1.32473.1.4.0
    name: labFlags
    symbol: { OID: 1.3.6.1.4.1.32473.1.4.0, name: labFlags }
    metric_type: flag_stream
    options: { placement: 1, metric_suffix: OnLine }
  - MIB: LAB-MIB
    table: { OID: 1.3.6.1.4.1.32473.5, name: labFanTable }
    symbols:
      - { name: labFan, constant_value_one: true }
      - OID: 1.3.6.1.4.1.32473.5.1.2
        name: labFanSpeed
        metric_type: monotonic_count_and_rate
    static_tags: [\"part:fan\"]
    metric_tags:
      - \"kind:fan\"
      - tag: fan_state
        symbol: { OID: 1.3.6.1.4.1.32473.5.1.3, name: labFanState }
        mapping: { 1: ok, 2: \"failed\" }
      - tag: fan_index
        index: 1
      - tag: fan_box
        MIB: LAB-MIB
        table: labBoxTable
        symbol: { OID: 1.3.6.1.4.1.32473.6.1.2, name: labBoxName, format: ip_address }
        index_transform: [{ start: 0, end: 0 }]
";

const ROWS: &str = "1.3.6.1.2.1.1.1.0|4|Lab Version 4.2 x
1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.32473.2.77.1
1.3.6.1.4.1.32473.1.2.0|2|215
1.3.6.1.4.1.32473.1.3.0|4|at 31C
1.3.6.1.4.1.32473.5.1.2.1.7|66|900
1.3.6.1.4.1.32473.5.1.3.1.7|2|2
1.3.6.1.4.1.32473.6.1.2.1|4|box A
1.3.6.1.4.1.32473.9.0|2|5
";

#[test]
fn every_shape_of_datadogs_is_read() {
    let part =
        "metrics:\n  - { MIB: LAB-MIB, symbol: { OID: 1.3.6.1.4.1.32473.9.0, name: labShared } }\n";
    let base = "metric_tags:\n  - { OID: 1.3.6.1.2.1.1.5.0, symbol: sysName, tag: snmp_host }\n";
    let texts = [("_base", base), ("_part", part), ("lab", SHAPES)];
    let report = lint_texts(&texts);
    assert_eq!((report.loaded, report.counts().0), (3, 0), "{}", report.text());
    let library = Library::with(&texts).unwrap();
    let recording = Recording::parse("lab", ROWS).unwrap();
    let profile = library.get("lab").unwrap().clone();
    let survey = Survey::with(&recording, vec![profile]);
    let rig = Rig::new(&survey.profiles);
    let device = rig.device(&survey.snapshot);
    assert_eq!((device.vendor.as_deref(), device.firmware.as_deref()), (Some("lab"), Some("4.2")));
    let rows = rig.rows(&survey.snapshot);
    let value = |name: &str| {
        let row = rows.iter().find(|row| row.metric.symbol == name).unwrap();
        format!("{:?}", row.examined.reading.value)
    };
    assert_eq!(value("labTemp"), "Number(21.5)");
    assert_eq!(value("labWords"), "Number(31.0)");
    assert_eq!(value("labShared"), "Number(5.0)");
    assert_eq!(value("labOldest"), "Number(5.0)");
    let fan = rows.iter().find(|row| row.metric.symbol == "labFanSpeed").unwrap();
    let tags = &fan.examined.reading.labels;
    for (name, wanted) in
        [("kind", "fan"), ("fan_state", "failed"), ("fan_index", "1"), ("fan_box", "box A")]
    {
        let found = tags.iter().find(|(tag, _)| **tag == *name).map(|(_, value)| value.as_str());
        assert_eq!(found, Some(wanted), "{name}");
    }
    let known = |key: &str| LEFT.iter().any(|(left, _)| *left == key);
    for key in [".metrics[].options", ".metrics[].symbols[].constant_value_one"] {
        assert!(known(key));
    }
}
