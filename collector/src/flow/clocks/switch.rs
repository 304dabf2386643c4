//! Another plan is promised of a ticket that is open.

use callhome_shared::time::Time;

use super::book::Book;
use super::{begin, counts, default_promise, turn};
use crate::clock::{self, Promise, Start, Terms, UNLIMITED, What};
use crate::masters::Kind;
use crate::store::plans::{self, Shelf};
use crate::store::tickets::TicketRow;
use crate::store::{Result, Tx, clocks, masters};

/// Whether there is a plan of that name that may be promised; if not, the names of those that there are.
pub async fn is_plan(tx: &mut Tx, name: &str) -> Result<std::result::Result<(), Vec<String>>> {
    known(tx, Shelf::Plans, name).await
}

/// Whether there is something of that name on a shelf; if not, what there is.
pub(crate) async fn known(
    tx: &mut Tx,
    shelf: Shelf,
    name: &str,
) -> Result<std::result::Result<(), Vec<String>>> {
    let newest = plans::newest(tx, shelf, name).await?;
    if newest.is_some_and(|row| row.deleted_at.is_none()) {
        return Ok(Ok(()));
    }
    plans::names(tx, shelf).await.map(Err)
}

/// The newest version of `plan` is promised of a ticket from now on. What has passed stays as it was counted; a
/// limit that the plan does not have rests without an end, one that the former did not have counts from the
/// ticket's opening. A plan that is not there changes nothing.
pub async fn switch(
    tx: &mut Tx,
    ticket: &TicketRow,
    plan: &str,
    who: &str,
    now: Time,
) -> Result<()> {
    if !counts(ticket) {
        return Ok(());
    }
    let ids = [ticket.id.clone()];
    let mut book = Book::new(now);
    let Some(promise) = clocks::promises(tx, &ids).await?.into_iter().next() else {
        let promise = at_site(tx, ticket, plan).await?;
        begin(tx, &mut book, ticket, &promise, plan).await?;
        return book.save(tx).await;
    };
    let Some(kept) = book.newest(tx, plan).await? else { return Ok(()) };
    let calendar = book.calendar(tx, promise.calendar.as_deref()).await?;
    let (base, calendar) = (kept.base.as_ref(), calendar.as_deref());
    let zone = promise.time_zone.clone();
    let mut terms = clock::terms(&kept.plan, base, calendar, &zone, &ticket.priority);
    book.promises.insert(ticket.id.clone(), promise);
    book.load(tx, &ids).await?;
    book.tell(tx, &ticket.id).await?;
    for place in 0..book.clocks.get(&ticket.id).map_or(0, Vec::len) {
        let name = book.clocks[&ticket.id][place].row.name.clone();
        let Some(present) = book.life_of(&ticket.id, place).and_then(|l| l.terms().cloned()) else {
            continue;
        };
        let new = terms.remove(&name).map(|(terms, _)| terms);
        let terms = new.unwrap_or_else(|| endless(present, &kept.plan));
        let what = What::Retimed { terms, why: "plan".to_owned() };
        book.happen(&ticket.id, place, what, now, who);
    }
    for (name, (terms, starts)) in terms {
        if starts == Start::Opening {
            book.start(&ticket.id, &name, terms, ticket.opened_at, who);
        }
    }
    if let Some(promise) = book.promises.get_mut(&ticket.id) {
        promise.plan.clone_from(&kept.plan.name);
        promise.plan_version = kept.plan.version;
        promise.state.clone_from(&ticket.state);
        promise.priority.clone_from(&ticket.priority);
    }
    turn(&mut book, ticket, &kept.plan.body, who);
    book.save(tx).await
}

fn endless(present: Terms, plan: &clock::Named<clock::Plan>) -> Terms {
    Terms {
        plan: plan.name.clone(),
        plan_version: plan.version,
        within: UNLIMITED.to_owned(),
        steps: Vec::new(),
        ..present
    }
}

/// What a ticket is promised that nothing was promised of.
async fn at_site(tx: &mut Tx, ticket: &TicketRow, plan: &str) -> Result<Promise> {
    let usual = default_promise(tx).await?.unwrap_or_default();
    let ids: Vec<String> = ticket.site.iter().cloned().collect();
    let site = masters::load(tx, Kind::Sites, &ids).await?.into_iter().next();
    let of = |name: &str| {
        let text = site.as_ref().and_then(|site| site.values.get(name));
        text.filter(|text| !text.is_empty()).cloned()
    };
    Ok(Promise {
        plan: plan.to_owned(),
        calendar: of("calendar").or(usual.calendar),
        time_zone: of("time_zone").or(usual.time_zone),
    })
}
