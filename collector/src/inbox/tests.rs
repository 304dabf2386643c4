use super::*;
use proptest::prelude::*;

fn alarm_json() -> serde_json::Value {
    serde_json::json!({
        "alarm_id": "018f0000-0000-7000-8000-000000000001", "transition": "raised",
        "severity": "major", "type": "psu-failed", "message": {"key": "state.bad"},
        "device": {"id": "d-1", "name": "array-1"}, "resource": "PSU 2",
        "observed_at": "2026-01-31T08:00:00Z", "rule": {"pack": "p", "version": "1", "id": "r"},
    })
}

fn envelope(kind: &str, data: &serde_json::Value) -> Envelope {
    Envelope {
        id: Uuid::from_u128(7),
        source: AgentId::new("a-1").unwrap(),
        kind: Kind::parse(kind),
        time: Time(1_000),
        epoch: Uuid::from_u128(9),
        lane: Lane::Alarm,
        seq: 3,
        data: serde_json::to_vec(data).unwrap(),
    }
}

/// A message that owns its parts.
#[derive(Clone)]
struct Delivery {
    agent: AgentId,
    up: Up,
    properties: Vec<(String, String)>,
    payload: Vec<u8>,
}

fn read(delivery: &Delivery) -> Item {
    let Delivery { agent, up, properties, payload } = delivery;
    super::read(Incoming { agent, up: *up, properties, payload, received_at: Time(2_000) })
}

fn delivery(envelope: &Envelope) -> Delivery {
    Delivery {
        agent: AgentId::new("a-1").unwrap(),
        up: Up::Event,
        properties: envelope.user_properties(),
        payload: envelope.data.clone(),
    }
}

fn refusal(delivery: &Delivery) -> (Reason, String) {
    match read(delivery) {
        Item::Numbered(numbered) => match numbered.content {
            Err(rejection) => (rejection.reason, rejection.text),
            Ok(content) => panic!("taken: {content:?}"),
        },
        Item::Stray(rejection) => (rejection.reason, rejection.text),
        Item::Heartbeat(beat) => panic!("a heartbeat: {beat:?}"),
    }
}

#[test]
fn takes_alarms_evidence_and_losses() {
    let read_content =
        |kind: &str, data: serde_json::Value| match read(&delivery(&envelope(kind, &data))) {
            Item::Numbered(n) => n.content.unwrap(),
            other => panic!("{other:?}"),
        };
    assert!(matches!(read_content("alarm", alarm_json()), Content::Alarm(_)));
    let more = serde_json::json!({ "alarm_id": Uuid::from_u128(1), "evidence": [
        {"kind": "log", "origin": "/x", "at": "2026-01-31T08:00:00Z", "text": "t"}] });
    assert!(
        matches!(read_content("evidence", more), Content::Evidence(m) if m.evidence.len() == 1)
    );
    let epoch = Uuid::from_u128(9);
    let loss = serde_json::json!({ "source": "outbox", "from": "2026-01-31T08:00:00Z",
        "to": "2026-01-31T09:00:00Z", "reason": "evicted", "count": 3,
        "lane": "bulk", "first_seq": "5", "last_seq": "7" });
    let Content::Loss(loss) = read_content("loss", loss) else { panic!("no loss") };
    assert_eq!(loss.passed(epoch), [(Lane::Bulk, 5, 7)]);
    let plain = serde_json::json!({ "source": "con", "from": "2026-01-31T08:00:00Z",
        "to": "2026-01-31T09:00:00Z", "reason": "port-gone" });
    let Content::Loss(loss) = read_content("loss", plain) else { panic!("no loss") };
    assert_eq!(loss.passed(epoch), []);
    let several = |epoch: Uuid| {
        serde_json::json!({ "source": "outbox", "from": "2026-01-31T08:00:00Z",
            "to": "2026-01-31T09:00:00Z", "reason": "folded", "count": 4, "epoch": epoch,
            "lane": "alarm", "ranges": [["5", "7"], ["9", "9"], ["4", "3"], ["x", "1"]] })
    };
    let Content::Loss(loss) = read_content("loss", several(epoch)) else { panic!("no loss") };
    assert_eq!(loss.passed(epoch), [(Lane::Alarm, 5, 7), (Lane::Alarm, 9, 9)]);
    let Content::Loss(loss) = read_content("loss", several(Uuid::nil())) else { panic!("no loss") };
    assert_eq!(loss.passed(epoch), [], "numbers of another life");
    let mut too_many = several(epoch);
    too_many["ranges"] = vec![["1", "2"]; MAX_RANGES + 1].into();
    assert_eq!(refusal(&delivery(&envelope("loss", &too_many))).0, Reason::BadPayload);
}

#[test]
fn each_refusal_has_its_reason() {
    let fine = envelope("alarm", &alarm_json());
    let mut other_source = fine.clone();
    other_source.source = AgentId::new("b").unwrap();
    assert_eq!(refusal(&delivery(&other_source)).0, Reason::SourceMismatch);
    let unknown = envelope("weather", &alarm_json());
    assert_eq!(refusal(&delivery(&unknown)).0, Reason::UnknownType);
    let mut bulk = fine.clone();
    bulk.lane = Lane::Bulk;
    assert_eq!(refusal(&delivery(&bulk)).0, Reason::WrongLane);
    let mut wrong_topic = delivery(&fine);
    wrong_topic.up = Up::Bulk;
    assert_eq!(refusal(&wrong_topic).0, Reason::WrongLane);

    let mut json = alarm_json();
    json["device"]["id"] = serde_json::json!(4);
    let (reason, text) = refusal(&delivery(&envelope("alarm", &json)));
    assert_eq!(reason, Reason::BadPayload);
    assert!(text.starts_with("device.id: "), "{text}");
    let mut json = alarm_json();
    json["type"] = serde_json::json!("");
    assert_eq!(refusal(&delivery(&envelope("alarm", &json))).1, "type is empty");

    let mut large = delivery(&fine);
    large.payload = vec![b' '; callhome_shared::limits::MAX_PAYLOAD_BYTES + 1];
    assert_eq!(refusal(&large).0, Reason::TooLarge);
    assert!(matches!(read(&large), Item::Numbered(n) if n.seq == 3), "refused by its number");
    let mut trailing = delivery(&fine);
    trailing.payload = [&fine.data[..], b"x"].concat();
    assert_eq!(refusal(&trailing).0, Reason::BadPayload);
    let mut no_seq = delivery(&fine);
    no_seq.properties.retain(|(name, _)| name != "seq");
    assert!(matches!(read(&no_seq), Item::Stray(r) if r.reason == Reason::BadEnvelope));
    let mut huge = fine;
    huge.seq = u64::MAX;
    assert!(matches!(read(&delivery(&huge)), Item::Stray(_)));
}

#[test]
fn any_order_of_a_life_ends_the_same() {
    let transition = |word: &str, severity: &str, at: i64| {
        let mut json = alarm_json();
        json["transition"] = serde_json::json!(word);
        json["severity"] = serde_json::json!(severity);
        json["observed_at"] = serde_json::json!(Time(at).to_string());
        serde_json::from_value::<Alarm>(json).unwrap()
    };
    let steps = [
        transition("raised", "minor", 1000),
        transition("changed", "critical", 2000),
        transition("changed", "major", 3000),
        transition("cleared", "major", 4000),
    ];
    let end = |order: &[usize]| {
        let mut known: Option<Known> = None;
        for i in order {
            let seq = i64::try_from(*i).unwrap();
            let order = Order { epoch: "e".into(), seq, at: Time(seq) };
            known = Some(follow(known.as_ref(), &steps[*i], order).now);
        }
        known.unwrap()
    };
    let expected = end(&[0, 1, 2, 3]);
    assert!(!expected.active && expected.severity.as_str() == "major");
    for order in [[3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1], [3, 0, 2, 1]] {
        assert_eq!(end(&order), expected, "{order:?}");
    }
}

proptest! {
    #[test]
    fn no_input_panics(props in proptest::collection::vec(("[a-z]{0,8}", ".{0,40}"), 0..10),
                       which in 0usize..8, value in ".{0,40}", data: Vec<u8>, event: bool) {
        let up = if event { Up::Event } else { Up::Heartbeat };
        let agent = AgentId::new("a-1").unwrap();
        let delivery = Delivery { agent, up, properties: props, payload: data };
        let _ = read(&delivery);
        let mut nearly = envelope("alarm", &alarm_json()).user_properties();
        nearly[which].1 = value;
        let _ = read(&Delivery { properties: nearly, ..delivery });
    }
}
