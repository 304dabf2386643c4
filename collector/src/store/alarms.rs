//! Alarms: one row per raise-to-clear life.

use std::collections::BTreeSet;

use callhome_shared::alarm::{Message, RuleRef};
use callhome_shared::time::Time;

use super::rows::{insert, read_as, select_in};
use super::{Db, Result, Row, StoreError, Tx};
use crate::args;

/// One alarm life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmRow {
    /// Its id.
    pub alarm_id: String,
    /// The agent.
    pub agent_id: String,
    /// The device.
    pub device_id: String,
    /// Hash of the agent's id and the identity's key.
    pub identity: String,
    /// The resource.
    pub resource: String,
    /// Alarm type.
    pub kind: String,
    /// Qualifier.
    pub qualifier: String,
    /// Present severity.
    pub severity: String,
    /// Whether the condition stands.
    pub active: bool,
    /// Key of a knowledge article.
    pub fault_code: Option<String>,
    /// What to show.
    pub message: Message,
    /// The device's own words.
    pub text: String,
    /// The rule.
    pub rule: RuleRef,
    /// What usually mends it.
    pub proposed_repair: Option<String>,
    /// When the agent saw it first.
    pub raised_at: Time,
    /// When it last changed.
    pub changed_at: Time,
    /// When the condition went away.
    pub cleared_at: Option<Time>,
    /// Whether it is a test.
    pub test: bool,
    /// A probe's: apart from all lists and counts.
    pub shadow: bool,
    /// Whether it comes and goes.
    pub flapping: bool,
    /// Whether the collector itself raised it, not the agent.
    pub own: bool,
    /// Which outbox life the present state came from.
    pub last_epoch: String,
    /// Which number in it.
    pub last_seq: i64,
    /// That envelope's time.
    pub last_at: Time,
}

/// An alarm with what lists show beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmSummary {
    /// The alarm.
    pub alarm: AlarmRow,
    /// The device's name.
    pub device_name: String,
    /// Number of its ticket.
    pub ticket: Option<String>,
}

/// Which alarms to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only active (`true`) or only cleared ones (`false`).
    pub active: Option<bool>,
    /// Only of this agent.
    pub agent: Option<String>,
    /// Only of this device (its id).
    pub device: Option<String>,
    /// Only those after the alarm of this id in the list: paging.
    pub before: Option<String>,
    /// At most so many.
    pub limit: i64,
}

fn json<T: serde::de::DeserializeOwned>(row: &Row, column: &str) -> Result<T> {
    serde_json::from_str(&row.text(column)?)
        .map_err(|e| StoreError::Column { column: column.to_owned(), why: e.to_string() })
}

pub(super) fn to_json(value: &impl serde::Serialize, column: &str) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| StoreError::Column { column: column.to_owned(), why: e.to_string() })
}

fn from_row(row: &Row) -> Result<AlarmRow> {
    Ok(AlarmRow {
        alarm_id: row.text("alarm_id")?,
        agent_id: row.text("agent_id")?,
        device_id: row.text("device_id")?,
        identity: row.text("identity")?,
        resource: row.text("resource")?,
        kind: row.text("kind")?,
        qualifier: row.text("qualifier")?,
        severity: row.text("severity")?,
        active: row.flag("active")?,
        fault_code: row.opt_text("fault_code")?,
        message: json(row, "message")?,
        text: row.text("text")?,
        rule: json(row, "rule")?,
        proposed_repair: row.opt_text("proposed_repair")?,
        raised_at: Time(row.int("raised_at")?),
        changed_at: Time(row.int("changed_at")?),
        cleared_at: row.opt_int("cleared_at")?.map(Time),
        test: row.flag("test")?,
        shadow: row.flag("shadow")?,
        flapping: row.flag("flapping")?,
        own: row.flag("own")?,
        last_epoch: row.text("last_epoch")?,
        last_seq: row.int("last_seq")?,
        last_at: Time(row.int("last_at")?),
    })
}

fn summary(row: &Row) -> Result<AlarmSummary> {
    Ok(AlarmSummary {
        alarm: from_row(row)?,
        device_name: row.opt_text("device_name")?.unwrap_or_default(),
        ticket: row.opt_text("ticket_number")?,
    })
}

const SUMMARY: &str = "SELECT a.*, COALESCE(d.name, a.device_id) AS device_name, t.number AS ticket_number FROM alarms a \
    LEFT JOIN devices d ON d.agent_id = a.agent_id AND d.id = a.device_id \
    LEFT JOIN case_alarms ca ON ca.alarm_id = a.alarm_id LEFT JOIN cases c ON c.id = ca.case_id \
    LEFT JOIN tickets t ON t.id = c.ticket_id";

/// Alarms, the latest first.
pub async fn list(db: &Db, filter: &Filter) -> Result<Vec<AlarmSummary>> {
    // Each form finds an index that is in the order asked for.
    let active_is = if filter.active.is_some() { "a.active = $1" } else { "+a.active > $1" };
    let sql = format!(
        "{SUMMARY} WHERE {active_is} AND a.shadow = 0 AND ($2 = '' OR a.agent_id = $2) \
         AND ($3 = '' OR a.device_id = $3) AND ($5 = '' OR (a.raised_at, a.alarm_id) < \
         (SELECT p.raised_at, p.alarm_id FROM alarms p WHERE p.alarm_id = $5)) ORDER BY a.raised_at DESC, a.alarm_id DESC LIMIT $4"
    );
    let active = filter.active.map_or(-1, i64::from);
    let agent = filter.agent.as_deref().unwrap_or_default();
    let device = filter.device.as_deref().unwrap_or_default();
    let before = filter.before.as_deref().unwrap_or_default();
    read_as(db, sql, args![active, agent, device, filter.limit, before], summary).await
}

/// The alarms of a ticket, oldest first, at most `limit`.
pub async fn of_ticket(db: &Db, ticket_id: &str, limit: i64) -> Result<Vec<AlarmSummary>> {
    let sql = format!("{SUMMARY} WHERE c.ticket_id = $1 ORDER BY a.raised_at, a.alarm_id LIMIT $2");
    read_as(db, sql, args![ticket_id, limit], summary).await
}

/// One alarm.
pub async fn get(db: &Db, alarm_id: &str) -> Result<Option<AlarmSummary>> {
    let sql = format!("{SUMMARY} WHERE a.alarm_id = $1");
    db.read_one(sql, args![alarm_id]).await?.as_ref().map(summary).transpose()
}

/// Those of `ids` that exist.
pub async fn load(tx: &mut Tx, ids: &[String]) -> Result<Vec<AlarmRow>> {
    let rows = select_in(tx, "SELECT * FROM alarms WHERE alarm_id", ids, "").await?;
    rows.iter().map(from_row).collect()
}

/// The active alarms that these agents raised: (agent, alarm, severity).
pub async fn active_of(tx: &mut Tx, agents: &[String]) -> Result<Vec<(String, String, String)>> {
    let head = "SELECT agent_id, alarm_id, severity FROM alarms WHERE active = 1 AND own = 0 AND shadow = 0 AND agent_id";
    let rows = select_in(tx, head, agents, "").await?;
    rows.iter()
        .map(|row| Ok((row.text("agent_id")?, row.text("alarm_id")?, row.text("severity")?)))
        .collect()
}

/// Of these identities, those of which a life is active.
pub async fn active_identities(tx: &mut Tx, identities: &[String]) -> Result<BTreeSet<String>> {
    let head = "SELECT DISTINCT identity FROM alarms WHERE active = 1 AND shadow = 0 AND identity";
    let rows = select_in(tx, head, identities, "").await?;
    rows.iter().map(|row| row.text("identity")).collect()
}

/// The active lives of these identities: identity, alarm, since when. The earliest of an identity comes last.
pub async fn active_lives(
    tx: &mut Tx,
    identities: &[String],
) -> Result<Vec<(String, String, Time)>> {
    let head = "SELECT identity, alarm_id, raised_at FROM alarms WHERE active = 1 AND identity";
    let rows = select_in(tx, head, identities, "ORDER BY raised_at DESC").await?;
    let read =
        |row: &Row| Ok((row.text("identity")?, row.text("alarm_id")?, Time(row.int("raised_at")?)));
    rows.iter().map(read).collect()
}

/// An active alarm that the collector raised by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRow {
    /// Its id.
    pub alarm_id: String,
    /// The agent that it is about; empty: none.
    pub agent_id: String,
    /// That agent's right was withdrawn.
    pub revoked: bool,
    /// The device.
    pub device_id: String,
    /// The resource.
    pub resource: String,
    /// Present severity.
    pub severity: String,
    /// What it says.
    pub text: String,
    /// Since when.
    pub raised_at: Time,
}

/// The active alarms of this type that the collector raised by itself, sorted by id.
pub async fn own_active(db: &Db, kind: &str) -> Result<Vec<OwnRow>> {
    let sql = "SELECT a.alarm_id, a.agent_id, a.device_id, a.resource, a.severity, a.text, a.raised_at, \
               g.revoked_at FROM alarms a \
               LEFT JOIN agents g ON g.id = a.agent_id \
               WHERE a.own = 1 AND a.active = 1 AND a.kind = $1 ORDER BY a.alarm_id";
    let read = |row: &Row| {
        Ok(OwnRow {
            alarm_id: row.text("alarm_id")?,
            agent_id: row.text("agent_id")?,
            revoked: row.opt_int("revoked_at")?.is_some(),
            device_id: row.text("device_id")?,
            resource: row.text("resource")?,
            severity: row.text("severity")?,
            text: row.text("text")?,
            raised_at: Time(row.int("raised_at")?),
        })
    };
    read_as(db, sql, args![kind], read).await
}

/// Writes alarms as they are now, sorted by id.
pub async fn save(tx: &mut Tx, all: &[AlarmRow]) -> Result<()> {
    let mut rows = Vec::with_capacity(all.len());
    for a in all {
        rows.push(args![
            &a.alarm_id,
            &a.agent_id,
            &a.device_id,
            &a.identity,
            &a.resource,
            &a.kind,
            &a.qualifier,
            &a.severity,
            a.active,
            &a.fault_code,
            to_json(&a.message, "message")?,
            &a.text,
            to_json(&a.rule, "rule")?,
            &a.proposed_repair,
            a.raised_at,
            a.changed_at,
            a.cleared_at,
            a.test,
            a.shadow,
            a.flapping,
            a.own,
            &a.last_epoch,
            a.last_seq,
            a.last_at
        ]);
    }
    let head = "INSERT INTO alarms (alarm_id, agent_id, device_id, identity, resource, kind, qualifier, \
                severity, active, fault_code, message, text, rule, proposed_repair, raised_at, changed_at, \
                cleared_at, test, shadow, flapping, own, last_epoch, last_seq, last_at)";
    let tail = "ON CONFLICT (alarm_id) DO UPDATE SET severity = excluded.severity, \
                active = excluded.active, fault_code = excluded.fault_code, message = excluded.message, \
                text = excluded.text, rule = excluded.rule, proposed_repair = excluded.proposed_repair, \
                raised_at = excluded.raised_at, changed_at = excluded.changed_at, \
                cleared_at = excluded.cleared_at, flapping = excluded.flapping, \
                last_epoch = excluded.last_epoch, last_seq = excluded.last_seq, last_at = excluded.last_at";
    insert(tx, head, rows, tail).await.map(drop)
}
