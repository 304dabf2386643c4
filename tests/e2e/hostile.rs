//! A hostile agent with a valid certificate: what it tries and what it gets.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callhome_shared::envelope::{Envelope, Kind as Type, Lane};
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::time::Time;
use callhome_shared::tls::{self, Identity};
use callhome_tests::harness::fleet::{Fleet, Kind, Plan};
use callhome_tests::harness::process::run_any;
use callhome_tests::harness::world::{AGENT, Broker, Ports, World, plain_get};
use callhome_tests::harness::{program, until};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{PublishProperties, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};

const HOSTILE: &str = "hostile-1";
const PAYLOADS: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_agent_gets_nowhere() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let plan = Plan { array_disks: 0, snmpd_files: 0, host_disks: 0, poll_s: 5 };
    let mut fleet = Fleet::start(&dir.path().join("fleet"), plan).await?;
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    world.enrol(&fleet.agent_toml()?).await?;
    world.start_agent().await?;
    world.agent_ready().await?;
    let token = enrol_hostile(&world).await?;

    reused_token(&world, &token).await?;
    foreign_topics(&world).await?;
    foreign_subscriptions(&world).await?;
    foreign_client_id(&world).await?;
    malformed(&world, &mut fleet).await?;

    world.stop().await?;
    fleet.stop().await
}

async fn enrol_hostile(world: &World) -> Result<std::path::PathBuf> {
    let token = world.dir.join("hostile-token.toml");
    let path = token.display().to_string();
    world.collector_cli(&["agent", "token", HOSTILE, "--out", &path]).await?;
    let copy = world.dir.join("hostile-token-copy.toml");
    std::fs::copy(&token, &copy)?;
    let config = world.dir.join("hostile.toml");
    std::fs::write(
        &config,
        format!(
            "[agent]\nstate_dir = \"{}\"\ncontrol_socket = \"{}\"\nhealth_listen = \"\"\n",
            world.dir.join("hostile").display(),
            world.dir.join("hostile.sock").display()
        ),
    )?;
    let (status, _, err) = enroll(world, &path).await?;
    ensure!(status, "the hostile agent's own enrolment failed: {err}");
    Ok(copy)
}

async fn enroll(world: &World, token: &str) -> Result<(bool, String, String)> {
    let config = world.dir.join("hostile.toml").display().to_string();
    let url = world.url();
    let args = ["--config", &config, "enroll", "--collector", &url, "--token-file", token];
    let (status, out, err) = run_any(&program("callhome-agent")?, &args, None).await?;
    Ok((status.success(), out, err))
}

async fn reused_token(world: &World, token: &std::path::Path) -> Result<()> {
    // A used token is worth nothing, also for a machine that has no identity yet.
    std::fs::rename(world.dir.join("hostile"), world.dir.join("hostile-identity"))?;
    let (enrolled, _, err) = enroll(world, &token.display().to_string()).await?;
    std::fs::remove_dir_all(world.dir.join("hostile")).ok();
    std::fs::rename(world.dir.join("hostile-identity"), world.dir.join("hostile"))?;
    ensure!(!enrolled, "a used token enrolled again");
    println!("token used again: {}", err.lines().last().unwrap_or_default());
    Ok(())
}

fn client(world: &World, id: &str) -> Result<(AsyncClient, EventLoop)> {
    let identity = world.dir.join("hostile/identity");
    let read = |name: &str| std::fs::read(identity.join(name)).with_context(|| name.to_owned());
    let roots = tls::read_certificates(&read("ca.pem")?)?;
    let own = Identity::from_pem(&read("agent.pem")?, &read("agent.key")?)?;
    let config = tls::client_config(&roots, Some(own))?;
    let mut options = MqttOptions::new(id, "localhost", world.ports.mqtt);
    options.set_transport(Transport::Tls(TlsConfiguration::Rustls(config.into())));
    options.set_keep_alive(Duration::from_secs(10));
    options.set_clean_start(true);
    options.set_outgoing_inflight_upper_limit(32);
    Ok(AsyncClient::new(options, 64))
}

/// Runs the connection until something decisive happens; what that was, in words.
async fn answer(events: &mut EventLoop, decisive: impl Fn(&Incoming) -> Option<String>) -> String {
    let wait = async {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(packet)) => {
                    if let Some(words) = decisive(&packet) {
                        return words;
                    }
                    if let Incoming::Disconnect(d) = packet {
                        return format!("disconnected: {:?}", d.reason_code);
                    }
                }
                Ok(Event::Outgoing(_)) => {}
                Err(e) => return format!("connection closed: {e}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap_or("no answer in 10 s".into())
}

async fn foreign_topics(world: &World) -> Result<()> {
    let foreign = format!("callhome/v1/{AGENT}/up/event");
    for topic in [foreign.as_str(), "callhome/v1/hostile-1/down/ack", "$SYS/x", "other/topic"] {
        let (mqtt, mut events) = client(world, HOSTILE)?;
        mqtt.publish(topic, QoS::AtLeastOnce, false, "{}").await?;
        let got = answer(&mut events, |packet| match packet {
            Incoming::PubAck(ack) => Some(format!("{:?}", ack.reason)),
            _ => None,
        })
        .await;
        println!("publish to {topic}: {got}");
        let refused = got.contains("NotAuthorized")
            || got.starts_with("disconnected")
            || got.starts_with("connection closed");
        ensure!(refused && !got.contains("Success"), "publish to {topic} was not refused: {got}");
    }
    let api = world.api().await?;
    ensure!(api.all_tickets().await?.is_empty(), "a forged publish made a ticket");
    Ok(())
}

async fn foreign_subscriptions(world: &World) -> Result<()> {
    let others = format!("callhome/v1/{AGENT}/down/#");
    let shared = "$share/collectors/callhome/v1/+/up/#";
    for filter in [others.as_str(), shared, "#", "callhome/v1/+/down/#", "+/+/+/+/+"] {
        let (mqtt, mut events) = client(world, HOSTILE)?;
        mqtt.subscribe(filter, QoS::AtLeastOnce).await?;
        let got = answer(&mut events, |packet| match packet {
            Incoming::SubAck(ack) => Some(format!("{:?}", ack.return_codes)),
            _ => None,
        })
        .await;
        println!("subscribe {filter}: {got}");
        let granted = got
            .contains(&format!("{:?}", SubscribeReasonCode::Success(QoS::AtLeastOnce)))
            || got.contains("Success");
        ensure!(!granted && got != "no answer in 10 s", "subscribe {filter}: {got}");
    }
    Ok(())
}

async fn foreign_client_id(world: &World) -> Result<()> {
    let (_mqtt, mut events) = client(world, AGENT)?;
    let got = answer(&mut events, |packet| match packet {
        Incoming::ConnAck(ack) => Some(format!("{:?}", ack.code)),
        _ => None,
    })
    .await;
    println!("connect as {AGENT}: {got}");
    ensure!(!got.contains("Success"), "the hostile agent connected as {AGENT}");
    Ok(())
}

/// Ten thousand malformed payloads, while the honest agent's fault must get through.
async fn malformed(world: &World, fleet: &mut Fleet) -> Result<()> {
    let (mqtt, mut events) = client(world, HOSTILE)?;
    let polling = tokio::spawn(async move {
        let mut acks = 0_usize;
        let mut errors = Vec::new();
        while errors.len() < 200 {
            match events.poll().await {
                Ok(Event::Incoming(Incoming::PubAck(_))) => acks += 1,
                Ok(_) => {}
                Err(e) => {
                    errors.push(e.to_string());
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            if acks >= PAYLOADS {
                break;
            }
        }
        (acks, errors)
    });
    let started = Instant::now();
    let sending = async {
        for n in 0..PAYLOADS {
            let (properties, payload) = garbage(n)?;
            let topic = format!("callhome/v1/{HOSTILE}/up/event");
            mqtt.publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties)
                .await?;
        }
        anyhow::Ok(())
    };
    let honest = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let api = world.api().await?;
        let waited = Instant::now();
        let fault = fleet.inject(Kind::Log, 1)?;
        until(
            "the honest agent's ticket",
            Duration::from_secs(30),
            Duration::from_millis(50),
            || async {
                let tickets = api.tickets_by_fault().await?;
                Ok(tickets.get(&(fault.device.to_owned(), fault.resource.clone())).map(drop))
            },
        )
        .await?;
        println!("the honest agent's fault became a ticket in {:?} meanwhile", waited.elapsed());
        anyhow::Ok(())
    };
    let (sent, honest) =
        tokio::join!(tokio::time::timeout(Duration::from_secs(200), sending), honest);
    sent.context("sending was stopped for good")??;
    honest?;
    let (acks, errors) = tokio::time::timeout(Duration::from_secs(60), polling).await??;
    println!(
        "{PAYLOADS} malformed payloads sent in {:?}: {acks} PUBACKs, {} broken connections",
        started.elapsed(),
        errors.len()
    );
    let metrics = plain_get(world.ports.collector_health, "/metrics").await?;
    for line in metrics.lines().filter(|l| l.contains("reject") || l.contains("refused")) {
        println!("  {line}");
    }
    let api = world.api().await?;
    let tickets = api.all_tickets().await?;
    ensure!(tickets.len() == 1, "{} tickets instead of the honest one", tickets.len());
    Ok(())
}

/// Every kind of malformed: no properties, wrong ones, no JSON, wrong JSON, another's source, unknown type.
fn garbage(n: usize) -> Result<(PublishProperties, Vec<u8>)> {
    let source = AgentId::new(if n % 6 == 3 { AGENT } else { HOSTILE })?;
    let envelope = Envelope {
        id: new_uuid(),
        source,
        kind: if n % 6 == 4 { Type::Other("surprise".into()) } else { Type::Alarm },
        time: Time::now(),
        epoch: uuid::Uuid::from_u128(7),
        lane: Lane::Alarm,
        seq: u64::try_from(n)? + 1,
        data: Vec::new(),
    };
    let mut properties = envelope.user_properties();
    let payload = match n % 6 {
        0 => {
            properties.clear();
            b"\xff\xfe\x00garbage".to_vec()
        }
        1 => {
            properties.truncate(3);
            b"{}".to_vec()
        }
        2 => b"{\"alarm_id\": 7, \"transition\": [".to_vec(),
        5 => vec![b'['; 20_000],
        _ => b"{\"device\": {}}".to_vec(),
    };
    Ok((PublishProperties { user_properties: properties, ..PublishProperties::default() }, payload))
}
