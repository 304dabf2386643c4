//! A TCP proxy that behaves like a bad network: it cuts, falls silent, garbles, slows down, and delivers
//! late what belonged to a connection that is already gone. It knows nothing of what it carries.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

/// How the line is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes.
    Fair,
    /// Each piece so many milliseconds later.
    Delay(u64),
    /// At most so many bytes a second and direction.
    Throttle(u64),
    /// Half-open: what comes is swallowed, nothing is closed. A connection that lost a byte this way
    /// never carries one again, as behind a NAT box that forgot it.
    HalfOpen,
    /// One bit of each connection's next piece is turned over, in both directions.
    Corrupt,
    /// New connections are reset at once; those that exist live on.
    Refuse,
    /// Pieces wait in the proxy.
    Hold,
}

/// What is done to the connections that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// RST to both ends.
    Reset,
    /// FIN to both ends.
    Finish,
    /// RST to the client; the far end keeps its half-open connection for this long, and then gets
    /// what was held: bytes of the old connection after those of the new one.
    Strand(Duration),
}

/// What the proxy did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// Connections cut by the proxy.
    pub cut: u64,
    /// Connections refused.
    pub refused: u64,
    /// Pieces with a bit turned over.
    pub corrupted: u64,
    /// Bytes swallowed.
    pub swallowed: u64,
    /// Bytes delivered after their connection's other end was gone.
    pub late: u64,
    /// Bytes carried.
    pub carried: u64,
}

#[derive(Default)]
struct Tally {
    connections: AtomicU64,
    cut: AtomicU64,
    refused: AtomicU64,
    corrupted: AtomicU64,
    swallowed: AtomicU64,
    late: AtomicU64,
    carried: AtomicU64,
}

struct Shared {
    weather: watch::Sender<Weather>,
    deeds: broadcast::Sender<Deed>,
    tally: Tally,
}

/// A running proxy in front of one port of this machine. Ends when dropped, and its connections with it.
pub struct Proxy {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts it in front of `upstream`, which need not listen yet.
    pub async fn start(upstream: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (weather, _) = watch::channel(Weather::Fair);
        let (deeds, _) = broadcast::channel(64);
        let shared = Arc::new(Shared { weather, deeds, tally: Tally::default() });
        let task = tokio::spawn(accept(listener, upstream, shared.clone()));
        Ok(Proxy { port, shared, task })
    }

    /// From now on the weather is this.
    pub fn set(&self, weather: Weather) {
        self.shared.weather.send_replace(weather);
    }

    /// RST to both ends of every connection.
    pub fn reset(&self) {
        let _ = self.shared.deeds.send(Deed::Reset);
    }

    /// FIN to both ends of every connection.
    pub fn finish(&self) {
        let _ = self.shared.deeds.send(Deed::Finish);
    }

    /// Holds what comes for `hold`, resets the clients, and delivers what was held `late` later.
    pub async fn strand(&self, hold: Duration, late: Duration) {
        self.set(Weather::Hold);
        tokio::time::sleep(hold).await;
        let _ = self.shared.deeds.send(Deed::Strand(late));
        // The connections must take the deed before the held pieces may go on.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.set(Weather::Fair);
    }

    /// What it did so far.
    pub fn counts(&self) -> Counts {
        let tally = &self.shared.tally;
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        Counts {
            connections: get(&tally.connections),
            cut: get(&tally.cut),
            refused: get(&tally.refused),
            corrupted: get(&tally.corrupted),
            swallowed: get(&tally.swallowed),
            late: get(&tally.late),
            carried: get(&tally.carried),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        let _ = self.shared.deeds.send(Deed::Reset);
    }
}

async fn accept(listener: TcpListener, upstream: u16, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if *shared.weather.borrow() == Weather::Refuse {
            count(&shared.tally.refused, 1);
            abort(&client);
            continue;
        }
        count(&shared.tally.connections, 1);
        tokio::spawn(carry(client, upstream, shared.clone()));
    }
}

fn count(what: &AtomicU64, n: usize) {
    what.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// The next close of this socket is a RST.
fn abort(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// What both directions of one connection share.
#[derive(Default)]
struct Line {
    /// It swallowed something: nothing passes any more.
    dead: std::sync::atomic::AtomicBool,
    /// What the client sent and the proxy holds.
    held: Mutex<Vec<u8>>,
}

async fn carry(mut client: TcpStream, upstream: u16, shared: Arc<Shared>) {
    let line = Line::default();
    let mut deeds = shared.deeds.subscribe();
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await else {
        // Nobody listens: what a client sees of that is a reset.
        abort(&client);
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let deed = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = pump(from_client, to_server, &shared, &line, true);
        let down = pump(from_server, to_client, &shared, &line, false);
        tokio::select! {
            _ = async { tokio::join!(up, down) } => None,
            deed = deeds.recv() => deed.ok(),
        }
    };
    let Some(deed) = deed else { return };
    count(&shared.tally.cut, 1);
    match deed {
        Deed::Finish => {}
        Deed::Reset => {
            abort(&client);
            abort(&server);
        }
        Deed::Strand(late) => {
            abort(&client);
            drop(client);
            tokio::time::sleep(late).await;
            let held =
                std::mem::take(&mut *line.held.lock().unwrap_or_else(PoisonError::into_inner));
            if !held.is_empty() && server.write_all(&held).await.is_ok() {
                count(&shared.tally.late, held.len());
                // Time to be read before the end of the connection is seen.
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

/// One direction until its end; the end is passed on.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    shared: &Shared,
    line: &Line,
    upward: bool,
) {
    let mut weather = shared.weather.subscribe();
    let mut garbled = false;
    let mut buffer = vec![0_u8; 16 * 1024];
    while let Ok(n) = from.read(&mut buffer).await {
        let Some(piece) = buffer.get_mut(..n).filter(|piece| !piece.is_empty()) else { break };
        let now = *weather.borrow_and_update();
        if now == Weather::HalfOpen {
            line.dead.store(true, Ordering::Relaxed);
        }
        if line.dead.load(Ordering::Relaxed) {
            count(&shared.tally.swallowed, n);
            continue;
        }
        match now {
            Weather::Delay(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Weather::Throttle(rate) => {
                let size = u64::try_from(n).unwrap_or(u64::MAX);
                tokio::time::sleep(Duration::from_micros(size * 1_000_000 / rate.max(1))).await;
            }
            Weather::Corrupt if !garbled => {
                garbled = true;
                // The last byte: behind the record's header, so that it is the content that is wrong.
                if let Some(last) = piece.last_mut() {
                    *last ^= 0x10;
                }
                count(&shared.tally.corrupted, 1);
            }
            Weather::Hold => {
                if upward {
                    let mut held = line.held.lock().unwrap_or_else(PoisonError::into_inner);
                    held.extend_from_slice(piece);
                }
                let _ = weather.wait_for(|w| *w != Weather::Hold).await;
                line.held.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
            Weather::Fair | Weather::Refuse | Weather::HalfOpen | Weather::Corrupt => {}
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
        count(&shared.tally.carried, n);
    }
    if !line.dead.load(Ordering::Relaxed) {
        let _ = to.shutdown().await;
    }
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
