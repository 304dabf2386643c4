//! Many roads to the collector: real processes, real proxies, roads that are cut.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::api::Api;
use callhome_tests::harness::gate::Gate;
use callhome_tests::harness::process::{Process, run_any};
use callhome_tests::harness::world::{AGENT, Broker, Ports, World, plain_get};
use callhome_tests::harness::{free_port, is_root, program, until};
use serde_json::Value;

use crate::postgres::Server;

/// A log file whose lines are faults.
struct Faults {
    file: PathBuf,
    written: usize,
}

impl Faults {
    fn new(dir: &Path) -> Result<Self> {
        let file = dir.join("messages");
        std::fs::write(&file, "")?;
        Ok(Faults { file, written: 0 })
    }

    /// Device and source, for `agent.toml`.
    fn toml(&self) -> String {
        format!(
            "[[device]]\nname = \"array\"\n\n[[logfile]]\nname = \"log\"\ndevice = \"array\"\n\
             path = \"{}\"\nfrom = \"start\"\n\n[[logfile.pattern]]\nid = \"psu\"\n\
             match = 'PSU (?P<n>\\d+) failed'\ntype = \"psu-failed\"\nseverity = \"major\"\n\
             resource = \"PSU ${{n}}\"\n",
            self.file.display()
        )
    }

    fn write(&mut self, count: usize) -> Result<()> {
        let mut file = std::fs::OpenOptions::new().append(true).open(&self.file)?;
        for _ in 0..count {
            self.written += 1;
            writeln!(file, "PSU {} failed", self.written)?;
        }
        Ok(())
    }

    /// Waits until all of them are tickets, and says how many tickets each has.
    async fn all_tickets(&self, api: &Api) -> Result<BTreeMap<String, usize>> {
        let limit = Duration::from_secs(60);
        until("every fault a ticket", limit, Duration::from_millis(300), || async {
            let mut tickets = BTreeMap::new();
            for ticket in api.all_tickets().await? {
                let resource = ticket["resource"].as_str().unwrap_or_default().to_owned();
                if resource.starts_with("PSU ") {
                    *tickets.entry(resource).or_insert(0) += 1;
                }
            }
            Ok((tickets.len() >= self.written).then_some(tickets))
        })
        .await
    }

    async fn each_is_one_ticket(&self, what: &str, api: &Api) -> Result<()> {
        let tickets = self.all_tickets(api).await?;
        let twice = tickets.values().filter(|n| **n > 1).count();
        println!(
            "{what}: {} faults, {} with a ticket, {twice} with more than one",
            self.written,
            tickets.len()
        );
        ensure!(tickets.len() == self.written && twice == 0, "{what}: {tickets:?}");
        Ok(())
    }
}

async fn status(world: &World) -> Result<Value> {
    Ok(serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?)
}

/// Waits until the agent is connected on road `index`; how long that took.
async fn on_road(world: &World, index: usize) -> Result<Duration> {
    let started = Instant::now();
    let what = format!("road {}", index + 1);
    let limit = Duration::from_secs(60);
    until(&what, limit, Duration::from_millis(100), || async {
        let link = &status(world).await?["link"];
        let here = link["roads"][index]["in_use"] == true && link["phase"] == "connected";
        if !here {
            let text = world.agent_cli(&["status"]).await?;
            anyhow::bail!("{text}");
        }
        Ok(Some(()))
    })
    .await?;
    Ok(started.elapsed())
}

fn road(url: &str) -> String {
    format!("[[collector.road]]\nurl = \"{url}\"\n\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_road_after_the_other_is_cut_and_mended() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let ports = Ports::free()?;
    let mut world = World::create(&dir.path().join("w"), Broker::Embedded, ports).await?;
    let (mqtt, framed) = (Gate::start(ports.mqtt).await?, Gate::start(ports.https).await?);
    let https = Gate::start(ports.https).await?;
    let mut faults = Faults::new(dir.path())?;
    let roads = [
        road(&format!("mqtts://localhost:{}", mqtt.port)),
        road(&format!("wss://localhost:{}/mqtt", framed.port)),
        road(&format!("https://localhost:{}", https.port)),
    ];
    world.enrol(&format!("{}{}", roads.concat(), faults.toml())).await?;
    world.start_agent().await?;
    let api = world.api().await?;
    on_road(&world, 0).await?;
    faults.write(40)?;
    faults.each_is_one_ticket("MQTT", &api).await?;

    // Faults come while the road is cut, too.
    mqtt.shut();
    faults.write(40)?;
    let took = on_road(&world, 1).await?;
    faults.write(40)?;
    faults.each_is_one_ticket("WebSocket", &api).await?;
    println!("MQTT cut: on the WebSocket after {took:?}");
    heartbeat_names(&api, "wss://").await?;

    framed.shut();
    faults.write(40)?;
    let took = on_road(&world, 2).await?;
    faults.write(400)?;
    faults.each_is_one_ticket("HTTPS", &api).await?;
    println!("WebSocket cut, too: on HTTPS after {took:?}");
    heartbeat_names(&api, "https://").await?;
    let report = status(&world).await?;
    ensure!(report["link"]["roads"][0]["last_failure"]["text"].is_string(), "{report}");
    let out = world.agent_cli(&["test", "--timeout", "30"]).await?;
    println!("test over HTTPS: {}", out.trim());

    framed.open();
    let took = on_road(&world, 1).await?;
    println!("WebSocket mended: back after {took:?} (looks every 5 s)");
    mqtt.open();
    let back = on_road(&world, 0).await?;
    println!("MQTT mended: back after {back:?} (looks every 5 s)");
    ensure!(back < Duration::from_secs(30), "back on MQTT only after {back:?}");
    faults.write(40)?;
    faults.each_is_one_ticket("back on MQTT", &api).await?;
    heartbeat_names(&api, "mqtts://").await?;
    let report = status(&world).await?;
    println!("{}", world.agent_cli(&["status"]).await?);
    let lanes = &report["outbox"]["lanes"][0];
    ensure!(lanes["rejected"] == 0 && lanes["evicted"] == 0, "{lanes}");
    println!(
        "connections: {} MQTT, {} WebSocket, {} HTTPS",
        mqtt.passed(),
        framed.passed(),
        https.passed()
    );
    metrics_tell(&world).await?;
    world.stop().await
}

/// The metrics name the road in use, the changes, and the bytes that the ledger has.
async fn metrics_tell(world: &World) -> Result<()> {
    let value = |text: &str, start: &str| -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(start))?;
        line.split_whitespace().last()?.parse().ok()
    };
    let first = plain_get(world.ports.agent_health, "/metrics").await?;
    for (number, kind, used) in [("1", "mqtt", 1.0), ("2", "wss", 0.0), ("3", "https", 0.0)] {
        let start =
            format!("callhome_agent_link_road_in_use{{number=\"{number}\",kind=\"{kind}\",road=\"");
        ensure!(value(&first, &start) == Some(used), "{start}: {first}");
    }
    let count = |name: &str| value(&first, &format!("callhome_agent_link_{name}_total "));
    let (over, back, again) = (count("failovers"), count("failbacks"), count("reconnects"));
    ensure!(over >= Some(2.0) && back >= Some(2.0) && again >= Some(4.0), "{first}");

    // What the ledger has of ended connections is in the metrics of after it was read; and connections
    // that stand are beyond it.
    let entries = world.agent_cli(&["ledger", "list", "--json"]).await?;
    let (mut out, mut back_in) = (0.0, 0.0);
    for line in entries.lines() {
        let entry: Value = serde_json::from_str(line)?;
        match entry["kind"].as_str() {
            // Before it is what the enrolment sent.
            Some("started") => (out, back_in) = (0.0, 0.0),
            Some("closed") => {
                out += entry["bytes_out"].as_f64().unwrap_or(0.0);
                back_in += entry["bytes_in"].as_f64().unwrap_or(0.0);
            }
            _ => {}
        }
    }
    let then = plain_get(world.ports.agent_health, "/metrics").await?;
    let bytes = |name: &str| value(&then, &format!("callhome_agent_link_{name}_bytes_total "));
    let (sent, received) = (bytes("sent"), bytes("received"));
    println!(
        "metrics: {over:?} fail-overs, {back:?} fail-backs, {again:?} reconnects, {sent:?} bytes sent and \
         {received:?} received; in the ledger of ended connections {out} and {back_in}"
    );
    ensure!(out > 0.0 && sent > Some(out) && received > Some(back_in), "{then}");
    Ok(())
}

/// The agent's heartbeat says which road it comes by, and that it is online.
async fn heartbeat_names(api: &Api, scheme: &str) -> Result<()> {
    let limit = Duration::from_secs(20);
    until(&format!("a heartbeat by {scheme}"), limit, Duration::from_millis(300), || async {
        let page = api.get(&format!("/api/v1/agents/{AGENT}")).await?;
        let agent = if page["agent"].is_object() { &page["agent"] } else { &page };
        let road = agent["heartbeat"]["road"].as_str().unwrap_or_default();
        Ok((road.starts_with(scheme) && agent["online"] == true).then_some(()))
    })
    .await
}

/// A tinyproxy of the test's own.
pub(crate) struct Tinyproxy {
    pub(crate) port: u16,
    dir: PathBuf,
}

impl Tinyproxy {
    /// `None` where it is not installed.
    pub(crate) fn new(dir: &Path, login: Option<(&str, &str)>) -> Result<Option<Self>> {
        if !Path::new("/usr/bin/tinyproxy").is_file() {
            println!("skipped: tinyproxy is not installed");
            return Ok(None);
        }
        std::fs::create_dir_all(dir)?;
        let port = free_port()?;
        let auth = login.map(|(user, password)| format!("BasicAuth {user} {password}\n"));
        let user = if is_root() { "User root\nGroup root\n" } else { "" };
        let conf = format!(
            "{user}Port {port}\nListen 127.0.0.1\nTimeout 600\nAllow 127.0.0.1\nMaxClients 50\n{}",
            auth.unwrap_or_default()
        );
        std::fs::write(dir.join("tinyproxy.conf"), conf)?;
        Ok(Some(Tinyproxy { port, dir: dir.to_owned() }))
    }

    pub(crate) async fn start(&self) -> Result<Process> {
        let conf = self.dir.join("tinyproxy.conf").display().to_string();
        let log = self.dir.join("log");
        let path = Path::new("/usr/bin/tinyproxy");
        let process = Process::start("tinyproxy", path, &["-d", "-c", &conf], &[], &log).await?;
        let port = self.port;
        until("tinyproxy", Duration::from_secs(10), Duration::from_millis(50), || async move {
            Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop))
        })
        .await?;
        Ok(process)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Tunnels to `port` that it noted.
    pub(crate) fn tunnels(&self, port: u16) -> usize {
        self.log().matches(&format!("CONNECT localhost:{port} ")).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_through_a_proxy_with_a_log_in() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let login = Some(("site", "right-horse"));
    let Some(proxy) = Tinyproxy::new(&dir.path().join("proxy"), login)? else { return Ok(()) };
    let mut running = proxy.start().await?;
    let ports = Ports::free()?;
    let mut world = World::create(&dir.path().join("w"), Broker::Embedded, ports).await?;
    let mut faults = Faults::new(dir.path())?;
    let secret = world.dir.join("proxy-password");
    let keys = format!(
        "[collector]\nproxy = \"http://localhost:{}\"\nproxy_user = \"site\"\n\
         proxy_password_file = \"proxy-password\"\n",
        proxy.port
    );
    let config = world.agent_toml(&faults.toml()).replace("[collector]\n", &keys);
    std::fs::write(world.agent_config(), config)?;
    let token = world.dir.join("token.toml").display().to_string();
    world.collector_cli(&["agent", "token", AGENT, "--out", &token]).await?;

    // The wrong password: told, and the token stays good.
    std::fs::write(&secret, "wrong-horse\n")?;
    let config = world.agent_config().display().to_string();
    let enroll = ["--config", &config, "enroll", "--token-file", &token];
    let (code, out, err) = run_any(&program("callhome-agent")?, &enroll, None).await?;
    println!("enrolment with the wrong password: {}", err.trim());
    ensure!(!code.success() && err.to_lowercase().contains("proxy"), "{out}{err}");
    ensure!(!err.contains("horse"), "the password is shown: {err}");
    std::fs::write(&secret, "right-horse\n")?;
    let enrolled = world.agent_cli(&["enroll", "--token-file", &token]).await;
    println!("enrolment: {}", enrolled.with_context(|| proxy.log())?.trim());
    ensure!(proxy.tunnels(ports.https) > 0, "the enrolment did not go through the proxy");

    std::fs::write(&secret, "wrong-horse\n")?;
    world.start_agent().await?;
    let failure = failure_of(&world, 0).await?;
    println!("wrong password: {failure}");
    ensure!(failure["kind"] == "proxy-auth", "{failure}");
    let text = failure["text"].as_str().unwrap_or_default();
    ensure!(text.contains("refuses user \"site\"") && !text.contains("horse"), "{failure}");
    let agent = world.take_agent().context("no agent")?;
    agent.stop(Duration::from_secs(20)).await?;
    let log = std::fs::read_to_string(world.dir.join("agent.log"))?;
    ensure!(!log.contains("horse"), "the password is in the log");

    std::fs::write(&secret, "right-horse\n")?;
    world.start_agent().await?;
    on_road(&world, 0).await?;
    let api = world.api().await?;
    faults.write(50)?;
    faults.each_is_one_ticket("through the proxy", &api).await?;
    ensure!(proxy.tunnels(ports.mqtt) > 0, "MQTT did not go through the proxy");

    // The proxy dies and comes back.
    running.kill9().await?;
    faults.write(10)?;
    let failure = failure_of(&world, 0).await?;
    println!("no proxy: {failure}");
    ensure!(["proxy", "lost"].contains(&failure["kind"].as_str().unwrap_or_default()), "{failure}");
    running = proxy.start().await?;
    faults.each_is_one_ticket("the proxy came back", &api).await?;
    println!(
        "tunnels: {} to MQTT, {} to HTTPS",
        proxy.tunnels(ports.mqtt),
        proxy.tunnels(ports.https)
    );
    world.stop().await?;
    running.kill9().await.map(drop)
}

/// The road's last failure, once there is one newer than now.
async fn failure_of(world: &World, index: usize) -> Result<Value> {
    let before =
        status(world).await.unwrap_or_default()["link"]["roads"][index]["failures"].as_u64();
    let limit = Duration::from_secs(30);
    until("a failure", limit, Duration::from_millis(100), || async {
        let road = status(world).await?["link"]["roads"][index].clone();
        let newer = road["failures"].as_u64() > before || before.is_none();
        let told = road["last_failure"].is_object() && newer;
        Ok(told.then(|| road["last_failure"].clone()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_collectors_on_one_database_are_two_roads() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(database) = Server::start(dir.path()).await? else {
        println!("skipped: PostgreSQL is not installed");
        return Ok(());
    };
    let section = format!("\n[database]\nurl = \"{}\"\n", database.url);
    let (first, second) = (Ports::free()?, Ports::free()?);
    let dir_w = dir.path().join("w");
    let mut world = World::create_with(&dir_w, Broker::Embedded, first, &section).await?;
    let other = Second::start(&world, first, second).await?;
    let mut faults = Faults::new(dir.path())?;
    let roads = [
        road(&format!("mqtts://localhost:{}", first.mqtt)),
        road(&format!("mqtts://localhost:{}", second.mqtt)),
    ];
    world.enrol(&format!("{}{}", roads.concat(), faults.toml())).await?;
    world.start_agent().await?;
    on_road(&world, 0).await?;
    faults.write(200)?;
    world.take_collector().context("no collector")?.kill9().await?;
    faults.write(200)?;
    let took = on_road(&world, 1).await?;
    println!("first collector killed -9: on the second after {took:?}");
    let api = world.api_at(&format!("https://localhost:{}", second.https)).await?;
    faults.each_is_one_ticket("on the second collector", &api).await?;
    world.start_collector().await?;
    let took = on_road(&world, 0).await?;
    println!("first collector started: back on it after {took:?} (looks every 5 s)");
    faults.write(50)?;
    faults.each_is_one_ticket("back on the first", &api).await?;
    other.process.stop(Duration::from_secs(20)).await?;
    world.stop().await?;
    database.stop().await
}

/// A second collector of the same house: the same CA and database, ports of its own.
struct Second {
    process: Process,
}

impl Second {
    async fn start(world: &World, first: Ports, ports: Ports) -> Result<Self> {
        let data = world.dir.join("second");
        let from = world.data_dir().display().to_string();
        let to = data.display().to_string();
        let copied = run_any(Path::new("cp"), &["-a", &from, &to], None).await?;
        ensure!(copied.0.success(), "cp: {}", copied.2);
        let mut text = std::fs::read_to_string(world.collector_config())?.replace(&from, &to);
        for (old, new) in [
            (first.mqtt, ports.mqtt),
            (first.https, ports.https),
            (first.collector_health, ports.collector_health),
        ] {
            text = text.replace(&old.to_string(), &new.to_string());
        }
        let config = world.dir.join("second.toml");
        std::fs::write(&config, text)?;
        let config = config.display().to_string();
        let log = world.dir.join("second.log");
        let program = program("callhome-collector")?;
        let args = ["--config", &config, "serve"];
        let process = Process::start("second collector", &program, &args, &[], &log).await?;
        until(
            "the second collector",
            Duration::from_secs(30),
            Duration::from_millis(50),
            || async {
                Ok(tokio::net::TcpStream::connect(("127.0.0.1", ports.mqtt)).await.ok().map(drop))
            },
        )
        .await?;
        Ok(Second { process })
    }
}
