//! Entries of the record that tell of no change of the database of their own, written together: whoever
//! comes while a transaction is being written is in the next one. So log-ins and reads wait for one sync,
//! not for one another's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use callhome_shared::backoff::Backoff;
use tokio::sync::oneshot;

use crate::audit::Entry;
use crate::store::{Db, Remedy, StoreError, audit};

/// Entries in one transaction: whoever records a deed beside it must not wait long.
const TOGETHER: usize = 128;
/// Entries that wait; one more is refused, and with it what it would tell of.
const WAITING: usize = 4096;
/// How often two transactions may meet.
const MEETINGS: u32 = 20;

/// Why an entry was not written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ScribeError {
    /// Too many wait.
    #[error("too many entries of the record wait to be written")]
    Full,
    /// The store did not take it.
    #[error("the record could not be written: {0}")]
    Store(String),
}

type Written = Result<(), ScribeError>;

/// Writes.
pub struct Scribe {
    db: Db,
    waiting: Mutex<Vec<(Entry, oneshot::Sender<Written>)>>,
    pen: tokio::sync::Mutex<()>,
}

impl Scribe {
    /// Nothing waits.
    pub fn new(db: Db) -> Arc<Self> {
        Arc::new(Scribe { db, waiting: Mutex::default(), pen: tokio::sync::Mutex::new(()) })
    }

    /// Writes the entry; answers after the commit. It is written, too, when nobody waits for that any more.
    pub async fn note(self: &Arc<Self>, entry: Entry) -> Written {
        let scribe = self.clone();
        let writing = tokio::spawn(async move { scribe.write_soon(entry).await });
        writing.await.unwrap_or_else(|e| Err(ScribeError::Store(e.to_string())))
    }

    async fn write_soon(&self, entry: Entry) -> Written {
        let (done, mut told) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= WAITING {
                return Err(ScribeError::Full);
            }
            waiting.push((entry, done));
        }
        let _pen = self.pen.lock().await;
        loop {
            // Whoever had the pen before may have written it.
            match told.try_recv() {
                Ok(written) => return written,
                Err(oneshot::error::TryRecvError::Closed) => {
                    return Err(ScribeError::Store("its writer was stopped".to_owned()));
                }
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let batch: Vec<_> = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let count = waiting.len().min(TOGETHER);
                waiting.drain(..count).collect()
            };
            let written = self.write(batch.iter().map(|(entry, _)| entry)).await;
            let written = written.map_err(|e| ScribeError::Store(e.to_string()));
            for (_, done) in batch {
                // Nobody waiting is fine.
                let _ = done.send(written.clone());
            }
        }
    }

    async fn write(&self, batch: impl Iterator<Item = &Entry> + Clone) -> Result<(), StoreError> {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(500));
        let mut meetings = 0;
        loop {
            match self.try_write(batch.clone()).await {
                Err(e) if e.remedy() == Remedy::Again && meetings < MEETINGS => meetings += 1,
                other => return other,
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn try_write(&self, batch: impl Iterator<Item = &Entry>) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        for entry in batch {
            audit::append(&mut tx, entry).await?;
        }
        tx.commit().await
    }
}
