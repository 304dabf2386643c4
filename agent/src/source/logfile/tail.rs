//! One open file, read to its end again and again.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::Instant;

use super::lines::{FileLine, Splitter};
use super::position::{HEAD_BYTES, Mark, digest};

/// Lines in one batch.
const SINK_LINES: usize = 256;
/// Text in one batch; one line may be longer.
const SINK_BYTES: usize = 256 * 1024;
/// Bytes read at once.
pub(super) const CHUNK_BYTES: usize = 32 * 1024;

/// The lines of one batch.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub lines: Vec<FileLine>,
    bytes: usize,
}

impl Sink {
    fn push(&mut self, line: FileLine) {
        // An empty line says nothing; the position passes it all the same.
        if !line.text.is_empty() {
            self.bytes += line.text.len();
            self.lines.push(line);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.lines.len() >= SINK_LINES || self.bytes >= SINK_BYTES
    }
}

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// Nothing more is there now.
    End,
    /// The batch is full.
    Full,
    /// The file no longer holds what was read from it: it was emptied and perhaps written anew.
    Replaced,
    /// Its first bytes are there and not taken yet, or it was written to and is empty again: the
    /// caller looks for what came before.
    First,
}

/// An open file of the log, by whatever name it has now.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    dev: u64,
    ino: u64,
    /// The first bytes seen, at most [`HEAD_BYTES`].
    head: Vec<u8>,
    /// Digest of `head`, until it grows.
    head_digest: String,
    /// Behind the last line that was handed out.
    offset: u64,
    /// Behind the last byte that was taken.
    read_to: u64,
    splitter: Splitter,
    /// Whether the caller has looked for what came before the first byte.
    looked: bool,
    /// As long as it is empty: its mtime at the caller's last look.
    looked_at: Option<i64>,
    /// When it last grew.
    grown: Instant,
    /// Of the state that was last read, ns.
    mtime: i64,
}

impl Tail {
    /// A file from its first byte.
    pub(super) fn fresh(file: File, max_line_bytes: usize) -> io::Result<Tail> {
        let meta = file.metadata()?;
        Ok(Tail {
            dev: meta.dev(),
            ino: meta.ino(),
            head: Vec::new(),
            head_digest: digest(&[]),
            offset: 0,
            read_to: 0,
            splitter: Splitter::new(max_line_bytes),
            looked: false,
            looked_at: None,
            grown: Instant::now(),
            mtime: mtime(&meta),
            file,
        })
    }

    /// A file from its end: from the beginning of the line that is not complete yet.
    pub(super) fn from_end(file: File, max_line_bytes: usize) -> io::Result<Tail> {
        let mut tail = Tail::fresh(file, max_line_bytes)?;
        let size = tail.file.metadata()?.len();
        let offset = line_start(&tail.file, size, max_line_bytes)?;
        tail.go_to(offset)?;
        Ok(tail)
    }

    /// The generation of `mark`, if this file holds it.
    pub(super) fn resume(
        file: File,
        mark: &Mark,
        max_line_bytes: usize,
    ) -> io::Result<Option<Tail>> {
        let mut tail = Tail::fresh(file, max_line_bytes)?;
        tail.go_to(mark.offset)?;
        // Checked behind the last look at it, or it could be emptied in between.
        let holds = begins_like(&tail.file, mark)? && tail.file.metadata()?.len() >= mark.offset;
        Ok(holds.then_some(tail))
    }

    fn go_to(&mut self, offset: u64) -> io::Result<()> {
        let known = usize::try_from(offset).unwrap_or(HEAD_BYTES).min(HEAD_BYTES);
        self.head = read_head(&self.file, known)?;
        self.head_digest = digest(&self.head);
        self.offset = offset;
        self.read_to = offset;
        self.looked = offset > 0;
        Ok(())
    }

    pub(super) fn id(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }

    pub(super) fn mtime(&self) -> i64 {
        self.mtime
    }

    pub(super) fn grown(&self) -> Instant {
        self.grown
    }

    /// Its first bytes as they are now, read or not; `None` if they are no longer what was read.
    pub(super) fn beginning(&mut self) -> io::Result<Option<Vec<u8>>> {
        if !self.is_unchanged(0)? {
            return Ok(None);
        }
        let head = read_head(&self.file, HEAD_BYTES)?;
        Ok(head.starts_with(&self.head).then_some(head))
    }

    /// Whether no name leads to it any more.
    pub(super) fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| meta.nlink() == 0)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            dev: self.dev,
            ino: self.ino,
            offset: self.offset,
            head_len: self.head.len(),
            head: self.head_digest.clone(),
        }
    }

    /// Reads until the end of the file or of the room in `sink`.
    pub(super) fn fill(&mut self, sink: &mut Sink, chunk: &mut [u8]) -> io::Result<Fill> {
        loop {
            if sink.is_full() {
                return Ok(Fill::Full);
            }
            let read = self.file.read_at(chunk, self.read_to)?;
            let bytes = chunk.get(..read).unwrap_or_default();
            // Checked after the read: it may have been emptied and written anew in between.
            if !self.is_unchanged(read)? {
                return Ok(Fill::Replaced);
            }
            // Several things may happen within one tick of the mtime: first bytes count in any case.
            let unknown = !bytes.is_empty() || self.looked_at != Some(self.mtime);
            if self.read_to == 0 && !self.looked && unknown {
                self.extend_head(bytes);
                return Ok(Fill::First);
            }
            if bytes.is_empty() {
                return Ok(Fill::End);
            }
            self.grown = Instant::now();
            self.extend_head(bytes);
            self.take(bytes, sink);
        }
    }

    /// The caller has looked for what came before. As long as the file is empty, something may
    /// still be written to it and be rotated away.
    pub(super) fn set_looked(&mut self) {
        self.looked_at = Some(self.mtime);
        self.looked = !self.head.is_empty();
    }

    /// A rotated file: what came before it is no longer looked for. `head` is how it begins.
    pub(super) fn set_known(&mut self, head: &[u8]) {
        self.looked = true;
        if self.head.is_empty() {
            self.extend_head(head);
        }
    }

    pub(super) fn has_looked(&self) -> bool {
        self.looked
    }

    /// The file is finished: a last line without an end is complete as it is.
    pub(super) fn finish(&mut self, sink: &mut Sink) {
        if let Some(line) = self.splitter.finish() {
            sink.push(line);
        }
        self.offset = self.read_to;
    }

    /// Sends one line through its splitter; see [`Splitter::prove`].
    pub(super) fn prove(&mut self, text: &str) -> bool {
        self.splitter.prove(text)
    }

    fn take(&mut self, bytes: &[u8], sink: &mut Sink) {
        let mut rest = bytes;
        while !rest.is_empty() && !sink.is_full() {
            let (took, line) = self.splitter.push(rest);
            self.read_to += took as u64;
            if let Some(line) = line {
                self.offset = self.read_to;
                sink.push(line);
            }
            rest = rest.get(took..).unwrap_or_default();
        }
    }

    /// Whether the file still begins as it did and is long enough for `read` more bytes.
    fn is_unchanged(&mut self, read: usize) -> io::Result<bool> {
        let meta = self.file.metadata()?;
        if meta.len() < self.read_to.saturating_add(read as u64) {
            return Ok(false);
        }
        let changed = mtime(&meta) != self.mtime;
        if read > 0 || changed {
            if read_head(&self.file, self.head.len())? != self.head {
                return Ok(false);
            }
            self.mtime = mtime(&meta);
        }
        Ok(true)
    }

    fn extend_head(&mut self, bytes: &[u8]) {
        let known = self.head.len();
        let Some(skip) = (known as u64).checked_sub(self.read_to) else { return };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let new = bytes.get(skip..).unwrap_or_default();
        let new = new.get(..HEAD_BYTES - known).unwrap_or(new);
        if !new.is_empty() {
            self.head.extend_from_slice(new);
            self.head_digest = digest(&self.head);
        }
    }
}

/// Whether the file begins like the generation of `mark`.
pub(super) fn begins_like(file: &File, mark: &Mark) -> io::Result<bool> {
    let head = read_head(file, mark.head_len.min(HEAD_BYTES))?;
    Ok(head.len() == mark.head_len && digest(&head) == mark.head)
}

/// The first `len` bytes, fewer where the file is shorter.
pub(super) fn read_head(file: &File, len: usize) -> io::Result<Vec<u8>> {
    let mut head = vec![0; len];
    let mut filled = 0;
    while filled < len {
        let rest = head.get_mut(filled..).unwrap_or_default();
        match file.read_at(rest, filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// Time of the last change, ns.
pub(super) fn mtime(meta: &Metadata) -> i64 {
    meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())
}

/// Where the line begins that `size` is in. Farther back than a line's limit it is not looked for.
fn line_start(file: &File, size: u64, max_line_bytes: usize) -> io::Result<u64> {
    let lowest = size.saturating_sub(max_line_bytes as u64);
    let mut end = size;
    let mut chunk = vec![0; CHUNK_BYTES];
    while end > lowest {
        let begin = end.saturating_sub(CHUNK_BYTES as u64).max(lowest);
        let len = usize::try_from(end - begin).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let part = chunk.get_mut(..len).unwrap_or_default();
        file.read_exact_at(part, begin)?;
        if let Some(found) = part.iter().rposition(|b| *b == b'\n') {
            return Ok(begin + found as u64 + 1);
        }
        end = begin;
    }
    Ok(if lowest == 0 { 0 } else { size })
}
