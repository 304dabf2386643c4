//! Opening: the file as it is, or a new one in the place of a damaged one.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use callhome_shared::ack::Receipt;
use callhome_shared::envelope::{Kind, Loss};
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::time::Time;
use redb::Database;

use super::frame::{self, FORMAT, Meta};
use super::lanes::Lanes;
use super::{Draft, Loaded, OutboxError, file, transaction};
use crate::settings::OutboxSettings;

/// A usable file with what it holds.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) meta: Meta,
    pub(super) loaded: Loaded,
    /// The newest receipts by alarm id.
    pub(super) receipts: BTreeMap<u128, Receipt>,
    /// Where the file that was damaged is now.
    pub(super) set_aside: Option<PathBuf>,
}

impl Opened {
    /// Opens the file, or sets it aside and makes a new one that declares the loss.
    pub(super) fn open_or_replace(
        path: &Path,
        agent: &AgentId,
        settings: &OutboxSettings,
    ) -> Result<Self, OutboxError> {
        let written = file::last_written(path);
        let reason = match Self::open_as_is(path, agent, settings, None) {
            Err(OutboxError::Damaged { reason, .. }) => reason,
            Err(OutboxError::Database(e)) => e.to_string(),
            other => return other,
        };
        let now = Time::now();
        let aside = file::set_aside(path, now)?;
        tracing::error!(reason, aside = %aside.display(), "outbox is damaged; set aside");
        let loss = Loss {
            source: "outbox".to_owned(),
            from: written.unwrap_or(now),
            to: now,
            reason: "outbox-damaged".to_owned(),
            count: None,
        };
        let data = serde_json::to_vec(&loss).map_err(frame::json("loss"))?;
        let draft = Draft { id: new_uuid(), kind: Kind::Loss, time: now, data };
        let mut opened = Self::open_as_is(path, agent, settings, Some(draft))?;
        opened.set_aside = Some(aside);
        Ok(opened)
    }

    /// `first` becomes the first envelope of a file that is new.
    fn open_as_is(
        path: &Path,
        agent: &AgentId,
        settings: &OutboxSettings,
        first: Option<Draft>,
    ) -> Result<Self, OutboxError> {
        let database = file::open(path, settings.preallocate_bytes)?;
        let damaged = |reason: String| OutboxError::Damaged { path: path.to_owned(), reason };
        let read = catch_unwind(AssertUnwindSafe(|| -> Result<_, OutboxError> {
            if transaction::is_new(&database)? {
                transaction::create(&database, &new_life(agent), first)?;
            }
            transaction::load(&database)
        }));
        let (meta, loaded, receipts) = match read {
            Ok(Ok(parts)) => parts,
            Ok(Err(OutboxError::Json { what, source })) => {
                return Err(damaged(format!("{what}: {source}")));
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
        Ok(Opened { database, meta, loaded, receipts, set_aside: None })
    }
}

fn new_life(agent: &AgentId) -> Meta {
    Meta {
        format: FORMAT,
        agent: agent.clone(),
        epoch: new_uuid(),
        created_at: Time::now(),
        commit: None,
        lanes: Lanes::default(),
        last_ack_at: None,
        store: None,
    }
}
