//! A ticket for each of the collector's own certificates that comes near its end. On a timer; the truth is
//! in the rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Event;
use super::own::{Fault, NOBODY, Over, say};
use super::rounds::Rounds;
use crate::diagnosis::ending::{self, End, KIND};
use crate::metrics::Metrics;
use crate::store::alarms::{self, OwnRow};
use crate::store::{Db, Result};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);

/// Looks until `stop` is cancelled. `collector` is our name: several collectors on one database each
/// tell of their own.
pub async fn run(
    db: Db,
    collector: String,
    ends: Arc<ArcSwap<Vec<End>>>,
    events: broadcast::Sender<Event>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut rounds = Rounds::new(EVERY, stop);
    while rounds.next().await {
        let ends = ends.load_full();
        if let Err(error) = look(&db, &collector, &ends, &events, &metrics, Time::now()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "flow.ending.failed");
        }
    }
}

/// One look.
pub async fn look(
    db: &Db,
    collector: &str,
    ends: &[End],
    events: &broadcast::Sender<Event>,
    metrics: &Metrics,
    now: Time,
) -> Result<()> {
    let ours = ending::device_id(collector);
    let standing = alarms::own_active(db, KIND).await?;
    let standing: BTreeMap<&str, &OwnRow> = standing
        .iter()
        .filter(|row| row.device_id == ours)
        .map(|row| (row.resource.as_str(), row))
        .collect();
    let (mut faults, mut near) = (Vec::new(), Vec::new());
    for end in ends {
        let Some(severity) = end.severity(now) else { continue };
        near.push(end.what);
        let before = standing.get(end.what).copied();
        let id = before.and_then(|row| Uuid::parse_str(&row.alarm_id).ok());
        let alarm = ending::alarm(collector, end, severity, id.unwrap_or_else(new_uuid), now);
        if before.is_some_and(|b| b.severity == severity.as_str() && b.text == alarm.text) {
            continue;
        }
        let identity = ending::identity(collector, end.what);
        faults.push(Fault { agent: NOBODY.to_owned(), identity, alarm });
    }
    let over = standing.values().filter(|row| !near.contains(&row.resource.as_str()));
    let over = over.map(|row| Over {
        agent: NOBODY.to_owned(),
        alarm_id: row.alarm_id.clone(),
        why: "renewed",
    });
    let over = over.collect();
    say(db, events, metrics, now, (faults, over)).await
}
