//! Structured logs on standard error: text for a terminal, JSON for machines.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One readable line.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `filter` is a level or a list of directives (`info,callhome_agent=debug`); the
/// environment variable `CALLHOME_LOG` goes before it.
pub fn start(filter: &str, format: Format) -> Result<(), String> {
    let wanted = std::env::var("CALLHOME_LOG").unwrap_or_else(|_| filter.to_owned());
    let filter = EnvFilter::try_new(&wanted).map_err(|e| format!("log filter {wanted:?}: {e}"))?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(|| OneLine);
    match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|e| e.to_string())
}

/// Standard error, one line for each event: what devices, peers and files say stands in log fields,
/// and must neither begin a line of its own nor steer a terminal.
struct OneLine;

impl Write for OneLine {
    /// One call is one event: the subscriber formats it as a whole before it writes.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write_all(harmless(event).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// The event on one line, its control and direction characters escaped (`\n`, `\u{1b}`).
fn harmless(event: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(event);
    let line = text.strip_suffix('\n').unwrap_or(&text);
    if !line.chars().any(steers) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in line.chars() {
        if steers(c) {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    Cow::Owned(out)
}

/// Whether a character does something to a terminal or a reader instead of being shown: control
/// characters, line separators, and those that turn the direction of writing.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` line by line with every character that steers written as its escape: what a command line says
/// of an argument must not reach the terminal as the argument stands.
pub fn lines_shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && steers(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Tracing target of the marks that say which stage a fault has reached. They are at level TRACE;
/// tests that kill processes read them to know where the process was.
pub const STAGE: &str = "stage";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_steers_nothing() {
        assert_eq!(lines_shown("a\u{1b}[31m\nb\r\u{202e}风"), "a\\u{1b}[31m\nb\\r\\u{202e}风");
    }

    #[test]
    fn an_event_is_one_line() {
        assert_eq!(harmless(b"INFO all well name=\xe9\xa3\x8e\n"), "INFO all well name=风\n");
        assert_eq!(
            harmless("WARN text=a\n2026 ERROR forged\r\u{1b}[31m\u{202e}x\n".as_bytes()),
            "WARN text=a\\n2026 ERROR forged\\r\\u{1b}[31m\\u{202e}x\n"
        );
    }

    proptest::proptest! {
        #[test]
        fn prop_no_event_steers_a_terminal(event: Vec<u8>, text in "(.|\n|\u{1b}){0,60}") {
            for event in [event, format!("{text}\n").into_bytes()] {
                let line = harmless(&event);
                let line = line.strip_suffix('\n').unwrap_or(&line);
                proptest::prop_assert!(!line.chars().any(steers), "{line:?}");
            }
        }
    }
}
