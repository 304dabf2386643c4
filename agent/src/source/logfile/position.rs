//! How far was read: what is stored between two lives of the agent.

use callhome_shared::heartbeat::hex;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::source::Position;

/// So many first bytes tell one generation of a file from another.
pub(super) const HEAD_BYTES: usize = 1024;
/// Version of the stored form.
const VERSION: u32 = 1;
/// More files than that are never stored; a position that says so is not ours.
const MAX_MARKS: usize = 128;

/// How far one generation of a file was read. A generation is what was written from one beginning
/// to the next rotation; it may be found again in its own inode or in a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    /// Device of the inode.
    pub dev: u64,
    /// Inode.
    pub ino: u64,
    /// Behind the last line that was handed out.
    pub offset: u64,
    /// Length of the known beginning.
    pub head_len: usize,
    /// Its [`digest`].
    pub head: String,
}

/// The stored position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    v: u32,
    /// When it was made, ms.
    pub at: i64,
    /// Files last written before that (mtime, ns) are old: read, or older than our first start.
    pub horizon: i64,
    /// Files being read, the oldest first. The last one was at the path.
    pub tails: Vec<Mark>,
    /// Generations read to their end lately.
    pub done: Vec<Mark>,
}

impl Saved {
    pub(super) fn new(at: Time, horizon: i64, tails: Vec<Mark>, done: Vec<Mark>) -> Self {
        Saved { v: VERSION, at: at.millis(), horizon, tails, done }
    }

    /// Whether both say the same but for the time.
    pub(super) fn same_place(&self, other: &Saved) -> bool {
        self.horizon == other.horizon && self.tails == other.tails && self.done == other.done
    }

    pub(super) fn to_position(&self) -> Option<Position> {
        serde_json::to_vec(self).ok().map(Position)
    }

    pub(super) fn parse(position: &Position) -> Result<Saved, String> {
        let saved: Saved = serde_json::from_slice(&position.0).map_err(|e| e.to_string())?;
        if saved.v != VERSION {
            return Err(format!("version {} is not {VERSION}", saved.v));
        }
        if saved.tails.len() + saved.done.len() > MAX_MARKS {
            return Err("too many files".to_owned());
        }
        if saved.tails.iter().chain(&saved.done).any(|m| m.head_len > HEAD_BYTES) {
            return Err("a beginning is too long".to_owned());
        }
        Ok(saved)
    }
}

/// Digest of a file's first bytes.
pub(super) fn digest(head: &[u8]) -> String {
    let full = Sha256::digest(head);
    hex(full.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mark(n: u64) -> Mark {
        Mark { dev: n, ino: n + 1, offset: u64::MAX, head_len: 3, head: digest(b"abc") }
    }

    #[test]
    fn reads_back() {
        let saved = Saved::new(Time(5), -7, vec![mark(1), mark(2)], vec![mark(3)]);
        assert_eq!(Saved::parse(&saved.to_position().unwrap()).unwrap(), saved);
    }

    #[test]
    fn the_largest_is_small_enough() {
        let many: Vec<Mark> = (0..MAX_MARKS as u64).map(|n| mark(u64::MAX / 2 + n)).collect();
        let position = Saved::new(Time(0), i64::MIN, many, Vec::new()).to_position().unwrap();
        assert!(position.0.len() < 64 * 1024);
    }

    proptest! {
        #[test]
        fn no_bytes_panics(bytes: Vec<u8>, at in 0usize..300, byte: u8) {
            let _ = Saved::parse(&Position(bytes));
            let mut nearly = Saved::new(Time(5), 1, vec![mark(1)], vec![mark(2)])
                .to_position().unwrap();
            if let Some(b) = nearly.0.get_mut(at) { *b = byte; }
            let _ = Saved::parse(&nearly);
        }
    }
}
