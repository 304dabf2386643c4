//! What reports are made of, page by page, from the readers' connections.

use callhome_shared::time::Time;

use super::rows::{read_as, tuple};
use super::tickets::{TicketRow, from_row};
use super::{Db, Result, Val};
use crate::args;

/// Which tickets a report is about.
#[derive(Clone, Debug)]
pub struct Range {
    /// Opened at this moment or later.
    pub from: Time,
    /// Opened before this one.
    pub to: Time,
    /// Only of this customer.
    pub customer: Option<String>,
    /// Only of this site.
    pub site: Option<String>,
    /// Only those that are promised this plan.
    pub plan: Option<String>,
}

/// Where a page ends: opening and ordinal of its last ticket.
pub type Place = (Time, i64);

/// Faults and duplicates of them, no tests and no probes, the earliest first.
pub async fn page(db: &Db, range: &Range, after: Place, limit: i64) -> Result<Vec<TicketRow>> {
    let mut args = args![range.from.max(after.0), after.0, after.1, range.to];
    let mut sql = "SELECT * FROM tickets WHERE opened_at >= $1 AND (opened_at > $2 OR ordinal > $3) AND opened_at < $4 \
                   AND ordinal > 0 AND test = 0"
        .to_owned();
    for (column, wanted) in [("customer", &range.customer), ("site", &range.site)] {
        if let Some(wanted) = wanted {
            args.push(wanted.into());
            sql += &format!(" AND {column} = ${}", args.len());
        }
    }
    if let Some(plan) = &range.plan {
        args.push(plan.into());
        let promised = "SELECT 1 FROM ticket_plans p WHERE p.ticket_id = tickets.id AND p.plan =";
        sql += &format!(" AND EXISTS ({promised} ${})", args.len());
    }
    args.push(limit.into());
    sql += &format!(" ORDER BY opened_at, ordinal LIMIT ${}", args.len());
    read_as(db, sql, args, from_row).await
}

fn ids(tickets: &[TicketRow]) -> (Vec<Val>, String) {
    let args: Vec<Val> = tickets.iter().map(|ticket| Val::from(&ticket.id)).collect();
    let places = tuple(1, args.len());
    (args, places)
}

/// What they are promised: (ticket, plan). For a page at most.
pub async fn plans(db: &Db, tickets: &[TicketRow]) -> Result<Vec<(String, String)>> {
    let (args, places) = ids(tickets);
    let sql = format!("SELECT ticket_id, plan FROM ticket_plans WHERE ticket_id IN {places}");
    read_as(db, sql, args, |row| Ok((row.text("ticket_id")?, row.text("plan")?))).await
}

/// When the first fault of each was seen: (ticket, when). For a page at most.
pub async fn first_seen(db: &Db, tickets: &[TicketRow]) -> Result<Vec<(String, Time)>> {
    let (args, places) = ids(tickets);
    let sql = format!(
        "SELECT c.ticket_id, MIN(a.raised_at) AS at FROM cases c JOIN case_alarms ca ON ca.case_id = c.id \
         JOIN alarms a ON a.alarm_id = ca.alarm_id WHERE c.consequence = 0 AND c.ticket_id IN {places} GROUP BY c.ticket_id"
    );
    read_as(db, sql, args, |row| Ok((row.text("ticket_id")?, Time(row.int("at")?)))).await
}

/// A clock of a ticket.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The ticket.
    pub ticket_id: String,
    /// Which limit.
    pub name: String,
    /// `running`, `paused`, `stopped`, `dropped`.
    pub state: String,
    /// When it is over, while it runs.
    pub due_at: Option<Time>,
    /// When it was stopped.
    pub stopped_at: Option<Time>,
    /// `kept` or `missed`.
    pub verdict: Option<String>,
}

/// Their clocks that have an end. For a page at most.
pub async fn clocks(db: &Db, tickets: &[TicketRow]) -> Result<Vec<Clock>> {
    let (args, places) = ids(tickets);
    let sql = format!(
        "SELECT ticket_id, name, state, due_at, stopped_at, verdict FROM clocks \
         WHERE budget_ms >= 0 AND ticket_id IN {places} ORDER BY ticket_id, name"
    );
    read_as(db, sql, args, |row| {
        Ok(Clock {
            ticket_id: row.text("ticket_id")?,
            name: row.text("name")?,
            state: row.text("state")?,
            due_at: row.opt_int("due_at")?.map(Time),
            stopped_at: row.opt_int("stopped_at")?.map(Time),
            verdict: row.opt_text("verdict")?,
        })
    })
    .await
}

/// A ticket was given to somebody, or moved along.
#[derive(Clone, Debug)]
pub struct Hand {
    /// The ticket.
    pub ticket_id: String,
    /// When.
    pub at: Time,
    /// `user:<name>` or `collector`.
    pub who: String,
    /// JSON, as the timeline has it.
    pub detail: String,
}

/// Who was given them, and who moved them along, the earliest first. For a page at most.
pub async fn hands(db: &Db, tickets: &[TicketRow]) -> Result<Vec<Hand>> {
    let (args, places) = ids(tickets);
    let sql = format!(
        "SELECT ticket_id, at, who, detail FROM ticket_events WHERE what IN ('assigned', 'state') \
         AND ticket_id IN {places} ORDER BY ticket_id, at, id"
    );
    read_as(db, sql, args, |row| {
        Ok(Hand {
            ticket_id: row.text("ticket_id")?,
            at: Time(row.int("at")?),
            who: row.text("who")?,
            detail: row.text("detail")?,
        })
    })
    .await
}
