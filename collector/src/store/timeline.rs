//! Tickets' timelines: what happened, who did it, when, why. Never rewritten.

use callhome_shared::time::Time;

use super::rows::{insert, read_as};
use super::{Db, Result, Row, Tx};
use crate::args;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// UUIDv7: orders entries of the same millisecond.
    pub id: String,
    /// The ticket's id.
    pub ticket_id: String,
    /// When.
    pub at: Time,
    /// `agent:<id>`, `user:<name>` or `collector`.
    pub who: String,
    /// A stable word: `opened`, `recurred`, `severity`, `cleared`, `state`, `comment`, …
    pub what: String,
    /// More, JSON.
    pub detail: String,
}

/// A ticket's timeline, oldest first: the latest `limit` entries.
pub async fn of_ticket(db: &Db, ticket_id: &str, limit: i64) -> Result<Vec<Entry>> {
    let sql = "SELECT * FROM ticket_events WHERE ticket_id = $1 ORDER BY at DESC, id DESC LIMIT $2";
    let mut entries = read_as(db, sql, args![ticket_id, limit], from_row).await?;
    entries.reverse();
    Ok(entries)
}

/// The first entry of a ticket.
pub async fn first(db: &Db, ticket_id: &str) -> Result<Option<Entry>> {
    let sql = "SELECT * FROM ticket_events WHERE ticket_id = $1 ORDER BY at, id LIMIT 1";
    db.read_one(sql, args![ticket_id]).await?.as_ref().map(from_row).transpose()
}

/// The entries of one kind of a ticket, oldest first.
pub async fn of_kind(tx: &mut Tx, ticket_id: &str, what: &str) -> Result<Vec<Entry>> {
    let sql = "SELECT * FROM ticket_events WHERE ticket_id = $1 AND what = $2 ORDER BY at, id";
    tx.query(sql, args![ticket_id, what]).await?.iter().map(from_row).collect()
}

fn from_row(row: &Row) -> Result<Entry> {
    Ok(Entry {
        id: row.text("id")?,
        ticket_id: row.text("ticket_id")?,
        at: Time(row.int("at")?),
        who: row.text("who")?,
        what: row.text("what")?,
        detail: row.text("detail")?,
    })
}

/// Adds entries.
pub async fn insert_all(tx: &mut Tx, all: &[Entry]) -> Result<()> {
    let rows = all.iter().map(|e| args![&e.id, &e.ticket_id, e.at, &e.who, &e.what, &e.detail]);
    let head = "INSERT INTO ticket_events (id, ticket_id, at, who, what, detail)";
    insert(tx, head, rows.collect(), "").await.map(drop)
}
