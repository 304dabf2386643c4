//! Tickets that have to do with each other.

use callhome_shared::time::Time;

use super::rows::read_as;
use super::{Db, Result, Tx};
use crate::args;

fn sorted<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    if a <= b { (a, b) } else { (b, a) }
}

/// Ties two tickets together; `false` when they are already.
pub async fn tie(tx: &mut Tx, a: &str, b: &str, at: Time, who: &str) -> Result<bool> {
    let (one, other) = sorted(a, b);
    let sql = "INSERT INTO ticket_links (one, other, at, who) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, args![one, other, at, who]).await? == 1)
}

/// Unties them; `false` when they were not tied.
pub async fn untie(tx: &mut Tx, a: &str, b: &str) -> Result<bool> {
    let (one, other) = sorted(a, b);
    let sql = "DELETE FROM ticket_links WHERE one = $1 AND other = $2";
    Ok(tx.execute(sql, args![one, other]).await? == 1)
}

/// How many a ticket has.
pub async fn count(tx: &mut Tx, number: &str) -> Result<i64> {
    let sql = "SELECT COUNT(*) AS n FROM ticket_links WHERE one = $1 OR other = $1";
    tx.query_one(sql, args![number]).await?.map_or(Ok(0), |row| row.int("n"))
}

/// The numbers of the tickets that a ticket is tied to.
pub async fn of(db: &Db, number: &str) -> Result<Vec<String>> {
    let sql = "SELECT CASE WHEN one = $1 THEN other ELSE one END AS number FROM ticket_links \
               WHERE one = $1 OR other = $1 ORDER BY number LIMIT 200";
    read_as(db, sql, args![number], |row| row.text("number")).await
}
