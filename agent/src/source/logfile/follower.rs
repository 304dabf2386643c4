//! Follows a log through its rotations. Blocks: runs on a blocking thread.
//!
//! What is read is a row of generations ([`Mark`]), each from one beginning to the next rotation.
//! A rename leaves a generation in its inode under another name; copytruncate leaves it in a copy
//! and begins the next one in the same inode. Files being read are kept open, so what has a name
//! at the time of a look is never lost by the next rename.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use callhome_shared::time::Time;

use super::lines::FileLine;
use super::position::{HEAD_BYTES, Mark, Saved, digest};
use super::search::{Found, Search, list, open_path, open_same, rotating, unless_rotating};
use super::siblings::Sibling;
use super::tail::{CHUNK_BYTES, Fill, Sink, Tail, read_head};
use super::{LogfileSettings, StartFrom};
use crate::source::{Gap, Position};

/// A rotated file is read on until it was quiet for so long: its writer may still hold it open.
const DRAIN: Duration = Duration::from_secs(30);
/// Files kept open. More are given up early, the oldest first, once they are read.
const MAX_TAILS: usize = 8;
/// Rotated files never seen before that are read at most; older ones are declared as a gap.
const MAX_UNSEEN: usize = 32;
/// Finished generations remembered, so that they are not read again under another name.
const MAX_DONE: usize = 16;
/// The inode of no file.
const NO_FILE: (u64, u64) = (0, 0);

/// What one look at the log gave.
#[derive(Debug)]
pub(super) struct Polled {
    pub lines: Vec<FileLine>,
    pub gaps: Vec<Gap>,
    /// Behind the last of the lines, if it moved.
    pub position: Option<Position>,
    /// Whether another look at once will give more.
    pub more: bool,
    /// Whether there is a file at the path.
    pub present: bool,
}

/// A log and how far it was read.
#[derive(Debug)]
pub(super) struct Follower {
    settings: LogfileSettings,
    /// The stored position, until it was taken up.
    begin: Option<Option<Position>>,
    /// Files being read, the oldest first; the last one was at the path.
    tails: Vec<Tail>,
    done: VecDeque<Mark>,
    /// See [`Saved::horizon`].
    horizon: i64,
    gaps: Vec<Gap>,
    /// The last time all was read to its end.
    read_all: Time,
    saved: Option<Saved>,
    chunk: Vec<u8>,
}

impl Follower {
    pub(super) fn new(settings: LogfileSettings, position: Option<Position>) -> Self {
        Follower {
            settings,
            begin: Some(position),
            tails: Vec::new(),
            done: VecDeque::new(),
            horizon: 0,
            gaps: Vec::new(),
            read_all: Time::now(),
            saved: None,
            chunk: vec![0; CHUNK_BYTES],
        }
    }

    /// One look: at most a batch of lines, oldest file first.
    pub(super) fn poll(&mut self) -> io::Result<Polled> {
        if let Some(position) = &self.begin {
            match position.clone() {
                Some(position) => self.take_up(&position)?,
                None => self.first_start()?,
            }
            self.begin = None;
        }
        let mut sink = Sink::default();
        let mut present = true;
        let mut more = match self.read(&mut sink) {
            Ok(stopped_early) => stopped_early,
            // What was read before counts; the next look will fail again if it must.
            Err(_) if !sink.lines.is_empty() => true,
            Err(error) => return Err(error),
        };
        if !more {
            self.read_all = Time::now();
            match self.look_at_path() {
                Ok(Path::Same) => {}
                Ok(Path::Opened) => more = true,
                Ok(Path::Absent) => present = false,
                Err(_) if !sink.lines.is_empty() => more = true,
                Err(error) => return Err(error),
            }
        }
        if !more {
            self.retire(&mut sink);
        }
        let gaps = std::mem::take(&mut self.gaps);
        Ok(Polled { lines: sink.lines, gaps, position: self.moved(), more, present })
    }

    /// A line that enters where those of the file at the path do. To be called after a look that found
    /// the file and read it to its end.
    pub(super) fn prove(&mut self, text: &str) -> bool {
        self.tails.last_mut().is_some_and(|newest| newest.prove(text))
    }

    /// Reads the files in turn; `true` if there is more to read before the path is looked at.
    fn read(&mut self, sink: &mut Sink) -> io::Result<bool> {
        let mut index = 0;
        while let Some(tail) = self.tails.get_mut(index) {
            match tail.fill(sink, &mut self.chunk)? {
                Fill::End => index += 1,
                Fill::Full => return Ok(true),
                Fill::Replaced => {
                    self.replaced(index)?;
                    return Ok(true);
                }
                Fill::First => {
                    let id = tail.id();
                    let unseen = self.unseen(id, None)?;
                    if let Some(tail) = self.tails.get_mut(index) {
                        tail.set_looked();
                    }
                    self.tails.splice(index..index, unseen);
                }
            }
        }
        Ok(false)
    }

    /// No position is stored: whatever is there now, but for the file at the path, is old.
    fn first_start(&mut self) -> io::Result<()> {
        // By what is there and not by our clock: the kernel's time stamps lag behind it.
        let list = list(&self.settings)?;
        let horizon = list.iter().map(|s| s.mtime).max().unwrap_or(i64::MIN);
        self.horizon = horizon;
        for sibling in list.iter().filter(|s| s.mtime == horizon && !s.compressed) {
            let head = read_head(&open_same(sibling)?, HEAD_BYTES)?;
            let (dev, ino) = sibling.id;
            let (head_len, head) = (head.len(), digest(&head));
            self.remember(Mark { dev, ino, offset: sibling.size, head_len, head });
        }
        let Some(file) = open_path(&self.settings)? else { return Ok(()) };
        let tail = match self.settings.from {
            StartFrom::Start => Tail::fresh(file, self.settings.max_line_bytes)?,
            StartFrom::End => Tail::from_end(file, self.settings.max_line_bytes)?,
        };
        self.tails.push(tail);
        Ok(())
    }

    /// Finds the files of the stored position again, by inode or as copies.
    fn take_up(&mut self, position: &Position) -> io::Result<()> {
        let saved = match Saved::parse(position) {
            Ok(saved) => saved,
            Err(error) => {
                // Rather twice than never.
                tracing::error!(path = %self.settings.path.display(), error,
                    "stored position is unreadable: reading the log from its beginning");
                self.settings.from = StartFrom::Start;
                return self.first_start();
            }
        };
        let mut tails: Vec<Tail> = Vec::new();
        let mut lost = false;
        self.done = saved.done.iter().cloned().collect();
        let list = list(&self.settings)?;
        for mark in &saved.tails {
            match self.search().find(mark, &list)? {
                Found::Tail(tail) if tails.iter().any(|t| t.id() == tail.id()) => {}
                Found::Tail(tail) => tails.push(*tail),
                Found::AllRead => {}
                Found::Nowhere => lost = true,
            }
            if tails.last().is_none_or(|t| t.id() != (mark.dev, mark.ino)) {
                self.remember(emptied(mark.clone()));
            }
        }
        lost |= tails.last().is_some_and(|newest| compressed_since(newest, &list));
        if lost {
            unless_rotating(&self.settings, &list)?;
            self.gap("rotated-away", Time(saved.at));
        }
        self.horizon = saved.horizon;
        self.read_all = Time(saved.at);
        self.tails = tails;
        self.saved = Some(saved);
        Ok(())
    }

    /// A file was emptied in place: the rest of what it held may stand in a copy.
    fn replaced(&mut self, index: usize) -> io::Result<()> {
        let list = list(&self.settings)?;
        let Some(tail) = self.tails.get(index) else { return Ok(()) };
        let (mark, mtime, looked) = (tail.mark(), tail.mtime(), tail.has_looked());
        let copy = self.search().find_copy(&mark, &list)?;
        if matches!(copy, Found::Nowhere) {
            unless_rotating(&self.settings, &list)?;
        }
        self.tails.remove(index);
        // Otherwise something unseen may still be before it, or before its copy.
        if looked {
            self.horizon = self.horizon.max(mtime);
        }
        match copy {
            Found::Tail(copy) => self.tails.insert(index, *copy),
            Found::AllRead => {}
            Found::Nowhere => self.gap("truncated", self.read_all),
        }
        self.remember(emptied(mark));
        Ok(())
    }

    /// Whether another file is at the path now; if so it is opened, and before it what came between.
    fn look_at_path(&mut self) -> io::Result<Path> {
        let Some(file) = open_path(&self.settings)? else {
            // Rotated, perhaps more than once, and not yet made anew.
            let unseen = self.unseen(NO_FILE, None)?;
            if open_path(&self.settings)?.is_some() {
                return Err(rotating());
            }
            let found = !unseen.is_empty();
            self.tails.extend(unseen);
            return Ok(if found { Path::Opened } else { Path::Absent });
        };
        let meta = file.metadata()?;
        let id = (meta.dev(), meta.ino());
        if let Some(index) = self.tails.iter().position(|t| t.id() == id) {
            // Renamed back, perhaps: the last is the one at the path.
            let tail = self.tails.remove(index);
            self.tails.push(tail);
            return Ok(Path::Same);
        }
        let unseen = self.unseen(id, Some(&file))?;
        let horizon = self.current_horizon();
        self.tails.extend(unseen);
        self.tails.push(Tail::fresh(file, self.settings.max_line_bytes)?);
        self.horizon = horizon;
        Ok(Path::Opened)
    }

    /// Gives up rotated files that are read and quiet.
    fn retire(&mut self, sink: &mut Sink) {
        let now = Instant::now();
        let mut index = 0;
        while let Some(tail) = self.tails.get(index) {
            let last = index + 1 == self.tails.len();
            let quiet = now.duration_since(tail.grown()) >= DRAIN;
            let enough = quiet || self.tails.len() > MAX_TAILS;
            // The last one may be renamed back or be written on; deleted, it only holds the disk's space.
            if !enough || (last && !(quiet && tail.is_deleted())) {
                index += 1;
                continue;
            }
            let mut tail = self.tails.remove(index);
            tail.finish(sink);
            self.horizon = self.horizon.max(if last { tail.mtime() } else { self.horizon });
            self.remember(tail.mark());
        }
    }

    fn search(&mut self) -> Search<'_> {
        let horizon = self.current_horizon();
        Search { settings: &self.settings, tails: &mut self.tails, done: &self.done, horizon }
    }

    /// See [`Search::unseen`]; the oldest of too many are declared lost.
    fn unseen(&mut self, id: (u64, u64), path: Option<&File>) -> io::Result<Vec<Tail>> {
        let mut unseen = self.search().unseen(id, path)?;
        if unseen.len() > MAX_UNSEEN {
            unseen.drain(..unseen.len() - MAX_UNSEEN);
            self.gap("rotated-away", self.read_all);
        }
        Ok(unseen)
    }

    fn remember(&mut self, mark: Mark) {
        if mark.head_len == 0 {
            return;
        }
        self.done.push_back(mark);
        while self.done.len() > MAX_DONE {
            self.done.pop_front();
        }
    }

    /// The newest file's own last change counts only once nothing unseen can be before it.
    fn current_horizon(&self) -> i64 {
        match self.tails.last() {
            Some(newest) if newest.has_looked() => self.horizon.max(newest.mtime()),
            _ => self.horizon,
        }
    }

    fn gap(&mut self, reason: &'static str, from: Time) {
        self.gaps.push(Gap { from, to: Time::now(), reason, count: None });
    }

    /// The position, if it is another than the last one.
    fn moved(&mut self) -> Option<Position> {
        let tails = self.tails.iter().map(Tail::mark).collect();
        let done = self.done.iter().cloned().collect();
        let now = Saved::new(self.read_all, self.current_horizon(), tails, done);
        if self.saved.as_ref().is_some_and(|before| before.same_place(&now)) {
            return None;
        }
        let position = now.to_position();
        self.saved = Some(now);
        position
    }
}

/// What is at the path.
enum Path {
    /// The file that is being read.
    Same,
    /// Another one, opened now.
    Opened,
    /// Nothing.
    Absent,
}

/// Whether a file newer than `newest` was compressed, unread, while we were away.
fn compressed_since(newest: &Tail, list: &[Sibling]) -> bool {
    let Some(own) = list.iter().find(|s| s.id == newest.id()) else { return false };
    list.iter().any(|s| {
        let newer = own.suffix.age_order(&s.suffix) == Some(std::cmp::Ordering::Less);
        s.compressed && newer && s.mtime > own.mtime
    })
}

/// The mark of a generation whose inode holds another one by now: only a copy can be it.
fn emptied(mark: Mark) -> Mark {
    Mark { dev: NO_FILE.0, ino: NO_FILE.1, ..mark }
}
