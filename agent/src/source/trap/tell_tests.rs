//! What notifications say, by the shipped files.

use super::*;
use crate::source::snmp::message::VarBind;
use crate::source::trap::decode::Kind;

fn oid(text: &str) -> Oid {
    Oid::parse(text).unwrap()
}

fn said(trap: &str, varbinds: &[(&str, Raw)]) -> Notification {
    Notification {
        kind: Kind::Trap,
        request_id: 1,
        trap: oid(trap),
        about: None,
        uptime: None,
        varbinds: varbinds
            .iter()
            .map(|(name, value)| VarBind { oid: oid(name), value: value.clone() })
            .collect(),
        left_out: 0,
        list: Vec::new(),
    }
}

fn shipped() -> &'static Db {
    static DB: std::sync::OnceLock<Db> = std::sync::OnceLock::new();
    DB.get_or_init(|| Db::load(None).unwrap())
}

fn told(notification: &Notification) -> Told {
    told_named(notification, &|_, _| None)
}

fn told_named(notification: &Notification, named: &dyn Fn(&Oid, &[u32]) -> Option<String>) -> Told {
    let device = Device { name: "switch".into(), ..Device::default() };
    let heard = Heard { device: &device, origin: "trap 192.0.2.7 v2c", at: Time(5) };
    Reader::new(shipped(), notification, heard).told(named, 86_400)
}

/// Type, resource and severity of the only fault.
fn fault(told: &Told) -> (String, String, String) {
    let Told::Faults(readings) = told else { panic!("{told:?}") };
    let [reading] = readings.as_slice() else { panic!("{readings:?}") };
    let label = |name| label_of(reading, name).to_owned();
    (label("type"), reading.resource.clone(), label("severity"))
}

fn text(words: &str) -> Raw {
    Raw::Octets(words.as_bytes().to_vec())
}

fn link(trap: u32, admin: i64, oper: i64) -> Notification {
    said(
        &format!("1.3.6.1.6.3.1.1.5.{trap}"),
        &[
            ("1.3.6.1.2.1.2.2.1.1.7", Raw::Integer(7)),
            ("1.3.6.1.2.1.2.2.1.7.7", Raw::Integer(admin)),
            ("1.3.6.1.2.1.2.2.1.8.7", Raw::Integer(oper)),
        ],
    )
}

fn is(found: &(String, String, String), expected: (&str, &str, &str)) -> bool {
    (found.0.as_str(), found.1.as_str(), found.2.as_str()) == expected
}

#[test]
fn a_port_is_called_as_its_poll_calls_it() {
    let column = oid("1.3.6.1.2.1.2.2.1.8");
    let named =
        |of: &Oid, index: &[u32]| (*of == column && index == [7]).then(|| "port Gi0/7".to_owned());
    let down = fault(&told_named(&link(3, 1, 2), &named));
    assert!(is(&down, ("port-down", "port Gi0/7", "major")), "{down:?}");
    let up = fault(&told_named(&link(4, 1, 1), &named));
    assert!(is(&up, ("port-down", "port Gi0/7", "")), "{up:?}");
    let alone = fault(&told(&link(3, 1, 2)));
    assert!(is(&alone, ("port-down", "port 7", "major")), "nobody polls it: {alone:?}");
    // The alarm of the poll, from its profile.
    let library = crate::profile::Library::built_in().unwrap();
    let rules = &library.get("if-mib").unwrap().rules;
    assert!(rules.iter().any(|rule| rule.template.kind == "port-down"), "one identity");
}

#[test]
fn a_port_that_was_switched_off_is_no_fault() {
    assert_eq!(told(&link(3, 2, 2)), Told::Ignored("linkDown".into()));
}

#[test]
fn what_is_said_is_readable() {
    let Told::Faults(readings) = told(&link(3, 1, 2)) else { panic!() };
    let Value::Line { text: line, .. } = &readings[0].value else { panic!() };
    assert_eq!(line, "linkDown ifIndex.7=7 ifAdminStatus.7=up ifOperStatus.7=down");
    assert_eq!(label_of(&readings[0], "ends_s"), "", "linkUp ends it");
    let unknown = said(
        "1.3.6.1.4.1.318.0.99999",
        &[("1.3.6.1.4.1.318.2.3.3.0", text("UPS: odd")), ("1.3.9.1", Raw::Undecodable(0x4f))],
    );
    assert_eq!(told(&unknown), Told::Unknown("apc.0.99999".into()));
    let device = Device::default();
    let heard = Heard { device: &device, origin: "o", at: Time(5) };
    let reading = Reader::new(shipped(), &unknown, heard).unknown(60);
    assert_eq!(
        label_of(&reading, "text"),
        "apc.0.99999 mtrapargsString=\"UPS: odd\" 1.3.9.1=\"(undecodable value of type 0x4f)\""
    );
    assert_eq!(label_of(&reading, "qualifier"), "1.3.6.1.4.1.318.0.99999");
}

#[test]
fn pairs_and_states_of_vendors() {
    let apc = |trap: u32| {
        told(&said(
            &format!("1.3.6.1.4.1.318.0.{trap}"),
            &[("1.3.6.1.4.1.318.2.3.3.0", text("UPS: On battery power"))],
        ))
    };
    let (battery, back) = (fault(&apc(5)), fault(&apc(9)));
    assert_eq!((&battery.0, &battery.1), (&back.0, &back.1), "one identity");
    assert_eq!((battery.2.as_str(), back.2.as_str()), ("major", ""));
    let fan = |state: i64| {
        told(&said(
            "1.3.6.1.4.1.9.9.13.3.0.4",
            &[
                ("1.3.6.1.4.1.9.9.13.1.4.1.2.1", text("Fan 1")),
                ("1.3.6.1.4.1.9.9.13.1.4.1.3.1", Raw::Integer(state)),
            ],
        ))
    };
    assert!(is(&fault(&fan(3)), ("fan-failed", "Fan 1", "major")), "{:?}", fan(3));
    assert!(is(&fault(&fan(1)), ("fan-failed", "Fan 1", "")));
    let idrac = |status: i64| {
        told(&said(
            "1.3.6.1.4.1.674.10892.5.3.2.1.0.2153",
            &[
                ("1.3.6.1.4.1.674.10892.5.3.1.2.0", text("Fan 3A RPM is outside of range.")),
                ("1.3.6.1.4.1.674.10892.5.3.1.3.0", Raw::Integer(status)),
                ("1.3.6.1.4.1.674.10892.5.3.1.7.0", text("System Board Fan3A")),
            ],
        ))
    };
    let critical = fault(&idrac(5));
    assert!(is(&critical, ("fan-failed", "System Board Fan3A", "major")), "{critical:?}");
    assert!(is(&fault(&idrac(3)), ("fan-failed", "System Board Fan3A", "")));
    let ups = |trap: u32| {
        told(&said(
            &format!("1.3.6.1.2.1.33.2.{trap}"),
            &[
                ("1.3.6.1.2.1.33.1.6.2.1.1.4", Raw::Integer(4)),
                ("1.3.6.1.2.1.33.1.6.2.1.2.4", Raw::Oid(oid("1.3.6.1.2.1.33.1.6.3.3"))),
            ],
        ))
    };
    let Told::Faults(added) = ups(3) else { panic!() };
    assert_eq!(label_of(&added[0], "qualifier"), "upsAlarmLowBattery");
    let Told::Faults(removed) = ups(4) else { panic!() };
    assert_eq!(label_of(&removed[0], "qualifier"), "upsAlarmLowBattery");
    assert_eq!(label_of(&removed[0], "severity"), "");
    let array = |kind: u64, level: u64| {
        told(&said(
            "1.3.6.1.4.1.34774.4.1.4.2",
            &[
                ("1.3.6.1.4.1.34774.4.1.3.3.1.0", Raw::Unsigned(kind)),
                ("1.3.6.1.4.1.34774.4.1.3.3.2.0", Raw::Unsigned(64438339)),
                ("1.3.6.1.4.1.34774.4.1.3.3.3.0", Raw::Unsigned(level)),
                ("1.3.6.1.4.1.34774.4.1.3.3.4.0", Raw::Unsigned(11)),
            ],
        ))
    };
    assert_eq!(fault(&array(1, 6)).2, "critical");
    assert_eq!(fault(&array(2, 6)).2, "", "the recovery");
    assert!(matches!(array(0, 2), Told::Ignored(_)));
}

/// A notification as net-snmp's own program sends it.
fn sent(trap: &str, varbinds: &[(&str, &str, &str)]) -> Notification {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let status = std::process::Command::new("snmptrap")
        .args(["-v", "2c", "-c", "traps", "-m", ""])
        .arg(socket.local_addr().unwrap().to_string())
        .args(["", trap])
        .args(varbinds.iter().flat_map(|(name, kind, value)| [name, kind, value]))
        .status()
        .expect("snmptrap (tests/scripts/install test)");
    assert!(status.success(), "{status}");
    let mut bytes = vec![0; 65_536];
    let length = socket.recv(&mut bytes).unwrap();
    let message = crate::source::trap::decode::decode(&bytes[..length]).unwrap();
    let crate::source::trap::decode::Message::Community { notification, .. } = message else {
        panic!("not of version 2c")
    };
    notification
}

fn sent_with(trap: &str, names: &[String], values: &[(&str, &str)]) -> Told {
    let pairs = names.iter().zip(values);
    let varbinds: Vec<_> =
        pairs.map(|(name, (kind, value))| (name.as_str(), *kind, *value)).collect();
    told(&sent(trap, &varbinds))
}

/// What identifies an alarm: type, resource and qualifier.
fn identity(told: &Told) -> [String; 3] {
    let Told::Faults(readings) = told else { panic!("{told:?}") };
    let label = |name| label_of(&readings[0], name).to_owned();
    [label("type"), readings[0].resource.clone(), label("qualifier")]
}

/// By themselves OceanStor arrays send one alarm in four shapes: parsed or not, the time as number or text.
#[test]
fn an_oceanstor_alarm_is_one_in_all_of_its_shapes() {
    // Category 1 fault, 2 recovery, 3 event; level 1 critical to 4 warning.
    let parsed = |trap: &str, base: &str, category: &str, level: &str| {
        let at = |n: u32| format!("{base}.{n}.0");
        let names = [2, 4, 6, 7, 9, 10, 11, 12].map(at);
        let values = [
            ("s", "FrameID=CTE0,SlotID=11"),
            ("s", "Disk Removed"),
            ("i", level),
            ("u", "983339"),
            ("u", "11"),
            ("s", "A disk was removed."),
            ("i", category),
            ("C", "64438339"),
        ];
        sent_with(trap, &names, &values)
    };
    // Kind 1 fault, 2 recovery, 0 event; level 2 informational to 6 critical.
    let original = |trap: &str, base: &str, kind: &str, level: &str| {
        let at = |n: u32| format!("{base}.{n}.0");
        let names = [1, 2, 3, 4, 7].map(at);
        let values = [("u", kind), ("C", "64438339"), ("u", level), ("u", "11"), ("s", "CTE0,11")];
        sent_with(trap, &names, &values)
    };
    let ism = |category: &str, level: &str| {
        parsed(
            "1.3.6.1.4.1.2011.2.91.10.2.1.0.1",
            "1.3.6.1.4.1.2011.2.91.10.3.1.1",
            category,
            level,
        )
    };
    let storage = |category: &str, level: &str| {
        parsed("1.3.6.1.4.1.2011.2.251.20.1.2.1", "1.3.6.1.4.1.2011.2.251.20.1.3", category, level)
    };
    let raw_storage = |kind: &str, level: &str| {
        original("1.3.6.1.4.1.2011.2.251.20.2.1.1", "1.3.6.1.4.1.2011.2.251.20.2.2", kind, level)
    };
    let raw_ism = |kind: &str, level: &str| {
        original("1.3.6.1.4.1.34774.4.1.4.2", "1.3.6.1.4.1.34774.4.1.3.3", kind, level)
    };
    let wanted = ["storage-alarm", "", "64438339 11"].map(str::to_owned);
    for levels in [["1", "critical"], ["2", "major"], ["3", "minor"], ["4", "warning"]] {
        let [level, severity] = levels;
        for fault_told in [ism("1", level), storage("1", level)] {
            assert_eq!(identity(&fault_told), wanted);
            assert_eq!(fault(&fault_told).2, severity);
        }
    }
    for [level, severity] in [["6", "critical"], ["5", "major"], ["4", "minor"], ["3", "warning"]] {
        for fault_told in [raw_ism("1", level), raw_storage("1", level)] {
            assert_eq!(identity(&fault_told), wanted);
            assert_eq!(fault(&fault_told).2, severity);
        }
    }
    for over in [ism("2", "1"), storage("2", "1"), raw_ism("2", "6"), raw_storage("2", "6")] {
        assert_eq!(identity(&over), wanted, "the recovery ends what the fault raised");
        assert_eq!(fault(&over).2, "");
    }
    for event in [ism("3", "1"), storage("3", "1"), raw_ism("0", "6"), raw_storage("0", "6")] {
        assert!(matches!(event, Told::Ignored(_)), "{event:?}");
    }
    assert!(matches!(raw_ism("1", "2"), Told::Ignored(_)), "informational");
    let Told::Faults(readings) = storage("1", "2") else { panic!() };
    let text = label_of(&readings[0], "text");
    assert_eq!(text, "Disk Removed: A disk was removed. (FrameID=CTE0,SlotID=11)");
}

#[test]
fn generic_traps_are_events() {
    for (n, name) in [(1, "coldStart"), (2, "warmStart"), (5, "authenticationFailure")] {
        let trap = said(&format!("1.3.6.1.6.3.1.1.5.{n}"), &[]);
        assert_eq!(told(&trap), Told::Event(name.into()));
    }
}

proptest::proptest! {
    #[test]
    fn fuzz_any_bindings_of_any_trap_never_panic(
        which in 0usize..2000,
        values in proptest::collection::vec((0usize..2000, proptest::collection::vec(0u32.., 0..4), 0i64..), 0..6),
    ) {
        let db = shipped();
        let traps = db.all();
        let vars = db.all_vars();
        let varbinds = values.into_iter().map(|(var, index, value)| VarBind {
            oid: vars[var % vars.len()].with(&index),
            value: Raw::Integer(value % 9),
        });
        let trap = traps[which % traps.len()].clone();
        let notification = Notification { trap, varbinds: varbinds.collect(), ..said("1.3.6", &[]) };
        let told = told(&notification);
        if let Told::Faults(readings) = told {
            proptest::prop_assert!(!readings.is_empty());
            for reading in readings {
                proptest::prop_assert!(!label_of(&reading, "type").is_empty());
            }
        }
    }
}
