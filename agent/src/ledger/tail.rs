//! Files of the ledger: their names, and where the newest one ends.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::chain::{self, Head};

/// Largest segment that is read; ours are far smaller.
pub(super) const MAX_SEGMENT: u64 = 64 * 1024 * 1024;
const ENDING: &str = ".log";

/// `00000042.log`.
pub(super) fn path(folder: &Path, segment: u64) -> PathBuf {
    folder.join(format!("{segment:08}{ENDING}"))
}

/// Numbers of the segments that are there, the oldest first.
pub(super) fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(ENDING));
        found.extend(number.filter(|n| n.len() >= 8).and_then(|n| n.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// The bytes of a segment.
pub(super) fn read(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_SEGMENT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SEGMENT {
        let why = format!("more than {MAX_SEGMENT} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(bytes)
}

/// Where the ledger ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// The newest segment; 0 = none.
    pub(super) segment: u64,
    /// Length of its whole lines.
    pub(super) len: u64,
    /// Bytes of an unfinished line behind them.
    pub(super) torn: u64,
    /// The last entry that could be read.
    pub(super) head: Head,
    /// Whether whole lines stand behind that one: damage, which must not be written over.
    pub(super) damaged: bool,
}

impl Tail {
    /// Finds it.
    pub(super) fn find(folder: &Path) -> io::Result<Self> {
        let mut tail = Tail { segment: 0, len: 0, torn: 0, head: Head::start(), damaged: false };
        for segment in segments(folder)?.into_iter().rev() {
            let bytes = read(File::open(path(folder, segment))?)?;
            let end = Tail::of(&bytes);
            if tail.segment == 0 {
                tail = Tail { segment, ..end };
            } else {
                tail.head = end.head;
                tail.damaged |= end.damaged;
            }
            // A segment without a single entry: the chain ended in the one before.
            if tail.head.n > 0 {
                break;
            }
        }
        Ok(tail)
    }

    fn of(bytes: &[u8]) -> Self {
        let len = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let whole = bytes.get(..len).unwrap_or_default();
        let mut damaged = false;
        let mut head = Head::start();
        for line in whole.split(|b| *b == b'\n').rev().filter(|line| !line.is_empty()) {
            if let Ok((entry, hash)) = chain::read(line) {
                head = Head { n: entry.n, hash };
                break;
            }
            damaged = true;
        }
        Tail { segment: 0, len: len as u64, torn: (bytes.len() - len) as u64, head, damaged }
    }
}
