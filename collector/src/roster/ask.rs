//! Who is to be called, and why not the others.

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::time::Time;
use serde::Serialize;

use super::{Post, Roster, Shift};

/// Minutes for an answer where the roster says nothing.
const MINUTES: u32 = 10;

/// A person, as far as duty goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// Log-in name.
    pub name: String,
    /// `field_engineer`, `manager`, …
    pub role: String,
    /// May not log in any more.
    pub disabled: bool,
    /// What the person knows: words that are looked for in what a device is.
    pub skills: Vec<String>,
    /// Sites that the person goes to; with none of both: everywhere.
    pub sites: Vec<String>,
    /// Customers of whose sites that is true.
    pub customers: Vec<String>,
    /// Open tickets.
    pub load: i64,
}

/// Somebody is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// Who.
    pub person: String,
    /// From then.
    pub from: Time,
    /// Until then.
    pub to: Time,
}

/// What a roster says beside its shifts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The roster's name.
    pub name: String,
    /// The roster.
    pub roster: Roster,
}

/// Everything that is known of a moment.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// By name.
    pub people: BTreeMap<String, Person>,
    /// Around that moment.
    pub shifts: Vec<Shift>,
    /// Around that moment.
    pub absences: Vec<Absence>,
    /// By name.
    pub rosters: Vec<Rules>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// When.
    pub at: Time,
    /// From this level on.
    pub level: Post,
    /// The site, if it is known.
    pub site: Option<&'a str>,
    /// The site's customer.
    pub customer: Option<&'a str>,
    /// What the thing is: vendor, model, kind of fault.
    pub words: &'a str,
    /// Who has been asked already.
    pub asked: &'a BTreeSet<String>,
}

/// Why somebody is taken or is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why", content = "of")]
pub enum Why {
    /// On duty and the best of those.
    Taken,
    /// On duty, knows this.
    Skill(String),
    /// On duty, but knows other things.
    OtherSkill,
    /// On duty; has so many open tickets, another one fewer.
    Busier(i64),
    /// On duty and as good; the name decided.
    Equal,
    /// Not there.
    Absent,
    /// Does not go to this site.
    OtherSite,
    /// The role is not one for this level any more.
    Role,
    /// May not log in any more.
    Disabled,
    /// Was asked already.
    Asked,
    /// Nobody stands at this level.
    Nobody,
}

/// Of one person at one level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Who; empty: nobody.
    pub person: String,
    /// At which level.
    pub level: &'static str,
    /// Why.
    #[serde(flatten)]
    pub why: Why,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Who; `None`: nobody is there at any level.
    pub person: Option<String>,
    /// At which level.
    pub level: Post,
    /// The roster by which that is so; `None`: a manager who is on no roster.
    pub roster: Option<String>,
    /// Of everybody who was looked at.
    pub reasons: Vec<Reason>,
}

impl Board {
    /// Whether somebody is absent then.
    pub fn is_absent(&self, person: &str, at: Time) -> bool {
        self.absences.iter().any(|a| a.person == person && a.from <= at && at < a.to)
    }

    /// The rosters that are for a site: those that name it or its customer; if none does, those for all.
    pub fn rosters_for(&self, site: Option<&str>, customer: Option<&str>) -> Vec<&Rules> {
        let names =
            |all: &[String], one: Option<&str>| one.is_some_and(|o| all.iter().any(|a| a == o));
        let own = |r: &&Rules| names(&r.roster.sites, site) || names(&r.roster.customers, customer);
        let found: Vec<&Rules> = self.rosters.iter().filter(own).collect();
        if !found.is_empty() {
            return found;
        }
        let all = |r: &&Rules| r.roster.sites.is_empty() && r.roster.customers.is_empty();
        self.rosters.iter().filter(all).collect()
    }

    /// After how many minutes a call of a level goes on.
    pub fn minutes(&self, roster: Option<&str>, level: Post) -> u32 {
        let rules = roster.and_then(|name| self.rosters.iter().find(|r| r.name == name));
        let own = rules.and_then(|r| r.roster.acknowledge.get(level.as_str()));
        own.copied().unwrap_or(MINUTES)
    }
}

/// Whether a skill is among the words: a whole word of letters and digits, upper and lower case alike. In
/// scripts without spaces between words it is enough that it stands there.
pub fn fits(skill: &str, words: &str) -> bool {
    let (skill, words) = (skill.trim().to_lowercase(), words.to_lowercase());
    let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: Option<char>| part(c);
    !skill.is_empty()
        && words.match_indices(&skill).any(|(at, found)| {
            let before = words[..at].chars().next_back();
            let after = words[at + found.len()..].chars().next();
            let joined_before = inner(before) && part(skill.chars().next());
            let joined_after = inner(after) && part(skill.chars().next_back());
            !joined_before && !joined_after
        })
}

/// Who is to be called: at that level, else at the next ones, at last any manager.
pub fn who(board: &Board, ask: &Ask<'_>) -> Found {
    let rosters = board.rosters_for(ask.site, ask.customer);
    let mut reasons = Vec::new();
    let mut level = Some(ask.level);
    while let Some(post) = level {
        let mut on_duty: Vec<(&str, &str)> = board
            .shifts
            .iter()
            .filter(|s| s.level == post && s.is_at(ask.at))
            .filter(|s| rosters.iter().any(|r| r.name == s.roster))
            .map(|s| (s.person.as_str(), s.roster.as_str()))
            .collect();
        on_duty.sort_unstable();
        on_duty.dedup_by_key(|(person, _)| *person);
        if let Some(person) = best(board, ask, post, on_duty.iter().map(|p| p.0), &mut reasons) {
            let roster = on_duty.iter().find(|p| p.0 == person).map(|p| p.1.to_owned());
            return Found { person: Some(person), level: post, roster, reasons };
        }
        if on_duty.is_empty() {
            reasons.push(Reason { person: String::new(), level: post.as_str(), why: Why::Nobody });
        }
        level = post.next();
    }
    // Somebody must know: managers are asked whether they are on a roster or not.
    for role in ["manager", "administrator"] {
        let of_role = board.people.values().filter(|p| p.role == role).map(|p| p.name.as_str());
        let of_role: Vec<&str> = of_role
            .filter(|name| !reasons.iter().any(|r| r.person == *name && r.level == "manager"))
            .collect();
        if let Some(person) = best(board, ask, Post::Manager, of_role.into_iter(), &mut reasons) {
            return Found { person: Some(person), level: Post::Manager, roster: None, reasons };
        }
    }
    Found { person: None, level: Post::Manager, roster: None, reasons }
}

/// The best of those who stand at a level; says of the others why not.
fn best<'a>(
    board: &Board,
    ask: &Ask<'_>,
    post: Post,
    names: impl Iterator<Item = &'a str>,
    reasons: &mut Vec<Reason>,
) -> Option<String> {
    let mut able: Vec<(bool, i64, &str, Option<&String>)> = Vec::new();
    let mut say = |person: &str, why: Why| {
        reasons.push(Reason { person: person.to_owned(), level: post.as_str(), why });
    };
    for name in names {
        let Some(person) = board.people.get(name) else {
            say(name, Why::Disabled);
            continue;
        };
        if let Some(why) = cannot(board, ask, post, person) {
            say(name, why);
            continue;
        }
        let skill = person.skills.iter().find(|skill| fits(skill, ask.words));
        let other = skill.is_none() && !person.skills.is_empty();
        able.push((other, person.load, name, skill));
    }
    // Who knows it first, then who knows a little of everything, then who knows other things.
    able.sort_by_key(|(other, load, name, skill)| (*other, skill.is_none(), *load, *name));
    let (first, rest) = able.split_first()?;
    for one in rest {
        say(one.2, compare(first, one));
    }
    let why = first.3.map_or(Why::Taken, |skill| Why::Skill(skill.clone()));
    say(first.2, why);
    Some(first.2.to_owned())
}

type Able<'a> = (bool, i64, &'a str, Option<&'a String>);

/// Why not this one but the first.
fn compare(first: &Able<'_>, one: &Able<'_>) -> Why {
    if (one.0, one.3.is_none()) != (first.0, first.3.is_none()) {
        Why::OtherSkill
    } else if one.1 > first.1 {
        Why::Busier(one.1)
    } else {
        Why::Equal
    }
}

fn cannot(board: &Board, ask: &Ask<'_>, post: Post, person: &Person) -> Option<Why> {
    if person.disabled {
        return Some(Why::Disabled);
    }
    if !post.may_be(&person.role) {
        return Some(Why::Role);
    }
    if board.is_absent(&person.name, ask.at) {
        return Some(Why::Absent);
    }
    if ask.asked.contains(&person.name) {
        return Some(Why::Asked);
    }
    let bound = !person.sites.is_empty() || !person.customers.is_empty();
    let among = |all: &[String], one: Option<&str>| one.is_some_and(|o| all.iter().any(|a| a == o));
    let here = among(&person.sites, ask.site) || among(&person.customers, ask.customer);
    // A manager's word is for every site.
    (bound && !here && post != Post::Manager).then_some(Why::OtherSite)
}
