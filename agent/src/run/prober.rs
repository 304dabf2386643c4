//! Keeps the paths' book: asks sources for probes when they are due, and tells the line which paths
//! are not proven.

use std::sync::Arc;
use std::time::Duration;

use callhome_shared::alarm::Device;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::control::Board;
use crate::probe::{Book, Order, Probes, Told, path_reading, path_source, path_watched};
use crate::rule::Watched;
use crate::settings::Settings;
use crate::source::{Batch, Position, SourceKind};
use crate::{line, probe};

/// Longest time between two looks at the book.
const LOOK: Duration = Duration::from_secs(1);

/// The book of the configured sources, with what the last run left.
pub(super) fn book(
    settings: &Settings,
    positions: &std::collections::BTreeMap<String, Position>,
) -> Probes {
    let Some(interval) = settings.probe else { return Probes::off() };
    let sources = settings.sources.iter().map(|source| {
        let stored = positions.get(&*path_source(&source.name)).map(|p| p.0.clone());
        (source.name.clone(), source.spec.kind().as_str(), stored)
    });
    Probes::new(|now| Book::new(sources, interval.as_secs(), now))
}

/// What the line watches: the sources, with a rule for their probes, and their paths.
pub(super) fn watched(settings: &Settings, agent: &Arc<Device>) -> Vec<Watched> {
    let mut all = line::watched(&settings.sources);
    if settings.probe.is_none() {
        return all;
    }
    let rule = probe::probe_rule();
    for watched in &mut all {
        watched.rules.push(rule.clone());
    }
    all.extend(settings.sources.iter().map(|s| path_watched(&s.name, agent)));
    all
}

/// Starts the prober, unless probes are turned off.
pub(super) fn start(
    interval: Option<Duration>,
    board: &Board,
    agent: Arc<Device>,
    batches: &mpsc::Sender<Batch>,
    stop: &CancellationToken,
) {
    if let Some(interval) = interval {
        tokio::spawn(run(board.clone(), agent, interval, batches.clone(), stop.clone()));
    }
}

/// Runs until `stop`.
async fn run(
    board: Board,
    agent: Arc<Device>,
    interval: Duration,
    batches: mpsc::Sender<Batch>,
    stop: CancellationToken,
) {
    let every = (interval / 16).clamp(Duration::from_millis(50), LOOK);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (probes, sources) = (board.probes(), board.sources());
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = probes.rung() => {}
            () = stop.cancelled() => return,
        }
        for order in probes.advance(&board.facts(), |source| sources.trouble(source)) {
            match order {
                Order::Ask(source, nonce) => {
                    if let Some(slot) = sources.slot(&source) {
                        slot.ask(nonce);
                    }
                }
                Order::Tell(source, told) => {
                    // While the line takes nothing, it is told again at the next look.
                    if batches.try_send(batch(&agent, &source, &told)).is_ok() {
                        probes.told(&source, &told);
                        log(&source, &told);
                    }
                }
            }
        }
    }
}

fn batch(agent: &Arc<Device>, source: &Arc<str>, told: &Told) -> Batch {
    Batch {
        source: path_source(source),
        kind: SourceKind::Host,
        device: agent.clone(),
        rules: None,
        readings: vec![path_reading(source, told.missing.as_ref())],
        position: told.stored.clone().map(Position),
        gaps: Vec::new(),
        heard_until: None,
        stored: None,
        inventory: None,
    }
}

fn log(source: &str, told: &Told) {
    match &told.missing {
        Some(missing) => {
            let (hop, detail) = (missing.hop.as_str(), missing.detail.as_str());
            tracing::error!(source, hop, detail, "path not proven");
        }
        None => tracing::info!(source, "path proven"),
    }
}
