//! Windows of maintenance that people at the centre set.

use callhome_shared::time::Time;

use super::rows::{insert, select_in};
use super::{Result, Row, Tx};
use crate::args;

/// A window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRow {
    /// Its id.
    pub id: String,
    /// `agent`, `site` or `devices`.
    pub scope: String,
    /// Of scope `agent`: which.
    pub agent_id: Option<String>,
    /// Of scope `site`: which.
    pub site: Option<String>,
    /// The first moment.
    pub starts_at: Time,
    /// The first moment after it.
    pub ends_at: Time,
    /// Why.
    pub reason: String,
    /// Who set it.
    pub created_by: String,
    /// When.
    pub created_at: Time,
    /// Who ended it before its time.
    pub ended_by: Option<String>,
    /// When.
    pub ended_at: Option<Time>,
}

/// A device of a window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceRow {
    /// The window.
    pub maintenance_id: String,
    /// The device's agent.
    pub agent_id: String,
    /// Its id.
    pub device_id: String,
    /// Its name, as the agent tells it.
    pub name: String,
}

/// A device that a window is about, with what stands on it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// Its agent.
    pub agent_id: String,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its site.
    pub site: Option<String>,
    /// Active alarms (tests left out).
    pub active_alarms: i64,
}

fn window(row: &Row) -> Result<WindowRow> {
    Ok(WindowRow {
        id: row.text("id")?,
        scope: row.text("scope")?,
        agent_id: row.opt_text("agent_id")?,
        site: row.opt_text("site")?,
        starts_at: Time(row.int("starts_at")?),
        ends_at: Time(row.int("ends_at")?),
        reason: row.text("reason")?,
        created_by: row.text("created_by")?,
        created_at: Time(row.int("created_at")?),
        ended_by: row.opt_text("ended_by")?,
        ended_at: row.opt_int("ended_at")?.map(Time),
    })
}

fn device(row: &Row) -> Result<DeviceRow> {
    Ok(DeviceRow {
        maintenance_id: row.text("maintenance_id")?,
        agent_id: row.text("agent_id")?,
        device_id: row.text("device_id")?,
        name: row.text("name")?,
    })
}

/// Writes a new window with its devices.
pub async fn add(tx: &mut Tx, row: &WindowRow, devices: &[DeviceRow]) -> Result<()> {
    let sql = "INSERT INTO maintenance (id, scope, agent_id, site, starts_at, ends_at, reason, created_by, \
               created_at, ended_by, ended_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let all = args![
        &row.id,
        &row.scope,
        &row.agent_id,
        &row.site,
        row.starts_at,
        row.ends_at,
        &row.reason,
        &row.created_by,
        row.created_at,
        &row.ended_by,
        row.ended_at
    ];
    tx.execute(sql, all).await?;
    let rows = devices.iter().map(|d| args![&d.maintenance_id, &d.agent_id, &d.device_id, &d.name]);
    let head = "INSERT INTO maintenance_devices (maintenance_id, agent_id, device_id, name)";
    insert(tx, head, rows.collect(), "").await.map(drop)
}

/// Ends a window before its time; `false` where it is over already, or there is none.
pub async fn end(tx: &mut Tx, id: &str, by: &str, at: Time) -> Result<bool> {
    let sql = "UPDATE maintenance SET ended_by = $2, ended_at = $3 WHERE id = $1 \
               AND ended_at IS NULL AND ends_at > $3";
    Ok(tx.execute(sql, args![id, by, at]).await? > 0)
}

/// One window.
pub async fn get(tx: &mut Tx, id: &str) -> Result<Option<WindowRow>> {
    let row = tx.query_one("SELECT * FROM maintenance WHERE id = $1", args![id]).await?;
    row.as_ref().map(window).transpose()
}

/// Those that are not over, by id.
pub async fn present(tx: &mut Tx, now: Time) -> Result<Vec<WindowRow>> {
    let sql = "SELECT * FROM maintenance WHERE ended_at IS NULL AND ends_at > $1 ORDER BY id";
    tx.query(sql, args![now]).await?.iter().map(window).collect()
}

/// The latest of all, those that were set last first.
pub async fn latest(tx: &mut Tx, limit: i64) -> Result<Vec<WindowRow>> {
    let sql = "SELECT * FROM maintenance ORDER BY created_at DESC, id DESC LIMIT $1";
    tx.query(sql, args![limit]).await?.iter().map(window).collect()
}

/// The devices of these windows.
pub async fn devices_of(tx: &mut Tx, windows: &[String]) -> Result<Vec<DeviceRow>> {
    let head = "SELECT * FROM maintenance_devices WHERE maintenance_id";
    let mut rows: Vec<DeviceRow> =
        select_in(tx, head, windows, "").await?.iter().map(device).collect::<Result<_>>()?;
    rows.sort();
    Ok(rows)
}

/// The agents of a site: those that stand there, and those that watch a device there.
pub async fn agents_at(tx: &mut Tx, site: &str) -> Result<Vec<String>> {
    let sql = "SELECT id FROM agents WHERE revoked_at IS NULL AND (site = $1 OR id IN \
               (SELECT agent_id FROM devices WHERE site = $1)) ORDER BY id";
    tx.query(sql, args![site]).await?.iter().map(|row| row.text("id")).collect()
}

/// What is known of these agents' windows: their newest heartbeats as JSON, by id.
pub async fn heartbeats(tx: &mut Tx, agents: &[String]) -> Result<Vec<(String, Option<String>)>> {
    let head = "SELECT id, heartbeat FROM agents WHERE revoked_at IS NULL AND id";
    let rows = select_in(tx, head, agents, "").await?;
    rows.iter().map(|row| Ok((row.text("id")?, row.opt_text("heartbeat")?))).collect()
}

/// The devices of an agent, of a site (where the agent is empty), at most `limit`.
pub async fn covered(tx: &mut Tx, agent: &str, site: &str, limit: i64) -> Result<Vec<Covered>> {
    let sql = "SELECT d.agent_id, d.id, d.name, d.site, (SELECT COUNT(*) FROM alarms l WHERE \
               l.agent_id = d.agent_id AND l.device_id = d.id AND l.active = 1 AND l.test = 0) AS active_alarms \
               FROM devices d WHERE ($1 = '' OR d.agent_id = $1) AND ($2 = '' OR d.site = $2) \
               ORDER BY d.agent_id, d.name, d.id LIMIT $3";
    let rows = tx.query(sql, args![agent, site, limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(Covered {
                agent_id: row.text("agent_id")?,
                id: row.text("id")?,
                name: row.text("name")?,
                site: row.opt_text("site")?,
                active_alarms: row.int("active_alarms")?,
            })
        })
        .collect()
}
