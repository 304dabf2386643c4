//! Deliveries that were refused: kept and visible, bounded per agent.

use callhome_shared::time::Time;

use super::rows::{insert, read_as};
use super::{Db, Result, Tx};
use crate::args;

/// Rejects kept per agent; the oldest go first.
pub const KEPT_PER_AGENT: i64 = 1000;
/// Bytes of a refused payload that are kept.
pub const KEPT_PAYLOAD_BYTES: usize = 4096;

/// A refused delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectRow {
    /// The row's own id.
    pub id: String,
    /// Who sent it.
    pub agent_id: String,
    /// The outbox's life, where it could be read.
    pub epoch: Option<String>,
    /// The lane, where it could be read.
    pub lane: Option<String>,
    /// The number, where it could be read.
    pub seq: Option<i64>,
    /// The envelope's id, where it could be read.
    pub envelope_id: Option<String>,
    /// A stable word.
    pub reason: String,
    /// What was wrong, for a person.
    pub text: String,
    /// The payload's beginning.
    pub payload: Option<String>,
    /// When it came in.
    pub received_at: Time,
}

/// The agent's latest rejects, newest first.
pub async fn of_agent(db: &Db, agent_id: &str, limit: i64) -> Result<Vec<RejectRow>> {
    let sql =
        "SELECT * FROM rejects WHERE agent_id = $1 ORDER BY received_at DESC, id DESC LIMIT $2";
    read_as(db, sql, args![agent_id, limit], |row| {
        Ok(RejectRow {
            id: row.text("id")?,
            agent_id: row.text("agent_id")?,
            epoch: row.opt_text("epoch")?,
            lane: row.opt_text("lane")?,
            seq: row.opt_int("seq")?,
            envelope_id: row.opt_text("envelope_id")?,
            reason: row.text("reason")?,
            text: row.text("text")?,
            payload: row.opt_text("payload")?,
            received_at: Time(row.int("received_at")?),
        })
    })
    .await
}

/// Keeps new ones and lets the oldest beyond [`KEPT_PER_AGENT`] go.
pub async fn insert_all(tx: &mut Tx, all: &[RejectRow]) -> Result<()> {
    let rows = all.iter().map(|r| {
        args![
            &r.id,
            &r.agent_id,
            &r.epoch,
            &r.lane,
            r.seq,
            &r.envelope_id,
            &r.reason,
            &r.text,
            &r.payload,
            r.received_at
        ]
    });
    let head = "INSERT INTO rejects (id, agent_id, epoch, lane, seq, envelope_id, reason, text, payload, received_at)";
    insert(tx, head, rows.collect(), "").await?;
    let mut agents: Vec<&String> = all.iter().map(|r| &r.agent_id).collect();
    agents.sort_unstable();
    agents.dedup();
    for agent in agents {
        let sql = "DELETE FROM rejects WHERE agent_id = $1 AND id IN (SELECT id FROM rejects \
                   WHERE agent_id = $1 ORDER BY received_at DESC, id DESC LIMIT 1000 OFFSET $2)";
        tx.execute(sql, args![agent, KEPT_PER_AGENT]).await?;
    }
    Ok(())
}
