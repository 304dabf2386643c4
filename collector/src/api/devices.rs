//! One device: what it is, what it is made of, what changed of that, and how it is read.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use callhome_shared::heartbeat::Heartbeat;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::Names;
use super::fleet::Device;
use super::model::At;
use crate::store::inventories::{self, ChangeRow, InventoryRow, ModuleRow};
use crate::store::{agents, devices};

/// What its agent said last of a device and of what it is made of.
#[derive(Serialize, ToSchema)]
pub struct DeviceInventory {
    /// How the agent knows it: `snmp`, or `configuration`.
    read_by: String,
    /// What the device says it is (sysObjectID).
    #[schema(required)]
    sysobjectid: Option<String>,
    /// The profiles that it is read by.
    profiles: Vec<String>,
    /// When it was read, by the agent's clock.
    read_at: At,
    /// When it came in.
    told_at: At,
    /// When it last said something new, by the agent's clock.
    changed_at: At,
    /// Modules that found no place in the list.
    left_out: i64,
}

impl From<InventoryRow> for DeviceInventory {
    fn from(row: InventoryRow) -> Self {
        DeviceInventory {
            read_by: row.read_by,
            sysobjectid: row.sysobjectid,
            profiles: row.profiles,
            read_at: At(row.read_at),
            told_at: At(row.told_at),
            changed_at: At(row.changed_at),
            left_out: row.left_out,
        }
    }
}

/// A part of a device.
#[derive(Serialize, ToSchema)]
pub struct DeviceModule {
    /// The device's number for it; it may be another one after a restart.
    index: u32,
    /// The number of the part that holds it.
    #[schema(required)]
    inside: Option<u32>,
    /// `chassis`, `module`, `power-supply`, `fan`, …
    class: String,
    /// What the device calls it.
    name: String,
    /// What it is.
    #[schema(required)]
    description: Option<String>,
    /// The maker's name for it.
    #[schema(required)]
    model: Option<String>,
    /// Serial number.
    #[schema(required)]
    serial: Option<String>,
    /// Hardware revision.
    #[schema(required)]
    hardware: Option<String>,
    /// Firmware revision.
    #[schema(required)]
    firmware: Option<String>,
    /// Software revision.
    #[schema(required)]
    software: Option<String>,
    /// Since when it is there, by the agent's clock.
    since: At,
}

impl From<ModuleRow> for DeviceModule {
    fn from(row: ModuleRow) -> Self {
        let module = row.module;
        DeviceModule {
            index: module.index,
            inside: module.inside,
            class: module.class,
            name: module.name,
            description: module.description,
            model: module.model,
            serial: module.serial,
            hardware: module.hardware,
            firmware: module.firmware,
            software: module.software,
            since: At(row.since),
        }
    }
}

/// Something that changed of what a device is made of.
#[derive(Serialize, ToSchema)]
pub struct ModuleChange {
    /// Its id.
    id: String,
    /// When it was read, by the agent's clock.
    at: At,
    /// `appeared`, `vanished`, `serial` (the part was replaced), `moved`, `model`, `hardware`, `firmware` or
    /// `software`.
    what: String,
    /// The part's class; `device`: the device itself.
    class: String,
    /// The part's name.
    name: String,
    /// As it was.
    #[schema(required)]
    was: Option<String>,
    /// As it is.
    #[schema(required)]
    now: Option<String>,
}

impl From<ChangeRow> for ModuleChange {
    fn from(row: ChangeRow) -> Self {
        ModuleChange {
            id: row.id,
            at: At(row.at),
            what: row.what,
            class: row.class,
            name: row.name,
            was: row.was,
            now: row.now,
        }
    }
}

/// A device and what belongs to it.
#[derive(Serialize, ToSchema)]
pub struct DevicePage {
    /// The device.
    device: Device,
    /// What its agent said last of it; null: nothing but alarms yet.
    #[schema(required)]
    inventory: Option<DeviceInventory>,
    /// Its parts; null: it tells none.
    #[schema(required)]
    modules: Option<Vec<DeviceModule>>,
    /// What changed of them, the latest first, at most 200.
    changes: Vec<ModuleChange>,
    /// The agent's sources that read it, each as its newest heartbeat says: when, how long it took, what is not
    /// as it should be, what to check, by which profiles and why.
    #[schema(value_type = Vec<Object>)]
    sources: Vec<serde_json::Value>,
    /// Sources that found no place in that heartbeat: of a very large agent, those that are well.
    sources_left_out: u64,
}

/// One device with its modules.
#[utoipa::path(get, path = "/api/v1/devices/{agent}/{id}", operation_id = "get_device", tag = "fleet",
    params(("agent" = String, Path, description = "The agent's id"), ("id" = String, Path, description = "The device's id")),
    responses(
    (status = 200, description = "The device", body = DevicePage),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such device", body = ProblemBody),
))]
pub async fn device(
    State(api): State<Arc<Api>>,
    Names(agent, id): Names,
) -> Answer<Json<DevicePage>> {
    let found = devices::summary(&api.db, &agent, &id).await.map_err(Problem::internal)?;
    let found = found.ok_or(Problem::NotFound("such device"))?;
    let (inventory, watcher) =
        tokio::try_join!(inventories::get(&api.db, &agent, &id), agents::get(&api.db, &agent))
            .map_err(Problem::internal)?;
    let beat = watcher.and_then(|agent| agent.heartbeat).unwrap_or_default();
    let beat = serde_json::from_str::<Heartbeat>(&beat).unwrap_or_default();
    let sources = beat.sources.iter().filter(|source| source.device == found.device.name);
    let sources = sources.filter_map(|source| serde_json::to_value(source).ok()).collect();
    let (inventory, modules, changes) = match inventory {
        Some((row, modules, changes)) => {
            let modules = row.modules.map(|_| modules.into_iter().map(Into::into).collect());
            (Some(row.into()), modules, changes.into_iter().map(Into::into).collect())
        }
        None => (None, None, Vec::new()),
    };
    Ok(Json(DevicePage {
        device: found.into(),
        inventory,
        modules,
        changes,
        sources,
        sources_left_out: beat.sources_left_out,
    }))
}
