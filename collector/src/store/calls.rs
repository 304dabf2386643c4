//! Who was called for a ticket, and whether somebody answered.

use callhome_shared::time::Time;

use super::{Db, Result, Row, StoreError, Tx};
use crate::args;

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRow {
    /// Its id.
    pub id: String,
    /// The ticket.
    pub ticket_id: String,
    /// What led to it.
    pub step: String,
    /// 1: the first who was asked.
    pub round: i64,
    /// `l1`, `manager`, …
    pub level: String,
    /// Who.
    pub person: String,
    /// When.
    pub called_at: Time,
    /// When it goes on to somebody else.
    pub expires_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// `answered`, `expired` or `over`.
    pub ended: Option<String>,
    /// Who answered.
    pub ended_by: Option<String>,
}

fn from_row(row: &Row) -> Result<CallRow> {
    Ok(CallRow {
        id: row.text("id")?,
        ticket_id: row.text("ticket_id")?,
        step: row.text("step")?,
        round: row.int("round")?,
        level: row.text("level")?,
        person: row.text("person")?,
        called_at: Time(row.int("called_at")?),
        expires_at: Time(row.int("expires_at")?),
        ended_at: row.opt_int("ended_at")?.map(Time),
        ended: row.opt_text("ended")?,
        ended_by: row.opt_text("ended_by")?,
    })
}

/// Adds a call; `false`: this step was called in this round already.
pub async fn add(tx: &mut Tx, call: &CallRow) -> Result<bool> {
    let sql = "INSERT INTO calls (id, ticket_id, step, round, level, person, called_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (ticket_id, step, round) DO NOTHING";
    let args = args![
        &call.id,
        &call.ticket_id,
        &call.step,
        call.round,
        &call.level,
        &call.person,
        call.called_at,
        call.expires_at
    ];
    Ok(tx.execute(sql, args).await? == 1)
}

/// The calls of a ticket, the first ones first.
pub async fn of_ticket(tx: &mut Tx, ticket_id: &str) -> Result<Vec<CallRow>> {
    let sql = "SELECT * FROM calls WHERE ticket_id = $1 ORDER BY called_at, step, round LIMIT 1000";
    tx.query(sql, args![ticket_id]).await?.iter().map(from_row).collect()
}

/// Calls that nobody answered in time, the oldest first.
pub async fn expired(db: &Db, now: Time, limit: i64) -> Result<Vec<CallRow>> {
    let sql = "SELECT * FROM calls WHERE ended_at IS NULL AND expires_at <= $1 \
               ORDER BY expires_at, id LIMIT $2";
    db.read(sql, args![now, limit]).await?.iter().map(from_row).collect()
}

/// Open calls to a person.
pub async fn open_of(db: &Db, person: &str, limit: i64) -> Result<Vec<CallRow>> {
    let sql =
        "SELECT * FROM calls WHERE ended_at IS NULL AND person = $1 ORDER BY expires_at LIMIT $2";
    db.read(sql, args![person, limit]).await?.iter().map(from_row).collect()
}

/// Ends a call. Somebody else did it first: [`StoreError::Changed`].
pub async fn end(tx: &mut Tx, id: &str, ended: &str, by: &str, at: Time) -> Result<()> {
    let sql = "UPDATE calls SET ended_at = $2, ended = $3, ended_by = $4 WHERE id = $1 AND ended_at IS NULL";
    match tx.execute(sql, args![id, at, ended, by]).await? {
        0 => Err(StoreError::Changed("call")),
        _ => Ok(()),
    }
}

/// Nobody needs to answer any more.
pub async fn end_all(tx: &mut Tx, ticket_id: &str, at: Time) -> Result<u64> {
    let sql =
        "UPDATE calls SET ended_at = $2, ended = 'over' WHERE ticket_id = $1 AND ended_at IS NULL";
    tx.execute(sql, args![ticket_id, at]).await
}

/// Who works on it was settled otherwise: calls for the first answer end, those of levels do not.
pub async fn end_first(tx: &mut Tx, ticket_id: &str, at: Time) -> Result<u64> {
    let sql = "UPDATE calls SET ended_at = $2, ended = 'over' WHERE ticket_id = $1 AND ended_at IS NULL \
               AND (step LIKE 'opened:%' OR step LIKE 'urgent:%' OR step LIKE 'again:%')";
    tx.execute(sql, args![ticket_id, at]).await
}
