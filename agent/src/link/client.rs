//! What a session sees of whatever carries it: where it hands its messages over, and what it hears.

use bytes::Bytes;
use callhome_shared::envelope::{CONTENT_TYPE, Envelope, Lane};
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::id::AgentId;
use callhome_shared::limits::INFLIGHT;
use callhome_shared::time::Time;
use callhome_shared::topic::{Up, down_filter};
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{PubAckReason, PublishProperties, SubscribeReasonCode};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::Failure;
use super::downward::Downward;

/// Requests between us and the client: the publishes in flight, a heartbeat, the subscription.
pub(super) const CHANNEL: usize = INFLIGHT as usize + 16;
/// Events between the polling task and the session. A collector that outruns it is cut off; everything
/// it said comes again after the reconnect.
pub(super) const EVENTS: usize = 1024;

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

/// What a session hands over to be posted.
#[derive(Debug)]
pub enum Letter {
    /// Wants a sign that messages come down.
    Subscribe,
    /// To be delivered.
    Envelope(Envelope),
    /// The agent's state, JSON.
    Heartbeat(Vec<u8>),
    /// The end.
    Leave,
}

/// What takes a session's messages. Nothing here waits for the network, except the subscription.
pub enum Client {
    /// MQTT, with or without a WebSocket around it.
    Mqtt(AsyncClient),
    /// HTTPS.
    Post(mpsc::Sender<Letter>),
}

impl Client {
    /// Asks for what comes down; answered by [`News::SubAck`].
    pub(super) async fn subscribe(&self, agent: &AgentId) -> Result<(), Failure> {
        let sent = match self {
            Client::Mqtt(client) => {
                client.subscribe(down_filter(agent), QoS::AtLeastOnce).await.is_ok()
            }
            Client::Post(letters) => letters.send(Letter::Subscribe).await.is_ok(),
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
            Client::Post(letters) => letters.try_send(Letter::Envelope(envelope)).is_ok(),
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
            Client::Post(letters) => letters.try_send(Letter::Heartbeat(json)).is_ok(),
        };
        if taken { Ok(()) } else { Err(Failure::Stalled("the client takes no heartbeat")) }
    }

    /// Says good-bye behind all that was handed over; the polling task ends then.
    pub(super) fn leave(&self) -> bool {
        match self {
            Client::Mqtt(client) => client.try_disconnect().is_ok(),
            Client::Post(letters) => letters.try_send(Letter::Leave).is_ok(),
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

/// The heartbeat that says we are gone. In a last will its `at` is the time of the connection.
pub fn offline() -> Heartbeat {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Heartbeat { online: false, at: Time::now(), version, ..Heartbeat::default() }
}

/// The heartbeat of an agent that is stopped on purpose.
pub fn good_bye() -> Heartbeat {
    Heartbeat { stopped: true, ..offline() }
}
