//! What the collector says back: acknowledgements and receipts.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::envelope::Lane;
use crate::time::Time;

/// `down/ack`: everything up to and including `seq` is committed at the collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The collector's data store; a new id after a restore.
    pub store: Uuid,
    /// The outbox life that is acknowledged.
    pub epoch: Uuid,
    /// The lane.
    pub lane: Lane,
    /// Highest contiguous sequence number that is committed; 0 = nothing yet.
    #[serde(with = "crate::envelope::decimal")]
    pub seq: u64,
    /// Envelopes that were refused: kept and visible on both sides, not sent again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejects: Vec<Reject>,
}

/// One refused envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// Its sequence number.
    #[serde(with = "crate::envelope::decimal")]
    pub seq: u64,
    /// Its id.
    pub id: Uuid,
    /// A stable word: `unknown-type`, `bad-payload`, `too-large`, `duplicate-seq`, …
    pub reason: String,
    /// What was wrong, for a person.
    pub text: String,
}

/// `down/receipt`: which ticket an alarm became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The envelope.
    pub envelope: Uuid,
    /// The alarm life.
    pub alarm_id: Uuid,
    /// The case it belongs to.
    pub case: String,
    /// The ticket's number, as people write it.
    pub ticket: String,
    /// When it was committed.
    pub committed_at: Time,
}
