//! What the API answers: the shapes that the OpenAPI document publishes.

use std::collections::BTreeMap;

use callhome_shared::alarm::Message;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tickets::ClosingReport;
use crate::store::alarms::AlarmSummary;
use crate::store::evidence::EvidenceRow;
use crate::store::tickets::TicketRow;
use crate::store::timeline::Entry;
use crate::ticket::State;

/// A point in time, RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(as = Time, value_type = String, format = DateTime, example = "2026-01-31T08:00:00.000Z")]
pub struct At(pub Time);

/// What to show, by a catalogue that both languages have.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Message)]
pub struct MessageView {
    /// Catalogue key.
    #[schema(example = "threshold.above")]
    pub key: String,
    /// Arguments by name.
    pub arguments: BTreeMap<String, String>,
}

impl From<Message> for MessageView {
    fn from(message: Message) -> Self {
        MessageView { key: message.key, arguments: message.arguments }
    }
}

/// How bad a fault is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Severity)]
pub enum SeverityName {
    /// Affects service, at once.
    Critical,
    /// Affects service, soon.
    Major,
    /// Affects no service yet.
    Minor,
    /// A potential fault.
    Warning,
    /// Cannot be told.
    Indeterminate,
}

impl SeverityName {
    /// The name in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            SeverityName::Critical => "critical",
            SeverityName::Major => "major",
            SeverityName::Minor => "minor",
            SeverityName::Warning => "warning",
            SeverityName::Indeterminate => "indeterminate",
        }
    }
}

/// Where a ticket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TicketState)]
pub enum StateName {
    /// Nobody has taken it up.
    Recorded,
    /// Out of contract: a manager decides.
    WaitingApproval,
    /// A manager refused it.
    Rejected,
    /// Somebody is to take it up.
    Assigned,
    /// Somebody looks for the cause.
    InDiagnosis,
    /// Given to a higher level.
    Escalated,
    /// Somebody is on the way to the device.
    Dispatched,
    /// The customer has to do or say something.
    WaitingCustomer,
    /// The fault is mended.
    Resolved,
    /// Somebody has made sure.
    Verified,
    /// The customer says so, too.
    Confirmed,
    /// Done.
    Closed,
    /// A major incident that was looked back upon.
    Reviewed,
    /// A duplicate.
    Merged,
}

impl From<State> for StateName {
    fn from(state: State) -> Self {
        match state {
            State::Recorded => StateName::Recorded,
            State::WaitingApproval => StateName::WaitingApproval,
            State::Rejected => StateName::Rejected,
            State::Assigned => StateName::Assigned,
            State::InDiagnosis => StateName::InDiagnosis,
            State::Escalated => StateName::Escalated,
            State::Dispatched => StateName::Dispatched,
            State::WaitingCustomer => StateName::WaitingCustomer,
            State::Resolved => StateName::Resolved,
            State::Verified => StateName::Verified,
            State::Confirmed => StateName::Confirmed,
            State::Closed => StateName::Closed,
            State::Reviewed => StateName::Reviewed,
            State::Merged => StateName::Merged,
        }
    }
}

impl From<StateName> for State {
    fn from(state: StateName) -> Self {
        match state {
            StateName::Recorded => State::Recorded,
            StateName::WaitingApproval => State::WaitingApproval,
            StateName::Rejected => State::Rejected,
            StateName::Assigned => State::Assigned,
            StateName::InDiagnosis => State::InDiagnosis,
            StateName::Escalated => State::Escalated,
            StateName::Dispatched => State::Dispatched,
            StateName::WaitingCustomer => State::WaitingCustomer,
            StateName::Resolved => State::Resolved,
            StateName::Verified => State::Verified,
            StateName::Confirmed => State::Confirmed,
            StateName::Closed => State::Closed,
            StateName::Reviewed => State::Reviewed,
            StateName::Merged => State::Merged,
        }
    }
}

/// The device of a ticket.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceRef {
    /// Serial number where known, else the configured name.
    pub id: String,
    /// Configured name.
    pub name: String,
}

/// A ticket as lists show it.
#[derive(Debug, Serialize, ToSchema)]
pub struct TicketSummary {
    /// What people write.
    #[schema(example = "T-000123")]
    pub number: String,
    /// Where it stands.
    #[schema(value_type = StateName)]
    pub state: String,
    /// `p1` (most urgent) to `p4`.
    #[schema(example = "p2")]
    pub priority: String,
    /// The worst severity of its alarms so far.
    #[schema(value_type = SeverityName)]
    pub severity: String,
    /// What to show.
    pub title: MessageView,
    /// The device's own words.
    pub text: String,
    /// The agent.
    pub agent: String,
    /// The device.
    pub device: DeviceRef,
    /// The resource.
    pub resource: String,
    /// Alarm type.
    pub r#type: String,
    /// Site.
    #[schema(required)]
    pub site: Option<String>,
    /// Customer.
    #[schema(required)]
    pub customer: Option<String>,
    /// Service contract.
    #[schema(required)]
    pub contract: Option<String>,
    /// Who works on it (a user's name).
    #[schema(required)]
    pub assignee: Option<String>,
    /// When it was opened.
    pub opened_at: At,
    /// When it last changed.
    pub updated_at: At,
    /// Since when none of its alarms is active.
    #[schema(required)]
    pub condition_cleared_at: Option<At>,
    /// Alarm lives after the first.
    pub recurrences: i64,
    /// Whether a test alarm opened it.
    pub test: bool,
    /// `service_request` or `scheduled_event`.
    pub class: String,
    /// `a` to `g`.
    #[schema(required)]
    pub category: Option<String>,
    /// Escalated to: `l2`, `l3`, `engineering`.
    #[schema(required)]
    pub level: Option<String>,
    /// A major incident.
    pub major: bool,
    /// The service plan that is promised.
    #[schema(required)]
    pub plan: Option<String>,
    /// Whether a contract covered it at its opening; null: nobody asked.
    #[schema(required)]
    pub covered: Option<bool>,
    /// Who recorded it (a user's name); null: an alarm opened it.
    #[schema(required)]
    pub opened_by: Option<String>,
    /// The number of the ticket that it is a duplicate of.
    #[schema(required)]
    pub merged_into: Option<String>,
    /// +1 per change; a transition names the version it is based on.
    pub version: i64,
}

/// A ticket as its own page shows it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ticket {
    /// What lists show, too.
    #[serde(flatten)]
    pub summary: TicketSummary,
    /// What usually mends it.
    #[schema(required)]
    pub proposed_repair: Option<String>,
    /// Key of a knowledge article.
    #[schema(required)]
    pub fault_code: Option<String>,
    /// When it was resolved.
    #[schema(required)]
    pub resolved_at: Option<At>,
    /// When it was closed.
    #[schema(required)]
    pub closed_at: Option<At>,
    /// What was known of its cover at its opening.
    #[schema(required)]
    pub entitlement: Option<Entitlement>,
    /// What the person who recorded it wrote down, by field.
    pub intake: BTreeMap<String, String>,
    /// The closing report.
    #[schema(required)]
    pub closing: Option<ClosingReport>,
}

/// Whether a contract covered a ticket at its opening.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Entitlement {
    /// `covered` or `not-covered`.
    #[schema(required)]
    pub verdict: String,
    /// Why not: `none`, `expired`, `not-yet`, `unknown-contract`, `other-device`.
    #[schema(required)]
    pub why: Option<String>,
    /// The contract that covers it, or that comes nearest.
    #[schema(required)]
    pub contract: Option<String>,
    /// The service plan that it promises.
    #[schema(required)]
    pub plan: Option<String>,
    /// The contract's last day.
    #[schema(required)]
    pub until: Option<String>,
    /// The last day (expired) or first day (not yet) of the contract that comes nearest.
    #[schema(required)]
    pub day: Option<String>,
}

fn read<T: serde::de::DeserializeOwned>(json: Option<&String>) -> Option<T> {
    json.and_then(|json| serde_json::from_str(json).ok())
}

impl From<TicketRow> for TicketSummary {
    fn from(row: TicketRow) -> Self {
        let found: Option<Entitlement> = read(row.service.entitlement.as_ref());
        TicketSummary {
            covered: found.map(|e| e.verdict == "covered"),
            class: row.service.class,
            category: row.service.category,
            level: row.service.level,
            major: row.service.major,
            plan: row.service.plan,
            opened_by: row.service.opened_by,
            merged_into: row.service.merged_into,
            number: row.number,
            state: row.state,
            priority: row.priority,
            severity: row.severity,
            title: row.title.into(),
            text: row.text,
            agent: row.agent_id,
            device: DeviceRef { id: row.device_id, name: row.device_name },
            resource: row.resource,
            r#type: row.kind,
            site: row.site,
            customer: row.customer,
            contract: row.contract,
            assignee: row.assignee,
            opened_at: At(row.opened_at),
            updated_at: At(row.updated_at),
            condition_cleared_at: row.condition_cleared_at.map(At),
            recurrences: row.recurrences,
            test: row.test,
            version: row.version,
        }
    }
}

impl From<TicketRow> for Ticket {
    fn from(mut row: TicketRow) -> Self {
        Ticket {
            proposed_repair: row.proposed_repair.take(),
            fault_code: row.fault_code.take(),
            resolved_at: row.resolved_at.map(At),
            closed_at: row.closed_at.map(At),
            entitlement: read(row.service.entitlement.as_ref()),
            intake: read(row.service.intake.as_ref()).unwrap_or_default(),
            closing: read(row.service.closing.as_ref()),
            summary: row.into(),
        }
    }
}

/// Which rule raised an alarm.
#[derive(Debug, Serialize, ToSchema)]
pub struct Rule {
    /// A profile's name or `config`.
    pub pack: String,
    /// The pack's version.
    pub version: String,
    /// The rule's id inside its pack.
    pub id: String,
}

/// One raise-to-clear life of a fault.
#[derive(Debug, Serialize, ToSchema)]
pub struct Alarm {
    /// Its id.
    pub alarm_id: String,
    /// The agent.
    pub agent: String,
    /// The device's id.
    pub device_id: String,
    /// The device's name.
    pub device_name: String,
    /// The resource.
    pub resource: String,
    /// Alarm type.
    pub r#type: String,
    /// Tells apart several alarms of one type on one resource.
    pub qualifier: String,
    /// Present severity (the last one, when cleared).
    #[schema(value_type = SeverityName)]
    pub severity: String,
    /// Whether the condition stands.
    pub active: bool,
    /// What to show.
    pub message: MessageView,
    /// The device's own words.
    pub text: String,
    /// The rule.
    pub rule: Rule,
    /// Key of a knowledge article.
    #[schema(required)]
    pub fault_code: Option<String>,
    /// What usually mends it.
    #[schema(required)]
    pub proposed_repair: Option<String>,
    /// When the agent saw it first.
    pub raised_at: At,
    /// When it last changed.
    pub changed_at: At,
    /// When the condition went away.
    #[schema(required)]
    pub cleared_at: Option<At>,
    /// Whether it is a test.
    pub test: bool,
    /// Number of its ticket.
    #[schema(required)]
    pub ticket: Option<String>,
}

impl From<AlarmSummary> for Alarm {
    fn from(summary: AlarmSummary) -> Self {
        let AlarmSummary { alarm, device_name, ticket } = summary;
        let rule = alarm.rule;
        Alarm {
            alarm_id: alarm.alarm_id,
            agent: alarm.agent_id,
            device_id: alarm.device_id,
            device_name,
            resource: alarm.resource,
            r#type: alarm.kind,
            qualifier: alarm.qualifier,
            severity: alarm.severity,
            active: alarm.active,
            message: alarm.message.into(),
            text: alarm.text,
            rule: Rule { pack: rule.pack, version: rule.version, id: rule.id },
            fault_code: alarm.fault_code,
            proposed_repair: alarm.proposed_repair,
            raised_at: At(alarm.raised_at),
            changed_at: At(alarm.changed_at),
            cleared_at: alarm.cleared_at.map(At),
            test: alarm.test,
            ticket,
        }
    }
}

/// Something that shows the fault.
#[derive(Debug, Serialize, ToSchema)]
pub struct Evidence {
    /// The alarm that it came with.
    pub alarm_id: String,
    /// `log`, `console`, `snmp`, `host` or `command`.
    pub kind: String,
    /// Where it was read: a path, a port, an OID, a metric.
    pub origin: String,
    /// When it was read.
    pub at: At,
    /// The text itself, redacted at the agent.
    pub text: String,
    /// Whether something was cut off to keep within a limit.
    pub truncated: bool,
}

impl From<EvidenceRow> for Evidence {
    fn from(row: EvidenceRow) -> Self {
        Evidence {
            alarm_id: row.alarm_id,
            kind: row.evidence.kind,
            origin: row.evidence.origin,
            at: At(row.evidence.at),
            text: row.evidence.text,
            truncated: row.evidence.truncated,
        }
    }
}

/// One entry of a ticket's record.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimelineEntry {
    /// Its id.
    pub id: String,
    /// When.
    pub at: At,
    /// `agent:<id>`, `user:<name>` or `collector`.
    pub who: String,
    /// `opened`, `entitlement`, `recurred`, `severity`, `cleared`, `raised-again`, `state`, `comment`, `assigned`, `priority`,
    /// `class`, `category`, `major`, `merged`, `linked`, `unlinked`, …
    pub what: String,
    /// More, by kind of entry.
    pub detail: serde_json::Value,
}

impl From<Entry> for TimelineEntry {
    fn from(entry: Entry) -> Self {
        TimelineEntry {
            id: entry.id,
            at: At(entry.at),
            who: entry.who,
            what: entry.what,
            // What is not JSON is shown as it is: nothing of the record is hidden.
            detail: serde_json::from_str(&entry.detail)
                .unwrap_or(serde_json::Value::String(entry.detail)),
        }
    }
}
