//! How much is decided on in one transaction.

use tokio::sync::mpsc;

use crate::source::{Batch, Value};

/// Batches in one transaction at most.
const MAX_BATCHES: usize = 1024;
/// Readings at most (a single batch may hold more).
const MAX_READINGS: usize = 2048;
/// Bytes of text at most (a single batch may hold more).
const MAX_BYTES: usize = 512 * 1024;

/// Adds to `held` what waits in the channel, within the limits.
pub(super) fn gather(held: &mut Vec<Batch>, batches: &mut mpsc::Receiver<Batch>) {
    let mut readings: usize = held.iter().map(|batch| batch.readings.len()).sum();
    let mut bytes: usize = held.iter().map(text_bytes).sum();
    while held.len() < MAX_BATCHES && readings < MAX_READINGS && bytes < MAX_BYTES {
        let Ok(batch) = batches.try_recv() else { return };
        readings += batch.readings.len();
        bytes += text_bytes(&batch);
        held.push(batch);
    }
}

fn text_bytes(batch: &Batch) -> usize {
    let text = |value: &Value| match value {
        Value::Number(_) | Value::Probe(_) => 8,
        Value::Text(text) | Value::Line { text, .. } => text.len(),
    };
    batch.readings.iter().map(|reading| text(&reading.value)).sum()
}
