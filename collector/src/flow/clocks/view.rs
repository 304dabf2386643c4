//! What people see of a ticket's clocks.

use callhome_shared::time::Time;

use super::loaded;
use crate::clock::{Because, Life, Line, State, Terms, Title, UNLIMITED, explain};
use crate::store::clocks::PromiseRow;
use crate::store::{Db, Result};

/// Lines of one explanation: the latest ones are shown.
const MOST_LINES: usize = 500;

/// A clock as it stands.
#[derive(Clone, Debug)]
pub struct View {
    /// Which limit.
    pub name: String,
    /// Its name, where the plan gives it one.
    pub title: Option<Title>,
    /// What is promised now.
    pub terms: Terms,
    /// Its life.
    pub life: Life,
    /// Why it shows what it shows, oldest first.
    pub lines: Vec<Line>,
    /// Lines before these that are not shown.
    pub left_out: usize,
}

impl View {
    /// The priority that held in a stretch.
    pub fn priority(&self, line: &Line) -> String {
        self.life
            .all_terms()
            .nth(line.terms)
            .map(|terms| terms.priority.clone())
            .unwrap_or_default()
    }

    /// Whether the calendar or the clock's own rest is the reason, as a stable word, and its note.
    pub fn because(line: &Line) -> (&'static str, &str) {
        use crate::calendar::Why;
        use crate::clock::Rest;
        match &line.because {
            Because::Calendar(Why::Inside) => ("inside", ""),
            Because::Calendar(Why::Outside) => ("outside", ""),
            Because::Calendar(Why::Special(note)) => ("working_day", note),
            Because::Calendar(Why::Holiday(note)) => ("holiday", note),
            Because::Rest(Rest::Paused(reason)) => ("paused", reason),
            Because::Rest(Rest::Done(by)) => ("done", by),
        }
    }
}

/// All of a ticket's clocks.
#[derive(Clone, Debug)]
pub struct Views {
    /// What it is promised.
    pub promise: PromiseRow,
    /// The plan's title.
    pub title: Title,
    /// The clocks, by name; those that have no limit at this priority are left out.
    pub clocks: Vec<View>,
    /// Limits that a person may start.
    pub startable: Vec<String>,
}

/// The clocks of the ticket of that id; `None`: nothing is promised of it.
pub async fn views(db: &Db, ticket: &str, now: Time) -> Result<Option<Views>> {
    let mut tx = db.begin().await?;
    let found = loaded(&mut tx, ticket, now).await?;
    tx.rollback().await?;
    let Some((mut book, kept)) = found else { return Ok(None) };
    let Some(promise) = book.promises.get(ticket).cloned() else { return Ok(None) };
    let (plan, base) = (&kept.plan.body, kept.base.as_ref());
    let mut clocks = Vec::new();
    let mut begun = Vec::new();
    for place in 0..book.clocks.get(ticket).map_or(0, Vec::len) {
        let Some(life) = book.life_of(ticket, place) else { continue };
        let name = book.clocks[ticket][place].row.name.clone();
        begun.push(name.clone());
        let Some(terms) = life.terms().cloned() else { continue };
        if terms.within == UNLIMITED && life.state() != State::Stopped {
            continue;
        }
        let mut lines = explain(&life, now);
        let left_out = lines.len().saturating_sub(MOST_LINES);
        lines.drain(..left_out);
        let named = |plan: &crate::clock::Plan| plan.names.get(&name).cloned();
        let title = named(plan).or_else(|| base.and_then(named));
        clocks.push(View { name, title, terms, life, lines, left_out });
    }
    let limits = plan.limits(base, &promise.priority).into_iter();
    let startable = limits
        .filter(|(name, (_, limit))| limit.is_some() && plan.by_hand(base, name))
        .map(|(name, _)| name.to_owned())
        .filter(|name| !begun.contains(name))
        .collect();
    Ok(Some(Views { promise, title: plan.title.clone(), clocks, startable }))
}
