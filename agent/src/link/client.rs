//! One rumqttc client: its options, and the task that polls it and does nothing else.

use std::sync::Arc;
use std::time::Duration;

use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::id::AgentId;
use callhome_shared::limits::{INFLIGHT, MAX_PACKET_BYTES};
use callhome_shared::time::Time;
use callhome_shared::tls::{self, Identity, Peer};
use callhome_shared::topic::Up;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectProperties, LastWill, LastWillProperties, Packet, PubAckReason,
    SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Failure;
use super::downward::{self, Downward};
use crate::settings::{LinkSettings, MqttAddress};

/// Requests between us and the client: the publishes in flight, a heartbeat, the subscription.
const CHANNEL: usize = INFLIGHT as usize + 16;
/// Events between the polling task and the session. A collector that outruns it is cut off; everything
/// it said comes again after the reconnect.
const EVENTS: usize = 1024;
/// From the first packet to CONNACK.
const CONNECT_TIMEOUT_S: u64 = 15;
/// For the name server.
const DNS_TIMEOUT: Duration = Duration::from_secs(10);

/// What the polling task reports.
#[derive(Debug)]
pub enum News {
    /// The subscription's answer, one reason per filter.
    SubAck(Vec<SubscribeReasonCode>),
    /// A publish was answered.
    PubAck {
        /// Packet id.
        id: u16,
        /// The reason, if it was refused.
        refused: Option<PubAckReason>,
    },
    /// The collector speaks.
    Down(Downward),
    /// The collector speaks, and it makes no sense.
    Malformed(String),
    /// Anything else: the connection lives.
    Alive,
}

/// A connection that has its CONNACK.
pub struct Connected {
    /// Us.
    pub agent: AgentId,
    /// Requests.
    pub client: AsyncClient,
    /// Reports of the polling task.
    pub news: mpsc::Receiver<News>,
    /// The polling task; ends with the reason. Aborted when dropped.
    pub poller: Poller,
}

/// Aborts the polling task, and with it the connection, when dropped.
pub struct Poller(pub JoinHandle<Failure>);

impl Drop for Poller {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects with a fresh client and starts polling it.
pub async fn connect(settings: &LinkSettings, address: &MqttAddress) -> Result<Connected, Failure> {
    let (agent, options) = options(settings, address)?;
    resolve(address).await?;
    let (client, mut events) = AsyncClient::new(options, CHANNEL);
    let first = events.poll().await.map_err(Failure::from_client)?;
    if let Event::Incoming(Packet::ConnAck(answer)) = &first {
        check_limits(answer)?;
        if answer.properties.as_ref().is_some_and(|p| p.server_keep_alive == Some(0)) {
            // rumqttc takes "no keep-alive" for "ping without a pause".
            events.options.set_keep_alive(settings.keep_alive);
        }
    }
    let (tx, news) = mpsc::channel(EVENTS);
    let poller = Poller(tokio::spawn(poll(events, tx, agent.clone())));
    Ok(Connected { agent, client, news, poller })
}

/// The name is resolved apart first: only so can a DNS failure be told from a refused connection.
async fn resolve(address: &MqttAddress) -> Result<(), Failure> {
    let dns = |why: String| Failure::Dns { host: address.host.clone(), why };
    let lookup = tokio::net::lookup_host((address.host.as_str(), address.port));
    let mut found = tokio::time::timeout(DNS_TIMEOUT, lookup)
        .await
        .map_err(|_| dns("no answer in time".into()))?
        .map_err(|e| dns(e.to_string()))?;
    found.next().map(|_| ()).ok_or_else(|| dns("no address".into()))
}

fn check_limits(answer: &ConnAck) -> Result<(), Failure> {
    match answer.properties.as_ref().and_then(|p| p.max_packet_size) {
        Some(limit) if limit < MAX_PACKET_BYTES => {
            Err(Failure::PacketLimit(limit, MAX_PACKET_BYTES))
        }
        _ => Ok(()),
    }
}

fn options(
    settings: &LinkSettings,
    address: &MqttAddress,
) -> Result<(AgentId, MqttOptions), Failure> {
    let (agent, identity) = identity(settings)?;
    let roots = read(&settings.ca_file).and_then(|pem| {
        tls::read_certificates(&pem).map_err(|e| Failure::Identity(e.to_string()))
    })?;
    let tls =
        tls::client_config(&roots, Some(identity)).map_err(|e| Failure::Identity(e.to_string()))?;
    let mut options = MqttOptions::new(agent.as_str(), address.host.as_str(), address.port);
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(0);
    properties.max_packet_size = Some(MAX_PACKET_BYTES);
    options
        .set_connect_properties(properties)
        .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls))))
        .set_clean_start(true)
        .set_keep_alive(settings.keep_alive.max(Duration::from_secs(5)))
        .set_connection_timeout(CONNECT_TIMEOUT_S)
        .set_outgoing_inflight_upper_limit(INFLIGHT)
        .set_last_will(will(&agent));
    let mut network = NetworkOptions::new();
    // Else the next publish waits up to 40 ms for the delayed TCP acknowledgement of the one before.
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    Ok((agent, options))
}

/// Our chain and key, and the id they carry.
pub fn identity(settings: &LinkSettings) -> Result<(AgentId, Identity), Failure> {
    let chain = read(&settings.certificate_file)?;
    let key = read(&settings.key_file)?;
    let bad = |e: tls::TlsError| Failure::Identity(e.to_string());
    let identity = Identity::from_pem(&chain, &key).map_err(bad)?;
    let leaf = identity.chain.first().ok_or_else(|| Failure::Identity("no certificate".into()))?;
    match tls::peer(leaf).map_err(bad)? {
        Peer::Agent(agent) => Ok((agent, identity)),
        Peer::Collector(name) => {
            Err(Failure::Identity(format!("the certificate is a collector's ({name})")))
        }
    }
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| Failure::Identity(format!("{}: {e}", path.display())))
}

/// The last will: the newest heartbeat says that we are gone.
fn will(agent: &AgentId) -> LastWill {
    let properties = LastWillProperties {
        delay_interval: None,
        payload_format_indicator: None,
        message_expiry_interval: None,
        content_type: Some(callhome_shared::envelope::CONTENT_TYPE.to_owned()),
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    };
    let topic = Up::Heartbeat.topic(agent);
    let payload = serde_json::to_vec(&offline()).unwrap_or_default();
    LastWill::new(topic, payload, QoS::AtLeastOnce, false, Some(properties))
}

/// The heartbeat that says we are gone. In a last will its `at` is the time of the connection.
pub fn offline() -> Heartbeat {
    Heartbeat {
        online: false,
        at: Time::now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: 0,
        epoch: None,
        lanes: Vec::new(),
        last_ack_at: None,
        sources: Vec::new(),
        certificate_expires_at: None,
        active_alarms: 0,
        active_digest: String::new(),
        site: None,
        customer: None,
    }
}

/// Polls until the connection ends. Never waits for anything but the connection.
async fn poll(mut events: EventLoop, tx: mpsc::Sender<News>, agent: AgentId) -> Failure {
    loop {
        let event = match events.poll().await {
            Ok(event) => event,
            Err(error) => return Failure::from_client(error),
        };
        if let Some(news) = translate(&event, &agent)
            && let Err(error) = tx.try_send(news)
        {
            return match error {
                mpsc::error::TrySendError::Full(_) => Failure::Stalled("the collector outruns us"),
                mpsc::error::TrySendError::Closed(_) => Failure::Lost("given up".into()),
            };
        }
    }
}

fn translate(event: &Event, agent: &AgentId) -> Option<News> {
    match event {
        Event::Incoming(Packet::SubAck(answer)) => Some(News::SubAck(answer.return_codes.clone())),
        Event::Incoming(Packet::PubAck(answer)) => {
            let fine = matches!(
                answer.reason,
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers
            );
            Some(News::PubAck { id: answer.pkid, refused: (!fine).then_some(answer.reason) })
        }
        Event::Incoming(Packet::Publish(message)) => {
            Some(match downward::read(agent, &message.topic, &message.payload) {
                Ok(down) => News::Down(down),
                Err(why) => News::Malformed(why),
            })
        }
        Event::Incoming(_) | Event::Outgoing(Outgoing::PingReq) => Some(News::Alive),
        Event::Outgoing(_) => None,
    }
}
