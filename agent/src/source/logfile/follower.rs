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
use super::siblings::{self, Sibling};
use super::tail::{CHUNK_BYTES, Fill, Sink, Tail, begins_like, read_head};
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
/// Looks at the folder until two of them agree.
const MAX_LOOKS: usize = 5;
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
        let list = self.list()?;
        let horizon = list.iter().map(|s| s.mtime).max().unwrap_or(i64::MIN);
        self.horizon = horizon;
        for sibling in list.iter().filter(|s| s.mtime == horizon && !s.compressed) {
            let head = read_head(&open_same(sibling)?, HEAD_BYTES)?;
            let (dev, ino) = sibling.id;
            let (head_len, head) = (head.len(), digest(&head));
            self.remember(Mark { dev, ino, offset: sibling.size, head_len, head });
        }
        let Some(file) = self.open_path()? else { return Ok(()) };
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
        let list = self.list()?;
        for mark in &saved.tails {
            match self.find(mark, &list)? {
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
            self.unless_rotating(&list)?;
            self.gap("rotated-away", Time(saved.at), None);
        }
        self.horizon = saved.horizon;
        self.read_all = Time(saved.at);
        self.tails = tails;
        self.saved = Some(saved);
        Ok(())
    }

    /// A file was emptied in place: the rest of what it held may stand in a copy.
    fn replaced(&mut self, index: usize) -> io::Result<()> {
        let list = self.list()?;
        let Some(tail) = self.tails.get(index) else { return Ok(()) };
        let (mark, mtime, looked) = (tail.mark(), tail.mtime(), tail.has_looked());
        let copy = self.find_copy(&mark, &list)?;
        if matches!(copy, Found::Nowhere) {
            self.unless_rotating(&list)?;
        }
        self.tails.remove(index);
        // Otherwise something unseen may still be before it, or before its copy.
        if looked {
            self.horizon = self.horizon.max(mtime);
        }
        match copy {
            Found::Tail(copy) => self.tails.insert(index, *copy),
            Found::AllRead => {}
            Found::Nowhere => self.gap("truncated", self.read_all, None),
        }
        self.remember(emptied(mark));
        Ok(())
    }

    /// Whether another file is at the path now; if so it is opened, and before it what came between.
    fn look_at_path(&mut self) -> io::Result<Path> {
        let Some(file) = self.open_path()? else {
            // Rotated, perhaps more than once, and not yet made anew.
            let unseen = self.unseen(NO_FILE, None)?;
            if self.open_path()?.is_some() {
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

    fn open_path(&self) -> io::Result<Option<File>> {
        let path = &self.settings.path;
        match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            // Opening a named pipe would wait for its writer.
            Ok(meta) if !meta.is_file() => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
            }
            Ok(_) => match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                opened => opened.map(Some),
            },
        }
    }

    /// Rotated files that are not known and were written after all that is and before the file with
    /// this `id`, the oldest first. `path` is the file at the path where it is not being read yet.
    fn unseen(&mut self, id: (u64, u64), path: Option<&File>) -> io::Result<Vec<Tail>> {
        let horizon = self.current_horizon();
        let list = self.list()?;
        let mut beginnings =
            path.map(|f| read_head(f, HEAD_BYTES)).transpose()?.into_iter().collect();
        self.beginnings(&mut beginnings)?;
        let mut unseen = Vec::new();
        // If the file was renamed meanwhile, what is listed behind it came later.
        for sibling in list.into_iter().take_while(|s| s.id != id) {
            let known = self.tails.iter().any(|t| t.id() == sibling.id);
            if known || sibling.compressed || sibling.mtime < horizon {
                continue;
            }
            let file = open_same(&sibling)?;
            let begin = read_head(&file, HEAD_BYTES)?;
            // A copy of a file that is being read, made this very moment: wanted only once that
            // file is found to be emptied. (An empty file is the beginning of a copy, too.)
            let copy = beginnings.iter().any(|known| known.starts_with(&begin));
            if !begin.is_empty() && !copy && !self.is_done(&file)? {
                let mut tail = Tail::fresh(file, self.settings.max_line_bytes)?;
                tail.set_known(&begin);
                unseen.push(tail);
            }
        }
        if unseen.len() > MAX_UNSEEN {
            let too_many = unseen.len() - MAX_UNSEEN;
            unseen.drain(..too_many);
            self.gap("rotated-away", self.read_all, None);
        }
        Ok(unseen)
    }

    /// The beginnings of all files being read. If one of them was emptied meanwhile, what is at hand
    /// of the folder may hold a copy of it, and that has to be found out first.
    fn beginnings(&mut self, found: &mut Vec<Vec<u8>>) -> io::Result<()> {
        for tail in &mut self.tails {
            match tail.beginning()? {
                Some(head) if !head.is_empty() => found.push(head),
                Some(_) => {}
                None => return Err(rotating()),
            }
        }
        Ok(())
    }

    fn is_done(&self, file: &File) -> io::Result<bool> {
        let meta = file.metadata()?;
        let (id, size) = ((meta.dev(), meta.ino()), meta.len());
        for mark in &self.done {
            let fits = id == (mark.dev, mark.ino) || size <= mark.offset;
            if fits && begins_like(file, mark)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The generation of `mark`: at the path, under another name, or in a copy.
    fn find(&self, mark: &Mark, list: &[Sibling]) -> io::Result<Found> {
        let max = self.settings.max_line_bytes;
        let id = (mark.dev, mark.ino);
        let at_path = self.open_path()?;
        let same = match at_path {
            Some(file) if file.metadata().is_ok_and(|m| (m.dev(), m.ino()) == id) => Some(file),
            _ => siblings::by_inode(&self.settings.path, id)?,
        };
        if let Some(file) = same
            && let Some(tail) = Tail::resume(file, mark, max)?
        {
            return Ok(Found::Tail(Box::new(tail)));
        }
        self.find_copy(mark, list)
    }

    fn find_copy(&self, mark: &Mark, list: &[Sibling]) -> io::Result<Found> {
        let mut found = Found::Nowhere;
        if mark.head_len == 0 {
            return Ok(found);
        }
        for sibling in list.iter().filter(|s| !s.compressed) {
            if self.tails.iter().any(|t| t.id() == sibling.id) {
                continue;
            }
            let file = open_same(sibling)?;
            // Not the listed size: it may have been listed while it was being copied.
            if file.metadata()?.len() <= mark.offset {
                // Of less than was read: what it holds was handed out already.
                let begin = read_head(&file, mark.head_len)?;
                if begin.len() == mark.head_len && begins_like(&file, mark)? {
                    found = Found::AllRead;
                }
            } else if let Some(tail) = Tail::resume(file, mark, self.settings.max_line_bytes)? {
                return Ok(Found::Tail(Box::new(tail)));
            }
        }
        Ok(found)
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

    fn gap(&mut self, reason: &'static str, from: Time, count: Option<u64>) {
        self.gaps.push(Gap { from, to: Time::now(), reason, count });
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

    /// The rotated files, looked at until two looks agree: a folder is no snapshot.
    fn list(&self) -> io::Result<Vec<Sibling>> {
        let mut before = siblings::list(&self.settings.path)?;
        for _ in 0..MAX_LOOKS {
            let now = siblings::list(&self.settings.path)?;
            if same_folder(&before, &now) {
                return Ok(now);
            }
            before = now;
        }
        Err(rotating())
    }

    /// Nothing is declared lost because it was renamed in the moment of the look.
    fn unless_rotating(&self, list: &[Sibling]) -> io::Result<()> {
        if same_folder(list, &self.list()?) { Ok(()) } else { Err(rotating()) }
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

/// Where a generation is.
enum Found {
    /// Here, with something left to read perhaps.
    Tail(Box<Tail>),
    /// Nothing is left of it to read.
    AllRead,
    /// Gone or compressed.
    Nowhere,
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

/// Opens what was listed, not what has its name by now.
fn open_same(sibling: &Sibling) -> io::Result<File> {
    let file = sibling.open()?;
    let meta = file.metadata()?;
    if (meta.dev(), meta.ino()) == sibling.id { Ok(file) } else { Err(rotating()) }
}

fn same_folder(one: &[Sibling], other: &[Sibling]) -> bool {
    let key = |s: &Sibling| (s.id, s.path.clone());
    one.iter().map(key).eq(other.iter().map(key))
}

fn rotating() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "the folder changes while it is looked at")
}
