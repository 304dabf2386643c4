//! What agents are asked to do, kept until it is done.

use callhome_shared::time::Time;

use super::rows::{insert, select_in};
use super::{Db, Result, Row, Tx};
use crate::args;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRow {
    /// Its id.
    pub id: String,
    /// The agent.
    pub agent_id: String,
    /// `resync`.
    pub kind: String,
    /// Why, a stable word.
    pub reason: String,
    /// When it was asked first.
    pub created_at: Time,
    /// When it was said last.
    pub sent_at: Time,
    /// How often it was said.
    pub sends: i64,
    /// When it was done.
    pub done_at: Option<Time>,
}

fn from_row(row: &Row) -> Result<ControlRow> {
    Ok(ControlRow {
        id: row.text("id")?,
        agent_id: row.text("agent_id")?,
        kind: row.text("kind")?,
        reason: row.text("reason")?,
        created_at: Time(row.int("created_at")?),
        sent_at: Time(row.int("sent_at")?),
        sends: row.int("sends")?,
        done_at: row.opt_int("done_at")?.map(Time),
    })
}

/// What these agents are asked and have not done.
pub async fn open_of(tx: &mut Tx, agents: &[String]) -> Result<Vec<ControlRow>> {
    let head = "SELECT * FROM controls WHERE done_at IS NULL AND agent_id";
    select_in(tx, head, agents, "").await?.iter().map(from_row).collect()
}

/// Writes requests, sorted by id. A second open one of a kind violates a unique index.
pub async fn save(tx: &mut Tx, all: &[ControlRow]) -> Result<()> {
    let rows = all.iter().map(|c| {
        args![&c.id, &c.agent_id, &c.kind, &c.reason, c.created_at, c.sent_at, c.sends, c.done_at]
    });
    let head =
        "INSERT INTO controls (id, agent_id, kind, reason, created_at, sent_at, sends, done_at)";
    let tail = "ON CONFLICT (id) DO UPDATE SET sent_at = excluded.sent_at, \
                sends = excluded.sends, done_at = excluded.done_at";
    insert(tx, head, rows.collect(), tail).await.map(drop)
}

/// The agent has done what it was asked of this kind.
pub async fn done(tx: &mut Tx, agent: &str, kind: &str, at: Time) -> Result<()> {
    let sql =
        "UPDATE controls SET done_at = $3 WHERE agent_id = $1 AND kind = $2 AND done_at IS NULL";
    tx.execute(sql, args![agent, kind, at]).await.map(drop)
}

/// Forgets what was done before `before`.
pub async fn forget(db: &Db, before: Time) -> Result<u64> {
    db.execute("DELETE FROM controls WHERE done_at < $1", args![before]).await
}
