//! The last whole alarm sets of an agent: why, when, and what they changed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::Name;
use super::model::At;
use crate::store::agents;
use crate::store::resync_history::{self, HistoryRow};

/// A whole alarm set that was asked for, or that the agent told by itself.
#[derive(Serialize, ToSchema)]
pub struct Resync {
    /// Its id.
    id: String,
    /// Why: `digest-differs` (heartbeat and store disagreed), `store-changed` (the agent met a store that
    /// is new to it or was restored), or another word of the agent's.
    reason: String,
    /// When it was asked first; null: the agent told it by itself.
    #[schema(required)]
    asked_at: Option<At>,
    /// How often it was asked.
    asked: i64,
    /// When its last page was here and it was applied.
    #[schema(required)]
    answered_at: Option<At>,
    /// When it was of no use any more: the sets were equal again without it.
    #[schema(required)]
    ended_at: Option<At>,
    /// Alarms that it named.
    alarms: i64,
    /// Of them, raised here by it.
    raised: i64,
    /// Of them, given another severity.
    changed: i64,
    /// Alarms that it did not name and that were cleared here.
    cleared: i64,
    /// Of those that it named, known here just so, or newer.
    unchanged: i64,
    /// Of those that it named, such that cannot be.
    refused: i64,
}

impl From<HistoryRow> for Resync {
    fn from(row: HistoryRow) -> Self {
        Resync {
            id: row.id,
            reason: row.reason,
            asked_at: row.asked_at.map(At),
            asked: row.asked,
            answered_at: row.answered_at.map(At),
            ended_at: row.ended_at.map(At),
            alarms: row.alarms,
            raised: row.raised,
            changed: row.changed,
            cleared: row.cleared,
            unchanged: row.unchanged,
            refused: row.refused,
        }
    }
}

/// The last 50 whole alarm sets of an agent, the latest first.
#[utoipa::path(get, path = "/api/v1/agents/{id}/resyncs", operation_id = "list_resyncs", tag = "fleet",
    params(("id" = String, Path, description = "The agent's id")), responses(
    (status = 200, description = "The latest first", body = [Resync]),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such agent", body = ProblemBody),
))]
pub async fn resyncs(State(api): State<Arc<Api>>, Name(id): Name) -> Answer<Json<Vec<Resync>>> {
    let known = agents::get(&api.db, &id).await.map_err(Problem::internal)?;
    known.ok_or(Problem::NotFound("such agent"))?;
    let rows = resync_history::of_agent(&api.db, &id).await.map_err(Problem::internal)?;
    Ok(Json(rows.into_iter().map(Into::into).collect()))
}
