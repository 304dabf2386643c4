//! Notices: who was told what and whether it arrived; what one wants to be told oneself.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{Body, Name, Params};
use super::model::At;
use super::params::limit;
use super::session::LoggedIn;
use crate::flow::notices::choices::{self as actions, ChoiceError};
use crate::notice::{Choices, Facts};
use crate::store::notices::{self as rows, NoticeRow};
use crate::store::tickets;

/// Notices of one answer, unless told.
const PAGE: u32 = 100;

/// An attempt to deliver a notice.
#[derive(Serialize, ToSchema)]
pub struct Attempt {
    /// From 1 on.
    number: i64,
    /// When.
    at: At,
    /// Whether it was taken.
    ok: bool,
    /// What was answered, or what went wrong.
    result: String,
}

/// Somebody was told something.
#[derive(Serialize, ToSchema)]
pub struct Notice {
    /// Its id.
    id: String,
    /// `called`, `assigned`, `breach`, …
    event: String,
    /// The ticket's number; empty: of no ticket.
    ticket: String,
    /// `mail`, or `outlet:` and the receiver's name.
    lane: String,
    /// The person's log-in name, or the receiver's name.
    recipient: String,
    /// `waiting`, `sent`, `folded` (sent together with others), `failed`, `dropped`.
    state: String,
    /// When it was written.
    created_at: At,
    /// When it is due, while it waits.
    #[schema(required)]
    next_at: Option<At>,
    /// When it was over.
    #[schema(required)]
    done_at: Option<At>,
    /// What became of it last.
    result: String,
    /// The attempts, the first one first.
    attempts: Vec<Attempt>,
}

/// How many notices are in a state.
#[derive(Serialize, ToSchema)]
pub struct NoticeCount {
    /// The state.
    state: String,
    /// So many.
    count: i64,
}

/// Notices, the latest first.
#[derive(Serialize, ToSchema)]
pub struct NoticeList {
    /// The notices.
    items: Vec<Notice>,
    /// Of all notices (not of a ticket's list): how many there are by state.
    counts: Vec<NoticeCount>,
}

/// Which notices.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NoticeFilter {
    /// Of this state.
    state: Option<String>,
    /// Those before this moment, RFC 3339: paging.
    before: Option<String>,
    /// At most so many, 1 to 200.
    limit: Option<u32>,
}

/// What one wants to be told.
#[derive(Serialize, ToSchema)]
pub struct MyNotices {
    /// One's address; empty: none is known, nothing can come.
    mail: String,
    /// What one wants.
    choices: Choices,
}

/// A notice to oneself.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TryOut {
    /// `true`.
    really: bool,
}

async fn views(api: &Api, all: Vec<NoticeRow>) -> Answer<Vec<Notice>> {
    let ids: Vec<String> = all.iter().map(|row| row.id.clone()).collect();
    let mut tx = api.db.begin().await.map_err(Problem::internal)?;
    let found = rows::attempts(&mut tx, &ids).await.map_err(Problem::internal)?;
    tx.rollback().await.map_err(Problem::internal)?;
    let mut attempts: HashMap<String, Vec<Attempt>> = HashMap::new();
    for row in found {
        let one = Attempt { number: row.number, at: At(row.at), ok: row.ok, result: row.result };
        attempts.entry(row.notice_id).or_default().push(one);
    }
    let mut view = |row: NoticeRow| {
        let facts: Facts = serde_json::from_str(&row.facts).unwrap_or_default();
        let waits = row.state == "waiting";
        Notice {
            attempts: attempts.remove(&row.id).unwrap_or_default(),
            id: row.id,
            event: row.event,
            ticket: facts.number,
            lane: row.lane,
            recipient: row.recipient,
            state: row.state,
            created_at: At(row.created_at),
            next_at: waits.then_some(At(row.next_at)),
            done_at: row.done_at.map(At),
            result: row.result,
        }
    };
    Ok(all.into_iter().map(&mut view).collect())
}

/// Whom a ticket was told to, and what became of it.
#[utoipa::path(get, path = "/api/v1/tickets/{number}/notices", operation_id = "list_ticket_notices", tag = "notices",
    params(("number" = String, Path, description = "The ticket's number")), responses(
    (status = 200, description = "The latest 200", body = NoticeList),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
))]
pub async fn of_ticket(
    State(api): State<Arc<Api>>,
    Name(number): Name,
) -> Answer<Json<NoticeList>> {
    let row = tickets::get(&api.db, &number).await.map_err(Problem::internal)?;
    let row = row.ok_or(Problem::NotFound("such ticket"))?;
    let all = rows::of_ticket(&api.db, &row.id, 200).await.map_err(Problem::internal)?;
    Ok(Json(NoticeList { items: views(&api, all).await?, counts: Vec::new() }))
}

/// All notices.
#[utoipa::path(get, path = "/api/v1/notices", operation_id = "list_notices", tag = "notices", params(NoticeFilter), responses(
    (status = 200, description = "The latest first", body = NoticeList),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn list(
    State(api): State<Arc<Api>>,
    Params(filter): Params<NoticeFilter>,
) -> Answer<Json<NoticeList>> {
    let limit = limit(filter.limit, PAGE)?;
    let before = filter.before.as_deref().map(Time::parse).transpose().map_err(|_| {
        Problem::Malformed("before: expected a time such as 2026-12-01T02:00:00Z".to_owned())
    })?;
    let before = before.map_or(i64::MAX, Time::millis);
    let state = filter.state.as_deref().unwrap_or_default();
    let all = rows::list(&api.db, state, before, limit).await.map_err(Problem::internal)?;
    let counts = rows::counts(&api.db).await.map_err(Problem::internal)?;
    let counts = counts.into_iter().map(|(state, count)| NoticeCount { state, count }).collect();
    Ok(Json(NoticeList { items: views(&api, all).await?, counts }))
}

fn refused(error: ChoiceError) -> Problem {
    match error {
        ChoiceError::Fault(fault) => Problem::Malformed(fault.to_string()),
        ChoiceError::NoAddress | ChoiceError::NoMail => Problem::NotAllowed(error.to_string()),
        e @ ChoiceError::Store(_) => Problem::internal(e),
    }
}

/// What one wants to be told.
#[utoipa::path(get, path = "/api/v1/me/notices", operation_id = "get_my_notices", tag = "notices", responses(
    (status = 200, description = "What one wants", body = MyNotices),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn mine(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
) -> Answer<Json<MyNotices>> {
    let (mail, choices) = actions::of(&api.db, &logged_in.user.name).await.map_err(refused)?;
    Ok(Json(MyNotices { mail, choices }))
}

/// Choose what one wants to be told.
#[utoipa::path(post, path = "/api/v1/me/notices", operation_id = "choose_my_notices", tag = "notices", request_body = Choices, responses(
    (status = 200, description = "Kept", body = MyNotices),
    (status = 400, description = "Malformed: the text says where", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
))]
pub async fn choose(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Body(wanted): Body<Choices>,
) -> Answer<Json<MyNotices>> {
    let name = &logged_in.user.name;
    let mail = actions::choose(&api.db, name, &wanted, Time::now()).await.map_err(refused)?;
    Ok(Json(MyNotices { mail, choices: wanted }))
}

/// Send oneself a notice, to see whether the way works.
#[utoipa::path(post, path = "/api/v1/me/notices/test", operation_id = "try_my_notices", tag = "notices", request_body = TryOut, responses(
    (status = 204, description = "It is on its way"),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 409, description = "No mail server is configured, or no address is known", body = ProblemBody),
))]
pub async fn try_out(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Body(wish): Body<TryOut>,
) -> Answer<StatusCode> {
    if wish.really {
        actions::try_out(&api.db, &logged_in.user.name, Time::now()).await.map_err(refused)?;
    }
    Ok(StatusCode::NO_CONTENT)
}
