//! The file: opened, grown in advance, set aside when damaged.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use callhome_shared::time::Time;
use redb::backends::FileBackend;
use redb::{BackendError, Database, DatabaseError, StorageBackend, StorageError};
use rustix::fs::FallocateFlags;

use super::OutboxError;

/// Page cache of the database: small, because the agent must stay small.
const CACHE_BYTES: usize = 1024 * 1024;
/// Damaged files that are kept for a person to look at; older ones are removed.
const KEPT_ASIDE: usize = 3;

/// Opens or creates the database. A file that redb refuses is [`OutboxError::Damaged`].
pub(super) fn open(path: &Path, reserve_bytes: u64) -> Result<Database, OutboxError> {
    let failed = |step| move |source| OutboxError::File { step, path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed("create the directory of"))?;
    }
    let is_new = !path.exists();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed("open"))?;
    let twin = file.try_clone().map_err(failed("open"))?;
    let backend = Reserved {
        inner: FileBackend::new(file).map_err(|e| refused(path, e))?,
        file: twin,
        reserve_bytes,
    };
    backend.reserve().map_err(failed("reserve space for"))?;
    // An open of a file that was altered behind redb's back may panic instead of returning an error.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)
    }));
    let database = match opened {
        Ok(result) => result.map_err(|e| refused(path, e))?,
        Err(_) => {
            return Err(OutboxError::Damaged {
                path: path.to_owned(),
                reason: "opening it panicked".to_owned(),
            });
        }
    };
    if is_new {
        sync_directory(path).map_err(failed("sync the directory of"))?;
    }
    Ok(database)
}

/// The name of a damaged file that is to be salvaged.
pub(super) fn waiting(path: &Path) -> PathBuf {
    path.with_file_name(format!("{}.salvage", name(path)))
}

fn name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Renames the damaged file to [`waiting`]; one that waits there already was damaged before, and its
/// successor is damaged now: it is set aside.
pub(super) fn put_away(path: &Path, now: Time) -> Result<(), OutboxError> {
    if waiting(path).exists() {
        set_aside(path, now)?;
    }
    rename(path, path, &waiting(path))
}

fn rename(path: &Path, from: &Path, to: &Path) -> Result<(), OutboxError> {
    let failed = |step| move |source| OutboxError::File { step, path: path.to_owned(), source };
    std::fs::rename(from, to).map_err(failed("set aside"))?;
    sync_directory(path).map_err(failed("sync the directory of"))
}

/// Renames the file that waited to be salvaged to `<name>.damaged-<ms>` and removes the oldest of such
/// files beyond [`KEPT_ASIDE`]; says how many.
pub(super) fn set_aside(path: &Path, now: Time) -> Result<(PathBuf, u64), OutboxError> {
    let failed = |step| move |source| OutboxError::File { step, path: path.to_owned(), source };
    let prefix = format!("{}.damaged-", name(path));
    let place = |ms: i64| path.with_file_name(format!("{prefix}{ms}"));
    // Two in the same millisecond must not replace each other.
    let free = (now.millis()..).map(place).find(|place| !place.exists());
    let aside = free.unwrap_or_else(|| place(now.millis()));
    rename(path, &waiting(path), &aside)?;
    let Some(directory) = path.parent() else { return Ok((aside, 0)) };
    let mut kept: Vec<PathBuf> = std::fs::read_dir(directory)
        .map_err(failed("list the directory of"))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&prefix)))
        .collect();
    // The names hold a time of equal width, so the order of names is the order of time.
    kept.sort_unstable();
    let mut removed = 0;
    for old in kept.iter().rev().skip(KEPT_ASIDE) {
        std::fs::remove_file(old).map_err(failed("remove an old damaged file beside"))?;
        removed += 1;
    }
    Ok((aside, removed))
}

/// When the file was last written, as far as the file system tells.
pub(super) fn last_written(path: &Path) -> Option<Time> {
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(Time)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn refused(path: &Path, error: DatabaseError) -> OutboxError {
    let damaged = |reason: String| OutboxError::Damaged { path: path.to_owned(), reason };
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OutboxError::InUse(path.to_owned())
        }
        DatabaseError::Storage(StorageError::Io(e)) => match e.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => damaged(e.to_string()),
            _ => OutboxError::File { step: "read", path: path.to_owned(), source: e },
        },
        other => damaged(other.to_string()),
    }
}

/// A file whose first blocks belong to it before they are needed: a full disk then stops neither an
/// alarm nor an acknowledgement. redb insists on its own file length, so only blocks are reserved.
#[derive(Debug)]
struct Reserved {
    inner: FileBackend,
    file: File,
    reserve_bytes: u64,
}

impl Reserved {
    fn reserve(&self) -> io::Result<()> {
        if self.reserve_bytes == 0 {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, self.reserve_bytes) {
            // Some file systems cannot; the outbox works there too, only without the reserve.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }
}

impl StorageBackend for Reserved {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)?;
        // Shrinking gives reserved blocks back.
        if len < self.reserve_bytes { self.reserve() } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
