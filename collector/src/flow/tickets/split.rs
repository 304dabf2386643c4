//! A ticket that turned out to be about several faults: some of them go to a ticket of their own.

use std::collections::BTreeSet;

use callhome_shared::id::new_uuid;
use callhome_shared::severity::Severity;
use serde_json::json;
use tokio::sync::broadcast;

use super::{Action, ActionError, again, load_at, put_standing, standing_of, tell, user, write};
use crate::flow::entitle::{self, Described, Opening};
use crate::flow::{Event, clocks, duty, search};
use crate::store::alarms::AlarmRow;
use crate::store::tickets::{self, Service, TicketRow};
use crate::store::{Db, StoreError, Tx, alarms, cases, devices, links, timeline};
use crate::ticket::{self, Entry, MAX_COMMENT_BYTES, Priority};

/// Some faults of a ticket that the person saw at `version`, named by alarms of theirs, go to a new ticket. Both
/// as they are then: the one that keeps the rest, and the new one.
pub async fn split(
    db: &Db,
    events: &broadcast::Sender<Event>,
    action: Action<'_>,
    version: i64,
    alarms: &[String],
    reason: &str,
) -> Result<(TicketRow, TicketRow), ActionError> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(ticket::Refused::CommentRequired.into());
    }
    if reason.len() > MAX_COMMENT_BYTES {
        return Err(ticket::Refused::CommentTooLong.into());
    }
    let mut attempt = 1;
    loop {
        match try_split(db, action, version, alarms, reason).await {
            Err(ActionError::Store(e)) if again(&e, attempt) => attempt += 1,
            Ok((row, new)) => return Ok((tell(events, row), tell(events, new))),
            Err(e) => return Err(e),
        }
    }
}

async fn try_split(
    db: &Db,
    action: Action<'_>,
    version: i64,
    alarms: &[String],
    reason: &str,
) -> Result<(TicketRow, TicketRow), ActionError> {
    let mut tx = db.begin().await?;
    let mut row = load_at(&mut tx, action.number, version).await?;
    let mut standing = standing_of(&row)?;
    if standing.state.is_over() {
        return Err(ticket::Refused::Over.into());
    }
    let chosen = chosen(&mut tx, &row, alarms).await?;
    let moved = lives(&mut tx, &chosen).await?;
    let confirmed = confirmed(&mut tx, &row, &moved).await?;
    // The word of another side about a life that stands is no recurrence.
    let again = count_of(moved.len()) - count_of(confirmed.len());
    let (mut new, opened) = new_ticket(&mut tx, &row, &moved, again - 1, action).await?;
    let promised = entitled(&mut tx, &mut new, &moved, action).await?;
    let who = user(action);
    tickets::save(&mut tx, std::slice::from_ref(&new)).await?;
    search::opened(&mut tx, &[&new]).await?;
    cases::move_some(&mut tx, &chosen, &new.id).await?;
    let count = moved.len();
    standing.recurrences -= again;
    let stands = !cases::active_in(&mut tx, &row.id, 1).await?.is_empty();
    standing.condition_cleared_at =
        if stands { None } else { standing.condition_cleared_at.or(Some(action.at)) };
    put_standing(&mut row, &standing);
    links::tie(&mut tx, &row.number, &new.number, action.at, &who).await?;
    let detail = json!({ "new": new.number, "lives": count, "text": reason });
    let entry = Entry { what: "split", detail };
    write(&mut tx, &mut row, &who, action.at, vec![entry]).await?;
    let detail = json!({ "old": row.number, "lives": count, "text": reason });
    let mut entries: Vec<timeline::Entry> = [opened, Entry { what: "split", detail }]
        .into_iter()
        .map(|entry| timeline::Entry {
            id: new_uuid().to_string(),
            ticket_id: new.id.clone(),
            at: action.at,
            who: who.clone(),
            what: entry.what.to_owned(),
            detail: entry.detail.to_string(),
        })
        .collect();
    entries.extend(confirmed.into_iter().map(|entry| timeline::Entry {
        id: new_uuid().to_string(),
        ticket_id: new.id.clone(),
        at: action.at,
        ..entry
    }));
    let (more, promise) = promised;
    entries.extend(more);
    clocks::opened(&mut tx, &[(&new, promise)], action.at).await?;
    timeline::insert_all(&mut tx, &entries).await?;
    if let Some(given) = duty::told(&mut tx, &entries, action.at).await?.remove(&new.id) {
        new.assignee = Some(given);
    }
    tx.commit().await?;
    Ok((row, new))
}

/// The cases that go: faults of the ticket's own, of which one stays.
async fn chosen(
    tx: &mut Tx,
    row: &TicketRow,
    alarms: &[String],
) -> Result<Vec<String>, ActionError> {
    let wrong = |why: &str| ActionError::Wrong("alarms", why.to_owned());
    let found = cases::of_alarms(tx, alarms).await?;
    let ours = |(_, case): &(String, cases::CaseRow)| case.ticket_id == row.id && !case.consequence;
    let known: BTreeSet<&String> = found.iter().filter(|one| ours(one)).map(|(id, _)| id).collect();
    if alarms.is_empty() || !alarms.iter().all(|id| known.contains(id)) {
        return Err(wrong(
            "expected alarms of this ticket that are no consequences of another one",
        ));
    }
    // A fault goes as a whole: also what of it came before.
    let faults: BTreeSet<&String> = found.iter().map(|(_, case)| &case.identity).collect();
    let all = cases::of_tickets(tx, std::slice::from_ref(&row.id)).await?;
    let own = all.into_iter().filter(|case| !case.consequence);
    let (go, stay): (Vec<_>, Vec<_>) = own.partition(|case| faults.contains(&case.identity));
    if stay.is_empty() {
        return Err(wrong("one fault has to stay: nothing would be left of the ticket"));
    }
    Ok(go.into_iter().map(|case| case.id).collect())
}

/// The entries that say of which of these lives another side says the same.
async fn confirmed(
    tx: &mut Tx,
    row: &TicketRow,
    moved: &[AlarmRow],
) -> Result<Vec<timeline::Entry>, StoreError> {
    let all = timeline::of_kind(tx, &row.id, "confirmed").await?;
    let names = |entry: &timeline::Entry, life: &AlarmRow| {
        let detail = serde_json::from_str::<serde_json::Value>(&entry.detail).unwrap_or_default();
        detail["alarm_id"].as_str() == Some(&life.alarm_id)
    };
    Ok(all.into_iter().filter(|entry| moved.iter().any(|life| names(entry, life))).collect())
}

fn count_of(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// All alarm lives of these cases, the oldest first.
async fn lives(tx: &mut Tx, cases_: &[String]) -> Result<Vec<AlarmRow>, StoreError> {
    let ids = cases::lives_of(tx, cases_).await?;
    let mut lives = alarms::load(tx, &ids).await?;
    lives.sort_by(|a, b| (a.raised_at, &a.alarm_id).cmp(&(b.raised_at, &b.alarm_id)));
    Ok(lives)
}

/// The new ticket tells of the oldest of the lives that go, and is as urgent as the worst of them.
async fn new_ticket(
    tx: &mut Tx,
    row: &TicketRow,
    moved: &[AlarmRow],
    recurrences: i64,
    action: Action<'_>,
) -> Result<(TicketRow, Entry), ActionError> {
    let missing = || StoreError::Schema("a case without an alarm".to_owned());
    let lead = moved.first().ok_or_else(missing)?;
    let worst = moved.iter().filter_map(|life| Severity::parse(&life.severity)).max();
    let severity = worst.unwrap_or(Severity::Indeterminate);
    let mut standing = ticket::record(Priority::of(severity));
    standing.severity = severity;
    standing.recurrences = recurrences;
    let cleared = moved.iter().map(|life| life.cleared_at).max().flatten();
    let stands = moved.iter().any(|life| life.active);
    standing.condition_cleared_at = if stands { None } else { cleared.or(Some(action.at)) };
    let ordinal = tickets::take_ordinals(tx, 1).await?;
    let same = lead.device_id == row.device_id;
    let mut new = TicketRow {
        id: new_uuid().to_string(),
        ordinal,
        number: tickets::number(ordinal),
        title: lead.message.clone(),
        text: lead.text.clone(),
        agent_id: lead.agent_id.clone(),
        device_name: if same { row.device_name.clone() } else { lead.device_id.clone() },
        device_id: lead.device_id.clone(),
        resource: lead.resource.clone(),
        kind: lead.kind.clone(),
        fault_code: lead.fault_code.clone(),
        proposed_repair: lead.proposed_repair.clone(),
        assignee: None,
        opened_at: action.at,
        updated_at: action.at,
        service: Service {
            class: row.service.class.clone(),
            plan: row.service.plan.clone(),
            flapping: moved.iter().any(|life| life.flapping),
            ..Service::default()
        },
        version: 1,
        ..row.clone()
    };
    put_standing(&mut new, &standing);
    let detail = json!({
        "alarm_id": lead.alarm_id, "severity": severity.as_str(), "priority": new.priority,
        "by": "person", "from": row.number,
    });
    Ok((new, Entry { what: "opened", detail }))
}

type Promised = (Vec<timeline::Entry>, Option<crate::clock::Promise>);

/// Its cover is judged by what is known of its device.
async fn entitled(
    tx: &mut Tx,
    new: &mut TicketRow,
    moved: &[AlarmRow],
    action: Action<'_>,
) -> Result<Promised, StoreError> {
    let id = moved.first().map(|life| life.device_id.clone()).unwrap_or_default();
    let device = devices::by_serial(tx, &id).await?.map(|(_, known)| {
        new.device_name.clone_from(&known.name);
        Described { serial: known.serial, name: known.name, vendor: None, model: None }
    });
    let contract = new.contract.clone();
    let key = new.id.clone();
    let mut opening = [Opening { ticket: new, device, contract }];
    let mut promised = entitle::entitle(tx, &mut opening, action.at).await?;
    Ok((promised.entries, promised.promises.remove(&key)))
}
