//! How each source is doing: written by the source, read by status, heartbeat and metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use callhome_shared::heartbeat::{SourceHealth, SourceState};
use callhome_shared::readout::Readout;
use callhome_shared::time::Time;

use super::SourceKind;
use super::listener::Listener;
use super::probe::Slot;

/// Health of all sources. Cheap to clone.
#[derive(Clone, Default)]
pub struct HealthBoard(Arc<Mutex<BTreeMap<Arc<str>, Entry>>>);

/// What is known of a source, and where it can be asked to prove its path.
struct Entry {
    health: SourceHealth,
    slot: Slot,
    listener: Option<Box<Listener>>,
}

impl HealthBoard {
    /// Adds a source in state `starting`.
    pub fn register(&self, source: Arc<str>, device: &str, kind: SourceKind) -> Health {
        let health = SourceHealth {
            source: source.to_string(),
            device: device.to_owned(),
            kind: kind.as_str().to_owned(),
            state: SourceState::Starting,
            detail: String::new(),
            since: Time::now(),
            last_reading_at: None,
            readout: None,
        };
        let slot = Slot::default();
        self.lock().insert(source.clone(), Entry { health, slot: slot.clone(), listener: None });
        Health { board: self.clone(), source, slot }
    }

    /// A source is gone.
    pub fn forget(&self, source: &str) {
        self.lock().remove(source);
    }

    /// Where a source is asked for a probe.
    pub fn slot(&self, source: &str) -> Option<Slot> {
        self.lock().get(source).map(|entry| entry.slot.clone())
    }

    /// Why a source does not read, in its own words; empty while it does.
    pub fn trouble(&self, source: &str) -> String {
        self.lock().get(source).map(|entry| entry.health.detail.clone()).unwrap_or_default()
    }

    /// All of it, by name.
    pub fn snapshot(&self) -> Vec<SourceHealth> {
        self.lock().values().map(|entry| entry.health.clone()).collect()
    }

    /// What those that listen say of whom they hear, by name.
    pub fn listeners(&self) -> BTreeMap<String, Listener> {
        let board = self.lock();
        let told = |(name, entry): (&Arc<str>, &Entry)| {
            Some((name.to_string(), Listener::clone(entry.listener.as_ref()?)))
        };
        board.iter().filter_map(told).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Arc<str>, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One source's own entry.
#[derive(Clone)]
pub struct Health {
    board: HealthBoard,
    source: Arc<str>,
    slot: Slot,
}

impl Health {
    /// Where this source is asked for a probe.
    pub fn probe(&self) -> &Slot {
        &self.slot
    }

    /// How it is doing.
    pub fn state(&self) -> Option<SourceHealth> {
        self.board.lock().get(&self.source).map(|entry| entry.health.clone())
    }

    /// A listener says whom it hears.
    pub fn listener(&self, told: &Listener) {
        if let Some(entry) = self.board.lock().get_mut(&self.source) {
            match &mut entry.listener {
                Some(known) if **known == *told => {}
                known => *known = Some(Box::new(told.clone())),
            }
        }
    }

    /// It has read something.
    pub fn ok(&self) {
        self.set(SourceState::Ok, "", Some(Time::now()));
    }

    /// It has read something, and there is something to know besides.
    pub fn noted(&self, detail: &str) {
        self.set(SourceState::Ok, detail, Some(Time::now()));
    }

    /// It reads, but something of it fails.
    pub fn degraded(&self, detail: &str) {
        self.set(SourceState::Degraded, detail, Some(Time::now()));
    }

    /// Nothing can be read.
    pub fn failed(&self, detail: &str) {
        self.set(SourceState::Failed, detail, None);
    }

    /// What reading the device was like this time.
    pub fn readout(&self, readout: Readout) {
        let mut board = self.board.lock();
        if let Some(Entry { health, .. }) = board.get_mut(&self.source) {
            health.readout = Some(Box::new(readout.bounded()));
        }
    }

    /// Logs and stores a change of state; a mere sign of life only moves the time.
    fn set(&self, state: SourceState, detail: &str, read_at: Option<Time>) {
        let mut board = self.board.lock();
        let Some(Entry { health: entry, .. }) = board.get_mut(&self.source) else { return };
        if read_at.is_some() {
            entry.last_reading_at = read_at;
        }
        if entry.state == state && entry.detail == detail {
            return;
        }
        if entry.state != state {
            entry.since = Time::now();
        }
        entry.state = state;
        entry.detail = detail.chars().take(500).collect();
        match state {
            SourceState::Failed => {
                tracing::warn!(source = %self.source, detail, "source failed");
            }
            _ => tracing::info!(source = %self.source, ?state, detail, "source state"),
        }
    }
}
