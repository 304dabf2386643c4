//! What a ticket is promised: a plan, at a site.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::life::Terms;
use super::plan::{Limit, Plan, Start};
use super::within::{UNLIMITED, length};
use crate::calendar::{Calendar, standard};

/// What a ticket is promised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// Name of the plan; empty: nothing is promised.
    pub plan: String,
    /// Name of the site's calendar.
    pub calendar: Option<String>,
    /// The site's time zone.
    pub time_zone: Option<String>,
}

/// A plan or a calendar with its name and version.
#[derive(Clone, Debug)]
pub struct Named<T> {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i64,
    /// Itself.
    pub body: T,
}

/// The terms of every limit at a priority, and when each begins. A limit that only other priorities have is
/// there without an end, so that what has passed is known if the priority changes. Hours are the calendar's
/// own where it has some of that name, else the plan's, else the usual ones.
pub fn terms(
    plan: &Named<Plan>,
    base: Option<&Plan>,
    calendar: Option<&Named<Calendar>>,
    time_zone: &str,
    priority: &str,
) -> BTreeMap<String, (Terms, Start)> {
    let limits = plan.body.limits(base, priority);
    let made = limits.into_iter().map(|(name, (from, limit))| {
        let by_hand = plan.body.by_hand(base, name);
        let starts = if by_hand { Start::ByHand } else { Start::Opening };
        (name.to_owned(), (one(limit, from, plan, calendar, time_zone, priority), starts))
    });
    made.collect()
}

/// `from`: the plan that the limit is written in, which may be the other's base.
fn one(
    limit: Option<&Limit>,
    from: &Plan,
    plan: &Named<Plan>,
    calendar: Option<&Named<Calendar>>,
    time_zone: &str,
    priority: &str,
) -> Terms {
    let hours_name = limit.and_then(|l| l.hours.as_ref()).unwrap_or(&from.default_hours).clone();
    let of_calendar = calendar.and_then(|calendar| calendar.body.hours.get(&hours_name));
    let hours = of_calendar.or_else(|| from.hours.get(&hours_name)).cloned();
    let hours = hours.or_else(|| standard(&hours_name)).or_else(|| standard("7x24"));
    let steps = limit.and_then(|l| l.steps.as_ref()).unwrap_or(&from.steps);
    Terms {
        plan: plan.name.clone(),
        plan_version: plan.version,
        priority: priority.to_owned(),
        within: limit.map_or_else(|| UNLIMITED.to_owned(), |l| l.within.clone()),
        at_once_ms: length(&from.at_once).unwrap_or_default(),
        warn_at: limit.and_then(|l| l.warn_at).unwrap_or(from.warn_at),
        steps: steps.clone(),
        hours_name,
        hours: hours.unwrap_or_default(),
        time_zone: time_zone.to_owned(),
        calendar: calendar.map(|calendar| (calendar.name.clone(), calendar.version)),
    }
}
