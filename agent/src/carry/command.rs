//! `callhome-agent outbox …`.

use std::path::PathBuf;

use callhome_shared::envelope::Lane;
use clap::Subcommand;

use super::{Access, Exported, Which, export, list, show, verify};
use crate::settings::Settings;

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the envelopes that wait.
    List {
        /// Of this lane only.
        #[arg(long, value_parser = ["alarm", "bulk"])]
        lane: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// Show one of them with its payload.
    Show {
        /// Its id, or its place, such as alarm/17.
        envelope: Which,
        /// As a structured CloudEvents event.
        #[arg(long)]
        json: bool,
    },
    /// Read every stored entry against its checksum and place, and the balance.
    Verify,
    /// Write what waits to a file that callhome-collector import takes; nothing leaves the outbox.
    Export {
        /// The file; must not be there yet.
        file: PathBuf,
    },
}

/// Does it, and prints what came of it.
pub async fn run(command: Command, settings: &Settings) -> anyhow::Result<()> {
    let access = Access::open(settings).await?;
    match command {
        Command::List { lane, limit } => {
            let lane = lane.as_deref().and_then(Lane::parse);
            print!("{}", list(&access, lane, usize::try_from(limit)?).await?);
        }
        Command::Show { envelope, json } => {
            let found = show(&access, envelope).await?;
            match json {
                true => println!("{}", String::from_utf8(found.0.to_structured()?)?),
                false => print!("{}", found.text()),
            }
        }
        Command::Verify => {
            let verified = verify(&access).await?;
            print!("{}", verified.text);
            anyhow::ensure!(verified.good, "the outbox is not as it should be");
        }
        Command::Export { file } => {
            let Exported { alarm, bulk, bytes } = export(&access, &file).await?;
            let name = file.display();
            println!(
                "{alarm} envelopes of lane alarm, {bulk} of lane bulk, {bytes} bytes in {name}"
            );
        }
    }
    Ok(())
}
