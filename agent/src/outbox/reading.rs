//! Reading a file through redb without ever writing to it.
//!
//! redb's read-only mode beside a writer looks neither at the file's length nor at its allocator state,
//! only at the tree it walks: so it reads files that were not closed, that are cut off, and that are
//! damaged elsewhere. What it reads is bounded, because a damaged tree may lead in circles.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{BackendError, ConcurrencyMode, Database, ReadOnlyDatabase, StorageBackend};

use super::{OutboxError, database};

/// Where redb's header says that the file was not closed properly, and the bits that say so.
const STATE_BYTE: (u64, u8) = (9, 0b1010);

/// Opens the file for reading; at most `bytes` are read altogether.
pub(super) fn open(path: &Path, bytes: u64, cache: usize) -> Result<ReadOnlyDatabase, OutboxError> {
    let failed = |step| move |source| OutboxError::File { step, path: path.to_owned(), source };
    let file = File::open(path).map_err(failed("open"))?;
    let backend = OnlyRead { file, left: AtomicU64::new(bytes) };
    Database::builder()
        .set_cache_size(cache)
        .set_concurrency_mode(ConcurrencyMode::SingleWriter)
        .open_read_only_with_backend(backend)
        .map_err(|error| database(redb::Error::from(error)))
}

#[derive(Debug)]
struct OnlyRead {
    file: File,
    left: AtomicU64,
}

impl StorageBackend for OnlyRead {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let wanted = out.len() as u64;
        let spend = |left: u64| left.checked_sub(wanted);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_err() {
            return Err(io::Error::other("more is read than the file can hold"));
        }
        self.file.read_exact_at(out, offset)?;
        let (place, bits) = STATE_BYTE;
        let inside = place.checked_sub(offset).and_then(|at| usize::try_from(at).ok());
        if let Some(byte) = inside.and_then(|at| out.get_mut(at)) {
            *byte &= !bits;
        }
        Ok(())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    // Nobody writes to the file: the caller holds the lock of the state directory.

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn query_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(false)
    }
}
