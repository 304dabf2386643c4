//! What the link asks of the outbox and tells it. `run` stands between the two.

use callhome_shared::ack::{Ack, Receipt};
use callhome_shared::control::Control;
use callhome_shared::envelope::{Envelope, Lane};
use callhome_shared::heartbeat::Heartbeat;
use tokio::sync::oneshot;
use uuid::Uuid;

/// One question or one piece of news.
#[derive(Debug)]
pub enum Request {
    /// What is to be sent? A dropped reply means: ask again later.
    Pending(PendingQuery, oneshot::Sender<Pending>),
    /// The collector has committed up to here.
    Acked(Ack),
    /// An alarm became this ticket.
    Receipt(Receipt),
    /// The collector asks for something.
    Control(Control),
    /// The agent's present state.
    Heartbeat(oneshot::Sender<Heartbeat>),
}

/// Which envelopes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingQuery {
    /// Of this lane.
    pub lane: Lane,
    /// Above this sequence number (and above what is acknowledged).
    pub after: u64,
    /// At most so many.
    pub max_count: usize,
    /// At most so many payload bytes, but always one envelope if there is one.
    pub max_bytes: usize,
}

/// What is to be sent, in `seq` order.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The outbox's life; another one than before voids every earlier answer.
    pub epoch: Uuid,
    /// To be sent before them although their numbers are greater, once in a connection: without them
    /// the collector's count cannot pass over the numbers that are missing among the envelopes.
    pub ahead: Vec<Envelope>,
    /// The envelopes.
    pub envelopes: Vec<Envelope>,
}
