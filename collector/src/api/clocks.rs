//! The clocks of tickets: what is promised, how much is left, and why.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{Body, Name, Params};
use super::model::{At, TicketSummary};
use super::params::{limit, page};
use super::session::LoggedIn;
use crate::clock::Title;
use crate::flow::clocks::{self as flow, By, Hand, HandError, View, Views};
use crate::store::{clocks, tickets};

/// Tickets of one answer, unless told.
const PAGE: u32 = 50;

/// Why a stretch of time counted or not.
#[derive(Serialize, ToSchema)]
pub struct ClockLine {
    /// Its beginning.
    from: At,
    /// Its end.
    to: At,
    /// How much of it counted, milliseconds: all or nothing.
    counted_ms: i64,
    /// How much had counted by its end, milliseconds.
    elapsed_ms: i64,
    /// `inside` or `outside` the hours, `working_day` (a make-up day or one with hours of its own), `holiday`,
    /// `paused`, `done`.
    because: String,
    /// The holiday's name, the state in which the clock rested, or what was done.
    note: String,
    /// The ticket's priority then.
    priority: String,
}

/// A clock of a ticket.
#[derive(Serialize, ToSchema)]
pub struct Clock {
    /// Which limit: `respond`, `on_site`, `diagnose`, `restore`, `replacement`, `part_return`, or one that the plan names.
    name: String,
    /// Its name, if the plan names it.
    #[schema(required)]
    title: Option<Title>,
    /// `running`, `paused`, `stopped`, `dropped`.
    state: String,
    /// What is promised, as the plan says it.
    within: String,
    /// In which hours.
    hours: String,
    /// When it began.
    started_at: At,
    /// When the limit is over, while it runs.
    #[schema(required)]
    due_at: Option<At>,
    /// When it was stopped.
    #[schema(required)]
    stopped_at: Option<At>,
    /// How much may count, milliseconds; null: no limit.
    #[schema(required)]
    budget_ms: Option<i64>,
    /// How much has counted, milliseconds.
    elapsed_ms: i64,
    /// How much is left, milliseconds; below zero: so much too late.
    #[schema(required)]
    left_ms: Option<i64>,
    /// Whether what was promised was kept; null: not known yet.
    #[schema(required)]
    kept: Option<bool>,
    /// A warning comes after so much of it, per cent.
    warn_at: u32,
    /// Every stretch of its life, oldest first: the latest 500.
    explain: Vec<ClockLine>,
    /// Stretches before these.
    explain_left_out: usize,
}

/// What is promised of a ticket.
#[derive(Serialize, ToSchema)]
pub struct TicketClocks {
    /// The plan's name; null: nothing is promised.
    #[schema(required)]
    plan: Option<String>,
    /// Its version.
    #[schema(required)]
    plan_version: Option<i64>,
    /// Its title.
    #[schema(required)]
    title: Option<Title>,
    /// The site's time zone.
    #[schema(required)]
    time_zone: Option<String>,
    /// The site's calendar.
    #[schema(required)]
    calendar: Option<String>,
    /// The clocks, by name.
    clocks: Vec<Clock>,
    /// Limits that a person may start.
    startable: Vec<String>,
}

fn clock(view: View, now: Time) -> Clock {
    let life = &view.life;
    let running = life.state() == crate::clock::State::Running;
    let lines = view.lines.iter().map(|line| {
        let (because, note) = View::because(line);
        ClockLine {
            from: At(line.from),
            to: At(line.to),
            counted_ms: line.counted_ms,
            elapsed_ms: line.elapsed_ms,
            because: because.to_owned(),
            note: note.to_owned(),
            priority: view.priority(line),
        }
    });
    let explain = lines.collect();
    Clock {
        state: life.state().as_str().to_owned(),
        started_at: At(life.started_at()),
        due_at: life.due().filter(|_| running).map(At),
        stopped_at: life.stopped_at().map(At),
        budget_ms: life.budget(),
        elapsed_ms: life.elapsed(now),
        left_ms: life.left(now),
        kept: life.kept(now),
        within: view.terms.within,
        hours: view.terms.hours_name,
        warn_at: view.terms.warn_at,
        explain,
        explain_left_out: view.left_out,
        name: view.name,
        title: view.title,
    }
}

fn answer(views: Option<Views>, now: Time) -> TicketClocks {
    let Some(views) = views else {
        return TicketClocks {
            plan: None,
            plan_version: None,
            title: None,
            time_zone: None,
            calendar: None,
            clocks: Vec::new(),
            startable: Vec::new(),
        };
    };
    let promise = views.promise;
    TicketClocks {
        plan: Some(promise.plan),
        plan_version: Some(promise.plan_version),
        title: Some(views.title),
        time_zone: Some(promise.time_zone),
        calendar: promise.calendar,
        clocks: views.clocks.into_iter().map(|view| clock(view, now)).collect(),
        startable: views.startable,
    }
}

/// A ticket's clocks, with every stretch of time that counted and every one that did not.
#[utoipa::path(get, path = "/api/v1/tickets/{number}/clocks", operation_id = "get_clocks", tag = "tickets",
    params(("number" = String, Path, description = "The ticket's number")), responses(
    (status = 200, description = "The clocks", body = TicketClocks),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
))]
pub async fn show(State(api): State<Arc<Api>>, Name(number): Name) -> Answer<Json<TicketClocks>> {
    let row = tickets::get(&api.db, &number).await.map_err(Problem::internal)?;
    let row = row.ok_or(Problem::NotFound("such ticket"))?;
    let now = Time::now();
    let views = flow::views(&api.db, &row.id, now).await.map_err(Problem::internal)?;
    Ok(Json(answer(views, now)))
}

/// What a person does to a clock.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClockDeed {
    /// Which limit.
    clock: String,
    /// What.
    deed: DeedName,
    /// Why it rests: needed for `pause`, at most 500 characters.
    #[serde(default)]
    reason: String,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DeedName {
    Start,
    Stop,
    Pause,
    Resume,
}

/// Longest reason, characters.
const MAX_REASON: usize = 500;

fn reason(text: &str) -> Answer<&str> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > MAX_REASON || text.chars().any(char::is_control) {
        let what = format!("reason: expected one line of 1 to {MAX_REASON} characters");
        return Err(Problem::Malformed(what));
    }
    Ok(text)
}

/// Start, stop, pause or resume a clock by hand: a part is sent, an engineer has arrived, the customer is away.
#[utoipa::path(post, path = "/api/v1/tickets/{number}/clocks", operation_id = "move_clock", tag = "tickets",
    params(("number" = String, Path, description = "The ticket's number")),
    request_body = ClockDeed, responses(
    (status = 200, description = "The clocks as they are now", body = TicketClocks),
    (status = 400, description = "Malformed, or the plan has no such limit", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
    (status = 409, description = "Not as the clock stands", body = ProblemBody),
))]
pub async fn by_hand(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(number): Name,
    Body(wish): Body<ClockDeed>,
) -> Answer<Json<TicketClocks>> {
    let now = Time::now();
    let by = match wish.deed {
        DeedName::Start => By::Start,
        DeedName::Stop => By::Stop,
        DeedName::Pause => By::Pause(reason(&wish.reason)?),
        DeedName::Resume => By::Resume,
    };
    let user = &logged_in.user.name;
    let hand = Hand { number: &number, clock: &wish.clock, by, user, at: now };
    let done = flow::by_hand(&api.db, hand).await;
    let row = done.map_err(|error| match error {
        HandError::NoTicket(_) => Problem::NotFound("such ticket"),
        e @ HandError::NoLimit(_) => Problem::Malformed(format!("clock: {e}")),
        e @ HandError::NotNow(_) => Problem::NotAllowed(e.to_string()),
        e @ HandError::Store(_) => Problem::internal(e),
    })?;
    // Nobody listening is fine.
    let _ = api.events.send(crate::flow::Event::Ticket { number: row.number.clone(), at: now });
    let views = flow::views(&api.db, &row.id, now).await.map_err(Problem::internal)?;
    Ok(Json(answer(views, now)))
}

/// Which part of the queue.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DueQuery {
    /// At most so many (1 to 200, 50 without it).
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
}

/// A ticket whose time runs.
#[derive(Serialize, ToSchema)]
pub struct DueTicket {
    /// The ticket.
    ticket: TicketSummary,
    /// The limit that is over first.
    clock: String,
    /// When it is over.
    due_at: At,
}

/// A page of the queue, the least time left first.
#[derive(Serialize, ToSchema)]
pub struct DueList {
    /// The tickets.
    items: Vec<DueTicket>,
    /// What to give as `after` for the next page; null when this is the last.
    #[schema(required)]
    next: Option<String>,
}

/// The queue by the time that is left.
#[utoipa::path(get, path = "/api/v1/due", operation_id = "list_due", tag = "tickets", params(DueQuery), responses(
    (status = 200, description = "A page of tickets, the least time left first", body = DueList),
    (status = 400, description = "Malformed query", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn due(
    State(api): State<Arc<Api>>,
    Params(query): Params<DueQuery>,
) -> Answer<Json<DueList>> {
    let limit = limit(query.limit, PAGE)?;
    let malformed = || Problem::Malformed("after: expected next of the page before".to_owned());
    let after = match query.after.as_deref() {
        None => (Time(i64::MIN), ""),
        Some(text) => {
            let (at, id) = text.split_once('.').ok_or_else(malformed)?;
            (Time(at.parse().map_err(|_| malformed())?), id)
        }
    };
    let rows = clocks::queue(&api.db, after, limit + 1).await.map_err(Problem::internal)?;
    let (rows, next) = page(rows, limit, |(at, _, id)| format!("{}.{id}", at.millis()));
    let ids: Vec<String> = rows.iter().map(|(_, _, id)| id.clone()).collect();
    let mut found = tickets::with_ids(&api.db, &ids).await.map_err(Problem::internal)?;
    let items = rows.into_iter().filter_map(|(at, clock, id)| {
        let place = found.iter().position(|row| row.id == id)?;
        Some(DueTicket { ticket: found.swap_remove(place).into(), clock, due_at: At(at) })
    });
    Ok(Json(DueList { items: items.collect(), next }))
}
