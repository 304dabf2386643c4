//! One thing done to many tickets: each has an answer of its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, Problem, ProblemBody, ProblemDetail};
use super::extract::Body;
use super::session::LoggedIn;
use super::tickets::refused;
use crate::flow::tickets::desk::{self, Change};
use crate::flow::tickets::{self as actions, Action, ActionError};
use crate::store::tickets::TicketRow;
use crate::ticket::Priority;

/// Tickets of one request.
const MOST: usize = 100;

/// A ticket as the person saw it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Picked {
    /// Its number.
    number: String,
    /// The version that the person saw.
    version: i64,
}

/// One thing to be done: exactly one of `assignee`, `priority`, `comment`, `link`, `merge`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bulk {
    /// 1 to 100 tickets, none of them twice.
    tickets: Vec<Picked>,
    /// Who is to work on them (a user's name).
    assignee: Option<String>,
    /// `p1` to `p4`.
    priority: Option<String>,
    /// A comment's text.
    comment: Option<String>,
    /// Whether the customer sees the comment.
    #[serde(default)]
    visible: bool,
    /// The number of the ticket that they are tied to.
    link: Option<String>,
    /// The number of the ticket that they are duplicates of.
    merge: Option<String>,
}

/// What became of one ticket.
#[derive(Serialize, ToSchema)]
pub struct BulkResult {
    /// Its number.
    number: String,
    /// Its version now, when it was done.
    #[schema(required)]
    version: Option<i64>,
    /// Why it was not done.
    #[schema(required)]
    error: Option<ProblemDetail>,
}

/// What became of each, in the order in which they were named.
#[derive(Serialize, ToSchema)]
pub struct BulkDone {
    /// How many were done.
    done: usize,
    /// Each.
    results: Vec<BulkResult>,
}

/// What is to be done.
enum Deed {
    Assign(String),
    Prioritise(Priority),
    Comment(String, bool),
    Link(String),
    Merge(String),
}

fn deed(bulk: &Bulk) -> Answer<Deed> {
    let Bulk { assignee, priority, comment, link, merge, .. } = bulk;
    let one =
        [assignee, priority, comment, link, merge].iter().filter(|one| one.is_some()).count() == 1;
    let found = match (assignee, priority, comment, link, merge) {
        _ if !one => None,
        (Some(name), ..) => Some(Deed::Assign(name.clone())),
        (_, Some(text), ..) => {
            let wrong = || Problem::Malformed("priority: expected p1, p2, p3 or p4".to_owned());
            Some(Deed::Prioritise(Priority::parse(text).ok_or_else(wrong)?))
        }
        (_, _, Some(text), ..) => Some(Deed::Comment(text.clone(), bulk.visible)),
        (_, _, _, Some(other), _) => Some(Deed::Link(other.clone())),
        (_, _, _, _, Some(into)) => Some(Deed::Merge(into.clone())),
        _ => None,
    };
    let text = "expected exactly one of assignee, priority, comment, link, merge";
    found.ok_or_else(|| Problem::Malformed(text.to_owned()))
}

async fn one(
    api: &Api,
    action: Action<'_>,
    version: i64,
    deed: &Deed,
) -> Result<TicketRow, ActionError> {
    let (db, events) = (&api.db, &api.events);
    match deed {
        Deed::Assign(name) => {
            let change = Change { assignee: Some(name), ..Change::default() };
            desk::change(db, events, action, version, change).await
        }
        Deed::Prioritise(priority) => {
            let change = Change { priority: Some(*priority), ..Change::default() };
            desk::change(db, events, action, version, change).await
        }
        // These two take nothing away from what somebody else did meanwhile.
        Deed::Comment(text, visible) => actions::comment(db, events, action, text, *visible).await,
        Deed::Link(other) => desk::link(db, events, action, other, true).await,
        Deed::Merge(into) => {
            desk::merge(db, events, action, version, into).await.map(|(from, _)| from)
        }
    }
}

/// Do one thing to many tickets. Each is a transaction of its own and has its own answer; versions are respected
/// (assignee, priority, merge).
#[utoipa::path(post, path = "/api/v1/bulk", operation_id = "change_tickets", tag = "tickets",
    request_body = Bulk, responses(
    (status = 200, description = "What became of each", body = BulkDone),
    (status = 400, description = "Malformed: which field and what was expected; nothing was done", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
))]
pub async fn run(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Body(bulk): Body<Bulk>,
) -> Answer<Json<BulkDone>> {
    let deed = deed(&bulk)?;
    let numbers: BTreeSet<&str> = bulk.tickets.iter().map(|one| one.number.as_str()).collect();
    if !(1..=MOST).contains(&bulk.tickets.len()) || numbers.len() != bulk.tickets.len() {
        let text = format!("tickets: expected 1 to {MOST} numbers, none of them twice");
        return Err(Problem::Malformed(text));
    }
    let mut results = Vec::with_capacity(bulk.tickets.len());
    for picked in &bulk.tickets {
        let (user, number) = (logged_in.user.name.as_str(), picked.number.as_str());
        let action = Action { user, number, at: Time::now() };
        let (version, error) = match one(&api, action, picked.version, &deed).await {
            Ok(row) => (Some(row.version), None),
            Err(error) => (None, Some(refused(error).detail())),
        };
        results.push(BulkResult { number: picked.number.clone(), version, error });
    }
    let done = results.iter().filter(|one| one.error.is_none()).count();
    Ok(Json(BulkDone { done, results }))
}
