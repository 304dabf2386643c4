//! What the agent says has left is what left: a proxy with the test's own keys stands in the middle of
//! TLS, reads every application byte both ways, and is compared with the ledger.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use callhome_shared::heartbeat::hex;
use callhome_shared::tls::{self, ClientAuth, Identity};
use callhome_tests::harness::api::Api;
use callhome_tests::harness::free_port;
use callhome_tests::harness::logs::RotatingLog;
use callhome_tests::harness::until;
use callhome_tests::harness::world::{Broker, Ports, World};
use rustls_pki_types::ServerName;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What went through one connection in plain text.
#[derive(Default)]
struct Passed {
    out: Vec<u8>,
    r#in: u64,
}

/// Every connection in its order.
type Seen = Arc<Mutex<Vec<Arc<Mutex<Passed>>>>>;

fn held<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Terminates TLS on both sides and notes what passes.
struct Middle {
    port: u16,
    seen: Seen,
    task: tokio::task::JoinHandle<()>,
}

impl Middle {
    /// Between `port` and the collector's port `to`.
    async fn start(world: &World, port: u16, to: u16) -> Result<Self> {
        let read = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
        let server = Identity::from_pem(
            &read(&world.data_dir().join("tls/server.pem"))?,
            &read(&world.data_dir().join("tls/server.key"))?,
        )?;
        let roots = tls::read_certificates(&read(&world.ca())?)?;
        let acceptor = TlsAcceptor::from(Arc::new(tls::server_config(server, ClientAuth::None)?));
        let identity = world.state_dir().join("identity");
        // Anew for each connection: the agent renews.
        let connector = move || -> Result<TlsConnector> {
            let (chain, key) = (identity.join("agent.pem"), identity.join("agent.key"));
            let agent = Identity::from_pem(&std::fs::read(chain)?, &std::fs::read(key)?)?;
            Ok(TlsConnector::from(Arc::new(tls::client_config(&roots, Some(agent))?)))
        };
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let seen = Seen::default();
        let notes = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, notes) = (acceptor.clone(), notes.clone());
                let connector = match connector() {
                    Ok(connector) => connector,
                    Err(error) => {
                        println!("the middle: {error:#}");
                        continue;
                    }
                };
                tokio::spawn(async move {
                    if let Err(error) = carry(stream, acceptor, connector, to, &notes).await {
                        println!("the middle: {error:#}");
                    }
                });
            }
        });
        Ok(Middle { port, seen, task })
    }

    /// Bytes out and in of each connection that carried anything.
    fn counts(&self) -> Vec<(u64, u64)> {
        let seen = held(&self.seen);
        seen.iter()
            .map(|passed| {
                let passed = held(passed);
                (passed.out.len() as u64, passed.r#in)
            })
            .collect()
    }

    /// How often these words passed outwards.
    fn texts(&self, words: &str) -> usize {
        let seen = held(&self.seen);
        seen.iter().map(|p| String::from_utf8_lossy(&held(p).out).matches(words).count()).sum()
    }

    /// Bodies of the POST requests to `path`, each on a connection of its own.
    fn posted(&self, path: &str) -> Vec<Vec<u8>> {
        let head = format!("POST {path} ");
        let of = |passed: &Arc<Mutex<Passed>>| {
            let passed = held(passed);
            let end = passed.out.windows(4).position(|four| four == b"\r\n\r\n")?;
            let body = passed.out.get(end + 4..)?;
            passed.out.starts_with(head.as_bytes()).then(|| body.to_vec())
        };
        held(&self.seen).iter().filter_map(of).collect()
    }

    /// Payloads of all PUBLISH packets, by hash.
    fn published(&self) -> Result<BTreeMap<String, u64>> {
        let mut found = BTreeMap::new();
        for passed in held(&self.seen).iter() {
            for payload in publishes(&held(passed).out)? {
                *found.entry(hex(&Sha256::digest(payload))).or_default() += 1;
            }
        }
        Ok(found)
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    to: u16,
    seen: &Seen,
) -> Result<()> {
    let inner = acceptor.accept(stream).await?;
    let outer = TcpStream::connect(("127.0.0.1", to)).await?;
    let outer = connector.connect(ServerName::try_from("localhost")?, outer).await?;
    let passed = Arc::new(Mutex::new(Passed::default()));
    held(seen).push(passed.clone());
    let (from_agent, to_agent) = tokio::io::split(inner);
    let (from_collector, to_collector) = tokio::io::split(outer);
    let note = passed.clone();
    let up = copy(from_agent, to_collector, move |bytes| {
        held(&note).out.extend_from_slice(bytes);
    });
    let down = copy(from_collector, to_agent, move |bytes| {
        held(&passed).r#in += bytes.len() as u64;
    });
    tokio::join!(up, down);
    Ok(())
}

/// Notes only what was read; hands it on, and at the end the end.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut note: impl FnMut(&[u8]),
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from.read(&mut buffer).await {
            Ok(n) if n > 0 => {
                note(&buffer[..n]);
                if to.write_all(&buffer[..n]).await.is_err() || to.flush().await.is_err() {
                    break;
                }
            }
            _ => break,
        }
    }
    let _ = to.shutdown().await;
}

/// Payloads of the PUBLISH packets in a client's MQTT 5 stream (OASIS MQTT 5.0, 2.1 and 3.3).
fn publishes(mut stream: &[u8]) -> Result<Vec<&[u8]>> {
    let mut found = Vec::new();
    while let Some((first, rest)) = stream.split_first() {
        let (length, rest) = variable(rest).context("remaining length")?;
        let Some((packet, behind)) = rest.split_at_checked(length) else { break };
        stream = behind;
        if first >> 4 != 3 {
            continue;
        }
        let topic = usize::from(u16::from_be_bytes(packet.get(..2).context("topic")?.try_into()?));
        let id = if (first >> 1) & 3 > 0 { 2 } else { 0 };
        let rest = packet.get(2 + topic + id..).context("properties")?;
        let (properties, rest) = variable(rest).context("properties")?;
        found.push(rest.get(properties..).context("payload")?);
    }
    Ok(found)
}

/// A variable byte integer and what follows it.
fn variable(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

fn sources(log: &Path) -> String {
    format!(
        "[[device]]\nname = \"zq-host-77\"\n\n[[logfile]]\nname = \"zq-host-77-log\"\ndevice = \"zq-host-77\"\n\
         path = \"{}\"\nfrom = \"start\"\n\n[[logfile.pattern]]\nid = \"psu\"\n\
         match = 'PSU (?P<psu>\\S+) failed(?P<rest>.*)'\nclear = 'PSU (?P<psu>\\S+) ok'\ntype = \"psu\"\n\
         severity = \"major\"\nresource = \"PSU ${{psu}}\"\n\n\
         [probe]\ninterval_s = 3\n\n[privacy]\npseudonyms = [\"ipv4\", \"device\"]\n",
        log.display()
    )
}

/// The ledger's entries as the command line lists them.
async fn listed(world: &World) -> Result<Vec<Value>> {
    let out = world.agent_cli(&["ledger", "list", "--json"]).await?;
    out.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Connections along roads to this port, in their order: bytes out and in, or none where their end is not
/// noted.
fn connections(entries: &[Value], port: u16) -> Vec<Option<(u64, u64)>> {
    let place = format!(":{port}");
    let (mut open, mut totals) = (BTreeMap::new(), Vec::new());
    for entry in entries {
        let number = |name| number(entry, name);
        match entry["kind"].as_str() {
            Some("started") => open.clear(),
            Some("opened") if entry["road"].as_str().is_some_and(|r| r.contains(&place)) => {
                open.insert(number("connection"), totals.len());
                totals.push(None);
            }
            Some("closed") => {
                if let Some(index) = open.remove(&number("connection")) {
                    totals[index] = Some((number("bytes_out"), number("bytes_in")));
                }
            }
            _ => {}
        }
    }
    totals
}

fn number(entry: &Value, name: &str) -> u64 {
    entry[name].as_u64().unwrap_or_default()
}

/// Tickets of the faults that were written, not of anything else the collector noticed.
async fn tickets(api: &Api) -> Result<usize> {
    let all = api.all_tickets().await?;
    Ok(all.iter().filter(|t| t["resource"].as_str().is_some_and(|r| r.starts_with("PSU "))).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_equals_what_a_proxy_saw_in_plain_text() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    let mut log = RotatingLog::create(&dir.path().join("messages"))?;
    world.enrol(&sources(log.path())).await?;
    let port = free_port()?;
    let config = std::fs::read_to_string(world.agent_config())?;
    let through = format!("[collector]\nmqtt = \"mqtts://localhost:{port}\"\n");
    std::fs::write(world.agent_config(), config.replace("[collector]\n", &through))?;
    let middle = Middle::start(&world, port, world.ports.mqtt).await?;

    // Three lives of the agent: two end cleanly, one is killed.
    let api = world.api().await?;
    let mut psu = 0;
    for life in 0..3 {
        world.start_agent().await?;
        world.agent_ready().await?;
        for _ in 0..40 {
            psu += 1;
            log.line(&format!("PSU {psu} failed at 10.9.8.{psu}, password=Zq-secret-{psu}"))?;
        }
        until("all tickets", Duration::from_secs(60), Duration::from_millis(200), || async {
            Ok((tickets(&api).await? == psu).then_some(()))
        })
        .await?;
        let agent = world.take_agent().context("no agent")?;
        match life {
            1 => drop(agent.kill9().await?),
            _ => agent.stop(Duration::from_secs(20)).await?,
        }
    }
    let (text, counts) = compare(&world, &middle).await?;
    println!("{text}");
    ensure!(counts >= 3, "only {counts} connections");
    privacy(&world, &middle, psu)?;
    tampering(&world).await?;
    world.stop().await
}

/// Everything goes through the middle, along one kind of road; renewals too, which are faster than usual.
async fn all_of_it_is_counted(scheme: &str, path: &str) -> Result<()> {
    const SHORT: &str = "[certificates]\nagent_life_s = 30\n";
    let dir = tempfile::tempdir()?;
    let ports = Ports::free()?;
    let mut world =
        World::create_with(&dir.path().join("world"), Broker::Embedded, ports, SHORT).await?;
    let mut log = RotatingLog::create(&dir.path().join("messages"))?;
    world.enrol(&sources(log.path())).await?;
    let port = free_port()?;
    let config = std::fs::read_to_string(world.agent_config())?;
    let road = format!("[[collector.road]]\nurl = \"{scheme}://localhost:{port}{path}\"\n\n");
    std::fs::write(world.agent_config(), config.replace("[heartbeat]", &(road + "[heartbeat]")))?;
    let enrolment = world.state_dir().join("identity/enrolment.toml");
    let text = std::fs::read_to_string(&enrolment)?;
    let there = text.replace(&world.url(), &format!("https://localhost:{port}"));
    ensure!(there != text, "the enrolment names another address: {text}");
    std::fs::write(&enrolment, there)?;
    let middle = Middle::start(&world, port, world.ports.https).await?;
    world.start_agent().await?;
    let api = world.api().await?;
    for psu in 1..=20 {
        log.line(&format!("PSU {psu} failed at 10.9.8.{psu}, password=Zq-secret-{psu}"))?;
    }
    until("all tickets", Duration::from_secs(90), Duration::from_millis(200), || async {
        Ok((tickets(&api).await? == 20).then_some(()))
    })
    .await?;
    until("a renewal", Duration::from_secs(120), Duration::from_millis(500), || async {
        let status: Value = serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?;
        let trust = &status["agent"]["trust"];
        let connected = status["link"]["phase"] == "connected";
        Ok((number(trust, "renewed") > 0 && connected).then_some(()))
    })
    .await?;
    world.take_agent().context("no agent")?.stop(Duration::from_secs(20)).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;

    let entries = listed(&world).await?;
    let mut noted = connections(&entries, port).into_iter().collect::<Option<Vec<_>>>();
    let noted = noted.as_mut().context("a connection without an end")?;
    let mut seen = middle.counts();
    noted.sort_unstable();
    seen.sort_unstable();
    ensure!(*noted == seen, "ledger {noted:?}, proxy {seen:?}");
    let (out, r#in) = seen.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    // Requests for certificates and CAs: each on the wire is noted, by its hash.
    let bodies = middle.posted("/.well-known/est/simplereenroll");
    let of_kind = |kind: &str| entries.iter().filter(|e| e["type"] == kind).count();
    for body in &bodies {
        let hash = hex(&Sha256::digest(body));
        ensure!(
            entries.iter().any(|e| e["type"] == "renew" && e["sha256"] == hash.as_str()),
            "a request for a certificate left unnoted"
        );
    }
    let queries = middle.texts("GET /.well-known/est/cacerts");
    ensure!(!bodies.is_empty() && of_kind("renew") == bodies.len(), "{}", of_kind("renew"));
    ensure!(queries > 0 && of_kind("ca-query") >= queries, "{queries}");
    println!(
        "{scheme}: {} connections, ledger and proxy agree on {out} bytes out and {in} bytes in; {} \
         renewals, {queries} questions for CAs, all noted",
        seen.len(),
        bodies.len()
    );
    privacy(&world, &middle, 20)?;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_and_renewals_are_in_the_ledger() -> Result<()> {
    all_of_it_is_counted("wss", "/mqtt").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_delivery_and_renewals_are_in_the_ledger() -> Result<()> {
    all_of_it_is_counted("https", "").await
}

/// Bytes of each connection, and every payload.
async fn compare(world: &World, middle: &Middle) -> Result<(String, usize)> {
    // The middle notes the end of a killed connection a moment later.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let entries = listed(world).await?;
    let seen = middle.counts();
    let totals = connections(&entries, middle.port);
    ensure!(totals.len() == seen.len(), "{totals:?} in the ledger, {seen:?} seen");
    let closed = totals.iter().flatten().count();
    ensure!(closed + 1 == totals.len(), "only the killed life has no end: {totals:?}");
    let (mut out, mut r#in) = (0, 0);
    for (ledger, proxy) in totals.iter().zip(&seen) {
        let Some(ledger) = ledger else { continue };
        ensure!(ledger == proxy, "ledger {ledger:?}, proxy {proxy:?}\n{totals:?}\n{seen:?}");
        (out, r#in) = (out + ledger.0, r#in + ledger.1);
    }
    let mut noted: BTreeMap<String, u64> = BTreeMap::new();
    let sent = entries.iter().filter(|e| e["kind"] == "sent" && e["type"] != "will");
    let here = format!(":{}", middle.port);
    for entry in sent.filter(|e| e["road"].as_str().is_some_and(|road| road.contains(&here))) {
        let hash = entry["sha256"].as_str().context("no hash")?.to_owned();
        *noted.entry(hash).or_default() += 1;
    }
    let published = middle.published()?;
    // Noted before it is sent: what the kill stopped on its way was noted and not seen.
    for (hash, times) in &published {
        let there = noted.get(hash).copied().unwrap_or_default();
        ensure!(there >= *times, "payload {hash} was seen {times} times and noted {there} times");
    }
    let more = noted.values().sum::<u64>() - published.values().sum::<u64>();
    ensure!(more <= 40, "{more} payloads noted and never seen");
    let all: u64 = published.values().sum();
    let text = format!(
        "{} connections; of {closed} that ended, ledger and proxy agree on {out} bytes out and {in} bytes in; \
         {all} payloads seen, every one noted with its hash; {more} noted on their way into the kill",
        seen.len()
    );
    Ok((text, seen.len()))
}

/// Nothing that must not leave was seen on the wire or is in the state directory's files.
fn privacy(world: &World, middle: &Middle, psu: usize) -> Result<()> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for passed in held(&middle.seen).iter() {
        all.push(("the wire".to_owned(), held(passed).out.clone()));
    }
    let mut folders = vec![world.state_dir()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)?.flatten() {
            let path = entry.path();
            match entry.file_type()? {
                kind if kind.is_dir() => folders.push(path),
                kind if kind.is_file() => {
                    all.push((path.display().to_string(), std::fs::read(&path)?))
                }
                _ => {}
            }
        }
    }
    let mut pseudonyms = 0;
    for (place, bytes) in &all {
        let text = String::from_utf8_lossy(bytes);
        // How the source is configured is how its position is kept, which does not leave.
        let local = if place == "the wire" { "" } else { "zq-host-77-log" };
        let text = if local.is_empty() { text } else { text.replace(local, "").into() };
        for word in ["Zq-secret-", "10.9.8.", "zq-host-77"] {
            if let Some(at) = text.find(word) {
                let around: String = text[at..].chars().take(60).collect();
                bail!("{word} is in {place}: {around}");
            }
        }
        pseudonyms += text.matches("ip-").count();
    }
    ensure!(pseudonyms > psu, "only {pseudonyms} pseudonyms");
    println!(
        "{} places searched: no secret, no address, no name; {pseudonyms} pseudonyms",
        all.len()
    );
    Ok(())
}

/// `verify` holds, and no longer does after one byte was changed; `show` shows a payload.
async fn tampering(world: &World) -> Result<()> {
    let said = world.agent_cli(&["ledger", "verify"]).await?;
    ensure!(said.contains("the chain holds"), "{said}");
    println!("{}", said.trim());
    let entries = listed(world).await?;
    let alarm = entries.iter().rev().find(|e| e["type"] == "alarm").context("no alarm")?;
    let id = alarm["id"].as_str().context("no id")?;
    let shown = world.agent_cli(&["ledger", "show", id]).await?;
    ensure!(shown.contains("[redacted:password]") && shown.contains("\"alarm_id\""), "{shown}");
    let kinds =
        world.agent_cli(&["ledger", "list", "--kind", "heartbeat", "--since", "1h"]).await?;
    ensure!(
        kinds.lines().count() >= 3 && kinds.lines().all(|l| l.contains("heartbeat")),
        "{kinds}"
    );
    let file = world.state_dir().join("ledger/00000001.log");
    let mut bytes = std::fs::read(&file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes)?;
    let error = world.agent_cli(&["ledger", "verify"]).await.err().context("not found")?;
    let said = format!("{error:#}");
    ensure!(said.contains("00000001.log:"), "{said}");
    Ok(())
}
