//! Hours of a week: which minutes of which weekday count.

use std::collections::BTreeMap;

use callhome_shared::config_error::did_you_mean;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Minutes of a day.
pub(super) const DAY_MIN: i64 = 24 * 60;
/// Windows that one line may have.
const MAX_WINDOWS: usize = 16;
/// The days, Monday first.
pub(super) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Hours of a week as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// By days (`mon`, `sat`, `mon-fri`, `mon,wed,sat`): windows of the local clock, `"09:00-17:30"`. One that
    /// ends at or before its beginning goes over midnight and belongs to the day on which it begins; `"00:00-24:00"`
    /// is the whole day.
    pub week: BTreeMap<String, Vec<String>>,
    /// Whether public holidays are off and make-up working days are on.
    #[serde(default)]
    pub holidays: bool,
}

/// What is wrong with something that was written: where, what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct Fault {
    /// Path of keys, or a line: `week.mon-fri[0]`, `line 12`.
    pub at: String,
    /// What was expected and what was found.
    pub message: String,
}

impl Fault {
    /// One.
    pub fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Fault { at: at.into(), message: message.into() }
    }

    /// The same, seen from further out.
    pub fn within(mut self, outer: &str) -> Self {
        self.at = match self.at.as_str() {
            "" => outer.to_owned(),
            inner => format!("{outer}.{inner}"),
        };
        self
    }
}

/// Minutes of a day, from midnight on: `[from, to)`, `to` up to two days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Window {
    /// Its beginning and its end, minutes from the midnight on which its day begins.
    pub fn minutes(self) -> (i64, i64) {
        (self.from, self.to)
    }

    /// Reads `HH:MM-HH:MM`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a window such as \"09:00-17:30\", found {text:?}");
        let (from, to) = text.split_once('-').ok_or_else(expected)?;
        let from = minute(from.trim()).filter(|m| *m < DAY_MIN).ok_or_else(expected)?;
        let to = minute(to.trim()).ok_or_else(expected)?;
        let to = if to <= from { to + DAY_MIN } else { to };
        Ok(Window { from, to })
    }
}

fn minute(text: &str) -> Option<i64> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |t: &str| (t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit())).then_some(());
    digits(hour).and(digits(minute))?;
    let (hour, minute): (i64, i64) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60 || (hour, minute) == (24, 0)).then_some(hour * 60 + minute)
}

/// Reads windows, sorted.
pub(super) fn windows(at: &str, texts: &[String]) -> Result<Vec<Window>, Fault> {
    if texts.len() > MAX_WINDOWS {
        return Err(Fault::new(at, format!("expected at most {MAX_WINDOWS} windows")));
    }
    let mut all = Vec::with_capacity(texts.len());
    for (n, text) in texts.iter().enumerate() {
        all.push(Window::parse(text).map_err(|why| Fault::new(format!("{at}[{n}]"), why))?);
    }
    all.sort_unstable();
    Ok(all)
}

/// Hours of a week as they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Week {
    /// Monday first; sorted.
    pub(super) days: [Vec<Window>; 7],
    pub(super) holidays: bool,
}

impl Week {
    /// Reads [`Hours`].
    pub fn read(hours: &Hours) -> Result<Self, Fault> {
        let mut days: [Vec<Window>; 7] = Default::default();
        if hours.week.len() > 64 {
            return Err(Fault::new("week", "expected at most 64 lines"));
        }
        for (name, texts) in &hours.week {
            let at = format!("week.{name}");
            let windows = windows(&at, texts)?;
            for day in days_of(name).map_err(|why| Fault::new(&at, why))? {
                days[day].extend(windows.iter().copied());
                days[day].sort_unstable();
            }
        }
        if days.iter().all(Vec::is_empty) {
            return Err(Fault::new(
                "week",
                "expected at least one window, for instance \"mon-fri\": [\"09:00-17:30\"]",
            ));
        }
        Ok(Week { days, holidays: hours.holidays })
    }

    /// Whether a weekday (0: Monday) has hours.
    pub fn works(&self, weekday: usize) -> bool {
        self.days.get(weekday).is_some_and(|day| !day.is_empty())
    }

    /// Every minute of every day.
    pub(super) fn is_always(&self) -> bool {
        let whole = |day: &Vec<Window>| day.iter().any(|w| w.from == 0 && w.to >= DAY_MIN);
        !self.holidays && self.days.iter().all(whole)
    }

    /// The hours of a make-up working day: those of the first weekday that has some.
    pub(super) fn made_up(&self) -> &[Window] {
        self.days.iter().find(|day| !day.is_empty()).map(Vec::as_slice).unwrap_or_default()
    }
}

/// `mon-fri`, `sat`, `mon,wed`: places in [`DAYS`]. A range may go over the week's end.
fn days_of(name: &str) -> Result<Vec<usize>, String> {
    let mut found = Vec::new();
    for part in name.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first.trim())?, day(last.trim())?);
        found.extend((0..=(last + 7 - first) % 7).map(|n| (first + n) % 7));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn day(name: &str) -> Result<usize, String> {
    DAYS.iter().position(|day| *day == name).ok_or_else(|| {
        let hint = did_you_mean(name, DAYS).map(|h| format!(": {h}")).unwrap_or_default();
        format!("expected days such as \"mon-fri\" or \"sat\", found {name:?}{hint}")
    })
}

/// The hours that everybody means by these names; a plan or a calendar may say otherwise.
pub fn standard(name: &str) -> Option<Hours> {
    let (days, window, holidays) = match name {
        "7x24" => ("mon-sun", "00:00-24:00", false),
        "7x8" => ("mon-sun", "09:00-17:00", false),
        "5x8" => ("mon-fri", "09:00-17:00", true),
        _ => return None,
    };
    let week = BTreeMap::from([(days.to_owned(), vec![window.to_owned()])]);
    Some(Hours { week, holidays })
}

/// The names of [`standard`].
pub const STANDARD: [&str; 3] = ["5x8", "7x8", "7x24"];

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(lines: &[(&str, &[&str])]) -> Hours {
        let line = |(days, windows): &(&str, &[&str])| {
            (days.to_string(), windows.iter().map(ToString::to_string).collect())
        };
        Hours { week: lines.iter().map(line).collect(), holidays: true }
    }

    #[test]
    fn days_and_windows_are_read() {
        let read = Week::read(&hours(&[
            ("mon-fri", &["13:00-18:00", "09:00-12:00"]),
            ("sat", &["22:00-06:00"]),
        ]));
        let week = read.unwrap();
        let two = [Window { from: 540, to: 720 }, Window { from: 780, to: 1080 }];
        assert!(week.days[..5].iter().all(|day| *day == two));
        assert_eq!(week.days[5], [Window { from: 1320, to: 1800 }]);
        assert!(week.days[6].is_empty());
        assert_eq!(week.made_up(), two);
        assert_eq!(days_of("sat-mon").unwrap(), [0, 5, 6]);
        assert_eq!(days_of("mon,wed,mon").unwrap(), [0, 2]);
        assert!(Week::read(&standard("7x24").unwrap()).unwrap().is_always());
        for name in STANDARD {
            Week::read(&standard(name).unwrap()).unwrap();
        }
    }

    #[test]
    fn faults_say_where_and_what_was_expected() {
        let text = |lines: &[(&str, &[&str])]| Week::read(&hours(lines)).unwrap_err().to_string();
        assert_eq!(
            text(&[("mon-fri", &["09:00-17:30", "9-5"])]),
            "week.mon-fri[1]: expected a window such as \"09:00-17:30\", found \"9-5\""
        );
        assert!(text(&[("mon-fry", &["09:00-17:30"])]).contains("did you mean \"fri\"?"));
        assert!(text(&[]).starts_with("week: expected at least one window"));
        for wrong in ["24:00-25:00", "09:60-10:00", "09:00", "", "-", "24:00-24:00", "+9:00-10:00"]
        {
            assert!(Window::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Window::parse("08:00-08:00").unwrap(), Window { from: 480, to: 1920 });
    }
}
