//! Where readings go.

use std::sync::{Arc, Mutex, PoisonError};

use callhome_shared::alarm::Device;
use callhome_shared::inventory::Inventory;
use callhome_shared::logging::STAGE;
use tokio::sync::mpsc;

use super::names::Names;
use crate::rule::RuleSet;
use crate::source::{Batch, Known, Position, Reading, SourceKind};

/// The way to the line.
pub struct Outlet {
    name: Arc<str>,
    out: mpsc::Sender<Batch>,
    ties: Ties,
}

/// What of a source's batches others want to know. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Ties {
    /// What rows are called that others ask for.
    pub names: Names,
    /// Devices as their polls know them.
    pub known: Known,
    /// The last position that was handed over.
    pub left: Left,
}

/// The last position that a source handed over: after a restart of the source it goes on there, since what
/// is handed over is stored or lives on in the line's memory.
#[derive(Clone, Debug, Default)]
pub struct Left(Arc<Mutex<Option<Position>>>);

impl Left {
    /// It.
    pub fn get(&self) -> Option<Position> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, position: Position) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
    }
}

impl Outlet {
    /// Of the source with this name.
    pub fn new(name: Arc<str>, out: mpsc::Sender<Batch>, ties: Ties) -> Self {
        Outlet { name, out, ties }
    }

    /// Hands over what the device is made of.
    pub async fn tell(&self, inventory: Inventory) {
        let device = Arc::new(inventory.device.clone());
        let batch = Batch { inventory: Some(Box::new(inventory)), ..self.batch(device) };
        // A line that has gone needs none.
        let _ = self.out.send(batch).await;
    }

    fn batch(&self, device: Arc<Device>) -> Batch {
        Batch {
            source: self.name.clone(),
            kind: SourceKind::Snmp,
            device,
            rules: None,
            readings: Vec::new(),
            position: None,
            gaps: Vec::new(),
            heard_until: None,
            stored: None,
            inventory: None,
        }
    }

    /// Hands readings over with what changed of the position, and the rules of a plan that was just chosen;
    /// waits while the line is busy.
    pub async fn send(
        &self,
        device: Arc<Device>,
        rules: Option<RuleSet>,
        readings: Vec<Reading>,
        position: Option<Position>,
    ) {
        let count = readings.len();
        if count == 0 && position.is_none() && rules.is_none() {
            return;
        }
        let batch = Batch { rules, readings, position, ..self.batch(device) };
        self.ties.known.tell(&batch.device);
        let left = batch.position.clone();
        if self.out.send(batch).await.is_err() {
            return;
        }
        if let Some(position) = left {
            self.ties.left.set(position);
        }
        if count > 0 {
            tracing::trace!(target: STAGE, at = "source.read", source = %self.name, readings = count);
        }
    }
}
