//! One rumqttc client: its options, and the task that polls it and does nothing else. And what a session
//! sees of whatever carries it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use callhome_shared::envelope::{CONTENT_TYPE, Envelope, Lane};
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::limits::{INFLIGHT, MAX_PACKET_BYTES};
use callhome_shared::time::Time;
use callhome_shared::topic::{Up, down_filter};
use rumqttc::Outgoing;
use rumqttc::Transport;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectProperties, LastWill, LastWillProperties, Packet, PubAckReason,
    PublishProperties, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::dial::handoff::{self, Carrier, Reason};
use super::dial::meter::Meters;
use super::dial::{Dialer, Stream};
use super::downward::{self, Downward};
use super::{Departure, Exit, Failure, post};
use crate::settings::{LinkSettings, Road, RoadKind};

/// Requests between us and the client: the publishes in flight, a heartbeat, the subscription.
pub(super) const CHANNEL: usize = INFLIGHT as usize + 16;
/// Events between the polling task and the session. A collector that outruns it is cut off; everything
/// it said comes again after the reconnect.
pub(super) const EVENTS: usize = 1024;
/// From the first packet to CONNACK.
const CONNECT_TIMEOUT_S: u64 = 15;

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

/// What takes a session's messages. Nothing here waits for the network, except the subscription.
pub enum Client {
    /// MQTT, with or without a WebSocket around it.
    Mqtt(AsyncClient),
    /// HTTPS.
    Post(mpsc::Sender<post::Letter>),
}

impl Client {
    /// Asks for what comes down; answered by [`News::SubAck`].
    pub(super) async fn subscribe(&self, agent: &AgentId) -> Result<(), Failure> {
        let sent = match self {
            Client::Mqtt(client) => {
                client.subscribe(down_filter(agent), QoS::AtLeastOnce).await.is_ok()
            }
            Client::Post(letters) => letters.send(post::Letter::Subscribe).await.is_ok(),
        };
        if sent { Ok(()) } else { Err(Failure::Lost("the client is gone".into())) }
    }

    /// One envelope, at least once; answered by [`News::PubAck`].
    pub(super) fn publish(&self, agent: &AgentId, envelope: Envelope) -> Result<(), Failure> {
        let up = match envelope.lane {
            Lane::Alarm => Up::Event,
            Lane::Bulk => Up::Bulk,
        };
        let taken = match self {
            Client::Mqtt(client) => {
                let properties = PublishProperties {
                    content_type: Some(CONTENT_TYPE.to_owned()),
                    user_properties: envelope.user_properties(),
                    ..PublishProperties::default()
                };
                let (topic, data) = (up.topic(agent), Bytes::from(envelope.data));
                let qos = QoS::AtLeastOnce;
                client.try_publish_with_properties(topic, qos, false, data, properties).is_ok()
            }
            Client::Post(letters) => letters.try_send(post::Letter::Envelope(envelope)).is_ok(),
        };
        if taken { Ok(()) } else { Err(Failure::Stalled("the client takes no publish")) }
    }

    /// A heartbeat as JSON, at most once.
    pub(super) fn heartbeat(&self, agent: &AgentId, json: Vec<u8>) -> Result<(), Failure> {
        let taken = match self {
            Client::Mqtt(client) => {
                let properties = PublishProperties {
                    content_type: Some(CONTENT_TYPE.to_owned()),
                    ..PublishProperties::default()
                };
                let (topic, qos) = (Up::Heartbeat.topic(agent), QoS::AtMostOnce);
                client.try_publish_with_properties(topic, qos, false, json, properties).is_ok()
            }
            Client::Post(letters) => letters.try_send(post::Letter::Heartbeat(json)).is_ok(),
        };
        if taken { Ok(()) } else { Err(Failure::Stalled("the client takes no heartbeat")) }
    }

    /// Says good-bye behind all that was handed over; the polling task ends then.
    pub(super) fn leave(&self) -> bool {
        match self {
            Client::Mqtt(client) => client.try_disconnect().is_ok(),
            Client::Post(letters) => letters.try_send(post::Letter::Leave).is_ok(),
        }
    }
}

/// A connection that stands.
pub struct Connected {
    /// Us.
    pub agent: AgentId,
    /// Names this connection in heartbeats and in its last will.
    pub connection: Uuid,
    /// Requests.
    pub client: Client,
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

/// Connects on a road with a fresh client and starts polling it.
pub async fn connect(
    settings: &LinkSettings,
    road: &Arc<Road>,
    meters: &Meters,
    exit: &Exit,
) -> Result<Connected, Failure> {
    let dialer = Dialer::new(settings, meters)?;
    if road.kind == RoadKind::Post {
        return post::connect(dialer, road, settings.keep_alive).await;
    }
    let agent = dialer.agent.clone();
    let stream = dialer.dial(road).await?;
    mqtt(settings, agent, stream, (road, exit)).await
}

/// MQTT on a dialed stream.
async fn mqtt(
    settings: &LinkSettings,
    agent: AgentId,
    stream: Stream,
    (road, exit): (&Road, &Exit),
) -> Result<Connected, Failure> {
    let framed = road.kind == RoadKind::WebSocket;
    let handed = handoff::offer(&settings.socket_dir, stream, framed)?;
    let connection = new_uuid();
    let will = will(&agent, connection);
    let (envelope, payload, road) = (None, &will.message[..], &*road.to_string());
    exit.passes(Departure { kind: "will", envelope, road, payload });
    let options = options(settings, &agent, will, &handed.path);
    let (client, mut events) = AsyncClient::new(options, CHANNEL);
    let first = events.poll().await;
    let first = first.map_err(|e| because(&handed.reason, Failure::from_client(e)))?;
    if let Event::Incoming(Packet::ConnAck(answer)) = &first {
        check_limits(answer)?;
        if answer.properties.as_ref().is_some_and(|p| p.server_keep_alive == Some(0)) {
            // rumqttc takes "no keep-alive" for "ping without a pause".
            events.options.set_keep_alive(settings.keep_alive);
        }
    }
    let (tx, news) = mpsc::channel(EVENTS);
    let line = (handed.reason, handed.carrier);
    let poller = Poller(tokio::spawn(poll(events, tx, agent.clone(), line)));
    Ok(Connected { agent, connection, client: Client::Mqtt(client), news, poller })
}

/// The network's own words, where it failed; rumqttc only sees that its socket was closed.
fn because(reason: &Reason, failure: Failure) -> Failure {
    match failure {
        Failure::Lost(_) | Failure::Timeout(_) => reason.take().unwrap_or(failure),
        other => other,
    }
}

fn check_limits(answer: &ConnAck) -> Result<(), Failure> {
    match answer.properties.as_ref().and_then(|p| p.max_packet_size) {
        Some(limit) if limit < MAX_PACKET_BYTES => {
            Err(Failure::PacketLimit(limit, MAX_PACKET_BYTES))
        }
        _ => Ok(()),
    }
}

fn options(settings: &LinkSettings, agent: &AgentId, will: LastWill, socket: &str) -> MqttOptions {
    let mut options = MqttOptions::new(agent.as_str(), socket, 0);
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(0);
    properties.max_packet_size = Some(MAX_PACKET_BYTES);
    options
        .set_connect_properties(properties)
        .set_transport(Transport::Unix)
        .set_clean_start(true)
        .set_keep_alive(settings.keep_alive.max(Duration::from_secs(5)))
        .set_connection_timeout(CONNECT_TIMEOUT_S)
        .set_outgoing_inflight_upper_limit(INFLIGHT)
        .set_last_will(will);
    options
}

/// The last will: the newest heartbeat says that we are gone.
fn will(agent: &AgentId, connection: Uuid) -> LastWill {
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
    let payload = serde_json::to_vec(&Heartbeat { connection: Some(connection), ..offline() });
    LastWill::new(topic, payload.unwrap_or_default(), QoS::AtLeastOnce, false, Some(properties))
}

/// The heartbeat that says we are gone. In a last will its `at` is the time of the connection.
pub fn offline() -> Heartbeat {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Heartbeat { online: false, at: Time::now(), version, ..Heartbeat::default() }
}

/// The heartbeat of an agent that is stopped on purpose.
pub fn good_bye() -> Heartbeat {
    Heartbeat { stopped: true, ..offline() }
}

/// Polls until the connection ends. Never waits for anything but the connection.
async fn poll(
    mut events: EventLoop,
    tx: mpsc::Sender<News>,
    agent: AgentId,
    (reason, carrier): (Reason, Carrier),
) -> Failure {
    let _carrier = carrier;
    loop {
        let event = match events.poll().await {
            Ok(event) => event,
            Err(error) => return because(&reason, Failure::from_client(error)),
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
