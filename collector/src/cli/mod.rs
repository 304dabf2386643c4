//! The command line. Every command except `serve` works beside a running `serve`: both share the
//! database, whose transactions keep them apart.

use std::io::Write;
use std::path::PathBuf;

use callhome_shared::config_error::Problems;
use clap::{Parser, Subcommand};

use crate::config;
use crate::settings::Settings;

/// Exit code: wrong usage.
pub const USAGE: u8 = 2;
/// Exit code: bad configuration (`EX_CONFIG`).
pub const BAD_CONFIGURATION: u8 = 78;

/// callhome's collector: turns the alarms of agents into tickets.
#[derive(Debug, Parser)]
#[command(name = "callhome-collector", version)]
pub struct Cli {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the configuration and say what it resolves to
    Check,
    /// Print the JSON Schema of the configuration
    Schema,
}

/// Why a command ended without success.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is bad; the problems are for people.
    Configuration(Problems),
    /// Anything else.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(e: E) -> Self {
        Failure::Failed(e.into())
    }
}

/// Runs the command.
pub fn run(cli: Cli) -> Result<(), Failure> {
    if let Command::Schema = cli.command {
        return print(&config::schema());
    }
    let settings = config::load(&cli.config).map_err(Failure::Configuration)?;
    match cli.command {
        Command::Schema => Ok(()),
        Command::Check => check(&cli.config, &settings),
    }
}

fn check(path: &std::path::Path, settings: &Settings) -> Result<(), Failure> {
    let broker = match &settings.mqtt {
        crate::settings::Mqtt::Embedded { listen, .. } => format!("embedded, {listen}"),
        crate::settings::Mqtt::External { host, port } => format!("external, {host}:{port}"),
    };
    print(&format!(
        "{}: good\n  data directory  {}\n  MQTT broker     {broker} (agents: {})\n  HTTPS           {} ({})\n",
        path.display(),
        settings.data_dir.display(),
        settings.mqtt_public_address,
        settings.https.listen,
        settings.https.public_url,
    ))
}

/// Writes to standard output; a closed pipe is an error, not a panic.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}
