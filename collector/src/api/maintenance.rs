//! Windows of maintenance: what is planned, set and ended; and what one would be about.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{Body, Name};
use super::model::At;
use super::session::LoggedIn;
use crate::flow::maintenance::{self as actions, Knows, MaintenanceError, Reach, Scope, Wish};
use crate::store::maintenance::{self as rows, WindowRow};

/// Windows that are listed.
const LISTED: i64 = 200;

/// A device.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceName {
    /// The agent that watches it.
    agent: String,
    /// Its id.
    id: String,
}

/// A window that is wanted. Exactly one of `agent`, `site` and `devices` says whose alarms are held back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceWish {
    /// All that this agent watches.
    #[serde(default)]
    agent: Option<String>,
    /// All devices of this site.
    #[serde(default)]
    site: Option<String>,
    /// These devices, at most 100.
    #[serde(default)]
    devices: Vec<DeviceName>,
    /// When it begins, RFC 3339; now without it.
    #[serde(default)]
    from: Option<String>,
    /// When it ends, RFC 3339; 30 days after its beginning at most.
    until: String,
    /// Why; in one line.
    #[schema(min_length = 1)]
    reason: String,
}

/// A window.
#[derive(Serialize, ToSchema)]
pub struct Maintenance {
    /// Its id.
    id: String,
    /// `planned`, `now` or `over`.
    state: WindowState,
    /// All that this agent watches.
    #[schema(required)]
    agent: Option<String>,
    /// All devices of this site.
    #[schema(required)]
    site: Option<String>,
    /// These devices; empty where it is about an agent or a site.
    devices: Vec<MaintenanceDevice>,
    /// The first moment.
    from: At,
    /// The first moment after it.
    until: At,
    /// Why.
    reason: String,
    /// Who set it.
    by: String,
    /// When.
    at: At,
    /// Who ended it before its time.
    #[schema(required)]
    ended_by: Option<String>,
    /// When.
    #[schema(required)]
    ended_at: Option<At>,
}

/// A device of a window.
#[derive(Serialize, ToSchema)]
pub struct MaintenanceDevice {
    /// The agent that watches it.
    agent: String,
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// Its site.
    #[schema(required)]
    site: Option<String>,
    /// Alarms that stand on it now: their tickets stay; what comes in the window is held back.
    active_alarms: i64,
}

/// Where a window stands.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowState {
    /// It has not begun.
    Planned,
    /// It is now.
    Now,
    /// It is over.
    Over,
}

/// What an agent knows of its windows.
#[derive(Serialize, ToSchema)]
pub struct AgentKnows {
    /// The agent.
    agent: String,
    /// `all`: it has said that it has them. `not_yet`: it has not. `cannot`: its version is too old.
    knows: KnowsName,
}

/// See [`AgentKnows`].
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KnowsName {
    /// It has said that it has the present ones.
    All,
    /// It has not yet.
    NotYet,
    /// Its version cannot be told.
    Cannot,
}

/// The windows, those that were set last first.
#[derive(Serialize, ToSchema)]
pub struct MaintenanceList {
    /// At most 200.
    items: Vec<Maintenance>,
    /// What the agents of the windows that are not over know of them.
    agents: Vec<AgentKnows>,
}

/// What a window would be about.
#[derive(Serialize, ToSchema)]
pub struct MaintenancePreview {
    /// Its devices as far as they are known here, at most 500: a device is known by its first alarm.
    devices: Vec<MaintenanceDevice>,
    /// Alarms that stand on them now.
    active_alarms: i64,
    /// The agents that are told.
    agents: Vec<AgentKnows>,
}

fn agent_knows((agent, knows): (String, Knows)) -> AgentKnows {
    let knows = match knows {
        Knows::All => KnowsName::All,
        Knows::NotYet => KnowsName::NotYet,
        Knows::Cannot => KnowsName::Cannot,
    };
    AgentKnows { agent, knows }
}

fn moment(key: &str, text: &str) -> Result<Time, Problem> {
    Time::parse(text).map_err(|_| {
        let expected = "expected a time such as 2026-12-01T02:00:00+08:00";
        Problem::Malformed(format!("{key}: {expected}"))
    })
}

fn wish(said: MaintenanceWish) -> Result<Wish, Problem> {
    let devices: Vec<(String, String)> =
        said.devices.into_iter().map(|device| (device.agent, device.id)).collect();
    let scope = match (said.agent, said.site, devices) {
        (Some(agent), None, devices) if devices.is_empty() => Scope::Agent(agent),
        (None, Some(site), devices) if devices.is_empty() => Scope::Site(site),
        (None, None, devices) if !devices.is_empty() => Scope::Devices(devices),
        _ => {
            let why = "expected exactly one of agent, site and devices";
            return Err(Problem::Malformed(why.to_owned()));
        }
    };
    let from = said.from.map(|from| moment("from", &from)).transpose()?;
    Ok(Wish { scope, from, until: moment("until", &said.until)?, reason: said.reason })
}

fn refused(error: MaintenanceError) -> Problem {
    match error {
        MaintenanceError::Malformed(why) => Problem::Malformed(why),
        MaintenanceError::NotFound => Problem::NotFound("such window, or it is over"),
        e @ MaintenanceError::TooMany { .. } => Problem::NotAllowed(e.to_string()),
        e @ MaintenanceError::Store(_) => Problem::internal(e),
    }
}

fn told(row: WindowRow, devices: Vec<MaintenanceDevice>, now: Time) -> Maintenance {
    let state = match row.ended_at.is_some() || row.ends_at <= now {
        true => WindowState::Over,
        false if row.starts_at > now => WindowState::Planned,
        false => WindowState::Now,
    };
    Maintenance {
        id: row.id,
        state,
        agent: row.agent_id,
        site: row.site,
        devices,
        from: At(row.starts_at),
        until: At(row.ends_at),
        reason: row.reason,
        by: row.created_by,
        at: At(row.created_at),
        ended_by: row.ended_by,
        ended_at: row.ended_at.map(At),
    }
}

fn covered(device: rows::Covered) -> MaintenanceDevice {
    MaintenanceDevice {
        agent: device.agent_id,
        id: device.id,
        name: device.name,
        site: device.site,
        active_alarms: device.active_alarms,
    }
}

/// The latest windows of maintenance.
#[utoipa::path(get, path = "/api/v1/maintenance", operation_id = "list_maintenance", tag = "maintenance", responses(
    (status = 200, description = "Those that were set last first", body = MaintenanceList),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn list(State(api): State<Arc<Api>>) -> Answer<Json<MaintenanceList>> {
    let now = Time::now();
    let (windows, agents) = actions::list(&api.db, LISTED, now).await.map_err(Problem::internal)?;
    let items = windows
        .into_iter()
        .map(|(row, devices)| told(row, devices.into_iter().map(covered).collect(), now));
    let agents = agents.into_iter().map(agent_knows).collect();
    Ok(Json(MaintenanceList { items: items.collect(), agents }))
}

/// What a window would be about: its devices, the alarms that stand there, and the agents that are told. Nothing
/// is changed.
#[utoipa::path(post, path = "/api/v1/maintenance/preview", operation_id = "preview_maintenance", tag = "maintenance",
    request_body = MaintenanceWish, responses(
    (status = 200, description = "What it would be about", body = MaintenancePreview),
    (status = 400, description = "Malformed, or of something that is not known", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
))]
pub async fn preview(
    State(api): State<Arc<Api>>,
    Body(said): Body<MaintenanceWish>,
) -> Answer<Json<MaintenancePreview>> {
    let wish = wish(said)?;
    let Reach { agents, devices } =
        actions::preview(&api.db, &wish, Time::now()).await.map_err(refused)?;
    Ok(Json(MaintenancePreview {
        active_alarms: devices.iter().map(|device| device.active_alarms).sum(),
        devices: devices.into_iter().map(covered).collect(),
        agents: agents.into_iter().map(agent_knows).collect(),
    }))
}

/// Set a window of maintenance. Its agents are told at once, or when they are next heard of.
#[utoipa::path(post, path = "/api/v1/maintenance", operation_id = "begin_maintenance", tag = "maintenance",
    request_body = MaintenanceWish, responses(
    (status = 200, description = "The window", body = Maintenance),
    (status = 400, description = "Malformed, or of something that is not known", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 409, description = "An agent would have more windows than it can keep", body = ProblemBody),
))]
pub async fn begin(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Body(said): Body<MaintenanceWish>,
) -> Answer<Json<Maintenance>> {
    let (wish, now) = (wish(said)?, Time::now());
    let user = &logged_in.user.name;
    let (row, messages) = actions::begin(&api.db, &wish, user, now).await.map_err(refused)?;
    api.tell_agents(messages);
    Ok(Json(told(row, Vec::new(), now)))
}

/// End a window of maintenance before its time. What still stands is raised.
#[utoipa::path(delete, path = "/api/v1/maintenance/{id}", operation_id = "end_maintenance", tag = "maintenance",
    params(("id" = String, Path, description = "The window's id")), responses(
    (status = 204, description = "It is over"),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such window, or it is over", body = ProblemBody),
))]
pub async fn end(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(id): Name,
) -> Answer<StatusCode> {
    let user = &logged_in.user.name;
    let messages = actions::end(&api.db, &id, user, Time::now()).await.map_err(refused)?;
    api.tell_agents(messages);
    Ok(StatusCode::NO_CONTENT)
}
