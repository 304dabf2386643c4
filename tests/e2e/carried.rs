//! No way to the collector at all: the disk budget is reached, the alarms are folded, and what waits is
//! carried by hand. Then the way is open again, and nothing is lost and nothing twice.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::logs::RotatingLog;
use callhome_tests::harness::until;
use callhome_tests::harness::world::{AGENT, Broker, Ports, World};
use serde_json::Value;

/// Faults that are raised and cleared, on so many resources.
const LIVES: usize = 700;
const RESOURCES: usize = 35;
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folded_at_the_budget_and_carried_by_hand() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    let mut log = RotatingLog::create(&dir.path().join("messages"))?;
    world.enrol(&sources(&log)).await?;
    world.take_collector().context("a collector")?.kill9().await?;
    world.start_agent().await?;

    fill(&world, &mut log).await?;

    // The same whether the agent runs or was killed.
    let list = world.agent_cli(&["outbox", "list", "--limit", "100000"]).await?;
    ensure!(list.contains("PSU 99"), "{list}");
    let verified = world.agent_cli(&["outbox", "verify"]).await?;
    println!("{verified}");
    let running = dir.path().join("running.jsonl").display().to_string();
    println!("{}", world.agent_cli(&["outbox", "export", &running]).await?);
    world.take_agent().context("an agent")?.kill9().await?;
    let verified = world.agent_cli(&["outbox", "verify"]).await?;
    ensure!(verified.contains("closes"), "{verified}");
    let resting = dir.path().join("resting.jsonl").display().to_string();
    println!("{}", world.agent_cli(&["outbox", "export", &resting]).await?);
    ensure!(envelopes(&running)? == envelopes(&resting)?, "the two exports differ");

    // No network, no collector that runs.
    let waiting = envelopes(&running)?.len();
    let exported = std::fs::read_to_string(&running)?;
    let alarms_waiting = exported.matches("\"lane\":\"alarm\"").count();
    let imported = world.collector_cli(&["import", &running]).await?;
    println!("{imported}");
    ensure!(
        imported.contains(&format!("{waiting} applied, 0 known already, 0 rejected")),
        "{imported}"
    );
    world.start_collector().await?;
    let imported = world.collector_cli(&["import", &resting]).await?;
    ensure!(imported.contains(&format!("0 applied, {waiting} known already")), "{imported}");
    let api = world.api().await?;
    let tickets = api.tickets_by_fault().await?;
    ensure!(tickets.len() == RESOURCES + 1, "{} faults have tickets", tickets.len());
    ensure!(tickets.values().all(|of_fault| of_fault.len() == 1), "a fault has two tickets");
    let alarms = async || api.all(&format!("/api/v1/alarms?agent={AGENT}&limit=200")).await;
    let lives = alarms().await?;
    ensure!(lives.len() == LIVES + 1, "{} of {} lives are told", lives.len(), LIVES + 1);
    let standing = lives.iter().filter(|alarm| alarm["active"] == true).count();
    ensure!(standing == 1, "{standing} alarms stand");

    // The way is open again: the agent sends the same once more, and learns that it is there.
    world.start_agent().await?;
    let balance = until("the balance to close on both sides", PATIENCE, PAUSE, || async {
        let page = api.get(&format!("/api/v1/agents/{AGENT}")).await?;
        let lane = page["balance"][0].clone();
        let done = lane["verdict"] == "closes"
            && lane["on_the_way"] == 0
            && lane["agent"]["depth"] == 0
            && lane["made"].as_u64().unwrap_or(0) >= alarms_waiting as u64;
        Ok(done.then_some(lane))
    })
    .await?;
    println!("balance: {balance}");
    let after = api.tickets_by_fault().await?;
    ensure!(after.len() == tickets.len(), "the network brought more tickets");
    ensure!(after.values().all(|of_fault| of_fault.len() == 1), "a fault has two tickets");
    let now = alarms().await?.len();
    ensure!(now == LIVES + 1, "{} lives were imported, {now} are there", LIVES + 1);
    world.stop().await
}

/// More than fits into the budget, all of it read and stored.
async fn fill(world: &World, log: &mut RotatingLog) -> Result<()> {
    for n in 0..LIVES {
        let psu = n % RESOURCES;
        log.line(&format!("chassis: PSU {psu} failed, reading {n}"))?;
        log.line(&format!("chassis: PSU {psu} ok"))?;
    }
    log.line("chassis: PSU 99 failed, and stays so")?;
    let outbox = until("all lines stored and some folded", PATIENCE, PAUSE, || async {
        let status: Value = serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?;
        let raised = status["line"]["raised"].as_u64().unwrap_or(0);
        let folded = status["outbox"]["lanes"][0]["folded"].as_u64().unwrap_or(0);
        Ok((raised > LIVES as u64 && folded > 0).then_some(status["outbox"].clone()))
    })
    .await?;
    println!("outbox: {outbox}");
    let text = world.agent_cli(&["status"]).await?;
    ensure!(text.contains("the balance closes"), "{text}");
    Ok(())
}

fn sources(log: &RotatingLog) -> String {
    format!(
        "[outbox]\nmax_mib = 1\npreallocate_mib = 1\n\n[[device]]\nname = \"chassis-1\"\n\n\
         [[logfile]]\nname = \"messages\"\ndevice = \"chassis-1\"\npath = \"{}\"\nfrom = \"start\"\n\n\
         [[logfile.pattern]]\nid = \"psu\"\ntype = \"psu-failed\"\nseverity = \"major\"\n\
         match = 'PSU (?P<psu>\\d+) failed'\nclear = 'PSU (?P<psu>\\d+) ok'\nresource = 'PSU ${{psu}}'\n",
        log.path().display()
    )
}

/// Ids and payloads of an exported file.
fn envelopes(file: &str) -> Result<Vec<(String, Value)>> {
    let text = std::fs::read_to_string(file)?;
    let lines = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let of = |line: &Value| Some((line["id"].as_str()?.to_owned(), line["data"].clone()));
    Ok(lines.iter().filter_map(of).collect())
}
