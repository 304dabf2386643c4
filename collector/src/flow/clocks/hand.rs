//! What people do to clocks by hand: parts that are sent, visits that begin.

use callhome_shared::time::Time;

use super::loaded;
use crate::clock::{self, Start, State, What};
use crate::store::tickets::TicketRow;
use crate::store::{Db, Remedy, StoreError, tickets, timeline};

/// How often a transaction that met another one is tried again.
const ATTEMPTS: u32 = 5;

/// What a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The limit begins.
    Start,
    /// What was promised is done.
    Stop,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum HandError {
    /// There is no such ticket.
    #[error("there is no ticket {0}")]
    NoTicket(String),
    /// The ticket's plan has no such limit.
    #[error("the plan of this ticket has no limit {0:?}")]
    NoLimit(String),
    /// It begins with the ticket, has begun, or is over.
    #[error("{0}")]
    NotNow(&'static str),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Starts or stops a clock of a ticket.
pub async fn by_hand(
    db: &Db,
    number: &str,
    name: &str,
    by: By,
    user: &str,
    now: Time,
) -> Result<TicketRow, HandError> {
    let mut attempt = 1;
    loop {
        match once(db, number, name, by, user, now).await {
            Err(HandError::Store(e)) if e.remedy() == Remedy::Again && attempt < ATTEMPTS => {
                attempt += 1
            }
            done => return done,
        }
    }
}

async fn once(
    db: &Db,
    number: &str,
    name: &str,
    by: By,
    user: &str,
    now: Time,
) -> Result<TicketRow, HandError> {
    let mut tx = db.begin().await?;
    let row = tickets::get_in(&mut tx, number).await?;
    let ticket = row.ok_or_else(|| HandError::NoTicket(number.to_owned()))?;
    let who = format!("user:{user}");
    let no_limit = || HandError::NoLimit(name.to_owned());
    let (mut book, plan) = loaded(&mut tx, &ticket.id, now).await?.ok_or_else(no_limit)?;
    book.tell(&mut tx, &ticket.id).await?;
    let place = book
        .clocks
        .get(&ticket.id)
        .and_then(|all| all.iter().position(|held| held.row.name == name));
    match (by, place) {
        (By::Stop, None) => return Err(HandError::NotNow("this clock has not been started")),
        (By::Stop, Some(place)) => {
            let life = book.life_of(&ticket.id, place);
            let going = life.is_some_and(|l| matches!(l.state(), State::Running | State::Paused));
            if !going {
                return Err(HandError::NotNow("this clock has been stopped already"));
            }
            book.happen(&ticket.id, place, What::Stopped { by: "by_hand".to_owned() }, now, &who);
        }
        (By::Start, Some(_)) => {
            return Err(HandError::NotNow("this clock has been started already"));
        }
        (By::Start, None) => {
            let promise = book.promises[&ticket.id].clone();
            let calendar = book.calendar(&mut tx, promise.calendar.as_deref()).await?;
            let (base, calendar) = (plan.base.as_ref(), calendar.as_deref());
            let zone = &promise.time_zone;
            let mut all = clock::terms(&plan.plan, base, calendar, zone, &ticket.priority);
            let (terms, starts) = all.remove(name).ok_or_else(no_limit)?;
            if starts != Start::ByHand {
                return Err(HandError::NotNow("this clock starts with the ticket"));
            }
            book.start(&ticket.id, name, terms, now, &who);
        }
    }
    book.save(&mut tx).await?;
    let what = if by == By::Start { "clock-started" } else { "clock-stopped" };
    let entry = timeline::Entry {
        id: callhome_shared::id::new_uuid().to_string(),
        ticket_id: ticket.id.clone(),
        at: now,
        who,
        what: what.to_owned(),
        detail: serde_json::json!({ "clock": name }).to_string(),
    };
    timeline::insert_all(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(ticket)
}
