//! Memory and CPU of both programs with the demo's configuration, and the size of their files.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use callhome_tests::harness::fleet::{Fleet, Plan, unmount_leftovers};
use callhome_tests::harness::program;
use callhome_tests::harness::world::{Broker, Ports, World};

use super::process::{cpu_s, status_mib};

/// Measures and prints.
pub async fn measure(dir: &Path, minutes: usize) -> Result<()> {
    let plan = Plan { array_disks: 12, snmpd_files: 3, host_disks: 1, poll_s: 2 };
    let fleet_dir = dir.join("footprint-fleet");
    let mut fleet = Fleet::start(&fleet_dir, plan).await?;
    let mut world = World::create(&dir.join("footprint"), Broker::Embedded, Ports::free()?).await?;
    world.quiet().await?;
    world.enrol(&fleet.agent_toml()?).await?;
    world.start_agent().await?;
    world.agent_ready().await?;
    for kind in fleet.kinds() {
        fleet.inject(kind, 1)?;
    }
    tokio::time::sleep(Duration::from_secs(60 * u64::try_from(minutes)?)).await;
    println!("after {minutes} minutes with the demo's configuration (polls every 2 s):");
    for (name, process) in
        [("callhome-agent", world.agent()), ("callhome-collector", world.collector())]
    {
        let pid = process.and_then(|p| p.id()).context("not running")?;
        let size = std::fs::metadata(program(name)?)?.len();
        println!(
            "  {name:<20} RSS {:>6.1} MiB (peak {:>6.1})   CPU {:>6.2} s ({:.2} % of a core)   file {:>5.1} MiB",
            status_mib(pid, "VmRSS:")?,
            status_mib(pid, "VmHWM:")?,
            cpu_s(pid)?,
            cpu_s(pid)? / (minutes.max(1) as f64 * 60.0) * 100.0,
            size as f64 / 1_048_576.0,
        );
    }
    world.stop().await?;
    fleet.stop().await?;
    unmount_leftovers(&fleet_dir);
    Ok(())
}
