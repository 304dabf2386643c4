//! Reads a CloudEvents batch (structured mode, JSON; CloudEvents JSON format 1.0, §4). Pure.
//!
//! Nothing is judged here: every event becomes what a broker would have handed over (topic,
//! attributes, payload), and the inbox decides about it as about any other delivery.

use std::collections::BTreeMap;

use bytes::Bytes;
use callhome_shared::envelope::Lane;
use callhome_shared::limits::{MAX_POST_BYTES, MAX_POST_EVENTS};
use callhome_shared::topic::Up;
use serde_json::value::RawValue;

/// Attributes of one event; more are left out, and what is needed then counts as missing.
const MAX_ATTRIBUTES: usize = 64;

/// One event of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The topic it would have had.
    pub up: Up,
    /// CloudEvents `type`; empty where there is none.
    pub kind: String,
    /// Its attributes, those that are texts.
    pub properties: Vec<(String, String)>,
    /// `data`, as it stands in the body.
    pub payload: Bytes,
}

/// The events of a body. The error says what was expected.
pub fn read(body: &[u8]) -> Result<Vec<Event>, String> {
    if body.len() > MAX_POST_BYTES {
        return Err(format!("the body is larger than {MAX_POST_BYTES} bytes"));
    }
    let events: Vec<BTreeMap<String, &RawValue>> = serde_json::from_slice(body)
        .map_err(|e| format!("expected a JSON list of CloudEvents objects: {e}"))?;
    if events.len() > MAX_POST_EVENTS {
        let found = events.len();
        return Err(format!("expected at most {MAX_POST_EVENTS} events, found {found}"));
    }
    Ok(events.into_iter().map(event).collect())
}

fn event(fields: BTreeMap<String, &RawValue>) -> Event {
    let payload = fields.get("data").map(|data| Bytes::copy_from_slice(data.get().as_bytes()));
    let properties: Vec<(String, String)> = fields
        .into_iter()
        .filter(|(name, _)| name != "data")
        .filter_map(|(name, value)| Some((name, serde_json::from_str(value.get()).ok()?)))
        .take(MAX_ATTRIBUTES)
        .collect();
    let get = |wanted: &str| {
        properties.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value.as_str())
    };
    let kind = get("type").to_owned();
    let up = match (kind.as_str(), get("lane")) {
        ("heartbeat", _) => Up::Heartbeat,
        (_, lane) if lane == Lane::Bulk.as_str() => Up::Bulk,
        _ => Up::Event,
    };
    Event { up, kind, properties, payload: payload.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callhome_shared::envelope::{Envelope, Kind};
    use callhome_shared::id::AgentId;
    use callhome_shared::time::Time;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn envelope(seq: u64, data: &str) -> Envelope {
        Envelope {
            id: Uuid::from_u128(seq.into()),
            source: AgentId::new("a-1").unwrap(),
            kind: Kind::Alarm,
            time: Time(1_700_000_000_000),
            epoch: Uuid::from_u128(2),
            lane: Lane::Alarm,
            seq,
            data: data.as_bytes().to_vec(),
        }
    }

    fn body(envelopes: &[Envelope]) -> Vec<u8> {
        let all: Vec<String> = envelopes
            .iter()
            .map(|e| String::from_utf8(e.to_structured().unwrap()).unwrap())
            .collect();
        format!("[{}]", all.join(",")).into_bytes()
    }

    #[test]
    fn what_was_posted_is_what_a_broker_would_hand_over() {
        let sent = [envelope(1, r#"{"x":1}"#), envelope(2, r#"{"y":"\u00e4"}"#)];
        let read = read(&body(&sent)).unwrap();
        for (event, sent) in read.iter().zip(&sent) {
            assert_eq!((event.up, event.kind.as_str()), (Up::Event, "alarm"));
            let back = Envelope::from_binary(&event.properties, &event.payload).unwrap();
            assert_eq!(back, *sent);
        }
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn lanes_and_heartbeats_find_their_topic_and_the_broken_is_kept_for_the_inbox() {
        let body = br#"[{"type":"heartbeat","data":{"online":true}},
            {"type":"samples","lane":"bulk","seq":"1"},{"seq":7,"data":null},{}]"#;
        let read = read(body).unwrap();
        let ups: Vec<Up> = read.iter().map(|e| e.up).collect();
        assert_eq!(ups, [Up::Heartbeat, Up::Bulk, Up::Event, Up::Event]);
        assert_eq!(&read[0].payload[..], br#"{"online":true}"#);
        assert!(read[1].payload.is_empty() && read[2].properties.is_empty());
    }

    #[test]
    fn limits_say_what_was_expected() {
        assert!(read(b"{}").unwrap_err().contains("JSON list"));
        assert!(read(b"[1]").unwrap_err().contains("JSON list"));
        let many = format!("[{}]", vec!["{}"; MAX_POST_EVENTS + 1].join(","));
        assert!(read(many.as_bytes()).unwrap_err().contains("at most"));
        assert!(read(&vec![b' '; MAX_POST_BYTES + 1]).unwrap_err().contains("larger"));
    }

    proptest! {
        #[test]
        fn no_body_panics(bytes: Vec<u8>, text in ".{0,200}", n: u64, cut in 0usize..400) {
            let _ = read(&bytes);
            let _ = read(format!(r#"[{{"type":{n},"data":"{text}","{text}":"x"}}]"#).as_bytes());
            let mut whole = body(&[envelope(n.max(1), "[1,2]")]);
            whole.truncate(cut.min(whole.len()));
            let _ = read(&whole);
        }
    }
}
