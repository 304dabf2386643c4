//! The words by which tickets are found.

use std::collections::BTreeSet;

use callhome_shared::heartbeat::hex;

use super::rows::{insert, read_as};
use super::{Db, Result, Tx, Val};
use crate::args;
use crate::knowledge::Asked;

/// More tickets than this have a term: then it is looked up ticket by ticket.
const COMMON: i64 = 2_000;

/// Adds terms: (the ticket's number as a number, its terms).
pub async fn add(tx: &mut Tx, all: &[(i64, BTreeSet<String>)]) -> Result<()> {
    let rows = all.iter().flat_map(|(ordinal, terms)| {
        // In the order of what is written, so that two collectors meet in the same order.
        let keys: BTreeSet<String> = terms.iter().map(|term| hex(term.as_bytes())).collect();
        keys.into_iter().map(|key| args![*ordinal, key])
    });
    let tail = "ON CONFLICT (ordinal, term) DO NOTHING";
    insert(tx, "INSERT INTO ticket_terms (ordinal, term)", rows.collect(), tail).await.map(drop)
}

/// The range of terms, as they are kept, that one question term asks for: from the first on, before the second.
/// Hexadecimal digits are `0` to `f`: `g` is after all that begin alike, in any order of letters.
fn range(asked: &Asked) -> (String, String) {
    match asked {
        Asked::Term(term) => (hex(term.as_bytes()), format!("{}0", hex(term.as_bytes()))),
        Asked::Beginning(begin) => (hex(begin.as_bytes()), format!("{}g", hex(begin.as_bytes()))),
    }
}

/// Conditions on `tickets` under which a ticket has all that is asked for, the arguments from `$first` on; `None`:
/// no ticket has.
pub(super) async fn conditions(
    db: &Db,
    asked: &[Asked],
    first: usize,
) -> Result<Option<(String, Vec<Val>)>> {
    let mut terms = Vec::new();
    for one in asked {
        let (from, to) = range(one);
        let sql = "SELECT COUNT(*) AS n FROM (SELECT 1 FROM ticket_terms WHERE term >= $1 AND term < $2 \
                   LIMIT $3) AS few";
        let args = args![&from, &to, COMMON + 1];
        let n = read_as(db, sql, args, |row| row.int("n")).await?.first().copied().unwrap_or(0);
        if n == 0 {
            return Ok(None);
        }
        terms.push((n, from, to));
    }
    // The rarest one leads to the tickets, the others are looked up in these.
    terms.sort();
    let (mut sql, mut args) = (String::new(), Vec::new());
    for (place, (n, from, to)) in terms.into_iter().enumerate() {
        let (a, b) = (first + args.len(), first + args.len() + 1);
        if place == 0 && n <= COMMON {
            sql += &format!(
                " AND ordinal IN (SELECT ordinal FROM ticket_terms WHERE term >= ${a} AND term < ${b})"
            );
        } else {
            sql += &format!(
                " AND EXISTS (SELECT 1 FROM ticket_terms w WHERE w.ordinal = tickets.ordinal AND w.term >= ${a} \
                 AND w.term < ${b})"
            );
        }
        args.extend(args![from, to]);
    }
    Ok(Some((sql, args)))
}

/// Below which number tickets still have to be read; locks it. What is not there is 0.
pub async fn below(tx: &mut Tx) -> Result<i64> {
    let sql = "UPDATE ticket_search SET below = below WHERE only_row = 1 RETURNING below";
    tx.query_one(sql, args![]).await?.map_or(Ok(0), |row| row.int("below"))
}

/// Those below this number have to be read, now.
pub async fn set_below(tx: &mut Tx, below: i64) -> Result<()> {
    let sql = "UPDATE ticket_search SET below = $1 WHERE only_row = 1";
    tx.execute(sql, args![below]).await.map(drop)
}

/// What a person said about these tickets: (ticket id, detail as JSON), of each the first `limit`.
pub async fn said(tx: &mut Tx, ticket: &str, limit: i64) -> Result<Vec<String>> {
    let sql = "SELECT detail FROM ticket_events WHERE ticket_id = $1 AND who LIKE 'user:%' ORDER BY at, id LIMIT $2";
    let rows = tx.query(sql, args![ticket, limit]).await?;
    rows.iter().map(|row| row.text("detail")).collect()
}
