//! From fault written (for polled sources: from the answer received; the interval apart) to ticket
//! committed, by kind of source.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use callhome_shared::time::Time;
use callhome_tests::harness::api::Api;
use callhome_tests::harness::fleet::{Fleet, Kind, Plan, unmount_leftovers};
use callhome_tests::harness::live::{self, Seen};
use callhome_tests::harness::world::{Broker, Ports, World};
use serde_json::Value;
use tokio::sync::mpsc;

/// Within this every poll (1 s apart) has seen a change.
const SEEN_MS: u64 = 1400;

/// Measures and prints.
pub async fn measure(dir: &Path, faults: usize) -> Result<()> {
    let plan = Plan { array_disks: faults, snmpd_files: 20, host_disks: 20, poll_s: 1 };
    let fleet_dir = dir.join("fleet");
    let mut fleet = Fleet::start(&fleet_dir, plan).await?;
    let mut world = World::create(&dir.join("world"), Broker::Embedded, Ports::free()?).await?;
    world.quiet().await?;
    world.enrol(&fleet.agent_toml()?).await?;
    world.start_agent().await?;
    world.agent_ready().await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let api = world.api().await?;
    let commits = live::alarms(&api).await?;
    println!("from fault to committed ticket:");
    let measured = all_kinds(&mut fleet, &api, commits, faults).await;
    world.stop().await?;
    fleet.stop().await?;
    unmount_leftovers(&fleet_dir);
    measured
}

async fn all_kinds(
    fleet: &mut Fleet,
    api: &Api,
    mut commits: mpsc::UnboundedReceiver<Seen>,
    faults: usize,
) -> Result<()> {
    for kind in fleet.kinds() {
        let mut written = BTreeMap::new();
        let capacity = fleet.capacity(kind);
        for n in 1..=faults {
            let slot = if capacity < faults { (n - 1) % capacity + 1 } else { n };
            if slot == 1 && n > 1 && capacity < faults {
                // All slots are faulty: mend them and wait until that was seen.
                for mended in 1..=capacity {
                    fleet.mend(kind, mended)?;
                }
                tokio::time::sleep(Duration::from_millis(SEEN_MS)).await;
            }
            let fault = fleet.inject(kind, slot)?;
            written.insert(fault.resource, fault.at);
            // One at a time: this is latency, not throughput. Polled sources wait for their poll anyway.
            let pause = match kind {
                Kind::Log | Kind::Console => 25,
                _ if slot == capacity => SEEN_MS,
                _ => 3,
            };
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        report(kind, api, &mut commits, &written).await?;
    }
    Ok(())
}

async fn report(
    kind: Kind,
    api: &Api,
    commits: &mut mpsc::UnboundedReceiver<Seen>,
    written: &BTreeMap<String, i64>,
) -> Result<()> {
    let mut committed: BTreeMap<String, i64> = BTreeMap::new();
    while let Ok(seen) = commits.try_recv() {
        committed.entry(seen.alarm_id).or_insert(seen.at);
    }
    let alarms = api.all("/api/v1/alarms?active=all&limit=200").await?;
    let time = |v: &Value| v.as_str().and_then(|t| Time::parse(t).ok()).map(Time::millis);
    let mut whole = Vec::new();
    let mut from_answer = Vec::new();
    for alarm in alarms.iter().filter(|a| a["device_name"] == kind.device()) {
        let Some(id) = alarm["alarm_id"].as_str() else { continue };
        let (Some(at), Some(raised)) = (committed.get(id), time(&alarm["raised_at"])) else {
            continue;
        };
        let resource = alarm["resource"].as_str().unwrap_or_default();
        let Some(injected) = written.get(resource) else { continue };
        from_answer.push((at - raised) as f64);
        if matches!(kind, Kind::Log | Kind::Console) {
            whole.push((at - injected) as f64);
        }
    }
    if !whole.is_empty() {
        println!("  {}", super::row(&format!("{kind}: from written"), whole));
    }
    println!("  {}", super::row(&format!("{kind}: from read"), from_answer));
    Ok(())
}
