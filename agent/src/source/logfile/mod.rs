//! Log file: follows a file through every kind of rotation from a saved position.
//!
//! A replayable source: the position behind the last line of a batch travels with the batch and is
//! stored with what the batch led to, so each line is decided on exactly once.

mod follower;
mod lines;
mod nudge;
mod position;
mod search;
mod siblings;
mod stamp;
mod tail;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::backoff::Backoff;
use callhome_shared::logging::STAGE;
use callhome_shared::time::Time;
use jiff::tz::TimeZone;
use tokio::time::Instant;

use super::probe::{self, Entered};
use super::{Assignment, Batch, Position, Reading, SourceKind, Value};
use follower::{Follower, Polled};
use nudge::Nudge;

/// Between two looks at a file of which nothing is heard.
const POLL: Duration = Duration::from_millis(250);
/// Between two looks in any case: a log that is written to all the time is read in larger pieces.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// First and longest wait after a file that cannot be read.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// What to read.
#[derive(Clone, Debug, PartialEq)]
pub struct LogfileSettings {
    /// The file.
    pub path: PathBuf,
    /// Where a file begins that was never seen before.
    pub from: StartFrom,
    /// Longer lines are cut here and marked truncated.
    pub max_line_bytes: usize,
}

/// Where reading begins when there is no saved position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// At the first byte.
    Start,
    /// At the end: only what is written from now on.
    End,
}

/// Follows the file until stopped. A full channel stops the reading: the file keeps the rest.
pub async fn run(assignment: Assignment, settings: LogfileSettings) {
    let Assignment { health, stop, .. } = &assignment;
    let mut reader = Reader {
        path: settings.path.display().to_string(),
        zone: TimeZone::system(),
        follower: None,
        position: assignment.position.clone(),
        backoff: Backoff::new(RETRY.0, RETRY.1),
        reported: None,
        assignment: &assignment,
        settings: &settings,
    };
    let mut nudge = Nudge::new(&settings.path);
    loop {
        let began = Instant::now();
        let (batch, pause) = reader.look().await;
        if let Some(batch) = batch {
            let sent = tokio::select! {
                () = stop.cancelled() => return,
                sent = reader.hand_over(batch) => sent,
            };
            if !sent {
                return;
            }
        }
        if !nudge.is_watching() && reader.reported == Some(true) {
            nudge = Nudge::new(&settings.path);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = health.probe().rung(), if pause == POLL => {}
            () = nudge.changed(), if pause == POLL => {
                tokio::time::sleep_until(began + BETWEEN_LOOKS).await;
            }
        }
    }
}

/// The task's state.
struct Reader<'a> {
    assignment: &'a Assignment,
    settings: &'a LogfileSettings,
    path: String,
    zone: TimeZone,
    /// Away while it looks; lost with its thread if that panics.
    follower: Option<Follower>,
    /// What was handed over last, to begin from if the follower is lost.
    position: Option<Position>,
    backoff: Backoff,
    /// What health says of the file: there, not there, or nothing yet.
    reported: Option<bool>,
}

impl Reader<'_> {
    /// One look: what it found, and how long to wait before the next.
    async fn look(&mut self) -> (Option<Batch>, Duration) {
        let begin = || Follower::new(self.settings.clone(), self.position.clone());
        let mut using = self.follower.take().unwrap_or_else(begin);
        let asked = self.assignment.health.probe().asked();
        let began = std::time::Instant::now();
        let looked = tokio::task::spawn_blocking(move || {
            let polled = using.poll();
            let read = polled.as_ref().is_ok_and(|p| p.present && !p.more);
            // Only a file that was just opened by its path and read to its end proves anything.
            let proven = asked.filter(|nonce| read && using.prove(&probe::line(*nonce)));
            (using, polled, proven)
        });
        let error = match looked.await {
            Ok((used, Ok(polled), proven)) => {
                self.follower = Some(used);
                self.backoff.reset();
                self.report(&polled);
                let pause = if polled.more { Duration::ZERO } else { POLL };
                let entered =
                    proven.and_then(|nonce| self.assignment.health.probe().enter(nonce, began));
                return (batch(self.assignment, polled, &self.path, &self.zone, entered), pause);
            }
            Ok((used, Err(error), _)) => {
                self.follower = Some(used);
                // A rotation in the very moment of the look is no failure.
                if error.kind() == std::io::ErrorKind::Interrupted {
                    return (None, BETWEEN_LOOKS);
                }
                error.to_string()
            }
            Err(error) => error.to_string(),
        };
        self.assignment.health.failed(&format!("{}: {error}", self.path));
        self.reported = None;
        (None, self.backoff.next_delay())
    }

    fn report(&mut self, polled: &Polled) {
        if self.reported == Some(polled.present) && polled.lines.is_empty() {
            return;
        }
        self.reported = Some(polled.present);
        if polled.present {
            self.assignment.health.ok();
        } else {
            self.assignment.health.degraded(&format!("{}: waiting for the file", self.path));
        }
    }

    /// Whether anybody still listens.
    async fn hand_over(&mut self, batch: Batch) -> bool {
        let readings = batch.readings.len();
        let moved = batch.position.clone();
        let Assignment { source, out, .. } = self.assignment;
        if out.send(batch).await.is_err() {
            return false;
        }
        self.position = moved.or(self.position.take());
        if readings > 0 {
            tracing::trace!(target: STAGE, at = "source.read", %source, readings);
        }
        true
    }
}

/// `None` where there is nothing to say.
fn batch(
    assignment: &Assignment,
    polled: Polled,
    path: &str,
    zone: &TimeZone,
    entered: Option<Entered>,
) -> Option<Batch> {
    let silent = polled.lines.is_empty() && polled.gaps.is_empty() && polled.position.is_none();
    if silent && entered.is_none() {
        return None;
    }
    let now = Time::now();
    let (metric, unit): (Arc<str>, Arc<str>) = (Arc::from("line"), Arc::from(""));
    let readings = polled.lines.into_iter().map(|line| Reading {
        metric: Arc::clone(&metric),
        resource: String::new(),
        occurred_at: stamp::parse(&line.text, now, zone),
        value: Value::Line { text: line.text, truncated: line.truncated },
        unit: Arc::clone(&unit),
        origin: path.into(),
        labels: Vec::new(),
        observed_at: now,
    });
    Some(Batch {
        source: Arc::clone(&assignment.source),
        kind: SourceKind::Logfile,
        device: Arc::clone(&assignment.device),
        rules: None,
        readings: readings.chain(entered.map(|probe| probe.reading(path))).collect(),
        position: polled.position,
        gaps: polled.gaps,
        heard_until: None,
        stored: None,
        inventory: None,
    })
}
