//! What the requests share: the database, the files, whose turn it is; and how far an upload is.
//! [`super::declare`] takes declarations, [`super::complete`] puts what is whole on its ticket.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use callhome_shared::bundle::{Declaration, Standing, State};
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, broadcast};
use uuid::Uuid;

use super::failure::{Failure, chain};
use super::files::{FileError, Files};
use super::judge::Refusal;
use super::pace::{Paces, Visit};
use crate::audit::{Deed, Entry};
use crate::flow::Event;
use crate::metrics::Metrics;
use crate::settings::Bundles as Settings;
use crate::store::bundles::{self, BundleRow};
use crate::store::{Db, audit};

/// File work at the same time.
const WORKERS: usize = 4;
/// Chunks in memory at the same time: 1 MiB each.
const CHUNKS: usize = 32;
/// People's downloads at the same time.
const DOWNLOADS: usize = 32;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(8);
/// How far an upload is, is noted so often.
const NOTE_EVERY: Duration = Duration::from_secs(10);
/// A transaction that met another one is tried so often.
pub(super) const ATTEMPTS: u32 = 8;

/// All of it. Cheap to clone.
#[derive(Clone)]
pub struct Bundles(Arc<Desk>);

/// What [`Bundles`] shares.
pub struct Desk {
    pub(super) db: Db,
    pub(super) files: Files,
    pub(super) settings: Settings,
    /// This collector's name.
    pub(super) collector: String,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) metrics: Arc<Metrics>,
    paces: Arc<Paces>,
    workers: Arc<Semaphore>,
    chunks: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    /// Uploads that somebody works on.
    held: Arc<Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>>>,
    /// When the progress of an upload was last noted.
    pub(super) noted: Mutex<HashMap<Uuid, Instant>>,
}

impl std::ops::Deref for Bundles {
    type Target = Desk;
    fn deref(&self) -> &Desk {
        &self.0
    }
}

/// Somebody works on an upload; others wait.
pub(super) struct Hold {
    id: Uuid,
    held: Arc<Mutex<HashMap<Uuid, Arc<tokio::sync::Mutex<()>>>>>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut held = lock(&self.held);
        // Nobody else has it or waits for it.
        if held.get(&self.id).is_some_and(|mutex| Arc::strong_count(mutex) == 1) {
            held.remove(&self.id);
        }
    }
}

pub(super) type Done<T> = Result<T, Failure>;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bundles {
    /// A directory that cannot be made is told in the log and tried again with each upload: alarms
    /// must not wait for it.
    pub fn open(
        db: Db,
        settings: Settings,
        collector: &str,
        events: broadcast::Sender<Event>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let files = Files::new(&settings.dir, settings.keep_free_bytes);
        if let Err(error) = files.make() {
            tracing::error!(error = chain(&error), "bundles cannot be taken");
        }
        Bundles(Arc::new(Desk {
            db,
            files,
            paces: Paces::new(settings.bytes_per_second),
            settings,
            collector: collector.to_owned(),
            events,
            metrics,
            workers: Arc::new(Semaphore::new(WORKERS)),
            chunks: Arc::new(Semaphore::new(CHUNKS)),
            downloads: Arc::new(Semaphore::new(DOWNLOADS)),
            held: Arc::default(),
            noted: Mutex::default(),
        }))
    }

    /// File work on a thread of its own, a few at a time. Goes on when nobody waits any more.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Files) -> Result<T, FileError> + Send + 'static,
    ) -> Done<T> {
        let permit = self.workers.clone().acquire_owned().await;
        let files = self.files.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            job(&files)
        });
        Ok(done.await.map_err(Failure::Worker)??)
    }

    /// The upload for oneself.
    pub(super) async fn hold(&self, id: Uuid) -> Done<Hold> {
        let mutex = lock(&self.held).entry(id).or_default().clone();
        let mut hold = Hold { id, held: self.held.clone(), guard: None };
        match tokio::time::timeout(PATIENCE, mutex.lock_owned()).await {
            Ok(guard) => {
                hold.guard = Some(guard);
                Ok(hold)
            }
            Err(_) => Err(Refusal::Busy.into()),
        }
    }

    /// Room for one chunk in memory.
    pub(super) async fn chunk_room(&self) -> Done<OwnedSemaphorePermit> {
        let room = tokio::time::timeout(PATIENCE, self.chunks.clone().acquire_owned()).await;
        match room {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Refusal::Busy.into()),
        }
    }

    pub(super) fn enter(&self, agent: &AgentId) -> Result<Visit, Refusal> {
        self.paces.enter(agent)
    }

    pub(super) fn is_here(&self, row: &BundleRow) -> bool {
        self.settings.shared || row.collector == self.collector
    }

    /// This agent's upload of that id.
    pub(super) async fn own(&self, agent: &AgentId, id: Uuid) -> Done<BundleRow> {
        let row = bundles::get(&self.db, &id.to_string()).await?;
        let own = row.filter(|row| row.agent_id == agent.as_str());
        Ok(own.ok_or(Refusal::UnknownUpload)?)
    }

    /// One that can go on here.
    pub(super) async fn open_upload(&self, agent: &AgentId, id: Uuid) -> Done<BundleRow> {
        let row = self.own(agent, id).await?;
        let size = u64::try_from(row.size).unwrap_or(0);
        match row.state.as_str() {
            "open" if self.is_here(&row) => Ok(row),
            "open" => Err(Refusal::Elsewhere(row.collector).into()),
            "refused" => Err(Refusal::Refused(row.reason.unwrap_or_default()).into()),
            _ => Err(Refusal::WrongOffset { offset: size, complete: true }.into()),
        }
    }

    /// How an upload is.
    pub(super) async fn standing(&self, agent: &AgentId, row: &BundleRow) -> Done<Standing> {
        let id = Uuid::parse_str(&row.id).unwrap_or_default();
        let size = u64::try_from(row.size).unwrap_or(0);
        let (state, offset) = match row.state.as_str() {
            "open" => {
                let agent = agent.to_string();
                (State::Open, self.work(move |files| files.kept(&agent, id)).await?.min(size))
            }
            "refused" => (State::Refused, 0),
            // Removed when its time was over: the agent's part is done.
            _ => (State::Complete, size),
        };
        Ok(Standing { id, state, offset, reason: row.reason.clone() })
    }

    /// How far this agent's upload is.
    pub(super) async fn offset(&self, agent: &AgentId, id: Uuid) -> Done<Standing> {
        let row = self.own(agent, id).await?;
        if row.state == "open" && !self.is_here(&row) {
            return Err(Refusal::Elsewhere(row.collector).into());
        }
        let standing = self.standing(agent, &row).await?;
        match standing.state {
            State::Refused => Err(Refusal::Refused(standing.reason.unwrap_or_default()).into()),
            _ => Ok(standing),
        }
    }

    /// Looks before a chunk is read from the wire whether it can be one.
    pub(super) async fn expect(&self, agent: &AgentId, id: Uuid) -> Done<()> {
        self.open_upload(agent, id).await.map(drop)
    }

    /// Keeps a chunk; answers how much is kept then.
    pub(super) async fn append(
        &self,
        agent: &AgentId,
        id: Uuid,
        offset: u64,
        digest: [u8; 32],
        chunk: Bytes,
    ) -> Done<u64> {
        let _hold = self.hold(id).await?;
        let row = self.open_upload(agent, id).await?;
        let size = u64::try_from(row.size).unwrap_or(0);
        let len = u64::try_from(chunk.len()).unwrap_or(0);
        let name = agent.to_string();
        let kept = self
            .work(move |files| {
                if <[u8; 32]>::from(Sha256::digest(&chunk)) != digest {
                    return Err(FileError::Refused(Refusal::WrongDigest));
                }
                files.append(&name, id, size, offset, &chunk)
            })
            .await?;
        self.metrics.bundle_bytes(len);
        self.note_progress(id, kept).await;
        Ok(kept)
    }

    /// For people; how far it really is, the file knows.
    async fn note_progress(&self, id: Uuid, kept: u64) {
        let now = Instant::now();
        {
            let mut noted = lock(&self.noted);
            if noted.get(&id).is_some_and(|at| now.duration_since(*at) < NOTE_EVERY) {
                return;
            }
            if noted.len() > 1000 {
                noted.retain(|_, at| now.duration_since(*at) < NOTE_EVERY);
            }
            noted.insert(id, now);
        }
        let kept = i64::try_from(kept).unwrap_or(i64::MAX);
        let (id, at) = (id.to_string(), Time::now());
        if let Err(error) = bundles::note_progress(&self.db, &id, kept, at).await {
            tracing::warn!(bundle = id, error = chain(&error), "bundle: progress not noted");
        }
    }

    /// The agent gives it up.
    pub(super) async fn cancel(&self, agent: &AgentId, id: Uuid) -> Done<()> {
        let _hold = self.hold(id).await?;
        let row = self.own(agent, id).await?;
        match row.state.as_str() {
            "open" if !self.is_here(&row) => return Err(Refusal::Elsewhere(row.collector).into()),
            "open" => {}
            // Nothing is kept of it; its record tells why until it is forgotten.
            "refused" => return Ok(()),
            _ => return Err(Refusal::Complete.into()),
        }
        self.drop_upload(&row, id, None).await?;
        self.metrics.bundle_event("cancelled");
        Ok(())
    }

    /// The row goes first: a file without its row is found and removed. Needs the upload's hold.
    pub(super) async fn drop_upload(
        &self,
        row: &BundleRow,
        id: Uuid,
        idle_since: Option<Time>,
    ) -> Done<bool> {
        if !bundles::drop_open(&self.db, &row.id, idle_since).await? {
            return Ok(false);
        }
        let agent = row.agent_id.clone();
        self.work(move |files| files.remove(&agent, id)).await?;
        lock(&self.noted).remove(&id);
        Ok(true)
    }

    /// An agent named another one's ticket or alarm: recorded, though not every time.
    pub(super) async fn record_foreign(&self, agent: &AgentId, visit: &Visit, said: &Declaration) {
        tracing::warn!(agent.id = %agent, bundle = %said.id, "bundle for another agent's ticket refused");
        if !visit.records(Instant::now()) {
            return;
        }
        let detail = json!({
            "bundle": said.id.to_string(), "ticket": said.subject.ticket,
            "alarm_id": said.subject.alarm_id.map(|id| id.to_string()),
        });
        let who = format!("agent:{agent}");
        let entry = Entry::new(Time::now(), &who, Deed::BundleRefused, agent.as_str(), detail);
        if let Err(error) = audit::note(&self.db, &entry).await {
            tracing::error!(error = chain(&error), "the refusal could not be recorded");
        }
    }

    /// A complete bundle's file for a person; `None` where it is missing, which is noted.
    pub async fn read(
        &self,
        row: &BundleRow,
    ) -> anyhow::Result<Option<(File, u64, OwnedSemaphorePermit)>> {
        let Ok(permit) = self.downloads.clone().try_acquire_owned() else {
            anyhow::bail!("{DOWNLOADS} downloads are running");
        };
        let id = Uuid::parse_str(&row.id)?;
        let (agent, size) = (row.agent_id.clone(), u64::try_from(row.size)?);
        let opened = self.work(move |files| files.read(&agent, id)).await;
        let opened = opened.map_err(|failure| anyhow::anyhow!(failure.tell()))?;
        let file = opened.filter(|(_, found)| *found == size);
        if file.is_some() == row.missing {
            bundles::set_missing(&self.db, &row.id, file.is_none()).await?;
        }
        Ok(file.map(|(file, size)| (file, size, permit)))
    }

    /// Whether the file of a bundle is with this collector.
    pub fn keeps(&self, row: &BundleRow) -> bool {
        self.is_here(row)
    }

    /// Whether a download could begin now.
    pub fn may_read(&self) -> bool {
        self.downloads.available_permits() > 0
    }
}
