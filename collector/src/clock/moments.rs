//! What a clock has somebody do and when: the warning, the end of the limit, the steps of escalation.

use callhome_shared::time::Time;

use super::life::{At, Life};

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// Most of the limit has passed.
    Warning,
    /// The limit has passed.
    Breach,
    /// Somebody is told.
    Escalation {
        /// When, as the plan says it.
        at: String,
        /// Whom.
        to: String,
    },
}

impl Due {
    /// A stable word: of one clock each happens once, whatever becomes of priority and plan.
    pub fn key(&self) -> String {
        match self {
            Due::Warning => "warning".to_owned(),
            Due::Breach => "breach".to_owned(),
            Due::Escalation { at, to } => format!("{to}@{at}"),
        }
    }
}

/// One of them, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// What.
    pub due: Due,
    /// When, if nothing happens to the clock any more.
    pub at: Time,
}

/// All of them that come to be, the earliest first.
pub fn moments(life: &Life) -> Vec<Moment> {
    let (Some(budget), Some(terms)) = (life.budget(), life.terms()) else { return Vec::new() };
    let steps = terms.steps.iter().filter_map(|step| {
        let due = Due::Escalation { at: step.at.clone(), to: step.to.clone() };
        Some((At::parse(&step.at).ok()?, due))
    });
    let warning = (At::Share(terms.warn_at.min(100)), Due::Warning);
    let all = [warning, (At::Share(100), Due::Breach)].into_iter().chain(steps);
    let mut found: Vec<Moment> = all
        .filter_map(|(at, due)| Some(Moment { due, at: life.reaches(at.elapsed(budget))? }))
        .collect();
    found.sort_by(|a, b| (a.at, &a.due).cmp(&(b.at, &b.due)));
    found
}
