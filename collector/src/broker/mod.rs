//! The embedded MQTT broker: identity, topic rights.
//!
//! Protocol work is done by the crate `mqtt5`; everything that decides who may do what is ours.
//! How the two are joined, and why so:
//!
//! - **Our own accept loop.** The crate's TLS listener serves one handshake at a time and binds no
//!   client id to a certificate. Its [`ClientHandler`](mqtt5::broker::client_handler::ClientHandler)
//!   is public and takes an accepted TLS stream, an `AuthProvider` and a router: so each connection
//!   is handshaken in a task of its own and gets an [`admission`] made from its certificate.
//! - **One router per agent** ([`desk`]), not one for all. The only parties in it are the agent's
//!   own connections and the collector: a message cannot reach another agent whatever the rights
//!   say, and an agent's messages are not matched against a thousand others' subscriptions.
//! - **Messages are taken from the router, not from the crate's publish event**: the event lacks
//!   MQTT 5 user properties, which carry the envelope's attributes, and is not raised for last
//!   wills. The event is used to hold a publish back until there is room for it ([`desk`]): a slow
//!   store slows the agent down through TCP and nobody else. The router then never queues.
//! - Revocation works twice: the TLS settings are exchanged with each new revocation list, and the
//!   [`Roster`] is asked at every connect and expels connections that are open.

mod accept;
mod admission;
mod callers;
mod connection;
mod desk;
pub mod places;
pub mod rate;
mod roster;
pub mod websocket;

use std::sync::Arc;

use arc_swap::ArcSwap;
use mqtt5::broker::resource_monitor::{ResourceLimits, ResourceMonitor};
use mqtt5::broker::sys_topics::BrokerStats;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use accept::serve;
pub(crate) use rate::Rate;
pub use roster::{Roster, RosterReader};

use crate::link::{Delivery, Downward};
use crate::metrics::Metrics;

/// What the broker is connected to.
pub struct Ends {
    /// Where agents connect.
    pub listener: TcpListener,
    /// Agents that come through the HTTPS port.
    pub visitors: mpsc::Receiver<websocket::Visitor>,
    /// TLS settings: client certificates required, revocation list in it.
    pub tls: Arc<ArcSwap<ServerConfig>>,
    /// Who is let in.
    pub roster: RosterReader,
    /// What agents send. Bounded: when it is full, publishes wait.
    pub up: mpsc::Sender<Delivery>,
    /// What is sent to agents.
    pub down: mpsc::Receiver<Downward>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// What it keeps within.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections: in all, from one source, and how fast new ones may come.
    pub places: places::PlaceLimits,
    /// Publishes per second and agent.
    pub max_rate_per_agent: u32,
    /// Bytes of payload per second and agent.
    pub max_bytes_per_agent: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            places: places::PlaceLimits { in_all: 1000, per_source: 250, pace_per_source: 40 },
            max_rate_per_agent: 200,
            max_bytes_per_agent: 1024 * 1024,
        }
    }
}

/// What all connections share.
struct Shared {
    tls: Arc<ArcSwap<ServerConfig>>,
    roster: RosterReader,
    desks: desk::Desks,
    callers: Arc<callers::Callers>,
    metrics: Arc<Metrics>,
    /// Asked for by the crate; our own limits are elsewhere.
    stats: Arc<BrokerStats>,
    resources: Arc<ResourceMonitor>,
    shutdown: CancellationToken,
}

/// The crate's own limits, all out of reach.
fn no_limits() -> ResourceLimits {
    ResourceLimits {
        max_connections: usize::MAX,
        max_connections_per_ip: usize::MAX,
        max_message_rate_per_client: 0,
        max_bandwidth_per_client: 0,
        max_connection_rate: u32::MAX,
        ..ResourceLimits::default()
    }
}

#[cfg(test)]
mod tests;
