//! What could not be heard or kept, as declared.

use callhome_shared::envelope::Loss;
use callhome_shared::time::Time;

use super::rows::{insert, read_as};
use super::{Db, Result, Tx};
use crate::args;

/// A declared loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossRow {
    /// The id of the envelope that declared it (or of the row, where the collector did).
    pub id: String,
    /// The agent.
    pub agent_id: String,
    /// What was declared.
    pub loss: Loss,
    /// When it came in.
    pub received_at: Time,
}

/// The agent's losses, newest first, at most `limit`; only those after the loss `before` in this
/// order, if one is given: paging.
pub async fn of_agent(
    db: &Db,
    agent_id: &str,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<LossRow>> {
    let sql = "SELECT * FROM losses WHERE agent_id = $1 AND ($3 = '' OR (from_at, id) < \
               (SELECT p.from_at, p.id FROM losses p WHERE p.id = $3)) \
               ORDER BY from_at DESC, id DESC LIMIT $2";
    let before = before.unwrap_or_default();
    read_as(db, sql, args![agent_id, limit, before], |row| {
        Ok(LossRow {
            id: row.text("id")?,
            agent_id: row.text("agent_id")?,
            loss: Loss {
                source: row.text("source")?,
                from: Time(row.int("from_at")?),
                to: Time(row.int("to_at")?),
                reason: row.text("reason")?,
                count: row.opt_int("count")?.and_then(|n| u64::try_from(n).ok()),
            },
            received_at: Time(row.int("received_at")?),
        })
    })
    .await
}

/// Keeps new ones; one that is kept already stays as it is.
pub async fn insert_all(tx: &mut Tx, all: &[LossRow]) -> Result<()> {
    let rows = all.iter().map(|l| {
        let count = l.loss.count.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        args![
            &l.id,
            &l.agent_id,
            &l.loss.source,
            l.loss.from,
            l.loss.to,
            &l.loss.reason,
            count,
            l.received_at
        ]
    });
    let head =
        "INSERT INTO losses (id, agent_id, source, from_at, to_at, reason, count, received_at)";
    insert(tx, head, rows.collect(), "ON CONFLICT (id) DO NOTHING").await.map(drop)
}
