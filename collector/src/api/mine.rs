//! What a customer's people see and do: their own sites, devices and tickets, and nothing else. The rest of
//! the API is closed to them; what is here asks the store for their place alone ([`crate::store::mine`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{Body, Name, Params};
use super::model::{At, MessageView};
use super::params::{limit, page};
use super::session::LoggedIn;
use super::tickets::refused;
use crate::flow::mine as actions;
use crate::flow::tickets::manual::{self, Intake, Recorded};
use crate::flow::tickets::{self as moves, Action};
use crate::store::mine::{self, Filter, Place};
use crate::store::tickets::TicketRow;
use crate::store::timeline::{self, Entry};
use crate::ticket::{Class, Closing, Priority, State as TicketState, Wish};

/// Tickets of one answer, unless told.
const PAGE: u32 = 50;
/// Sites that are shown.
const SITES: i64 = 1000;
/// Entries of a ticket that are looked at (the latest ones).
const ENTRIES: i64 = 500;

/// Of which customer somebody is.
#[derive(Serialize, ToSchema)]
pub struct Mine {
    /// The customer's id.
    customer: String,
    /// Its sites, as far as the person sees them.
    sites: Vec<MySite>,
}

/// A site.
#[derive(Serialize, ToSchema)]
pub struct MySite {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
}

/// A device of the installed base.
#[derive(Serialize, ToSchema)]
pub struct MyDevice {
    /// Serial number.
    serial: String,
    /// Name.
    name: String,
    /// Vendor.
    vendor: String,
    /// Model.
    model: String,
    /// The site's id.
    site: String,
    /// Alarms that stand.
    active_alarms: i64,
}

/// A page of devices.
#[derive(Serialize, ToSchema)]
pub struct MyDeviceList {
    /// By serial number.
    items: Vec<MyDevice>,
    /// What to give as `after` for the next page.
    #[schema(required)]
    next: Option<String>,
}

/// A ticket, as its customer sees it.
#[derive(Serialize, ToSchema)]
pub struct MyTicket {
    /// Its number.
    number: String,
    /// Where it stands.
    state: String,
    /// `p1` to `p4`.
    priority: String,
    /// How bad the fault is.
    severity: String,
    /// What it is about.
    title: MessageView,
    /// In the words of the device, or of who recorded it.
    text: String,
    /// The device's name.
    device: String,
    /// The part.
    resource: String,
    /// The site's id.
    #[schema(required)]
    site: Option<String>,
    /// When it was opened.
    opened_at: At,
    /// The last change.
    updated_at: At,
    /// Since when the condition is gone.
    #[schema(required)]
    condition_cleared_at: Option<At>,
    /// When it was closed.
    #[schema(required)]
    closed_at: Option<At>,
    /// +1 per change.
    version: i64,
}

/// A page of tickets.
#[derive(Serialize, ToSchema)]
pub struct MyTicketList {
    /// The latest first.
    items: Vec<MyTicket>,
    /// What to give as `before` for the next page.
    #[schema(required)]
    next: Option<String>,
}

/// One entry of what happened.
#[derive(Serialize, ToSchema)]
pub struct MyEntry {
    /// When.
    at: At,
    /// `customer`, `support` or `device`.
    by: &'static str,
    /// `opened`, `state`, `comment`, `cleared`, `recurred`, `raised-again`.
    what: String,
    /// The new state (`state`).
    #[schema(required)]
    to: Option<String>,
    /// What was said (`comment`).
    #[schema(required)]
    text: Option<String>,
}

/// A ticket and what happened.
#[derive(Serialize, ToSchema)]
pub struct MyTicketPage {
    /// The ticket.
    ticket: MyTicket,
    /// Whether it waits for the customer's word that the fault is mended.
    may_confirm: bool,
    /// Why it happened and what was done, once it is closed.
    #[schema(required)]
    cause: Option<String>,
    /// What was done.
    #[schema(required)]
    fix: Option<String>,
    /// The oldest first.
    timeline: Vec<MyEntry>,
}

fn shown(row: TicketRow) -> MyTicket {
    MyTicket {
        number: row.number,
        state: row.state,
        priority: row.priority,
        severity: row.severity,
        title: row.title.into(),
        text: row.text,
        device: row.device_name,
        resource: row.resource,
        site: row.site,
        opened_at: At(row.opened_at),
        updated_at: At(row.updated_at),
        condition_cleared_at: row.condition_cleared_at.map(At),
        closed_at: row.closed_at.map(At),
        version: row.version,
    }
}

/// What of an entry the customer sees: never who of the centre it was, nor what they say among themselves.
fn entry(entry: Entry, people: &BTreeSet<String>) -> Option<MyEntry> {
    let detail: Value = serde_json::from_str(&entry.detail).unwrap_or_default();
    let said = |name: &str| detail[name].as_str().map(str::to_owned);
    let person = entry.who.strip_prefix("user:");
    let by = match person {
        Some(name) if people.contains(name) => "customer",
        Some(_) => "support",
        None if entry.who == "collector" => "support",
        None => "device",
    };
    let (to, text) = match entry.what.as_str() {
        "state" => (said("to"), None),
        "comment" if detail["visible"] == true => (None, said("text")),
        "opened" | "cleared" | "recurred" | "raised-again" => (None, None),
        _ => return None,
    };
    Some(MyEntry { at: At(entry.at), by, what: entry.what, to, text })
}

async fn place(api: &Api, logged_in: &LoggedIn) -> Answer<Place> {
    let place = mine::place_of(&api.db, &logged_in.user.name).await.map_err(Problem::internal)?;
    place.ok_or_else(|| Problem::NotAllowed("you are not tied to a customer yet".to_owned()))
}

async fn ticket(api: &Api, place: &Place, number: &str) -> Answer<TicketRow> {
    let row = mine::ticket(&api.db, place, number).await.map_err(Problem::internal)?;
    row.ok_or(Problem::NotFound("such ticket"))
}

/// Of which customer you are, and its sites.
#[utoipa::path(get, path = "/api/v1/mine", operation_id = "get_mine", tag = "mine", responses(
    (status = 200, description = "The customer", body = Mine),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 409, description = "Not tied to a customer yet", body = ProblemBody),
))]
pub async fn whose(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
) -> Answer<Json<Mine>> {
    let place = place(&api, &logged_in).await?;
    let sites = mine::sites(&api.db, &place, SITES).await.map_err(Problem::internal)?;
    let sites = sites.into_iter().map(|(id, name)| MySite { id, name }).collect();
    Ok(Json(Mine { customer: place.customer, sites }))
}

/// Which devices.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MyDevicesQuery {
    /// `next` of the page before.
    #[serde(default)]
    after: String,
    /// At most so many (1 to 200, 50 without it).
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Your devices.
#[utoipa::path(get, path = "/api/v1/mine/devices", operation_id = "list_my_devices", tag = "mine",
    params(MyDevicesQuery), responses(
    (status = 200, description = "The devices", body = MyDeviceList),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 409, description = "Not tied to a customer yet", body = ProblemBody),
))]
pub async fn devices(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Params(query): Params<MyDevicesQuery>,
) -> Answer<Json<MyDeviceList>> {
    let limit = limit(query.limit, PAGE)?;
    let place = place(&api, &logged_in).await?;
    let found = mine::devices(&api.db, &place, &query.after, limit + 1).await;
    let (found, next) = page(found.map_err(Problem::internal)?, limit, |d| d.serial.clone());
    let items = found.into_iter().map(|d| MyDevice {
        serial: d.serial,
        name: d.name,
        vendor: d.vendor,
        model: d.model,
        site: d.site,
        active_alarms: d.active_alarms,
    });
    Ok(Json(MyDeviceList { items: items.collect(), next }))
}

/// Which tickets.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MyTicketsQuery {
    /// `1`: those that are over, too.
    all: Option<super::params::Flag>,
    /// `next` of the page before.
    before: Option<String>,
    /// At most so many (1 to 200, 50 without it).
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Your tickets.
#[utoipa::path(get, path = "/api/v1/mine/tickets", operation_id = "list_my_tickets", tag = "mine",
    params(MyTicketsQuery), responses(
    (status = 200, description = "The tickets", body = MyTicketList),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 409, description = "Not tied to a customer yet", body = ProblemBody),
))]
pub async fn tickets(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Params(query): Params<MyTicketsQuery>,
) -> Answer<Json<MyTicketList>> {
    let limit = limit(query.limit, PAGE)?;
    let before = match &query.before {
        None => i64::MAX,
        Some(number) => crate::store::tickets::ordinal(number)
            .ok_or_else(|| Problem::Malformed("before: expected a ticket's number".to_owned()))?,
    };
    let place = place(&api, &logged_in).await?;
    let open = !query.all.is_some_and(bool::from);
    let filter = Filter { open, before, limit: limit + 1 };
    let rows = mine::tickets(&api.db, &place, filter).await.map_err(Problem::internal)?;
    let (rows, next) = page(rows, limit, |row| row.number.clone());
    Ok(Json(MyTicketList { items: rows.into_iter().map(shown).collect(), next }))
}

/// One of your tickets.
#[utoipa::path(get, path = "/api/v1/mine/tickets/{number}", operation_id = "get_my_ticket", tag = "mine",
    params(("number" = String, Path, description = "The ticket's number")), responses(
    (status = 200, description = "The ticket", body = MyTicketPage),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such ticket of yours", body = ProblemBody),
    (status = 409, description = "Not tied to a customer yet", body = ProblemBody),
))]
pub async fn show(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(number): Name,
) -> Answer<Json<MyTicketPage>> {
    let place = place(&api, &logged_in).await?;
    let row = ticket(&api, &place, &number).await?;
    whole(&api, &place, row).await
}

async fn whole(api: &Api, place: &Place, row: TicketRow) -> Answer<Json<MyTicketPage>> {
    let entries = timeline::of_ticket(&api.db, &row.id, ENTRIES);
    let people = mine::people(&api.db, &place.customer);
    let (entries, people) = tokio::try_join!(entries, people).map_err(Problem::internal)?;
    let closing = row.service.closing.as_deref();
    let closing = closing.and_then(|text| serde_json::from_str::<Closing>(text).ok());
    let (cause, fix) = closing.map(|closing| (closing.cause, closing.fix)).unzip();
    Ok(Json(MyTicketPage {
        may_confirm: row.state == TicketState::Verified.as_str(),
        cause,
        fix,
        timeline: entries.into_iter().filter_map(|one| entry(one, &people)).collect(),
        ticket: shown(row),
    }))
}

/// A fault, or a question.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MyNewTicket {
    /// What is wrong, or wanted: at most 16 KiB.
    #[schema(min_length = 1)]
    text: String,
    /// The id of one of your sites.
    site: String,
    /// The serial number of one of your devices.
    #[serde(default)]
    serial: String,
    /// Whom to call.
    #[serde(default)]
    contact: String,
    /// How to reach the person.
    #[serde(default)]
    reach: String,
}

/// Open a ticket.
#[utoipa::path(post, path = "/api/v1/mine/tickets", operation_id = "open_my_ticket", tag = "mine",
    request_body = MyNewTicket, responses(
    (status = 200, description = "The ticket", body = MyTicketPage),
    (status = 400, description = "Malformed, or no site or device of yours", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 409, description = "Not tied to a customer yet", body = ProblemBody),
))]
pub async fn open(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Body(new): Body<MyNewTicket>,
) -> Answer<Json<MyTicketPage>> {
    let place = place(&api, &logged_in).await?;
    let theirs = mine::has_site(&api.db, &place, &new.site).await.map_err(Problem::internal)?;
    if !theirs {
        return Err(Problem::Malformed("site: expected the id of one of your sites".to_owned()));
    }
    if !new.serial.is_empty() {
        let device = mine::device_of(&api.db, &place, &new.serial).await;
        let device = device.map_err(Problem::internal)?;
        if device.is_none_or(|device| device.site != new.site) {
            let text = "serial: expected the serial number of a device of yours on that site";
            return Err(Problem::Malformed(text.to_owned()));
        }
    }
    let recorded = Recorded {
        text: new.text,
        priority: Priority::P3,
        class: Class::ServiceRequest,
        category: None,
        site: new.site,
        serial: new.serial,
        contract: String::new(),
        error_code: String::new(),
        assignee: None,
        intake: Intake { contact: new.contact, reach: new.reach, ..Intake::default() },
    };
    let user = &logged_in.user.name;
    let opened = manual::open(&api.db, &api.events, user, &recorded, Time::now()).await;
    let row = opened.map_err(refused)?;
    api.metrics.ticket_opened(false);
    whole(&api, &place, row).await
}

/// What somebody says.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MyComment {
    /// The words, at most 16 KiB.
    #[schema(min_length = 1)]
    text: String,
}

/// Say something about one of your tickets.
#[utoipa::path(post, path = "/api/v1/mine/tickets/{number}/comments", operation_id = "comment_my_ticket", tag = "mine",
    params(("number" = String, Path, description = "The ticket's number")),
    request_body = MyComment, responses(
    (status = 200, description = "The ticket", body = MyTicketPage),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such ticket of yours", body = ProblemBody),
    (status = 409, description = "Not tied to a customer yet", body = ProblemBody),
))]
pub async fn comment(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(number): Name,
    Body(said): Body<MyComment>,
) -> Answer<Json<MyTicketPage>> {
    let place = place(&api, &logged_in).await?;
    let row = ticket(&api, &place, &number).await?;
    let who = (logged_in.user.name.as_str(), row.number.as_str());
    let done = actions::comment(&api.db, &api.events, who, &said.text, Time::now()).await;
    whole(&api, &place, done.map_err(refused)?).await
}

/// Whether the fault is mended.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MyConfirmation {
    /// The version that the person saw.
    version: i64,
    /// Whether it is.
    fixed: bool,
    /// What is not right; needed where it is not mended.
    #[serde(default)]
    comment: String,
}

/// Say whether the fault of a verified ticket is mended; it goes back into diagnosis where it is not.
#[utoipa::path(post, path = "/api/v1/mine/tickets/{number}/confirmation", operation_id = "confirm_my_ticket", tag = "mine",
    params(("number" = String, Path, description = "The ticket's number")),
    request_body = MyConfirmation, responses(
    (status = 200, description = "The ticket", body = MyTicketPage),
    (status = 400, description = "Malformed, or a comment is needed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such ticket of yours", body = ProblemBody),
    (status = 409, description = "It was changed by somebody else, or does not wait for this", body = ProblemBody),
))]
pub async fn confirm(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(number): Name,
    Body(said): Body<MyConfirmation>,
) -> Answer<Json<MyTicketPage>> {
    let place = place(&api, &logged_in).await?;
    let row = ticket(&api, &place, &number).await?;
    if row.state != TicketState::Verified.as_str() {
        let text = "the ticket does not wait for your confirmation";
        return Err(Problem::NotAllowed(text.to_owned()));
    }
    let to = if said.fixed { TicketState::Confirmed } else { TicketState::InDiagnosis };
    let words = said.comment.trim();
    let wish = Wish::to(to, (!words.is_empty()).then_some(words));
    let user = &logged_in.user.name;
    if !words.is_empty() {
        // The step's own comment is the centre's; what the customer says both sides see.
        let version = row.version;
        if said.version != version {
            return Err(Problem::VersionConflict(version));
        }
    }
    let action = Action { user, number: &row.number, at: Time::now() };
    let moved = moves::transition(&api.db, &api.events, action, said.version, &wish).await;
    let mut row = moved.map_err(refused)?;
    if !words.is_empty() {
        let who = (user.as_str(), row.number.as_str());
        let done = actions::comment(&api.db, &api.events, who, words, Time::now()).await;
        row = done.map_err(refused)?;
    }
    whole(&api, &place, row).await
}
