//! From fault to the right engineer in time: who is on duty gets the ticket, is called, and the call goes on
//! where nobody answers. What leads to it are entries of timelines ([`told`], in their transaction); what
//! nobody answered is found by a [`sweep`](sweep::sweep).

pub mod actions;
pub mod answer;
pub mod rosters;
pub mod view;

mod board;
mod news;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use serde_json::json;

use self::news::News;
use crate::flow::notices;
use crate::roster::{Ask, Board, Found, Post, who};
use crate::store::calls::{self, CallRow};
use crate::store::tickets::TicketRow;
use crate::store::{Result, Tx, devices, tickets, timeline};
use crate::ticket::State;

pub use board::load;
pub use sweep::{run, sweep};

/// Reasons that one entry of the timeline keeps.
const MOST_REASONS: usize = 40;
const MINUTE: i64 = 60_000;

/// What tickets' timelines say leads to: who gets them, who is called, who is told. Answers to whom tickets were given.
pub(crate) async fn told(
    tx: &mut Tx,
    entries: &[timeline::Entry],
    now: Time,
) -> Result<BTreeMap<String, String>> {
    let (given, said) = act(tx, entries, now).await?;
    let all: Vec<&timeline::Entry> = entries.iter().chain(&said).collect();
    notices::tell(tx, &all, now).await?;
    Ok(given)
}

/// To whom tickets were given, and what the timelines say of it.
type Acted = (BTreeMap<String, String>, Vec<timeline::Entry>);

async fn act(tx: &mut Tx, entries: &[timeline::Entry], now: Time) -> Result<Acted> {
    let news: Vec<(&timeline::Entry, News)> =
        entries.iter().filter_map(|entry| Some((entry, news::of(entry)?))).collect();
    if news.is_empty() {
        return Ok(Acted::default());
    }
    let ids: BTreeSet<String> = news.iter().map(|(entry, _)| entry.ticket_id.clone()).collect();
    let rows = tickets::load(tx, &Vec::from_iter(ids)).await?;
    let rows: BTreeMap<String, TicketRow> =
        rows.into_iter().filter(|t| !t.test && !t.shadow).map(|t| (t.id.clone(), t)).collect();
    if rows.is_empty() {
        return Ok(Acted::default());
    }
    let board = load(tx, now, now.plus_ms(1)).await?;
    let mut desk = Desk::new(tx, board, now);
    for (entry, news) in news {
        let Some(row) = rows.get(&entry.ticket_id) else { continue };
        desk.hear(row, entry, news).await?;
    }
    desk.close().await
}

/// What happens in one transaction.
pub(super) struct Desk<'a> {
    tx: &'a mut Tx,
    board: Board,
    now: Time,
    said: Vec<timeline::Entry>,
    given: BTreeMap<String, String>,
}

/// What leads to a call.
struct Step<'a> {
    /// Once for each.
    key: &'a str,
    round: i64,
    level: Post,
    asked: BTreeSet<String>,
}

impl<'a> Desk<'a> {
    fn new(tx: &'a mut Tx, board: Board, now: Time) -> Self {
        Desk { tx, board, now, said: Vec::new(), given: BTreeMap::new() }
    }

    /// Writes what was said.
    async fn close(self) -> Result<Acted> {
        timeline::insert_all(self.tx, &self.said).await?;
        Ok((self.given, self.said))
    }

    async fn hear(&mut self, row: &TicketRow, entry: &timeline::Entry, news: News) -> Result<()> {
        let over = State::parse(&row.state).is_none_or(|s| s.is_over() || s.is_settled());
        match news {
            News::Over if over => calls::end_all(self.tx, &row.id, self.now).await.map(drop),
            News::Taken(user) => {
                let post = answer::post_of(self.tx, &user).await?;
                answer::answer(self.tx, &row.id, &user, post, self.now).await.map(drop)
            }
            News::Given => calls::end_first(self.tx, &row.id, self.now).await.map(drop),
            News::Open if !over && row.state != State::WaitingApproval.as_str() => {
                self.assign(row, &entry.id).await
            }
            News::Urgent if row.state == State::Recorded.as_str() && self.calls_for(row) => {
                let level = self.first_level(row);
                self.call(row, &format!("urgent:{}", entry.id), level, false).await
            }
            News::Again if !over => {
                let level = self.first_level(row);
                self.call(row, &format!("again:{}", entry.id), level, false).await
            }
            News::Climb { level, key } if !over => {
                let key = key.unwrap_or_else(|| format!("asked:{}", entry.id));
                self.call(row, &key, level, true).await
            }
            News::Major if !over => {
                self.call(row, &format!("major:{}", entry.id), Post::Manager, false).await
            }
            _ => Ok(()),
        }
    }

    /// The level to which a new ticket goes.
    fn first_level(&self, row: &TicketRow) -> Post {
        let rosters = self.board.rosters_for(row.site.as_deref(), row.customer.as_deref());
        let said = rosters.iter().find_map(|r| r.roster.first.get(&row.priority));
        said.and_then(|level| Post::parse(level)).unwrap_or(Post::L1)
    }

    /// Whether a ticket as urgent as this is a call.
    fn calls_for(&self, row: &TicketRow) -> bool {
        let rosters = self.board.rosters_for(row.site.as_deref(), row.customer.as_deref());
        rosters.iter().any(|r| r.roster.call.contains(&row.priority))
    }

    async fn find(
        &mut self,
        row: &TicketRow,
        level: Post,
        asked: &BTreeSet<String>,
    ) -> Result<Found> {
        let words = words(self.tx, row).await?;
        let ask = Ask {
            at: self.now,
            level,
            site: row.site.as_deref(),
            customer: row.customer.as_deref(),
            words: &words,
            asked,
        };
        Ok(who(&self.board, &ask))
    }

    /// A new ticket goes to the fitting person on duty. Where there is no roster, people assign.
    async fn assign(&mut self, row: &TicketRow, entry: &str) -> Result<()> {
        let rosters = self.board.rosters_for(row.site.as_deref(), row.customer.as_deref());
        if rosters.is_empty() || row.assignee.is_some() || self.given.contains_key(&row.id) {
            return Ok(());
        }
        let found = self.find(row, self.first_level(row), &BTreeSet::new()).await?;
        let key = format!("opened:{entry}");
        let Some(person) = found.person.clone() else {
            self.nobody(row, &key, &found);
            return Ok(());
        };
        self.give(row, &person, &found).await?;
        if self.calls_for(row) {
            let step = Step { key: &key, round: 1, level: found.level, asked: BTreeSet::new() };
            self.ring(row, &step, &person, &found).await?;
        }
        Ok(())
    }

    /// `another`: not the person who works on it already.
    async fn call(&mut self, row: &TicketRow, key: &str, level: Post, another: bool) -> Result<()> {
        if self.board.rosters.is_empty() {
            return Ok(());
        }
        let mut asked = BTreeSet::new();
        if another {
            asked.extend(row.assignee.clone());
        }
        let step = Step { key, round: 1, level, asked };
        let found = self.find(row, level, &step.asked).await?;
        match found.person.clone() {
            Some(person) => self.ring(row, &step, &person, &found).await.map(drop),
            None => {
                self.nobody(row, key, &found);
                Ok(())
            }
        }
    }

    /// The ticket is a person's from now on. It stays where it is on its way: only people take it up.
    async fn give(&mut self, row: &TicketRow, person: &str, found: &Found) -> Result<()> {
        tickets::set_assignee(self.tx, &row.id, person).await?;
        if let Some(of) = self.board.people.get_mut(person) {
            of.load += 1;
        }
        let detail = json!({
            "from": row.assignee, "to": person, "by": "roster", "level": found.level.as_str(),
            "roster": found.roster, "reasons": reasons(found),
        });
        self.say(row, "assigned", detail);
        self.given.insert(row.id.clone(), person.to_owned());
        Ok(())
    }

    /// Somebody is asked to answer; `false`: this step was called in this round already.
    async fn ring(
        &mut self,
        row: &TicketRow,
        step: &Step<'_>,
        person: &str,
        found: &Found,
    ) -> Result<bool> {
        let minutes = self.board.minutes(found.roster.as_deref(), found.level);
        let call = CallRow {
            id: new_uuid().to_string(),
            ticket_id: row.id.clone(),
            step: step.key.to_owned(),
            round: step.round,
            level: found.level.as_str().to_owned(),
            person: person.to_owned(),
            called_at: self.now,
            expires_at: self.now.plus_ms(i64::from(minutes) * MINUTE),
            ended_at: None,
            ended: None,
            ended_by: None,
        };
        if !calls::add(self.tx, &call).await? {
            return Ok(false);
        }
        let detail = json!({
            "to": person, "level": found.level.as_str(), "asked_level": step.level.as_str(), "call": call.id,
            "step": word_of(step.key), "round": step.round, "until": call.expires_at.to_string(),
            "reasons": reasons(found),
        });
        self.say(row, "called", detail);
        Ok(true)
    }

    /// That nobody is there is itself told.
    fn nobody(&mut self, row: &TicketRow, key: &str, found: &Found) {
        tracing::warn!(ticket = row.number, "flow.duty.nobody");
        let detail = json!({ "step": word_of(key), "reasons": reasons(found) });
        self.say(row, "nobody-on-duty", detail);
    }

    fn say(&mut self, row: &TicketRow, what: &str, detail: serde_json::Value) {
        self.said.push(timeline::Entry {
            id: new_uuid().to_string(),
            ticket_id: row.id.clone(),
            at: self.now,
            who: "collector".to_owned(),
            what: what.to_owned(),
            detail: detail.to_string(),
        });
    }
}

/// What led to a call: `opened`, `clock`, `asked`, `major`, `again`, `urgent`.
pub(super) fn word_of(key: &str) -> &str {
    key.split(':').next().unwrap_or_default()
}

fn reasons(found: &Found) -> serde_json::Value {
    let first = found.reasons.iter().rev().take(MOST_REASONS).collect::<Vec<_>>();
    serde_json::to_value(first).unwrap_or_default()
}

/// What a ticket is about, for skills to be looked for in.
async fn words(tx: &mut Tx, row: &TicketRow) -> Result<String> {
    let mut words = vec![row.kind.clone(), row.resource.clone(), row.title.key.clone()];
    words.extend(row.fault_code.clone());
    words.extend(row.service.category.clone());
    if let Some((vendor, model)) = devices::kind_of(tx, &row.agent_id, &row.device_id).await? {
        words.extend([vendor, model].into_iter().flatten());
    }
    Ok(words.join(" | "))
}
