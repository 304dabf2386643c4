//! The shipped files, and what is wrong with others.

use super::*;

fn oid(text: &str) -> Oid {
    Oid::parse(text).unwrap()
}

#[test]
fn the_shipped_files_are_whole() {
    let db = Db::load(None).unwrap();
    let (traps, faults) = db.len();
    println!("{traps} traps, {faults} of them faults, {} variables", db.vars.len());
    assert!(traps > 600 && faults > 250, "{traps} {faults}");
    for (trap, name) in [
        ("1.3.6.1.6.3.1.1.5.1", "coldStart"),
        ("1.3.6.1.6.3.1.1.5.3", "linkDown"),
        ("1.3.6.1.6.3.1.1.5.5", "authenticationFailure"),
        ("1.3.6.1.2.1.33.2.1", "upsTrapOnBattery"),
        ("1.3.6.1.2.1.131.0.2", "entStateOperDisabled"),
        ("1.3.6.1.4.1.318.0.5", "upsOnBattery"),
        ("1.3.6.1.4.1.674.10892.5.3.2.1.0.2153", "alertFanFailure"),
        ("1.3.6.1.4.1.232.0.6050", "cpqHe4FltTolPowerSupplyFailed"),
        ("1.3.6.1.4.1.9.9.13.3.0.4", "ciscoEnvMonFanNotification"),
        ("1.3.6.1.4.1.9.9.117.2.0.2", "cefcPowerStatusChange"),
        ("1.3.6.1.4.1.34774.4.1.4.2", "eventType"),
        ("1.3.6.1.4.1.1588.2.1.1.1.0.4", "swEventTrap"),
        ("1.3.6.1.4.1.789.0.22", "diskFailed"),
    ] {
        assert_eq!(db.trap(&oid(trap)).map(|t| t.name.as_str()), Some(name), "{trap}");
    }
    // As version 1 sends them (RFC 3584 puts a zero where the MIB of version 2 has none).
    assert_eq!(db.trap(&oid("1.3.6.1.2.1.33.2.0.1")).unwrap().name, "upsTrapOnBattery");
    let event = |name: &str| {
        let found = db.traps.values().find(|t| t.name == name).unwrap();
        matches!(found.meaning, Meaning::Event)
    };
    assert!(event("coldStart") && event("warmStart") && event("authenticationFailure"));
    // Whatever is cleared is a fault: else nothing would happen.
    for trap in db.traps.values() {
        let Meaning::Clears(those) = &trap.meaning else { continue };
        for oid in those {
            let cleared = db.trap(oid).unwrap();
            let is_fault = matches!(cleared.meaning, Meaning::Fault(_));
            assert!(is_fault, "{} clears {}", trap.name, cleared.name);
        }
    }
    let Meaning::Fault(down) = &db.trap(&oid("1.3.6.1.6.3.1.1.5.3")).unwrap().meaning else {
        panic!()
    };
    assert!(down.ends && down.polled == Some(oid("1.3.6.1.2.1.2.2.1.8")));
}

#[test]
fn names_are_the_nearest_known() {
    let db = Db::load(None).unwrap();
    for (name, readable) in [
        ("1.3.6.1.6.3.1.1.5.3", "linkDown"),
        ("1.3.6.1.2.1.2.2.1.8.7", "ifOperStatus.7"),
        ("1.3.6.1.4.1.318.0.99999", "apc.0.99999"),
        ("1.3.6.1.4.1.99999.1", "enterprises.99999.1"),
        ("1.3.6.1.2.1.33.1.6.3.2", "upsAlarmOnBattery"),
        ("2.999.1", "2.999.1"),
    ] {
        assert_eq!(db.readable(&oid(name)), readable);
    }
}

#[test]
fn mistakes_are_told_with_their_places() {
    let text = "\
vars:
  1.3.6.1.4.1.1.1: { name: state, enum: { 1: ok, x: bad } }
traps:
  1.3.6.1.4.1.1.0.1: { name: down, severity: majr, type: t }
  1.3.6.1.4.1.1.0.2: { name: up, clears: dwn }
  1.3.6.1.4.1.1.0.3: { name: odd, severity: minor, type: t, resource: \"${stat}\" }
  1.3.6.1.4.1.1.0.4: { name: less, severity: minor }
  sysUpTime: { name: no }
  1.3.6.1.4.1.1.0.5: { name: more, severty: minor }
";
    let problems = Db::parse("own.yaml", text).unwrap_err().0;
    let told: Vec<String> = problems
        .iter()
        .map(|p| format!("{} {} {}", p.line, p.message, p.hint.as_deref().unwrap_or_default()))
        .collect();
    for (line, part, hint) in [
        (2, "whole number", ""),
        (4, "found \"majr\"", "major"),
        (5, "no trap is called \"dwn\"", "down"),
        (6, "no variable is called \"stat\"", "state"),
        (7, "needs `type`", ""),
        (8, "object identifier", ""),
        (9, "unknown key `severty`", "severity"),
    ] {
        let found = told
            .iter()
            .any(|t| t.starts_with(&format!("{line} ")) && t.contains(part) && t.contains(hint));
        assert!(found, "{line} {part} {hint}: {told:#?}");
    }
    assert_eq!(problems.len(), 7, "{told:#?}");
}

#[test]
fn own_files_go_before_the_shipped_ones() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        "traps:\n  1.3.6.1.6.3.1.1.5.1: { name: coldStart, severity: minor, type: restarted }\n";
    std::fs::write(dir.path().join("own.yaml"), text).unwrap();
    let db = Db::load(Some(dir.path())).unwrap();
    let trap = db.trap(&oid("1.3.6.1.6.3.1.1.5.1")).unwrap();
    let Meaning::Fault(fault) = &trap.meaning else { panic!("{trap:?}") };
    assert!(!fault.ends, "nothing clears it: it ends by itself");
    assert!(Db::load(Some(Path::new("/nowhere"))).is_err());
}

#[test]
fn datadogs_own_shape_is_read() {
    let text = "\
traps:
  1.3.6.1.4.1.8072.4.0.2: { name: nsNotifyShutdown, mib: NET-SNMP-AGENT-MIB, descr: The agent stops. }
vars:
  1.3.6.1.2.1.2.2.1.8: { name: ifOperStatus, descr: state, enum: { 1: up, 2: down } }
";
    let db = Db::parse("dd.yaml", text).unwrap();
    assert!(matches!(db.trap(&oid("1.3.6.1.4.1.8072.4.0.2")).unwrap().meaning, Meaning::Event));
}

proptest::proptest! {
    #[test]
    fn prop_no_text_panics(text in "(traps|vars|names|clears|severity|by|values|type|1\\.3\\.6|[a-z:\\-\\[\\]{}\"'\n #&*|>0-9$]){0,40}") {
        let _ = Db::parse("a.yaml", &text);
    }
}
