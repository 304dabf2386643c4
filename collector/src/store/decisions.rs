//! What diagnosis decided of alarm lives, and what waits to be decided.

use callhome_shared::time::Time;

use super::rows::{insert, read_as, select_in, tuple};
use super::{Db, Result, Row, Tx, Val};
use crate::args;

/// What became of an alarm life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRow {
    /// The alarm life.
    pub alarm_id: String,
    /// `waits`, `recorded`, `transient`, `opened`, `joined` or `consequence`.
    pub outcome: String,
    /// Of one that waits: `hold-down` or `cause`.
    pub why: Option<String>,
    /// The rule that says so.
    pub rule: Option<String>,
    /// Its worst severity so far.
    pub worst: String,
    /// Since when it is known.
    pub since: Time,
    /// It waits until then at most.
    pub until: Option<Time>,
    /// When it is looked at next.
    pub look_at: Option<Time>,
    /// JSON: the cause, the way to it.
    pub detail: String,
}

fn from_row(row: &Row) -> Result<DecisionRow> {
    Ok(DecisionRow {
        alarm_id: row.text("alarm_id")?,
        outcome: row.text("outcome")?,
        why: row.opt_text("why")?,
        rule: row.opt_text("rule")?,
        worst: row.text("worst")?,
        since: Time(row.int("since")?),
        until: row.opt_int("until_at")?.map(Time),
        look_at: row.opt_int("look_at")?.map(Time),
        detail: row.text("detail")?,
    })
}

/// Those of these alarm lives.
pub async fn load(tx: &mut Tx, alarms: &[String]) -> Result<Vec<DecisionRow>> {
    let rows = select_in(tx, "SELECT * FROM decisions WHERE alarm_id", alarms, "").await?;
    rows.iter().map(from_row).collect()
}

/// [`load`] of one, outside of a transaction.
pub async fn of_alarm(db: &Db, alarm: &str) -> Result<Option<DecisionRow>> {
    let sql = "SELECT * FROM decisions WHERE alarm_id = $1";
    db.read_one(sql, args![alarm]).await?.as_ref().map(from_row).transpose()
}

/// Alarm lives that are to be looked at, the first one first.
pub async fn due(db: &Db, now: Time, limit: i64) -> Result<Vec<String>> {
    let sql =
        "SELECT alarm_id FROM decisions WHERE look_at <= $1 ORDER BY look_at, alarm_id LIMIT $2";
    read_as(db, sql, args![now, limit], |row| row.text("alarm_id")).await
}

/// How many lives wait for a decision.
pub async fn waiting(db: &Db) -> Result<i64> {
    let sql = "SELECT COUNT(*) AS n FROM decisions WHERE look_at IS NOT NULL AND outcome = 'waits'";
    db.read_one(sql, vec![]).await?.map_or(Ok(0), |row| row.int("n"))
}

/// How many lives of these identities were raised after `since`: (identity, count).
pub async fn lives(tx: &mut Tx, identities: &[String], since: Time) -> Result<Vec<(String, i64)>> {
    let mut found = Vec::new();
    for chunk in identities.chunks(64) {
        // The last one repeated up to a power of two: few different statements are prepared.
        let fill = chunk.len().next_power_of_two() - chunk.len();
        let keys = chunk.iter().chain(chunk.last().into_iter().cycle().take(fill));
        let mut args = args![since];
        args.extend(keys.map(Val::from));
        let sql = format!(
            "SELECT identity, COUNT(*) AS n FROM alarms WHERE raised_at > $1 AND identity IN {} GROUP BY identity",
            tuple(2, args.len() - 1)
        );
        for row in tx.query(sql, args).await? {
            found.push((row.text("identity")?, row.int("n")?));
        }
    }
    Ok(found)
}

/// Writes decisions as they are now, sorted by alarm.
pub async fn save(tx: &mut Tx, all: &[DecisionRow]) -> Result<()> {
    let rows = all.iter().map(|d| {
        args![
            &d.alarm_id,
            &d.outcome,
            &d.why,
            &d.rule,
            &d.worst,
            d.since,
            d.until,
            d.look_at,
            &d.detail
        ]
    });
    let head = "INSERT INTO decisions (alarm_id, outcome, why, rule, worst, since, until_at, look_at, detail)";
    let tail = "ON CONFLICT (alarm_id) DO UPDATE SET outcome = excluded.outcome, why = excluded.why, \
                rule = excluded.rule, worst = excluded.worst, since = excluded.since, \
                until_at = excluded.until_at, look_at = excluded.look_at, detail = excluded.detail";
    insert(tx, head, rows.collect(), tail).await.map(drop)
}

/// A consequence as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consequence {
    /// The alarm life.
    pub alarm_id: String,
    /// Its device's name.
    pub device_name: String,
    /// The part.
    pub resource: String,
    /// Alarm type.
    pub kind: String,
    /// Severity.
    pub severity: String,
    /// Whether its condition stands.
    pub active: bool,
    /// Since when.
    pub raised_at: Time,
    /// The decision's JSON.
    pub detail: String,
}

/// The consequences in a ticket, oldest first, at most `limit`.
pub async fn consequences(db: &Db, ticket_id: &str, limit: i64) -> Result<Vec<Consequence>> {
    let sql = "SELECT a.alarm_id, COALESCE(d.name, a.device_id) AS device_name, a.resource, a.kind, \
               a.severity, a.active, a.raised_at, COALESCE(x.detail, '{}') AS detail FROM cases c \
               JOIN case_alarms ca ON ca.case_id = c.id JOIN alarms a ON a.alarm_id = ca.alarm_id \
               LEFT JOIN devices d ON d.agent_id = a.agent_id AND d.id = a.device_id \
               LEFT JOIN decisions x ON x.alarm_id = a.alarm_id \
               WHERE c.ticket_id = $1 AND c.consequence = 1 ORDER BY a.raised_at, a.alarm_id LIMIT $2";
    read_as(db, sql, args![ticket_id, limit], |row| {
        Ok(Consequence {
            alarm_id: row.text("alarm_id")?,
            device_name: row.text("device_name")?,
            resource: row.text("resource")?,
            kind: row.text("kind")?,
            severity: row.text("severity")?,
            active: row.flag("active")?,
            raised_at: Time(row.int("raised_at")?),
            detail: row.text("detail")?,
        })
    })
    .await
}

/// How many alarm lives are in a ticket: (as its cause, as consequences, of these active).
pub async fn counts(db: &Db, ticket_id: &str) -> Result<(i64, i64, i64)> {
    let sql = "SELECT CAST(COALESCE(SUM(1 - c.consequence), 0) AS BIGINT) AS causes, CAST(COALESCE(SUM(c.consequence), 0) AS BIGINT) AS consequences, \
               CAST(COALESCE(SUM(c.consequence * a.active), 0) AS BIGINT) AS active FROM cases c \
               JOIN case_alarms ca ON ca.case_id = c.id JOIN alarms a ON a.alarm_id = ca.alarm_id \
               WHERE c.ticket_id = $1";
    let Some(row) = db.read_one(sql, args![ticket_id]).await? else { return Ok((0, 0, 0)) };
    Ok((row.int("causes")?, row.int("consequences")?, row.int("active")?))
}

/// Lives of the ticket's own faults that opened nothing, since they were gone in a moment.
pub async fn transients(db: &Db, ticket_id: &str) -> Result<i64> {
    let sql = "SELECT COUNT(*) AS n FROM decisions x JOIN alarms a ON a.alarm_id = x.alarm_id \
               WHERE x.outcome = 'transient' AND a.identity IN \
               (SELECT identity FROM cases WHERE ticket_id = $1 AND consequence = 0)";
    db.read_one(sql, args![ticket_id]).await?.map_or(Ok(0), |row| row.int("n"))
}

/// What opened the ticket, and what diagnosis said of it.
pub async fn opener(db: &Db, ticket_id: &str) -> Result<Option<DecisionRow>> {
    let sql = "SELECT x.* FROM decisions x JOIN case_alarms ca ON ca.alarm_id = x.alarm_id \
               JOIN cases c ON c.id = ca.case_id WHERE c.ticket_id = $1 AND c.consequence = 0 \
               AND x.outcome = 'opened' ORDER BY x.since, x.alarm_id LIMIT 1";
    db.read_one(sql, args![ticket_id]).await?.as_ref().map(from_row).transpose()
}
