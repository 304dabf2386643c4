//! The payloads of the last departures, in two files that take turns.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use callhome_shared::heartbeat::hex;
use sha2::{Digest as _, Sha256};

/// Before each payload: its entry's number and its length, both little-endian.
const RECORD: usize = 8 + 4;

/// Payloads by the number of their entry.
#[derive(Debug)]
pub struct Payloads {
    new: PathBuf,
    old: PathBuf,
    /// For both files together.
    budget: u64,
}

impl Payloads {
    /// Those in a ledger's folder; `budget` in bytes.
    pub fn new(folder: &Path, budget: u64) -> Self {
        Payloads { new: folder.join("payloads.new"), old: folder.join("payloads.old"), budget }
    }

    /// Keeps one. What does not fit into half of the budget is not kept; when the newer file is full,
    /// the older one goes.
    pub(super) fn keep(&self, n: u64, payload: &[u8]) -> io::Result<()> {
        let size = (RECORD + payload.len()) as u64;
        if size > self.budget / 2 {
            return Ok(());
        }
        let mut file = self.open()?;
        if file.metadata()?.len() + size > self.budget / 2 {
            std::fs::rename(&self.new, &self.old)?;
            file = self.open()?;
        }
        let mut record = Vec::with_capacity(RECORD + payload.len());
        record.extend_from_slice(&n.to_le_bytes());
        // Bounded by the budget above.
        record.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        record.extend_from_slice(payload);
        let before = file.metadata()?.len();
        file.write_all(&record).inspect_err(|_| drop(file.set_len(before)))
    }

    /// The budget is 0: what was kept goes.
    pub(super) fn forget(&self) {
        if self.budget == 0 {
            for file in [&self.new, &self.old] {
                let _ = std::fs::remove_file(file);
            }
        }
    }

    /// The payload of an entry, if it is still here and is the one with this hash.
    pub fn find(&self, n: u64, sha256: &str) -> Option<Vec<u8>> {
        [&self.new, &self.old].into_iter().find_map(|path| {
            let mut bytes = Vec::new();
            File::open(path).ok()?.take(self.budget.max(1)).read_to_end(&mut bytes).ok()?;
            records(&bytes)
                .find(|(number, payload)| *number == n && hex(&Sha256::digest(payload)) == sha256)
                .map(|(_, payload)| payload.to_vec())
        })
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(&self.new)
    }
}

/// The records of a file; ends at the first one that is not whole.
fn records(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let n = u64::from_le_bytes(rest.get(..8)?.try_into().ok()?);
        let length = u32::from_le_bytes(rest.get(8..RECORD)?.try_into().ok()?) as usize;
        let payload = rest.get(RECORD..)?.get(..length)?;
        rest = rest.get(RECORD + length..)?;
        Some((n, payload))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_within_the_budget() {
        let dir = tempfile::tempdir().unwrap();
        let payloads = Payloads::new(dir.path(), 10_000);
        for n in 1..=100u64 {
            payloads.keep(n, &vec![n as u8; 500]).unwrap();
        }
        payloads.keep(101, &[0; 6000]).unwrap();
        let found = |n: u64, size: usize| {
            payloads.find(n, &hex(&Sha256::digest(vec![n as u8; size]))).map(|p| p.len())
        };
        assert_eq!((found(100, 500), found(92, 500), found(1, 500)), (Some(500), Some(500), None));
        assert_eq!(payloads.find(100, &hex(&Sha256::digest(b"another"))), None);
        let on_disk: u64 = [&payloads.new, &payloads.old]
            .iter()
            .filter_map(|p| std::fs::metadata(p).ok())
            .map(|m| m.len())
            .sum();
        assert!(on_disk <= 10_000, "{on_disk}");
        Payloads::new(dir.path(), 0).forget();
        assert_eq!(found(100, 500), None);
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(bytes: Vec<u8>) {
            let _ = records(&bytes).count();
        }
    }
}
