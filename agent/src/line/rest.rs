//! What of a line must outlive it: sources that go on while the rest of the agent starts anew go on with the
//! next line where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::redact::Blocks;
use crate::rule::RuleSet;
use crate::source::Batch;

/// See [`super::run()`].
pub struct Rest {
    /// From the sources; [`super::BATCHES`] deep.
    pub(super) batches: mpsc::Receiver<Batch>,
    /// Taken from it, and not stored when the line ended.
    pub(super) held: Vec<Batch>,
    /// Ephemeral sources that listen.
    pub(super) listening: BTreeSet<Arc<str>>,
    /// What the plans of sources brought.
    pub(super) planned: BTreeMap<Arc<str>, RuleSet>,
    /// The consoles and files that are inside a private key.
    pub(super) blocks: Blocks,
}

impl Rest {
    /// Of no line before.
    pub fn new(batches: mpsc::Receiver<Batch>) -> Self {
        Rest {
            batches,
            held: Vec::new(),
            listening: BTreeSet::new(),
            planned: BTreeMap::new(),
            blocks: Blocks::default(),
        }
    }

    /// Of these sources alone: all others begin anew.
    pub fn only(mut self, going_on: &BTreeSet<Arc<str>>) -> Self {
        self.listening.retain(|source| going_on.contains(source));
        self.planned.retain(|source, _| going_on.contains(source));
        self.blocks.only(going_on);
        self
    }
}
