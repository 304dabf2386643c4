//! Lets old rows go and notices agents that are no longer connected. On a timer, idempotent: the truth
//! is in the rows.

use std::sync::Arc;
use std::time::Duration;

use callhome_shared::time::Time;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::rounds::Rounds;
use super::{Event, search};
use crate::diagnosis::silence::MISSED;
use crate::metrics::Metrics;
use crate::store::{Db, Result, agents, controls, envelopes, notices, probes, resyncs, tickets};
use crate::ticket::State;

/// Between two sweeps.
const EVERY: Duration = Duration::from_secs(30);
/// Pages of a snapshot whose rest has not come for so long are let go, as is what was asked and done.
const KEPT_MS: i64 = 30 * 24 * 3600 * 1000;
/// How long it is known that an envelope came before: an agent that is off for longer than this
/// has its oldest envelopes applied again, which changes nothing.
const DEDUPLICATION_MS: i64 = 90 * 24 * 3600 * 1000;
/// How long it is known what people were told.
const NOTICES_MS: i64 = 400 * 24 * 3600 * 1000;
/// Rows let go in one transaction: the intake must not wait long.
const SLICE: i64 = 500;
/// Slices in one sweep.
const SLICES: usize = 20;

/// Sweeps until `stop` is cancelled.
pub async fn run(
    db: Db,
    events: broadcast::Sender<Event>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut rounds = Rounds::new(EVERY, stop);
    while rounds.next().await {
        if let Err(error) = sweep(&db, &events, &metrics, Time::now()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "flow.sweep.failed");
        }
    }
}

/// One sweep.
pub async fn sweep(
    db: &Db,
    events: &broadcast::Sender<Event>,
    metrics: &Metrics,
    now: Time,
) -> Result<()> {
    for id in agents::silence(db, MISSED, now).await? {
        tracing::info!(agent = id, "flow.agent.offline");
        // Nobody listening is fine.
        let _ = events.send(Event::Agent { id, at: now });
    }
    metrics.set_agents_online(agents::count_online(db).await?);
    let open = tickets::count_by_state(db).await?.into_iter();
    metrics.set_tickets_open(
        open.filter(|(s, _)| !State::parse(s).is_some_and(State::is_over)).map(|(_, n)| n).sum(),
    );
    controls::forget(db, now.plus_ms(-KEPT_MS)).await?;
    resyncs::forget_pages(db, now.plus_ms(-KEPT_MS)).await?;
    let mut tx = db.begin().await?;
    notices::let_go(&mut tx, now.plus_ms(-NOTICES_MS), SLICE).await?;
    tx.commit().await?;
    search::catch_up(db).await?;
    for _ in 0..SLICES {
        if probes::forget(db, SLICE).await? < SLICE.unsigned_abs() {
            break;
        }
    }
    for _ in 0..SLICES {
        let gone = envelopes::forget(db, now.plus_ms(-DEDUPLICATION_MS), SLICE).await?;
        if gone < SLICE.unsigned_abs() {
            break;
        }
    }
    Ok(())
}
