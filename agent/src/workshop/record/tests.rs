//! Devices with bad manners, and what is taken out.

use proptest::prelude::*;

use super::*;
use crate::redact::{KEY_BYTES, Key};
use crate::source::snmp::message::{Operation, VarBind};
use crate::workshop::Recording;

fn oid(text: &str) -> Oid {
    Oid::parse(text).unwrap()
}

/// Walks what `device` answers to "what comes after this"; `bulk` values at once.
fn walked(bulk: u32, mut device: impl FnMut(Operation, &Oid) -> Heard) -> (Walked, usize) {
    let mut walker = Walker::new(oid("1.3.6.1"), bulk);
    let (mut walked, mut rounds) = (Walked::default(), 0);
    while let Some((operation, after)) = walker.ask() {
        rounds += 1;
        assert!(rounds < 500_000, "it never ends");
        walked.objects.extend(walker.take(device(operation, &after)));
        if walked.objects.len() >= MAX_OBJECTS {
            walker.give_up("too much");
        }
    }
    walked.remarks = walker.remarks();
    (walked, rounds)
}

fn binding(oid: &Oid) -> VarBind {
    VarBind { oid: oid.clone(), value: Value::Integer(1) }
}

/// What a decent device with these objects says.
fn after(objects: &[Oid], operation: Operation, from: &Oid) -> Heard {
    let many = match operation {
        Operation::GetBulk { max_repetitions } => max_repetitions as usize,
        _ => 1,
    };
    let mut found: Vec<VarBind> =
        objects.iter().filter(|oid| *oid > from).take(many).map(binding).collect();
    if found.len() < many {
        found.push(VarBind { oid: from.clone(), value: Value::EndOfMibView });
    }
    Heard::Answer(0, found)
}

fn table(column: &str, rows: u32) -> Vec<Oid> {
    (1..=rows).map(|n| oid(&format!("{column}.{n}"))).collect()
}

#[test]
fn a_decent_device_is_read_whole() {
    let objects = [table("1.3.6.1.2.1.2.2.1.2", 50), table("1.3.6.1.2.1.2.2.1.3", 50)].concat();
    let (walked, rounds) = walked(20, |operation, from| after(&objects, operation, from));
    assert_eq!((walked.objects.len(), walked.remarks.len()), (100, 0));
    assert!(rounds <= 6, "{rounds}");
}

#[test]
fn where_bulk_fails_one_is_asked_after_the_other() {
    let objects = table("1.3.6.1.2.1.2.2.1.2", 30);
    for status in [1, 5] {
        let (walked, _) = walked(20, |operation, from| match operation {
            Operation::GetBulk { .. } => Heard::Answer(status, Vec::new()),
            operation => after(&objects, operation, from),
        });
        assert_eq!(walked.objects.len(), 30, "status {status}: {:?}", walked.remarks);
    }
    let (walked, _) = walked(20, |operation, from| match operation {
        Operation::GetBulk { max_repetitions } if max_repetitions > 5 => Heard::Nothing,
        operation => after(&objects, operation, from),
    });
    assert_eq!(walked.objects.len(), 30, "large answers are lost on the way");
    let (walked, _) =
        self::walked(0, |operation, from| match objects.iter().any(|oid| oid > from) {
            true => after(&objects, operation, from),
            false => Heard::Answer(2, Vec::new()),
        });
    assert_eq!(
        (walked.objects.len(), walked.remarks.len()),
        (30, 0),
        "noSuchName ends a walk in v1"
    );
}

#[test]
fn circles_disorder_and_tables_without_an_end_are_survived() {
    let good = table("1.3.6.1.9.1", 5);
    // The first column goes round in circles; what follows it is still read.
    let ring = table("1.3.6.1.2.1.1.1", 4);
    let (walked, _) = walked(1, |operation, from| match ring.iter().position(|oid| oid == from) {
        Some(at) => Heard::Answer(0, vec![binding(&ring[(at + 1) % ring.len()])]),
        None => after(&[ring.clone(), good.clone()].concat(), operation, from),
    });
    assert_eq!(walked.objects.len(), 9, "{:?}", walked.remarks);
    assert!(walked.remarks.iter().any(|r| r.contains("circles")), "{:?}", walked.remarks);
    // Rows in no order, each once.
    let mixed = ["3", "1", "4", "2"].map(|n| oid(&format!("1.3.6.1.2.1.1.1.{n}")));
    let (walked, _) =
        self::walked(1, |operation, from| match mixed.iter().position(|oid| oid == from) {
            Some(at) if at + 1 < mixed.len() => Heard::Answer(0, vec![binding(&mixed[at + 1])]),
            Some(_) => after(&good, operation, &oid("1.3.6.1.5")),
            None if *from < mixed[0] => Heard::Answer(0, vec![binding(&mixed[0])]),
            None => after(&good, operation, from),
        });
    assert_eq!(walked.objects.len(), 9, "{:?}", walked.remarks);
    assert!(walked.remarks.iter().any(|r| r.contains("2 answers were out of order")));
    // A column that never ends.
    let endless = oid("1.3.6.1.2.1.1.1");
    let (walked, _) = self::walked(20, |operation, from| match from.after(&endless) {
        Some([u32::MAX, ..]) | None if *from > endless => after(&good, operation, from),
        Some([n]) => Heard::Answer(0, vec![binding(&endless.with(&[n + 1]))]),
        _ => Heard::Answer(0, vec![binding(&endless.with(&[1]))]),
    });
    assert_eq!(walked.objects.len(), walker::MAX_ROWS + 5);
    assert!(walked.remarks.iter().any(|r| r.contains("without an end")), "{:?}", walked.remarks);
}

#[test]
fn an_object_that_hangs_or_cannot_be_decoded_is_passed_over() {
    let objects = [table("1.3.6.1.2.1.1.1", 3), table("1.3.6.1.9.1", 5)].concat();
    for broken in [Heard::Nothing, Heard::Answer(0, Vec::new()), Heard::Answer(5, Vec::new())] {
        let broken = std::cell::RefCell::new(Some(broken));
        let (walked, _) = walked(0, |operation, from| match *from == objects[1] {
            true => match broken.borrow().as_ref() {
                Some(Heard::Answer(status, _)) => Heard::Answer(*status, Vec::new()),
                _ => Heard::Nothing,
            },
            false => after(&objects, operation, from),
        });
        assert_eq!(walked.objects.len(), 7, "{:?}", walked.remarks);
        assert_eq!(walked.remarks.len(), 1);
    }
    let (walked, rounds) = walked(20, |_, _| Heard::Nothing);
    assert!(walked.objects.is_empty() && rounds < 20);
    assert!(walked.remarks.iter().any(|r| r.contains("no answer")), "{:?}", walked.remarks);
}

const DEVICE: &str = "1.3.6.1.2.1.1.1.0|4|Lab OS, admin password hunter22, peer 192.0.2.77
1.3.6.1.2.1.1.3.0|67|100
1.3.6.1.2.1.1.4.0|4|Ann Example +00 1
1.3.6.1.2.1.1.5.0|4|core-sw-9
1.3.6.1.2.1.1.6.0|4|Room 12
1.3.6.1.2.1.2.2.1.2.1|4|uplink of core-sw-9
1.3.6.1.2.1.2.2.1.6.1|4x|001b2155aabb
1.3.6.1.2.1.2.2.1.6.2|4x|001b2155aabb
1.3.6.1.2.1.4.20.1.1.192.0.2.5|64|192.0.2.5
1.3.6.1.2.1.47.1.1.1.1.11.1|4|FOC1234X0YZ
1.3.6.1.2.1.47.1.1.1.1.2.1|4|chassis FOC1234X0YZ
1.3.6.1.4.1.9.9.1|64|192.0.2.5
1.3.6.1.4.1.9.9.2|64|192.0.2.6
1.3.6.1.4.1.9.9.3|64|192.0.2.5
1.3.6.1.4.1.9.9.4|4|traps go with s3cr3tcomm
1.3.6.1.4.1.9.9.5|70|5000000000
1.3.6.1.4.1.9.9.6|4x|5006016041e0aaaa
1.3.6.1.4.1.9.9.7|4x|07e60101000000ff
1.3.6.1.6.3.18.1.1.1.2.1|4|s3cr3tcomm
";

fn scrubbed(serials: bool) -> Scrubbed {
    let recording = Recording::parse("d", DEVICE).unwrap();
    let root = oid("1.3.6.1.2.1.47.1.1.1.1.11");
    let what = Scrub {
        secrets: vec!["s3cr3tcomm".into(), "public".into()],
        serials: if serials { vec![root] } else { Vec::new() },
    };
    scrub::scrub(recording.objects(), &what, Key::new([7; KEY_BYTES]))
}

#[test]
fn what_must_not_be_seen_is_taken_out_and_counted() {
    let out = scrubbed(true);
    for gone in [
        "hunter22",
        "192.0.2",
        "Ann",
        "core-sw-9",
        "Room",
        "001b2155",
        "FOC1234",
        "s3cr3t",
        "5006016041",
    ] {
        assert!(!out.text.contains(gone), "{gone}\n{}", out.text);
    }
    let line = |root: &str| {
        let found = out.text.lines().find(|line| line.starts_with(&format!("{root}|")));
        found.unwrap_or_else(|| panic!("{root}\n{}", out.text)).to_owned()
    };
    assert_eq!(
        line("1.3.6.1.2.1.47.1.1.1.1.2.1"),
        "1.3.6.1.2.1.47.1.1.1.1.2.1|4|chassis SERIAL0001"
    );
    assert_eq!(line("1.3.6.1.4.1.9.9.1"), "1.3.6.1.4.1.9.9.1|64|198.18.0.1");
    assert_eq!(line("1.3.6.1.4.1.9.9.2"), "1.3.6.1.4.1.9.9.2|64|198.18.0.2");
    assert_eq!(
        line("1.3.6.1.4.1.9.9.3"),
        "1.3.6.1.4.1.9.9.3|64|198.18.0.1",
        "the same for the same"
    );
    assert_eq!(line("1.3.6.1.2.1.2.2.1.6.1"), "1.3.6.1.2.1.2.2.1.6.1|4x|020000000001");
    assert_eq!(line("1.3.6.1.2.1.2.2.1.6.2"), "1.3.6.1.2.1.2.2.1.6.2|4x|020000000001");
    assert_eq!(line("1.3.6.1.4.1.9.9.7"), "1.3.6.1.4.1.9.9.7|4x|07e60101000000ff", "a date stays");
    assert_eq!(line("1.3.6.1.4.1.9.9.5"), "1.3.6.1.4.1.9.9.5|70|5000000000");
    assert!(line("1.3.6.1.2.1.2.2.1.2.1").contains("uplink of device-"));
    assert!(line("1.3.6.1.4.1.9.9.4").ends_with("[redacted:credential]"));
    for what in [
        "contact",
        "location",
        "credential",
        "serial number",
        "mac",
        "ipv4",
        "device",
        "left out: SNMP communities",
        "left out: IP addresses",
    ] {
        assert!(out.counts.contains_key(what), "{what}: {:?}", out.counts);
    }
    let read = Recording::parse("again", &out.text).unwrap();
    assert_eq!((read.len(), out.objects), (17, 17));
    assert!(scrubbed(false).text.contains("FOC1234X0YZ"), "serial numbers stay unless asked for");
}

proptest! {
    #[test]
    fn any_device_ends_and_never_panics(
        objects in proptest::collection::btree_set(proptest::collection::vec(0u32..4, 1..4), 0..40),
        lies in proptest::collection::vec((0usize..40, 0usize..40, 0u32..20), 0..8),
        bulk in 0u32..5,
    ) {
        let root = oid("1.3.6.1");
        let objects: Vec<Oid> = objects.iter().map(|arcs| root.with(arcs)).collect();
        let (walked, rounds) = walked(bulk, |operation, from| {
            let at = objects.iter().position(|oid| oid == from);
            let lie = lies.iter().find(|(when, ..)| Some(*when) == at);
            match lie {
                Some((_, to, status)) if *status < 10 && objects.get(*to).is_some() => {
                    Heard::Answer(0, vec![binding(&objects[*to])])
                }
                Some((.., status)) if *status < 15 => Heard::Answer(*status, Vec::new()),
                Some(_) => Heard::Nothing,
                None => after(&objects, operation, from),
            }
        });
        prop_assert!(rounds < 20_000);
        prop_assert!(walked.objects.len() <= objects.len());
    }

    #[test]
    fn any_recording_is_scrubbed_without_panics(text in "(1\\.3\\.6\\.1\\.[0-9.]{1,8}\\|(2\\|-?[0-9]{1,9}|4\\|[ -~]{0,24}|4x\\|([0-9a-f]{2}){0,9}|64\\|10\\.1\\.2\\.[0-9]|70\\|[0-9]{1,12})\n){0,12}") {
        if let Ok(recording) = Recording::parse("any", &text) {
            let out = scrub::scrub(recording.objects(), &Scrub::default(), Key::new([1; KEY_BYTES]));
            let read = Recording::parse("again", &out.text);
            prop_assert_eq!(read.map(|r| r.len()).ok(), Some(out.objects));
        }
    }
}
