//! What shows a fault.

use callhome_shared::alarm::Evidence;
use callhome_shared::time::Time;

use super::rows::{insert, read_as, select_in};
use super::{Db, Result, Tx};
use crate::args;

/// Items kept per alarm life: the first ones.
pub const KEPT_PER_ALARM: i64 = 1000;

/// One item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceRow {
    /// The envelope's id and the item's place in it: sent twice it is kept once.
    pub id: String,
    /// The agent that sent it.
    pub agent_id: String,
    /// The alarm life it belongs to.
    pub alarm_id: String,
    /// The item.
    pub evidence: Evidence,
}

/// The evidence of all alarms of a ticket, oldest first, at most `limit` items.
pub async fn of_ticket(db: &Db, ticket_id: &str, limit: i64) -> Result<Vec<EvidenceRow>> {
    let sql = "SELECT e.* FROM cases c JOIN case_alarms ca ON ca.case_id = c.id \
               JOIN alarms a ON a.alarm_id = ca.alarm_id \
               JOIN evidence e ON e.alarm_id = a.alarm_id AND e.agent_id = a.agent_id WHERE c.ticket_id = $1 \
               ORDER BY e.at, e.id LIMIT $2";
    read_as(db, sql, args![ticket_id, limit], |row| {
        Ok(EvidenceRow {
            id: row.text("id")?,
            agent_id: row.text("agent_id")?,
            alarm_id: row.text("alarm_id")?,
            evidence: Evidence {
                kind: row.text("kind")?,
                origin: row.text("origin")?,
                at: Time(row.int("at")?),
                text: row.text("text")?,
                truncated: row.flag("truncated")?,
            },
        })
    })
    .await
}

/// How many items these alarm lives have: (alarm, count).
pub async fn count(tx: &mut Tx, alarms: &[String]) -> Result<Vec<(String, i64)>> {
    let head = "SELECT alarm_id, COUNT(*) AS n FROM evidence WHERE alarm_id";
    let rows = select_in(tx, head, alarms, "GROUP BY alarm_id").await?;
    rows.iter().map(|row| Ok((row.text("alarm_id")?, row.int("n")?))).collect()
}

/// Keeps new items, sorted by id.
pub async fn insert_all(tx: &mut Tx, all: &[EvidenceRow]) -> Result<()> {
    let rows = all.iter().map(|row| {
        let e = &row.evidence;
        args![&row.id, &row.agent_id, &row.alarm_id, &e.kind, &e.origin, e.at, &e.text, e.truncated]
    });
    let head = "INSERT INTO evidence (id, agent_id, alarm_id, kind, origin, at, text, truncated)";
    insert(tx, head, rows.collect(), "ON CONFLICT (id) DO NOTHING").await.map(drop)
}
