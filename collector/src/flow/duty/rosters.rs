//! People write rosters: checked, as another version, and what is published stays.

use std::collections::BTreeMap;

use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;

use super::board::{ground, read};
use crate::calendar::{Fault, day_number};
use crate::flow::clocks::shelf::put;
use crate::flow::clocks::{ShelfError, Wish};
use crate::roster::{Roster, check, shifts};
use crate::store::duty::{self as rows, ShiftRow};
use crate::store::plans::{self, Shelf};
use crate::store::{Db, Tx};

/// Rosters that there may be.
const MOST: usize = 50;
/// Shifts that are published at a time.
const MOST_SHIFTS: usize = 20_000;
/// Days ahead that may be published.
const MOST_DAYS: i64 = 400;

/// Writes a roster; answers its version. What is published stays as it is.
pub async fn put_roster(db: &Db, wish: Wish<'_>, roster: &Roster) -> Result<i64, ShelfError> {
    let mut tx = db.begin().await?;
    let people = rows::people(&mut tx).await?;
    let roles: BTreeMap<String, String> =
        people.into_iter().filter(|p| !p.disabled).map(|p| (p.name, p.role)).collect();
    let calendars = plans::all_in(&mut tx, Shelf::Calendars).await?;
    let calendars: Vec<String> = calendars.into_iter().map(|row| row.name).collect();
    check(roster, &roles, &calendars)?;
    let others = plans::all_in(&mut tx, Shelf::Rosters).await?;
    if others.len() >= MOST && !others.iter().any(|row| row.name == wish.name) {
        return Err(Fault::new("name", format!("there are {MOST} rosters already")).into());
    }
    let version = put(&mut tx, Shelf::Rosters, wish, serde_json::to_string(roster)).await?;
    tx.commit().await?;
    Ok(version)
}

/// The roster counts no more, nor do its published shifts.
pub async fn remove_roster(db: &Db, wish: Wish<'_>) -> Result<(), ShelfError> {
    let mut tx = db.begin().await?;
    let newest = plans::newest(&mut tx, Shelf::Rosters, wish.name).await?;
    let seen = newest.filter(|row| row.deleted_at.is_none()).map_or(0, |row| row.version);
    if seen == 0 || seen != wish.version {
        return Err(ShelfError::Version { current: seen });
    }
    plans::delete(&mut tx, Shelf::Rosters, wish.name, seen, wish.at).await?;
    tx.commit().await?;
    Ok(())
}

/// Publishes the shifts of a roster that begin up to the end of a day (`2026-12-31`, by the roster's clocks); from
/// then on only swaps change them. Answers how many there are now that were not before, and until when.
pub async fn publish(db: &Db, wish: Wish<'_>, until: &str) -> Result<(usize, Time), ShelfError> {
    let fault = |why: String| ShelfError::from(Fault::new("until", why));
    let day = day_number(until)
        .ok_or_else(|| fault(format!("expected a day such as 2026-12-31, found {until:?}")))?;
    let mut tx = db.begin().await?;
    let roster = present(&mut tx, wish).await?;
    let ground = ground(&mut tx, &roster).await?;
    let today = ground.zone.day(wish.at);
    if !(today..=today + MOST_DAYS).contains(&day) {
        return Err(fault(format!(
            "expected a day from today to {MOST_DAYS} days ahead, found {until}"
        )));
    }
    let end = ground.zone.moment(day + 1, 0);
    let before = rows::published(&mut tx).await?.into_iter().find(|(name, _)| name == wish.name);
    let before = before.map(|(_, until)| until);
    if before.is_some_and(|before| before >= end) {
        return Err(fault("it is published until then, and further".to_owned()));
    }
    let fresh: Vec<ShiftRow> = shifts(wish.name, &roster, &ground, wish.at, end)
        .into_iter()
        .filter(|s| s.from < end && before.is_none_or(|before| s.from >= before))
        .map(|s| ShiftRow {
            id: new_uuid().to_string(),
            roster: s.roster,
            level: s.level.as_str().to_owned(),
            pattern: s.pattern,
            from: s.from,
            to: s.to,
            person: s.person,
            planned: s.planned,
        })
        .collect();
    if fresh.len() > MOST_SHIFTS {
        let why = format!(
            "these are {} shifts; at most {MOST_SHIFTS} are published at a time",
            fresh.len()
        );
        return Err(fault(why));
    }
    rows::add_shifts(&mut tx, &fresh).await?;
    let who = format!("user:{}", wish.user);
    if !rows::publish(&mut tx, wish.name, end, wish.at, &who).await? {
        return Err(fault("it is published until then, and further".to_owned()));
    }
    tx.commit().await?;
    Ok((fresh.len(), end))
}

async fn present(tx: &mut Tx, wish: Wish<'_>) -> Result<Roster, ShelfError> {
    let newest = plans::newest(tx, Shelf::Rosters, wish.name).await?;
    let newest = newest.filter(|row| row.deleted_at.is_none());
    let row = newest.filter(|row| row.version == wish.version);
    match row {
        Some(row) => Ok(read(&row)?),
        None => {
            let newest = plans::newest(tx, Shelf::Rosters, wish.name).await?;
            let newest = newest.filter(|row| row.deleted_at.is_none());
            Err(ShelfError::Version { current: newest.map_or(0, |row| row.version) })
        }
    }
}
