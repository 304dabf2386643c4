//! What people see of duty: who is there now, the board of some days, calls of a ticket.

use std::collections::BTreeMap;

use callhome_shared::time::Time;

use super::board::{MOST_ABSENCES, load};
use crate::roster::{Board, Shift};
use crate::store::calls::{self, CallRow};
use crate::store::duty::{self as rows, AbsenceRow, PersonRow, SwapRow};
use crate::store::{Db, Result};

/// Tickets of absent people that are shown.
const MOST_TICKETS: i64 = 200;
/// Swaps that are shown.
const MOST_SWAPS: i64 = 50;

/// Who is there at a moment.
#[derive(Clone, Debug)]
pub struct Now {
    /// The shifts of that moment.
    pub shifts: Vec<Shift>,
    /// Everybody.
    pub people: BTreeMap<String, PersonRow>,
    /// Everything that is known of it.
    pub board: Board,
    /// Open tickets of people who are absent: (number, device, assignee, priority).
    pub orphans: Vec<(String, String, String, String)>,
    /// Until when rosters are published.
    pub published: Vec<(String, Time)>,
}

/// Who is there at a moment.
pub async fn now(db: &Db, at: Time) -> Result<Now> {
    let mut tx = db.begin().await?;
    let board = load(&mut tx, at, at.plus_ms(1)).await?;
    let people = rows::people(&mut tx).await?;
    let mut away: Vec<String> = board.absences.iter().map(|a| a.person.clone()).collect();
    away.sort();
    away.dedup();
    away.truncate(500);
    let orphans = rows::tickets_of(&mut tx, &away, MOST_TICKETS).await?;
    let published = rows::published(&mut tx).await?;
    tx.rollback().await?;
    let shifts = board.shifts.iter().filter(|s| s.is_at(at)).cloned().collect();
    let people = people.into_iter().map(|p| (p.name.clone(), p)).collect();
    Ok(Now { shifts, people, board, orphans, published })
}

/// Some days.
#[derive(Clone, Debug)]
pub struct Days {
    /// Their shifts, published ones and planned ones.
    pub shifts: Vec<Shift>,
    /// Who is not there.
    pub absences: Vec<AbsenceRow>,
    /// The latest swaps.
    pub swaps: Vec<SwapRow>,
}

/// The board of some days.
pub async fn days(db: &Db, from: Time, to: Time) -> Result<Days> {
    let mut tx = db.begin().await?;
    let board = load(&mut tx, from, to).await?;
    let absences = rows::absences(&mut tx, from, to, MOST_ABSENCES).await?;
    tx.rollback().await?;
    Ok(Days { shifts: board.shifts, absences, swaps: rows::swaps(db, MOST_SWAPS).await? })
}

/// Everybody in service, as far as duty goes.
pub async fn people(db: &Db) -> Result<Vec<PersonRow>> {
    let mut tx = db.begin().await?;
    let all = rows::people(&mut tx).await?;
    tx.rollback().await?;
    Ok(all)
}

/// The calls of a ticket.
pub async fn calls(db: &Db, ticket_id: &str) -> Result<Vec<CallRow>> {
    let mut tx = db.begin().await?;
    let all = calls::of_ticket(&mut tx, ticket_id).await?;
    tx.rollback().await?;
    Ok(all)
}
