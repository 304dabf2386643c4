//! Tickets: one with all that belongs to it, and what people do to it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::bundles::Bundle;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{Body, Name};
use super::masters::Master;
use super::model::{Alarm, Evidence, StateName, Ticket, TimelineEntry};
use super::session::LoggedIn;
use crate::flow::tickets::{self as actions, Action, ActionError};
use crate::store::{alarms, bundles, evidence, links, masters, tickets, timeline};
use crate::ticket::{self, Closing, Level, Refused, Wish};

/// Alarms and items of evidence that a ticket's page shows (the first ones).
const SHOWN: i64 = 200;
/// Entries of the timeline that a ticket's page shows (the latest ones).
const ENTRIES: i64 = 500;
/// Contacts that a ticket's page shows.
const CONTACTS: i64 = 20;

/// A ticket and what belongs to it.
#[derive(Serialize, ToSchema)]
pub struct TicketPage {
    /// The ticket.
    ticket: Ticket,
    /// The states that it may be moved to.
    allowed: Vec<StateName>,
    /// Those of them that need a comment.
    comment_required: Vec<StateName>,
    /// The states that a manager may move it to; all need a reason.
    decisions: Vec<StateName>,
    /// Numbers of the tickets that it is tied to.
    links: Vec<String>,
    /// Whom to call at its site, at most 20.
    contacts: Vec<Master>,
    /// Its alarms, oldest first, at most 200.
    alarms: Vec<Alarm>,
    /// What shows the fault, oldest first, at most 200 items.
    evidence: Vec<Evidence>,
    /// Its evidence bundles, oldest first: the latest 200.
    bundles: Vec<Bundle>,
    /// What happened, oldest first: the latest 500 entries.
    timeline: Vec<TimelineEntry>,
}

/// One ticket with alarms, evidence and timeline.
#[utoipa::path(get, path = "/api/v1/tickets/{number}", operation_id = "get_ticket", tag = "tickets",
    params(("number" = String, Path, description = "The ticket's number")), responses(
    (status = 200, description = "The ticket", body = TicketPage),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
))]
pub async fn show(State(api): State<Arc<Api>>, Name(number): Name) -> Answer<Json<TicketPage>> {
    let row = tickets::get(&api.db, &number).await.map_err(Problem::internal)?;
    let row = row.ok_or(Problem::NotFound("such ticket"))?;
    let site = row.site.clone().unwrap_or_default();
    let (alarms, evidence, bundles, timeline, links, contacts) = tokio::try_join!(
        alarms::of_ticket(&api.db, &row.id, SHOWN),
        evidence::of_ticket(&api.db, &row.id, SHOWN),
        bundles::of_ticket(&api.db, &row.id, SHOWN),
        timeline::of_ticket(&api.db, &row.id, ENTRIES),
        links::of(&api.db, &row.number),
        masters::contacts_of_site(&api.db, &site, CONTACTS),
    )
    .map_err(Problem::internal)?;
    let number = row.number.clone();
    let state = ticket::State::parse(&row.state);
    let moves = |manager: bool| {
        let major = row.service.major;
        state.into_iter().flat_map(move |s| ticket::allowed(s, manager, major))
    };
    let decisions = moves(true).map(|m| m.to.into()).collect();
    let moves: Vec<_> = moves(false).collect();
    Ok(Json(TicketPage {
        allowed: moves.iter().map(|m| m.to.into()).collect(),
        comment_required: moves
            .iter()
            .filter(|m| m.comment_required)
            .map(|m| m.to.into())
            .collect(),
        decisions,
        links,
        contacts: contacts.into_iter().map(Into::into).collect(),
        bundles: bundles.into_iter().map(|row| Bundle::of(row, &number)).collect(),
        ticket: row.into(),
        alarms: alarms.into_iter().map(Into::into).collect(),
        evidence: evidence.into_iter().map(Into::into).collect(),
        timeline: timeline.into_iter().map(Into::into).collect(),
    }))
}

/// Where a ticket shall go.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// The new state.
    to: StateName,
    /// The version that the person saw.
    version: i64,
    /// Why; most steps need it.
    #[serde(default)]
    comment: Option<String>,
    /// Escalated to: `l2`, `l3`, `engineering`; a ticket only climbs.
    #[serde(default)]
    level: Option<String>,
    /// The closing report; closing needs it.
    #[serde(default)]
    closing: Option<ClosingReport>,
}

/// What is written when a ticket is closed.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClosingReport {
    /// Why it happened.
    #[schema(min_length = 1)]
    pub cause: String,
    /// What was done.
    #[schema(min_length = 1)]
    pub fix: String,
    /// `a` daily problem and fault, `b` base environment, `c` upgrade and patch, `d` software defect, `e` third-party
    /// software, `f` requirement or change, `g` service feedback.
    pub category: String,
}

/// Move a ticket to another state.
#[utoipa::path(post, path = "/api/v1/tickets/{number}/transitions", operation_id = "move_ticket", tag = "tickets",
    params(("number" = String, Path, description = "The ticket's number")),
    request_body = Transition, responses(
    (status = 200, description = "The ticket as it is now", body = Ticket),
    (status = 400, description = "Malformed, or without the comment that it needs", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
    (status = 409, description = "Somebody was faster, or the state does not allow it", body = ProblemBody),
))]
pub async fn transition(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(number): Name,
    Body(wish): Body<Transition>,
) -> Answer<Json<Ticket>> {
    let action = Action { user: &logged_in.user.name, number: &number, at: Time::now() };
    let closing =
        wish.closing.map(|c| Closing { cause: c.cause, fix: c.fix, category: c.category });
    let wanted = Wish {
        level: wish.level.as_deref().and_then(Level::parse),
        closing: closing.as_ref(),
        ..Wish::to(wish.to.into(), wish.comment.as_deref())
    };
    let done = actions::transition(&api.db, &api.events, action, wish.version, &wanted).await;
    Ok(Json(done.map_err(refused)?.into()))
}

/// A comment.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Comment {
    /// Its text, at most 16 KiB.
    #[schema(min_length = 1)]
    text: String,
    /// Whether the customer sees it.
    #[serde(default)]
    visible: bool,
}

/// Comment on a ticket.
#[utoipa::path(post, path = "/api/v1/tickets/{number}/comments", operation_id = "comment_on_ticket", tag = "tickets",
    params(("number" = String, Path, description = "The ticket's number")),
    request_body = Comment, responses(
    (status = 200, description = "The ticket as it is now", body = Ticket),
    (status = 400, description = "Malformed, empty or too long", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
))]
pub async fn comment(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(number): Name,
    Body(comment): Body<Comment>,
) -> Answer<Json<Ticket>> {
    let action = Action { user: &logged_in.user.name, number: &number, at: Time::now() };
    let done = actions::comment(&api.db, &api.events, action, &comment.text, comment.visible).await;
    Ok(Json(done.map_err(refused)?.into()))
}

/// What a refused action is to whoever asked.
pub(super) fn refused(error: ActionError) -> Problem {
    match error {
        ActionError::NotFound(_) => Problem::NotFound("such ticket"),
        ActionError::Version { current } => Problem::VersionConflict(current),
        ActionError::Refused(Refused::ManagersOnly) => Problem::Forbidden,
        ActionError::Refused(
            e @ (Refused::NotAllowed { .. } | Refused::NotMajor | Refused::Over),
        ) => Problem::NotAllowed(e.to_string()),
        ActionError::Refused(e @ Refused::LevelRequired) => {
            Problem::Malformed(format!("level: {e}"))
        }
        ActionError::Refused(e @ Refused::ReportRequired) => {
            Problem::Malformed(format!("closing: {e}"))
        }
        ActionError::Refused(e) => Problem::Malformed(format!("comment: {e}")),
        e @ (ActionError::NewerOpen { .. } | ActionError::NotNow(_)) => {
            Problem::NotAllowed(e.to_string())
        }
        ActionError::EmptyComment => Problem::Malformed("text: the comment is empty".to_owned()),
        e @ ActionError::NoSuchPerson(..) => Problem::Malformed(format!("assignee: {e}")),
        e @ ActionError::Wrong(..) => Problem::Malformed(e.to_string()),
        e @ ActionError::Store(_) => Problem::internal(e),
    }
}
