//! `callhome-agent ledger …`: what each command prints.

use std::path::Path;

use callhome_shared::time::Time;
use uuid::Uuid;

use super::entry::{Entry, What};
use super::read::{Book, Verdict};
use super::{Settings, folder, show};

/// Which entries are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Not before.
    pub since: Option<Time>,
    /// Only these kinds; empty = all.
    pub kinds: Vec<String>,
}

impl Filter {
    fn takes(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.at >= since)
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == entry.what.kind()))
    }
}

/// `ledger list`: one line per entry, or one JSON object per line. What the ledger no longer holds is
/// said first.
pub fn list(
    state_dir: &Path,
    settings: Settings,
    filter: &Filter,
    json: bool,
) -> anyhow::Result<String> {
    let ledger = Book::open(&folder(state_dir), settings.keep_payloads_bytes)?;
    let entries = ledger.entries().map(|(entry, _)| entry).filter(|entry| filter.takes(entry));
    if json {
        let lines = entries.map(|entry| serde_json::to_string(&entry).unwrap_or_default() + "\n");
        return Ok(lines.collect());
    }
    let mut out = String::new();
    for (entry, _) in ledger.entries() {
        if let What::Dropped { last, hash, .. } = &entry.what {
            out = format!(
                "removed to keep the budget: entries 1 to {last}; the last one's hash {hash}\n"
            );
        }
    }
    let entries: Vec<Entry> = entries.collect();
    Ok(out + &show::entries(entries.iter()))
}

/// `ledger show`: an entry by its number, or every departure of an envelope by its id.
pub fn show(state_dir: &Path, settings: Settings, id: &str) -> anyhow::Result<String> {
    let (number, envelope) = (id.parse::<u64>().ok(), Uuid::parse_str(id).ok());
    if number.is_none() && envelope.is_none() {
        anyhow::bail!("expected an entry's number or an envelope's id, found {id:?}");
    }
    let ledger = Book::open(&folder(state_dir), settings.keep_payloads_bytes)?;
    let wanted = |entry: &Entry| match &entry.what {
        What::Sent { id: Some(id), .. } if Some(*id) == envelope => true,
        _ => Some(entry.n) == number,
    };
    let found: Vec<String> = ledger
        .entries()
        .filter(|(entry, _)| wanted(entry))
        .map(|(entry, hash)| show::entry(&entry, &hash, ledger.payload(&entry).as_deref()))
        .collect();
    if found.is_empty() {
        anyhow::bail!("the ledger has no entry {id}");
    }
    Ok(found.join("\n"))
}

/// `ledger verify`: what it found; and, for a hash that was kept elsewhere, the entry that has it.
pub fn verify(
    state_dir: &Path,
    settings: Settings,
    contains: Option<&str>,
) -> anyhow::Result<(Verdict, String)> {
    let ledger = Book::open(&folder(state_dir), settings.keep_payloads_bytes)?;
    let mut verdict = ledger.verify();
    let mut found = String::new();
    if let Some(wanted) = contains {
        let wanted = wanted.trim().to_ascii_lowercase();
        match ledger.entries().find(|(_, hash)| *hash == wanted) {
            Some((entry, _)) => {
                found = format!("the hash is that of entry {}, {}\n", entry.n, entry.at)
            }
            None => verdict.find(format!("no entry has the hash {wanted}")),
        }
    }
    let text = show::verdict(&verdict) + &found;
    Ok((verdict, text))
}

/// An RFC 3339 time, or how long ago: `90s`, `15m`, `2h`, `7d`.
pub fn since(text: &str, now: Time) -> Result<Time, String> {
    if let Ok(time) = Time::parse(text) {
        return Ok(time);
    }
    let split = text.len().saturating_sub(1);
    let unit = match text.get(split..) {
        Some("s") => 1000,
        Some("m") => 60_000,
        Some("h") => 3_600_000,
        Some("d") => 86_400_000,
        _ => 0,
    };
    let number: Option<i64> = text.get(..split).and_then(|n| n.parse::<u32>().ok()).map(Into::into);
    match number {
        Some(number) if unit > 0 => Ok(Time(now.millis() - number * unit)),
        _ => Err(format!(
            "expected a time such as 2026-01-31T08:00:00Z, or 90s, 15m, 2h, 7d; found {text:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_spans() {
        let now = Time(10_000_000_000);
        assert_eq!(since("2h", now), Ok(Time(10_000_000_000 - 7_200_000)));
        assert_eq!(since("1970-01-01T00:00:01Z", now), Ok(Time(1000)));
        for bad in ["", "h", "2", "-2h", "2w", "é"] {
            assert!(since(bad, now).is_err(), "{bad}");
        }
    }
}
