//! The bytes. Nothing here trusts a given name: a file is `<hash of the agent's id>/<id>`, with
//! `.part` while it grows; links are not followed; nobody else may read it.
//!
//! All calls block: the desk runs them on threads for that.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use callhome_shared::bundle::hex;
use callhome_shared::time::Time;
use rustix::fs::{AtFlags, Mode, OFlags};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::judge::{self, Refusal};

/// The ending of unfinished files.
const PART: &str = ".part";
/// Read at a time when a whole file is hashed.
const BUFFER: usize = 256 * 1024;

/// The directory of the bundles.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
    /// Bytes of the file system that stay free for the rest of the collector.
    keep_free: u64,
}

/// A file that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Below the root.
    pub path: PathBuf,
    /// Which bundle, if its name is one of ours.
    pub id: Option<Uuid>,
    /// The directory is that of this agent's hash.
    pub agent_hash: String,
    /// An unfinished one.
    pub part: bool,
    /// When it was last written.
    pub changed_at: Time,
}

/// What the end of an upload found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The whole file is there, right, and under its final name.
    Right,
    /// Something is missing: so much is there.
    Short(u64),
    /// It has another SHA-256: nothing was kept.
    Wrong,
}

/// Why the file work failed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// For the agent.
    #[error("{0}")]
    Refused(Refusal),
    /// For the log.
    #[error("{what} {}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
}

type Result<T> = std::result::Result<T, FileError>;

/// The directory of an agent's files.
pub fn agent_hash(agent: &str) -> String {
    hex(Sha256::digest(agent).get(..16).unwrap_or_default())
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// An agent's directory, held open: names below it mean the same whatever happens around it.
struct Shelf {
    dir: File,
    path: PathBuf,
}

impl Shelf {
    fn error(&self, what: &'static str, name: &str) -> impl FnOnce(io::Error) -> FileError + use<> {
        let path = self.path.join(name);
        move |source| {
            if is_full(&source) {
                FileError::Refused(Refusal::DiskFull)
            } else {
                FileError::Io { what, path, source }
            }
        }
    }

    /// A plain file of ours, or nothing.
    fn open(&self, name: &str, flags: OFlags) -> io::Result<Option<File>> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = match rustix::fs::openat(self.dir.as_fd(), name, flags, mode) {
            Ok(fd) => File::from(fd),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let is = file.metadata()?;
        if !is.is_file() || is.nlink() != 1 {
            return Err(io::Error::other("it is no plain file with one name"));
        }
        Ok(Some(file))
    }

    fn unlink(&self, name: &str) -> Result<bool> {
        match rustix::fs::unlinkat(self.dir.as_fd(), name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(self.error("cannot remove", name)(error.into())),
        }
    }

    fn sync(&self) -> Result<()> {
        self.dir.sync_all().map_err(self.error("cannot sync", ""))
    }
}

/// One writer at a time, also of another collector that shares the directory.
fn lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Files {
    /// The files below `root`.
    pub fn new(root: &Path, keep_free: u64) -> Self {
        Files { root: root.to_owned(), keep_free }
    }

    /// Makes the directory if it is not there.
    pub fn make(&self) -> Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.root);
        let path = || self.root.clone();
        made.map_err(|source| FileError::Io { what: "cannot make", path: path(), source })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn shelf(&self, agent: &str, make: bool) -> Result<Option<Shelf>> {
        let path = self.root.join(agent_hash(agent));
        if make {
            self.make()?;
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => self.sync_root()?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if is_full(&error) => return Err(FileError::Refused(Refusal::DiskFull)),
                Err(source) => return Err(FileError::Io { what: "cannot make", path, source }),
            }
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Shelf { dir: File::from(fd), path })),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(FileError::Io { what: "cannot open", path, source: error.into() }),
        }
    }

    fn sync_root(&self) -> Result<()> {
        let synced = File::open(&self.root).and_then(|dir| dir.sync_all());
        synced.map_err(|source| FileError::Io {
            what: "cannot sync",
            path: self.root.clone(),
            source,
        })
    }

    /// Whether `more` bytes leave enough free for everything else.
    pub fn has_room(&self, more: u64) -> Result<bool> {
        self.make()?;
        let stat = rustix::fs::statvfs(&self.root).map_err(|error| FileError::Io {
            what: "cannot ask the file system of",
            path: self.root.clone(),
            source: error.into(),
        })?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        Ok(free >= self.keep_free.saturating_add(more))
    }

    /// Bytes that are kept of an upload.
    pub fn kept(&self, agent: &str, id: Uuid) -> Result<u64> {
        let Some(shelf) = self.shelf(agent, false)? else { return Ok(0) };
        for name in [format!("{id}{PART}"), id.to_string()] {
            let found = shelf.open(&name, OFlags::RDONLY);
            if let Some(file) = found.map_err(shelf.error("cannot open", &name))? {
                let is = file.metadata().map_err(shelf.error("cannot read", &name))?;
                return Ok(is.len());
            }
        }
        Ok(0)
    }

    /// Appends a chunk that was checked against its digest; answers how much is kept then. It is on
    /// the disk when this returns. When the disk is full nothing of it is kept.
    pub fn append(
        &self,
        agent: &str,
        id: Uuid,
        size: u64,
        offset: u64,
        chunk: &[u8],
    ) -> Result<u64> {
        let len = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        let refused = |refusal| Err(FileError::Refused(refusal));
        let name = format!("{id}{PART}");
        let shelf = self.shelf(agent, true)?;
        let Some(shelf) = shelf else { return refused(Refusal::Busy) };
        let flags = OFlags::RDWR | OFlags::CREATE;
        let opened = shelf.open(&name, flags).map_err(shelf.error("cannot open", &name))?;
        let Some(file) = opened else { return refused(Refusal::Busy) };
        if !lock(&file).map_err(shelf.error("cannot lock", &name))? {
            return refused(Refusal::Busy);
        }
        let mut have = file.metadata().map_err(shelf.error("cannot read", &name))?.len();
        if have > size {
            // Not by us. Nothing of it can be trusted.
            file.set_len(0).map_err(shelf.error("cannot cut", &name))?;
            have = 0;
        }
        judge::chunk(have, size, offset, chunk.len()).map_err(FileError::Refused)?;
        if !self.has_room(len)? {
            return refused(Refusal::DiskFull);
        }
        let written = file.write_all_at(chunk, have).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // What was kept before stays; what cannot be cut off is part of a checked chunk.
            let _ = file.set_len(have);
            return Err(shelf.error("cannot write", &name)(error));
        }
        if have == 0 {
            shelf.sync()?;
        }
        Ok(have + len)
    }

    /// Reads the whole upload again, compares its SHA-256 and gives it its final name. Done before, it
    /// is done again: a crash may have come between the new name and the database.
    pub fn finish(&self, agent: &str, id: Uuid, size: u64, sha256: &str) -> Result<Ended> {
        let Some(shelf) = self.shelf(agent, false)? else { return Ok(Ended::Short(0)) };
        let whole = id.to_string();
        let found = shelf.open(&whole, OFlags::RDONLY);
        if let Some(file) = found.map_err(shelf.error("cannot open", &whole))? {
            let (have, sum) = hash(&file).map_err(shelf.error("cannot read", &whole))?;
            if have == size && sum == sha256 {
                return Ok(Ended::Right);
            }
            shelf.unlink(&whole)?;
            return Ok(Ended::Wrong);
        }
        let part = format!("{whole}{PART}");
        let found = shelf.open(&part, OFlags::RDWR).map_err(shelf.error("cannot open", &part))?;
        let Some(file) = found else { return Ok(Ended::Short(0)) };
        if !lock(&file).map_err(shelf.error("cannot lock", &part))? {
            return Err(FileError::Refused(Refusal::Busy));
        }
        let have = file.metadata().map_err(shelf.error("cannot read", &part))?.len();
        if have < size {
            return Ok(Ended::Short(have));
        }
        let (have, sum) = hash(&file).map_err(shelf.error("cannot read", &part))?;
        if have != size || sum != sha256 {
            shelf.unlink(&part)?;
            shelf.sync()?;
            return Ok(Ended::Wrong);
        }
        file.sync_all().map_err(shelf.error("cannot sync", &part))?;
        let renamed = rustix::fs::renameat(shelf.dir.as_fd(), &part, shelf.dir.as_fd(), &whole);
        renamed.map_err(|e| shelf.error("cannot name", &whole)(e.into()))?;
        shelf.sync()?;
        Ok(Ended::Right)
    }

    /// Removes whatever there is of a bundle; says whether there was something.
    pub fn remove(&self, agent: &str, id: Uuid) -> Result<bool> {
        let Some(shelf) = self.shelf(agent, false)? else { return Ok(false) };
        let part = shelf.unlink(&format!("{id}{PART}"))?;
        let whole = shelf.unlink(&id.to_string())?;
        if part || whole {
            shelf.sync()?;
        }
        Ok(part || whole)
    }

    /// A finished file with its size, to be read; `None`: it is not there.
    pub fn read(&self, agent: &str, id: Uuid) -> Result<Option<(File, u64)>> {
        let Some(shelf) = self.shelf(agent, false)? else { return Ok(None) };
        let name = id.to_string();
        let opened =
            shelf.open(&name, OFlags::RDONLY).map_err(shelf.error("cannot open", &name))?;
        let Some(file) = opened else { return Ok(None) };
        let size = file.metadata().map_err(shelf.error("cannot read", &name))?.len();
        Ok(Some((file, size)))
    }

    /// SHA-256 and size of a finished file; `None`: it is not there.
    pub fn digest(&self, agent: &str, id: Uuid) -> Result<Option<(u64, String)>> {
        let Some((file, _)) = self.read(agent, id)? else { return Ok(None) };
        let hashed = hash(&file).map_err(|source| FileError::Io {
            what: "cannot read",
            path: self.root.join(agent_hash(agent)).join(id.to_string()),
            source,
        })?;
        Ok(Some(hashed))
    }

    /// The agents' directories.
    pub fn shelves(&self) -> Result<Vec<PathBuf>> {
        let failed =
            |source| FileError::Io { what: "cannot read", path: self.root.clone(), source };
        let mut found = Vec::new();
        self.make()?;
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }

    /// The files of one of [`Files::shelves`].
    pub fn on_shelf(&self, shelf: &Path) -> Result<Vec<Found>> {
        let failed = |source| FileError::Io { what: "cannot read", path: shelf.to_owned(), source };
        let agent_hash = shelf.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir(shelf).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Gone meanwhile.
            let Ok(is) = entry.metadata() else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            let (stem, part) = match name.strip_suffix(PART) {
                Some(stem) => (stem, true),
                None => (name.as_str(), false),
            };
            found.push(Found {
                path: entry.path(),
                id: Uuid::parse_str(stem).ok(),
                agent_hash: agent_hash.clone(),
                part,
                changed_at: Time(is.mtime().saturating_mul(1000)),
            });
        }
        Ok(found)
    }

    /// Removes one of [`Files::on_shelf`].
    pub fn discard(&self, found: &Found) -> Result<()> {
        match fs::remove_file(&found.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = found.path.clone();
                Err(FileError::Io { what: "cannot remove", path, source: error })
            }
            _ => Ok(()),
        }
    }
}

fn hash(mut file: &File) -> io::Result<(u64, String)> {
    let mut sum = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, hex(&sum.finalize())));
        }
        size += u64::try_from(read).unwrap_or(0);
        sum.update(buffer.get(..read).unwrap_or_default());
    }
}
