//! `audit list`, `audit verify`, `audit export`.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Subcommand;
use serde_json::{Value, json};

use super::table::table;
use super::{Failure, print};
use crate::audit::{Chain, Row};
use crate::settings::Settings;
use crate::store::{Db, audit};

/// Rows read at a time.
const PAGE: i64 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List entries, the latest last
    List {
        /// Only what was done to this agent, user or CA
        #[arg(long)]
        subject: Option<String>,
        /// So many of the latest
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Check the chain of hashes; the last line is the head: keep it somewhere else
    Verify {
        /// A head noted earlier, `row:hash`; may be given several times. Only with one of these is a
        /// record found out that was written anew as a whole
        #[arg(long, value_name = "ROW:HASH", value_parser = noted)]
        noted: Vec<(i64, String)>,
    },
    /// Write all entries to a new file, one JSON object a line
    Export {
        /// The file (mode 0600)
        file: PathBuf,
    },
}

/// `row:hash`.
fn noted(text: &str) -> Result<(i64, String), String> {
    let parts = text.split_once(':').and_then(|(row, hash)| {
        let is_hash = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        let row = row.parse().ok().filter(|row| *row > 0);
        row.filter(|_| is_hash).map(|row| (row, hash.to_ascii_lowercase()))
    });
    parts.ok_or_else(|| "expected a row's number, a colon and 64 hexadecimal digits".to_owned())
}

pub(super) async fn run(command: Command, settings: &Settings) -> Result<(), Failure> {
    let db = super::open(settings).await?;
    match command {
        Command::List { subject, limit, json } => {
            list(&db, subject.as_deref(), limit, json).await?
        }
        Command::Verify { noted } => verify(&db, noted).await?,
        Command::Export { file } => export(&db, &file).await?,
    }
    db.close().await;
    Ok(())
}

async fn list(db: &Db, subject: Option<&str>, limit: i64, as_json: bool) -> Result<(), Failure> {
    let mut rows = audit::latest(db, None, subject, limit).await?;
    rows.reverse();
    if as_json {
        return super::print_json(&rows.iter().map(object).collect::<Vec<_>>());
    }
    let lines: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| {
            vec![
                row.seq.to_string(),
                row.at.to_string(),
                row.who,
                row.what,
                row.subject,
                row.detail,
            ]
        })
        .collect();
    print(&table(&["row", "at", "who", "what", "subject", "detail"], &lines))
}

fn object(row: &Row) -> Value {
    let detail: Value =
        serde_json::from_str(&row.detail).unwrap_or_else(|_| Value::from(row.detail.as_str()));
    json!({
        "seq": row.seq, "at": row.at.millis(), "time": row.at.to_string(), "who": row.who,
        "what": row.what, "subject": row.subject, "detail": detail,
        "previous": row.previous, "hash": row.hash,
    })
}

async fn verify(db: &Db, noted: Vec<(i64, String)>) -> Result<(), Failure> {
    // The head first: what is appended meanwhile is checked as far as the head went.
    let (head, hash) = audit::head(db).await?;
    let mut chain = Chain::new(noted);
    let mut count = 0_u64;
    'all: loop {
        let page = audit::after(db, chain.seq(), PAGE).await?;
        let full = i64::try_from(page.len()).is_ok_and(|n| n == PAGE);
        let before = chain.seq();
        for row in page {
            if row.seq > head && head >= 0 && is_newer(db, row.seq).await? {
                break 'all;
            }
            chain.follow(&row);
            count += 1;
        }
        if !full || chain.seq() == before {
            break;
        }
    }
    let breaks = chain.end((head, &hash));
    if breaks.is_empty() {
        return print(&format!("{count} entries, the chain is whole\nhead {head}:{hash}\n"));
    }
    for broken in &breaks {
        print(&format!("{broken}\n"))?;
    }
    Err(anyhow!("the record was tampered with: {} broken places in {count} entries", breaks.len())
        .into())
}

/// Whether the row came after the head was read: then the head has moved to it or beyond.
async fn is_newer(db: &Db, seq: i64) -> Result<bool, Failure> {
    Ok(audit::head(db).await?.0 >= seq)
}

async fn export(db: &Db, file: &std::path::Path) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(file);
    let mut out = BufWriter::new(opened.with_context(|| file.display().to_string())?);
    let (mut last, mut count) = (0, 0_u64);
    loop {
        let page = audit::after(db, last, PAGE).await?;
        let Some(end) = page.last().map(|row| row.seq) else { break };
        for row in &page {
            writeln!(out, "{}", object(row))?;
            count += 1;
        }
        last = end;
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    print(&format!("{}: {count} entries\n", file.display()))
}
