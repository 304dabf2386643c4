//! Opening: the file as it is, or a new one in the place of a damaged one.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use callhome_shared::ack::Receipt;
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::time::Time;
use redb::Database;

use super::frame::{FORMAT, Meta};
use super::salvage::{self, Salvaged};
use super::transaction::{self, Pending};
use super::{Decision, Loaded, OutboxError, file};
use crate::settings::OutboxSettings;

/// So often a damaged file is tried to be taken over.
const SALVAGE_TRIES: u8 = 2;
/// It was taken over, or given up.
const SALVAGE_DONE: u8 = 9;

/// A usable file with what it holds.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) meta: Meta,
    pub(super) loaded: Loaded,
    /// The newest receipts by alarm id.
    pub(super) receipts: BTreeMap<u128, Receipt>,
    /// Where the file that was damaged is now.
    pub(super) set_aside: Option<PathBuf>,
    /// Older damaged files that were removed for it.
    pub(super) aside_removed: u64,
    /// What was taken over from a damaged file.
    pub(super) salvaged: Option<Salvaged>,
}

impl Opened {
    /// Opens the file, or makes a new one in its place that takes over what can be read of it and
    /// declares the rest as lost.
    ///
    /// The damaged file is put away first, under the name of a file that is to be salvaged, and only
    /// when that is done under the name of one that was: whatever happens in between (no space, a kill)
    /// the next start finds a file that it can use and goes on, a bounded number of times.
    pub(super) fn open_or_replace(
        path: &Path,
        agent: &AgentId,
        settings: &OutboxSettings,
    ) -> Result<Self, OutboxError> {
        let mut opened = match Self::open_as_is(path, agent, settings) {
            Err(OutboxError::Damaged { reason, .. }) => {
                tracing::error!(reason, "outbox is damaged");
                file::put_away(path, Time::now())?;
                Self::open_as_is(path, agent, settings)?
            }
            other => other?,
        };
        let waiting = file::waiting(path);
        if waiting.exists() {
            opened.salvage(path, &waiting, agent)?;
        }
        Ok(opened)
    }

    /// Takes over what can be read of a damaged file, once or twice; then it is only declared.
    fn salvage(&mut self, path: &Path, waiting: &Path, agent: &AgentId) -> Result<(), OutboxError> {
        let now = Time::now();
        let from = file::last_written(waiting).unwrap_or(now).min(now);
        let (database, meta) = (&self.database, &mut self.meta);
        if meta.salvage != SALVAGE_DONE {
            let tries = meta.salvage;
            meta.salvage = tries + 1;
            transaction::write(database, meta, &Pending::default(), &empty(now), u64::MAX)?;
            let done = match tries {
                0..SALVAGE_TRIES => salvage::take_over(database, meta, waiting, agent)?,
                _ => Salvaged::default(),
            };
            meta.salvage = SALVAGE_DONE;
            let last =
                Decision { drafts: vec![salvage::loss(from, now, done.missing)?], ..empty(now) };
            transaction::write(database, meta, &Pending::default(), &last, u64::MAX)?;
            tracing::error!(
                envelopes = done.envelopes,
                missing = done.missing,
                positions = done.positions,
                alarms = done.alarms,
                rules = done.rules,
                "taken over from the damaged outbox"
            );
            self.salvaged = Some(done);
        }
        let (aside, removed) = file::set_aside(path, now)?;
        tracing::error!(aside = %aside.display(), removed, "the damaged outbox was set aside");
        (self.set_aside, self.aside_removed) = (Some(aside), removed);
        let (meta, loaded, receipts) = transaction::load(&self.database)?;
        (self.meta, self.loaded, self.receipts) = (meta, loaded, receipts);
        Ok(())
    }

    fn open_as_is(
        path: &Path,
        agent: &AgentId,
        settings: &OutboxSettings,
    ) -> Result<Self, OutboxError> {
        let database = file::open(path, settings.preallocate_bytes)?;
        let damaged = |reason: String| OutboxError::Damaged { path: path.to_owned(), reason };
        let read = catch_unwind(AssertUnwindSafe(|| -> Result<_, OutboxError> {
            if transaction::is_new(&database)? {
                transaction::create(&database, &Meta::new(agent, new_uuid(), Time::now()))?;
            }
            transaction::load(&database)
        }));
        let (meta, loaded, receipts) = match read {
            Ok(Ok(parts)) => parts,
            Ok(Err(OutboxError::Json { what, source })) => {
                return Err(damaged(format!("{what}: {source}")));
            }
            // A disk that fails, or is full, says nothing of the file.
            Ok(Err(OutboxError::Database(error))) if !is_io(&error) => {
                return Err(damaged(error.to_string()));
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(damaged("reading it panicked".to_owned())),
        };
        if meta.format != FORMAT {
            return Err(damaged(format!("form {} instead of {FORMAT}", meta.format)));
        }
        if meta.agent != *agent {
            return Err(damaged(format!("it belongs to agent {}", meta.agent)));
        }
        Ok(Opened {
            database,
            meta,
            loaded,
            receipts,
            set_aside: None,
            aside_removed: 0,
            salvaged: None,
        })
    }
}

fn empty(now: Time) -> Decision {
    Decision { id: new_uuid(), time: now, ..Decision::default() }
}

/// Whether reading or writing itself failed, not what was read.
fn is_io(error: &redb::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        redb::Error::Io(e) => {
            !matches!(e.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
        }
        redb::Error::PreviousIo => true,
        _ => false,
    }
}
