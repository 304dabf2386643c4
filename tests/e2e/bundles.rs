//! Evidence bundles from the customer's disk to the ticket: held until approved, cut, killed, refused,
//! full, and beside alarms. Real programs; the size is for a debug build, CALLHOME_BUNDLE_MIB makes it
//! another.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callhome_shared::bundle::{content_digest, hex};
use callhome_shared::tls;
use callhome_tests::harness::api::Api;
use callhome_tests::harness::process::{Process, run, run_any};
use callhome_tests::harness::proxy::Proxy;
use callhome_tests::harness::world::{Broker, Ports, World};
use callhome_tests::harness::{identity, program, until};
use rand::{RngCore as _, SeedableRng as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) const MIB: u64 = 1024 * 1024;
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// MiB of the bundle that is cut and killed.
pub(crate) fn size() -> u64 {
    std::env::var("CALLHOME_BUNDLE_MIB").ok().and_then(|n| n.parse().ok()).unwrap_or(6)
}

/// Sources and `[bundle]` of the agent.
pub(crate) fn toml(log: &Path, https: u16, rate: u64) -> String {
    format!(
        "[bundle]\nurl = \"https://localhost:{https}\"\nmax_bytes_per_s = {rate}\n\n\
         [[device]]\nname = \"array\"\n\n[[logfile]]\nname = \"log\"\ndevice = \"array\"\n\
         path = \"{}\"\nfrom = \"start\"\n\n[[logfile.pattern]]\nid = \"psu\"\n\
         match = 'PSU (?P<n>\\d+) failed'\ntype = \"psu-failed\"\nseverity = \"major\"\n\
         resource = \"PSU ${{n}}\"\n",
        log.display()
    )
}

pub(crate) fn fail(log: &Path, psu: u32) -> Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    Ok(writeln!(file, "PSU {psu} failed")?)
}

/// The ticket of a power supply.
pub(crate) async fn ticket(api: &Api, psu: u32) -> Result<String> {
    let resource = format!("PSU {psu}");
    until("a ticket", LIMIT, Duration::from_millis(5), || async {
        let page = api.get("/api/v1/tickets?state=all&limit=50").await?;
        let found = page["items"].as_array().and_then(|all| {
            let ticket = all.iter().find(|ticket| ticket["resource"] == resource.as_str())?;
            Some(ticket["number"].as_str()?.to_owned())
        });
        Ok(found)
    })
    .await
}

/// A file that no compressor makes smaller.
pub(crate) fn noise(path: PathBuf, bytes: u64, seed: u64) -> Result<PathBuf> {
    let mut content = vec![0; usize::try_from(bytes)?];
    rand::rngs::SmallRng::seed_from_u64(seed).fill_bytes(&mut content);
    std::fs::write(&path, content)?;
    Ok(path)
}

/// Packs a binary file; the bundle's id.
pub(crate) async fn create(world: &World, ticket: &str, file: &Path) -> Result<String> {
    let file = file.display().to_string();
    let out = world.agent_cli(&["bundle", "create", "--ticket", ticket, "--binary", &file]).await?;
    ensure!(out.contains("held"), "{out}");
    Ok(out.split_whitespace().next().context("no id")?.to_owned())
}

pub(crate) async fn record(world: &World, id: &str) -> Result<Value> {
    let shown = world.agent_cli(&["bundle", "show", id, "--json"]).await?;
    Ok(serde_json::from_str::<Value>(&shown)?["record"].take())
}

/// Waits until the agent's record of a bundle is so.
pub(crate) async fn becomes(
    world: &World,
    id: &str,
    what: &str,
    is: impl Fn(&Value) -> bool,
) -> Result<Value> {
    until(what, LIMIT, LOOK, || async {
        let record = record(world, id).await?;
        if is(&record) { Ok(Some(record)) } else { anyhow::bail!("{record:#}") }
    })
    .await
}

pub(crate) fn at(record: &Value) -> u64 {
    record["upload"]["offset"].as_u64().unwrap_or(0)
}

/// What the ledger says of bundles: declarations, chunks, bytes of chunks.
async fn ledger(world: &World) -> Result<(u64, u64, u64)> {
    let lines = world.agent_cli(&["ledger", "list", "--kind", "bundle", "--json"]).await?;
    let mut sums = (0, 0, 0);
    for line in lines.lines() {
        let entry: Value = serde_json::from_str(line)?;
        match entry["offset"].as_u64() {
            Some(_) => {
                sums.1 += 1;
                sums.2 += entry["bytes"].as_u64().context("bytes")?;
            }
            None => sums.0 += 1,
        }
    }
    Ok(sums)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_five_times_and_killed_twice_it_is_on_the_ticket_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("messages");
    let ports = Ports::free()?;
    let mut world = World::create(&dir.path().join("w"), Broker::Embedded, ports).await?;
    let proxy = Proxy::start(ports.https).await?;
    let bytes = size() * MIB;
    // Slow enough to be met in the middle, on whatever machine.
    world.enrol(&toml(&log, proxy.port, bytes / 6)).await?;
    world.start_agent().await?;
    fail(&log, 1)?;
    let api = world.api().await?;
    let number = ticket(&api, 1).await?;
    let file = noise(dir.path().join("core"), bytes, 1)?;
    let packing = Instant::now();
    let id = create(&world, &number, &file).await?;
    println!("packed {} MiB in {:?}", size(), packing.elapsed());

    // Held: not a connection. Whatever would leave has had its time.
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(proxy.counts().connections == 0, "a held bundle: {:?}", proxy.counts());
    ensure!(ledger(&world).await? == (0, 0, 0));
    let shown = world.agent_cli(&["bundle", "show", &id]).await?;
    ensure!(shown.contains("core, ") && shown.contains("binary, as it is"), "{shown}");
    world.agent_cli(&["bundle", "approve", &id]).await?;

    let record = record(&world, &id).await?;
    let whole = record["size"].as_u64().context("size")?;
    let met = |part: u64| move |record: &Value| at(record) > whole * part / 9 && at(record) < whole;
    for part in 1..=5 {
        becomes(&world, &id, "a part of it there", met(part)).await?;
        proxy.reset();
    }
    becomes(&world, &id, "six ninths there", met(6)).await?;
    world.take_agent().context("agent")?.kill9().await?;
    world.start_agent().await?;
    becomes(&world, &id, "seven ninths there", met(7)).await?;
    world.take_collector().context("collector")?.kill9().await?;
    world.start_collector().await?;
    let sent = becomes(&world, &id, "sent", |record| record["state"] == "sent").await?;

    let (declared, chunks, told) = ledger(&world).await?;
    let counts = proxy.counts();
    println!(
        "{whole} bytes; {declared} declarations, {chunks} chunks with {told} bytes left, {} of them twice; \
         {} connections, {} cut",
        told - whole,
        counts.connections,
        counts.cut
    );
    // Five cuts and two kills: at most one chunk each in flight (and two for a collector that is busy).
    let chunk = (bytes / 6 / 4).clamp(64 * 1024, MIB);
    ensure!(told >= whole && told <= whole + 9 * chunk, "{told} bytes for {whole}");
    ensure!(counts.cut >= 5, "{counts:?}");

    let api = world.api().await?;
    let page = api.get(&format!("/api/v1/tickets/{number}")).await?;
    let bundles = page["bundles"].as_array().context("bundles")?;
    ensure!(bundles.len() == 1, "{bundles:#?}");
    ensure!(bundles[0]["state"] == "complete" && bundles[0]["sha256"] == sent["sha256"]);
    let arrived = page["timeline"].as_array().context("timeline")?;
    let arrived = arrived.iter().filter(|entry| entry["what"] == "bundle").count();
    ensure!(arrived == 1, "{arrived} entries of the timeline");
    let path = format!("/api/v1/bundles/{id}/content");
    let content = api.stream(&path).await?.bytes().await?;
    ensure!(sent["sha256"] == hex(&Sha256::digest(&content)).as_str());
    println!("on {number} once, {} bytes, SHA-256 equal on both sides", content.len());

    // The envelope that refers to it was taken.
    until("the envelope acknowledged", LIMIT, LOOK, || async {
        let status: Value = serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?;
        let lane = &status["outbox"]["lanes"][0];
        ensure!(lane["rejected"] == 0, "{lane}");
        Ok((lane["depth"] == 0).then_some(()))
    })
    .await?;
    let evidence = world.agent_cli(&["ledger", "list", "--kind", "evidence", "--json"]).await?;
    ensure!(!evidence.is_empty(), "no envelope told of it");
    world.stop().await
}

/// Another agent with a ticket of its own; its number.
async fn ticket_of_another(world: &World) -> Result<String> {
    let folder = identity::enrol(world, "site-2").await?;
    let folder = folder.parent().and_then(Path::parent).context("its folder")?;
    let config = folder.join("agent.toml").display().to_string();
    let program = program("callhome-agent")?;
    let args = ["--config", &config, "run"];
    let other = Process::start("site-2", &program, &args, &[], &folder.join("log")).await?;
    let out = until("a test ticket of site-2", LIMIT, LOOK, || async {
        let args = ["--config", &config, "test", "--timeout", "30"];
        Ok(run(&program, &args, None).await.ok())
    })
    .await?;
    other.stop(Duration::from_secs(20)).await?;
    out.split_whitespace().nth(1).map(str::to_owned).context("no ticket")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denied_refused_full_and_unknown_are_said() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("messages");
    let ports = Ports::free()?;
    let mut world = World::create(&dir.path().join("w"), Broker::Embedded, ports).await?;
    let proxy = Proxy::start(ports.https).await?;
    world.enrol(&toml(&log, proxy.port, 0)).await?;
    world.start_agent().await?;
    fail(&log, 1)?;
    let api = world.api().await?;
    let number = ticket(&api, 1).await?;
    let foreign = ticket_of_another(&world).await?;

    // A text with a secret, by standard input; denied: it never leaves.
    let config = world.agent_config().display().to_string();
    let args = ["--config", &config, "bundle", "create", "--ticket", &number, "-"];
    let text = "fan 2 failed\nadmin password Hunter2x ok\n";
    let out = run(&program("callhome-agent")?, &args, Some(text)).await?;
    let denied = out.split_whitespace().next().context("no id")?.to_owned();
    let shown = world.agent_cli(&["bundle", "show", &denied, "stdin.txt"]).await?;
    ensure!(shown.starts_with("fan 2 failed\n") && !shown.contains("Hunter2x"), "{shown}");
    let out = world.agent_cli(&["bundle", "deny", &denied]).await?;
    ensure!(out.contains("denied"), "{out}");
    let file = noise(dir.path().join("core"), 700 * 1024, 2)?;
    let name = file.display().to_string();
    let args = ["--config", &config, "bundle", "create", "--ticket", &number, &name];
    let (status, _, err) = run_any(&program("callhome-agent")?, &args, None).await?;
    ensure!(!status.success() && err.contains("--binary"), "{err}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    ensure!(proxy.counts().connections == 0, "a denied bundle: {:?}", proxy.counts());

    // Another agent's ticket: the customer is told.
    let bad = create(&world, &foreign, &file).await?;
    world.agent_cli(&["bundle", "approve", &bad]).await?;
    let refused = becomes(&world, &bad, "refused", |record| record["state"] == "refused").await?;
    println!("another agent's ticket {foreign}: {}", refused["reason"]);
    ensure!(refused["reason"].as_str().is_some_and(|why| why.contains("not this agent's")));

    // A ticket that nobody knows waits, and can be given up.
    let lost = create(&world, "T-999999", &file).await?;
    world.agent_cli(&["bundle", "approve", &lost]).await?;
    let waits = |record: &Value| record["upload"]["trouble"].is_object();
    let record = becomes(&world, &lost, "waiting", waits).await?;
    println!("a ticket that is not known: {}", record["upload"]["trouble"]["text"]);
    world.agent_cli(&["bundle", "cancel", &lost]).await?;

    // No room: said on both sides, and it goes on when there is.
    let plain = std::fs::read_to_string(world.collector_config())?;
    std::fs::write(
        world.collector_config(),
        format!("{plain}\n[bundle]\nmax_mib = 1\nagent_mib = 1\n"),
    )?;
    world.take_collector().context("collector")?.stop(Duration::from_secs(20)).await?;
    world.start_collector().await?;
    let first = create(&world, &number, &file).await?;
    let second = create(&world, &number, &file).await?;
    world.agent_cli(&["bundle", "approve", &first]).await?;
    becomes(&world, &first, "sent", |record| record["state"] == "sent").await?;
    world.agent_cli(&["bundle", "approve", &second]).await?;
    let full = |record: &Value| {
        record["upload"]["trouble"]["text"].as_str().is_some_and(|text| text.contains("is full"))
    };
    let record = becomes(&world, &second, "told that it is full", full).await?;
    println!("full: {}", record["upload"]["trouble"]["text"]);
    std::fs::write(world.collector_config(), &plain)?;
    world.take_collector().context("collector")?.stop(Duration::from_secs(20)).await?;
    world.start_collector().await?;
    // The pause that the collector asked for is not waited for after a restart.
    world.take_agent().context("agent")?.stop(Duration::from_secs(20)).await?;
    world.start_agent().await?;
    becomes(&world, &second, "sent", |record| record["state"] == "sent").await?;
    damaged(&world, &number).await?;
    world.stop().await
}

/// One damaged chunk, by a client with the agent's certificate: nothing of it is kept.
async fn damaged(world: &World, ticket: &str) -> Result<()> {
    let identity = identity::read(&world.state_dir().join("identity"))?;
    let config = tls::client_config(&identity::roots(world)?, Some(identity))?;
    let client = reqwest::Client::builder().tls_backend_preconfigured(config).build()?;
    let body = b"what was meant".to_vec();
    let id = callhome_shared::id::new_uuid();
    let base = format!("{}{}", world.url(), callhome_shared::bundle::PATH);
    let said = json!({
        "id": id, "subject": {"ticket": ticket}, "name": "a.tar.gz", "size": body.len(),
        "sha256": hex(&Sha256::digest(&body)), "created_at": "2026-01-01T00:00:00Z",
        "approved": {"by": "a test", "at": "2026-01-01T00:00:00Z", "how": "person"},
    });
    let json = "application/json";
    let answer = client.post(&base).header("content-type", json).body(said.to_string());
    ensure!(answer.send().await?.status() == 201);
    let chunk = |sent: &'static [u8], meant: &[u8]| {
        client
            .patch(format!("{base}/{id}"))
            .header("content-type", callhome_shared::bundle::CHUNK_TYPE)
            .header("upload-offset", "0")
            .header("content-digest", content_digest(meant))
            .body(sent)
    };
    let answer = chunk(b"what was meanT", &body).send().await?;
    ensure!(answer.status() == 422, "{answer:?}");
    let answer = client.head(format!("{base}/{id}")).send().await?;
    ensure!(answer.headers()["upload-offset"] == "0", "{answer:?}");
    let answer = chunk(b"what was meant", &body).send().await?;
    ensure!(answer.status() == 204 && answer.headers()["upload-offset"] == "14", "{answer:?}");
    let answer = client.post(format!("{base}/{id}/complete")).send().await?;
    ensure!(answer.status() == 200, "{answer:?}");
    println!("a damaged chunk: 422, nothing kept; the right one after it: complete");
    Ok(())
}

fn quantiles(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |part: usize| took.get((took.len() * part / 100).min(took.len() - 1)).copied();
    format!(
        "p50 {:?}, p99 {:?} of {}",
        at(50).unwrap_or_default(),
        at(99).unwrap_or_default(),
        took.len()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_beside_an_upload_without_a_limit() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("messages");
    let ports = Ports::free()?;
    let mut world = World::create(&dir.path().join("w"), Broker::Embedded, ports).await?;
    world.enrol(&toml(&log, ports.https, 0)).await?;
    world.start_agent().await?;
    let api = world.api().await?;
    fail(&log, 1)?;
    let number = ticket(&api, 1).await?;
    let file = noise(dir.path().join("core"), size() * MIB, 3)?;
    let id = create(&world, &number, &file).await?;
    let (mut idle, mut beside, mut psu) = (Vec::new(), Vec::new(), 1);
    let mut one = async |took: &mut Vec<Duration>| -> Result<()> {
        psu += 1;
        let began = Instant::now();
        fail(&log, psu)?;
        ticket(&api, psu).await?;
        took.push(began.elapsed());
        Ok(())
    };
    for _ in 0..15 {
        one(&mut idle).await?;
    }
    world.agent_cli(&["bundle", "approve", &id]).await?;
    let began = Instant::now();
    while beside.len() < 15 {
        one(&mut beside).await?;
        if beside.len() >= 3 && record(&world, &id).await?["state"] == "sent" {
            break;
        }
    }
    becomes(&world, &id, "sent", |record| record["state"] == "sent").await?;
    println!("fault to ticket, idle:             {}", quantiles(idle));
    println!("beside an upload without a limit:  {}", quantiles(beside));
    println!("{} MiB within {:?}", size(), began.elapsed());
    world.stop().await
}
