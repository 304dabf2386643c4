//! A source with many alarms is taken out of the configuration: one envelope says that none of them stands.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::api::Api;
use callhome_tests::harness::until;
use callhome_tests::harness::world::{Broker, Ports, World, plain_get};
use serde_json::Value;

use crate::bundles::{LIMIT, LOOK, fail, ticket, toml};

/// Alarms of the source.
const ALARMS: u32 = 20;

/// A second source, of another device, whose alarm stands all the time.
const BESIDE: &str = "\n[[device]]\nname = \"switch\"\n\n[[logfile]]\nname = \"beside\"\ndevice = \"switch\"\n\
     path = \"@\"\nfrom = \"start\"\n\n[[logfile.pattern]]\nid = \"fan\"\nmatch = 'FAN (?P<n>\\d+) failed'\n\
     type = \"fan-failed\"\nseverity = \"major\"\nresource = \"FAN ${n}\"\n";

async fn metric(world: &World, name: &str) -> Result<String> {
    let text = plain_get(world.ports.collector_health, "/metrics").await?;
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    Ok(line.and_then(|line| line.split(' ').nth(1)).unwrap_or("0").to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_taken_out_is_over_in_one_word() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (log, beside) = (dir.path().join("messages"), dir.path().join("beside"));
    let ports = Ports::free()?;
    let mut world = World::create(&dir.path().join("w"), Broker::Embedded, ports).await?;
    let stays = BESIDE.replace('@', &beside.display().to_string());
    let both = format!("{}{stays}", toml(&log, ports.https, 0));
    world.enrol(&both).await?;
    world.start_agent().await?;
    let api = world.api().await?;
    for psu in 1..=ALARMS {
        fail(&log, psu)?;
    }
    std::fs::write(&beside, "FAN 1 failed\n")?;
    ticket(&api, ALARMS).await?;
    let standing = async || -> Result<Vec<Value>> {
        let all = api.all_tickets().await?;
        Ok(all.into_iter().filter(|ticket| ticket["condition_cleared_at"].is_null()).collect())
    };
    until("all tickets", LIMIT, LOOK, || async {
        Ok((standing().await?.len() == ALARMS as usize + 1).then_some(()))
    })
    .await?;

    // Out of the configuration, while the collector is away: what is said waits like everything.
    world.take_agent().context("agent")?.stop(Duration::from_secs(20)).await?;
    world.take_collector().context("collector")?.kill9().await?;
    std::fs::write(world.agent_config(), world.agent_toml(&stays))?;
    world.start_agent().await?;
    let waiting = until("it waits", LIMIT, LOOK, || async {
        let list = world.agent_cli(&["outbox", "list"]).await?;
        Ok(list.contains("clear-all").then_some(list))
    })
    .await?;
    let line = waiting.lines().find(|line| line.contains("clear-all")).unwrap_or_default();
    println!("waits: {}", line.trim());
    ensure!(line.contains("20 did (configuration)"), "{waiting}");
    ensure!(!waiting.contains("cleared"), "also one by one: {waiting}");
    world.start_collector().await?;

    let api = world.api().await?;
    let left = until("the end of them", LIMIT, LOOK, || async {
        let all = api.all_tickets().await?;
        let open: Vec<String> = all
            .iter()
            .filter(|ticket| ticket["condition_cleared_at"].is_null())
            .filter_map(|ticket| Some(ticket["resource"].as_str()?.to_owned()))
            .collect();
        Ok((open.len() == 1).then_some(open))
    })
    .await?;
    ensure!(left == ["FAN 1"], "{left:?}");
    println!("{} stands", left.concat());
    each_once_and_agreed(&world, &api).await?;
    world.stop().await
}

/// Each life was ended once, for its reason; it was one envelope, and nothing had to be compared.
async fn each_once_and_agreed(world: &World, api: &Api) -> Result<()> {
    let number = ticket(api, 7).await?;
    let page = api.get(&format!("/api/v1/tickets/{number}")).await?;
    let ends: Vec<&Value> = page["timeline"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|entry| entry["what"] == "cleared")
        .collect();
    ensure!(ends.len() == 1, "{page:#}");
    ensure!(ends[0]["detail"]["reason"] == "configuration", "{}", ends[0]);
    ensure!(
        page["ticket"]["state"] == "recorded" || page["state"] == "recorded",
        "closed by it: {page:#}"
    );

    // Both sides agree: nothing is asked for, and it was one envelope.
    let sent = world.agent_cli(&["ledger", "list", "--kind", "clear-all", "--json"]).await?;
    let ids: std::collections::BTreeSet<String> = sent
        .lines()
        .filter_map(|line| Some(serde_json::from_str::<Value>(line).ok()?["id"].to_string()))
        .collect();
    let (said, ended) = (
        metric(world, "callhome_collector_clear_alls_total").await?,
        metric(world, "callhome_collector_clear_all_alarms_total").await?,
    );
    println!("{said} clear-all ended {ended} alarms");
    ensure!(ids.len() == 1, "{sent}");
    ensure!((said.as_str(), ended.as_str()) == ("1", "20"), "{said} ended {ended}");
    let status: Value = serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?;
    let line = &status["line"];
    ensure!(line["cleared"] == 20 && line["clear_alls"] == 1, "{line}");
    ensure!(line["active_alarms"] == 1 && line["resyncs"] == 0, "{line}");
    Ok(())
}
