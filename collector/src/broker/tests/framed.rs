//! MQTT in a WebSocket through the HTTPS server, with its rights and its refusals.

use callhome_shared::websocket::pump::pump;
use callhome_shared::websocket::{Opcode, Role, accept_key, frame};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::api::server::{self, Server, tls_config};
use crate::health::Health;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

impl House {
    /// An HTTPS server in front of the broker.
    async fn https(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let identity =
            Identity::from_pem(self.server.chain.as_bytes(), self.server.key.as_bytes()).unwrap();
        let clients = ClientAuth::Optional(vec![self.ca.certificate().clone()], Vec::new());
        let entry = websocket::Entry {
            roster: RosterReader {
                newest: self.roster.subscribe(),
                refresh: Arc::new(Notify::new()),
                used: mpsc::channel(1).0,
            },
            visitors: Some(self.visitors.clone()),
            metrics: self.metrics.clone(),
        };
        let server = Server {
            tls: Arc::new(ArcSwap::from_pointee(tls_config(identity, clients).unwrap())),
            app: websocket::routes(entry),
            limits: server::Limits::default(),
            metrics: self.metrics.clone(),
            pulse: Health::default().watch("https", Duration::from_secs(30)),
        };
        tokio::spawn(server::serve(listener, server, self.shutdown.clone().cancelled_owned()));
        address
    }

    /// The handshake's answer, and the connection behind it.
    async fn upgrade(
        &self,
        https: SocketAddr,
        identity: Option<Identity>,
        change: (&str, &str),
    ) -> (String, TlsStream<TcpStream>) {
        let config = tls::client_config(&[self.ca.certificate().clone()], identity).unwrap();
        let tcp = TcpStream::connect(https).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        let request = format!(
            "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqttv3.1, mqtt\r\n\r\n"
        );
        let request = request.replace(change.0, change.1);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        (String::from_utf8(answer).unwrap(), stream)
    }

    /// A client whose bytes go through a WebSocket.
    async fn framed(&self, https: SocketAddr, agent: &str) -> Result<Client, ConnectionError> {
        let (identity, _) = House::certificate(&self.ca, "a");
        let (answer, stream) = self.upgrade(https, Some(identity), ("", "")).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.contains(&accept_key(KEY)) && answer.contains("protocol: mqtt\r\n"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (plain, _) = listener.accept().await.unwrap();
            pump(stream, plain, Role::Client, Vec::new()).await
        });
        let mut options = MqttOptions::new(agent, "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(20));
        options.set_max_packet_size(Some(1024 * 1024));
        Client::connect(options).await
    }
}

#[tokio::test]
async fn a_websocket_has_the_same_rights_and_reaches_the_same_desk() {
    let mut house = House::start(&["a"]).await;
    let https = house.https().await;
    let mut a = house.framed(https, "a").await.unwrap();
    let filter = "callhome/v1/a/down/#";
    assert!(matches!(a.subscribe(filter).await.unwrap(), SubscribeReasonCode::Success(_)));
    let large = "x".repeat(callhome_shared::limits::MAX_PAYLOAD_BYTES);
    let reason = a.publish("callhome/v1/a/up/event", &large).await.unwrap();
    assert_eq!(reason, PubAckReason::Success);
    assert_eq!(house.next().await.payload.len(), large.len());
    let reason = a.publish("callhome/v1/b/up/event", "x").await.unwrap();
    assert_eq!(reason, PubAckReason::NotAuthorized);
    let ack = Downward { agent: id("a"), down: Down::Ack, payload: b"{}".to_vec() };
    house.down.send(ack).await.unwrap();
    let wanted = |p: &Packet| matches!(p, Packet::Publish(_)).then_some(());
    a.until(wanted).await.unwrap();
    let code = refusal(house.framed(https, "b").await);
    assert_eq!(code, ConnectReturnCode::ClientIdentifierNotValid);
    // The MQTT port takes over: it is the same agent at the same desk.
    let _second = house.connect("a").await;
    a.ended().await;
    let mut a = house.framed(https, "a").await.unwrap();
    house.roster.send_replace(Arc::new(Roster::default()));
    a.ended().await;
    assert!(house.metrics.text().contains("connections{listener=\"mqtt-websocket\"}"));
}

#[tokio::test]
async fn what_is_no_websocket_of_an_agent_is_refused() {
    let house = House::start(&["a"]).await;
    let https = house.https().await;
    let agent = || Some(House::certificate(&house.ca, "a").0);
    let unknown = Some(House::certificate(&house.ca, "unknown").0);
    for (identity, change, status) in [
        (None, ("", ""), "403"),
        (unknown, ("", ""), "403"),
        (agent(), ("Version: 13", "Version: 8"), "400"),
        (agent(), ("mqttv3.1, mqtt", "chat"), "400"),
        (agent(), (KEY, "short"), "400"),
        (agent(), ("Upgrade: websocket", "Upgrade: h2c"), "400"),
    ] {
        let (answer, _) = house.upgrade(https, identity, change).await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{change:?}: {answer}");
    }
    // Text, an unmasked frame, a frame that is too long: the connection ends.
    let mut long = vec![0x82, 0xff];
    long.extend_from_slice(&u64::MAX.to_be_bytes());
    long.extend_from_slice(&[0; 4]);
    for bytes in [vec![0x81, 0x80, 0, 0, 0, 0], frame(Opcode::Binary, None, b"x"), long] {
        let (answer, mut stream) = house.upgrade(https, agent(), ("", "")).await;
        assert!(answer.starts_with("HTTP/1.1 101 "));
        stream.write_all(&bytes).await.unwrap();
        let mut said = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut said));
        let _ = ended.await.expect("the connection ends");
        assert_eq!(said, frame(Opcode::Close, None, &1002_u16.to_be_bytes()));
    }
    assert!(house.counted("websocket-violation"));
    // After all that, an honest one comes in.
    house.framed(https, "a").await.unwrap();
}
