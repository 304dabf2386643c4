//! When a line says it happened: RFC 5424, RFC 3339 and its kin, RFC 3164. Best effort; pure.

use callhome_shared::time::Time;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

/// A timestamp without a year is taken for at most so far in the future.
const AHEAD_MS: i64 = 24 * 60 * 60 * 1000;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The timestamp that the line begins with, behind a syslog priority or a bracket. Without a zone
/// it is in `zone`, the host's.
pub(super) fn parse(line: &str, now: Time, zone: &TimeZone) -> Option<Time> {
    let rest = behind_priority(line);
    let rest = rest.strip_prefix('[').unwrap_or(rest);
    iso(rest, zone).or_else(|| bsd(rest, now, zone))
}

/// Strips `<34>` and RFC 5424's version.
fn behind_priority(line: &str) -> &str {
    let Some(inside) = line.strip_prefix('<') else { return line };
    match inside.split_once('>') {
        Some((digits, rest))
            if (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            rest.strip_prefix("1 ").unwrap_or(rest)
        }
        _ => line,
    }
}

/// `2026-07-24T10:00:00.123+08:00`, `2026-07-24 10:00:00,123`.
fn iso(text: &str, zone: &TimeZone) -> Option<Time> {
    let (date, time) = (text.get(..10)?, text.get(11..19)?);
    if !matches!(text.as_bytes().get(10), Some(b'T' | b' ')) {
        return None;
    }
    let (year, month, day) = (date.get(..4)?, date.get(5..7)?, date.get(8..10)?);
    if date.as_bytes().get(4) != Some(&b'-') || date.as_bytes().get(7) != Some(&b'-') {
        return None;
    }
    let at = civil(number(year)?, number(month)?, number(day)?, time)?;
    let mut rest = text.get(19..)?;
    let mut ms = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let padded: String = fraction.chars().take(digits.min(3)).collect();
        ms = format!("{padded:0<3}").parse().ok()?;
        rest = fraction.get(digits..)?;
    }
    let zoned = match offset(rest) {
        Some(offset) => offset.to_timestamp(at).ok()?,
        None => at.to_zoned(zone.clone()).ok()?.timestamp(),
    };
    Some(Time(zoned.as_millisecond()).plus_ms(ms))
}

/// `Z`, `+08:00`, `+0800`, `+08`.
fn offset(text: &str) -> Option<Offset> {
    if text.starts_with('Z') {
        return Some(Offset::UTC);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours: i32 = number(text.get(1..3)?)?.into();
    let rest = text.get(3..)?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let minutes: i32 = rest.get(..2).and_then(number).unwrap_or(0).into();
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

/// `Jul 24 10:00:00`, `Jul  4 10:00:00`: the year nearest to now.
fn bsd(text: &str, now: Time, zone: &TimeZone) -> Option<Time> {
    let month = MONTHS.iter().position(|m| text.get(..3) == Some(*m))?;
    let month = i16::try_from(month + 1).ok()?;
    let day = number(text.get(4..6)?.trim_start())?;
    let time = text.get(7..15)?;
    let today = jiff::Timestamp::from_millisecond(now.millis()).ok()?.to_zoned(zone.clone());
    let ms_in = |year: i16| {
        let at = civil(year, month, day, time)?.to_zoned(zone.clone()).ok()?;
        Some(Time(at.timestamp().as_millisecond()))
    };
    // In January a line of December is last year's; 29 February may not be in this year.
    let years = [today.year() + 1, today.year(), today.year() - 1];
    years.into_iter().filter_map(ms_in).find(|at| at.since_ms(now) <= AHEAD_MS)
}

/// A date with `hh:mm:ss`.
fn civil(year: i16, month: i16, day: i16, time: &str) -> Option<DateTime> {
    let bytes = time.as_bytes();
    if bytes.get(2) != Some(&b':') || bytes.get(5) != Some(&b':') {
        return None;
    }
    let part = |range| number(time.get(range)?).and_then(|n| i8::try_from(n).ok());
    let (hour, minute, second) = (part(0..2)?, part(3..5)?, part(6..8)?);
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    DateTime::new(year, month, day, hour, minute, second, 0).ok()
}

fn number(text: &str) -> Option<i16> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: &str = "2026-01-10T00:00:00Z";

    fn read(line: &str) -> Option<String> {
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        parse(line, Time::parse(NOW).unwrap(), &zone).map(|t| t.to_string())
    }

    #[test]
    fn the_usual_forms() {
        for (line, expected) in [
            ("2026-01-09T10:00:00.5Z x", "2026-01-09T10:00:00.500Z"),
            ("2026-01-09T10:00:00.123456+08:00 host app", "2026-01-09T02:00:00.123Z"),
            ("2026-01-09 10:00:00,250 INFO", "2026-01-09T02:00:00.250Z"),
            ("[2026-01-09 10:00:00] x", "2026-01-09T02:00:00.000Z"),
            ("<34>1 2026-01-09T10:00:00-0330 host", "2026-01-09T13:30:00.000Z"),
            ("Jan  9 10:00:00 host app: x", "2026-01-09T02:00:00.000Z"),
            ("<13>Dec 31 23:59:59 host app", "2025-12-31T15:59:59.000Z"),
        ] {
            assert_eq!(read(line).as_deref(), Some(expected), "{line}");
        }
    }

    #[test]
    fn anything_else_has_none() {
        for line in
            ["", "x", "2026-13-01T10:00:00Z", "Foo  9 10:00:00", "<999>", "Jan 32 10:00:00 x"]
        {
            assert_eq!(read(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".{0,60}", day in ".{0,20}") {
            let _ = read(&line);
            let _ = read(&format!("2026-01-0{line}"));
            let _ = read(&format!("Jan {day}"));
            let _ = read(&format!("2026-01-09T10:00:00{line}"));
        }
    }
}
