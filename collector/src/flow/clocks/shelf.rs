//! People change plans and calendars: checked, as another version, and never below somebody else's hands.

use callhome_shared::time::Time;

use super::book::{Book, read};
use crate::calendar::{Calendar, Fault};
use crate::clock::{self, Plan, What, check, is_name};
use crate::store::plans::{self, BodyRow, Shelf};
use crate::store::{Db, StoreError, Tx, clocks};

/// Names on one shelf, deleted ones among them.
const MOST_NAMES: i64 = 500;
/// Versions of one name.
const MOST_VERSIONS: i64 = 10_000;
/// Tickets whose clocks learn of a calendar at a time.
const SLICE: i64 = 200;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// Something in it is wrong.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Somebody else changed it first.
    #[error("it was changed by somebody else; its version is {current} now")]
    Version {
        /// Its version now; 0: it is not there.
        current: i64,
    },
    /// It is needed.
    #[error("{0}")]
    Needed(String),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// What a person wishes to write.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Of what.
    pub name: &'a str,
    /// The version that the person saw; 0: there was none.
    pub version: i64,
    /// Who.
    pub user: &'a str,
    /// When.
    pub at: Time,
}

/// Writes a plan; answers its version. Tickets that are open keep what they were promised.
pub async fn put_plan(db: &Db, wish: Wish<'_>, plan: &Plan) -> Result<i64, ShelfError> {
    let mut tx = db.begin().await?;
    let base = match plan.base.as_deref().filter(|base| *base != wish.name) {
        Some(base) => plans::newest(&mut tx, Shelf::Plans, base).await?,
        None => None,
    };
    let base =
        base.filter(|row| row.deleted_at.is_none()).as_ref().map(read::<Plan>).transpose()?;
    check(plan, base.as_ref())?;
    if plan.base.is_some() && is_base(db, wish.name).await? {
        return Err(Fault::new("base", "other plans are based on this one").into());
    }
    let version = put(&mut tx, Shelf::Plans, wish, serde_json::to_string(plan)).await?;
    tx.commit().await?;
    Ok(version)
}

async fn is_base(db: &Db, name: &str) -> Result<bool, StoreError> {
    let all = plans::all(db, Shelf::Plans).await?;
    let based = |row: &BodyRow| read::<Plan>(row).is_ok_and(|p| p.base.as_deref() == Some(name));
    Ok(all.iter().any(based))
}

/// Writes a calendar; answers its version. Clocks that go on count by it from now on.
pub async fn put_calendar(db: &Db, wish: Wish<'_>, calendar: &Calendar) -> Result<i64, ShelfError> {
    calendar.read()?;
    let mut tx = db.begin().await?;
    let version = put(&mut tx, Shelf::Calendars, wish, serde_json::to_string(calendar)).await?;
    let mut after = String::new();
    loop {
        let tickets = clocks::tickets_of_calendar(&mut tx, wish.name, &after, SLICE).await?;
        let Some(last) = tickets.last() else { break };
        after.clone_from(last);
        learn(&mut tx, &tickets, wish).await?;
    }
    tx.commit().await?;
    Ok(version)
}

async fn learn(tx: &mut Tx, tickets: &[String], wish: Wish<'_>) -> Result<(), StoreError> {
    let mut book = Book::new(wish.at);
    for promise in clocks::promises(tx, tickets).await? {
        book.promises.insert(promise.ticket_id.clone(), promise);
    }
    book.load(tx, tickets).await?;
    let who = format!("user:{}", wish.user);
    for ticket in tickets {
        book.tell(tx, ticket).await?;
        let promise = book.promises[ticket].clone();
        let Some(kept) = book.plan(tx, &promise.plan, promise.plan_version).await? else {
            continue;
        };
        let calendar = book.calendar(tx, promise.calendar.as_deref()).await?;
        let (base, calendar) = (kept.base.as_ref(), calendar.as_deref());
        let zone = &promise.time_zone;
        let mut terms = clock::terms(&kept.plan, base, calendar, zone, &promise.priority);
        for place in 0..book.clocks.get(ticket).map_or(0, Vec::len) {
            let row = &book.clocks[ticket][place].row;
            let going = matches!(row.state.as_str(), "running" | "paused");
            let Some((terms, _)) = terms.remove(&row.name).filter(|_| going) else { continue };
            let what = What::Retimed { terms, why: "calendar".to_owned() };
            book.happen(ticket, place, what, wish.at, &who);
        }
    }
    book.save(tx).await
}

pub(in crate::flow) async fn put(
    tx: &mut Tx,
    shelf: Shelf,
    wish: Wish<'_>,
    body: serde_json::Result<String>,
) -> Result<i64, ShelfError> {
    if !is_name(wish.name) {
        let message =
            format!("expected 1 to 40 letters a-z, digits, _ or -, found {:?}", wish.name);
        return Err(Fault::new("name", message).into());
    }
    let body = body.map_err(|e| Fault::new("", e.to_string()))?;
    let newest = plans::newest(tx, shelf, wish.name).await?;
    let seen = newest.as_ref().filter(|row| row.deleted_at.is_none()).map_or(0, |row| row.version);
    if seen != wish.version {
        return Err(ShelfError::Version { current: seen });
    }
    let last = newest.as_ref().map_or(0, |row| row.version);
    if newest.is_none() && plans::count(tx, shelf).await? >= MOST_NAMES {
        return Err(Fault::new("name", format!("there are {MOST_NAMES} already")).into());
    }
    if last >= MOST_VERSIONS {
        let message = format!("it was changed {MOST_VERSIONS} times: begin another one");
        return Err(Fault::new("name", message).into());
    }
    let row = BodyRow {
        name: wish.name.to_owned(),
        version: last + 1,
        body,
        preset: false,
        created_at: wish.at,
        created_by: format!("user:{}", wish.user),
        deleted_at: None,
    };
    match plans::add(tx, shelf, &row).await {
        Ok(()) => Ok(last + 1),
        Err(StoreError::Changed(_)) => Err(ShelfError::Version { current: last + 1 }),
        Err(error) => Err(error.into()),
    }
}

/// Nobody may choose it any more. What was promised with it stands.
pub async fn remove(db: &Db, shelf: Shelf, wish: Wish<'_>) -> Result<(), ShelfError> {
    let mut tx = db.begin().await?;
    let newest = plans::newest(&mut tx, shelf, wish.name).await?;
    let seen = newest.filter(|row| row.deleted_at.is_none()).map_or(0, |row| row.version);
    if seen == 0 || seen != wish.version {
        return Err(ShelfError::Version { current: seen });
    }
    if shelf == Shelf::Plans {
        let default = super::default_promise(&mut tx).await?;
        if default.is_some_and(|promise| promise.plan == wish.name) {
            let message = "it is the configuration's service.plan: choose another one there first";
            return Err(ShelfError::Needed(message.to_owned()));
        }
        if is_base(db, wish.name).await? {
            return Err(ShelfError::Needed("other plans are based on it".to_owned()));
        }
    }
    plans::delete(&mut tx, shelf, wish.name, seen, wish.at).await?;
    tx.commit().await?;
    Ok(())
}
