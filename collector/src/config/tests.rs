use std::path::Path;

use super::*;
use crate::settings::{Database, Mqtt};

fn parsed(text: &str) -> Result<Settings, Problems> {
    parse("c.toml", text, &|path: &Path| match path.to_str() {
        Some("/secret") => Ok("pass word\n".into()),
        _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    })
}

fn problems(text: &str) -> Vec<(usize, usize, String)> {
    let problems = parsed(text).expect_err("problems").0;
    problems.into_iter().map(|p| (p.line, p.column, p.message)).collect()
}

#[test]
fn empty_means_defaults() {
    let settings = parsed("").unwrap();
    assert_eq!(settings.name, "main");
    assert_eq!(settings.mqtt_public_address, "mqtts://localhost:8883");
    assert_eq!(settings.https.public_url, "https://localhost:8443");
    assert!(
        matches!(settings.mqtt, Mqtt::Embedded { limits, .. } if limits.places.in_all == 1000 && limits.places.per_source == 250)
    );
    assert!(matches!(settings.database, Database::Sqlite { .. }));
    assert_eq!(settings.health_listen, Some("127.0.0.1:9464".parse().unwrap()));
}

#[test]
fn postgres_password_comes_from_its_file() {
    let text = "[database]\nurl = 'postgres://u@h/d'\npassword_file = '/secret'";
    match parsed(text).unwrap().database {
        Database::Postgres { url } => assert_eq!(url, "postgres://u:pass%20word@h/d"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn labels_of_alertmanager() {
    let usual = parsed("").unwrap().alertmanager;
    assert_eq!(usual, crate::alertmanager::Mapping::default());
    let text = "[alertmanager]\ndevice_labels = ['box']\nstrip_port = false\nsite = 'SH-01'\n\
                severities = { Sev1 = 'critical' }\ndefault_severity = 'minor'";
    let mapping = parsed(text).unwrap().alertmanager;
    assert_eq!((mapping.device_labels, mapping.strip_port), (vec!["box".to_owned()], false));
    assert_eq!(mapping.site.as_deref(), Some("SH-01"));
    let critical = callhome_shared::severity::Severity::Critical;
    assert_eq!(mapping.severities, [("sev1".to_owned(), critical)].into());
    assert_eq!(mapping.site_labels, usual.site_labels);
    for (text, place) in [
        ("[alertmanager]\ndevice_labels = ['1x']", (2, 18)),
        ("[alertmanager]\nseverities = { a = 'citical' }", (2, 20)),
        ("[alertmanager]\nsite = ''", (2, 8)),
        ("[alertmanager]\ndevice_label = ['x']", (2, 1)),
    ] {
        let found = problems(text);
        assert_eq!((found[0].0, found[0].1), place, "{text}: {found:?}");
    }
}

#[test]
fn external_broker() {
    let settings = parsed("[mqtt]\nmode = 'external'\naddress = 'mqtts://b.example:8883'").unwrap();
    assert!(
        matches!(settings.mqtt, Mqtt::External { ref host, port: 8883, provision: false } if host == "b.example")
    );
    assert_eq!(settings.mqtt_public_address, "mqtts://b.example:8883");
    let text = "[mqtt]\nmode = 'external'\naddress = 'mqtts://b:1'\nprovision = 'dynamic-security'";
    assert!(matches!(parsed(text).unwrap().mqtt, Mqtt::External { provision: true, .. }));
    for (text, place) in [
        ("[mqtt]\nmode = 'external'\naddress = 'mqtts://b:1'\nprovision = 'dynsec'", (4, 13)),
        ("[mqtt]\nprovision = 'dynamic-security'", (2, 13)),
    ] {
        let found = problems(text);
        assert_eq!((found[0].0, found[0].1), place, "{found:?}");
    }
}

#[test]
fn every_problem_at_once_with_its_place() {
    let text = "[collector]\nname = \"a b\"\nnames = [\"ok\", \"no good\"]\n[mqtt]\nmode = \"embeded\"\n\
                listen = \"8883\"\nmax_connections = 0\n[https]\npublic_url = \"http://x\"\n\
                [database]\nurl = \"postgres://u:p@h/d\"\n";
    let found = problems(text);
    let places: Vec<(usize, usize)> = found.iter().map(|p| (p.0, p.1)).collect();
    assert_eq!(places, [(2, 8), (3, 16), (5, 8), (6, 10), (7, 19), (9, 14), (11, 7)], "{found:?}");
    let all = parsed(text).unwrap_err().to_string();
    assert!(all.contains("did you mean \"embedded\"?"), "{all}");
}

#[test]
fn unknown_key_and_wrong_type() {
    let unknown = parsed("[mqtt]\nlisten_on = \"x\"\n").unwrap_err();
    assert_eq!((unknown.0[0].line, unknown.0[0].column), (2, 1), "{unknown}");
    assert!(unknown.to_string().contains("listen"), "{unknown}");
    assert_eq!(problems("[mqtt]\nmax_connections = \"x\"")[0].0, 2);
}

#[test]
fn one_address_for_two_servers() {
    let found = problems("[mqtt]\nlisten = '0.0.0.0:8443'");
    assert!(found[0].2.contains("same address"), "{found:?}");
    assert!(parsed("[mqtt]\nlisten='0.0.0.0:0'\n[https]\nlisten='0.0.0.0:0'").is_ok());
}

#[test]
fn keys_that_do_not_belong_to_the_mode() {
    assert_eq!(problems("[mqtt]\naddress = 'mqtts://b:1'").len(), 1);
    assert_eq!(problems("[mqtt]\nmode = 'external'\nlisten = '0.0.0.0:1'").len(), 2);
    assert_eq!(problems("[database]\npassword_file = '/secret'").len(), 1);
    assert_eq!(problems("[database]\nurl='postgres://u@h/d'\npassword_file = '/none'").len(), 1);
}

#[test]
fn certificates() {
    let text =
        "[certificates]\nagent_life_s = 60\nserver_certificate_file = '/a'\nserver_key_file = '/b'";
    let found = parsed(text).unwrap().certificates;
    assert_eq!(found.lives.agent.as_secs(), 60);
    assert_eq!(found.lives.server.as_secs(), 31_536_000);
    assert_eq!(found.server, Some(("/a".into(), "/b".into())));
    let text = "[certificates]\nagent_life_s = 29\nserver_key_file = '/b'\ncrl_file = 'c'";
    let places: Vec<usize> = problems(text).iter().map(|p| p.0).collect();
    assert_eq!(places, [2, 3, 4]);
}

fn repository(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// `UPDATE=1 cargo nextest run -p callhome-collector published` writes it anew.
#[test]
fn published_schema_is_the_present_one() {
    if std::env::var_os("UPDATE").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/collector.schema.json");
        std::fs::write(path, schema()).unwrap();
    }
    let published = repository("docs/collector.schema.json");
    assert_eq!(
        published,
        schema(),
        "write it again: UPDATE=1, or callhome-collector schema > docs/collector.schema.json"
    );
}

#[test]
fn example_is_accepted() {
    parsed(&repository("docs/examples/collector.toml")).unwrap();
}

/// Every key of the schema as `table.key`.
fn schema_keys() -> Vec<String> {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let mut keys = Vec::new();
    for (table, reference) in schema["properties"].as_object().unwrap() {
        let pointer = reference["$ref"].as_str().unwrap_or_else(|| panic!("{reference}"));
        let table_schema = schema.pointer(&pointer[1..]).unwrap();
        for key in table_schema["properties"].as_object().unwrap().keys() {
            keys.push(format!("{table}.{key}"));
        }
    }
    assert!(keys.len() > 15, "{keys:?}");
    keys
}

#[test]
fn every_key_is_documented_and_in_the_example() {
    let doc = repository("docs/collector-config.md");
    let example = repository("docs/examples/collector.toml");
    for key in schema_keys() {
        assert!(doc.contains(&format!("| `{key}` |")), "{key} is not in docs/collector-config.md");
        let name = key.split('.').nth(1).unwrap();
        assert!(example.contains(&format!("{name} = ")), "{key} is not in the example");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn no_input_panics(junk in "[\\[\\]a-z_=\"'0-9\n. ${}]{0,200}", at in 0usize..4000, insert in ".{0,4}") {
        let _ = parsed(&junk);
        let mut text = repository("docs/examples/collector.toml");
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) { at -= 1; }
        text.insert_str(at, &insert);
        if let Err(problems) = parsed(&text) {
            // What a person reads must not fail either.
            proptest::prop_assert!(!problems.to_string().is_empty());
        }
    }
}

#[test]
fn receivers_of_notices_are_checked() {
    let text = "[notice]\nmail_server = 'smtp://mail.example.com:587'\nmail_from = 'c@example.com'\n\
                mail_user = 'c'\nmail_password_file = '/secret'\n[[notice.outlet]]\nname = 'ops'\n\
                kind = 'dingtalk'\nurl = 'https://oapi.example.com/robot/send?x=y'\nsecret_file = '/secret'";
    let notices = parsed(text).unwrap().notices;
    assert!(
        !format!("{notices:?}").contains("pass word") && !format!("{notices:?}").contains("x=y")
    );
    let (user, password) = notices.mail.as_ref().unwrap().login.as_ref().unwrap();
    assert_eq!((user.as_str(), password.reveal()), ("c", "pass word"));
    assert_eq!((notices.outlets[0].per_minute, notices.plan().mail), (20, true));
    let text = "[notice]\nmail_server = 'mail:25'\n[[notice.outlet]]\nname = 'Ops'\nkind = 'x'\n\
                [[notice.outlet]]\nname = 'a'\nkind = 'wecon'\nurl = 'https://a/'\n\
                [[notice.outlet]]\nname = 'b'\nkind = 'wecom'\nurl = 'ftp://a/'\n\
                [[notice.outlet]]\nname = 'c'\nkind = 'webhook'\nurl = 'https://a/'\nevents = ['caled']\nquiet_hours = '22'\n\
                [[notice.outlet]]\nname = 'd'\nkind = 'webhook'";
    let places: Vec<usize> = problems(text).iter().map(|p| p.0).collect();
    assert_eq!(places, [2, 4, 8, 13, 18, 19, 19, 21]);
    let plain = "[notice]\nmail_server = 'smtp-plain://m:25'\nmail_from = 'c@m'\nmail_user = 'c'\nmail_password_file = '/secret'";
    assert!(problems(plain)[0].2.contains("a password does not go over a line without TLS"));
}

#[test]
fn log_in_by_a_provider_is_checked() {
    assert!(parsed("").unwrap().oidc.is_none());
    let text = "[https]\npublic_url = 'https://c.example:8443'\n[oidc]\nissuer = 'https://id.example/r'\nclient_id = 'c'\n\
                client_secret_file = '/secret'\nroles = { 'a.b' = 'manager' }\nscopes = ['groups']";
    let oidc = parsed(text).unwrap().oidc.unwrap();
    assert_eq!(oidc.redirect, "https://c.example:8443/api/v1/oidc/callback");
    assert_eq!(oidc.secret.unwrap().reveal(), "pass word");
    assert_eq!((oidc.role_claim.as_str(), oidc.roles["a.b"].as_str()), ("groups", "manager"));
    assert_eq!(oidc.scopes, ["openid", "groups"]);
    assert!(!oidc.administrators_only);
    let good = "[oidc]\nissuer = 'https://id.example'\nclient_id = 'c'\n";
    for (text, place) in [
        ("[oidc]\npassword_login = 'administrators'".to_owned(), (2, 18)),
        ("[oidc]\nissuer = 'http://id.example'\nclient_id = 'c'".to_owned(), (2, 10)),
        ("[oidc]\nissuer = 'https://id.example'".to_owned(), (2, 10)),
        (format!("{good}roles = {{ x = 'manger' }}"), (4, 15)),
        (format!("{good}scopes = ['a b']"), (4, 11)),
        (format!("{good}password_login = 'admins'"), (4, 18)),
        (format!("{good}ca_file = '/secret'"), (4, 11)),
        (format!("{good}label = ''"), (4, 9)),
    ] {
        let found = problems(&text);
        assert_eq!((found[0].0, found[0].1), place, "{text}: {found:?}");
    }
}
