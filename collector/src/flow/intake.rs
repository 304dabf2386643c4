//! Takes what agents deliver, commits what follows from it, and only then acknowledges.
//!
//! What is waiting is taken together (up to [`MAX_DELIVERIES`] and about [`MAX_BYTES`]) and committed
//! in one transaction; nothing waits for more to come. So a single alarm is committed at once and a
//! flood shares its syncs. While the database is not well nothing is dropped: the channel fills up,
//! the brokers stop taking more, the agents keep their outboxes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use callhome_shared::backoff::Backoff;
use callhome_shared::logging::STAGE;
use callhome_shared::time::Time;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::batch::Batch;
use super::decide::{self, Verdict};
use super::diagnosis::Diagnosis;
use super::ledger::Ledger;
use super::{Event, answer, save};
use crate::link::{Delivery, Downward};
use crate::metrics::Metrics;
use crate::store::{Db, Remedy, StoreError, meta};

/// Deliveries in one transaction.
const MAX_DELIVERIES: usize = 64;
/// Bytes of payload after which no further delivery is taken into it.
const MAX_BYTES: usize = 1 << 20;
/// How often two transactions may meet before the content is held to be the cause.
const MAX_MEETINGS: u32 = 20;
/// How long a full way down is waited for. What is not sent is not lost: the agent sends its
/// envelope again and is answered again.
const DOWNWARD_PATIENCE: Duration = Duration::from_secs(1);

/// Where the intake's results go.
#[derive(Clone)]
pub struct Outlets {
    /// To the agents.
    pub downward: mpsc::Sender<Downward>,
    /// To live pages.
    pub events: broadcast::Sender<Event>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Which alarms call home.
    pub diagnosis: Arc<Diagnosis>,
    /// What time it is.
    pub clock: Clock,
}

/// Tells the intake what time it is: the machine does, unless somebody plays what has been or could be.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Time + Send + Sync>);

impl Clock {
    /// One that is told by somebody else.
    pub fn told_by(tell: impl Fn() -> Time + Send + Sync + 'static) -> Self {
        Clock(Arc::new(tell))
    }

    fn now(&self) -> Time {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Clock::told_by(Time::now)
    }
}

/// What became of envelopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Committed now.
    pub applied: u64,
    /// Known already: nothing changed.
    pub known: u64,
    /// Refused, now or before; kept with the reason.
    pub rejected: u64,
    /// Not looked at: the agent may not deliver.
    pub not_admitted: u64,
}

impl Tally {
    fn of(verdicts: &decide::Verdicts) -> Tally {
        let mut tally = Tally::default();
        for verdict in &verdicts.entries {
            match verdict {
                Verdict::Applied => tally.applied += 1,
                Verdict::Duplicate(_) => tally.known += 1,
                Verdict::Rejected(_) | Verdict::RejectedBefore(..) => tally.rejected += 1,
                Verdict::NotAdmitted => tally.not_admitted += 1,
            }
        }
        tally
    }

    /// Adds up.
    pub fn add(&mut self, more: Tally) {
        let Tally { applied, known, rejected, not_admitted } = more;
        self.applied += applied;
        self.known += known;
        self.rejected += rejected;
        self.not_admitted += not_admitted;
    }
}

/// Takes deliveries that came another way than over a link: the same rules, the same transactions,
/// and nobody to answer. The agent hears of them when it is connected again. Waits while the database
/// is not well.
pub async fn take(
    db: &Db,
    deliveries: &[Delivery],
    diagnosis: &Arc<Diagnosis>,
) -> Result<Tally, StoreError> {
    let (downward, mut unheard) = mpsc::channel(MAX_DELIVERIES * 2);
    let (events, _) = broadcast::channel(1);
    let (metrics, diagnosis) = (Arc::new(Metrics::new()), diagnosis.clone());
    let outlets = Outlets { downward, events, metrics, diagnosis, clock: Clock::default() };
    let store = meta::store_id(db).await?;
    let intake = Intake { db: db.clone(), store, outlets, stop: CancellationToken::new() };
    let mut sum = Tally::default();
    for some in deliveries.chunks(MAX_DELIVERIES) {
        sum.add(intake.settle(some).await);
        while unheard.try_recv().is_ok() {}
    }
    Ok(sum)
}

struct Intake {
    db: Db,
    store: Uuid,
    outlets: Outlets,
    stop: CancellationToken,
}

/// Runs until `stop` is cancelled (what is waiting then is still taken, unless the database is
/// not well) or all senders are gone.
pub async fn run(
    db: Db,
    mut deliveries: mpsc::Receiver<Delivery>,
    outlets: Outlets,
    stop: CancellationToken,
) -> Result<(), StoreError> {
    let Some(store) = store_id(&db, &stop).await? else { return Ok(()) };
    let intake = Intake { db, store, outlets, stop };
    loop {
        let first = tokio::select! {
            biased;
            () = intake.stop.cancelled(), if !deliveries.is_closed() => {
                deliveries.close();
                continue;
            }
            first = deliveries.recv() => first,
        };
        let Some(first) = first else { return Ok(()) };
        let taken = gather(first, &mut deliveries);
        intake.outlets.metrics.set_queue_depth("flow", deliveries.len());
        intake.settle(&taken).await;
    }
}

/// Waits until the store says who it is; `None` when it is to stop before. The database was there a
/// moment ago and may be gone now.
async fn store_id(db: &Db, stop: &CancellationToken) -> Result<Option<Uuid>, StoreError> {
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(5));
    let mut told = false;
    loop {
        let error = match meta::store_id(db).await {
            Ok(store) => return Ok(Some(store)),
            Err(error) if error.remedy() == Remedy::Poison => return Err(error),
            Err(error) => error,
        };
        if !told {
            tracing::error!(error = chain(&error), "flow.database.waiting");
            told = true;
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

fn gather(first: Delivery, deliveries: &mut mpsc::Receiver<Delivery>) -> Vec<Delivery> {
    let mut bytes = first.payload.len();
    let mut taken = vec![first];
    while taken.len() < MAX_DELIVERIES && bytes < MAX_BYTES {
        let Ok(next) = deliveries.try_recv() else { break };
        bytes += next.payload.len();
        taken.push(next);
    }
    taken
}

impl Intake {
    /// Commits the deliveries together; if the database does not take that, one by one, so that
    /// only what it does not take is refused.
    async fn settle(&self, deliveries: &[Delivery]) -> Tally {
        let error = match self.persist(&Batch::read(deliveries)).await {
            Ok(tally) => return tally,
            Err(error) => error,
        };
        let mut sum = Tally::default();
        if deliveries.len() > 1 {
            tracing::warn!(error = chain(&error), count = deliveries.len(), "flow.batch.split");
        }
        for delivery in deliveries.chunks(1) {
            let mut batch = Batch::read(delivery);
            let error = match self.persist(&batch).await {
                Ok(tally) => {
                    sum.add(tally);
                    continue;
                }
                Err(error) => error,
            };
            batch.refuse(&chain(&error));
            match self.persist(&batch).await {
                Ok(tally) => sum.add(tally),
                Err(error) => {
                    let agent = delivery.first().map(|d| d.agent.to_string());
                    tracing::error!(agent, error = chain(&error), "flow.delivery.dropped");
                }
            }
        }
        sum
    }

    /// Tries until it is committed; an error says that the content is the cause. Gives up without
    /// one when it is to stop: nothing was acknowledged, all of it comes again.
    async fn persist(&self, batch: &Batch) -> Result<Tally, StoreError> {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(5));
        let mut meetings = 0;
        let mut waiting = false;
        loop {
            let error = match self.commit(batch).await {
                Ok(tally) => return Ok(tally),
                Err(error) => error,
            };
            match error.remedy() {
                Remedy::Poison => return Err(error),
                Remedy::Again if meetings >= MAX_MEETINGS => return Err(error),
                Remedy::Again => meetings += 1,
                Remedy::Wait => {
                    if !waiting {
                        tracing::error!(error = chain(&error), "flow.database.waiting");
                    }
                    waiting = true;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next_delay()) => {}
                () = self.stop.cancelled(), if waiting => return Ok(Tally::default()),
            }
        }
    }

    /// One transaction, and after it the answers.
    async fn commit(&self, batch: &Batch) -> Result<Tally, StoreError> {
        let started = Instant::now();
        let mut tx = self.db.begin().await?;
        let guide = self.outlets.diagnosis.guide(&mut tx).await?;
        let mut ledger = Ledger::load(&mut tx, batch, guide, self.outlets.clock.now()).await?;
        let mut verdicts = decide::apply(&mut tx, &mut ledger, batch, self.store).await?;
        save::save(&mut tx, &mut ledger).await?;
        let count = batch.entries.len();
        tracing::trace!(target: STAGE, at = "flow.decided", count);
        tx.commit().await?;
        tracing::trace!(target: STAGE, at = "flow.committed", count);
        let metrics = &self.outlets.metrics;
        metrics.committed(started.elapsed());
        answer::count(metrics, batch, &ledger, &verdicts);
        let refused = verdicts.entries.iter().filter(|v| matches!(v, Verdict::NotAdmitted));
        let refused = refused.count();
        if refused > 0 {
            tracing::warn!(refused, "flow.refused: unknown or revoked agents");
        }
        let mut messages =
            answer::messages(self.store, batch, &ledger, &verdicts, self.outlets.clock.now());
        messages.append(&mut verdicts.controls);
        messages.append(&mut verdicts.windows);
        self.send(messages).await;
        tracing::trace!(target: STAGE, at = "flow.acked", count);
        for event in answer::events(batch, &ledger) {
            // Nobody listening is fine.
            let _ = self.outlets.events.send(event);
        }
        Ok(Tally::of(&verdicts))
    }

    async fn send(&self, messages: Vec<Downward>) {
        for message in messages {
            let sent = self.outlets.downward.send_timeout(message, DOWNWARD_PATIENCE).await;
            if sent.is_err() {
                tracing::warn!("flow.downward.full: answers are left out, agents will ask again");
                return;
            }
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
