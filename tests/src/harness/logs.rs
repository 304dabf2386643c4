//! A log file that a program writes and that is rotated under the agent's eyes.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// How the file is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// `mv log log.1`, a new file is made.
    Rename,
    /// `cp log log.1; truncate -s 0 log`.
    CopyTruncate,
}

/// A log file with its writer.
pub struct RotatingLog {
    path: PathBuf,
    file: File,
    /// Rotations done.
    pub rotations: usize,
}

impl RotatingLog {
    /// Makes the file.
    pub fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(RotatingLog { path: path.to_owned(), file, rotations: 0 })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes one line in one write.
    pub fn line(&mut self, text: &str) -> Result<()> {
        self.file.write_all(format!("{text}\n").as_bytes())?;
        Ok(())
    }

    /// Rotates; older ones move up to `.9`.
    pub fn rotate(&mut self, how: Rotation) -> Result<()> {
        let old = |n: usize| PathBuf::from(format!("{}.{n}", self.path.display()));
        for n in (1..9).rev() {
            if old(n).exists() {
                std::fs::rename(old(n), old(n + 1))?;
            }
        }
        match how {
            Rotation::Rename => {
                std::fs::rename(&self.path, old(1))?;
                self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            }
            Rotation::CopyTruncate => {
                std::fs::copy(&self.path, old(1))?;
                self.file.set_len(0)?;
            }
        }
        self.rotations += 1;
        Ok(())
    }
}
