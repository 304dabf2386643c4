//! The clocks of some tickets: as they were loaded, what happens to them, and what is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use serde_json::json;

use crate::calendar::{Calendar, Days, Schedule, Week, Zone, zone};
use crate::clock::{Due, Event, Life, Moment, Named, Plan, Terms, What, fold, moments};
use crate::flow::duty;
use crate::store::clocks::{self, ClockRow, EventRow, PromiseRow};
use crate::store::plans::{self, BodyRow, Shelf};
use crate::store::{Result, StoreError, Tx, timeline};

/// A plan and the one that it is based on.
pub(super) struct Kept {
    pub(super) plan: Named<Plan>,
    pub(super) base: Option<Plan>,
}

/// A clock.
pub(super) struct Held {
    pub(super) row: ClockRow,
    /// How many events it had when it was read; none: it is new.
    read: i64,
    events: Vec<Event>,
    added: Vec<EventRow>,
    told: BTreeSet<String>,
    changed: bool,
}

/// The calendar of terms, once for all clocks that have the same.
type Key = (String, String, i64, String, Option<(String, i64)>);

/// Everything.
pub(super) struct Book {
    pub(super) now: Time,
    plans: HashMap<(String, i64), Arc<Kept>>,
    newest: HashMap<String, Option<Arc<Kept>>>,
    calendars: HashMap<String, Option<Arc<Named<Calendar>>>>,
    days: HashMap<(String, i64), Arc<Days>>,
    schedules: HashMap<Key, Arc<Schedule>>,
    /// By ticket.
    pub(super) promises: BTreeMap<String, PromiseRow>,
    pub(super) clocks: BTreeMap<String, Vec<Held>>,
    timeline: Vec<timeline::Entry>,
}

/// Reads what a plan or a calendar was stored as.
pub(super) fn read<T: serde::de::DeserializeOwned>(row: &BodyRow) -> Result<T> {
    serde_json::from_str(&row.body).map_err(|e| StoreError::Column {
        column: format!("body of {:?}, version {}", row.name, row.version),
        why: e.to_string(),
    })
}

impl Book {
    /// Nothing yet.
    pub(super) fn new(now: Time) -> Self {
        Book {
            now,
            plans: HashMap::new(),
            newest: HashMap::new(),
            calendars: HashMap::new(),
            days: HashMap::new(),
            schedules: HashMap::new(),
            promises: BTreeMap::new(),
            clocks: BTreeMap::new(),
            timeline: Vec::new(),
        }
    }

    /// Loads the clocks of these tickets, whose promises it has.
    pub(super) async fn load(&mut self, tx: &mut Tx, tickets: &[String]) -> Result<()> {
        let rows = clocks::of_tickets(tx, tickets).await?;
        let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let mut events: HashMap<String, Vec<Event>> = HashMap::new();
        for row in clocks::events(tx, &ids).await? {
            let what: What = serde_json::from_str(&row.body).map_err(|e| StoreError::Column {
                column: "clock_events.body".to_owned(),
                why: e.to_string(),
            })?;
            events.entry(row.clock_id).or_default().push(Event { at: row.at, what });
        }
        let mut told: HashMap<String, BTreeSet<String>> = HashMap::new();
        for (clock, step) in clocks::told(tx, &ids).await? {
            told.entry(clock).or_default().insert(step);
        }
        for row in rows {
            let (events, told) = (events.remove(&row.id), told.remove(&row.id));
            let held = Held {
                read: row.events,
                events: events.unwrap_or_default(),
                added: Vec::new(),
                told: told.unwrap_or_default(),
                changed: false,
                row,
            };
            self.learn(tx, &held.events).await?;
            self.clocks.entry(held.row.ticket_id.clone()).or_default().push(held);
        }
        Ok(())
    }

    /// A plan of that version.
    pub(super) async fn plan(
        &mut self,
        tx: &mut Tx,
        name: &str,
        version: i64,
    ) -> Result<Option<Arc<Kept>>> {
        if let Some(kept) = self.plans.get(&(name.to_owned(), version)) {
            return Ok(Some(kept.clone()));
        }
        match plans::version(tx, Shelf::Plans, name, version).await? {
            Some(row) => self.keep(tx, &row).await.map(Some),
            None => Ok(None),
        }
    }

    /// The newest version of a plan that may be chosen.
    pub(super) async fn newest(&mut self, tx: &mut Tx, name: &str) -> Result<Option<Arc<Kept>>> {
        if let Some(known) = self.newest.get(name) {
            return Ok(known.clone());
        }
        let row = plans::newest(tx, Shelf::Plans, name).await?.filter(|r| r.deleted_at.is_none());
        let kept = match row {
            Some(row) => Some(self.keep(tx, &row).await?),
            None => None,
        };
        self.newest.insert(name.to_owned(), kept.clone());
        Ok(kept)
    }

    async fn keep(&mut self, tx: &mut Tx, row: &BodyRow) -> Result<Arc<Kept>> {
        let body: Plan = read(row)?;
        let base = match &body.base {
            Some(base) => plans::newest(tx, Shelf::Plans, base).await?,
            None => None,
        };
        let base = base.as_ref().map(read).transpose()?;
        let plan = Named { name: row.name.clone(), version: row.version, body };
        let kept = Arc::new(Kept { plan, base });
        self.plans.insert((row.name.clone(), row.version), kept.clone());
        Ok(kept)
    }

    /// The newest version of a calendar.
    pub(super) async fn calendar(
        &mut self,
        tx: &mut Tx,
        name: Option<&str>,
    ) -> Result<Option<Arc<Named<Calendar>>>> {
        let Some(name) = name else { return Ok(None) };
        if let Some(known) = self.calendars.get(name) {
            return Ok(known.clone());
        }
        let row = plans::newest(tx, Shelf::Calendars, name).await?;
        let mut found = None;
        if let Some(row) = row.filter(|row| row.deleted_at.is_none()) {
            let body: Calendar = read(&row)?;
            let days = Arc::new(body.read().unwrap_or_default());
            self.days.insert((row.name.clone(), row.version), days);
            found = Some(Arc::new(Named { name: row.name, version: row.version, body }));
        }
        self.calendars.insert(name.to_owned(), found.clone());
        Ok(found)
    }

    /// Loads the calendars that these events speak of.
    async fn learn(&mut self, tx: &mut Tx, events: &[Event]) -> Result<()> {
        for event in events {
            let (What::Started { terms } | What::Retimed { terms, .. }) = &event.what else {
                continue;
            };
            let Some((name, version)) = &terms.calendar else { continue };
            if self.days.contains_key(&(name.clone(), *version)) {
                continue;
            }
            let row = plans::version(tx, Shelf::Calendars, name, *version).await?;
            let calendar = row.as_ref().map(read::<Calendar>).transpose()?.unwrap_or_default();
            let days = Arc::new(calendar.read().unwrap_or_default());
            self.days.insert((name.clone(), *version), days);
        }
        Ok(())
    }

    /// Terms are checked before they are stored: what a later program cannot read runs always.
    fn schedule(&mut self, terms: &Terms) -> Arc<Schedule> {
        let key = (
            terms.time_zone.clone(),
            terms.plan.clone(),
            terms.plan_version,
            terms.hours_name.clone(),
            terms.calendar.clone(),
        );
        if let Some(found) = self.schedules.get(&key) {
            return found.clone();
        }
        let made = match Week::read(&terms.hours) {
            Ok(week) => {
                let zone = zone::zone(&terms.time_zone).unwrap_or_else(|_| Zone::utc());
                let days = terms.calendar.as_ref().and_then(|calendar| self.days.get(calendar));
                Schedule::new(zone, week, days.cloned().unwrap_or_default())
            }
            Err(_) => Schedule::always(),
        };
        let made = Arc::new(made);
        self.schedules.insert(key, made.clone());
        made
    }

    /// A clock as its events made it.
    pub(super) fn life(&mut self, events: &[Event]) -> Option<Life> {
        let made = fold(events, |terms| Ok::<_, Infallible>(self.schedule(terms)));
        let Ok(life) = made;
        life
    }

    /// The life of a ticket's clock at that place.
    pub(super) fn life_of(&mut self, ticket: &str, place: usize) -> Option<Life> {
        let events = self.clocks.get(ticket)?.get(place)?.events.clone();
        self.life(&events)
    }

    /// What the rows say of a ticket's clocks is to be written, even if nothing happened to them.
    pub(super) fn touch(&mut self, ticket: &str) {
        for held in self.clocks.get_mut(ticket).into_iter().flatten() {
            held.changed = true;
        }
    }

    /// A clock begins.
    pub(super) fn start(&mut self, ticket: &str, name: &str, terms: Terms, at: Time, who: &str) {
        let row = ClockRow {
            id: new_uuid().to_string(),
            ticket_id: ticket.to_owned(),
            name: name.to_owned(),
            state: "running".to_owned(),
            started_at: at,
            budget_ms: -1,
            elapsed_ms: 0,
            due_at: None,
            next_at: None,
            stopped_at: None,
            verdict: None,
            events: 0,
        };
        let held = Held {
            row,
            read: 0,
            events: Vec::new(),
            added: Vec::new(),
            told: BTreeSet::new(),
            changed: true,
        };
        let clocks = self.clocks.entry(ticket.to_owned()).or_default();
        clocks.push(held);
        let place = clocks.len() - 1;
        self.happen(ticket, place, What::Started { terms }, at, who);
    }

    /// Something happens to a ticket's clock.
    pub(super) fn happen(&mut self, ticket: &str, place: usize, what: What, at: Time, who: &str) {
        let Some(held) = self.clocks.get_mut(ticket).and_then(|all| all.get_mut(place)) else {
            return;
        };
        held.row.events += 1;
        held.changed = true;
        held.added.push(EventRow {
            clock_id: held.row.id.clone(),
            number: held.row.events,
            at,
            who: who.to_owned(),
            body: serde_json::to_string(&what).unwrap_or_default(),
        });
        held.events.push(Event { at, what });
    }

    /// Tells what is due of a ticket's clocks; answers how much.
    pub(super) async fn tell(&mut self, tx: &mut Tx, ticket: &str) -> Result<usize> {
        let mut count = 0;
        for place in 0..self.clocks.get(ticket).map_or(0, Vec::len) {
            let Some(life) = self.life_of(ticket, place) else { continue };
            for moment in moments(&life) {
                if moment.at > self.now {
                    break;
                }
                let Some(held) = self.clocks.get_mut(ticket).and_then(|all| all.get_mut(place))
                else {
                    break;
                };
                let key = moment.due.key();
                if !held.told.insert(key.clone()) {
                    continue;
                }
                held.changed = true;
                let (id, name) = (held.row.id.clone(), held.row.name.clone());
                if clocks::take_step(tx, &id, &key, moment.at, self.now).await? {
                    self.timeline.push(entry(ticket, &name, &moment, &life, self.now));
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    /// Writes it. Tickets' ends come last: they follow from the clocks.
    pub(super) async fn save(mut self, tx: &mut Tx) -> Result<()> {
        let tickets: Vec<String> = self.clocks.keys().cloned().collect();
        for ticket in &tickets {
            self.reckon(ticket);
        }
        let mut all: Vec<&mut Held> =
            self.clocks.values_mut().flatten().filter(|held| held.changed).collect();
        all.sort_by(|a, b| (&a.row.ticket_id, &a.row.name).cmp(&(&b.row.ticket_id, &b.row.name)));
        let promises: Vec<PromiseRow> = self.promises.into_values().collect();
        clocks::save_promises(tx, &promises).await?;
        let new: Vec<ClockRow> =
            all.iter().filter(|held| held.read == 0).map(|held| held.row.clone()).collect();
        clocks::add(tx, &new).await?;
        for held in all.iter().filter(|held| held.read > 0) {
            clocks::save(tx, &held.row, held.read).await?;
        }
        let events: Vec<EventRow> = all.iter_mut().flat_map(|held| held.added.drain(..)).collect();
        clocks::add_events(tx, &events).await?;
        timeline::insert_all(tx, &self.timeline).await?;
        duty::told(tx, &self.timeline, self.now).await.map(drop)
    }

    /// What the rows say of the clocks of a ticket.
    fn reckon(&mut self, ticket: &str) {
        let mut earliest: Option<(Time, String)> = None;
        for place in 0..self.clocks.get(ticket).map_or(0, Vec::len) {
            let Some(life) = self.life_of(ticket, place) else { continue };
            let now = self.now;
            let Some(held) = self.clocks.get_mut(ticket).and_then(|all| all.get_mut(place)) else {
                continue;
            };
            let running = life.state() == crate::clock::State::Running;
            let row = &mut held.row;
            row.state = life.state().as_str().to_owned();
            row.started_at = life.started_at();
            row.budget_ms = life.budget().unwrap_or(-1);
            row.elapsed_ms = life.elapsed(now);
            row.due_at = life.due().filter(|_| running);
            row.stopped_at = life.stopped_at();
            row.verdict =
                life.kept(now).map(|kept| if kept { "kept" } else { "missed" }.to_owned());
            let next = moments(&life).into_iter().find(|m| !held.told.contains(&m.due.key()));
            row.next_at = next.map(|moment| moment.at).filter(|_| running);
            if let Some(due) = row.due_at
                && earliest.as_ref().is_none_or(|(first, _)| due < *first)
            {
                earliest = Some((due, row.name.clone()));
            }
        }
        if let Some(promise) = self.promises.get_mut(ticket) {
            (promise.due_at, promise.due_clock) = earliest.unzip();
        }
    }
}

/// What the ticket's timeline says of it.
fn entry(ticket: &str, name: &str, moment: &Moment, life: &Life, now: Time) -> timeline::Entry {
    let mut detail = json!({
        "clock": name, "at": moment.at.to_string(),
        "due": life.due().map(|due| due.to_string()), "left_ms": life.left(now),
    });
    let what = match &moment.due {
        Due::Warning => "clock-warning",
        Due::Breach => "clock-breached",
        Due::Escalation { at, to } => {
            if let Some(object) = detail.as_object_mut() {
                object.insert("to".to_owned(), to.as_str().into());
                object.insert("when".to_owned(), at.as_str().into());
            }
            "escalated"
        }
    };
    timeline::Entry {
        id: new_uuid().to_string(),
        ticket_id: ticket.to_owned(),
        at: now,
        who: "collector".to_owned(),
        what: what.to_owned(),
        detail: detail.to_string(),
    }
}
