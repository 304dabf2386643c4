//! The only wiring file: spawns the long-lived tasks and joins them in order.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::api::server::{self, Server};
use crate::api::{self, Api};
use crate::broker::{self, Ends, Limits};
use crate::enrol::est::{self, Est};
use crate::enrol::files::TrustFiles;
use crate::enrol::keeper::{self, Keeper, Trust};
use crate::flow::{Event, intake, sweep};
use crate::health::Health;
use crate::link::external::External;
use crate::link::{Delivery, Downward};
use crate::metrics::Metrics;
use crate::settings::{Mqtt, Settings};
use crate::store::Db;

/// Deliveries between broker and flow: when it is full, publishes wait.
const UP: usize = 1024;
/// Messages to agents that wait for the broker.
const DOWN: usize = 1024;
/// Events that a slow page may lag behind before it is told to read anew.
const EVENTS: usize = 1024;
/// How long everything together may take to end.
const DRAIN: Duration = Duration::from_secs(20);
/// Silence after which the HTTPS accept loop counts as stuck.
const HTTPS_PULSE: Duration = Duration::from_secs(30);
/// Between two looks for the service manager's watchdog.
const LOOK: Duration = Duration::from_secs(5);

/// What all tasks share.
struct Common {
    db: Db,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    events: broadcast::Sender<Event>,
    trust: Trust,
    /// Ends whatever takes in from outside; the intake ends when that is done.
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Serves until SIGTERM or SIGINT, then stops taking in, commits what was received, and ends.
pub async fn serve(settings: &Settings) -> Result<()> {
    let _lock = lock(&settings.data_dir)?;
    let (common, keeper) = prepare(settings).await?;
    let (up, deliveries) = mpsc::channel(UP);
    let (downward, down) = mpsc::channel(DOWN);
    let (health, stop, tasks) = (common.health.clone(), common.stop.clone(), common.tasks.clone());

    start_mqtt(settings, &common, up, down).await?;
    let outlets = intake::Outlets {
        downward,
        events: common.events.clone(),
        metrics: common.metrics.clone(),
    };
    // Not stopped by `stop`: it ends when the broker has handed over the last delivery.
    let intake =
        tokio::spawn(intake::run(common.db.clone(), deliveries, outlets, CancellationToken::new()));
    let (db, events, metrics) = (common.db.clone(), common.events.clone(), common.metrics.clone());
    tasks.spawn(sweep::run(db, events, metrics, stop.clone()));
    tasks.spawn(keeper.run(health.watch("trust", keeper::PULSE), stop.clone()));
    start_https(settings, &common).await?;
    tasks.spawn(feed_watchdog(health.clone(), stop.clone()));
    tell(NotifyState::Ready);
    info!("collector ready");

    let mut intake = intake;
    let early = tokio::select! {
        signal = ended_by() => { info!(signal = signal?, "collector stops"); None }
        ended = &mut intake => Some(ended),
    };
    tell(NotifyState::Stopping);
    stop.cancel();
    tasks.close();
    if let Some(ended) = early {
        ended.context("the intake panicked")?.context("the intake ended")?;
        anyhow::bail!("the intake ended without a reason");
    }
    let drained = tokio::time::timeout(DRAIN, async {
        tasks.wait().await;
        intake.await
    })
    .await;
    match drained {
        Ok(ended) => ended.context("the intake panicked")?.context("the intake")?,
        Err(_) => warn!(tasks = tasks.len(), "not everything ended in time"),
    }
    info!("collector stopped");
    Ok(())
}

async fn prepare(settings: &Settings) -> Result<(Common, Keeper)> {
    let db = Db::open(&settings.database).await.context("database")?;
    let (keeper, trust) = Keeper::start(db.clone(), settings).await.context("trust")?;
    let common = Common {
        db,
        health: Arc::new(Health::default()),
        metrics: Arc::new(Metrics::new()),
        events: broadcast::channel(EVENTS).0,
        trust,
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    Ok((common, keeper))
}

async fn start_mqtt(
    settings: &Settings,
    common: &Common,
    up: mpsc::Sender<Delivery>,
    down: mpsc::Receiver<Downward>,
) -> Result<()> {
    match &settings.mqtt {
        Mqtt::Embedded { listen, max_connections, max_rate_per_agent } => {
            let listener =
                TcpListener::bind(listen).await.with_context(|| format!("MQTT on {listen}"))?;
            let ends = Ends {
                listener,
                tls: common.trust.mqtt.clone(),
                roster: common.trust.roster.clone(),
                up,
                down,
                metrics: common.metrics.clone(),
            };
            let limits = Limits {
                max_connections: *max_connections,
                max_rate_per_agent: *max_rate_per_agent,
            };
            common.tasks.spawn(broker::serve(ends, limits, common.stop.clone()));
            common.health.set_broker_listening(true);
        }
        Mqtt::External { host, port } => {
            let external = External {
                host: host.clone(),
                port: *port,
                collector: settings.name.clone(),
                files: TrustFiles::new(&settings.data_dir),
                up,
                down,
                health: common.health.clone(),
                metrics: common.metrics.clone(),
            };
            common.tasks.spawn(external.run(common.stop.clone()));
        }
    }
    Ok(())
}

async fn start_https(settings: &Settings, common: &Common) -> Result<()> {
    let Common { db, health, metrics, events, trust, stop, tasks } = common;
    let est = Est::new(db.clone(), trust.authority.clone(), trust.roster.refresh.clone());
    let api = Api::new(db.clone(), events.clone(), metrics.clone(), health.clone());
    let listen = settings.https.listen;
    let https = TcpListener::bind(listen).await.with_context(|| format!("HTTPS on {listen}"))?;
    let server = Server {
        tls: trust.https.clone(),
        app: api::routes::app(api.clone(), est::routes(est)),
        limits: server::Limits::default(),
        metrics: metrics.clone(),
        pulse: health.watch("https", HTTPS_PULSE),
    };
    tasks.spawn(server::serve(https, server, stop.clone().cancelled_owned()));
    if let Some(listen) = settings.health_listen {
        let probes =
            TcpListener::bind(listen).await.with_context(|| format!("health on {listen}"))?;
        tasks.spawn(api::probes::serve(probes, api, stop.clone().cancelled_owned()));
    }
    Ok(())
}

/// One `serve` per data directory; the command line's other commands need no lock.
fn lock(data_dir: &Path) -> Result<File> {
    let path = data_dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("{} (has `init` been run?)", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            anyhow::bail!("another collector serves {}", data_dir.display())
        }
        Err(std::fs::TryLockError::Error(e)) => Err(e).context("lock"),
    }
}

/// Waits for a signal to end; its name.
async fn ended_by() -> Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

/// Feeds the service manager's watchdog as long as no task is stuck.
async fn feed_watchdog(health: Arc<Health>, stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = tokio::time::interval(LOOK.min(limit / 3).max(Duration::from_millis(100)));
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let stuck = health.stuck();
        if stuck.is_empty() {
            tell(NotifyState::Watchdog);
        } else {
            warn!(?stuck, "the watchdog is not fed");
        }
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(error = &error as &dyn std::error::Error, "service manager not told");
    }
}
