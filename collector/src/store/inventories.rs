//! What devices are and what they are made of, as their agents tell it, and what changed of it.

use callhome_shared::alarm::Device;
use callhome_shared::id::new_uuid;
use callhome_shared::inventory::{MAX_PROFILES, Module};
use callhome_shared::time::Time;

use super::rows::{insert, read_as};
use super::{Db, Result, Row, Tx};
use crate::args;
use crate::inbox::Order;
use crate::inventory::Change;

/// Changes kept of one device: the latest.
pub const KEPT_CHANGES: usize = 200;

/// What was told of a device last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryRow {
    /// SHA-256 of it, hexadecimal.
    pub digest: String,
    /// How the agent knows it: the kind of a source, or `configuration`.
    pub read_by: String,
    /// Serial number, vendor, model and firmware; the rest is empty.
    pub device: Device,
    /// sysObjectID.
    pub sysobjectid: Option<String>,
    /// Profiles that it is read by.
    pub profiles: Vec<String>,
    /// How many modules are kept; none: it never told any.
    pub modules: Option<i64>,
    /// Modules that found no place in the list.
    pub left_out: i64,
    /// When it was read, by the agent's clock.
    pub read_at: Time,
    /// When it came in.
    pub told_at: Time,
    /// When it last said something new.
    pub changed_at: Time,
    /// The envelope that it is from.
    pub order: Order,
}

/// A module with when it was told first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleRow {
    /// It.
    pub module: Module,
    /// Since when it is there, by the agent's clock.
    pub since: Time,
}

/// A change that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    /// Its id.
    pub id: String,
    /// When it was read, by the agent's clock.
    pub at: Time,
    /// A stable word, see [`crate::inventory::What`].
    pub what: String,
    /// The part's class, or `device`.
    pub class: String,
    /// The part's name.
    pub name: String,
    /// As it was.
    pub was: Option<String>,
    /// As it is.
    pub now: Option<String>,
}

const ONE: &str = "SELECT * FROM inventories WHERE agent_id = $1 AND device_id = $2";
const MODULES: &str = "SELECT * FROM modules WHERE agent_id = $1 AND device_id = $2 ORDER BY place";

fn from_row(row: &Row) -> Result<InventoryRow> {
    Ok(InventoryRow {
        digest: row.text("digest")?,
        read_by: row.text("read_by")?,
        device: Device {
            serial: row.opt_text("serial")?,
            vendor: row.opt_text("vendor")?,
            model: row.opt_text("model")?,
            firmware: row.opt_text("firmware")?,
            ..Device::default()
        },
        sysobjectid: row.opt_text("sysobjectid")?,
        profiles: serde_json::from_str(&row.text("profiles")?).unwrap_or_default(),
        modules: row.opt_int("modules")?,
        left_out: row.int("left_out")?,
        read_at: Time(row.int("read_at")?),
        told_at: Time(row.int("told_at")?),
        changed_at: Time(row.int("changed_at")?),
        order: Order {
            epoch: row.text("last_epoch")?,
            seq: row.int("last_seq")?,
            at: Time(row.int("last_at")?),
        },
    })
}

fn module_from(row: &Row) -> Result<ModuleRow> {
    let number = |n: i64| u32::try_from(n).unwrap_or_default();
    Ok(ModuleRow {
        module: Module {
            index: number(row.int("number")?),
            inside: row.opt_int("inside")?.map(number),
            class: row.text("class")?,
            name: row.text("name")?,
            description: row.opt_text("description")?,
            model: row.opt_text("model")?,
            serial: row.opt_text("serial")?,
            hardware: row.opt_text("hardware")?,
            firmware: row.opt_text("firmware")?,
            software: row.opt_text("software")?,
        },
        since: Time(row.int("since")?),
    })
}

/// What was told of a device last.
pub async fn load(
    tx: &mut Tx,
    agent: &str,
    device: &str,
) -> Result<Option<(InventoryRow, Vec<ModuleRow>)>> {
    let Some(row) = tx.query_one(ONE, args![agent, device]).await? else { return Ok(None) };
    let modules = tx.query(MODULES, args![agent, device]).await?;
    Ok(Some((from_row(&row)?, modules.iter().map(module_from).collect::<Result<_>>()?)))
}

/// The same for who only reads, with the latest changes first.
pub async fn get(
    db: &Db,
    agent: &str,
    device: &str,
) -> Result<Option<(InventoryRow, Vec<ModuleRow>, Vec<ChangeRow>)>> {
    let Some(row) = db.read_one(ONE, args![agent, device]).await? else { return Ok(None) };
    let modules = read_as(db, MODULES, args![agent, device], module_from).await?;
    let sql = "SELECT * FROM module_changes WHERE agent_id = $1 AND device_id = $2 ORDER BY at DESC, id DESC LIMIT $3";
    let kept = i64::try_from(KEPT_CHANGES).unwrap_or(i64::MAX);
    let changes = read_as(db, sql, args![agent, device, kept], |row| {
        Ok(ChangeRow {
            id: row.text("id")?,
            at: Time(row.int("at")?),
            what: row.text("what")?,
            class: row.text("class")?,
            name: row.text("name")?,
            was: row.opt_text("was")?,
            now: row.opt_text("now")?,
        })
    });
    Ok(Some((from_row(&row)?, modules, changes.await?)))
}

/// Writes what was told of a device.
pub async fn save(tx: &mut Tx, agent: &str, device: &str, row: &InventoryRow) -> Result<()> {
    let named = row.profiles.iter().take(MAX_PROFILES).collect::<Vec<_>>();
    let profiles = serde_json::to_string(&named).unwrap_or_default();
    let values = args![
        agent,
        device,
        &row.digest,
        &row.read_by,
        &row.device.serial,
        &row.device.vendor,
        &row.device.model,
        &row.device.firmware,
        &row.sysobjectid,
        profiles,
        row.modules,
        row.left_out,
        row.read_at,
        row.told_at,
        row.changed_at,
        &row.order.epoch,
        row.order.seq,
        row.order.at
    ];
    let head = "INSERT INTO inventories (agent_id, device_id, digest, read_by, serial, vendor, model, firmware, \
                sysobjectid, profiles, modules, left_out, read_at, told_at, changed_at, last_epoch, last_seq, last_at)";
    let tail = "ON CONFLICT (agent_id, device_id) DO UPDATE SET digest = excluded.digest, \
                read_by = excluded.read_by, serial = excluded.serial, vendor = excluded.vendor, \
                model = excluded.model, firmware = excluded.firmware, sysobjectid = excluded.sysobjectid, \
                profiles = excluded.profiles, modules = excluded.modules, left_out = excluded.left_out, \
                read_at = excluded.read_at, told_at = excluded.told_at, changed_at = excluded.changed_at, \
                last_epoch = excluded.last_epoch, last_seq = excluded.last_seq, last_at = excluded.last_at";
    insert(tx, head, vec![values], tail).await.map(drop)
}

/// Writes a device's modules in place of those that were there.
pub async fn put_modules(tx: &mut Tx, agent: &str, device: &str, all: &[ModuleRow]) -> Result<()> {
    let sql = "DELETE FROM modules WHERE agent_id = $1 AND device_id = $2";
    tx.execute(sql, args![agent, device]).await?;
    let rows = (0_i64..).zip(all).map(|(place, row)| {
        let module = &row.module;
        args![
            agent,
            device,
            place,
            i64::from(module.index),
            module.inside.map(i64::from),
            &module.class,
            &module.name,
            &module.description,
            &module.model,
            &module.serial,
            &module.hardware,
            &module.firmware,
            &module.software,
            row.since
        ]
    });
    let head = "INSERT INTO modules (agent_id, device_id, place, number, inside, class, name, description, model, \
                serial, hardware, firmware, software, since)";
    insert(tx, head, rows.collect(), "").await.map(drop)
}

/// Adds changes and lets go what is older than the last [`KEPT_CHANGES`] of the device.
pub async fn add_changes(
    tx: &mut Tx,
    agent: &str,
    device: &str,
    all: &[(Time, Change)],
) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let rows = all.iter().take(KEPT_CHANGES).map(|(at, change)| {
        let what = change.what.as_str();
        let id = new_uuid().to_string();
        args![id, agent, device, *at, what, &change.class, &change.name, &change.was, &change.is]
    });
    let head =
        "INSERT INTO module_changes (id, agent_id, device_id, at, what, class, name, was, now)";
    insert(tx, head, rows.collect(), "").await?;
    let sql = "DELETE FROM module_changes WHERE agent_id = $1 AND device_id = $2 AND id NOT IN (SELECT id FROM \
               module_changes WHERE agent_id = $1 AND device_id = $2 ORDER BY at DESC, id DESC LIMIT $3)";
    let kept = i64::try_from(KEPT_CHANGES).unwrap_or(i64::MAX);
    tx.execute(sql, args![agent, device, kept]).await.map(drop)
}
