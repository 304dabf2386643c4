//! Who may do what at the broker: one table, tried both ways against the embedded broker and against
//! mosquitto with the configuration that is shipped (dynamic security plugin, rights kept by the
//! collector). What is allowed must work; what is not must be refused when it is asked for.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_shared::tls::Identity;
use callhome_tests::harness::identity::{self, Claim};
use callhome_tests::harness::mosquitto::plugin;
use callhome_tests::harness::mqtt::{Client, Connect, Got};
use callhome_tests::harness::process::Process;
use callhome_tests::harness::until;
use callhome_tests::harness::world::{AGENT, Broker, Ports, World, mosquitto_program, plain_get};
use rustls::pki_types::CertificateDer;

/// What is tried. `alpha` is the agent whose topics are meant.
#[derive(Clone, Copy, Debug)]
enum Act {
    Publish(&'static str),
    Retained(&'static str),
    Subscribe(&'static str),
    /// Connect with a last will on this topic.
    Will(&'static str),
    RetainedWill(&'static str),
}
use Act::{Publish, Retained, RetainedWill, Subscribe, Will};

/// Columns: alpha · alpha's second connection (`alpha.session`) · beta, another agent · the collector
/// (mosquitto only: the embedded broker lets no collector in). `y`: allowed, `-`: refused.
const RIGHTS: &[(Act, &str)] = &[
    (Publish("callhome/v1/alpha/up/event"), "yy--"),
    (Publish("callhome/v1/alpha/up/bulk"), "yy--"),
    (Publish("callhome/v1/alpha/up/heartbeat"), "yy--"),
    (Publish("callhome/v1/alpha/up/session/7"), "yy--"),
    (Publish("callhome/v1/alpha/up/session/7/8"), "----"),
    (Publish("callhome/v1/alpha/up/other"), "----"),
    (Publish("callhome/v1/alpha/up/event/x"), "----"),
    (Publish("callhome/v1/alpha/up"), "----"),
    (Publish("callhome/v1/+/up/event"), "----"),
    (Publish("callhome/v1/alpha/down/ack"), "---y"),
    (Publish("callhome/v1/alpha/down/control"), "---y"),
    (Publish("callhome/v1/alpha"), "----"),
    (Publish("other/topic"), "----"),
    (Publish("/callhome/v1/alpha/up/event"), "----"),
    (Publish("$SYS/broker/load"), "----"),
    (Publish("$CONTROL/dynamic-security/v1"), "----"),
    (Publish("$share/g/callhome/v1/alpha/up/event"), "----"),
    (Retained("callhome/v1/alpha/up/event"), "----"),
    (Retained("callhome/v1/alpha/down/ack"), "----"),
    (Subscribe("callhome/v1/alpha/down/#"), "yy--"),
    (Subscribe("callhome/v1/alpha/down/ack"), "yy--"),
    (Subscribe("callhome/v1/alpha/down/+"), "yy--"),
    (Subscribe("callhome/v1/alpha/up/#"), "---y"),
    (Subscribe("callhome/v1/alpha/#"), "----"),
    (Subscribe("callhome/v1/+/down/#"), "----"),
    (Subscribe("callhome/v1/+/up/#"), "---y"),
    (Subscribe("callhome/#"), "----"),
    (Subscribe("+/+/alpha/down/#"), "----"),
    (Subscribe("+/+/+/+/+"), "----"),
    (Subscribe("#"), "----"),
    (Subscribe("+"), "----"),
    (Subscribe("$SYS/#"), "----"),
    (Subscribe("$CONTROL/#"), "----"),
    (Subscribe("$CONTROL/dynamic-security/v1/response"), "----"),
    (Subscribe("$share/g/callhome/v1/alpha/down/#"), "----"),
    (Subscribe("$share/collectors/callhome/v1/+/up/#"), "----"),
    (Subscribe("$share/g/#"), "----"),
    (Subscribe("$share/callhome/v1/alpha/down/#"), "----"),
    (Will("callhome/v1/alpha/up/heartbeat"), "yy--"),
    (Will("callhome/v1/alpha/up/other"), "----"),
    (Will("callhome/v1/alpha/down/ack"), "---y"),
    (Will("$SYS/x"), "----"),
    (Will("callhome/v1/+/up/heartbeat"), "----"),
    (RetainedWill("callhome/v1/alpha/up/heartbeat"), "----"),
];

/// Somebody with a certificate and a client id.
struct Principal {
    name: &'static str,
    identity: Identity,
    client_id: &'static str,
}

struct House {
    world: World,
    roots: Vec<CertificateDer<'static>>,
    alpha: PathBuf,
    beta: PathBuf,
    gamma: PathBuf,
}

impl House {
    async fn start(broker: Broker, dir: &tempfile::TempDir) -> Result<House> {
        let world = World::create(&dir.path().join("world"), broker, Ports::free()?).await?;
        let roots = identity::roots(&world)?;
        let alpha = identity::enrol(&world, "alpha").await?;
        let beta = identity::enrol(&world, "beta").await?;
        let gamma = identity::enrol(&world, "gamma").await?;
        Ok(House { world, roots, alpha, beta, gamma })
    }

    fn dynsec(&self) -> bool {
        self.world.broker == Broker::MosquittoDynsec
    }

    fn collector(&self) -> Result<Identity> {
        let tls = self.world.data_dir().join("tls");
        identity::pair(&tls.join("collector.pem"), &tls.join("collector.key"))
    }

    async fn connect(
        &self,
        identity: Option<&Identity>,
        connect: &Connect,
    ) -> Result<Result<Client, String>> {
        let identity = identity.map(identity::again);
        Client::connect(self.world.ports.mqtt, &self.roots, identity, connect).await
    }

    /// Until the collector is connected to its broker.
    async fn ready(&self) -> Result<()> {
        let every = Duration::from_millis(200);
        until("the collector ready", Duration::from_secs(60), every, || async {
            Ok(plain_get(self.world.ports.collector_health, "/readyz").await.ok())
        })
        .await
        .map(drop)
    }

    /// Until the broker knows the agent's rights (they are brought to it after the enrolment).
    async fn known(&self, identity: &Identity, id: &str) -> Result<Client> {
        let topic = format!("callhome/v1/{id}/down/#");
        let every = Duration::from_millis(200);
        until(&format!("rights of {id}"), Duration::from_secs(60), every, || async {
            let Ok(mut client) = self.connect(Some(identity), &Connect::new(id)).await? else {
                return Ok(None);
            };
            Ok(client.subscribe(&topic).await.allowed().then_some(client))
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_embedded_broker() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let house = House::start(Broker::Embedded, &dir).await?;
    table(&house).await?;
    connects(&house).await?;
    revoked(&house).await?;
    house.world.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_mosquitto_dynamic_security() -> Result<()> {
    if mosquitto_program().is_none() || plugin().is_none() {
        println!("SKIPPED: mosquitto or its dynamic security plugin is not installed");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let mut house = House::start(Broker::MosquittoDynsec, &dir).await?;
    table(&house).await?;
    wills(&house).await?;
    house.ready().await?;
    connects(&house).await?;
    revoked(&house).await?;
    synced(&house).await?;
    // And the real agent's fault gets its ticket over exactly this.
    house.world.enrol("").await?;
    house.world.start_agent().await?;
    house.world.agent_ready().await?;
    let out = house.world.agent_cli(&["test", "--timeout", "60"]).await?;
    println!("a real agent's test alarm: {}", out.trim());
    ensure!(out.contains("T-"), "no ticket: {out}");
    house.world.stop().await
}

/// Every row for every principal.
async fn table(house: &House) -> Result<()> {
    let alpha = identity::read(&house.alpha)?;
    house.known(&alpha, "alpha").await?;
    let beta = identity::read(&house.beta)?;
    house.known(&beta, "beta").await?;
    let principals = [
        Principal { name: "alpha", identity: identity::again(&alpha), client_id: "alpha" },
        Principal { name: "alpha.session", identity: alpha, client_id: "alpha.session" },
        Principal { name: "beta", identity: beta, client_id: "beta" },
        Principal { name: "collector", identity: house.collector()?, client_id: "collector-2" },
    ];
    // On mosquitto the collector itself is the fourth: it must not be thrown out meanwhile.
    let columns = if house.dynsec() { 4 } else { 3 };
    let mut wrong = Vec::new();
    let mut tried = [0_usize; 2];
    for (column, principal) in principals.iter().enumerate().take(columns) {
        if principal.name == "collector" {
            // Both have one name there, and the newer connection wins.
            stop_collector(house)?;
        }
        let mut client = None;
        for (act, expected) in RIGHTS {
            let wanted = expected.as_bytes()[column] == b'y';
            let got = attempt(house, principal, &mut client, *act).await?;
            // mosquitto looks at a will's topic when it is to be published; see `wills`.
            let later = house.dynsec() && matches!(act, Will(_)) && !wanted;
            if later {
                println!("{:<14} {act:?}: {got}, refused when it is due", principal.name);
                continue;
            }
            tried[usize::from(wanted)] += 1;
            if got.allowed() != wanted {
                wrong.push(format!("{} {act:?}: {got}", principal.name));
            }
            println!("{:<14} {act:?}: {got}", principal.name);
        }
        if principal.name == "collector" {
            go_on_collector(house)?;
        }
    }
    println!(
        "{:?}: {} allowed and {} refused as the table says",
        house.world.broker, tried[1], tried[0]
    );
    ensure!(wrong.is_empty(), "not as the table says:\n{}", wrong.join("\n"));
    Ok(())
}

fn signal(house: &House, signal: rustix::process::Signal) -> Result<()> {
    let id = house.world.collector().and_then(Process::id).context("no collector")?;
    let pid = rustix::process::Pid::from_raw(i32::try_from(id)?).context("pid")?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

fn stop_collector(house: &House) -> Result<()> {
    signal(house, rustix::process::Signal::STOP)
}

fn go_on_collector(house: &House) -> Result<()> {
    signal(house, rustix::process::Signal::CONT)
}

async fn attempt(
    house: &House,
    who: &Principal,
    client: &mut Option<Client>,
    act: Act,
) -> Result<Got> {
    let plain = Connect::new(who.client_id);
    let connect = match act {
        Will(topic) => plain.will(topic, false),
        RetainedWill(topic) => plain.will(topic, true),
        _ => plain,
    };
    if matches!(act, Will(_) | RetainedWill(_)) {
        *client = None;
        let got = house.connect(Some(&who.identity), &connect).await?;
        return Ok(match got {
            Ok(mut connection) => {
                // Said goodbye: the will is not wanted here, only the right to it.
                connection.send(&[0xe0, 0]).await?;
                Got::Allowed
            }
            Err(why) => Got::Denied(why),
        });
    }
    // A refusal may have closed the connection of the row before.
    let mut usable = client.take();
    if let Some(open) = &mut usable
        && !open.alive().await
    {
        usable = None;
    }
    let mut open = match usable {
        Some(open) => open,
        None => {
            let opened = house.connect(Some(&who.identity), &connect).await?;
            opened.map_err(|why| anyhow::anyhow!("{} cannot connect: {why}", who.name))?
        }
    };
    let got = match act {
        Publish(topic) => open.publish(topic, b"{}", false).await,
        Retained(topic) => open.publish(topic, b"{}", true).await,
        Subscribe(filter) => open.subscribe(filter).await,
        Will(_) | RetainedWill(_) => Got::Allowed,
    };
    *client = Some(open);
    Ok(got)
}

/// mosquitto takes a last will on any topic, and refuses to publish a forbidden one when it is due.
async fn wills(house: &House) -> Result<()> {
    let topic = "callhome/v1/alpha/down/ack";
    let mut alpha = house.known(&identity::read(&house.alpha)?, "alpha").await?;
    let beta = identity::read(&house.beta)?;
    stop_collector(house)?;
    for (who, identity, wanted) in [("beta", beta, false), ("main", house.collector()?, true)] {
        let connect = Connect::new(who).will(topic, false);
        let client = house.connect(Some(&identity), &connect).await?;
        // No DISCONNECT: the will is due.
        drop(client.map_err(|why| anyhow::anyhow!("{who}: {why}"))?);
        let read = tokio::time::timeout(Duration::from_secs(3), alpha.read()).await;
        let came = matches!(&read, Ok(Ok(packet)) if packet.first & 0xf0 == 0x30);
        println!("{who}'s will on {topic}: {}", if came { "published" } else { "not published" });
        ensure!(came == wanted, "{who}'s will on {topic}: came {came}, {read:?}");
    }
    go_on_collector(house)
}

/// Who gets in, and as whom.
async fn connects(house: &House) -> Result<()> {
    let alpha = identity::read(&house.alpha)?;
    let beta = identity::read(&house.beta)?;
    let mut other = house.known(&beta, "beta").await?;
    for id in ["beta", "main", "$collector", "callhome-collector-main", "", "alpha.other", "a+b/#"]
    {
        let got = house.connect(Some(&alpha), &Connect::new(id)).await?;
        let mut said = got.as_ref().err().cloned().unwrap_or("let in".into());
        if let (true, Ok(mut client)) = (house.dynsec(), got) {
            // mosquitto renames it to what its certificate says: it can do what alpha can, no more.
            ensure!(client.subscribe("callhome/v1/alpha/down/#").await.allowed(), "as {id:?}");
            ensure!(!client.subscribe("callhome/v1/beta/down/#").await.allowed(), "as {id:?}");
            said = "let in as alpha".into();
        } else {
            ensure!(said != "let in", "alpha came in as {id:?}");
        }
        println!("alpha's certificate, client id {id:?}: {said}");
        ensure!(other.alive().await, "beta was thrown out by {id:?}");
    }
    let old = Connect { version: 4, ..Connect::new("alpha") };
    let got = house.connect(Some(&alpha), &old).await?.err();
    println!("MQTT 3.1.1: {got:?}");
    ensure!(house.dynsec() || got.is_some(), "MQTT 3.1.1 was let in");

    let claim = Claim::agent("alpha");
    let expired = Claim { expired: true, ..claim.clone() };
    let strangers = [
        ("no certificate", None),
        ("self-signed", Some(identity::self_signed(&claim)?)),
        ("foreign CA of the same name", Some(identity::foreign_ca(&claim)?)),
        ("expired", Some(identity::misissued(&house.world, &expired)?)),
    ];
    for (name, identity) in &strangers {
        let got = house.connect(identity.as_ref(), &Connect::new("alpha")).await?;
        let said = got.err().with_context(|| format!("{name} was let in"))?;
        println!("{name}: {said}");
    }
    if !house.dynsec() {
        let collector = house.collector()?;
        let got = house.connect(Some(&collector), &Connect::new("main")).await?;
        println!("the collector's certificate: {}", got.err().context("the collector was let in")?);
    }
    ensure!(other.alive().await, "beta was thrown out");
    // The collector's own connection has outlived all of that.
    house.ready().await?;
    Ok(())
}

/// A revoked agent: its live connection ends, and it gets nothing any more.
async fn revoked(house: &House) -> Result<()> {
    let gamma = identity::read(&house.gamma)?;
    let mut live = house.known(&gamma, "gamma").await?;
    let beta = identity::read(&house.beta)?;
    let mut other = house.known(&beta, "beta").await?;
    house.world.collector_cli(&["agent", "revoke", "gamma"]).await?;
    let start = std::time::Instant::now();
    while live.alive().await {
        ensure!(
            start.elapsed() < Duration::from_secs(60),
            "gamma is still connected after a minute"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("revoked: its connection was closed after {:.1} s", start.elapsed().as_secs_f64());
    match house.connect(Some(&gamma), &Connect::new("gamma")).await? {
        Err(why) => println!("revoked, connects again: {why}"),
        Ok(mut client) => {
            ensure!(house.dynsec(), "gamma came in again");
            for act in ["up/event", "up/heartbeat"] {
                let got = client.publish(&format!("callhome/v1/gamma/{act}"), b"{}", false).await;
                println!("revoked, let in again by mosquitto, publishes: {got}");
                ensure!(!got.allowed(), "gamma publishes again");
            }
            let got = client.subscribe("callhome/v1/gamma/down/#").await;
            println!("revoked, let in again by mosquitto, subscribes: {got}");
            ensure!(!got.allowed(), "gamma subscribes again");
        }
    }
    ensure!(other.alive().await, "beta was thrown out with gamma");
    Ok(())
}

/// `broker sync` finds everything in order, and puts right what was made wrong.
async fn synced(house: &House) -> Result<()> {
    let out = house.world.collector_cli(&["broker", "sync"]).await?;
    println!("broker sync: {}", out.trim());
    ensure!(out.contains("nothing to change"), "{out}");
    ensure!(!out.contains(AGENT), "{out}");
    Ok(())
}
