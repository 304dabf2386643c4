//! Forged, mutated, replayed and foreign v3 messages.

use super::*;

const ENGINE: &[u8] = &[0x80, 0, 0x7f, 0xd9, 1, 2, 3, 4];

fn credentials(user: &str, auth: &str, privacy: Option<&str>) -> Credentials {
    let secret = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
    Credentials {
        user: user.into(),
        auth: Some((AuthProtocol::Sha256, secret(auth))),
        privacy: privacy.map(|p| Privacy {
            cipher: Cipher::Aes128,
            extension: KeyExtension::Blumenthal,
            password: secret(p),
        }),
        context: String::new(),
    }
}

fn found(boots: i64, time: i64) -> Discovered {
    Discovered { engine_id: ENGINE.to_vec(), boots, time }
}

fn engine(privacy: Option<&str>) -> Engine {
    Engine::new(&credentials("user", "authpassword", privacy), &found(3, 1000)).unwrap()
}

/// What the device would answer: a response with one binding, sealed with its own state.
fn answer(device: &Engine, id: i32) -> Vec<u8> {
    let oid = Oid::parse("1.3.6.1.2.1.1.3.0").unwrap();
    let template = plain_message(id, TEMPLATE_ENGINE, Operation::Get, &[&oid]);
    let mut reader = Security::new(b"", b"")
        .with_auth(Auth::NoAuthNoPriv)
        .with_engine_id(TEMPLATE_ENGINE)
        .unwrap();
    let mut pdu = Pdu::from_bytes_with_security(&template, Some(&mut reader)).unwrap();
    pdu.message_type = MessageType::Response;
    pdu.to_bytes_with_security(Some(&device.now())).unwrap()
}

fn is_response(opened: &Opened) -> bool {
    matches!(opened, Opened::Response(_))
}

#[test]
fn sealed_messages_are_opened_by_the_other_side() {
    for privacy in [None, Some("privpassword")] {
        let device = engine(privacy);
        let mut ours = engine(privacy);
        let Opened::Response(response) = ours.open(&answer(&device, 77)) else { panic!() };
        assert_eq!((response.request_id, response.varbinds.len()), (77, 1));
    }
}

/// An encrypted response whose second value nobody can decode, sealed without the library.
fn odd_answer(id: i32, (cipher, extension): (Cipher, KeyExtension)) -> (Vec<u8>, Credentials) {
    use super::super::keys::User;
    use message::{integer, tlv};
    let mut with = credentials("user", "authpassword", Some("privpassword"));
    let privacy = with.privacy.as_mut().unwrap();
    (privacy.cipher, privacy.extension) = (cipher, extension);
    let values: [&[u8]; 3] = [&[2, 1, 42], &[0x4f, 1, 1], &[4, 2, b'o', b'k']];
    let names = Oid::parse("1.3.6.1.2.1.2.2.1.8").unwrap();
    let list: Vec<u8> = (1u32..)
        .zip(values)
        .flat_map(|(row, value)| {
            let name = tlv(6, &names.with(&[row]).to_ber());
            tlv(0x30, &[name.as_slice(), value].concat())
        })
        .collect();
    let pdu = [integer(i64::from(id)), integer(0), integer(0), tlv(0x30, &list)].concat();
    let scoped = [tlv(4, ENGINE), tlv(4, b""), tlv(MSG_RESPONSE, &pdu)].concat();
    let user = User::new(&with, None);
    let (clock, salt) = (Clock { boots: 3, time: 1000 }, [9; 8]);
    let key = user.privacy_key(ENGINE).unwrap();
    let data = user.encrypt(&key, clock, salt, &tlv(0x30, &scoped)).unwrap();
    let sealed = |mac: &[u8]| {
        let flags = V3_MSG_FLAGS_AUTH | V3_MSG_FLAGS_PRIVACY;
        let head = [integer(i64::from(id)), integer(MAX_MESSAGE), tlv(4, &[flags]), integer(3)];
        let usm = [
            tlv(4, ENGINE),
            integer(3),
            integer(1000),
            tlv(4, b"user"),
            tlv(4, mac),
            tlv(4, &salt),
        ];
        let usm = tlv(4, &tlv(0x30, &usm.concat()));
        tlv(0x30, &[integer(3), tlv(0x30, &head.concat()), usm, tlv(4, &data)].concat())
    };
    let mac = user.mac(ENGINE, &sealed(&vec![0; user.mac_bytes()])).unwrap();
    (sealed(&mac), with)
}

#[test]
fn what_follows_an_undecodable_value_is_read_though_it_was_encrypted() {
    use KeyExtension::{Blumenthal, Reeder};
    for privacy in [
        (Cipher::Des, Blumenthal),
        (Cipher::Aes128, Blumenthal),
        (Cipher::Aes192, Blumenthal),
        (Cipher::Aes256, Blumenthal),
        (Cipher::Aes256, Reeder),
    ] {
        let (odd, with) = odd_answer(5, privacy);
        let mut ours = Engine::new(&with, &found(3, 1000)).unwrap();
        let mut naked = ours.now();
        // It writes into what it is lent.
        let lent = odd.clone();
        let pdu = Pdu::from_bytes_with_security(&lent, Some(&mut naked)).unwrap();
        assert_eq!(
            pdu.varbinds.count(),
            1,
            "snmp2 ends silently; if not, `complete` is not needed"
        );
        let Opened::Response(response) = ours.open(&odd) else { panic!("{privacy:?}") };
        let values: Vec<Value> = response.varbinds.into_iter().map(|v| v.value).collect();
        let expected =
            [Value::Integer(42), Value::Undecodable(0x4f), Value::Octets(b"ok".to_vec())];
        assert_eq!(values, expected, "{privacy:?}");
    }
}

#[test]
fn forged_boots_and_times_move_nothing() {
    let device = engine(Some("privpassword"));
    let mut ours = engine(Some("privpassword"));
    let mut forger = engine(Some("otherpassword"));
    forger.security =
        Engine::new(&credentials("user", "not the password", Some("privpassword")), &found(900, 5))
            .unwrap()
            .security;
    forger.adopt(900, 5);
    assert!(matches!(ours.open(&answer(&forger, 1)), Opened::Ignored(_)));
    assert_eq!((ours.boots, ours.time), (3, 1000), "not a bit of it is believed");
    // The fault of the library that makes the clone necessary: if this fails, it is mended.
    let forged = answer(&forger, 1);
    let mut naked = ours.now();
    assert!(Pdu::from_bytes_with_security(&forged, Some(&mut naked)).is_err());
    assert_eq!(naked.engine_boots(), 900, "snmp2 moves boots before it checks the HMAC");
    assert!(is_response(&ours.open(&answer(&device, 2))));
}

#[test]
fn a_device_that_was_restarted_is_followed() {
    let mut ours = engine(Some("privpassword"));
    let mut device = engine(Some("privpassword"));
    device.adopt(4, 7);
    assert!(matches!(ours.open(&answer(&device, 1)), Opened::Resynchronised));
    assert_eq!((ours.boots, ours.time), (4, 7));
    assert!(is_response(&ours.open(&answer(&device, 2))));
    // Its clock was set on without a restart.
    device.adopt(4, 70_000);
    assert!(matches!(ours.open(&answer(&device, 3)), Opened::Resynchronised));
    assert!(is_response(&ours.open(&answer(&device, 4))));
}

#[test]
fn weaker_answers_are_not_taken() {
    let mut ours = engine(Some("privpassword"));
    assert!(matches!(ours.open(&answer(&engine(None), 1)), Opened::Ignored(_)), "not encrypted");
    let plain = plain_message(1, ENGINE, Operation::Get, &[]);
    assert!(matches!(ours.open(&plain), Opened::Ignored(_)), "not authenticated");
    let mut other = engine(Some("privpassword"));
    other.security = other.security.with_engine_id(b"another engine").unwrap();
    assert!(matches!(ours.open(&answer(&other, 1)), Opened::Ignored(_)), "another engine");
    let mut stranger = engine(Some("privpassword"));
    stranger.security = Engine::new(
        &credentials("stranger", "authpassword", Some("privpassword")),
        &found(3, 1000),
    )
    .unwrap()
    .security;
    assert!(matches!(ours.open(&answer(&stranger, 1)), Opened::Ignored(_)), "another user");
}

#[test]
fn a_message_size_that_the_library_refuses_is_named() {
    let mut ours = engine(None);
    let mut large = answer(&engine(None), 1);
    let at = large.windows(5).position(|w| w == [2, 3, 0, 0xff, 0xe3]).unwrap();
    large[at + 4] = 0xff;
    let Opened::Ignored(why) = ours.open(&large) else { panic!() };
    assert!(why.contains("announces messages above"), "{why}");
}

#[test]
fn discovery_is_read() {
    assert_eq!(discovered(&plain_message(1, ENGINE, Operation::Get, &[])).unwrap(), found(0, 0));
    assert!(discovered(&discovery(1)).is_err(), "no engine id");
    assert!(discovered(b"\x30\x03\x02\x01\x01").is_err());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// However a message is changed, it neither panics nor moves the clock, and what follows it
    /// is still understood.
    #[test]
    fn fuzz_mutated_messages_harm_only_themselves(
        changes in proptest::collection::vec((0usize..200, 0u8..), 1..4),
        cut in 0usize..40,
        private in 0u8..2,
    ) {
        // Keys cost too much to derive them for every case.
        static KEYS: std::sync::OnceLock<[Engine; 2]> = std::sync::OnceLock::new();
        let keys = KEYS.get_or_init(|| [engine(None), engine(Some("privpassword"))]);
        let keys = &keys[usize::from(private)];
        let with = || Engine {
            security: keys.security.clone(),
            needs_auth: true,
            privacy: keys.privacy.clone(),
            boots: 3,
            time: 1000,
            since: Instant::now(),
        };
        let (device, mut ours) = (with(), with());
        let good = answer(&device, 5);
        let mut bad = good.clone();
        for (at, to) in changes {
            let len = bad.len();
            bad[at % len] = to;
        }
        bad.truncate(bad.len() - cut.min(bad.len()) % 7);
        let opened = ours.open(&bad);
        if bad != good {
            proptest::prop_assert!(!matches!(opened, Opened::Resynchronised), "{opened:?}");
        }
        proptest::prop_assert_eq!(ours.boots, 3);
        let is_response = is_response(&ours.open(&answer(&device, 6)));
        proptest::prop_assert!(is_response);
    }

    #[test]
    fn fuzz_random_messages_never_panic(bytes in proptest::collection::vec(0u8.., 0..300)) {
        let _ = read_plain(&bytes);
        let _ = discovered(&bytes);
    }
}
