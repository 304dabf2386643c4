//! The alarm history as diagnosis plays it again.

use callhome_shared::alarm::RuleRef;
use callhome_shared::time::Time;

use super::rows::read_as;
use super::{Db, Result, StoreError};
use crate::args;

/// Lives of one read.
const PAGE: i64 = 1000;

/// One alarm life with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// The alarm life.
    pub alarm_id: String,
    /// Its identity.
    pub identity: String,
    /// The agent.
    pub agent_id: String,
    /// The device's id.
    pub device_id: String,
    /// The device's name.
    pub device_name: String,
    /// Site.
    pub site: String,
    /// The part.
    pub resource: String,
    /// Alarm type.
    pub kind: String,
    /// Its latest severity.
    pub severity: String,
    /// The agent's rule.
    pub rule: RuleRef,
    /// Since when.
    pub raised_at: Time,
    /// Until when.
    pub cleared_at: Option<Time>,
    /// The ticket that it is in.
    pub ticket: Option<String>,
    /// It is there as a consequence.
    pub consequence: bool,
    /// When that case was closed.
    pub closed_at: Option<Time>,
}

/// Alarm lives raised in this time, without tests, probes and the collector's own; oldest first, at most
/// `most` and one more.
pub async fn between(db: &Db, from: Time, to: Time, most: usize) -> Result<Vec<Past>> {
    let sql = "SELECT a.alarm_id, a.identity, a.agent_id, a.device_id, COALESCE(d.name, a.device_id) AS device_name, \
               COALESCE(d.site, g.site, '') AS site, a.resource, a.kind, a.severity, a.rule, a.raised_at, \
               CASE WHEN a.active = 1 THEN NULL ELSE a.cleared_at END AS over_at, t.number AS ticket, \
               COALESCE(c.consequence, 0) AS consequence, c.closed_at FROM alarms a \
               LEFT JOIN devices d ON d.agent_id = a.agent_id AND d.id = a.device_id \
               LEFT JOIN agents g ON g.id = a.agent_id \
               LEFT JOIN case_alarms ca ON ca.alarm_id = a.alarm_id LEFT JOIN cases c ON c.id = ca.case_id \
               LEFT JOIN tickets t ON t.id = c.ticket_id \
               WHERE a.test = 0 AND a.shadow = 0 AND a.own = 0 AND a.raised_at < $2 \
               AND (a.raised_at, a.alarm_id) > ($1, $3) ORDER BY a.raised_at, a.alarm_id LIMIT $4";
    let mut found: Vec<Past> = Vec::new();
    let mut after = (from.plus_ms(-1), String::from("~"));
    loop {
        let page = read_as(db, sql, args![after.0, to, &after.1, PAGE], |row| {
            let rule = serde_json::from_str(&row.text("rule")?)
                .map_err(|e| StoreError::Column { column: "rule".into(), why: e.to_string() })?;
            Ok(Past {
                alarm_id: row.text("alarm_id")?,
                identity: row.text("identity")?,
                agent_id: row.text("agent_id")?,
                device_id: row.text("device_id")?,
                device_name: row.text("device_name")?,
                site: row.text("site")?,
                resource: row.text("resource")?,
                kind: row.text("kind")?,
                severity: row.text("severity")?,
                rule,
                raised_at: Time(row.int("raised_at")?),
                cleared_at: row.opt_int("over_at")?.map(Time),
                ticket: row.opt_text("ticket")?,
                consequence: row.flag("consequence")?,
                closed_at: row.opt_int("closed_at")?.map(Time),
            })
        });
        let page = page.await?;
        let last = page.last().map(|past| (past.raised_at, past.alarm_id.clone()));
        let full = page.len() == usize::try_from(PAGE).unwrap_or(0);
        found.extend(page);
        match last {
            Some(last) if full && found.len() <= most => after = last,
            _ => return Ok(found),
        }
    }
}
