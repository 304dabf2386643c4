//! `bundle verify`.

use clap::Subcommand;
use uuid::Uuid;

use super::{Failure, print};
use crate::bundle::files::Files;
use crate::settings::Settings;
use crate::store::bundles::{self, BundleRow};

/// Rows read at a time.
const PAGE: i64 = 200;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read the files of all bundles again and compare size and SHA-256, also while `serve` runs
    Verify,
}

pub(super) async fn run(command: Command, settings: &Settings) -> Result<(), Failure> {
    let Command::Verify = command;
    let db = super::open(settings).await?;
    let files = Files::new(&settings.bundles.dir, settings.bundles.keep_free_bytes);
    let (mut whole, mut bytes, mut elsewhere, mut wrong) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut after = String::new();
    loop {
        let page = bundles::complete_after(&db, &after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id.clone();
        for row in page {
            if !settings.bundles.shared && row.collector != settings.name {
                elsewhere += 1;
                continue;
            }
            let (id, size) = (row.id.clone(), u64::try_from(row.size).unwrap_or(0));
            let files = files.clone();
            // The answer is small, the file may not be.
            let found = tokio::task::spawn_blocking(move || check(&files, &row)).await?;
            match found {
                None => (whole, bytes) = (whole + 1, bytes + size),
                Some(what) => {
                    wrong += 1;
                    print(&format!("{id}: {what}\n"))?;
                }
            }
        }
    }
    db.close().await;
    let mib = bytes.div_ceil(1024 * 1024);
    let others = match elsewhere {
        0 => String::new(),
        n => format!(", {n} kept by other collectors"),
    };
    print(&format!("{whole} bundles are as declared ({mib} MiB){others}, {wrong} are not\n"))?;
    if wrong > 0 {
        return Err(anyhow::anyhow!("{wrong} bundles are missing or altered").into());
    }
    Ok(())
}

/// What is wrong with a bundle's file.
fn check(files: &Files, row: &BundleRow) -> Option<String> {
    let Ok(id) = Uuid::parse_str(&row.id) else { return Some("its id is no UUID".to_owned()) };
    match files.digest(&row.agent_id, id) {
        Err(error) => Some(format!("cannot be read: {error}")),
        Ok(None) => Some("missing".to_owned()),
        Ok(Some((size, _))) if i64::try_from(size) != Ok(row.size) => {
            Some(format!("altered: {size} bytes instead of {}", row.size))
        }
        Ok(Some((_, sha256))) if sha256 != row.sha256 => {
            Some("altered: another SHA-256".to_owned())
        }
        Ok(Some(_)) => None,
    }
}
