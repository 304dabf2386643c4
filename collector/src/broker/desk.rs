//! One agent's desk: a router of its own in which the only other party is the collector.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use callhome_shared::id::AgentId;
use callhome_shared::limits::{INFLIGHT, MAX_PACKET_BYTES};
use callhome_shared::logging::STAGE;
use callhome_shared::time::Time;
use callhome_shared::topic::{Down, Up};
use mqtt5::broker::router::{
    DeliveryLanes, LaneReceivers, MessageRouter, RoutableMessage, SubscriptionRequest,
    TakeoverNotice,
};
use mqtt5::broker::storage::{QueueHandle, QueueLimits};
use mqtt5::broker::{BrokerConfig, BrokerEventHandler, ClientPublishEvent, PublishAction};
use mqtt5::packet::publish::PublishPacket;
use mqtt5::{PropertyId, PropertyValue, QoS};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use tracing::{debug, trace, warn};

use super::rate::Rate;
use crate::link::{Delivery, Downward};
use crate::metrics::Metrics;

/// The collector's name in a desk's router. No agent can have it: `$` is in no agent id.
const COLLECTOR: &str = "$collector";
/// Messages between the router and the hand-over to the flow.
const LANE: usize = 64;
/// Free slots that a publish waits for before it is let into the router: both connections of an
/// agent, a take-over and a last will at the same moment still find room.
const ROOM: usize = 4;
/// How long a publish waits for room. Well below any keep-alive: an agent must be able to ping
/// while the store is slow.
const ROOM_WAIT: Duration = Duration::from_secs(10);
/// Messages waiting for one agent.
const DOWN: usize = 64;
/// What the router may keep for an agent that reads slowly.
const SLOW_READER: QueueLimits = QueueLimits { max_messages: 256, max_bytes: 4 * 1024 * 1024 };

/// Set by the crate on every publish; not the agent's words.
const INJECTED: [&str; 2] = ["x-mqtt-sender", "x-mqtt-client-id"];

/// One agent's router and what goes in and out of it.
pub(super) struct Desk {
    agent: AgentId,
    router: Arc<MessageRouter>,
    /// The crate's settings for this agent's connections.
    config: Arc<BrokerConfig>,
    /// To the task that routes downward messages.
    down: mpsc::Sender<(Down, Vec<u8>)>,
    rate: Mutex<Rate>,
    metrics: Arc<Metrics>,
}

/// All desks with at least one connection.
pub(super) struct Desks {
    open: tokio::sync::Mutex<HashMap<AgentId, Weak<Desk>>>,
    speeds: Speeds,
    up: mpsc::Sender<Delivery>,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
}

/// How fast one agent may publish, all its connections together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speeds {
    /// Publishes a second.
    pub(super) publishes: u32,
    /// Bytes of payload a second.
    pub(super) bytes: u32,
}

impl Desks {
    pub(super) fn new(
        speeds: Speeds,
        up: mpsc::Sender<Delivery>,
        metrics: Arc<Metrics>,
        tasks: TaskTracker,
    ) -> Self {
        Desks { open: tokio::sync::Mutex::default(), speeds, up, metrics, tasks }
    }

    /// The agent's desk, opened if it was not.
    pub(super) async fn enter(&self, agent: &AgentId) -> Result<Arc<Desk>, mqtt5::MqttError> {
        let mut open = self.open.lock().await;
        if let Some(desk) = open.get(agent).and_then(Weak::upgrade) {
            return Ok(desk);
        }
        open.retain(|_, desk| desk.strong_count() > 0);
        let desk = Arc::new(self.make(agent).await?);
        open.insert(agent.clone(), Arc::downgrade(&desk));
        Ok(desk)
    }

    /// Routes one message down; what an agent that is not here or reads too slowly misses is
    /// counted: whatever matters is sent again.
    pub(super) async fn send_down(&self, message: Downward) {
        let desk = self.open.lock().await.get(&message.agent).and_then(Weak::upgrade);
        let Some(desk) = desk else {
            self.metrics.broker_event("down-not-connected");
            return;
        };
        if desk.down.try_send((message.down, message.payload)).is_err() {
            self.metrics.broker_event("down-dropped");
            debug!(agent.id = %message.agent, "message to a slow agent dropped");
        }
    }

    async fn make(&self, agent: &AgentId) -> Result<Desk, mqtt5::MqttError> {
        let router = MessageRouter::new()
            .with_fallback_queue_limits(SLOW_READER)
            // Nothing is retained: publishes that ask for it are over this limit and refused.
            .with_retained_limits(1, 1);
        let (lanes, receivers) = DeliveryLanes::channel(LANE);
        let queue = router.queue_handle(COLLECTOR);
        let (taken_over_tx, taken_over) = oneshot::channel();
        let name = COLLECTOR.to_owned();
        router.register_client(name, lanes.clone(), queue.clone(), taken_over_tx).await;
        let filter = format!("callhome/v1/{agent}/up/#");
        router.subscribe(SubscriptionRequest::new(COLLECTOR, filter, QoS::AtLeastOnce)).await?;

        let router = Arc::new(router);
        let intake = Intake {
            agent: agent.clone(),
            lane: lanes.qos1_tx,
            bytes: Mutex::new(Rate::per_second(self.speeds.bytes)),
            metrics: self.metrics.clone(),
        };
        let upward = Upward {
            agent: agent.clone(),
            receivers,
            queue,
            up: self.up.clone(),
            metrics: self.metrics.clone(),
            _taken_over: taken_over,
        };
        self.tasks.spawn(upward.run());
        let (down, down_rx) = mpsc::channel(DOWN);
        self.tasks.spawn(route_down(router.clone(), agent.clone(), down_rx));
        Ok(Desk {
            agent: agent.clone(),
            router,
            config: Arc::new(crate_settings(intake)),
            down,
            rate: Mutex::new(Rate::per_second(self.speeds.publishes)),
            metrics: self.metrics.clone(),
        })
    }
}

impl Desk {
    pub(super) fn agent(&self) -> &AgentId {
        &self.agent
    }

    pub(super) fn router(&self) -> Arc<MessageRouter> {
        self.router.clone()
    }

    pub(super) fn config(&self) -> Arc<BrokerConfig> {
        self.config.clone()
    }

    /// Lets time pass if the agent publishes faster than it may. Its connection is not read
    /// meanwhile: TCP slows the agent down, nothing is lost.
    pub(super) async fn slow_down(&self) {
        let wait = self.rate.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
        if !wait.is_zero() {
            self.metrics.broker_event("slowed-down");
            tokio::time::sleep(wait).await;
        }
    }
}

/// What the crate is told about limits, for every connection of one agent.
fn crate_settings(intake: Intake) -> BrokerConfig {
    BrokerConfig {
        max_packet_size: MAX_PACKET_BYTES as usize,
        session_expiry_interval: Duration::ZERO,
        topic_alias_maximum: 0,
        retain_available: false,
        maximum_qos: 1,
        subscription_identifier_available: false,
        shared_subscription_available: false,
        max_subscriptions_per_client: 16,
        client_channel_capacity: DOWN,
        max_outbound_inflight: INFLIGHT,
        server_receive_maximum: Some(INFLIGHT.saturating_mul(2)),
        sys_topics_enabled: false,
        event_handler: Some(Arc::new(intake)),
        ..BrokerConfig::default()
    }
}

/// Called by the crate for every permitted publish, before it is routed and answered.
struct Intake {
    agent: AgentId,
    lane: mpsc::Sender<RoutableMessage>,
    bytes: Mutex<Rate>,
    metrics: Arc<Metrics>,
}

impl Intake {
    async fn decide(&self, event: ClientPublishEvent) -> PublishAction {
        if event.retain {
            self.metrics.broker_event("retained-dropped");
            return PublishAction::Handled;
        }
        self.slow_down(event.payload.len()).await;
        match tokio::time::timeout(ROOM_WAIT, self.lane.reserve_many(ROOM)).await {
            Ok(Ok(_room)) => PublishAction::Continue,
            // Dropped although PUBACK follows: only the end-to-end acknowledgement means that it
            // is kept, and without one the agent sends it again.
            Ok(Err(_)) | Err(_) => {
                self.metrics.broker_event("dropped-store-slow");
                warn!(agent.id = %self.agent, "the store is too slow: a message is dropped, the agent will send it again");
                PublishAction::Handled
            }
        }
    }
}

impl Intake {
    /// Like [`Desk::slow_down`], by size.
    async fn slow_down(&self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let now = Instant::now();
        let wait = self.bytes.lock().unwrap_or_else(PoisonError::into_inner).take_many(bytes, now);
        if !wait.is_zero() {
            self.metrics.broker_event("slowed-down-bytes");
            tokio::time::sleep(wait).await;
        }
    }
}

impl BrokerEventHandler for Intake {
    fn on_client_publish<'a>(
        &'a self,
        event: ClientPublishEvent,
    ) -> Pin<Box<dyn Future<Output = PublishAction> + Send + 'a>> {
        Box::pin(self.decide(event))
    }
}

/// Takes what the router gives the collector and hands it to the flow.
struct Upward {
    agent: AgentId,
    receivers: LaneReceivers,
    /// Where the router puts what finds no room in the lane; see [`Upward::overflow`].
    queue: QueueHandle,
    up: mpsc::Sender<Delivery>,
    metrics: Arc<Metrics>,
    /// Held so that the router keeps our entry.
    _taken_over: oneshot::Receiver<TakeoverNotice>,
}

impl Upward {
    /// Ends when the desk is closed and all is handed over, or nobody takes it any more.
    async fn run(mut self) {
        loop {
            // Not `LaneReceivers::recv`: it ends when one lane is closed, with the other one full.
            let message = tokio::select! {
                message = self.receivers.qos1.recv() => match message {
                    Some(message) => message,
                    None => break,
                },
                Some(message) = self.receivers.qos0.recv() => message,
                () = self.queue.notified(), if self.receivers.qos1.is_empty() => {
                    if self.overflow().await.is_none() {
                        return;
                    }
                    continue;
                }
            };
            if self.hand_over(message.publish).await.is_none() {
                return;
            }
        }
        while let Ok(message) = self.receivers.qos0.try_recv() {
            if self.hand_over(message.publish).await.is_none() {
                return;
            }
        }
    }

    /// What overtook the room that a publish waits for went into the router's queue, and as long
    /// as that holds anything all that follows goes there too.
    async fn overflow(&self) -> Option<()> {
        for message in self.queue.take(LANE).await {
            self.hand_over(message.to_publish_packet()).await?;
        }
        self.queue.finish_drain();
        if self.queue.count() > 0 {
            self.queue.notify();
        }
        Some(())
    }

    /// `None`: nobody takes it any more.
    async fn hand_over(&self, publish: PublishPacket) -> Option<()> {
        let Some(delivery) = self.delivery(publish) else { return Some(()) };
        let (up, bytes) = (delivery.up, delivery.payload.len());
        trace!(target: STAGE, at = "broker.received", agent.id = %self.agent, ?up, bytes);
        self.up.send(delivery).await.ok()
    }

    fn delivery(&self, publish: PublishPacket) -> Option<Delivery> {
        let Some((agent, up)) = Up::parse(&publish.topic_name) else {
            // Session frames are allowed topics, but there is no session.
            self.metrics.broker_event("topic-without-reader");
            return None;
        };
        let properties = publish.properties.get_all(PropertyId::UserProperty).unwrap_or_default();
        let properties = properties
            .iter()
            .filter_map(|property| match property {
                PropertyValue::Utf8StringPair(name, _) if INJECTED.contains(&name.as_str()) => None,
                PropertyValue::Utf8StringPair(name, value) => Some((name.clone(), value.clone())),
                _ => None,
            })
            .collect();
        let payload: Bytes = publish.payload;
        Some(Delivery { agent, up, properties, payload, received_at: Time::now() })
    }
}

async fn route_down(
    router: Arc<MessageRouter>,
    agent: AgentId,
    mut messages: mpsc::Receiver<(Down, Vec<u8>)>,
) {
    while let Some((down, payload)) = messages.recv().await {
        let publish = PublishPacket::new(down.topic(&agent), payload, QoS::AtLeastOnce);
        router.route_message_local_only(&publish, None).await;
    }
}
