//! One entry: what left, or what happened to the ledger itself.

use callhome_shared::envelope::Lane;
use callhome_shared::heartbeat::hex;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Number in the chain, from 1, `+1` each.
    pub n: u64,
    /// By the agent's clock.
    pub at: Time,
    /// What.
    #[serde(flatten)]
    pub what: What,
    /// Hash of the entry before; 64 zeros for the first.
    pub prev: String,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum What {
    /// The agent began to write.
    Started {
        /// Its version.
        version: String,
    },
    /// A connection stands; nothing has been sent over it.
    Opened {
        /// Number of the connection since the agent's start.
        connection: u64,
        /// The road as configured.
        road: String,
        /// Where TCP went: the collector, or the proxy.
        address: String,
    },
    /// A connection is over.
    Closed {
        /// Its number.
        connection: u64,
        /// Plaintext bytes sent over it, everything included that TLS carried.
        bytes_out: u64,
        /// Plaintext bytes received.
        bytes_in: u64,
    },
    /// Something was handed over to be sent. Sent again, it is noted again.
    Sent {
        /// `alarm`, `evidence`, `loss`, …, `heartbeat`, `will`, `enrol`, `renew`, `bundle`.
        #[serde(rename = "type")]
        kind: String,
        /// The road.
        road: String,
        /// The envelope, or the evidence bundle.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Uuid>,
        /// Its lane.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lane: Option<Lane>,
        /// Its number in the lane.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
        /// Where in an evidence bundle these bytes begin; its declaration has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        /// Size of the payload.
        bytes: u64,
        /// SHA-256 of the payload.
        sha256: String,
    },
    /// A new file begins.
    Segment {
        /// Its number.
        segment: u64,
    },
    /// The oldest file is removed to keep within the budget.
    Dropped {
        /// Its number.
        segment: u64,
        /// Its first entry.
        first: u64,
        /// Its last entry.
        last: u64,
        /// That one's hash.
        hash: String,
        /// Its size.
        bytes: u64,
    },
    /// The end of the ledger was not whole at the start.
    Repaired {
        /// The file.
        segment: u64,
        /// Bytes of an unfinished line that were cut off.
        cut_bytes: u64,
        /// Number of the last entry that was noted as written before.
        known_head: u64,
        /// That one's hash.
        known_hash: String,
    },
    /// Departures that could not be noted.
    Missed {
        /// How many.
        entries: u64,
        /// Their payload bytes.
        bytes: u64,
        /// Since when.
        since: Time,
        /// Why.
        reason: String,
    },
}

/// Something that is about to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// `alarm`, …, `heartbeat`, `will`, `enrol`, `renew`.
    pub kind: String,
    /// The road.
    pub road: String,
    /// The envelope's id, lane and number, if it is one.
    pub envelope: Option<(Uuid, Lane, u64)>,
}

impl What {
    /// A departure with its payload's size and hash.
    pub fn sent(departure: Departure, payload: &[u8]) -> Self {
        let Departure { kind, road, envelope } = departure;
        What::Sent {
            kind,
            road,
            id: envelope.map(|(id, ..)| id),
            lane: envelope.map(|(_, lane, _)| lane),
            seq: envelope.map(|(.., seq)| seq),
            offset: None,
            bytes: payload.len() as u64,
            sha256: hex(&Sha256::digest(payload)),
        }
    }

    /// The entry's kind as in the file; for a departure, what departed.
    pub fn kind(&self) -> &str {
        match self {
            What::Started { .. } => "started",
            What::Opened { .. } => "opened",
            What::Closed { .. } => "closed",
            What::Sent { kind, .. } => kind,
            What::Segment { .. } => "segment",
            What::Dropped { .. } => "dropped",
            What::Repaired { .. } => "repaired",
            What::Missed { .. } => "missed",
        }
    }
}
