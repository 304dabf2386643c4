//! The bundles on the disk, within their budget: one folder each with `record.json` (written anew as a
//! whole at every change), `contents.json` and the archive.
//!
//! ```text
//! bundles/packing/…            one at a time; removed at the start
//! bundles/<id>/record.json     contents.json     bundle.tar.gz
//! ```

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callhome_shared::bundle::Content;
use callhome_shared::time::Time;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

use super::record::{Record, State};

/// Folder in the state directory.
pub const FOLDER: &str = "bundles";
/// Where the one that is being packed is.
pub(super) const PACKING: &str = "packing";
/// The archive's file name.
pub(super) const ARCHIVE: &str = "bundle.tar.gz";
const RECORD: &str = "record.json";
const CONTENTS: &str = "contents.json";
/// Bundles that are not over.
pub const MAX_OPEN: usize = 32;
/// Bundles that are remembered; of those that are over the oldest are forgotten.
pub const MAX_RECORDS: usize = 200;
/// Largest record or list of contents that is read back.
const MAX_JSON: u64 = 256 * 1024;

/// Limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one bundle's contents and of its archive, bytes.
    pub max_bytes: u64,
    /// Of all archives on the disk, bytes.
    pub budget_bytes: u64,
    /// How long an archive is kept after it was sent, denied or given up.
    pub keep: Duration,
}

/// Why something is not done.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// There is no such bundle.
    #[error("there is no bundle {0}")]
    Unknown(String),
    /// It is not possible as things are; in words.
    #[error("{0}")]
    Refused(String),
    /// The disk.
    #[error("{step} {path}: {source}")]
    Disk {
        /// What was done.
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// All bundles. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shelf(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    limits: Limits,
    records: Mutex<BTreeMap<Uuid, Record>>,
    /// Bytes of folders that cannot be understood.
    strange_bytes: u64,
    unreadable: u64,
    /// Why nothing can be packed, where the folder cannot be used.
    closed: Option<String>,
    /// Taken while a record changes.
    writing: tokio::sync::Mutex<()>,
    packing: Arc<Semaphore>,
    bell: Notify,
    refused: AtomicU64,
}

impl Shelf {
    /// Opens the shelf in a state directory. What was being packed when the agent died is removed; a
    /// folder that cannot be understood is left alone, counted, and its bytes count within the budget.
    ///
    /// Where the folder cannot be used, the agent runs all the same: faults must be reported. Bundles are
    /// then refused, in words.
    pub fn open(state_dir: &Path, limits: Limits) -> Self {
        let folder = state_dir.join(FOLDER);
        let opened = Inner::open(&folder, limits);
        let closed = |error: ShelfError| {
            tracing::error!(error = &error as &dyn std::error::Error, "no bundles can be packed");
            Inner { closed: Some(error.to_string()), ..Inner::empty(&folder, limits) }
        };
        Shelf(Arc::new(opened.unwrap_or_else(closed)))
    }
}

impl Inner {
    fn empty(folder: &Path, limits: Limits) -> Self {
        Inner {
            folder: folder.to_owned(),
            limits,
            records: Mutex::default(),
            strange_bytes: 0,
            unreadable: 0,
            closed: None,
            writing: tokio::sync::Mutex::new(()),
            packing: Arc::new(Semaphore::new(1)),
            bell: Notify::new(),
            refused: AtomicU64::new(0),
        }
    }

    fn open(folder: &Path, limits: Limits) -> Result<Self, ShelfError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(at("make", folder))?;
        let mut records = BTreeMap::new();
        let (mut strange_bytes, mut unreadable) = (0, 0);
        for entry in fs::read_dir(folder).map_err(at("read", folder))?.flatten() {
            let path = entry.path();
            if entry.file_name() == PACKING {
                fs::remove_dir_all(&path).map_err(at("remove", &path))?;
                continue;
            }
            match read_json::<Record>(&path.join(RECORD)) {
                Ok(mut record) if entry.file_name().to_str() == Some(&record.id.to_string()) => {
                    let size = fs::metadata(path.join(ARCHIVE)).map(|m| m.len()).ok();
                    record.archive = size.is_some();
                    if !record.state.is_over() && size != Some(record.size) {
                        (record.state, record.over_at) = (State::Refused, Some(Time::now()));
                        record.reason = Some("its archive on the disk is gone or damaged".into());
                    }
                    records.insert(record.id, record);
                }
                _ => {
                    tracing::error!(folder = %path.display(), "a bundle's record cannot be read");
                    strange_bytes += fs::metadata(path.join(ARCHIVE)).map_or(0, |m| m.len());
                    unreadable += 1;
                }
            }
        }
        let records = Mutex::new(records);
        Ok(Inner { records, strange_bytes, unreadable, ..Inner::empty(folder, limits) })
    }
}

impl Shelf {
    /// The limits.
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    /// All, the oldest first (their ids begin with the time).
    pub fn records(&self) -> Vec<Record> {
        self.held().values().cloned().collect()
    }

    /// One.
    pub fn record(&self, id: Uuid) -> Result<Record, ShelfError> {
        self.held().get(&id).cloned().ok_or_else(|| ShelfError::Unknown(id.to_string()))
    }

    /// The one whose id begins or ends so; at least four characters.
    pub fn find(&self, text: &str) -> Result<Uuid, ShelfError> {
        if let Ok(id) = Uuid::parse_str(text) {
            return self.record(id).map(|record| record.id);
        }
        let text = text.to_ascii_lowercase();
        let fits = |id: &Uuid| {
            let id = id.to_string();
            text.len() >= 4 && (id.starts_with(&text) || id.ends_with(&text))
        };
        let found: Vec<Uuid> = self.held().keys().copied().filter(fits).collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(ShelfError::Unknown(text)),
            many => {
                let text =
                    format!("{} bundles have an id with {text:?}: say more of it", many.len());
                Err(ShelfError::Refused(text))
            }
        }
    }

    /// What is in it.
    pub fn contents(&self, id: Uuid) -> Result<Vec<Content>, ShelfError> {
        let path = self.folder(id).join(CONTENTS);
        read_json(&path).map_err(at("read", &path))
    }

    /// Where its archive is.
    pub fn archive(&self, id: Uuid) -> PathBuf {
        self.folder(id).join(ARCHIVE)
    }

    /// Bytes of archives on the disk.
    pub fn used(&self) -> u64 {
        let held = self.held();
        let archives = held.values().filter(|record| record.archive).map(|record| record.size);
        self.0.strange_bytes + archives.sum::<u64>()
    }

    /// Folders that cannot be understood.
    pub fn strange(&self) -> u64 {
        self.0.unreadable
    }

    /// Bundles that were refused because of a limit, since the start.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// One more was refused.
    pub(super) fn count_refused(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The right to pack: one at a time.
    pub(super) fn begin_packing(&self) -> Result<tokio::sync::OwnedSemaphorePermit, ShelfError> {
        if let Some(why) = &self.0.closed {
            return Err(ShelfError::Refused(why.clone()));
        }
        let busy = |_| ShelfError::Refused("another bundle is being packed: try again".into());
        let permit = self.0.packing.clone().try_acquire_owned().map_err(busy)?;
        let open = self.held().values().filter(|record| !record.state.is_over()).count();
        if open >= MAX_OPEN {
            self.count_refused();
            let text = format!("{open} bundles wait already: approve, deny or cancel some first");
            return Err(ShelfError::Refused(text));
        }
        Ok(permit)
    }

    /// An empty folder to pack in.
    pub(super) fn packing_folder(&self) -> Result<PathBuf, ShelfError> {
        let path = self.0.folder.join(PACKING);
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at("remove", &path)(e)),
            _ => DirBuilder::new().mode(0o700).create(&path).map_err(at("make", &path)),
        }?;
        Ok(path)
    }

    /// Room for `bytes` more: archives of what is over give way, the oldest first. Blocks.
    pub(super) fn make_room(&self, bytes: u64) -> Result<(), ShelfError> {
        let budget = self.0.limits.budget_bytes;
        while self.used().saturating_add(bytes) > budget {
            let oldest = self.oldest(|record| record.archive && record.state.is_over());
            let Some(id) = oldest else {
                self.count_refused();
                let (used, budget) = (mib(self.used()), mib(budget));
                let text = format!(
                    "no room: bundles that wait use {used} of {budget} MiB (bundle.budget_mib); approve, \
                     deny or cancel some first"
                );
                return Err(ShelfError::Refused(text));
            };
            self.drop_archive(id)?;
        }
        Ok(())
    }

    /// Takes in what was packed: from now on it is a bundle. Blocks.
    pub(super) fn take(
        &self,
        packed: &Path,
        record: Record,
        contents: &[Content],
    ) -> Result<(), ShelfError> {
        while self.held().len() >= MAX_RECORDS {
            let Some(id) = self.oldest(|record| record.state.is_over()) else { break };
            self.forget(id)?;
        }
        write_json(&packed.join(CONTENTS), &contents)?;
        write_json(&packed.join(RECORD), &record)?;
        let place = self.folder(record.id);
        fs::rename(packed, &place).map_err(at("rename to", &place))?;
        sync_folder(&self.0.folder)?;
        self.held().insert(record.id, record);
        self.0.bell.notify_one();
        Ok(())
    }

    /// Changes a record; memory follows the disk.
    pub async fn change<T: Send + 'static>(
        &self,
        id: Uuid,
        change: impl FnOnce(&mut Record) -> Result<T, String> + Send,
    ) -> Result<T, ShelfError> {
        let _writing = self.0.writing.lock().await;
        let mut record = self.record(id)?;
        let result = change(&mut record).map_err(ShelfError::Refused)?;
        let (path, written) = (self.folder(id).join(RECORD), record.clone());
        let writing = tokio::task::spawn_blocking(move || write_json(&path, &written));
        writing.await.unwrap_or_else(|_| Err(ShelfError::Refused("not written".into())))?;
        self.held().insert(id, record);
        self.0.bell.notify_one();
        Ok(result)
    }

    /// Changes what is known of an upload in memory; it is written with the next change that matters.
    pub(super) fn touch(&self, id: Uuid, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.held().get_mut(&id) {
            change(record);
        }
    }

    /// Removes archives that were kept long enough. Blocks.
    pub fn sweep(&self, now: Time) {
        let keep = i64::try_from(self.0.limits.keep.as_millis()).unwrap_or(i64::MAX);
        let old = |record: &Record| {
            record.archive
                && !record.upload.withdraw
                && record.over_at.is_some_and(|at| now.since_ms(at) > keep)
        };
        while let Some(id) = self.oldest(old) {
            if let Err(error) = self.drop_archive(id) {
                tracing::warn!(error = &error as &dyn std::error::Error, "a bundle is not removed");
                return;
            }
        }
    }

    /// Until something changed.
    pub(super) async fn rung(&self) {
        self.0.bell.notified().await;
    }

    fn oldest(&self, wanted: impl Fn(&Record) -> bool) -> Option<Uuid> {
        self.held().values().find(|record| wanted(record)).map(|record| record.id)
    }

    fn drop_archive(&self, id: Uuid) -> Result<(), ShelfError> {
        let path = self.archive(id);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at("remove", &path)(e)),
            _ => {}
        }
        self.touch(id, |record| record.archive = false);
        Ok(())
    }

    fn forget(&self, id: Uuid) -> Result<(), ShelfError> {
        let path = self.folder(id);
        fs::remove_dir_all(&path).map_err(at("remove", &path))?;
        self.held().remove(&id);
        Ok(())
    }

    fn folder(&self, id: Uuid) -> PathBuf {
        self.0.folder.join(id.to_string())
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Uuid, Record>> {
        self.0.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole MiB, rounded up.
pub(super) fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1024 * 1024)
}

pub(super) fn at(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ShelfError + use<> {
    let path = path.to_owned();
    move |source| ShelfError::Disk { step, path, source }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_JSON).read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(io::Error::from)
}

/// On the disk as a whole or not at all.
fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ShelfError> {
    let new = path.with_extension("new");
    let write = || {
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(value).map_err(io::Error::from)?)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(at("write", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

pub(super) fn sync_folder(path: &Path) -> Result<(), ShelfError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(at("sync", path))
}
