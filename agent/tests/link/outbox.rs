//! The outbox's role: numbered envelopes until they are acknowledged.

use std::sync::{Arc, Mutex};

use callhome_agent::link::{Pending, Request};
use callhome_shared::ack::{Ack, Receipt, Reject};
use callhome_shared::envelope::{Envelope, Kind, Lane};
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::time::Time;
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

#[derive(Default)]
struct Held {
    envelopes: Vec<Envelope>,
    acked: [u64; 2],
    receipts: Vec<Receipt>,
}

#[derive(Clone)]
pub struct FakeOutbox {
    pub added: Arc<Notify>,
    epoch: Uuid,
    held: Arc<Mutex<Held>>,
}

impl FakeOutbox {
    pub fn new() -> Self {
        FakeOutbox { added: Arc::default(), epoch: new_uuid(), held: Arc::default() }
    }

    pub fn add(&self, lane: Lane, n: usize) {
        let mut held = self.held.lock().unwrap();
        for _ in 0..n {
            let seq = held.envelopes.iter().filter(|e| e.lane == lane).count() as u64 + 1;
            held.envelopes.push(Envelope {
                id: new_uuid(),
                source: AgentId::new("a-1").unwrap(),
                kind: if lane == Lane::Alarm { Kind::Alarm } else { Kind::Samples },
                time: Time::now(),
                epoch: self.epoch,
                lane,
                seq,
                data: format!("{{\"n\":{seq}}}").into_bytes(),
            });
        }
        self.added.notify_one();
    }

    pub fn acked(&self, lane: Lane) -> u64 {
        self.held.lock().unwrap().acked[lane as usize]
    }

    pub fn receipts(&self) -> Vec<Receipt> {
        self.held.lock().unwrap().receipts.clone()
    }

    pub fn ack_of(&self, lane: Lane, seq: u64, rejects: Vec<Reject>) -> Ack {
        Ack { store: Uuid::from_u128(1), epoch: self.epoch, lane, seq, rejects }
    }

    /// Answers the link as the real one does.
    pub fn serve(&self) -> mpsc::Sender<Request> {
        let (tx, mut rx) = mpsc::channel(16);
        let outbox = self.clone();
        tokio::spawn(async move {
            while let Some(request) = rx.recv().await {
                outbox.answer(request);
            }
        });
        tx
    }

    fn answer(&self, request: Request) {
        let mut held = self.held.lock().unwrap();
        match request {
            Request::Pending(query, reply) => {
                let after = query.after.max(held.acked[query.lane as usize]);
                let envelopes = held
                    .envelopes
                    .iter()
                    .filter(|e| e.lane == query.lane && e.seq > after)
                    .take(query.max_count)
                    .cloned()
                    .collect();
                let _ = reply.send(Pending { epoch: self.epoch, ahead: Vec::new(), envelopes });
            }
            Request::Acked(ack) if ack.epoch == self.epoch => {
                let acked = &mut held.acked[ack.lane as usize];
                *acked = ack.seq.max(*acked);
            }
            Request::Acked(_) => {}
            Request::Receipt(receipt) => held.receipts.push(receipt),
            Request::Control(_) => {}
            Request::Heartbeat(reply) => {
                let offline = callhome_agent::link::client::offline();
                let _ = reply.send(Heartbeat { online: true, ..offline });
            }
        }
    }
}
