//! Nothing lost, nothing twice: faults are injected into every kind of source while agent, broker and
//! collector are killed with -9 at every stage of the way. Every fault must be in exactly one ticket
//! or, for console lines that nobody can repeat, inside a declared deaf interval.
//!
//! The short form is part of `make test`; `make soak` runs the long one (2,000 faults, at least 30 kills
//! of each process).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::api::Api;
use callhome_tests::harness::fleet::{Fault, Fleet, Kind, Plan, unmount_leftovers};
use callhome_tests::harness::logs::Rotation;
use callhome_tests::harness::stages::{self, Tally};
use callhome_tests::harness::world::{AGENT, Broker, Ports, World, mosquitto_program};
use rand::Rng as _;
use serde_json::Value;

/// How much of it.
#[derive(Clone, Copy)]
struct Form {
    faults: usize,
    agent_kills: usize,
    collector_kills: usize,
    broker_kills: usize,
}

impl Form {
    fn wanted() -> Self {
        if std::env::var_os("CALLHOME_SOAK").is_some() {
            Form { faults: 2000, agent_kills: 32, collector_kills: 32, broker_kills: 32 }
        } else {
            Form { faults: 240, agent_kills: 9, collector_kills: 5, broker_kills: 2 }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_embedded_broker() -> Result<()> {
    kills(Broker::Embedded).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_mosquitto() -> Result<()> {
    if mosquitto_program().is_none() {
        println!("SKIPPED: mosquitto is not installed");
        return Ok(());
    }
    kills(Broker::Mosquitto).await
}

async fn kills(broker: Broker) -> Result<()> {
    let form = Form::wanted();
    let dir = tempfile::tempdir()?;
    let plan =
        Plan { array_disks: form.faults * 3 / 10, snmpd_files: 20, host_disks: 3, poll_s: 1 };
    let mut fleet = Fleet::start(&dir.path().join("fleet"), plan).await?;
    let mut world = World::create(&dir.path().join("world"), broker, Ports::free()?).await?;
    world.enrol(&fleet.agent_toml()?).await?;
    world.start_agent().await?;
    world.agent_ready().await?;

    let done = AtomicUsize::new(0);
    let total = form.agent_kills + form.collector_kills + form.broker_kills;
    let console = fleet.console.line_handle()?;
    let started = Instant::now();
    let (faults, kills) = tokio::join!(
        inject(&mut fleet, form.faults, total, &done),
        kill_all(&mut world, form, &done, &console)
    );
    let (faults, kills) = (faults?, kills?);
    kills.print(broker);
    println!("{} faults over {:?}", faults.len(), started.elapsed());

    let outcome = settle(&world, &faults).await;
    let rotations = fleet.rotations();
    let stopped = world.stop().await;
    fleet.stop().await?;
    unmount_leftovers(&dir.path().join("fleet"));
    let outcome = outcome?;
    outcome.print(rotations);
    stopped.context("clean stop at the end")?;
    outcome.check(faults.len())?;
    kills.check(form, broker)
}

/// Injects all faults, paced by the kills so that there is traffic around each of them.
async fn inject(
    fleet: &mut Fleet,
    faults: usize,
    kills: usize,
    done: &AtomicUsize,
) -> Result<Vec<Fault>> {
    let mut next: BTreeMap<Kind, usize> = fleet.kinds().into_iter().map(|k| (k, 1)).collect();
    let mut injected = Vec::with_capacity(faults);
    while injected.len() < faults {
        let due = faults * (done.load(Ordering::Relaxed) + 1) / kills.max(1);
        if injected.len() >= due.min(faults) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let open: Vec<Kind> =
            next.iter().filter(|(k, n)| **n <= fleet.capacity(**k)).map(|(k, _)| *k).collect();
        let kind = open[rand::rng().random_range(0..open.len())];
        let n = next.get_mut(&kind).context("kind")?;
        injected.push(fleet.inject(kind, *n)?);
        *n += 1;
        if kind == Kind::Log && *n % 15 == 0 {
            fleet.rotate_log(Rotation::Rename)?;
        }
        fleet.log_noise("kernel: nothing to see here")?;
        let pause = rand::rng().random_range(20..120);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    Ok(injected)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Agent,
    Collector,
    Broker,
}

#[derive(Default)]
struct Kills {
    agent: Tally,
    collector: Tally,
    broker: BTreeMap<String, usize>,
}

impl Kills {
    fn print(&self, broker: Broker) {
        println!("kill -9 by the last stage reached ({broker:?}):");
        for (name, tally) in [("agent", &self.agent), ("collector", &self.collector)] {
            println!("  {name}: {} kills", tally.total());
            for (stage, n) in &tally.0 {
                println!("    {stage:<18} {n}");
            }
        }
        if broker == Broker::Mosquitto {
            println!("  mosquitto: {} kills", self.broker.values().sum::<usize>());
            for (stages, n) in &self.broker {
                println!("    {stages:<60} {n}");
            }
        }
    }

    fn check(&self, form: Form, broker: Broker) -> Result<()> {
        let missing = self.agent.missing(&stages::AGENT);
        ensure!(missing.is_empty(), "the agent was never killed at {missing:?}");
        let wanted = stages::collector(broker == Broker::Mosquitto);
        let missing = self.collector.missing(&wanted);
        ensure!(missing.is_empty(), "the collector was never killed at {missing:?}");
        ensure!(self.agent.total() >= form.agent_kills, "too few kills of the agent");
        ensure!(self.collector.total() >= form.collector_kills, "too few kills of the collector");
        Ok(())
    }
}

/// Kills until every process had its number of kills and every stage was hit (within a bound).
async fn kill_all(
    world: &mut World,
    form: Form,
    done: &AtomicUsize,
    console: &callhome_tests::harness::console::Line,
) -> Result<Kills> {
    let mut kills = Kills::default();
    let external = world.broker == Broker::Mosquitto;
    let collector_stages = stages::collector(external);
    let broker_kills = if external { form.broker_kills } else { 0 };
    let planned = form.agent_kills + form.collector_kills + form.broker_kills;
    let mut rounds = 0;
    loop {
        rounds += 1;
        let mut victims = Vec::new();
        let broker_done: usize = kills.broker.values().sum();
        for (victim, open) in [
            (Victim::Agent, form.agent_kills.saturating_sub(kills.agent.total())),
            (Victim::Collector, form.collector_kills.saturating_sub(kills.collector.total())),
            (Victim::Broker, broker_kills.saturating_sub(broker_done)),
        ] {
            victims.extend(std::iter::repeat_n(victim, open));
        }
        if victims.is_empty() && rounds < planned * 3 {
            if !kills.agent.missing(&stages::AGENT).is_empty() {
                victims.push(Victim::Agent);
            }
            if !kills.collector.missing(&collector_stages).is_empty() {
                victims.push(Victim::Collector);
            }
        }
        if victims.is_empty() {
            done.store(planned, Ordering::Relaxed);
            return Ok(kills);
        }
        let victim = victims[rand::rng().random_range(0..victims.len())];
        kill_one(world, victim, &mut kills, &collector_stages, console).await?;
        done.fetch_add(1, Ordering::Relaxed);
    }
}

async fn kill_one(
    world: &mut World,
    victim: Victim,
    kills: &mut Kills,
    collector_stages: &[&'static str],
    console: &callhome_tests::harness::console::Line,
) -> Result<()> {
    let patience = Duration::from_secs(4);
    let quiet = rand::rng().random_range(100..800);
    tokio::time::sleep(Duration::from_millis(quiet)).await;
    let downtime = Duration::from_millis(rand::rng().random_range(0..1500));
    match victim {
        Victim::Agent => {
            let target = kills.agent.rarest(&stages::AGENT);
            let process = world.take_agent().context("agent")?;
            process.reach(target, patience).await;
            kills.agent.add(process.kill9().await?.unwrap_or("before any stage"));
            tokio::time::sleep(downtime).await;
            console.forget_unread()?;
            world.start_agent().await
        }
        Victim::Collector => {
            let target = kills.collector.rarest(collector_stages);
            let process = world.take_collector().context("collector")?;
            process.reach(target, patience).await;
            kills.collector.add(process.kill9().await?.unwrap_or("before any stage"));
            tokio::time::sleep(downtime).await;
            world.start_collector().await
        }
        Victim::Broker => {
            let process = world.take_mosquitto().context("mosquitto")?;
            // mosquitto prints no marks of ours: where its neighbours are says where it is.
            if let Some(agent) = world.agent() {
                agent.reach("link.publishing", patience).await;
            }
            process.kill9().await?;
            let at = |p: Option<&callhome_tests::harness::process::Process>| {
                p.and_then(|p| p.last_stage()).unwrap_or("idle")
            };
            let stage =
                format!("agent {} / collector {}", at(world.agent()), at(world.collector()));
            *kills.broker.entry(stage).or_default() += 1;
            tokio::time::sleep(downtime).await;
            world.start_broker().await
        }
    }
}

/// What became of the faults of one kind.
#[derive(Default)]
struct Count {
    injected: usize,
    tickets: usize,
    declared: usize,
    twice: Vec<String>,
    lost: Vec<String>,
}

struct Outcome {
    by_kind: BTreeMap<Kind, Count>,
    tickets: usize,
    strangers: Vec<String>,
    losses: usize,
}

impl Outcome {
    fn print(&self, rotations: usize) {
        println!(
            "{:<18} {:>8} {:>8} {:>9} {:>6} {:>5}",
            "source", "injected", "tickets", "declared", "twice", "lost"
        );
        for (kind, c) in &self.by_kind {
            println!(
                "{kind:<18} {:>8} {:>8} {:>9} {:>6} {:>5}",
                c.injected,
                c.tickets,
                c.declared,
                c.twice.len(),
                c.lost.len()
            );
        }
        println!(
            "{} tickets in all, {} declared deaf intervals, {rotations} log rotations",
            self.tickets, self.losses
        );
    }

    fn open(&self) -> usize {
        self.by_kind.values().map(|c| c.lost.len()).sum()
    }

    fn check(&self, faults: usize) -> Result<()> {
        let lost: Vec<&String> = self.by_kind.values().flat_map(|c| &c.lost).collect();
        let twice: Vec<&String> = self.by_kind.values().flat_map(|c| &c.twice).collect();
        ensure!(lost.is_empty(), "{} of {faults} faults lost: {lost:?}", lost.len());
        ensure!(twice.is_empty(), "{} faults have more than one ticket: {twice:?}", twice.len());
        ensure!(self.strangers.is_empty(), "tickets nobody asked for: {:?}", self.strangers);
        let injected: usize = self.by_kind.values().map(|c| c.injected).sum();
        ensure!(injected == faults, "{injected} of {faults} faults were counted");
        Ok(())
    }
}

/// Waits until nothing is missing any more, or until it is clear that something is lost.
async fn settle(world: &World, faults: &[Fault]) -> Result<Outcome> {
    let api = world.api().await?;
    let start = Instant::now();
    loop {
        let outcome = judge(&api, faults).await?;
        if outcome.open() == 0 || start.elapsed() > Duration::from_secs(90) {
            println!("settled {:?} after the last fault", start.elapsed());
            return Ok(outcome);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn judge(api: &Api, faults: &[Fault]) -> Result<Outcome> {
    let mut tickets = api.tickets_by_fault().await?;
    let total = tickets.values().map(Vec::len).sum();
    let losses = api.all(&format!("/api/v1/agents/{AGENT}/losses?limit=200")).await?;
    let mut by_kind: BTreeMap<Kind, Count> = BTreeMap::new();
    for fault in faults {
        let count = by_kind.entry(fault.kind).or_default();
        count.injected += 1;
        let found = tickets.remove(&(fault.device.to_owned(), fault.resource.clone()));
        let name = format!("{}/{} at {}", fault.device, fault.resource, fault.at);
        match found.map_or(0, |t| t.len()) {
            1 => count.tickets += 1,
            0 if fault.kind == Kind::Console && declared(&losses, fault) => count.declared += 1,
            0 => count.lost.push(name),
            _ => count.twice.push(name),
        }
    }
    let strangers = tickets
        .keys()
        // The host's other file systems, memory and load are as they are: not injected, not ours.
        .filter(|(device, resource)| device != Kind::Host.device() || resource.starts_with("sd"))
        .map(|(device, resource)| format!("{device}/{resource}"))
        .collect();
    Ok(Outcome { by_kind, tickets: total, strangers, losses: losses.len() })
}

/// Whether a deaf interval of the console covers the fault.
fn declared(losses: &[Value], fault: &Fault) -> bool {
    let time = |v: &Value| v.as_str().and_then(|t| callhome_shared::time::Time::parse(t).ok());
    losses.iter().any(|loss| {
        loss["source"] == "switch-1-console"
            && time(&loss["from_at"]).is_some_and(|t| t.millis() <= fault.at)
            && time(&loss["to_at"]).is_some_and(|t| t.millis() >= fault.at)
    })
}
