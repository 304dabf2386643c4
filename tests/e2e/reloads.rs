//! The configuration is read again while faults go on being told: none is lost and none comes twice; a bad one
//! is refused in the words of `check`, and the old one goes on. And maintenance over the command line.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use callhome_tests::harness::until;
use callhome_tests::harness::world::{AGENT, Broker, Ports, World};
use rustix::process::Signal;
use serde_json::Value;

const RELOADS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// Logs, each with a device of its own.
fn sources(logs: &[(&str, &Path)]) -> String {
    let one = |(name, path): &(&str, &Path)| {
        format!(
            "[[device]]\nname = \"{name}\"\n\n[[logfile]]\nname = \"{name}-log\"\ndevice = \"{name}\"\n\
             path = \"{}\"\nfrom = \"start\"\n\n[[logfile.pattern]]\nid = \"bad\"\n\
             match = '(?P<part>\\S+ \\d+) failed'\nclear = '(?P<part>\\S+ \\d+) ok'\ntype = \"part-failed\"\n\
             severity = \"major\"\nresource = \"${{part}}\"\n\n",
            path.display()
        )
    };
    logs.iter().map(one).collect()
}

fn append(path: &Path, line: &str) -> Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    Ok(writeln!(file, "{line}")?)
}

async fn status(world: &World) -> Result<Value> {
    Ok(serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_go_on_over_reloads_and_bad_configurations_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (a, b) = (dir.path().join("a.log"), dir.path().join("b.log"));
    append(&a, "hello")?;
    append(&b, "hello")?;
    let (one, two) = (sources(&[("array-1", &a)]), sources(&[("array-1", &a), ("array-2", &b)]));
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    world.enrol(&one).await?;
    world.start_agent().await?;
    world.agent_ready().await?;

    let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writer = tokio::spawn({
        let (stop, told, a) = (stop.clone(), told.clone(), a.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                let n = told.fetch_add(1, Ordering::Relaxed);
                append(&a, &format!("DISK {n} failed"))?;
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
            anyhow::Ok(())
        }
    });
    let gone = reload_often(&world, &one, &two, &b).await;
    let refused = refuse(&world, &one).await;
    stop.store(true, Ordering::Relaxed);
    writer.await??;
    let gone = gone?;
    refused?;
    let count = told.load(Ordering::Relaxed);
    ensure!(count > RELOADS, "only {count} faults");

    let api = world.api().await?;
    let tickets = until("a ticket of every fault", PATIENCE, PAUSE, || async {
        let tickets = api.tickets_by_fault().await?;
        let all =
            (0..count).all(|n| tickets.contains_key(&("array-1".into(), format!("DISK {n}"))));
        Ok(all.then_some(tickets))
    })
    .await?;
    for (fault, tickets) in &tickets {
        ensure!(tickets.len() == 1, "{} tickets of {fault:?}", tickets.len());
        ensure!(tickets[0]["recurrences"] == 0, "{fault:?} came again: {}", tickets[0]);
    }
    ensure!(
        tickets.len() == count + gone,
        "{} tickets of {count} and {gone} faults",
        tickets.len()
    );
    println!("{RELOADS} reloads: {count} + {gone} faults, {} tickets, none twice", tickets.len());
    maintenance(&world, &a).await?;
    world.stop().await
}

/// A second log comes and goes, by `reload` and by SIGHUP. Gives how many faults it told.
async fn reload_often(world: &World, one: &str, two: &str, b: &Path) -> Result<usize> {
    let mut gone = 0;
    for n in 0..RELOADS {
        let both = n % 2 == 0;
        let before = status(world).await?["agent"]["started_at"].clone();
        std::fs::write(world.agent_config(), world.agent_toml(if both { two } else { one }))?;
        if n % 4 < 2 {
            let said = world.agent_cli(&["reload"]).await?;
            ensure!(said.contains("in force"), "{said}");
        } else if let Some(agent) = world.agent() {
            agent.signal(Signal::HUP)?;
        }
        let changes = u64::try_from(n + 1)?;
        until("the configuration taken", PATIENCE, PAUSE, || async {
            let status = status(world).await?;
            let taken = status["configuration"]["changes"] == changes;
            Ok((taken && status["agent"]["started_at"] != before).then_some(()))
        })
        .await?;
        if both {
            append(b, &format!("FAN {n} failed"))?;
            gone += 1;
            until("the second log read", PATIENCE, PAUSE, || async {
                let status = status(world).await?;
                let alarms = status["alarms"].as_array().cloned().unwrap_or_default();
                let found = alarms.iter().any(|alarm| alarm["resource"] == format!("FAN {n}"));
                Ok((found && alarms.iter().any(|a| a["device"] == "array-2")).then_some(()))
            })
            .await?;
        }
    }
    Ok(gone)
}

/// What `reload` says where it refuses.
async fn refusal(world: &World) -> Result<String> {
    match world.agent_cli(&["reload"]).await {
        Ok(said) => bail!("it was not refused: {said}"),
        Err(why) => Ok(format!("{why:#}")),
    }
}

/// Bad ones, by both ways, and one that cannot be taken over while the agent runs.
async fn refuse(world: &World, one: &str) -> Result<()> {
    let good = world.agent_toml(one);
    std::fs::write(world.agent_config(), good.replace("[[logfile]]", "[[logfiel]]"))?;
    let why = refusal(world).await?;
    ensure!(why.contains("agent.toml:") && why.contains("logfiel: unknown key"), "{why}");
    let text = world.agent_cli(&["status"]).await?;
    ensure!(text.contains("A NEWER ONE WAS REFUSED") && text.contains("logfiel"), "{text}");
    if let Some(agent) = world.agent() {
        agent.signal(Signal::HUP)?;
    }
    until("the second refusal", PATIENCE, PAUSE, || async {
        Ok((status(world).await?["configuration"]["refusals"] == 2).then_some(()))
    })
    .await?;
    let elsewhere = format!("{}-other\"", world.state_dir().display());
    let moved = good.replacen(&format!("{}\"", world.state_dir().display()), &elsewhere, 1);
    std::fs::write(world.agent_config(), moved)?;
    let why = refusal(world).await?;
    ensure!(why.contains("agent.state_dir cannot change while the agent runs"), "{why}");
    std::fs::write(world.agent_config(), &good)?;
    let said = world.agent_cli(&["reload"]).await?;
    ensure!(said.contains("the same as before"), "{said}");
    let status = status(world).await?;
    ensure!(status["configuration"]["refused_at"].is_null(), "{status}");
    Ok(())
}

/// What is raised during maintenance has no ticket until the window ends.
async fn maintenance(world: &World, a: &Path) -> Result<()> {
    let asked =
        ["maintenance", "start", "--for", "1h", "--device", "array-1", "--reason", "firmware"];
    let said = world.agent_cli(&asked).await?;
    ensure!(said.contains("m1: array-1, NOW") && said.contains("firmware"), "{said}");
    append(a, "CPU 1 failed")?;
    append(a, "CPU 2 failed")?;
    append(a, "CPU 2 ok")?;
    until("one alarm held back", PATIENCE, PAUSE, || async {
        let line = status(world).await?["line"].clone();
        Ok((line["held_maintenance"] == 1 && line["held_ended"] == 1).then_some(()))
    })
    .await?;
    let api = world.api().await?;
    until("the collector's knowledge of it", PATIENCE, PAUSE, || async {
        let page = api.get(&format!("/api/v1/agents/{AGENT}")).await?;
        let held = &page["agent"]["heartbeat"]["held"];
        Ok((held["maintenance"] == 1 && held["windows"][0]["reason"] == "firmware").then_some(()))
    })
    .await?;
    let fault = |n: u8| ("array-1".to_owned(), format!("CPU {n}"));
    ensure!(!api.tickets_by_fault().await?.contains_key(&fault(1)), "a ticket during maintenance");
    world.agent_cli(&["maintenance", "end", "m1"]).await?;
    until("the ticket afterwards", PATIENCE, PAUSE, || async {
        let tickets = api.tickets_by_fault().await?;
        ensure!(!tickets.contains_key(&fault(2)), "it was over before");
        Ok(tickets.contains_key(&fault(1)).then_some(()))
    })
    .await
}
