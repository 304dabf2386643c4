//! Alarms.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::Params;
use super::model::Alarm;
use super::params::{limit, page};
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
    active: Option<Active>,
    /// Only of this agent.
    agent: Option<String>,
    /// Only of the device with this id.
    device: Option<String>,
    /// At most so many (1 to 200, 200 without it).
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the page before.
    before: Option<String>,
}

/// Whether the condition stands.
#[derive(Clone, Copy, Deserialize, ToSchema)]
enum Active {
    #[serde(rename = "1")]
    Yes,
    #[serde(rename = "0")]
    No,
    #[serde(rename = "all")]
    Both,
}

/// A page of alarms, the latest first.
#[derive(Serialize, ToSchema)]
pub struct AlarmList {
    /// The alarms.
    items: Vec<Alarm>,
    /// What to give as `before` for the next page; null when this is the last.
    #[schema(required)]
    next: Option<String>,
}

/// List alarms.
#[utoipa::path(get, path = "/api/v1/alarms", operation_id = "list_alarms", tag = "alarms", params(AlarmQuery), responses(
    (status = 200, description = "A page of alarms, the latest first", body = AlarmList),
    (status = 400, description = "Malformed query", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn list(
    State(api): State<Arc<Api>>,
    Params(query): Params<AlarmQuery>,
) -> Answer<Json<AlarmList>> {
    let limit = limit(query.limit, PAGE)?;
    let filter = Filter {
        active: match query.active {
            Some(Active::Yes) => Some(true),
            Some(Active::No) => Some(false),
            Some(Active::Both) | None => None,
        },
        agent: query.agent,
        device: query.device,
        before: query.before,
        // One more tells whether there is another page.
        limit: limit + 1,
    };
    let found = alarms::list(&api.db, &filter).await.map_err(Problem::internal)?;
    let (found, next) = page(found, limit, |summary| summary.alarm.alarm_id.clone());
    Ok(Json(AlarmList { items: found.into_iter().map(Into::into).collect(), next }))
}
