//! Proofs of paths: which probe became which shadow ticket.

use callhome_shared::time::Time;

use super::rows::{insert, read_as, select_in};
use super::{Db, Result, Row, Tx};
use crate::args;

/// Proofs kept of one path: agent and source.
pub const KEPT_PER_PATH: i64 = 50;
/// Proofs kept of one agent, over all its sources.
pub const KEPT_PER_AGENT: i64 = 5000;

/// One proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRow {
    /// The synthetic fault's alarm life.
    pub alarm_id: String,
    /// The agent.
    pub agent_id: String,
    /// The source that it entered through.
    pub source: String,
    /// Its kind.
    pub kind: String,
    /// When it entered, by the agent's clock.
    pub started_at: Time,
    /// When it was committed.
    pub proven_at: Time,
    /// Between two probes of this path, seconds.
    pub interval_s: i64,
    /// The shadow ticket's number.
    pub ticket: String,
}

fn from_row(row: &Row) -> Result<ProbeRow> {
    Ok(ProbeRow {
        alarm_id: row.text("alarm_id")?,
        agent_id: row.text("agent_id")?,
        source: row.text("source")?,
        kind: row.text("kind")?,
        started_at: Time(row.int("started_at")?),
        proven_at: Time(row.int("proven_at")?),
        interval_s: row.int("interval_s")?,
        ticket: row.text("ticket")?,
    })
}

/// Keeps new ones, sorted by alarm.
pub async fn insert_all(tx: &mut Tx, all: &[ProbeRow]) -> Result<()> {
    let rows = all.iter().map(|p| {
        args![
            &p.alarm_id,
            &p.agent_id,
            &p.source,
            &p.kind,
            p.started_at,
            p.proven_at,
            p.interval_s,
            &p.ticket
        ]
    });
    let head = "INSERT INTO probes \
                (alarm_id, agent_id, source, kind, started_at, proven_at, interval_s, ticket)";
    insert(tx, head, rows.collect(), "").await.map(drop)
}

/// An agent's proofs, the latest first, at most `limit`.
pub async fn of_agent(db: &Db, agent_id: &str, limit: i64) -> Result<Vec<ProbeRow>> {
    let sql = "SELECT * FROM probes WHERE agent_id = $1 \
               ORDER BY proven_at DESC, alarm_id DESC LIMIT $2";
    read_as(db, sql, args![agent_id, limit], from_row).await
}

/// The newest proof of each path: of one agent, or of all.
pub async fn newest(db: &Db, agent_id: Option<&str>) -> Result<Vec<ProbeRow>> {
    let sql = "SELECT p.* FROM probes p JOIN (SELECT agent_id, source, MAX(proven_at) AS proven_at \
               FROM probes WHERE ($1 = '' OR agent_id = $1) GROUP BY agent_id, source) n \
               ON n.agent_id = p.agent_id AND n.source = p.source AND n.proven_at = p.proven_at \
               ORDER BY p.agent_id, p.source, p.alarm_id";
    read_as(db, sql, args![agent_id.unwrap_or_default()], from_row).await
}

/// Lets the oldest go beyond what is kept, with their shadow tickets; at most `slice`. Answers how many.
pub async fn forget(db: &Db, slice: i64) -> Result<u64> {
    let sql = "SELECT alarm_id FROM (SELECT alarm_id, \
               ROW_NUMBER() OVER (PARTITION BY agent_id, source ORDER BY proven_at DESC, alarm_id DESC) AS of_path, \
               ROW_NUMBER() OVER (PARTITION BY agent_id ORDER BY proven_at DESC, alarm_id DESC) AS of_agent \
               FROM probes) ranked WHERE of_path > $1 OR of_agent > $2 ORDER BY alarm_id LIMIT $3";
    let args = args![KEPT_PER_PATH, KEPT_PER_AGENT, slice];
    let alarms: Vec<String> = read_as(db, sql, args, |row| row.text("alarm_id")).await?;
    if alarms.is_empty() {
        return Ok(0);
    }
    let mut tx = db.begin().await?;
    let head = "SELECT c.id, c.ticket_id FROM case_alarms a JOIN cases c ON c.id = a.case_id \
                JOIN tickets t ON t.id = c.ticket_id WHERE t.shadow = 1 AND a.alarm_id";
    let (mut cases, mut tickets) = (Vec::new(), Vec::new());
    for row in select_in(&mut tx, head, &alarms, "").await? {
        cases.push(row.text("id")?);
        tickets.push(row.text("ticket_id")?);
    }
    for (head, keys) in [
        ("DELETE FROM probes WHERE alarm_id", &alarms),
        ("DELETE FROM case_alarms WHERE alarm_id", &alarms),
        ("DELETE FROM ticket_events WHERE ticket_id", &tickets),
        ("DELETE FROM cases WHERE id", &cases),
        ("DELETE FROM tickets WHERE shadow = 1 AND id", &tickets),
        ("DELETE FROM alarms WHERE shadow = 1 AND alarm_id", &alarms),
    ] {
        select_in(&mut tx, head, keys, "").await?;
    }
    tx.commit().await?;
    Ok(alarms.len() as u64)
}

/// The newest heartbeats of the agents that are connected and not noted as silent: (agent, JSON).
pub async fn heartbeats(db: &Db) -> Result<Vec<(String, String)>> {
    let sql = "SELECT a.id, a.heartbeat FROM agents a LEFT JOIN presence p ON p.agent_id = a.id \
               WHERE a.online = 1 AND a.revoked_at IS NULL AND a.heartbeat IS NOT NULL \
               AND p.silent_alarm IS NULL ORDER BY a.id";
    read_as(db, sql, vec![], |row| Ok((row.text("id")?, row.text("heartbeat")?))).await
}
