//! What goes out in one request, as a CloudEvents batch.

use bytes::Bytes;
use callhome_shared::envelope::{CONTENT_TYPE, SPEC_VERSION};
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::limits::{MAX_POST_BYTES, MAX_POST_EVENTS};
use callhome_shared::time::Time;

use crate::link::client::Letter;

/// Bytes after which no further event is put into a request.
const ENOUGH_BYTES: usize = MAX_POST_BYTES / 2;

/// What goes out in one request.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Vec<u8>>,
    bytes: usize,
    pub(super) envelopes: usize,
    pub(super) subscribe: bool,
    pub(super) leave: bool,
}

impl Batch {
    pub(super) fn add(&mut self, agent: &AgentId, letter: Letter) {
        let event = match letter {
            Letter::Subscribe => {
                self.subscribe = true;
                return;
            }
            Letter::Leave => {
                self.leave = true;
                return;
            }
            Letter::Heartbeat(json) => heartbeat(agent, &json),
            Letter::Envelope(envelope) => {
                self.envelopes += 1;
                match envelope.to_structured() {
                    Ok(event) => event,
                    Err(error) => {
                        tracing::error!(seq = envelope.seq, error = %error, "not to be posted");
                        return;
                    }
                }
            }
        };
        self.bytes += event.len() + 1;
        self.events.push(event);
    }

    pub(super) fn has_room(&self) -> bool {
        !self.leave && self.events.len() < MAX_POST_EVENTS && self.bytes < ENOUGH_BYTES
    }

    pub(super) fn body(&self) -> Bytes {
        let mut body = Vec::with_capacity(self.bytes + 2);
        body.push(b'[');
        for (i, event) in self.events.iter().enumerate() {
            if i > 0 {
                body.push(b',');
            }
            body.extend_from_slice(event);
        }
        body.push(b']');
        body.into()
    }
}

/// A heartbeat as a CloudEvent; it has no place in a stream.
fn heartbeat(agent: &AgentId, json: &[u8]) -> Vec<u8> {
    let head = format!(
        "{{\"specversion\":\"{SPEC_VERSION}\",\"id\":\"{}\",\"source\":\"{}\",\"type\":\"heartbeat\",\
         \"time\":\"{}\",\"datacontenttype\":\"{CONTENT_TYPE}\",\"data\":",
        new_uuid(),
        agent.urn(),
        Time::now()
    );
    let mut event = head.into_bytes();
    event.extend_from_slice(json);
    event.push(b'}');
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use callhome_shared::envelope::{Envelope, Kind, Lane};
    use serde_json::Value;
    use uuid::Uuid;

    #[test]
    fn a_batch_is_json_and_bounded() {
        let agent = AgentId::new("a-1").unwrap();
        let mut batch = Batch::default();
        batch.add(&agent, Letter::Subscribe);
        batch.add(&agent, Letter::Heartbeat(br#"{"online":true}"#.to_vec()));
        let mut seq = 0;
        while batch.has_room() {
            seq += 1;
            let envelope = Envelope {
                id: Uuid::from_u128(7),
                source: agent.clone(),
                kind: Kind::Alarm,
                time: Time(0),
                epoch: Uuid::nil(),
                lane: Lane::Alarm,
                seq,
                data: format!("\"{}\"", "x".repeat(100_000)).into_bytes(),
            };
            batch.add(&agent, Letter::Envelope(envelope));
        }
        let body = batch.body();
        assert!(body.len() < MAX_POST_BYTES && batch.envelopes == 6, "{}", body.len());
        let read: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(read[0]["type"], "heartbeat");
        assert_eq!(read[0]["data"]["online"], true);
        assert_eq!(read[6]["seq"], "6");
        assert!(batch.subscribe && !batch.leave);
    }
}
