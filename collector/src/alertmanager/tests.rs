use callhome_shared::severity::Severity;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: Time = Time(1_800_000_000_000);

fn notification(alerts: Value) -> Value {
    // As Alertmanager 0.25 writes it, all of it.
    json!({
        "receiver": "callhome", "status": "firing", "alerts": alerts, "groupLabels": {"alertname": "x"},
        "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am:9093", "version": "4",
        "groupKey": "{}:{alertname=\"x\"}", "truncatedAlerts": 0
    })
}

fn alert(labels: Value) -> Value {
    json!({
        "status": "firing", "labels": labels,
        "annotations": {"summary": "a disk", "description": "Disk sda is failing.\n"},
        "startsAt": "2026-11-22T08:00:00.123456789+08:00", "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph", "fingerprint": "c3d9a1b2c3d4e5f6"
    })
}

fn parse(body: &Value) -> Result<Notification, String> {
    read(body.to_string().as_bytes())
}

fn one(labels: Value) -> Alert {
    parse(&notification(json!([alert(labels)]))).unwrap().alerts.remove(0)
}

#[test]
fn an_alert_is_an_alarm() {
    let alert = one(json!({
        "alertname": "DiskFailing", "instance": "sto-1:9100", "device": "sda", "severity": "Critical",
        "site": "SH-01", "serial": "210235"
    }));
    let said = Mapping::default().say(&alert, NOW);
    let alarm = said.alarm;
    assert_eq!(said.site.as_deref(), Some("SH-01"));
    assert_eq!((alarm.device.id.as_str(), alarm.device.name.as_str()), ("SH-01/sto-1", "sto-1"));
    assert_eq!(alarm.device.serial.as_deref(), Some("210235"));
    assert_eq!((alarm.kind.as_str(), alarm.resource.as_str()), ("DiskFailing", "sda"));
    assert_eq!(
        (alarm.severity, alarm.qualifier.as_str()),
        (Severity::Critical, "c3d9a1b2c3d4e5f6")
    );
    assert_eq!(alarm.text, "Disk sda is failing.");
    assert_eq!(alarm.observed_at.to_string(), "2026-11-22T00:00:00.123Z");
    assert!(alarm.evidence[0].text.starts_with("alertname: DiskFailing\ndevice: sda\n"));
    alarm.validate().unwrap();
}

#[test]
fn labels_mean_what_the_configuration_says() {
    let mapping = Mapping {
        device_labels: vec!["box".into()],
        site_labels: vec!["dc".into()],
        site: Some("HQ".into()),
        severity_label: "prio".into(),
        severities: [("p1".to_owned(), Severity::Major)].into(),
        default_severity: Severity::Minor,
        ..Mapping::default()
    };
    let said = mapping.say(&one(json!({ "box": "b1", "prio": "P1", "instance": "i" })), NOW);
    assert_eq!((said.site.as_deref(), said.alarm.device.id.as_str()), (Some("HQ"), "HQ/b1"));
    assert_eq!((said.alarm.severity, said.alarm.kind.as_str()), (Severity::Major, "alert"));
    let said = mapping.say(&one(json!({ "job": "node", "dc": "BJ", "prio": "critical" })), NOW);
    assert_eq!((said.alarm.device.id.as_str(), said.alarm.severity), ("BJ/node", Severity::Minor));
    for (instance, name) in [
        ("[2001:db8::1]:9100", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("http://x/y", "http://x/y"),
        (":9100", ":9100"),
        ("10.0.0.1:161", "10.0.0.1"),
    ] {
        let said = Mapping::default().say(&one(json!({ "instance": instance })), NOW);
        assert_eq!(said.alarm.device.name, name);
    }
    let kept = Mapping { strip_port: false, ..Mapping::default() };
    assert_eq!(kept.say(&one(json!({ "instance": "h:1" })), NOW).alarm.device.name, "h:1");
}

#[test]
fn what_is_needed_is_asked_for_with_its_place() {
    let with = |name: &str, value: Value| {
        let mut alert = alert(json!({ "alertname": "x" }));
        alert[name] = value;
        notification(
            json!([{ "status": "resolved", "labels": {}, "startsAt": "2026-01-01T00:00:00Z",
            "fingerprint": "a" }, alert]),
        )
    };
    let mut other_version = notification(json!([]));
    other_version["version"] = json!("3");
    let many = vec![alert(json!({})); MAX_ALERTS + 1];
    for (body, expected) in [
        (json!([]), "body: expected an object, found a list"),
        (json!({ "version": "4" }), "body: missing field `alerts`"),
        (other_version, "version: expected \"4\", found \"3\""),
        (with("status", json!("pending")), "alerts[1].status: unknown variant `pending`"),
        (with("labels", json!({ "a": 1 })), "alerts[1].labels.a: invalid type: integer `1`"),
        (with("startsAt", json!("soon")), "alerts[1].startsAt: expected an RFC 3339 timestamp"),
        (with("fingerprint", json!("")), "alerts[1].fingerprint: expected 1 to 64 letters"),
        (notification(json!(many)), "alerts: expected at most 4000, found 4001"),
    ] {
        let found = parse(&body).unwrap_err();
        assert!(found.starts_with(expected), "{found}");
    }
    assert!(parse(&with("something", json!("new"))).is_ok(), "what is not known is passed over");
}

#[test]
fn lives_go_on_end_and_begin_again() {
    let at = |firing: bool, start: i64, end: Option<i64>| Alert {
        firing,
        starts_at: Time(start),
        ends_at: end.map(Time),
        ..one(json!({}))
    };
    let (first, fresh, other) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    let living = Some(Living { id: other, raised_at: Time(500) });
    let ended = |ago: i64| Some(Former { ended_at: NOW.plus_ms(-ago) });
    let say = |alert: Alert, living, former| life(&alert, living, former, (first, fresh), NOW);
    assert_eq!(say(at(true, 500, None), None, None), Life::Begins(first));
    assert_eq!(say(at(true, 900, None), living, None), Life::Stands(other), "another start");
    assert_eq!(say(at(true, 500, None), None, ended(59_000)), Life::Late, "the other member");
    assert_eq!(say(at(true, 500, None), None, ended(61_000)), Life::Begins(fresh), "again");
    assert_eq!(say(at(false, 500, Some(800)), living, None), Life::Ends(other));
    assert_eq!(say(at(false, 900, Some(950)), living, None), Life::Ends(other));
    assert_eq!(say(at(false, 100, Some(400)), living, None), Life::Late, "a former life's end");
    assert_eq!(say(at(false, 100, None), living, None), Life::Ends(other));
    assert_eq!(say(at(false, 500, Some(800)), None, ended(1)), Life::Late);
    assert_eq!(say(at(false, 500, Some(800)), None, None), Life::Ends(first));
}

#[test]
fn sources_have_names_that_no_agent_has() {
    assert_eq!(source_id("prod-1").as_deref(), Some("alertmanager:prod-1"));
    for wrong in ["", "a b", "a:b", "x".repeat(33).as_str()] {
        assert_eq!(source_id(wrong), None, "{wrong}");
    }
    assert!(callhome_shared::id::AgentId::new("alertmanager:main").is_err());
    assert_eq!(id_of(&["a", "bc"]), id_of(&["a", "bc"]));
    assert_ne!(id_of(&["a", "bc"]), id_of(&["ab", "c"]));
}

proptest! {
    #[test]
    fn prop_no_body_panics_and_what_is_read_is_a_good_alarm(
        body: Vec<u8>,
        labels in proptest::collection::btree_map("[a-zA-Z_]{0,9}|instance|alertname|site|severity|device", ".{0,300}", 0..8),
        annotations in proptest::collection::btree_map("description|summary|.{0,5}", ".{0,5000}", 0..3),
        start in "[0-9]{4}-[01][0-9]-[0-3][0-9]T00:00:00Z",
    ) {
        let _ = read(&body);
        let mut alert = alert(json!(labels));
        alert["annotations"] = json!(annotations);
        alert["startsAt"] = json!(start);
        if let Ok(said) = parse(&notification(json!([alert]))) {
            let said = Mapping::default().say(&said.alerts[0], NOW);
            prop_assert_eq!(said.alarm.validate(), Ok(()));
            prop_assert!(said.alarm.observed_at <= NOW);
        }
    }
}
