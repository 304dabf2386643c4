//! Everything that is known of who is there, around a moment.

use std::collections::BTreeMap;

use callhome_shared::time::Time;

use crate::calendar::{Calendar, Week, Zone, standard, zone};
use crate::masters::list;
use crate::roster::{Absence, Board, Ground, Person, Post, Roster, Rules, Shift, shifts};
use crate::store::duty::{self as rows, PersonRow, ShiftRow};
use crate::store::plans::{self, BodyRow, Shelf};
use crate::store::{Result, StoreError, Tx};

/// Absences that are looked at.
pub(super) const MOST_ABSENCES: i64 = 2000;

/// Loads the board of a stretch of time.
pub async fn load(tx: &mut Tx, from: Time, to: Time) -> Result<Board> {
    let mut board = Board::default();
    let rosters = plans::all_in(tx, Shelf::Rosters).await?;
    let loads: BTreeMap<String, i64> = if rosters.is_empty() {
        BTreeMap::new()
    } else {
        rows::loads(tx).await?.into_iter().collect()
    };
    for row in rows::people(tx).await? {
        let load = loads.get(&row.name).copied().unwrap_or_default();
        board.people.insert(row.name.clone(), person(row, load));
    }
    if rosters.is_empty() {
        return Ok(board);
    }
    let absences = rows::absences(tx, from, to, MOST_ABSENCES).await?;
    board.absences = absences
        .into_iter()
        .map(|a| Absence { person: a.person, from: a.from, to: a.to })
        .collect();
    let published: BTreeMap<String, Time> = rows::published(tx).await?.into_iter().collect();
    let fixed = rows::shifts(tx, from, to).await?;
    for row in rosters {
        let roster = read(&row)?;
        let ground = ground(tx, &roster).await?;
        let until = published.get(&row.name).copied();
        let planned = shifts(&row.name, &roster, &ground, from, to);
        board
            .shifts
            .extend(planned.into_iter().filter(|s| until.is_none_or(|until| s.from >= until)));
        board.shifts.extend(fixed.iter().filter(|s| s.roster == row.name).filter_map(shift));
        board.rosters.push(Rules { name: row.name, roster });
    }
    board.shifts.sort_by(|a, b| (a.from, a.level, &a.person).cmp(&(b.from, b.level, &b.person)));
    Ok(board)
}

/// Reads what a roster was stored as.
pub(super) fn read(row: &BodyRow) -> Result<Roster> {
    serde_json::from_str(&row.body).map_err(|e| StoreError::Column {
        column: format!("body of roster {:?}, version {}", row.name, row.version),
        why: e.to_string(),
    })
}

/// What tells a roster its days, as calendars are now.
pub(super) async fn ground(tx: &mut Tx, roster: &Roster) -> Result<Ground> {
    let row = match &roster.calendar {
        Some(name) => plans::newest(tx, Shelf::Calendars, name).await?,
        None => None,
    };
    let row = row.filter(|row| row.deleted_at.is_none());
    let calendar: Calendar =
        row.and_then(|row| serde_json::from_str(&row.body).ok()).unwrap_or_default();
    let zone_name = roster.time_zone.as_ref().or(calendar.time_zone.as_ref());
    let zone = zone_name.and_then(|name| zone::zone(name).ok()).unwrap_or_else(Zone::utc);
    let hours = calendar.hours.get("5x8").cloned().or_else(|| standard("5x8")).unwrap_or_default();
    let days = calendar.read().unwrap_or_default().into();
    let week = Week::read(&hours).map_err(|e| StoreError::Schema(format!("calendar: {e}")))?;
    Ok(Ground { zone, days, week })
}

fn person(row: PersonRow, load: i64) -> Person {
    let all = |text: &str| list(text).map(str::to_owned).collect();
    Person {
        skills: all(&row.skills),
        sites: all(&row.sites),
        customers: all(&row.customers),
        name: row.name,
        role: row.role,
        disabled: row.disabled,
        load,
    }
}

fn shift(row: &ShiftRow) -> Option<Shift> {
    Some(Shift {
        id: Some(row.id.clone()),
        roster: row.roster.clone(),
        level: Post::parse(&row.level)?,
        pattern: row.pattern.clone(),
        from: row.from,
        to: row.to,
        person: row.person.clone(),
        planned: row.planned.clone(),
    })
}
