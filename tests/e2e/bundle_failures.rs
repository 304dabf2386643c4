//! Evidence bundles where things go wrong: a disk that fills up, a collector killed while it completes, a
//! proxy that wants a log-in, a certificate that has ended, a bundle that nobody declared.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_shared::bundle::hex;
use callhome_shared::time::Time;
use callhome_shared::tls;
use callhome_tests::harness::api::Api;
use callhome_tests::harness::gate::Gate;
use callhome_tests::harness::stages::BUNDLE;
use callhome_tests::harness::storm::ground::{Disks, Filler, can_mount};
use callhome_tests::harness::world::{AGENT, Broker, Ports, Setup, World, plain_get};
use callhome_tests::harness::{identity, until};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::bundles::{
    LIMIT, LOOK, MIB, at, becomes, create, fail, noise, record, size, ticket, toml,
};
use crate::roads::Tinyproxy;

fn sent(record: &Value) -> bool {
    record["state"] == "sent"
}

fn trouble(record: &Value) -> &str {
    record["upload"]["trouble"]["text"].as_str().unwrap_or_default()
}

/// What is on the ticket: its bundles, and the names of those that its timeline says have arrived.
async fn on_ticket(api: &Api, number: &str) -> Result<(Vec<Value>, Vec<String>)> {
    let page = api.get(&format!("/api/v1/tickets/{number}")).await?;
    let bundles = page["bundles"].as_array().cloned().unwrap_or_default();
    let arrived = page["timeline"].as_array().into_iter().flatten();
    let arrived = arrived.filter(|entry| entry["what"] == "bundle");
    let ids = arrived.filter_map(|entry| Some(entry["detail"]["bundle"].as_str()?.to_owned()));
    Ok((bundles, ids.collect()))
}

/// The bundle is on the ticket once, complete, and its bytes are those that the agent packed.
async fn arrived_once(api: &Api, number: &str, record: &Value) -> Result<()> {
    let id = record["id"].as_str().context("id")?;
    let (bundles, arrived) = on_ticket(api, number).await?;
    let here: Vec<&Value> = bundles.iter().filter(|bundle| bundle["id"] == id).collect();
    ensure!(here.len() == 1 && here[0]["state"] == "complete", "{bundles:#?}");
    let times = arrived.iter().filter(|other| *other == id).count();
    ensure!(times == 1, "{id} is on the timeline {times} times");
    let content = api.stream(&format!("/api/v1/bundles/{id}/content")).await?.bytes().await?;
    let sum = hex(&Sha256::digest(&content));
    ensure!(record["sha256"] == sum.as_str(), "another SHA-256: {sum}, {record}");
    Ok(())
}

/// Files of a bundle at the collector, by their names.
fn files(world: &World, id: &str) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(world.data_dir().join("bundles"))?.flatten() {
        for file in std::fs::read_dir(folder.path())?.flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if name.starts_with(id) {
                found.push((name, file.metadata()?.len()));
            }
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_under_an_upload_pauses_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    if !can_mount(&dir.path().join("probe")).await? {
        println!("SKIPPED: mounting is not allowed here");
        return Ok(());
    }
    let home = dir.path().join("world");
    let disks = Disks::mount(&home).await?.context("mounts were allowed a moment ago")?;
    let log = dir.path().join("messages");
    let ports = Ports::free()?;
    let mut world = World::create(&home, Broker::Embedded, ports).await?;
    // To the last byte, not only to what is to stay free.
    let plain = std::fs::read_to_string(world.collector_config())?;
    let config = format!("{plain}\n[bundle]\nkeep_free_mib = 0\n");
    std::fs::write(world.collector_config(), config)?;
    world.take_collector().context("collector")?.stop(Duration::from_secs(20)).await?;
    world.start_collector().await?;
    let bytes = 4 * MIB;
    world.enrol(&toml(&log, ports.https, bytes / 8)).await?;
    world.start_agent().await?;
    fail(&log, 1)?;
    let api = world.api().await?;
    let number = ticket(&api, 1).await?;
    let file = noise(dir.path().join("core"), bytes, 11)?;
    let id = create(&world, &number, &file).await?;
    world.agent_cli(&["bundle", "approve", &id]).await?;
    becomes(&world, &id, "a quarter of it there", |r| at(r) > bytes / 4).await?;

    let mut filler = Filler::new(&world.data_dir())?;
    filler.fill();
    let told =
        becomes(&world, &id, "told that the disk is full", |r| trouble(r).contains("disk is full"))
            .await?;
    let kept = files(&world, &id)?;
    println!("{} of {} bytes there: {}", at(&told), told["size"], trouble(&told));
    ensure!(told["state"] == "approved" && at(&told) < bytes, "{told}");
    ensure!(kept.len() == 1 && kept[0].0.ends_with(".part"), "{kept:?}");
    ensure!(kept[0].1 == at(&told), "{kept:?} here, {} by the agent", at(&told));
    let shown = world.agent_cli(&["bundle", "list"]).await?;
    ensure!(shown.contains("disk is full"), "{shown}");
    let refused = plain_get(ports.collector_health, "/metrics").await?;
    ensure!(refused.contains("bundle_events_total{event=\"disk_full\"}"), "{refused}");
    let (_, arrived) = on_ticket(&api, &number).await?;
    ensure!(arrived.is_empty(), "half of it is on the ticket: {arrived:?}");

    drop(filler);
    if std::env::var_os("CALLHOME_SOAK").is_none() {
        // The minute that the collector asked for is not waited for after a restart.
        world.take_agent().context("agent")?.stop(Duration::from_secs(20)).await?;
        world.start_agent().await?;
    }
    let record = becomes(&world, &id, "sent when there is room", sent).await?;
    arrived_once(&api, &number, &record).await?;
    let since = record["upload"]["sent_bytes"].as_u64().unwrap_or(0);
    println!(
        "with room: on {number} once, SHA-256 equal; {since} bytes sent since the agent's start"
    );
    world.stop().await?;
    drop(disks);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_completes_the_bundle_is_there_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("messages");
    let ports = Ports::free()?;
    let mut world = World::create(&dir.path().join("w"), Broker::Embedded, ports).await?;
    world.enrol(&toml(&log, ports.https, 0)).await?;
    world.start_agent().await?;
    fail(&log, 1)?;
    let api = world.api().await?;
    let number = ticket(&api, 1).await?;
    let (mut records, mut met) = (Vec::new(), BTreeSet::new());
    let wanted = BTreeSet::from(["while it was read", "named, not told to the agent"]);
    for round in 0..12 {
        let point = BUNDLE[round % BUNDLE.len()];
        if round >= BUNDLE.len() && wanted.is_subset(&met) {
            break;
        }
        let seed = u64::try_from(round)?;
        let file = noise(dir.path().join(format!("core-{round}")), size() * MIB / 3, seed)?;
        let id = create(&world, &number, &file).await?;
        let collector = world.take_collector().context("collector")?;
        let approve = ["bundle", "approve", &id];
        let (reached, approved) =
            tokio::join!(collector.reach(point, LIMIT), world.agent_cli(&approve));
        approved?;
        collector.kill9().await?;
        ensure!(reached, "it never came to {point}");
        let left = files(&world, &id)?;
        let told = record(&world, &id).await?["upload"]["complete"] == true;
        let part = left.iter().any(|(name, _)| name.ends_with(".part"));
        let found = match (part, told) {
            (true, _) => "while it was read",
            (false, false) => "named, not told to the agent",
            (false, true) => "after the answer",
        };
        println!("killed at {point}: {found}; {left:?}");
        ensure!(left.len() == 1 && left[0].1 > 0, "{left:?}");
        met.insert(found);
        world.start_collector().await?;
        let record = becomes(&world, &id, "sent after all", sent).await?;
        ensure!(files(&world, &id)?.len() == 1, "{:?}", files(&world, &id)?);
        records.push(record);
    }
    ensure!(wanted.is_subset(&met), "not met: {:?}", wanted.difference(&met));
    let api = world.api().await?;
    for record in &records {
        arrived_once(&api, &number, record).await?;
    }
    let (bundles, arrived) = on_ticket(&api, &number).await?;
    ensure!(bundles.len() == records.len() && arrived.len() == records.len(), "{bundles:#?}");
    let verified = world.collector_cli(&["bundle", "verify"]).await?;
    println!(
        "{} kills, {} bundles on {number}, each once; {}",
        records.len(),
        bundles.len(),
        verified.trim()
    );
    world.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_proxy_with_a_log_in() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let login = Some(("site", "right-horse"));
    let Some(proxy) = Tinyproxy::new(&dir.path().join("proxy"), login)? else { return Ok(()) };
    let running = proxy.start().await?;
    let log = dir.path().join("messages");
    let ports = Ports::free()?;
    let secret = dir.path().join("proxy-password");
    std::fs::write(&secret, "right-horse\n")?;
    let keys = format!(
        "proxy = \"http://localhost:{}\"\nproxy_user = \"site\"\nproxy_password_file = \"{}\"\n",
        proxy.port,
        secret.display()
    );
    let setup = Setup { agent_collector: keys, ..Setup::default() };
    let home = dir.path().join("w");
    let mut world = World::create_unusual(&home, Broker::Embedded, ports, setup).await?;
    let bytes = MIB;
    world.enrol(&toml(&log, ports.https, bytes / 6)).await?;
    world.start_agent().await?;
    fail(&log, 1)?;
    let api = world.api().await?;
    let number = ticket(&api, 1).await?;
    let file = noise(dir.path().join("core"), bytes, 21)?;
    let id = create(&world, &number, &file).await?;
    let before = proxy.tunnels(ports.https);
    world.agent_cli(&["bundle", "approve", &id]).await?;
    becomes(&world, &id, "a third of it there", |r| at(r) > bytes / 3).await?;
    // The proxy dies under it, and comes back.
    running.kill9().await?;
    let lost = becomes(&world, &id, "no proxy", |r| !trouble(r).is_empty()).await?;
    println!("without the proxy at {} of {bytes} bytes: {}", at(&lost), trouble(&lost));
    let running = proxy.start().await?;
    let record = becomes(&world, &id, "sent through the proxy", sent).await?;
    arrived_once(&api, &number, &record).await?;
    let tunnels = proxy.tunnels(ports.https) - before;
    ensure!(tunnels >= 2, "{tunnels} tunnels to the collector's HTTPS port: {}", proxy.log());
    let entries = world.agent_cli(&["ledger", "list", "--kind", "bundle", "--json"]).await?;
    for line in entries.lines() {
        ensure!(line.contains("via http://localhost"), "not through the proxy: {line}");
    }
    println!(
        "{tunnels} tunnels, {} departures noted, all of them through it",
        entries.lines().count()
    );

    // With the wrong password nothing of a bundle gets out, and the password is told nowhere.
    std::fs::write(&secret, "wrong-horse\n")?;
    world.take_agent().context("agent")?.stop(Duration::from_secs(20)).await?;
    world.start_agent().await?;
    let second = create(&world, &number, &file).await?;
    world.agent_cli(&["bundle", "approve", &second]).await?;
    let refused =
        becomes(&world, &second, "refused by the proxy", |r| trouble(r).contains("proxy")).await?;
    println!("wrong password: {}", trouble(&refused));
    ensure!(!refused.to_string().contains("horse"), "{refused}");
    std::fs::write(&secret, "right-horse\n")?;
    world.take_agent().context("agent")?.stop(Duration::from_secs(20)).await?;
    let noted = std::fs::read_to_string(world.dir.join("agent.log"))?;
    ensure!(!noted.contains("horse"), "the password is in the log");
    world.start_agent().await?;
    let record = becomes(&world, &second, "sent with the right one", sent).await?;
    arrived_once(&api, &number, &record).await?;
    world.stop().await?;
    running.kill9().await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_ended_certificate_it_waits_for_the_renewal() -> Result<()> {
    if std::env::var_os("CALLHOME_SOAK").is_none() {
        println!(
            "SKIPPED: half a minute of a certificate's life is waited for with CALLHOME_SOAK only"
        );
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("messages");
    let ports = Ports::free()?;
    let short = "[certificates]\nagent_life_s = 30\nserver_life_s = 600\n";
    let home = dir.path().join("w");
    let mut world = World::create_with(&home, Broker::Embedded, ports, short).await?;
    // Renewals take a way of their own, which can be shut.
    let gate = Gate::start(ports.https).await?;
    let token = world.dir.join("token.toml").display().to_string();
    world.collector_cli(&["agent", "token", AGENT, "--out", &token]).await?;
    std::fs::write(world.agent_config(), world.agent_toml(&toml(&log, ports.https, 0)))?;
    let url = format!("https://localhost:{}", gate.port);
    world.agent_cli(&["enroll", "--collector", &url, "--token-file", &token]).await?;
    gate.shut();
    world.start_agent().await?;
    fail(&log, 1)?;
    let api = world.api().await?;
    let number = ticket(&api, 1).await?;
    let file = noise(dir.path().join("core"), MIB, 31)?;
    let id = create(&world, &number, &file).await?;
    let leaf = identity::read(&world.state_dir().join("identity"))?;
    let (_, end) = tls::validity(leaf.chain.first().context("no leaf")?)?;
    let left = u64::try_from(end.since_ms(Time::now()).max(0))?;
    tokio::time::sleep(Duration::from_millis(left + 1500)).await;

    world.agent_cli(&["bundle", "approve", &id]).await?;
    let told = becomes(&world, &id, "refused", |r| trouble(r).contains("certificate")).await?;
    println!("ended certificate: {}", trouble(&told));
    ensure!(trouble(&told).contains("ended at"), "{told}");
    ensure!(told["state"] == "approved" && at(&told) == 0, "{told}");
    let shown = world.agent_cli(&["bundle", "list"]).await?;
    ensure!(shown.contains("ended at"), "the agent does not say it: {shown}");
    let (bundles, _) = on_ticket(&api, &number).await?;
    ensure!(bundles.is_empty(), "{bundles:?}");

    gate.open();
    let record = becomes(&world, &id, "sent after the renewal", sent).await?;
    arrived_once(&api, &number, &record).await?;
    let status: Value = serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?;
    let trust = &status["agent"]["trust"];
    println!("renewed {} times, then on {number} once, SHA-256 equal", trust["renewed"]);
    ensure!(trust["renewed"].as_u64() >= Some(1), "{trust}");
    world.stop().await
}

/// The collector was restored from a backup without the bundle while the envelope that names it was on
/// its way: said on both sides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_that_nobody_declared_is_refused_and_seen() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("messages");
    let ports = Ports::free()?;
    // Envelopes have a way of their own, which can be shut.
    let gate = Gate::start(ports.mqtt).await?;
    let agent_roads = vec![format!("mqtts://localhost:{}", gate.port)];
    let setup = Setup { agent_roads, ..Setup::default() };
    let home = dir.path().join("w");
    let mut world = World::create_unusual(&home, Broker::Embedded, ports, setup).await?;
    world.enrol(&toml(&log, ports.https, 0)).await?;
    world.start_agent().await?;
    fail(&log, 1)?;
    let api = world.api().await?;
    let number = ticket(&api, 1).await?;
    let before = copy_of(&mut world, dir.path().join("before")).await?;
    gate.shut();
    let file = noise(dir.path().join("core"), MIB, 41)?;
    let id = create(&world, &number, &file).await?;
    world.agent_cli(&["bundle", "approve", &id]).await?;
    becomes(&world, &id, "sent", sent).await?;
    let waiting = world.agent_cli(&["outbox", "list"]).await?;
    ensure!(waiting.contains("evidence"), "nothing waits: {waiting}");

    world.take_collector().context("collector")?.stop(Duration::from_secs(20)).await?;
    std::fs::remove_dir_all(world.data_dir())?;
    std::fs::rename(&before, world.data_dir())?;
    world.start_collector().await?;
    gate.open();
    let lane = until("the refusal at the agent", LIMIT, LOOK, || async {
        let status: Value = serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?;
        let lane = status["outbox"]["lanes"][0].clone();
        Ok((lane["rejected"] == 1 && lane["depth"] == 0).then_some(lane))
    })
    .await?;
    let counted = plain_get(ports.collector_health, "/metrics").await?;
    let line = counted.lines().find(|line| line.contains("reason=\"unknown-bundle\""));
    let api = world.api().await?;
    let page = api.get(&format!("/api/v1/agents/{AGENT}")).await?;
    let seen = page["rejects"].to_string();
    println!("agent: {lane}\ncollector: {}\n{seen}", line.unwrap_or_default());
    ensure!(line.is_some_and(|line| line.ends_with(" 1")), "{counted}");
    ensure!(seen.contains("unknown-bundle") && seen.contains(&id), "{seen}");
    world.stop().await
}

/// The collector's data as they are now, in another folder.
async fn copy_of(world: &mut World, to: PathBuf) -> Result<PathBuf> {
    world.take_collector().context("collector")?.stop(Duration::from_secs(20)).await?;
    let from = world.data_dir();
    let copied = std::process::Command::new("cp").arg("-a").arg(&from).arg(&to).status()?;
    ensure!(copied.success(), "cp: {copied}");
    world.start_collector().await?;
    Ok(to)
}
