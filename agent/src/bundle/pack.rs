//! Packs: frames of files in, a `tar.gz` on the shelf out. Runs on a thread of its own that gives way to
//! everything else; one file at a time is on the disk before it is in the archive, since tar wants to
//! know its size first.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use bytes::Bytes;
use callhome_shared::bundle::{Content, MAX_CONTENTS, MAX_NAME, Redacted, hex};
use callhome_shared::id::new_uuid;
use callhome_shared::limits::cut;
use callhome_shared::time::Time;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::frames::{Begin, FileHead, Frame, Frames};
use super::record::{Approve, Decided, Person, Record, State, check_subject, note};
use super::scrub::Scrubber;
use super::shelf::{ARCHIVE, Shelf, ShelfError, at, mib};
use crate::redact::{Redactor, RuleCount};

/// The last file of every archive.
pub const MANIFEST: &str = "manifest.json";
/// Scrubbed bytes are written when there are so many.
const BUFFER: usize = 64 * 1024;

/// What an archive says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The bundle.
    pub bundle: uuid::Uuid,
    /// When it was packed.
    pub created_at: Time,
    /// The agent's version.
    pub version: String,
    /// Its files.
    pub files: Vec<ManifestFile>,
}

/// One file, as the manifest tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Name, size and how many places were replaced.
    #[serde(flatten)]
    pub content: Content,
    /// When it was last written.
    #[serde(default)]
    pub modified_at: Option<Time>,
    /// Which rules replaced how many.
    #[serde(default)]
    pub rules: Vec<RuleCount>,
    /// Places that were no UTF-8 and became U+FFFD.
    #[serde(default)]
    pub no_utf8: u64,
}

/// What packing needs.
pub struct Packer {
    /// Where it goes.
    pub shelf: Shelf,
    /// What texts go through.
    pub redactor: Redactor,
    /// Whether it waits for a person.
    pub approve: Approve,
    /// Who asked.
    pub person: Person,
}

impl Packer {
    /// Takes frames until their end. Whatever goes wrong leaves nothing behind.
    pub fn run(self, body: mpsc::Receiver<Bytes>) -> Result<Record, ShelfError> {
        let folder = self.shelf.packing_folder()?;
        let packed = self.pack(folder.clone(), body);
        if packed.is_err() {
            let _ = fs::remove_dir_all(&folder);
        }
        packed
    }

    fn pack(&self, folder: PathBuf, body: mpsc::Receiver<Bytes>) -> Result<Record, ShelfError> {
        let mut input = Input { body, frames: Frames::default() };
        let Frame::Begin(begin) = input.next()? else { return Err(refused("no beginning")) };
        check_subject(&begin.subject).map_err(ShelfError::Refused)?;
        let mut archive = Archive::new(&self.shelf, folder)?;
        let (id, created_at) = (new_uuid(), Time::now());
        let mut files = Vec::new();
        let mut names = BTreeSet::from([MANIFEST.to_owned()]);
        loop {
            match input.next()? {
                Frame::File(head) => {
                    if files.len() == MAX_CONTENTS {
                        self.shelf.count_refused();
                        let text = format!("a bundle has at most {MAX_CONTENTS} files");
                        return Err(ShelfError::Refused(text));
                    }
                    let name = unique(&self.redactor.text(&head.name), &mut names);
                    files.push(self.file(&mut archive, &mut input, &head, name)?);
                }
                Frame::End if files.is_empty() => return Err(refused("a bundle needs a file")),
                Frame::End => break,
                _ => return Err(refused("a file was expected")),
            }
        }
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let manifest = Manifest { bundle: id, created_at, version, files };
        let contents: Vec<Content> = manifest.files.iter().map(|f| f.content.clone()).collect();
        let (folder, size, sha256) = archive.finish(&manifest)?;
        let record = self.record(begin, id, created_at, &contents, (size, sha256));
        let promise = record.declaration(contents.clone(), "nobody yet".to_owned()).check();
        promise.map_err(ShelfError::Refused)?;
        self.shelf.take(&folder, record.clone(), &contents)?;
        Ok(record)
    }

    fn record(
        &self,
        begin: Begin,
        id: uuid::Uuid,
        created_at: Time,
        contents: &[Content],
        (size, sha256): (u64, String),
    ) -> Record {
        let auto = self.approve == Approve::Auto;
        Record {
            id,
            name: archive_name(&begin, created_at),
            subject: begin.subject,
            size,
            sha256,
            files: contents.len() as u64,
            created_at,
            created_by: self.person.clone(),
            note: begin.note.and_then(|text| note(&self.redactor.text(&text))),
            state: if auto { State::Approved } else { State::Held },
            decided: auto.then_some(Decided { by: None, at: created_at }),
            cancelled: None,
            over_at: None,
            reason: None,
            archive: true,
            upload: super::record::Upload::default(),
        }
    }

    /// One file, up to its end.
    fn file(
        &self,
        archive: &mut Archive<'_>,
        input: &mut Input,
        head: &FileHead,
        name: String,
    ) -> Result<ManifestFile, ShelfError> {
        let before = self.redactor.counts();
        let mut scrubber = (!head.binary).then(|| Scrubber::new(&self.redactor));
        let mut staged = archive.stage()?;
        let mut out = Vec::with_capacity(BUFFER);
        let no_text = |e: super::scrub::NoText| {
            let name = self.redactor.text(&head.name);
            let how = "to send it as it is, without redaction, name it with --binary";
            ShelfError::Refused(format!("{name}: {e}; {how}"))
        };
        loop {
            match input.next()? {
                Frame::Data(bytes) => {
                    archive.admit(bytes.len() as u64)?;
                    match &mut scrubber {
                        Some(scrubber) => scrubber.push(&bytes, &mut out).map_err(no_text)?,
                        None => out.extend_from_slice(&bytes),
                    }
                    if out.len() >= BUFFER {
                        archive.write(&mut staged, &mut out)?;
                    }
                }
                Frame::EndOfFile => break,
                _ => return Err(refused("the end of a file was expected")),
            }
        }
        if let Some(scrubber) = &mut scrubber {
            scrubber.finish(&mut out).map_err(no_text)?;
        }
        archive.write(&mut staged, &mut out)?;
        let modified_at = head.modified_at;
        let size = archive.append(staged, &name, modified_at)?;
        let rules = since(&before, self.redactor.counts());
        let redacted = match head.binary {
            true => Redacted::Binary,
            false => Redacted::Replaced(rules.iter().map(|rule| rule.count).sum()),
        };
        let no_utf8 = scrubber.map_or(0, |scrubber| scrubber.strays());
        let content = Content { name, size, redacted };
        Ok(ManifestFile { content, modified_at, rules, no_utf8 })
    }
}

fn refused(why: &str) -> ShelfError {
    ShelfError::Refused(why.to_owned())
}

/// What was counted since `before`.
fn since(before: &[RuleCount], now: Vec<RuleCount>) -> Vec<RuleCount> {
    let old = |rule: &str| before.iter().find(|b| b.rule == rule).map_or(0, |b| b.count);
    now.into_iter()
        .map(|now| RuleCount { count: now.count - old(&now.rule), ..now })
        .filter(|now| now.count > 0)
        .collect()
}

fn archive_name(begin: &Begin, at: Time) -> String {
    let about = match (&begin.subject.ticket, begin.subject.alarm_id) {
        (Some(ticket), _) => ticket.clone(),
        (None, Some(alarm)) => format!("alarm-{alarm}"),
        (None, None) => "bundle".to_owned(),
    };
    let at: String = at.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
    format!("{about}-{at}.tar.gz")
}

/// A name that is none of `taken`, without anything that means something to a file system.
fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let bad = |c: char| c.is_control() || matches!(c, '/' | '\\');
    let mut name: String = name.chars().map(|c| if bad(c) { '_' } else { c }).collect();
    // Room for a number.
    cut(&mut name, MAX_NAME - 8);
    if name.is_empty() || name == "." || name == ".." {
        name = "file".to_owned();
    }
    let mut free = name.clone();
    let mut number = 2;
    while taken.contains(&free) {
        free = match name.split_once('.').filter(|(stem, _)| !stem.is_empty()) {
            Some((stem, end)) => format!("{stem}-{number}.{end}"),
            None => format!("{name}-{number}"),
        };
        number += 1;
    }
    taken.insert(free.clone());
    free
}

/// Frames out of what comes over the socket.
struct Input {
    body: mpsc::Receiver<Bytes>,
    frames: Frames,
}

impl Input {
    fn next(&mut self) -> Result<Frame, ShelfError> {
        loop {
            if let Some(frame) = self.frames.take().map_err(ShelfError::Refused)? {
                return Ok(frame);
            }
            match self.body.blocking_recv() {
                Some(bytes) => self.frames.push(&bytes),
                None => return Err(refused("it was not sent to its end")),
            }
        }
    }
}

/// Counts and hashes what is written.
struct Hashed {
    file: BufWriter<File>,
    bytes: u64,
    sha256: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.file.write(buf)?;
        self.bytes += n as u64;
        self.sha256.update(buf.get(..n).unwrap_or_default());
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The archive that grows.
struct Archive<'s> {
    shelf: &'s Shelf,
    folder: PathBuf,
    tar: tar::Builder<GzEncoder<Hashed>>,
    /// Bytes of contents so far, as they came and as they are packed.
    came: u64,
    packed: u64,
}

impl<'s> Archive<'s> {
    fn new(shelf: &'s Shelf, folder: PathBuf) -> Result<Self, ShelfError> {
        let path = folder.join(ARCHIVE);
        let file = open(&path).map_err(at("make", &path))?;
        let hashed = Hashed { file: BufWriter::new(file), bytes: 0, sha256: Sha256::new() };
        let tar = tar::Builder::new(GzEncoder::new(hashed, Compression::default()));
        Ok(Archive { shelf, folder, tar, came: 0, packed: 0 })
    }

    /// So many bytes have come: whether they are still within the limit of one bundle.
    fn admit(&mut self, bytes: u64) -> Result<(), ShelfError> {
        self.came += bytes;
        self.within(self.came)
    }

    fn within(&self, bytes: u64) -> Result<(), ShelfError> {
        let max = self.shelf.limits().max_bytes;
        if bytes > max {
            self.shelf.count_refused();
            let text = format!("it is larger than {} MiB (bundle.max_mib)", mib(max));
            return Err(ShelfError::Refused(text));
        }
        Ok(())
    }

    fn stage(&self) -> Result<File, ShelfError> {
        let path = self.folder.join("file");
        open(&path).map_err(at("make", &path))
    }

    /// Writes what is to be staged, within the budget: what is staged, what is packed, and what is there.
    fn write(&mut self, staged: &mut File, out: &mut Vec<u8>) -> Result<(), ShelfError> {
        self.packed += out.len() as u64;
        self.within(self.packed)?;
        let so_far = staged.stream_position().unwrap_or(0);
        self.shelf.make_room(self.tar.get_ref().get_ref().bytes + so_far + out.len() as u64)?;
        staged.write_all(out).map_err(at("write", &self.folder))?;
        out.clear();
        Ok(())
    }

    /// The staged file becomes part of the archive.
    fn append(
        &mut self,
        mut staged: File,
        name: &str,
        modified_at: Option<Time>,
    ) -> Result<u64, ShelfError> {
        let size = staged.stream_position().map_err(at("pack", &self.folder))?;
        // For a moment it is there twice.
        let so_far = self.tar.get_ref().get_ref().bytes;
        self.shelf.make_room(so_far.saturating_add(size.saturating_mul(2)))?;
        let mut add = || {
            staged.rewind()?;
            let mut header = header(size, modified_at.unwrap_or_else(Time::now));
            self.tar.append_data(&mut header, name, &staged)?;
            staged.set_len(0)?;
            Ok(size)
        };
        add().map_err(at("pack", &self.folder))
    }

    /// Everything is on the disk.
    fn finish(mut self, manifest: &Manifest) -> Result<(PathBuf, u64, String), ShelfError> {
        let folder = self.folder;
        let close = || {
            let text = serde_json::to_vec_pretty(manifest).map_err(io::Error::from)?;
            let mut header = header(text.len() as u64, manifest.created_at);
            self.tar.append_data(&mut header, MANIFEST, text.as_slice())?;
            let Hashed { file, bytes, sha256 } = self.tar.into_inner()?.finish()?;
            file.into_inner().map_err(|e| e.into_error())?.sync_all()?;
            fs::remove_file(folder.join("file"))?;
            Ok((bytes, hex(&sha256.finalize())))
        };
        let (bytes, sha256) = close().map_err(at("pack", &folder))?;
        let max = self.shelf.limits().max_bytes;
        if bytes > max {
            self.shelf.count_refused();
            let text = format!("packed it is larger than {} MiB (bundle.max_mib)", mib(max));
            return Err(ShelfError::Refused(text));
        }
        self.shelf.make_room(bytes)?;
        Ok((folder, bytes, sha256))
    }
}

fn open(path: &std::path::Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(path)
}

fn header(size: u64, modified_at: Time) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(u64::try_from(modified_at.millis() / 1000).unwrap_or(0));
    header
}
