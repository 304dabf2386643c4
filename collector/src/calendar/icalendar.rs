//! Reads the days of an iCalendar file (RFC 5545): whole-day events, as calendars of public holidays are
//! published. What cannot be understood is a fault with its line; nothing is guessed.

use jiff::civil::Date;

use super::days::{Day, DayKind, MAX_DAYS};
use super::week::Fault;

/// Largest file, bytes.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Longest note that is kept, characters.
const NOTE: usize = 120;
/// What says, in a summary or a category, that a day is worked.
const WORKED: &str = include_str!("worked.txt");
/// Components inside of one another.
const MAX_DEPTH: usize = 8;

/// A line as it was folded out.
struct Line<'a> {
    number: usize,
    name: String,
    parameters: &'a str,
    value: &'a str,
}

/// An event that is being read.
#[derive(Default)]
struct Event {
    line: usize,
    start: Option<Date>,
    /// The first day after it.
    end: Option<Date>,
    days: Option<i64>,
    summary: String,
    worked: bool,
    cancelled: bool,
}

/// Reads a file.
///
/// A day is worked if Apple's `X-APPLE-SPECIAL-DAY` says so or its summary or categories hold one of the words
/// in `worked.txt` (`make-up`, `working day`, the Chinese ones); else it is a holiday. Repeated events (`RRULE`, `RDATE`) and events that
/// do not last whole days are refused.
pub fn read(text: &str) -> Result<Vec<Day>, Fault> {
    if text.len() > MAX_BYTES {
        return Err(Fault::new("", format!("expected at most {MAX_BYTES} bytes")));
    }
    let folded = unfold(text);
    let mut open: Vec<String> = Vec::new();
    let mut event: Option<Event> = None;
    let mut found: Vec<(Date, Day)> = Vec::new();
    let mut days = 0;
    let mut begun = false;
    for (number, text) in &folded {
        let line = split(*number, text)?;
        match line.name.as_str() {
            "BEGIN" => {
                let name = line.value.trim().to_ascii_uppercase();
                if open.is_empty() && name != "VCALENDAR" || open.len() >= MAX_DEPTH {
                    return Err(fault(*number, "expected BEGIN:VCALENDAR"));
                }
                if name == "VEVENT" {
                    event = Some(Event { line: *number, ..Event::default() });
                }
                begun = true;
                open.push(name);
            }
            "END" => {
                let name = line.value.trim().to_ascii_uppercase();
                if open.pop().as_ref() != Some(&name) {
                    return Err(fault(*number, "ends what did not begin"));
                }
                if name == "VEVENT"
                    && let Some(event) = event.take()
                    && let Some((first, day, count)) = event.close()?
                {
                    days += count;
                    if days > i64::try_from(MAX_DAYS).unwrap_or(i64::MAX) {
                        return Err(fault(*number, format!("expected at most {MAX_DAYS} days")));
                    }
                    found.push((first, day));
                }
            }
            _ if open.is_empty() => return Err(fault(*number, "expected BEGIN:VCALENDAR")),
            _ => {
                let inside = open.last().is_some_and(|name| name == "VEVENT");
                if let Some(event) = event.as_mut().filter(|_| inside) {
                    event.take(&line)?;
                }
            }
        }
    }
    if !open.is_empty() || !begun {
        let last = folded.last().map_or(1, |(number, _)| *number);
        return Err(fault(last, "the file ends before END:VCALENDAR"));
    }
    found.sort_by_key(|(first, _)| *first);
    Ok(found.into_iter().map(|(_, day)| day).collect())
}

fn fault(line: usize, message: impl Into<String>) -> Fault {
    Fault::new(format!("line {line}"), message)
}

/// Lines as they were before they were folded (RFC 5545 3.1), with their numbers; empty ones are left out.
fn unfold(text: &str) -> Vec<(usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut all: Vec<(usize, String)> = Vec::new();
    for (n, line) in text.lines().enumerate() {
        match (line.strip_prefix([' ', '\t']), all.last_mut()) {
            (Some(rest), Some((_, last))) => last.push_str(rest),
            _ if line.trim().is_empty() => {}
            _ => all.push((n + 1, line.to_owned())),
        }
    }
    all
}

/// Name, parameters, value: the colon that ends the parameters is the first one outside of quotes.
fn split(number: usize, text: &str) -> Result<Line<'_>, Fault> {
    let mut quoted = false;
    let colon = text.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        *c == ':' && !quoted
    });
    let Some((colon, _)) = colon else {
        return Err(fault(number, "expected NAME:VALUE"));
    };
    let (head, value) = (&text[..colon], &text[colon + 1..]);
    let (name, parameters) = head.split_once(';').unwrap_or((head, ""));
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_name {
        return Err(fault(number, "expected NAME:VALUE"));
    }
    Ok(Line { number, name: name.to_ascii_uppercase(), parameters, value })
}

impl Event {
    fn take(&mut self, line: &Line<'_>) -> Result<(), Fault> {
        match line.name.as_str() {
            "DTSTART" => self.start = Some(whole_day(line)?),
            "DTEND" => self.end = Some(whole_day(line)?),
            "DURATION" => self.days = Some(whole_days(line)?),
            "SUMMARY" => {
                self.summary = unescape(line.value);
                self.worked |= says_worked(&self.summary);
            }
            "CATEGORIES" => self.worked |= says_worked(line.value),
            "X-APPLE-SPECIAL-DAY" => self.worked |= line.value.trim() == "ALTERNATE-WORKDAY",
            "STATUS" => self.cancelled = line.value.trim().eq_ignore_ascii_case("CANCELLED"),
            "RRULE" | "RDATE" | "EXDATE" => {
                let message =
                    format!("{}: repeated events are not read; name each year's days", line.name);
                return Err(fault(line.number, message));
            }
            _ => {}
        }
        Ok(())
    }

    /// The first day, the day or days, and how many.
    fn close(self) -> Result<Option<(Date, Day, i64)>, Fault> {
        if self.cancelled {
            return Ok(None);
        }
        let start = self.start.ok_or_else(|| fault(self.line, "an event without DTSTART"))?;
        let count = match (self.end, self.days) {
            (Some(end), _) => end.duration_since(start).as_hours() / 24,
            (None, Some(days)) => days,
            (None, None) => 1,
        };
        // Some write the first day as the end, too.
        let count = if count == 0 { 1 } else { count };
        if count < 0 {
            return Err(fault(self.line, "an event that ends before it begins"));
        }
        let last = start.checked_add(jiff::SignedDuration::from_hours(24 * (count - 1)));
        let last = last.map_err(|_| fault(self.line, "an event that lasts too long"))?;
        let day = Day {
            from: start.to_string(),
            to: (last > start).then(|| last.to_string()),
            kind: if self.worked { DayKind::Working } else { DayKind::Holiday },
            hours: None,
            note: self.summary.chars().take(NOTE).collect(),
        };
        Ok(Some((start, day, count)))
    }
}

fn says_worked(text: &str) -> bool {
    let text = text.to_lowercase();
    WORKED.lines().any(|word| text.contains(word))
}

/// `20261001`; with a time only midnight.
fn whole_day(line: &Line<'_>) -> Result<Date, Fault> {
    let value = line.value.trim();
    let name = &line.name;
    let expected = || {
        fault(
            line.number,
            format!("{name}: expected a whole day such as 20261001, found {value:?}"),
        )
    };
    let (date, time) = value.split_once('T').map_or((value, None), |(d, t)| (d, Some(t)));
    let midnight = time.is_none_or(|t| t.trim_end_matches('Z') == "000000");
    let mentions_time = line.parameters.to_ascii_uppercase().contains("VALUE=DATE-TIME");
    if !midnight || (mentions_time && time.is_none()) {
        return Err(expected());
    }
    if date.len() != 8 || !date.bytes().all(|b| b.is_ascii_digit()) {
        return Err(expected());
    }
    let number = |range: std::ops::Range<usize>| date[range].parse::<i8>();
    let year = date[..4].parse::<i16>().map_err(|_| expected())?;
    let (month, day) =
        (number(4..6).map_err(|_| expected())?, number(6..8).map_err(|_| expected())?);
    Date::new(year, month, day).map_err(|_| expected())
}

/// `P1D`, `P2W`.
fn whole_days(line: &Line<'_>) -> Result<i64, Fault> {
    let value = line.value.trim();
    let text = value.strip_prefix('+').unwrap_or(value);
    let number = |text: &str| text.parse::<u16>().ok().map(i64::from);
    let days = text.strip_prefix('P').and_then(|text| match text.strip_suffix('W') {
        Some(weeks) => number(weeks).map(|n| n * 7),
        None => text.strip_suffix('D').and_then(number),
    });
    days.filter(|days| *days > 0).ok_or_else(|| {
        fault(line.number, format!("DURATION: expected whole days such as P1D, found {value:?}"))
    })
}

/// RFC 5545 3.3.11.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => out.push(' '),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As calendars of Chinese holidays are published.
    const CHINA: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y\r\nBEGIN:VTIMEZONE\r\nTZID:Asia/Shanghai\r\n\
        BEGIN:STANDARD\r\nDTSTART:19700101T123000\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n\
        BEGIN:VEVENT\r\nUID:2\r\nDTSTART;VALUE=DATE:20261010\r\nDTEND;VALUE=DATE:20261011\r\nSUMMARY;LANGUAGE=zh_CN:国庆节（班）\r\n\
        X-APPLE-SPECIAL-DAY:ALTERNATE-WORKDAY\r\nEND:VEVENT\r\n\
        BEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:20261001\r\nDTEND;VALUE=DATE:20261008\r\nSUMMARY:国庆节\\, 七\r\n 天\r\n\
        BEGIN:VALARM\r\nTRIGGER:-PT1H\r\nEND:VALARM\r\nEND:VEVENT\r\n\
        BEGIN:VEVENT\r\nDTSTART;TZID=\"a:b\":20260920T000000\r\nDURATION:P1D\r\nSUMMARY:国庆节补班\r\nEND:VEVENT\r\n\
        BEGIN:VEVENT\r\nDTSTART:20260921\r\nSTATUS:CANCELLED\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

    #[test]
    fn holidays_and_make_up_days() {
        let days = read(CHINA).unwrap();
        let told: Vec<_> = days
            .iter()
            .map(|d| (d.from.as_str(), d.to.as_deref(), d.kind, d.note.as_str()))
            .collect();
        let wanted = [
            ("2026-09-20", None, DayKind::Working, "国庆节补班"),
            ("2026-10-01", Some("2026-10-07"), DayKind::Holiday, "国庆节, 七天"),
            ("2026-10-10", None, DayKind::Working, "国庆节（班）"),
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn faults_name_the_line() {
        let with = |lines: &str| {
            read(&format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\n{lines}END:VEVENT\nEND:VCALENDAR\n"))
                .map_err(|fault| fault.to_string())
        };
        let text = with("DTSTART:20260101\nRRULE:FREQ=YEARLY\n").unwrap_err();
        assert_eq!(text, "line 4: RRULE: repeated events are not read; name each year's days");
        let text = with("DTSTART:20261301\n").unwrap_err();
        assert_eq!(
            text,
            "line 3: DTSTART: expected a whole day such as 20261001, found \"20261301\""
        );
        assert!(with("DTSTART:20260101T083000\n").unwrap_err().starts_with("line 3: DTSTART"));
        assert_eq!(with("SUMMARY:x\n").unwrap_err(), "line 2: an event without DTSTART");
        let text = with("DTSTART:20260102\nDTEND:20260101\n").unwrap_err();
        assert_eq!(text, "line 2: an event that ends before it begins");
        assert!(with("DTSTART:20260101\nDURATION:PT1H\n").unwrap_err().starts_with("line 4: DUR"));
        assert!(
            with("DTSTART:19000101\nDTEND:20260101\n").unwrap_err().contains("at most 4000 days")
        );
        assert_eq!(read("").unwrap_err().to_string(), "line 1: the file ends before END:VCALENDAR");
        assert_eq!(read("hello\n").unwrap_err().to_string(), "line 1: expected NAME:VALUE");
        assert_eq!(
            read("BEGIN:VCARD\n").unwrap_err().to_string(),
            "line 1: expected BEGIN:VCALENDAR"
        );
        assert!(read("BEGIN:VCALENDAR\nEND:VEVENT\n").is_err());
        assert!(read(&"BEGIN:VCALENDAR\n".repeat(100)).is_err(), "depth has a limit");
        assert!(read(&" ".repeat(MAX_BYTES + 1)).is_err());
    }

    proptest! {
        #[test]
        fn prop_no_text_panics(text in "\\PC*", lines in prop::collection::vec("(BEGIN|END|DTSTART|DTEND|DURATION|SUMMARY|RRULE| |)[:;]?(VCALENDAR|VEVENT|2026[0-9]{4}|P[0-9]{1,6}[DW]|[\\PC]{0,6})", 0..40)) {
            let _ = read(&text);
            let _ = read(&lines.join("\n"));
            let body = format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\n{}\nEND:VEVENT\nEND:VCALENDAR", lines.join("\r\n"));
            let _ = read(&body);
        }

        #[test]
        fn prop_what_is_written_is_read(first in 0i64..20_000, long in 1i64..20, note in "[a-z，、;, \\\\]{0,20}") {
            let day = |n: i64| jiff::civil::date(1980, 1, 1).checked_add(jiff::SignedDuration::from_hours(24 * n)).unwrap();
            let escaped = note.replace('\\', "\\\\").replace(';', "\\;").replace(',', "\\,");
            let text = format!(
                "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:{}\r\nDTEND;VALUE=DATE:{}\r\nSUMMARY:{escaped}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
                day(first).to_string().replace('-', ""), day(first + long).to_string().replace('-', ""),
            );
            let days = read(&text).unwrap();
            prop_assert_eq!(days.len(), 1);
            prop_assert_eq!(&days[0].from, &day(first).to_string());
            let last = days[0].to.clone().unwrap_or_else(|| days[0].from.clone());
            prop_assert_eq!(last, day(first + long - 1).to_string());
            prop_assert_eq!(&days[0].note, note.trim());
        }
    }
}
