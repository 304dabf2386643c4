//! What people do to clocks by hand: parts that are sent, visits that begin, times that do not count.

use callhome_shared::time::Time;
use serde_json::json;

use super::loaded;
use crate::clock::{self, Life, Start, State, What};
use crate::store::tickets::TicketRow;
use crate::store::{Db, Remedy, StoreError, tickets, timeline};

/// How often a transaction that met another one is tried again.
const ATTEMPTS: u32 = 5;

/// What a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By<'a> {
    /// The limit begins.
    Start,
    /// What was promised is done.
    Stop,
    /// From here on it does not count, for this reason.
    Pause(&'a str),
    /// It counts again.
    Resume,
}

impl By<'_> {
    /// What the ticket's timeline calls it.
    fn entry(self) -> &'static str {
        match self {
            By::Start => "clock-started",
            By::Stop => "clock-stopped",
            By::Pause(_) => "clock-paused",
            By::Resume => "clock-resumed",
        }
    }
}

/// What a person does to which clock.
#[derive(Clone, Copy, Debug)]
pub struct Hand<'a> {
    /// Number of the ticket.
    pub number: &'a str,
    /// Name of the limit.
    pub clock: &'a str,
    /// What.
    pub by: By<'a>,
    /// Who.
    pub user: &'a str,
    /// When.
    pub at: Time,
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

/// Moves a clock of a ticket.
pub async fn by_hand(db: &Db, hand: Hand<'_>) -> Result<TicketRow, HandError> {
    let mut attempt = 1;
    loop {
        match once(db, hand).await {
            Err(HandError::Store(e)) if e.remedy() == Remedy::Again && attempt < ATTEMPTS => {
                attempt += 1
            }
            done => return done,
        }
    }
}

async fn once(db: &Db, hand: Hand<'_>) -> Result<TicketRow, HandError> {
    let mut tx = db.begin().await?;
    let row = tickets::get_in(&mut tx, hand.number).await?;
    let ticket = row.ok_or_else(|| HandError::NoTicket(hand.number.to_owned()))?;
    let who = format!("user:{}", hand.user);
    let no_limit = || HandError::NoLimit(hand.clock.to_owned());
    let (mut book, plan) = loaded(&mut tx, &ticket.id, hand.at).await?.ok_or_else(no_limit)?;
    book.tell(&mut tx, &ticket.id).await?;
    let held = book.clocks.get(&ticket.id);
    let place = held.and_then(|all| all.iter().position(|held| held.row.name == hand.clock));
    match (hand.by, place) {
        (By::Start, Some(_)) => {
            return Err(HandError::NotNow("this clock has been started already"));
        }
        (By::Start, None) => {
            let promise = book.promises[&ticket.id].clone();
            let calendar = book.calendar(&mut tx, promise.calendar.as_deref()).await?;
            let (base, calendar) = (plan.base.as_ref(), calendar.as_deref());
            let zone = &promise.time_zone;
            let mut all = clock::terms(&plan.plan, base, calendar, zone, &ticket.priority);
            let (terms, starts) = all.remove(hand.clock).ok_or_else(no_limit)?;
            if starts != Start::ByHand {
                return Err(HandError::NotNow("this clock starts with the ticket"));
            }
            book.start(&ticket.id, hand.clock, terms, hand.at, &who);
        }
        (_, None) => return Err(HandError::NotNow("this clock has not been started")),
        (by, Some(place)) => {
            let life = book.life_of(&ticket.id, place);
            let what = moved(by, life.as_ref().map(Life::state)).map_err(HandError::NotNow)?;
            book.happen(&ticket.id, place, what, hand.at, &who);
        }
    }
    book.save(&mut tx).await?;
    let mut detail = json!({ "clock": hand.clock });
    if let (By::Pause(reason), Some(object)) = (hand.by, detail.as_object_mut()) {
        object.insert("text".to_owned(), reason.into());
    }
    let entry = timeline::Entry {
        id: callhome_shared::id::new_uuid().to_string(),
        ticket_id: ticket.id.clone(),
        at: hand.at,
        who,
        what: hand.by.entry().to_owned(),
        detail: detail.to_string(),
    };
    timeline::insert_all(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(ticket)
}

/// What happens to a clock that stands so, or why nothing can.
fn moved(by: By<'_>, state: Option<State>) -> Result<What, &'static str> {
    match (by, state) {
        (By::Stop, Some(State::Running | State::Paused)) => {
            Ok(What::Stopped { by: "by_hand".to_owned() })
        }
        (By::Pause(reason), Some(State::Running)) => Ok(What::Paused { reason: reason.to_owned() }),
        (By::Pause(_), Some(State::Paused)) => Err("this clock rests already"),
        (By::Resume, Some(State::Paused)) => Ok(What::Resumed),
        (By::Resume, Some(State::Running)) => Err("this clock runs"),
        _ => Err("this clock has been stopped already"),
    }
}
