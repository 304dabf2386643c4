//! `down/control`: what the collector asks an agent to do. Kept at the collector until it is done, and
//! said again meanwhile.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::maintenance::Set;
use crate::time::Time;

/// The word for "send your whole active alarm set"; see [`crate::resync`].
pub const RESYNC: &str = "resync";

/// The word for "these are all of your windows of maintenance": it is done when a heartbeat says so.
pub const MAINTENANCE: &str = "maintenance";

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// Stays with the request when it is said again.
    pub id: Uuid,
    /// What is asked: [`RESYNC`] or [`MAINTENANCE`]. An agent that does not know the word says so in its log and its
    /// counters, and nothing else happens.
    pub kind: String,
    /// When it was asked first.
    pub at: Time,
    /// Why, a stable word: `digest-differs`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// With [`MAINTENANCE`]: all windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Set>,
}
