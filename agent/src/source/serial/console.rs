//! The loop on one open port: bytes → lines → readings → batches.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::logging::STAGE;
use callhome_shared::time::Time;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep_until};
use tokio_serial::{SerialPort as _, SerialStream};

use super::command::Commands;
use super::lines::{ConsoleLine, Lines};
use super::outgoing::Outgoing;
use super::{SerialSettings, port};
use crate::source::{Assignment, Batch, Gap, Reading, SourceKind, Value, probe};

/// Without anything to say a batch goes out this often, so that `heard_until` moves.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// When stopping, the line gets this long to take what was heard.
const LAST_HAND_OVER: Duration = Duration::from_secs(1);
/// Bytes may wait in the kernel or in this task's queue for a moment: "surely heard" is earlier.
const CERTAINTY_MS: i64 = 1000;
const READ_BYTES: usize = 4096;

/// Why listening ended.
pub(super) enum Ended {
    /// Stopped, or nobody takes batches any more.
    Stopped,
    /// The port is gone.
    Gone { why: String, heard_until: Time, lasted: Duration },
}

/// What outlives a loss of the port.
pub(super) struct Console<'a> {
    assignment: &'a Assignment,
    settings: &'a SerialSettings,
    idle_flush: Duration,
    origin: String,
    line_metric: Arc<str>,
    no_unit: Arc<str>,
    outgoing: Outgoing,
    lines: Lines,
    commands: Commands,
    /// Commands whose last answer was not complete.
    unanswered: BTreeSet<Arc<str>>,
    /// The last byte, for prompts and for quiet.
    last_byte: Instant,
    /// Since when the line that is not complete stands there.
    partial_since: Option<Time>,
    /// The last time the open port was listened to.
    listened: Option<Time>,
    last_sign: Instant,
    skipped_told: u64,
}

impl<'a> Console<'a> {
    pub(super) fn new(assignment: &'a Assignment, settings: &'a SerialSettings) -> Self {
        let now = Instant::now();
        Console {
            assignment,
            settings,
            // Without a lower bound every piece of a line would be a line.
            idle_flush: settings.idle_flush.max(Duration::from_millis(10)),
            origin: settings.port.display().to_string(),
            line_metric: Arc::from("line"),
            no_unit: Arc::from(""),
            outgoing: Outgoing::default(),
            lines: Lines::new(settings.max_line_bytes),
            commands: Commands::new(&settings.commands, now),
            unanswered: BTreeSet::new(),
            last_byte: now,
            partial_since: None,
            listened: None,
            last_sign: now,
            skipped_told: 0,
        }
    }

    /// Listens until the port is gone or the source is stopped.
    pub(super) async fn listen(&mut self, mut port: SerialStream, gap: Option<Gap>) -> Ended {
        let opened = Instant::now();
        self.opened(opened, gap);
        let Assignment { out, stop, .. } = self.assignment;
        let slot = self.assignment.health.probe();
        // Kept across turns: asking anew each time would lose the place in the channel's queue.
        let reserve = out.reserve();
        tokio::pin!(reserve);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            if let Err(error) = self.on_time(&mut port).await {
                return self.gone(opened, &error.to_string());
            }
            self.prove(&port);
            let wake = self.next_wake();
            tokio::select! {
                () = stop.cancelled() => {
                    self.hand_over_rest().await;
                    return Ended::Stopped;
                }
                () = slot.rung() => {}
                read = port.read(&mut buffer) => match read {
                    // What an unplugged adapter answers, for ever.
                    Ok(0) => return self.gone(opened, "the port is gone (end of file)"),
                    Ok(n) => self.heard(buffer.get(..n).unwrap_or_default()),
                    Err(error) => return self.gone(opened, &error.to_string()),
                },
                permit = &mut reserve, if self.outgoing.is_due() => {
                    let Ok(permit) = permit else { return Ended::Stopped };
                    let batch = self.batch();
                    self.mark(&batch);
                    permit.send(batch);
                    reserve.set(out.reserve());
                }
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Waits before the next attempt, handing over what is left; `true` = stopped.
    pub(super) async fn wait(&mut self, delay: Duration) -> bool {
        let until = Instant::now() + delay;
        let Assignment { out, stop, .. } = self.assignment;
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    self.hand_over_rest().await;
                    return true;
                }
                permit = out.reserve(), if self.outgoing.is_due() => {
                    let Ok(permit) = permit else { return true };
                    let batch = self.batch();
                    self.mark(&batch);
                    permit.send(batch);
                }
                () = sleep_until(until) => return false,
            }
        }
    }

    fn opened(&mut self, now: Instant, gap: Option<Gap>) {
        self.commands = Commands::new(&self.settings.commands, now);
        self.unanswered.clear();
        self.last_byte = now;
        self.last_sign = now;
        self.listened = Some(Time::now());
        self.report_health();
        self.outgoing.sign_of_life();
        if let Some(gap) = gap {
            self.outgoing.declare(gap);
        }
    }

    fn gone(&mut self, opened: Instant, why: &str) -> Ended {
        let heard_until = self.heard_until();
        // What was heard of the last line is all that will ever be heard of it.
        self.flush();
        self.commands.abandon();
        self.listened = None;
        Ended::Gone { why: why.to_owned(), heard_until, lasted: opened.elapsed() }
    }

    fn heard(&mut self, bytes: &[u8]) {
        self.last_byte = Instant::now();
        self.listened = Some(Time::now());
        let mut found = Vec::new();
        self.lines.push(bytes, &mut |line| found.push(line));
        self.keep(found);
        self.report_health();
    }

    /// A probe that is asked for enters at the line assembler, as long as the open port is one.
    fn prove(&mut self, port: &SerialStream) {
        let slot = self.assignment.health.probe();
        let Some(nonce) = slot.asked() else { return };
        let began = std::time::Instant::now();
        // The kernel answers for the port itself: one that was unplugged has no settings any more.
        let there = port.baud_rate().is_ok();
        if !there || !self.outgoing.has_room() || !self.lines.prove(&probe::line(nonce)) {
            return;
        }
        if let Some(entered) = slot.enter(nonce, began) {
            self.outgoing.push(entered.reading(&self.origin));
        }
    }

    fn flush(&mut self) {
        let mut found = Vec::new();
        self.lines.flush(&mut |line| found.push(line));
        self.keep(found);
    }

    /// Lines become readings: always `line`, and part of the answer that is waited for.
    fn keep(&mut self, found: Vec<ConsoleLine>) {
        let at = Time::now();
        for line in found {
            let answer = self.commands.line(&line.text);
            let value = Value::Line { text: line.text, truncated: line.truncated };
            let mut kept = true;
            if let Some(part) = answer.part {
                kept &= self.outgoing.push(self.reading(part, value.clone(), at));
            }
            kept &= self.outgoing.push(self.reading(Arc::clone(&self.line_metric), value, at));
            if !kept {
                // An answer with a hole must not pass for complete: it would clear alarms.
                self.commands.abandon();
                self.unanswered.extend(answer.answered);
                continue;
            }
            if let Some(end) = answer.end {
                self.outgoing.push(self.reading(end, Value::Text(String::new()), at));
            }
            if let Some(id) = answer.answered {
                self.unanswered.remove(&id);
            }
        }
        let partial = self.lines.has_partial();
        self.partial_since = if partial { Some(self.partial_since.unwrap_or(at)) } else { None };
    }

    fn reading(&self, metric: Arc<str>, value: Value, at: Time) -> Reading {
        Reading {
            metric,
            resource: String::new(),
            value,
            unit: Arc::clone(&self.no_unit),
            origin: self.origin.as_str().into(),
            labels: Vec::new(),
            occurred_at: None,
            observed_at: at,
        }
    }

    /// Whatever is due now. Fails only where the port does.
    async fn on_time(&mut self, port: &mut SerialStream) -> std::io::Result<()> {
        let now = Instant::now();
        let quiet = now >= self.last_byte + self.idle_flush;
        if quiet && self.lines.has_partial() {
            self.flush();
        }
        if let Some(id) = self.commands.timed_out(now) {
            self.unanswered.insert(id);
            self.report_health();
        }
        if now >= self.last_sign + SIGN_OF_LIFE {
            self.last_sign = now;
            self.listened = Some(Time::now());
            self.outgoing.sign_of_life();
            self.tell_skipped();
        }
        let Some(send) = self.commands.send_now(now, quiet) else { return Ok(()) };
        match port::send(port, &send).await {
            // Not taken: no answer will come, which its time-out says.
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Ok(()),
            sent => sent,
        }
    }

    fn next_wake(&self) -> Instant {
        let now = Instant::now();
        let quiet_at = self.last_byte + self.idle_flush;
        let mut wake = self.last_sign + SIGN_OF_LIFE;
        if self.lines.has_partial() {
            wake = wake.min(quiet_at);
        }
        if let Some(at) = self.commands.next() {
            // Due, but the console talks: when it may be quiet.
            wake = wake.min(if at <= now { quiet_at.max(now + self.idle_flush / 4) } else { at });
        }
        wake
    }

    /// Everything heard until then is handed over, or in the batch that is being made.
    fn heard_until(&self) -> Time {
        let listened = self.listened.unwrap_or_default().plus_ms(-CERTAINTY_MS);
        [self.partial_since, self.outgoing.oldest()].into_iter().flatten().fold(listened, Time::min)
    }

    fn batch(&mut self) -> Batch {
        let (readings, gaps) = self.outgoing.take();
        // While the port is gone nothing new is heard: the stored time stands.
        let heard_until = self.listened.map(|_| self.heard_until());
        Batch {
            source: Arc::clone(&self.assignment.source),
            kind: SourceKind::Serial,
            device: Arc::clone(&self.assignment.device),
            rules: None,
            readings,
            position: None,
            gaps,
            heard_until,
            stored: None,
            inventory: None,
        }
    }

    fn mark(&self, batch: &Batch) {
        if !batch.readings.is_empty() {
            let readings = batch.readings.len();
            tracing::trace!(target: STAGE, at = "source.read", source = %batch.source, readings);
        }
    }

    async fn hand_over_rest(&mut self) {
        self.flush();
        let deadline = Instant::now() + LAST_HAND_OVER;
        while self.outgoing.is_due() {
            let sent = tokio::time::timeout_at(deadline, self.assignment.out.reserve()).await;
            let Ok(Ok(permit)) = sent else { return };
            let batch = self.batch();
            self.mark(&batch);
            permit.send(batch);
        }
    }

    fn report_health(&self) {
        if self.unanswered.is_empty() {
            self.assignment.health.ok();
            return;
        }
        let ids: Vec<&str> = self.unanswered.iter().map(AsRef::as_ref).collect();
        self.assignment
            .health
            .degraded(&format!("no complete answer to command {}", ids.join(", ")));
    }

    fn tell_skipped(&mut self) {
        let skipped = self.lines.skipped_bytes();
        if skipped > self.skipped_told {
            self.skipped_told = skipped;
            tracing::warn!(
                source = %self.assignment.source,
                skipped_bytes = skipped,
                limit = self.settings.max_line_bytes,
                "console lines over the limit were cut"
            );
        }
    }
}
