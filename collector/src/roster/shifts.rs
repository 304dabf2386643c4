//! From a roster to shifts.

use std::sync::Arc;

use callhome_shared::time::Time;
use jiff::civil::{ISOWeekDate, Weekday};

use super::plan::{DayClass, Pattern, Roster, Turn};
use super::{Post, plan};
use crate::calendar::{DayKind, Days, Week, Window, Zone, day_number};

/// Somebody is on duty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// Its id, if it is published.
    pub id: Option<String>,
    /// The roster's name.
    pub roster: String,
    /// Where.
    pub level: Post,
    /// The pattern's name.
    pub pattern: String,
    /// Its beginning.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// Who.
    pub person: String,
    /// Who had it when it was published.
    pub planned: String,
}

impl Shift {
    /// Whether it is then.
    pub fn is_at(&self, at: Time) -> bool {
        self.from <= at && at < self.to
    }
}

/// What tells a roster its days.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Whose clocks its hours are by.
    pub zone: Zone,
    /// Public holidays and make-up working days.
    pub days: Arc<Days>,
    /// Which weekdays are worked.
    pub week: Week,
}

impl Ground {
    /// What a day (days since 1970) is.
    pub fn class(&self, day: i64) -> DayClass {
        match self.days.of(day) {
            Some((DayKind::Holiday, _)) => DayClass::Holiday,
            Some((DayKind::Working, _)) => DayClass::WorkingDay,
            None if self.week.works(weekday(day)) => DayClass::WorkingDay,
            None => DayClass::Weekend,
        }
    }
}

/// 0: Monday.
fn weekday(day: i64) -> usize {
    usize::try_from((day + 3).rem_euclid(7)).unwrap_or_default()
}

fn monday(day: i64) -> i64 {
    day - (day + 3).rem_euclid(7)
}

/// The shifts of a roster that are, at least in part, between two moments; in the order of their beginnings.
pub fn shifts(name: &str, roster: &Roster, ground: &Ground, from: Time, to: Time) -> Vec<Shift> {
    let mut all = Vec::new();
    if to <= from {
        return all;
    }
    // A shift goes over one midnight at most.
    let (first, last) = (ground.zone.day(from) - 2, ground.zone.day(to) + 1);
    for pattern in &roster.shifts {
        let (Some(level), Ok(window)) =
            (Post::parse(&pattern.level), Window::parse(&pattern.hours))
        else {
            continue;
        };
        for day in (first..=last).filter(|day| is_on(pattern.days, ground.class(*day))) {
            let (begin, end) = window.minutes();
            let (begin, end) = (ground.zone.moment(day, begin), ground.zone.moment(day, end));
            if begin >= end || end <= from || begin >= to {
                continue;
            }
            for person in team(pattern, day) {
                all.push(Shift {
                    id: None,
                    roster: name.to_owned(),
                    level,
                    pattern: pattern.name.clone(),
                    from: begin,
                    to: end,
                    person: person.clone(),
                    planned: person.clone(),
                });
            }
        }
    }
    all.sort_by(|a, b| (a.from, a.level, &a.person).cmp(&(b.from, b.level, &b.person)));
    all
}

fn is_on(wanted: DayClass, is: DayClass) -> bool {
    match wanted {
        DayClass::All => true,
        DayClass::OffDay => matches!(is, DayClass::Weekend | DayClass::Holiday),
        wanted => wanted == is,
    }
}

/// Who has a pattern's shift that begins on that day.
fn team(pattern: &Pattern, day: i64) -> &[String] {
    let own = pattern.weeks.iter().find(|(week, _)| week_of(week) == Some(monday(day)));
    if let Some((_, own)) = own {
        return own;
    }
    let Some(start) = day_number(&pattern.from) else { return &[] };
    let turns = match pattern.turn {
        Turn::Day => day - start,
        plan::Turn::Week => (monday(day) - monday(start)).div_euclid(7),
    };
    let count = i64::try_from(pattern.teams.len()).unwrap_or(i64::MAX);
    let place = if count == 0 { 0 } else { turns.rem_euclid(count) };
    let place = usize::try_from(place).unwrap_or_default();
    pattern.teams.get(place).map(Vec::as_slice).unwrap_or_default()
}

/// The Monday of an ISO week, `2026-W48`, in days since 1970.
pub(super) fn week_of(text: &str) -> Option<i64> {
    let (year, week) = text.split_once("-W")?;
    if year.len() != 4 || week.len() != 2 {
        return None;
    }
    let date = ISOWeekDate::new(year.parse().ok()?, week.parse().ok()?, Weekday::Monday).ok()?;
    day_number(&date.date().to_string())
}
