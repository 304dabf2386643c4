//! One connection: handshake, who it is, the crate's packet loop, and the kick.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::tls::{self, Peer};
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::tls_acceptor::TlsStreamWrapper;
use mqtt5::broker::transport::BrokerTransport;
use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Shared;
use super::admission::Admission;

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Time for a kicked connection to say DISCONNECT.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves one accepted connection to its end.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, from: SocketAddr) {
    let Some(stream) = handshake(&shared, stream, from).await else { return };
    let Identity { agent, serial, end } = match identity(&stream) {
        Ok(identity) => identity,
        Err(why) => {
            shared.metrics.broker_event("certificate-refused");
            warn!(peer = %from, why, "connection refused: no agent's certificate");
            return;
        }
    };
    if !shared.roster.admits(&agent, &serial).await {
        shared.metrics.broker_event("agent-refused");
        warn!(agent.id = %agent, peer = %from, "connection refused: agent unknown or revoked, or its certificate superseded");
        return;
    }
    let transport = BrokerTransport::tls(TlsStreamWrapper::new(stream));
    packets(shared, transport, from, Identity { agent, serial, end }).await;
}

/// Whom the certificate names, its serial number, its end.
pub(super) struct Identity {
    pub(super) agent: AgentId,
    pub(super) serial: String,
    end: Time,
}

async fn handshake(
    shared: &Shared,
    stream: TcpStream,
    from: SocketAddr,
) -> Option<TlsStream<TcpStream>> {
    // Read at every accept: a renewed certificate or revocation list counts from now on.
    let acceptor = TlsAcceptor::from(shared.tls.load_full());
    let _ = stream.set_nodelay(true);
    let why = tokio::select! {
        () = shared.shutdown.cancelled() => return None,
        done = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)) => match done {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(e)) => e.to_string(),
            Err(_) => format!("not finished after {} s", HANDSHAKE.as_secs()),
        },
    };
    shared.metrics.connection_refused("mqtt", "handshake");
    shared.metrics.broker_event("handshake-failed");
    info!(peer = %from, why, "TLS handshake failed");
    None
}

/// A resumed TLS session skips the revocation list and the certificate's end, not this and the
/// roster.
fn identity(stream: &TlsStream<TcpStream>) -> Result<Identity, String> {
    let (_, session) = stream.get_ref();
    owner(session.peer_certificates().and_then(<[_]>::first).ok_or("no certificate")?)
}

/// What a verified certificate says, unless it has ended.
pub(super) fn owner(leaf: &CertificateDer<'_>) -> Result<Identity, String> {
    let serial = tls::serial(leaf).map_err(|e| e.to_string())?;
    let end = tls::not_after(leaf).map_err(|e| e.to_string())?;
    if Time::now() > end {
        return Err(format!("it ended at {end}"));
    }
    match tls::peer(leaf).map_err(|e| e.to_string())? {
        Peer::Agent(agent) => Ok(Identity { agent, serial, end }),
        Peer::Collector(name) => Err(format!("it is the collector {name}'s")),
    }
}

/// Waits until that time by the wall clock, which may be set.
async fn ended(end: Time) {
    loop {
        let left_ms = end.since_ms(Time::now());
        let Ok(left_ms) = u64::try_from(left_ms) else { return };
        tokio::time::sleep(Duration::from_millis(left_ms.clamp(1, 60_000))).await;
    }
}

/// MQTT on a connection whose other end is known, to its end.
pub(super) async fn packets(
    shared: Arc<Shared>,
    transport: BrokerTransport,
    from: SocketAddr,
    Identity { agent, serial, end }: Identity,
) {
    let _call = match shared.callers.enter(&agent, Instant::now()) {
        Ok(call) => call,
        Err(refused) => {
            shared.metrics.connection_refused("mqtt", refused.why);
            if refused.first {
                let why = refused.why;
                warn!(agent.id = %agent, peer = %from, why, "connections refused: too many or too often");
            }
            return;
        }
    };
    let desk = match shared.desks.enter(&agent).await {
        Ok(desk) => desk,
        Err(e) => {
            warn!(agent.id = %agent, error = %e, "no router for the agent");
            return;
        }
    };
    let kick = CancellationToken::new();
    let (goodbye, shutdown) = broadcast::channel(1);
    let admission = Admission::new(desk.clone(), kick.clone(), shared.metrics.clone());
    let handler = ClientHandler::new(
        transport,
        from,
        desk.config(),
        desk.router(),
        Arc::new(admission),
        None,
        shared.stats.clone(),
        shared.resources.clone(),
        shutdown,
    );
    info!(agent.id = %agent, peer = %from, "agent connected");
    let mut running = Box::pin(handler.run());
    let expelled = tokio::select! {
        ended = &mut running => {
            if let Err(e) = ended {
                info!(agent.id = %agent, peer = %from, why = %e, "agent disconnected");
            } else {
                info!(agent.id = %agent, peer = %from, "agent disconnected");
            }
            return;
        }
        () = shared.roster.expelled(&agent, &serial) => true,
        () = ended(end) => {
            shared.metrics.broker_event("certificate-ended");
            warn!(agent.id = %agent, peer = %from, %end, "connection closed: its certificate has ended");
            false
        }
        () = kick.cancelled() => false,
        () = shared.shutdown.cancelled() => false,
    };
    if expelled {
        shared.metrics.broker_event("expelled");
        warn!(agent.id = %agent, peer = %from, "agent expelled: it was revoked, or its certificate superseded");
    }
    // The crate says DISCONNECT and ends; if it is stuck in a write, it is dropped.
    if goodbye.send(()).is_err() || tokio::time::timeout(GOODBYE, running).await.is_err() {
        debug!(agent.id = %agent, "connection dropped without a goodbye");
    }
}
