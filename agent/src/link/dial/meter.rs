//! Counts the plaintext bytes of every connection: what TLS carries, MQTT's, WebSocket's and HTTP's
//! own overhead included; the handshakes of TLS and the talk with a proxy are not in it.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use callhome_shared::time::Time;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::settings::Road;

/// One connection's count. Stays readable after the connection has ended.
#[derive(Debug)]
pub struct Connection {
    /// Unique in this process, from 1.
    pub number: u64,
    /// The road, as `status` shows it.
    pub road: String,
    /// Where TCP goes: the collector, or the proxy.
    pub address: SocketAddr,
    /// When TLS stood.
    pub opened_at: Time,
    bytes_out: AtomicU64,
    bytes_in: AtomicU64,
}

impl Connection {
    /// Plaintext bytes sent so far.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
    }

    /// Plaintext bytes received so far.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }
}

/// A connection's begin and end.
#[derive(Clone, Copy, Debug)]
pub enum Passage<'a> {
    /// TLS stands; nothing has been sent.
    Opened(&'a Arc<Connection>),
    /// It is closed: its counts are final.
    Closed(&'a Arc<Connection>),
}

/// Is told of every connection. Must not block.
pub type Observer = dyn Fn(Passage<'_>) + Send + Sync;

/// The totals since the start, and who is told of connections. Cheap to clone.
#[derive(Clone, Default)]
pub struct Meters(Arc<Totals>);

#[derive(Default)]
struct Totals {
    connections: AtomicU64,
    bytes_out: AtomicU64,
    bytes_in: AtomicU64,
    observer: Option<Box<Observer>>,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Meters({:?})", self.totals())
    }
}

impl Meters {
    /// Tells `observer` of every connection.
    pub fn observed_by(observer: impl Fn(Passage<'_>) + Send + Sync + 'static) -> Self {
        Meters(Arc::new(Totals { observer: Some(Box::new(observer)), ..Totals::default() }))
    }

    /// Plaintext bytes of all connections since the start: sent and received.
    pub fn totals(&self) -> (u64, u64) {
        (self.0.bytes_out.load(Ordering::Relaxed), self.0.bytes_in.load(Ordering::Relaxed))
    }

    /// Counts `stream` from now on.
    pub fn open<S>(&self, stream: S, road: &Road, address: SocketAddr) -> Metered<S> {
        let connection = Arc::new(Connection {
            number: self.0.connections.fetch_add(1, Ordering::Relaxed) + 1,
            road: road.to_string(),
            address,
            opened_at: Time::now(),
            bytes_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
        });
        self.tell(Passage::Opened(&connection));
        Metered { stream, meters: self.clone(), connection }
    }

    fn tell(&self, passage: Passage<'_>) {
        if let Some(observer) = &self.0.observer {
            observer(passage);
        }
    }
}

/// A stream that is counted. Told as closed when dropped.
pub struct Metered<S> {
    stream: S,
    meters: Meters,
    connection: Arc<Connection>,
}

impl<S> Metered<S> {
    /// Its count.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    fn sent(&self, count: usize) {
        let count = count as u64;
        self.connection.bytes_out.fetch_add(count, Ordering::Relaxed);
        self.meters.0.bytes_out.fetch_add(count, Ordering::Relaxed);
    }
}

impl<S> Drop for Metered<S> {
    fn drop(&mut self) {
        self.meters.tell(Passage::Closed(&self.connection));
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let count = (buf.filled().len() - before) as u64;
        self.connection.bytes_in.fetch_add(count, Ordering::Relaxed);
        self.meters.0.bytes_in.fetch_add(count, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.sent(count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        self.sent(count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::RoadKind;
    use std::sync::Mutex;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn counts_both_ways_and_tells_begin_and_end() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let notes = told.clone();
        let meters = Meters::observed_by(move |passage| {
            let line = match passage {
                Passage::Opened(c) => format!("{} opened {}", c.number, c.bytes_out()),
                Passage::Closed(c) => {
                    format!("{} closed {} {}", c.number, c.bytes_out(), c.bytes_in())
                }
            };
            notes.lock().unwrap().push(line);
        });
        let (host, path) = ("c".to_owned(), String::new());
        let road = Road { kind: RoadKind::Mqtt, host, port: 1, path, proxy: None };
        let (ours, mut theirs) = tokio::io::duplex(100);
        let mut ours = meters.open(ours, &road, "192.0.2.1:1".parse().unwrap());
        ours.write_all(b"seven b").await.unwrap();
        theirs.write_all(b"four").await.unwrap();
        theirs.read_exact(&mut [0; 7]).await.unwrap();
        ours.read_exact(&mut [0; 4]).await.unwrap();
        assert_eq!((ours.connection().road.as_str(), meters.totals()), ("mqtts://c:1", (7, 4)));
        drop(ours);
        assert_eq!(*told.lock().unwrap(), ["1 opened 0", "1 closed 7 4"]);
    }
}
