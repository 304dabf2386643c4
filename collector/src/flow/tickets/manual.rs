//! A ticket that a person opens: call home is off, or a customer asks something.

use std::collections::BTreeMap;

use callhome_shared::alarm::Message;
use callhome_shared::id::new_uuid;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::broadcast;

use super::desk::in_service;
use super::{ActionError, again, put_standing, tell};
use crate::flow::entitle::{self, Described, Opening};
use crate::flow::{Event, clocks, duty, search};
use crate::masters::Kind;
use crate::store::tickets::{self, Service, TicketRow};
use crate::store::{Db, devices, masters, timeline};
use crate::ticket::{self, Category, Class, Priority};

/// Longest description, bytes.
const MAX_TEXT: usize = 16 * 1024;
/// Longest other field, characters.
const MAX_FIELD: usize = 500;

/// The clock of who says when a fault was noticed may be ahead by this, milliseconds.
const AHEAD_MS: i64 = 5 * 60_000;

/// What the desk writes down beside the fault itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intake {
    /// Who called: a name.
    #[serde(default)]
    pub contact: String,
    /// How to reach the person: telephone, mail.
    #[serde(default)]
    pub reach: String,
    /// How to dial in.
    #[serde(default)]
    pub access: String,
    /// The device's model.
    #[serde(default)]
    pub model: String,
    /// Version of its operating system or firmware.
    #[serde(default)]
    pub os: String,
    /// The response time that the customer wishes.
    #[serde(default)]
    pub wished: String,
    /// When people noticed the fault (RFC 3339); empty: nobody told.
    #[serde(default)]
    pub noticed_at: String,
}

/// A ticket as a person records it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What is wrong, or wanted: not empty.
    pub text: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Class of work.
    pub class: Class,
    /// Kind of request.
    pub category: Option<Category>,
    /// The site's id.
    pub site: String,
    /// The device's serial number.
    pub serial: String,
    /// The contract's number.
    pub contract: String,
    /// What the device shows.
    pub error_code: String,
    /// Who is to work on it.
    pub assignee: Option<String>,
    /// The rest.
    pub intake: Intake,
}

/// Opens it; answers it with its number.
pub async fn open(
    db: &Db,
    events: &broadcast::Sender<Event>,
    user: &str,
    recorded: &Recorded,
    at: Time,
) -> Result<TicketRow, ActionError> {
    check(recorded, at)?;
    let mut attempt = 1;
    loop {
        match try_open(db, user, recorded, at).await {
            Err(ActionError::Store(e)) if again(&e, attempt) => attempt += 1,
            Ok(row) => return Ok(tell(events, row)),
            Err(e) => return Err(e),
        }
    }
}

fn check(recorded: &Recorded, now: Time) -> Result<(), ActionError> {
    let text = recorded.text.trim();
    if text.is_empty() || text.len() > MAX_TEXT {
        let why = format!("expected what is wrong, in at most {MAX_TEXT} bytes");
        return Err(ActionError::Wrong("text", why));
    }
    let intake = &recorded.intake;
    for (name, value) in [
        ("site", &recorded.site),
        ("serial", &recorded.serial),
        ("contract", &recorded.contract),
        ("error_code", &recorded.error_code),
        ("contact", &intake.contact),
        ("reach", &intake.reach),
        ("access", &intake.access),
        ("model", &intake.model),
        ("os", &intake.os),
        ("wished", &intake.wished),
    ] {
        if value.chars().count() > MAX_FIELD || value.chars().any(char::is_control) {
            let why = format!("expected one line of at most {MAX_FIELD} characters");
            return Err(ActionError::Wrong(name, why));
        }
    }
    if !intake.noticed_at.is_empty() {
        let noticed = Time::parse(&intake.noticed_at);
        if noticed.is_err() || noticed.is_ok_and(|at| at > now.plus_ms(AHEAD_MS)) {
            let why = "expected a moment that has been, such as 2026-11-22T08:00:00Z";
            return Err(ActionError::Wrong("noticed_at", why.to_owned()));
        }
    }
    Ok(())
}

async fn try_open(
    db: &Db,
    user: &str,
    recorded: &Recorded,
    at: Time,
) -> Result<TicketRow, ActionError> {
    let mut tx = db.begin().await?;
    let mut row = row(user, recorded, at);
    let serial = some(&recorded.serial);
    let mut device = Described { serial: serial.clone(), ..Described::default() };
    device.model = some(&recorded.intake.model);
    if let Some(serial) = &serial {
        // What an agent knows of it, else what people do.
        if let Some((agent, known)) = devices::by_serial(&mut tx, serial).await? {
            (row.agent_id, row.device_id, row.device_name) = (agent, known.id, known.name.clone());
            row.site = row.site.or(known.site);
            row.customer = known.customer;
            device.name = known.name;
        } else if let Some(known) =
            masters::load(&mut tx, Kind::Devices, std::slice::from_ref(serial)).await?.pop()
        {
            let name = known.values.get("name").filter(|name| !name.is_empty());
            row.device_name = name.cloned().unwrap_or_else(|| serial.clone());
        }
    }
    let ordinal = tickets::take_ordinals(&mut tx, 1).await?;
    (row.ordinal, row.number) = (ordinal, tickets::number(ordinal));
    let mut standing = ticket::record(recorded.priority);
    let mut said = vec![ticket::Entry {
        what: "opened",
        detail: json!({ "priority": recorded.priority.as_str(), "by": "person" }),
    }];
    if let Some(assignee) = &recorded.assignee {
        in_service(&mut tx, assignee).await?;
        said.extend(ticket::assign(&mut standing, None, assignee, at)?);
        row.assignee = Some(assignee.clone());
    }
    put_standing(&mut row, &standing);
    let who = format!("user:{user}");
    let mut entries: Vec<timeline::Entry> =
        said.into_iter().map(|entry| line(&row.id, &who, entry, at)).collect();
    let contract = some(&recorded.contract);
    let mut opening = [Opening { ticket: &mut row, device: Some(device), contract }];
    let mut promised = entitle::entitle(&mut tx, &mut opening, at).await?;
    entries.append(&mut promised.entries);
    tickets::save(&mut tx, std::slice::from_ref(&row)).await?;
    search::opened(&mut tx, &[&row]).await?;
    clocks::opened(&mut tx, &[(&row, promised.promises.remove(&row.id))], at).await?;
    timeline::insert_all(&mut tx, &entries).await?;
    if let Some(given) = duty::told(&mut tx, &entries, at).await?.remove(&row.id) {
        row.assignee = Some(given);
    }
    tx.commit().await?;
    Ok(row)
}

fn line(ticket: &str, who: &str, entry: ticket::Entry, at: Time) -> timeline::Entry {
    timeline::Entry {
        id: new_uuid().to_string(),
        ticket_id: ticket.to_owned(),
        at,
        who: who.to_owned(),
        what: entry.what.to_owned(),
        detail: entry.detail.to_string(),
    }
}

fn some(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn row(user: &str, recorded: &Recorded, at: Time) -> TicketRow {
    let text = recorded.text.trim().to_owned();
    let first: String = text.lines().next().unwrap_or_default().chars().take(120).collect();
    let serial = some(&recorded.serial).unwrap_or_default();
    TicketRow {
        id: new_uuid().to_string(),
        ordinal: 0,
        number: String::new(),
        state: String::new(),
        priority: String::new(),
        severity: Severity::Indeterminate.as_str().to_owned(),
        title: Message {
            key: "ticket.manual".to_owned(),
            arguments: BTreeMap::from([("text".to_owned(), first)]),
        },
        text,
        agent_id: String::new(),
        device_name: serial.clone(),
        device_id: serial,
        resource: String::new(),
        kind: crate::knowledge::BY_HAND.to_owned(),
        site: some(&recorded.site),
        customer: None,
        contract: some(&recorded.contract),
        fault_code: some(&recorded.error_code),
        proposed_repair: None,
        assignee: None,
        opened_at: at,
        updated_at: at,
        condition_cleared_at: None,
        resolved_at: None,
        closed_at: None,
        recurrences: 0,
        test: false,
        shadow: false,
        service: Service {
            class: recorded.class.as_str().to_owned(),
            category: recorded.category.map(|category| category.as_str().to_owned()),
            opened_by: Some(user.to_owned()),
            intake: serde_json::to_string(&recorded.intake).ok(),
            ..Service::default()
        },
        version: 1,
    }
}
