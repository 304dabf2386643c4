//! Assigning, setting apart, merging and linking tickets.

use callhome_shared::config_error::did_you_mean;
use serde_json::json;
use tokio::sync::broadcast;

use super::{
    Action, ActionError, again, load, load_at, put_standing, standing_of, tell, user, write,
};
use crate::flow::{Event, clocks};
use crate::store::tickets::TicketRow;
use crate::store::{Db, Tx, cases, links, users};
use crate::ticket::{self, Category, Class, Entry, MAX_COMMENT_BYTES, Priority, State};

/// Links of one ticket.
pub const MAX_LINKS: i64 = 100;
/// The role that does no service.
const NO_SERVICE: &str = "customer";

/// What is to be different; `None`: as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// Who works on it.
    pub assignee: Option<&'a str>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// Class of work.
    pub class: Option<Class>,
    /// Kind of request.
    pub category: Option<Category>,
    /// Whether it is a major incident: the manager is told at once.
    pub major: Option<bool>,
}

/// Changes a ticket that the person saw at `version`; answers it as it is now.
pub async fn change(
    db: &Db,
    events: &broadcast::Sender<Event>,
    action: Action<'_>,
    version: i64,
    change: Change<'_>,
) -> Result<TicketRow, ActionError> {
    let mut attempt = 1;
    loop {
        match try_change(db, action, version, change).await {
            Err(ActionError::Store(e)) if again(&e, attempt) => attempt += 1,
            Ok(row) => return Ok(tell(events, row)),
            Err(e) => return Err(e),
        }
    }
}

async fn try_change(
    db: &Db,
    action: Action<'_>,
    version: i64,
    change: Change<'_>,
) -> Result<TicketRow, ActionError> {
    let mut tx = db.begin().await?;
    let mut row = load_at(&mut tx, action.number, version).await?;
    let mut standing = standing_of(&row)?;
    let mut entries = Vec::new();
    if let Some(to) = change.assignee {
        in_service(&mut tx, to).await?;
        entries.extend(ticket::assign(&mut standing, row.assignee.as_deref(), to, action.at)?);
        row.assignee = Some(to.to_owned());
    }
    if let Some(to) = change.priority {
        entries.extend(ticket::prioritise(&mut standing, to));
    }
    if let Some(major) = change.major.filter(|major| *major != standing.major) {
        standing.major = major;
        entries.push(Entry { what: "major", detail: json!({ "major": major, "tell": "manager" }) });
    }
    put_standing(&mut row, &standing);
    if let Some(to) = change.class.map(Class::as_str).filter(|to| *to != row.service.class) {
        let detail = json!({ "from": row.service.class, "to": to });
        entries.push(Entry { what: "class", detail });
        to.clone_into(&mut row.service.class);
    }
    let category = change.category.map(|category| category.as_str().to_owned());
    if category.is_some() && category != row.service.category {
        let detail = json!({ "from": row.service.category, "to": category });
        entries.push(Entry { what: "category", detail });
        row.service.category = category;
    }
    if entries.is_empty() {
        return Ok(row);
    }
    write(&mut tx, &mut row, &user(action), action.at, entries).await?;
    tx.commit().await?;
    Ok(row)
}

/// Promises another plan of an open ticket that the person saw at `version`; answers it as it is now.
pub async fn promise(
    db: &Db,
    events: &broadcast::Sender<Event>,
    action: Action<'_>,
    version: i64,
    plan: &str,
    reason: &str,
) -> Result<TicketRow, ActionError> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(ticket::Refused::CommentRequired.into());
    }
    if reason.len() > MAX_COMMENT_BYTES {
        return Err(ticket::Refused::CommentTooLong.into());
    }
    let mut attempt = 1;
    loop {
        match try_promise(db, action, version, plan, reason).await {
            Err(ActionError::Store(e)) if again(&e, attempt) => attempt += 1,
            Ok(row) => return Ok(tell(events, row)),
            Err(e) => return Err(e),
        }
    }
}

async fn try_promise(
    db: &Db,
    action: Action<'_>,
    version: i64,
    plan: &str,
    reason: &str,
) -> Result<TicketRow, ActionError> {
    let mut tx = db.begin().await?;
    let mut row = load_at(&mut tx, action.number, version).await?;
    if standing_of(&row)?.state.is_over() {
        return Err(ticket::Refused::Over.into());
    }
    is_plan(&mut tx, plan).await?;
    let detail = json!({ "from": row.service.plan, "to": plan, "text": reason });
    row.service.plan = Some(plan.to_owned());
    let who = user(action);
    write(&mut tx, &mut row, &who, action.at, vec![Entry { what: "plan", detail }]).await?;
    clocks::switch(&mut tx, &row, plan, &who, action.at).await?;
    tx.commit().await?;
    Ok(row)
}

/// A plan that may be promised.
pub(super) async fn is_plan(tx: &mut Tx, name: &str) -> Result<(), ActionError> {
    let Err(all) = clocks::is_plan(tx, name).await? else { return Ok(()) };
    let shown: String = name.chars().take(64).collect();
    let near = did_you_mean(name, all.iter().map(String::as_str));
    let near = near.map(|near| format!(" ({near})")).unwrap_or_default();
    Err(ActionError::Wrong("plan", format!("there is no plan {shown:?}{near}")))
}

/// An active person of a service role.
pub(super) async fn in_service(tx: &mut Tx, name: &str) -> Result<(), ActionError> {
    let all = users::in_service(tx, NO_SERVICE).await?;
    if all.iter().any(|one| one == name) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    let hint = did_you_mean(name, all.iter().map(String::as_str));
    Err(ActionError::NoSuchPerson(shown, hint))
}

/// The ticket is a duplicate of `into`: its alarms' cases move there. Both as they are now.
pub async fn merge(
    db: &Db,
    events: &broadcast::Sender<Event>,
    action: Action<'_>,
    version: i64,
    into: &str,
) -> Result<(TicketRow, TicketRow), ActionError> {
    let mut attempt = 1;
    loop {
        match try_merge(db, action, version, into).await {
            Err(ActionError::Store(e)) if again(&e, attempt) => attempt += 1,
            Ok((from, into)) => return Ok((tell(events, from), tell(events, into))),
            Err(e) => return Err(e),
        }
    }
}

async fn try_merge(
    db: &Db,
    action: Action<'_>,
    version: i64,
    into: &str,
) -> Result<(TicketRow, TicketRow), ActionError> {
    let mut tx = db.begin().await?;
    let mut row = load_at(&mut tx, action.number, version).await?;
    let mut target = load(&mut tx, into).await?;
    if row.id == target.id {
        return Err(ActionError::Wrong("into", "a ticket is no duplicate of itself".to_owned()));
    }
    if row.test != target.test {
        return Err(ActionError::Wrong("into", "a test and a fault are no duplicates".to_owned()));
    }
    let (mut standing, mut takes) = (standing_of(&row)?, standing_of(&target)?);
    if takes.state.is_over() {
        let (from, to) = (takes.state, State::Merged);
        return Err(ticket::Refused::NotAllowed { from, to }.into());
    }
    let before = standing.clone();
    let entry = ticket::merge(&mut standing, &target.number, action.at)?;
    let (lives, active) = cases::move_to(&mut tx, &row.id, &target.id).await?;
    ticket::absorb(&mut takes, &before, lives, active, action.at);
    put_standing(&mut row, &standing);
    put_standing(&mut target, &takes);
    row.service.merged_into = Some(target.number.clone());
    let detail = json!({ "from": row.number, "lives": lives });
    let taken = Entry { what: "merged", detail };
    let who = user(action);
    write(&mut tx, &mut row, &who, action.at, vec![entry]).await?;
    write(&mut tx, &mut target, &who, action.at, vec![taken]).await?;
    tx.commit().await?;
    Ok((row, target))
}

/// Ties two tickets together, or unties them; answers the first as it is now.
pub async fn link(
    db: &Db,
    events: &broadcast::Sender<Event>,
    action: Action<'_>,
    other: &str,
    tied: bool,
) -> Result<TicketRow, ActionError> {
    let mut attempt = 1;
    loop {
        match try_link(db, action, other, tied).await {
            Err(ActionError::Store(e)) if again(&e, attempt) => attempt += 1,
            Ok(row) => return Ok(tell(events, row)),
            Err(e) => return Err(e),
        }
    }
}

async fn try_link(
    db: &Db,
    action: Action<'_>,
    other: &str,
    tied: bool,
) -> Result<TicketRow, ActionError> {
    let mut tx = db.begin().await?;
    let mut row = load(&mut tx, action.number).await?;
    let other = load(&mut tx, other).await?;
    if row.id == other.id {
        return Err(ActionError::Wrong("other", "a ticket is not linked to itself".to_owned()));
    }
    let who = user(action);
    let changed = if tied {
        for one in [&row, &other] {
            if links::count(&mut tx, &one.number).await? >= MAX_LINKS {
                let text = format!("{} has {MAX_LINKS} links already", one.number);
                return Err(ActionError::Wrong("other", text));
            }
        }
        links::tie(&mut tx, &row.number, &other.number, action.at, &who).await?
    } else {
        links::untie(&mut tx, &row.number, &other.number).await?
    };
    if !changed {
        return Ok(row);
    }
    let what = if tied { "linked" } else { "unlinked" };
    let entry = Entry { what, detail: json!({ "other": other.number }) };
    write(&mut tx, &mut row, &who, action.at, vec![entry]).await?;
    tx.commit().await?;
    Ok(row)
}
