//! `make demo`: the whole line on this machine, with simulated devices and one fault in each source.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use callhome_shared::time::Time;
use callhome_tests::harness::api::Api;
use callhome_tests::harness::fleet::{Fault, Fleet, Kind, Plan, unmount_leftovers};
use callhome_tests::harness::live::{self, Seen};
use callhome_tests::harness::logs::Rotation;
use callhome_tests::harness::world::{Broker, Ports, World};
use callhome_tests::harness::{free_port, until};
use tokio::sync::mpsc;
use tokio::time::timeout;

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut dir = PathBuf::from(".demo");
    let mut clean = false;
    let mut once = false;
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--dir" => dir = rest.next().context("--dir needs a folder")?.into(),
            "--clean" => clean = true,
            "--once" => once = true,
            other => bail!("unknown argument {other}; known: --dir DIR, --clean, --once"),
        }
    }
    if clean {
        return remove(&dir);
    }
    let lock = lock(&dir)?;
    let shown = demo(&dir, once).await;
    drop(lock);
    shown
}

/// Two demos in one folder would take each other's ports and files.
fn lock(dir: &Path) -> Result<std::fs::File> {
    std::fs::create_dir_all(dir)?;
    let file = std::fs::File::create(dir.join("lock"))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .with_context(|| format!("another demo runs in {}", dir.display()))?;
    Ok(file)
}

fn remove(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let lock = lock(dir)?;
    unmount_leftovers(&dir.join("fleet"));
    std::fs::remove_dir_all(dir)?;
    drop(lock);
    Ok(())
}

async fn demo(dir: &Path, once: bool) -> Result<()> {
    let dir = dir.canonicalize()?;
    if dir.join("world").exists() {
        step("removing what an earlier demo left");
        unmount_leftovers(&dir.join("fleet"));
        for part in ["world", "fleet"] {
            let _ = std::fs::remove_dir_all(dir.join(part));
        }
    }
    step("starting the devices: a simulated array, snmpd, a console, a log, a small disk");
    let plan = Plan { array_disks: 12, snmpd_files: 3, host_disks: 1, poll_s: 2 };
    let mut fleet = Fleet::start(&dir.join("fleet"), plan).await?;
    step("starting the collector: data directory, CA, MQTT broker, HTTPS");
    let mut world = World::create(&dir.join("world"), Broker::Embedded, ports()?).await?;
    step("enrolling the agent with a one-time token and starting it");
    world.enrol(&fleet.agent_toml()?).await?;
    world.start_agent().await?;
    world.agent_ready().await?;
    let shown = faults(&mut fleet, &world).await;
    if shown.is_ok() {
        farewell(&world, &dir);
        if !once {
            tokio::signal::ctrl_c().await?;
            println!();
        }
    }
    step("stopping");
    let stopped = world.stop().await;
    fleet.stop().await?;
    shown?;
    stopped?;
    step("stopped cleanly; `make demo-clean` removes its files");
    Ok(())
}

/// The usual ports where they are free.
fn ports() -> Result<Ports> {
    let usual = |port: u16| {
        std::net::TcpListener::bind(("127.0.0.1", port)).map(|_| port).or_else(|_| free_port())
    };
    Ok(Ports {
        mqtt: usual(8883)?,
        https: usual(8443)?,
        collector_health: usual(9464)?,
        agent_health: usual(9465)?,
    })
}

async fn faults(fleet: &mut Fleet, world: &World) -> Result<()> {
    let api = world.api().await?;
    let mut commits = live::alarms(&api).await?;
    // The first poll of every source must have seen the healthy state.
    tokio::time::sleep(Duration::from_secs(4)).await;
    println!();
    println!("one fault into each source:");
    println!(
        "  {:<18} {:<10} {:<9} {:>9}  of it until read",
        "source", "ticket", "severity", "committed"
    );
    for kind in fleet.kinds() {
        if kind == Kind::Log {
            fleet.rotate_log(Rotation::Rename)?;
        }
        let fault = fleet.inject(kind, 1)?;
        show(&api, &mut commits, &fault).await?;
    }
    for kind in Kind::ALL {
        if !fleet.kinds().contains(&kind) {
            println!("  {kind:<18} left out: needs {}", needs(kind));
        }
    }
    Ok(())
}

fn needs(kind: Kind) -> &'static str {
    match kind {
        Kind::Snmpd => "Debian's snmpd",
        Kind::Host => "root, to mount a small disk",
        _ => "nothing",
    }
}

async fn show(api: &Api, commits: &mut mpsc::UnboundedReceiver<Seen>, fault: &Fault) -> Result<()> {
    let start = Instant::now();
    let found = until("the ticket", Duration::from_secs(30), Duration::from_millis(40), || async {
        let by_fault = api.tickets_by_fault().await?;
        let key = (fault.device.to_owned(), fault.resource.clone());
        Ok(by_fault.get(&key).and_then(|tickets| tickets.first().cloned()))
    })
    .await
    .with_context(|| {
        format!("{} / {} after {:?}", fault.device, fault.resource, start.elapsed())
    })?;
    let number = found["number"].as_str().unwrap_or_default();
    let detail = api.get(&format!("/api/v1/tickets/{number}")).await?;
    let time = |v: &serde_json::Value| {
        v.as_str().and_then(|t| Time::parse(t).ok()).map_or(fault.at, Time::millis)
    };
    let alarm = &detail["alarms"][0];
    let read = time(&alarm["raised_at"]);
    let committed = committed(commits, alarm["alarm_id"].as_str().unwrap_or_default()).await?;
    println!(
        "  {:<18} {number:<10} {:<9} {:>6} ms  {:>6} ms   {} {}",
        fault.kind.as_str(),
        found["severity"].as_str().unwrap_or_default(),
        (committed - fault.at).max(0),
        (read - fault.at).max(0),
        fault.device,
        fault.resource,
    );
    Ok(())
}

/// When the alarm's live event came: told after the commit, so this is never earlier than it.
async fn committed(commits: &mut mpsc::UnboundedReceiver<Seen>, alarm_id: &str) -> Result<i64> {
    let event = async {
        while let Some(seen) = commits.recv().await {
            if seen.alarm_id == alarm_id {
                return Some(seen.at);
            }
        }
        None
    };
    let seen = timeout(Duration::from_secs(10), event).await.context("no live event in 10 s")?;
    seen.context("the stream of live events ended")
}

fn farewell(world: &World, dir: &Path) {
    println!();
    println!("console:  {}   (its CA: {})", world.url(), world.ca().display());
    println!("log-in:   admin   one-time password: {}", world.admin_password);
    println!(
        "agent:    target/debug/callhome-agent --config {} status",
        world.agent_config().display()
    );
    println!("files:    {}", dir.display());
    println!();
    println!("Ctrl-C stops everything.");
}

fn step(text: &str) {
    println!("== {text}");
}
