//! MQTT 5, with or without a WebSocket around it: one rumqttc client a connection, and the task that
//! polls it and does nothing else.

use std::sync::Arc;
use std::time::Duration;

use callhome_shared::envelope::CONTENT_TYPE;
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::limits::{INFLIGHT, MAX_PACKET_BYTES};
use callhome_shared::topic::Up;
use rumqttc::Outgoing;
use rumqttc::Transport;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectProperties, LastWill, LastWillProperties, Packet, PubAckReason,
};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::client::{CHANNEL, Client, Connected, EVENTS, News, Poller, offline};
use super::dial::Dialer;
use super::dial::handoff::{self, Carrier, Reason};
use super::{Departure, Exit, Failure, downward};
use crate::settings::{LinkSettings, Road, RoadKind};

/// From the first packet to CONNACK.
const CONNECT_TIMEOUT_S: u64 = 15;

/// Connects on a road with a fresh client and starts polling it.
pub(super) async fn connect(
    dialer: Dialer,
    settings: &LinkSettings,
    road: &Arc<Road>,
    exit: &Exit,
) -> Result<Connected, Failure> {
    let agent = dialer.agent.clone();
    let stream = dialer.dial(road).await?;
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
        content_type: Some(CONTENT_TYPE.to_owned()),
        response_topic: None,
        correlation_data: None,
        user_properties: Vec::new(),
    };
    let topic = Up::Heartbeat.topic(agent);
    let payload = serde_json::to_vec(&Heartbeat { connection: Some(connection), ..offline() });
    LastWill::new(topic, payload.unwrap_or_default(), QoS::AtLeastOnce, false, Some(properties))
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
