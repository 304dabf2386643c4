//! The HTTPS server: our own accept loop, so that no client can hold up another one.
//!
//! It takes a bound listener and a shutdown future, so that a test can own both. Every handshake
//! is a task with a time limit; the TLS settings are read for each connection, so that a new
//! certificate needs no restart. Connections have limits, in all and per source address: one more
//! is closed at once and counted.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use callhome_shared::tls::{self, ClientAuth, Identity, TlsError};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use crate::broker::places::{Place, PlaceLimits, Places};
use crate::health::Pulse;
use crate::metrics::Metrics;

/// Time and number limits of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A TLS handshake.
    pub handshake: Duration,
    /// A request's head; also how long a connection may stay open without one.
    pub head: Duration,
    /// Connections: in all, from one source, and how fast new ones may come.
    pub places: PlaceLimits,
    /// How long requests may go on after the shutdown began.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            places: PlaceLimits { in_all: 1024, per_source: 256, pace_per_source: 40 },
            drain: Duration::from_secs(10),
        }
    }
}

/// How often the accept loop says that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// Name in metrics and logs.
const LISTENER: &str = "https";

/// Where a request came from. In every request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Source(pub SocketAddr);

/// The client's certificate chain, if it showed one (it was verified). In the extensions of
/// requests whose connection has one.
#[derive(Clone, Debug)]
pub struct ClientCertificates(pub Arc<[CertificateDer<'static>]>);

/// Is cancelled when the server shuts down: streams that would never end must watch it. In every
/// request's extensions.
#[derive(Clone, Debug)]
pub struct Closing(pub CancellationToken);

/// What a server needs beside its listener.
pub struct Server {
    /// TLS; replaced as a whole when the certificate changes.
    pub tls: Arc<ArcSwap<ServerConfig>>,
    /// What it serves.
    pub app: Router,
    /// Its limits.
    pub limits: Limits,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// Shows that the accept loop lives.
    pub pulse: Pulse,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut off at the deadline.
    pub cut_off: usize,
}

/// TLS settings for this server: HTTP/2 is offered before HTTP/1.1.
pub fn tls_config(identity: Identity, clients: ClientAuth) -> Result<ServerConfig, TlsError> {
    let mut config = tls::server_config(identity, clients)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Serves until `shutdown` is done, then lets requests end within the limit.
pub async fn serve(
    listener: TcpListener,
    server: Server,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let Server { tls, app, limits, metrics, pulse } = server;
    let shared = Arc::new(Shared {
        tls,
        app,
        limits,
        metrics,
        places: Places::new(limits.places),
        closing: CancellationToken::new(),
        cut: CancellationToken::new(),
    });
    let tasks = TaskTracker::new();
    let mut shutdown = pin!(shutdown);
    let mut beat = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            _ = beat.tick() => pulse.beat(),
            accepted = listener.accept() => match accepted {
                Ok((stream, source)) => shared.clone().admit(stream, source, &tasks),
                Err(e) => accept_failed(&e).await,
            },
        }
    }
    drop(listener);
    pulse.finish();
    shared.drain(&tasks).await
}

/// Out of file descriptors, most likely: waiting lets others end instead of spinning.
async fn accept_failed(error: &io::Error) {
    tracing::warn!(listener = LISTENER, error = %error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(200)).await;
}

struct Shared {
    tls: Arc<ArcSwap<ServerConfig>>,
    app: Router,
    limits: Limits,
    metrics: Arc<Metrics>,
    places: Arc<Places>,
    /// No new requests; those that run may end.
    closing: CancellationToken,
    /// The deadline has passed.
    cut: CancellationToken,
}

impl Shared {
    fn admit(self: Arc<Self>, stream: TcpStream, source: SocketAddr, tasks: &TaskTracker) {
        match self.places.take(source.ip(), Instant::now()) {
            Ok(place) => {
                let cut = self.cut.clone();
                tasks.spawn(async move {
                    cut.run_until_cancelled(self.talk(stream, source, place)).await
                });
            }
            Err(why) => self.metrics.connection_refused(LISTENER, why.as_str()),
        }
    }

    async fn talk(&self, stream: TcpStream, source: SocketAddr, place: Place) {
        let _counted = Counted::new(&self.metrics);
        let _place = place;
        let _ = stream.set_nodelay(true);
        let acceptor = TlsAcceptor::from(self.tls.load_full());
        let stream =
            match tokio::time::timeout(self.limits.handshake, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(e)) => {
                    self.metrics.connection_refused(LISTENER, "handshake");
                    tracing::debug!(source.address = %source, error = %e, "TLS handshake failed");
                    return;
                }
                Err(_) => {
                    self.metrics.connection_refused(LISTENER, "handshake");
                    tracing::debug!(source.address = %source, "TLS handshake took too long");
                    return;
                }
            };
        if let Err(e) = self.speak_http(stream, source).await {
            tracing::debug!(source.address = %source, error = %e, "connection failed");
        }
    }

    async fn speak_http(
        &self,
        stream: TlsStream<TcpStream>,
        source: SocketAddr,
    ) -> hyper::Result<()> {
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let certificates = certificates(&stream);
        let asked = Arc::new(AtomicBool::new(false));
        let service = {
            let (app, closing, asked) = (self.app.clone(), self.closing.clone(), asked.clone());
            service_fn(move |request: Request<Incoming>| {
                asked.store(true, Ordering::Relaxed);
                let mut request = request.map(Body::new);
                let extensions = request.extensions_mut();
                extensions.insert(Source(source));
                extensions.insert(Closing(closing.clone()));
                if let Some(certificates) = &certificates {
                    extensions.insert(certificates.clone());
                }
                app.clone().call(request)
            })
        };
        let io = TokioIo::new(stream);
        let silence = silent_for(self.limits.head, asked);
        if http2 {
            let mut connection = pin!(http2_builder().serve_connection(io, service));
            tokio::select! {
                done = connection.as_mut() => return done,
                () = silence => {
                    self.metrics.connection_refused(LISTENER, "silent");
                    return Ok(());
                }
                () = self.closing.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        } else {
            let builder = http1_builder(self.limits.head);
            let mut connection = pin!(builder.serve_connection(io, service).with_upgrades());
            tokio::select! {
                done = connection.as_mut() => return done,
                () = silence => {
                    self.metrics.connection_refused(LISTENER, "silent");
                    return Ok(());
                }
                () = self.closing.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        }
    }

    async fn drain(&self, tasks: &TaskTracker) -> Drained {
        tasks.close();
        self.closing.cancel();
        if tokio::time::timeout(self.limits.drain, tasks.wait()).await.is_ok() {
            return Drained { cut_off: 0 };
        }
        let cut_off = tasks.len();
        self.cut.cancel();
        tasks.wait().await;
        Drained { cut_off }
    }
}

/// Ends when a client has asked nothing in this time: HTTP/2 has no limit of its own for a client
/// that says not even hello.
async fn silent_for(limit: Duration, asked: Arc<AtomicBool>) {
    tokio::time::sleep(limit).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

fn certificates(stream: &TlsStream<TcpStream>) -> Option<ClientCertificates> {
    let chain = stream.get_ref().1.peer_certificates()?;
    let owned: Vec<_> = chain.iter().map(|c| c.clone().into_owned()).collect();
    Some(ClientCertificates(owned.into()))
}

fn http1_builder(head: Duration) -> hyper::server::conn::http1::Builder {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(64 * 1024);
    builder
}

fn http2_builder() -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(128)
        .max_header_list_size(16 * 1024);
    builder
}

/// Counts a connection while it lives.
struct Counted<'a>(&'a Metrics);

impl<'a> Counted<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.connected(LISTENER);
        Counted(metrics)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.disconnected(LISTENER);
    }
}
