//! What one connection may do: decided by its certificate, asked at every packet.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use callhome_shared::id::AgentId;
use callhome_shared::topic::{may_publish, may_subscribe};
use mqtt5::broker::{AuthProvider, AuthResult};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::desk::Desk;
use crate::metrics::Metrics;

/// Longest keep-alive: a dead connection is noticed after one and a half of it.
const MAX_KEEP_ALIVE_S: u16 = 600;
/// Forbidden publishes and subscriptions after which the connection is closed.
const MAX_DENIED: u32 = 100;
/// Suffix of the client id of an agent's second connection.
const SESSION_SUFFIX: &str = ".session";

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The rights of one connection.
pub(super) struct Admission {
    /// Whom the certificate names.
    agent: AgentId,
    desk: Arc<Desk>,
    /// Ends the connection.
    kick: CancellationToken,
    /// Forbidden things tried so far.
    denied: AtomicU32,
    metrics: Arc<Metrics>,
}

impl Admission {
    pub(super) fn new(desk: Arc<Desk>, kick: CancellationToken, metrics: Arc<Metrics>) -> Self {
        Admission { agent: desk.agent().clone(), desk, kick, denied: AtomicU32::new(0), metrics }
    }

    /// Whether the CONNECT packet is one that this certificate's holder may send.
    fn connect(&self, connect: &ConnectPacket) -> Result<(), (ReasonCode, &'static str)> {
        if connect.protocol_version != 5 {
            return Err((ReasonCode::UnsupportedProtocolVersion, "not MQTT 5"));
        }
        let id = connect.client_id.as_str();
        if id.strip_suffix(SESSION_SUFFIX).unwrap_or(id) != self.agent.as_str() {
            let why = "the client id is not the certificate's agent";
            return Err((ReasonCode::ClientIdentifierNotValid, why));
        }
        if !(1..=MAX_KEEP_ALIVE_S).contains(&connect.keep_alive) {
            return Err((ReasonCode::ImplementationSpecificError, "keep-alive is not 1 to 600 s"));
        }
        match &connect.will {
            Some(will) if will.retain => {
                Err((ReasonCode::RetainNotSupported, "the last will is to be retained"))
            }
            Some(will) if !may_publish(&self.agent, &will.topic) => {
                Err((ReasonCode::NotAuthorized, "the last will's topic is not the agent's"))
            }
            _ => Ok(()),
        }
    }

    fn deny(&self, what: &'static str, topic: &str) {
        self.metrics.broker_event(what);
        let times = self.denied.fetch_add(1, Ordering::Relaxed) + 1;
        // The first ones tell what it tries; the rest is counted.
        if times <= 3 {
            let topic: String = topic.chars().take(200).collect();
            warn!(agent.id = %self.agent, topic, what, "refused: not this agent's topic");
        }
        if times == MAX_DENIED {
            warn!(agent.id = %self.agent, times, "connection closed: too much refused");
            self.kick.cancel();
        }
    }
}

impl AuthProvider for Admission {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        client: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        let result = match self.connect(connect) {
            Ok(()) => AuthResult::success_with_user(self.agent.as_str()),
            Err((code, why)) => {
                self.metrics.broker_event("connect-refused");
                let id: String = connect.client_id.chars().take(80).collect();
                warn!(agent.id = %self.agent, peer = %client, client.id = id, why, "connect refused");
                AuthResult::fail_with_reason(code, why)
            }
        };
        Box::pin(std::future::ready(Ok(result)))
    }

    /// Called for every publish, also forbidden ones and the last will: so the rate is held here.
    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        _user_id: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(async move {
            self.desk.slow_down().await;
            let allowed = may_publish(&self.agent, topic);
            if !allowed {
                self.deny("publish-refused", topic);
            }
            allowed
        })
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        _user_id: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        let allowed = may_subscribe(&self.agent, filter);
        if !allowed {
            self.deny("subscribe-refused", filter);
        }
        Box::pin(std::future::ready(allowed))
    }
}
