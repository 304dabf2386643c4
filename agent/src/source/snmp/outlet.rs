//! Where readings go.

use std::sync::Arc;

use callhome_shared::alarm::Device;
use callhome_shared::logging::STAGE;
use tokio::sync::mpsc;

use crate::rule::RuleSet;
use crate::source::{Batch, Position, Reading, SourceKind};

/// The way to the line.
pub struct Outlet {
    name: Arc<str>,
    out: mpsc::Sender<Batch>,
}

impl Outlet {
    /// Of the source with this name.
    pub fn new(name: Arc<str>, out: mpsc::Sender<Batch>) -> Self {
        Outlet { name, out }
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
        let batch = Batch {
            source: self.name.clone(),
            kind: SourceKind::Snmp,
            device,
            rules,
            readings,
            position,
            gaps: Vec::new(),
            heard_until: None,
            stored: None,
        };
        if self.out.send(batch).await.is_ok() && count > 0 {
            tracing::trace!(target: STAGE, at = "source.read", source = %self.name, readings = count);
        }
    }
}
