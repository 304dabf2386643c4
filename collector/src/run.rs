//! The only wiring file: spawns the long-lived tasks and joins them.

mod begin;
mod supervisor;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::Router;
use callhome_shared::time::Time;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tokio::task::{self, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::begin::{Listeners, lock, note_configuration, plainly};
use self::supervisor::{Signals, notify, watchdog};
use crate::api::alertmanager::Alerts;
use crate::api::oidc::Door;
use crate::api::pace::RequestLimits;
use crate::api::{Api, probes, routes, server};
use crate::broker::websocket::{self, Visitor};
use crate::broker::{self, Ends};
use crate::bundle::{self, Bundles};
use crate::enrol::est::{self, Est};
use crate::enrol::files::TrustFiles;
use crate::enrol::keeper::{self, Keeper, Trust};
use crate::enrol::visitor::{self, Doorkeeper};
use crate::flow::diagnosis::Diagnosis;
use crate::flow::notices::Courier;
use crate::flow::{self, Event, findings, intake, silence, sweep};
use crate::health::Health;
use crate::link::dynsec::{self, Target};
use crate::link::external::External;
use crate::link::{Delivery, Downward};
use crate::metrics::Metrics;
use crate::post::{self, Mailroom, Post};
use crate::settings::{Certificates, Mqtt, Settings};
use crate::store::Db;

/// Deliveries that wait for the flow. Each has at most a packet's size.
const UP: usize = 256;
/// Messages that wait to be sent to agents.
const DOWN: usize = 256;
/// WebSockets that begin at the same moment.
const VISITORS: usize = 64;
/// Events a second and agent over HTTPS, beside a broker of yours that has limits of its own.
const POSTED_PER_SECOND: u32 = 200;
/// Events that a slow live page may be behind.
const EVENTS: usize = 1024;
/// At shutdown: how long what has come in may take to be committed and acknowledged before the
/// connections are closed.
const SETTLE: Duration = Duration::from_secs(2);
/// At shutdown: for the connections to close and the flow to commit what came in last.
const DOORS: Duration = Duration::from_secs(15);
/// At shutdown: all together. After it the program ends, whatever is still open.
const DEADLINE: Duration = Duration::from_secs(25);
/// Silence of the accept loop after which it counts as stuck.
const HTTPS_PULSE: Duration = Duration::from_secs(30);

/// Runs the collector until SIGTERM or SIGINT; an error when a part of it ended by itself.
pub async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let _lock = lock(&settings.data_dir)?;
    let mut signals = Signals::new()?;
    let listeners = Listeners::bind(settings).await?;
    let opened = open(settings).await.map_err(|e| plainly(e, &settings.data_dir));
    let (db, keeper, trust) = opened?;
    let courier = Courier::new(&settings.notices).context("notices")?;
    let door = settings.oidc.clone().map(Door::new).transpose().context("log-in by OIDC")?;
    let mut running = Running::start(settings, listeners, &db, keeper, trust, (courier, door));
    info!(
        version = env!("CARGO_PKG_VERSION"),
        https = settings.https.public_url,
        mqtt = settings.mqtt_public_address,
        "collector is running"
    );
    notify(&[NotifyState::Ready]);

    let ended = tokio::select! {
        name = signals.next() => {
            info!(signal = name, "shutting down");
            None
        }
        failed = running.failed() => Some(failed),
    };
    notify(&[NotifyState::Stopping]);
    let stopped = tokio::select! {
        () = running.stop() => "all tasks have ended",
        () = tokio::time::sleep(DEADLINE) => "the deadline has passed",
        name = signals.next() => name,
    };
    // A statement still running must not keep the program from ending.
    let _ = tokio::time::timeout(Duration::from_secs(5), db.close()).await;
    info!(because = stopped, "collector has stopped");
    ended.map_or(Ok(()), Err)
}

/// Everything that must be there before anything begins.
async fn open(settings: &Settings) -> anyhow::Result<(Db, Keeper, Trust)> {
    let db = Db::open(&settings.database).await.context("database")?;
    note_configuration(&db, settings).await.context("audit")?;
    flow::clocks::seed(&db, &settings.service, Time::now()).await.context("service plans")?;
    flow::notices::seed(&db, &settings.notices.plan()).await.context("notices")?;
    let (keeper, trust) = Keeper::start(db.clone(), settings).await.context("certificates")?;
    Ok((db, keeper, trust))
}

/// The tasks, and what stops them in the right order.
struct Running {
    tasks: JoinSet<anyhow::Result<()>>,
    /// Those that have not been joined.
    names: HashMap<task::Id, &'static str>,
    /// The flow's inlet: to see whether it is empty. The broker's are its only other holders.
    up: Option<mpsc::Sender<Delivery>>,
    /// Stops what takes from agents and people.
    doors: CancellationToken,
    /// Stops the rest.
    rest: CancellationToken,
}

impl Running {
    fn start(
        settings: &Settings,
        listeners: Listeners,
        db: &Db,
        keeper: Keeper,
        trust: Trust,
        (courier, door): (Arc<Courier>, Option<Door>),
    ) -> Self {
        let (up, deliveries) = mpsc::channel(UP);
        let (down, downward, reach) = downwards();
        let events = broadcast::channel(EVENTS).0;
        let metrics = Arc::new(Metrics::new());
        let health = Arc::new(Health::default());
        let mut running = Running {
            tasks: JoinSet::new(),
            names: HashMap::new(),
            up: Some(up.clone()),
            doors: CancellationToken::new(),
            rest: CancellationToken::new(),
        };
        let rest = running.rest.clone();

        let pulse = health.watch("keeper", keeper::PULSE);
        let token = rest.clone();
        running.spawn("keeper", async move {
            keeper.run(pulse, token).await;
            Ok(())
        });
        let diagnosis = Arc::new(Diagnosis::new(settings.diagnosis.clone()));
        let outlets = outlets(down, &events, &metrics, &diagnosis);
        let flow = intake::run(db.clone(), deliveries, outlets, rest.clone());
        running.spawn("flow", async move { Ok(flow.await?) });
        let sweeping = sweep::run(db.clone(), events.clone(), metrics.clone(), rest.clone());
        running.spawn("sweep", async move {
            sweeping.await;
            Ok(())
        });
        running.watchers(db, &events, &metrics, &health, courier);
        let mapping = settings.alertmanager.clone();
        let alerts = Alerts { diagnosis: diagnosis.clone(), mapping };
        running.findings(db, diagnosis, &events, &metrics);
        let mailroom = Mailroom::new(events_per_second(settings), metrics.clone());
        let (onward, broker_down) = mpsc::channel(DOWN);
        let sorting = mailroom.clone().run(downward, onward, up.downgrade());
        running.spawn("mailroom", async move {
            sorting.await;
            Ok(())
        });
        let post_room = Post { mailroom, up: up.downgrade(), metrics: metrics.clone() };
        let (visitors_in, visitors) = mpsc::channel(VISITORS);
        let entry = websocket::Entry {
            roster: trust.roster.clone(),
            visitors: listeners.mqtt.is_some().then_some(visitors_in),
            metrics: metrics.clone(),
        };
        let line = (up, broker_down, visitors);
        let paths = flow::paths::run(db.clone(), events.clone(), metrics.clone(), rest.clone());
        running.spawn("paths", async move {
            paths.await;
            Ok(())
        });
        let (name, ends) = (settings.name.clone(), trust.ends.clone());
        let (out, counts) = (events.clone(), metrics.clone());
        let ending = flow::ending::run(db.clone(), name, ends, out, counts, rest.clone());
        running.spawn("ending", async move {
            ending.await;
            Ok(())
        });
        running.mqtt(settings, listeners.mqtt, &trust, line, &health, &metrics);
        let limits = server::Limits { places: settings.https.places, ..server::Limits::default() };
        let listeners = (listeners.https, limits, listeners.health);
        let roads = post::routes(post_room).merge(websocket::routes(entry));
        let bundles = running.bundles(settings, db, &events, &metrics);
        let requests = settings.https.requests;
        let rooms = (roads, &settings.certificates, bundles, requests, reach, alerts, door);
        running.http(listeners, db, &trust, events, &health, &metrics, rooms);
        running.spawn("watchdog", watchdog(health, rest));
        running
    }

    fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let id = self.tasks.spawn(task).id();
        self.names.insert(id, name);
    }

    /// What looks at what is not said: clocks that run out, agents that are silent.
    fn watchers(
        &mut self,
        db: &Db,
        events: &broadcast::Sender<Event>,
        metrics: &Arc<Metrics>,
        health: &Arc<Health>,
        courier: Arc<Courier>,
    ) {
        let watching =
            flow::clocks::run(db.clone(), events.clone(), metrics.clone(), self.rest.clone());
        self.spawn("clocks", async move {
            watching.await;
            Ok(())
        });
        let sending = flow::notices::run(db.clone(), courier, metrics.clone(), self.rest.clone());
        self.spawn("notices", async move {
            sending.await;
            Ok(())
        });
        let calling =
            flow::duty::run(db.clone(), events.clone(), metrics.clone(), self.rest.clone());
        self.spawn("duty", async move {
            calling.await;
            Ok(())
        });
        let looking = silence::run(
            db.clone(),
            events.clone(),
            metrics.clone(),
            health.clone(),
            self.rest.clone(),
        );
        self.spawn("silence", async move {
            looking.await;
            Ok(())
        });
    }

    /// What looks at alarms that wait, and at what follows from what.
    fn findings(
        &mut self,
        db: &Db,
        diagnosis: Arc<Diagnosis>,
        events: &broadcast::Sender<Event>,
        metrics: &Arc<Metrics>,
    ) {
        let (events, metrics) = (events.clone(), metrics.clone());
        let looking = findings::run(db.clone(), diagnosis, events, metrics, self.rest.clone());
        self.spawn("findings", async move {
            looking.await;
            Ok(())
        });
    }

    fn bundles(
        &mut self,
        settings: &Settings,
        db: &Db,
        events: &broadcast::Sender<Event>,
        metrics: &Arc<Metrics>,
    ) -> Bundles {
        let (room, name) = (settings.bundles.clone(), &settings.name);
        let bundles = Bundles::open(db.clone(), room, name, events.clone(), metrics.clone());
        let sweeping = bundle::sweep::run(bundles.clone(), self.rest.clone());
        self.spawn("bundles", async move {
            sweeping.await;
            Ok(())
        });
        bundles
    }

    fn mqtt(
        &mut self,
        settings: &Settings,
        listener: Option<TcpListener>,
        trust: &Trust,
        (up, down, visitors): (
            mpsc::Sender<Delivery>,
            mpsc::Receiver<Downward>,
            mpsc::Receiver<Visitor>,
        ),
        health: &Arc<Health>,
        metrics: &Arc<Metrics>,
    ) {
        let doors = self.doors.clone();
        match (&settings.mqtt, listener) {
            (Mqtt::Embedded { limits, .. }, Some(listener)) => {
                let limits = *limits;
                let ends = Ends {
                    listener,
                    visitors,
                    tls: trust.mqtt.clone(),
                    roster: trust.roster.clone(),
                    up,
                    down,
                    metrics: metrics.clone(),
                };
                health.set_broker_listening(true);
                let health = health.clone();
                self.spawn("broker", async move {
                    broker::serve(ends, limits, doors).await;
                    health.set_broker_listening(false);
                    Ok(())
                });
            }
            (Mqtt::External { host, port, provision }, _) => {
                if *provision {
                    let target = Target {
                        host: host.clone(),
                        port: *port,
                        collector: settings.name.clone(),
                        cas: trust.cas.clone(),
                    };
                    let (roster, rest) = (trust.roster.clone(), self.rest.clone());
                    let keeping = dynsec::keep(target, roster, metrics.clone(), rest);
                    self.spawn("rights", async move {
                        keeping.await;
                        Ok(())
                    });
                }
                let link = External {
                    host: host.clone(),
                    port: *port,
                    collector: settings.name.clone(),
                    files: TrustFiles::new(&settings.data_dir),
                    up,
                    down,
                    health: health.clone(),
                    metrics: metrics.clone(),
                };
                self.spawn("link", async move {
                    link.run(doors).await;
                    Ok(())
                });
            }
            (Mqtt::Embedded { .. }, None) => {}
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn http(
        &mut self,
        (https, limits, probes): (TcpListener, server::Limits, Option<TcpListener>),
        db: &Db,
        trust: &Trust,
        events: broadcast::Sender<Event>,
        health: &Arc<Health>,
        metrics: &Arc<Metrics>,
        (roads, lives, bundles, requests, reach, alerts, door): (
            Router,
            &Certificates,
            Bundles,
            RequestLimits,
            mpsc::WeakSender<Downward>,
            Alerts,
            Option<Door>,
        ),
    ) {
        let api = Api::new(db.clone(), events, metrics.clone(), health.clone(), requests);
        api.watch_certificates(trust.ends.clone());
        let looking = api.verifier().run(self.rest.clone());
        self.spawn("record", async move {
            looking.await;
            Ok(())
        });
        api.read_bundles(bundles.clone());
        api.reach_agents(reach);
        api.take_alerts(alerts);
        if let Some(door) = door {
            api.let_in(door);
        }
        let roads = roads.merge(bundle::routes(bundles));
        let nudge = trust.roster.refresh.clone();
        let (grace, superseded_grace) = (lives.expired_grace, lives.superseded_grace);
        let enrolment = Est::new(db.clone(), trust.cas.clone(), grace, nudge);
        let doorkeeper = Doorkeeper {
            db: db.clone(),
            roster: trust.roster.clone(),
            grace,
            superseded_grace,
            metrics: metrics.clone(),
        };
        let app = routes::app(api.clone(), est::routes(enrolment).merge(roads));
        let server = server::Server {
            tls: trust.https.clone(),
            app: visitor::guard(app, Arc::new(doorkeeper)),
            limits,
            metrics: metrics.clone(),
            pulse: health.watch("https", HTTPS_PULSE),
        };
        let doors = self.doors.clone();
        self.spawn("https", async move {
            let drained = server::serve(https, server, doors.cancelled_owned()).await;
            if drained.cut_off > 0 {
                warn!(connections = drained.cut_off, "https: connections cut off at the deadline");
            }
            Ok(())
        });
        if let Some(listener) = probes {
            let rest = self.rest.clone();
            self.spawn("probes", async move {
                probes::serve(listener, api, rest.cancelled_owned()).await.context("probes")
            });
        }
    }

    /// Waits until a task ends although nobody told it to.
    async fn failed(&mut self) -> anyhow::Error {
        match self.ended().await {
            Some((name, Ok(()))) => anyhow!("the task {name} ended by itself"),
            Some((name, Err(e))) => e.context(format!("the task {name} failed")),
            None => anyhow!("no task is left"),
        }
    }

    /// The next task that ends, and how.
    async fn ended(&mut self) -> Option<(&'static str, anyhow::Result<()>)> {
        let (id, result) = match self.tasks.join_next_with_id().await? {
            Ok((id, result)) => (id, result),
            Err(e) => (e.id(), Err(anyhow!(e).context("panicked"))),
        };
        Some((self.names.remove(&id).unwrap_or("?"), result))
    }

    /// Stops everything: lets what has come in be committed and acknowledged, closes the doors,
    /// lets the flow commit what came in last, then stops the rest.
    async fn stop(&mut self) {
        if let Some(up) = self.up.take() {
            let empty = async {
                while up.capacity() < up.max_capacity() && !up.is_closed() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            if tokio::time::timeout(SETTLE, empty).await.is_err() {
                info!("what comes in now is not acknowledged; the agents will send it again");
            }
        }
        self.doors.cancel();
        // The flow ends by itself when the broker has handed over and let go of its inlet, unless
        // the database is not well.
        let first = self.join_all_of(&["broker", "link", "https", "flow"]);
        if tokio::time::timeout(DOORS, first).await.is_err() {
            warn!("what came in last is not committed; the agents will send it again");
        }
        self.rest.cancel();
        while let Some((name, result)) = self.ended().await {
            told(name, result);
        }
    }

    async fn join_all_of(&mut self, names: &[&str]) {
        while self.names.values().any(|name| names.contains(name)) {
            let Some((name, result)) = self.ended().await else { return };
            told(name, result);
        }
    }
}

fn told(task: &str, result: anyhow::Result<()>) {
    if let Err(e) = result {
        warn!(task, error = format!("{e:#}"), "task failed while stopping");
    }
}

fn outlets(
    downward: mpsc::Sender<Downward>,
    events: &broadcast::Sender<Event>,
    metrics: &Arc<Metrics>,
    diagnosis: &Arc<Diagnosis>,
) -> intake::Outlets {
    let (events, metrics, diagnosis) = (events.clone(), metrics.clone(), diagnosis.clone());
    intake::Outlets { downward, events, metrics, diagnosis, clock: intake::Clock::default() }
}

/// To agents; and for those who say something seldom, which keeps nothing open.
fn downwards() -> (mpsc::Sender<Downward>, mpsc::Receiver<Downward>, mpsc::WeakSender<Downward>) {
    let (down, downward) = mpsc::channel(DOWN);
    let reach = down.downgrade();
    (down, downward, reach)
}

/// What one agent may post, as what it may publish.
fn events_per_second(settings: &Settings) -> u32 {
    match settings.mqtt {
        Mqtt::Embedded { limits, .. } => limits.max_rate_per_agent,
        Mqtt::External { .. } => POSTED_PER_SECOND,
    }
}
