//! Devices, as alarms and inventories describe them.

use callhome_shared::alarm::Device;
use callhome_shared::time::Time;

use super::rows::{insert, read_as};
use super::{Db, Result, Row, Tx};
use crate::args;

/// A device with what lists show beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSummary {
    /// The agent that watches it.
    pub agent_id: String,
    /// What the agent says about it.
    pub device: Device,
    /// First word of it.
    pub first_seen_at: Time,
    /// Latest word of it: an alarm's transition or an inventory.
    pub last_seen_at: Time,
    /// Active alarms (tests left out).
    pub active_alarms: i64,
}

fn device(row: &Row) -> Result<Device> {
    Ok(Device {
        id: row.text("id")?,
        name: row.text("name")?,
        serial: row.opt_text("serial")?,
        vendor: row.opt_text("vendor")?,
        model: row.opt_text("model")?,
        firmware: row.opt_text("firmware")?,
        site: row.opt_text("site")?,
        customer: row.opt_text("customer")?,
        contract: row.opt_text("contract")?,
        parent: row.opt_text("parent")?,
        parent_resource: row.opt_text("parent_resource")?,
    })
}

/// The device of a serial number that was heard of last, with its agent.
pub async fn by_serial(tx: &mut Tx, serial: &str) -> Result<Option<(String, Device)>> {
    let sql =
        "SELECT * FROM devices WHERE serial = $1 ORDER BY last_seen_at DESC, agent_id LIMIT 1";
    let row = tx.query_one(sql, args![serial]).await?;
    row.map(|row| Ok((row.text("agent_id")?, device(&row)?))).transpose()
}

/// Vendor and model of a device.
pub async fn kind_of(
    tx: &mut Tx,
    agent: &str,
    id: &str,
) -> Result<Option<(Option<String>, Option<String>)>> {
    let sql = "SELECT vendor, model FROM devices WHERE agent_id = $1 AND id = $2";
    let row = tx.query_one(sql, args![agent, id]).await?;
    row.map(|row| Ok((row.opt_text("vendor")?, row.opt_text("model")?))).transpose()
}

/// One of an agent.
pub async fn one(tx: &mut Tx, agent: &str, id: &str) -> Result<Option<Device>> {
    let sql = "SELECT * FROM devices WHERE agent_id = $1 AND id = $2";
    tx.query_one(sql, args![agent, id]).await?.as_ref().map(device).transpose()
}

/// A device with how many of its alarms stand.
const SUMMARY: &str = "SELECT d.*, (SELECT COUNT(*) FROM alarms l WHERE l.agent_id = d.agent_id \
                       AND l.device_id = d.id AND l.active = 1 AND l.test = 0) AS active_alarms FROM devices d";

fn summary_from(row: &Row) -> Result<DeviceSummary> {
    Ok(DeviceSummary {
        agent_id: row.text("agent_id")?,
        device: device(row)?,
        first_seen_at: Time(row.int("first_seen_at")?),
        last_seen_at: Time(row.int("last_seen_at")?),
        active_alarms: row.int("active_alarms")?,
    })
}

/// Devices by agent and name, at most `limit`; of one agent or all.
pub async fn list(db: &Db, agent: Option<&str>, limit: i64) -> Result<Vec<DeviceSummary>> {
    let sql = format!(
        "{SUMMARY} WHERE ($1 = '' OR d.agent_id = $1) ORDER BY d.agent_id, d.name, d.id LIMIT $2"
    );
    read_as(db, sql, args![agent.unwrap_or_default(), limit], summary_from).await
}

/// One of an agent.
pub async fn summary(db: &Db, agent: &str, id: &str) -> Result<Option<DeviceSummary>> {
    let sql = format!("{SUMMARY} WHERE d.agent_id = $1 AND d.id = $2");
    db.read_one(sql, args![agent, id]).await?.as_ref().map(summary_from).transpose()
}

/// Notes devices as they were last described: (agent, device, when). Sorted and without repeats.
/// What an older description says does not replace a newer one, and silence replaces nothing.
pub async fn note(tx: &mut Tx, seen: &[(String, Device, Time)]) -> Result<()> {
    let rows = seen.iter().map(|(agent, d, at)| {
        args![
            agent,
            &d.id,
            &d.name,
            &d.serial,
            &d.vendor,
            &d.model,
            &d.firmware,
            &d.site,
            &d.customer,
            &d.contract,
            &d.parent,
            &d.parent_resource,
            *at,
            *at
        ]
    });
    let head = "INSERT INTO devices (agent_id, id, name, serial, vendor, model, firmware, site, \
                customer, contract, parent, parent_resource, first_seen_at, last_seen_at)";
    let tail = "ON CONFLICT (agent_id, id) DO UPDATE SET name = excluded.name, \
                serial = COALESCE(excluded.serial, devices.serial), \
                vendor = COALESCE(excluded.vendor, devices.vendor), \
                model = COALESCE(excluded.model, devices.model), \
                firmware = COALESCE(excluded.firmware, devices.firmware), \
                site = COALESCE(excluded.site, devices.site), \
                customer = COALESCE(excluded.customer, devices.customer), \
                contract = COALESCE(excluded.contract, devices.contract), \
                parent = COALESCE(excluded.parent, devices.parent), \
                parent_resource = CASE WHEN excluded.parent IS NULL THEN devices.parent_resource ELSE excluded.parent_resource END, \
                last_seen_at = excluded.last_seen_at \
                WHERE excluded.last_seen_at >= devices.last_seen_at";
    insert(tx, head, rows.collect(), tail).await.map(drop)
}
