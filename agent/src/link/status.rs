//! What others may see of the link: written by it, read by status, readiness, metrics and the watchdog.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};

use super::Failure;
use super::dial::meter::Meters;
use crate::settings::Road;

/// What the link is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Looking up the name, connecting, TLS, MQTT.
    Connecting,
    /// Connected and subscribed: sending.
    Connected,
    /// Failed; waiting before the next attempt.
    Waiting,
    /// Not running.
    Stopped,
}

/// The last failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// When.
    pub at: Time,
    /// A stable word: see [`Failure::kind`].
    pub kind: String,
    /// For people.
    pub text: String,
}

/// How often things happened since the agent started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkCounts {
    /// Connections that reached the subscription.
    pub connects: u64,
    /// Connections and attempts that failed.
    pub failures: u64,
    /// Envelopes handed to the client, resends included.
    pub published: u64,
    /// Of them, sent again because no acknowledgement came in time.
    pub resent: u64,
    /// PUBACKs.
    pub pubacks: u64,
    /// PUBACKs with a reason that is no success.
    pub refused: u64,
    /// End-to-end acknowledgements.
    pub acks: u64,
    /// Envelopes that the collector rejected.
    pub rejects: u64,
    /// Receipts.
    pub receipts: u64,
    /// Messages from the collector that could not be understood.
    pub malformed: u64,
    /// Clients rebuilt because nothing moved.
    pub stalls: u64,
    /// Heartbeats sent.
    pub heartbeats: u64,
    /// Times the next road was taken because one had failed too often.
    #[serde(default)]
    pub failovers: u64,
    /// Times a preferred road was taken again.
    #[serde(default)]
    pub failbacks: u64,
}

/// One road, as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoadReport {
    /// Its URL, and its proxy.
    pub road: String,
    /// `mqtt`, `wss` or `https`.
    #[serde(default)]
    pub kind: String,
    /// Whether it is the one in use or being tried.
    pub in_use: bool,
    /// When a connection on it last stood.
    #[serde(default)]
    pub last_connected_at: Option<Time>,
    /// Its last failure.
    #[serde(default)]
    pub last_failure: Option<LastFailure>,
    /// Connections on it since the start.
    pub connects: u64,
    /// Failures on it since the start.
    pub failures: u64,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkReport {
    /// What it is doing.
    pub phase: Phase,
    /// In words.
    pub detail: String,
    /// Since when.
    pub since: Time,
    /// The last failure, if any since the start.
    #[serde(default)]
    pub last_failure: Option<LastFailure>,
    /// The ways to the collector, the preferred first.
    #[serde(default)]
    pub roads: Vec<RoadReport>,
    /// Plaintext bytes sent and received over all connections since the start.
    #[serde(default)]
    pub bytes: (u64, u64),
    /// When the last end-to-end acknowledgement came.
    #[serde(default)]
    pub last_ack_at: Option<Time>,
    /// Counters.
    pub counts: LinkCounts,
}

/// One counter's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// See [`LinkCounts`]; the names are the same.
    Connects,
    /// See [`LinkCounts`].
    Failures,
    /// See [`LinkCounts`].
    Published,
    /// See [`LinkCounts`].
    Resent,
    /// See [`LinkCounts`].
    Pubacks,
    /// See [`LinkCounts`].
    Refused,
    /// See [`LinkCounts`].
    Acks,
    /// See [`LinkCounts`].
    Rejects,
    /// See [`LinkCounts`].
    Receipts,
    /// See [`LinkCounts`].
    Malformed,
    /// See [`LinkCounts`].
    Stalls,
    /// See [`LinkCounts`].
    Heartbeats,
    /// See [`LinkCounts`].
    Failovers,
    /// See [`LinkCounts`].
    Failbacks,
}

const COUNTS: usize = 14;

struct Inner {
    phase: Phase,
    detail: String,
    since: Time,
    /// By the monotonic clock; for back-off and the watchdog.
    entered: Instant,
    /// Whether the connection that just failed had been sending, and since when.
    connected: Option<Instant>,
    moved: Instant,
    last_failure: Option<LastFailure>,
    last_ack_at: Option<Time>,
    roads: Vec<RoadReport>,
    meters: Meters,
}

/// The link's status board.
pub struct LinkStatus {
    inner: Mutex<Inner>,
    counts: [AtomicU64; COUNTS],
}

impl Default for LinkStatus {
    fn default() -> Self {
        let inner = Inner {
            phase: Phase::Stopped,
            detail: "not started".into(),
            since: Time::now(),
            entered: Instant::now(),
            connected: None,
            moved: Instant::now(),
            last_failure: None,
            last_ack_at: None,
            roads: Vec::new(),
            meters: Meters::default(),
        };
        LinkStatus { inner: Mutex::new(inner), counts: Default::default() }
    }
}

impl LinkStatus {
    /// All of it.
    pub fn report(&self) -> LinkReport {
        let inner = self.lock();
        LinkReport {
            phase: inner.phase,
            detail: inner.detail.clone(),
            since: inner.since,
            last_failure: inner.last_failure.clone(),
            roads: inner.roads.clone(),
            bytes: inner.meters.totals(),
            last_ack_at: inner.last_ack_at,
            counts: self.counts(),
        }
    }

    /// The counters.
    pub fn counts(&self) -> LinkCounts {
        let get = |count: Count| self.slot(count).map_or(0, |n| n.load(Ordering::Relaxed));
        LinkCounts {
            connects: get(Count::Connects),
            failures: get(Count::Failures),
            published: get(Count::Published),
            resent: get(Count::Resent),
            pubacks: get(Count::Pubacks),
            refused: get(Count::Refused),
            acks: get(Count::Acks),
            rejects: get(Count::Rejects),
            receipts: get(Count::Receipts),
            malformed: get(Count::Malformed),
            stalls: get(Count::Stalls),
            heartbeats: get(Count::Heartbeats),
            failovers: get(Count::Failovers),
            failbacks: get(Count::Failbacks),
        }
    }

    /// Whether it is connected and subscribed.
    pub fn is_connected(&self) -> bool {
        self.lock().phase == Phase::Connected
    }

    /// When the last acknowledgement came.
    pub fn last_ack_at(&self) -> Option<Time> {
        self.lock().last_ack_at
    }

    /// Time since the link's loop last went round.
    pub fn idle(&self) -> Duration {
        self.lock().moved.elapsed()
    }

    /// Adds to a counter.
    pub(super) fn add(&self, count: Count, n: u64) {
        if let Some(slot) = self.slot(count) {
            slot.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// The loop went round.
    pub(super) fn moved(&self) {
        self.lock().moved = Instant::now();
    }

    /// The road in use, while a connection stands.
    pub fn road(&self) -> Option<String> {
        let inner = self.lock();
        let standing = inner.phase == Phase::Connected;
        inner.roads.iter().find(|road| standing && road.in_use).map(|road| road.road.clone())
    }

    /// What roads there are.
    pub(super) fn roads(&self, roads: &[Arc<Road>], meters: &Meters) {
        let report = |road: &Arc<Road>| RoadReport {
            road: road.to_string(),
            kind: road.kind.as_str().to_owned(),
            in_use: false,
            last_connected_at: None,
            last_failure: None,
            connects: 0,
            failures: 0,
        };
        let mut inner = self.lock();
        inner.roads = roads.iter().map(report).collect();
        inner.meters = meters.clone();
    }

    pub(super) fn connecting(&self, road: usize) {
        let mut inner = self.lock();
        inner.connected = None;
        for (i, report) in inner.roads.iter_mut().enumerate() {
            report.in_use = i == road;
        }
        let name = name(&inner, road);
        enter(&mut inner, Phase::Connecting, format!("connecting to {name}"));
    }

    pub(super) fn connected(&self, road: usize) {
        self.add(Count::Connects, 1);
        let mut inner = self.lock();
        inner.connected = Some(Instant::now());
        if let Some(report) = inner.roads.get_mut(road) {
            report.connects += 1;
            report.last_connected_at = Some(Time::now());
        }
        let name = name(&inner, road);
        tracing::info!(link.address = %name, "link connected");
        enter(&mut inner, Phase::Connected, format!("connected to {name}"));
    }

    /// A road was looked at beside the one in use, and does not work.
    pub(super) fn road_failed(&self, road: usize, failure: &Failure) {
        tracing::debug!(
            link.road = road + 1,
            link.failure = failure.kind(),
            "preferred road: {failure}"
        );
        note(&mut self.lock(), road, failure);
    }

    pub(super) fn acked(&self) {
        self.add(Count::Acks, 1);
        self.lock().last_ack_at = Some(Time::now());
    }

    pub(super) fn failed(&self, road: usize, failure: &Failure, delay: Duration) {
        self.add(Count::Failures, 1);
        if matches!(failure, Failure::Stalled(_)) {
            self.add(Count::Stalls, 1);
        }
        let text = failure.to_string();
        let kind = failure.kind();
        let wait_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let mut inner = self.lock();
        let name = name(&inner, road);
        tracing::warn!(link.address = %name, link.failure = kind, link.wait_ms = wait_ms, "link: {text}");
        let detail = format!("next attempt in {:.1} s; {name}: {text}", delay.as_secs_f64());
        enter(&mut inner, Phase::Waiting, detail);
        note(&mut inner, road, failure);
        inner.last_failure = Some(LastFailure { at: Time::now(), kind: kind.into(), text });
    }

    pub(super) fn stopped(&self) {
        enter(&mut self.lock(), Phase::Stopped, "stopped".into());
    }

    /// Whether the connection that just ended had been sending for at least `long`.
    pub(super) fn was_steady(&self, long: Duration) -> bool {
        self.lock().connected.is_some_and(|since| since.elapsed() >= long)
    }

    fn slot(&self, count: Count) -> Option<&AtomicU64> {
        self.counts.get(count as usize)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(inner: &Inner, road: usize) -> String {
    inner.roads.get(road).map(|report| report.road.clone()).unwrap_or_default()
}

fn note(inner: &mut Inner, road: usize, failure: &Failure) {
    let Some(report) = inner.roads.get_mut(road) else { return };
    report.failures += 1;
    let (kind, text) = (failure.kind().to_owned(), failure.to_string());
    report.last_failure = Some(LastFailure { at: Time::now(), kind, text });
}

fn enter(inner: &mut Inner, phase: Phase, detail: String) {
    if inner.phase != phase {
        inner.since = Time::now();
        inner.entered = Instant::now();
    }
    inner.phase = phase;
    inner.detail = detail;
    inner.moved = Instant::now();
}
