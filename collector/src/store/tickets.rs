//! Tickets.

use callhome_shared::alarm::Message;
use callhome_shared::probe::SHADOW_PREFIX;
use callhome_shared::time::Time;

use super::alarms::to_json;
pub use super::queue::{Assignee, Filter, States, list};
use super::rows::{insert, read_as, select_in, tuple};
use super::{Db, Result, Row, StoreError, Tx, Val};
use crate::args;

/// A ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketRow {
    /// Its id.
    pub id: String,
    /// Its number as a number: order and paging.
    pub ordinal: i64,
    /// Its number as people write it: `T-000123`.
    pub number: String,
    /// See `ticket::State`.
    pub state: String,
    /// `p1` … `p4`.
    pub priority: String,
    /// Worst severity of its alarms so far.
    pub severity: String,
    /// What to show.
    pub title: Message,
    /// The device's own words.
    pub text: String,
    /// The agent.
    pub agent_id: String,
    /// The device's id.
    pub device_id: String,
    /// The device's name.
    pub device_name: String,
    /// The resource.
    pub resource: String,
    /// Alarm type.
    pub kind: String,
    /// Site.
    pub site: Option<String>,
    /// Customer.
    pub customer: Option<String>,
    /// Service contract.
    pub contract: Option<String>,
    /// Key of a knowledge article.
    pub fault_code: Option<String>,
    /// What usually mends it.
    pub proposed_repair: Option<String>,
    /// Who works on it (a user's name).
    pub assignee: Option<String>,
    /// When it was opened.
    pub opened_at: Time,
    /// When it last changed.
    pub updated_at: Time,
    /// Since when none of its alarms is active.
    pub condition_cleared_at: Option<Time>,
    /// When it was resolved.
    pub resolved_at: Option<Time>,
    /// When it was closed.
    pub closed_at: Option<Time>,
    /// Alarm lives after the first.
    pub recurrences: i64,
    /// Whether it is a test.
    pub test: bool,
    /// Of a probe: apart from all lists and counts. Its ordinal is below zero, its number is `P-000123`.
    pub shadow: bool,
    /// What the service side knows of it.
    pub service: Service,
    /// +1 per change.
    pub version: i64,
}

/// What the service side knows of a ticket beside the fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What was known of its cover at its opening: `entitlement::Verdict` as JSON; `None`: not asked.
    pub entitlement: Option<String>,
    /// The service plan that is promised.
    pub plan: Option<String>,
    /// `service_request` or `scheduled_event`.
    pub class: String,
    /// `a` … `g`.
    pub category: Option<String>,
    /// Escalated to: `l2`, `l3`, `engineering`.
    pub level: Option<String>,
    /// A major incident.
    pub major: bool,
    /// Who opened it; `None`: an alarm did.
    pub opened_by: Option<String>,
    /// What the person wrote down, JSON.
    pub intake: Option<String>,
    /// The closing report, JSON.
    pub closing: Option<String>,
    /// The ticket that it is a duplicate of.
    pub merged_into: Option<String>,
    /// Its fault comes and goes.
    pub flapping: bool,
}

impl Default for Service {
    fn default() -> Self {
        Service {
            entitlement: None,
            plan: None,
            class: "service_request".to_owned(),
            category: None,
            level: None,
            major: false,
            opened_by: None,
            intake: None,
            closing: None,
            merged_into: None,
            flapping: false,
        }
    }
}

/// The number people write.
pub fn number(ordinal: i64) -> String {
    format!("T-{ordinal:06}")
}

/// The number of a shadow ticket, whose ordinal is below zero.
pub fn shadow_number(ordinal: i64) -> String {
    format!("{SHADOW_PREFIX}{:06}", ordinal.unsigned_abs())
}

/// Reads [`shadow_number`] back.
fn shadow_ordinal(number: &str) -> Option<i64> {
    let digits = number.trim().strip_prefix(SHADOW_PREFIX)?;
    digits.parse::<i64>().ok().filter(|n| *n > 0).map(|n| -n)
}

/// Reads [`number`] back, forgiving case and missing zeros.
pub fn ordinal(number: &str) -> Option<i64> {
    let digits = number.trim().strip_prefix(['T', 't'])?.strip_prefix('-')?;
    digits.parse().ok().filter(|n| *n > 0)
}

pub(super) fn from_row(row: &Row) -> Result<TicketRow> {
    let title = serde_json::from_str(&row.text("title")?)
        .map_err(|e| StoreError::Column { column: "title".into(), why: e.to_string() })?;
    Ok(TicketRow {
        id: row.text("id")?,
        ordinal: row.int("ordinal")?,
        number: row.text("number")?,
        state: row.text("state")?,
        priority: row.text("priority")?,
        severity: row.text("severity")?,
        title,
        text: row.text("text")?,
        agent_id: row.text("agent_id")?,
        device_id: row.text("device_id")?,
        device_name: row.text("device_name")?,
        resource: row.text("resource")?,
        kind: row.text("kind")?,
        site: row.opt_text("site")?,
        customer: row.opt_text("customer")?,
        contract: row.opt_text("contract")?,
        fault_code: row.opt_text("fault_code")?,
        proposed_repair: row.opt_text("proposed_repair")?,
        assignee: row.opt_text("assignee")?,
        opened_at: Time(row.int("opened_at")?),
        updated_at: Time(row.int("updated_at")?),
        condition_cleared_at: row.opt_int("condition_cleared_at")?.map(Time),
        resolved_at: row.opt_int("resolved_at")?.map(Time),
        closed_at: row.opt_int("closed_at")?.map(Time),
        recurrences: row.int("recurrences")?,
        test: row.flag("test")?,
        shadow: row.flag("shadow")?,
        service: Service {
            entitlement: row.opt_text("entitlement")?,
            plan: row.opt_text("plan")?,
            class: row.text("class")?,
            category: row.opt_text("category")?,
            level: row.opt_text("level")?,
            major: row.flag("major")?,
            opened_by: row.opt_text("opened_by")?,
            intake: row.opt_text("intake")?,
            closing: row.opt_text("closing")?,
            merged_into: row.opt_text("merged_into")?,
            flapping: row.flag("flapping")?,
        },
        version: row.int("version")?,
    })
}

/// The ticket of that number, a shadow ticket included.
pub async fn get(db: &Db, number: &str) -> Result<Option<TicketRow>> {
    let Some(ordinal) = ordinal(number).or_else(|| shadow_ordinal(number)) else { return Ok(None) };
    let row = db.read_one("SELECT * FROM tickets WHERE ordinal = $1", args![ordinal]).await?;
    row.as_ref().map(from_row).transpose()
}

/// [`get`] inside a transaction, to change it: shadow tickets are nobody's work.
pub async fn get_in(tx: &mut Tx, number: &str) -> Result<Option<TicketRow>> {
    let Some(ordinal) = ordinal(number) else { return Ok(None) };
    let row = tx.query_one("SELECT * FROM tickets WHERE ordinal = $1", args![ordinal]).await?;
    row.as_ref().map(from_row).transpose()
}

/// How many tickets there are by state: (state, count).
pub async fn count_by_state(db: &Db) -> Result<Vec<(String, i64)>> {
    let sql =
        "SELECT state, COUNT(*) AS n FROM tickets WHERE shadow = 0 GROUP BY state ORDER BY state";
    read_as(db, sql, vec![], |row| Ok((row.text("state")?, row.int("n")?))).await
}

/// Those of `ids` that exist.
pub async fn load(tx: &mut Tx, ids: &[String]) -> Result<Vec<TicketRow>> {
    let rows = select_in(tx, "SELECT * FROM tickets WHERE id", ids, "").await?;
    rows.iter().map(from_row).collect()
}

/// [`load`] outside of a transaction, of at most 200.
pub async fn with_ids(db: &Db, ids: &[String]) -> Result<Vec<TicketRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let args: Vec<Val> = ids.iter().take(201).map(Val::from).collect();
    let sql = format!("SELECT * FROM tickets WHERE id IN {}", tuple(1, args.len()));
    read_as(db, sql, args, from_row).await
}

/// Takes `count` new ordinals; answers the first of them. They are given back on rollback.
pub async fn take_ordinals(tx: &mut Tx, count: i64) -> Result<i64> {
    let sql = "UPDATE ticket_number SET last = last + $1 WHERE only_row = 1 RETURNING last";
    match tx.query_one(sql, args![count]).await? {
        Some(row) => Ok(row.int("last")? - count + 1),
        None => Err(StoreError::Schema("table ticket_number has no row".into())),
    }
}

/// [`take_ordinals`] for shadow tickets: the numbers after the last one, as positive numbers.
pub async fn take_shadow_numbers(tx: &mut Tx, count: i64) -> Result<i64> {
    let sql = "UPDATE ticket_number SET last = last + $1 WHERE only_row = 2 RETURNING last";
    match tx.query_one(sql, args![count]).await? {
        Some(row) => Ok(row.int("last")? - count + 1),
        None => Err(StoreError::Schema("table ticket_number has no row for shadow tickets".into())),
    }
}

/// A ticket is that person's, in a transaction that has written or locked it.
pub async fn set_assignee(tx: &mut Tx, id: &str, person: &str) -> Result<()> {
    tx.execute("UPDATE tickets SET assignee = $2 WHERE id = $1", args![id, person]).await.map(drop)
}

/// Something about a ticket is new: who has seen it before has not seen this.
pub async fn touch(tx: &mut Tx, id: &str, at: Time) -> Result<()> {
    let sql = "UPDATE tickets SET version = version + 1, updated_at = $2 WHERE id = $1";
    tx.execute(sql, args![id, at]).await.map(drop)
}

/// Writes tickets, sorted by id. One that exists must have been read at version − 1, else
/// [`StoreError::Changed`].
pub async fn save(tx: &mut Tx, all: &[TicketRow]) -> Result<()> {
    let mut rows = Vec::with_capacity(all.len());
    for t in all {
        rows.push(args![
            &t.id,
            t.ordinal,
            &t.number,
            &t.state,
            &t.priority,
            &t.severity,
            to_json(&t.title, "title")?,
            &t.text,
            &t.agent_id,
            &t.device_id,
            &t.device_name,
            &t.resource,
            &t.kind,
            &t.site,
            &t.customer,
            &t.contract,
            &t.fault_code,
            &t.proposed_repair,
            &t.assignee,
            t.opened_at,
            t.updated_at,
            t.condition_cleared_at,
            t.resolved_at,
            t.closed_at,
            t.recurrences,
            t.test,
            t.shadow,
            &t.service.entitlement,
            &t.service.plan,
            &t.service.class,
            &t.service.category,
            &t.service.level,
            t.service.major,
            &t.service.opened_by,
            &t.service.intake,
            &t.service.closing,
            &t.service.merged_into,
            t.service.flapping,
            t.version
        ]);
    }
    let head = "INSERT INTO tickets (id, ordinal, number, state, priority, severity, title, text, agent_id, \
                device_id, device_name, resource, kind, site, customer, contract, fault_code, proposed_repair, \
                assignee, opened_at, updated_at, condition_cleared_at, resolved_at, closed_at, recurrences, test, shadow, \
                entitlement, plan, class, category, level, major, opened_by, intake, closing, merged_into, flapping, version)";
    let tail = "ON CONFLICT (id) DO UPDATE SET state = excluded.state, priority = excluded.priority, \
                severity = excluded.severity, assignee = excluded.assignee, updated_at = excluded.updated_at, \
                condition_cleared_at = excluded.condition_cleared_at, resolved_at = excluded.resolved_at, \
                closed_at = excluded.closed_at, recurrences = excluded.recurrences, \
                plan = excluded.plan, contract = excluded.contract, entitlement = excluded.entitlement, \
                class = excluded.class, category = excluded.category, level = excluded.level, \
                major = excluded.major, closing = excluded.closing, merged_into = excluded.merged_into, \
                flapping = excluded.flapping, \
                version = excluded.version \
                WHERE tickets.version = excluded.version - 1";
    let touched = insert(tx, head, rows, tail).await?;
    if usize::try_from(touched) == Ok(all.len()) {
        Ok(())
    } else {
        Err(StoreError::Changed("ticket"))
    }
}
