//! Polling many devices: CPU and memory of the agent, of collectd and of the Prometheus SNMP exporter at the
//! same responders in the same run, with a bare UDP exchange of the same size as the floor; and what one
//! dead device in ten does to the schedule of the others.

mod crowd;
mod floor;
mod rivals;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use callhome_tests::harness::world::{Broker, Ports, World};

use super::process::{cpu_s, pss_mib, status_mib};
use crowd::Crowd;
use rivals::Rival;

/// Between two polls of a device.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// Polls before it counts: plans are chosen, first readings stored.
const WARM_UP: Duration = Duration::from_secs(25);
/// One device in so many is dead, in the second part.
const DEAD: usize = 10;

/// Measures and prints.
pub async fn measure(dir: &Path, targets: &[usize], seconds: u64) -> Result<()> {
    crowd::raise_file_limit()?;
    let time = Duration::from_secs(seconds);
    println!("polling every {} s, {seconds} s each:", INTERVAL.as_secs());
    for count in targets {
        let crowd = Crowd::start(*count, 0).await?;
        println!(
            "  {count} devices, each {} rows of {} columns",
            crowd::ROWS,
            crowd::COLUMNS.len()
        );
        let agent = Agent::start(&dir.join(format!("agent-{count}")), &crowd).await?;
        let exchanged = watch("callhome-agent", agent.pid()?, &crowd, time).await?;
        agent.world.stop().await?;
        for rival in Rival::ALL {
            let Some(running) = rival.start(&dir.join(rival.name()), &crowd).await? else {
                println!("    {:<24} not installed: left out", rival.name());
                continue;
            };
            watch(rival.name(), running.pid()?, &crowd, time).await?;
            running.stop().await?;
        }
        floor::measure(&exchanged)?;
    }
    let most = targets.iter().copied().filter(|count| (DEAD..=100).contains(count)).max();
    if let Some(count) = most {
        for dead in [0, DEAD] {
            schedule(&dir.join(format!("dead-{dead}")), count, dead, time).await?;
        }
    }
    Ok(())
}

/// Watches a program at work and prints what it cost. Gives what went over the network meanwhile.
async fn watch(
    name: &str,
    pid: u32,
    crowd: &Crowd,
    time: Duration,
) -> Result<callhome_tests::snmp_sim::Traffic> {
    tokio::time::sleep(WARM_UP).await;
    let (before, cpu) = (crowd.traffic(), cpu_s(pid)?);
    tokio::time::sleep(time).await;
    let (traffic, cpu) = (crowd.traffic().since(&before), cpu_s(pid)? - cpu);
    let thousands = traffic.bindings as f64 / 1000.0;
    println!(
        "    {name:<24} {:>8.0} varbinds/s in {:>6.1} requests/s   CPU {:>6.2} % of a core, {:>6.2} ms per 1,000 varbinds, {:>5.2} ms per poll   RSS {:>6.1} MiB (anonymous {:>6.1}, PSS {:>6.1}, peak {:>6.1})",
        traffic.bindings as f64 / time.as_secs_f64(),
        traffic.requests as f64 / time.as_secs_f64(),
        cpu / time.as_secs_f64() * 100.0,
        cpu * 1000.0 / thousands.max(0.001),
        cpu * 1000.0 * INTERVAL.as_secs_f64() / time.as_secs_f64() / crowd.len() as f64,
        status_mib(pid, "VmRSS:")?,
        status_mib(pid, "RssAnon:")?,
        pss_mib(pid)?,
        status_mib(pid, "VmHWM:")?,
    );
    Ok(traffic)
}

/// How far from their interval the living devices' polls begin.
async fn schedule(dir: &Path, count: usize, dead: usize, time: Duration) -> Result<()> {
    let crowd = Crowd::start(count, dead).await?;
    let name = match dead {
        0 => format!("{count} devices, all alive"),
        _ => format!("{count} devices, one in {dead} dead"),
    };
    println!("  {name}; how far the polls of the living ones begin from their interval:");
    let agent = Agent::start(&dir.join("agent"), &crowd).await?;
    tokio::time::sleep(WARM_UP + time).await;
    println!("    {}", super::row("callhome-agent", crowd.deviations()));
    agent.world.stop().await?;
    let rival = Rival::Collectd;
    if let Some(running) = rival.start(&dir.join(rival.name()), &crowd).await? {
        crowd.forget();
        tokio::time::sleep(WARM_UP + time).await;
        println!("    {}", super::row(rival.name(), crowd.deviations()));
        running.stop().await?;
    }
    Ok(())
}

/// The agent, enrolled at a collector of its own.
struct Agent {
    world: World,
}

impl Agent {
    async fn start(dir: &Path, crowd: &Crowd) -> Result<Self> {
        let mut world = World::create(dir, Broker::Embedded, Ports::free()?).await?;
        world.quiet().await?;
        world.enrol("").await?;
        let profiles = dir.join("profiles");
        let devices = crowd.agent_toml(&profiles)?;
        let agent = format!("[agent]\nprofiles_dir = \"{}\"\n", profiles.display());
        let config = world.agent_toml(&devices).replacen("[agent]\n", &agent, 1);
        std::fs::write(world.agent_config(), config)?;
        world.start_agent().await?;
        world.agent_ready().await?;
        Ok(Agent { world })
    }

    fn pid(&self) -> Result<u32> {
        self.world.agent().and_then(|agent| agent.id()).context("the agent is not running")
    }
}
