//! `audit list`, `audit verify`, `audit export`.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use callhome_shared::config_error::did_you_mean;
use callhome_shared::time::Time;
use clap::{Args, Subcommand};

use super::table::table;
use super::{Failure, print};
use crate::audit::{Deed, exported};
use crate::flow::record;
use crate::settings::Settings;
use crate::store::Db;
use crate::store::audit::{self, Filter};

/// Rows read at a time.
const PAGE: i64 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List entries, the latest last
    List {
        #[command(flatten)]
        which: Which,
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
    /// Write entries to a new file, one JSON object a line, the earliest first
    Export {
        #[command(flatten)]
        which: Which,
        /// The file (mode 0600)
        file: PathBuf,
    },
}

/// Which entries; without any of these all.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Only what was done to this agent or by it
    #[arg(long)]
    agent: Option<String>,
    /// Only what was done to this agent, user or CA
    #[arg(long)]
    subject: Option<String>,
    /// Only what this one did: `user:li`, `cli:root`, `agent:a-1`, `collector`, or a name alone
    #[arg(long)]
    who: Option<String>,
    /// Only deeds of this kind, such as `token-made`
    #[arg(long, value_parser = deed)]
    what: Option<String>,
    /// Only from this moment on, such as `2026-01-31T08:00:00Z`
    #[arg(long, value_parser = moment)]
    from: Option<Time>,
    /// Only before this moment
    #[arg(long, value_parser = moment)]
    to: Option<Time>,
}

impl From<Which> for Filter {
    fn from(which: Which) -> Self {
        let Which { agent, subject, who, what, from, to } = which;
        Filter { agent, subject, who, what, from, to }
    }
}

fn deed(word: &str) -> Result<String, String> {
    if Deed::parse(word).is_some() {
        return Ok(word.to_owned());
    }
    let hint = did_you_mean(word, Deed::ALL.map(Deed::as_str));
    Err(hint.unwrap_or_else(|| "there is no such deed".to_owned()))
}

fn moment(text: &str) -> Result<Time, String> {
    Time::parse(text).map_err(|e| e.to_string())
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
        Command::List { which, limit, json } => list(&db, &which.into(), limit, json).await?,
        Command::Verify { noted } => verify(&db, noted).await?,
        Command::Export { which, file } => export(&db, &which.into(), &file).await?,
    }
    db.close().await;
    Ok(())
}

async fn list(db: &Db, which: &Filter, limit: i64, as_json: bool) -> Result<(), Failure> {
    let mut rows = audit::latest(db, None, which, limit).await?;
    rows.reverse();
    if as_json {
        return super::print_json(&rows.iter().map(exported).collect::<Vec<_>>());
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

async fn verify(db: &Db, noted: Vec<(i64, String)>) -> Result<(), Failure> {
    let found = record::verify(db, noted).await?;
    if found.breaks.is_empty() {
        let (rows, head, hash) = (found.rows, found.head, found.hash);
        return print(&format!("{rows} entries, the chain is whole\nhead {head}:{hash}\n"));
    }
    for broken in &found.breaks {
        print(&format!("{broken}\n"))?;
    }
    let (breaks, rows) = (found.breaks.len(), found.rows);
    Err(anyhow!("the record was tampered with: {breaks} broken places in {rows} entries").into())
}

async fn export(db: &Db, which: &Filter, file: &std::path::Path) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(file);
    let mut out = BufWriter::new(opened.with_context(|| file.display().to_string())?);
    let (mut last, mut count) = (0, 0_u64);
    loop {
        let page = audit::between(db, (last, i64::MAX), which, PAGE).await?;
        let Some(end) = page.last().map(|row| row.seq) else { break };
        for row in &page {
            writeln!(out, "{}", exported(row))?;
            count += 1;
        }
        last = end;
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    print(&format!("{}: {count} entries\n", file.display()))
}
