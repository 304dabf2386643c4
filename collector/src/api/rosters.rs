//! Rosters, and the calls that follow from them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{Body, Name};
use super::model::{At, TicketSummary};
use super::plans::{Removal, Written, refused};
use super::session::LoggedIn;
use crate::flow::clocks::Wish;
use crate::flow::duty::{answer, rosters as actions, view};
use crate::flow::tickets::Action;
use crate::roster::Roster;
use crate::store::plans::{self as rows, Shelf};
use crate::store::{calls, tickets};

/// A roster.
#[derive(Serialize, ToSchema)]
pub struct RosterView {
    /// Its name.
    name: String,
    /// +1 per change.
    version: i64,
    /// When this version was written.
    changed_at: At,
    /// `user:<name>`.
    changed_by: String,
    /// Its shifts.
    roster: Roster,
}

/// All rosters, by name.
#[derive(Serialize, ToSchema)]
pub struct RosterList {
    /// The rosters.
    items: Vec<RosterView>,
}

/// A roster to write.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RosterWish {
    /// The version that was seen; 0: there was none.
    version: i64,
    /// All of it.
    roster: Roster,
}

/// How far to publish.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// The version that was seen.
    version: i64,
    /// The last day, `2026-12-31`.
    until: String,
}

/// What was published.
#[derive(Serialize, ToSchema)]
pub struct PublishedNow {
    /// Shifts that are fixed now and were not before.
    shifts: usize,
    /// Until when all of them are.
    until: At,
}

/// Somebody was called.
#[derive(Serialize, ToSchema)]
pub struct Call {
    /// Its id.
    id: String,
    /// What led to it: `opened`, `clock`, `asked`, `major`, `again`, `urgent`.
    step: String,
    /// 1: the first who was asked for this step.
    round: i64,
    /// At which level.
    level: String,
    /// Who.
    person: String,
    /// When.
    called_at: At,
    /// When it goes on to somebody else.
    expires_at: At,
    /// When it ended.
    #[schema(required)]
    ended_at: Option<At>,
    /// `answered`, `expired`, `over`; null: it is open.
    #[schema(required)]
    ended: Option<String>,
    /// Who answered.
    #[schema(required)]
    ended_by: Option<String>,
}

/// The calls of a ticket.
#[derive(Serialize, ToSchema)]
pub struct CallList {
    /// The first ones first.
    items: Vec<Call>,
}

/// An answer to a call.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallAnswer {
    /// Whether one works on the ticket from now on; `false`: one only knows of it.
    take: bool,
}

fn call(row: calls::CallRow) -> Call {
    Call {
        id: row.id,
        step: row.step.split(':').next().unwrap_or_default().to_owned(),
        round: row.round,
        level: row.level,
        person: row.person,
        called_at: At(row.called_at),
        expires_at: At(row.expires_at),
        ended_at: row.ended_at.map(At),
        ended: row.ended,
        ended_by: row.ended_by,
    }
}

fn wish<'a>(name: &'a str, version: i64, logged_in: &'a LoggedIn) -> Wish<'a> {
    Wish { name, version, user: &logged_in.user.name, at: Time::now() }
}

/// All rosters.
#[utoipa::path(get, path = "/api/v1/rosters", operation_id = "list_rosters", tag = "duty", responses(
    (status = 200, description = "The rosters, by name", body = RosterList),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn list(State(api): State<Arc<Api>>) -> Answer<Json<RosterList>> {
    let all = rows::all(&api.db, Shelf::Rosters).await.map_err(Problem::internal)?;
    let view = |row: rows::BodyRow| {
        let roster = serde_json::from_str(&row.body).map_err(Problem::internal)?;
        let (changed_at, changed_by) = (At(row.created_at), row.created_by);
        Ok(RosterView { name: row.name, version: row.version, changed_at, changed_by, roster })
    };
    Ok(Json(RosterList { items: all.into_iter().map(view).collect::<Answer<_>>()? }))
}

/// Write a roster. Published shifts stay as they are.
#[utoipa::path(post, path = "/api/v1/rosters/{name}", operation_id = "put_roster", tag = "duty",
    params(("name" = String, Path, description = "Its name: a-z, digits, _ and -")), request_body = RosterWish, responses(
    (status = 200, description = "Written", body = Written),
    (status = 400, description = "Malformed: the text says where, and what was expected", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 409, description = "Somebody was faster", body = ProblemBody),
))]
pub async fn put(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(name): Name,
    Body(wished): Body<RosterWish>,
) -> Answer<Json<Written>> {
    let wish = wish(&name, wished.version, &logged_in);
    let version = actions::put_roster(&api.db, wish, &wished.roster).await.map_err(refused)?;
    Ok(Json(Written { version }))
}

/// Remove a roster, its published shifts with it.
#[utoipa::path(post, path = "/api/v1/rosters/{name}/removal", operation_id = "remove_roster", tag = "duty",
    params(("name" = String, Path, description = "Its name")), request_body = Removal, responses(
    (status = 200, description = "Removed", body = Written),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 409, description = "Somebody was faster", body = ProblemBody),
))]
pub async fn remove(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(name): Name,
    Body(removal): Body<Removal>,
) -> Answer<Json<Written>> {
    let wish = wish(&name, removal.version, &logged_in);
    actions::remove_roster(&api.db, wish).await.map_err(refused)?;
    Ok(Json(Written { version: removal.version }))
}

/// Publish a roster's shifts until the end of a day. From then on only swaps change them.
#[utoipa::path(post, path = "/api/v1/rosters/{name}/publication", operation_id = "publish_roster", tag = "duty",
    params(("name" = String, Path, description = "Its name")), request_body = Publication, responses(
    (status = 200, description = "Published", body = PublishedNow),
    (status = 400, description = "Malformed: the text says where, and what was expected", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 409, description = "Somebody was faster", body = ProblemBody),
))]
pub async fn publish(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(name): Name,
    Body(wished): Body<Publication>,
) -> Answer<Json<PublishedNow>> {
    let wish = wish(&name, wished.version, &logged_in);
    let done = actions::publish(&api.db, wish, &wished.until).await.map_err(refused)?;
    Ok(Json(PublishedNow { shifts: done.0, until: At(done.1) }))
}

/// Who was called for a ticket, and whether somebody answered.
#[utoipa::path(get, path = "/api/v1/tickets/{number}/calls", operation_id = "list_calls", tag = "duty",
    params(("number" = String, Path, description = "The ticket's number")), responses(
    (status = 200, description = "The calls", body = CallList),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
))]
pub async fn calls(State(api): State<Arc<Api>>, Name(number): Name) -> Answer<Json<CallList>> {
    let row = tickets::get(&api.db, &number).await.map_err(Problem::internal)?;
    let row = row.ok_or(Problem::NotFound("such ticket"))?;
    let all = view::calls(&api.db, &row.id).await.map_err(Problem::internal)?;
    Ok(Json(CallList { items: all.into_iter().map(call).collect() }))
}

/// Answer the calls of a ticket, and take it over or not.
#[utoipa::path(post, path = "/api/v1/tickets/{number}/acknowledgement", operation_id = "acknowledge", tag = "duty",
    params(("number" = String, Path, description = "The ticket's number")), request_body = CallAnswer, responses(
    (status = 200, description = "The ticket as it is now", body = TicketSummary),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
    (status = 409, description = "There is nothing to answer", body = ProblemBody),
))]
pub async fn acknowledge(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(number): Name,
    Body(said): Body<CallAnswer>,
) -> Answer<Json<TicketSummary>> {
    let action = Action { user: &logged_in.user.name, number: &number, at: Time::now() };
    let row = answer::acknowledge(&api.db, &api.events, action, said.take).await;
    Ok(Json(row.map_err(super::tickets::refused)?.into()))
}
