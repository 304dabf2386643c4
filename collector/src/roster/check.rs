//! What is wrong with a roster: where, what was expected, the nearest valid name.

use std::collections::BTreeMap;

use callhome_shared::config_error::did_you_mean;

use super::shifts::week_of;
use super::{Pattern, Post, Roster};
use crate::calendar::{Fault, Window, day_number, zone};

/// Patterns of one roster.
const MAX_PATTERNS: usize = 64;
/// Teams of one pattern.
const MAX_TEAMS: usize = 64;
/// People of one team.
const MAX_TEAM: usize = 16;
/// Weeks of one pattern that are not as the turn says.
const MAX_WEEKS: usize = 260;
/// Sites or customers of one roster.
const MAX_PLACES: usize = 500;
/// Longest text, characters.
const MAX_TEXT: usize = 200;
/// Longest time for an answer, minutes: a day.
const MAX_MINUTES: u32 = 1440;

/// Checks it; `roles`: the role of everybody who may log in, `calendars`: the names of those there are.
pub fn check(
    roster: &Roster,
    roles: &BTreeMap<String, String>,
    calendars: &[String],
) -> Result<(), Fault> {
    text("title", &roster.title)?;
    if let Some(name) = &roster.time_zone {
        zone::zone(name).map_err(|e| Fault::new("time_zone", e.to_string()))?;
    }
    if let Some(name) = roster.calendar.as_ref().filter(|name| !calendars.contains(name)) {
        return Err(unknown("calendar", "a calendar", name, calendars.iter().map(String::as_str)));
    }
    for (key, places) in [("sites", &roster.sites), ("customers", &roster.customers)] {
        if places.len() > MAX_PLACES {
            return Err(Fault::new(key, format!("expected at most {MAX_PLACES}")));
        }
        for (n, place) in places.iter().enumerate() {
            text(&format!("{key}[{n}]"), place)?;
        }
    }
    for (name, minutes) in &roster.acknowledge {
        level("acknowledge", name)?;
        if !(1..=MAX_MINUTES).contains(minutes) {
            let at = format!("acknowledge.{name}");
            let why = format!("expected 1 to {MAX_MINUTES} minutes, found {minutes}");
            return Err(Fault::new(at, why));
        }
    }
    for (priority, name) in &roster.first {
        known_priority("first", priority)?;
        level(&format!("first.{priority}"), name)?;
    }
    for (n, priority) in roster.call.iter().enumerate() {
        known_priority(&format!("call[{n}]"), priority)?;
    }
    if roster.shifts.is_empty() || roster.shifts.len() > MAX_PATTERNS {
        return Err(Fault::new("shifts", format!("expected 1 to {MAX_PATTERNS} shifts")));
    }
    for (n, pattern) in roster.shifts.iter().enumerate() {
        one(pattern, roles).map_err(|fault| fault.within(&format!("shifts[{n}]")))?;
    }
    Ok(())
}

fn one(pattern: &Pattern, roles: &BTreeMap<String, String>) -> Result<(), Fault> {
    if pattern.name.trim().is_empty() {
        return Err(Fault::new("name", "expected a name such as \"night\""));
    }
    text("name", &pattern.name)?;
    let post = level("level", &pattern.level)?;
    Window::parse(&pattern.hours).map_err(|why| Fault::new("hours", why))?;
    if day_number(&pattern.from).is_none() {
        let from: String = pattern.from.chars().take(40).collect();
        return Err(Fault::new(
            "from",
            format!("expected a day such as 2026-01-05, found {from:?}"),
        ));
    }
    if pattern.teams.is_empty() || pattern.teams.len() > MAX_TEAMS {
        return Err(Fault::new("teams", format!("expected 1 to {MAX_TEAMS} teams")));
    }
    for (n, team) in pattern.teams.iter().enumerate() {
        people(&format!("teams[{n}]"), team, post, roles)?;
    }
    if pattern.weeks.len() > MAX_WEEKS {
        return Err(Fault::new("weeks", format!("expected at most {MAX_WEEKS} weeks")));
    }
    for (week, team) in &pattern.weeks {
        if week_of(week).is_none() {
            let week: String = week.chars().take(40).collect();
            return Err(Fault::new(
                "weeks",
                format!("expected weeks such as 2026-W48, found {week:?}"),
            ));
        }
        people(&format!("weeks.{week}"), team, post, roles)?;
    }
    Ok(())
}

fn people(
    at: &str,
    team: &[String],
    post: Post,
    roles: &BTreeMap<String, String>,
) -> Result<(), Fault> {
    if team.is_empty() || team.len() > MAX_TEAM {
        return Err(Fault::new(at, format!("expected 1 to {MAX_TEAM} people")));
    }
    for (n, person) in team.iter().enumerate() {
        let at = format!("{at}[{n}]");
        let Some(role) = roles.get(person) else {
            return Err(unknown(
                &at,
                "somebody who may log in",
                person,
                roles.keys().map(String::as_str),
            ));
        };
        if !post.may_be(role) {
            let why = format!("{person} is {role}, who does not do the work of {}", post.as_str());
            return Err(Fault::new(at, why));
        }
    }
    Ok(())
}

fn level(at: &str, name: &str) -> Result<Post, Fault> {
    let found = Post::ALL.into_iter().find(|post| post.as_str() == name);
    found.ok_or_else(|| unknown(at, "a level", name, Post::ALL.map(Post::as_str)))
}

fn known_priority(at: &str, name: &str) -> Result<(), Fault> {
    const ALL: [&str; 4] = ["p1", "p2", "p3", "p4"];
    if ALL.contains(&name) { Ok(()) } else { Err(unknown(at, "a priority", name, ALL)) }
}

fn unknown<'a>(
    at: &str,
    what: &str,
    found: &str,
    valid: impl IntoIterator<Item = &'a str>,
) -> Fault {
    let found: String = found.chars().take(64).collect();
    let hint = did_you_mean(&found, valid).map(|hint| format!(": {hint}")).unwrap_or_default();
    Fault::new(at, format!("expected {what}, found {found:?}{hint}"))
}

fn text(at: &str, text: &str) -> Result<(), Fault> {
    if text.chars().count() > MAX_TEXT || text.chars().any(char::is_control) {
        return Err(Fault::new(at, format!("expected one line of at most {MAX_TEXT} characters")));
    }
    Ok(())
}
