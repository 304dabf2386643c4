//! The task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::alarm::{Device, Identity};
use callhome_shared::bundle::Told;
use callhome_shared::envelope::{Kind, Lane};
use callhome_shared::heartbeat::AsOf;
use callhome_shared::id::new_uuid;
use callhome_shared::logging::STAGE;
use callhome_shared::time::Time;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::decide::{Desk, json};
use super::gather::gather;
use super::hold::told_windows;
use super::resync::Resync;
use super::status::{Command, Status, TestAlarm};
use super::stock::{Shelf, unread};
use super::{Parts, Rest, test_alarm};
use crate::alarm::ActiveSet;
use crate::hold::{Book, STORED_AS, Window};
use crate::outbox::{self, Decision, Draft, Handle, OutboxError};
use crate::probe::Probes;
use crate::redact::{Blocks, Redactor};
use crate::rule::{Engine, RuleSet};
use crate::source::{Batch, Stored};

/// Between two ticks.
const TICK: Duration = Duration::from_secs(1);
/// First and longest delay before batches are decided on again after a failed transaction.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// When stopping, a full or broken outbox is tried for so long.
const LAST_TRIES: Duration = Duration::from_secs(2);

/// Runs the line until `stop`, or until all sources are gone; what was handed over by then is stored. Answers
/// what the sources that go on need of the next line. The error is the outbox's: its thread has ended, or what
/// was handed over last could not be stored.
pub async fn run(parts: Parts, stop: CancellationToken) -> Result<Rest, OutboxError> {
    let Parts {
        watched,
        devices,
        windows,
        host,
        redactor,
        loaded,
        outbox,
        rest,
        mut commands,
        probes,
        patience,
        status,
    } = parts;
    let Rest { mut batches, held, listening, planned, blocks } = rest;
    let mut line = Line::start(
        (watched, planned, held),
        (devices, windows),
        host,
        (redactor, listening, blocks),
        loaded,
        outbox,
        probes,
        status,
    )
    .await;
    let freed = line.outbox.freed();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut commands_open = true;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            command = commands.recv(), if commands_open => match command {
                Some(command) => line.serve(command).await?,
                None => commands_open = false,
            },
            _ = tick.tick() => line.tick().await?,
            () = line.may_retry(&freed), if !line.held.is_empty() => line.attempt().await?,
            batch = batches.recv(), if line.held.is_empty() => match batch {
                Some(batch) => {
                    line.held.push(batch);
                    gather(&mut line.held, &mut batches);
                    line.attempt().await?;
                }
                None => break,
            },
        }
    }
    line.finish(batches, patience).await
}

/// The line's state.
pub(super) struct Line {
    pub(super) desk: Desk,
    /// The configured devices.
    pub(super) devices: Vec<Arc<Device>>,
    host: Arc<Device>,
    pub(super) outbox: Handle,
    status: watch::Sender<Status>,
    /// The outbox's life that the staged changes build on.
    epoch: Uuid,
    /// Taken from the channel and not stored yet.
    held: Vec<Batch>,
    /// How many of them are decided on next: fewer when together they do not fit.
    portion: usize,
    retry_at: Instant,
    retry_delay: Duration,
    /// Since when and why nothing can be stored.
    blocked: Option<(Time, Arc<str>)>,
    /// Whether the digest is older than the alarm set.
    digest_is_old: bool,
    /// The last number of the alarm lane that was given out.
    last_seq: u64,
    /// What is to be told again in full.
    pub(super) resync: Resync,
}

impl Line {
    #[allow(clippy::too_many_arguments, reason = "the parts, one by one")]
    async fn start(
        (watched, planned, held): (
            Vec<crate::rule::Watched>,
            BTreeMap<Arc<str>, RuleSet>,
            Vec<Batch>,
        ),
        (devices, windows): (Vec<Arc<Device>>, Vec<Window>),
        host: Arc<Device>,
        (redactor, listening, blocks): (Arc<Redactor>, BTreeSet<Arc<str>>, Blocks),
        loaded: crate::outbox::Loaded,
        outbox: Handle,
        probes: Probes,
        status: watch::Sender<Status>,
    ) -> Line {
        let now = Time::now();
        let shelf = Shelf::new(unread(&devices, &watched));
        let mut engine = Engine::new(watched, now);
        for (source, rules) in &planned {
            engine.plan(source, rules);
        }
        let useless_states = engine.load(loaded.rules);
        let mut alarms = ActiveSet::default();
        let useless_alarms = alarms.load(loaded.alarms);
        let (epoch, last_seq) = alarm_lane(&outbox.status().borrow());
        let begun = loaded.positions.get(STORED_AS).map(|position| position.0.as_slice());
        let windows = Book::new(told_windows(windows, &redactor), begun, now);
        let mut line = Line {
            devices,
            host: redactor.device(&host),
            desk: Desk::new(
                engine,
                alarms,
                (loaded.heard, loaded.positions),
                redactor.clone(),
                probes,
                (windows, shelf),
                (listening, blocks),
            ),
            outbox,
            status,
            epoch,
            held,
            portion: usize::MAX,
            retry_at: Instant::now(),
            retry_delay: RETRY.0,
            blocked: None,
            digest_is_old: true,
            last_seq,
            resync: Resync::default(),
        };
        line.tidy(useless_states, useless_alarms, &redactor, now).await;
        line.digest().await;
        line.publish();
        line
    }

    /// Stores a decision; memory moves on only if it is stored. While the disk fails it is not known
    /// whether it is: the very same decision is tried until it is known.
    pub(super) async fn store(&mut self, decision: Decision) -> Result<(), OutboxError> {
        if decision.is_empty() {
            self.desk.keep(&decision);
            return Ok(());
        }
        self.digest_is_old |= !decision.alarms.is_empty();
        if !decision.drafts.is_empty() || !decision.positions.is_empty() {
            tracing::trace!(target: STAGE, at = "line.decided", drafts = decision.drafts.len());
        }
        let decision = Arc::new(decision);
        let mut doubted = false;
        loop {
            match self.outbox.commit(decision.clone()).await {
                Ok(committed) => {
                    self.desk.keep(&decision);
                    self.desk.probes_stored(committed);
                    if committed.epoch == self.epoch {
                        self.last_seq = committed.last_seq;
                    }
                    if doubted {
                        self.unblock();
                    }
                    self.move_house(committed.epoch).await;
                    return Ok(());
                }
                Err(error) if error.is_doubtful() => {
                    doubted = true;
                    self.block(&error);
                    self.publish();
                    sleep_until(self.retry_at).await;
                }
                Err(error) => {
                    self.desk.discard();
                    return Err(error);
                }
            }
        }
    }

    /// The outbox has another life: its file was replaced while running, or it began a new epoch. What
    /// memory holds is written in full, since a new file has nothing of it.
    async fn move_house(&mut self, epoch: Uuid) {
        if epoch == self.epoch {
            return;
        }
        let everything = Arc::new(self.desk.everything(Time::now()));
        match self.outbox.commit(everything).await {
            Ok(committed) if committed.epoch == epoch => {
                (self.epoch, self.last_seq) = (epoch, committed.last_seq);
            }
            // The next transaction comes here again.
            Ok(_) => {}
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "state not written to the new outbox"
                );
            }
        }
    }

    /// Decides on what is held.
    async fn attempt(&mut self) -> Result<(), OutboxError> {
        while !self.held.is_empty() {
            let mut decision = self.desk.begin(Time::now());
            let portion = self.portion.min(self.held.len());
            for batch in self.held.iter().take(portion) {
                self.desk.batch(batch, &mut decision);
                // Rules can be slow; the link must go on living meanwhile.
                tokio::task::yield_now().await;
            }
            self.desk.finish(&mut decision);
            match self.store(decision).await {
                Ok(()) => {
                    for batch in self.held.drain(..portion) {
                        batch.stored.iter().for_each(Stored::tell);
                    }
                    self.unblock();
                }
                Err(OutboxError::Closed) => return Err(OutboxError::Closed),
                Err(error) => {
                    if matches!(error, OutboxError::Full { .. }) {
                        self.portion = (portion / 2).max(1);
                    }
                    self.block(&error);
                    break;
                }
            }
        }
        if self.held.is_empty() {
            self.portion = usize::MAX;
        }
        self.publish();
        Ok(())
    }

    /// When what is held may be tried again: after the delay, or when something was acknowledged.
    async fn may_retry(&self, freed: &Notify) {
        tokio::select! {
            () = sleep_until(self.retry_at) => {}
            () = freed.notified() => {}
        }
    }

    fn block(&mut self, error: &OutboxError) {
        if self.blocked.is_none() {
            let error = error as &dyn std::error::Error;
            tracing::error!(error, "readings wait: nothing can be stored");
            self.blocked = Some((Time::now(), error.to_string().into()));
        }
        self.retry_at = Instant::now() + self.retry_delay;
        self.retry_delay = (self.retry_delay * 2).min(RETRY.1);
    }

    fn unblock(&mut self) {
        self.retry_delay = RETRY.0;
        if let Some((since, _)) = self.blocked.take() {
            tracing::info!(%since, "readings are taken again");
        }
    }

    async fn tick(&mut self) -> Result<(), OutboxError> {
        if let Err(error) = self.outbox.settle().await {
            if matches!(error, OutboxError::Closed) {
                return Err(error);
            }
            tracing::warn!(error = &error as &dyn std::error::Error, "outbox not settled");
        }
        let now = Time::now();
        let mut decision = self.desk.begin(now);
        self.desk.tick(now, &mut decision);
        for identity in self.ripe_tests(now).await? {
            let finding = test_alarm::clear(&self.host, identity, now);
            self.desk.find(&finding, &mut decision);
        }
        self.desk.finish(&mut decision);
        match self.store(decision).await {
            Err(OutboxError::Closed) => return Err(OutboxError::Closed),
            // The same is found at the next tick.
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "tick not stored");
            }
            Ok(()) => {}
        }
        self.resync().await?;
        self.digest().await;
        self.publish();
        Ok(())
    }

    /// Test alarms whose ticket is known, or that waited long enough for it.
    async fn ripe_tests(&self, now: Time) -> Result<Vec<Identity>, OutboxError> {
        let mut ripe = Vec::new();
        for (identity, alarm_id, since) in self.desk.alarms.tests() {
            let old = !(0..test_alarm::TEST_LIFE_MS).contains(&now.since_ms(since));
            if old || self.outbox.receipt_of(alarm_id).await?.is_some() {
                ripe.push(identity);
            }
        }
        Ok(ripe)
    }

    /// A caller that has gone away does not want its answer.
    async fn serve(&mut self, command: Command) -> Result<(), OutboxError> {
        match command {
            Command::Resync { reason } => self.resync.ask(reason),
            Command::Bundle { told, reply } => {
                let answer = match self.tell_bundle(&told).await {
                    Err(OutboxError::Closed) => return Err(OutboxError::Closed),
                    done => done.map_err(|error| error.to_string()),
                };
                let _ = reply.send(answer);
            }
            Command::Maintenance { ask, reply } => {
                let _ = reply.send(self.maintain(ask).await?);
                self.publish();
            }
            Command::Held { limit, reply } => {
                let _ = reply.send(self.desk.alarms.newest_held(limit));
            }
            Command::Active { limit, reply } => {
                let _ = reply.send(self.desk.alarms.newest(limit));
            }
            Command::TestAlarm { reply } => {
                let answer = match self.raise_test().await {
                    Err(OutboxError::Closed) => return Err(OutboxError::Closed),
                    Err(error) => Err(error.to_string()),
                    Ok(raised) => raised.ok_or_else(|| "too many active alarms".to_owned()),
                };
                let _ = reply.send(answer);
                self.publish();
            }
        }
        Ok(())
    }

    async fn raise_test(&mut self) -> Result<Option<TestAlarm>, OutboxError> {
        let now = Time::now();
        let mut decision = self.desk.begin(now);
        let finding = test_alarm::raise(&self.host, decision.id, now);
        let alarm = self.desk.find(&finding, &mut decision);
        let envelope = decision.drafts.last().map(|draft| draft.id);
        self.desk.finish(&mut decision);
        self.store(decision).await?;
        Ok(alarm.zip(envelope).map(|(alarm, envelope)| TestAlarm {
            alarm_id: alarm.alarm_id,
            envelope,
            at: now,
        }))
    }

    async fn tell_bundle(&mut self, told: &Told) -> Result<(), OutboxError> {
        let mut decision = self.desk.begin(Time::now());
        let (kind, data) = (Kind::Evidence, json(told));
        decision.drafts.push(Draft { id: new_uuid(), kind, time: decision.time, data });
        self.store(decision).await
    }

    /// Once a second is enough: it goes over the whole set.
    async fn digest(&mut self) {
        let (epoch, last_seq) = alarm_lane(&self.outbox.status().borrow());
        // A new epoch that nothing was decided in yet: an acknowledgement led to it.
        self.move_house(epoch).await;
        if epoch == self.epoch {
            // The outbox itself adds to the lane what it gave up.
            self.last_seq = self.last_seq.max(last_seq);
        }
        let as_of = Some(self.place());
        let digest: Option<Arc<str>> =
            std::mem::take(&mut self.digest_is_old).then(|| self.desk.alarms.digest().into());
        self.status.send_if_modified(|status| {
            let changed = digest.is_some() || status.active_as_of != as_of;
            status.active_as_of = as_of;
            if let Some(digest) = digest {
                status.active_digest = digest;
            }
            changed
        });
    }

    /// Where the alarm lane ends.
    pub(super) fn place(&self) -> AsOf {
        AsOf { epoch: self.epoch, seq: self.last_seq }
    }

    fn publish(&mut self) {
        let mut status = self.status.borrow().clone();
        let held = self.desk.alarms.held();
        status.held = held;
        status.active_alarms =
            (self.desk.alarms.len() as u64).saturating_sub(held.maintenance + held.parent);
        let windows = self.desk.windows.list(Time::now());
        if *status.windows != *windows {
            status.windows = windows.into();
        }
        if *status.centre != *self.desk.windows.revision() {
            status.centre = self.desk.windows.revision().into();
        }
        status.rule_states = self.desk.engine.len() as u64;
        status.blocked_since = self.blocked.as_ref().map(|(since, _)| *since);
        status.blocked_by = self.blocked.as_ref().map(|(_, why)| why.clone());
        status.counts = self.desk.counts;
        self.status.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
    }

    /// Stores what was handed over before the end. Sources that go on hand over more meanwhile: that is the
    /// next line's.
    async fn finish(
        mut self,
        mut batches: mpsc::Receiver<Batch>,
        patience: Duration,
    ) -> Result<Rest, OutboxError> {
        let began = Instant::now();
        let (until, end) = (began + LAST_TRIES.min(patience), began + patience);
        let mut left = batches.len();
        loop {
            // A flood can leave more than can be decided on in time: 256 batches of 256 lines.
            if Instant::now() >= end && left + self.held.len() > 0 {
                let batches = left + self.held.len();
                tracing::error!(batches, "stopped before all was decided");
                self.outbox.settle().await?;
                break;
            }
            let before = self.held.len();
            if left > 0 {
                gather(&mut self.held, &mut batches);
                left = left.saturating_sub((self.held.len() - before).max(1));
            }
            if self.held.is_empty() {
                self.outbox.settle().await?;
                break;
            }
            self.attempt().await?;
            if !self.held.is_empty() {
                if Instant::now() >= until {
                    // Where no line follows: replayable sources tell it again, for others the gap is
                    // declared at the start.
                    tracing::error!(batches = self.held.len(), "stopped before all was stored");
                    break;
                }
                sleep_until(self.retry_at.min(until)).await;
            }
        }
        let (listening, planned, blocks) = self.desk.rest();
        Ok(Rest { batches, held: self.held, listening, planned, blocks })
    }
}

/// The outbox's life and the last number of its alarm lane.
fn alarm_lane(status: &outbox::Status) -> (Uuid, u64) {
    let lane = status.lanes.iter().find(|lane| lane.lane == Lane::Alarm);
    (status.epoch, lane.map_or(0, |lane| lane.last_seq))
}
