//! Carries a plan out: three lanes beside each other, each one disturbance after the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;
use sqlx::{Connection as _, Executor as _};
use tokio::sync::watch;

use super::ground::{Clock, Filler, data_of};
use super::plan::{Line, Plan, Side, Step, Trouble};
use crate::harness::console;
use crate::harness::postgres::Server;
use crate::harness::process::Process;
use crate::harness::proxy::{Proxy, Weather};
use crate::harness::world::{Broker, Ports, World};

/// What was done and when, for people.
pub struct Timeline {
    started: Instant,
    lines: Mutex<Vec<(Duration, String)>>,
    counts: Mutex<BTreeMap<String, usize>>,
}

impl Timeline {
    /// An empty one that begins now.
    pub fn new() -> Self {
        Timeline { started: Instant::now(), lines: Mutex::default(), counts: Mutex::default() }
    }

    /// A line.
    pub fn say(&self, text: impl Into<String>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push((self.started.elapsed(), text.into()));
    }

    /// A disturbance begins.
    pub fn begin(&self, trouble: Trouble) {
        self.say(format!("{trouble} begins"));
        *self.lock().entry(trouble.sort()).or_default() += 1;
    }

    /// One more of something.
    pub fn count(&self, what: impl Into<String>) {
        *self.lock().entry(what.into()).or_default() += 1;
    }

    /// How many disturbances of each sort began.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.lock().clone()
    }

    /// All lines.
    pub fn lines(&self) -> Vec<(Duration, String)> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Timeline {
    fn default() -> Self {
        Timeline::new()
    }
}

/// Says when the storm is over.
pub type Over = watch::Receiver<bool>;

/// Waits so long, or until the storm is over; `true` = over.
async fn wait(over: &mut Over, ms: u64) -> bool {
    let limit = Duration::from_millis(ms);
    tokio::time::timeout(limit, over.wait_for(|over| *over)).await.is_ok()
}

/// The connections with a proxy in them.
pub struct Lines(pub BTreeMap<Line, Proxy>);

impl Lines {
    /// Every road of the agent, and the collector's connection to mosquitto.
    pub async fn start(plan: &Plan, ports: &Ports) -> Result<Self> {
        let mut lines = BTreeMap::new();
        for road in &plan.roads {
            let behind = if *road == Line::Mqtt { ports.mqtt } else { ports.https };
            lines.insert(*road, Proxy::start(behind).await?);
        }
        if plan.broker != Broker::Embedded {
            lines.insert(Line::Collector, Proxy::start(ports.mqtt).await?);
        }
        Ok(Lines(lines))
    }

    fn get(&self, line: Line) -> Result<&Proxy> {
        self.0.get(&line).with_context(|| format!("no proxy for {line:?}"))
    }

    /// The agent's roads as it is told of them.
    pub fn roads(&self, plan: &Plan) -> Result<Vec<String>> {
        let url = |road: &Line| {
            let port = self.get(*road)?.port;
            Ok(match road {
                Line::Wss => format!("wss://localhost:{port}/mqtt"),
                Line::Https => format!("https://localhost:{port}"),
                Line::Mqtt | Line::Collector => format!("mqtts://localhost:{port}"),
            })
        };
        plan.roads.iter().map(url).collect()
    }
}

/// The network's lane.
pub async fn network(
    lines: &Lines,
    steps: &[Step],
    mut over: Over,
    timeline: &Timeline,
) -> Result<()> {
    for step in steps {
        if wait(&mut over, step.pause).await {
            return Ok(());
        }
        timeline.begin(step.trouble);
        let (line, weather, ms) = match step.trouble {
            Trouble::Reset(line) => {
                lines.get(line)?.reset();
                continue;
            }
            Trouble::Finish(line) => {
                lines.get(line)?.finish();
                continue;
            }
            Trouble::Strand(line, late) => {
                let hold = Duration::from_millis(700);
                lines.get(line)?.strand(hold, Duration::from_millis(late)).await;
                continue;
            }
            Trouble::Refuse(line, ms) => {
                lines.get(line)?.set(Weather::Refuse);
                lines.get(line)?.reset();
                (line, Weather::Refuse, ms)
            }
            Trouble::HalfOpen(line, ms) => (line, Weather::HalfOpen, ms),
            Trouble::Corrupt(line, ms) => (line, Weather::Corrupt, ms),
            Trouble::Delay(line, each, ms) => (line, Weather::Delay(each), ms),
            Trouble::Throttle(line, rate, ms) => (line, Weather::Throttle(rate), ms),
            _ => continue,
        };
        lines.get(line)?.set(weather);
        wait(&mut over, ms).await;
        lines.get(line)?.set(Weather::Fair);
        timeline.say(format!("{} over", step.trouble.sort()));
    }
    Ok(())
}

/// The processes' lane. It is also what a service manager is: whoever ends is started again.
pub async fn processes(
    world: &mut World,
    steps: &[Step],
    mut over: Over,
    timeline: &Timeline,
    cable: &console::Line,
) -> Result<()> {
    for step in steps {
        let until = Instant::now() + Duration::from_millis(step.pause);
        while Instant::now() < until {
            if wait(&mut over, 100).await {
                return Ok(());
            }
            supervise(world, timeline).await?;
        }
        timeline.begin(step.trouble);
        match step.trouble {
            Trouble::Kill(side, down) => {
                let Some(process) = take(world, side) else { continue };
                process.kill9().await?;
                wait(&mut over, down).await;
                if side == Side::Agent {
                    // A real cable keeps nothing for who is not there.
                    cable.forget_unread()?;
                }
                start(world, side).await?;
            }
            Trouble::Freeze(side, ms) => {
                let Some(process) = running(world, side) else { continue };
                process.signal(Signal::STOP)?;
                wait(&mut over, ms).await;
                process.signal(Signal::CONT)?;
            }
            Trouble::Amnesia(down) => {
                let Some(process) = world.take_mosquitto() else { continue };
                process.kill9().await?;
                let memory = world.dir.join("mosquitto/mosquitto.db");
                if std::fs::remove_file(memory).is_ok() {
                    timeline.count("memories deleted");
                }
                wait(&mut over, down).await;
                start(world, Side::Broker).await?;
            }
            _ => continue,
        }
        timeline.say(format!("{} over", step.trouble.sort()));
    }
    Ok(())
}

/// Starts again who ended without being killed, as systemd would.
pub async fn supervise(world: &mut World, timeline: &Timeline) -> Result<()> {
    for (name, status) in world.take_ended()? {
        let log = std::fs::read(world.dir.join(format!("{name}.log"))).unwrap_or_default();
        let last = String::from_utf8_lossy(&log).lines().last().unwrap_or_default().to_owned();
        timeline.say(format!("{name} ended by itself: {status}: {last}"));
        timeline.count(format!("ended by itself:{name}"));
        tokio::time::sleep(Duration::from_millis(300)).await;
        let side = match name {
            "agent" => Side::Agent,
            "collector" => Side::Collector,
            _ => Side::Broker,
        };
        start(world, side).await?;
    }
    Ok(())
}

fn take(world: &mut World, side: Side) -> Option<Process> {
    match side {
        Side::Agent => world.take_agent(),
        Side::Collector => world.take_collector(),
        Side::Broker => world.take_mosquitto(),
    }
}

fn running(world: &World, side: Side) -> Option<&Process> {
    match side {
        Side::Agent => world.agent(),
        Side::Collector => world.collector(),
        Side::Broker => world.mosquitto(),
    }
}

async fn start(world: &mut World, side: Side) -> Result<()> {
    match side {
        Side::Agent => world.spawn_agent().await,
        Side::Collector => world.spawn_collector().await,
        Side::Broker => world.start_broker().await,
    }
}

/// What the ground lane works on.
pub struct Ground<'a> {
    /// The system's folder.
    pub world: PathBuf,
    /// The agent's clock.
    pub agent_clock: Option<&'a Clock>,
    /// The collector's clock.
    pub collector_clock: Option<&'a Clock>,
    /// PostgreSQL, where that is the database.
    pub postgres: Option<&'a mut Server>,
}

/// The lane of disks, clocks and the database.
pub async fn ground(
    mut ground: Ground<'_>,
    steps: &[Step],
    mut over: Over,
    timeline: &Timeline,
) -> Result<()> {
    for step in steps {
        if wait(&mut over, step.pause).await {
            return Ok(());
        }
        timeline.begin(step.trouble);
        match step.trouble {
            Trouble::DatabaseBusy(ms) => {
                if let Err(e) = hold_lock(&ground.world, ms, &mut over).await {
                    timeline.say(format!("the lock was not to be had: {e:#}"));
                    timeline.count("lock not held");
                }
            }
            Trouble::DatabaseRestart(down) => {
                let server = ground.postgres.as_mut().context("PostgreSQL")?;
                server.restart_immediately(Duration::from_millis(down)).await?;
            }
            Trouble::DiskFull(side, ms) => {
                let taken = fill(&data_of(&ground.world, side)?, ms, &mut over).await?;
                timeline.say(format!("{} KiB were free", taken / 1024));
            }
            Trouble::Clock(side, days, ms) => {
                let clock = match side {
                    Side::Agent => ground.agent_clock,
                    _ => ground.collector_clock,
                };
                let clock = clock.context("clock")?;
                clock.set(days)?;
                wait(&mut over, ms).await;
                clock.set(0)?;
            }
            _ => continue,
        }
        timeline.say(format!("{} over", step.trouble.sort()));
    }
    Ok(())
}

/// Keeps the disk full: what others free is taken, too. Gives how much there was.
async fn fill(dir: &Path, ms: u64, over: &mut Over) -> Result<u64> {
    let mut filler = Filler::new(dir)?;
    let until = Instant::now() + Duration::from_millis(ms);
    while Instant::now() < until {
        filler.fill();
        if wait(over, 50).await {
            break;
        }
    }
    Ok(filler.size())
}

async fn hold_lock(world: &Path, ms: u64, over: &mut Over) -> Result<()> {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(world.join("collector/callhome.db"))
        .busy_timeout(Duration::from_secs(5));
    let mut other = sqlx::sqlite::SqliteConnection::connect_with(&options).await?;
    other.execute("BEGIN IMMEDIATE").await?;
    wait(over, ms).await;
    other.execute("ROLLBACK").await?;
    other.close().await?;
    Ok(())
}
