//! Days that are not like their weekday: public holidays, make-up working days, exceptions.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::week::{Fault, Hours, Window, windows};
use super::zone::zone;

/// Days that one calendar may name: thirty years of Chinese holidays.
pub const MAX_DAYS: usize = 4000;
/// Longest note and title, characters.
const MAX_NOTE: usize = 200;
/// Hours that one calendar may define.
const MAX_HOURS: usize = 32;

/// A calendar as it is written: the public holidays of a place, and what is special there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// What people read.
    #[serde(default)]
    pub title: String,
    /// IANA time zone of the sites that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub time_zone: Option<String>,
    /// Hours that are other here than a plan says, by name: a `5x8` from Sunday to Thursday, for instance.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hours: BTreeMap<String, Hours>,
    /// Days that are not like their weekday. Of two that name the same day the later one counts.
    #[serde(default)]
    pub days: Vec<Day>,
}

/// One day, or some in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Day {
    /// The first one, `2026-10-01`.
    pub from: String,
    /// The last one; without it there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub to: Option<String>,
    /// What it is.
    pub kind: DayKind,
    /// Its own windows (`working` only), instead of those of a weekday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hours: Option<Vec<String>>,
    /// What people call it.
    #[serde(default)]
    pub note: String,
}

/// What a day is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DayKind {
    /// A public holiday.
    Holiday,
    /// A working day, whatever its weekday.
    Working,
}

/// A day's rule as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) kind: DayKind,
    pub(super) windows: Option<Vec<Window>>,
    pub(super) note: Arc<str>,
}

/// The days of a calendar as they were read, by days since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Days {
    pub(super) rules: BTreeMap<i64, Rule>,
}

/// Days since 1970.
pub(super) fn number(date: Date) -> i64 {
    let epoch = jiff::civil::date(1970, 1, 1);
    date.duration_since(epoch).as_hours() / 24
}

impl Days {
    /// What the calendar says of a day (days since 1970), and its note; `None`: it is as its weekday is.
    pub fn of(&self, day: i64) -> Option<(DayKind, &str)> {
        self.rules.get(&day).map(|rule| (rule.kind, &*rule.note))
    }
}

/// A date's number in days since 1970, `2026-10-01`.
pub fn day_number(text: &str) -> Option<i64> {
    date("", text).ok()
}

impl Calendar {
    /// Reads it, or says what is wrong.
    pub fn read(&self) -> Result<Days, Fault> {
        note("title", &self.title)?;
        if let Some(name) = &self.time_zone {
            zone(name).map_err(|e| Fault::new("time_zone", e.to_string()))?;
        }
        if self.hours.len() > MAX_HOURS {
            return Err(Fault::new("hours", format!("expected at most {MAX_HOURS}")));
        }
        for (name, hours) in &self.hours {
            super::Week::read(hours).map_err(|f| f.within(&format!("hours.{name}")))?;
        }
        let mut rules = BTreeMap::new();
        for (n, day) in self.days.iter().enumerate() {
            let at = |key: &str| format!("days[{n}].{key}");
            let first = date(&at("from"), &day.from)?;
            let last = day.to.as_deref().map_or(Ok(first), |to| date(&at("to"), to))?;
            if last < first {
                return Err(Fault::new(at("to"), format!("is before from ({})", day.from)));
            }
            note(&at("note"), &day.note)?;
            let own = day.hours.as_deref().map(|texts| windows(&at("hours"), texts)).transpose()?;
            if own.is_some() && day.kind == DayKind::Holiday {
                return Err(Fault::new(at("hours"), "a holiday has no hours"));
            }
            if last - first >= i64::try_from(MAX_DAYS).unwrap_or(i64::MAX) {
                return Err(Fault::new(at("to"), format!("expected at most {MAX_DAYS} days")));
            }
            let rule = Rule { kind: day.kind, windows: own, note: day.note.as_str().into() };
            rules.extend((first..=last).map(|number| (number, rule.clone())));
            if rules.len() > MAX_DAYS {
                return Err(Fault::new("days", format!("expected at most {MAX_DAYS} days")));
            }
        }
        Ok(Days { rules })
    }
}

fn date(at: &str, text: &str) -> Result<i64, Fault> {
    let expected = || Fault::new(at, format!("expected a date such as 2026-10-01, found {text:?}"));
    if text.len() != 10 {
        return Err(expected());
    }
    text.parse::<Date>().map(number).map_err(|_| expected())
}

fn note(at: &str, text: &str) -> Result<(), Fault> {
    if text.chars().count() > MAX_NOTE {
        return Err(Fault::new(at, format!("expected at most {MAX_NOTE} characters")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(from: &str, to: Option<&str>, kind: DayKind) -> Day {
        Day { from: from.into(), to: to.map(Into::into), kind, hours: None, note: "x".into() }
    }

    #[test]
    fn days_are_read_and_the_later_one_counts() {
        let days = vec![
            day("2026-10-01", Some("2026-10-07"), DayKind::Holiday),
            day("2026-10-03", None, DayKind::Working),
        ];
        let read = Calendar { days, ..Calendar::default() }.read().unwrap();
        assert_eq!(read.rules.len(), 7);
        let third = number(jiff::civil::date(2026, 10, 3));
        assert_eq!(read.rules[&third].kind, DayKind::Working);
        assert_eq!(number(jiff::civil::date(1970, 1, 1)), 0);
        assert_eq!(number(jiff::civil::date(1969, 12, 31)), -1);
        assert_eq!(number(jiff::civil::date(2026, 1, 1)), 20_454);
    }

    #[test]
    fn faults_say_where() {
        let fault = |one: Day| {
            let days = vec![day("2026-01-01", None, DayKind::Holiday), one];
            Calendar { days, ..Calendar::default() }.read().unwrap_err().to_string()
        };
        let text = fault(day("2026-13-01", None, DayKind::Holiday));
        assert_eq!(text, "days[1].from: expected a date such as 2026-10-01, found \"2026-13-01\"");
        let text = fault(day("2026-10-02", Some("2026-10-01"), DayKind::Holiday));
        assert_eq!(text, "days[1].to: is before from (2026-10-02)");
        let text = fault(day("2026-10-02", Some("9999-10-01"), DayKind::Holiday));
        assert_eq!(text, "days[1].to: expected at most 4000 days");
        let calendar = Calendar { time_zone: Some("Asia/Shangai".into()), ..Calendar::default() };
        assert!(calendar.read().unwrap_err().to_string().starts_with("time_zone: expected"));
    }
}
