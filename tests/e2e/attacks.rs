//! Attacks that were tried, and what each got. The table is printed; docs/security-attacks.md holds it.
//! Rights at the broker are in `rights.rs`, a hostile agent in `hostile.rs`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callhome_shared::envelope::{Envelope, Kind as Type, Lane};
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::time::Time;
use callhome_shared::tls;
use callhome_tests::harness::identity::{self, Claim};
use callhome_tests::harness::mqtt::{Client, Connect, HERE, tcp_connect, tls_connect};
use callhome_tests::harness::process::run_any;
use callhome_tests::harness::until;
use callhome_tests::harness::world::{Broker, Ports, World, plain_get};
use reqwest::header;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const EVE: &str = "eve-1";

/// What was tried and what it got.
#[derive(Default)]
struct Table(Vec<(String, String)>);

impl Table {
    fn row(&mut self, attack: impl Into<String>, got: impl Into<String>) {
        let (attack, got) = (attack.into(), got.into());
        println!("{attack:<64} {got}");
        self.0.push((attack, got));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attacks_and_what_they_got() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    world.enrol("").await?;
    world.start_agent().await?;
    let eve = identity::enrol(&world, EVE).await?;
    let mut table = Table::default();
    // Needs its time, and nothing of ours meanwhile.
    let idle = tokio::spawn(idle_connections(world.ports));
    certificates(&world, &mut table).await?;
    names(&world, &mut table).await?;
    envelopes(&world, &eve, &mut table).await?;
    downgrades(&world, &mut table).await?;
    paths(&world, &mut table).await?;
    web(&world, &mut table).await?;
    log_injection(&world, &eve, &mut table).await?;
    for (attack, got) in idle.await?? {
        table.row(attack, got);
    }
    println!("{} attacks", table.0.len());
    ensure!(table.0.len() >= 60, "only {} attacks were tried", table.0.len());
    world.stop().await
}

/// Certificates that nobody should accept, at the MQTT port.
async fn certificates(world: &World, table: &mut Table) -> Result<()> {
    let claim = Claim::agent(EVE);
    let named = |cn: &str, id: &str| Claim {
        cn: cn.to_owned(),
        uri: format!("urn:callhome:agent:{id}"),
        expired: false,
    };
    let mut tried = vec![
        ("none".to_owned(), None),
        ("self-signed".to_owned(), Some(identity::self_signed(&claim)?)),
        ("by a CA of the same name".to_owned(), Some(identity::foreign_ca(&claim)?)),
        (
            "expired".to_owned(),
            Some(identity::misissued(world, &Claim { expired: true, ..claim.clone() })?),
        ),
    ];
    for (cn, id) in [
        ("+", "+"),
        ("#", "#"),
        ("a/b", "a/b"),
        ("eve.session", "eve.session"),
        (EVE, "site-1"),
        ("site-1", EVE),
    ] {
        let identity = identity::misissued(world, &named(cn, id))?;
        tried.push((format!("by our CA, CN {cn}, URI …:{id}"), Some(identity)));
    }
    let unknown = identity::misissued(world, &named("nobody", "nobody"))?;
    tried.push(("by our CA, an agent that was never enrolled".to_owned(), Some(unknown)));
    let roots = identity::roots(world)?;
    for (name, identity) in tried {
        let got = Client::connect(world.ports.mqtt, &roots, identity, &Connect::new(EVE)).await?;
        let said = got.err().with_context(|| format!("certificate {name} was let in"))?;
        table.row(format!("certificate: {name}"), short(&said));
    }
    Ok(())
}

fn short(text: &str) -> String {
    let text = text.split(": https://").next().unwrap_or(text);
    text.chars().take(90).collect()
}

/// Names that could be misread in a topic, a path or a log: refused where they are made.
async fn names(world: &World, table: &mut Table) -> Result<()> {
    let config = world.collector_config().display().to_string();
    let program = callhome_tests::harness::program("callhome-collector")?;
    for id in ["+", "#", "a/b", "../../etc/x", "a.session", "a b", "a\nb", "a\u{1b}[31m", ""] {
        let args = ["--config", &config, "agent", "token", id];
        let (status, _, err) = run_any(&program, &args, None).await?;
        ensure!(!status.success(), "a token for {id:?}");
        ensure!(!err.contains('\u{1b}'), "the terminal is steered by {id:?}: {err:?}");
        table.row(format!("agent id {id:?} at `agent token`"), format!("exit {}", code(status)));
    }
    Ok(())
}

fn code(status: std::process::ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

fn alarm(device: &str, resource: &str, text: &str) -> Vec<u8> {
    json!({
        "alarm_id": new_uuid(), "transition": "raised", "severity": "major", "type": "disk-failed",
        "message": {"key": "text", "arguments": {"what": text}}, "text": text,
        "device": {"id": device, "name": device}, "resource": resource,
        "observed_at": Time::now(), "rule": {"pack": "config", "version": "1", "id": "x"}
    })
    .to_string()
    .into_bytes()
}

fn envelope(source: &str, epoch: uuid::Uuid, seq: u64, data: Vec<u8>) -> Result<Envelope> {
    Ok(Envelope {
        id: new_uuid(),
        source: AgentId::new(source)?,
        kind: Type::Alarm,
        time: Time::now(),
        epoch,
        lane: Lane::Alarm,
        seq,
        data,
    })
}

async fn counted(world: &World, what: &str) -> Result<u64> {
    let metrics = plain_get(world.ports.collector_health, "/metrics").await?;
    let line = metrics.lines().find(|l| l.contains(what));
    Ok(line.and_then(|l| l.rsplit(' ').next()).and_then(|n| n.parse().ok()).unwrap_or(0))
}

/// Sends it and waits until `counter` has grown.
async fn sent(world: &World, client: &mut Client, e: &Envelope, counter: &str) -> Result<()> {
    let before = counted(world, counter).await?;
    let topic = format!("callhome/v1/{EVE}/up/event");
    let got = client.publish_with(&topic, &e.user_properties(), &e.data, false).await;
    ensure!(got.allowed(), "{counter}: {got}");
    until(counter, Duration::from_secs(20), Duration::from_millis(50), || async {
        Ok((counted(world, counter).await? > before).then_some(()))
    })
    .await
}

/// Replays, forgeries, and payloads that are too large or too deep.
async fn envelopes(world: &World, eve: &std::path::Path, table: &mut Table) -> Result<()> {
    let roots = identity::roots(world)?;
    let own = || identity::read(eve);
    let connect = Connect::new(EVE);
    let open = || async {
        let got = Client::connect(world.ports.mqtt, &roots, Some(own()?), &connect).await?;
        got.map_err(|why| anyhow::anyhow!("eve: {why}"))
    };
    let mut client = open().await?;
    let epoch = new_uuid();
    let first = envelope(EVE, epoch, 1, alarm("EVE", "Disk 1", "failed"))?;
    sent(world, &mut client, &first, "outcome=\"applied\"").await?;
    let tickets = world.api().await?.all_tickets().await?.len();
    for _ in 0..3 {
        sent(world, &mut client, &first, "outcome=\"duplicate\"").await?;
    }
    table.row("envelope replayed three times", "known: acknowledged again, nothing changed");
    let forged = envelope(EVE, epoch, 1, alarm("EVE", "Disk 2", "failed"))?;
    sent(world, &mut client, &forged, "reason=\"duplicate-seq\"").await?;
    table.row("another envelope under a used number", "rejected: duplicate-seq");
    let others = envelope("site-1", epoch, 2, alarm("EVE", "Disk 3", "failed"))?;
    sent(world, &mut client, &others, "reason=\"source-mismatch\"").await?;
    table.row("envelope in another agent's name on her own topic", "rejected: source-mismatch");
    let deep = [b"[".repeat(60_000), b"{\"a\":".repeat(20_000)];
    for (n, data) in deep.into_iter().enumerate() {
        let e = envelope(EVE, epoch, 3 + n as u64, data)?;
        sent(world, &mut client, &e, "reason=\"bad-payload\"").await?;
        table.row(["60,000 nested arrays", "20,000 nested objects"][n], "rejected: bad-payload");
    }
    let large = envelope(EVE, epoch, 5, vec![b' '; 140 * 1024])?;
    sent(world, &mut client, &large, "reason=\"too-large\"").await?;
    table.row("a payload of 140 KiB", "rejected: too-large");
    let topic = format!("callhome/v1/{EVE}/up/event");
    let got = client.publish(&topic, &vec![b'x'; 1024 * 1024], false).await;
    ensure!(!got.allowed(), "a packet of 1 MiB was taken");
    table.row("a packet of 1 MiB", short(&got.to_string()));
    let many: Vec<(String, String)> = (0..2000).map(|n| (format!("x{n}"), "y".into())).collect();
    let mut client = open().await?;
    let got = client.publish_with(&topic, &many, b"{}", false).await;
    table.row("2,000 user properties", format!("{got}, then rejected: bad-envelope"));
    let now = world.api().await?.all_tickets().await?.len();
    ensure!(now == tickets, "{now} tickets instead of {tickets}");
    Ok(())
}

/// Old TLS and weak ciphers, with openssl as the attacker.
async fn downgrades(world: &World, table: &mut Table) -> Result<()> {
    let openssl = std::path::Path::new("/usr/bin/openssl");
    if !openssl.exists() {
        println!("SKIPPED: TLS downgrade, openssl is not installed");
        return Ok(());
    }
    let tried: [(&str, &[&str], bool); 8] = [
        ("TLS 1.0", &["-tls1", "-cipher", "ALL:@SECLEVEL=0"], false),
        ("TLS 1.1", &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], false),
        (
            "TLS 1.2, RSA key exchange",
            &["-tls1_2", "-cipher", "AES128-SHA:AES256-GCM-SHA384:@SECLEVEL=0"],
            false,
        ),
        (
            "TLS 1.2, CBC",
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"],
            false,
        ),
        ("TLS 1.2, no encryption", &["-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"], false),
        ("TLS 1.2, anonymous", &["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"], false),
        ("TLS 1.2 as it should be", &["-tls1_2"], true),
        ("TLS 1.3", &["-tls1_3"], true),
    ];
    for (listener, port) in [("mqtt", world.ports.mqtt), ("https", world.ports.https)] {
        let to = format!("localhost:{port}");
        for (name, options, wanted) in tried {
            let mut args = vec!["s_client", "-connect", &to, "-servername", "localhost"];
            args.extend(options);
            let (_, out, err) = run_any(openssl, &args, Some("")).await?;
            let agreed = out
                .lines()
                .find_map(|l| l.split_once("Cipher is ").map(|(_, cipher)| cipher.trim()))
                .filter(|cipher| *cipher != "(NONE)");
            ensure!(agreed.is_some() == wanted, "{listener}, {name}: {agreed:?}\n{out}{err}");
            table.row(format!("{listener}: {name}"), agreed.unwrap_or("no handshake"));
        }
    }
    Ok(())
}

/// Ways out of the console's folder, sent as they are.
async fn paths(world: &World, table: &mut Table) -> Result<()> {
    let roots = identity::roots(world)?;
    for path in [
        "/../../../../etc/passwd",
        "/..%2f..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/ca/ca.key",
        "/assets/../../ca/ca.key",
        "/assets/..%2f..%2fca%2fca.key",
        "/assets/%2e%2e%5c%2e%2e%5cca.key",
        "/assets/..\\..\\ca\\ca.key",
        "//etc/passwd",
        "/assets//etc/passwd",
        "/assets/index.html%00.css",
        "/api/v1/tickets/..%2f..%2fusers",
        "/api/v1/../../etc/passwd",
    ] {
        let mut stream = tls_connect(HERE, world.ports.https, &roots, None).await?;
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        // A server that closes without a goodbye has answered all the same.
        let _ = tokio::time::timeout(Duration::from_secs(20), reading).await?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        ensure!(!text.contains("PRIVATE KEY") && !text.contains("root:x:"), "{path}:\n{text}");
        let status = text.split(' ').nth(1).unwrap_or("closed").to_owned();
        let page = text.to_lowercase().contains("content-type: text/html");
        ensure!(page || !status.starts_with('2'), "{path} was answered:\n{text}");
        let what = if page { "the start page" } else { "nothing" };
        table.row(format!("GET {path}"), format!("{status}, {what}"));
    }
    Ok(())
}

/// Log-in, sessions, cross-site requests.
async fn web(world: &World, table: &mut Table) -> Result<()> {
    let config = tls::client_config(&identity::roots(world)?, None)?;
    let client = reqwest::Client::builder().tls_backend_preconfigured(config).build()?;
    let post = |path: &str| client.post(format!("{}/api/v1/{path}", world.url()));
    let good = world.reader_password().await?;

    // Fixation: a cookie that the attacker chose must not become the victim's session.
    let planted = "callhome_session=attackers-choice-attackers-choice-4711";
    let answer = post("login")
        .header(header::COOKIE, planted)
        .header(header::CONTENT_TYPE, "application/json")
        .body(login(&good))
        .send()
        .await?;
    ensure!(answer.status() == 200, "log-in: {}", answer.status());
    let cookie = answer.headers()[header::SET_COOKIE].to_str()?.to_owned();
    ensure!(!cookie.contains("attackers-choice"), "the planted session was taken: {cookie}");
    for attribute in ["HttpOnly", "Secure", "SameSite=Strict"] {
        ensure!(cookie.contains(attribute), "the cookie lacks {attribute}");
    }
    let me = client.get(format!("{}/api/v1/me", world.url()));
    let status = me.header(header::COOKIE, planted).send().await?.status();
    ensure!(status == 401, "the planted session lives: {status}");
    table.row(
        "session fixation: a planted cookie",
        "a new session was made, the planted one is 401",
    );

    // Cross-site: the victim's cookie, but not the token from the victim's page.
    let session = cookie.split(';').next().unwrap_or_default().to_owned();
    for (name, kind, token, body) in [
        ("a form from another site", "application/x-www-form-urlencoded", None, "a=b"),
        ("JSON as text/plain", "text/plain", None, "{}"),
        ("JSON without the token", "application/json", None, "{}"),
        ("JSON with a made-up token", "application/json", Some("made-up"), "{}"),
    ] {
        let mut request = post("logout")
            .header(header::COOKIE, &session)
            .header(header::ORIGIN, "https://evil.example")
            .header(header::CONTENT_TYPE, kind)
            .body(body);
        if let Some(token) = token {
            request = request.header("x-csrf-token", token);
        }
        let status = request.send().await?.status();
        ensure!(status == 403 || status == 415, "{name}: {status}");
        table.row(format!("CSRF: {name}"), status.to_string());
    }
    let me = client.get(format!("{}/api/v1/me", world.url()));
    let status = me.header(header::COOKIE, &session).send().await?.status();
    ensure!(status == 200, "the victim was logged out: {status}");
    guesses(world, &client, &good, table).await
}

/// The body of a log-in.
fn login(password: &str) -> String {
    json!({"name": "harness", "password": password}).to_string()
}

/// Bodies that are no log-in, and guessed passwords.
async fn guesses(
    world: &World,
    client: &reqwest::Client,
    good: &str,
    table: &mut Table,
) -> Result<()> {
    let post = |path: &str| client.post(format!("{}/api/v1/{path}", world.url()));
    for (name, body) in [
        ("60,000 nested arrays", "[".repeat(60_000)),
        ("100 KiB", format!("\"{}\"", "x".repeat(100 * 1024))),
    ] {
        let request = post("login").header(header::CONTENT_TYPE, "application/json").body(body);
        let status = request.send().await?.status();
        ensure!(status.is_client_error(), "{name}: {status}");
        table.row(format!("log-in with {name}"), status.to_string());
    }
    let mut tries = 0;
    let refused = loop {
        tries += 1;
        let request = post("login").header(header::CONTENT_TYPE, "application/json");
        let answer = request.body(login(&format!("guess-{tries}-guess"))).send().await?;
        if answer.status() == 429 {
            break answer;
        }
        ensure!(answer.status() == 401 && tries < 30, "guess {tries}: {}", answer.status());
    };
    let wait = refused.headers()[header::RETRY_AFTER].to_str()?.to_owned();
    table.row("guessing a password", format!("{} guesses, then 429 (wait {wait} s)", tries - 1));
    let request = post("login").header(header::CONTENT_TYPE, "application/json");
    let status = request.body(login(good)).send().await?.status();
    ensure!(status == 429, "the right password in the middle of guessing: {status}");
    Ok(())
}

/// Texts that want to begin a log line of their own or to steer a terminal.
async fn log_injection(world: &World, eve: &std::path::Path, table: &mut Table) -> Result<()> {
    const EVIL: &str =
        "x\n2026-01-01T00:00:00Z ERROR FORGED\r\nFORGED \u{1b}[2J\u{1b}]0;pwned\u{7}\u{202e}";
    let roots = identity::roots(world)?;
    let own = identity::read(eve)?;
    let connect = Connect::new(EVE);
    let got = Client::connect(world.ports.mqtt, &roots, Some(own), &connect).await?;
    let mut client = got.map_err(|why| anyhow::anyhow!("eve: {why}"))?;
    let epoch = new_uuid();
    let evil = envelope(EVE, epoch, 1, alarm(EVIL, EVIL, EVIL))?;
    sent(world, &mut client, &evil, "outcome=\"applied\"").await?;
    let mut named = envelope(EVE, epoch, 2, alarm("EVE", "Disk 9", "x"))?;
    named.kind = Type::Other(EVIL.to_owned());
    sent(world, &mut client, &named, "reason=\"unknown-type\"").await?;
    let got = client.publish(EVIL, b"x", false).await;
    ensure!(!got.allowed(), "a topic with control characters: {got}");
    let connect = Connect::new(EVIL);
    let again = Some(identity::read(eve)?);
    let got = Client::connect(world.ports.mqtt, &roots, again, &connect).await?;
    ensure!(got.is_err(), "a client id with control characters");
    // HTTP: names, paths and headers.
    let config = tls::client_config(&roots, None)?;
    let web = reqwest::Client::builder().tls_backend_preconfigured(config).build()?;
    let body = json!({"name": EVIL, "password": EVIL}).to_string();
    let login = web.post(format!("{}/api/v1/login", world.url()));
    login.header(header::CONTENT_TYPE, "application/json").body(body).send().await?;
    let path = "/api/v1/tickets/x%0a2026%20ERROR%20FORGED%1b%5b2J";
    let get = web.get(format!("{}{path}", world.url())).header("user-agent", "x\u{9b}FORGED");
    get.send().await?;
    table.row("log injection: alarm, type, topic, client id, log-in, path", "see the next rows");

    let log = std::fs::read_to_string(world.dir.join("collector.log"))?;
    let bad: Vec<&str> = log
        .lines()
        .filter(|l| {
            l.trim_start().starts_with("FORGED") || l.starts_with("2026-01-01") || steers(l)
        })
        .collect();
    ensure!(bad.is_empty(), "lines that the attacker wrote: {bad:?}");
    let lines = log.lines().filter(|l| l.contains("FORGED")).count();
    table.row(
        "… the collector's log",
        format!("{lines} lines tell of it, each on one line, escaped"),
    );
    let list = world.collector_cli(&["ticket", "list"]).await?;
    let row = list.lines().find(|l| l.contains("FORGED")).context("the ticket is not listed")?;
    let number = row.split_whitespace().next().unwrap_or_default().to_owned();
    let show = world.collector_cli(&["ticket", "show", &number]).await?;
    let agents = world.collector_cli(&["agent", "list"]).await?;
    for (command, out) in [("ticket list", list), ("ticket show", show), ("agent list", agents)] {
        ensure!(!out.lines().any(steers), "{command} steers the terminal:\n{out:?}");
        let own_line = out.lines().any(|l| l.trim_start().starts_with("FORGED"));
        ensure!(!own_line, "{command}: the attacker's line:\n{out}");
        table.row(format!("… `{command}`"), "harmless");
    }
    Ok(())
}

fn steers(line: &str) -> bool {
    line.chars().any(|c| c != '\t' && callhome_shared::logging::steers(c))
}

/// Connections that say nothing, on every port: how long they are borne.
async fn idle_connections(ports: Ports) -> Result<Vec<(String, String)>> {
    let listeners = [
        ("the collector's mqtt port", ports.mqtt),
        ("the collector's https port", ports.https),
        ("the collector's health port", ports.collector_health),
        ("the agent's health port", ports.agent_health),
    ];
    let mut waiting = Vec::new();
    for (name, port) in listeners {
        for half in ["", "G", "\u{16}\u{3}\u{1}"] {
            let mut tcp = tcp_connect(HERE, port).await?;
            tcp.write_all(half.as_bytes()).await?;
            waiting.push((name, half, tcp));
        }
    }
    let mut rows = Vec::new();
    let start = Instant::now();
    for (name, half, mut tcp) in waiting {
        let mut rest = Vec::new();
        let reading = tcp.read_to_end(&mut rest);
        let closed = tokio::time::timeout(Duration::from_secs(60), reading).await;
        ensure!(closed.is_ok(), "{name} bears a connection with {half:?} for ever");
        let said = format!("closed within {:.0} s", start.elapsed().as_secs_f64().ceil());
        rows.push((format!("{name}: a connection that says {half:?}"), said));
    }
    Ok(rows)
}
