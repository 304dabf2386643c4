//! One agent gone mad cannot hurt another: with a good certificate and from an address of its own it
//! floods, storms, sends the largest payloads and holds half-open connections, while an honest agent's
//! faults must become tickets. What it took is printed.

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

const MAD: &str = "mad-1";
/// Faults of the honest agent in each phase.
const FAULTS: usize = 4;
/// Within this every one of them must have its ticket, whatever the mad one does.
const BOUND: Duration = Duration::from_secs(30);

/// What the mad agent has, and what it got done.
struct Mad {
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

    async fn go_mad(self: Arc<Self>, how: Madness) {
        while self.goes_on() {
            match how {
                Madness::Alarms => self.alarms().await,
                Madness::Storm => drop(self.client(MAD).await),
                Madness::Payloads => self.payloads().await,
                Madness::HalfOpen => self.half_open().await,
            }
        }
    }

    /// Valid alarms, 32 unanswered at any time: recurrences of twenty faults.
    async fn alarms(&self) {
        let Some(mut client) = self.client(MAD).await else { return pause().await };
        let epoch = new_uuid();
        let topic = format!("callhome/v1/{MAD}/up/event");
        let mut seq = 0;
        while self.goes_on() {
            for _ in 0..32 {
                seq += 1;
                let envelope = envelope(epoch, seq);
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
        let id = format!("{MAD}.session");
        let Some(mut client) = self.client(&id).await else { return pause().await };
        let topic = format!("callhome/v1/{MAD}/up/bulk");
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

fn envelope(epoch: uuid::Uuid, seq: u64) -> Envelope {
    let now = Time::now();
    let alarm = json!({
        "alarm_id": new_uuid(), "transition": "raised", "severity": "major", "type": "disk-failed",
        "message": {"key": "text"}, "text": "a disk failed, and again, and again",
        "device": {"id": "MAD", "name": "mad-array"}, "resource": format!("Disk {}", seq % 20),
        "observed_at": now, "rule": {"pack": "config", "version": "1", "id": "mad"}
    });
    Envelope {
        id: new_uuid(),
        source: AgentId::new(MAD).unwrap_or_else(|e| unreachable!("{e}")),
        kind: Type::Alarm,
        time: now,
        epoch,
        lane: Lane::Alarm,
        seq,
        data: alarm.to_string().into_bytes(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_agent_gone_mad_hurts_no_other() -> Result<()> {
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

    let mad_dir = identity::enrol(&world, MAD).await?;
    let all = [Madness::Alarms, Madness::Storm, Madness::Payloads, Madness::HalfOpen];
    let mut worst = Duration::ZERO;
    for madness in [&all[0..1], &all[1..2], &all[2..3], &all[3..4], &all[..]] {
        let mad = Arc::new(Mad {
            ports: world.ports,
            roots: identity::roots(&world)?,
            identity: identity::read(&mad_dir)?,
            stop: AtomicBool::new(false),
            published: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        for how in madness {
            let times = if *how == Madness::Storm { 6 } else { 1 };
            for _ in 0..times {
                tasks.spawn(mad.clone().go_mad(*how));
            }
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        let name = format!("{madness:?}");
        let started = Instant::now();
        worst = worst.max(phase(&name, &mut fleet, &api, &mut next).await?);
        if madness.len() == all.len() {
            newcomers(&mut world).await?;
        }
        mad.stop.store(true, Ordering::Relaxed);
        println!(
            "  the mad one meanwhile ({:.1} s): {} publishes answered, {} connections, {} refused",
            started.elapsed().as_secs_f64(),
            mad.published.load(Ordering::Relaxed),
            mad.opened.load(Ordering::Relaxed),
            mad.refused.load(Ordering::Relaxed),
        );
        let ended = async { while tasks.join_next().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(60), ended).await.context("the mad one stops")?;
    }
    println!("honest faults to tickets: at most {quiet:?} alone, {worst:?} beside the mad one");
    let metrics = plain_get(world.ports.collector_health, "/metrics").await?;
    for wanted in [
        "reason=\"agent-pace\"",
        "reason=\"source\"",
        "event=\"slowed-down\"",
        "event=\"slowed-down-bytes\"",
    ] {
        let line = metrics.lines().find(|l| l.contains(wanted));
        println!("  {}", line.with_context(|| format!("{wanted} was not counted"))?);
    }
    world.stop().await?;
    fleet.stop().await
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
        .with_context(|| format!("while the mad one does {name}"))?;
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
