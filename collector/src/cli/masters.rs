//! `masters import`, `masters export`, `masters list`: customers, sites, contacts, contracts, devices.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use callhome_shared::time::Time;
use clap::Subcommand;
use clap::builder::PossibleValuesParser;

use super::table::table;
use super::{Failure, print, who};
use crate::api::masters::everything;
use crate::flow::clocks::stock;
use crate::flow::masters::{self as actions, By, MasterError};
use crate::masters::{self, Kind};
use crate::settings::Settings;

/// Largest file that is read, bytes.
const MAX_BYTES: u64 = 64 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Take a CSV or JSON file: all of it or, when anything is wrong with it, nothing. Rows with an id that is
    /// known change what the file names; others are added
    Import {
        /// What it holds
        #[arg(value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)))]
        kind: String,
        /// A file ending in .csv (UTF-8, the first line names the columns) or .json (a list of objects)
        file: PathBuf,
        /// Only say what it would do
        #[arg(long)]
        dry_run: bool,
    },
    /// Write all of a kind, as `import` takes it, to standard output
    Export {
        /// What to write
        #[arg(value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)))]
        kind: String,
        /// Form of the file
        #[arg(long, default_value = "csv", value_parser = ["csv", "json"])]
        format: String,
    },
    /// List all of a kind
    List {
        /// What to list
        #[arg(value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::as_str)))]
        kind: String,
        /// Only those that an agent named and that nobody has completed
        #[arg(long)]
        to_complete: bool,
    },
}

pub(super) async fn run(command: Command, settings: &Settings) -> Result<(), Failure> {
    let db = super::open(settings).await?;
    let kind = |word: &str| Kind::parse(word).context("no such kind");
    match command {
        Command::Import { kind: word, file, dry_run } => {
            let kind = kind(&word)?;
            let text = read(&file)?;
            let name = file.display().to_string();
            let read = match file.extension().and_then(|e| e.to_str()) {
                Some("json") => masters::read_json(kind, &name, &text),
                Some("csv") => masters::read_csv(kind, &name, &text),
                _ => {
                    return Err(
                        anyhow::anyhow!("{name}: expected a name ending in .csv or .json").into()
                    );
                }
            };
            let read = read.map_err(Failure::Configuration)?;
            let by = By { who: &who(), at: Time::now() };
            stock(&db, by.at).await.context("service plans")?;
            let done = actions::import(&db, kind, (&name, &text), read, dry_run, by).await;
            let done = done.map_err(|e| match e {
                MasterError::File(problems) => Failure::Configuration(problems),
                other => Failure::Failed(other.into()),
            })?;
            let would = if dry_run { "would be " } else { "" };
            print(&format!(
                "{word}: {would}{} new, {} changed, {} unchanged\n",
                done.new, done.changed, done.unchanged
            ))?;
        }
        Command::Export { kind: word, format } => {
            let kind = kind(&word)?;
            let all = everything(&db, kind).await?;
            let rows = all.iter().map(|row| (row.id.as_str(), row.version, &row.values));
            let text = match format.as_str() {
                "json" => masters::export_json(kind, rows),
                _ => masters::export_csv(kind, rows),
            };
            print(&text)?;
        }
        Command::List { kind: word, to_complete } => {
            let kind = kind(&word)?;
            let shown = kind.fields().iter().filter(|f| f.name != "note").map(|f| f.name);
            let shown: Vec<&str> = shown.collect();
            let mut rows = Vec::new();
            for row in everything(&db, kind).await? {
                if to_complete && !row.to_complete {
                    continue;
                }
                let mut cells = vec![row.id.clone()];
                cells.extend(shown.iter().map(|n| row.values.get(n).cloned().unwrap_or_default()));
                cells.push(if row.to_complete { "to complete".to_owned() } else { String::new() });
                rows.push(cells);
            }
            let head: Vec<&str> =
                std::iter::once("id").chain(shown.iter().copied()).chain([""]).collect();
            print(&table(&head, &rows))?;
        }
    }
    db.close().await;
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    let about = || format!("read {}", file.display());
    let size = std::fs::metadata(file).with_context(about)?.len();
    ensure!(
        size <= MAX_BYTES,
        "{}: expected at most {MAX_BYTES} bytes, found {size}",
        file.display()
    );
    match String::from_utf8(std::fs::read(file).with_context(about)?) {
        Ok(text) => Ok(text),
        Err(e) => {
            let good = e.utf8_error().valid_up_to();
            let line = e.as_bytes()[..good].iter().filter(|b| **b == b'\n').count() + 1;
            bail!(
                "{}:{line}: expected UTF-8; spreadsheets save it as \"CSV UTF-8\"",
                file.display()
            )
        }
    }
}
