//! `probe now`: what it asks, and how it waits for shadow tickets.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::board::Board;
use super::report::ProbeReport;

/// Between two looks at the paths' book.
const LOOK: Duration = Duration::from_millis(20);

/// What `POST /probe` asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Only this source.
    pub(super) source: Option<String>,
    /// How long to wait.
    pub(super) patience: Duration,
}

/// The path and query that [`read`] reads.
pub(super) fn path(source: Option<&str>, patience: Duration) -> String {
    let mut path = format!("/probe?timeout_s={}", patience.as_secs());
    if let Some(source) = source {
        path.push_str("&source=");
        path.push_str(&encoded(source));
    }
    path
}

/// Percent-encoded (RFC 3986), everything but letters and digits.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Reads a query; `patience` reads `timeout_s=…`.
pub(super) fn read(
    query: Option<&str>,
    patience: impl Fn(Option<&str>) -> Result<Duration, &'static str>,
) -> Result<Asked, &'static str> {
    let mut asked = Asked { source: None, patience: patience(None)? };
    for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
        match part.strip_prefix("source=") {
            Some(name) => asked.source = Some(decoded(name).ok_or("source: not percent-encoded")?),
            None => asked.patience = patience(Some(part))?,
        }
    }
    Ok(asked)
}

/// Reads [`encoded`] back.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: Option<u8>| char::from(digit?).to_digit(16);
        bytes.push(match byte {
            b'%' => u8::try_from(hex(rest.next())? * 16 + hex(rest.next())?).ok()?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

impl Board {
    /// Sends a probe through one source, or through all, and waits for their shadow tickets.
    pub(super) async fn prove(&self, asked: &Asked) -> Result<Vec<ProbeReport>, String> {
        let until = Instant::now() + asked.patience;
        let probes = self.probes();
        let before = probes.hurry(asked.source.as_deref());
        if before.is_empty() {
            return Err(self.nothing_to_prove(asked.source.as_deref()));
        }
        let back = |(source, count): &(String, u64)| probes.count(source) > *count;
        while !before.iter().all(back) && Instant::now() < until {
            sleep(LOOK).await;
        }
        let facts = self.facts();
        let states = probes.report();
        let report = |one: &(String, u64)| {
            let state = states.iter().find(|state| state.source == one.0);
            let state = state.filter(|_| back(one));
            let trouble = self.sources().trouble(&one.0);
            let stuck = state.is_none().then(|| probes.hop(&one.0, &facts, &trouble));
            ProbeReport {
                source: one.0.clone(),
                ticket: state.and_then(|s| s.ticket.clone()),
                took_ms: state.and_then(|s| s.took_ms),
                stuck,
            }
        };
        Ok(before.iter().map(report).collect())
    }

    fn nothing_to_prove(&self, source: Option<&str>) -> String {
        let known: Vec<String> = self.probes().report().into_iter().map(|p| p.source).collect();
        match source {
            Some(source) if !known.is_empty() => {
                format!("no source {source:?}; there are: {}", known.join(", "))
            }
            _ => "no source is probed: none is configured, or probe.interval_s is 0".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn patience(query: Option<&str>) -> Result<Duration, &'static str> {
        match query {
            None => Ok(Duration::from_secs(60)),
            Some(text) => {
                let seconds = text.strip_prefix("timeout_s=").and_then(|s| s.parse().ok());
                seconds.map(Duration::from_secs).ok_or("bad")
            }
        }
    }

    #[test]
    fn bad_queries_are_refused() {
        for bad in ["source=%", "source=%4", "source=%ff", "source=%zz", "x=1", "timeout_s=x"] {
            assert!(read(Some(bad), patience).is_err(), "{bad}");
        }
        let asked = Asked { source: None, patience: Duration::from_secs(60) };
        assert_eq!(read(None, patience), Ok(asked));
    }

    proptest! {
        #[test]
        fn prop_any_name_reads_back(source in ".{0,40}", seconds in 1u64..600) {
            let asked = Asked { source: Some(source), patience: Duration::from_secs(seconds) };
            let path = path(asked.source.as_deref(), asked.patience);
            prop_assert!(path.bytes().all(|b| b.is_ascii_graphic()));
            let query = path.split_once('?').map(|(_, query)| query);
            prop_assert_eq!(read(query, patience), Ok(asked));
        }

        #[test]
        fn no_query_panics(query in ".{0,80}") {
            let _ = read(Some(&query), patience);
        }
    }
}
