//! Backup of the data directory while the collector runs, and its restore.
//!
//! One tar file: [`MANIFEST`](super::archive::MANIFEST) first, then `ca/`, `tls/` and the database
//! (SQLite: a consistent copy of the file; PostgreSQL: all rows as JSON lines, which can be restored
//! into either). It appears under its name only when it is whole. A restored store has a new id,
//! so that agents know that what it acknowledged since the backup is not there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use serde_json::json;

pub use super::archive::{Manifest, Member};
use super::{Db, StoreError, archive, audit, dump, meta};
use crate::args;
use crate::audit::{Deed, Entry};
use crate::settings::Database;

/// The database's member in a backup of SQLite.
pub const SQLITE: &str = "callhome.db";
/// The database's member in a backup of PostgreSQL.
pub const DUMP: &str = "database.jsonl";
/// Directories of the data directory that are part of a backup.
const DIRECTORIES: [&str; 2] = ["ca", "tls"];

/// Why there is no backup, or no restore.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The archive to be written is there already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The data directory to restore into has something in it.
    #[error("{} is not empty: restore into a new data directory", .0.display())]
    NotEmpty(PathBuf),
    /// Files failed.
    #[error("{what} {}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// The archive belongs to another kind of database than the configuration names.
    #[error("this is a backup of SQLite: restore it with database.url = \"sqlite\"")]
    OtherDatabase,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The worker thread was lost.
    #[error("the worker thread was lost")]
    Worker(#[from] tokio::task::JoinError),
}

fn io_error<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> BackupError + 'a {
    move |source| BackupError::Io { what, path: path.to_owned(), source }
}

/// A directory that goes away with everything in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(beside: &Path) -> Result<Self, BackupError> {
        use std::os::unix::fs::DirBuilderExt;
        let path = beside.join(format!(".callhome-{}", new_uuid()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(io_error("cannot make", &path))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing more can be done about it; the name tells whose it is.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes a backup to the new file `to`; answers what is in it. The collector may be running.
pub async fn backup(db: &Db, data_dir: &Path, to: &Path) -> Result<Manifest, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let parent = match to.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let scratch = Scratch::new(&parent)?;
    let database = copy_database(db, &scratch.0).await?;
    let store = meta::store_id(db).await?.to_string();
    let (data_dir, to) = (data_dir.to_owned(), to.to_owned());
    tokio::task::spawn_blocking(move || {
        let mut paths = vec![database.to_owned()];
        for directory in DIRECTORIES {
            copy_files(&data_dir, Path::new(directory), &scratch.0, &mut paths)?;
        }
        let members = paths.iter().map(|path| {
            archive::describe(&scratch.0, path).map_err(io_error("cannot read", Path::new(path)))
        });
        let manifest = Manifest {
            format: 1,
            created_at: Time::now().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store,
            database: database.to_owned(),
            members: members.collect::<Result<_, _>>()?,
        };
        let part = scratch.0.join("backup.tar");
        archive::pack(&manifest, &scratch.0, &part).map_err(io_error("cannot write", &part))?;
        fs::rename(&part, &to).map_err(io_error("cannot write", &to))?;
        sync_directory(&parent)?;
        Ok(manifest)
    })
    .await?
}

async fn copy_database(db: &Db, into: &Path) -> Result<&'static str, BackupError> {
    match db {
        Db::Lite { .. } => {
            let copy = into.join(SQLITE);
            // A reader: the intake goes on writing meanwhile.
            db.read("VACUUM INTO $1", args![copy.display().to_string()]).await?;
            Ok(SQLITE)
        }
        Db::Pg(_) => {
            let path = into.join(DUMP);
            let file = archive::create(&path).map_err(io_error("cannot write", &path))?;
            dump::write(db, file).await?;
            Ok(DUMP)
        }
    }
}

/// Copies the plain files below `root/directory`, so that what is described is what is packed.
fn copy_files(
    root: &Path,
    directory: &Path,
    into: &Path,
    paths: &mut Vec<String>,
) -> Result<(), BackupError> {
    let from = root.join(directory);
    let reading = || io_error("cannot read", &from);
    let entries = match fs::read_dir(&from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(reading()(error)),
    };
    let copy = into.join(directory);
    fs::create_dir_all(&copy).map_err(io_error("cannot make", &copy))?;
    let mut found = entries.collect::<io::Result<Vec<_>>>().map_err(reading())?;
    found.sort_by_key(fs::DirEntry::file_name);
    for entry in found {
        let kind = entry.file_type().map_err(reading())?;
        let path = directory.join(entry.file_name());
        if kind.is_dir() {
            copy_files(root, &path, into, paths)?;
        } else if kind.is_file() {
            let target = into.join(&path);
            fs::copy(entry.path(), &target).map_err(io_error("cannot copy", &entry.path()))?;
            paths.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

fn sync_directory(path: &Path) -> Result<(), BackupError> {
    let synced = fs::File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(io_error("cannot sync", path))
}

/// What a restore did.
#[derive(Debug)]
pub struct Restored {
    /// What was in the archive.
    pub manifest: Manifest,
    /// The store's id from now on.
    pub store: uuid::Uuid,
}

/// Restores a backup into an empty (or absent) data directory and the configured database. The
/// database is written first; the files appear in the data directory only when all is verified.
/// `who` does it, for the record.
pub async fn restore(
    from: &Path,
    data_dir: &Path,
    database: &Database,
    who: &str,
) -> Result<Restored, BackupError> {
    fs::create_dir_all(data_dir).map_err(io_error("cannot make", data_dir))?;
    let mut found = fs::read_dir(data_dir).map_err(io_error("cannot read", data_dir))?;
    if found.next().is_some() {
        return Err(BackupError::NotEmpty(data_dir.to_owned()));
    }
    let scratch = Scratch::new(data_dir)?;
    let (archive, into) = (from.to_owned(), scratch.0.clone());
    let unpacked = tokio::task::spawn_blocking(move || archive::unpack(&archive, &into)).await?;
    let manifest = unpacked.map_err(io_error("cannot restore from", from))?;
    let store = restore_database(&manifest, &scratch.0, database, who).await?;
    for directory in DIRECTORIES {
        let from = scratch.0.join(directory);
        if from.exists() {
            move_into_place(&from, &data_dir.join(directory))?;
        }
    }
    if let Database::Sqlite { path } = database {
        move_into_place(&scratch.0.join(SQLITE), path)?;
    }
    sync_directory(data_dir)?;
    Ok(Restored { manifest, store })
}

async fn restore_database(
    manifest: &Manifest,
    staged: &Path,
    database: &Database,
    who: &str,
) -> Result<uuid::Uuid, BackupError> {
    let target = match database {
        Database::Sqlite { .. } => Database::Sqlite { path: staged.join(SQLITE) },
        Database::Postgres { .. } => database.clone(),
    };
    match (manifest.database.as_str(), &target) {
        (SQLITE, Database::Postgres { .. }) => return Err(BackupError::OtherDatabase),
        (SQLITE, Database::Sqlite { .. }) => {}
        (_, _) => {
            let path = staged.join(DUMP);
            let file = fs::File::open(&path).map_err(io_error("cannot read", &path))?;
            let db = Db::open(&target).await?;
            dump::read(&db, file).await?;
            db.close().await;
        }
    }
    let db = Db::open(&target).await?;
    let store = renew(&db, manifest, who).await?;
    db.close().await;
    Ok(store)
}

/// Makes it another store: a new id, nobody connected, nobody logged in.
async fn renew(db: &Db, manifest: &Manifest, who: &str) -> Result<uuid::Uuid, StoreError> {
    let store = new_uuid();
    let detail = json!({ "made": manifest.created_at, "version": manifest.version, "store_before": manifest.store });
    let subject = store.to_string();
    let entry = Entry::new(Time::now(), who, Deed::Restored, &subject, detail);
    let mut tx = db.begin().await?;
    meta::set(&mut tx, "store", &store.to_string()).await?;
    tx.execute("UPDATE agents SET online = 0", vec![]).await?;
    tx.execute("DELETE FROM web_sessions", vec![]).await?;
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(store)
}

/// On the same file system: whole or not at all. Belongs to whom the data directory belongs.
fn move_into_place(from: &Path, to: &Path) -> Result<(), BackupError> {
    if let Some(parent) = to.parent() {
        own_like(from, parent)?;
    }
    fs::rename(from, to).map_err(io_error("cannot move into place", to))
}

/// Gives a file or directory to the owner of `model` (root restores for the collector's user).
fn own_like(path: &Path, model: &Path) -> Result<(), BackupError> {
    use std::os::unix::fs::{MetadataExt, chown};
    let model = fs::metadata(model).map_err(io_error("cannot read", model))?;
    let now = fs::metadata(path).map_err(io_error("cannot read", path))?;
    if (now.uid(), now.gid()) != (model.uid(), model.gid()) {
        chown(path, Some(model.uid()), Some(model.gid())).map_err(io_error("cannot give", path))?;
    }
    if now.is_dir() {
        for entry in fs::read_dir(path).map_err(io_error("cannot read", path))?.flatten() {
            own_like(&entry.path(), path)?;
        }
    }
    Ok(())
}
