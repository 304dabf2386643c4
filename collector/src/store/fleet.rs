//! Problems of the fleet.

use callhome_shared::alarm::RuleRef;
use callhome_shared::time::Time;

use super::rows::read_as;
use super::{Db, Result, StoreError, Tx};
use crate::args;
use crate::diagnosis::fleet::{Problem, Sighting};

/// Sightings of one look.
const MOST: i64 = 2000;

/// Tickets of a fault of this type since then, not tests and not merged.
pub async fn sightings(tx: &mut Tx, kind: &str, since: Time) -> Result<Vec<Sighting>> {
    let sql = "SELECT t.id, COALESCE(t.site, '') AS site, a.rule, COALESCE(d.model, '') AS model FROM alarms a \
               JOIN case_alarms ca ON ca.alarm_id = a.alarm_id JOIN cases c ON c.id = ca.case_id \
               JOIN tickets t ON t.id = c.ticket_id \
               JOIN devices d ON d.agent_id = a.agent_id AND d.id = a.device_id \
               WHERE a.kind = $1 AND a.raised_at > $2 AND a.test = 0 AND a.shadow = 0 AND a.own = 0 \
               AND c.consequence = 0 AND t.state <> 'merged' ORDER BY a.raised_at DESC LIMIT $3";
    let rows = tx.query(sql, args![kind, since, MOST]).await?;
    let read = rows.iter().map(|row| {
        let rule: RuleRef = serde_json::from_str(&row.text("rule")?)
            .map_err(|e| StoreError::Column { column: "rule".into(), why: e.to_string() })?;
        Ok(Sighting {
            ticket: row.text("id")?,
            site: row.text("site")?,
            rule: format!("{}/{}", rule.pack, rule.id),
            model: row.text("model")?,
        })
    });
    read.collect()
}

/// Keeps a problem; answers its tickets that were not known to be part of it.
pub async fn note(tx: &mut Tx, kind: &str, one: &Problem, now: Time) -> Result<Vec<String>> {
    let sites = i64::try_from(one.sites).unwrap_or(i64::MAX);
    let sql = "INSERT INTO fleet_problems (id, kind, rule, model, first_at, last_at, sites) \
               VALUES ($1, $2, $3, $4, $5, $5, $6) ON CONFLICT (id) DO UPDATE SET last_at = excluded.last_at, \
               sites = CASE WHEN excluded.sites > fleet_problems.sites THEN excluded.sites ELSE fleet_problems.sites END";
    tx.execute(sql, args![&one.id, kind, &one.rule, &one.model, now, sites]).await?;
    let mut new = Vec::new();
    for ticket in &one.tickets {
        let sql = "INSERT INTO fleet_tickets (problem, ticket_id, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        if tx.execute(sql, args![&one.id, ticket, now]).await? == 1 {
            new.push(ticket.clone());
        }
    }
    Ok(new)
}

/// A problem that a ticket is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Alarm type.
    pub kind: String,
    /// The agent's rule.
    pub rule: String,
    /// The model.
    pub model: String,
    /// How many sites had it at a time.
    pub sites: i64,
    /// The other tickets' numbers, at most 20.
    pub others: Vec<String>,
}

/// What a ticket is part of.
pub async fn of_ticket(db: &Db, ticket_id: &str) -> Result<Option<Membership>> {
    let sql = "SELECT p.* FROM fleet_problems p JOIN fleet_tickets f ON f.problem = p.id \
               WHERE f.ticket_id = $1 ORDER BY p.last_at DESC LIMIT 1";
    let Some(row) = db.read_one(sql, args![ticket_id]).await? else { return Ok(None) };
    let sql = "SELECT t.number FROM fleet_tickets f JOIN tickets t ON t.id = f.ticket_id \
               WHERE f.problem = $1 AND f.ticket_id <> $2 ORDER BY t.ordinal DESC LIMIT 20";
    let others =
        read_as(db, sql, args![row.text("id")?, ticket_id], |row| row.text("number")).await?;
    Ok(Some(Membership {
        kind: row.text("kind")?,
        rule: row.text("rule")?,
        model: row.text("model")?,
        sites: row.int("sites")?,
        others,
    }))
}
