//! Agents: who may deliver, and how they are.

use callhome_shared::time::Time;

use super::rows::{read_as, select_in};
use super::{Db, Result, Row, Tx};
use crate::args;

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its id.
    pub id: String,
    /// Site it stands on.
    pub site: Option<String>,
    /// Customer it belongs to.
    pub customer: Option<String>,
    /// When an administrator made it.
    pub created_at: Time,
    /// Since when it is refused.
    pub revoked_at: Option<Time>,
    /// Whether it is connected, by its heartbeats and last will.
    pub online: bool,
    /// The last heartbeat, will or envelope.
    pub last_seen_at: Option<Time>,
    /// The newest heartbeat, JSON.
    pub heartbeat: Option<String>,
    /// Its program's version.
    pub version: Option<String>,
    /// [`crate::enrol::cas::Cas::digest`] of the CA certificates that it took last, and when.
    pub roots: Option<String>,
}

/// An agent with what lists show beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSummary {
    /// The agent.
    pub agent: Agent,
    /// Its active alarms (tests left out).
    pub active_alarms: i64,
    /// When the newest of its valid certificates ends.
    pub certificate_not_after: Option<Time>,
}

fn from_row(row: &Row) -> Result<Agent> {
    Ok(Agent {
        id: row.text("id")?,
        site: row.opt_text("site")?,
        customer: row.opt_text("customer")?,
        created_at: Time(row.int("created_at")?),
        revoked_at: row.opt_int("revoked_at")?.map(Time),
        online: row.flag("online")?,
        last_seen_at: row.opt_int("last_seen_at")?.map(Time),
        heartbeat: row.opt_text("heartbeat")?,
        version: row.opt_text("version")?,
        roots: row.opt_text("roots")?,
    })
}

/// [`create`] in a transaction of its own.
#[cfg(test)]
pub async fn create_alone(
    db: &Db,
    id: &str,
    site: Option<&str>,
    customer: Option<&str>,
    at: Time,
) -> Result<bool> {
    let mut tx = db.begin().await?;
    let created = create(&mut tx, id, site, customer, at).await?;
    tx.commit().await?;
    Ok(created)
}

/// Makes an agent; `false` when there is one of that id already (which stays as it is).
pub async fn create(
    tx: &mut Tx,
    id: &str,
    site: Option<&str>,
    customer: Option<&str>,
    at: Time,
) -> Result<bool> {
    let sql = "INSERT INTO agents (id, site, customer, created_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (id) DO NOTHING";
    Ok(tx.execute(sql, args![id, site, customer, at]).await? == 1)
}

/// One agent.
pub async fn get(db: &Db, id: &str) -> Result<Option<Agent>> {
    let row = db.read_one("SELECT * FROM agents WHERE id = $1", args![id]).await?;
    row.as_ref().map(from_row).transpose()
}

/// Whether the agent exists and is not revoked.
pub async fn is_admitted(db: &Db, id: &str) -> Result<bool> {
    let sql = "SELECT id FROM agents WHERE id = $1 AND revoked_at IS NULL";
    Ok(db.read_one(sql, args![id]).await?.is_some())
}

/// The ids of all agents that are not revoked.
pub async fn admitted_ids(db: &Db) -> Result<Vec<String>> {
    let sql = "SELECT id FROM agents WHERE revoked_at IS NULL";
    read_as(db, sql, vec![], |row| row.text("id")).await
}

/// All agents by id.
pub async fn list(db: &Db) -> Result<Vec<AgentSummary>> {
    let sql = "SELECT a.*, \
               (SELECT COUNT(*) FROM alarms l WHERE l.agent_id = a.id AND l.active = 1 AND l.test = 0) AS active_alarms, \
               (SELECT MAX(c.not_after) FROM certificates c WHERE c.agent_id = a.id AND c.revoked_at IS NULL) AS certificate_not_after \
               FROM agents a ORDER BY a.id";
    read_as(db, sql, vec![], |row| {
        Ok(AgentSummary {
            agent: from_row(row)?,
            active_alarms: row.int("active_alarms")?,
            certificate_not_after: row.opt_int("certificate_not_after")?.map(Time),
        })
    })
    .await
}

/// [`revoke`] in a transaction of its own.
#[cfg(test)]
pub async fn revoke_alone(db: &Db, id: &str, at: Time) -> Result<bool> {
    let mut tx = db.begin().await?;
    let done = revoke(&mut tx, id, at).await?;
    tx.commit().await?;
    Ok(done)
}

/// Refuses the agent from now on: itself, its certificates and its unused tokens. `false` when
/// there is no such agent or it was revoked before.
pub async fn revoke(tx: &mut Tx, id: &str, at: Time) -> Result<bool> {
    let done = tx
        .execute(
            "UPDATE agents SET revoked_at = $2, online = 0 WHERE id = $1 AND revoked_at IS NULL",
            args![id, at],
        )
        .await?;
    tx.execute(
        "UPDATE certificates SET revoked_at = $2 WHERE agent_id = $1 AND revoked_at IS NULL",
        args![id, at],
    )
    .await?;
    tx.execute("DELETE FROM enrol_tokens WHERE agent_id = $1 AND used_at IS NULL", args![id])
        .await?;
    Ok(done == 1)
}

/// Notes which CA certificates the agent has taken.
pub async fn note_roots(db: &Db, id: &str, digest: &str, at: Time) -> Result<()> {
    let sql = "UPDATE agents SET roots = $2, roots_at = $3 WHERE id = $1";
    db.execute(sql, args![id, digest, at]).await.map(drop)
}

/// Ids of agents that hold a certificate which has not ended and that have not taken the CA
/// certificates with this digest.
pub async fn not_knowing(db: &Db, digest: &str, now: Time) -> Result<Vec<String>> {
    let sql = "SELECT a.id FROM agents a WHERE a.revoked_at IS NULL \
               AND (a.roots IS NULL OR a.roots <> $1) AND EXISTS (SELECT 1 FROM certificates c \
               WHERE c.agent_id = a.id AND c.revoked_at IS NULL AND c.not_after > $2) ORDER BY a.id";
    read_as(db, sql, args![digest, now], |row| row.text("id")).await
}

/// Those of `ids` that exist and are not revoked.
pub async fn admitted(tx: &mut Tx, ids: &[String]) -> Result<Vec<Agent>> {
    let rows =
        select_in(tx, "SELECT * FROM agents WHERE revoked_at IS NULL AND id", ids, "").await?;
    rows.iter().map(from_row).collect()
}

/// What a heartbeat, a last will or any delivery says about its agent.
pub struct Sign {
    /// The agent.
    pub id: String,
    /// `false`: it is gone.
    pub online: bool,
    /// When that came in.
    pub at: Time,
    /// The heartbeat, JSON; `None` for anything else, which leaves the last heartbeat standing.
    pub heartbeat: Option<String>,
    /// Program's version.
    pub version: Option<String>,
    /// Site by the agent's configuration.
    pub site: Option<String>,
    /// Customer by the agent's configuration.
    pub customer: Option<String>,
}

/// Notes a sign of life (or of death). What an administrator wrote about site and customer wins
/// over what the agent says.
pub async fn note_sign(tx: &mut Tx, sign: Sign) -> Result<()> {
    let sql = "UPDATE agents SET online = $2, \
               last_seen_at = CASE WHEN last_seen_at IS NULL OR last_seen_at < $3 THEN $3 ELSE last_seen_at END, \
               heartbeat = COALESCE($4, heartbeat), version = COALESCE($5, version), \
               site = COALESCE(site, $6), customer = COALESCE(customer, $7) WHERE id = $1";
    let args = args![
        sign.id,
        sign.online,
        sign.at,
        sign.heartbeat,
        sign.version,
        sign.site,
        sign.customer
    ];
    tx.execute(sql, args).await.map(drop)
}

/// Says of agents that were not heard for `missed` of their heartbeats that they are not connected;
/// answers which.
pub async fn silence(db: &Db, missed: i64, now: Time) -> Result<Vec<String>> {
    const UNHEARD: &str = "online = 1 AND (last_seen_at IS NULL OR last_seen_at < $1 - $2 * \
        COALESCE((SELECT p.interval_s FROM presence p WHERE p.agent_id = agents.id), 30))";
    let args = || args![now, missed * 1000];
    if db.read(format!("SELECT id FROM agents WHERE {UNHEARD}"), args()).await?.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = db.begin().await?;
    let sql = format!("UPDATE agents SET online = 0 WHERE {UNHEARD} RETURNING id");
    let rows = tx.query(sql, args()).await?;
    tx.commit().await?;
    rows.iter().map(|row| row.text("id")).collect()
}

/// How many agents are connected.
pub async fn count_online(db: &Db) -> Result<i64> {
    let row = db.read_one("SELECT COUNT(*) AS n FROM agents WHERE online = 1", vec![]).await?;
    row.map_or(Ok(0), |row| row.int("n"))
}
