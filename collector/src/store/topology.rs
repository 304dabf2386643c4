//! What hangs on what, as agents tell it and people write it.

use std::collections::BTreeSet;

use callhome_shared::time::Time;

use super::alarms::AlarmRow;
use super::tickets::TicketRow;
use super::{Result, Row, Tx, alarms, tickets};
use crate::args;
use crate::diagnosis::topology::{Told, Written};
use crate::masters::list;

/// Where the number is that goes up with every change.
const VERSION: &str = "topology";
/// Devices, and records of the installed base, that are taken into account: at most so many of each.
const MOST: i64 = 200_000;
/// So many changes of the number are remembered as devices that appeared.
const NEWS: i64 = 1_000;
const TOLD: &str = "SELECT agent_id, id, name, serial, parent, parent_resource FROM devices";

/// The number of the present state.
pub async fn version(tx: &mut Tx) -> Result<i64> {
    let sql = "SELECT value FROM meta WHERE key = $1";
    let row = tx.query_one(sql, args![VERSION]).await?;
    Ok(row.map(|row| row.text("value")).transpose()?.and_then(|v| v.parse().ok()).unwrap_or(0))
}

/// Devices appeared that nobody had told of: nothing else changed.
pub async fn appeared(tx: &mut Tx, devices: &[(String, String)]) -> Result<()> {
    changed(tx).await?;
    let now = version(tx).await?;
    let sql = "INSERT INTO topology_news (version, devices) VALUES ($1, $2)";
    let devices = serde_json::json!(devices).to_string();
    tx.execute(sql, args![now, devices]).await?;
    let sql = "DELETE FROM topology_news WHERE version <= $1";
    tx.execute(sql, args![now - NEWS]).await.map(drop)
}

/// What devices that appeared after `known`, up to `now`, tell; `None`: something else changed, too.
pub async fn news(tx: &mut Tx, known: i64, now: i64) -> Result<Option<Vec<Told>>> {
    let sql = "SELECT devices FROM topology_news WHERE version > $1 AND version <= $2";
    let rows = tx.query(sql, args![known, now]).await?;
    if i64::try_from(rows.len()).unwrap_or(0) != now - known {
        return Ok(None);
    }
    let mut devices = BTreeSet::new();
    for row in &rows {
        let Ok(some) = serde_json::from_str::<Vec<(String, String)>>(&row.text("devices")?) else {
            return Ok(None);
        };
        devices.extend(some);
    }
    let mut told = Vec::new();
    for (agent, device) in devices {
        let sql = format!("{TOLD} WHERE agent_id = $1 AND id = $2");
        if let Some(row) = tx.query_one(sql, args![agent, device]).await? {
            told.push(read(&row)?);
        }
    }
    Ok(Some(told))
}

fn read(row: &Row) -> Result<Told> {
    Ok(Told {
        agent: row.text("agent_id")?,
        id: row.text("id")?,
        name: row.text("name")?,
        serial: row.opt_text("serial")?,
        parent: row.opt_text("parent")?,
        parent_resource: row.opt_text("parent_resource")?,
    })
}

/// Something changed.
pub async fn changed(tx: &mut Tx) -> Result<()> {
    let next = version(tx).await? + 1;
    let sql = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    tx.execute(sql, args![VERSION, next.to_string()]).await.map(drop)
}

/// All of it.
pub async fn load(tx: &mut Tx) -> Result<(Vec<Told>, Vec<Written>)> {
    let sql = format!("{TOLD} ORDER BY agent_id, id LIMIT $1");
    let rows = tx.query(sql, args![MOST]).await?;
    let told = rows.iter().map(read);
    let told = told.collect::<Result<_>>()?;
    let sql = "SELECT id, hangs_on, powered_by FROM installed WHERE hangs_on <> '' OR powered_by <> '' ORDER BY id LIMIT $1";
    let rows = tx.query(sql, args![MOST]).await?;
    let written = rows.iter().map(|row| {
        let all = |text: String| list(&text).map(str::to_owned).collect();
        Ok(Written {
            id: row.text("id")?,
            hangs_on: all(row.text("hangs_on")?),
            powered_by: all(row.text("powered_by")?),
        })
    });
    Ok((told, written.collect::<Result<_>>()?))
}

/// Alarms of these devices that stand, or were over after `since`: others may follow from them.
pub async fn faults_of(
    tx: &mut Tx,
    devices: &[(String, String)],
    since: Time,
) -> Result<Vec<AlarmRow>> {
    let mut found = Vec::new();
    for (agent, device) in devices {
        let sql = "SELECT alarm_id FROM alarms WHERE agent_id = $1 AND device_id = $2 AND test = 0 AND shadow = 0 \
                   AND (active = 1 OR (active = 0 AND cleared_at > $3)) ORDER BY raised_at DESC LIMIT 1000";
        for row in tx.query(sql, args![agent, device, since]).await? {
            found.push(row.text("alarm_id")?);
        }
    }
    alarms::load(tx, &found).await
}

/// Tickets since then that nobody has touched, with the alarm life that opened each: at most `limit`.
pub async fn untouched(tx: &mut Tx, since: Time, limit: i64) -> Result<Vec<(TicketRow, String)>> {
    let sql = "SELECT t.id, MIN(ca.alarm_id) AS alarm_id FROM tickets t JOIN cases c ON c.ticket_id = t.id \
               JOIN case_alarms ca ON ca.case_id = c.id WHERE t.state IN ('recorded', 'assigned') \
               AND t.opened_at > $1 AND t.ordinal > 0 AND t.test = 0 AND t.opened_by IS NULL AND c.consequence = 0 \
               AND NOT EXISTS (SELECT 1 FROM ticket_events e WHERE e.ticket_id = t.id AND e.who LIKE 'user:%') \
               GROUP BY t.id ORDER BY t.id LIMIT $2";
    let rows = tx.query(sql, args![since, limit]).await?;
    let mut of = Vec::with_capacity(rows.len());
    for row in &rows {
        of.push((row.text("id")?, row.text("alarm_id")?));
    }
    let ids: Vec<String> = of.iter().map(|(id, _)| id.clone()).collect();
    let rows = tickets::load(tx, &ids).await?;
    let with = |row: TicketRow| {
        let alarm = of.iter().find(|(id, _)| *id == row.id).map(|(_, alarm)| alarm.clone());
        (row, alarm.unwrap_or_default())
    };
    Ok(rows.into_iter().map(with).collect())
}
