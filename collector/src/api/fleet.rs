//! Agents and the devices that they watch.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::balance::{LaneBalance, balances};
use super::bundles::Bundle;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{Name, Params};
use super::model::At;
use super::params;
use crate::store::agents::{self, AgentSummary};
use crate::store::bundles;
use crate::store::devices::{self, DeviceSummary};
use crate::store::losses::{self, LossRow};
use crate::store::rejects::{self, RejectRow};
use crate::store::streams::{self, Stream};

/// Agents and devices of one answer: a whole fleet for one page of the console.
const FLEET: u32 = 1000;
/// Losses of one answer, unless told.
const LOSSES: u32 = 50;
/// Losses and rejects that an agent's page shows (the latest ones).
const SHOWN: i64 = 50;

/// An agent and how it is.
#[derive(Serialize, ToSchema)]
pub struct Agent {
    /// Its id.
    id: String,
    /// Site.
    #[schema(required)]
    site: Option<String>,
    /// Customer.
    #[schema(required)]
    customer: Option<String>,
    /// Whether it is connected.
    online: bool,
    /// The last sign of life.
    #[schema(required)]
    last_seen_at: Option<At>,
    /// Its program's version.
    #[schema(required)]
    version: Option<String>,
    /// Whether it is refused.
    revoked: bool,
    /// Its active alarms (tests left out).
    active_alarms: i64,
    /// When its certificate ends.
    #[schema(required)]
    certificate_not_after: Option<At>,
    /// The newest heartbeat, as the agent sent it.
    #[schema(required, value_type = Option<Object>)]
    heartbeat: Option<serde_json::Value>,
}

impl From<AgentSummary> for Agent {
    fn from(summary: AgentSummary) -> Self {
        let agent = summary.agent;
        let heartbeat = agent.heartbeat.as_deref().and_then(|text| serde_json::from_str(text).ok());
        Agent {
            id: agent.id,
            site: agent.site,
            customer: agent.customer,
            online: agent.online,
            last_seen_at: agent.last_seen_at.map(At),
            version: agent.version,
            revoked: agent.revoked_at.is_some(),
            active_alarms: summary.active_alarms,
            certificate_not_after: summary.certificate_not_after.map(At),
            heartbeat: heartbeat.filter(serde_json::Value::is_object),
        }
    }
}

/// Which agents.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AgentQuery {
    /// The last id of the page before.
    after: Option<String>,
    /// At most so many (1 to 1000, 1000 without it).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// List agents.
#[utoipa::path(get, path = "/api/v1/agents", operation_id = "list_agents", tag = "fleet", params(AgentQuery), responses(
    (status = 200, description = "Agents by id", body = Vec<Agent>),
    (status = 400, description = "Malformed query", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn agents(
    State(api): State<Arc<Api>>,
    Params(query): Params<AgentQuery>,
) -> Answer<Json<Vec<Agent>>> {
    let limit = fleet_limit(query.limit)?;
    let all = agents::list(&api.db).await.map_err(Problem::internal)?;
    let after = query.after.unwrap_or_default();
    let page = all.into_iter().filter(|a| a.agent.id > after).take(limit);
    Ok(Json(page.map(Into::into).collect()))
}

fn fleet_limit(wished: Option<u32>) -> Answer<usize> {
    match wished.unwrap_or(FLEET) {
        n @ 1..=FLEET => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
        n => Err(Problem::Malformed(format!("limit: expected 1 to {FLEET}, found {n}"))),
    }
}

/// Something that could not be heard or kept, as declared.
#[derive(Serialize, ToSchema)]
pub struct Loss {
    /// Which source.
    source: String,
    /// Since when.
    from_at: At,
    /// Until when.
    to_at: At,
    /// Why.
    reason: String,
    /// How many, where it is known.
    #[schema(required)]
    count: Option<u64>,
    /// When the collector learned it.
    received_at: At,
}

impl From<LossRow> for Loss {
    fn from(row: LossRow) -> Self {
        Loss {
            source: row.loss.source,
            from_at: At(row.loss.from),
            to_at: At(row.loss.to),
            reason: row.loss.reason,
            count: row.loss.count,
            received_at: At(row.received_at),
        }
    }
}

/// Something that the agent sent and the collector refused.
#[derive(Serialize, ToSchema)]
pub struct Reject {
    /// Its number in its lane, where it could be read.
    #[schema(required)]
    seq: Option<String>,
    /// Its envelope, where it could be read.
    #[schema(required)]
    envelope_id: Option<String>,
    /// A stable word.
    reason: String,
    /// What was wrong.
    text: String,
    /// When it came in.
    received_at: At,
}

impl From<RejectRow> for Reject {
    fn from(row: RejectRow) -> Self {
        Reject {
            seq: row.seq.map(|n| n.to_string()),
            envelope_id: row.envelope_id,
            reason: row.reason,
            text: row.text,
            received_at: At(row.received_at),
        }
    }
}

/// How far one lane of the agent's outbox is committed.
#[derive(Serialize, ToSchema)]
pub struct Lane {
    /// The outbox's life.
    epoch: String,
    /// `alarm` or `bulk`.
    lane: String,
    /// Everything up to this number is committed (or declared lost).
    acked_seq: String,
    /// When it was last written.
    updated_at: At,
}

impl From<Stream> for Lane {
    fn from(stream: Stream) -> Self {
        Lane {
            epoch: stream.key.epoch,
            lane: stream.key.lane,
            acked_seq: stream.acked_seq.to_string(),
            updated_at: At(stream.updated_at),
        }
    }
}

/// An agent and what belongs to it.
#[derive(Serialize, ToSchema)]
pub struct AgentPage {
    /// The agent.
    agent: Agent,
    /// Its latest 50 declared losses.
    losses: Vec<Loss>,
    /// Its latest 50 refused deliveries.
    rejects: Vec<Reject>,
    /// How far its lanes are committed, the newest first.
    streams: Vec<Lane>,
    /// The balance of its lanes; empty while nothing is known of its outbox.
    balance: Vec<LaneBalance>,
    /// Evidence bundles that it is uploading, oldest first, at most 50.
    bundles: Vec<Bundle>,
}

/// One agent with its losses, rejects and lanes.
#[utoipa::path(get, path = "/api/v1/agents/{id}", operation_id = "get_agent", tag = "fleet",
    params(("id" = String, Path, description = "The agent's id")), responses(
    (status = 200, description = "The agent", body = AgentPage),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such agent", body = ProblemBody),
))]
pub async fn agent(State(api): State<Arc<Api>>, Name(id): Name) -> Answer<Json<AgentPage>> {
    let all = agents::list(&api.db).await.map_err(Problem::internal)?;
    let found = all.into_iter().find(|a| a.agent.id == id);
    let found = found.ok_or(Problem::NotFound("such agent"))?;
    let (losses, rejects, streams, bundles) = tokio::try_join!(
        losses::of_agent(&api.db, &id, None, SHOWN),
        rejects::of_agent(&api.db, &id, SHOWN),
        streams::of_agent(&api.db, &id),
        bundles::open_of_agent(&api.db, &id, SHOWN),
    )
    .map_err(Problem::internal)?;
    let balance = balances(&api, found.agent.heartbeat.as_deref(), &streams).await;
    Ok(Json(AgentPage {
        balance: balance.map_err(Problem::internal)?,
        agent: found.into(),
        bundles: bundles.into_iter().map(|(row, ticket)| Bundle::of(row, &ticket)).collect(),
        losses: losses.into_iter().map(Into::into).collect(),
        rejects: rejects.into_iter().map(Into::into).collect(),
        streams: streams.into_iter().map(Into::into).collect(),
    }))
}

/// Which losses.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LossQuery {
    /// At most so many (1 to 200, 50 without it).
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the page before.
    before: Option<String>,
}

/// A page of losses, the latest first.
#[derive(Serialize, ToSchema)]
pub struct LossList {
    /// The losses.
    items: Vec<Loss>,
    /// What to give as `before` for the next page; null when this is the last.
    #[schema(required)]
    next: Option<String>,
}

/// All that an agent declared lost.
#[utoipa::path(get, path = "/api/v1/agents/{id}/losses", operation_id = "list_losses", tag = "fleet",
    params(("id" = String, Path, description = "The agent's id"), LossQuery), responses(
    (status = 200, description = "A page of losses, the latest first", body = LossList),
    (status = 400, description = "Malformed query", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such agent", body = ProblemBody),
))]
pub async fn losses(
    State(api): State<Arc<Api>>,
    Name(id): Name,
    Params(query): Params<LossQuery>,
) -> Answer<Json<LossList>> {
    let limit = params::limit(query.limit, LOSSES)?;
    let known = agents::get(&api.db, &id).await.map_err(Problem::internal)?;
    known.ok_or(Problem::NotFound("such agent"))?;
    let rows = losses::of_agent(&api.db, &id, query.before.as_deref(), limit + 1).await;
    let (rows, next) = params::page(rows.map_err(Problem::internal)?, limit, |row| row.id.clone());
    Ok(Json(LossList { items: rows.into_iter().map(Into::into).collect(), next }))
}

/// A device, as its alarms and inventories describe it.
#[derive(Serialize, ToSchema)]
pub struct Device {
    /// The agent that watches it.
    agent: String,
    /// Serial number where known, else the configured name.
    id: String,
    /// Configured name.
    name: String,
    /// Serial number.
    #[schema(required)]
    serial: Option<String>,
    /// Vendor.
    #[schema(required)]
    vendor: Option<String>,
    /// Model.
    #[schema(required)]
    model: Option<String>,
    /// Firmware or operating system's version.
    #[schema(required)]
    firmware: Option<String>,
    /// Site.
    #[schema(required)]
    site: Option<String>,
    /// Customer.
    #[schema(required)]
    customer: Option<String>,
    /// Service contract.
    #[schema(required)]
    contract: Option<String>,
    /// The device that it hangs on.
    #[schema(required)]
    parent: Option<String>,
    /// First word of it.
    first_seen_at: At,
    /// Latest alarm or inventory.
    last_seen_at: At,
    /// Its active alarms (tests left out).
    active_alarms: i64,
}

impl From<DeviceSummary> for Device {
    fn from(summary: DeviceSummary) -> Self {
        let device = summary.device;
        Device {
            agent: summary.agent_id,
            id: device.id,
            name: device.name,
            serial: device.serial,
            vendor: device.vendor,
            model: device.model,
            firmware: device.firmware,
            site: device.site,
            customer: device.customer,
            contract: device.contract,
            parent: device.parent,
            first_seen_at: At(summary.first_seen_at),
            last_seen_at: At(summary.last_seen_at),
            active_alarms: summary.active_alarms,
        }
    }
}

/// Which devices.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeviceQuery {
    /// Only of this agent.
    agent: Option<String>,
    /// At most so many (1 to 1000, 1000 without it).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// List devices.
#[utoipa::path(get, path = "/api/v1/devices", operation_id = "list_devices", tag = "fleet", params(DeviceQuery), responses(
    (status = 200, description = "Devices by agent and name", body = Vec<Device>),
    (status = 400, description = "Malformed query", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn devices(
    State(api): State<Arc<Api>>,
    Params(query): Params<DeviceQuery>,
) -> Answer<Json<Vec<Device>>> {
    let limit = i64::try_from(fleet_limit(query.limit)?).unwrap_or(i64::MAX);
    let found = devices::list(&api.db, query.agent.as_deref(), limit).await;
    Ok(Json(found.map_err(Problem::internal)?.into_iter().map(Into::into).collect()))
}
