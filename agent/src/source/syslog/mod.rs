//! Syslog: messages of devices that cannot run an agent, by UDP, TCP and TLS.
//!
//! An ephemeral source: there is no confirmation in syslog, so what arrives while nobody listens, or is
//! too much, is gone. It never stops reading datagrams while the line is busy; connections over their
//! sender's rate are read more slowly instead. Every deaf interval and everything dropped is declared.

mod catalogue;
mod desk;
mod framing;
mod hub;
mod listen;
mod message;
mod prove;
mod queue;
mod stamp;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use callhome_shared::logging::STAGE;
use callhome_shared::time::Time;
use jiff::tz::TimeZone;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

pub use catalogue::{Catalogues, names as catalogue_names};
pub use stamp::parse_zone;

use super::origins::Origins;
use super::senders::Limits;
use super::{Assignment, Batch, Known, SourceKind};
use hub::Hub;

/// Without anything to say a batch goes out this often, so that `heard_until` moves.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// When stopping, the line gets this long to take what was heard.
const LAST_HAND_OVER: Duration = Duration::from_secs(1);

/// What to listen to.
#[derive(Clone, Debug)]
pub struct SyslogSettings {
    /// Addresses for datagrams.
    pub udp: Vec<SocketAddr>,
    /// Addresses for connections.
    pub tcp: Vec<SocketAddr>,
    /// Addresses for connections with TLS (RFC 5425).
    pub tls: Vec<SocketAddr>,
    /// For TLS.
    pub identity: Option<TlsFiles>,
    /// Longer messages are cut here and marked truncated.
    pub max_line_bytes: usize,
    /// Connections at once, over all addresses; a quarter of them of one sender.
    pub connections: usize,
    /// What one sender may send, and how many are told apart.
    pub limits: Limits,
    /// Which device a message is from.
    pub origins: Origins,
    /// Zone of time stamps without one; `None` = found out.
    pub zone: Option<TimeZone>,
    /// The same by device.
    pub zones: BTreeMap<String, TimeZone>,
    /// Messages of senders that no device is known by count as the listener's own device's.
    pub unknown: bool,
    /// What messages mean.
    pub catalogues: Catalogues,
    /// Whether rules look at every line, not only at those that catalogues may know.
    pub every_line: bool,
}

impl SyslogSettings {
    /// Whether one that listens by these listens as `next` wants; which device a message is from can be told
    /// to it, and TLS files are read again when they change.
    pub fn is_like(&self, next: &Self) -> bool {
        // Taken apart, so that no new field is forgotten here.
        let SyslogSettings {
            udp,
            tcp,
            tls,
            identity,
            max_line_bytes,
            connections,
            limits,
            origins: _,
            zone,
            zones,
            unknown,
            catalogues,
            every_line,
        } = self;
        *udp == next.udp
            && *tcp == next.tcp
            && *tls == next.tls
            && *identity == next.identity
            && *max_line_bytes == next.max_line_bytes
            && *connections == next.connections
            && *limits == next.limits
            && *zone == next.zone
            && *zones == next.zones
            && *unknown == next.unknown
            && catalogues.names() == next.catalogues.names()
            && *every_line == next.every_line
    }
}

/// Certificate and key of the listener, and whose certificates it asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsFiles {
    /// PEM: the certificate chain.
    pub certificate: PathBuf,
    /// PEM: its key.
    pub key: PathBuf,
    /// PEM: clients must show a certificate under these; `None` = they need none.
    pub client_ca: Option<PathBuf>,
}

/// Listens until stopped.
///
/// The first batch is an empty one that says "listening". It declares nothing: how long the agent
/// itself was away is known to the line, which stores `heard_until`.
pub async fn run(assignment: Assignment, settings: SyslogSettings, known: Known) {
    let hub = Hub::new(&assignment, settings, known);
    let mut tasks = JoinSet::new();
    listen::start(&hub, &mut tasks);
    tasks.spawn(hub.origins().resolve(assignment.stop.clone()));
    let stop = assignment.stop.clone();
    let slot = assignment.health.probe().clone();
    let reserve = assignment.out.reserve();
    tokio::pin!(reserve);
    let mut signs = tokio::time::interval(SIGN_OF_LIFE);
    signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = signs.tick() => {
                hub.look();
                due |= hub.is_listening();
                prove::ask(&hub, &slot, &mut tasks);
            }
            () = hub.changed() => due |= hub.take_opened(),
            () = slot.rung() => prove::ask(&hub, &slot, &mut tasks),
            permit = &mut reserve, if due || hub.has_ready() => {
                let Ok(permit) = permit else { return };
                permit.send(batch(&assignment, &hub, false));
                due = false;
                reserve.set(assignment.out.reserve());
            }
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
        }
    }
    tasks.shutdown().await;
    hub.look();
    let deadline = Instant::now() + LAST_HAND_OVER;
    loop {
        let sent = tokio::time::timeout_at(deadline, assignment.out.reserve()).await;
        let Ok(Ok(permit)) = sent else { return };
        permit.send(batch(&assignment, &hub, true));
        if !hub.has_ready() {
            return;
        }
    }
}

fn batch(assignment: &Assignment, hub: &Hub, last: bool) -> Batch {
    let now = Time::now();
    let (device, readings, gaps, heard_until) = hub.take(now, last);
    if !readings.is_empty() {
        let (source, readings) = (&assignment.source, readings.len());
        tracing::trace!(target: STAGE, at = "source.read", source = %source, readings);
    }
    Batch {
        source: assignment.source.clone(),
        kind: SourceKind::Syslog,
        device: device.unwrap_or_else(|| assignment.device.clone()),
        rules: None,
        readings,
        position: None,
        gaps,
        heard_until,
        stored: None,
        inventory: None,
    }
}
