//! Service plans and business calendars.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{Body, Name};
use super::model::At;
use super::session::LoggedIn;
use crate::calendar::{Calendar, icalendar};
use crate::clock::Plan;
use crate::flow::clocks::{self as flow, ShelfError, Wish};
use crate::store::plans::{self as rows, BodyRow, Shelf};

/// A plan.
#[derive(Serialize, ToSchema)]
pub struct PlanView {
    /// Its name.
    name: String,
    /// +1 per change.
    version: i64,
    /// As it came with the program.
    preset: bool,
    /// When this version was written.
    changed_at: At,
    /// `user:<name>` or `collector`.
    changed_by: String,
    /// What it promises.
    plan: Plan,
}

/// A calendar.
#[derive(Serialize, ToSchema)]
pub struct CalendarView {
    /// Its name.
    name: String,
    /// +1 per change.
    version: i64,
    /// When this version was written.
    changed_at: At,
    /// `user:<name>` or `collector`.
    changed_by: String,
    /// Its days.
    calendar: Calendar,
}

/// All plans, by name.
#[derive(Serialize, ToSchema)]
pub struct PlanList {
    /// The plans.
    items: Vec<PlanView>,
}

/// All calendars, by name.
#[derive(Serialize, ToSchema)]
pub struct CalendarList {
    /// The calendars.
    items: Vec<CalendarView>,
}

/// A plan to write.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanWish {
    /// The version that was seen; 0: there was none.
    version: i64,
    /// What it shall promise.
    plan: Plan,
}

/// A calendar to write.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CalendarWish {
    /// The version that was seen; 0: there was none.
    version: i64,
    /// All of it.
    calendar: Calendar,
}

/// Days to add to a calendar.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DaysWish {
    /// The version that was seen; 0: there was none.
    version: i64,
    /// The text of an iCalendar file (RFC 5545) with whole-day events.
    icalendar: String,
    /// Whether its days stand in the place of all that were there; without it they are added.
    #[serde(default)]
    replace: bool,
}

/// Which version to remove.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Removal {
    /// The version that was seen.
    pub(super) version: i64,
}

/// What was written.
#[derive(Serialize, ToSchema)]
pub struct Written {
    /// Its version.
    pub(super) version: i64,
}

fn body<T: serde::de::DeserializeOwned>(row: &BodyRow) -> Answer<T> {
    serde_json::from_str(&row.body).map_err(Problem::internal)
}

fn plan(row: BodyRow) -> Answer<PlanView> {
    let plan = body(&row)?;
    let (changed_at, changed_by) = (At(row.created_at), row.created_by);
    Ok(PlanView {
        name: row.name,
        version: row.version,
        preset: row.preset,
        changed_at,
        changed_by,
        plan,
    })
}

fn calendar(row: BodyRow) -> Answer<CalendarView> {
    let calendar = body(&row)?;
    let (changed_at, changed_by) = (At(row.created_at), row.created_by);
    Ok(CalendarView { name: row.name, version: row.version, changed_at, changed_by, calendar })
}

pub(super) fn refused(error: ShelfError) -> Problem {
    match error {
        ShelfError::Fault(fault) => Problem::Malformed(fault.to_string()),
        ShelfError::Version { current } => Problem::Changed(current),
        ShelfError::Needed(why) => Problem::NotAllowed(why),
        e @ ShelfError::Store(_) => Problem::internal(e),
    }
}

fn wish<'a>(name: &'a str, version: i64, logged_in: &'a LoggedIn) -> Wish<'a> {
    Wish { name, version, user: &logged_in.user.name, at: Time::now() }
}

/// All service plans.
#[utoipa::path(get, path = "/api/v1/plans", operation_id = "list_plans", tag = "service", responses(
    (status = 200, description = "The plans, by name", body = PlanList),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn list_plans(State(api): State<Arc<Api>>) -> Answer<Json<PlanList>> {
    let all = rows::all(&api.db, Shelf::Plans).await.map_err(Problem::internal)?;
    Ok(Json(PlanList { items: all.into_iter().map(plan).collect::<Answer<_>>()? }))
}

/// One service plan, as a preset or a change of it: to read, to take along.
#[utoipa::path(get, path = "/api/v1/plans/{name}", operation_id = "get_plan", tag = "service",
    params(("name" = String, Path, description = "Its name")), responses(
    (status = 200, description = "The plan", body = PlanView),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such plan", body = ProblemBody),
))]
pub async fn show_plan(State(api): State<Arc<Api>>, Name(name): Name) -> Answer<Json<PlanView>> {
    let row = rows::get(&api.db, Shelf::Plans, &name).await.map_err(Problem::internal)?;
    Ok(Json(plan(row.ok_or(Problem::NotFound("such plan"))?)?))
}

/// Write a service plan. Open tickets keep what they were promised.
#[utoipa::path(post, path = "/api/v1/plans/{name}", operation_id = "put_plan", tag = "service",
    params(("name" = String, Path, description = "Its name: a-z, digits, _ and -")), request_body = PlanWish, responses(
    (status = 200, description = "Written", body = Written),
    (status = 400, description = "Malformed: the text says where, and what was expected", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 409, description = "Somebody was faster", body = ProblemBody),
))]
pub async fn put_plan(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(name): Name,
    Body(wished): Body<PlanWish>,
) -> Answer<Json<Written>> {
    let wish = wish(&name, wished.version, &logged_in);
    let version = flow::put_plan(&api.db, wish, &wished.plan).await.map_err(refused)?;
    Ok(Json(Written { version }))
}

/// Remove a service plan. What was promised with it stands.
#[utoipa::path(post, path = "/api/v1/plans/{name}/removal", operation_id = "remove_plan", tag = "service",
    params(("name" = String, Path, description = "Its name")), request_body = Removal, responses(
    (status = 200, description = "Removed", body = Written),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 409, description = "Somebody was faster, or it is needed", body = ProblemBody),
))]
pub async fn remove_plan(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(name): Name,
    Body(removal): Body<Removal>,
) -> Answer<Json<Written>> {
    let wish = wish(&name, removal.version, &logged_in);
    flow::remove(&api.db, Shelf::Plans, wish).await.map_err(refused)?;
    Ok(Json(Written { version: removal.version }))
}

/// All business calendars.
#[utoipa::path(get, path = "/api/v1/calendars", operation_id = "list_calendars", tag = "service", responses(
    (status = 200, description = "The calendars, by name", body = CalendarList),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn list_calendars(State(api): State<Arc<Api>>) -> Answer<Json<CalendarList>> {
    let all = rows::all(&api.db, Shelf::Calendars).await.map_err(Problem::internal)?;
    Ok(Json(CalendarList { items: all.into_iter().map(calendar).collect::<Answer<_>>()? }))
}

/// One business calendar.
#[utoipa::path(get, path = "/api/v1/calendars/{name}", operation_id = "get_calendar", tag = "service",
    params(("name" = String, Path, description = "Its name")), responses(
    (status = 200, description = "The calendar", body = CalendarView),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such calendar", body = ProblemBody),
))]
pub async fn show_calendar(
    State(api): State<Arc<Api>>,
    Name(name): Name,
) -> Answer<Json<CalendarView>> {
    let row = rows::get(&api.db, Shelf::Calendars, &name).await.map_err(Problem::internal)?;
    Ok(Json(calendar(row.ok_or(Problem::NotFound("such calendar"))?)?))
}

/// Write a business calendar. Clocks that go on count by it from now on.
#[utoipa::path(post, path = "/api/v1/calendars/{name}", operation_id = "put_calendar", tag = "service",
    params(("name" = String, Path, description = "Its name: a-z, digits, _ and -")), request_body = CalendarWish, responses(
    (status = 200, description = "Written", body = Written),
    (status = 400, description = "Malformed: the text says where, and what was expected", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 409, description = "Somebody was faster", body = ProblemBody),
))]
pub async fn put_calendar(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(name): Name,
    Body(wished): Body<CalendarWish>,
) -> Answer<Json<Written>> {
    let wish = wish(&name, wished.version, &logged_in);
    let version = flow::put_calendar(&api.db, wish, &wished.calendar).await.map_err(refused)?;
    Ok(Json(Written { version }))
}

/// Add the days of an iCalendar file to a business calendar.
#[utoipa::path(post, path = "/api/v1/calendars/{name}/days", operation_id = "add_calendar_days", tag = "service",
    params(("name" = String, Path, description = "Its name: a-z, digits, _ and -")), request_body = DaysWish, responses(
    (status = 200, description = "Written", body = Written),
    (status = 400, description = "Malformed: the text names the file's line, and what was expected", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 409, description = "Somebody was faster", body = ProblemBody),
))]
pub async fn add_days(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(name): Name,
    Body(wished): Body<DaysWish>,
) -> Answer<Json<Written>> {
    let days = icalendar::read(&wished.icalendar)
        .map_err(|fault| Problem::Malformed(format!("icalendar: {fault}")))?;
    let row = rows::get(&api.db, Shelf::Calendars, &name).await.map_err(Problem::internal)?;
    let mut all: Calendar = row.as_ref().map(body).transpose()?.unwrap_or_default();
    if wished.replace {
        all.days.clear();
    }
    // Read twice, a file changes nothing more.
    let fresh = days.into_iter().filter(|day| !all.days.contains(day)).collect::<Vec<_>>();
    all.days.extend(fresh);
    let wish = wish(&name, wished.version, &logged_in);
    let version = flow::put_calendar(&api.db, wish, &all).await.map_err(refused)?;
    Ok(Json(Written { version }))
}

/// Remove a business calendar. Clocks that run keep its days.
#[utoipa::path(post, path = "/api/v1/calendars/{name}/removal", operation_id = "remove_calendar", tag = "service",
    params(("name" = String, Path, description = "Its name")), request_body = Removal, responses(
    (status = 200, description = "Removed", body = Written),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 409, description = "Somebody was faster", body = ProblemBody),
))]
pub async fn remove_calendar(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(name): Name,
    Body(removal): Body<Removal>,
) -> Answer<Json<Written>> {
    let wish = wish(&name, removal.version, &logged_in);
    flow::remove(&api.db, Shelf::Calendars, wish).await.map_err(refused)?;
    Ok(Json(Written { version: removal.version }))
}
