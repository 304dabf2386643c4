//! Finds entries in a file whatever state its tables are in: entries name their place and have a
//! checksum, so they are looked for byte by byte.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use callhome_shared::envelope::Lane;
use callhome_shared::limits::MAX_PAYLOAD_BYTES;
use uuid::Uuid;

use super::frame::{self, Meta, Place};

/// Read at once.
const CHUNK: usize = 1024 * 1024;
/// Longest entry.
const LONGEST: usize = 2 * MAX_PAYLOAD_BYTES;
/// Entries that are remembered at most, about 50 bytes each.
const MOST: usize = 1_000_000;

/// Where an entry is in the file.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) offset: u64,
    pub(super) length: usize,
    /// Whether it is a `loss`.
    pub(super) is_loss: bool,
}

/// What was found.
#[derive(Default)]
pub(super) struct Carved {
    /// The newest whole account of the outbox, whatever agent's.
    pub(super) meta: Option<Meta>,
    /// Whole entries by their place in the outbox.
    entries: BTreeMap<(Uuid, Lane, u64), Found>,
    /// The newest entry.
    newest: Option<Place>,
}

impl Carved {
    /// Goes through the whole file.
    pub(super) fn find(file: &File) -> io::Result<Carved> {
        let mut found = Carved::default();
        let mut window = vec![0; CHUNK + LONGEST];
        let mut offset = 0;
        loop {
            let filled = read_at(file, &mut window, offset)?;
            let bytes = window.get(..filled).unwrap_or_default();
            let searched = if filled < window.len() { filled } else { CHUNK };
            let passed = found.search(bytes, searched, offset);
            if filled < window.len() {
                return Ok(found);
            }
            offset += passed as u64;
        }
    }

    /// Looks at what begins before `end`; says how far it came.
    fn search(&mut self, bytes: &[u8], end: usize, offset: u64) -> usize {
        let mut at = 0;
        while at < end {
            let Some(rest) = bytes.get(at..) else { break };
            let Some(next) = rest.iter().take(end - at).position(|byte| *byte == b'{') else {
                return end;
            };
            at += next;
            let rest = bytes.get(at..).unwrap_or_default();
            at += self.take(rest, offset + at as u64).unwrap_or(1);
        }
        at
    }

    /// What `bytes` begin with, if it is something; its length.
    fn take(&mut self, bytes: &[u8], offset: u64) -> Option<usize> {
        if bytes.starts_with(br#"{"id":""#) {
            let (place, length) = frame::find_whole(bytes)?;
            if self.entries.len() < MOST {
                let found = Found { offset, length, is_loss: place.is_loss };
                self.entries.insert((place.epoch, place.lane, place.seq), found);
            }
            if self.newest.is_none_or(|newest| newest.time <= place.time) {
                self.newest = Some(place);
            }
            return Some(length);
        }
        if !bytes.starts_with(br#"{"format":"#) {
            return None;
        }
        let (meta, length) = Meta::find_whole(bytes)?;
        let age = |meta: &Meta| (meta.created_at, meta.transactions);
        if self.meta.as_ref().is_none_or(|newest| age(newest) <= age(&meta)) {
            self.meta = Some(meta);
        }
        Some(length)
    }

    /// The life whose entries are wanted if no account says: the newest entry's.
    pub(super) fn epoch(&self) -> Option<Uuid> {
        self.newest.map(|place| place.epoch)
    }

    /// The entries of that life in a lane above a mark, in order.
    pub(super) fn above(&self, epoch: Uuid, lane: Lane, mark: u64) -> Vec<(u64, Found)> {
        let from = (epoch, lane, mark.saturating_add(1));
        let rows = self.entries.range(from..=(epoch, lane, u64::MAX));
        rows.map(|((_, _, seq), found)| (*seq, *found)).collect()
    }
}

/// Reads as much as there is.
fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
