//! How entries hang together. Pure.
//!
//! A line is `<hash> <entry>` and an end of line: the entry is JSON, the hash the SHA-256 of exactly those
//! JSON bytes, in hexadecimal digits. The entry names its number and the hash of the entry before. So
//! a changed byte breaks its own line, and a line that is missing, added or moved breaks the next one.
//! `sed 's/^.\{65\}//' | head -c -1 | sha256sum` on a single line gives its hash.

use callhome_shared::heartbeat::hex;
use sha2::{Digest as _, Sha256};

use super::entry::Entry;

/// Hexadecimal digits of a hash.
pub(super) const HASH: usize = 64;
/// Longest line that is read.
pub(super) const MAX_LINE: usize = 16 * 1024;

/// What the first entry names as the one before.
pub(super) fn origin() -> String {
    "0".repeat(HASH)
}

/// The line of an entry, and its hash.
pub(super) fn write(entry: &Entry) -> (Vec<u8>, String) {
    // Strings and numbers only: this cannot fail.
    let json = serde_json::to_vec(entry).unwrap_or_default();
    let hash = hash_of(&json);
    let mut line = Vec::with_capacity(HASH + json.len() + 2);
    line.extend_from_slice(hash.as_bytes());
    line.push(b' ');
    line.extend_from_slice(&json);
    line.push(b'\n');
    (line, hash)
}

/// Reads a line without its end. The error says what is wrong with it.
pub(super) fn read(line: &[u8]) -> Result<(Entry, String), String> {
    let (Some(hash), Some(b' '), Some(json)) =
        (line.get(..HASH), line.get(HASH), line.get(HASH + 1..))
    else {
        return Err("no hash".into());
    };
    if line.len() > MAX_LINE {
        return Err("too long".into());
    }
    let Some(hash) = std::str::from_utf8(hash).ok().filter(|h| is_hash(h)) else {
        return Err("no hash".into());
    };
    if hash_of(json) != hash {
        return Err("the entry does not have this hash: one of them was altered".into());
    }
    let entry = serde_json::from_slice(json).map_err(|e| format!("no entry: {e}"))?;
    Ok((entry, hash.to_owned()))
}

fn is_hash(text: &str) -> bool {
    text.len() == HASH && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn hash_of(json: &[u8]) -> String {
    hex(&Sha256::digest(json))
}

/// Where the chain has got to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The last entry's number; 0 = none.
    pub(super) n: u64,
    /// Its hash.
    pub(super) hash: String,
}

impl Head {
    pub(super) fn start() -> Self {
        Head { n: 0, hash: origin() }
    }

    /// Goes on with an entry. The error says how it does not follow; the chain goes on from it all the
    /// same, so that one fault is told once.
    pub(super) fn follow(&mut self, entry: &Entry, hash: String) -> Result<(), String> {
        let before = std::mem::replace(self, Head { n: entry.n, hash });
        if entry.n == before.n + 1 && entry.prev == before.hash {
            return Ok(());
        }
        Err(match entry.n.checked_sub(before.n) {
            Some(1) => format!(
                "entry {} does not follow this entry {}: its hash is another one",
                entry.n, before.n
            ),
            Some(0) | None => format!("entry {} stands behind entry {}", entry.n, before.n),
            Some(2) => format!("entry {} is missing", before.n + 1),
            Some(_) => format!("entries {} to {} are missing", before.n + 1, entry.n - 1),
        })
    }

    /// As kept in the file `head`: always of the same length.
    pub(super) fn write(&self) -> String {
        format!("{:020} {}\n", self.n, self.hash)
    }

    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
        let (n, hash) = text.split_once(' ')?;
        let n = (n.len() == 20).then(|| n.parse().ok())??;
        is_hash(hash).then(|| Head { n, hash: hash.to_owned() })
    }
}
