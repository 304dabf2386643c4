//! The clocks of tickets, what happened to them, and what they have told.

use callhome_shared::time::Time;

use super::rows::{insert, read_as, select_in};
use super::{Db, Result, Row, StoreError, Tx};
use crate::args;

/// What a ticket is promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromiseRow {
    /// The ticket.
    pub ticket_id: String,
    /// The plan.
    pub plan: String,
    /// Its version.
    pub plan_version: i64,
    /// The site's calendar.
    pub calendar: Option<String>,
    /// The site's time zone.
    pub time_zone: String,
    /// The ticket's state that the clocks know.
    pub state: String,
    /// Its priority that they know.
    pub priority: String,
    /// The earliest end among its clocks that run.
    pub due_at: Option<Time>,
    /// Of which clock.
    pub due_clock: Option<String>,
}

/// A clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockRow {
    /// Its id.
    pub id: String,
    /// The ticket.
    pub ticket_id: String,
    /// Which limit.
    pub name: String,
    /// `running`, `paused`, `stopped`, `dropped`.
    pub state: String,
    /// When it began.
    pub started_at: Time,
    /// How much may count, milliseconds; −1: it has no end.
    pub budget_ms: i64,
    /// How much had counted when it last changed, milliseconds.
    pub elapsed_ms: i64,
    /// When the limit is over, while it runs.
    pub due_at: Option<Time>,
    /// When somebody is told next.
    pub next_at: Option<Time>,
    /// When it was stopped.
    pub stopped_at: Option<Time>,
    /// `kept` or `missed`.
    pub verdict: Option<String>,
    /// How many events it has.
    pub events: i64,
}

/// One thing that happened to a clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// The clock.
    pub clock_id: String,
    /// From 1 on.
    pub number: i64,
    /// When.
    pub at: Time,
    /// `user:<name>`, `agent:<id>` or `collector`.
    pub who: String,
    /// JSON.
    pub body: String,
}

fn promise(row: &Row) -> Result<PromiseRow> {
    Ok(PromiseRow {
        ticket_id: row.text("ticket_id")?,
        plan: row.text("plan")?,
        plan_version: row.int("plan_version")?,
        calendar: row.opt_text("calendar")?,
        time_zone: row.text("time_zone")?,
        state: row.text("state")?,
        priority: row.text("priority")?,
        due_at: row.opt_int("due_at")?.map(Time),
        due_clock: row.opt_text("due_clock")?,
    })
}

fn clock(row: &Row) -> Result<ClockRow> {
    Ok(ClockRow {
        id: row.text("id")?,
        ticket_id: row.text("ticket_id")?,
        name: row.text("name")?,
        state: row.text("state")?,
        started_at: Time(row.int("started_at")?),
        budget_ms: row.int("budget_ms")?,
        elapsed_ms: row.int("elapsed_ms")?,
        due_at: row.opt_int("due_at")?.map(Time),
        next_at: row.opt_int("next_at")?.map(Time),
        stopped_at: row.opt_int("stopped_at")?.map(Time),
        verdict: row.opt_text("verdict")?,
        events: row.int("events")?,
    })
}

fn event(row: &Row) -> Result<EventRow> {
    Ok(EventRow {
        clock_id: row.text("clock_id")?,
        number: row.int("number")?,
        at: Time(row.int("at")?),
        who: row.text("who")?,
        body: row.text("body")?,
    })
}

/// What these tickets are promised.
pub async fn promises(tx: &mut Tx, tickets: &[String]) -> Result<Vec<PromiseRow>> {
    let rows = select_in(tx, "SELECT * FROM ticket_plans WHERE ticket_id", tickets, "").await?;
    rows.iter().map(promise).collect()
}

/// [`promises`] outside of a transaction, of one.
pub async fn promise_of(db: &Db, ticket: &str) -> Result<Option<PromiseRow>> {
    let sql = "SELECT * FROM ticket_plans WHERE ticket_id = $1";
    db.read_one(sql, args![ticket]).await?.as_ref().map(promise).transpose()
}

/// The tickets that are promised hours by this calendar and have clocks that go on, at most `limit`.
pub async fn tickets_of_calendar(
    tx: &mut Tx,
    calendar: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<String>> {
    let sql = "SELECT p.ticket_id FROM ticket_plans p WHERE p.calendar = $1 AND p.ticket_id > $2 AND EXISTS \
               (SELECT 1 FROM clocks c WHERE c.ticket_id = p.ticket_id AND c.state IN ('running', 'paused')) \
               ORDER BY p.ticket_id LIMIT $3";
    let rows = tx.query(sql, args![calendar, after, limit]).await?;
    rows.iter().map(|row| row.text("ticket_id")).collect()
}

/// Writes them, sorted by ticket.
pub async fn save_promises(tx: &mut Tx, all: &[PromiseRow]) -> Result<()> {
    let rows = all.iter().map(|p| {
        args![
            &p.ticket_id,
            &p.plan,
            p.plan_version,
            &p.calendar,
            &p.time_zone,
            &p.state,
            &p.priority,
            p.due_at,
            &p.due_clock
        ]
    });
    let head = "INSERT INTO ticket_plans (ticket_id, plan, plan_version, calendar, time_zone, state, priority, \
                due_at, due_clock)";
    let tail = "ON CONFLICT (ticket_id) DO UPDATE SET plan = excluded.plan, plan_version = excluded.plan_version, \
                calendar = excluded.calendar, time_zone = excluded.time_zone, state = excluded.state, \
                priority = excluded.priority, due_at = excluded.due_at, due_clock = excluded.due_clock";
    insert(tx, head, rows.collect(), tail).await.map(drop)
}

/// The clocks of these tickets, by ticket and name.
pub async fn of_tickets(tx: &mut Tx, tickets: &[String]) -> Result<Vec<ClockRow>> {
    let tail = "ORDER BY ticket_id, name";
    let rows = select_in(tx, "SELECT * FROM clocks WHERE ticket_id", tickets, tail).await?;
    rows.iter().map(clock).collect()
}

/// The tickets of which a clock has to tell something by `now`, the most urgent first.
pub async fn due(db: &Db, now: Time, limit: i64) -> Result<Vec<String>> {
    let sql = "SELECT ticket_id, MIN(next_at) AS at FROM clocks WHERE next_at <= $1 GROUP BY ticket_id \
               ORDER BY at, ticket_id LIMIT $2";
    read_as(db, sql, args![now, limit], |row| row.text("ticket_id")).await
}

/// What happened to these clocks, oldest first.
pub async fn events(tx: &mut Tx, clocks: &[String]) -> Result<Vec<EventRow>> {
    let tail = "ORDER BY clock_id, number";
    let rows = select_in(tx, "SELECT * FROM clock_events WHERE clock_id", clocks, tail).await?;
    rows.iter().map(event).collect()
}

/// What these clocks have told: (clock, step).
pub async fn told(tx: &mut Tx, clocks: &[String]) -> Result<Vec<(String, String)>> {
    let head = "SELECT clock_id, step FROM clock_steps WHERE clock_id";
    let rows = select_in(tx, head, clocks, "").await?;
    rows.iter().map(|row| Ok((row.text("clock_id")?, row.text("step")?))).collect()
}

/// Takes a step; `false`: it was taken before.
pub async fn take_step(
    tx: &mut Tx,
    clock: &str,
    step: &str,
    due_at: Time,
    now: Time,
) -> Result<bool> {
    let sql = "INSERT INTO clock_steps (clock_id, step, due_at, fired_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (clock_id, step) DO NOTHING";
    Ok(tx.execute(sql, args![clock, step, due_at, now]).await? == 1)
}

/// Adds events, sorted by clock and number.
pub async fn add_events(tx: &mut Tx, all: &[EventRow]) -> Result<()> {
    let rows = all.iter().map(|e| args![&e.clock_id, e.number, e.at, &e.who, &e.body]);
    let head = "INSERT INTO clock_events (clock_id, number, at, who, body)";
    insert(tx, head, rows.collect(), "").await.map(drop)
}

/// Adds clocks, sorted by ticket and name.
pub async fn add(tx: &mut Tx, all: &[ClockRow]) -> Result<()> {
    let rows = all.iter().map(|c| {
        args![
            &c.id,
            &c.ticket_id,
            &c.name,
            &c.state,
            c.started_at,
            c.budget_ms,
            c.elapsed_ms,
            c.due_at,
            c.next_at,
            c.stopped_at,
            &c.verdict,
            c.events
        ]
    });
    let head = "INSERT INTO clocks (id, ticket_id, name, state, started_at, budget_ms, elapsed_ms, due_at, \
                next_at, stopped_at, verdict, events)";
    insert(tx, head, rows.collect(), "").await.map(drop)
}

/// Writes one that was read when it had `events` events; else [`StoreError::Changed`].
pub async fn save(tx: &mut Tx, c: &ClockRow, events: i64) -> Result<()> {
    let sql = "UPDATE clocks SET state = $2, budget_ms = $3, elapsed_ms = $4, due_at = $5, next_at = $6, \
               stopped_at = $7, verdict = $8, events = $9 WHERE id = $1 AND events = $10";
    let args = args![
        &c.id,
        &c.state,
        c.budget_ms,
        c.elapsed_ms,
        c.due_at,
        c.next_at,
        c.stopped_at,
        &c.verdict,
        c.events,
        events
    ];
    match tx.execute(sql, args).await? {
        0 => Err(StoreError::Changed("clock")),
        _ => Ok(()),
    }
}

/// Tickets by the time that is left to them: (when the first of their limits is over, which, the ticket's id),
/// those after `after`.
pub async fn queue(
    db: &Db,
    after: (Time, &str),
    limit: i64,
) -> Result<Vec<(Time, String, String)>> {
    let sql = "SELECT due_at, due_clock, ticket_id FROM ticket_plans WHERE due_at IS NOT NULL \
               AND (due_at > $1 OR (due_at = $1 AND ticket_id > $2)) ORDER BY due_at, ticket_id LIMIT $3";
    read_as(db, sql, args![after.0, after.1, limit], |row| {
        let clock = row.opt_text("due_clock")?.unwrap_or_default();
        Ok((Time(row.int("due_at")?), clock, row.text("ticket_id")?))
    })
    .await
}
