//! Log file: follows a file through every kind of rotation from a saved position.
//!
//! A replayable source: the position behind the last line of a batch travels with the batch and is
//! stored with what the batch led to, so each line is decided on exactly once.

mod follower;
mod lines;
mod position;
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
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Batch, Health, Position, Reading, SourceKind, Value};
use crate::settings::{SourceSettings, SourceSpec};
use follower::{Follower, Polled};

/// Between two looks at a file that does not grow.
const POLL: Duration = Duration::from_millis(250);
/// First and longest wait after a file that cannot be read.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// What to read.
#[derive(Clone, Debug)]
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
pub async fn run(
    source: SourceSettings,
    position: Option<Position>,
    out: mpsc::Sender<Batch>,
    health: Health,
    stop: CancellationToken,
) {
    let SourceSpec::Logfile(settings) = &source.spec else {
        health.failed("not configured as a log file source");
        return;
    };
    let path = settings.path.display().to_string();
    let zone = TimeZone::system();
    let mut position = position;
    let mut follower = Some(Follower::new(settings.clone(), position.clone()));
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    // What health says of the file: there, not there, or nothing yet.
    let mut reported: Option<bool> = None;
    loop {
        let mut using =
            follower.take().unwrap_or_else(|| Follower::new(settings.clone(), position.clone()));
        let looked = tokio::task::spawn_blocking(move || {
            let polled = using.poll();
            (using, polled)
        });
        let pause = match looked.await {
            Ok((used, Ok(polled))) => {
                follower = Some(used);
                backoff.reset();
                let pause = if polled.more { Duration::ZERO } else { POLL };
                if reported != Some(polled.present) || !polled.lines.is_empty() {
                    report(&health, &polled, &path);
                    reported = Some(polled.present);
                }
                if let Some(batch) = batch(&source, polled, &path, &zone) {
                    let readings = batch.readings.len();
                    let moved = batch.position.clone();
                    let sent = tokio::select! {
                        () = stop.cancelled() => return,
                        sent = out.send(batch) => sent,
                    };
                    if sent.is_err() {
                        return;
                    }
                    position = moved.or(position);
                    if readings > 0 {
                        tracing::trace!(target: STAGE, at = "source.read", source = %source.name, readings);
                    }
                }
                pause
            }
            Ok((used, Err(error))) => {
                follower = Some(used);
                // A rotation in the very moment of the look is no failure.
                if error.kind() == std::io::ErrorKind::Interrupted {
                    POLL
                } else {
                    health.failed(&format!("{path}: {error}"));
                    reported = None;
                    backoff.next_delay()
                }
            }
            // The follower is lost with its thread: a new one goes on from what was handed over.
            Err(error) => {
                health.failed(&format!("{path}: {error}"));
                reported = None;
                backoff.next_delay()
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn report(health: &Health, polled: &Polled, path: &str) {
    if polled.present {
        health.ok();
    } else {
        health.degraded(&format!("{path}: waiting for the file"));
    }
}

/// `None` where there is nothing to say.
fn batch(source: &SourceSettings, polled: Polled, path: &str, zone: &TimeZone) -> Option<Batch> {
    if polled.lines.is_empty() && polled.gaps.is_empty() && polled.position.is_none() {
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
        origin: path.to_owned(),
        labels: Vec::new(),
        observed_at: now,
    });
    Some(Batch {
        source: Arc::clone(&source.name),
        kind: SourceKind::Logfile,
        device: Arc::clone(&source.device),
        readings: readings.collect(),
        position: polled.position,
        gaps: polled.gaps,
        heard_until: None,
    })
}
