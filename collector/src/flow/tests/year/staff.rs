//! The people of the centre: they answer, look, wait for customers, resolve and close, each in his own time.

use std::collections::BTreeMap;

use callhome_shared::time::Time;

use super::almanac::{Course, DAY, HOUR, MIN, Zone};
use super::causes::{Dice, Year};
use super::house::Site;
use crate::flow::tests::World;
use crate::flow::tickets::{self, Action};
use crate::store;
use crate::ticket::{Closing, State, Wish};

/// What is known of one ticket beside the store.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) number: String,
    pub(super) cause: usize,
    pub(super) priority: String,
    plan: &'static str,
    zone: Zone,
    opened: i64,
    answered: Option<i64>,
    resolved: Option<i64>,
    waited: Vec<(i64, i64)>,
}

impl Journal {
    pub(super) fn course(&self, end: i64) -> Course {
        Course {
            plan: self.plan,
            priority: self.priority.clone(),
            zone: self.zone,
            opened: self.opened,
            answered: self.answered.filter(|at| *at < end),
            resolved: self.resolved.filter(|at| *at < end),
            waited: self.waited.clone(),
            end,
        }
    }
}

#[derive(Clone, Copy)]
enum Deed {
    Answer,
    To(State),
}

pub(super) struct Desk {
    dice: Dice,
    pub(super) journals: Vec<Journal>,
    /// By moment: which journal, and what.
    due: BTreeMap<i64, Vec<(usize, Deed)>>,
}

impl Desk {
    pub(super) fn new(dice: Dice) -> Self {
        Desk { dice, journals: Vec::new(), due: BTreeMap::new() }
    }

    /// Looks at tickets that are new, and plans what will be done with them.
    pub(super) async fn greet(&mut self, world: &World, house: &[Site], year: &Year, now: i64) {
        loop {
            let number = format!("T-{:06}", self.journals.len() + 1);
            let Some(row) = store::tickets::get(&world.db, &number).await.unwrap() else { return };
            let cause: usize = row.fault_code.as_deref().unwrap().parse().unwrap();
            let site = house.iter().find(|site| Some(&site.id) == row.site.as_ref()).unwrap();
            let mut journal = Journal {
                number,
                cause,
                priority: row.priority,
                plan: site.plan,
                zone: site.zone,
                opened: row.opened_at.0,
                answered: None,
                resolved: None,
                waited: Vec::new(),
            };
            self.plan(&mut journal, now, year.causes[cause].over);
            self.journals.push(journal);
        }
    }

    fn plan(&mut self, journal: &mut Journal, now: i64, over: i64) {
        let dice = &mut self.dice;
        let late = match dice.below(100) {
            0..85 => 1 + dice.below(8),
            85..97 => 9 + dice.below(50),
            _ => 120 + dice.below(28 * 60),
        };
        let answered = now + late * MIN;
        let looked = answered + (1 + dice.below(20)) * MIN;
        let mut deeds = vec![(answered, Deed::Answer), (looked, Deed::To(State::InDiagnosis))];
        let mut at = looked;
        if dice.below(10) == 0 {
            let from = looked + (5 + dice.below(60)) * MIN;
            let to = from + (30 + dice.below(50 * 60)) * MIN;
            deeds.push((from, Deed::To(State::WaitingCustomer)));
            deeds.push((to, Deed::To(State::InDiagnosis)));
            journal.waited.push((from, to));
            at = to;
        }
        let work = match dice.below(10) {
            0..7 => 10 + dice.below(120),
            _ => 120 + dice.below(40 * 60),
        };
        // Not before the fault is over: it would come again.
        let resolved = (at + work * MIN).max(over + 10 * MIN);
        let closed = resolved + DAY + dice.below(48) * HOUR;
        deeds.push((resolved, Deed::To(State::Resolved)));
        for to in [State::Verified, State::Confirmed, State::Closed] {
            deeds.push((closed, Deed::To(to)));
        }
        (journal.answered, journal.resolved) = (Some(answered), Some(resolved));
        for (at, deed) in deeds {
            self.due.entry(at).or_default().push((self.journals.len(), deed));
        }
    }

    /// Does what is due.
    pub(super) async fn work(&mut self, world: &World, now: i64) {
        let closing = Closing { cause: "worn".into(), fix: "new".into(), category: "a".into() };
        for (which, deed) in self.due.remove(&now).unwrap_or_default() {
            let number = self.journals[which].number.as_str();
            let row = store::tickets::get(&world.db, number).await.unwrap().unwrap();
            if row.state == "merged" {
                continue;
            }
            let action = Action { user: "li", number, at: Time(now) };
            match deed {
                Deed::Answer => {
                    tickets::comment(&world.db, &world.events, action, "we look", false)
                        .await
                        .unwrap();
                }
                Deed::To(to) => {
                    let wish = Wish { closing: Some(&closing), ..Wish::to(to, Some("because")) };
                    tickets::transition(&world.db, &world.events, action, row.version, &wish)
                        .await
                        .unwrap_or_else(|error| panic!("{number} to {to:?}: {error}"));
                }
            }
        }
    }
}
