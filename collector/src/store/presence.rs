//! Whether agents are there: how often they speak, how they left, and since when they are silent.

use std::time::Duration;

use callhome_shared::time::Time;

use super::rows::{insert, select_in};
use super::{Db, Result, Row, Tx};
use crate::args;

/// What is known of an agent's presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceRow {
    /// The agent.
    pub agent_id: String,
    /// Between its heartbeats, seconds.
    pub interval_s: i64,
    /// Its longest wait between two attempts to connect, seconds.
    pub reconnect_s: i64,
    /// How it left: `stopped` or `lost`; absent while it is there, or never said anything of it.
    pub departed: Option<String>,
    /// When that came in.
    pub departed_at: Option<Time>,
    /// The alarm life of its present silence.
    pub silent_alarm: Option<String>,
}

/// An agent that was not heard in time, with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentRow {
    /// Its id.
    pub agent_id: String,
    /// Site.
    pub site: Option<String>,
    /// Customer.
    pub customer: Option<String>,
    /// When it was heard last.
    pub last_seen_at: Time,
    /// Its newest heartbeat, JSON.
    pub heartbeat: Option<String>,
    /// See [`PresenceRow`]; the defaults where it never said.
    pub presence: PresenceRow,
}

/// The agents of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteRow {
    /// Customer.
    pub customer: Option<String>,
    /// Site.
    pub site: String,
    /// Agents there that were ever heard.
    pub agents: i64,
    /// Of them, not heard at present.
    pub quiet: i64,
}

/// Of an agent that never said: 30 s between heartbeats, 60 s between attempts.
const KNOWN: &str = "COALESCE(p.interval_s, 30) AS interval_s, COALESCE(p.reconnect_s, 60) AS reconnect_s, \
     p.departed, p.departed_at, p.silent_alarm";

fn from_row(row: &Row, agent_id: String) -> Result<PresenceRow> {
    Ok(PresenceRow {
        agent_id,
        interval_s: row.int("interval_s")?,
        reconnect_s: row.int("reconnect_s")?,
        departed: row.opt_text("departed")?,
        departed_at: row.opt_int("departed_at")?.map(Time),
        silent_alarm: row.opt_text("silent_alarm")?,
    })
}

/// Of these agents, those of which anything is known.
pub async fn load(tx: &mut Tx, agents: &[String]) -> Result<Vec<PresenceRow>> {
    let rows = select_in(tx, "SELECT * FROM presence WHERE agent_id", agents, "").await?;
    rows.iter().map(|row| from_row(row, row.text("agent_id")?)).collect()
}

/// Writes it, sorted by agent.
pub async fn save(tx: &mut Tx, all: &[PresenceRow]) -> Result<()> {
    let rows = all.iter().map(|p| {
        args![&p.agent_id, p.interval_s, p.reconnect_s, &p.departed, p.departed_at, &p.silent_alarm]
    });
    let head = "INSERT INTO presence (agent_id, interval_s, reconnect_s, departed, departed_at, silent_alarm)";
    let tail = "ON CONFLICT (agent_id) DO UPDATE SET interval_s = excluded.interval_s, \
                reconnect_s = excluded.reconnect_s, departed = excluded.departed, \
                departed_at = excluded.departed_at, silent_alarm = excluded.silent_alarm";
    insert(tx, head, rows.collect(), tail).await.map(drop)
}

/// Admitted agents that have not been heard for `missed` of their heartbeats and whose silence is not
/// noted yet; at most `limit`, in order. Only those that would have been heard by who has `listened` for
/// so long: as long as they may take to connect, and their heartbeats.
pub async fn unheard(
    db: &Db,
    missed: i64,
    now: Time,
    listened: Duration,
    limit: i64,
) -> Result<Vec<SilentRow>> {
    let sql = format!(
        "SELECT a.id, a.site, a.customer, a.last_seen_at, a.heartbeat, {KNOWN} FROM agents a \
         LEFT JOIN presence p ON p.agent_id = a.id WHERE a.revoked_at IS NULL \
         AND p.silent_alarm IS NULL AND a.last_seen_at < $1 - $2 * COALESCE(p.interval_s, 30) \
         AND $3 >= $2 * COALESCE(p.interval_s, 30) + 1000 * COALESCE(p.reconnect_s, 60) \
         ORDER BY a.id LIMIT $4"
    );
    let listened = i64::try_from(listened.as_millis()).unwrap_or(i64::MAX);
    let rows = db.read(sql, args![now, missed * 1000, listened, limit]).await?;
    rows.iter()
        .map(|row| {
            let agent_id = row.text("id")?;
            Ok(SilentRow {
                presence: from_row(row, agent_id.clone())?,
                agent_id,
                site: row.opt_text("site")?,
                customer: row.opt_text("customer")?,
                last_seen_at: Time(row.int("last_seen_at")?),
                heartbeat: row.opt_text("heartbeat")?,
            })
        })
        .collect()
}

/// Agents that are noted as silent and may not speak any more.
pub async fn silent_and_revoked(db: &Db, limit: i64) -> Result<Vec<String>> {
    let sql = "SELECT p.agent_id FROM presence p JOIN agents a ON a.id = p.agent_id \
               WHERE p.silent_alarm IS NOT NULL AND a.revoked_at IS NOT NULL ORDER BY p.agent_id LIMIT $1";
    db.read(sql, args![limit]).await?.iter().map(|row| row.text("agent_id")).collect()
}

/// How many agents are noted as silent.
pub async fn count_silent(db: &Db) -> Result<i64> {
    let sql = "SELECT COUNT(*) AS n FROM presence WHERE silent_alarm IS NOT NULL";
    db.read_one(sql, vec![]).await?.map_or(Ok(0), |row| row.int("n"))
}

/// Every site, with how many of its agents were not heard for `missed` of their heartbeats.
pub async fn sites(db: &Db, missed: i64, now: Time) -> Result<Vec<SiteRow>> {
    let sql = "SELECT a.customer, a.site, COUNT(*) AS agents, \
               SUM(CASE WHEN a.last_seen_at < $1 - $2 * COALESCE(p.interval_s, 30) THEN 1 ELSE 0 END) AS quiet \
               FROM agents a LEFT JOIN presence p ON p.agent_id = a.id WHERE a.revoked_at IS NULL \
               AND a.site IS NOT NULL AND a.last_seen_at IS NOT NULL GROUP BY a.customer, a.site";
    let rows = db.read(sql, args![now, missed * 1000]).await?;
    rows.iter()
        .map(|row| {
            Ok(SiteRow {
                customer: row.opt_text("customer")?,
                site: row.text("site")?,
                agents: row.int("agents")?,
                quiet: row.int("quiet")?,
            })
        })
        .collect()
}

/// No agent was heard in the future: after the clock was set back, it was heard now at the latest.
pub async fn mend_clock(db: &Db, now: Time, tolerated_ms: i64) -> Result<u64> {
    let sql = "UPDATE agents SET last_seen_at = $1 WHERE last_seen_at > $2";
    db.execute(sql, args![now, now.plus_ms(tolerated_ms)]).await
}
