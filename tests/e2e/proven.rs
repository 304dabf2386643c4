//! The proven path, with real processes: every kind of source is proven up to a shadow ticket; then
//! each hop is cut in turn and both sides say so within two intervals, and after mending both say that.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use callhome_shared::tls;
use callhome_tests::harness::api::Api;
use callhome_tests::harness::identity;
use callhome_tests::harness::snmpd::{self, Snmpd};
use callhome_tests::harness::until;
use callhome_tests::harness::world::{AGENT, Broker, Ports, World};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

/// Between two probes, seconds: short enough for a test, long enough for a busy machine.
const INTERVAL_S: u64 = 4;
/// Beyond two intervals, for a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

struct Devices {
    dir: PathBuf,
    snmpd: Option<Snmpd>,
    /// The console's end of the cable; none: it is unplugged.
    console: Option<std::fs::File>,
    /// What the agent opens: a link, as in /dev/serial/by-id.
    port: PathBuf,
    logs: PathBuf,
}

impl Devices {
    async fn start(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let snmpd = match snmpd::program() {
            Some(_) => Some(Snmpd::start(&dir.join("snmpd"), 1).await?),
            None => None,
        };
        let (port, logs) = (dir.join("port"), dir.join("logs"));
        std::fs::create_dir(&logs)?;
        std::fs::write(logs.join("messages"), "hello\n")?;
        let mut devices = Devices { dir: dir.to_owned(), snmpd, console: None, port, logs };
        devices.plug()?;
        Ok(devices)
    }

    fn plug(&mut self) -> Result<()> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?.into_string().context("pts name")?;
        let _ = std::fs::remove_file(&self.port);
        std::os::unix::fs::symlink(name, &self.port)?;
        self.console = Some(master.into());
        Ok(())
    }

    fn toml(&self) -> Result<String> {
        let mut toml =
            format!("[probe]\ninterval_s = {INTERVAL_S}\n\n[[device]]\nname = \"dev\"\n\n");
        if let Some(snmpd) = &self.snmpd {
            let community = self.dir.join("community");
            std::fs::write(&community, "public\n")?;
            toml.push_str(&format!(
                "[[snmp]]\nname = \"snmp\"\ndevice = \"dev\"\naddress = \"127.0.0.1:{}\"\nversion = \"2c\"\n\
                 community_file = \"{}\"\ninterval_s = 1\ntimeout_ms = 500\nretries = 0\nprofiles = [\"ucd-snmp\"]\n\n",
                snmpd.port,
                community.display()
            ));
        }
        toml.push_str(&format!(
            "[[serial]]\nname = \"serial\"\ndevice = \"dev\"\nport = \"{}\"\n\n\
             [[serial.pattern]]\nid = \"any\"\nmatch = 'callhome-probe'\ntype = \"imitation\"\n\
             severity = \"minor\"\n\n\
             [[logfile]]\nname = \"log\"\ndevice = \"dev\"\npath = \"{}\"\nfrom = \"end\"\n\n\
             [host]\nname = \"host\"\ndevice = \"dev\"\ninterval_s = 3600\ndisk_warning_pct = 99\n\
             disk_critical_pct = 100\nmemory_warning_pct = 99\nmemory_critical_pct = 100\n\
             load_warning_per_core = 1000.0\n",
            self.port.display(),
            self.logs.join("messages").display()
        ));
        Ok(toml)
    }

    fn sources(&self) -> Vec<&'static str> {
        let snmp = self.snmpd.as_ref().map(|_| "snmp");
        ["serial", "log", "host"].into_iter().chain(snmp).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hop_that_is_cut_is_said_by_both_sides() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut devices = Devices::start(&dir.path().join("devices")).await?;
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    world.enrol(&devices.toml()?).await?;
    world.start_agent().await?;
    world.agent_ready().await?;
    let api = world.api().await?;

    now(&world, &devices).await?;
    for source in devices.sources() {
        says(&world, &api, source, true).await?;
    }
    imitate(&devices, &api).await?;

    // The reader: the console's cable.
    devices.console = None;
    cut(&world, &api, "serial", "reader").await?;
    ticket(&api, "serial", true).await?;
    devices.plug()?;
    mended(&world, &api, "serial").await?;
    ticket(&api, "serial", false).await?;
    // The reader: the log's directory.
    let away = devices.dir.join("away");
    std::fs::rename(&devices.logs, &away)?;
    std::fs::write(&devices.logs, "a file where the directory was")?;
    cut(&world, &api, "log", "reader").await?;
    ticket(&api, "log", true).await?;
    std::fs::remove_file(&devices.logs)?;
    std::fs::rename(&away, &devices.logs)?;
    mended(&world, &api, "log").await?;
    // The reader: the device itself. Stopped, it keeps its port.
    if let Some(snmpd) = &devices.snmpd {
        snmpd.signal(Signal::STOP)?;
        cut(&world, &api, "snmp", "reader").await?;
        snmpd.signal(Signal::CONT)?;
        mended(&world, &api, "snmp").await?;
    }
    // The collector's flow: another process has its database's lock.
    lock_database(&world, || async { cut(&world, &api, "host", "collector").await }).await?;
    mended(&world, &api, "host").await?;
    // The collector is gone, and with it the link.
    let collector = world.take_collector().context("no collector")?;
    collector.kill9().await?;
    agent_says(&world, "host", Some("link")).await?;
    world.start_collector().await?;
    let api = world.api().await?;
    for source in devices.sources() {
        mended(&world, &api, source).await?;
        // Where the other side had something to say of it: told once, and over.
        let told = api.all_tickets().await?;
        if told.iter().any(|t| t["type"] == "path-not-proven" && t["resource"] == source) {
            let ticket = ticket(&api, source, false).await?;
            println!("{source}: {}, {}", ticket["number"], ticket["title"]["key"]);
        }
    }
    let real = api.get("/api/v1/tickets?state=all").await?;
    let shadows = real.to_string().matches("\"P-").count();
    ensure!(shadows == 0, "shadow tickets in the queue: {real}");
    world.stop().await?;
    Ok(())
}

/// An agent (of our own making) that says what it proves, and never does: the collector alone can tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_only_the_collector_misses_is_a_ticket_of_its_own() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut world = World::create(dir.path(), Broker::Embedded, Ports::free()?).await?;
    let identity = identity::read(&identity::enrol(&world, "quiet-1").await?)?;
    let config = tls::client_config(&identity::roots(&world)?, Some(identity))?;
    let client = reqwest::Client::builder().tls_backend_preconfigured(config).build()?;
    let speaker = Speaker { client, url: world.url(), epoch: new_uuid() };
    let api = world.api().await?;
    let began = Instant::now();
    let ticket = until("the ticket", PATIENCE, Duration::from_millis(500), || async {
        speaker.say(vec![speaker.beat()]).await?;
        Ok(api.all_tickets().await?.into_iter().next())
    })
    .await?;
    println!("{} after {:?}: {}", ticket["number"], began.elapsed(), ticket["title"]);
    ensure!(began.elapsed() >= Duration::from_millis(1750 * INTERVAL_S), "too early");
    ensure!(ticket["type"] == "path-not-proven" && ticket["resource"] == "tty", "{ticket}");
    ensure!(ticket["title"]["key"] == "path.missed" && ticket["agent"] == "quiet-1", "{ticket}");
    ensure!(ticket["title"]["arguments"]["hop"] == "outbox", "{ticket}");
    speaker.say(vec![speaker.probe()?]).await?;
    until("it is over", PATIENCE, Duration::from_millis(500), || async {
        speaker.say(vec![speaker.beat()]).await?;
        let all = api.all_tickets().await?;
        ensure!(all.len() == 1, "{all:?}");
        Ok((!all[0]["condition_cleared_at"].is_null()).then_some(()))
    })
    .await?;
    world.quiet().await?;
    world.stop().await
}

/// Speaks as an agent does, over HTTPS.
struct Speaker {
    client: reqwest::Client,
    url: String,
    epoch: uuid::Uuid,
}

impl Speaker {
    fn event(&self, kind: &str, data: Value) -> Value {
        json!({
            "specversion": "1.0", "id": new_uuid(), "source": "urn:callhome:agent:quiet-1",
            "type": kind, "time": Time::now(), "datacontenttype": "application/json", "data": data,
        })
    }

    fn beat(&self) -> Value {
        let missing = json!({ "hop": "outbox", "since": Time::now(), "detail": "disk full" });
        let path = json!({
            "source": "tty", "kind": "serial", "interval_s": INTERVAL_S, "missing": missing,
        });
        let beat = json!({
            "online": true, "at": Time::now(), "version": "0", "uptime_s": 1, "interval_s": 1,
            "reconnect_s": 1, "epoch": self.epoch, "lanes": [], "paths": [path],
        });
        self.event("heartbeat", beat)
    }

    fn probe(&self) -> Result<Value> {
        let alarm_id = new_uuid();
        let alarm = json!({
            "alarm_id": alarm_id, "transition": "raised", "severity": "minor",
            "type": "callhome-probe", "qualifier": alarm_id, "message": { "key": "probe.entered" },
            "text": "synthetic", "device": { "id": "d", "name": "d" }, "resource": "tty",
            "observed_at": Time::now(), "rule": { "pack": "p", "version": "1", "id": "r" },
            "test": true,
        });
        let probe = json!({
            "source": "tty", "source_kind": "serial", "started_at": Time::now(),
            "interval_s": INTERVAL_S, "alarm": alarm,
        });
        let mut event = self.event("probe", probe);
        let more = json!({ "epoch": self.epoch, "lane": "alarm", "seq": "1" });
        let event_fields = event.as_object_mut().context("no object")?;
        event_fields.extend(more.as_object().context("no object")?.clone());
        Ok(event)
    }

    async fn say(&self, events: Vec<Value>) -> Result<()> {
        let answer = self
            .client
            .post(format!("{}/callhome/v1/events", self.url))
            .header("content-type", "application/cloudevents-batch+json")
            .body(serde_json::to_vec(&events)?)
            .send()
            .await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status == 200, "{status}: {text}");
        Ok(())
    }
}

/// `probe now` shows a shadow ticket of each source.
async fn now(world: &World, devices: &Devices) -> Result<()> {
    let began = Instant::now();
    let out = world.agent_cli(&["probe", "now", "--timeout", "60"]).await?;
    println!("probe now ({:?}):\n{out}", began.elapsed());
    ensure!(out.matches(": P-").count() == devices.sources().len(), "{out}");
    let one = world.agent_cli(&["probe", "now", "--source", "log"]).await?;
    ensure!(one.starts_with("log: P-") && one.lines().count() == 1, "{one}");
    let none = world.agent_cli(&["probe", "now", "--source", "lag"]).await;
    ensure!(none.is_err_and(|e| e.to_string().contains("lag")), "an unknown source is told");
    Ok(())
}

/// A console that prints what a probe looks like prints a line: a rule on lines sees it.
async fn imitate(devices: &Devices, api: &Api) -> Result<()> {
    let mut console = devices.console.as_ref().context("no console")?;
    console.write_all(b"callhome-probe 01900000-0000-7000-8000-000000000000\r\n")?;
    until("the imitation is a fault", PATIENCE, Duration::from_millis(200), || async {
        let tickets = api.get("/api/v1/tickets?state=all").await?.to_string();
        Ok(tickets.contains("imitation").then_some(()))
    })
    .await
}

async fn path_of(world: &World, source: &str) -> Result<Value> {
    let status: Value = serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?;
    let paths = status["paths"].as_array().cloned().unwrap_or_default();
    paths.into_iter().find(|p| p["source"] == source).context("no such path")
}

/// The agent says that the path is proven (`None`), or where it is stuck.
async fn agent_says(world: &World, source: &str, hop: Option<&str>) -> Result<Duration> {
    let began = Instant::now();
    until("the agent says so", PATIENCE, Duration::from_millis(200), || async {
        let path = path_of(world, source).await?;
        Ok((path["missing"]["hop"].as_str() == hop && path["proven_at"].is_string()).then_some(()))
    })
    .await
    .with_context(|| format!("{source} {hop:?}"))?;
    Ok(began.elapsed())
}

/// Both sides say that the path is proven, or not.
async fn says(world: &World, api: &Api, source: &str, proven: bool) -> Result<()> {
    if proven {
        agent_says(world, source, None).await?;
    }
    until("the collector says so", PATIENCE, Duration::from_millis(200), || async {
        let page = api.get(&format!("/api/v1/agents/{AGENT}/paths")).await?;
        let paths = page["paths"].as_array().cloned().unwrap_or_default();
        let path = paths.into_iter().find(|p| p["source"] == source);
        Ok(path.filter(|p| p["proven"] == proven && p["ticket"].is_string()).map(|_| ()))
    })
    .await
    .with_context(|| format!("{source} proven: {proven}"))
}

/// The only ticket of a path, once its condition stands or not, as wanted: whoever of the two sides was
/// first, and with how many lives.
async fn ticket(api: &Api, source: &str, stands: bool) -> Result<Value> {
    until("the ticket says so", PATIENCE, Duration::from_millis(200), || async {
        let all = api.all_tickets().await?;
        let of_path = |t: &&Value| t["type"] == "path-not-proven" && t["resource"] == source;
        let of_path: Vec<&Value> = all.iter().filter(of_path).collect();
        ensure!(of_path.len() <= 1, "{source} has {} tickets: {of_path:?}", of_path.len());
        let ticket = of_path.into_iter().find(|t| t["condition_cleared_at"].is_null() == stands);
        Ok(ticket.cloned())
    })
    .await
    .with_context(|| format!("{source} stands: {stands}"))
}

/// The path was just cut: both sides say so.
async fn cut(world: &World, api: &Api, source: &str, hop: &str) -> Result<()> {
    let began = Instant::now();
    says(world, api, source, false).await?;
    let collector = began.elapsed();
    agent_says(world, source, Some(hop)).await?;
    println!(
        "{source} cut at {hop}: collector after {collector:?}, agent after {:?}",
        began.elapsed()
    );
    Ok(())
}

async fn mended(world: &World, api: &Api, source: &str) -> Result<()> {
    let began = Instant::now();
    says(world, api, source, true).await?;
    println!("{source} mended: both sides after {:?}", began.elapsed());
    Ok(())
}

/// Holds SQLite's write lock while `meanwhile` runs.
async fn lock_database<F: Future<Output = Result<()>>>(
    world: &World,
    meanwhile: impl FnOnce() -> F,
) -> Result<()> {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(world.data_dir().join("callhome.db"))
        .busy_timeout(Duration::from_secs(20));
    let mut other = sqlx::sqlite::SqliteConnection::connect_with(&options).await?;
    other.execute("BEGIN IMMEDIATE").await?;
    let outcome = meanwhile().await;
    other.execute("ROLLBACK").await?;
    other.close().await?;
    outcome
}
