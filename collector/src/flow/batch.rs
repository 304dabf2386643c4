//! Deliveries, read and sorted by what they are.

use bytes::Bytes;
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::id::new_uuid;
use callhome_shared::limits::cut;
use callhome_shared::time::Time;

use crate::inbox::{self, Incoming, Item, Numbered, Reason, Rejection};
use crate::link::Delivery;
use crate::store::rejects::{KEPT_PAYLOAD_BYTES, RejectRow};
use crate::store::streams::StreamKey;

/// One numbered envelope.
pub(super) struct Entry {
    pub(super) agent: String,
    pub(super) stream: StreamKey,
    pub(super) numbered: Numbered,
    pub(super) payload: Bytes,
    pub(super) received_at: Time,
}

/// One heartbeat or last will.
pub(super) struct Beat {
    pub(super) agent: String,
    pub(super) heartbeat: Heartbeat,
    pub(super) received_at: Time,
}

/// Something that cannot be acknowledged.
pub(super) struct Stray {
    pub(super) agent: String,
    pub(super) rejection: Rejection,
    pub(super) payload: Bytes,
    pub(super) received_at: Time,
}

/// All of a batch, each kind in the order it came in.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    pub(super) beats: Vec<Beat>,
    pub(super) strays: Vec<Stray>,
}

impl Batch {
    pub(super) fn read(deliveries: &[Delivery]) -> Self {
        let mut batch = Batch::default();
        for delivery in deliveries {
            batch.add(delivery);
        }
        batch
    }

    fn add(&mut self, delivery: &Delivery) {
        let agent = delivery.agent.to_string();
        let (payload, received_at) = (delivery.payload.clone(), delivery.received_at);
        let incoming = Incoming {
            agent: &delivery.agent,
            up: delivery.up,
            properties: &delivery.properties,
            payload: &delivery.payload,
            received_at,
        };
        match inbox::read(incoming) {
            Item::Numbered(numbered) => {
                let stream = StreamKey {
                    agent_id: agent.clone(),
                    epoch: numbered.epoch.to_string(),
                    lane: numbered.lane.as_str().to_owned(),
                };
                self.entries.push(Entry {
                    agent,
                    stream,
                    numbered: *numbered,
                    payload,
                    received_at,
                });
            }
            Item::Heartbeat(heartbeat) => {
                self.beats.push(Beat { agent, heartbeat: *heartbeat, received_at });
            }
            Item::Stray(rejection) => {
                self.strays.push(Stray { agent, rejection, payload, received_at });
            }
        }
    }

    /// Turns everything that was fine into a rejection: the database does not take it.
    pub(super) fn refuse(&mut self, text: &str) {
        for entry in &mut self.entries {
            if entry.numbered.content.is_ok() {
                entry.numbered.content = Err(Rejection::new(Reason::NotStorable, text));
            }
        }
        self.beats.clear();
    }

    /// Every agent named in it, sorted, once.
    pub(super) fn agents(&self) -> Vec<String> {
        let entries = self.entries.iter().map(|e| &e.agent);
        let beats = self.beats.iter().map(|b| &b.agent);
        let strays = self.strays.iter().map(|s| &s.agent);
        let mut all: Vec<String> = entries.chain(beats).chain(strays).cloned().collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl Entry {
    /// The row that keeps its rejection.
    pub(super) fn reject_row(&self, rejection: &Rejection) -> RejectRow {
        RejectRow {
            id: new_uuid().to_string(),
            agent_id: self.agent.clone(),
            epoch: Some(self.stream.epoch.clone()),
            lane: Some(self.stream.lane.clone()),
            seq: Some(self.numbered.seq),
            envelope_id: Some(self.numbered.id.to_string()),
            reason: rejection.reason.as_str().to_owned(),
            text: rejection.text.clone(),
            payload: Some(beginning(&self.payload)),
            received_at: self.received_at,
        }
    }
}

impl Stray {
    /// The row that keeps its rejection.
    pub(super) fn reject_row(&self) -> RejectRow {
        RejectRow {
            id: new_uuid().to_string(),
            agent_id: self.agent.clone(),
            epoch: None,
            lane: None,
            seq: None,
            envelope_id: None,
            reason: self.rejection.reason.as_str().to_owned(),
            text: self.rejection.text.clone(),
            payload: Some(beginning(&self.payload)),
            received_at: self.received_at,
        }
    }
}

fn beginning(payload: &Bytes) -> String {
    let end = payload.len().min(KEPT_PAYLOAD_BYTES);
    let mut text = String::from_utf8_lossy(payload.get(..end).unwrap_or_default()).into_owned();
    cut(&mut text, KEPT_PAYLOAD_BYTES);
    text
}
