//! One UDP socket per address family, shared by all devices.
//!
//! Each request registers its id and the address it goes to; the receive loop hands a datagram
//! only to the request with that id *and* that address. It never takes the registration away:
//! the requester judges what came (it may be forged, cut off or undecodable) and waits on if it
//! is no answer. So a late, doubled, reordered or garbled datagram harms nobody but itself.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callhome_shared::time::Time;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::message;

/// Answers to one request that wait to be judged; what comes beyond is dropped and counted.
const WAITING_ANSWERS: usize = 4;
/// Largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;
/// Requests under way at once, over all devices (one per device, so never reached in practice).
const MAX_PENDING: usize = 65_536;
/// Places for answers that are kept for the next ones, and the largest of them, octets.
const MAX_SPARE: usize = 8;
const LARGEST_SPARE: usize = 4096;

/// The shared sockets. Cheap to clone.
#[derive(Clone)]
pub struct Transport(Arc<Shared>);

struct Shared {
    v4: UdpSocket,
    /// Absent where the host has no IPv6.
    v6: Option<UdpSocket>,
    pending: Mutex<HashMap<i32, Pending>>,
    spare: Arc<Spare>,
    counters: Counters,
    /// Devices that were given a place in the order of first polls.
    seats: AtomicU64,
}

struct Pending {
    peer: SocketAddr,
    inbox: Arc<Inbox>,
}

/// What came for one request. (A channel would take a kilobyte for each.)
#[derive(Default)]
struct Inbox {
    waiting: Mutex<VecDeque<Datagram>>,
    bell: Notify,
}

impl Inbox {
    /// Says whether there was room.
    fn put(&self, bytes: &[u8], spare: &Arc<Spare>) -> bool {
        let mut waiting = self.lock();
        if waiting.len() >= WAITING_ANSWERS {
            return false;
        }
        waiting.push_back(spare.filled(bytes));
        drop(waiting);
        self.bell.notify_one();
        true
    }

    async fn take(&self) -> Datagram {
        loop {
            let next = self.lock().pop_front();
            match next {
                Some(datagram) => return datagram,
                None => self.bell.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Datagram>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A datagram and when it came.
#[derive(Debug)]
pub struct Datagram {
    /// Its contents.
    pub bytes: Vec<u8>,
    /// When it was received.
    pub at: Time,
    spare: Arc<Spare>,
}

impl Drop for Datagram {
    fn drop(&mut self) {
        self.spare.keep(std::mem::take(&mut self.bytes));
    }
}

/// Places that answers lay in. An answer is a kilobyte or more, and the allocator tidies up its whole list of
/// small pieces each time so large a piece is asked for: a tenth of what polling cost.
#[derive(Debug, Default)]
struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    fn filled(self: &Arc<Self>, bytes: &[u8]) -> Datagram {
        let mut place = self.lock().pop().unwrap_or_default();
        place.extend_from_slice(bytes);
        Datagram { bytes: place, at: Time::now(), spare: self.clone() }
    }

    fn keep(&self, mut place: Vec<u8>) {
        let mut places = self.lock();
        if places.len() < MAX_SPARE && place.capacity() <= LARGEST_SPARE {
            place.clear();
            places.push(place);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    unmatched: AtomicU64,
    malformed: AtomicU64,
    dropped: AtomicU64,
}

/// What went over the sockets since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportCounts {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams received.
    pub received: u64,
    /// Of these: nobody waited for them (late, doubled, or from another address).
    pub unmatched: u64,
    /// Of these: not an SNMP message at all, or cut off.
    pub malformed: u64,
    /// Of these: too many answers to one request.
    pub dropped: u64,
}

impl Transport {
    /// Binds the sockets. [`Transport::receive`] must run for answers to come.
    pub async fn bind() -> io::Result<Self> {
        let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        let v6 = match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::debug!(%error, "no IPv6 socket for SNMP");
                None
            }
        };
        let pending = Mutex::new(HashMap::new());
        let (counters, seats) = (Counters::default(), AtomicU64::new(0));
        let spare = Arc::default();
        Ok(Transport(Arc::new(Shared { v4, v6, pending, spare, counters, seats })))
    }

    /// Receives until `stop`: run it as a task of its own.
    pub async fn receive(self, stop: CancellationToken) {
        let v6 = async {
            match &self.0.v6 {
                Some(socket) => self.receive_on(socket).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.receive_on(&self.0.v4) => {}
            () = v6 => {}
        }
    }

    async fn receive_on(&self, socket: &UdpSocket) {
        let mut buffer = vec![0u8; MAX_DATAGRAM];
        loop {
            match socket.recv_from(&mut buffer).await {
                Ok((len, from)) => self.deliver(buffer.get(..len).unwrap_or_default(), from),
                Err(error) => {
                    tracing::debug!(%error, "SNMP socket");
                    // An error that lasts must not spin.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    fn deliver(&self, datagram: &[u8], from: SocketAddr) {
        let counters = &self.0.counters;
        counters.received.fetch_add(1, Ordering::Relaxed);
        let (mut found, mut refused) = (0, 0);
        let mut hand_over = |pending: &Pending| {
            found += 1;
            refused += u64::from(!pending.inbox.put(datagram, &self.0.spare));
        };
        match message::peek(datagram) {
            Some(peek) => {
                let pending = self.pending();
                pending.get(&peek.id).filter(|p| same_peer(p.peer, from)).map(&mut hand_over);
            }
            None => {
                // It answers no request; but whoever waits for this address can say that
                // something came, instead of calling it silence.
                counters.malformed.fetch_add(1, Ordering::Relaxed);
                let pending = self.pending();
                pending.values().filter(|p| same_peer(p.peer, from)).for_each(hand_over);
            }
        }
        if found == 0 {
            counters.unmatched.fetch_add(1, Ordering::Relaxed);
        }
        counters.dropped.fetch_add(refused, Ordering::Relaxed);
    }

    /// Registers a request to `peer` under a fresh random id.
    pub(super) fn expect(&self, peer: SocketAddr) -> Option<Expected> {
        let inbox = Arc::<Inbox>::default();
        let mut pending = self.pending();
        if pending.len() >= MAX_PENDING {
            return None;
        }
        let id = loop {
            let id = rand::random::<i32>() & i32::MAX;
            if id != 0 && !pending.contains_key(&id) {
                break id;
            }
        };
        pending.insert(id, Pending { peer, inbox: inbox.clone() });
        Some(Expected { transport: self.clone(), id, peer, inbox })
    }

    /// A device's place in the order of first polls, from 0.
    pub(super) fn seat(&self) -> u64 {
        self.0.seats.fetch_add(1, Ordering::Relaxed)
    }

    /// What went over the sockets.
    pub fn counts(&self) -> TransportCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.0.counters;
        TransportCounts {
            sent: read(&counters.sent),
            received: read(&counters.received),
            unmatched: read(&counters.unmatched),
            malformed: read(&counters.malformed),
            dropped: read(&counters.dropped),
        }
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<i32, Pending>> {
        self.0.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The scope id of a link-local address may be missing in what comes back; address and port count.
fn same_peer(a: SocketAddr, b: SocketAddr) -> bool {
    a.ip() == b.ip() && a.port() == b.port()
}

/// A registered request; dropping it ends the registration.
pub(super) struct Expected {
    transport: Transport,
    /// The id to send.
    pub id: i32,
    peer: SocketAddr,
    inbox: Arc<Inbox>,
}

impl Expected {
    /// Sends `bytes` to the peer.
    pub async fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let shared = &self.transport.0;
        let socket = match (self.peer, &shared.v6) {
            (SocketAddr::V4(_), _) => &shared.v4,
            (SocketAddr::V6(_), Some(v6)) => v6,
            (SocketAddr::V6(_), None) => {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "this host has no IPv6"));
            }
        };
        shared.counters.sent.fetch_add(1, Ordering::Relaxed);
        socket.send_to(bytes, self.peer).await.map(|_| ())
    }

    /// The next datagram with this id from this address.
    pub async fn next(&self) -> Datagram {
        self.inbox.take().await
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.transport.pending().remove(&self.id);
    }
}

/// Whether the operating system reports that nobody listens at `peer` (ICMP port unreachable). A
/// shared socket is not told; so, once a device is silent, a socket of its own sends `request`.
pub(super) async fn port_is_closed(peer: SocketAddr, request: &[u8], wait: Duration) -> bool {
    let any: SocketAddr = if peer.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let probe = async {
        let socket = UdpSocket::bind(any).await?;
        socket.connect(peer).await?;
        socket.send(request).await?;
        let mut answer = [0u8; 16];
        socket.recv(&mut answer).await.map(|_| ())
    };
    match tokio::time::timeout(wait, probe).await {
        Ok(Err(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}
