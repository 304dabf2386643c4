//! Notices: written in the transaction of what they tell ([`tell`]), delivered afterwards ([`run`]), each with its result.

pub mod choices;

mod courier;
mod facts;
mod mail;
mod send;

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use serde_json::Value;

use crate::notice::{Choices, Event, Plan, held_until};
use crate::store::duty::{self, PersonRow};
use crate::store::notices::{self as rows, MOST_WAITING, NoticeRow};
use crate::store::tickets::{self, TicketRow};
use crate::store::timeline::Entry;
use crate::store::{Db, Result, Tx, meta};

pub use courier::Courier;
pub use send::{round, run};

/// Where it is kept what the configuration says.
const PLAN: &str = "notice";
/// The lane of mail.
pub(crate) const MAIL: &str = "mail";

/// Notes what the configuration says. Of several collectors of one database the one that started last has the word.
pub async fn seed(db: &Db, plan: &Plan) -> Result<()> {
    let mut tx = db.begin().await?;
    meta::set(&mut tx, PLAN, &serde_json::to_string(plan).unwrap_or_default()).await?;
    tx.commit().await
}

/// The lane of a receiver.
pub(crate) fn lane_of(outlet: &str) -> String {
    format!("outlet:{outlet}")
}

/// Writes the notices of these entries, in their transaction.
pub(in crate::flow) async fn tell(tx: &mut Tx, entries: &[&Entry], now: Time) -> Result<()> {
    let news: Vec<(&Entry, Event, Value)> = entries.iter().filter_map(|e| facts::of(e)).collect();
    if news.is_empty() {
        return Ok(());
    }
    let text = meta::get_in(tx, PLAN).await?;
    let plan: Plan = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    if !plan.mail && plan.outlets.is_empty() {
        return Ok(());
    }
    let ids: BTreeSet<String> = news.iter().map(|(entry, ..)| entry.ticket_id.clone()).collect();
    let tickets = tickets::load(tx, &Vec::from_iter(ids)).await?;
    let tickets: BTreeMap<String, TicketRow> =
        tickets.into_iter().filter(|t| !t.test && !t.shadow).map(|t| (t.id.clone(), t)).collect();
    if tickets.is_empty() {
        return Ok(());
    }
    let people = duty::people(tx).await?;
    let people: BTreeMap<String, PersonRow> =
        people.into_iter().filter(|p| !p.disabled).map(|p| (p.name.clone(), p)).collect();
    // Who is called need not be told that it is his, too.
    let called: BTreeSet<(&str, &str)> = news
        .iter()
        .filter(|(_, event, _)| *event == Event::Called)
        .map(|(entry, _, detail)| {
            (entry.ticket_id.as_str(), detail["to"].as_str().unwrap_or_default())
        })
        .collect();
    let mut all = Vec::new();
    for (entry, event, detail) in &news {
        let Some(ticket) = tickets.get(&entry.ticket_id) else { continue };
        let to = detail["to"].as_str().unwrap_or_default();
        let doubled = *event == Event::Assigned && called.contains(&(entry.ticket_id.as_str(), to));
        let told = Told { entry, event: *event, detail, ticket, people: &people, now };
        if plan.mail && !doubled {
            all.extend(told.to_people());
        }
        all.extend(told.to_outlets(&plan));
    }
    write(tx, all).await
}

/// Writes them; when too many wait already they are kept as dropped, to be seen.
pub(in crate::flow) async fn write(tx: &mut Tx, mut all: Vec<NoticeRow>) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let mut room = MOST_WAITING - rows::waiting(tx).await?;
    for row in all.iter_mut().filter(|row| row.state == "waiting") {
        if room <= 0 {
            (row.state, row.result) = ("dropped".to_owned(), "too many notices wait".to_owned());
        }
        room -= 1;
    }
    all.sort_by(|a, b| {
        (&a.entry_id, &a.lane, &a.recipient).cmp(&(&b.entry_id, &b.lane, &b.recipient))
    });
    rows::add(tx, &all).await.map(drop)
}

/// Something that is told.
struct Told<'a> {
    entry: &'a Entry,
    event: Event,
    detail: &'a Value,
    ticket: &'a TicketRow,
    people: &'a BTreeMap<String, PersonRow>,
    now: Time,
}

impl Told<'_> {
    fn is_urgent(&self) -> bool {
        self.ticket.priority == "p1" || self.ticket.service.major
    }

    fn to_people(&self) -> Vec<NoticeRow> {
        let names =
            facts::people(self.event, self.detail, &self.entry.who, self.ticket, self.people);
        let mut all = Vec::new();
        for person in names.iter().filter_map(|name| self.people.get(name)) {
            let choices: Choices = serde_json::from_str(&person.choices).unwrap_or_default();
            if !choices.wants(self.event) {
                continue;
            }
            let until = held_until(choices.quiet.as_ref(), self.is_urgent(), self.now);
            let mut row = self.row(MAIL, &person.name, &person.language, until);
            if person.mail.is_empty() {
                row.state = "dropped".to_owned();
                row.result = "no e-mail address is known".to_owned();
            }
            all.push(row);
        }
        all
    }

    fn to_outlets(&self, plan: &Plan) -> Vec<NoticeRow> {
        let wants = |events: &[String]| events.iter().any(|name| name == self.event.as_str());
        let outlets = plan.outlets.iter().filter(|outlet| wants(&outlet.events));
        outlets
            .map(|outlet| {
                let until = held_until(outlet.quiet.as_ref(), self.is_urgent(), self.now);
                self.row(&lane_of(&outlet.name), &outlet.name, &outlet.language, until)
            })
            .collect()
    }

    fn row(&self, lane: &str, recipient: &str, language: &str, until: Option<Time>) -> NoticeRow {
        let facts = facts::facts(self.event, self.detail, self.ticket, self.people, self.now);
        let held = until.map(|until| format!("quiet hours until {until}"));
        NoticeRow {
            id: new_uuid().to_string(),
            ticket_id: self.ticket.id.clone(),
            entry_id: self.entry.id.clone(),
            event: self.event.as_str().to_owned(),
            urgent: self.is_urgent(),
            lane: lane.to_owned(),
            recipient: recipient.to_owned(),
            language: language.to_owned(),
            facts: serde_json::to_string(&facts).unwrap_or_default(),
            state: "waiting".to_owned(),
            created_at: self.now,
            next_at: until.unwrap_or(self.now),
            attempts: 0,
            done_at: None,
            result: held.unwrap_or_default(),
        }
    }
}
