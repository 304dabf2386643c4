//! Appends entries to the newest file and keeps the files within their budget.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use callhome_shared::time::Time;
use rustix::fs::{FlockOperation, flock};

use super::chain::{self, Head};
use super::entry::{Entry, What};
use super::payloads::Payloads;
use super::read::LedgerError;
use super::tail::{self, Tail};
use super::{Settings, Status};

/// The budget is shared by so many files.
const SEGMENTS: u64 = 8;
/// Smallest and largest size of a file.
const SEGMENT_BYTES: (u64, u64) = (32 * 1024, 4 * 1024 * 1024);

/// The writing end.
#[derive(Debug)]
pub(super) struct Writer {
    folder: PathBuf,
    settings: Settings,
    payloads: Payloads,
    /// Taken for each entry: `enroll` may write beside the running agent.
    lock: File,
    /// The last entry's number and hash, so that a missing end is noticed.
    head_file: File,
    head: Head,
    segment: u64,
    file: Option<File>,
    /// Length of the newest file.
    len: u64,
    /// Length of the older ones.
    older: u64,
    /// What could not be written and is not declared yet.
    missed: Missed,
    missed_in_all: u64,
}

/// What could not be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Missed {
    pub(super) entries: u64,
    bytes: u64,
    since: Option<Time>,
    reason: String,
}

impl Missed {
    /// One more.
    pub(super) fn add(&mut self, payload: Option<&[u8]>) {
        self.since.get_or_insert_with(Time::now);
        self.entries += 1;
        self.bytes += payload.map_or(0, |payload| payload.len() as u64);
    }

    /// Why; said once for a series.
    pub(super) fn because(&mut self, error: &(dyn std::error::Error + 'static)) {
        if self.entries == 0 {
            tracing::error!(
                error,
                "the ledger cannot be written; what leaves is counted and declared later"
            );
        }
        self.reason = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
    }
}

impl Writer {
    pub(super) fn open(folder: &Path, settings: Settings) -> Result<Self, LedgerError> {
        let failed = |step: &'static str| {
            let path = folder.to_owned();
            move |source: io::Error| LedgerError::File { step, path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("make"))?;
        give_to_owner(folder);
        let own = |name: &str| {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).read(true).write(true).mode(0o600);
            let path = folder.join(name);
            options.open(&path).inspect(|_| give_to_owner(&path))
        };
        let lock = own("lock").map_err(failed("open lock in"))?;
        let head_file = own("head").map_err(failed("open head in"))?;
        let payloads = Payloads::new(folder, settings.keep_payloads_bytes);
        payloads.forget();
        let mut writer = Writer {
            folder: folder.to_owned(),
            settings,
            payloads,
            lock,
            head_file,
            head: Head::start(),
            segment: 0,
            file: None,
            len: 0,
            older: 0,
            missed: Missed::default(),
            missed_in_all: 0,
        };
        flock(&writer.lock, FlockOperation::LockExclusive).map_err(|e| failed("lock")(e.into()))?;
        let repaired = writer.find_end(true);
        let _ = flock(&writer.lock, FlockOperation::Unlock);
        if let Some(what) = repaired.map_err(failed("read"))? {
            tracing::warn!(what = ?what, "the ledger's end was not whole and was repaired");
            writer.write(what, None);
        }
        Ok(writer)
    }

    /// Notes something; counts it where that is not possible.
    pub(super) fn write(&mut self, what: What, payload: Option<&[u8]>) {
        let result = self.locked(|writer| {
            if let Missed { entries: 1.., .. } = &writer.missed {
                let Missed { entries, bytes, since, reason } = writer.missed.clone();
                let since = since.unwrap_or_else(Time::now);
                writer.append(What::Missed { entries, bytes, since, reason })?;
                writer.missed = Missed::default();
            }
            writer.append(what)
        });
        if let Err(error) = result {
            return self.miss(payload, &error);
        }
        // They are an aid, not the record: what cannot be kept is not kept.
        if let Some(payload) = payload
            && let Err(error) = self.payloads.keep(self.head.n, payload)
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "payload not kept");
        }
    }

    pub(super) fn status(&self) -> Status {
        Status {
            entries: self.head.n,
            head: self.head.hash.clone(),
            bytes: self.older + self.len,
            missed: self.missed_in_all,
        }
    }

    fn miss(&mut self, payload: Option<&[u8]>, error: &io::Error) {
        self.missed_in_all += 1;
        self.missed.because(error);
        self.missed.add(payload);
    }

    /// What was not written before this writer was there.
    pub(super) fn owes(&mut self, missed: Missed) {
        self.missed_in_all += missed.entries;
        self.missed = missed;
    }

    /// Runs with the lock, behind what another process may have written.
    fn locked(&mut self, run: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        flock(&self.lock, FlockOperation::LockExclusive)?;
        let done = self.catch_up().and_then(|()| run(self));
        let _ = flock(&self.lock, FlockOperation::Unlock);
        done
    }

    fn catch_up(&mut self) -> io::Result<()> {
        let len = match &self.file {
            Some(file) => file.metadata()?.len(),
            None => 0,
        };
        if len != self.len || tail::path(&self.folder, self.segment + 1).exists() {
            self.find_end(false)?;
        }
        Ok(())
    }

    /// Finds the end of the ledger and cuts off an unfinished line. At the start, says what is not as
    /// it was left.
    fn find_end(&mut self, at_start: bool) -> io::Result<Option<What>> {
        let Tail { segment, len, torn, mut head, damaged } = Tail::find(&self.folder)?;
        let known = self.known_head();
        self.file = match segment {
            0 => None,
            segment => {
                let file =
                    OpenOptions::new().append(true).open(tail::path(&self.folder, segment))?;
                if torn > 0 {
                    file.set_len(len)?;
                }
                Some(file)
            }
        };
        (self.segment, self.len) = (segment, len);
        if damaged {
            // Nothing is written into a damaged file: verify must find it as it is.
            self.file = None;
            if let Some(known) = known.clone().filter(|known| known.n > head.n) {
                head = known;
            }
        }
        self.head = head;
        self.older =
            self.sizes()?.iter().filter(|(n, _)| *n != segment).map(|(_, size)| size).sum();
        let known = known.unwrap_or_else(Head::start);
        let behind = known.n > self.head.n || known.n == self.head.n && known != self.head;
        let whole = torn == 0 && !damaged && !behind;
        Ok((at_start && !whole).then_some(What::Repaired {
            segment,
            cut_bytes: torn,
            known_head: known.n,
            known_hash: known.hash,
        }))
    }

    fn known_head(&self) -> Option<Head> {
        let mut bytes = Vec::new();
        let mut file = &self.head_file;
        io::Seek::rewind(&mut file).ok()?;
        file.take(1024).read_to_end(&mut bytes).ok()?;
        Head::read(&bytes)
    }

    fn append(&mut self, what: What) -> io::Result<()> {
        let limit = (self.settings.max_bytes / SEGMENTS).clamp(SEGMENT_BYTES.0, SEGMENT_BYTES.1);
        if self.file.is_none() || self.len >= limit {
            self.begin_segment()?;
            self.keep_budget()?;
        }
        self.put(what)
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let segment = self.segment + 1;
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600);
        let path = tail::path(&self.folder, segment);
        self.file = Some(file.open(&path)?);
        give_to_owner(&path);
        self.older += self.len;
        (self.segment, self.len) = (segment, 0);
        self.put(What::Segment { segment })
    }

    fn put(&mut self, what: What) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        let n = self.head.n + 1;
        let entry = Entry { n, at: Time::now(), what, prev: self.head.hash.clone() };
        let (line, hash) = chain::write(&entry);
        if let Err(error) = file.write_all(&line) {
            // Half a line would stand between this entry and the next.
            let _ = file.set_len(self.len);
            return Err(error);
        }
        self.len += line.len() as u64;
        self.head = Head { n, hash };
        // A head that is one behind is no fault.
        self.head_file.write_all_at(self.head.write().as_bytes(), 0)
    }

    /// Removes the oldest files while all of them are larger than the budget. The last entry of each is
    /// declared first, so that the chain still says what was there.
    fn keep_budget(&mut self) -> io::Result<()> {
        let mut sizes = self.sizes()?;
        let mut total: u64 = sizes.iter().map(|(_, size)| size).sum();
        while total > self.settings.max_bytes && sizes.len() > 1 {
            let (segment, bytes) = sizes.remove(0);
            let path = tail::path(&self.folder, segment);
            let lines = tail::read(File::open(&path)?)?;
            let mut known = lines.split(|b| *b == b'\n').filter_map(|l| chain::read(l).ok());
            let first = known.next();
            let last = known.next_back().or_else(|| first.clone());
            if let (Some((first, _)), Some((last, hash))) = (first, last) {
                let (first, last) = (first.n, last.n);
                self.put(What::Dropped { segment, first, last, hash, bytes })?;
            }
            fs::remove_file(&path)?;
            total -= bytes;
            self.older = self.older.saturating_sub(bytes);
        }
        Ok(())
    }

    /// Number and size of each file, the oldest first.
    fn sizes(&self) -> io::Result<Vec<(u64, u64)>> {
        let size = |segment: u64| {
            fs::metadata(tail::path(&self.folder, segment)).map(|m| (segment, m.len()))
        };
        tail::segments(&self.folder)?.into_iter().map(size).collect()
    }
}

/// What root makes (`enroll`) belongs to the owner of the folder it lies in, as the agent must write it.
fn give_to_owner(path: &Path) {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let Some(owner) = path.parent().and_then(|parent| fs::metadata(parent).ok()) else { return };
    if rustix::process::geteuid().is_root()
        && owner.uid() != 0
        && let Err(error) = chown(path, Some(owner.uid()), Some(owner.gid()))
    {
        tracing::warn!(error = &error as &dyn std::error::Error, file = %path.display(), "not given to the agent");
    }
}
