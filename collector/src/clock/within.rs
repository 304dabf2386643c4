//! How long something may take: `1h`, `30min`, `at once`, `next day`, `next 10 days`, `none`.

use callhome_shared::time::Time;

use crate::calendar::Schedule;

/// Longest limit of hours: a year.
const MAX_MIN: i64 = 366 * 24 * 60;
/// Most days of `next … days`.
const MAX_DAYS: u32 = 366;
/// How a plan writes that there is no limit, where the plan that it is based on has one.
pub const UNLIMITED: &str = "none";
const MINUTE_MS: i64 = 60_000;

/// A limit's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// Time that counts, milliseconds.
    Time(i64),
    /// What the plan means by `at once`.
    AtOnce,
    /// Until the end of the hours of the so many-th next day that has hours.
    NextDays(u32),
    /// There is no limit.
    Unlimited,
}

impl Within {
    /// Reads it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected a time such as \"30min\", \"4h\", \"at once\", \"next day\" or \"next 2 days\", found {text:?}"
            )
        };
        match text {
            "at once" => return Ok(Within::AtOnce),
            "next day" => return Ok(Within::NextDays(1)),
            UNLIMITED => return Ok(Within::Unlimited),
            _ => {}
        }
        if let Some(days) = text.strip_prefix("next ").and_then(|rest| rest.strip_suffix(" days")) {
            let days = days.parse().ok().filter(|days| (1..=MAX_DAYS).contains(days));
            return days.map(Within::NextDays).ok_or_else(expected);
        }
        length(text).map(Within::Time).ok_or_else(expected)
    }

    /// How many milliseconds must count until it is over, for something that begins at `from`. `None`: never; there
    /// is no limit, or the calendar has no hours within ten years.
    pub fn budget(self, schedule: &Schedule, from: Time, at_once: i64) -> Option<i64> {
        match self {
            Within::Time(ms) => Some(ms),
            Within::AtOnce => Some(at_once),
            Within::Unlimited => None,
            Within::NextDays(days) => {
                let end = schedule.end_of_next_day(from, days)?;
                Some(schedule.working_time_between(from, end))
            }
        }
    }
}

/// `30min` or `4h`, milliseconds; at least a minute.
pub fn length(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: i64 = number.parse().ok()?;
    let minutes = match unit {
        "min" => number,
        "h" => number.checked_mul(60)?,
        _ => return None,
    };
    (1..=MAX_MIN).contains(&minutes).then_some(minutes * MINUTE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read() {
        assert_eq!(Within::parse("30min"), Ok(Within::Time(1_800_000)));
        assert_eq!(Within::parse("4h"), Ok(Within::Time(4 * 3_600_000)));
        assert_eq!(Within::parse("at once"), Ok(Within::AtOnce));
        assert_eq!(Within::parse("none"), Ok(Within::Unlimited));
        assert_eq!(Within::parse("next day"), Ok(Within::NextDays(1)));
        assert_eq!(Within::parse("next 10 days"), Ok(Within::NextDays(10)));
        for wrong in [
            "",
            "4",
            "h",
            "0h",
            "-1h",
            "1.5h",
            "99999999999999999999h",
            "9999999h",
            "next 0 days",
            "next x days",
            "4 h",
        ] {
            assert!(Within::parse(wrong).unwrap_err().contains("found"), "{wrong}");
        }
    }
}
