//! What customers' people do: they are tied to a customer, and comment on its tickets.

use callhome_shared::time::Time;
use serde_json::json;
use tokio::sync::broadcast;

use super::Event;
use super::tickets::{self, ActionError, again, tell};
use crate::audit::{Deed, Entry};
use crate::masters::Kind;
use crate::store::mine::{self, Place};
use crate::store::tickets::TicketRow;
use crate::store::{Db, StoreError, audit, masters, tickets as rows, users};
use crate::ticket::{self, MAX_COMMENT_BYTES, Refused};

/// Sites that one person may be limited to.
const MAX_SITES: usize = 100;
/// The role of customers' people.
const ROLE: &str = "customer";

/// Why somebody was not tied to a customer.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The wish cannot be meant.
    #[error("{0}")]
    Wrong(String),
    /// The store.
    #[error("data store")]
    Store(#[from] StoreError),
}

/// Ties a user of role `customer` to a customer, and to some of its sites; ends the user's sessions.
pub async fn bind(
    db: &Db,
    user: &str,
    place: &Place,
    by: &str,
    now: Time,
) -> Result<(), BindError> {
    let wrong = |text: String| Err(BindError::Wrong(text));
    let known = users::get(db, user).await?;
    match known {
        None => return wrong(format!("there is no user {user}")),
        Some(known) if known.role != ROLE => {
            return wrong(format!("{user} is {}; only customers are tied to one", known.role));
        }
        Some(_) => {}
    }
    if place.sites.len() > MAX_SITES {
        return wrong(format!("expected at most {MAX_SITES} sites"));
    }
    let mut tx = db.begin().await?;
    let customer = std::slice::from_ref(&place.customer);
    if masters::load(&mut tx, Kind::Customers, customer).await?.is_empty() {
        return wrong(format!("there is no customer {:?}", place.customer));
    }
    let sites = masters::load(&mut tx, Kind::Sites, &place.sites).await?;
    for name in &place.sites {
        let site = sites.iter().find(|site| site.id == *name);
        if site.and_then(|site| site.values.get("customer")) != Some(&place.customer) {
            return wrong(format!("{name:?} is no site of {:?}", place.customer));
        }
    }
    mine::bind(&mut tx, user, place, by, now).await?;
    let detail = json!({ "customer": place.customer, "sites": place.sites });
    audit::append(&mut tx, &Entry::new(now, by, Deed::UserBound, user, detail)).await?;
    tx.commit().await?;
    Ok(())
}

/// A customer's person says something about a ticket. Whoever asks has made sure that it is one of the
/// person's. It is no deed of the centre: no clock stops by it.
pub async fn comment(
    db: &Db,
    events: &broadcast::Sender<Event>,
    (user, number): (&str, &str),
    text: &str,
    at: Time,
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
        match try_comment(db, user, number, text, at).await {
            Err(ActionError::Store(e)) if again(&e, attempt) => attempt += 1,
            Ok(row) => return Ok(tell(events, row)),
            Err(e) => return Err(e),
        }
    }
}

async fn try_comment(
    db: &Db,
    user: &str,
    number: &str,
    text: &str,
    at: Time,
) -> Result<TicketRow, ActionError> {
    let mut tx = db.begin().await?;
    let row = rows::get_in(&mut tx, number).await?;
    let mut row = row.ok_or_else(|| ActionError::NotFound(number.to_owned()))?;
    let detail = json!({ "text": text, "visible": true, "by": ROLE });
    let entries = vec![ticket::Entry { what: "comment", detail }];
    tickets::write(&mut tx, &mut row, &format!("user:{user}"), at, entries).await?;
    tx.commit().await?;
    Ok(row)
}
