//! The link against Debian's mosquitto with the configuration of `docs/mosquitto.md`.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use callhome_shared::id::AgentId;
use callhome_shared::topic::Down;
use rcgen::{KeyPair, PublicKeyData};
use rumqttc::v5::mqttbytes::v5::PublishProperties;

use super::*;
use crate::enrol::authority::{Authority, Lives};
use crate::enrol::cas::Cas;
use crate::enrol::keeper;

/// A mosquitto of its own; stopped when dropped.
struct Mosquitto {
    child: Child,
    port: u16,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<&'static Path> {
    let found =
        ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"].iter().map(Path::new).find(|p| p.exists());
    if found.is_none() {
        eprintln!("skipped: mosquitto is not installed");
    }
    found
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The fenced block of the document that begins with this line.
fn documented(first_line: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mosquitto.md");
    let text = std::fs::read_to_string(path).unwrap();
    let blocks: Vec<&str> = text.split("```").skip(1).step_by(2).collect();
    let block = blocks.iter().find(|b| b.contains(first_line)).expect("the block in the document");
    block.split_once('\n').unwrap().1.to_owned()
}

impl Mosquitto {
    async fn start(program: &Path, files: &TrustFiles, dir: &Path, port: u16) -> Mosquitto {
        let conf = documented("listener 8883")
            .replace("listener 8883", &format!("listener {port} 127.0.0.1"))
            .replace("/etc/mosquitto/callhome/acl", &dir.join("acl").display().to_string())
            .replace("/etc/mosquitto/callhome/ca.pem", &files.ca().display().to_string())
            .replace("/etc/mosquitto/callhome/server.pem", &files.server().display().to_string())
            .replace(
                "/etc/mosquitto/callhome/server.key",
                &files.server_key().display().to_string(),
            )
            .replace("/etc/mosquitto/callhome/crl.pem", &files.crl().display().to_string());
        // As root mosquitto would give up its rights and could not read the keys of this test.
        std::fs::write(dir.join("mosquitto.conf"), format!("user root\n{conf}")).unwrap();
        std::fs::write(dir.join("acl"), documented("pattern write")).unwrap();
        let child = Command::new(program)
            .arg("-c")
            .arg(dir.join("mosquitto.conf"))
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mosquitto = Mosquitto { child, port };
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return mosquitto;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("mosquitto does not listen");
    }
}

struct House {
    dir: tempfile::TempDir,
    files: TrustFiles,
    ca: Authority,
}

impl House {
    fn new() -> House {
        let dir = tempfile::tempdir().unwrap();
        let files = TrustFiles::new(&dir.path().join("data"));
        files.make_dirs().unwrap();
        let ca = Authority::generate("Example", "CA").unwrap();
        files::write_new(&files.ca(), ca.pem().as_bytes(), 0o600).unwrap();
        files::write_new(&files.ca_key(), ca.key_pem().unwrap().as_bytes(), 0o600).unwrap();
        let cas = Cas::load(&files, Lives::default()).unwrap();
        keeper::renew(&files, &ca, &["localhost".into()], "main", false).unwrap();
        keeper::write_crl(&files, &cas, &[]).unwrap();
        House { dir, files, ca }
    }

    fn agent(&self, id: &str, port: u16) -> (AsyncClient, EventLoop) {
        let key = KeyPair::generate().unwrap();
        let agent = AgentId::new(id).unwrap();
        let leaf = self.ca.agent(&agent, &key.subject_public_key_info()).unwrap();
        let key = tls::read_key(key.serialize_pem().as_bytes()).unwrap();
        let identity = Identity { chain: vec![leaf], key };
        let config = tls::client_config(&[self.ca.certificate().clone()], Some(identity)).unwrap();
        let mut options = MqttOptions::new(id, "localhost", port);
        let tls = TlsConfiguration::Rustls(Arc::new(config));
        options.set_transport(Transport::tls_with_config(tls));
        AsyncClient::new(options, 100)
    }

    /// Starts the link; answers its ends.
    fn link(
        &self,
        port: u16,
    ) -> (mpsc::Receiver<Delivery>, mpsc::Sender<Downward>, Arc<Health>, CancellationToken) {
        let (up, deliveries) = mpsc::channel(1);
        let (down_tx, down) = mpsc::channel(10);
        let health = Arc::new(Health::default());
        let link = External {
            host: "localhost".into(),
            port,
            collector: "main".into(),
            files: self.files.clone(),
            up,
            down,
            health: health.clone(),
            metrics: Arc::new(Metrics::new()),
        };
        let shutdown = CancellationToken::new();
        tokio::spawn(link.run(shutdown.clone()));
        (deliveries, down_tx, health, shutdown)
    }
}

async fn until_listening(health: &Health, wanted: bool) {
    for _ in 0..400 {
        if health.broker_listening() == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("listening did not become {wanted}");
}

async fn next(deliveries: &mut mpsc::Receiver<Delivery>) -> Delivery {
    tokio::time::timeout(Duration::from_secs(10), deliveries.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn both_ways_back_pressure_and_reconnect() {
    let Some(program) = program() else { return };
    let house = House::new();
    let port = free_port();
    let mosquitto = Mosquitto::start(program, &house.files, house.dir.path(), port).await;
    let (mut deliveries, down, health, shutdown) = house.link(port);
    until_listening(&health, true).await;

    let (agent, mut events) = house.agent("a", mosquitto.port);
    let (seen_tx, mut seen) = mpsc::channel(10);
    tokio::spawn(async move {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::Publish(p))) => seen_tx.send(p.topic).await.unwrap(),
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    agent.subscribe("callhome/v1/a/down/#", QoS::AtLeastOnce).await.unwrap();
    let properties = PublishProperties {
        user_properties: vec![("id".into(), "7".into())],
        ..PublishProperties::default()
    };
    let topic = "callhome/v1/a/up/event";
    agent
        .publish_with_properties(topic, QoS::AtLeastOnce, false, "first", properties)
        .await
        .unwrap();
    let first = next(&mut deliveries).await;
    assert_eq!(
        (first.agent.as_str(), first.up, &first.payload[..]),
        ("a", Up::Event, &b"first"[..])
    );
    assert_eq!(first.properties, [("id".to_owned(), "7".to_owned())]);

    // Another agent's topic gets nowhere.
    agent.publish("callhome/v1/b/up/event", QoS::AtLeastOnce, false, "forged").await.unwrap();
    // More than the flow takes: all of it arrives, in order, as the flow takes it.
    for n in 0..300 {
        agent.publish(topic, QoS::AtLeastOnce, false, n.to_string()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for n in 0..300 {
        assert_eq!(next(&mut deliveries).await.payload, n.to_string());
    }

    let ack =
        Downward { agent: AgentId::new("a").unwrap(), down: Down::Ack, payload: b"{}".to_vec() };
    down.send(ack).await.unwrap();
    let topic = tokio::time::timeout(Duration::from_secs(5), seen.recv()).await.unwrap().unwrap();
    assert_eq!(&topic[..], b"callhome/v1/a/down/ack");

    drop(mosquitto);
    until_listening(&health, false).await;
    let _mosquitto = Mosquitto::start(program, &house.files, house.dir.path(), port).await;
    until_listening(&health, true).await;
    // The agent's client drops what it had queued when it finds its session gone: publish until
    // one comes through.
    let publishing = tokio::spawn(async move {
        loop {
            let topic = "callhome/v1/a/up/event";
            agent.publish(topic, QoS::AtLeastOnce, false, "again").await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    while next(&mut deliveries).await.payload != "again" {}
    publishing.abort();
    shutdown.cancel();
    until_listening(&health, false).await;
}

#[tokio::test]
async fn a_revoked_agent_is_refused_by_mosquitto() {
    let Some(program) = program() else { return };
    let house = House::new();
    let port = free_port();
    let key = KeyPair::generate().unwrap();
    let id = AgentId::new("a").unwrap();
    let leaf = house.ca.agent(&id, &key.subject_public_key_info()).unwrap();
    let list = house.ca.revocation_list(&[(tls::serial(&leaf).unwrap(), Time::now())]).unwrap();
    files::write(&house.files.crl(), list.as_bytes(), 0o600).unwrap();
    let _mosquitto = Mosquitto::start(program, &house.files, house.dir.path(), port).await;
    let key = tls::read_key(key.serialize_pem().as_bytes()).unwrap();
    let identity = Identity { chain: vec![leaf], key };
    let config = tls::client_config(&[house.ca.certificate().clone()], Some(identity)).unwrap();
    let mut options = MqttOptions::new("a", "localhost", port);
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))));
    let (_client, mut revoked) = AsyncClient::new(options, 10);
    assert!(revoked.poll().await.is_err());
    let (_client, mut fine) = house.agent("b", port);
    assert!(matches!(fine.poll().await, Ok(Event::Incoming(Packet::ConnAck(_)))));
}

proptest::proptest! {
    /// Whatever a broker hands over: a delivery of an agent, or nothing.
    #[test]
    fn no_publish_panics(topic: Vec<u8>, agent in "[a+#/-]{0,4}", rest in ".{0,12}",
                         properties in proptest::collection::vec((".{0,8}", ".{0,8}"), 0..4),
                         payload: Vec<u8>) {
        for topic in [topic, format!("callhome/v1/{agent}/up/{rest}").into_bytes(), format!("callhome/v1/{agent}/up/event").into_bytes()] {
            let publish = Publish {
                topic: topic.into(),
                payload: payload.clone().into(),
                properties: Some(PublishProperties { user_properties: properties.clone(), ..PublishProperties::default() }),
                ..Publish::default()
            };
            if let Some(delivery) = delivery(&publish) {
                proptest::prop_assert_eq!(delivery.properties, properties.clone());
                proptest::prop_assert!(AgentId::new(delivery.agent.as_str()).is_ok());
            }
        }
    }
}
