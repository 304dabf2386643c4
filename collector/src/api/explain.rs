//! Why there is a ticket, and what is in none of its own because of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::Name;
use super::model::At;
use crate::store::tickets::TicketRow;
use crate::store::{Db, Result, decisions, fleet, tickets, timeline};

/// Consequences of one answer.
pub const SHOWN: i64 = 200;

/// One alarm that is in the ticket because it follows from the ticket's fault.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Consequence)]
pub struct Consequence {
    /// The alarm.
    pub alarm_id: String,
    /// Its device's name.
    pub device: String,
    /// The part.
    pub resource: String,
    /// Alarm type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Severity.
    pub severity: String,
    /// Whether its condition stands.
    pub active: bool,
    /// Since when.
    pub raised_at: At,
    /// Type of the alarm that it follows from.
    #[schema(required)]
    pub cause_type: Option<String>,
    /// In which way it hangs on what was lost: `parent`, `hangs-on`, `powered-by`.
    #[schema(required)]
    pub relation: Option<String>,
    /// What it hangs on, up to what was lost.
    pub path: Vec<String>,
    /// How long after its cause it was raised, milliseconds; below zero: before.
    #[schema(required)]
    pub after_ms: Option<i64>,
}

/// The same fault on many sites in a short time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FleetProblem)]
pub struct Fleet {
    /// Alarm type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The agents' rule, `pack/id`.
    pub rule: String,
    /// The model.
    pub model: String,
    /// How many sites had it within the window.
    pub sites: i64,
    /// Other tickets about it, the latest 20.
    pub others: Vec<String>,
}

/// Why there is a ticket, and what was suppressed by it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Explanation {
    /// The ticket.
    pub number: String,
    /// Why it was opened: `no-open-case`, `person`, or another stable word.
    pub reason: String,
    /// The alarm that opened it.
    #[schema(required)]
    pub alarm_id: Option<String>,
    /// The rule of diagnosis that decided; null: none did, an alarm is a ticket at once.
    #[schema(required)]
    pub rule: Option<String>,
    /// How long the alarm waited before, milliseconds; null: not at all.
    #[schema(required)]
    pub waited_ms: Option<i64>,
    /// For what it waited: `hold-down`, `cause`.
    #[schema(required)]
    pub waited_for: Option<String>,
    /// It comes and goes: further lives are counted, not told one by one.
    pub flapping: bool,
    /// Alarm lives of its own faults.
    pub lives: i64,
    /// Lives of them that opened nothing since they were gone in a moment.
    pub transients: i64,
    /// Alarm lives that are its consequences.
    pub consequence_count: i64,
    /// Of these, active.
    pub consequences_active: i64,
    /// The oldest 200 of them.
    pub consequences: Vec<Consequence>,
    /// The problem of the fleet that it is part of.
    #[schema(required)]
    pub fleet: Option<Fleet>,
    /// The ticket that this one has become part of.
    #[schema(required)]
    pub merged_into: Option<String>,
}

/// Collects it.
pub async fn explain(db: &Db, ticket: &TicketRow) -> Result<Explanation> {
    let (lives, consequence_count, consequences_active) = decisions::counts(db, &ticket.id).await?;
    let opener = decisions::opener(db, &ticket.id).await?;
    let first = timeline::first(db, &ticket.id).await?;
    let detail: Value =
        first.and_then(|entry| serde_json::from_str(&entry.detail).ok()).unwrap_or_default();
    let text = |name: &str| detail.get(name).and_then(Value::as_str).map(str::to_owned);
    let waited = opener.as_ref().filter(|row| row.why.is_some());
    let shown = decisions::consequences(db, &ticket.id, SHOWN).await?;
    Ok(Explanation {
        number: ticket.number.clone(),
        reason: text("reason").or_else(|| text("by")).unwrap_or_default(),
        alarm_id: text("alarm_id"),
        rule: opener.as_ref().and_then(|row| row.rule.clone()),
        waited_ms: waited.map(|row| ticket.opened_at.since_ms(row.since)),
        waited_for: waited.and_then(|row| row.why.clone()),
        flapping: ticket.service.flapping,
        lives,
        transients: decisions::transients(db, &ticket.id).await?,
        consequence_count,
        consequences_active,
        consequences: shown.into_iter().map(Consequence::from).collect(),
        fleet: fleet::of_ticket(db, &ticket.id).await?.map(|of| Fleet {
            kind: of.kind,
            rule: of.rule,
            model: of.model,
            sites: of.sites,
            others: of.others,
        }),
        merged_into: ticket.service.merged_into.clone(),
    })
}

impl From<decisions::Consequence> for Consequence {
    fn from(row: decisions::Consequence) -> Self {
        let detail: Value = serde_json::from_str(&row.detail).unwrap_or_default();
        let cause = detail.get("cause").cloned().unwrap_or_default();
        let text = |name: &str| cause.get(name).and_then(Value::as_str).map(str::to_owned);
        let path = cause.get("path").and_then(Value::as_array).cloned().unwrap_or_default();
        Consequence {
            alarm_id: row.alarm_id,
            device: row.device_name,
            resource: row.resource,
            kind: row.kind,
            severity: row.severity,
            active: row.active,
            raised_at: At(row.raised_at),
            cause_type: text("type"),
            relation: text("relation"),
            path: path.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            after_ms: cause.get("after_ms").and_then(Value::as_i64),
        }
    }
}

/// Why there is this ticket: which rule decided, how long its alarm waited, what follows from it and is
/// therefore in no ticket of its own.
#[utoipa::path(get, path = "/api/v1/tickets/{number}/explain", operation_id = "explain_ticket", tag = "tickets",
    params(("number" = String, Path, description = "The ticket's number")), responses(
    (status = 200, description = "The reasons", body = Explanation),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
))]
pub async fn show(State(api): State<Arc<Api>>, Name(number): Name) -> Answer<Json<Explanation>> {
    let row = tickets::get(&api.db, &number).await.map_err(Problem::internal)?;
    let row = row.ok_or(Problem::NotFound("such ticket"))?;
    Ok(Json(explain(&api.db, &row).await.map_err(Problem::internal)?))
}
