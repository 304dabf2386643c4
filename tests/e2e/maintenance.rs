//! Maintenance that the support centre sets: at the agent at once, over its restart, and at its next connection
//! where it was away. What still stands at the end is raised.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::api::Api;
use callhome_tests::harness::until;
use callhome_tests::harness::world::{AGENT, Broker, Ports, World};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

fn source(path: &Path) -> String {
    format!(
        "[[device]]\nname = \"array-1\"\n\n[[logfile]]\nname = \"log\"\ndevice = \"array-1\"\npath = \"{}\"\n\
         from = \"start\"\n\n[[logfile.pattern]]\nid = \"bad\"\nmatch = '(?P<part>\\S+ \\d+) failed'\n\
         clear = '(?P<part>\\S+ \\d+) ok'\ntype = \"part-failed\"\nseverity = \"major\"\n\
         resource = \"${{part}}\"\n\n",
        path.display()
    )
}

fn append(path: &Path, line: &str) -> Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    Ok(writeln!(file, "{line}")?)
}

async fn status(world: &World) -> Result<Value> {
    Ok(serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?)
}

/// Waits until the agent has so many windows, and the collector knows that it has them.
async fn windows(world: &World, api: &Api, count: usize) -> Result<()> {
    until("the windows at the agent", PATIENCE, PAUSE, || async {
        let status = status(world).await?;
        let has = status["maintenance"].as_array().map_or(0, Vec::len);
        Ok((has == count).then_some(()))
    })
    .await?;
    until("the collector's knowledge of it", PATIENCE, PAUSE, || async {
        let list = api.get("/api/v1/maintenance").await?;
        let agents = list["agents"].as_array().context("no agents")?;
        Ok(agents.iter().all(|agent| agent["knows"] == "all").then_some(()))
    })
    .await
}

async fn held(world: &World, count: u64) -> Result<()> {
    until("the alarms held back", PATIENCE, PAUSE, || async {
        Ok((status(world).await?["line"]["held_maintenance"] == count).then_some(()))
    })
    .await
}

async fn ticket(api: &Api, part: &str) -> Result<()> {
    until("the ticket", PATIENCE, PAUSE, || async {
        let fault = ("array-1".to_owned(), part.to_owned());
        Ok(api.tickets_by_fault().await?.contains_key(&fault).then_some(()))
    })
    .await
}

async fn away(world: &mut World) -> Result<()> {
    world.take_agent().context("no agent")?.stop(Duration::from_secs(30)).await
}

fn wish(scope: &Value, reason: &str) -> Value {
    let later = callhome_shared::time::Time::now().plus_ms(3_600_000).to_string();
    let mut wish = scope.clone();
    (wish["until"], wish["reason"]) = (json!(later), json!(reason));
    wish
}

async fn begin(api: &Api, scope: &Value, reason: &str) -> Result<String> {
    let window = api.post("/api/v1/maintenance", &wish(scope, reason)).await?;
    ensure!(window["state"] == "now", "{window}");
    Ok(window["id"].as_str().context("no id")?.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_centre_sets_windows_and_agents_learn_of_them() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("a.log");
    append(&log, "PSU 1 failed")?;
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    world.enrol(&source(&log)).await?;
    world.start_agent().await?;
    world.agent_ready().await?;
    let api = world.api().await?;
    ticket(&api, "PSU 1").await?;

    let device = json!({ "devices": [{ "agent": AGENT, "id": "array-1" }] });
    let seen = api.post("/api/v1/maintenance/preview", &wish(&device, "firmware")).await?;
    ensure!(seen["devices"][0]["name"] == "array-1" && seen["active_alarms"] == 1, "{seen}");
    let unknown = json!({ "devices": [{ "agent": AGENT, "id": "aray-1" }] });
    let refused = api.post("/api/v1/maintenance", &wish(&unknown, "firmware")).await;
    ensure!(refused.is_err_and(|why| format!("{why:#}").contains("400")), "an unknown device");

    // While it is connected: at once. It stands over a restart.
    let first = begin(&api, &device, "firmware 6.2").await?;
    windows(&world, &api, 1).await?;
    append(&log, "FAN 1 failed")?;
    append(&log, "FAN 2 failed")?;
    append(&log, "FAN 2 ok")?;
    held(&world, 1).await?;
    away(&mut world).await?;
    world.start_agent().await?;
    held(&world, 1).await?;
    windows(&world, &api, 1).await?;

    // While it is away: at its next connection.
    away(&mut world).await?;
    let site = begin(&api, &json!({ "site": "SH-01" }), "power work").await?;
    api.delete(&format!("/api/v1/maintenance/{first}")).await?;
    world.start_agent().await?;
    windows(&world, &api, 1).await?;
    append(&log, "CPU 1 failed")?;
    held(&world, 2).await?;
    let tickets = api.tickets_by_fault().await?;
    ensure!(tickets.len() == 1, "told during maintenance: {:?}", tickets.keys());

    api.delete(&format!("/api/v1/maintenance/{site}")).await?;
    ticket(&api, "FAN 1").await?;
    ticket(&api, "CPU 1").await?;
    windows(&world, &api, 0).await?;
    let tickets = api.tickets_by_fault().await?;
    ensure!(tickets.len() == 3, "what was over is told of nobody: {:?}", tickets.keys());
    ensure!(api.delete(&format!("/api/v1/maintenance/{site}")).await.is_err(), "it is over");
    for what in ["maintenance-begun", "maintenance-ended"] {
        let record = api.get(&format!("/api/v1/audit?what={what}")).await?;
        ensure!(record["items"].as_array().is_some_and(|items| items.len() == 2), "{record}");
    }
    println!(
        "2 windows set and ended: 1 alarm from before stood, 2 held and raised, 1 ended untold"
    );
    world.stop().await
}
