//! Keeps the rights of a mosquitto with the dynamic security plugin as the database has them.
//!
//! One role and one client for each agent: the plugin of mosquitto 2.0 knows no pattern such as
//! `%u`. A round reads what the broker holds, works out the difference ([`wanted`]) and sends it
//! ([`wire`]); a round that finds nothing new changes nothing. Each round is a connection of its
//! own with a certificate made for it (CN `<collector>.admin`, which no agent can have), so that
//! the connection which carries messages holds no administrator's rights.
//!
//! A revoked agent is **deleted**, not disabled: with `use_identity_as_username` mosquitto 2.0 does
//! not ask the plugin at CONNECT, and the plugin's rights do not look at `disabled`. Deleting
//! closes its connection, and a client that the plugin does not know has no rights at all.

mod wanted;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use callhome_shared::backoff::Backoff;
use callhome_shared::tls::TlsError;
use rumqttc::v5::mqttbytes::v5::SubscribeReasonCode;
use rumqttc::v5::{ClientError, ConnectionError};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::broker::{Roster, RosterReader};
use crate::enrol::EnrolError;
use crate::enrol::cas::Cas;
use crate::metrics::Metrics;

pub use wanted::Change;

/// A round without anybody asking: somebody may have changed the broker's rights by hand, or put an
/// old file back.
const ROUND: Duration = Duration::from_secs(300);
/// One round, all of it: with a thousand new agents mosquitto writes its file two thousand times.
const LIMIT: Duration = Duration::from_secs(300);

/// Where the rights are kept and whose they are.
#[derive(Clone)]
pub struct Target {
    /// The broker's host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The collector's name: CN of the certificate with which it carries messages.
    pub collector: String,
    /// The issuing one signs the administrator's certificate.
    pub cas: Arc<ArcSwap<Cas>>,
}

impl Target {
    /// The administrator's user name. The dot keeps it apart from every agent.
    pub fn admin(&self) -> String {
        format!("{}.admin", self.collector)
    }
}

/// Why the rights could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The administrator's certificate.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// TLS settings.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The connection.
    #[error("connection: {0}")]
    Connection(Box<ConnectionError>),
    /// The client's channel is closed.
    #[error("client: {0}")]
    Client(String),
    /// It did not answer in time.
    #[error("no {0} in time")]
    Silent(&'static str),
    /// It is not let at the plugin's topics.
    #[error(
        "{user} may not administer the broker ({why}): is the dynamic security plugin loaded, and \
         is {user} an administrator in its file?"
    )]
    NotAdmin {
        /// The user name.
        user: String,
        /// What the broker said.
        why: String,
    },
    /// The plugin refused a command.
    #[error("the plugin refuses {command}: {why}")]
    Refused {
        /// Which command.
        command: String,
        /// Its words.
        why: String,
    },
    /// The plugin said something that cannot be understood.
    #[error("the plugin's answer cannot be read: {0}")]
    Unreadable(String),
}

impl From<ConnectionError> for SyncError {
    fn from(e: ConnectionError) -> Self {
        SyncError::Connection(Box::new(e))
    }
}

impl From<ClientError> for SyncError {
    fn from(e: ClientError) -> Self {
        SyncError::Client(e.to_string())
    }
}

impl SyncError {
    fn not_admin(user: &str, code: &SubscribeReasonCode) -> Self {
        SyncError::NotAdmin { user: user.to_owned(), why: format!("{code:?}") }
    }
}

/// Brings the broker's rights to what `roster` says; answers what was changed.
pub async fn sync(target: &Target, roster: &Roster) -> Result<Vec<Change>, SyncError> {
    let round = async {
        wire::with_admin(target, async |admin| {
            let present =
                wanted::Present { roles: admin.roles().await?, clients: admin.clients().await? };
            let changes = wanted::changes(&present, &target.collector, &roster.agents);
            for part in changes.chunks(wire::COMMANDS) {
                admin.send(part.iter().map(Change::command).collect()).await?;
            }
            Ok(changes)
        })
        .await
    };
    tokio::time::timeout(LIMIT, round).await.map_err(|_| SyncError::Silent("end of the round"))?
}

/// Brings the rights up to date at the start, whenever the roster changes, and from time to time.
pub async fn keep(
    target: Target,
    reader: RosterReader,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) {
    let mut newest = reader.newest;
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    loop {
        let roster = newest.borrow_and_update().clone();
        let done = tokio::select! {
            done = sync(&target, &roster) => done,
            () = shutdown.cancelled() => return,
        };
        let pause = match done {
            Ok(changes) => {
                backoff.reset();
                metrics.broker_event("rights-synced");
                if !changes.is_empty() {
                    info!(changes = changes.len(), "the broker's rights were brought up to date");
                }
                ROUND
            }
            Err(e) => {
                metrics.broker_event("rights-sync-failed");
                let delay = backoff.next_delay();
                warn!(
                    broker = format!("{}:{}", target.host, target.port),
                    error = %e,
                    retry_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
                    "the broker's rights cannot be brought up to date"
                );
                delay
            }
        };
        let failed = pause < ROUND;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // Not while it fails: a broker that is down is not helped by haste.
            changed = newest.changed(), if !failed => if changed.is_err() { return },
            () = shutdown.cancelled() => return,
        }
    }
}
