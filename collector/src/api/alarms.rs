//! Alarms.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::Params;
use super::model::Alarm;
use super::params::{Flag, limit};
use crate::store::alarms::{self, Filter};

/// Alarms of one answer, unless told.
const PAGE: u32 = 200;

/// Which alarms.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AlarmQuery {
    /// `1`: only active ones. `0`: only cleared ones.
    #[param(inline)]
    active: Option<Flag>,
    /// Only of this agent.
    agent: Option<String>,
    /// Only of the device with this id.
    device: Option<String>,
    /// At most so many (1 to 200, 200 without it).
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// List alarms.
#[utoipa::path(get, path = "/api/v1/alarms", operation_id = "list_alarms", tag = "alarms", params(AlarmQuery), responses(
    (status = 200, description = "Alarms, the latest first", body = Vec<Alarm>),
    (status = 400, description = "Malformed query", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn list(
    State(api): State<Arc<Api>>,
    Params(query): Params<AlarmQuery>,
) -> Answer<Json<Vec<Alarm>>> {
    let filter = Filter {
        active: query.active.map(bool::from),
        agent: query.agent,
        device: query.device,
        limit: limit(query.limit, PAGE)?,
    };
    let found = alarms::list(&api.db, &filter).await.map_err(Problem::internal)?;
    Ok(Json(found.into_iter().map(Into::into).collect()))
}
