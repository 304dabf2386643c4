//! The rotated files beside a log: `messages.1`, `messages-20260724`, `messages.2.gz`.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::tail::mtime;

/// Directory entries looked at.
const MAX_ENTRIES: usize = 20_000;
const COMPRESSED: [&str; 6] = [".gz", ".xz", ".zst", ".bz2", ".lz4", ".Z"];

/// What a rotation put behind the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Suffix {
    /// `.1`: the smaller, the newer.
    Number(u64),
    /// `-20260724`: the greater, the newer.
    Date(String),
    /// `.old`, `.bak`.
    Word,
}

impl Suffix {
    /// The older first, where both are of one sort.
    pub(super) fn age_order(&self, other: &Suffix) -> Option<Ordering> {
        match (self, other) {
            (Suffix::Number(a), Suffix::Number(b)) => Some(b.cmp(a)),
            (Suffix::Date(a), Suffix::Date(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

/// A rotated file.
#[derive(Clone, Debug)]
pub(super) struct Sibling {
    pub path: PathBuf,
    pub id: (u64, u64),
    pub size: u64,
    pub mtime: i64,
    pub suffix: Suffix,
    pub compressed: bool,
}

impl Sibling {
    pub(super) fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}

/// All rotated files of the log, the oldest first.
pub(super) fn list(log: &Path) -> io::Result<Vec<Sibling>> {
    let (folder, base) = place(log);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)?.take(MAX_ENTRIES) {
        let entry = entry?;
        let Some((suffix, compressed)) = rotation(base.as_bytes(), entry.file_name().as_bytes())
        else {
            continue;
        };
        // It may be renamed or removed while we look.
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_file() {
            found.push(Sibling {
                path: entry.path(),
                id: (meta.dev(), meta.ino()),
                size: meta.len(),
                mtime: mtime(&meta),
                suffix,
                compressed,
            });
        }
    }
    found.sort_by(|a, b| {
        let by_name = || a.suffix.age_order(&b.suffix).unwrap_or_else(|| a.path.cmp(&b.path));
        a.mtime.cmp(&b.mtime).then_with(by_name)
    });
    Ok(found)
}

/// The file with this inode in the log's folder, by whatever name.
pub(super) fn by_inode(log: &Path, id: (u64, u64)) -> io::Result<Option<File>> {
    let (folder, _) = place(log);
    for entry in std::fs::read_dir(folder)?.take(MAX_ENTRIES) {
        let entry = entry?;
        if entry.ino() != id.1 || !entry.metadata().is_ok_and(|meta| meta.is_file()) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        let meta = file.metadata()?;
        if (meta.dev(), meta.ino()) == id {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// Folder and name of the log; of what it points to where it is a link.
pub(super) fn place(log: &Path) -> (PathBuf, std::ffi::OsString) {
    let real = std::fs::canonicalize(log).unwrap_or_else(|_| log.to_owned());
    let folder = real.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
    (folder, real.file_name().map(OsStr::to_owned).unwrap_or_default())
}

/// Reads a rotated name of `base`. Strict, or `syslog-ng.log` would pass for a rotated `syslog`.
fn rotation(base: &[u8], name: &[u8]) -> Option<(Suffix, bool)> {
    let compression = COMPRESSED.iter().find_map(|c| name.strip_suffix(c.as_bytes()));
    let (name, compressed) = compression.map_or((name, false), |shorter| (shorter, true));
    let whole = name.strip_prefix(base);
    // `messages.1.log` for `messages.log`.
    let inner = || {
        let dot = base.iter().rposition(|b| *b == b'.').filter(|at| *at > 0)?;
        let (stem, extension) = base.split_at(dot);
        name.strip_prefix(stem)?.strip_suffix(extension)
    };
    let suffix = whole.and_then(read_suffix).or_else(|| inner().and_then(read_suffix))?;
    Some((suffix, compressed))
}

fn read_suffix(text: &[u8]) -> Option<Suffix> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_prefix(['.', '-', '_'])?;
    if matches!(text, "old" | "bak" | "prev") {
        return Some(Suffix::Word);
    }
    let dated = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_' | 'T' | ':');
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(dated) {
        return None;
    }
    match text.parse() {
        Ok(number) if text.len() < 6 => Some(Suffix::Number(number)),
        _ => Some(Suffix::Date(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_names_and_no_others() {
        let of = |base: &str, name: &str| rotation(base.as_bytes(), name.as_bytes());
        assert_eq!(of("messages", "messages.1"), Some((Suffix::Number(1), false)));
        assert_eq!(of("messages", "messages.12.gz"), Some((Suffix::Number(12), true)));
        let date = Suffix::Date("20260724".to_owned());
        assert_eq!(of("messages", "messages-20260724"), Some((date.clone(), false)));
        assert_eq!(of("a.log", "a-20260724.log.xz"), Some((date, true)));
        assert_eq!(of("a.log", "a.log.old"), Some((Suffix::Word, false)));
        for other in ["messages", "messages-ng.log", "messages.1a", "other.1", "messages.", "m.1"] {
            assert_eq!(of("messages", other), None, "{other}");
        }
        assert_eq!(of("syslog", "syslog-ng.log"), None);
    }

    #[test]
    fn the_older_comes_first() {
        assert_eq!(Suffix::Number(2).age_order(&Suffix::Number(1)), Some(Ordering::Less));
        let date = |d: &str| Suffix::Date(d.to_owned());
        assert_eq!(date("20260101").age_order(&date("20260102")), Some(Ordering::Less));
        assert_eq!(Suffix::Number(2).age_order(&Suffix::Word), None);
    }
}
