//! Agents gone mad cannot hurt another: with good certificates and from an address of their own they
//! flood, storm, send the largest payloads and hold half-open connections, one after the other and all at
//! once, while an honest agent's faults must become tickets. What it took is printed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callhome_shared::envelope::{Envelope, Kind as Type, Lane};
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::limits::MAX_PAYLOAD_BYTES;
use callhome_shared::time::Time;
use callhome_shared::tls::Identity;
use callhome_tests::harness::api::Api;
use callhome_tests::harness::fleet::{Fleet, Kind, Plan};
use callhome_tests::harness::identity;
use callhome_tests::harness::mqtt::{Client, Connect, ELSEWHERE, tcp_connect};
use callhome_tests::harness::until;
use callhome_tests::harness::world::{Broker, Ports, World, plain_get};
use rustls::pki_types::CertificateDer;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

/// Faults of the honest agent in each phase.
const FAULTS: usize = 4;
/// Within this every one of them must have its ticket, whatever the mad one does.
const BOUND: Duration = Duration::from_secs(30);

/// One mad agent: what it has, and what it got done.
struct Mad {
    how: Madness,
    ports: Ports,
    roots: Vec<CertificateDer<'static>>,
    identity: Identity,
    stop: AtomicBool,
    /// Publishes answered, connections opened, connections refused or broken.
    published: AtomicUsize,
    opened: AtomicUsize,
    refused: AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Madness {
    Alarms,
    Storm,
    Payloads,
    HalfOpen,
}

impl Madness {
    const ALL: [Madness; 4] =
        [Madness::Alarms, Madness::Storm, Madness::Payloads, Madness::HalfOpen];

    /// Each is an agent of its own: what one spends of its connections is not taken from another's
    /// madness.
    fn agent(self) -> &'static str {
        match self {
            Madness::Alarms => "mad-alarms",
            Madness::Storm => "mad-storm",
            Madness::Payloads => "mad-payloads",
            Madness::HalfOpen => "mad-half-open",
        }
    }

    /// The counter of the collector that grows once this is really going on and held back. Before that
    /// nobody can say what it does to others.
    fn bites(self) -> [&'static str; 2] {
        match self {
            Madness::Alarms => ["broker_events_total", "event=\"slowed-down\""],
            Madness::Storm => ["connections_refused_total", "reason=\"agent-pace\""],
            Madness::Payloads => ["broker_events_total", "event=\"slowed-down-bytes\""],
            Madness::HalfOpen => {
                ["connections_refused_total", "listener=\"probes\",reason=\"source\""]
            }
        }
    }
}

impl Mad {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    async fn client(&self, id: &str) -> Option<Client> {
        let identity = identity::again(&self.identity);
        let connect = Connect::new(id);
        let got =
            Client::connect_from(ELSEWHERE, self.ports.mqtt, &self.roots, Some(identity), &connect);
        match got.await {
            Ok(Ok(client)) => {
                self.opened.fetch_add(1, Ordering::Relaxed);
                Some(client)
            }
            _ => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    async fn go_mad(self: Arc<Self>) {
        while self.goes_on() {
            match self.how {
                Madness::Alarms => self.alarms().await,
                Madness::Storm => drop(self.client(self.how.agent()).await),
                Madness::Payloads => self.payloads().await,
                Madness::HalfOpen => self.half_open().await,
            }
        }
    }

    /// Valid alarms, 32 unanswered at any time: recurrences of twenty faults.
    async fn alarms(&self) {
        let agent = self.how.agent();
        let Some(mut client) = self.client(agent).await else { return pause().await };
        let epoch = new_uuid();
        let topic = format!("callhome/v1/{agent}/up/event");
        let mut seq = 0;
        while self.goes_on() {
            for _ in 0..32 {
                seq += 1;
                let envelope = envelope(agent, epoch, seq);
                let packet = client.publish_packet(
                    &topic,
                    &envelope.user_properties(),
                    &envelope.data,
                    false,
                );
                if client.send(&packet).await.is_err() {
                    return;
                }
            }
            for _ in 0..32 {
                if client.read().await.is_err() {
                    return;
                }
                self.published.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The largest payload that is taken, and then one that is not.
    async fn payloads(&self) {
        let agent = self.how.agent();
        let Some(mut client) = self.client(agent).await else { return pause().await };
        let topic = format!("callhome/v1/{agent}/up/bulk");
        for _ in 0..20 {
            if !self.goes_on()
                || !client.publish(&topic, &vec![b'x'; MAX_PAYLOAD_BYTES], false).await.allowed()
            {
                return;
            }
            self.published.fetch_add(1, Ordering::Relaxed);
        }
        let _ = client.publish(&topic, &vec![b'x'; 4 * 1024 * 1024], false).await;
    }

    /// Connections that say nothing, half a ClientHello, or half a request, on every port.
    async fn half_open(&self) {
        let mut held = Vec::new();
        let ports = [self.ports.mqtt, self.ports.https, self.ports.collector_health];
        for n in 0..600 {
            let Ok(mut tcp) = tcp_connect(ELSEWHERE, ports[n % 3]).await else {
                self.refused.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let word: &[u8] = match n % 4 {
                0 => b"",
                1 => b"\x16\x03\x01\x02\x00\x01\x00",
                2 => b"GET /metrics HTTP/1.1\r\nx-slow: ",
                _ => b"\x10\x20\x00\x04MQTT",
            };
            let _ = tcp.write_all(word).await;
            self.opened.fetch_add(1, Ordering::Relaxed);
            held.push(tcp);
        }
        let mut drops = 0;
        while self.goes_on() && drops < 40 {
            // A byte now and then, so that it looks alive.
            for tcp in &mut held {
                let _ = tcp.try_write(b"x");
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
            drops += 1;
        }
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

fn envelope(agent: &str, epoch: uuid::Uuid, seq: u64) -> Envelope {
    let now = Time::now();
    let alarm = json!({
        "alarm_id": new_uuid(), "transition": "raised", "severity": "major", "type": "disk-failed",
        "message": {"key": "text"}, "text": "a disk failed, and again, and again",
        "device": {"id": "MAD", "name": "mad-array"}, "resource": format!("Disk {}", seq % 20),
        "observed_at": now, "rule": {"pack": "config", "version": "1", "id": "mad"}
    });
    Envelope {
        id: new_uuid(),
        source: AgentId::new(agent).unwrap_or_else(|e| unreachable!("{e}")),
        kind: Type::Alarm,
        time: now,
        epoch,
        lane: Lane::Alarm,
        seq,
        data: alarm.to_string().into_bytes(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_gone_mad_hurt_no_other() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let plan = Plan { array_disks: 0, snmpd_files: 0, host_disks: 0, poll_s: 5 };
    let mut fleet = Fleet::start(&dir.path().join("fleet"), plan).await?;
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    world.quiet().await?;
    world.enrol(&fleet.agent_toml()?).await?;
    world.start_agent().await?;
    world.agent_ready().await?;
    let api = world.api().await?;
    let mut next = 1;
    let quiet = phase("nothing", &mut fleet, &api, &mut next).await?;

    let mut all = Vec::new();
    for how in Madness::ALL {
        all.push((how, identity::enrol(&world, how.agent()).await?));
    }
    let mut worst = Duration::ZERO;
    for together in all.chunks(1).chain([&all[..]]) {
        let mad = Madhouse::open(&world, together).await?;
        let started = Instant::now();
        let name: Vec<_> = together.iter().map(|(how, _)| format!("{how:?}")).collect();
        worst = worst.max(phase(&name.join(", "), &mut fleet, &api, &mut next).await?);
        if together.len() > 1 {
            newcomers(&mut world).await?;
        }
        mad.close(started).await?;
    }
    println!("honest faults to tickets: at most {quiet:?} alone, {worst:?} beside mad ones");
    world.stop().await?;
    fleet.stop().await
}

/// Mad agents while they are at it.
struct Madhouse {
    inmates: Vec<Arc<Mad>>,
    tasks: JoinSet<()>,
}

impl Madhouse {
    /// One after the other begins; each is waited for until it bites.
    async fn open(world: &World, together: &[(Madness, PathBuf)]) -> Result<Self> {
        let mut house = Madhouse { inmates: Vec::new(), tasks: JoinSet::new() };
        for (how, identity) in together {
            let before = counted(world, *how).await?;
            let mad = Arc::new(Mad {
                how: *how,
                ports: world.ports,
                roots: identity::roots(world)?,
                identity: identity::read(identity)?,
                stop: AtomicBool::new(false),
                published: AtomicUsize::new(0),
                opened: AtomicUsize::new(0),
                refused: AtomicUsize::new(0),
            });
            let times = if *how == Madness::Storm { 6 } else { 1 };
            for _ in 0..times {
                house.tasks.spawn(mad.clone().go_mad());
            }
            house.inmates.push(mad);
            let what = format!("{how:?} bites");
            until(&what, BOUND, Duration::from_millis(50), || async {
                Ok((counted(world, *how).await? > before).then_some(()))
            })
            .await?;
        }
        Ok(house)
    }

    async fn close(mut self, started: Instant) -> Result<()> {
        for mad in &self.inmates {
            mad.stop.store(true, Ordering::Relaxed);
            println!(
                "  {} meanwhile ({:.1} s): {} publishes answered, {} connections, {} refused",
                mad.how.agent(),
                started.elapsed().as_secs_f64(),
                mad.published.load(Ordering::Relaxed),
                mad.opened.load(Ordering::Relaxed),
                mad.refused.load(Ordering::Relaxed),
            );
        }
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(60), ended).await.context("the mad ones stop")
    }
}

/// How often the collector held this madness back so far.
async fn counted(world: &World, how: Madness) -> Result<u64> {
    let metrics = plain_get(world.ports.collector_health, "/metrics").await?;
    let [name, label] = how.bites();
    let line = metrics.lines().find(|l| l.contains(name) && l.contains(label));
    let number = line.and_then(|l| l.rsplit(' ').next()).unwrap_or("0");
    number.parse().with_context(|| format!("{name}: {number:?} is no number"))
}

/// Some faults of the honest agent, one after the other; the longest time to a ticket.
async fn phase(name: &str, fleet: &mut Fleet, api: &Api, next: &mut usize) -> Result<Duration> {
    let mut took = Vec::new();
    for _ in 0..FAULTS {
        let started = Instant::now();
        let fault = fleet.inject(Kind::Log, *next)?;
        *next += 1;
        let key = (fault.device.to_owned(), fault.resource.clone());
        until("the honest agent's ticket", BOUND, Duration::from_millis(20), || async {
            Ok(api.tickets_by_fault().await?.get(&key).map(drop))
        })
        .await
        .with_context(|| format!("beside {name}"))?;
        took.push(started.elapsed());
    }
    took.sort();
    println!("beside {name}: {took:?}");
    ensure!(took.len() == FAULTS);
    Ok(took.last().copied().unwrap_or_default())
}

/// A person logs in and the agent starts anew in the middle of it.
async fn newcomers(world: &mut World) -> Result<()> {
    let started = Instant::now();
    world.api().await.context("a person logs in meanwhile")?;
    println!("  a person's log-in meanwhile took {:?}", started.elapsed());
    let agent = world.take_agent().context("no agent")?;
    agent.stop(Duration::from_secs(20)).await?;
    let started = Instant::now();
    world.start_agent().await?;
    world.agent_ready().await.context("the honest agent connects meanwhile")?;
    println!("  the honest agent's restart to connected meanwhile took {:?}", started.elapsed());
    Ok(())
}
