//! What the listener's tasks share: the desk, which sockets are open, and who is rung.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use callhome_shared::alarm::Device;
use callhome_shared::time::Time;
use tokio::sync::Notify;

use super::SyslogSettings;
use super::desk::Desk;
use crate::source::missed::KernelDrops;
use crate::source::origins::Origins;
use crate::source::{Assignment, Gap, Health, Known, Reading};

/// Datagrams may wait in the kernel for a moment: "surely heard" is earlier.
const CERTAINTY_MS: i64 = 1000;

/// Shared by all tasks of one listener. Cheap to clone.
#[derive(Clone)]
pub(super) struct Hub(Arc<Inner>);

struct Inner {
    source: Arc<str>,
    settings: Arc<SyslogSettings>,
    health: Health,
    state: Mutex<State>,
    /// Something is ready to be handed over, or a socket was opened.
    bell: Notify,
    /// Something was handed over.
    room: Notify,
}

struct State {
    desk: Desk,
    /// Each configured socket: open where, or why not.
    sockets: BTreeMap<String, Socket>,
    drops: Vec<(String, KernelDrops)>,
    connections: BTreeMap<IpAddr, usize>,
    /// Since when a connection has read what is not at the desk yet.
    pending: BTreeMap<u64, Time>,
    last_place: u64,
    opened: bool,
    looked: Time,
    told: u64,
}

enum Socket {
    Open(SocketAddr),
    Closed { since: Time, why: String },
}

/// A connection's place; it is free again when this goes.
pub(super) struct Place {
    hub: Hub,
    address: IpAddr,
    number: u64,
}

impl Place {
    /// Since when something was read that is not at the desk yet: nothing later may pass for heard.
    pub(super) fn pending(&self, since: Option<Time>) {
        let mut state = self.hub.state();
        match since {
            Some(since) => {
                state.pending.entry(self.number).or_insert(since);
            }
            None => {
                state.pending.remove(&self.number);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.hub.state();
        state.pending.remove(&self.number);
        if let Some(count) = state.connections.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                state.connections.remove(&self.address);
            }
        }
    }
}

/// A batch's parts: device, readings, gaps, until when everything was heard.
type Parts = (Option<Arc<Device>>, Vec<Reading>, Vec<Gap>, Option<Time>);

impl Hub {
    pub(super) fn new(assignment: &Assignment, settings: SyslogSettings, known: Known) -> Self {
        let settings = Arc::new(settings);
        let slot = assignment.health.probe().clone();
        let desk = Desk::new(assignment.device.clone(), settings.clone(), known, slot);
        let now = Time::now();
        let state = State {
            desk,
            sockets: BTreeMap::new(),
            drops: Vec::new(),
            connections: BTreeMap::new(),
            pending: BTreeMap::new(),
            last_place: 0,
            opened: false,
            looked: now,
            told: 0,
        };
        Hub(Arc::new(Inner {
            source: assignment.source.clone(),
            settings,
            health: assignment.health.clone(),
            state: Mutex::new(state),
            bell: Notify::new(),
            room: Notify::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn settings(&self) -> &SyslogSettings {
        &self.0.settings
    }

    pub(super) fn origins(&self) -> Origins {
        self.state().desk.origins()
    }

    /// Does something at the desk, and rings if that left something to hand over.
    pub(super) fn at_desk<T>(&self, what: impl FnOnce(&mut Desk) -> T) -> T {
        let mut state = self.state();
        let done = what(&mut state.desk);
        let ready = !state.desk.queue.is_empty();
        drop(state);
        if ready {
            self.0.bell.notify_one();
        }
        done
    }

    /// Waits until something may be ready.
    pub(super) async fn changed(&self) {
        self.0.bell.notified().await;
    }

    /// Waits until something was handed over.
    pub(super) async fn room(&self) {
        self.0.room.notified().await;
    }

    /// Whether readings wait.
    pub(super) fn has_ready(&self) -> bool {
        self.state().desk.has_ready(Time::now())
    }

    /// A socket is open.
    pub(super) fn opened(&self, name: &str, at: SocketAddr, drops: Option<KernelDrops>) {
        let mut state = self.state();
        let before = state.sockets.insert(name.to_owned(), Socket::Open(at));
        if let Some(Socket::Closed { since, .. }) = before {
            let (to, reason) = (Time::now(), "port-gone");
            state.desk.gaps.push(Gap { from: since, to, reason, count: None });
        }
        state.drops.retain(|(socket, _)| socket != name);
        state.drops.extend(drops.map(|drops| (name.to_owned(), drops)));
        state.opened = true;
        drop(state);
        tracing::info!(source = %self.0.source, socket = name, address = %at, "listens");
        self.report();
        self.0.bell.notify_one();
    }

    /// A socket could not be opened, or is gone.
    pub(super) fn closed(&self, name: &str, why: &str) {
        let mut state = self.state();
        let since = match state.sockets.get(name) {
            Some(Socket::Closed { since, .. }) => *since,
            _ => Time::now(),
        };
        state.sockets.insert(name.to_owned(), Socket::Closed { since, why: why.to_owned() });
        drop(state);
        self.report();
    }

    /// Tells health how many sockets are open.
    fn report(&self) {
        let state = self.state();
        let closed: Vec<String> = state
            .sockets
            .iter()
            .filter_map(|(name, socket)| match socket {
                Socket::Closed { why, .. } => Some(format!("{name}: {why}")),
                Socket::Open(_) => None,
            })
            .collect();
        let all = closed.len() == state.sockets.len();
        drop(state);
        match (closed.as_slice(), all) {
            ([], _) => self.0.health.ok(),
            (closed, true) => self.0.health.failed(&closed.join("; ")),
            (closed, false) => self.0.health.degraded(&closed.join("; ")),
        }
    }

    /// Whether any socket is open.
    pub(super) fn is_listening(&self) -> bool {
        self.state().sockets.values().any(|socket| matches!(socket, Socket::Open(_)))
    }

    /// Whether a socket was opened since it was last asked.
    pub(super) fn take_opened(&self) -> bool {
        std::mem::take(&mut self.state().opened)
    }

    /// Where a probe can be sent: the first open socket, datagrams first.
    pub(super) fn open_socket(&self) -> Option<(String, SocketAddr)> {
        let state = self.state();
        let mut open = state.sockets.iter().filter_map(|(name, socket)| match socket {
            Socket::Open(at) => Some((name.clone(), *at)),
            Socket::Closed { .. } => None,
        });
        // "udp …" sorts last.
        open.next_back()
    }

    /// What the kernel dropped since the last look, and a line in the log where something was lost.
    pub(super) fn look(&self) {
        let mut state = self.state();
        let now = Time::now();
        let dropped: u64 = state.drops.iter_mut().map(|(_, drops)| drops.look()).sum();
        let from = std::mem::replace(&mut state.looked, now);
        state.desk.kernel_dropped(from, now, dropped);
        let (limited, overflow, kernel) = state.desk.dropped();
        let lost = limited + overflow + kernel;
        if lost > state.told {
            state.told = lost;
            let busiest = state.desk.busiest();
            let source = &self.0.source;
            tracing::warn!(source = %source, limited, overflow, kernel, busiest, "messages were dropped");
        }
        self.0.health.listener(&state.desk.told());
        let counts = state.desk.counts;
        let (messages, handed, unknown) = (counts.messages, counts.handed, counts.unknown);
        let (truncated, refused) = (counts.truncated, counts.refused);
        drop(state);
        let source = &self.0.source;
        tracing::debug!(source = %source, messages, handed, unknown, truncated, refused, "syslog");
        if self.is_listening() {
            self.report();
        }
    }

    /// A place for one more connection; `None` = there is none.
    pub(super) fn connect(&self, from: SocketAddr) -> Option<Place> {
        let address = from.ip().to_canonical();
        let limit = self.0.settings.connections.max(1);
        let mut state = self.state();
        let all: usize = state.connections.values().sum();
        let own = state.connections.get(&address).copied().unwrap_or_default();
        // Ours proves the path, whoever else has taken all places.
        let ours = state.desk.is_expected(from);
        if !ours && (all >= limit || own >= (limit / 4).max(1)) {
            state.desk.counts.refused += 1;
            return None;
        }
        *state.connections.entry(address).or_default() += 1;
        state.last_place += 1;
        let number = state.last_place;
        drop(state);
        Some(Place { hub: self.clone(), address, number })
    }

    /// The next batch's parts.
    pub(super) fn take(&self, now: Time, last: bool) -> Parts {
        let listening = self.is_listening();
        let mut state = self.state();
        let (device, readings) = match state.desk.take(now) {
            Some((device, readings)) => (Some(device), readings),
            None => (None, Vec::new()),
        };
        let gaps = state.desk.due(Instant::now(), last);
        let settled = state.desk.settled_until(now.plus_ms(-CERTAINTY_MS));
        let heard = state.pending.values().copied().fold(settled, Time::min);
        drop(state);
        self.0.room.notify_waiters();
        // While no socket is open nothing new is heard: the stored time stands.
        (device, readings, gaps, listening.then_some(heard))
    }
}
