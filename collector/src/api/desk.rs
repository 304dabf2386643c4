//! What the desk does with tickets: records them, assigns, decides, merges, links.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{Body, Name};
use super::model::{StateName, Ticket};
use super::session::LoggedIn;
use super::tickets::refused;
use crate::flow::tickets::desk::{self, Change};
use crate::flow::tickets::manual::{self, Intake, Recorded};
use crate::flow::tickets::split;
use crate::flow::tickets::{self as actions, Action};
use crate::ticket::{Category, Class, Priority, State as TicketState, Wish};

fn word<T>(
    name: &str,
    given: Option<&str>,
    read: fn(&str) -> Option<T>,
    all: &str,
) -> Answer<Option<T>> {
    let Some(given) = given.filter(|given| !given.is_empty()) else { return Ok(None) };
    let shown: String = given.chars().take(40).collect();
    let wrong = || Problem::Malformed(format!("{name}: expected {all}, found {shown:?}"));
    read(given).ok_or_else(wrong).map(Some)
}

const PRIORITIES: &str = "p1, p2, p3 or p4";
const CLASSES: &str = "service_request or scheduled_event";
/// Alarms that one request names.
const MAX_SPLIT: usize = 100;
const CATEGORIES: &str = "a letter from a to g";

/// A ticket as a person records it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTicket {
    /// What is wrong, or wanted: at most 16 KiB.
    #[schema(min_length = 1)]
    text: String,
    /// `p1` to `p4`; `p3` without it.
    priority: Option<String>,
    /// `service_request` (without it) or `scheduled_event`.
    class: Option<String>,
    /// `a` to `g`.
    category: Option<String>,
    /// The site's id.
    #[serde(default)]
    site: String,
    /// The device's serial number.
    #[serde(default)]
    serial: String,
    /// The service contract's number.
    #[serde(default)]
    contract: String,
    /// What the device shows.
    #[serde(default)]
    error_code: String,
    /// Who is to work on it (a user's name).
    assignee: Option<String>,
    /// Who called: a name.
    #[serde(default)]
    contact: String,
    /// How to reach the person.
    #[serde(default)]
    reach: String,
    /// How to dial in.
    #[serde(default)]
    access: String,
    /// The device's model.
    #[serde(default)]
    model: String,
    /// Version of its operating system.
    #[serde(default)]
    os: String,
    /// The response time that the customer wishes.
    #[serde(default)]
    wished: String,
    /// When people noticed the fault (RFC 3339), where it is known.
    #[serde(default)]
    noticed_at: String,
}

/// Record a ticket by hand.
#[utoipa::path(post, path = "/api/v1/tickets", operation_id = "record_ticket", tag = "tickets",
    request_body = NewTicket, responses(
    (status = 200, description = "The ticket", body = Ticket),
    (status = 400, description = "Malformed: which field and what was expected", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
))]
pub async fn record(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Body(new): Body<NewTicket>,
) -> Answer<Json<Ticket>> {
    let priority = word("priority", new.priority.as_deref(), Priority::parse, PRIORITIES)?;
    let class = word("class", new.class.as_deref(), Class::parse, CLASSES)?;
    let recorded = Recorded {
        text: new.text,
        priority: priority.unwrap_or(Priority::P3),
        class: class.unwrap_or(Class::ServiceRequest),
        category: word("category", new.category.as_deref(), Category::parse, CATEGORIES)?,
        site: new.site,
        serial: new.serial,
        contract: new.contract,
        error_code: new.error_code,
        assignee: new.assignee.filter(|name| !name.is_empty()),
        intake: Intake {
            contact: new.contact,
            reach: new.reach,
            access: new.access,
            model: new.model,
            os: new.os,
            wished: new.wished,
            noticed_at: new.noticed_at,
        },
    };
    let user = &logged_in.user.name;
    let done = manual::open(&api.db, &api.events, user, &recorded, Time::now()).await;
    let row = done.map_err(refused)?;
    api.metrics.ticket_opened(false);
    Ok(Json(row.into()))
}

/// What is to be different; what is not named stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TicketChange {
    /// The version that the person saw.
    version: i64,
    /// Who works on it (a user's name).
    assignee: Option<String>,
    /// `p1` to `p4`.
    priority: Option<String>,
    /// `service_request` or `scheduled_event`.
    class: Option<String>,
    /// `a` to `g`.
    category: Option<String>,
    /// Whether it is a major incident.
    major: Option<bool>,
}

/// Another plan is promised.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromiseWish {
    /// The version that the person saw.
    version: i64,
    /// The plan's name.
    plan: String,
    /// Why: kept in the ticket's record.
    #[schema(min_length = 1)]
    reason: String,
}

/// Promise another plan of an open ticket. What has passed stays as it was counted.
#[utoipa::path(post, path = "/api/v1/tickets/{number}/plan", operation_id = "promise_plan", tag = "tickets",
    params(("number" = String, Path, description = "The ticket's number")),
    request_body = PromiseWish, responses(
    (status = 200, description = "The ticket as it is now", body = Ticket),
    (status = 400, description = "Malformed: which field and what was expected", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
    (status = 409, description = "The ticket has changed, or is over", body = ProblemBody),
))]
pub async fn promise(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(number): Name,
    Body(wish): Body<PromiseWish>,
) -> Answer<Json<Ticket>> {
    let action = Action { user: &logged_in.user.name, number: &number, at: Time::now() };
    let PromiseWish { version, plan, reason } = &wish;
    let done = desk::promise(&api.db, &api.events, action, *version, plan, reason).await;
    Ok(Json(done.map_err(refused)?.into()))
}

/// Assign a ticket, or change its priority, class, category or whether it is a major incident.
#[utoipa::path(post, path = "/api/v1/tickets/{number}/changes", operation_id = "change_ticket", tag = "tickets",
    params(("number" = String, Path, description = "The ticket's number")),
    request_body = TicketChange, responses(
    (status = 200, description = "The ticket as it is now", body = Ticket),
    (status = 400, description = "Malformed: which field and what was expected", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
    (status = 409, description = "Somebody was faster, or the state does not allow it", body = ProblemBody),
))]
pub async fn change(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(number): Name,
    Body(wish): Body<TicketChange>,
) -> Answer<Json<Ticket>> {
    let change = Change {
        assignee: wish.assignee.as_deref().filter(|name| !name.is_empty()),
        priority: word("priority", wish.priority.as_deref(), Priority::parse, PRIORITIES)?,
        class: word("class", wish.class.as_deref(), Class::parse, CLASSES)?,
        category: word("category", wish.category.as_deref(), Category::parse, CATEGORIES)?,
        major: wish.major,
    };
    let action = Action { user: &logged_in.user.name, number: &number, at: Time::now() };
    let done = desk::change(&api.db, &api.events, action, wish.version, change).await;
    Ok(Json(done.map_err(refused)?.into()))
}

/// A manager's decision.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// `recorded` (approved), `rejected`, or `reviewed` (a major incident was looked back upon).
    to: StateName,
    /// The version that the person saw.
    version: i64,
    /// Why.
    #[schema(min_length = 1)]
    comment: String,
    /// The service plan that is promised to what is out of contract.
    plan: Option<String>,
}

/// Decide as a manager: approve or reject what is out of contract, review a major incident.
#[utoipa::path(post, path = "/api/v1/tickets/{number}/decision", operation_id = "decide_ticket", tag = "tickets",
    params(("number" = String, Path, description = "The ticket's number")),
    request_body = Decision, responses(
    (status = 200, description = "The ticket as it is now", body = Ticket),
    (status = 400, description = "Malformed, or without the reason", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
    (status = 409, description = "Somebody was faster, or the state does not allow it", body = ProblemBody),
))]
pub async fn decide(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(number): Name,
    Body(decision): Body<Decision>,
) -> Answer<Json<Ticket>> {
    let to: TicketState = decision.to.into();
    let plan = decision.plan.as_deref().map(str::trim).filter(|plan| !plan.is_empty());
    if plan.is_some_and(|plan| plan.chars().count() > 100) {
        return Err(Problem::Malformed("plan: expected at most 100 characters".to_owned()));
    }
    let action = Action { user: &logged_in.user.name, number: &number, at: Time::now() };
    let wish = Wish { plan, manager: true, ..Wish::to(to, Some(&decision.comment)) };
    let done = actions::transition(&api.db, &api.events, action, decision.version, &wish).await;
    Ok(Json(done.map_err(refused)?.into()))
}

/// A duplicate.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// The version of the duplicate that the person saw.
    version: i64,
    /// The number of the ticket that takes over its alarms.
    into: String,
}

/// The two tickets of a merge.
#[derive(Serialize, ToSchema)]
pub struct Merged {
    /// The duplicate.
    from: Ticket,
    /// The ticket that has its alarms now.
    into: Ticket,
}

/// Say that a ticket is a duplicate of another one, which takes over its alarms.
#[utoipa::path(post, path = "/api/v1/tickets/{number}/merge", operation_id = "merge_ticket", tag = "tickets",
    params(("number" = String, Path, description = "The duplicate's number")),
    request_body = Merge, responses(
    (status = 200, description = "Both tickets as they are now", body = Merged),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
    (status = 409, description = "Somebody was faster, or one of them is over", body = ProblemBody),
))]
pub async fn merge(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(number): Name,
    Body(merge): Body<Merge>,
) -> Answer<Json<Merged>> {
    let action = Action { user: &logged_in.user.name, number: &number, at: Time::now() };
    let done = desk::merge(&api.db, &api.events, action, merge.version, &merge.into).await;
    let (from, into) = done.map_err(refused)?;
    Ok(Json(Merged { from: from.into(), into: into.into() }))
}

/// Faults that are another matter.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The version that the person saw.
    version: i64,
    /// Ids of alarms of the ticket, at most 100: their faults go, with every life of each; what follows from a fault stays.
    alarms: Vec<String>,
    /// Why: kept in both records.
    #[schema(min_length = 1)]
    reason: String,
}

/// The two tickets of a split.
#[derive(Serialize, ToSchema)]
pub struct SplitDone {
    /// The ticket that keeps the rest.
    from: Ticket,
    /// The new one.
    into: Ticket,
}

/// Give some of a ticket's faults a ticket of their own. One stays; both records say so, and they are tied.
#[utoipa::path(post, path = "/api/v1/tickets/{number}/split", operation_id = "split_ticket", tag = "tickets",
    params(("number" = String, Path, description = "The ticket's number")),
    request_body = Split, responses(
    (status = 200, description = "Both tickets as they are now", body = SplitDone),
    (status = 400, description = "Malformed, without a reason, or other alarms than the ticket's own", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
    (status = 409, description = "Somebody was faster, or the ticket is over", body = ProblemBody),
))]
pub async fn split(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(number): Name,
    Body(wish): Body<Split>,
) -> Answer<Json<SplitDone>> {
    if wish.alarms.len() > MAX_SPLIT {
        return Err(Problem::Malformed(format!("alarms: expected at most {MAX_SPLIT}")));
    }
    let action = Action { user: &logged_in.user.name, number: &number, at: Time::now() };
    let Split { version, alarms, reason } = &wish;
    let done = split::split(&api.db, &api.events, action, *version, alarms, reason).await;
    let (from, into) = done.map_err(refused)?;
    Ok(Json(SplitDone { from: from.into(), into: into.into() }))
}

/// A link between two tickets.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The other ticket's number.
    other: String,
    /// Whether they are to be tied (without it) or untied.
    #[serde(default = "yes")]
    tied: bool,
}

fn yes() -> bool {
    true
}

/// Tie two tickets together, or untie them.
#[utoipa::path(post, path = "/api/v1/tickets/{number}/links", operation_id = "link_ticket", tag = "tickets",
    params(("number" = String, Path, description = "The ticket's number")),
    request_body = Link, responses(
    (status = 200, description = "The ticket as it is now", body = Ticket),
    (status = 400, description = "Malformed, or too many links", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
))]
pub async fn link(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(number): Name,
    Body(link): Body<Link>,
) -> Answer<Json<Ticket>> {
    let action = Action { user: &logged_in.user.name, number: &number, at: Time::now() };
    let done = desk::link(&api.db, &api.events, action, &link.other, link.tied).await;
    Ok(Json(done.map_err(refused)?.into()))
}
