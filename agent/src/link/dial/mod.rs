//! The dialer: every connection to the collector is made here, whatever is spoken on it.
//!
//! ```text
//! DNS ─► TCP (to the collector, or to the proxy + CONNECT) ─► TLS (our certificate) ─► [WebSocket]
//!                                                              │
//!                                                            meter: plaintext bytes, both ways
//! ```
//!
//! So each step fails with words of its own, and one place counts what leaves the house. rumqttc takes
//! no stream of ours; it gets one end of a private Unix socket ([`handoff`]).

pub mod ask;
pub mod handoff;
pub mod meter;
pub mod proxy;
pub mod tcp;
pub mod websocket;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::id::AgentId;
use callhome_shared::tls::{self, Identity, Peer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::meter::{Metered, Meters};
use super::Failure;
use crate::settings::{LinkSettings, Road, RoadKind};

/// For the TLS handshake.
const TLS_TIMEOUT: Duration = Duration::from_secs(15);

/// An open connection to the collector, counted.
pub type Stream = Metered<TlsStream<TcpStream>>;

/// What dialing needs: read from the files anew for every connection of the link, so that a
/// certificate replaced on disk is used from the next one on.
#[derive(Clone)]
pub struct Dialer {
    /// Us.
    pub agent: AgentId,
    tls: Arc<ClientConfig>,
    meters: Meters,
}

impl Dialer {
    /// Reads CA, certificate and key.
    pub fn new(settings: &LinkSettings, meters: &Meters) -> Result<Self, Failure> {
        let (agent, identity) = identity(settings)?;
        let roots = read(&settings.ca_file).and_then(|pem| {
            tls::read_certificates(&pem).map_err(|e| Failure::Identity(e.to_string()))
        })?;
        let tls = tls::client_config(&roots, Some(identity))
            .map_err(|e| Failure::Identity(e.to_string()))?;
        Ok(Dialer::with(agent, tls, meters))
    }

    /// With TLS settings that are made already.
    pub fn with(agent: AgentId, tls: ClientConfig, meters: &Meters) -> Self {
        Dialer { agent, tls: Arc::new(tls), meters: meters.clone() }
    }

    /// Up to the TLS handshake; for a WebSocket road also its own.
    pub async fn dial(&self, road: &Arc<Road>) -> Result<Stream, Failure> {
        let (tcp, address) = tcp::open(road).await?;
        let name = ServerName::try_from(road.host.clone())
            .map_err(|_| Failure::Tls(format!("{:?} is no name for a server", road.host)))?;
        let mut config = ClientConfig::clone(&self.tls);
        if road.kind != RoadKind::Mqtt {
            // Middle boxes expect HTTP to be named; and both need its version 1.1.
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
        let stream = timeout(TLS_TIMEOUT, connecting)
            .await
            .map_err(|_| Failure::Timeout("no answer in the TLS handshake"))?
            .map_err(|e| Failure::from_handshake(&e))?;
        let mut stream = self.meters.open(stream, road, address);
        if road.kind == RoadKind::WebSocket {
            websocket::upgrade(&mut stream, road).await?;
        }
        Ok(stream)
    }
}

/// Our chain and key, and the id they carry.
pub fn identity(settings: &LinkSettings) -> Result<(AgentId, Identity), Failure> {
    let chain = read(&settings.certificate_file)?;
    let key = read(&settings.key_file)?;
    let bad = |e: tls::TlsError| Failure::Identity(e.to_string());
    let identity = Identity::from_pem(&chain, &key).map_err(bad)?;
    let leaf = identity.chain.first().ok_or_else(|| Failure::Identity("no certificate".into()))?;
    match tls::peer(leaf).map_err(bad)? {
        Peer::Agent(agent) => Ok((agent, identity)),
        Peer::Collector(name) => {
            Err(Failure::Identity(format!("the certificate is a collector's ({name})")))
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| Failure::Identity(format!("{}: {e}", path.display())))
}
