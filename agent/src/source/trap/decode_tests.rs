//! Notifications in bytes, whole, cut and changed.

use super::*;
use crate::source::snmp::message::{integer, tlv};

fn oid(text: &str) -> Oid {
    Oid::parse(text).unwrap()
}

fn binding(name: &str, value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[tlv(6, &oid(name).to_ber()).as_slice(), value].concat())
}

fn link_down() -> Vec<u8> {
    [
        binding("1.3.6.1.2.1.1.3.0", &[0x43, 2, 1, 0]),
        binding("1.3.6.1.6.3.1.1.4.1.0", &tlv(6, &oid("1.3.6.1.6.3.1.1.5.3").to_ber())),
        binding("1.3.6.1.2.1.2.2.1.1.7", &[2, 1, 7]),
        binding("1.3.6.1.2.1.2.2.1.8.7", &[2, 1, 2]),
        binding("1.3.6.1.6.3.18.1.3.0", &[0x40, 4, 10, 0, 0, 9]),
    ]
    .concat()
}

fn version_2c(tag: u8, list: &[u8]) -> Vec<u8> {
    let pdu = [integer(77), integer(0), integer(0), tlv(0x30, list)].concat();
    tlv(0x30, &[integer(1), tlv(4, b"traps"), tlv(tag, &pdu)].concat())
}

fn version_1(generic: i64, specific: i64) -> Vec<u8> {
    let pdu = [
        tlv(6, &oid("1.3.6.1.4.1.318").to_ber()),
        tlv(0x40, &[192, 0, 2, 5]),
        integer(generic),
        integer(specific),
        tlv(0x43, &[0x10, 0]),
        tlv(0x30, &binding("1.3.6.1.4.1.318.2.3.3.0", &tlv(4, b"UPS: On battery"))),
    ]
    .concat();
    tlv(0x30, &[integer(0), tlv(4, b"public"), tlv(MSG_TRAP_V1, &pdu)].concat())
}

fn read(datagram: &[u8]) -> Notification {
    match decode(datagram).unwrap() {
        Message::Community { notification, .. } => notification,
        Message::V3(_) => panic!("a v3 message"),
    }
}

#[test]
fn version_2_says_which_notification_it_is() {
    for (tag, kind) in [(MSG_TRAP, Kind::Trap), (MSG_INFORM, Kind::Inform)] {
        let found = read(&version_2c(tag, &link_down()));
        assert_eq!((found.kind, found.request_id), (kind, 77));
        assert_eq!(found.trap, oid("1.3.6.1.6.3.1.1.5.3"));
        assert_eq!((found.uptime, found.about), (Some(256), Some([10, 0, 0, 9])));
        let names: Vec<String> = found.varbinds.iter().map(|v| v.oid.to_string()).collect();
        assert_eq!(
            names,
            ["1.3.6.1.2.1.2.2.1.1.7", "1.3.6.1.2.1.2.2.1.8.7", "1.3.6.1.6.3.18.1.3.0"]
        );
        assert_eq!(found.varbinds[1].value, Value::Integer(2));
        assert_eq!(found.list, link_down());
    }
}

#[test]
fn version_1_is_mapped_as_rfc_3584_says() {
    let specific = read(&version_1(6, 5));
    assert_eq!(specific.trap, oid("1.3.6.1.4.1.318.0.5"));
    assert_eq!((specific.about, specific.uptime), (Some([192, 0, 2, 5]), Some(4096)));
    assert_eq!(specific.varbinds[0].value, Value::Octets(b"UPS: On battery".to_vec()));
    for (generic, name) in [(0, "coldStart"), (2, "linkDown"), (4, "authenticationFailure")] {
        let found = read(&version_1(generic, 0)).trap;
        assert_eq!(found, oid(&format!("1.3.6.1.6.3.1.1.5.{}", generic + 1)), "{name}");
    }
    let datagram = version_1(6, 5);
    let Message::Community { community, .. } = decode(&datagram).unwrap() else { panic!() };
    assert_eq!(community, b"public");
}

#[test]
fn a_value_that_cannot_be_decoded_ends_nothing() {
    let list = [
        binding("1.3.6.1.6.3.1.1.4.1.0", &tlv(6, &oid("1.3.6.1.6.3.1.1.5.3").to_ber())),
        binding("1.3.6.1.4.1.1.1", &[0x40, 0]),
        binding("1.3.6.1.4.1.1.2", &[0x4f, 1, 1]),
        binding("1.3.6.1.4.1.1.3", &tlv(4, b"behind it")),
    ]
    .concat();
    let datagram = version_2c(MSG_TRAP, &list);
    let values: Vec<Value> = read(&datagram).varbinds.into_iter().map(|v| v.value).collect();
    assert_eq!(
        values,
        [Value::Undecodable(0x40), Value::Undecodable(0x4f), Value::Octets(b"behind it".to_vec())]
    );
    let silently = snmp2::Pdu::from_bytes(&datagram).unwrap().varbinds.count();
    assert_eq!(silently, 1, "snmp2 ends silently at the first of them");
}

#[test]
fn many_bindings_are_counted_and_not_kept() {
    let mut list = binding("1.3.6.1.6.3.1.1.4.1.0", &tlv(6, &oid("1.3.6.1.4.1.9").to_ber()));
    for n in 0..1000 {
        list.extend(binding(&format!("1.3.6.1.4.1.9.{n}"), &[2, 1, 1]));
    }
    let found = read(&version_2c(MSG_TRAP, &list));
    assert_eq!((found.varbinds.len(), found.left_out), (MAX_VARBINDS, 1000 - MAX_VARBINDS));
}

#[test]
fn what_is_no_notification_is_named() {
    let get = decode(&version_2c(0xa0, &link_down())).unwrap_err();
    assert_eq!(get.to_string(), "a PDU of type 0xa0, which is no notification");
    let list = binding("1.3.6.1.2.1.1.3.0", &[0x43, 2, 1, 0]);
    let nameless = decode(&version_2c(MSG_TRAP, &list)).unwrap_err();
    assert!(nameless.to_string().contains("snmpTrapOID"), "{nameless}");
    for whole in [version_2c(MSG_INFORM, &link_down()), version_1(6, 5)] {
        for end in 0..whole.len() {
            assert!(decode(&whole[..end]).is_err(), "cut at {end}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn fuzz_random_datagrams_never_panic(bytes in proptest::collection::vec(0u8.., 0..400)) {
        let _ = decode(&bytes);
        let _ = scoped(&bytes);
        let _ = decrypted(&bytes);
        let _ = request_id(AsnReader::from_bytes(&bytes));
    }

    #[test]
    fn fuzz_mutated_notifications_never_panic(
        which in 0usize..3,
        changes in proptest::collection::vec((0usize..200, 0u8..), 1..5),
        cut in 0usize..9,
    ) {
        let mut bytes = match which {
            0 => version_1(6, 5),
            1 => version_2c(MSG_TRAP, &link_down()),
            _ => version_2c(MSG_INFORM, &link_down()),
        };
        for (at, to) in changes {
            let len = bytes.len();
            bytes[at % len] = to;
        }
        bytes.truncate(bytes.len() - cut);
        if let Ok(Message::Community { notification, .. }) = decode(&bytes) {
            proptest::prop_assert!(notification.varbinds.len() <= MAX_VARBINDS);
        }
    }

    #[test]
    fn prop_names_and_numbers_survive(name in proptest::collection::vec(0u32.., 1..20), n in 0i64..) {
        let name = Oid::new(&[1, 3, 6, 1]).with(&name);
        let list = [
            binding("1.3.6.1.6.3.1.1.4.1.0", &tlv(6, &name.to_ber())),
            tlv(0x30, &[tlv(6, &name.to_ber()), integer(n)].concat()),
        ]
        .concat();
        let found = read(&version_2c(MSG_TRAP, &list));
        proptest::prop_assert_eq!(&found.trap, &name);
        proptest::prop_assert_eq!(&found.varbinds, &[VarBind { oid: name, value: Value::Integer(n) }]);
    }
}
