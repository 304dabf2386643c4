//! MQTT in a WebSocket (MQTT 5, §6) on the HTTPS port: another way in to the same desks.
//!
//! The HTTPS server has done TLS and knows the client's certificate; what is decided here is what
//! [`connection`](super::connection) decides for the MQTT port. The crate takes plain TCP streams or
//! its own kinds; so it gets one end of a loopback connection of ours, and a task carries the bytes
//! between that and the frames.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use callhome_shared::websocket::pump::pump;
use callhome_shared::websocket::{Role, SUBPROTOCOL, accept_key};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use mqtt5::broker::transport::BrokerTransport;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::connection::Identity;
use super::{RosterReader, Shared, connection};
use crate::api::server::{ClientCertificates, Source};
use crate::metrics::Metrics;

/// The route.
pub const PATH: &str = "/mqtt";
/// From the answer to the upgraded stream.
const UPGRADE_WITHIN: Duration = Duration::from_secs(10);
/// For the loopback connection.
const PAIR_WITHIN: Duration = Duration::from_secs(5);

/// An agent at the HTTPS port whose certificate was verified and who is let in.
pub struct Visitor {
    identity: Identity,
    from: SocketAddr,
    upgrade: OnUpgrade,
}

impl Visitor {
    /// Where it comes from.
    pub(super) fn from(&self) -> SocketAddr {
        self.from
    }
}

/// What the route needs.
pub struct Entry {
    /// Who is let in.
    pub roster: RosterReader,
    /// To the broker; `None` where it is not this collector's own.
    pub visitors: Option<mpsc::Sender<Visitor>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// The route, for [`crate::api::routes::app`].
pub fn routes(entry: Entry) -> Router {
    Router::new().route(PATH, get(enter)).with_state(Arc::new(entry))
}

async fn enter(State(entry): State<Arc<Entry>>, request: Request) -> Response {
    match entry.admit(request).await {
        Ok(accepted) => accepted,
        Err((status, what, text)) => {
            entry.metrics.broker_event(what);
            let plain = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
            (status, plain, format!("{text}\n")).into_response()
        }
    }
}

/// Status, word for the counter, and text.
type Refusal = (StatusCode, &'static str, String);

impl Entry {
    async fn admit(&self, mut request: Request) -> Result<Response, Refusal> {
        let Some(visitors) = &self.visitors else {
            let text = "this collector's MQTT broker is elsewhere".to_owned();
            return Err((StatusCode::NOT_FOUND, "websocket-elsewhere", text));
        };
        let key = handshake(request.headers())
            .map_err(|text| (StatusCode::BAD_REQUEST, "websocket-refused", text.to_owned()))?;
        let identity = identity(request.extensions().get())
            .map_err(|text| (StatusCode::FORBIDDEN, "certificate-refused", text))?;
        if !self.roster.admits(&identity.agent, &identity.serial).await {
            warn!(agent.id = %identity.agent, "WebSocket refused: agent unknown or revoked, or its certificate superseded");
            let text = "the agent is unknown or revoked, or its certificate superseded".to_owned();
            return Err((StatusCode::FORBIDDEN, "agent-refused", text));
        }
        let upgrade = request.extensions_mut().remove::<OnUpgrade>().ok_or_else(|| {
            let text = "a WebSocket needs HTTP/1.1".to_owned();
            (StatusCode::UPGRADE_REQUIRED, "websocket-refused", text)
        })?;
        let from = request.extensions().get::<Source>();
        let from = from.map_or(SocketAddr::from(([0, 0, 0, 0], 0)), |Source(from)| *from);
        visitors.try_send(Visitor { identity, from, upgrade }).map_err(|_| {
            let text = "too many connections begin at this moment".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, "websocket-busy", text)
        })?;
        let headers: [(HeaderName, HeaderValue); 4] = [
            (UPGRADE, HeaderValue::from_static("websocket")),
            (CONNECTION, HeaderValue::from_static("Upgrade")),
            (SEC_WEBSOCKET_ACCEPT, key),
            (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL)),
        ];
        Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
    }
}

/// The answer to the request's key, if it is the handshake of RFC 6455, §4.2.1, for MQTT.
fn handshake(headers: &HeaderMap) -> Result<HeaderValue, &'static str> {
    let lists = |name: HeaderName, wanted: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|v| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case(wanted))
    };
    if !lists(UPGRADE, "websocket") || !lists(CONNECTION, "upgrade") {
        return Err("expected a WebSocket handshake");
    }
    if !lists(SEC_WEBSOCKET_VERSION, "13") {
        return Err("expected WebSocket version 13");
    }
    if !lists(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err("expected the subprotocol mqtt");
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    let key = key.map(str::trim).filter(|key| key.len() == 24).ok_or("expected a WebSocket key")?;
    HeaderValue::from_str(&accept_key(key)).map_err(|_| "expected a WebSocket key")
}

/// Whom the certificate names. Ended ones never come this way, whatever the door lets in.
fn identity(shown: Option<&ClientCertificates>) -> Result<Identity, String> {
    let leaf = shown.and_then(|ClientCertificates(chain)| chain.first());
    connection::owner(leaf.ok_or("an agent's client certificate is needed here")?)
}

/// Serves one visitor to its end.
pub(super) async fn serve(shared: Arc<Shared>, visitor: Visitor) {
    let Visitor { identity, from, upgrade } = visitor;
    let agent = identity.agent.clone();
    let stream: TokioIo<Upgraded> = match tokio::time::timeout(UPGRADE_WITHIN, upgrade).await {
        Ok(Ok(stream)) => TokioIo::new(stream),
        Ok(Err(e)) => return debug!(agent.id = %agent, error = %e, "no upgrade"),
        Err(_) => return debug!(agent.id = %agent, "no upgrade in time"),
    };
    let (ours, theirs) = match tokio::time::timeout(PAIR_WITHIN, pair()).await {
        Ok(Ok(pair)) => pair,
        Ok(Err(e)) => return warn!(error = %e, "no loopback connection for a WebSocket"),
        Err(_) => return warn!("no loopback connection for a WebSocket in time"),
    };
    let transport = BrokerTransport::tcp(theirs);
    let carrying = async {
        if let Err(e) = pump(stream, ours, Role::Server, Vec::new()).await {
            if e.kind() == io::ErrorKind::InvalidData {
                shared.metrics.broker_event("websocket-violation");
            }
            debug!(agent.id = %agent, error = %e, "WebSocket ended");
        }
    };
    tokio::join!(carrying, connection::packets(shared.clone(), transport, from, identity));
}

/// Two ends of one TCP connection within this process.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    loop {
        let (theirs, from) = listener.accept().await?;
        // Another process may have been faster; it is nobody's.
        if from == ours.local_addr()? {
            let _ = (ours.set_nodelay(true), theirs.set_nodelay(true));
            return Ok((ours, theirs));
        }
    }
}
