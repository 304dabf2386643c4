//! The ledger: what left the house, in a chain of hashes that shows every later change.
//!
//! ```text
//! link ──about to send──► note ─► one line in the newest segment ─► head
//!                                        │ full                       the last entry's number and hash
//!                                        ▼
//!                                 the next segment; at the budget the oldest one goes, declared
//! ```
//!
//! An entry is written before the bytes go out, without waiting for the disk: kill -9 loses none, a power
//! cut at most the last seconds, and the next start says so. Entries are JSON lines that a person can
//! read; [`chain`] says how they hang together.

mod chain;
pub mod command;
mod entry;
mod payloads;
mod read;
mod show;
mod tail;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use entry::{Departure, Entry, What};
pub use payloads::Payloads;
pub use read::{Book, LedgerError, Verdict};
pub use show::{entries as show_entries, entry as show_entry, verdict as show_verdict};

use writer::{Missed, Writer};

/// Folder in the state directory.
pub const FOLDER: &str = "ledger";

/// A ledger that cannot be opened is tried again after so long.
const RETRY: Duration = Duration::from_secs(10);

/// Limits of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Budget of the entries, bytes. At the limit the oldest segment is removed and that is declared.
    pub max_bytes: u64,
    /// Budget of the payloads that are kept beside them, bytes; 0 keeps none.
    pub keep_payloads_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { max_bytes: 16 * 1024 * 1024, keep_payloads_bytes: 4 * 1024 * 1024 }
    }
}

/// How the ledger is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Number of the last entry.
    pub entries: u64,
    /// Its hash: whoever keeps it can tell whether the chain is still the same.
    pub head: String,
    /// Bytes of entries on the disk.
    pub bytes: u64,
    /// Departures since the start that could not be written down (a full disk); they are declared as
    /// soon as something can be written again.
    pub missed: u64,
}

/// Writes entries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Mutex<Pen>>);

/// The writer, or why there is none.
#[derive(Debug)]
struct Pen {
    folder: PathBuf,
    settings: Settings,
    writer: Option<Writer>,
    /// What could not be noted while there is no writer.
    unwritten: Missed,
    tried_at: Instant,
}

impl Pen {
    /// Opens the ledger; where that fails it is tried again now and then, for faults must be reported
    /// meanwhile.
    fn ready(&mut self) -> Option<&mut Writer> {
        if self.writer.is_none() && (self.tried_at.elapsed() > RETRY || self.unwritten.entries == 0)
        {
            self.tried_at = Instant::now();
            match Writer::open(&self.folder, self.settings) {
                Ok(mut writer) => {
                    writer.owes(std::mem::take(&mut self.unwritten));
                    self.writer = Some(writer);
                }
                Err(error) => self.unwritten.because(&error),
            }
        }
        self.writer.as_mut()
    }
}

impl Ledger {
    /// Opens the ledger in a state directory, repairs a torn end, and notes that this version begins.
    /// Where it cannot be opened, what leaves is counted, and declared when it can.
    pub fn open(state_dir: &Path, settings: Settings) -> Self {
        let pen = Pen {
            folder: folder(state_dir),
            settings,
            writer: None,
            unwritten: Missed::default(),
            tried_at: Instant::now(),
        };
        let ledger = Ledger(Arc::new(Mutex::new(pen)));
        ledger.note(What::Started { version: env!("CARGO_PKG_VERSION").to_owned() });
        ledger
    }

    /// Notes something that is no departure.
    pub fn note(&self, what: What) {
        self.write(what, None);
    }

    /// Notes what is about to leave, with its payload. Never fails: reporting faults goes on even where
    /// nothing can be written, and what is missing is declared later.
    pub fn departs(&self, departure: Departure, payload: &[u8]) {
        self.write(What::sent(departure, payload), Some(payload));
    }

    /// Notes what is about to leave where the payload's size and hash are known already; the payload
    /// itself is kept only if it is given. As unfailing as [`Ledger::departs`].
    pub fn leaves(&self, what: What, payload: Option<&[u8]>) {
        self.write(what, payload);
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        let pen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &pen.writer {
            Some(writer) => writer.status(),
            None => Status { missed: pen.unwritten.entries, ..Status::default() },
        }
    }

    fn write(&self, what: What, payload: Option<&[u8]>) {
        let mut pen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match pen.ready() {
            Some(writer) => writer.write(what, payload),
            None => pen.unwritten.add(payload),
        }
    }
}

/// The ledger's folder in a state directory.
pub fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join(FOLDER)
}
