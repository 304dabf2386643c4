//! Notices: what is to be told to whom, and what became of it.

use callhome_shared::time::Time;

use super::rows::{insert, read_as, select_in};
use super::{Db, Result, Row, Tx};
use crate::args;

/// Notices that may wait; one more is kept as dropped.
pub const MOST_WAITING: i64 = 20_000;

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeRow {
    /// Its id; receivers know by it what comes again.
    pub id: String,
    /// The ticket; empty: none.
    pub ticket_id: String,
    /// The timeline's entry that it tells.
    pub entry_id: String,
    /// See `notice::Event`.
    pub event: String,
    /// Of a P1 or a major incident: goes first.
    pub urgent: bool,
    /// `mail` or `outlet:<name>`.
    pub lane: String,
    /// A person's log-in name, or the outlet's.
    pub recipient: String,
    /// `zh-CN` or `en`.
    pub language: String,
    /// `notice::Facts` as JSON.
    pub facts: String,
    /// `waiting`, `sent`, `folded`, `failed`, `dropped`.
    pub state: String,
    /// When it was written.
    pub created_at: Time,
    /// While it waits: when it is due.
    pub next_at: Time,
    /// Attempts that were made.
    pub attempts: i64,
    /// When it was over.
    pub done_at: Option<Time>,
    /// Of the last attempt.
    pub result: String,
}

fn from_row(row: &Row) -> Result<NoticeRow> {
    Ok(NoticeRow {
        id: row.text("id")?,
        ticket_id: row.text("ticket_id")?,
        entry_id: row.text("entry_id")?,
        event: row.text("event")?,
        urgent: row.flag("urgent")?,
        lane: row.text("lane")?,
        recipient: row.text("recipient")?,
        language: row.text("language")?,
        facts: row.text("facts")?,
        state: row.text("state")?,
        created_at: Time(row.int("created_at")?),
        next_at: Time(row.int("next_at")?),
        attempts: row.int("attempts")?,
        done_at: row.opt_int("done_at")?.map(Time),
        result: row.text("result")?,
    })
}

/// Writes notices; those that are there already stay as they are. Answers how many are new.
pub async fn add(tx: &mut Tx, all: &[NoticeRow]) -> Result<u64> {
    let rows = all.iter().map(|n| {
        args![
            &n.id,
            &n.ticket_id,
            &n.entry_id,
            &n.event,
            n.urgent,
            &n.lane,
            &n.recipient,
            &n.language,
            &n.facts,
            &n.state,
            n.created_at,
            n.next_at,
            &n.result
        ]
    });
    let head = "INSERT INTO notices (id, ticket_id, entry_id, event, urgent, lane, recipient, language, facts, state, \
                created_at, next_at, result)";
    let tail = "ON CONFLICT (entry_id, event, lane, recipient) DO NOTHING";
    insert(tx, head, rows.collect(), tail).await
}

/// How many wait.
pub async fn waiting(tx: &mut Tx) -> Result<i64> {
    let sql = "SELECT COUNT(*) AS n FROM notices WHERE state = 'waiting'";
    tx.query_one(sql, vec![]).await?.map_or(Ok(0), |row| row.int("n"))
}

/// Lanes in which something is due.
pub async fn lanes(db: &Db, now: Time) -> Result<Vec<String>> {
    let sql =
        "SELECT DISTINCT lane FROM notices WHERE state = 'waiting' AND next_at <= $1 ORDER BY lane";
    read_as(db, sql, args![now], |row| row.text("lane")).await
}

/// Takes what is due in a lane, the most urgent and then the longest waiting first; nobody else takes it until `until`.
pub async fn claim(
    db: &Db,
    lane: &str,
    now: Time,
    until: Time,
    limit: i64,
) -> Result<Vec<NoticeRow>> {
    let mut tx = db.begin().await?;
    let sql = "SELECT * FROM notices WHERE state = 'waiting' AND lane = $1 AND next_at <= $2 \
               ORDER BY urgent DESC, created_at, id LIMIT $3";
    let due: Vec<NoticeRow> = tx
        .query(sql, args![lane, now, limit])
        .await?
        .iter()
        .map(from_row)
        .collect::<Result<_>>()?;
    let mut mine = Vec::new();
    for row in due {
        // Another collector may have been faster.
        let sql =
            "UPDATE notices SET next_at = $3 WHERE id = $1 AND state = 'waiting' AND next_at = $2";
        if tx.execute(sql, args![&row.id, row.next_at, until]).await? == 1 {
            mine.push(row);
        }
    }
    tx.commit().await?;
    Ok(mine)
}

/// What became of an attempt.
#[derive(Clone, Debug)]
pub struct Outcome<'a> {
    /// `waiting`, `sent`, `folded`, `failed`.
    pub state: &'a str,
    /// When it is due again, if it waits.
    pub next_at: Time,
    /// What was answered, or what went wrong.
    pub result: &'a str,
    /// Whether it was an attempt: a notice may also go back untried.
    pub tried: bool,
}

/// Notes what became of notices.
pub async fn note(db: &Db, all: &[(&NoticeRow, Outcome<'_>)], now: Time) -> Result<()> {
    let mut tx = db.begin().await?;
    for (row, outcome) in all {
        let attempts = row.attempts + i64::from(outcome.tried);
        let done = (outcome.state != "waiting").then_some(now);
        let sql = "UPDATE notices SET state = $2, next_at = $3, attempts = $4, done_at = $5, result = $6 \
                   WHERE id = $1 AND state = 'waiting'";
        let args = args![&row.id, outcome.state, outcome.next_at, attempts, done, outcome.result];
        tx.execute(sql, args).await?;
        if outcome.tried {
            let ok = matches!(outcome.state, "sent" | "folded");
            let sql = "INSERT INTO notice_attempts (notice_id, number, at, ok, result) VALUES ($1, $2, $3, $4, $5) \
                       ON CONFLICT (notice_id, number) DO NOTHING";
            tx.execute(sql, args![&row.id, attempts, now, ok, outcome.result]).await?;
        }
    }
    tx.commit().await
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// The notice.
    pub notice_id: String,
    /// From 1 on.
    pub number: i64,
    /// When.
    pub at: Time,
    /// Whether it was taken.
    pub ok: bool,
    /// What was answered, or what went wrong.
    pub result: String,
}

/// The notices of a ticket, the latest first.
pub async fn of_ticket(db: &Db, ticket_id: &str, limit: i64) -> Result<Vec<NoticeRow>> {
    let sql =
        "SELECT * FROM notices WHERE ticket_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2";
    read_as(db, sql, args![ticket_id, limit], from_row).await
}

/// Notices, the latest first; of one state or all; before that one.
pub async fn list(db: &Db, state: &str, before: i64, limit: i64) -> Result<Vec<NoticeRow>> {
    let sql = "SELECT * FROM notices WHERE ($1 = '' OR state = $1) AND created_at < $2 \
               ORDER BY created_at DESC, id DESC LIMIT $3";
    read_as(db, sql, args![state, before, limit], from_row).await
}

/// How many there are by state.
pub async fn counts(db: &Db) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT state, COUNT(*) AS n FROM notices GROUP BY state ORDER BY state";
    read_as(db, sql, vec![], |row| Ok((row.text("state")?, row.int("n")?))).await
}

/// The attempts of these notices.
pub async fn attempts(tx: &mut Tx, ids: &[String]) -> Result<Vec<AttemptRow>> {
    let head = "SELECT * FROM notice_attempts WHERE notice_id";
    let rows = select_in(tx, head, ids, "").await?;
    let mut all: Vec<AttemptRow> = rows
        .iter()
        .map(|row| {
            Ok(AttemptRow {
                notice_id: row.text("notice_id")?,
                number: row.int("number")?,
                at: Time(row.int("at")?),
                ok: row.flag("ok")?,
                result: row.text("result")?,
            })
        })
        .collect::<Result<_>>()?;
    all.sort_by(|a, b| (&a.notice_id, a.number).cmp(&(&b.notice_id, b.number)));
    Ok(all)
}

/// Lets go of what was over before then; at most `limit` rows.
pub async fn let_go(tx: &mut Tx, before: Time, limit: i64) -> Result<u64> {
    let old = "SELECT id FROM notices WHERE state <> 'waiting' AND created_at < $1 ORDER BY created_at LIMIT $2";
    let sql = format!("DELETE FROM notice_attempts WHERE notice_id IN ({old})");
    tx.execute(sql, args![before, limit]).await?;
    let sql = format!("DELETE FROM notices WHERE id IN ({old})");
    tx.execute(sql, args![before, limit]).await
}
