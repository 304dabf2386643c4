//! The ledger for people.

use std::fmt::Write as _;

use super::entry::{Entry, What};
use super::read::Verdict;

/// One line per entry.
pub fn entries<'e>(entries: impl Iterator<Item = &'e Entry>) -> String {
    let mut out = String::new();
    for entry in entries {
        let _ = writeln!(out, "{:>8}  {}  {}", entry.n, entry.at, summary(&entry.what));
    }
    out
}

fn summary(what: &What) -> String {
    match what {
        What::Started { version } => format!("started    version {version}"),
        What::Opened { connection, road, address } => {
            format!("opened     connection {connection} to {address}, {road}")
        }
        What::Closed { connection, bytes_out, bytes_in } => {
            format!(
                "closed     connection {connection}: {bytes_out} bytes out, {bytes_in} bytes in"
            )
        }
        What::Sent { kind, road, id, lane, seq, offset, bytes, .. } => {
            let number = match (lane, seq) {
                (Some(lane), Some(seq)) => format!(" {}/{seq}", lane.as_str()),
                _ if offset.is_some() => {
                    format!(" of {} from {}", id.unwrap_or_default(), offset.unwrap_or_default())
                }
                _ => String::new(),
            };
            format!("{kind:<10} {bytes} bytes{number} by {road}")
        }
        What::Segment { segment } => format!("segment    file {segment:08} begins"),
        What::Dropped { segment, first, last, bytes, hash } => format!(
            "dropped    file {segment:08}: entries {first} to {last}, {bytes} bytes, last hash {hash}"
        ),
        What::Repaired { segment, cut_bytes, known_head, .. } => format!(
            "repaired   file {segment:08}: {cut_bytes} bytes of an unfinished line cut off; {known_head} entries had been written"
        ),
        What::Missed { entries, bytes, since, reason } => {
            format!("missed     {entries} departures, {bytes} bytes, since {since}: {reason}")
        }
    }
}

/// One entry with all it says, its hash, and its payload where it is kept.
pub fn entry(entry: &Entry, hash: &str, payload: Option<&[u8]>) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: &str| {
        let _ = writeln!(out, "{name:<10} {text}");
    };
    line("entry", &entry.n.to_string());
    line("time", &entry.at.to_string());
    line("what", &summary(&entry.what));
    line("hash", hash);
    line("previous", &entry.prev);
    if let What::Sent { id, sha256, .. } = &entry.what {
        if let Some(id) = id {
            line("envelope", &id.to_string());
        }
        line("sha256", sha256);
        match payload {
            Some(payload) => line("payload", &String::from_utf8_lossy(payload)),
            None => line("payload", "no longer kept: size and hash are what is left of it"),
        }
    }
    out
}

/// What verifying found.
pub fn verdict(verdict: &Verdict) -> String {
    let mut out = String::new();
    for note in &verdict.notes {
        let _ = writeln!(out, "note: {note}");
    }
    for finding in &verdict.findings {
        let _ = writeln!(out, "FAULT: {finding}");
    }
    if verdict.more > 0 {
        let _ = writeln!(out, "FAULT: and {} more", verdict.more);
    }
    let Verdict { files, entries, bytes, head, .. } = verdict;
    let holds = if verdict.holds() { "the chain holds" } else { "THE CHAIN IS BROKEN" };
    let _ = writeln!(out, "{holds}: {entries} entries in {files} files, {bytes} bytes");
    let _ = writeln!(out, "head: entry {} {}", head.0, head.1);
    out
}
