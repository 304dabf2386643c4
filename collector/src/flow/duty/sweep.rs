//! Calls that nobody answered go on: to the next person of the level, else to the next level, at last to a
//! manager. On a timer; the truth is in the rows, so that a restart loses nothing and two collectors
//! call nobody twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::time::Time;
use serde_json::json;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::{Desk, Step, load, word_of};
use crate::flow::Event;
use crate::flow::notices;
use crate::flow::rounds::Rounds;
use crate::metrics::Metrics;
use crate::roster::Post;
use crate::store::calls::{self, CallRow};
use crate::store::{Db, Remedy, Result, tickets};
use crate::ticket::State;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);
/// Calls of one look. What is left over is first at the next one.
const MOST: i64 = 200;

/// Looks until `stop` is cancelled.
pub async fn run(
    db: Db,
    events: broadcast::Sender<Event>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut rounds = Rounds::new(EVERY, stop);
    while rounds.next().await {
        match sweep(&db, &events, Time::now()).await {
            Ok(count) => metrics.count_expired_calls(count),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "flow.duty.failed");
            }
        }
    }
}

/// One look; answers how many calls had not been answered.
pub async fn sweep(db: &Db, events: &broadcast::Sender<Event>, now: Time) -> Result<usize> {
    let mut count = 0;
    for call in calls::expired(db, now, MOST).await? {
        match one(db, &call, events, now).await {
            Ok(()) => count += 1,
            // Somebody else is at it: he does it, or the next look does.
            Err(error) if error.remedy() == Remedy::Again => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

async fn one(db: &Db, call: &CallRow, events: &broadcast::Sender<Event>, now: Time) -> Result<()> {
    let mut tx = db.begin().await?;
    let found = tickets::load(&mut tx, std::slice::from_ref(&call.ticket_id)).await?;
    let Some(row) = found.into_iter().next() else { return Ok(()) };
    let over = State::parse(&row.state).is_none_or(|s| s.is_over() || s.is_settled());
    if over {
        calls::end(&mut tx, &call.id, "over", "collector", now).await?;
        return tx.commit().await;
    }
    calls::end(&mut tx, &call.id, "expired", "collector", now).await?;
    let before = calls::of_ticket(&mut tx, &row.id).await?;
    let mut asked: BTreeSet<String> =
        before.iter().filter(|c| c.step == call.step).map(|c| c.person.clone()).collect();
    if word_of(&call.step) != "opened" {
        asked.extend(row.assignee.clone());
    }
    let board = load(&mut tx, now, now.plus_ms(1)).await?;
    let mut desk = Desk::new(&mut tx, board, now);
    let detail = json!({
        "person": call.person, "level": call.level, "step": word_of(&call.step), "round": call.round,
        "call": call.id,
    });
    desk.say(&row, "call-expired", detail);
    let level = Post::parse(&call.level).unwrap_or(Post::Manager);
    let step = Step { key: &call.step, round: call.round + 1, level, asked };
    let found = desk.find(&row, level, &step.asked).await?;
    match found.person.clone() {
        Some(person) => {
            // Who did not answer has not taken it up; a manager sees to it that somebody does.
            let untouched = row.state == State::Recorded.as_str();
            let his = row.assignee.as_deref() == Some(call.person.as_str());
            if untouched && his && found.level != Post::Manager {
                desk.give(&row, &person, &found).await?;
            }
            desk.ring(&row, &step, &person, &found).await?;
        }
        None => desk.nobody(&row, &call.step, &found),
    }
    let (_, said) = desk.close().await?;
    let all: Vec<_> = said.iter().collect();
    notices::tell(&mut tx, &all, now).await?;
    tickets::touch(&mut tx, &row.id, now).await?;
    tx.commit().await?;
    // Nobody listening is fine.
    let _ = events.send(Event::Ticket { number: row.number, at: now });
    Ok(())
}
