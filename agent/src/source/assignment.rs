//! What every source is given beside its own settings.

use std::sync::Arc;

use callhome_shared::alarm::Device;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Batch, Health, Position};

/// Whose readings a source hands out, where to, and when it ends.
pub struct Assignment {
    /// The source's unique name.
    pub source: Arc<str>,
    /// The device it watches, as configured.
    pub device: Arc<Device>,
    /// What the last run left, if one did.
    pub position: Option<Position>,
    /// Takes the batches. A full channel makes the source wait; a closed one ends it.
    pub out: mpsc::Sender<Batch>,
    /// Where the source says how it is doing, and is asked for probes.
    pub health: Health,
    /// Ends the source.
    pub stop: CancellationToken,
}
