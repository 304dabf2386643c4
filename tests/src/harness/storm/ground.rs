//! What the processes stand on: disks that fill up, clocks that jump.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use rustix::fs::{FallocateFlags, fallocate};

use super::plan::Side;
use crate::harness::now_ms;
use crate::harness::oracle::ClockStep;
use crate::harness::process::run;

/// The library that gives a process another wall clock, where Debian puts it; `None` where it is not
/// installed.
pub fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    folders.map(|f| f.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file())
}

/// A wall clock that can be set while its process runs. The monotonic clock stays as it is, like that
/// of a machine whose time is set.
pub struct Clock {
    file: PathBuf,
    library: PathBuf,
    steps: Mutex<Vec<ClockStep>>,
}

impl Clock {
    /// One that is right, kept in `file`.
    pub fn new(file: PathBuf, library: PathBuf) -> Result<Self> {
        let clock = Clock { file, library, steps: Mutex::default() };
        std::fs::write(&clock.file, "+0")?;
        Ok(clock)
    }

    /// The environment of a process that lives by it.
    pub fn env(&self) -> Vec<(String, String)> {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ]
        .map(|(k, v)| (k.to_owned(), v))
        .to_vec()
    }

    /// Sets it.
    pub fn set(&self, days: i64) -> Result<()> {
        let ahead = days * 86_400;
        // Written beside and renamed: the process may read at any moment.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{ahead:+}"))?;
        std::fs::rename(&new, &self.file)?;
        let step = ClockStep { at: now_ms(), ahead: ahead * 1000 };
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push(step);
        Ok(())
    }

    /// How it was set so far.
    pub fn steps(&self) -> Vec<ClockStep> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Small disks (tmpfs) under the state and data directories. Unmounted when dropped.
pub struct Disks(Vec<PathBuf>);

impl Disks {
    /// Mounts them below `world`; `None` where that is not allowed.
    pub async fn mount(world: &Path) -> Result<Option<Self>> {
        let mut disks = Disks(Vec::new());
        for (name, size) in [("agent", "24m"), ("collector", "96m")] {
            let dir = world.join(name);
            std::fs::create_dir_all(&dir)?;
            let options = format!("size={size},mode=0700");
            let path = dir.display().to_string();
            let args = ["-t", "tmpfs", "-o", &options, "callhome-test", &path];
            if run(Path::new("mount"), &args, None).await.is_err() {
                return Ok(None);
            }
            disks.0.push(dir);
        }
        Ok(Some(disks))
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for dir in &self.0 {
            // Lazily: a process that is about to end may still hold a file.
            let _ = std::process::Command::new("umount").arg("-l").arg(dir).status();
        }
    }
}

/// Whether this machine lets us mount.
pub async fn can_mount(dir: &Path) -> Result<bool> {
    Ok(crate::harness::is_root() && Disks::mount(dir).await?.is_some())
}

/// A file that takes all the space there is. Gone when dropped.
pub struct Filler {
    path: PathBuf,
    file: std::fs::File,
    size: u64,
}

impl Filler {
    /// In this directory.
    pub fn new(dir: &Path) -> Result<Self> {
        let path = dir.join("filler");
        let file = std::fs::File::create(&path)?;
        Ok(Filler { path, file, size: 0 })
    }

    /// Takes what is left.
    pub fn fill(&mut self) {
        let mut piece: u64 = 16 * 1024 * 1024;
        while piece >= 4096 {
            match fallocate(&self.file, FallocateFlags::empty(), self.size, piece) {
                Ok(()) => self.size += piece,
                Err(_) => piece /= 4,
            }
        }
    }

    /// How much it took.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The directory of a side's data.
pub fn data_of(world: &Path, side: Side) -> Result<PathBuf> {
    match side {
        Side::Agent => Ok(world.join("agent")),
        Side::Collector => Ok(world.join("collector")),
        Side::Broker => None.context("mosquitto has no disk of its own"),
    }
}
