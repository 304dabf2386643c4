//! What people do to tickets: optimistic, through the state machine, in one transaction.

use callhome_shared::id::new_uuid;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use serde_json::json;
use tokio::sync::broadcast;

use super::{Event, clocks, duty, search};
use crate::store::tickets::TicketRow;
use crate::store::{Db, Remedy, StoreError, Tx, cases, tickets, timeline};
use crate::ticket::{self, Level, MAX_COMMENT_BYTES, Priority, Refused, Standing, State, Wish};

pub mod desk;
pub mod manual;
pub mod split;

/// How often a transaction that met another one is tried again.
const ATTEMPTS: u32 = 5;

/// Why a person's action was not done.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// There is no such ticket.
    #[error("there is no ticket {0}")]
    NotFound(String),
    /// The ticket has changed since the person read it.
    #[error("the ticket has changed: it is at version {current}")]
    Version {
        /// Its version now.
        current: i64,
    },
    /// The state machine does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The fault has come again since and has a ticket that is open.
    #[error("the same fault is open in ticket {number}")]
    NewerOpen {
        /// That ticket.
        number: String,
    },
    /// There is no such person in service.
    #[error("there is nobody in service by the name {0:?}{hint}", hint = .1.as_deref().map(|h| format!("; {h}")).unwrap_or_default())]
    NoSuchPerson(String, Option<String>),
    /// What is written down is wrong.
    #[error("{0}: {1}")]
    Wrong(&'static str, String),
    /// There is nothing to be done.
    #[error("{0}")]
    NotNow(String),
    /// A comment without text.
    #[error("the comment is empty")]
    EmptyComment,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Who acts, on which ticket.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    /// The user's name.
    pub user: &'a str,
    /// The ticket's number.
    pub number: &'a str,
    /// When.
    pub at: Time,
}

/// Moves a ticket that the person saw at `version`; answers it as it is now.
pub async fn transition(
    db: &Db,
    events: &broadcast::Sender<Event>,
    action: Action<'_>,
    version: i64,
    wish: &Wish<'_>,
) -> Result<TicketRow, ActionError> {
    let mut attempt = 1;
    loop {
        match try_transition(db, action, version, wish).await {
            Err(ActionError::Store(e)) if again(&e, attempt) => attempt += 1,
            Ok(row) => return Ok(tell(events, row)),
            Err(e) => return Err(e),
        }
    }
}

/// Adds a comment; answers the ticket as it is now. `visible`: the customer sees it.
pub async fn comment(
    db: &Db,
    events: &broadcast::Sender<Event>,
    action: Action<'_>,
    text: &str,
    visible: bool,
) -> Result<TicketRow, ActionError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ActionError::EmptyComment);
    }
    if text.len() > MAX_COMMENT_BYTES {
        return Err(Refused::CommentTooLong.into());
    }
    let mut attempt = 1;
    loop {
        match try_comment(db, action, text, visible).await {
            Err(ActionError::Store(e)) if again(&e, attempt) => attempt += 1,
            Ok(row) => return Ok(tell(events, row)),
            Err(e) => return Err(e),
        }
    }
}

pub(super) fn again(error: &StoreError, attempt: u32) -> bool {
    error.remedy() == Remedy::Again && attempt < ATTEMPTS
}

/// Nobody listening is fine.
pub(super) fn tell(events: &broadcast::Sender<Event>, row: TicketRow) -> TicketRow {
    let _ = events.send(Event::Ticket { number: row.number.clone(), at: row.updated_at });
    row
}

async fn try_transition(
    db: &Db,
    action: Action<'_>,
    version: i64,
    wish: &Wish<'_>,
) -> Result<TicketRow, ActionError> {
    let mut tx = db.begin().await?;
    let mut row = load_at(&mut tx, action.number, version).await?;
    let mut standing = standing_of(&row)?;
    let was_over = standing.state.is_over();
    let from = standing.state;
    let entry = ticket::step(&mut standing, wish, action.at)?;
    let is_over = standing.state.is_over();
    if was_over && !is_over {
        refuse_if_newer_open(&mut tx, &row).await?;
    }
    put_standing(&mut row, &standing);
    if let (State::Closed, Some(closing)) = (wish.to, wish.closing) {
        row.service.closing = serde_json::to_string(closing).ok();
        row.service.category = Some(closing.category.clone());
    }
    let approved = (from, wish.to) == (State::WaitingApproval, State::Recorded);
    let plan = wish.plan.filter(|plan| approved && !plan.is_empty());
    if let Some(plan) = plan {
        desk::is_plan(&mut tx, plan).await?;
        row.service.plan = Some(plan.to_owned());
    }
    if standing.state == State::InDiagnosis {
        // Who takes it up works on it, unless somebody else does already.
        row.assignee.get_or_insert_with(|| action.user.to_owned());
    }
    let who = user(action);
    write(&mut tx, &mut row, &who, action.at, vec![entry]).await?;
    if let Some(plan) = plan {
        clocks::switch(&mut tx, &row, plan, &who, action.at).await?;
    }
    if was_over != is_over {
        cases::set_closed(&mut tx, &row.id, standing.closed_at).await?;
    }
    tx.commit().await?;
    Ok(row)
}

async fn try_comment(
    db: &Db,
    action: Action<'_>,
    text: &str,
    visible: bool,
) -> Result<TicketRow, ActionError> {
    let mut tx = db.begin().await?;
    let mut row = load(&mut tx, action.number).await?;
    let mut detail = json!({ "text": text });
    if let (true, Some(object)) = (visible, detail.as_object_mut()) {
        object.insert("visible".to_owned(), true.into());
    }
    let entry = ticket::Entry { what: "comment", detail };
    let who = user(action);
    write(&mut tx, &mut row, &who, action.at, vec![entry]).await?;
    clocks::deed(&mut tx, &row, "comment", &who, action.at).await?;
    tx.commit().await?;
    Ok(row)
}

/// A bundle has arrived for the ticket of that id: an entry of its timeline, in the transaction of the
/// bundle's row. Answers the ticket as it is then.
pub async fn bundle_arrived(
    tx: &mut Tx,
    ticket_id: &str,
    who: &str,
    detail: serde_json::Value,
    at: Time,
) -> Result<TicketRow, StoreError> {
    let found = tickets::load(tx, &[ticket_id.to_owned()]).await?;
    let Some(mut row) = found.into_iter().next() else {
        return Err(StoreError::Schema(format!("bundle's ticket {ticket_id} is missing")));
    };
    write(tx, &mut row, who, at, vec![ticket::Entry { what: "bundle", detail }]).await?;
    Ok(row)
}

fn user(action: Action<'_>) -> String {
    format!("user:{}", action.user)
}

async fn load(tx: &mut Tx, number: &str) -> Result<TicketRow, ActionError> {
    let row = tickets::get_in(tx, number).await?;
    row.ok_or_else(|| ActionError::NotFound(number.to_owned()))
}

async fn load_at(tx: &mut Tx, number: &str, version: i64) -> Result<TicketRow, ActionError> {
    let row = load(tx, number).await?;
    if row.version == version {
        Ok(row)
    } else {
        Err(ActionError::Version { current: row.version })
    }
}

/// Every change that a person makes of a ticket is stored here.
pub(super) async fn write(
    tx: &mut Tx,
    row: &mut TicketRow,
    who: &str,
    at: Time,
    entries: Vec<ticket::Entry>,
) -> Result<(), StoreError> {
    row.version += 1;
    row.updated_at = at;
    tickets::save(tx, std::slice::from_ref(row)).await?;
    search::said(tx, row, &entries).await?;
    clocks::follow(tx, &[row], who, at).await?;
    let entries = entries.into_iter().map(|entry| timeline::Entry {
        id: new_uuid().to_string(),
        ticket_id: row.id.clone(),
        at,
        who: who.to_owned(),
        what: entry.what.to_owned(),
        detail: entry.detail.to_string(),
    });
    let entries = Vec::from_iter(entries);
    timeline::insert_all(tx, &entries).await?;
    if let Some(given) = duty::told(tx, &entries, at).await?.remove(&row.id) {
        row.assignee = Some(given);
    }
    Ok(())
}

/// One identity has at most one open case: a closed ticket stays closed while a newer one has it.
async fn refuse_if_newer_open(tx: &mut Tx, row: &TicketRow) -> Result<(), ActionError> {
    let own = cases::of_tickets(tx, std::slice::from_ref(&row.id)).await?;
    // What is only a consequence stays closed.
    let own = own.into_iter().filter(|case| !case.consequence);
    let identities: Vec<String> = own.map(|c| c.identity).collect();
    let open = cases::open_of(tx, &identities).await?;
    let Some(other) = open.into_iter().find(|c| c.ticket_id != row.id) else { return Ok(()) };
    let newer = tickets::load(tx, &[other.ticket_id]).await?;
    let number = newer.into_iter().next().map(|t| t.number).unwrap_or_default();
    Err(ActionError::NewerOpen { number })
}

/// What the pure rooms need of a row.
pub(super) fn standing_of(row: &TicketRow) -> Result<Standing, StoreError> {
    let wrong = |column: &str, found: &str| StoreError::Column {
        column: format!("tickets.{column}"),
        why: format!("unknown word {found:?}"),
    };
    Ok(Standing {
        state: State::parse(&row.state).ok_or_else(|| wrong("state", &row.state))?,
        severity: Severity::parse(&row.severity).ok_or_else(|| wrong("severity", &row.severity))?,
        priority: Priority::parse(&row.priority).ok_or_else(|| wrong("priority", &row.priority))?,
        condition_cleared_at: row.condition_cleared_at,
        resolved_at: row.resolved_at,
        closed_at: row.closed_at,
        recurrences: row.recurrences,
        level: row.service.level.as_deref().and_then(Level::parse),
        major: row.service.major,
    })
}

/// Writes back what they changed.
pub(super) fn put_standing(row: &mut TicketRow, standing: &Standing) {
    row.state = standing.state.as_str().to_owned();
    row.severity = standing.severity.as_str().to_owned();
    row.priority = standing.priority.as_str().to_owned();
    row.condition_cleared_at = standing.condition_cleared_at;
    row.resolved_at = standing.resolved_at;
    row.closed_at = standing.closed_at;
    row.recurrences = standing.recurrences;
    row.service.level = standing.level.map(|level| level.as_str().to_owned());
    row.service.major = standing.major;
}
