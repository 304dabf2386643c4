//! Reading the ledger: entries, payloads, and whether the chain holds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::chain::{self, Head, origin};
use super::entry::{Entry, What};
use super::payloads::Payloads;
use super::tail;

/// Findings that are told; further ones are only counted.
const MAX_FINDINGS: usize = 50;

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// There is none.
    #[error("there is no ledger in {0}: the agent has not run there yet")]
    None(PathBuf),
    /// A file or the folder.
    #[error("ledger: cannot {step} {path}")]
    File {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// The ledger of a state directory, for reading; the agent may be writing meanwhile.
#[derive(Debug)]
pub struct Book {
    segments: Vec<(u64, Vec<u8>)>,
    head: Option<Head>,
    payloads: Payloads,
}

/// What verifying found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Files read.
    pub files: usize,
    /// Entries read.
    pub entries: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The last entry's number and hash.
    pub head: (u64, String),
    /// What is as it is declared: removed at the budget, repaired after a crash, not noted.
    pub notes: Vec<String>,
    /// What must not be.
    pub findings: Vec<String>,
    /// Findings that are not listed.
    pub more: u64,
}

impl Verdict {
    /// Whether the chain holds.
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn find(&mut self, finding: String) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }
}

impl Book {
    /// Reads the ledger in `folder`. The writer waits while the newest file is read.
    pub fn open(folder: &Path, keep_payloads_bytes: u64) -> Result<Self, LedgerError> {
        let failed = |step: &'static str, path: PathBuf| {
            move |source: io::Error| match source.kind() {
                io::ErrorKind::NotFound => LedgerError::None(folder.to_owned()),
                _ => LedgerError::File { step, path, source },
            }
        };
        let lock_path = folder.join("lock");
        let lock = File::open(&lock_path).map_err(failed("open", lock_path.clone()))?;
        flock(&lock, FlockOperation::LockShared)
            .map_err(|e| failed("lock", lock_path)(e.into()))?;
        let numbers = tail::segments(folder).map_err(failed("list", folder.to_owned()))?;
        let mut files = Vec::new();
        for number in numbers {
            let path = tail::path(folder, number);
            files.push((number, File::open(&path).map_err(failed("open", path))?));
        }
        let head = std::fs::read(folder.join("head")).ok().and_then(|bytes| Head::read(&bytes));
        let mut segments = BTreeMap::new();
        // The newest one first and under the lock; the others no longer change.
        let mut lock = Some(lock);
        for (number, file) in files.into_iter().rev() {
            let path = tail::path(folder, number);
            segments.insert(number, tail::read(file).map_err(failed("read", path))?);
            drop(lock.take());
        }
        let payloads = Payloads::new(folder, keep_payloads_bytes);
        Ok(Book { segments: segments.into_iter().collect(), head, payloads })
    }

    /// Every entry that can be read, the oldest first, with its hash.
    pub fn entries(&self) -> impl Iterator<Item = (Entry, String)> {
        let lines = self.segments.iter().flat_map(|(_, bytes)| bytes.split(|b| *b == b'\n'));
        lines.filter_map(|line| chain::read(line).ok())
    }

    /// The payload of an entry, where it is still kept.
    pub fn payload(&self, entry: &Entry) -> Option<Vec<u8>> {
        match &entry.what {
            What::Sent { sha256, .. } => self.payloads.find(entry.n, sha256),
            _ => None,
        }
    }

    /// Checks every byte of the chain.
    pub fn verify(&self) -> Verdict {
        verify(&self.segments, self.head.as_ref())
    }
}

/// Checks the files with their numbers, and what the head says about their end.
pub(super) fn verify(segments: &[(u64, Vec<u8>)], known: Option<&Head>) -> Verdict {
    let mut verdict = Verdict { files: segments.len(), ..Verdict::default() };
    let mut head = Head::start();
    let mut first: Option<Entry> = None;
    let mut dropped: Vec<(u64, String)> = Vec::new();
    // Whether the entry with the head's number has its hash.
    let mut known_is_there = known.is_none_or(|known| known.n == 0);
    let mut file_before: Option<u64> = None;
    for (number, bytes) in segments {
        verdict.bytes += bytes.len() as u64;
        if let Some(before) = file_before.replace(*number)
            && before + 1 != *number
        {
            verdict.find(format!("file {:08} is missing", before + 1));
        }
        let mut lines = bytes.split(|b| *b == b'\n').peekable();
        let mut line_number = 0;
        while let Some(line) = lines.next() {
            line_number += 1;
            let place = format!("{number:08}.log:{line_number}");
            if lines.peek().is_none() {
                // Behind the last end of line nothing may stand.
                if !line.is_empty() {
                    verdict.find(format!("{place}: {} bytes of an unfinished line", line.len()));
                }
                break;
            }
            let (entry, hash) = match chain::read(line) {
                Ok(read) => read,
                Err(why) => {
                    verdict.find(format!("{place}: {why}"));
                    continue;
                }
            };
            verdict.entries += 1;
            known_is_there |= known.is_some_and(|k| (k.n, &k.hash) == (entry.n, &hash));
            if first.is_none() {
                head = Head { n: entry.n.saturating_sub(1), hash: entry.prev.clone() };
                first = Some(entry.clone());
            }
            if let Err(why) = head.follow(&entry, hash) {
                verdict.find(format!("{place}: {why}"));
            }
            note(&mut verdict, &mut dropped, &entry, *number, &place);
        }
    }
    begin(&mut verdict, first.as_ref(), &dropped);
    if let Some(known) = known.filter(|_| !known_is_there) {
        let (n, last) = (known.n, head.n);
        verdict.find(match n > last {
            true => {
                format!("the end is missing: entry {n} was written, the last one here is {last}")
            }
            false => format!("entry {n} is not the one that was written"),
        });
    }
    verdict.head = (head.n, head.hash);
    verdict
}

/// What an entry declares about the ledger itself.
fn note(
    verdict: &mut Verdict,
    dropped: &mut Vec<(u64, String)>,
    entry: &Entry,
    file: u64,
    place: &str,
) {
    let at = entry.at;
    match &entry.what {
        What::Segment { segment } if *segment != file => {
            verdict.find(format!("{place}: this is the beginning of file {segment:08}"));
        }
        What::Dropped { first, last, hash, bytes, .. } => {
            dropped.push((*last, hash.clone()));
            verdict.notes.push(format!(
                "entries {first} to {last} ({bytes} bytes) were removed at {at} to keep the budget; the last one's hash was {hash}"
            ));
        }
        What::Repaired { segment, cut_bytes, known_head, .. } => {
            let lost = (known_head + 1).saturating_sub(entry.n);
            verdict.notes.push(format!(
                "at {at} the end of file {segment:08} was not whole: {cut_bytes} bytes of an unfinished line were cut off, {lost} entries that had been written were gone"
            ));
        }
        What::Missed { entries, bytes, since, reason } => verdict.notes.push(format!(
            "{entries} departures ({bytes} bytes) from {since} to {at} could not be noted: {reason}"
        )),
        _ => {}
    }
}

/// The first entry must be number 1, or what was before it must be declared as removed.
fn begin(verdict: &mut Verdict, first: Option<&Entry>, dropped: &[(u64, String)]) {
    let Some(first) = first else { return };
    let before = first.n.saturating_sub(1);
    let declared = match before {
        0 => first.prev == origin(),
        before => dropped.iter().any(|(last, hash)| *last == before && *hash == first.prev),
    };
    if !declared {
        verdict.find(match before {
            0 => "the first entry names one before it".to_owned(),
            before => {
                format!("entries 1 to {before} are missing and were not removed by the agent")
            }
        });
    }
}
