//! Version 3 as senders do it: discovery, informs, traps, forged and replayed messages.

use std::time::Duration;

use snmp2::v3::{AuthProtocol, Cipher, KeyExtension};
use zeroize::Zeroizing;

use super::*;
use crate::source::snmp::usm::{Credentials, Privacy};
use crate::source::trap::decode::{MSG_INFORM, Message, decode};

const OURS: &[u8] = &[0x80, 0, 0, 0, 5, 1, 2, 3, 4];
const THEIRS: &[u8] = &[0x80, 0, 0x1f, 0x88, 4, 9, 9];
const SALT: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fn credentials(auth: Option<&str>, privacy: Option<&str>) -> Credentials {
    let secret = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
    Credentials {
        user: "bert".into(),
        auth: auth.map(|password| (AuthProtocol::Sha1, secret(password))),
        privacy: privacy.map(|password| Privacy {
            cipher: Cipher::Aes128,
            extension: KeyExtension::Blumenthal,
            password: secret(password),
        }),
        context: String::new(),
    }
}

fn user(auth: Option<&str>, privacy: Option<&str>, engine: Option<&[u8]>) -> User {
    User::new(&credentials(auth, privacy), engine.map(<[u8]>::to_vec))
}

/// Who sends: a security of its own, whose messages are those of its engine.
struct Device(Security);

impl Device {
    fn new(id: &[u8], boots: i64, auth: Option<&str>, privacy: Option<&str>) -> Self {
        let own = Own { id: id.to_vec(), boots, since: Instant::now() };
        Device(Security::new(vec![user(auth, privacy, None)], own))
    }

    /// A notification at the engine's `time`.
    fn says(&mut self, tag: u8, flags: u8, clock: Clock) -> Vec<u8> {
        let name = Oid::parse("1.3.6.1.6.3.1.1.5.3").unwrap();
        let key = Oid::parse("1.3.6.1.6.3.1.1.4.1.0").unwrap();
        let binding = [tlv(6, &key.to_ber()), tlv(6, &name.to_ber())].concat();
        let list = tlv(0x30, &tlv(0x30, &binding));
        let pdu = [integer(55), integer(0), integer(0), list].concat();
        let scoped = [tlv(4, &self.0.own.id), tlv(4, b""), tlv(tag, &pdu)].concat();
        let key = self.0.key(0, true, &[]).unwrap();
        let user = &self.0.users[0];
        let scoped = tlv(0x30, &scoped);
        let (data, salt) = match flags & ENCRYPTED {
            0 => (scoped, Vec::new()),
            _ => {
                let sealed = user.encrypt(&key.unwrap(), clock, SALT, &scoped).unwrap();
                (tlv(4, &sealed), SALT.to_vec())
            }
        };
        self.0.message(4711, flags, Some(user), clock, &salt, &data)
    }
}

fn judge(security: &mut Security, datagram: &[u8], now: Instant) -> Judged {
    let Message::V3(v3) = decode(datagram).unwrap() else { panic!("no v3 message") };
    security.judge(&v3, datagram, now)
}

fn ours(users: Vec<User>, now: Instant) -> Security {
    Security::new(users, Own { id: OURS.to_vec(), boots: 4, since: now })
}

fn refusal(judged: &Judged) -> Option<Refusal> {
    match judged {
        Judged::Refused { why, .. } => Some(*why),
        _ => None,
    }
}

const BOTH: u8 = AUTHENTICATED | ENCRYPTED;
const TRAP: u8 = snmp2::snmp::MSG_TRAP;

#[test]
fn traps_at_every_level_are_taken_and_weaker_ones_are_not() {
    let now = Instant::now();
    let clock = Clock { boots: 7, time: 100 };
    for (auth, privacy, flags) in [
        (None, None, 0),
        (Some("authpassword"), None, AUTHENTICATED),
        (Some("authpassword"), Some("privpassword"), BOTH),
    ] {
        let mut security = ours(vec![user(auth, privacy, None)], now);
        let mut device = Device::new(THEIRS, 7, auth, privacy);
        let Judged::Accepted { notification, reply } =
            judge(&mut security, &device.says(TRAP, flags, clock), now)
        else {
            panic!("{flags}")
        };
        assert_eq!(notification.trap.to_string(), "1.3.6.1.6.3.1.1.5.3");
        assert!(reply.is_none(), "a trap is not answered");
        if flags == BOTH {
            for weaker in [0, AUTHENTICATED] {
                let judged = judge(&mut security, &device.says(TRAP, weaker, clock), now);
                assert_eq!(refusal(&judged), Some(Refusal::UnsupportedLevel), "{weaker}");
            }
        }
    }
}

#[test]
fn forged_messages_move_no_clock_and_take_no_place() {
    let now = Instant::now();
    let mut security = ours(vec![user(Some("authpassword"), Some("privpassword"), None)], now);
    let mut forger = Device::new(THEIRS, 900, Some("not the password"), Some("privpassword"));
    let forged = forger.says(TRAP, BOTH, Clock { boots: 900, time: 5 });
    assert_eq!(refusal(&judge(&mut security, &forged, now)), Some(Refusal::WrongDigest));
    assert_eq!(security.engines(), 0, "not a bit of it is believed");
    let mut device = Device::new(THEIRS, 7, Some("authpassword"), Some("privpassword"));
    let real = device.says(TRAP, BOTH, Clock { boots: 7, time: 100 });
    assert!(matches!(judge(&mut security, &real, now), Judged::Accepted { .. }));
    assert_eq!(refusal(&judge(&mut security, &forged, now)), Some(Refusal::WrongDigest));
    assert!(matches!(judge(&mut security, &real, now), Judged::Accepted { .. }));
}

#[test]
fn old_messages_are_not_played_again() {
    let start = Instant::now();
    let mut security = ours(vec![user(Some("authpassword"), None, None)], start);
    let mut device = Device::new(THEIRS, 7, Some("authpassword"), None);
    let mut says = |boots, time| device.says(TRAP, AUTHENTICATED, Clock { boots, time });
    let (first, restarted) = (says(7, 100), says(8, 3));
    let accepted = |judged| matches!(judged, Judged::Accepted { .. });
    assert!(accepted(judge(&mut security, &first, start)));
    let soon = start + Duration::from_secs(149);
    assert!(accepted(judge(&mut security, &first, soon)), "late, but in the window");
    let late = start + Duration::from_secs(151);
    assert_eq!(refusal(&judge(&mut security, &first, late)), Some(Refusal::NotInTimeWindow));
    assert!(accepted(judge(&mut security, &restarted, late)), "a restart is followed");
    assert_eq!(
        refusal(&judge(&mut security, &says(7, 5000), late)),
        Some(Refusal::NotInTimeWindow)
    );
}

#[test]
fn many_engines_share_a_user_and_each_has_its_own_clock() {
    let now = Instant::now();
    let given = [0x80, 0, 0, 9, 1];
    let users = vec![
        user(Some("authpassword"), Some("privpassword"), None),
        user(Some("otherpassword"), Some("privpassword"), Some(&given)),
    ];
    let mut security = ours(users, now);
    for n in 0..50u8 {
        let mut device =
            Device::new(&[0x80, 0, 0, 8, n], 1, Some("authpassword"), Some("privpassword"));
        let clock = Clock { boots: i64::from(n) + 1, time: i64::from(n) * 1000 };
        let judged = judge(&mut security, &device.says(TRAP, BOTH, clock), now);
        assert!(matches!(judged, Judged::Accepted { .. }), "{n}: {judged:?}");
    }
    assert_eq!(security.engines(), 50);
    let clock = Clock { boots: 1, time: 1 };
    let mut device = Device::new(&given, 1, Some("otherpassword"), Some("privpassword"));
    let judged = judge(&mut security, &device.says(TRAP, BOTH, clock), now);
    assert!(matches!(judged, Judged::Accepted { .. }), "the password given for its engine");
    let mut elsewhere = Device::new(THEIRS, 1, Some("otherpassword"), Some("privpassword"));
    let judged = judge(&mut security, &elsewhere.says(TRAP, BOTH, clock), now);
    assert_eq!(refusal(&judged), Some(Refusal::WrongDigest), "that password at another engine");
}

#[test]
fn an_inform_is_led_to_our_engine_and_answered_with_it() {
    let start = Instant::now();
    let now = start + Duration::from_secs(1000);
    let users = || vec![user(Some("authpassword"), Some("privpassword"), None)];
    let mut security = ours(users(), start);
    // Who has never heard of us asks first.
    let asking = crate::source::snmp::usm::discovery(12);
    let Judged::Asked { report } = judge(&mut security, &asking, now) else { panic!() };
    let Message::V3(told) = decode(&report).unwrap() else { panic!() };
    assert_eq!((told.engine, told.boots, told.time, told.id), (OURS, 4, 1000, 12));
    // Its sender secures the inform with our engine, at first by a clock that is not ours.
    let mut device = Device::new(OURS, 4, Some("authpassword"), Some("privpassword"));
    let flags = BOTH | REPORTABLE;
    let early = device.says(MSG_INFORM, flags, Clock { boots: 0, time: 0 });
    let Judged::Asked { report } = judge(&mut security, &early, now) else { panic!() };
    let Message::V3(told) = decode(&report).unwrap() else { panic!() };
    assert_eq!((told.flags, told.boots, told.time), (AUTHENTICATED, 4, 1000));
    assert!(is_genuine(&users()[0], &told, &report), "told authenticated");
    let inform = device.says(MSG_INFORM, flags, Clock { boots: 4, time: 1001 });
    let Judged::Accepted { notification, reply: Some(reply) } = judge(&mut security, &inform, now)
    else {
        panic!()
    };
    assert_eq!((notification.kind, notification.request_id), (Kind::Inform, 55));
    let answer = security.seal(&reply, SALT, now).unwrap();
    let Message::V3(v3) = decode(&answer).unwrap() else { panic!() };
    assert_eq!((v3.id, v3.flags), (4711, BOTH));
    assert!(is_genuine(&users()[0], &v3, &answer));
    let key = users()[0].privacy_key(OURS).unwrap();
    let clock = Clock { boots: v3.boots, time: v3.time };
    let plain = users()[0].decrypt(&key, clock, v3.salt, v3.data).unwrap();
    let scoped = scoped(decode::decrypted(&plain).unwrap()).unwrap();
    let mut pdu = scoped.pdu;
    assert_eq!(pdu.peek_byte().unwrap(), MSG_RESPONSE);
    assert_eq!(decode::request_id(pdu.clone()), Some(55));
    assert!(pdu.read_raw(MSG_RESPONSE).unwrap().ends_with(&notification.list));
}

#[test]
fn senders_are_told_what_is_wrong() {
    let now = Instant::now();
    let mut security = ours(vec![user(Some("authpassword"), Some("privpassword"), None)], now);
    let clock = Clock { boots: 4, time: 0 };
    let told = |judged: Judged| match judged {
        Judged::Refused { why, report: Some(report) } => {
            let Message::V3(v3) = decode(&report).unwrap() else { panic!() };
            let mut pdu = scoped(v3.data).unwrap().pdu;
            let number = why.number();
            let name = Oid::new(&USM_STATS).with(&[number, 0]).to_ber();
            let body = pdu.read_raw(MSG_REPORT).unwrap().to_vec();
            assert!(body.windows(name.len()).any(|w| w == name), "{why:?}");
            why
        }
        other => panic!("{other:?}"),
    };
    let flags = BOTH | REPORTABLE;
    let mut wrong = Device::new(OURS, 4, Some("wrongpassword"), Some("privpassword"));
    let judged = judge(&mut security, &wrong.says(MSG_INFORM, flags, clock), now);
    assert_eq!(told(judged), Refusal::WrongDigest);
    let mut unreadable = Device::new(OURS, 4, Some("authpassword"), Some("wrongpassword"));
    let judged = judge(&mut security, &unreadable.says(MSG_INFORM, flags, clock), now);
    assert_eq!(told(judged), Refusal::Decryption);
    let mut open = Device::new(OURS, 4, Some("authpassword"), None);
    let half = AUTHENTICATED | REPORTABLE;
    let judged = judge(&mut security, &open.says(MSG_INFORM, half, clock), now);
    assert_eq!(told(judged), Refusal::UnsupportedLevel);
    let mut stranger = Device::new(OURS, 4, Some("authpassword"), None);
    stranger.0.users[0].name = b"ernie".to_vec();
    let judged = judge(&mut security, &stranger.says(MSG_INFORM, half, clock), now);
    assert_eq!(told(judged), Refusal::UnknownUser);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// However a message is changed: it neither panics nor moves a clock, and what follows it is
    /// still taken.
    #[test]
    fn fuzz_mutated_messages_harm_only_themselves(
        changes in proptest::collection::vec((0usize..200, 0u8..), 1..4),
        cut in 0usize..9,
        inform in proptest::bool::ANY,
    ) {
        // Keys cost too much to make them for every case.
        static READY: std::sync::Mutex<Option<(Security, Device, Instant)>> = std::sync::Mutex::new(None);
        let mut ready = READY.lock().unwrap();
        let (security, device, now) = ready.get_or_insert_with(|| {
            let now = Instant::now();
            let security = ours(vec![user(Some("authpassword"), Some("privpassword"), None)], now);
            (security, Device::new(THEIRS, 7, Some("authpassword"), Some("privpassword")), now)
        });
        // The same moment throughout: after 150 s of fuzzing a good message of then would be too old.
        let now = *now;
        let tag = if inform { MSG_INFORM } else { TRAP };
        let good = device.says(tag, BOTH, Clock { boots: 7, time: 100 });
        let mut bad = good.clone();
        for (at, to) in changes {
            let len = bad.len();
            bad[at % len] = to;
        }
        bad.truncate(bad.len() - cut);
        if let Ok(Message::V3(v3)) = decode(&bad) {
            let judged = security.judge(&v3, &bad, now);
            let accepted = matches!(judged, Judged::Accepted { .. });
            proptest::prop_assert!(bad == good || !accepted, "{judged:?}");
        }
        proptest::prop_assert!(security.engines() <= 1);
        let is_taken = matches!(judge(security, &good, now), Judged::Accepted { .. });
        proptest::prop_assert!(is_taken);
    }
}
