//! When a message says it happened, in the many forms devices write it; and what that means on our
//! clock. Pure.

use callhome_shared::time::Time;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const QUARTER_HOUR_MS: i64 = 15 * 60 * 1000;
/// A clock that is off by whole quarters of an hour, give or take so much, is in another zone.
const ZONE_SLACK_MS: i64 = 60 * 1000;
/// No zone is further away than UTC+14 is from UTC-12.
const FURTHEST_ZONE_MS: i64 = 26 * 60 * 60 * 1000;

/// A time as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    year: Option<i16>,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    millis: i64,
    offset: Option<Offset>,
    /// Cisco's `*` or `.` before it: the device's clock was never set, or is not in step any more.
    pub unsure: bool,
}

impl Stamp {
    /// The time on our clock. Without a zone it is in `zone`, if the device's is configured; else in
    /// `ours`, unless it then differs from `now` by whole quarters of an hour: then the device is in
    /// another zone, and the difference is that zone's. Without a year the nearest one is meant.
    pub(super) fn resolve(
        &self,
        now: Time,
        zone: Option<&TimeZone>,
        ours: &TimeZone,
    ) -> Option<Time> {
        let assumed = zone.unwrap_or(ours);
        let at = match self.year {
            Some(year) => self.in_year(year, assumed)?,
            None => {
                let today = jiff::Timestamp::from_millisecond(now.millis()).ok()?;
                let year = today.to_zoned(assumed.clone()).year();
                let near = [year, year - 1, year + 1];
                let times = near.into_iter().filter_map(|year| self.in_year(year, assumed));
                times.min_by_key(|at| at.since_ms(now).saturating_abs())?
            }
        };
        if self.offset.is_some() || zone.is_some() {
            return Some(at);
        }
        let off = at.since_ms(now);
        let quarters = (off + off.signum() * QUARTER_HOUR_MS / 2) / QUARTER_HOUR_MS;
        let in_zone = quarters * QUARTER_HOUR_MS;
        let fits = off.abs() <= FURTHEST_ZONE_MS && (off - in_zone).abs() <= ZONE_SLACK_MS;
        Some(if fits { at.plus_ms(-in_zone) } else { at })
    }

    fn in_year(&self, year: i16, zone: &TimeZone) -> Option<Time> {
        let Stamp { month, day, hour, minute, second, .. } = *self;
        // A leap second is the last moment of its minute.
        let at = DateTime::new(year, month, day, hour, minute, second.min(59), 0).ok()?;
        let at = match self.offset {
            Some(offset) => offset.to_timestamp(at).ok()?,
            None => at.to_zoned(zone.clone()).ok()?.timestamp(),
        };
        Some(Time(at.as_millisecond()).plus_ms(self.millis))
    }
}

/// What stands at the beginning of a text: a stamp and what is behind it, its zone included.
pub(super) fn leading(text: &str) -> Option<(Stamp, &str)> {
    let (unsure, rest) = match text.as_bytes().first()? {
        b'*' | b'.' => (true, text.get(1..)?.trim_start()),
        _ => (false, text),
    };
    let (mut stamp, rest) = iso(rest).or_else(|| named(rest)).or_else(|| year_first(rest))?;
    stamp.unsure = unsure;
    let rest = zone(&mut stamp, rest);
    Some((stamp, rest))
}

/// `2026-07-24T10:00:00.123+08:00`, `2026-07-24 10:00:00`, `2026/07/24-10:00:00`.
fn iso(text: &str) -> Option<(Stamp, &str)> {
    let mut cursor = Cursor(text);
    let year = cursor.number(4, 4)?;
    let dash = cursor.one(&['-', '/'])?;
    let month = cursor.number(1, 2)?;
    cursor.one(&[dash])?;
    let day = cursor.number(1, 2)?;
    cursor.one(&['T', 't', ' ', '-'])?;
    let stamp = Stamp { year: Some(year), ..cursor.clock(small(month)?, small(day)?)? };
    Some((stamp, cursor.0))
}

/// `Jul 24 10:00:00.123`, `Jul  4 2026 10:00:00`, `Jul 24 10:00:00 2026`.
fn named(text: &str) -> Option<(Stamp, &str)> {
    let mut cursor = Cursor(text);
    let month = cursor.month()?;
    cursor.spaces()?;
    let day = cursor.number(1, 2)?;
    cursor.spaces()?;
    let mut with_year = cursor;
    if let Some(year) = with_year.number(4, 4)
        && with_year.spaces().is_some()
        && let Some(stamp) = with_year.clock(month, small(day)?)
    {
        return Some((Stamp { year: Some(year), ..stamp }, with_year.0));
    }
    let mut stamp = cursor.clock(month, small(day)?)?;
    let mut behind = cursor;
    if behind.spaces().is_some()
        && let Some(year) = behind.number(4, 4)
        && (1990..2200).contains(&year)
        && behind.0.starts_with([' ', ':', ','])
    {
        stamp.year = Some(year);
        cursor = behind;
    }
    Some((stamp, cursor.0))
}

/// `2026 Jul 24 10:00:00`.
fn year_first(text: &str) -> Option<(Stamp, &str)> {
    let mut cursor = Cursor(text);
    let year = cursor.number(4, 4)?;
    cursor.spaces()?;
    let month = cursor.month()?;
    cursor.spaces()?;
    let day = cursor.number(1, 2)?;
    cursor.spaces()?;
    let stamp = Stamp { year: Some(year), ..cursor.clock(month, small(day)?)? };
    Some((stamp, cursor.0))
}

/// Takes `Z`, `+08:00`, `UTC`, `UTC+08:00`, `CST` behind a stamp. Of the abbreviations only UTC's say
/// which zone they mean; another one is taken away and leaves the question open.
fn zone<'t>(stamp: &mut Stamp, text: &'t str) -> &'t str {
    if let Some((offset, rest)) = offset(text) {
        stamp.offset = Some(offset);
        return rest;
    }
    if let Some(rest) = text.strip_prefix(['Z', 'z'])
        && !rest.starts_with(|c: char| c.is_ascii_alphanumeric())
    {
        stamp.offset = Some(Offset::UTC);
        return rest;
    }
    let Some(word) = text.strip_prefix(' ') else { return text };
    let length = word.bytes().take_while(u8::is_ascii_uppercase).count();
    let (Some(name), Some(rest)) = (word.get(..length), word.get(length..)) else { return text };
    if matches!(name, "UTC" | "GMT" | "Z") {
        let (offset, rest) = offset(rest).unwrap_or((Offset::UTC, rest));
        if rest.is_empty() || rest.starts_with([':', ' ', ',']) {
            stamp.offset = Some(offset);
            return rest;
        }
        return text;
    }
    // `EDT:` is a zone; `EDT ` may be a host.
    if (2..=5).contains(&length) && rest.starts_with(':') { rest } else { text }
}

/// `+08:00`, `-0330`, `+8`.
fn offset(text: &str) -> Option<(Offset, &str)> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let mut cursor = Cursor(text.get(1..)?);
    let digits = cursor.0.bytes().take_while(u8::is_ascii_digit).count();
    let (hours, minutes) = match digits {
        4 => (cursor.number(2, 2)?, cursor.number(2, 2)?),
        1 | 2 => {
            let hours = cursor.number(digits, digits)?;
            let mut further = cursor;
            match further.one(&[':']).and_then(|_| further.number(2, 2)) {
                Some(minutes) => {
                    cursor = further;
                    (hours, minutes)
                }
                None => (hours, 0),
            }
        }
        _ => return None,
    };
    let seconds = sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60);
    Some((Offset::from_seconds(seconds).ok()?, cursor.0))
}

/// A zone as it is configured: a name that the host knows, or `+08:00`.
pub fn parse_zone(text: &str) -> Option<TimeZone> {
    match offset(text) {
        Some((offset, "")) => Some(TimeZone::fixed(offset)),
        Some(_) => None,
        None => TimeZone::get(text).ok(),
    }
}

fn small(number: i16) -> Option<i8> {
    i8::try_from(number).ok()
}

#[derive(Clone, Copy)]
struct Cursor<'t>(&'t str);

impl Cursor<'_> {
    /// As many digits as there are, at least `least`; more than `most` are none.
    fn number(&mut self, least: usize, most: usize) -> Option<i16> {
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).take(most).count();
        if digits < least {
            return None;
        }
        let number = self.0.get(..digits)?.parse().ok()?;
        self.0 = self.0.get(digits..)?;
        Some(number)
    }

    fn one(&mut self, of: &[char]) -> Option<char> {
        let found = self.0.chars().next().filter(|c| of.contains(c))?;
        self.0 = self.0.get(found.len_utf8()..)?;
        Some(found)
    }

    fn spaces(&mut self) -> Option<()> {
        let rest = self.0.trim_start_matches(' ');
        let some = rest.len() < self.0.len();
        self.0 = rest;
        some.then_some(())
    }

    fn month(&mut self) -> Option<i8> {
        let name = self.0.get(..3)?;
        let month = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
        self.0 = self.0.get(3..)?;
        i8::try_from(month + 1).ok()
    }

    /// `10:00:00`, `10:00:00.123456`.
    fn clock(&mut self, month: i8, day: i8) -> Option<Stamp> {
        let hour = small(self.number(1, 2)?)?;
        self.one(&[':'])?;
        let minute = small(self.number(2, 2)?)?;
        self.one(&[':'])?;
        let second = small(self.number(2, 2)?)?;
        let mut millis = 0;
        let mut further = *self;
        if further.one(&['.', ',']).is_some() {
            let digits = further.0.bytes().take_while(u8::is_ascii_digit).count();
            if digits > 0 {
                let kept: String = further.0.chars().take(digits.min(3)).collect();
                millis = format!("{kept:0<3}").parse().ok()?;
                self.0 = further.0.get(digits..)?;
            }
        }
        let in_range = (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..=60).contains(&second)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day);
        let none = Stamp {
            year: None,
            month,
            day,
            hour,
            minute,
            second,
            millis,
            offset: None,
            unsure: false,
        };
        in_range.then_some(none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: &str = "2026-01-10T00:00:00Z";

    fn read(text: &str) -> Option<(String, &str)> {
        let ours = TimeZone::fixed(jiff::tz::offset(8));
        let (stamp, rest) = leading(text)?;
        let at = stamp.resolve(Time::parse(NOW).unwrap(), Some(&ours), &ours)?;
        Some((at.to_string(), rest))
    }

    #[test]
    fn the_forms_that_devices_write() {
        for (text, at, rest) in [
            ("Jan  9 10:00:00 sw1 x", "2026-01-09T02:00:00.000Z", " sw1 x"),
            ("*Jan  9 10:00:00.123: %SYS", "2026-01-09T02:00:00.123Z", ": %SYS"),
            (".Jan 9 10:00:00.123 UTC: %SYS", "2026-01-09T10:00:00.123Z", ": %SYS"),
            ("Jan 09 2025 10:00:00: %ASA", "2025-01-09T02:00:00.000Z", ": %ASA"),
            ("Jan  9 10:00:00 2025 H3C %%10", "2025-01-09T02:00:00.000Z", " H3C %%10"),
            ("2025 Jan  9 10:00:00 EDT: %ETH", "2025-01-09T02:00:00.000Z", ": %ETH"),
            ("2026-1-9 10:00:00+05:30 HOST %%01", "2026-01-09T04:30:00.000Z", " HOST %%01"),
            ("2026-01-09T10:00:00.5Z h", "2026-01-09T10:00:00.500Z", " h"),
            ("2026/01/09-10:00:00, [FW-1424]", "2026-01-09T02:00:00.000Z", ", [FW-1424]"),
            ("Dec 31 23:59:60 h", "2025-12-31T15:59:59.000Z", " h"),
            ("Jan  9 10:00:00 UTC+08:00: x", "2026-01-09T02:00:00.000Z", ": x"),
            ("Jan  9 10:00:00 EDTHOST x", "2026-01-09T02:00:00.000Z", " EDTHOST x"),
        ] {
            assert_eq!(read(text), Some((at.to_owned(), rest)), "{text}");
        }
        for text in
            ["", "*", "x", "Jan", "Jan 32 10:00:00 x", "2026-13-01 10:00:00", "Foo 1 1:00:00"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_zone_that_is_not_said_is_found_by_the_hour() {
        let now = Time::parse("2026-01-10T12:00:00Z").unwrap();
        let at = |text: &str, zone: Option<&TimeZone>| {
            let (stamp, _) = leading(text).unwrap();
            stamp.resolve(now, zone, &TimeZone::UTC).unwrap().to_string()
        };
        assert_eq!(at("Jan 10 20:00:07", None), "2026-01-10T12:00:07.000Z", "eight hours east");
        assert_eq!(at("Jan 10 06:29:30", None), "2026-01-10T11:59:30.000Z");
        assert_eq!(at("Jan 10 12:03:00", None), "2026-01-10T12:03:00.000Z", "a wrong clock");
        assert_eq!(at("Jan 10 20:05:00", None), "2026-01-10T20:05:00.000Z", "a very wrong clock");
        assert_eq!(at("Jan 13 12:00:00", None), "2026-01-13T12:00:00.000Z", "no zone is days away");
        let east = TimeZone::fixed(jiff::tz::offset(8));
        assert_eq!(at("Jan 10 12:00:00", Some(&east)), "2026-01-10T04:00:00.000Z", "as configured");
    }

    #[test]
    fn a_year_that_is_not_said_is_the_nearest() {
        for (now, text, expected) in [
            ("2026-01-01T00:00:10Z", "Dec 31 23:59:59", "2025-12-31T23:59:59.000Z"),
            ("2025-12-31T23:59:50Z", "Jan  1 00:00:03", "2026-01-01T00:00:03.000Z"),
            ("2026-03-01T00:00:00Z", "Feb 29 10:00:07", ""),
            ("2028-03-01T00:00:00Z", "Feb 29 10:07:07", "2028-02-29T10:07:07.000Z"),
        ] {
            let (stamp, _) = leading(text).unwrap();
            let zone = TimeZone::UTC;
            let at = stamp.resolve(Time::parse(now).unwrap(), Some(&zone), &zone);
            assert_eq!(at.map(|t| t.to_string()).unwrap_or_default(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_stamp_panics(text in ".{0,40}", day in "[0-9: .+A-Z]{0,30}", now in any::<i64>()) {
            let zone = TimeZone::UTC;
            for text in [text.clone(), format!("Jan {day}"), format!("2026-01-{day}"),
                format!("2026 Jan {day}"), format!("*Jan 10 10:00:00{text}"), format!("2026-01-10T10:00:00{day}")] {
                if let Some((stamp, rest)) = leading(&text) {
                    prop_assert!(text.ends_with(rest));
                    let _ = stamp.resolve(Time(now), None, &zone);
                    let _ = stamp.resolve(Time(now), Some(&zone), &zone);
                }
            }
        }
    }
}
