//! Where generations of a log are: under another name, in a copy, or never seen before.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use super::LogfileSettings;
use super::position::{HEAD_BYTES, Mark};
use super::siblings::{self, Sibling};
use super::tail::{Tail, begins_like, read_head};

/// Looks at the folder until two of them agree.
const MAX_LOOKS: usize = 5;

/// Where a generation is.
pub(super) enum Found {
    /// Here, with something left to read perhaps.
    Tail(Box<Tail>),
    /// Nothing is left of it to read.
    AllRead,
    /// Gone or compressed.
    Nowhere,
}

/// One search: the log, and what is known of it.
pub(super) struct Search<'a> {
    pub settings: &'a LogfileSettings,
    /// Files being read.
    pub tails: &'a mut [Tail],
    /// Generations read to their end lately.
    pub done: &'a VecDeque<Mark>,
    /// Files last changed before that (mtime, ns) are old.
    pub horizon: i64,
}

impl Search<'_> {
    /// Rotated files that are not known and were written after all that is and before the file with
    /// this `id`, the oldest first. `path` is the file at the path where it is not being read yet.
    pub(super) fn unseen(&mut self, id: (u64, u64), path: Option<&File>) -> io::Result<Vec<Tail>> {
        let list = list(self.settings)?;
        let mut beginnings =
            path.map(|f| read_head(f, HEAD_BYTES)).transpose()?.into_iter().collect();
        self.beginnings(&mut beginnings)?;
        let mut unseen = Vec::new();
        // If the file was renamed meanwhile, what is listed behind it came later.
        for sibling in list.into_iter().take_while(|s| s.id != id) {
            let known = self.tails.iter().any(|t| t.id() == sibling.id);
            if known || sibling.compressed || sibling.mtime < self.horizon {
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
        Ok(unseen)
    }

    /// The beginnings of all files being read. If one of them was emptied meanwhile, what is at hand
    /// of the folder may hold a copy of it, and that has to be found out first.
    fn beginnings(&mut self, found: &mut Vec<Vec<u8>>) -> io::Result<()> {
        for tail in self.tails.iter_mut() {
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
        for mark in self.done {
            let fits = id == (mark.dev, mark.ino) || size <= mark.offset;
            if fits && begins_like(file, mark)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The generation of `mark`: at the path, under another name, or in a copy.
    pub(super) fn find(&self, mark: &Mark, list: &[Sibling]) -> io::Result<Found> {
        let max = self.settings.max_line_bytes;
        let id = (mark.dev, mark.ino);
        let at_path = open_path(self.settings)?;
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

    /// The copy of a file that was emptied.
    pub(super) fn find_copy(&self, mark: &Mark, list: &[Sibling]) -> io::Result<Found> {
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
}

/// Opens what is at the path; `None` if nothing is.
pub(super) fn open_path(settings: &LogfileSettings) -> io::Result<Option<File>> {
    let path = &settings.path;
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

/// The rotated files, looked at until two looks agree: a folder is no snapshot.
pub(super) fn list(settings: &LogfileSettings) -> io::Result<Vec<Sibling>> {
    let mut before = siblings::list(&settings.path)?;
    for _ in 0..MAX_LOOKS {
        let now = siblings::list(&settings.path)?;
        if same_folder(&before, &now) {
            return Ok(now);
        }
        before = now;
    }
    Err(rotating())
}

/// Nothing is declared lost because it was renamed in the moment of the look.
pub(super) fn unless_rotating(settings: &LogfileSettings, before: &[Sibling]) -> io::Result<()> {
    if same_folder(before, &list(settings)?) { Ok(()) } else { Err(rotating()) }
}

/// Opens what was listed, not what has its name by now.
pub(super) fn open_same(sibling: &Sibling) -> io::Result<File> {
    let file = sibling.open()?;
    let meta = file.metadata()?;
    if (meta.dev(), meta.ino()) == sibling.id { Ok(file) } else { Err(rotating()) }
}

fn same_folder(one: &[Sibling], other: &[Sibling]) -> bool {
    let key = |s: &Sibling| (s.id, s.path.clone());
    one.iter().map(key).eq(other.iter().map(key))
}

/// To be tried again: not a failure of the log.
pub(super) fn rotating() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "the folder changes while it is looked at")
}
