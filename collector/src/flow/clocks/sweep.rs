//! Tells what clocks have to tell: warnings, ends of limits, escalation. On a timer; the truth is in the rows,
//! so that nothing is lost by a restart and nothing told twice by two collectors.

use std::sync::Arc;
use std::time::Duration;

use callhome_shared::time::Time;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::loaded;
use crate::flow::Event;
use crate::flow::rounds::Rounds;
use crate::metrics::Metrics;
use crate::store::{Db, Remedy, Result, clocks, tickets};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);
/// Tickets of one look. What is left over is first at the next one.
const MOST: i64 = 500;

/// Sweeps until `stop` is cancelled.
pub async fn run(
    db: Db,
    events: broadcast::Sender<Event>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut rounds = Rounds::new(EVERY, stop);
    while rounds.next().await {
        match sweep(&db, &events, Time::now()).await {
            Ok(told) => metrics.count_clock_steps(told),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "flow.clocks.failed");
            }
        }
    }
}

/// One look; answers how many things were told.
pub async fn sweep(db: &Db, events: &broadcast::Sender<Event>, now: Time) -> Result<usize> {
    let mut told = 0;
    for ticket in clocks::due(db, now, MOST).await? {
        match one(db, &ticket, events, now).await {
            Ok(count) => told += count,
            // Somebody else is at it: he tells it, or the next look does.
            Err(error) if error.remedy() == Remedy::Again => {}
            Err(error) => return Err(error),
        }
    }
    Ok(told)
}

async fn one(db: &Db, ticket: &str, events: &broadcast::Sender<Event>, now: Time) -> Result<usize> {
    let mut tx = db.begin().await?;
    let Some((mut book, _)) = loaded(&mut tx, ticket, now).await? else {
        return Ok(0);
    };
    let told = book.tell(&mut tx, ticket).await?;
    book.touch(ticket);
    book.save(&mut tx).await?;
    let row = tickets::load(&mut tx, &[ticket.to_owned()]).await?.into_iter().next();
    tx.commit().await?;
    if let Some(row) = row.filter(|_| told > 0) {
        // Nobody listening is fine.
        let _ = events.send(Event::Ticket { number: row.number, at: now });
    }
    Ok(told)
}
