//! Which entries of timelines are told, to whom, and what of them.

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::limits::cut;
use callhome_shared::time::Time;
use serde_json::Value;

use crate::notice::{Event, Facts};
use crate::store::duty::PersonRow;
use crate::store::tickets::TicketRow;
use crate::store::timeline::Entry;

/// Longest text of one fact, bytes.
const MOST: usize = 400;

/// What an entry tells, if anything.
pub(super) fn of<'a>(entry: &&'a Entry) -> Option<(&'a Entry, Event, Value)> {
    let event = match entry.what.as_str() {
        "opened" => Event::Opened,
        "assigned" => Event::Assigned,
        "called" => Event::Called,
        "nobody-on-duty" => Event::Nobody,
        "call-expired" => Event::CallExpired,
        "escalated" => Event::Escalated,
        "clock-warning" => Event::Warning,
        "clock-breached" => Event::Breach,
        "major" | "state" => Event::Test,
        _ => return None,
    };
    let detail: Value = serde_json::from_str(&entry.detail).ok()?;
    let event = match (entry.what.as_str(), detail["to"].as_str().unwrap_or_default()) {
        ("major", _) => detail["major"].as_bool()?.then_some(Event::Major)?,
        ("state", "waiting_approval") => Event::Approval,
        ("state", "escalated") => Event::Escalated,
        ("state", "resolved") => Event::Resolved,
        ("state", _) => return None,
        _ => event,
    };
    Some((entry, event, detail))
}

/// Who of the house is told.
pub(super) fn people(
    event: Event,
    detail: &Value,
    who: &str,
    ticket: &TicketRow,
    people: &BTreeMap<String, PersonRow>,
) -> BTreeSet<String> {
    let managers = || {
        let of = |role: &str| {
            people.values().filter(|p| p.role == role).map(|p| p.name.clone()).collect()
        };
        let found: BTreeSet<String> = of("manager");
        if found.is_empty() { of("administrator") } else { found }
    };
    let to = || detail["to"].as_str().map(str::to_owned).into_iter().collect::<BTreeSet<_>>();
    let mut told: BTreeSet<String> = match event {
        Event::Assigned | Event::Called => to(),
        Event::Nobody | Event::Approval | Event::Major => managers(),
        Event::Warning => ticket.assignee.clone().into_iter().collect(),
        Event::Breach => managers().into_iter().chain(ticket.assignee.clone()).collect(),
        Event::Resolved => ticket.service.opened_by.clone().into_iter().collect(),
        Event::Opened | Event::CallExpired | Event::Escalated | Event::Test => BTreeSet::new(),
    };
    // Nobody is told what he did himself.
    if let Some(user) = who.strip_prefix("user:") {
        told.remove(user);
    }
    told
}

/// What it says.
pub(super) fn facts(
    event: Event,
    detail: &Value,
    ticket: &TicketRow,
    people: &BTreeMap<String, PersonRow>,
    now: Time,
) -> Facts {
    let text = |key: &str| detail[key].as_str().unwrap_or_default().to_owned();
    let name = match event {
        Event::Assigned | Event::Called => text("to"),
        Event::CallExpired => text("person"),
        _ => ticket.assignee.clone().unwrap_or_default(),
    };
    let person = people.get(&name);
    let level = match event {
        // A step of a clock names it in `to`, a person's wish in `level`.
        Event::Escalated if detail["level"].is_null() => text("to"),
        _ => text("level"),
    };
    let until = if event == Event::Called { text("until") } else { text("due") };
    Facts {
        event: event.as_str().to_owned(),
        at: now.to_string(),
        number: ticket.number.clone(),
        state: ticket.state.clone(),
        priority: ticket.priority.clone(),
        severity: ticket.severity.clone(),
        major: ticket.service.major,
        device: short(&ticket.device_name),
        resource: short(&ticket.resource),
        kind: short(&ticket.kind),
        site: short(ticket.site.as_deref().unwrap_or_default()),
        customer: short(ticket.customer.as_deref().unwrap_or_default()),
        text: short(ticket.text.lines().next().unwrap_or_default()),
        opened_at: ticket.opened_at.to_string(),
        person: person.map_or_else(|| short(&name), |p| short(&p.display_name)),
        phone: person.map(|p| p.phone.clone()).unwrap_or_default(),
        level,
        clock: text("clock"),
        until,
    }
}

fn short(text: &str) -> String {
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut(&mut text, MOST);
    text
}
