//! A storm: a whole system, faults coming and going in all its devices, and a seeded series of
//! disturbances of network, processes, disks, clocks and database; then calm, and a judgement by the
//! oracle.

pub mod act;
pub mod ground;
pub mod inject;
pub mod plan;
pub mod report;
pub mod sum;
pub mod watch;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::sync::watch as signal;

use self::act::{Ground, Lines, Timeline};
use self::ground::{Clock, Disks};
use self::inject::{Board, Injector};
use self::plan::{Line, Means, Plan};
use self::report::Report;
use self::watch::Watcher;
use super::fleet::{self, Fleet, unmount_leftovers};
use super::oracle::{self, Verdict};
use super::postgres::Server;
use super::world::{Ports, Setup, World, mosquitto_program};

/// Everything must be live again this long after the last disturbance.
pub const LIVE_WITHIN: Duration = Duration::from_secs(60);
/// Longer than that nobody waits: what is missing then is lost.
const PATIENCE: Duration = Duration::from_secs(150);
/// Seconds for the agent's and the collector's link (`[collector]` of the agent): a half-open
/// connection must be found out while the storm is still on.
const AGENT_LINK: &str = "keep_alive_s = 5\n";

/// So that a storm is long enough for agents to be silent in it: five of these are.
const HEARTBEAT_S: u64 = 1;
/// And for paths not to be proven: seven quarters of this are.
const PROBES: &str = "[probe]\ninterval_s = 8\n\n";

/// What this machine can give.
pub async fn means(dir: &Path) -> Result<Means> {
    Ok(Means {
        mosquitto: mosquitto_program().is_some(),
        postgres: Server::is_installed(),
        clocks: ground::faketime().is_some(),
        mounts: ground::can_mount(&dir.join("probe")).await?,
    })
}

/// Runs the storm of a seed with so many faults in `dir` (new or empty), and judges it.
pub async fn run(dir: &Path, plan: &Plan, faults: usize) -> Result<Report> {
    let fleet_plan = fleet::Plan { array_disks: 120, snmpd_files: 20, host_disks: 3, poll_s: 1 };
    let fleet_dir = dir.join("fleet");
    let mut fleet = Fleet::start(&fleet_dir, fleet_plan).await?;
    let judged = with_fleet(dir, plan, faults, &mut fleet).await;
    let rotations = fleet.rotations();
    fleet.stop().await?;
    unmount_leftovers(&fleet_dir);
    let mut report = judged?;
    report.rotations = rotations;
    Ok(report)
}

async fn with_fleet(dir: &Path, plan: &Plan, faults: usize, fleet: &mut Fleet) -> Result<Report> {
    let world_dir = dir.join("world");
    let disks = if plan.small_disks { Disks::mount(&world_dir).await? } else { None };
    let mut postgres = match plan.postgres {
        true => Server::start(&dir.join("database")).await?,
        false => None,
    };
    let clocks = match ground::faketime().filter(|_| plan.clocks) {
        Some(library) => Some((
            Clock::new(dir.join("agent.clock"), library.clone())?,
            Clock::new(dir.join("collector.clock"), library)?,
        )),
        None => None,
    };
    let ports = Ports::free()?;
    let lines = Lines::start(plan, &ports).await?;
    let setup = Setup {
        init: Vec::new(),
        database: postgres
            .as_ref()
            .map_or(String::new(), |p| format!("[database]\nurl = \"{}\"\n", p.url)),
        agent_roads: lines.roads(plan)?,
        collector_dials: lines.0.get(&Line::Collector).map(|proxy| proxy.port),
        heartbeat_s: Some(HEARTBEAT_S),
        agent_collector: AGENT_LINK.into(),
        agent_env: clocks.as_ref().map_or(Vec::new(), |(agent, _)| agent.env()),
        collector_env: clocks.as_ref().map_or(Vec::new(), |(_, collector)| collector.env()),
        log: "info".into(),
    };
    let mut world = World::create_unusual(&world_dir, plan.broker, ports, setup).await?;
    world.enrol(&format!("{PROBES}{}", fleet.agent_toml()?)).await?;
    world.start_agent().await?;
    world.agent_ready().await?;

    let mut report = Report::new(plan, faults);
    let timeline = Timeline::new();
    let judged =
        rage(plan, faults, fleet, &mut world, &lines, &clocks, &mut postgres, &timeline).await;
    report.timeline = timeline.lines();
    report.troubles = timeline.counts();
    report.take_lines(&lines);
    report.panics = panics(&world_dir)?;
    let judged = match judged {
        Ok(judged) => {
            if let Err(e) = world.stop().await {
                report.notes.push(format!("no clean stop: {e:#}"));
            }
            Ok(judged)
        }
        Err(e) => Err(e),
    };
    if let Some(server) = postgres {
        server.stop().await?;
    }
    drop(disks);
    match judged {
        Ok(outcome) => report.take(outcome),
        Err(e) => report.notes.push(format!("the storm itself failed: {e:#}")),
    }
    Ok(report)
}

/// What came of it.
pub struct Outcome {
    verdict: Verdict,
    /// From the last disturbance to the moment when nothing was left to find fault with.
    settled: Option<Duration>,
    /// How long the disturbances went on.
    raged: Duration,
    balance: Balance,
}

type Clocks = Option<(Clock, Clock)>;

#[expect(clippy::too_many_arguments, reason = "the parts of one system, each lent to another lane")]
async fn rage(
    plan: &Plan,
    faults: usize,
    fleet: &mut Fleet,
    world: &mut World,
    lines: &Lines,
    clocks: &Clocks,
    postgres: &mut Option<Server>,
    timeline: &Timeline,
) -> Result<Outcome> {
    let board = Board::default();
    let mut watcher = Watcher::new(world).await?;
    let watching = Guard(tokio::spawn(watcher.another().watch(board.clone())));
    let cable = fleet.console.line_handle()?;
    let mut injector = Injector::new(fleet, SmallRng::seed_from_u64(plan.seed ^ 0x5707), board);
    let (stop, over) = signal::channel(false);
    let started = Instant::now();
    let below = Ground {
        world: world.dir.clone(),
        agent_clock: clocks.as_ref().map(|(agent, _)| agent),
        collector_clock: clocks.as_ref().map(|(_, collector)| collector),
        postgres: postgres.as_mut(),
    };
    let (network, processes, ground, injected) = tokio::join!(
        act::network(lines, &plan.network, over.clone(), timeline),
        act::processes(world, &plan.processes, over.clone(), timeline, &cable),
        act::ground(below, &plan.ground, over.clone(), timeline),
        async {
            let injected = injector.run(faults).await;
            stop.send_replace(true);
            injected
        },
    );
    timeline.say("calm");
    network.context("the lane of the network")?;
    processes.context("the lane of processes")?;
    ground.context("the lane of the ground")?;
    injected.context("injecting")?;
    let raged = started.elapsed();
    let calm = Instant::now();
    injector.probes()?;
    let mut last = Err(anyhow::anyhow!("the centre never answered"));
    loop {
        act::supervise(world, timeline).await?;
        let steps = clocks.as_ref().map_or(Vec::new(), |(agent, _)| agent.steps());
        match look(world, &mut watcher, &injector, &steps).await {
            Ok(found) => last = Ok(found),
            Err(e) => {
                timeline.say(format!("looking at the centre: {e:#}"));
                if last.is_err() {
                    last = Err(e);
                }
            }
        }
        let settled = matches!(&last, Ok((verdict, balance))
            if verdict.findings.is_empty() && balance.closes());
        if settled || calm.elapsed() > PATIENCE {
            drop(watching);
            let (verdict, balance) = last.context("the last look at the centre")?;
            let settled = settled.then(|| calm.elapsed());
            return Ok(Outcome { verdict, settled, raged, balance });
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn look(
    world: &World,
    watcher: &mut Watcher,
    injector: &Injector<'_>,
    steps: &[oracle::ClockStep],
) -> Result<(Verdict, Balance)> {
    let seen = watcher.seen().await?;
    let verdict = oracle::judge(injector.told(), &seen, steps);
    let balance = Balance::read(world, watcher).await?;
    Ok((verdict, balance))
}

/// The agent's and the collector's numbers of the alarm lane.
#[derive(Clone, Debug, Default)]
pub struct Balance {
    /// The last number the agent gave out.
    made: u64,
    /// Entries it still holds.
    depth: u64,
    /// What the collector acknowledged in the agent's epoch.
    committed: u64,
    /// Envelopes that the collector could not apply.
    rejected: usize,
    /// Lives of the outbox that the collector has seen.
    epochs: usize,
}

impl Balance {
    async fn read(world: &World, watcher: &mut Watcher) -> Result<Self> {
        let status = world.agent_cli(&["status", "--json"]).await?;
        let status: serde_json::Value = serde_json::from_str(&status)?;
        let outbox = &status["outbox"];
        let epoch = outbox["epoch"].as_str().unwrap_or_default();
        let lanes = outbox["lanes"].as_array().cloned().unwrap_or_default();
        let lane = lanes.iter().find(|l| l["lane"] == "alarm").context("no alarm lane")?;
        let (streams, rejected) = watcher.acknowledged().await?;
        let committed = streams.iter().find(|(e, _)| e == epoch).map_or(0, |(_, n)| *n);
        Ok(Balance {
            made: watch::number(&lane["last_seq"]),
            depth: watch::number(&lane["depth"]),
            committed,
            rejected,
            epochs: streams.len(),
        })
    }

    /// Everything that was made is committed, nothing waits, nothing was refused. A probe may have come
    /// between the look at the one side and that at the other.
    fn closes(&self) -> bool {
        self.depth == 0 && self.committed >= self.made && self.rejected == 0 && self.made > 0
    }
}

/// Lines of the programs' logs that tell of a panic.
fn panics(world: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for name in ["agent.log", "collector.log"] {
        let text = std::fs::read(world.join(name))?;
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter(|l| l.contains("panicked at"));
        found.extend(lines.map(|l| format!("{name}: {l}")));
    }
    Ok(found)
}

struct Guard(tokio::task::JoinHandle<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}
