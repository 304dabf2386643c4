//! Excerpts of our own making, in the shapes of the real files; and the real files where a variable names them.

use std::path::PathBuf;

use super::*;
use crate::profile::Library;
use crate::workshop::lint::lint_texts;
use crate::workshop::{Recording, Rig, Survey};

/// As snmp_exporter's generator writes it.
const EXPORTER: &str = "auths: { public_v2: { community: public, version: 2 } }
modules:
  lab_fan:
    walk: [1.3.6.1.4.1.32473.5]
    metrics:
    - { name: labUptime, oid: 1.3.6.1.4.1.32473.1.1, type: gauge, help: x, scale: 0.01 }
    - name: labFanStatus
      oid: 1.3.6.1.4.1.32473.5.1.2
      type: gauge
      help: The state
      indexes:
      - { labelname: labFanIndex, type: gauge }
      lookups:
      - { labels: [labFanIndex], labelname: labFanName, oid: 1.3.6.1.4.1.32473.5.1.9, type: DisplayString }
      enum_values: { 1: other, 2: ok, 3: degraded, 4: failed }
    - name: labPartTemp
      oid: 1.3.6.1.4.1.32473.6.1.3
      type: gauge
      help: x
      indexes:
      - { labelname: labFanIndex, type: gauge }
      - { labelname: labPartName, type: DisplayString }
      lookups:
      - { labels: [labFanIndex], labelname: labFanName, oid: 1.3.6.1.4.1.32473.5.1.9, type: DisplayString }
    - name: labPeer
      oid: 1.3.6.1.4.1.32473.7.1.3
      type: gauge
      indexes:
      - { labelname: labPeerAddress, type: InetAddress }
    - { name: labSince, oid: 1.3.6.1.4.1.32473.1.2, type: DateAndTime }
    - { name: labMode, oid: 1.3.6.1.4.1.32473.1.3, type: EnumAsInfo, enum_values: { 1: red, 2: blue } }
";

const EXPORTED: &str = "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.32473.9
1.3.6.1.4.1.32473.1.1.0|66|500
1.3.6.1.4.1.32473.5.1.2.1|2|2
1.3.6.1.4.1.32473.5.1.2.2|2|4
1.3.6.1.4.1.32473.5.1.9.1|4|left
1.3.6.1.4.1.32473.5.1.9.2|4|right
1.3.6.1.4.1.32473.6.1.3.2.2.105.110|2|31
";

/// As Zabbix exports templates: the older way of discovery, and walks.
const ZABBIX: &str = "zabbix_export:
  version: '7.0'
  templates:
    - template: Lab Fan by SNMP
      macros:
        - { macro: '{$TEMP_CRIT}', value: '60' }
        - { macro: '{$TEMP_CRIT:\"intake\"}', value: '45' }
        - { macro: '{$FAN_CRIT}', value: '3' }
      valuemaps:
        - name: LAB::fanState
          mappings:
            - { value: '1', newvalue: normal }
            - { value: '2', newvalue: warning }
            - { value: '3', newvalue: failed }
      items:
        - name: 'Lab: Memory used'
          type: SNMP_AGENT
          snmp_oid: 'get[1.3.6.1.4.1.32473.1.5.0]'
          key: vm.memory.util
          units: '%'
          preprocessing:
            - { type: MULTIPLIER, parameters: ['0.1'] }
          triggers:
            - expression: 'min(/Lab Fan by SNMP/vm.memory.util,5m)>90'
              name: 'Lab: High memory utilization'
              priority: AVERAGE
        - { name: walk, type: SNMP_AGENT, snmp_oid: 'walk[1.3.6.1.4.1.32473.5]', key: fan.walk }
        - { name: calc, type: CALCULATED, key: a.b }
        - { name: trap, type: SNMP_TRAP, key: 'snmptrap.fallback' }
      discovery_rules:
        - name: Fan discovery
          type: SNMP_AGENT
          snmp_oid: 'discovery[{#FAN_NAME},1.3.6.1.4.1.32473.5.1.9]'
          key: fan.discovery
          filter: { conditions: [] }
          item_prototypes:
            - name: '{#FAN_NAME}: Fan status'
              type: SNMP_AGENT
              snmp_oid: '1.3.6.1.4.1.32473.5.1.2.{#SNMPINDEX}'
              key: 'sensor.fan.status[fanState.{#SNMPINDEX}]'
              valuemap: { name: 'LAB::fanState' }
              trigger_prototypes:
                - expression: 'count(/Lab Fan by SNMP/sensor.fan.status[fanState.{#SNMPINDEX}],#1,\"eq\",\"{$FAN_CRIT}\")=1'
                  name: '{#FAN_NAME}: Fan is in critical state'
                  priority: HIGH
                - expression: 'last(/Lab Fan by SNMP/sensor.fan.status[fanState.{#SNMPINDEX}])=2'
                  name: '{#FAN_NAME}: Fan is in warning state'
                  priority: WARNING
                - expression: 'change(/Lab Fan by SNMP/sensor.fan.status[fanState.{#SNMPINDEX}])<>0'
                  name: '{#FAN_NAME}: Fan changed'
                  priority: WARNING
        - name: Temperature discovery
          type: DEPENDENT
          key: temp.discovery
          preprocessing:
            - { type: SNMP_WALK_TO_JSON, parameters: ['{#SENSOR}', 1.3.6.1.4.1.32473.8.1.2, '0'] }
          item_prototypes:
            - name: '{#SENSOR}: Temperature'
              type: DEPENDENT
              key: 'sensor.temp.value[labTemp.{#SNMPINDEX}]'
              units: °C
              preprocessing:
                - { type: SNMP_WALK_VALUE, parameters: ['1.3.6.1.4.1.32473.8.1.3.{#SNMPINDEX}', '0'] }
              trigger_prototypes:
                - expression: 'avg(/Lab Fan by SNMP/sensor.temp.value[labTemp.{#SNMPINDEX}],5m)>{$TEMP_CRIT:\"intake\"}'
                  name: '{#SENSOR}: Temperature is above {$TEMP_CRIT:\"intake\"}'
                  priority: HIGH
                - expression: 'avg(/Lab Fan by SNMP/sensor.temp.value[labTemp.{#SNMPINDEX}],5m)<{$TEMP_LOW}'
                  name: '{#SENSOR}: Temperature is too low'
                  priority: AVERAGE
";

const MEASURED: &str = "1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.32473.9
1.3.6.1.4.1.32473.1.5.0|2|955
1.3.6.1.4.1.32473.5.1.2.1|2|3
1.3.6.1.4.1.32473.5.1.2.2|2|2
1.3.6.1.4.1.32473.5.1.9.1|4|left
1.3.6.1.4.1.32473.5.1.9.2|4|right
1.3.6.1.4.1.32473.8.1.2.1|4|inlet
1.3.6.1.4.1.32473.8.1.3.1|2|50
";

/// The profile loads without an error; what stands on this recording.
fn tried(draft: &Draft, rows: &str) -> Vec<String> {
    let yaml = draft.yaml();
    let report = lint_texts(&[(&draft.name, &yaml)]);
    assert_eq!(report.counts().0, 0, "{yaml}\n{}", report.text());
    let library = Library::with(&[(&draft.name, &yaml)]).unwrap();
    let recording = Recording::parse("lab", rows).unwrap();
    let survey = Survey::with(&recording, vec![library.get(&draft.name).unwrap().clone()]);
    let mut rig = Rig::new(&survey.profiles);
    rig.settle(&survey.snapshot);
    let alarms = rig.active();
    let shown = |a: &callhome_shared::alarm::Alarm| {
        format!("{} {} on {}: {}", a.severity.as_str(), a.kind, a.resource, a.text)
    };
    let mut shown: Vec<String> = alarms.iter().map(shown).collect();
    shown.sort();
    shown
}

#[test]
fn snmp_exporters_modules_become_profiles() {
    let drafts = import("snmp.yml", EXPORTER).unwrap();
    assert_eq!(drafts.len(), 1);
    let draft = &drafts[0];
    assert_eq!(
        tried(draft, EXPORTED),
        ["major lab-fan-abnormal on right: labFanStatus of right is failed"],
        "{}",
        draft.yaml()
    );
    let yaml = draft.yaml();
    for words in [
        "scale_factor: 0.01",
        "index_text: { start: 1 }",
        "index_transform: [{ start: 0, end: 0 }]",
        "Guessed from the names",
        "match: [{ OID: 1.3.6.1.4.1.32473.1.1 }]",
    ] {
        assert!(yaml.contains(words), "{words}\n{yaml}");
    }
    let left = draft.left.join("\n");
    for words in ["labSince: its type", "labPeer: the index labPeerAddress", "labMode: an alarm"] {
        assert!(left.contains(words), "{words}\n{left}");
    }
    assert_eq!(draft.left.len(), 3, "{left}");
}

#[test]
fn zabbix_templates_become_profiles() {
    let drafts = import("template.yaml", ZABBIX).unwrap();
    let draft = &drafts[0];
    assert_eq!(draft.name, "lab-fan-by-snmp");
    assert_eq!(
        tried(draft, MEASURED),
        [
            "major fan-abnormal on left: left: Fan status is failed",
            "major lab-temp-high on inlet: inlet: Temperature is 50 C",
            "minor vm-memory-util-high on Memory used: Memory used is 95.5 %",
            "warning fan-abnormal on right: right: Fan status is warning",
        ],
        "{}",
        draft.yaml()
    );
    let left = draft.left.join("\n");
    for words in [
        "item a.b: it is calculated",
        "item snmptrap.fallback: traps",
        "Fan changed\": its function change",
        "does not say what {$TEMP_LOW} is",
        "discovery \"Fan discovery\": its filter",
    ] {
        assert!(left.contains(words), "{words}\n{left}");
    }
}

#[test]
fn what_is_no_such_file_is_said() {
    let said = |text: &str| import("x.yml", text).map(|_| ()).unwrap_err().to_string();
    assert!(said("modules: { if_mib: { walk: [ifTable] } }\n").contains("generator"));
    assert!(said("a: 1\n").contains("expected a Zabbix template"));
    assert!(said("a: [\n").contains("x.yml:"));
    let old = EXPORTER.replace("modules:\n", "").replace("\n  ", "\n").replacen("auths", "#", 1);
    assert_eq!(import("snmp.yml", &old).unwrap().len(), 1, "before the exporter had `modules:`");
}

/// Real files, where these variables name them.
#[test]
fn real_files_are_imported_and_load() {
    for variable in ["CALLHOME_SNMP_EXPORTER", "CALLHOME_ZABBIX_TEMPLATES"] {
        let Some(path) = std::env::var_os(variable).map(PathBuf::from) else {
            println!("skipped: {variable} names no file or folder");
            continue;
        };
        let mut files = vec![path.clone()];
        if path.is_dir() {
            files = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.sort();
        }
        let (mut profiles, mut bad, mut symbols, mut alarms, mut left) = (0, 0, 0, 0, 0);
        for file in &files {
            let text = std::fs::read_to_string(file).unwrap();
            let drafts = match import(&file.display().to_string(), &text) {
                Ok(drafts) => drafts,
                Err(problems) => {
                    println!("{problems}");
                    bad += 1;
                    continue;
                }
            };
            for draft in drafts.iter().filter(|d| !d.scalars.is_empty() || !d.tables.is_empty()) {
                profiles += 1;
                symbols += draft.scalars.len();
                symbols += draft.tables.iter().map(|table| table.symbols.len()).sum::<usize>();
                alarms += draft.alarms.len();
                left += draft.left.len();
                let yaml = draft.yaml();
                let report = lint_texts(&[(&draft.name, &yaml)]);
                assert_eq!(report.counts().0, 0, "{}\n{}", file.display(), report.text());
            }
        }
        println!(
            "{variable}: {} files ({bad} of another kind), {profiles} profiles, {symbols} symbols, {alarms} alarms; {left} things left",
            files.len()
        );
        assert!(profiles > 0 && symbols > profiles);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn mutated_files_never_panic_the_import_panics(zabbix: bool, at in 0usize..4000, with in "[a-z{}\\[\\]():,\"$#.=<> \n0-9]{0,4}", gone in 0usize..6) {
        let text = if zabbix { ZABBIX } else { EXPORTER };
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) { at -= 1; }
        let mut end = (at + gone).min(text.len());
        while !text.is_char_boundary(end) { end -= 1; }
        let text = format!("{}{with}{}", &text[..at], &text[end.max(at)..]);
        if let Ok(drafts) = import("x", &text) {
            for draft in drafts { let _ = draft.yaml(); }
        }
    }

    #[test]
    fn any_expression_never_panics(expression in "(last|avg|count)?\\(?/T/k,?[ -~é]{0,30}\\)?[<>=]{0,2}[ -~]{0,10}") {
        let yaml = format!("- {{ name: n, priority: HIGH, expression: {} }}\n", crate::workshop::yaml::quoted(&expression));
        let node = crate::profile::node::parse("t", &yaml).unwrap();
        let macros = Default::default();
        let facts = trigger::Facts { key: "k", metric: "k".into(), names: vec![], macros: &macros, tags: &[], part: String::new() };
        let _ = trigger::alarms(&facts, crate::workshop::lint::view::items(&node));
    }
}
