//! Whether a plan can be kept to: every fault with its place, what was expected, and the nearest valid name.

use callhome_shared::config_error::did_you_mean;

use super::life::At;
use super::plan::{Escalation, LEVELS, LIMITS, Limit, PRIORITIES, Plan, Step, Title};
use super::within::{Within, length};
use crate::calendar::{Fault, STANDARD, Schedule, Week, Zone, standard};

/// What a plan may name as a state or a deed: the states of tickets and what people do beside.
pub const WORDS: [&str; 17] = [
    "new",
    "recorded",
    "waiting_approval",
    "rejected",
    "assigned",
    "in_diagnosis",
    "in_progress",
    "escalated",
    "dispatched",
    "waiting_customer",
    "resolved",
    "verified",
    "confirmed",
    "closed",
    "reviewed",
    "merged",
    "comment",
];
/// Most limits of a priority.
const MAX_LIMITS: usize = 16;
/// Most steps of a limit.
const MAX_STEPS: usize = 12;
/// Longest title, characters.
const MAX_TITLE: usize = 120;
/// Longest note, characters.
const MAX_NOTE: usize = 2000;

/// Checks a plan; `base`: the one it names, if there is such a one.
pub fn check(plan: &Plan, base: Option<&Plan>) -> Result<(), Fault> {
    title("title", &plan.title, MAX_TITLE)?;
    if let Some(note) = &plan.note {
        title("note", note, MAX_NOTE)?;
    }
    match (&plan.base, base) {
        (Some(name), None) => {
            return Err(Fault::new("base", format!("expected the name of a plan, found {name:?}")));
        }
        (Some(name), Some(base)) if base.base.is_some() => {
            return Err(Fault::new("base", format!("{name:?} is itself based on another plan")));
        }
        _ => {}
    }
    length(&plan.at_once).ok_or_else(|| {
        Fault::new(
            "at_once",
            format!("expected a time such as \"10min\", found {:?}", plan.at_once),
        )
    })?;
    per_cent("warn_at", plan.warn_at)?;
    if plan.hours.len() > 32 {
        return Err(Fault::new("hours", "expected at most 32"));
    }
    for (name, hours) in &plan.hours {
        word("hours", name)?;
        Week::read(hours).map_err(|f| f.within(&format!("hours.{name}")))?;
    }
    hours("default_hours", &plan.default_hours, plan)?;
    for (name, text) in &plan.names {
        word("names", name)?;
        title(&format!("names.{name}"), text, MAX_TITLE)?;
    }
    steps("steps", &plan.steps, plan.escalation)?;
    for (n, state) in plan.pauses.iter().enumerate() {
        one_of(&format!("pauses[{n}]"), state, &WORDS)?;
    }
    for (limit, words) in &plan.stops {
        limit_name("stops", limit, plan, base)?;
        for (n, state) in words.iter().enumerate() {
            one_of(&format!("stops.{limit}[{n}]"), state, &WORDS)?;
        }
    }
    for (priority, limits) in &plan.priorities {
        one_of("priorities", priority, &PRIORITIES)?;
        if limits.len() > MAX_LIMITS {
            let message = format!("expected at most {MAX_LIMITS} limits");
            return Err(Fault::new(format!("priorities.{priority}"), message));
        }
        for (name, limit) in limits {
            limit_name(&format!("priorities.{priority}"), name, plan, base)?;
            check_limit(&format!("priorities.{priority}.{name}"), limit, plan)?;
        }
    }
    if plan.priorities.is_empty() && plan.base.is_none() {
        return Err(Fault::new("priorities", "expected at least one priority with limits"));
    }
    Ok(())
}

fn check_limit(at: &str, limit: &Limit, plan: &Plan) -> Result<(), Fault> {
    let within =
        Within::parse(&limit.within).map_err(|why| Fault::new(format!("{at}.within"), why))?;
    if let Some(share) = limit.warn_at {
        per_cent(&format!("{at}.warn_at"), share)?;
    }
    if let Some(own) = &limit.steps {
        steps(&format!("{at}.steps"), own, plan.escalation)?;
    }
    let name = limit.hours.as_deref().unwrap_or(&plan.default_hours);
    let found = hours(&format!("{at}.hours"), name, plan)?;
    // Whether it ever ends: hours that no clock ever shows.
    let schedule = Schedule::new(Zone::utc(), found, std::sync::Arc::default());
    let begin = callhome_shared::time::Time(0);
    if within != Within::Unlimited
        && within
            .budget(&schedule, begin, 0)
            .is_none_or(|ms| schedule.instant_after(begin, ms).is_none())
    {
        return Err(Fault::new(format!("{at}.within"), "is not over within ten years"));
    }
    Ok(())
}

fn hours(at: &str, name: &str, plan: &Plan) -> Result<Week, Fault> {
    let found = plan.hours.get(name).cloned().or_else(|| standard(name));
    let Some(found) = found else {
        let known = plan.hours.keys().map(String::as_str).chain(STANDARD);
        let hint = did_you_mean(name, known).map(|h| format!(": {h}")).unwrap_or_default();
        let message = format!(
            "expected 5x8, 7x8, 7x24 or a name from this plan's hours, found {name:?}{hint}"
        );
        return Err(Fault::new(at, message));
    };
    Week::read(&found).map_err(|f| f.within(at))
}

fn limit_name(at: &str, name: &str, plan: &Plan, base: Option<&Plan>) -> Result<(), Fault> {
    word(at, name)?;
    let named = |plan: &Plan| plan.names.contains_key(name);
    if LIMITS.contains(&name) || named(plan) || base.is_some_and(named) {
        return Ok(());
    }
    let known = LIMITS.into_iter().chain(plan.names.keys().map(String::as_str));
    let hint = did_you_mean(name, known).map(|h| format!(": {h}")).unwrap_or_default();
    let message =
        format!("expected {} or a limit from names, found {name:?}{hint}", LIMITS.join(", "));
    Err(Fault::new(at, message))
}

fn steps(at: &str, all: &[Step], escalation: Escalation) -> Result<(), Fault> {
    if all.len() > MAX_STEPS {
        return Err(Fault::new(at, format!("expected at most {MAX_STEPS} steps")));
    }
    let mut before: Option<(At, usize)> = None;
    for (n, step) in all.iter().enumerate() {
        let when = At::parse(&step.at).map_err(|why| Fault::new(format!("{at}[{n}].at"), why))?;
        let to = format!("{at}[{n}].to");
        one_of(&to, &step.to, &LEVELS)?;
        let level = LEVELS.iter().position(|level| *level == step.to).unwrap_or(0);
        if before.is_some_and(|(at, _)| when < at) {
            return Err(Fault::new(format!("{at}[{n}].at"), "is before the step above"));
        }
        // The ticket is with L1 when nobody has been told.
        let reached = before.map_or(0, |(_, level)| level);
        if escalation == Escalation::EveryLevel && level > reached + 1 {
            let left_out = LEVELS[reached + 1];
            let message = format!("leaves out {left_out:?}; escalation is \"every_level\"");
            return Err(Fault::new(to, message));
        }
        before = Some((when, level.max(reached)));
    }
    Ok(())
}

fn one_of(at: &str, found: &str, valid: &[&'static str]) -> Result<(), Fault> {
    if valid.contains(&found) {
        return Ok(());
    }
    let hint =
        did_you_mean(found, valid.iter().copied()).map(|h| format!(": {h}")).unwrap_or_default();
    Err(Fault::new(at, format!("expected one of {}, found {found:?}{hint}", valid.join(", "))))
}

fn per_cent(at: &str, share: u32) -> Result<(), Fault> {
    if (1..=100).contains(&share) {
        return Ok(());
    }
    Err(Fault::new(at, format!("expected 1 to 100 (per cent), found {share}")))
}

fn word(at: &str, name: &str) -> Result<(), Fault> {
    if is_name(name) {
        return Ok(());
    }
    Err(Fault::new(
        at,
        format!("expected a name of 1 to 40 letters a-z, digits, _ or -, found {name:?}"),
    ))
}

/// Whether it is a name that plans, calendars, hours and limits may have.
pub fn is_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    (1..=40).contains(&name.len()) && name.bytes().all(good)
}

fn title(at: &str, title: &Title, most: usize) -> Result<(), Fault> {
    for (key, text) in [("zh-CN", &title.zh), ("en", &title.en)] {
        if text.trim().is_empty() || text.chars().count() > most {
            let message = format!("expected 1 to {most} characters");
            return Err(Fault::new(format!("{at}.{key}"), message));
        }
    }
    Ok(())
}
