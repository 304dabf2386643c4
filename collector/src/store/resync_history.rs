//! The last whole alarm sets of each agent: why they were asked for, when they came, what they changed.

use std::collections::BTreeSet;

use callhome_shared::time::Time;

use super::rows::{insert, read_as};
use super::{Db, Result, Row, Tx};
use crate::args;

/// Rows kept of one agent: the latest.
pub const KEPT: i64 = 50;

/// A whole set that was asked for, or that an agent told by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryRow {
    /// The request's id; of a set that nobody asked for its envelope's.
    pub id: String,
    /// The agent.
    pub agent_id: String,
    /// Why, a stable word.
    pub reason: String,
    /// When it was asked first; none: the agent told it by itself.
    pub asked_at: Option<Time>,
    /// How often it was asked.
    pub asked: i64,
    /// When it was applied.
    pub answered_at: Option<Time>,
    /// When the sets were equal again without it.
    pub ended_at: Option<Time>,
    /// Alarms that it named.
    pub alarms: i64,
    /// Of them, raised by it.
    pub raised: i64,
    /// Of them, given another severity.
    pub changed: i64,
    /// Alarms that it did not name and that were cleared.
    pub cleared: i64,
    /// Alarms that it named and that were known just so, or newer.
    pub unchanged: i64,
    /// Alarms that cannot be.
    pub refused: i64,
    /// When it was asked or, unasked, applied.
    pub at: Time,
}

fn from_row(row: &Row) -> Result<HistoryRow> {
    Ok(HistoryRow {
        id: row.text("id")?,
        agent_id: row.text("agent_id")?,
        reason: row.text("reason")?,
        asked_at: row.opt_int("asked_at")?.map(Time),
        asked: row.int("asked")?,
        answered_at: row.opt_int("answered_at")?.map(Time),
        ended_at: row.opt_int("ended_at")?.map(Time),
        alarms: row.int("alarms")?,
        raised: row.int("raised")?,
        changed: row.int("changed")?,
        cleared: row.int("cleared")?,
        unchanged: row.int("unchanged")?,
        refused: row.int("refused")?,
        at: Time(row.int("at")?),
    })
}

/// Writes rows, sorted by id, and lets go what is older than the last [`KEPT`] of their agents.
pub async fn note(tx: &mut Tx, all: &[HistoryRow]) -> Result<()> {
    let rows = all.iter().map(|r| {
        args![
            &r.id,
            &r.agent_id,
            &r.reason,
            r.asked_at,
            r.asked,
            r.answered_at,
            r.ended_at,
            r.alarms,
            r.raised,
            r.changed,
            r.cleared,
            r.unchanged,
            r.refused,
            r.at
        ]
    });
    let head = "INSERT INTO resync_history (id, agent_id, reason, asked_at, asked, answered_at, ended_at, \
                alarms, raised, changed, cleared, unchanged, refused, at)";
    let tail = "ON CONFLICT (id) DO UPDATE SET asked = excluded.asked, answered_at = excluded.answered_at, \
                ended_at = excluded.ended_at, alarms = excluded.alarms, raised = excluded.raised, \
                changed = excluded.changed, cleared = excluded.cleared, unchanged = excluded.unchanged, \
                refused = excluded.refused";
    insert(tx, head, rows.collect(), tail).await?;
    let agents: BTreeSet<&String> = all.iter().map(|row| &row.agent_id).collect();
    for agent in agents {
        let sql = "DELETE FROM resync_history WHERE agent_id = $1 AND id NOT IN (SELECT id FROM \
                   resync_history WHERE agent_id = $1 ORDER BY at DESC, id DESC LIMIT $2)";
        tx.execute(sql, args![agent, KEPT]).await?;
    }
    Ok(())
}

/// Those of an agent, the latest first.
pub async fn of_agent(db: &Db, agent: &str) -> Result<Vec<HistoryRow>> {
    let sql = "SELECT * FROM resync_history WHERE agent_id = $1 ORDER BY at DESC, id DESC LIMIT $2";
    read_as(db, sql, args![agent, KEPT], from_row).await
}
