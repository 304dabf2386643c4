//! The client for an external MQTT 5 broker.
//!
//! Every connection is a new client with a clean start: the crate drops what was pending when the
//! broker has lost the session, and can stall on a packet id that it still holds; neither happens
//! to a client that was never connected before. Nothing is lost by it: only the end-to-end
//! acknowledgement frees an agent's outbox, and what was not acknowledged comes again.
//!
//! What comes in is handed to the flow's bounded channel. When that is full nothing is read any
//! more, and TCP makes the broker wait; but only for a moment at a time: then a message is dropped,
//! so that the keep-alive goes on while the store is not well. The broker is answered (PUBACK) at
//! once: holding the answers back until the flow has taken a message was tried and gains nothing,
//! because mosquitto 2.0.11 does not hold to the receive maximum, and the answers then share a
//! channel with the messages down, where they can wait for each other.

use std::sync::Arc;
use std::time::Duration;

use callhome_shared::backoff::Backoff;
use callhome_shared::limits::{INFLIGHT, MAX_PACKET_BYTES};
use callhome_shared::logging::STAGE;
use callhome_shared::time::Time;
use callhome_shared::tls::{self, Identity, TlsError};
use callhome_shared::topic::{UP_FILTER, Up};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, Packet, PubAckReason, Publish, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ClientError, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, trace, warn};

use super::{Delivery, Downward};
use crate::enrol::EnrolError;
use crate::enrol::files::{self, TrustFiles};
use crate::health::Health;
use crate::metrics::Metrics;

/// How long a full channel stops the reading. Well below the keep-alive.
const STOP: Duration = Duration::from_secs(10);
/// Messages down that wait for the connection.
const REQUESTS: usize = 32;
/// TCP, TLS and CONNACK together.
const CONNECT: Duration = Duration::from_secs(15);
/// From CONNACK to SUBACK.
const SUBSCRIBE: Duration = Duration::from_secs(10);
/// A request that does not get into the connection for this long: it has stalled.
const STALL: Duration = Duration::from_secs(30);
/// A connection that died without a word is found after one to two of these.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Between two attempts, the first and the longest. It is one program at its own broker: nothing is
/// spared by a longer pause, and every agent behind that broker waits through it.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// A connection that lasted this long was a good one: the next back-off starts anew.
const GOOD: Duration = Duration::from_secs(60);

/// What the link is connected to.
pub struct External {
    /// The broker's host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The collector's name: certificate and client id.
    pub collector: String,
    /// CA and client certificate.
    pub files: TrustFiles,
    /// To the flow. Bounded: when it is full, the broker waits.
    pub up: mpsc::Sender<Delivery>,
    /// To agents.
    pub down: mpsc::Receiver<Downward>,
    /// Says whether agents can be heard.
    pub health: Arc<Health>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// Certificate files.
    #[error(transparent)]
    Files(#[from] EnrolError),
    /// TLS settings.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The broker did not answer in time.
    #[error("no {0} in time")]
    Silent(&'static str),
    /// The broker refused the subscription.
    #[error("the broker refuses to subscribe {UP_FILTER}: {0:?}")]
    Subscribe(SubscribeReasonCode),
    /// The connection.
    #[error("connection: {0}")]
    Connection(Box<ConnectionError>),
    /// The client's own channel is closed.
    #[error("client: {0}")]
    Client(String),
    /// The flow has ended.
    #[error("nobody takes what comes in")]
    NoFlow,
}

impl From<ConnectionError> for Ended {
    fn from(e: ConnectionError) -> Self {
        Ended::Connection(Box::new(e))
    }
}

impl From<ClientError> for Ended {
    fn from(e: ClientError) -> Self {
        Ended::Client(e.to_string())
    }
}

impl External {
    /// Runs until `shutdown`; connects again whenever a connection ends.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            let started = tokio::time::Instant::now();
            let ended = tokio::select! {
                ended = self.connection() => ended,
                () = shutdown.cancelled() => break,
            };
            self.health.set_broker_listening(false);
            if matches!(ended, Ended::NoFlow) {
                break;
            }
            self.metrics.broker_event("link-lost");
            if started.elapsed() > GOOD {
                backoff.reset();
            }
            let delay = backoff.next_delay();
            warn!(
                broker = format!("{}:{}", self.host, self.port),
                why = %ended,
                retry_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
                "not connected to the broker"
            );
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = shutdown.cancelled() => break,
            }
        }
        self.health.set_broker_listening(false);
    }

    /// One connection; answers why it ended.
    async fn connection(&mut self) -> Ended {
        let (client, mut events) = match self.options() {
            Ok(options) => AsyncClient::new(options, REQUESTS),
            Err(ended) => return ended,
        };
        if let Err(ended) = connected(&client, &mut events).await {
            return ended;
        }
        info!(broker = format!("{}:{}", self.host, self.port), "connected to the broker");
        self.health.set_broker_listening(true);
        // Dropped together: whichever ends first ends the connection.
        tokio::select! {
            ended = poll(&mut events, &self.up, &self.metrics) => ended,
            ended = send_down(&client, &mut self.down) => ended,
        }
    }

    fn options(&self) -> Result<MqttOptions, Ended> {
        // All CAs, so that a broker may show a certificate of either while one is exchanged.
        let roots = Some(self.files.roots()).filter(|f| f.exists());
        let ca = tls::read_certificates(&files::read(&roots.unwrap_or(self.files.ca()))?)?;
        let key = zeroize::Zeroizing::new(files::read(&self.files.collector_key())?);
        let identity = Identity::from_pem(&files::read(&self.files.collector())?, &key)?;
        let config = Arc::new(tls::client_config(&ca, Some(identity))?);
        let id = format!("callhome-collector-{}", self.collector);
        let mut options = MqttOptions::new(id, self.host.as_str(), self.port);
        let mut properties = ConnectProperties::new();
        properties.session_expiry_interval = Some(0);
        properties.max_packet_size = Some(MAX_PACKET_BYTES);
        options
            .set_connect_properties(properties)
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)))
            .set_clean_start(true)
            .set_keep_alive(KEEP_ALIVE)
            .set_connection_timeout(CONNECT.as_secs())
            .set_outgoing_inflight_upper_limit(INFLIGHT);
        let mut network = NetworkOptions::new();
        // Else an acknowledgement waits up to 40 ms for the delayed TCP acknowledgement before it.
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        Ok(options)
    }
}

/// CONNACK and SUBACK.
async fn connected(client: &AsyncClient, events: &mut EventLoop) -> Result<(), Ended> {
    let connack = async {
        loop {
            if let Event::Incoming(Packet::ConnAck(_)) = events.poll().await? {
                return Ok::<(), Ended>(());
            }
        }
    };
    tokio::time::timeout(CONNECT, connack).await.map_err(|_| Ended::Silent("CONNACK"))??;
    client.subscribe(UP_FILTER, QoS::AtLeastOnce).await?;
    let suback = async {
        loop {
            if let Event::Incoming(Packet::SubAck(ack)) = events.poll().await? {
                return Ok::<_, Ended>(ack.return_codes);
            }
        }
    };
    let codes =
        tokio::time::timeout(SUBSCRIBE, suback).await.map_err(|_| Ended::Silent("SUBACK"))??;
    match codes.into_iter().next() {
        Some(SubscribeReasonCode::Success(_)) => Ok(()),
        Some(code) => Err(Ended::Subscribe(code)),
        None => Err(Ended::Silent("reason in the SUBACK")),
    }
}

/// Polls, and hands over what comes in.
async fn poll(events: &mut EventLoop, up: &mpsc::Sender<Delivery>, metrics: &Metrics) -> Ended {
    loop {
        let packet = match events.poll().await {
            Ok(Event::Incoming(packet)) => packet,
            Ok(Event::Outgoing(_)) => continue,
            Err(e) => return e.into(),
        };
        match packet {
            Packet::Publish(publish) => {
                let Some(delivery) = delivery(&publish) else {
                    metrics.broker_event("topic-without-reader");
                    continue;
                };
                match tokio::time::timeout(STOP, up.reserve()).await {
                    Ok(Ok(room)) => {
                        let bytes = delivery.payload.len();
                        trace!(target: STAGE, at = "link.received", agent.id = %delivery.agent, bytes);
                        room.send(delivery);
                    }
                    Ok(Err(_)) => return Ended::NoFlow,
                    // Only the end-to-end acknowledgement means that it is kept: the agent sends
                    // it again.
                    Err(_) => metrics.broker_event("dropped-store-slow"),
                }
            }
            Packet::PubAck(ack) if !is_success(ack.reason) => {
                metrics.broker_event("down-refused");
                warn!(reason = ?ack.reason, "the broker refuses a message to an agent");
            }
            _ => {}
        }
    }
}

/// An agent that is not connected is no fault.
fn is_success(reason: PubAckReason) -> bool {
    matches!(reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers)
}

fn delivery(publish: &Publish) -> Option<Delivery> {
    let (agent, up) = Up::parse(std::str::from_utf8(&publish.topic).ok()?)?;
    let properties =
        publish.properties.as_ref().map(|p| p.user_properties.clone()).unwrap_or_default();
    let payload = publish.payload.clone();
    Some(Delivery { agent, up, properties, payload, received_at: Time::now() })
}

async fn send_down(client: &AsyncClient, down: &mut mpsc::Receiver<Downward>) -> Ended {
    while let Some(Downward { agent, down, payload }) = down.recv().await {
        let sending = client.publish(down.topic(&agent), QoS::AtLeastOnce, false, payload);
        match tokio::time::timeout(STALL, sending).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return e.into(),
            Err(_) => return Ended::Silent("progress"),
        }
    }
    // Nobody sends any more: agents are still heard.
    std::future::pending().await
}

#[cfg(test)]
mod tests;
