//! A clock's life: a fold over what happened to it.
//!
//! Time that counts is summed over the stretches in which the clock ran, each in the hours that were
//! promised then. A change of priority or plan changes what is promised, never what has passed.

use std::sync::Arc;

use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};

use super::within::Within;
use crate::calendar::Schedule;

/// When somebody is told: how much of a clock has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// Of the limit, per cent; at most 100.
    Share(u32),
    /// After the limit, milliseconds that count.
    After(i64),
}

impl At {
    /// Reads `75%` or `+30min`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected \"75%\" (of the limit) or \"+30min\" (after it), found {text:?}");
        let share = text.strip_suffix('%').and_then(|n| n.parse().ok());
        if let Some(share) = share.filter(|n| (1..=100).contains(n)) {
            return Ok(At::Share(share));
        }
        let after = text.strip_prefix('+').and_then(super::within::length);
        after.map(At::After).ok_or_else(expected)
    }

    /// Milliseconds that must have counted. The end of a limit belongs to it: what happens at 100 % happens
    /// a millisecond later.
    pub fn elapsed(self, budget: i64) -> i64 {
        match self {
            At::Share(100) => budget + 1,
            At::Share(share) => budget.saturating_mul(i64::from(share)) / 100,
            At::After(ms) => budget.saturating_add(ms),
        }
    }
}

/// What is promised of one limit, as it was when the promise was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The plan.
    pub plan: String,
    /// Its version.
    pub plan_version: i64,
    /// The ticket's priority.
    pub priority: String,
    /// How long it may take, as the plan says it.
    pub within: String,
    /// What `at once` means, milliseconds.
    pub at_once_ms: i64,
    /// Warned after so much of it, per cent.
    pub warn_at: u32,
    /// Who is told when.
    pub steps: Vec<super::plan::Step>,
    /// The hours' name.
    pub hours_name: String,
    /// The hours.
    pub hours: crate::calendar::Hours,
    /// The site's time zone.
    pub time_zone: String,
    /// The site's calendar and its version.
    pub calendar: Option<(String, i64)>,
}

/// What happened to a clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// It began.
    Started {
        /// What is promised.
        terms: Terms,
    },
    /// It rests.
    Paused {
        /// Why: the ticket's state, or a person's words.
        reason: String,
    },
    /// It runs on.
    Resumed,
    /// Something else is promised from here on.
    Retimed {
        /// What.
        terms: Terms,
        /// `priority`, `plan` or `calendar`.
        why: String,
    },
    /// What was promised is done.
    Stopped {
        /// The state or the deed that stopped it.
        by: String,
    },
    /// It was not done after all: the time in between does not count.
    Continued,
    /// Another ticket goes on with it.
    Merged,
    /// Nothing is promised any more.
    Dropped {
        /// Why.
        why: String,
    },
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Time,
    /// What.
    pub what: What,
}

/// How a clock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It counts.
    Running,
    /// It rests.
    Paused,
    /// What was promised is done.
    Stopped,
    /// Another ticket goes on with it, or nothing is promised any more: no verdict.
    Dropped,
}

impl State {
    /// The name in rows and on the API.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Paused => "paused",
            State::Stopped => "stopped",
            State::Dropped => "dropped",
        }
    }
}

/// Why a clock did not run in a stretch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It was paused: the reason.
    Paused(String),
    /// What was promised was done, until it was not.
    Done(String),
}

/// A stretch of a clock's life.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) from: Time,
    /// `None`: it lasts.
    pub(super) to: Option<Time>,
    /// Which of the terms hold.
    pub(super) terms: usize,
    /// Why it does not run.
    pub(super) rest: Option<Rest>,
}

/// A clock as its events made it.
#[derive(Clone, Debug)]
pub struct Life {
    pub(super) terms: Vec<(Terms, Arc<Schedule>)>,
    pub(super) parts: Vec<Part>,
    state: State,
    budget: Option<i64>,
    /// When it was stopped, and whether in time. What is promised later does not change it.
    done: Option<(Time, bool)>,
}

/// Folds a clock's events, in the order in which they were written; `schedule` makes the calendar of terms.
/// `None`: it has not begun.
///
/// Clocks of machines may jump: an event that says an earlier time than the one before is taken to be at the
/// same moment, so that nothing is ever counted backwards.
pub fn fold<E>(
    events: &[Event],
    mut schedule: impl FnMut(&Terms) -> Result<Arc<Schedule>, E>,
) -> Result<Option<Life>, E> {
    let mut life: Option<Life> = None;
    let mut now = Time(i64::MIN);
    for event in events {
        now = now.max(event.at);
        match (&mut life, &event.what) {
            (None, What::Started { terms }) => {
                let first = Part { from: now, to: None, terms: 0, rest: None };
                let terms = vec![(terms.clone(), schedule(terms)?)];
                let (parts, state) = (vec![first], State::Running);
                life = Some(Life { terms, parts, state, budget: None, done: None });
            }
            // A life begins once, and nothing is before it.
            (None, _) | (Some(_), What::Started { .. }) => continue,
            (Some(life), What::Retimed { terms, .. }) => {
                life.terms.push((terms.clone(), schedule(terms)?));
                if life.state != State::Dropped {
                    let rest = life.parts.last().and_then(|part| part.rest.clone());
                    life.turn(now, rest);
                }
            }
            (Some(life), what) => life.take(what, now),
        }
        if let Some(life) = &mut life {
            life.reckon();
        }
    }
    Ok(life)
}

impl Life {
    fn take(&mut self, what: &What, now: Time) {
        let going = matches!(self.state, State::Running | State::Paused);
        match what {
            What::Paused { reason } if going => {
                self.state = State::Paused;
                self.turn(now, Some(Rest::Paused(reason.clone())));
            }
            What::Resumed if self.state == State::Paused => {
                self.state = State::Running;
                self.turn(now, None);
            }
            What::Stopped { by } if going => {
                self.done = Some((now, self.left(now).is_none_or(|left| left >= 0)));
                self.state = State::Stopped;
                self.turn(now, Some(Rest::Done(by.clone())));
            }
            What::Continued if self.state == State::Stopped => {
                self.done = None;
                self.state = State::Running;
                self.turn(now, None);
            }
            What::Merged | What::Dropped { .. } => {
                self.state = State::Dropped;
                if let Some(last) = self.parts.last_mut() {
                    last.to = last.to.or(Some(now));
                }
            }
            // Nothing that can happen to it as it stands.
            _ => {}
        }
    }

    /// The present stretch ends, another one begins.
    fn turn(&mut self, now: Time, rest: Option<Rest>) {
        if let Some(last) = self.parts.last_mut() {
            last.to = Some(now);
        }
        self.parts.push(Part { from: now, to: None, terms: self.terms.len() - 1, rest });
    }

    fn reckon(&mut self) {
        let Some((terms, schedule)) = self.terms.last() else { return };
        let within = Within::parse(&terms.within).ok();
        self.budget =
            within.and_then(|within| within.budget(schedule, self.started_at(), terms.at_once_ms));
    }

    /// When it began.
    pub fn started_at(&self) -> Time {
        self.parts.first().map_or(Time(0), |part| part.from)
    }

    /// How it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it does not run, if it does not.
    pub fn rest(&self) -> Option<&Rest> {
        self.parts.last().and_then(|part| part.rest.as_ref())
    }

    /// What was promised, in the order in which it held.
    pub fn all_terms(&self) -> impl Iterator<Item = &Terms> {
        self.terms.iter().map(|(terms, _)| terms)
    }

    /// What is promised now.
    pub fn terms(&self) -> Option<&Terms> {
        self.terms.last().map(|(terms, _)| terms)
    }

    /// How much may count, milliseconds. `None`: the calendar has no hours within ten years, so that it
    /// never ends.
    pub fn budget(&self) -> Option<i64> {
        self.budget
    }

    /// When what was promised was done, if it is.
    pub fn stopped_at(&self) -> Option<Time> {
        let (at, _) = self.done.filter(|_| self.state == State::Stopped)?;
        Some(at)
    }

    /// How much has counted by `now`, milliseconds; never less than before.
    pub fn elapsed(&self, now: Time) -> i64 {
        let counted = |part: &Part| {
            let to = part.to.map_or(now, |to| to.min(now));
            self.terms[part.terms].1.working_time_between(part.from, to)
        };
        self.parts.iter().filter(|part| part.rest.is_none()).map(counted).sum()
    }

    /// What is left, milliseconds; below zero: so much too late.
    pub fn left(&self, now: Time) -> Option<i64> {
        Some(self.budget? - self.elapsed(now))
    }

    /// The first moment by which `wanted` milliseconds have counted, if nothing happens to it any more.
    pub fn reaches(&self, wanted: i64) -> Option<Time> {
        let mut left = wanted;
        for part in self.parts.iter().filter(|part| part.rest.is_none()) {
            let schedule = &self.terms[part.terms].1;
            let counted = match part.to {
                Some(to) => schedule.working_time_between(part.from, to),
                None => i64::MAX,
            };
            if counted >= left {
                return schedule.instant_after(part.from, left);
            }
            left -= counted;
        }
        None
    }

    /// When the limit is over, if nothing happens to it any more. `None`: it rests, or has no end.
    pub fn due(&self) -> Option<Time> {
        self.reaches(self.budget?)
    }

    /// Whether what was promised was kept: once it is stopped, or once the limit has passed.
    pub fn kept(&self, now: Time) -> Option<bool> {
        let late = self.left(now).is_some_and(|left| left < 0);
        match self.state {
            State::Dropped => None,
            State::Stopped => self.done.map(|(_, in_time)| in_time),
            State::Running | State::Paused => late.then_some(false),
        }
    }
}
