use super::*;
use proptest::prelude::*;

fn sample() -> Declaration {
    Declaration {
        id: crate::id::new_uuid(),
        subject: Subject { ticket: Some("T-000123".into()), alarm_id: None },
        name: "日志 2026.tar.gz".into(),
        size: 5,
        sha256: hex(&Sha256::digest(b"hello")),
        created_at: Time(1_700_000_000_000),
        note: Some("two lines\nof text".into()),
        contents: vec![
            Content { name: "var/log/a.log".into(), size: 3, redacted: Redacted::Replaced(7) },
            Content { name: "core".into(), size: 2, redacted: Redacted::Binary },
        ],
        approved: Approved { by: "li".into(), at: Time(0), how: How::Person },
    }
}

#[test]
fn reads_back_and_ignores_what_it_does_not_know() {
    let said = sample();
    said.check().unwrap();
    let mut json = serde_json::to_value(&said).unwrap();
    assert_eq!(json["contents"][0]["redacted"], 7);
    assert_eq!(json["contents"][1]["redacted"], "binary");
    assert_eq!(json["approved"]["how"], "person");
    json["later"] = "x".into();
    assert_eq!(serde_json::from_value::<Declaration>(json).unwrap(), said);
}

#[test]
fn what_is_wrong_is_named() {
    type Spoil = fn(&mut Declaration);
    let wrong: [(&str, Spoil); 16] = [
        ("id:", |d| d.id = Uuid::new_v4()),
        ("subject:", |d| d.subject = Subject::default()),
        ("subject.ticket:", |d| d.subject.ticket = Some("T-1'--".into())),
        ("subject.ticket:", |d| d.subject.ticket = Some("P-000123".into())),
        ("name:", |d| d.name = "../../etc/passwd".into()),
        ("name:", |d| d.name = "a\\b".into()),
        ("name:", |d| d.name = "..".into()),
        ("name:", |d| d.name = "a\nb".into()),
        ("name:", |d| d.name = "x".repeat(MAX_NAME + 1)),
        ("size:", |d| d.size = 0),
        ("size:", |d| d.size = u64::MAX),
        ("sha256:", |d| d.sha256.make_ascii_uppercase()),
        ("note:", |d| d.note = Some("x".repeat(MAX_NOTE + 1))),
        ("contents:", |d| d.contents = vec![d.contents[0].clone(); MAX_CONTENTS + 1]),
        ("contents[1].name:", |d| d.contents[1].name = "a/../b".into()),
        ("approved.by:", |d| d.approved.by = "\u{1b}[2J".into()),
    ];
    for (named, spoil) in wrong {
        let mut said = sample();
        spoil(&mut said);
        let error = said.check().unwrap_err();
        assert!(error.starts_with(named), "{named} {error}");
    }
}

#[test]
fn the_largest_declaration_fits_into_its_limit() {
    let mut said = sample();
    said.name = "n".repeat(MAX_NAME);
    said.note = Some("x".repeat(MAX_NOTE));
    said.subject.alarm_id = Some(said.id);
    let content = Content {
        name: "n".repeat(MAX_NAME),
        size: i64::MAX as u64,
        redacted: Redacted::Replaced(i64::MAX as u64),
    };
    said.contents = vec![content; MAX_CONTENTS];
    said.check().unwrap();
    let bytes = serde_json::to_vec(&said).unwrap().len();
    assert!(bytes <= MAX_DECLARATION, "{bytes}");
}

#[test]
fn digests_are_those_of_rfc_9530() {
    // The example of RFC 9530, appendix D.
    let body = b"{\"hello\": \"world\"}\n";
    let value = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    assert_eq!(content_digest(body), value);
    let sha: [u8; 32] = Sha256::digest(body).into();
    assert_eq!(parse_digest(value), Some(sha));
    assert_eq!(parse_digest(&format!("unixsum=:AQ==:,\t{value}")), Some(sha));
    for wrong in ["", "sha-256=", "sha-256=:AQ==:", "sha-512=:AQ==:", "sha-256=x", "md5"] {
        assert_eq!(parse_digest(wrong), None, "{wrong:?}");
    }
}

#[test]
fn offsets_are_plain_numbers() {
    assert_eq!(parse_offset("0"), Some(0));
    assert_eq!(parse_offset("999999999999999"), Some(999_999_999_999_999));
    for wrong in ["", "-1", "+1", "1.0", "0x1", " 1", "1000000000000000"] {
        assert_eq!(parse_offset(wrong), None, "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn no_declaration_panics(bytes: Vec<u8>, name in ".{0,300}", note in ".{0,50}",
                             ticket in ".{0,30}", sha in ".{0,70}", size: u64) {
        let _ = serde_json::from_slice::<Declaration>(&bytes);
        let _ = serde_json::from_slice::<Told>(&bytes);
        let _ = serde_json::from_slice::<Standing>(&bytes);
        let mut said = sample();
        said.name = name.clone();
        said.note = Some(note);
        said.size = size;
        said.subject.ticket = Some(ticket.clone());
        said.sha256 = sha;
        if said.check().is_ok() {
            prop_assert!(!name.contains(['/', '\\', '\0']) && name != ".." && is_ticket(&ticket));
        }
        let json = serde_json::to_vec(&said).unwrap();
        prop_assert_eq!(serde_json::from_slice::<Declaration>(&json).unwrap(), said);
    }

    #[test]
    fn no_header_panics(value in ".{0,80}", near in "sha-256=:[A-Za-z0-9+/=]{0,50}:?") {
        let _ = parse_digest(&value);
        let _ = parse_digest(&near);
        let _ = parse_offset(&value);
    }

    #[test]
    fn prop_every_digest_reads_back(body: Vec<u8>) {
        let sha: [u8; 32] = Sha256::digest(&body).into();
        prop_assert_eq!(parse_digest(&content_digest(&body)), Some(sha));
    }
}
