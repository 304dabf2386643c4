//! The broker against real clients over TLS.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::tls::{self, ClientAuth, Identity};
use callhome_shared::topic::{Down, Up};
use rcgen::{KeyPair, PublicKeyData};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode, LastWill, Packet, PubAckReason, PublishProperties, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use tokio::sync::{Notify, watch};

use super::*;
use crate::enrol::authority::{Authority, Issued, read_crl};

/// A broker with a CA of its own.
struct House {
    ca: Authority,
    address: SocketAddr,
    tls: Arc<ArcSwap<ServerConfig>>,
    server: Issued,
    roster: watch::Sender<Arc<Roster>>,
    up: mpsc::Receiver<Delivery>,
    down: mpsc::Sender<Downward>,
    metrics: Arc<Metrics>,
    visitors: mpsc::Sender<websocket::Visitor>,
    shutdown: CancellationToken,
    done: tokio::task::JoinHandle<()>,
}

fn id(text: &str) -> AgentId {
    AgentId::new(text).unwrap()
}

fn server_tls(ca: &Authority, server: &Issued, crl: &str) -> ServerConfig {
    let identity = Identity::from_pem(server.chain.as_bytes(), server.key.as_bytes()).unwrap();
    let crls = vec![read_crl(crl.as_bytes()).unwrap()];
    tls::server_config(identity, ClientAuth::Required(vec![ca.certificate().clone()], crls))
        .unwrap()
}

impl House {
    async fn start(agents: &[&str]) -> House {
        House::start_with(agents, 1000, 200, 100).await
    }

    async fn start_with(agents: &[&str], connections: usize, rate: u32, queue: usize) -> House {
        let ca = Authority::generate("Example", "CA").unwrap();
        let server = ca.server(&["localhost".into()]).unwrap();
        let crl = ca.revocation_list(&[]).unwrap();
        let tls = Arc::new(ArcSwap::from_pointee(server_tls(&ca, &server, &crl)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let roster = Roster { agents: agents.iter().map(|a| id(a)).collect(), ..Roster::default() };
        let (roster, newest) = watch::channel(Arc::new(roster));
        let (up_tx, up) = mpsc::channel(queue);
        let (down, down_rx) = mpsc::channel(10);
        let metrics = Arc::new(Metrics::new());
        let shutdown = CancellationToken::new();
        let (visitors, visitors_rx) = mpsc::channel(4);
        let ends = Ends {
            listener,
            visitors: visitors_rx,
            tls: tls.clone(),
            roster: RosterReader {
                newest,
                refresh: Arc::new(Notify::new()),
                used: mpsc::channel(8).0,
            },
            up: up_tx,
            down: down_rx,
            metrics: metrics.clone(),
        };
        let limits = Limits {
            places: places::PlaceLimits {
                in_all: connections,
                per_source: (connections / 4).max(8),
                pace_per_source: 100,
            },
            max_rate_per_agent: rate,
            max_bytes_per_agent: 1_000_000,
        };
        let done = tokio::spawn(serve(ends, limits, shutdown.clone()));
        House { ca, address, tls, server, roster, up, down, metrics, visitors, shutdown, done }
    }

    /// A fresh certificate of `agent` under `ca`, with its serial number.
    fn certificate(ca: &Authority, agent: &str) -> (Identity, String) {
        let key = KeyPair::generate().unwrap();
        let leaf = ca.agent(&id(agent), &key.subject_public_key_info()).unwrap();
        let serial = tls::serial(&leaf).unwrap();
        let key = tls::read_key(key.serialize_pem().as_bytes()).unwrap();
        (Identity { chain: vec![leaf], key }, serial)
    }

    fn options(&self, agent: &str, identity: Option<Identity>) -> MqttOptions {
        let roots = [self.ca.certificate().clone()];
        let config = tls::client_config(&roots, identity).unwrap();
        let mut options = MqttOptions::new(agent, "localhost", self.address.port());
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))));
        options.set_keep_alive(Duration::from_secs(20));
        options.set_max_packet_size(Some(1024 * 1024));
        options
    }

    async fn connect(&self, agent: &str) -> Client {
        let (identity, _) = House::certificate(&self.ca, agent);
        Client::connect(self.options(agent, Some(identity))).await.unwrap()
    }

    async fn next(&mut self) -> Delivery {
        tokio::time::timeout(Duration::from_secs(10), self.up.recv()).await.unwrap().unwrap()
    }

    fn counted(&self, event: &str) -> bool {
        self.metrics.text().contains(&format!("broker_events_total{{event=\"{event}\"}}"))
    }
}

struct Client {
    client: AsyncClient,
    events: EventLoop,
}

impl Client {
    async fn connect(options: MqttOptions) -> Result<Client, ConnectionError> {
        let (client, mut events) = AsyncClient::new(options, 10);
        loop {
            let event = tokio::time::timeout(Duration::from_secs(10), events.poll());
            if let Event::Incoming(Packet::ConnAck(_)) = event.await.expect("CONNACK in time")? {
                return Ok(Client { client, events });
            }
        }
    }

    /// Polls until `wanted` answers something.
    async fn until<T>(
        &mut self,
        mut wanted: impl FnMut(&Packet) -> Option<T>,
    ) -> Result<T, ConnectionError> {
        let polling = async {
            loop {
                if let Event::Incoming(packet) = self.events.poll().await?
                    && let Some(found) = wanted(&packet)
                {
                    return Ok(found);
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(15), polling).await.expect("answer in time")
    }

    async fn publish(
        &mut self,
        topic: &str,
        payload: &str,
    ) -> Result<PubAckReason, ConnectionError> {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload.to_owned()).await.unwrap();
        self.until(|p| match p {
            Packet::PubAck(ack) => Some(ack.reason),
            _ => None,
        })
        .await
    }

    async fn subscribe(&mut self, filter: &str) -> Result<SubscribeReasonCode, ConnectionError> {
        self.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        self.until(|p| match p {
            Packet::SubAck(ack) => ack.return_codes.first().cloned(),
            _ => None,
        })
        .await
    }

    /// Polls until the connection ends.
    async fn ended(&mut self) -> ConnectionError {
        self.until(|_| None::<()>).await.expect_err("the connection ends")
    }
}

fn refusal(result: Result<Client, ConnectionError>) -> ConnectReturnCode {
    match result {
        Err(ConnectionError::ConnectionRefused(code)) => code,
        Err(other) => panic!("no CONNACK: {other}"),
        Ok(_) => panic!("was let in"),
    }
}

#[tokio::test]
async fn both_ways_with_the_envelopes_attributes() {
    let mut house = House::start(&["a"]).await;
    let mut a = house.connect("a").await;
    let filter = "callhome/v1/a/down/#";
    assert!(matches!(a.subscribe(filter).await.unwrap(), SubscribeReasonCode::Success(_)));
    let properties = PublishProperties {
        user_properties: vec![
            ("id".into(), "7".into()),
            ("x-mqtt-sender".into(), "someone else".into()),
        ],
        ..PublishProperties::default()
    };
    a.client
        .publish_with_properties(
            "callhome/v1/a/up/event",
            QoS::AtLeastOnce,
            false,
            "{}",
            properties,
        )
        .await
        .unwrap();
    a.until(|p| matches!(p, Packet::PubAck(_)).then_some(())).await.unwrap();
    let delivery = house.next().await;
    assert_eq!((delivery.agent, delivery.up), (id("a"), Up::Event));
    assert_eq!(delivery.properties, [("id".to_owned(), "7".to_owned())]);
    assert_eq!(&delivery.payload[..], b"{}");
    assert!(Time::now().since_ms(delivery.received_at) < 10_000);

    let ack = Downward { agent: id("a"), down: Down::Ack, payload: b"{\"seq\":\"1\"}".to_vec() };
    house.down.send(ack).await.unwrap();
    let topic = a
        .until(|p| match p {
            Packet::Publish(publish) => Some(publish.topic.clone()),
            _ => None,
        })
        .await
        .unwrap();
    assert_eq!(&topic[..], b"callhome/v1/a/down/ack");
}

#[tokio::test]
async fn rights_of_one_agent() {
    let mut house = House::start(&["a", "b"]).await;
    let mut a = house.connect("a").await;
    for topic in [
        "callhome/v1/b/up/event",
        "callhome/v1/a/down/ack",
        "callhome/v1/b/down/ack",
        "callhome/v1/a/up/event/x",
        "callhome/v1/a/up/other",
        "other",
    ] {
        let reason = a.publish(topic, "x").await.unwrap();
        assert_eq!(reason, PubAckReason::NotAuthorized, "{topic}");
    }
    for filter in [
        "callhome/v1/b/down/#",
        "callhome/v1/+/down/#",
        "callhome/v1/a/up/#",
        "callhome/v1/+/up/#",
        "#",
        "+/#",
        "$SYS/#",
    ] {
        let code = a.subscribe(filter).await.unwrap();
        assert_eq!(code, SubscribeReasonCode::NotAuthorized, "{filter}");
    }
    for filter in ["$share/collectors/callhome/v1/+/up/#", "$share/g/callhome/v1/a/down/#"] {
        let code = a.subscribe(filter).await.unwrap();
        assert!(
            matches!(
                code,
                SubscribeReasonCode::NotAuthorized
                    | SubscribeReasonCode::SharedSubscriptionsNotSupported
            ),
            "{filter}: {code:?}"
        );
    }
    // After all that, its own topics still work, and nothing of the above came through.
    assert_eq!(a.publish("callhome/v1/a/up/event", "mine").await.unwrap(), PubAckReason::Success);
    assert_eq!(&house.next().await.payload[..], b"mine");
    assert!(house.up.try_recv().is_err());
    assert!(house.counted("publish-refused") && house.counted("subscribe-refused"));
}

#[tokio::test]
async fn who_tries_too_much_is_closed() {
    let house = House::start_with(&["a"], 10, 10_000, 10).await;
    let mut a = house.connect("a").await;
    for _ in 0..200 {
        if a.publish("callhome/v1/b/up/event", "x").await.is_err() {
            return;
        }
    }
    panic!("still connected after 200 forbidden publishes");
}

#[tokio::test]
async fn connects_that_are_refused() {
    let house = House::start(&["a", "b"]).await;
    let options = |client_id: &str, agent: &str| {
        house.options(client_id, Some(House::certificate(&house.ca, agent).0))
    };
    // Another's client id, or a made-up one.
    for wrong in ["b", "a.other", "$collector", "A"] {
        let code = refusal(Client::connect(options(wrong, "a")).await);
        assert_eq!(code, ConnectReturnCode::ClientIdentifierNotValid, "{wrong}");
    }
    // A will on another's topic; a retained will.
    let mut will = options("a", "a");
    let topic = "callhome/v1/b/up/heartbeat";
    will.set_last_will(LastWill::new(topic, "x", QoS::AtLeastOnce, false, None));
    assert_eq!(refusal(Client::connect(will).await), ConnectReturnCode::NotAuthorized);
    let mut will = options("a", "a");
    let topic = "callhome/v1/a/up/heartbeat";
    will.set_last_will(LastWill::new(topic, "x", QoS::AtLeastOnce, true, None));
    assert!(Client::connect(will).await.is_err());
    // Both connections of an agent at the same time.
    let mut a = Client::connect(options("a", "a")).await.unwrap();
    let mut session = Client::connect(options("a.session", "a")).await.unwrap();
    for client in [&mut a, &mut session] {
        let reason = client.publish("callhome/v1/a/up/heartbeat", "x").await.unwrap();
        assert_eq!(reason, PubAckReason::Success);
    }
}

#[tokio::test]
async fn mqtt_3_is_refused() {
    let house = House::start(&["a"]).await;
    let (identity, _) = House::certificate(&house.ca, "a");
    let config = tls::client_config(&[house.ca.certificate().clone()], Some(identity)).unwrap();
    let mut options = rumqttc::MqttOptions::new("a", "localhost", house.address.port());
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))));
    let (_client, mut events) = rumqttc::AsyncClient::new(options, 10);
    let answer = tokio::time::timeout(Duration::from_secs(10), events.poll()).await.unwrap();
    assert!(
        matches!(
            answer,
            Err(rumqttc::ConnectionError::ConnectionRefused(
                rumqttc::ConnectReturnCode::RefusedProtocolVersion
            ))
        ),
        "{answer:?}"
    );
}

#[tokio::test]
async fn certificates_that_are_refused() {
    let house = House::start(&["a"]).await;
    assert!(Client::connect(house.options("a", None)).await.is_err(), "none");
    let foreign = Authority::generate("Example", "CA").unwrap();
    let (identity, _) = House::certificate(&foreign, "a");
    assert!(Client::connect(house.options("a", Some(identity))).await.is_err(), "foreign CA");
    let (identity, _) = House::certificate(&house.ca, "unknown");
    assert!(Client::connect(house.options("unknown", Some(identity))).await.is_err(), "unknown");
    let collector = house.ca.collector("main").unwrap();
    let identity =
        Identity::from_pem(collector.chain.as_bytes(), collector.key.as_bytes()).unwrap();
    assert!(Client::connect(house.options("main", Some(identity))).await.is_err(), "collector's");
    let server =
        Identity::from_pem(house.server.chain.as_bytes(), house.server.key.as_bytes()).unwrap();
    assert!(Client::connect(house.options("a", Some(server))).await.is_err(), "server's");
    assert!(house.counted("handshake-failed") && house.counted("agent-refused"));
}

#[tokio::test]
async fn revocation_refuses_and_expels() {
    let house = House::start(&["a", "b"]).await;
    let (identity, serial) = House::certificate(&house.ca, "a");
    let again = Identity { chain: identity.chain.clone(), key: identity.key.clone_key() };
    let mut a = Client::connect(house.options("a", Some(identity))).await.unwrap();
    let mut b = house.connect("b").await;
    let agents: HashSet<AgentId> = [id("a"), id("b")].into();
    // One certificate of `a`, all of `b`.
    let revoked = HashSet::from([serial.clone()]);
    house.roster.send_replace(Arc::new(Roster {
        agents: agents.clone(),
        revoked,
        ..Roster::default()
    }));
    a.ended().await;
    let reason = b.publish("callhome/v1/b/up/event", "x").await.unwrap();
    assert_eq!(reason, PubAckReason::Success);
    house.roster.send_replace(Arc::new(Roster { agents: [id("a")].into(), ..Roster::default() }));
    b.ended().await;
    // The revocation list alone refuses, at the handshake.
    let crl = house.ca.revocation_list(&[(serial, Time::now())]).unwrap();
    house.tls.store(Arc::new(server_tls(&house.ca, &house.server, &crl)));
    house.roster.send_replace(Arc::new(Roster { agents, ..Roster::default() }));
    assert!(Client::connect(house.options("a", Some(again))).await.is_err());
    house.connect("a").await;
}

#[tokio::test]
async fn an_agent_enrolled_a_moment_ago_is_waited_for() {
    let house = House::start(&[]).await;
    let roster = house.roster.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        roster.send_replace(Arc::new(Roster { agents: [id("a")].into(), ..Roster::default() }));
    });
    house.connect("a").await;
}

mod framed;

mod limits;
