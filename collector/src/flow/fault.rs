//! One transition of one alarm: alarm → case → ticket.

use callhome_shared::alarm::Alarm;
use callhome_shared::id::new_uuid;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use super::batch::Entry;
use super::ledger::{Held, HeldTicket, Ledger};
use super::tickets::{put_standing, standing_of};
use crate::diagnosis::{self, Place};
use crate::inbox::{self, Known, Order, Reason, Rejection};
use crate::store::alarms::AlarmRow;
use crate::store::cases::CaseRow;
use crate::store::tickets::TicketRow;
use crate::store::{Result, StoreError, timeline};
use crate::ticket::{self, Standing, State};

impl Ledger {
    /// Applies the transition, or says why it cannot be this alarm's.
    pub(super) fn fault(&mut self, entry: &Entry, alarm: &Alarm) -> Result<Option<Rejection>> {
        let id = alarm.alarm_id.to_string();
        let identity = diagnosis::identity(&entry.agent, &alarm.identity(), alarm.test);
        let known = match self.alarms.get(&id) {
            Some(held) if held.row.agent_id != entry.agent || held.row.identity != identity => {
                let text = "this alarm_id is another agent's, or another fault's";
                return Ok(Some(Rejection::new(Reason::AlarmMismatch, text)));
            }
            Some(held) => Some(known_of(&held.row)?),
            None => None,
        };
        let order = Order {
            epoch: entry.stream.epoch.clone(),
            seq: entry.numbered.seq,
            at: entry.numbered.time,
        };
        let update = inbox::follow(known.as_ref(), alarm, order);
        self.put_alarm(entry, alarm, &identity, &update);
        let key = (entry.agent.clone(), alarm.device.id.clone());
        self.devices.insert(key, (alarm.device.clone(), entry.received_at));
        self.put_in_case(entry, alarm, &identity, &update.now)?;
        Ok(None)
    }

    fn put_alarm(&mut self, entry: &Entry, alarm: &Alarm, identity: &str, update: &inbox::Update) {
        let id = alarm.alarm_id.to_string();
        let fresh = || alarm_row(entry, alarm, identity);
        let now = &update.now;
        let held = self.alarms.entry(id).or_insert_with(|| Held { row: fresh(), changed: true });
        if update.newest {
            held.row = fresh();
        }
        let row = &mut held.row;
        held.changed = true;
        row.severity = now.severity.as_str().to_owned();
        row.active = now.active;
        row.raised_at = now.raised_at;
        row.cleared_at = now.cleared_at;
        row.last_epoch.clone_from(&now.order.epoch);
        row.last_seq = now.order.seq;
        row.last_at = now.order.at;
    }

    fn put_in_case(
        &mut self,
        entry: &Entry,
        alarm: &Alarm,
        identity: &str,
        now: &Known,
    ) -> Result<()> {
        let id = alarm.alarm_id.to_string();
        let own = self.case_of_alarm.get(&id).cloned();
        let open = self.open_case.get(identity).cloned();
        let place = diagnosis::place(own.is_some(), open.is_some());
        let case_id = match own.or_else(|| open.clone()) {
            Some(case_id) => case_id,
            None => self.open_case_and_ticket(entry, alarm, identity, place),
        };
        if place != Place::Stays {
            self.added.attached.push((id.clone(), case_id.clone(), self.now));
            self.case_of_alarm.insert(id.clone(), case_id.clone());
        }
        let active = self.active.entry(case_id.clone()).or_default();
        if now.active {
            active.insert(id)
        } else {
            active.remove(&id)
        };
        let any_active = !active.is_empty();
        let newer_open = open.is_some_and(|open| open != case_id);
        let facts = Facts { place, any_active, may_reopen: now.active && !newer_open };
        self.tell_ticket(entry, alarm, &case_id, now, facts)
    }

    fn open_case_and_ticket(
        &mut self,
        entry: &Entry,
        alarm: &Alarm,
        identity: &str,
        place: Place,
    ) -> String {
        let id = alarm.alarm_id.to_string();
        let (standing, opened) = ticket::open(alarm.severity, &id, place.reason());
        let site = self.agents.get(&entry.agent).map(|a| (a.site.clone(), a.customer.clone()));
        let row = ticket_row(entry, alarm, &standing, site.unwrap_or_default(), self.now);
        let case = CaseRow {
            id: new_uuid().to_string(),
            identity: identity.to_owned(),
            ticket_id: row.id.clone(),
            opened_at: self.now,
            closed_at: None,
        };
        let case_id = case.id.clone();
        self.write_timeline(entry, &row.id, opened);
        self.open_case.insert(identity.to_owned(), case_id.clone());
        self.cases.insert(case_id.clone(), case.clone());
        self.added.cases.push(case);
        let held = HeldTicket { row, changed: true, new: true, reopened: false };
        self.tickets.insert(held.row.id.clone(), held);
        case_id
    }

    fn tell_ticket(
        &mut self,
        entry: &Entry,
        alarm: &Alarm,
        case_id: &str,
        now: &Known,
        facts: Facts,
    ) -> Result<()> {
        let missing = || StoreError::Schema(format!("case {case_id} without its ticket"));
        let case = self.cases.get(case_id).ok_or_else(missing)?;
        let (ticket_id, identity) = (case.ticket_id.clone(), case.identity.clone());
        let held = self.tickets.get_mut(&ticket_id).ok_or_else(missing)?;
        let before = standing_of(&held.row)?;
        let mut standing = before.clone();
        let entries = change(&mut standing, alarm, now, facts, self.now);
        if standing == before && entries.is_empty() {
            return Ok(());
        }
        put_standing(&mut held.row, &standing);
        held.row.updated_at = self.now;
        if !held.changed {
            held.changed = true;
            held.row.version += 1;
        }
        if before.state == State::Closed && standing.state != State::Closed {
            held.reopened = true;
            self.open_case.insert(identity, case_id.to_owned());
        }
        for one in entries {
            self.write_timeline(entry, &ticket_id, one);
        }
        Ok(())
    }

    fn write_timeline(&mut self, entry: &Entry, ticket_id: &str, said: ticket::Entry) {
        // What the alarm says is the agent's word; what follows from it is ours.
        let ours = matches!(said.what, "state" | "priority");
        let who = if ours { "collector".to_owned() } else { format!("agent:{}", entry.agent) };
        self.added.timeline.push(timeline::Entry {
            id: new_uuid().to_string(),
            ticket_id: ticket_id.to_owned(),
            at: self.now,
            who,
            what: said.what.to_owned(),
            detail: said.detail.to_string(),
        });
    }
}

/// What the ticket's changes depend on.
#[derive(Clone, Copy)]
struct Facts {
    place: Place,
    any_active: bool,
    may_reopen: bool,
}

fn change(
    standing: &mut Standing,
    alarm: &Alarm,
    now: &Known,
    facts: Facts,
    at: Time,
) -> Vec<ticket::Entry> {
    let id = alarm.alarm_id.to_string();
    let mut entries = Vec::new();
    if facts.place == Place::Joins {
        let reason = facts.place.reason();
        entries.extend(ticket::recur(standing, &id, now.active, reason, at));
    }
    entries.extend(ticket::worsen(standing, alarm.severity, &id, facts.may_reopen, at));
    let since = now.cleared_at.unwrap_or(alarm.observed_at);
    let condition = ticket::condition(standing, facts.any_active, &id, since);
    // A recurrence says already that the condition stands again.
    entries.extend(condition.filter(|e| facts.place != Place::Joins || e.what == "cleared"));
    entries
}

fn known_of(row: &AlarmRow) -> Result<Known> {
    let severity = Severity::parse(&row.severity).ok_or_else(|| StoreError::Column {
        column: "alarms.severity".into(),
        why: format!("unknown word {:?}", row.severity),
    })?;
    Ok(Known {
        active: row.active,
        severity,
        raised_at: row.raised_at,
        cleared_at: row.cleared_at,
        order: Order { epoch: row.last_epoch.clone(), seq: row.last_seq, at: row.last_at },
    })
}

fn alarm_row(entry: &Entry, alarm: &Alarm, identity: &str) -> AlarmRow {
    AlarmRow {
        alarm_id: alarm.alarm_id.to_string(),
        agent_id: entry.agent.clone(),
        device_id: alarm.device.id.clone(),
        identity: identity.to_owned(),
        resource: alarm.resource.clone(),
        kind: alarm.kind.clone(),
        qualifier: alarm.qualifier.clone(),
        severity: alarm.severity.as_str().to_owned(),
        active: true,
        fault_code: alarm.fault_code.clone(),
        message: alarm.message.clone(),
        text: alarm.text.clone(),
        rule: alarm.rule.clone(),
        proposed_repair: alarm.proposed_repair.clone(),
        raised_at: alarm.observed_at,
        changed_at: alarm.observed_at,
        cleared_at: None,
        test: alarm.test,
        shadow: false,
        flapping: alarm.flapping,
        last_epoch: String::new(),
        last_seq: 0,
        last_at: entry.numbered.time,
    }
}

fn ticket_row(
    entry: &Entry,
    alarm: &Alarm,
    standing: &Standing,
    (site, customer): (Option<String>, Option<String>),
    now: Time,
) -> TicketRow {
    let device = &alarm.device;
    let mut row = TicketRow {
        id: new_uuid().to_string(),
        ordinal: 0,
        number: String::new(),
        state: String::new(),
        priority: String::new(),
        severity: String::new(),
        title: alarm.message.clone(),
        text: alarm.text.clone(),
        agent_id: entry.agent.clone(),
        device_id: device.id.clone(),
        device_name: device.name.clone(),
        resource: alarm.resource.clone(),
        kind: alarm.kind.clone(),
        site: device.site.clone().or(site),
        customer: device.customer.clone().or(customer),
        contract: device.contract.clone(),
        fault_code: alarm.fault_code.clone(),
        proposed_repair: alarm.proposed_repair.clone(),
        assignee: None,
        opened_at: now,
        updated_at: now,
        condition_cleared_at: None,
        resolved_at: None,
        closed_at: None,
        recurrences: 0,
        test: alarm.test,
        shadow: false,
        version: 1,
    };
    put_standing(&mut row, standing);
    row
}
