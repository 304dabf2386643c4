//! What waits for agents that ask by HTTPS: one bounded box an agent, opened by its first request
//! and closed when it has not asked for a while.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::topic::{Down, Up};
use tokio::sync::{Notify, mpsc};
use tracing::{debug, info};
use uuid::Uuid;

use crate::broker::Rate;
use crate::link::{Delivery, Downward};
use crate::metrics::Metrics;

/// Messages that wait for one agent; more are dropped, as they would be for an agent that is not
/// connected: whatever matters is sent again.
const MAX_MESSAGES: usize = 256;
/// Their bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Requests of one agent at the same time: one that brings, one that waits, and those of a
/// connection that has just been given up.
const MAX_REQUESTS: usize = 4;
/// Requests per second and agent; twice as many pass at once.
const REQUESTS_PER_SECOND: u32 = 20;
/// An agent that has not asked for so long is gone: the box is closed, and said to be so.
pub(super) const FORGOTTEN: Duration = Duration::from_secs(75);
/// How long a full way on to the broker is waited for; and after that, how long it is not.
const ONWARD_PATIENCE: Duration = Duration::from_secs(1);
const STUCK: Duration = Duration::from_secs(5);
/// Between two looks for such agents.
const ROUND: Duration = Duration::from_secs(5);

/// One message to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Which of its topics.
    pub down: Down,
    /// JSON.
    pub payload: Vec<u8>,
}

/// All boxes.
pub struct Mailroom {
    boxes: Mutex<HashMap<AgentId, Arc<Mailbox>>>,
    events_per_second: u32,
    metrics: Arc<Metrics>,
}

/// One agent's box.
pub(super) struct Mailbox {
    state: Mutex<State>,
    /// Rung with every message.
    bell: Notify,
}

struct State {
    letters: VecDeque<Letter>,
    bytes: usize,
    /// Requests that run.
    running: usize,
    /// When the last one began or ended.
    asked_at: Instant,
    /// The connection that the last heartbeat named.
    connection: Option<Uuid>,
    requests: Rate,
    events: Rate,
}

/// A running request; the agent counts as present while there is one.
pub(super) struct Visit {
    pub(super) mailbox: Arc<Mailbox>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = self.mailbox.lock();
        state.running = state.running.saturating_sub(1);
        state.asked_at = Instant::now();
    }
}

impl Mailroom {
    /// An empty one; `events_per_second` is what one agent may post.
    pub fn new(events_per_second: u32, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Mailroom { boxes: Mutex::default(), events_per_second, metrics })
    }

    /// A request of `agent` begins. The error is how long it must wait before the next one.
    pub(super) fn enter(&self, agent: &AgentId, now: Instant) -> Result<Visit, Duration> {
        let mailbox = {
            let mut boxes = self.lock();
            let opened = || {
                debug!(agent.id = %agent, "asks by HTTPS");
                Arc::new(Mailbox::new(self.events_per_second, now))
            };
            boxes.entry(agent.clone()).or_insert_with(opened).clone()
        };
        {
            let mut state = mailbox.lock();
            if state.running >= MAX_REQUESTS {
                return Err(Duration::from_secs(1));
            }
            let wait = state.requests.take(now);
            if !wait.is_zero() {
                return Err(wait);
            }
            state.running += 1;
            state.asked_at = now;
        }
        Ok(Visit { mailbox })
    }

    /// Puts a message into its agent's box, if that is open.
    fn put(&self, message: &Downward) {
        let Some(mailbox) = self.lock().get(&message.agent).cloned() else { return };
        let letter = Letter { down: message.down, payload: message.payload.clone() };
        if !mailbox.put(letter) {
            self.metrics.post_event("message-dropped");
        }
    }

    /// Closes the boxes of agents that have not asked for long; says whose, and of which connection.
    fn close_forgotten(&self, now: Instant) -> Vec<(AgentId, Option<Uuid>)> {
        let mut gone = Vec::new();
        self.lock().retain(|agent, mailbox| {
            let state = mailbox.lock();
            let stays =
                state.running > 0 || now.saturating_duration_since(state.asked_at) < FORGOTTEN;
            if !stays {
                gone.push((agent.clone(), state.connection));
            }
            stays
        });
        gone
    }

    /// Stands between the flow and the broker: what goes down also goes into the boxes. Tells the
    /// flow of agents that no longer ask. Ends when nobody sends any more.
    pub async fn run(
        self: Arc<Self>,
        mut down: mpsc::Receiver<Downward>,
        onward: mpsc::Sender<Downward>,
        up: mpsc::WeakSender<Delivery>,
    ) {
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut broker = Onward { onward, stuck_until: None };
        loop {
            tokio::select! {
                message = down.recv() => {
                    let Some(message) = message else { return };
                    self.put(&message);
                    if !broker.pass(message, Instant::now()).await {
                        self.metrics.broker_event("down-dropped");
                    }
                }
                _ = round.tick() => {
                    for (agent, connection) in self.close_forgotten(Instant::now()) {
                        info!(agent.id = %agent, "no longer asks by HTTPS");
                        let Some(up) = up.upgrade() else { return };
                        // A flow that is full says so itself; the sweep of silent agents remains.
                        let _ = up.try_send(gone(agent, connection));
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AgentId, Arc<Mailbox>>> {
        self.boxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way on to the broker.
struct Onward {
    onward: mpsc::Sender<Downward>,
    /// It took nothing a moment ago: until then it is not waited for, because those who ask by
    /// HTTPS do so just when the broker cannot be reached.
    stuck_until: Option<Instant>,
}

impl Onward {
    /// `false`: dropped. Lost is nothing: the agent asks again.
    async fn pass(&mut self, message: Downward, now: Instant) -> bool {
        let patience = match self.stuck_until {
            Some(until) if now < until => Duration::ZERO,
            _ => ONWARD_PATIENCE,
        };
        let passed = self.onward.send_timeout(message, patience).await.is_ok();
        self.stuck_until = (!passed).then(|| now + STUCK);
        passed
    }
}

/// What a last will says for an agent on MQTT.
fn gone(agent: AgentId, connection: Option<Uuid>) -> Delivery {
    let received_at = Time::now();
    let mut said = serde_json::json!({ "online": false, "at": received_at });
    if let Some(connection) = connection {
        said["connection"] = connection.to_string().into();
    }
    let payload = said.to_string().into();
    Delivery { agent, up: Up::Heartbeat, properties: Vec::new(), payload, received_at }
}

impl Mailbox {
    fn new(events_per_second: u32, now: Instant) -> Self {
        let state = State {
            letters: VecDeque::new(),
            bytes: 0,
            running: 0,
            asked_at: now,
            connection: None,
            requests: Rate::per_second(REQUESTS_PER_SECOND),
            events: Rate::per_second(events_per_second),
        };
        Mailbox { state: Mutex::new(state), bell: Notify::new() }
    }

    /// `false`: full.
    fn put(&self, letter: Letter) -> bool {
        {
            let mut state = self.lock();
            let bytes = state.bytes + letter.payload.len();
            if state.letters.len() >= MAX_MESSAGES || bytes > MAX_BYTES {
                return false;
            }
            state.bytes = bytes;
            state.letters.push_back(letter);
        }
        self.bell.notify_waiters();
        true
    }

    /// All that waits.
    fn take(&self) -> Vec<Letter> {
        let mut state = self.lock();
        state.bytes = 0;
        state.letters.drain(..).collect()
    }

    /// What waits; if there is nothing, what comes within `patience`, with what follows it closely.
    pub(super) async fn wait(&self, patience: Duration) -> Vec<Letter> {
        let until = tokio::time::Instant::now() + patience;
        loop {
            let mut rung = std::pin::pin!(self.bell.notified());
            // Before looking: a message in between is not missed.
            rung.as_mut().enable();
            let letters = self.take();
            if !letters.is_empty() || patience.is_zero() {
                return letters;
            }
            if tokio::time::timeout_at(until, rung).await.is_err() {
                return self.take();
            }
            // Acknowledgement and receipts of one commit come one after the other.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A heartbeat passed: should its agent stay away, its connection is the one that ended.
    pub(super) fn heard(&self, heartbeat: &[u8]) {
        let beat: Option<Heartbeat> = serde_json::from_slice(heartbeat).ok();
        if let Some(connection) = beat.and_then(|beat| beat.connection) {
            self.lock().connection = Some(connection);
        }
    }

    /// `count` events come; how long they have to wait first.
    pub(super) fn events(&self, count: usize, now: Instant) -> Duration {
        let mut state = self.lock();
        (0..count).map(|_| state.events.take(now)).max().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> AgentId {
        AgentId::new(text).unwrap()
    }

    fn message(agent: &str, text: &str) -> Downward {
        Downward { agent: id(agent), down: Down::Ack, payload: text.as_bytes().to_vec() }
    }

    #[tokio::test]
    async fn only_those_who_ask_have_a_box_and_it_is_bounded() {
        let metrics = Arc::new(Metrics::new());
        let room = Mailroom::new(10, metrics.clone());
        room.put(&message("a", "nobody asks"));
        let visit = room.enter(&id("a"), Instant::now()).unwrap();
        assert!(visit.mailbox.wait(Duration::ZERO).await.is_empty());
        for n in 0..=MAX_MESSAGES {
            room.put(&message("a", &n.to_string()));
        }
        room.put(&message("b", "another's"));
        let letters = visit.mailbox.wait(Duration::from_secs(20)).await;
        assert_eq!(letters.len(), MAX_MESSAGES);
        assert_eq!(letters[1].payload, b"1");
        assert!(metrics.text().contains("event=\"message-dropped\"} 1"));
    }

    #[tokio::test]
    async fn a_message_ends_the_waiting() {
        let room = Mailroom::new(10, Arc::new(Metrics::new()));
        let visit = room.enter(&id("a"), Instant::now()).unwrap();
        let waiting =
            tokio::spawn(async move { visit.mailbox.wait(Duration::from_secs(60)).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        room.put(&message("a", "here"));
        assert_eq!(waiting.await.unwrap()[0].payload, b"here");
    }

    #[test]
    fn too_many_and_too_fast_wait_and_the_forgotten_are_told_once() {
        let room = Mailroom::new(2, Arc::new(Metrics::new()));
        let now = Instant::now();
        let visits: Vec<_> =
            (0..MAX_REQUESTS).map(|_| room.enter(&id("a"), now).unwrap()).collect();
        assert!(room.enter(&id("a"), now).is_err());
        assert!(visits[0].mailbox.events(4, now).is_zero(), "a burst of two seconds");
        assert!(!visits[0].mailbox.events(2, now).is_zero());
        let late = now + 2 * FORGOTTEN;
        assert!(room.close_forgotten(late).is_empty(), "requests still run");
        drop(visits);
        assert!(room.close_forgotten(Instant::now()).is_empty());
        assert_eq!(room.close_forgotten(late), [(id("a"), None)]);
        assert!(room.close_forgotten(late).is_empty());
        let limit = (0..500).filter(|_| room.enter(&id("b"), now).is_ok()).count();
        assert!((40..=41).contains(&limit), "{limit}");
    }
}
