//! The only wiring: spawns the long-lived tasks, joins them, and stops them in order.
//!
//! ```text
//! sources ─► supervise ─► line ─► outbox ◄─ bridge ◄─► link
//!                           ▲        ▲                  ▲
//!                         control, health ◄─ board ─────┘
//! ```
//!
//! Stopping goes down the line: sources first, then the line stores what they handed over, then the
//! link drains within its limit. Whatever is left is in the outbox and goes out after the next start.

mod bridge;
mod bundles;
mod crew;
mod departures;
mod lookout;
mod prober;
mod redactor;
mod reload;
mod supervise;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use callhome_shared::alarm::Device;
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::tls;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crew::Crew;
pub use departures::enrolment_exit;
pub use redactor::{redactor, trial_redactor};
pub use reload::Reload;

use crate::control::reload::Asker;
use crate::control::{Board, Parts, server};
use crate::enrol::ending;
use crate::ledger::Ledger;
use crate::link::dial::meter::Meters;
use crate::link::{Ended, Exit, Link, LinkStatus};
use crate::outbox::{Handle, Outbox};
use crate::rule::Watched;
use crate::settings::{Settings, SourceSpec};
use crate::{line, link, lock, outbox};

/// For the line to store it; of this, for what sources handed over before.
const STOP_LINE: Duration = Duration::from_secs(5);
const LAST_WORK: Duration = Duration::from_secs(3);
/// For the collector to acknowledge it.
const DRAIN_LINK: Duration = Duration::from_secs(3);

/// What ends the agent from inside.
enum Fatal {
    /// The line.
    Line(anyhow::Error),
    /// The link's task.
    Link(anyhow::Error),
}

/// The long-lived tasks.
struct Tasks {
    line: JoinHandle<Result<line::Rest, outbox::OutboxError>>,
    link: JoinHandle<Ended>,
    /// Stops what tells the line of the agent itself; the line, which outlives it; the link, which outlives
    /// that; the rest.
    stop_own: CancellationToken,
    stop_line: CancellationToken,
    stop_link: CancellationToken,
    stop_rest: CancellationToken,
    /// Another link follows at once.
    hurry: CancellationToken,
    outbox_thread: std::thread::JoinHandle<()>,
}

/// Whether the configuration lets the agent run; else why not.
pub fn may_run(settings: &Settings) -> Result<(), String> {
    if !settings.link.certificate_file.exists() {
        return Err(format!(
            "not enrolled: {} is missing; run callhome-agent enroll",
            settings.link.certificate_file.display()
        ));
    }
    if settings.link.roads.is_empty() {
        let how = "no collector: run callhome-agent enroll or add [[collector.road]]";
        return Err(how.to_owned());
    }
    Ok(())
}

/// Runs until `shutdown`, then stops in order; with each new configuration anew, but for the sources that go on
/// as they are. An error is fatal: the agent should be started anew.
pub async fn run(
    mut settings: Settings,
    mut reload: Reload,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let _lock = lock::take(&settings.state_dir)?;
    let mut shutdown = std::pin::pin!(shutdown);
    let all = async {
        let (mut crew, batches) = Crew::new();
        let mut rest = line::Rest::new(batches);
        loop {
            let running = run_locked(settings, &mut reload, shutdown.as_mut(), (&mut crew, rest));
            match running.await? {
                Some(next) => (settings, rest) = next,
                None => return Ok(()),
            }
        }
    };
    tokio::task::LocalSet::new().run_until(all).await
}

/// Runs; gives the configuration to go on with and what the next line must know, or none at the end.
async fn run_locked(
    settings: Settings,
    reload: &mut Reload,
    shutdown: impl Future<Output = ()>,
    (crew, rest): (&mut Crew, line::Rest),
) -> anyhow::Result<Option<(Settings, line::Rest)>> {
    let present = settings.clone();
    let (mut tasks, board) = start(settings, reload.asker(), crew, rest).await?;
    let lookout = tokio::spawn(lookout::watch(board, tasks.stop_rest.clone()));
    lookout::ready();
    tracing::info!("agent ready");
    let mut next = None;
    let fatal = tokio::select! {
        () = shutdown => None,
        fatal = first_end(&mut tasks) => Some(fatal),
        wanted = reload.wanted(&present) => {
            next = Some(wanted);
            None
        }
    };
    match &next {
        Some(_) => tracing::info!("the configuration has changed: the agent goes over to it"),
        None => lookout::stopping(),
    }
    let ended = match fatal {
        None => stop(tasks, crew, next.as_ref()).await,
        Some(Fatal::Line(error)) => Err(error.context("the line ended")),
        Some(Fatal::Link(error)) => Err(error.context("the link ended")),
    };
    lookout.abort();
    ended.map(|rest| next.map(|next| (next, rest)))
}

async fn first_end(tasks: &mut Tasks) -> Fatal {
    tokio::select! {
        line = &mut tasks.line => Fatal::Line(match line {
            Ok(Ok(_)) => anyhow::anyhow!("without a reason"),
            Ok(Err(error)) => error.into(),
            Err(panic) => panic.into(),
        }),
        link = &mut tasks.link => Fatal::Link(match link {
            Ok(_) => anyhow::anyhow!("without a reason"),
            Err(panic) => panic.into(),
        }),
    }
}

/// The outbox on its own thread, with what it held.
fn open_outbox(
    settings: &Settings,
    agent: &AgentId,
) -> anyhow::Result<(Handle, std::thread::JoinHandle<()>, outbox::Loaded)> {
    let path = outbox::path_in(&settings.state_dir);
    let (store, loaded) = Outbox::open(&path, agent, &settings.outbox).context("outbox")?;
    if let Some(aside) = &loaded.set_aside {
        tracing::error!(file = %aside.display(), "a damaged outbox was set aside");
    }
    let (outbox, thread) = outbox::spawn(store).context("outbox thread")?;
    Ok((outbox, thread, loaded))
}

/// Reads who we are and how long the certificate is good, and says it.
fn introduce(settings: &Settings) -> anyhow::Result<(AgentId, (Time, Time))> {
    let (agent, identity) = link::dial::identity(&settings.link)?;
    let leaf = identity.chain.first().context("no certificate")?;
    let validity = tls::validity(leaf)?;
    let certificate_expires_at = validity.1;
    drop(identity);
    let roads: Vec<String> = settings.link.roads.iter().map(ToString::to_string).collect();
    tracing::info!(agent = %agent, roads = %roads.join(", "), certificate_expires_at = %certificate_expires_at, "agent starts");
    Ok((agent, validity))
}

async fn start(
    settings: Settings,
    reload: Asker,
    crew: &mut Crew,
    rest: line::Rest,
) -> anyhow::Result<(Tasks, Board)> {
    let (agent, validity) = introduce(&settings)?;

    let redactor = Arc::new(redactor(&settings)?);
    let ledger = Ledger::open(&settings.state_dir, settings.ledger);
    let (outbox, outbox_thread, loaded) = open_outbox(&settings, &agent)?;

    let host = host_device(&settings, &agent);
    let [stop_own, stop_line, stop_link, stop_rest, hurry] = stops();
    let positions = loaded.positions.clone();
    let itself = itself(&settings, &agent);
    let probes = prober::book(&settings, &positions);
    let batches_in = crew.batches().clone();
    let (commands_in, commands) = mpsc::channel(line::COMMANDS);
    let (line_status_in, line_status) = watch::channel(line::Status::default());
    let parts = line::Parts {
        watched: watched(prober::watched(&settings, &itself), &host),
        windows: settings.windows.clone(),
        devices: settings.devices.clone(),
        host: host.clone(),
        redactor: redactor.clone(),
        loaded,
        outbox: outbox.clone(),
        rest,
        commands,
        probes: probes.clone(),
        patience: LAST_WORK,
        status: line_status_in,
    };
    let line = tokio::spawn(line::run(parts, stop_line.clone()));
    let meters = departures::meters(ledger.clone());
    let out = (departures::exit(ledger.clone(), redactor.clone()), meters.clone());
    let (trust, exchanged) =
        upkeep::start(&settings, &agent, host, validity, &batches_in, out.clone(), &stop_own);
    let noted = (ledger.clone(), redactor.clone(), meters);
    let bundles = bundles::start(&settings, &noted, commands_in.clone(), &stop_rest);
    let (link, link_status) = start_link(&settings, exchanged, &outbox, out, (&stop_link, &hurry));
    let board = Board::new(Parts {
        agent,
        site: settings.site.clone(),
        customer: settings.customer.clone(),
        pace: (settings.heartbeat, settings.link.backoff.1),
        trust,
        outbox: outbox.clone(),
        line: commands_in,
        line_status,
        link: link_status,
        sources: crew.health().clone(),
        redactor,
        probes,
        ledger,
        bundles,
        reload,
    });
    prober::start(settings.probe, &board, itself, &batches_in, &stop_own);
    let link = link(board.clone());
    serve(&settings, &board, &stop_rest).await?;
    crew.take_on(settings.sources, positions).await?;
    let tasks =
        Tasks { line, link, stop_own, stop_line, stop_link, stop_rest, hurry, outbox_thread };
    Ok((tasks, board))
}

/// For what tells of the agent itself, the line, the link and the rest; and for a link that is to hurry.
fn stops() -> [CancellationToken; 5] {
    std::array::from_fn(|_| CancellationToken::new())
}

/// The link and its status; the returned function starts it once there is a board for heartbeats.
fn start_link(
    settings: &Settings,
    exchanged: watch::Receiver<u64>,
    outbox: &Handle,
    (exit, meters): (Exit, Meters),
    (stop, hurry): (&CancellationToken, &CancellationToken),
) -> (impl FnOnce(Board) -> JoinHandle<Ended> + use<>, Arc<LinkStatus>) {
    let status = Arc::new(LinkStatus::default());
    let (requests, queue) = mpsc::channel(bridge::REQUESTS);
    let link = Link {
        settings: settings.link.clone(),
        meters,
        exit,
        heartbeat: settings.heartbeat,
        requests,
        nudge: outbox.added(),
        status: status.clone(),
        drain: DRAIN_LINK,
        hurry: hurry.clone(),
        exchanged,
    };
    let (outbox, stop) = (outbox.clone(), stop.clone());
    let start = move |board: Board| {
        tokio::spawn(bridge::run(queue, outbox, board));
        tokio::spawn(link.run(stop))
    };
    (start, status)
}

async fn serve(settings: &Settings, board: &Board, stop: &CancellationToken) -> anyhow::Result<()> {
    let socket = &settings.control_socket;
    let listener = server::bind_control(socket)
        .with_context(|| format!("control socket {}", socket.display()))?;
    tokio::spawn(server::serve_control(listener, board.clone(), stop.clone()));
    if let Some(address) = settings.health_listen {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("health_listen {address}"))?;
        tokio::spawn(server::serve_probes(listener, board.clone(), stop.clone()));
    }
    Ok(())
}

/// What the line watches beside the configured sources: our own certificate.
fn watched(mut watched: Vec<Watched>, host: &Arc<Device>) -> Vec<Watched> {
    watched.push(ending::watched(host));
    watched
}

/// The device that test alarms are raised on: the watched host, else one named after the agent.
fn host_device(settings: &Settings, agent: &AgentId) -> Arc<Device> {
    let host = settings.sources.iter().find(|s| matches!(s.spec, SourceSpec::Host(_)));
    match host {
        Some(source) => source.device.clone(),
        None => itself(settings, agent),
    }
}

/// The agent as a device.
fn itself(settings: &Settings, agent: &AgentId) -> Arc<Device> {
    Arc::new(Device {
        id: agent.to_string(),
        name: agent.to_string(),
        site: settings.site.clone(),
        customer: settings.customer.clone(),
        contract: settings.contract.clone(),
        ..Device::default()
    })
}

/// Stops in order; sources that the next configuration wants as they are go on. Answers what they need of the
/// next line.
async fn stop(
    tasks: Tasks,
    crew: &mut Crew,
    next: Option<&Settings>,
) -> anyhow::Result<line::Rest> {
    let began = Time::now();
    tracing::info!("agent stops");
    tasks.stop_own.cancel();
    let going_on = crew.let_go(next.map_or(&[], |next| &next.sources)).await;
    tasks.stop_line.cancel();
    let line = match timeout(STOP_LINE, tasks.line).await {
        Ok(Ok(ended)) => ended.map_err(anyhow::Error::from),
        Ok(Err(panic)) => Err(panic.into()),
        Err(_) => Err(anyhow::anyhow!("it did not stop in time")),
    };
    if next.is_some() {
        tasks.hurry.cancel();
    }
    tasks.stop_link.cancel();
    let link = timeout(DRAIN_LINK + Duration::from_secs(4), tasks.link).await;
    let drained = matches!(link, Ok(Ok(Ended::Drained)));
    tasks.stop_rest.cancel();
    // The outbox's thread ends, settled, with its last handle; those of the bridge and of connections
    // go with their tasks.
    let thread = tasks.outbox_thread;
    let settled = tokio::task::spawn_blocking(move || thread.join());
    let settled = matches!(timeout(Duration::from_secs(3), settled).await, Ok(Ok(Ok(()))));
    let took_ms = Time::now().since_ms(began);
    tracing::info!(took_ms, drained, settled, sources = going_on.len(), "agent stopped");
    Ok(line.context("the line's end")?.only(&going_on))
}
