//! What is taken out, what is left, and what always holds.

use std::sync::Arc;

use callhome_shared::alarm::{Device, Identity};
use proptest::prelude::*;

use super::{Blocks, Key, Kind, OwnRule, Redactor, Settings};

fn redactor() -> Redactor {
    Redactor::default()
}

fn everything() -> Redactor {
    let settings = Settings {
        pseudonyms: Kind::ALL.to_vec(),
        domains: vec!["corp.example".into()],
        devices: vec!["array-1".into(), "SW-1".into()],
        ..Settings::default()
    };
    Redactor::new(settings, Key::new([7; 32]))
}

/// Lines as devices, programs and people write them, `§` around what must not be left.
const SECRETS: &str = include_str!("secrets.txt");

#[test]
fn nothing_marked_secret_survives() {
    let redactor = redactor();
    let (mut lines, mut left) = (0, Vec::new());
    for line in SECRETS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let parts: Vec<&str> = line.split('§').collect();
        assert!(parts.len() >= 3 && parts.len() % 2 == 1, "marks are missing: {line}");
        let raw = parts.concat();
        let told = redactor.text(&raw);
        let survives = |secret: &&&str| told.contains(**secret);
        let some = parts.iter().skip(1).step_by(2).filter(survives).count() > 0;
        if some || !told.contains("[redacted:") {
            left.push(format!("{raw}  →  {told}"));
        }
        lines += 1;
    }
    assert!(left.is_empty(), "left:\n{}", left.join("\n"));
    assert!(lines > 80, "only {lines} lines");
}

#[test]
fn ordinary_lines_stay_as_they_are() {
    let redactor = redactor();
    let mut changed = Vec::new();
    for line in [
        "PSU 2 failed",
        "Failed password for root from 192.0.2.7 port 22 ssh2",
        "sshd[12]: error: maximum authentication attempts exceeded",
        "service password-encryption",
        "password authentication failed for user \"app\"",
        "%SYS-5-CONFIG_I: Configured from console by admin on vty0 (192.0.2.4)",
        "022701: Jun 19 03:02:31: %LINEPROTO-5-UPDOWN: Line protocol on Interface Gi2/0/3, changed state to up",
        "neighbor 192.0.2.9 send-community both",
        "route-map X permit 10 set community 65000:100",
        "disk 0_1_4 temperature = 61 C",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "http://192.0.2.1:8080/a",
        "/usr/lib/modules/6/kernel/drivers/net/ethernet/mellanox/mlx5/core/mlx5core.ko",
    ] {
        let told = redactor.text(line);
        if told != line {
            changed.push(format!("{line}  →  {told}"));
        }
    }
    assert!(changed.is_empty(), "changed:\n{}", changed.join("\n"));
    assert!(redactor.counts().is_empty(), "{:?}", redactor.counts());
}

#[test]
fn addresses_and_names_become_stable_pseudonyms() {
    let redactor = everything();
    let told = |text: &str| redactor.text(text).into_owned();
    let ip = told("10.0.0.1");
    assert!(ip.starts_with("ip-") && ip.len() == 19, "{ip}");
    for (text, wanted) in [
        ("link to 10.0.0.1:161 lost", format!("link to {ip}:161 lost")),
        ("(010.000.000.001)", format!("({ip})")),
        ("10.0.0.1-10.0.0.1.", format!("{ip}-{ip}.")),
        ("\\n10.0.0.1", format!("\\n{ip}")),
        ("地址10.0.0.1失败", format!("地址{ip}失败")),
        ("::ffff:10.0.0.1", ip.clone()),
        ("1.3.6.1.4.1.9.2", "1.3.6.1.4.1.9.2".into()),
        ("v1.2.3.4.5 R07.02.31.003", "v1.2.3.4.5 R07.02.31.003".into()),
        ("at 03:02:31 std::deed", "at 03:02:31 std::deed".into()),
        ("300.1.1.1 1.2.3", "300.1.1.1 1.2.3".into()),
    ] {
        assert_eq!(told(text), wanted, "{text}");
    }
    let v6 = told("2001:db8::1");
    assert_eq!(told("2001:0DB8:0:0:0:0:0:1/64 [2001:db8::1]:443"), format!("{v6}/64 [{v6}]:443"));
    assert_eq!(told("fe80::1-fe80::1"), format!("{0}-{0}", told("fe80::1")));
    let mac = told("00:1b:54:aa:bb:cc");
    assert!(mac.starts_with("mac-"), "{mac}");
    for same in ["00-1B-54-AA-BB-CC", "001b.54aa.bbcc", "001b-54aa-bbcc"] {
        assert_eq!(told(same), mac);
    }
    assert!(told("wwn 50:01:43:80:12:34:56:78").starts_with("wwn mac-"));
    assert_eq!(
        told("550e8400-e29b-41d4-a716-446655440000"),
        "550e8400-e29b-41d4-a716-446655440000"
    );
    let host = told("db1.corp.example");
    assert!(host.starts_with("host-"), "{host}");
    assert_eq!(
        told("DB1.Corp.Example: down, bob@db1.corp.example."),
        format!("{host}: down, bob@{host}.")
    );
    for other in ["mycorp.example", "corp.example.org", "corp.examples"] {
        assert_eq!(told(other), other);
    }
    let device = told("array-1");
    assert!(device.starts_with("device-"), "{device}");
    assert_eq!(told("ARRAY-1, sw-10 my-sw-1"), format!("{device}, sw-10 my-sw-1"));
    let other = Redactor::new(everything().settings, Key::new([8; 32]));
    assert_ne!(other.text("10.0.0.1"), ip, "another site, another pseudonym");
    assert_eq!(redactor.text("Gi1/0/1 is 10.0.0.1"), format!("Gi1/0/1 is {ip}"));
}

#[test]
fn only_what_is_wanted_becomes_a_pseudonym() {
    let text = "array-1 10.0.0.1 fe80::1 00:1b:54:aa:bb:cc db1.corp.example";
    assert_eq!(redactor().text(text), text);
    let settings = Settings { pseudonyms: vec![Kind::Mac], ..everything().settings };
    let told = Redactor::new(settings, Key::zero()).text(text).into_owned();
    assert!(told.starts_with("array-1 10.0.0.1 fe80::1 mac-"), "{told}");
    assert!(told.ends_with(" db1.corp.example"), "{told}");
}

#[test]
fn own_rules_come_first_and_may_name_what_stands_there() {
    let own = |name: &str, regex: &str, by: Option<&str>| OwnRule {
        name: name.into(),
        regex: regex::Regex::new(regex).unwrap(),
        replacement: by.map(str::to_owned),
    };
    let settings = Settings {
        rules: vec![
            own("badge", r"badge (?P<secret>\d+)", None),
            own("project", r"PROJ-(?P<n>\d+)", Some("project ${n}")),
        ],
        disabled: vec!["password".into()],
        ..Settings::default()
    };
    let redactor = Redactor::new(settings, Key::zero());
    assert_eq!(
        redactor.text("badge 4711 opened PROJ-12, password hunter2"),
        "badge [redacted:badge] opened project 12, password hunter2"
    );
    let counts: Vec<(String, u64)> =
        redactor.counts().into_iter().map(|c| (c.rule, c.count)).collect();
    assert_eq!(counts, [("badge".into(), 1), ("project".into(), 1)]);
}

#[test]
fn a_capture_is_cut_along_what_was_found_in_its_line() {
    let redactor = everything();
    let line = "user bob password hunter2 from 10.0.0.1";
    let spans = redactor.spans(line);
    let at = line.find("hunter2").unwrap();
    assert_eq!(redactor.slice(line, &spans, at..at + 4), "[redacted:password]");
    let at = line.find("10.0").unwrap();
    assert_eq!(redactor.slice(line, &spans, at..at + 4), redactor.text("10.0.0.1"));
    assert_eq!(redactor.slice(line, &spans, 5..8), "bob");
    // In an identity two secrets stay two.
    let (one, two) = (redactor.id("community one1"), redactor.id("community two2"));
    assert!(one != two && one.starts_with("community [redacted:community:"), "{one} {two}");
    assert_eq!(redactor.id(&one), one);
}

#[test]
fn keys_over_several_lines_are_hidden_and_their_neighbours_are_not() {
    let (source, stream): (Arc<str>, Arc<str>) = ("log".into(), "line".into());
    let body = "MIIEpAIBAAKCAQEA7bqYcRkWlKXQy0Oe1hJ5kqTn8mZP2vLr3sXdCfGhJkLmNoPq";
    for prefix in ["", "Nov 22 03:04:05 sw-1 cfg[12]: "] {
        let mut blocks = Blocks::default();
        let mut line = |text: &str| blocks.hides(&source, &stream, &format!("{prefix}{text}"));
        assert!(!line("PSU 1 failed"));
        assert!(!line("-----BEGIN RSA PRIVATE KEY-----"));
        assert!(line("Proc-Type: 4,ENCRYPTED"));
        assert!(line(body));
        assert!(!line("PSU 2 failed"));
        assert!(line(body));
        assert!(line("abcd"));
        assert!(!line("-----END RSA PRIVATE KEY-----"));
        assert!(!line("PSU 3 failed"));
        assert!(!line("abcd"));
        assert!(blocks.is_empty());
    }
    // The body is known by its looks where its beginning was not seen, as after a restart.
    assert_eq!(redactor().text(body), "[redacted:key-material]");
    // One that never ends does not blind for ever.
    let mut blocks = Blocks::default();
    blocks.hides(&source, &stream, "-----BEGIN PRIVATE KEY-----");
    let hidden = (0..1000).filter(|_| blocks.hides(&source, &stream, "abcd")).count();
    assert!((200..400).contains(&hidden) && blocks.is_empty(), "{hidden}");
}

#[test]
fn a_device_keeps_what_the_centre_knows_it_by() {
    let redactor = everything();
    let device = Arc::new(Device {
        id: "10.0.0.1".into(),
        name: "array-1".into(),
        serial: Some("10.0.0.1".into()),
        site: Some("array-1".into()),
        customer: Some("array-1".into()),
        contract: Some("10.0.0.1".into()),
        parent: Some("SW-1".into()),
        firmware: Some("10.1.2.3 password=x".into()),
        ..Device::default()
    });
    let told = redactor.device(&device);
    assert_eq!((&told.id, &told.serial), (&device.id, &device.serial));
    assert_eq!(
        (&told.site, &told.customer, &told.contract),
        (&device.site, &device.customer, &device.contract)
    );
    assert!(
        told.name.starts_with("device-") && told.parent.as_ref().unwrap().starts_with("device-")
    );
    assert_eq!(told.firmware.as_deref(), Some("10.1.2.3 password=[redacted:password]"));
    let unnamed =
        Arc::new(Device { id: "array-1".into(), name: "array-1".into(), ..Device::default() });
    let told = redactor.device(&unnamed);
    assert_eq!(told.id, told.name);
    assert_eq!(redactor.device(&told), told, "telling it again changes nothing");
}

#[test]
fn an_identity_told_otherwise_is_noticed() {
    let (plain, pseudo) = (redactor(), everything());
    let identity = |resource: &str| Identity {
        device: "d".into(),
        resource: resource.into(),
        kind: "k".into(),
        qualifier: String::new(),
    };
    let device = Device::default();
    let told = pseudo.id("10.0.0.1").into_owned();
    for (redactor, under, resource, still) in [
        (&plain, "", "10.0.0.1", true),
        (&pseudo, plain.fingerprint(), "10.0.0.1", false),
        (&pseudo, pseudo.fingerprint(), told.as_str(), true),
        (&plain, pseudo.fingerprint(), told.as_str(), false),
        (&pseudo, plain.fingerprint(), "PSU 2", true),
    ] {
        assert_eq!(redactor.still_says(under, &device, &identity(resource)), still, "{resource}");
    }
}

#[test]
fn long_texts_end_and_stay_bounded() {
    let redactor = everything();
    for unit in [
        "password=",
        "password password ",
        "authorization: bearer ",
        "10.0.0.1-",
        "a.corp.example",
        "-----BEGIN PRIVATE KEY",
        "x://a:b@",
        "aa:bb:",
        "community ",
        "secret 5 ",
        "eyJ",
        "$1$",
        "\"password\":\"",
        "corp.example.",
        "array-1 ",
    ] {
        let text = unit.repeat(super::MAX_TEXT * 2 / unit.len());
        let told = redactor.text(&text);
        assert!(told.len() <= 8 * super::MAX_TEXT, "{unit}: {}", told.len());
    }
}

/// A secret as people make them: none of it is left by chance.
fn secret() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#%^&*_+=.?/-]{6,24}[0-9][A-Z]"
}

fn around() -> impl Strategy<Value = String> {
    "[A-Za-z0-9 ,.:;()\\[\\]/一-龥\t-]{0,60}"
}

/// `token:` in what stands for a secret in an identity is no keyword, whatever follows it.
#[test]
fn what_redaction_has_put_there_is_never_cut() {
    let redactor = redactor();
    let raw = r#""token": "10.0.0.1"token": "is "token": ""token": ""#;
    let once = redactor.id(raw).into_owned();
    assert_eq!(once.matches("[redacted:").count(), once.matches(']').count(), "{once}");
    assert_eq!(redactor.id(&once), once);
    for after in ["x", "\"token", "0a1b", "-", ":y"] {
        let raw = format!("token: hunter2{after}");
        let told = format!("{}{after}", redactor.id("token: hunter2"));
        assert!(!redactor.id(&raw).contains("hunter2"));
        let once = redactor.id(&told).into_owned();
        assert_eq!(redactor.id(&once), once, "{told}");
        assert!(!once.contains("[redacted:token:[redacted"), "{once}");
    }
}

proptest! {
    #[test]
    fn no_input_panics(text in "(?s).{0,300}", bytes: Vec<u8>) {
        let lossy = String::from_utf8_lossy(&bytes).into_owned();
        for redactor in [redactor(), everything()] {
            for text in [&text, &lossy] {
                let told = redactor.text(text);
                let spans = redactor.spans(text);
                for at in 0..text.len() {
                    if text.is_char_boundary(at) {
                        let _ = redactor.slice(text, &spans, 0..at);
                        let _ = redactor.slice(text, &spans, at..text.len());
                    }
                }
                let _ = (redactor.id(text), told);
            }
        }
    }

    #[test]
    fn prop_telling_it_twice_changes_nothing(pieces in proptest::collection::vec(prop_oneof![
        Just("password ".to_owned()), Just("password=".to_owned()), Just("community ".to_owned()),
        Just("secret 5 ".to_owned()), Just("\"token\": \"".to_owned()), Just("10.0.0.1".to_owned()),
        Just(":".to_owned()), Just("fe80::1".to_owned()), Just("db.corp.example".to_owned()),
        Just("array-1".to_owned()), Just("00:11:22:33:44:55".to_owned()), Just("https://a:".to_owned()),
        Just("@h ".to_owned()), Just(" ".to_owned()), Just("-".to_owned()), Just(".".to_owned()),
        Just("-----BEGIN PRIVATE KEY-----\n".to_owned()), Just("is ".to_owned()),
        Just("[redacted:password]".to_owned()), Just("ip-".to_owned()), secret(), around(),
    ], 0..12)) {
        let raw = pieces.concat();
        for redactor in [redactor(), everything()] {
            let once = redactor.text(&raw).into_owned();
            let twice = redactor.text(&once).into_owned();
            prop_assert_eq!(twice, once, "raw {:?}", &raw);
            let once = redactor.id(&raw).into_owned();
            let twice = redactor.id(&once).into_owned();
            prop_assert_eq!(twice, once, "raw {:?}", &raw);
        }
    }

    #[test]
    fn prop_no_secret_is_left(before in around(), secret in secret(), after in around(), which in 0usize..12) {
        let form = [
            "password=§", "password: §", "\"password\": \"§\"", "enable secret 5 §", "password 7 §",
            "snmp-server community § RO", "Authorization: Bearer §", "mqtts://bob:§@h.example/",
            "api_key=§", "password is §", "tacacs-server key 7 §", "pre-shared-key cipher §",
        ][which];
        let raw = format!("{before} {} {after}", form.replace('§', &secret));
        for redactor in [redactor(), everything()] {
            let told = redactor.text(&raw);
            prop_assert!(!told.contains(&secret), "{:?} is left in {:?}", secret, told);
        }
    }

    #[test]
    fn prop_no_address_is_left(before in around(), v4: u32, v6: u128, mac: [u8; 6], after in around()) {
        let (v4, v6) = (std::net::Ipv4Addr::from(v4), std::net::Ipv6Addr::from(v6));
        let mac = mac.map(|b| format!("{b:02x}")).join(":");
        let raw = format!("{before} {v4} ({v6}) {mac}, {after}");
        let told = everything().text(&raw).into_owned();
        for address in [v4.to_string(), v6.to_string(), mac] {
            prop_assert!(!told.contains(&address), "{address} is left in {told:?}");
        }
    }

    #[test]
    fn fuzz_blocks_never_panic(lines in proptest::collection::vec("(-{4,5} ?(BEGIN|END) [A-Z ]{0,8}PRIVATE KEY-{0,5}|[A-Za-z0-9+/=]{0,70}|.{0,40})", 0..60)) {
        let (source, stream): (Arc<str>, Arc<str>) = ("s".into(), "line".into());
        let mut blocks = Blocks::default();
        for line in &lines {
            blocks.hides(&source, &stream, line);
        }
    }
}

#[test]
fn a_source_named_after_a_device_does_not_tell_its_name() {
    let mut settings = Settings {
        pseudonyms: vec![Kind::Device],
        devices: vec!["SW-1".into(), "core".into()],
        ..Settings::default()
    };
    settings.note_sources(["sw-1-console", "messages", "SW-1", "host", "sw-12"].into_iter());
    let redactor = Redactor::new(settings, Key::new([7; 32]));
    for name in ["sw-1-console", "SW-1", "sw-12"] {
        let told = redactor.id(name);
        assert!(!told.to_lowercase().contains("sw-1"), "{name} is told as {told}");
        assert_eq!(redactor.id(&told), told, "told twice");
        assert_eq!(redactor.text(&format!("source {name}: gone")), format!("source {told}: gone"));
    }
    assert_ne!(redactor.id("sw-1-console"), redactor.id("SW-1"));
    assert_eq!((&*redactor.id("messages"), &*redactor.id("host")), ("messages", "host"));
}
