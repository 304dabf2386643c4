//! Paths that were not proven in time, as the collector itself judges them: counted, told in the log, and
//! a ticket for each (the agent's own, where it could tell before). On a timer; the truth is in the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::id::new_uuid;
use callhome_shared::probe::{PATH_TYPE, PathState};
use callhome_shared::time::Time;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::Event;
use super::own::{Fault, Over, say};
use crate::diagnosis::paths::{self, Heard, Standing};
use crate::metrics::Metrics;
use crate::store::alarms::{self, OwnRow};
use crate::store::probes;
use crate::store::{Db, Result};

/// Shortest and longest time between two looks: a sixteenth of the shortest interval in between.
const EVERY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// Between two looks while no path is to be proven.
const IDLE: Duration = Duration::from_secs(5);

/// Faults of this kind that stand of one agent by the collector's word at the same time. Of the other
/// paths that are not proven the log and the API tell.
const PER_AGENT: usize = 64;

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
pub async fn run(
    db: Db,
    events: broadcast::Sender<Event>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut watch = Watch::default();
    let mut every = EVERY.0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
        match look(&db, &events, &metrics, &mut watch, Time::now(), every).await {
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
    events: &broadcast::Sender<Event>,
    metrics: &Metrics,
    watch: &mut Watch,
    now: Time,
    every: Duration,
) -> Result<Duration> {
    let all = expected(db).await?;
    let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
    watch.heard.look(all.iter().map(|(a, p)| (a.as_str(), p.named.as_slice())), now, every_ms);
    let newest = probes::newest(db, None).await?;
    let newest: Proofs =
        newest.iter().map(|p| ((p.agent_id.as_str(), p.source.as_str()), p.proven_at)).collect();
    let mut missed = BTreeSet::new();
    for (agent, paths) in &all {
        for path in &paths.named {
            let proof = newest.get(&(agent.as_str(), path.source.as_str())).copied();
            if watch.heard.misses(agent, &path.source, proof, now) {
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
    let standing = alarms::own_active(db, PATH_TYPE).await?;
    let over = no_longer(&standing, &all, &newest);
    let faults = still(&standing, &all, &newest, &watch.missed, now);
    say(db, events, metrics, now, (faults, over)).await?;
    let Some(shortest) = all.values().flat_map(|p| &p.named).map(|p| p.interval_s).min() else {
        return Ok(IDLE);
    };
    Ok(Duration::from_millis(shortest.saturating_mul(1000) / 16).clamp(EVERY.0, EVERY.1))
}

/// The newest proof of each path: agent and source.
type Proofs<'a> = BTreeMap<(&'a str, &'a str), Time>;
/// What the connected agents say that they prove.
type Told = BTreeMap<String, Paths>;

/// What an agent says that it proves.
struct Paths {
    named: Vec<PathState>,
    /// Whether that is all: a path that is not named is not proven any more.
    whole: bool,
}

impl Paths {
    fn of(&self, source: &str) -> Option<&PathState> {
        self.named.iter().find(|path| path.source == source)
    }

    /// Whether the agent does not prove it (any more).
    fn without(&self, source: &str) -> bool {
        self.whole && self.of(source).is_none()
    }
}

fn no_longer(standing: &[OwnRow], told: &Told, newest: &Proofs<'_>) -> Vec<Over> {
    let judge = |row: &OwnRow| {
        let paths = told.get(&row.agent_id);
        let standing = Standing {
            since: row.raised_at,
            newest: newest.get(&(row.agent_id.as_str(), row.resource.as_str())).copied(),
            revoked: row.revoked,
            given_up: paths.is_some_and(|all| all.without(&row.resource)),
        };
        let why = paths::over(&standing)?;
        Some(Over { agent: row.agent_id.clone(), alarm_id: row.alarm_id.clone(), why })
    };
    standing.iter().filter_map(judge).collect()
}

fn still(
    standing: &[OwnRow],
    told: &Told,
    newest: &Proofs<'_>,
    missed: &BTreeSet<Path>,
    now: Time,
) -> Vec<Fault> {
    let mut have: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in standing {
        have.entry(&row.agent_id).or_default().insert(&row.resource);
    }
    let mut faults = Vec::new();
    for (agent, source) in missed {
        let have = have.entry(agent).or_default();
        let path = told.get(agent).and_then(|all| all.of(source));
        let Some(path) = path.filter(|_| paths::is_name(source) && !have.contains(&**source))
        else {
            continue;
        };
        if have.len() >= PER_AGENT {
            continue;
        }
        have.insert(source);
        let proof = newest.get(&(agent.as_str(), source.as_str())).copied();
        faults.push(Fault {
            agent: agent.clone(),
            identity: paths::identity(agent, source),
            alarm: paths::alarm(agent, path, proof, new_uuid(), now),
        });
    }
    faults
}

/// What the connected agents say that they prove.
async fn expected(db: &Db) -> Result<Told> {
    let rows = probes::heartbeats(db).await?;
    let read = |(agent, json): (String, String)| {
        let beat = serde_json::from_str::<Heartbeat>(&json).ok()?;
        Some((agent, Paths { named: beat.paths, whole: beat.paths_left_out == 0 }))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}
