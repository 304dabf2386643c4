//! Where trust lies in the data directory, and how its files are written.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::EnrolError;

/// The files of CA and TLS in a data directory.
#[derive(Clone, Debug)]
pub struct TrustFiles {
    /// `<data_dir>`.
    dir: PathBuf,
}

impl TrustFiles {
    /// Those of `data_dir`.
    pub fn new(data_dir: &Path) -> Self {
        TrustFiles { dir: data_dir.to_owned() }
    }

    /// The CA's certificate.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca/ca.pem")
    }

    /// The CA's key.
    pub fn ca_key(&self) -> PathBuf {
        self.dir.join("ca/ca.key")
    }

    /// The next CA's certificate, while one is announced.
    pub fn next(&self) -> PathBuf {
        self.dir.join("ca/next.pem")
    }

    /// The next CA's key.
    pub fn next_key(&self) -> PathBuf {
        self.dir.join("ca/next.key")
    }

    /// The former CA's certificate, while it is still trusted.
    pub fn former(&self) -> PathBuf {
        self.dir.join("ca/former.pem")
    }

    /// The former CA's key, for its revocation list.
    pub fn former_key(&self) -> PathBuf {
        self.dir.join("ca/former.key")
    }

    /// The CA's certificate signed by the former CA.
    pub fn cross(&self) -> PathBuf {
        self.dir.join("ca/cross.pem")
    }

    /// Certificates of all CAs that are trusted, for brokers and agents of others.
    pub fn roots(&self) -> PathBuf {
        self.dir.join("tls/roots.pem")
    }

    /// Held locked while the CAs' files are exchanged.
    pub fn ca_lock(&self) -> PathBuf {
        self.dir.join("ca/lock")
    }

    /// The offline root's certificate; its key is not here.
    pub fn root(&self) -> PathBuf {
        self.dir.join("ca/root.pem")
    }

    /// The server's chain: leaf, then the CA itself, so that a pinning client sees it.
    pub fn server(&self) -> PathBuf {
        self.dir.join("tls/server.pem")
    }

    /// The server's key.
    pub fn server_key(&self) -> PathBuf {
        self.dir.join("tls/server.key")
    }

    /// The collector's client certificate for an external broker.
    pub fn collector(&self) -> PathBuf {
        self.dir.join("tls/collector.pem")
    }

    /// Its key.
    pub fn collector_key(&self) -> PathBuf {
        self.dir.join("tls/collector.key")
    }

    /// The certificate revocation list.
    pub fn crl(&self) -> PathBuf {
        self.dir.join("tls/crl.pem")
    }

    /// Makes the directories (0700).
    pub fn make_dirs(&self) -> Result<(), EnrolError> {
        for dir in [self.dir.clone(), self.dir.join("ca"), self.dir.join("tls")] {
            make_dir(&dir)?;
        }
        Ok(())
    }
}

/// Makes a directory for the owner only, with its parents.
pub fn make_dir(dir: &Path) -> Result<(), EnrolError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| EnrolError::file(dir, e))
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Vec<u8>, EnrolError> {
    std::fs::read(path).map_err(|e| EnrolError::file(path, e))
}

/// Replaces a file as a whole: a reader or a crash sees the old or the new content.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), EnrolError> {
    let failed = |e| EnrolError::file(path, e);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    // A leftover of a crash would keep its own mode.
    let _ = std::fs::remove_file(&temporary);
    let mut options = std::fs::OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(mode).open(&temporary).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)?;
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(dir).and_then(|d| d.sync_all()).map_err(failed)
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> Result<(), EnrolError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(EnrolError::file(path, e)),
        _ => Ok(()),
    }
}

/// Waits for the lock on the CAs' files; it is given back when the file is dropped.
pub fn lock_cas(files: &TrustFiles) -> Result<std::fs::File, EnrolError> {
    let path = files.ca_lock();
    let failed = |e| EnrolError::file(&path, e);
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

/// Writes a file that must not exist yet.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), EnrolError> {
    let failed = |e| EnrolError::file(path, e);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)
}
