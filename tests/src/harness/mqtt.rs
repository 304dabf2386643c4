//! A bare MQTT 5 client that sends whatever it is told to, also what a proper client would refuse to
//! send. Written after the OASIS standard MQTT 5.0; for tests of what a broker answers.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use callhome_shared::tls::{self, Identity};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An answer that does not come within this is none.
const ANSWER: Duration = Duration::from_secs(20);

/// What a CONNECT says.
#[derive(Clone, Debug)]
pub struct Connect {
    /// The client id.
    pub client_id: String,
    /// The last will: topic, whether it is to be retained.
    pub will: Option<(String, bool)>,
    /// Keep-alive, seconds.
    pub keep_alive: u16,
    /// Protocol version: 5, or something a broker should refuse.
    pub version: u8,
}

impl Connect {
    /// A plain one.
    pub fn new(client_id: &str) -> Self {
        Connect { client_id: client_id.to_owned(), will: None, keep_alive: 60, version: 5 }
    }

    /// With a last will.
    pub fn will(mut self, topic: &str, retain: bool) -> Self {
        self.will = Some((topic.to_owned(), retain));
        self
    }

    fn packet(&self) -> Vec<u8> {
        let mut flags = 0x02;
        if let Some((_, retain)) = &self.will {
            flags |= 0x04 | 0x08 | if *retain { 0x20 } else { 0 };
        }
        let mut body = Vec::new();
        text(&mut body, "MQTT");
        body.push(self.version);
        body.push(flags);
        body.extend(self.keep_alive.to_be_bytes());
        if self.version == 5 {
            body.push(0);
        }
        text(&mut body, &self.client_id);
        if let Some((topic, _)) = &self.will {
            if self.version == 5 {
                body.push(0);
            }
            text(&mut body, topic);
            text(&mut body, "gone");
        }
        framed(0x10, &body)
    }
}

/// What came of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// The broker did it.
    Allowed,
    /// The broker said no, in these words.
    Denied(String),
}

impl Got {
    /// Whether the broker did it.
    pub fn allowed(&self) -> bool {
        *self == Got::Allowed
    }

    fn reason(code: u8) -> Self {
        // 0x10: nobody subscribes; the publish was allowed all the same.
        if code < 0x80 { Got::Allowed } else { Got::Denied(name(code)) }
    }
}

impl std::fmt::Display for Got {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Got::Allowed => write!(f, "allowed"),
            Got::Denied(why) => write!(f, "denied: {why}"),
        }
    }
}

/// A packet from the broker: its first byte and its body.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Type and flags.
    pub first: u8,
    /// What follows the length.
    pub body: Vec<u8>,
}

/// An open connection.
pub struct Client {
    stream: TlsStream<TcpStream>,
    next_id: u16,
}

/// Where most tests' clients are.
pub const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Another address of the same machine: what one source does must not be laid to another's charge.
pub const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// TCP to `127.0.0.1:<port>` from `source`.
pub async fn tcp_connect(source: Ipv4Addr, port: u16) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    let connecting = socket.connect((Ipv4Addr::LOCALHOST, port).into());
    let tcp = tokio::time::timeout(ANSWER, connecting).await.context("TCP in time")??;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// TLS to `127.0.0.1:<port>` as `localhost`.
pub async fn tls_connect(
    source: Ipv4Addr,
    port: u16,
    roots: &[CertificateDer<'static>],
    identity: Option<Identity>,
) -> Result<TlsStream<TcpStream>> {
    let config = tls::client_config(roots, identity)?;
    let tcp = tcp_connect(source, port).await?;
    let connector = TlsConnector::from(Arc::new(config));
    let connecting = connector.connect(ServerName::try_from("localhost")?, tcp);
    Ok(tokio::time::timeout(ANSWER, connecting).await.context("TLS handshake in time")??)
}

impl Client {
    /// Connects; `Err` in the answer is the broker's (or TLS's) refusal.
    pub async fn connect(
        port: u16,
        roots: &[CertificateDer<'static>],
        identity: Option<Identity>,
        connect: &Connect,
    ) -> Result<std::result::Result<Client, String>> {
        Client::connect_from(HERE, port, roots, identity, connect).await
    }

    /// The same from another address.
    pub async fn connect_from(
        source: Ipv4Addr,
        port: u16,
        roots: &[CertificateDer<'static>],
        identity: Option<Identity>,
        connect: &Connect,
    ) -> Result<std::result::Result<Client, String>> {
        let stream = match tls_connect(source, port, roots, identity).await {
            Ok(stream) => stream,
            Err(e) => return Ok(Err(format!("TLS: {e:#}"))),
        };
        let mut client = Client { stream, next_id: 1 };
        if let Err(e) = client.send(&connect.packet()).await {
            return Ok(Err(format!("closed: {e:#}")));
        }
        Ok(match client.read().await {
            Ok(Packet { first: 0x20, body }) => match body.get(1) {
                Some(0) => Ok(client),
                Some(code) => Err(format!("CONNACK: {}", name(*code))),
                None => Err("CONNACK without a code".to_owned()),
            },
            Ok(packet) => Err(format!("packet {:#x} instead of CONNACK", packet.first)),
            Err(e) => Err(format!("closed: {e:#}")),
        })
    }

    /// Publishes with QoS 1 and waits for what becomes of it.
    pub async fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) -> Got {
        self.publish_with(topic, &[], payload, retain).await
    }

    /// The same with user properties.
    pub async fn publish_with(
        &mut self,
        topic: &str,
        properties: &[(String, String)],
        payload: &[u8],
        retain: bool,
    ) -> Got {
        let packet = self.publish_packet(topic, properties, payload, retain);
        self.ask(&packet, 0x40)
            .await
            .map_or_else(Got::Denied, |body| Got::reason(body.get(2).copied().unwrap_or(0)))
    }

    /// A PUBLISH packet (QoS 1) with a new packet id.
    pub fn publish_packet(
        &mut self,
        topic: &str,
        properties: &[(String, String)],
        payload: &[u8],
        retain: bool,
    ) -> Vec<u8> {
        let mut body = Vec::with_capacity(payload.len() + 200);
        text(&mut body, topic);
        body.extend(self.id().to_be_bytes());
        let mut props = Vec::new();
        for (key, value) in properties {
            props.push(0x26);
            text(&mut props, key);
            text(&mut props, value);
        }
        length(&mut body, props.len());
        body.extend(props);
        body.extend(payload);
        framed(0x32 | u8::from(retain), &body)
    }

    /// Subscribes with QoS 1 and waits for what becomes of it.
    pub async fn subscribe(&mut self, filter: &str) -> Got {
        let mut body = self.id().to_be_bytes().to_vec();
        body.push(0);
        text(&mut body, filter);
        body.push(1);
        let packet = framed(0x82, &body);
        self.ask(&packet, 0x90)
            .await
            .map_or_else(Got::Denied, |body| Got::reason(body.last().copied().unwrap_or(0x80)))
    }

    /// Whether the connection lives: PINGREQ is answered.
    pub async fn alive(&mut self) -> bool {
        self.ask(&[0xc0, 0], 0xd0).await.is_ok()
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next packet.
    pub async fn read(&mut self) -> Result<Packet> {
        let reading = async {
            let first = self.stream.read_u8().await.context("closed by the broker")?;
            let mut size = 0_usize;
            for shift in [0, 7, 14, 21] {
                let byte = self.stream.read_u8().await?;
                size |= usize::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            ensure!(size <= 1024 * 1024, "a packet of {size} bytes");
            let mut body = vec![0; size];
            self.stream.read_exact(&mut body).await?;
            if first == 0xe0 {
                bail!("DISCONNECT: {}", name(body.first().copied().unwrap_or(0)));
            }
            Ok(Packet { first, body })
        };
        tokio::time::timeout(ANSWER, reading).await.context("no answer")?
    }

    /// Sends a packet and reads until one of type `wanted` comes.
    async fn ask(&mut self, packet: &[u8], wanted: u8) -> std::result::Result<Vec<u8>, String> {
        // A broker may answer and close before all is written: what it said counts.
        let sent = self.send(packet).await;
        loop {
            match self.read().await {
                Ok(got) if got.first & 0xf0 == wanted & 0xf0 => return Ok(got.body),
                Ok(_) => {}
                Err(e) => {
                    let why = sent.err().map_or(String::new(), |s| format!(" ({s})"));
                    return Err(format!("connection closed: {e:#}{why}"));
                }
            }
        }
    }

    fn id(&mut self) -> u16 {
        let id = self.next_id;
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        id
    }
}

fn text(to: &mut Vec<u8>, text: &str) {
    let size = u16::try_from(text.len()).unwrap_or(u16::MAX);
    to.extend(size.to_be_bytes());
    to.extend(&text.as_bytes()[..usize::from(size)]);
}

fn length(to: &mut Vec<u8>, mut size: usize) {
    loop {
        let byte = u8::try_from(size & 0x7f).unwrap_or(0);
        size >>= 7;
        to.push(if size > 0 { byte | 0x80 } else { byte });
        if size == 0 {
            return;
        }
    }
}

fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    length(&mut packet, body.len());
    packet.extend(body);
    packet
}

/// The standard's name of a reason code (2.4).
fn name(code: u8) -> String {
    let known = match code {
        0x00 => "normal",
        0x80 => "unspecified error",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "implementation specific error",
        0x84 => "unsupported protocol version",
        0x85 => "client id not valid",
        0x86 => "bad user name or password",
        0x87 => "not authorized",
        0x8e => "session taken over",
        0x8f => "topic filter invalid",
        0x90 => "topic name invalid",
        0x95 => "packet too large",
        0x97 => "quota exceeded",
        0x98 => "administrative action",
        0x9a => "retain not supported",
        0x9e => "shared subscriptions not supported",
        0xa2 => "wildcard subscriptions not supported",
        _ => return format!("reason {code:#x}"),
    };
    known.to_owned()
}
