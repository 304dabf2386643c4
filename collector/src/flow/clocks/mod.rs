//! The clocks of tickets: begun with the ticket, moved by its way, watched by a sweep. Everything happens in
//! the transaction of what it follows from.

mod book;
mod hand;
mod seed;
pub(in crate::flow) mod shelf;
mod sweep;
mod switch;
mod view;

use callhome_shared::time::Time;

use self::book::Book;
use crate::clock::{self, Promise, Start, What};
use crate::store::clocks::{self, PromiseRow};
use crate::store::tickets::TicketRow;
use crate::store::{Result, Tx, meta};

pub use hand::{By, Hand, HandError, by_hand};
pub use seed::{seed, stock};
pub use shelf::{ShelfError, Wish, put_calendar, put_plan, remove};
pub use sweep::{run, sweep};
pub use switch::{is_plan, switch};
pub use view::{View, Views, views};

/// Where the promise is that tickets have that are promised nothing else.
const DEFAULT: &str = "service";

/// The promise of tickets that are promised nothing else, if there is one.
pub(crate) async fn default_promise(tx: &mut Tx) -> Result<Option<Promise>> {
    let text = meta::get_in(tx, DEFAULT).await?;
    let promise: Option<Promise> = text.and_then(|text| serde_json::from_str(&text).ok());
    Ok(promise.filter(|promise| !promise.plan.is_empty()))
}

/// Tickets are opened: their clocks begin. Tests and probes have none; nor has a ticket without a plan.
pub async fn opened(
    tx: &mut Tx,
    tickets: &[(&TicketRow, Option<Promise>)],
    now: Time,
) -> Result<()> {
    if !tickets.iter().any(|(ticket, _)| counts(ticket)) {
        return Ok(());
    }
    let default = default_promise(tx).await?;
    let mut book = Book::new(now);
    for (ticket, own) in tickets.iter().filter(|(ticket, _)| counts(ticket)) {
        let usual = default.clone().unwrap_or_default();
        let own = own.clone().unwrap_or_default();
        let promise = Promise {
            plan: if own.plan.is_empty() { usual.plan.clone() } else { own.plan },
            calendar: own.calendar.or(usual.calendar),
            time_zone: own.time_zone.or(usual.time_zone),
        };
        begin(tx, &mut book, ticket, &promise, &usual.plan).await?;
    }
    book.save(tx).await
}

/// `usual`: the plan that counts where the promised one is not there any more.
async fn begin(
    tx: &mut Tx,
    book: &mut Book,
    ticket: &TicketRow,
    promise: &Promise,
    usual: &str,
) -> Result<()> {
    let mut kept = book.newest(tx, &promise.plan).await?;
    if kept.is_none() && !promise.plan.is_empty() {
        tracing::warn!(ticket = ticket.number, plan = promise.plan, "flow.clocks.no-such-plan");
        kept = book.newest(tx, usual).await?;
    }
    let Some(kept) = kept else { return Ok(()) };
    let calendar = book.calendar(tx, promise.calendar.as_deref()).await?;
    let of_calendar = calendar.as_ref().and_then(|calendar| calendar.body.time_zone.clone());
    let zone = promise.time_zone.clone().or(of_calendar).unwrap_or_else(|| "UTC".to_owned());
    let row = PromiseRow {
        ticket_id: ticket.id.clone(),
        plan: kept.plan.name.clone(),
        plan_version: kept.plan.version,
        calendar: promise.calendar.clone(),
        time_zone: zone.clone(),
        state: ticket.state.clone(),
        priority: ticket.priority.clone(),
        due_at: None,
        due_clock: None,
    };
    book.promises.insert(ticket.id.clone(), row);
    let (base, calendar) = (kept.base.as_ref(), calendar.as_deref());
    let terms = clock::terms(&kept.plan, base, calendar, &zone, &ticket.priority);
    for (name, (terms, starts)) in terms {
        if starts == Start::Opening {
            book.start(&ticket.id, &name, terms, ticket.opened_at, "collector");
        }
    }
    turn(book, ticket, &kept.plan.body, "collector");
    Ok(())
}

/// Tickets have changed: their clocks follow.
pub async fn follow(tx: &mut Tx, tickets: &[&TicketRow], who: &str, now: Time) -> Result<()> {
    let ids: Vec<String> = tickets.iter().filter(|t| counts(t)).map(|t| t.id.clone()).collect();
    let mut book = Book::new(now);
    for promise in clocks::promises(tx, &ids).await? {
        let ticket = tickets.iter().find(|t| t.id == promise.ticket_id);
        let differs = |t: &&&TicketRow| t.state != promise.state || t.priority != promise.priority;
        if ticket.filter(differs).is_some() {
            book.promises.insert(promise.ticket_id.clone(), promise);
        }
    }
    if book.promises.is_empty() {
        return Ok(());
    }
    let changed: Vec<String> = book.promises.keys().cloned().collect();
    book.load(tx, &changed).await?;
    for ticket in tickets.iter().filter(|t| changed.contains(&t.id)) {
        book.tell(tx, &ticket.id).await?;
        retime(tx, &mut book, ticket, who).await?;
    }
    book.save(tx).await
}

/// A person did something with a ticket (`comment`): it may stop clocks.
pub async fn deed(tx: &mut Tx, ticket: &TicketRow, deed: &str, who: &str, now: Time) -> Result<()> {
    let Some((mut book, plan)) = loaded(tx, &ticket.id, now).await? else { return Ok(()) };
    book.tell(tx, &ticket.id).await?;
    for place in 0..book.clocks.get(&ticket.id).map_or(0, Vec::len) {
        let Some(life) = book.life_of(&ticket.id, place) else { continue };
        let name = book.clocks[&ticket.id][place].row.name.clone();
        if let Some(what) = clock::deed(&plan.plan.body, &name, &life, deed) {
            book.happen(&ticket.id, place, what, now, who);
        }
    }
    book.save(tx).await
}

/// The clocks of one ticket and its plan, if it has one.
async fn loaded(
    tx: &mut Tx,
    ticket: &str,
    now: Time,
) -> Result<Option<(Book, std::sync::Arc<book::Kept>)>> {
    let ids = [ticket.to_owned()];
    let Some(promise) = clocks::promises(tx, &ids).await?.into_iter().next() else {
        return Ok(None);
    };
    let mut book = Book::new(now);
    let Some(plan) = book.plan(tx, &promise.plan, promise.plan_version).await? else {
        return Ok(None);
    };
    book.promises.insert(ticket.to_owned(), promise);
    book.load(tx, &ids).await?;
    Ok(Some((book, plan)))
}

/// The ticket's priority and state are these from now on.
async fn retime(tx: &mut Tx, book: &mut Book, ticket: &TicketRow, who: &str) -> Result<()> {
    let Some(promise) = book.promises.get(&ticket.id).cloned() else { return Ok(()) };
    let kept = book.plan(tx, &promise.plan, promise.plan_version).await?;
    let Some(kept) = kept else { return Ok(()) };
    if promise.priority != ticket.priority {
        let calendar = book.calendar(tx, promise.calendar.as_deref()).await?;
        let (base, calendar) = (kept.base.as_ref(), calendar.as_deref());
        let mut terms =
            clock::terms(&kept.plan, base, calendar, &promise.time_zone, &ticket.priority);
        let now = book.now;
        for place in 0..book.clocks.get(&ticket.id).map_or(0, Vec::len) {
            let name = book.clocks[&ticket.id][place].row.name.clone();
            let Some((terms, _)) = terms.remove(&name) else { continue };
            let what = What::Retimed { terms, why: "priority".to_owned() };
            book.happen(&ticket.id, place, what, now, who);
        }
    }
    if let Some(promise) = book.promises.get_mut(&ticket.id) {
        promise.state.clone_from(&ticket.state);
        promise.priority.clone_from(&ticket.priority);
    }
    turn(book, ticket, &kept.plan.body, who);
    Ok(())
}

/// What the ticket's state does to its clocks.
fn turn(book: &mut Book, ticket: &TicketRow, plan: &clock::Plan, who: &str) {
    let now = book.now;
    for place in 0..book.clocks.get(&ticket.id).map_or(0, Vec::len) {
        let Some(life) = book.life_of(&ticket.id, place) else { continue };
        let name = book.clocks[&ticket.id][place].row.name.clone();
        if let Some(what) = clock::follow(plan, &name, &life, &ticket.state) {
            book.happen(&ticket.id, place, what, now, who);
        }
    }
}

fn counts(ticket: &TicketRow) -> bool {
    !ticket.test && !ticket.shadow
}
