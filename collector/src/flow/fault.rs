//! One transition of one alarm: alarm → case → ticket.

use callhome_shared::alarm::Alarm;
use callhome_shared::id::new_uuid;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use super::batch::Entry;
use super::ledger::{Held, HeldTicket, Ledger};
use super::tickets::{put_standing, standing_of};
use crate::diagnosis::{self, OpenCase, Place};
use crate::inbox::{self, Known, Order, Reason, Rejection};
use crate::store::alarms::AlarmRow;
use crate::store::cases::CaseRow;
use crate::store::tickets::TicketRow;
use crate::store::{Result, StoreError, timeline};
use crate::ticket::{self, Standing};

/// Who says something about an alarm, and where it stands among the other things he says.
#[derive(Clone, Debug)]
pub(super) struct Origin<'a> {
    /// The agent.
    pub(super) agent: &'a str,
    /// The place.
    pub(super) order: Order,
    /// When it came in.
    pub(super) received_at: Time,
    /// The collector itself says it, about the agent.
    pub(super) own: bool,
    /// Why, where it is not simply the alarm's own transition: a stable word.
    pub(super) reason: Option<&'static str>,
}

impl<'a> Origin<'a> {
    /// An envelope of the agent.
    pub(super) fn of(entry: &'a Entry) -> Self {
        let (epoch, seq, at) =
            (entry.stream.epoch.clone(), entry.numbered.seq, entry.numbered.time);
        Origin {
            agent: &entry.agent,
            order: Order { epoch, seq, at },
            received_at: entry.received_at,
            own: false,
            reason: None,
        }
    }
}

impl Ledger {
    /// Applies the transition, or says why it cannot be this alarm's.
    pub(super) fn fault(
        &mut self,
        origin: &Origin<'_>,
        alarm: &Alarm,
    ) -> Result<Option<Rejection>> {
        let identity = diagnosis::identity(origin.agent, &alarm.identity(), alarm.test);
        let known = match self.known(origin, alarm, &identity) {
            Ok(known) => known?,
            Err(rejection) => return Ok(Some(rejection)),
        };
        let update = inbox::follow(known.as_ref(), alarm, origin.order.clone());
        self.settle(origin, alarm, &identity, &update)?;
        Ok(None)
    }

    /// What is known of the alarm; a rejection where it is another agent's or another fault's.
    pub(super) fn known(
        &self,
        origin: &Origin<'_>,
        alarm: &Alarm,
        identity: &str,
    ) -> std::result::Result<Result<Option<Known>>, Rejection> {
        match self.alarms.get(&alarm.alarm_id.to_string()) {
            Some(held) if held.row.agent_id != origin.agent || held.row.identity != identity => {
                let text = "this alarm_id is another agent's, or another fault's";
                Err(Rejection::new(Reason::AlarmMismatch, text))
            }
            Some(held) => Ok(known_of(&held.row).map(Some)),
            None => Ok(Ok(None)),
        }
    }

    /// The alarm is this from now on: it, its device, its case and its ticket.
    pub(super) fn settle(
        &mut self,
        origin: &Origin<'_>,
        alarm: &Alarm,
        identity: &str,
        update: &inbox::Update,
    ) -> Result<()> {
        self.put_alarm(origin, alarm, identity, update);
        if !origin.own {
            let key = (origin.agent.to_owned(), alarm.device.id.clone());
            self.devices.insert(key, (alarm.device.clone(), origin.received_at));
        }
        self.put_in_case(origin, alarm, identity, &update.now)
    }

    /// The alarm is over, although nobody cleared it; `at`: since when.
    pub(super) fn end(&mut self, origin: &Origin<'_>, alarm_id: &str, at: Time) -> Result<()> {
        let Some(held) = self.alarms.get_mut(alarm_id) else { return Ok(()) };
        let row = &mut held.row;
        (row.active, row.cleared_at, held.changed) = (false, Some(at.max(row.raised_at)), true);
        row.last_epoch.clone_from(&origin.order.epoch);
        (row.last_seq, row.last_at) = (origin.order.seq, origin.order.at);
        let at = at.max(row.raised_at);
        let Some(case_id) = self.case_of_alarm.get(alarm_id).cloned() else {
            // One that waits, or was only recorded, has none.
            if !self.decisions.contains_key(alarm_id) {
                tracing::warn!(alarm_id, "an alarm without a case is over");
            }
            return Ok(());
        };
        let active = self.active.entry(case_id.clone()).or_default();
        active.remove(alarm_id);
        let any_active = self.weigh(&case_id);
        self.tell_ticket(origin, &case_id, |standing, _| {
            ticket::condition(standing, any_active, alarm_id, at).into_iter().collect()
        })
    }

    /// A case's active lives have changed: whether any alarm of its ticket is active now. A consequence that
    /// is over is a case that is over: when it comes again it is judged again.
    fn weigh(&mut self, case_id: &str) -> bool {
        let active = self.active.get(case_id).is_some_and(|active| !active.is_empty());
        let Some(case) = self.cases.get_mut(case_id) else { return active };
        let ticket_id = case.ticket_id.clone();
        if case.consequence && active != case.closed_at.is_none() {
            let taken = self.open_case.get(&case.identity).is_some_and(|open| open != case_id);
            if !active {
                case.closed_at = Some(self.now);
                if !taken {
                    self.open_case.remove(&case.identity);
                }
            } else if !taken {
                case.closed_at = None;
                self.open_case.insert(case.identity.clone(), case_id.to_owned());
            }
            self.overs.insert(case_id.to_owned(), case.closed_at);
        }
        if self.kin.contains_key(&ticket_id)
            && let Some(held) = self.tickets.get_mut(&ticket_id)
            && !held.changed
        {
            // Who clears the other cases at the same time must meet this one.
            held.changed = true;
            held.row.version += 1;
        }
        self.stands(&ticket_id)
    }

    fn put_alarm(
        &mut self,
        origin: &Origin<'_>,
        alarm: &Alarm,
        identity: &str,
        update: &inbox::Update,
    ) {
        let id = alarm.alarm_id.to_string();
        let fresh = || alarm_row(origin, alarm, identity);
        let now = &update.now;
        if !self.alarms.contains_key(&id) {
            *self.lives.entry(identity.to_owned()).or_default() += 1;
        }
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
        origin: &Origin<'_>,
        alarm: &Alarm,
        identity: &str,
        now: &Known,
    ) -> Result<()> {
        let id = alarm.alarm_id.to_string();
        let own = self.case_of_alarm.get(&id).cloned();
        let open = self.open_case.get(identity).cloned();
        let place = diagnosis::place(own.is_some(), open.as_ref().map(|c| self.open(c, origin)));
        let (case_id, flaps) = match own.or_else(|| open.clone()) {
            Some(case_id) => (case_id, self.flaps(identity)),
            None => match self.first_word(origin, alarm, identity, now) {
                Some(flaps) => (self.open_case_and_ticket(origin, alarm, identity, place), flaps),
                None => return Ok(()),
            },
        };
        self.enter(origin, alarm, &case_id, place, (now, flaps && !origin.own && !alarm.test))
    }

    /// Whether the identity comes and goes.
    fn flaps(&self, identity: &str) -> bool {
        let lives = self.lives.get(identity).copied().unwrap_or(0);
        diagnosis::judge::flaps(&self.guide.rules, lives)
    }

    /// The life is in this case from now on, or still, and its ticket is told.
    pub(super) fn enter(
        &mut self,
        origin: &Origin<'_>,
        alarm: &Alarm,
        case_id: &str,
        place: Place,
        (now, flaps): (&Known, bool),
    ) -> Result<()> {
        let id = alarm.alarm_id.to_string();
        let case_id = case_id.to_owned();
        let case = self.cases.get(&case_id);
        let (identity, consequence) =
            case.map(|case| (case.identity.clone(), case.consequence)).unwrap_or_default();
        // Another life of a consequence is no recurrence of what the ticket is about.
        let told = if consequence && place == Place::Joins { Place::Stays } else { place };
        if place != Place::Stays {
            self.added.attached.push((id.clone(), case_id.clone(), self.now, consequence));
            self.case_of_alarm.insert(id.clone(), case_id.clone());
        }
        let open = self.open_case.get(&identity).cloned();
        let active = self.active.entry(case_id.clone()).or_default();
        if now.active {
            active.insert(id, origin.own)
        } else {
            active.remove(&id)
        };
        let any_active = self.weigh(&case_id);
        let newer_open = open.is_some_and(|open| open != case_id);
        let may_reopen = now.active && !newer_open;
        let quiet =
            flaps && place != Place::Stays && self.note_flapping(origin, &case_id, &identity);
        let facts = Facts { place: told, any_active, may_reopen, again: origin.reason };
        self.tell_ticket(origin, &case_id, |standing, at| {
            let mut entries = change(standing, alarm, now, facts, at);
            entries
                .retain(|e| !quiet || !matches!(e.what, "recurred" | "cleared" | "raised-again"));
            entries
        })
    }

    /// The ticket says that its fault flaps; `true`: it said so before, and further lives are only counted.
    pub(super) fn note_flapping(
        &mut self,
        origin: &Origin<'_>,
        case_id: &str,
        identity: &str,
    ) -> bool {
        let lives = self.lives.get(identity).copied().unwrap_or(0);
        let window_s = self.guide.rules.flap_ms / 1000;
        let ticket_id = self.cases.get(case_id).map(|case| case.ticket_id.clone());
        let Some(ticket_id) = ticket_id else { return false };
        let Some(held) = self.tickets.get_mut(&ticket_id) else { return false };
        if held.row.service.flapping {
            return true;
        }
        held.row.service.flapping = true;
        if !held.changed {
            held.changed = true;
            held.row.version += 1;
        }
        let detail = serde_json::json!({ "lives": lives, "window_s": window_s });
        self.write_timeline(origin, &ticket_id, ticket::Entry { what: "flapping", detail });
        false
    }

    fn open(&self, case_id: &str, origin: &Origin<'_>) -> OpenCase {
        let mut active = self.active.get(case_id).into_iter().flat_map(|lives| lives.values());
        let first = active.next().is_some_and(|own| *own != origin.own);
        OpenCase { stands_by_other_side: first && active.all(|own| *own != origin.own) }
    }

    pub(super) fn open_case_and_ticket(
        &mut self,
        origin: &Origin<'_>,
        alarm: &Alarm,
        identity: &str,
        place: Place,
    ) -> String {
        let id = alarm.alarm_id.to_string();
        let (standing, opened) = ticket::open(alarm.severity, &id, place.reason());
        let site = self.agents.get(origin.agent).map(|a| (a.site.clone(), a.customer.clone()));
        let row = ticket_row(origin, alarm, &standing, site.unwrap_or_default(), self.now);
        let case = CaseRow {
            id: new_uuid().to_string(),
            identity: identity.to_owned(),
            ticket_id: row.id.clone(),
            opened_at: self.now,
            closed_at: None,
            consequence: false,
        };
        let case_id = case.id.clone();
        self.write_timeline(origin, &row.id, opened);
        self.open_case.insert(identity.to_owned(), case_id.clone());
        self.put_case(case.clone());
        self.added.cases.push(case);
        let held = HeldTicket { row, changed: true, new: true, reopened: false };
        self.tickets.insert(held.row.id.clone(), held);
        case_id
    }

    pub(super) fn tell_ticket(
        &mut self,
        origin: &Origin<'_>,
        case_id: &str,
        change: impl FnOnce(&mut Standing, Time) -> Vec<ticket::Entry>,
    ) -> Result<()> {
        let missing = || StoreError::Schema(format!("case {case_id} without its ticket"));
        let case = self.cases.get(case_id).ok_or_else(missing)?;
        let (ticket_id, identity) = (case.ticket_id.clone(), case.identity.clone());
        let held = self.tickets.get_mut(&ticket_id).ok_or_else(missing)?;
        let before = standing_of(&held.row)?;
        let mut standing = before.clone();
        let entries = change(&mut standing, self.now);
        if standing == before && entries.is_empty() {
            return Ok(());
        }
        put_standing(&mut held.row, &standing);
        held.row.updated_at = self.now;
        if !held.changed {
            held.changed = true;
            held.row.version += 1;
        }
        if before.state.is_over() && !standing.state.is_over() {
            held.reopened = true;
            self.open_case.insert(identity, case_id.to_owned());
        }
        for one in entries {
            self.write_timeline(origin, &ticket_id, one);
        }
        Ok(())
    }

    pub(super) fn write_timeline(
        &mut self,
        origin: &Origin<'_>,
        ticket_id: &str,
        mut said: ticket::Entry,
    ) {
        // What the alarm says is the agent's word; what follows from it is ours.
        let derived = ["state", "priority", "flapping", "consequence"].contains(&said.what);
        let ours = origin.own || derived;
        let who = match origin.agent {
            _ if ours => "collector".to_owned(),
            // Another source than an agent; it says so itself.
            source if source.contains(':') => source.to_owned(),
            agent => format!("agent:{agent}"),
        };
        if let (Some(reason), Some(detail)) = (origin.reason, said.detail.as_object_mut()) {
            detail.entry("reason").or_insert_with(|| reason.into());
        }
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
    /// Why it stands although it was held to be cleared, if so.
    again: Option<&'static str>,
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
    if facts.place == Place::Confirms {
        entries.push(ticket::confirm(&id, facts.place.reason()));
    }
    entries.extend(ticket::worsen(standing, alarm.severity, &id, facts.may_reopen, at));
    let since = now.cleared_at.unwrap_or(alarm.observed_at);
    let condition = ticket::condition(standing, facts.any_active, &id, since);
    let back = condition.as_ref().is_some_and(|e| e.what == "raised-again");
    // A recurrence says already that the condition stands again.
    entries.extend(condition.filter(|e| facts.place != Place::Joins || e.what == "cleared"));
    if let Some(reason) = facts.again.filter(|_| back && facts.place == Place::Stays) {
        entries.extend(ticket::stands_again(standing, reason, facts.may_reopen, at));
    }
    entries
}

pub(super) fn known_of(row: &AlarmRow) -> Result<Known> {
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

fn alarm_row(origin: &Origin<'_>, alarm: &Alarm, identity: &str) -> AlarmRow {
    AlarmRow {
        alarm_id: alarm.alarm_id.to_string(),
        agent_id: origin.agent.to_owned(),
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
        own: origin.own,
        last_epoch: String::new(),
        last_seq: 0,
        last_at: origin.order.at,
    }
}

fn ticket_row(
    origin: &Origin<'_>,
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
        agent_id: origin.agent.to_owned(),
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
        service: Default::default(),
        version: 1,
    };
    put_standing(&mut row, standing);
    row
}
