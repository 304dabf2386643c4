//! The command line. Every command except `serve` works beside a running `serve`: both share the
//! database, whose transactions keep them apart.

mod agent;
mod audit;
mod backup;
mod broker;
mod bundle;
mod ca;
mod import;
mod init;
mod masters;
mod replay;
mod table;
mod ticket;
mod token;
mod user;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use callhome_shared::config_error::Problems;
use callhome_shared::logging::{self, Format};
use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::config;
use crate::settings::{Database, Settings};
use crate::store::Db;

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
    /// Make data directory, CA, database and the first administrator
    Init(init::Init),
    /// Run: MQTT broker, HTTPS API and console
    Serve,
    /// Check the configuration and say what it resolves to
    Check,
    /// Agents: tokens, list, revocation
    #[command(subcommand)]
    Agent(agent::Command),
    /// The external broker: bring its rights up to date
    #[command(subcommand)]
    Broker(broker::Command),
    /// Evidence bundles: verify their files
    #[command(subcommand)]
    Bundle(bundle::Command),
    /// The CA: show, exchange
    #[command(subcommand)]
    Ca(ca::Command),
    /// The record of everything that touches trust
    #[command(subcommand)]
    Audit(audit::Command),
    /// Customers, sites, contacts, contracts, devices: import, export, list
    #[command(subcommand)]
    Masters(masters::Command),
    /// Tickets: list, show
    #[command(subcommand)]
    Ticket(ticket::Command),
    /// Tokens with which programs ask the API
    #[command(subcommand)]
    Token(token::Command),
    /// People who may log in
    #[command(subcommand)]
    User(user::Command),
    /// Write CA, certificates and database (not the files of bundles) to one file, also while `serve` runs
    Backup(backup::Backup),
    /// Restore a backup into an empty data directory
    Restore(backup::Restore),
    /// Take what an agent exported to a file, also while `serve` runs
    Import(import::Import),
    /// Say what rules of diagnosis would have made of the recorded alarms
    Replay(replay::Replay),
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

/// Runs the command; `serve` is what the command of that name does.
pub fn run(
    cli: Cli,
    serve: impl AsyncFnOnce(&Settings) -> anyhow::Result<()>,
) -> Result<(), Failure> {
    if let Command::Schema = cli.command {
        return print(&config::schema());
    }
    let settings = config::load(&cli.config).map_err(Failure::Configuration)?;
    if let Command::Check = cli.command {
        return check(&cli.config, &settings);
    }
    let format = if settings.log_json { Format::Json } else { Format::Text };
    // A command tells its result on standard output; its log is for what goes wrong.
    let filter = match cli.command {
        Command::Serve => quiet_libraries(&settings.log_filter),
        _ => "warn".to_owned(),
    };
    logging::start(&filter, format).map_err(anyhow::Error::msg)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("collector")
        .build()
        .context("runtime")?;
    let done = runtime.block_on(async {
        match cli.command {
            Command::Init(init) => init::run(init, &settings).await,
            Command::Serve => serve(&settings).await.map_err(Failure::Failed),
            Command::Agent(command) => agent::run(command, &settings).await,
            Command::Broker(command) => broker::run(command, &settings).await,
            Command::Bundle(command) => bundle::run(command, &settings).await,
            Command::Ca(command) => ca::run(command, &settings).await,
            Command::Audit(command) => audit::run(command, &settings).await,
            Command::Masters(command) => masters::run(command, &settings).await,
            Command::Ticket(command) => ticket::run(command, &settings).await,
            Command::Token(command) => token::run(command, &settings).await,
            Command::User(command) => user::run(command, &settings).await,
            Command::Backup(args) => backup::back_up(args, &settings).await,
            Command::Restore(args) => backup::restore(args, &settings).await,
            Command::Import(args) => import::run(args, &settings).await,
            Command::Replay(args) => replay::run(args, &settings).await,
            Command::Check | Command::Schema => Ok(()),
        }
    });
    // A thread stuck in a system call must not keep the program from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    done
}

/// The crate behind the broker tells every connection at `info`; so do we, with fields.
fn quiet_libraries(filter: &str) -> String {
    if filter.contains(['=', ',']) { filter.to_owned() } else { format!("{filter},mqtt5=warn") }
}

/// Who runs this command, for the record.
fn who() -> String {
    use std::os::unix::fs::MetadataExt as _;
    let named = ["SUDO_USER", "USER"].iter().find_map(|name| std::env::var(name).ok());
    let uid = || std::fs::metadata("/proc/self").map(|m| format!("uid-{}", m.uid())).ok();
    format!("cli:{}", named.filter(|name| !name.is_empty()).or_else(uid).unwrap_or_default())
}

/// The database of a collector that has been initialised: `init` makes it, nothing else.
async fn open(settings: &Settings) -> anyhow::Result<Db> {
    if let Database::Sqlite { path } = &settings.database {
        anyhow::ensure!(
            path.exists(),
            "{} does not exist: run `callhome-collector init` first",
            path.display()
        );
    }
    Ok(Db::open(&settings.database).await?)
}

fn check(path: &Path, settings: &Settings) -> Result<(), Failure> {
    let broker = match &settings.mqtt {
        crate::settings::Mqtt::Embedded { listen, .. } => format!("embedded, {listen}"),
        crate::settings::Mqtt::External { host, port, provision } => {
            let rights = if *provision { ", rights kept by the collector" } else { "" };
            format!("external, {host}:{port}{rights}")
        }
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

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value).context("JSON")?;
    text.push('\n');
    print(&text)
}
