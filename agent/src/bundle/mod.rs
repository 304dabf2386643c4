//! Evidence bundles: files that a person hands over, redacted, packed, held until somebody approves, and
//! only then uploaded.
//!
//! ```text
//! bundle create: files ─frames─► packer { scrub → tar.gz } ─► shelf: held ─approve─► approved ─► upload
//! (reads them as                 own thread                     │                      (HTTPS, resumable)
//!  who runs it)                                               deny: never leaves
//! ```
//!
//! The agent reads no file for anybody: the command line does, with the rights of who runs it.

mod book;
pub mod command;
pub mod frames;
mod look;
mod pack;
pub mod record;
mod report;
mod scrub;
mod shelf;
mod upload;
pub mod who;
mod wire;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use callhome_shared::bundle::Content;
use callhome_shared::time::Time;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

pub use pack::{MANIFEST, Manifest, ManifestFile};
pub use record::{Approve, Person, Record, State};
pub use report::{Report, Uploading};
pub use shelf::{FOLDER, Limits, MAX_OPEN, MAX_RECORDS, Shelf, ShelfError};
pub use upload::{Announcement, Leaving, Notes, Uploader};

use crate::redact::Redactor;
use crate::settings::Road;

/// Pieces of a stream between the socket and a thread.
const PIECES: usize = 8;
/// Stack of the packing thread, bytes.
const STACK: usize = 1024 * 1024;
/// How the packing thread stands behind everything else (nice).
const NICE: i32 = 10;

/// What was resolved from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Limits of what is kept.
    pub limits: Limits,
    /// Whether each waits for a person.
    pub approve: Approve,
    /// Upload speed, bytes a second; 0: as fast as it goes.
    pub rate: u64,
    /// Ways to the collector's HTTPS address, the preferred first; none where none is known.
    pub roads: Vec<Arc<Road>>,
}

impl Default for Settings {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        let keep = Duration::from_secs(7 * 86_400);
        Settings {
            limits: Limits { max_bytes: 256 * MIB, budget_bytes: 1024 * MIB, keep },
            approve: Approve::Hold,
            rate: MIB,
            roads: Vec::new(),
        }
    }
}

/// The bundles of a running agent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bundles {
    shelf: Shelf,
    settings: Settings,
    redactor: Arc<Redactor>,
    tally: Arc<Tally>,
}

/// What the uploader counts.
#[derive(Debug, Default)]
struct Tally {
    sent_bytes: AtomicU64,
    chunks: AtomicU64,
    interruptions: AtomicU64,
}

impl Tally {
    fn chunk(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.chunks.fetch_add(1, Ordering::Relaxed);
    }

    fn interrupted(&self) {
        self.interruptions.fetch_add(1, Ordering::Relaxed);
    }
}

/// A bundle that is being made: pieces of frames go in, the record comes out.
pub struct Making {
    /// What `bundle create` sends.
    pub body: mpsc::Sender<Bytes>,
    /// What came of it.
    pub made: oneshot::Receiver<Result<Record, ShelfError>>,
}

impl Bundles {
    /// Opens the shelf in a state directory.
    pub fn open(state_dir: &Path, settings: Settings, redactor: Arc<Redactor>) -> Self {
        let shelf = Shelf::open(state_dir, settings.limits);
        Bundles { shelf, settings, redactor, tally: Arc::default() }
    }

    /// The bundles on the disk.
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Begins to pack; one at a time.
    pub fn create(&self, person: Person) -> Result<Making, ShelfError> {
        let permit = self.shelf.begin_packing()?;
        let (body, pieces) = mpsc::channel(PIECES);
        let (reply, made) = oneshot::channel();
        let packer = pack::Packer {
            shelf: self.shelf.clone(),
            redactor: self.redactor.apart(),
            approve: self.settings.approve,
            person,
        };
        let work = move || {
            // Of this thread only; not being allowed to is no harm.
            let _ = rustix::process::setpriority_process(None, NICE);
            let made = packer.run(pieces);
            drop(permit);
            let _ = reply.send(made);
        };
        std::thread::Builder::new()
            .name("bundle".into())
            .stack_size(STACK)
            .spawn(work)
            .map_err(|e| ShelfError::Refused(format!("no thread to pack: {e}")))?;
        Ok(Making { body, made })
    }

    /// A person lets it go.
    pub async fn approve(&self, id: Uuid, by: Person) -> Result<(), ShelfError> {
        self.shelf.change(id, |record| record.approve(by, Time::now())).await
    }

    /// A person says no.
    pub async fn deny(&self, id: Uuid, by: Person) -> Result<(), ShelfError> {
        self.shelf.change(id, |record| record.deny(by, Time::now())).await
    }

    /// A person gives it up.
    pub async fn cancel(&self, id: Uuid, by: Person) -> Result<(), ShelfError> {
        self.shelf.change(id, |record| record.cancel(by, Time::now())).await
    }

    /// What is in it.
    pub fn contents(&self, id: Uuid) -> Result<Vec<Content>, ShelfError> {
        self.shelf.contents(id)
    }

    /// One file of it in pieces, byte for byte what would leave; [`MANIFEST`] is one.
    pub fn file(
        &self,
        id: Uuid,
        name: &str,
    ) -> Result<mpsc::Receiver<io::Result<Bytes>>, ShelfError> {
        let record = self.shelf.record(id)?;
        if !record.archive {
            let text = format!("the archive of bundle {id} was removed (bundle.keep_days)");
            return Err(ShelfError::Refused(text));
        }
        let contents = self.shelf.contents(id)?;
        let known = contents.iter().map(|content| content.name.as_str()).chain([MANIFEST]);
        if !known.clone().any(|known| known == name) {
            let files = known.collect::<Vec<_>>().join(", ");
            return Err(ShelfError::Unknown(format!("{id} with a file {name:?}; it has: {files}")));
        }
        let (out, pieces) = mpsc::channel(PIECES);
        let (archive, name) = (self.shelf.archive(id), name.to_owned());
        tokio::task::spawn_blocking(move || look::file(&archive, &name, &out));
        Ok(pieces)
    }

    /// How they are doing.
    pub fn report(&self) -> Report {
        let road = self.settings.roads.first().map(ToString::to_string);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Report {
            road,
            sent_bytes: count(&self.tally.sent_bytes),
            chunks: count(&self.tally.chunks),
            interruptions: count(&self.tally.interruptions),
            ..Report::of(&self.shelf)
        }
    }
}
