//! A cause that comes after its consequences: tickets that nobody has touched and that follow from it become
//! part of its ticket. And a life that is found to be a consequence enters its cause's ticket.

use std::collections::BTreeSet;

use callhome_shared::alarm::Alarm;
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use serde_json::json;

use super::diagnosis::Guide;
use super::fault::Origin;
use super::findings::{fault, faults, told};
use super::ledger::Ledger;
use super::tickets::{put_standing, standing_of, write};
use crate::diagnosis::Place;
use crate::diagnosis::cause::{self, Cause};
use crate::diagnosis::effect::{effect, loss};
use crate::inbox::Known;
use crate::store::alarms::{self, AlarmRow};
use crate::store::cases::{self, CaseRow};
use crate::store::decisions::{self, DecisionRow};
use crate::store::tickets::{self, TicketRow};
use crate::store::{Result, Tx, topology};
use crate::ticket;

/// Consequences that a ticket's timeline tells one by one. All of them are counted, and listed with the ticket.
const TOLD: usize = 20;
/// Tickets that are looked at for one cause.
const MOST: i64 = 1000;

impl Ledger {
    /// The life opens a ticket, or joins the open one of its identity.
    pub(super) fn join_or_open(
        &mut self,
        origin: &Origin<'_>,
        alarm: &Alarm,
        identity: &str,
        now: &Known,
        joins: bool,
    ) -> Result<()> {
        let open = self.open_case.get(identity).cloned().filter(|_| joins);
        let place = if open.is_some() { Place::Joins } else { Place::Opens };
        let case =
            open.unwrap_or_else(|| self.open_case_and_ticket(origin, alarm, identity, place));
        self.enter(origin, alarm, &case, place, (now, false))
    }

    /// The life is a consequence: it enters its cause's ticket, in a case of its own.
    pub(super) fn attach(
        &mut self,
        origin: &Origin<'_>,
        alarm: &Alarm,
        identity: &str,
        now: &Known,
        (ticket_id, cause): (&str, &Cause),
    ) -> Result<()> {
        let case = CaseRow {
            id: new_uuid().to_string(),
            identity: identity.to_owned(),
            ticket_id: ticket_id.to_owned(),
            opened_at: self.now,
            closed_at: None,
            consequence: true,
        };
        let case_id = case.id.clone();
        let here = self.cases_of.get(ticket_id).map_or(0, BTreeSet::len);
        let all = self.kin.get(ticket_id).map_or(0, |kin| kin.cases);
        if here.max(usize::try_from(all).unwrap_or(0)) <= TOLD {
            let mut detail = told(cause);
            if let Some(object) = detail.as_object_mut() {
                object.insert("alarm_id".into(), alarm.alarm_id.to_string().into());
                object.insert("device".into(), alarm.device.name.clone().into());
                object.insert("resource".into(), alarm.resource.clone().into());
                object.insert("type".into(), alarm.kind.clone().into());
            }
            let entry = ticket::Entry { what: "consequence", detail };
            self.write_timeline(origin, ticket_id, entry);
        }
        self.open_case.insert(identity.to_owned(), case_id.clone());
        self.put_case(case.clone());
        self.added.cases.push(case);
        self.enter(origin, alarm, &case_id, Place::Opens, (now, false))
    }
}

/// Takes the tickets that follow from this alarm, which has opened one, into that; answers the numbers of
/// those that changed.
pub(super) async fn adopt(
    tx: &mut Tx,
    guide: &Guide,
    alarm: &AlarmRow,
    now: Time,
) -> Result<Vec<String>> {
    let here = guide.topology.node_of(&alarm.agent_id, &alarm.device_id);
    let Some(here) = here.filter(|node| guide.topology.carries(*node)) else {
        return Ok(Vec::new());
    };
    if loss(&alarm.kind).is_none() {
        return Ok(Vec::new());
    }
    let case = cases::of_alarms(tx, std::slice::from_ref(&alarm.alarm_id)).await?;
    let Some(ticket_id) = case.into_iter().next().map(|(_, case)| case.ticket_id) else {
        return Ok(Vec::new());
    };
    let since = now.plus_ms(-guide.rules.within_ms);
    let mut all = topology::untouched(tx, since, MOST).await?;
    all.retain(|(ticket, _)| ticket.id != ticket_id);
    let ids: Vec<String> = all.iter().map(|(_, alarm)| alarm.clone()).collect();
    let rows = alarms::load(tx, &ids).await?;
    let mut behind = Vec::new();
    for (ticket, opener) in all {
        let Some(row) = rows.iter().find(|row| row.alarm_id == opener) else { continue };
        let node = guide.topology.node_of(&row.agent_id, &row.device_id);
        let Some(node) = node.filter(|_| effect(&row.kind).is_some()) else { continue };
        let above = guide.topology.ancestors(node);
        if above.contains(&here) {
            behind.push((ticket, row, node, above));
        }
    }
    let nodes = behind.iter().flat_map(|(.., above)| above.iter().copied());
    let faults = faults(tx, guide, &nodes.collect(), now).await?;
    let mut taken = Vec::new();
    for (ticket, row, node, _) in behind {
        let within = guide.rules.within_ms;
        let cause = cause::find(&guide.topology, &faults, node, &fault(row), within);
        let Some(cause) = cause else { continue };
        let of = cases::of_alarms(tx, std::slice::from_ref(&cause.alarm_id)).await?;
        if of.first().is_some_and(|(_, case)| case.ticket_id == ticket_id) {
            taken.push((ticket, row, cause));
        }
    }
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let Some(into) = tickets::load(tx, std::slice::from_ref(&ticket_id)).await?.pop() else {
        return Ok(Vec::new());
    };
    take(tx, into, taken, now).await
}

/// Writes it.
async fn take(
    tx: &mut Tx,
    mut into: TicketRow,
    taken: Vec<(TicketRow, &AlarmRow, Cause)>,
    now: Time,
) -> Result<Vec<String>> {
    let mut takes = standing_of(&into)?;
    if takes.state.is_over() {
        return Ok(Vec::new());
    }
    let mut touched = vec![into.number.clone()];
    let mut entries = Vec::new();
    for (mut row, alarm, cause) in taken {
        let mut standing = standing_of(&row)?;
        let (severity, priority) = (standing.severity, standing.priority);
        let Ok(mut entry) = ticket::merge(&mut standing, &into.number, now) else { continue };
        if let Some(object) = entry.detail.as_object_mut() {
            object.insert("reason".into(), "consequence".into());
        }
        let lives = cases::adopt(tx, &row.id, &into.id, now).await?;
        put_standing(&mut row, &standing);
        row.service.merged_into = Some(into.number.clone());
        write(tx, &mut row, "collector", now, vec![entry]).await?;
        let id = alarm.alarm_id.clone();
        let said = ticket::worsen(&mut takes, severity, &id, true, now);
        entries.extend(said);
        takes.priority = takes.priority.min(priority);
        if touched.len() <= TOLD {
            let mut detail = told(&cause);
            if let Some(object) = detail.as_object_mut() {
                object.insert("alarm_id".into(), id.clone().into());
                object.insert("device".into(), row.device_name.clone().into());
                object.insert("resource".into(), alarm.resource.clone().into());
                object.insert("type".into(), alarm.kind.clone().into());
                object.insert("from".into(), row.number.clone().into());
                object.insert("lives".into(), lives.into());
            }
            entries.push(ticket::Entry { what: "consequence", detail });
        }
        let before = decisions::load(tx, std::slice::from_ref(&id)).await?.pop();
        let decision = DecisionRow {
            alarm_id: id,
            outcome: "consequence".to_owned(),
            why: None,
            rule: before.as_ref().and_then(|before| before.rule.clone()),
            worst: severity.as_str().to_owned(),
            since: before.map_or(now, |before| before.since),
            until: None,
            look_at: None,
            detail: told(&cause).to_string(),
        };
        decisions::save(tx, &[decision]).await?;
        touched.push(row.number);
    }
    if takes.condition_cleared_at.is_some() && !cases::active_in(tx, &into.id, 1).await?.is_empty()
    {
        takes.condition_cleared_at = None;
        let detail = json!({ "at": now.to_string() });
        entries.push(ticket::Entry { what: "raised-again", detail });
    }
    put_standing(&mut into, &takes);
    write(tx, &mut into, "collector", now, entries).await?;
    Ok(touched)
}
