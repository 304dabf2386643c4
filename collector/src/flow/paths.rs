//! Paths that were not proven in time, as the collector itself judges them: counted, told in the log.
//! On a timer; the truth is in the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::probe::PathState;
use callhome_shared::time::Time;
use tokio_util::sync::CancellationToken;

use crate::diagnosis::paths::Heard;
use crate::metrics::Metrics;
use crate::store::probes;
use crate::store::{Db, Result};

/// Shortest and longest time between two looks: a sixteenth of the shortest interval in between.
const EVERY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// An agent and one of its sources.
pub type Path = (String, String);

/// What one look saw.
#[derive(Debug, Default)]
pub struct Watch {
    heard: Heard,
    /// Paths that were not proven in time.
    pub missed: BTreeSet<Path>,
}

/// Looks until `stop` is cancelled.
pub async fn run(db: Db, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut watch = Watch::default();
    let mut every = EVERY.0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
        match look(&db, &metrics, &mut watch, Time::now(), every).await {
            Ok(next) => every = next,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "flow.paths.failed");
            }
        }
    }
}

/// One look. Answers when the next one is due.
pub async fn look(
    db: &Db,
    metrics: &Metrics,
    watch: &mut Watch,
    now: Time,
    every: Duration,
) -> Result<Duration> {
    let all = expected(db).await?;
    let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
    watch.heard.look(all.keys().map(String::as_str), now, every_ms);
    let newest = probes::newest(db, None).await?;
    let newest: BTreeMap<(&str, &str), Time> =
        newest.iter().map(|p| ((p.agent_id.as_str(), p.source.as_str()), p.proven_at)).collect();
    let mut missed = BTreeSet::new();
    for (agent, paths) in &all {
        for path in paths {
            let proof = newest.get(&(agent.as_str(), path.source.as_str())).copied();
            if watch.heard.misses(agent, path.interval_s, proof, now) {
                missed.insert((agent.clone(), path.source.clone()));
            }
        }
    }
    metrics.set_paths_not_proven(missed.len());
    for (agent, source) in missed.difference(&watch.missed) {
        tracing::warn!(agent, source, "flow.path.not-proven");
    }
    for (agent, source) in watch.missed.difference(&missed) {
        tracing::info!(agent, source, "flow.path.no-longer-missed");
    }
    watch.missed = missed;
    let shortest = all.values().flatten().map(|p| p.interval_s).min().unwrap_or(u64::MAX);
    Ok(Duration::from_millis(shortest.saturating_mul(1000) / 16).clamp(EVERY.0, EVERY.1))
}

/// What the connected agents say that they prove.
async fn expected(db: &Db) -> Result<BTreeMap<String, Vec<PathState>>> {
    let rows = probes::heartbeats(db).await?;
    let read = |(agent, json): (String, String)| {
        Some((agent, serde_json::from_str::<Heartbeat>(&json).ok()?.paths))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}
