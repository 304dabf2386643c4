//! Views of the queue that people keep.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Query, State};
use axum::http::{StatusCode, Uri};
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{Body, Name};
use super::model::At;
use super::queue::TicketQuery;
use super::rights::Role;
use super::session::LoggedIn;
use crate::flow::views::{self as flow, Keeper, MAX_OWN, MAX_SHARED, ViewError, Wish};
use crate::store::views::{self as rows, ViewRow};

/// A view of the queue.
#[derive(Serialize, ToSchema)]
pub struct View {
    /// Its id.
    id: String,
    /// What people call it.
    name: String,
    /// Whose it is (a user's name).
    owner: String,
    /// Everybody sees it.
    shared: bool,
    /// What `GET /api/v1/tickets` takes, without `before`.
    #[schema(example = "state=open&priority=p1&sort=left")]
    query: String,
    /// Columns that are shown beside the number, in their order; none: the usual ones.
    columns: Vec<String>,
    /// +1 per change.
    version: i64,
    /// When it last changed.
    updated_at: At,
}

impl From<ViewRow> for View {
    fn from(row: ViewRow) -> Self {
        View {
            id: row.id,
            name: row.name,
            owner: row.owner,
            shared: row.shared,
            query: row.query,
            columns: row.columns,
            version: row.version,
            updated_at: At(row.updated_at),
        }
    }
}

/// What is kept.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ViewWish {
    /// The version that the person saw; of a new one 0, or nothing.
    #[serde(default)]
    version: i64,
    /// What people call it: at most 60 characters, one of a name and person.
    #[schema(min_length = 1, max_length = 60)]
    name: String,
    /// Everybody sees it.
    #[serde(default)]
    shared: bool,
    /// What `GET /api/v1/tickets` takes, without `before`: at most 2,000 bytes.
    query: String,
    /// Columns beside the number, in their order: severity, priority, what, device, resource, site, state, assignee,
    /// left, opened, recurrences.
    #[serde(default)]
    columns: Vec<String>,
}

fn wish(body: ViewWish) -> Answer<Wish> {
    let uri = Uri::builder().path_and_query(format!("/?{}", body.query)).build();
    let wrong = |why: String| Problem::Malformed(format!("query: {why}"));
    let uri = uri.map_err(|_| wrong("expected the query of an address, %-encoded".to_owned()))?;
    let asked = Query::<TicketQuery>::try_from_uri(&uri).map_err(|e| wrong(e.body_text()))?;
    asked.0.check()?;
    let ViewWish { name, shared, query, columns, .. } = body;
    Ok(Wish { name, shared, query, columns })
}

fn keeper(logged_in: &LoggedIn) -> Keeper<'_> {
    let manager = matches!(logged_in.role(), Some(Role::Manager | Role::Administrator));
    Keeper { user: &logged_in.user.name, manager, at: Time::now() }
}

fn refused(error: ViewError) -> Problem {
    match error {
        ViewError::NotFound => Problem::NotFound("such view"),
        ViewError::Version(version) => Problem::Changed(version),
        e @ (ViewError::NotYours | ViewError::Exists(_) | ViewError::Full(_)) => {
            Problem::NotAllowed(e.to_string())
        }
        e @ ViewError::Wrong(..) => Problem::Malformed(e.to_string()),
        e @ ViewError::Store(_) => Problem::internal(e),
    }
}

/// Your own views of the queue and those that are shared.
#[utoipa::path(get, path = "/api/v1/views", operation_id = "list_views", tag = "tickets", responses(
    (status = 200, description = "Your own first, then the shared ones", body = [View]),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn list(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
) -> Answer<Json<Vec<View>>> {
    let found = rows::seen_by(&api.db, &logged_in.user.name, MAX_OWN + MAX_SHARED).await;
    Ok(Json(found.map_err(Problem::internal)?.into_iter().map(Into::into).collect()))
}

/// Keep a view of the queue: at most 50 of one person, 200 shared ones.
#[utoipa::path(post, path = "/api/v1/views", operation_id = "keep_view", tag = "tickets",
    request_body = ViewWish, responses(
    (status = 200, description = "The view", body = View),
    (status = 400, description = "Malformed: which field and what was expected", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 409, description = "You have one of that name, or there is no room", body = ProblemBody),
))]
pub async fn keep(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Body(body): Body<ViewWish>,
) -> Answer<Json<View>> {
    let wish = wish(body)?;
    let done = flow::keep(&api.db, &wish, keeper(&logged_in)).await;
    Ok(Json(done.map_err(refused)?.into()))
}

/// Change a view: its owner, of a shared one managers, too.
#[utoipa::path(post, path = "/api/v1/views/{id}", operation_id = "change_view", tag = "tickets",
    params(("id" = String, Path, description = "The view's id")),
    request_body = ViewWish, responses(
    (status = 200, description = "The view as it is now", body = View),
    (status = 400, description = "Malformed: which field and what was expected", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such view", body = ProblemBody),
    (status = 409, description = "Somebody was faster, or it is not yours", body = ProblemBody),
))]
pub async fn change(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(id): Name,
    Body(body): Body<ViewWish>,
) -> Answer<Json<View>> {
    let version = body.version;
    let wish = wish(body)?;
    let done = flow::change(&api.db, &id, version, &wish, keeper(&logged_in)).await;
    Ok(Json(done.map_err(refused)?.into()))
}

/// The version that the person saw.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ViewRemoval {
    /// The version that the person saw.
    version: i64,
}

/// Remove a view: its owner, of a shared one managers, too.
#[utoipa::path(post, path = "/api/v1/views/{id}/removal", operation_id = "remove_view", tag = "tickets",
    params(("id" = String, Path, description = "The view's id")),
    request_body = ViewRemoval, responses(
    (status = 204, description = "It is gone"),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such view", body = ProblemBody),
    (status = 409, description = "Somebody was faster, or it is not yours", body = ProblemBody),
))]
pub async fn remove(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(id): Name,
    Body(body): Body<ViewRemoval>,
) -> Answer<StatusCode> {
    let done = flow::remove(&api.db, &id, body.version, keeper(&logged_in)).await;
    done.map_err(refused).map(|()| StatusCode::NO_CONTENT)
}
