//! The outbox: one redb file with envelopes, positions, rule state and the alarm set.
//!
//! One [`Decision`] is one fsynced transaction: what was read, what followed from it and what is to
//! be sent are stored together or not at all. [`Outbox`] is synchronous; [`spawn`] gives it a thread
//! of its own, and everybody else holds a [`Handle`].
//!
//! Two things are worth knowing. An acknowledgement is applied in memory at once and removes its
//! entries in the next transaction (or within a second, see [`Handle::settle`]), so that it costs no
//! sync of its own; a crash in between only sends them again. And a file that is damaged is set
//! aside: a new one takes its place and takes over what can be read of it (see [`Salvaged`]); the rest
//! is declared as lost. It has a new epoch, because sequence numbers that are used twice would be
//! swallowed by the collector's deduplication.

mod budget;
mod carve;
mod file;
mod frame;
mod gaps;
mod handle;
mod inspect;
mod lanes;
mod lives;
mod opened;
mod queue;
mod reading;
mod salvage;
mod status;
mod store;
mod transaction;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callhome_shared::envelope::{Envelope, Kind};
use callhome_shared::time::Time;
use uuid::Uuid;

use crate::source::Position;

pub use frame::RejectRow;
pub use handle::{Handle, spawn};
pub use inspect::{Checked, Shelf};
pub use salvage::Salvaged;
pub use status::{LaneStatus, Status};
pub use store::Outbox;

/// The outbox of a state directory.
pub fn path_in(state_dir: &Path) -> PathBuf {
    state_dir.join("outbox.redb")
}

/// An envelope that has no sequence number yet.
#[derive(Clone, Debug)]
pub struct Draft {
    /// UUIDv7; stays with the event.
    pub id: Uuid,
    /// What `data` is; decides the lane.
    pub kind: Kind,
    /// When it was made.
    pub time: Time,
    /// JSON.
    pub data: Vec<u8>,
}

/// What one transaction stores.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// Tells after a failed commit whether it is in the file all the same.
    pub id: Uuid,
    /// When it was decided.
    pub time: Time,
    /// What is to be sent, in order.
    pub drafts: Vec<Draft>,
    /// How far each source has read.
    pub positions: Vec<(Arc<str>, Position)>,
    /// Until when each ephemeral source surely heard.
    pub heard: Vec<(Arc<str>, Time)>,
    /// Changed rule state by key; `None` removes.
    pub rules: Vec<(String, Option<Vec<u8>>)>,
    /// Changed active alarms by identity key; `None` removes.
    pub alarms: Vec<(String, Option<Vec<u8>>)>,
    /// The collector's store that knows the whole active set once the drafts have arrived.
    pub synced_store: Option<Uuid>,
}

impl Decision {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.drafts.is_empty()
            && self.positions.is_empty()
            && self.heard.is_empty()
            && self.rules.is_empty()
            && self.alarms.is_empty()
            && self.synced_store.is_none()
    }
}

/// A transaction that is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Committed {
    /// [`Decision::id`].
    pub id: Uuid,
    /// The outbox's life. Another one than before: the file was replaced.
    pub epoch: Uuid,
    /// First sequence number given in the alarm lane; above `last_seq` = none.
    pub first_seq: u64,
    /// Last sequence number of the alarm lane.
    pub last_seq: u64,
}

/// What is to be sent next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The outbox's life. Another one than in the page before: start again from sequence number 0.
    pub epoch: Uuid,
    /// Declarations of folded numbers below which there are some in this page. They have greater
    /// numbers than the page and come again in their order; but the collector's contiguous count
    /// cannot pass over the numbers before it has them, so they are sent first, once.
    pub ahead: Vec<Envelope>,
    /// In order of sequence numbers.
    pub envelopes: Vec<Envelope>,
}

/// What the file held when it was opened.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// How far each source had read.
    pub positions: BTreeMap<String, Position>,
    /// Until when each ephemeral source surely heard.
    pub heard: BTreeMap<String, Time>,
    /// Rule state by key.
    pub rules: Vec<(String, Vec<u8>)>,
    /// Active alarms by identity key.
    pub alarms: Vec<(String, Vec<u8>)>,
    /// A file that could not be used and was set aside under this name.
    pub set_aside: Option<PathBuf>,
    /// What was taken over from it.
    pub salvaged: Option<Salvaged>,
}

/// Why the outbox did not do it.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The budget is used up by the alarm lane. Nothing was stored; try again after acknowledgements.
    #[error(
        "the outbox is full: {stored} of {budget} bytes are not acknowledged, {wanted} more do not fit"
    )]
    Full {
        /// Bytes in the file.
        stored: u64,
        /// Bytes the decision would add.
        wanted: u64,
        /// The limit.
        budget: u64,
    },
    /// The directory or the file cannot be used.
    #[error("{step} {path}")]
    File {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Another process has the file.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// The file is no outbox, or damaged.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The database failed.
    #[error("database")]
    Database(#[source] Box<redb::Error>),
    /// A stored or given value is no JSON of the expected shape.
    #[error("{what}")]
    Json {
        /// Which value.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The outbox's thread has ended.
    #[error("the outbox is closed")]
    Closed,
}

impl OutboxError {
    /// Whether a commit that ended so may be in the file all the same.
    pub fn is_doubtful(&self) -> bool {
        match self {
            OutboxError::Database(_) | OutboxError::Damaged { .. } => true,
            // The file could not be opened again after a failure.
            OutboxError::File { .. } | OutboxError::InUse(_) => true,
            OutboxError::Full { .. } | OutboxError::Json { .. } | OutboxError::Closed => false,
        }
    }
}

/// Any redb error.
fn database(error: impl Into<redb::Error>) -> OutboxError {
    OutboxError::Database(Box::new(error.into()))
}
