//! Cases: what ties alarm lives to a ticket.

use callhome_shared::time::Time;

use super::rows::{insert, select_in};
use super::{Result, Row, Tx};
use crate::args;

/// A case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseRow {
    /// Its id.
    pub id: String,
    /// Hash of the agent's id and the identity's key.
    pub identity: String,
    /// Its ticket.
    pub ticket_id: String,
    /// When it was opened.
    pub opened_at: Time,
    /// When its ticket was closed, or, of a consequence, when it was over.
    pub closed_at: Option<Time>,
    /// Its fault follows from another one, which its ticket is about.
    pub consequence: bool,
}

fn from_row(row: &Row) -> Result<CaseRow> {
    Ok(CaseRow {
        id: row.text("id")?,
        identity: row.text("identity")?,
        ticket_id: row.text("ticket_id")?,
        opened_at: Time(row.int("opened_at")?),
        closed_at: row.opt_int("closed_at")?.map(Time),
        consequence: row.flag("consequence")?,
    })
}

/// The open cases of these identities: at most one each.
pub async fn open_of(tx: &mut Tx, identities: &[String]) -> Result<Vec<CaseRow>> {
    let head = "SELECT * FROM cases WHERE closed_at IS NULL AND identity";
    let rows = select_in(tx, head, identities, "").await?;
    rows.iter().map(from_row).collect()
}

/// The cases of these alarm lives: (alarm, case).
pub async fn of_alarms(tx: &mut Tx, alarms: &[String]) -> Result<Vec<(String, CaseRow)>> {
    let head = "SELECT ca.alarm_id, c.* FROM case_alarms ca JOIN cases c ON c.id = ca.case_id \
                WHERE ca.alarm_id";
    let rows = select_in(tx, head, alarms, "").await?;
    rows.iter().map(|row| Ok((row.text("alarm_id")?, from_row(row)?))).collect()
}

/// The cases of these tickets.
pub async fn of_tickets(tx: &mut Tx, tickets: &[String]) -> Result<Vec<CaseRow>> {
    let rows = select_in(tx, "SELECT * FROM cases WHERE ticket_id", tickets, "").await?;
    rows.iter().map(from_row).collect()
}

/// The active alarm lives of these cases: (case, alarm, whether it is the collector's own word).
pub async fn active_alarms(tx: &mut Tx, cases: &[String]) -> Result<Vec<(String, String, bool)>> {
    // The plus keeps SQLite from going through all active alarms instead of the cases' few.
    let head = "SELECT ca.case_id, ca.alarm_id, a.own FROM case_alarms ca \
                JOIN alarms a ON a.alarm_id = ca.alarm_id WHERE +a.active = 1 AND ca.case_id";
    let rows = select_in(tx, head, cases, "").await?;
    rows.iter()
        .map(|row| Ok((row.text("case_id")?, row.text("alarm_id")?, row.flag("own")?)))
        .collect()
}

/// Opens cases, sorted by identity. A second open case of one identity violates a unique index.
pub async fn insert_all(tx: &mut Tx, all: &[CaseRow]) -> Result<()> {
    let rows = all
        .iter()
        .map(|c| args![&c.id, &c.identity, &c.ticket_id, c.opened_at, c.closed_at, c.consequence]);
    let head = "INSERT INTO cases (id, identity, ticket_id, opened_at, closed_at, consequence)";
    insert(tx, head, rows.collect(), "").await.map(drop)
}

/// Closes all open cases of a ticket, or opens its own ones again: of each identity the latest, unless another
/// ticket has that fault by now. Consequences stay closed: they are judged anew when they come again.
pub async fn set_closed(tx: &mut Tx, ticket_id: &str, closed_at: Option<Time>) -> Result<()> {
    if let Some(at) = closed_at {
        let sql = "UPDATE cases SET closed_at = $2 WHERE ticket_id = $1 AND closed_at IS NULL";
        return tx.execute(sql, args![ticket_id, at]).await.map(drop);
    }
    let sql = "UPDATE cases SET closed_at = NULL WHERE ticket_id = $1 AND consequence = 0 \
               AND closed_at IS NOT NULL \
               AND id = (SELECT MAX(l.id) FROM cases l WHERE l.ticket_id = $1 AND l.identity = cases.identity) \
               AND NOT EXISTS (SELECT 1 FROM cases o WHERE o.identity = cases.identity AND o.closed_at IS NULL)";
    tx.execute(sql, args![ticket_id]).await.map(drop)
}

/// A consequence is over, or stands again.
pub async fn set_over(tx: &mut Tx, case: &str, closed_at: Option<Time>) -> Result<()> {
    let sql = "UPDATE cases SET closed_at = $2 WHERE id = $1";
    tx.execute(sql, args![case, closed_at]).await.map(drop)
}

/// How many cases tickets have: (ticket, count).
pub async fn count(tx: &mut Tx, tickets: &[String]) -> Result<Vec<(String, i64)>> {
    let head = "SELECT ticket_id, COUNT(*) AS n FROM cases WHERE ticket_id";
    let rows = select_in(tx, head, tickets, "GROUP BY ticket_id").await?;
    rows.iter().map(|row| Ok((row.text("ticket_id")?, row.int("n")?))).collect()
}

/// The cases of active alarm lives of a ticket, at most `limit` of them.
pub async fn active_in(tx: &mut Tx, ticket: &str, limit: i64) -> Result<Vec<String>> {
    let sql = "SELECT c.id FROM cases c JOIN case_alarms ca ON ca.case_id = c.id \
               JOIN alarms a ON a.alarm_id = ca.alarm_id WHERE c.ticket_id = $1 AND +a.active = 1 LIMIT $2";
    let rows = tx.query(sql, args![ticket, limit]).await?;
    rows.iter().map(|row| row.text("id")).collect()
}

/// All cases of a ticket become consequences of another one's fault and move there; answers how many
/// alarm lives went along. Those without an active life are over.
pub async fn adopt(tx: &mut Tx, from: &str, into: &str, at: Time) -> Result<i64> {
    let sql = "SELECT COUNT(*) AS n FROM case_alarms ca JOIN cases c ON c.id = ca.case_id WHERE c.ticket_id = $1";
    let lives = tx.query_one(sql, args![from]).await?.map_or(Ok(0), |row| row.int("n"))?;
    let sql = "UPDATE cases SET closed_at = $2 WHERE ticket_id = $1 AND closed_at IS NULL AND NOT EXISTS \
               (SELECT 1 FROM case_alarms ca JOIN alarms a ON a.alarm_id = ca.alarm_id \
               WHERE ca.case_id = cases.id AND a.active = 1)";
    tx.execute(sql, args![from, at]).await?;
    let sql = "UPDATE case_alarms SET role = 'consequence' WHERE case_id IN (SELECT id FROM cases WHERE ticket_id = $1)";
    tx.execute(sql, args![from]).await?;
    let sql = "UPDATE cases SET ticket_id = $2, consequence = 1 WHERE ticket_id = $1";
    tx.execute(sql, args![from, into]).await?;
    Ok(lives)
}

/// Puts alarm lives into cases, sorted by alarm: (alarm, case, when, whether as a consequence).
pub async fn attach(tx: &mut Tx, all: &[(String, String, Time, bool)]) -> Result<()> {
    let role = |consequence| if consequence { "consequence" } else { "cause" };
    let rows = all.iter().map(|(alarm, case, at, of)| args![alarm, case, role(*of), *at]);
    let head = "INSERT INTO case_alarms (alarm_id, case_id, role, attached_at)";
    insert(tx, head, rows.collect(), "").await.map(drop)
}

/// The alarm lives of these cases.
pub async fn lives_of(tx: &mut Tx, cases: &[String]) -> Result<Vec<String>> {
    let rows = select_in(tx, "SELECT alarm_id FROM case_alarms WHERE case_id", cases, "").await?;
    rows.iter().map(|row| row.text("alarm_id")).collect()
}

/// Moves these cases to a ticket.
pub async fn move_some(tx: &mut Tx, cases: &[String], to: &str) -> Result<()> {
    for case in cases {
        tx.execute("UPDATE cases SET ticket_id = $2 WHERE id = $1", args![case, to]).await?;
    }
    Ok(())
}

/// Moves all cases of a ticket to another one. Answers how many alarm lives of its own faults went along, and
/// whether any of the other ticket's is active then.
pub async fn move_to(tx: &mut Tx, from: &str, to: &str) -> Result<(i64, bool)> {
    let sql = "SELECT COUNT(*) AS n FROM case_alarms ca JOIN cases c ON c.id = ca.case_id WHERE c.ticket_id = $1 AND c.consequence = 0";
    let lives = tx.query_one(sql, args![from]).await?.map_or(Ok(0), |row| row.int("n"))?;
    tx.execute("UPDATE cases SET ticket_id = $2 WHERE ticket_id = $1", args![from, to]).await?;
    let sql = "SELECT COUNT(*) AS n FROM case_alarms ca JOIN cases c ON c.id = ca.case_id \
               JOIN alarms a ON a.alarm_id = ca.alarm_id WHERE c.ticket_id = $1 AND a.active = 1";
    let active = tx.query_one(sql, args![to]).await?.map_or(Ok(0), |row| row.int("n"))?;
    Ok((lives, active > 0))
}
