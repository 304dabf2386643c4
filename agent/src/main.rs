//! callhome-agent: watches devices and calls home.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use callhome_agent::control::{client, maintenance, reload, show};
use callhome_agent::enrol::{EnrolRequest, enrol};
use callhome_agent::settings::{LogSettings, Proxy, Settings};
use callhome_agent::workshop::command::WorkshopError;
use callhome_agent::{bundle, carry, config, ledger, redact, run, workshop};
use callhome_shared::config_error::Problems;
use callhome_shared::logging;
use callhome_shared::time::Time;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// sysexits' EX_CONFIG: systemd does not restart on it.
const BAD_CONFIGURATION: u8 = 78;

/// Watches devices and calls home.
#[derive(Parser)]
#[command(name = "callhome-agent", version)]
struct Cli {
    /// The configuration file.
    #[arg(long, global = true, default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Get this agent's certificate with a one-time token.
    Enroll {
        /// The collector's HTTPS address; the token file's unless given.
        #[arg(long)]
        collector: Option<String>,
        /// The token file; removed when it has served.
        #[arg(long)]
        token_file: PathBuf,
        /// Put aside an identity that is there already.
        #[arg(long)]
        replace: bool,
    },
    /// Check configuration and profiles.
    Check,
    /// Watch and call home.
    Run,
    /// Let the running agent read its configuration again; a bad one is refused, and the old one goes on.
    Reload,
    /// Raise a test alarm and wait for its ticket.
    Test {
        /// Seconds to wait.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
        timeout: u64,
    },
    /// Prove that faults become tickets.
    Probe {
        #[command(subcommand)]
        what: ProbeCommand,
    },
    /// Show how the running agent is doing.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// What is taken out of texts before they leave.
    Redact {
        #[command(subcommand)]
        command: Redact,
    },
    /// What waits for the collector: list, show, verify, export.
    ///
    /// While the agent runs it is asked over its control socket; while it does not, its file is read
    /// and not changed.
    #[command(subcommand)]
    Outbox(carry::Command),
    /// Evidence for a ticket: pack files, look at what would leave, approve.
    #[command(subcommand)]
    Bundle(bundle::command::Command),
    /// Hold back alarms for a while.
    #[command(subcommand)]
    Maintenance(maintenance::Command),
    /// The record of what left.
    Ledger {
        #[command(subcommand)]
        command: LedgerCommand,
    },
    /// Try device profiles on recordings and devices.
    #[command(subcommand)]
    Profile(workshop::Command),
    /// Print the JSON Schema of the configuration.
    Schema,
}

#[derive(Subcommand)]
enum LedgerCommand {
    /// List what left, the oldest first.
    List {
        /// Not before: an RFC 3339 time, or 90s, 15m, 2h, 7d ago.
        #[arg(long)]
        since: Option<String>,
        /// Only this kind (alarm, heartbeat, opened, closed, …); may be given several times.
        #[arg(long)]
        kind: Vec<String>,
        /// JSON lines.
        #[arg(long)]
        json: bool,
    },
    /// Show an entry by its number, or an envelope by its id, with the payload where it is still kept.
    Show {
        /// A number or an id.
        id: String,
    },
    /// Check every byte of the chain.
    Verify {
        /// A head's hash that was kept elsewhere: it must be in the chain.
        #[arg(long)]
        contains: Option<String>,
    },
}

#[derive(Subcommand)]
enum Redact {
    /// Read lines from standard input and print them as they would leave.
    Test,
    /// List the built-in rules.
    Rules,
}

#[derive(Subcommand)]
enum ProbeCommand {
    /// Send a synthetic fault through each source's reader now and wait for the shadow tickets.
    Now {
        /// Only through this source.
        #[arg(long)]
        source: Option<String>,
        /// Seconds to wait.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
        timeout: u64,
    },
}

/// Why a command ended badly.
enum Failure {
    Configuration(Problems),
    Settings(String),
    /// All is said already; the exit status.
    Said(u8),
    Other(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Other(error.into())
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are such "errors" too, with code 0.
            if e.use_stderr() {
                eprint!("{}", logging::lines_shown(&e.to_string()));
            } else {
                let _ = e.print();
            }
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Configuration(problems)) => {
            let n = problems.0.len();
            eprintln!("{problems}\n{n} problem{}", if n == 1 { "" } else { "s" });
            ExitCode::from(BAD_CONFIGURATION)
        }
        Err(Failure::Settings(why)) => {
            eprintln!("{why}");
            ExitCode::from(BAD_CONFIGURATION)
        }
        Err(Failure::Said(status)) => ExitCode::from(status),
        Err(Failure::Other(error)) => {
            eprintln!("callhome-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> Result<(), Failure> {
    let config = &cli.config;
    match cli.command {
        Command::Schema => print!("{}", config::schema()),
        Command::Redact { command: Redact::Rules } => {
            redact::builtin_names().iter().for_each(|name| println!("{name}"));
        }
        Command::Redact { command: Redact::Test } => redact_test(&load(config)?)?,
        Command::Ledger { command } => ledger(&load(config)?, command)?,
        Command::Check => print!("{}", config::summary(&load(config)?)),
        Command::Run => return run_agent(load(config)?, config),
        Command::Reload => {
            // The socket is where the running agent has it; a new configuration may be a bad one.
            let socket = config::control_socket(config);
            runtime()?.block_on(reload::run(&socket))?;
        }
        Command::Enroll { collector, token_file, replace } => {
            let (state_dir, proxy) = before_enrolment(config)?;
            let (exit, meters) = run::enrolment_exit(&state_dir);
            enroll(&EnrolRequest {
                collector,
                token_file,
                state_dir,
                replace,
                proxy,
                exit,
                meters,
            })?;
        }
        Command::Test { timeout } => {
            let socket = load(config)?.control_socket;
            let patience = Duration::from_secs(timeout);
            let report = runtime()?.block_on(client::test(&socket, patience))?;
            println!("ticket {} after {} ms", report.ticket, report.took_ms);
        }
        Command::Profile(command) => {
            let outcome = runtime()?.block_on(workshop::run(command));
            let status = outcome.map_err(|error| match error {
                WorkshopError::Files(problems) => Failure::Configuration(problems),
                WorkshopError::Other(error) => error.into(),
            })?;
            if status != 0 {
                return Err(Failure::Said(status));
            }
        }
        Command::Outbox(command) => {
            let settings = load(config)?;
            runtime()?.block_on(carry::run(command, &settings))?;
        }
        Command::Maintenance(command) => {
            let socket = load(config)?.control_socket;
            runtime()?.block_on(maintenance::run(command, &socket))?;
        }
        Command::Bundle(command) => {
            let socket = load(config)?.control_socket;
            runtime()?.block_on(bundle::command::run(command, &socket))?;
        }
        Command::Probe { what: ProbeCommand::Now { source, timeout } } => {
            prove(&load(config)?.control_socket, source.as_deref(), Duration::from_secs(timeout))?;
        }
        Command::Status { json } => {
            let socket = socket_of(config)?;
            let report = runtime()?.block_on(client::status(&socket))?;
            match json {
                true => println!("{}", serde_json::to_string_pretty(&report)?),
                false => print!("{}", show::text(&report, Time::now())),
            }
        }
    }
    Ok(())
}

fn ledger(settings: &Settings, command: LedgerCommand) -> Result<(), Failure> {
    let (dir, limits) = (&settings.state_dir, settings.ledger);
    match command {
        LedgerCommand::List { since, kind, json } => {
            let since = since.map(|text| ledger::command::since(&text, Time::now())).transpose();
            let since = since.map_err(|why| anyhow::anyhow!("--since: {why}"))?;
            let filter = ledger::command::Filter { since, kinds: kind };
            print!("{}", ledger::command::list(dir, limits, &filter, json)?);
        }
        LedgerCommand::Show { id } => print!("{}", ledger::command::show(dir, limits, &id)?),
        LedgerCommand::Verify { contains } => {
            let (verdict, text) = ledger::command::verify(dir, limits, contains.as_deref())?;
            print!("{text}");
            if !verdict.holds() {
                return Err(anyhow::anyhow!("the ledger was changed or damaged").into());
            }
        }
    }
    Ok(())
}

/// Standard input as it would leave, line by line as consoles and logs are read; the counts go to the
/// standard error output.
fn redact_test(settings: &Settings) -> Result<(), Failure> {
    let (redactor, thrown_away) = run::trial_redactor(settings)?;
    let mut blocks = redact::Blocks::default();
    let (source, stream) = ("stdin".into(), "line".into());
    let mut input = std::io::stdin().lock();
    let mut out = std::io::stdout().lock();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        if blocks.hides(&source, &stream, text) {
            redactor.count_hidden();
            writeln!(out, "{}", redact::HIDDEN)?;
        } else {
            writeln!(out, "{}", redactor.text(text))?;
        }
        line.clear();
    }
    out.flush()?;
    for count in redactor.counts() {
        eprintln!("{:>8} {}", count.count, count.rule);
    }
    if thrown_away {
        eprintln!("no key yet: pseudonyms shown here were made with a throw-away key");
    }
    Ok(())
}

/// One line a source; it fails if a path was not proven.
fn prove(socket: &Path, source: Option<&str>, patience: Duration) -> Result<(), Failure> {
    let reports = runtime()?.block_on(client::probe(socket, source, patience))?;
    let mut unproven = 0;
    for report in &reports {
        match (&report.ticket, report.took_ms) {
            (Some(ticket), Some(ms)) => println!("{}: {ticket} after {ms} ms", report.source),
            _ => {
                unproven += 1;
                let stuck = report.stuck.as_deref().unwrap_or("no answer");
                println!("{}: NOT PROVEN, {stuck}", report.source);
            }
        }
    }
    match unproven {
        0 => Ok(()),
        n => Err(anyhow::anyhow!("{n} of {} paths not proven", reports.len()).into()),
    }
}

/// The control socket. The configuration may be a bad one while an agent runs with the one before.
fn socket_of(path: &Path) -> Result<PathBuf, Failure> {
    load(path).map(|settings| settings.control_socket).or_else(|failure| {
        let socket = config::control_socket(path);
        if socket.exists() { Ok(socket) } else { Err(failure) }
    })
}

fn load(path: &Path) -> Result<Settings, Failure> {
    config::load(path).map_err(Failure::Configuration)
}

/// State directory and proxy. Enrolment comes before there need be a configuration.
fn before_enrolment(path: &Path) -> Result<(PathBuf, Option<Arc<Proxy>>), Failure> {
    if path == Path::new(config::DEFAULT_PATH) && !path.exists() {
        return Ok((config::default_state_dir(), None));
    }
    let settings = load(path)?;
    Ok((settings.state_dir, settings.link.proxy))
}

/// One thread is enough: what blocks has threads of its own.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_stack_size(512 * 1024)
        .build()
}

fn start_log(log: &LogSettings) -> Result<(), Failure> {
    let format = if log.json { logging::Format::Json } else { logging::Format::Text };
    logging::start(&log.filter, format).map_err(Failure::Settings)?;
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(panic = %panic, "a task panicked");
    }));
    Ok(())
}

fn enroll(request: &EnrolRequest) -> Result<(), Failure> {
    let enrolled = runtime()?.block_on(enrol(request))?;
    println!("enrolled as {}; certificate valid until {}", enrolled.agent, enrolled.not_after);
    println!("identity in {}; collector {}", enrolled.directory.display(), enrolled.mqtt);
    if !enrolled.token_removed {
        eprintln!("remove the used token file {}", request.token_file.display());
    }
    Ok(())
}

fn run_agent(settings: Settings, config: &Path) -> Result<(), Failure> {
    start_log(&settings.log)?;
    run::may_run(&settings).map_err(Failure::Settings)?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        let shutdown = async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        };
        run::run(settings, run::Reload::new(config.to_owned())?, shutdown).await
    });
    // A blocking read that hangs must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(500));
    Ok(ended?)
}
