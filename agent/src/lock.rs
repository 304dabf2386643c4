//! One agent per state directory.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};

/// Takes the lock of a state directory. Held as long as the file is open; the kernel frees it whatever way the process ends.
pub fn take(state_dir: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(state_dir)
        .with_context(|| format!("state directory {}", state_dir.display()))?;
    let path = state_dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| path.display().to_string())?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            anyhow::bail!("another agent runs on {}", state_dir.display())
        }
        Err(e) => Err(e).with_context(|| path.display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_one_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let held = super::take(dir.path()).unwrap();
        let error = super::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains("another agent"), "{error}");
        drop(held);
        super::take(dir.path()).unwrap();
    }
}
