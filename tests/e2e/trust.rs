//! Trust with real processes and short lives: renewal, exchange of the CA, quarantine, revocation.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_shared::tls::{self, Identity};
use callhome_tests::harness::identity;
use callhome_tests::harness::process::{Process, run};
use callhome_tests::harness::world::{AGENT, Broker, Ports, World};
use callhome_tests::harness::{free_port, program, until};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(150);
const PAUSE: Duration = Duration::from_millis(500);
/// An agent's certificate lives half a minute, and is renewed after 20 s.
const SHORT: &str = "[certificates]\nagent_life_s = 30\nserver_life_s = 120\n";

async fn status(world: &World) -> Result<Value> {
    Ok(serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// What the record says was done, oldest first.
async fn recorded(world: &World) -> Result<Vec<String>> {
    let list = world.collector_cli(&["audit", "list", "--json", "--limit", "1000"]).await?;
    let rows: Value = serde_json::from_str(&list)?;
    let rows = rows.as_array().context("no list")?;
    Ok(rows.iter().filter_map(|row| Some(row["what"].as_str()?.to_owned())).collect())
}

fn count(all: &[String], what: &str) -> usize {
    all.iter().filter(|w| *w == what).count()
}

/// Waits until the agent's status is as wanted.
async fn agent_shows(world: &World, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    until(what, PATIENCE, PAUSE, || async {
        let status = status(world).await?;
        Ok(wanted(&status).then_some(status))
    })
    .await
}

fn identity(world: &World) -> Result<Identity> {
    let at = |name: &str| std::fs::read(world.state_dir().join("identity").join(name));
    Ok(Identity::from_pem(&at("agent.pem")?, &at("agent.key")?)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewal_and_exchange_of_the_ca_go_unnoticed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut world = World::create_with(dir.path(), Broker::Embedded, Ports::free()?, SHORT).await?;
    world.enrol("").await?;
    world.start_agent().await?;
    world.agent_ready().await?;
    let first = identity(&world)?;
    let old_ca = tls::read_certificates(&std::fs::read(world.ca())?)?;
    world.collector_cli(&["ca", "rotate"]).await?;

    // The agent learns the new CA, says so, the collector switches, the agent renews under it.
    until("the switch", PATIENCE, PAUSE, || async {
        Ok((count(&recorded(&world).await?, "ca-switched") == 1).then_some(()))
    })
    .await?;
    let new_ca = tls::read_certificates(&std::fs::read(world.ca())?)?;
    ensure!(new_ca != old_ca, "the CA is still the same");
    let learned = agent_shows(&world, "two CAs", |s| number(&s["agent"]["trust"]["roots"]) == 2);
    learned.await?;
    let renewed = agent_shows(&world, "a renewal under the new CA", |s| {
        number(&s["agent"]["trust"]["renewed"]) >= 2 && s["link"]["phase"] == "connected"
    });
    renewed.await?;
    let retired = until("the former CA out of use", PATIENCE, PAUSE, || async {
        Ok(world.collector_cli(&["ca", "retire"]).await.ok())
    });
    retired.await?;
    agent_shows(&world, "one CA", |s| number(&s["agent"]["trust"]["roots"]) == 1).await?;
    let after = agent_shows(&world, "a renewal after it", |s| {
        let (trust, counts) = (&s["agent"]["trust"], &s["link"]["counts"]);
        number(&trust["renewed"]) >= 3
            && number(&counts["connects"]) == 1 + number(&trust["exchanged"])
    });
    let after = after.await?;
    ensure!(identity(&world)?.chain != first.chain && identity(&world)?.is_pair());
    let ticket = world.agent_cli(&["test"]).await?;
    let counts = &after["link"]["counts"];
    let trust = &after["agent"]["trust"];
    println!(
        "renewed {} times, {} connections, {} failures; {}",
        trust["renewed"],
        counts["connects"],
        counts["failures"],
        ticket.trim()
    );
    ensure!(number(&counts["failures"]) == 0, "not unnoticed: {after}");
    ensure!(number(&counts["connects"]) == 1 + number(&trust["exchanged"]), "{after}");
    let all = recorded(&world).await?;
    ensure!(count(&all, "renewed") >= 3 && count(&all, "certificate-used") >= 3, "{all:?}");
    ensure!(count(&all, "superseded-used") == 0, "{all:?}");
    let verified = world.collector_cli(&["audit", "verify"]).await?;
    ensure!(verified.contains("the chain is whole"), "{verified}");
    world.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_slept_past_its_end_finds_its_way_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut world = World::create_with(dir.path(), Broker::Embedded, Ports::free()?, SHORT).await?;
    world.enrol("").await?;
    let slept = identity(&world)?;
    let (_, end) = tls::validity(slept.chain.first().context("no leaf")?)?;
    let left = end.since_ms(callhome_shared::time::Time::now()).max(0);
    tokio::time::sleep(Duration::from_millis(u64::try_from(left)? + 1500)).await;

    // What its ended certificate is good for.
    let (answers, delivery) = visit(&world, slept).await?;
    println!("ended certificate: {answers:?}, a delivery: {}", delivery["standing"]);
    ensure!(answers == [403, 403, 403, 200], "{answers:?}");
    ensure!(delivery["standing"] == "alarms-only", "{delivery}");

    world.start_agent().await?;
    let back = agent_shows(&world, "renewed and connected", |s| {
        number(&s["agent"]["trust"]["renewed"]) >= 1 && s["link"]["phase"] == "connected"
    })
    .await?;
    println!("back: {}", back["agent"]["trust"]);
    let all = recorded(&world).await?;
    ensure!(count(&all, "quarantined") == 1 && count(&all, "renewed") >= 1, "{all:?}");

    // Its key in other hands: revoked is revoked, also for what has ended.
    world.collector_cli(&["agent", "revoke", AGENT]).await?;
    let log = std::fs::read_to_string(world.dir.join("agent.log"))?;
    ensure!(log.contains("in quarantine"), "the agent did not say it");
    world.stop().await
}

/// Asks for an API route, the start page, MQTT in a WebSocket and the CA certificates with this
/// identity; and posts nothing as an agent would, to be told what it may.
async fn visit(world: &World, identity: Identity) -> Result<([u16; 4], Value)> {
    let roots = tls::read_certificates(&std::fs::read(world.ca())?)?;
    let config = tls::client_config(&roots, Some(identity))?;
    let client = reqwest::Client::builder().tls_backend_preconfigured(config).build()?;
    let mut answers = [0; 4];
    let paths = ["/api/v1/tickets", "/", "/mqtt", "/.well-known/est/cacerts"];
    for (answer, path) in answers.iter_mut().zip(paths) {
        *answer = client.get(format!("{}{path}", world.url())).send().await?.status().as_u16();
    }
    let posted = client
        .post(format!("{}/callhome/v1/events?wait=0", world.url()))
        .header("content-type", "application/cloudevents-batch+json")
        .body("[]")
        .send()
        .await?;
    Ok((answers, serde_json::from_str(&posted.text().await?)?))
}

/// A second agent beside the world's.
struct Other {
    config: PathBuf,
    process: Process,
}

async fn other(world: &World) -> Result<Other> {
    let at = |name: &str| world.dir.join(name).display().to_string();
    let token = at("other.token");
    world.collector_cli(&["agent", "token", "site-2", "--out", &token]).await?;
    let text = world
        .agent_toml("")
        .replace(&world.state_dir().display().to_string(), &at("other"))
        .replace(&world.control_socket().display().to_string(), &at("other.sock"))
        .replace(&format!(":{}\"", world.ports.agent_health), &format!(":{}\"", free_port()?));
    let config = world.dir.join("other.toml");
    std::fs::write(&config, text)?;
    let (program, name) = (program("callhome-agent")?, config.display().to_string());
    run(&program, &["--config", &name, "enroll", "--token-file", &token], None).await?;
    let log = world.dir.join("other.log");
    let args = ["--config", &name, "run"];
    let process = Process::start("other agent", &program, &args, &[], &log).await?;
    Ok(Other { config, process })
}

async fn cli(config: &Path, args: &[&str]) -> Result<String> {
    let config = config.display().to_string();
    let mut all = vec!["--config", &config];
    all.extend(args);
    run(&program("callhome-agent")?, &all, None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_cuts_one_and_leaves_the_other_in_peace() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut world = World::create(dir.path(), Broker::Embedded, Ports::free()?).await?;
    world.enrol("").await?;
    world.start_agent().await?;
    world.agent_ready().await?;
    let other = other(&world).await?;
    let show = || async {
        let text = cli(&other.config, &["status", "--json"]).await?;
        Ok::<Value, anyhow::Error>(serde_json::from_str(&text)?)
    };
    until("the other one connected", PATIENCE, PAUSE, || async {
        Ok((show().await?["link"]["phase"] == "connected").then_some(()))
    })
    .await?;
    cli(&other.config, &["test"]).await?;

    let revoked = std::time::Instant::now();
    world.collector_cli(&["agent", "revoke", AGENT]).await?;
    let cut = agent_shows(&world, "the revoked one cut", |s| {
        s["link"]["phase"] != "connected" && number(&s["link"]["counts"]["failures"]) >= 1
    });
    cut.await?;
    let took = revoked.elapsed();
    // It tries again and again, and stays out.
    let tried =
        agent_shows(&world, "three tries", |s| number(&s["link"]["counts"]["failures"]) >= 4);
    let tried = tried.await?;
    ensure!(number(&tried["link"]["counts"]["connects"]) == 1, "it came back: {tried}");

    let peace = show().await?;
    let ticket = cli(&other.config, &["test"]).await?;
    println!(
        "revoked one out after {took:.1?}, {} tries since; the other: {} connection, {} failures, {}",
        tried["link"]["counts"]["failures"],
        peace["link"]["counts"]["connects"],
        peace["link"]["counts"]["failures"],
        ticket.trim()
    );
    ensure!(took < Duration::from_secs(60), "took {took:?}");
    ensure!(number(&peace["link"]["counts"]["connects"]) == 1, "{peace}");
    ensure!(number(&peace["link"]["counts"]["failures"]) == 0, "{peace}");
    other.process.stop(Duration::from_secs(20)).await?;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_superseded_certificate_is_let_in_within_its_grace_and_no_longer() -> Result<()> {
    const ID: &str = "twice-1";
    let dir = tempfile::tempdir()?;
    let mut world = World::create(dir.path(), Broker::Embedded, Ports::free()?).await?;
    let folder = identity::enrol(&world, ID).await?;
    let old = identity::read(&folder)?;
    let state = folder.parent().context("no state directory")?;
    std::fs::rename(state, state.with_file_name("state-old"))?;
    let new = identity::read(&identity::enrol(&world, ID).await?)?;
    let tries = async |world: &World, which: &Identity| -> Result<u16> {
        Ok(visit(world, identity::again(which)).await?.0[3])
    };
    ensure!(tries(&world, &old).await? == 200, "before the new one is used");
    ensure!(tries(&world, &new).await? == 200, "the new one");
    until("the old one is superseded", PATIENCE, PAUSE, || async {
        // The notes of both uses are asynchronous: it is used until that is told.
        ensure!(tries(&world, &old).await? == 200, "within its grace");
        Ok((count(&recorded(&world).await?, "superseded-used") == 1).then_some(()))
    })
    .await?;

    let collector = world.take_collector().context("no collector")?;
    collector.stop(Duration::from_secs(30)).await?;
    let config = std::fs::read_to_string(world.collector_config())?;
    let none = format!("{config}\n[certificates]\nsuperseded_grace_s = 0\n");
    std::fs::write(world.collector_config(), none)?;
    world.start_collector().await?;
    ensure!(tries(&world, &old).await? == 403, "after its grace");
    ensure!(tries(&world, &new).await? == 200, "the new one goes on");
    until("the refusal is recorded", PATIENCE, PAUSE, || async {
        Ok((count(&recorded(&world).await?, "superseded-refused") == 1).then_some(()))
    })
    .await?;
    let verified = world.collector_cli(&["audit", "verify"]).await?;
    ensure!(verified.contains("the chain is whole"), "{verified}");
    world.stop().await
}
