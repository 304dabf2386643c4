//! Keeps trust up to date while the collector runs: renews our own certificates, writes the
//! revocation list, exchanges the servers' TLS settings and tells the broker who may connect.
//!
//! The truth is in the database, which other processes change too (`agent revoke`): so it is read
//! on a timer as well as on a nudge, and a round that finds nothing new changes nothing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::tls::{self, ClientAuth, Identity};
use rustls::ServerConfig;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::authority::{self, Authority, Issued, read_crl};
use super::files::{self, TrustFiles};
use super::{EnrolError, chain};
use crate::api::server::tls_config;
use crate::broker::{Roster, RosterReader};
use crate::health::Pulse;
use crate::settings::Settings;
use crate::store::{Db, StoreError, agents, certificates};

/// Between two rounds: a revocation by another process takes effect within this.
const ROUND: Duration = Duration::from_secs(20);
/// Nudges closer together than this share a round.
const PAUSE: Duration = Duration::from_millis(200);
/// The revocation list is written anew at least this often.
const CRL_AGE_MS: i64 = 24 * 3_600_000;
/// Silence after which the keeper counts as stuck.
pub const PULSE: Duration = Duration::from_secs(120);

/// Why a round failed. What was in force stays in force.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// Certificates or files.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// TLS settings.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// The database.
    #[error("data store")]
    Store(#[from] StoreError),
    /// A task of the program ended.
    #[error("a task ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// What the servers read.
#[derive(Clone)]
pub struct Trust {
    /// The CA.
    pub authority: Arc<Authority>,
    /// The embedded broker's TLS settings.
    pub mqtt: Arc<ArcSwap<ServerConfig>>,
    /// The HTTPS server's.
    pub https: Arc<ArcSwap<ServerConfig>>,
    /// Who may connect.
    pub roster: RosterReader,
}

/// The task's side.
pub struct Keeper {
    db: Db,
    files: TrustFiles,
    names: Vec<String>,
    collector: String,
    trust: Trust,
    roster: watch::Sender<Arc<Roster>>,
    /// The revoked certificates in the list that was written last, and when that was.
    listed: (HashSet<String>, Time),
}

impl Keeper {
    /// The first round: reads the CA, makes what is missing, and has the servers' settings ready.
    pub async fn start(db: Db, settings: &Settings) -> Result<(Keeper, Trust), KeeperError> {
        let files = TrustFiles::new(&settings.data_dir);
        let authority = Arc::new(Authority::load(&files)?);
        renew(&files, &authority, &settings.names, &settings.name)?;
        let revoked = certificates::revoked(&db, Time::now()).await?;
        write_crl(&files, &authority, &revoked)?;
        let (mqtt, https) = servers(&files, &authority)?;
        let known = roster(&db, &revoked).await?;
        let (roster, newest) = watch::channel(Arc::new(known));
        let trust = Trust {
            authority,
            mqtt: Arc::new(ArcSwap::from_pointee(mqtt)),
            https: Arc::new(ArcSwap::from_pointee(https)),
            roster: RosterReader { newest, refresh: Arc::new(Notify::new()) },
        };
        let keeper = Keeper {
            db,
            files,
            names: settings.names.clone(),
            collector: settings.name.clone(),
            trust: trust.clone(),
            roster,
            listed: (serials(&revoked), Time::now()),
        };
        Ok((keeper, trust))
    }

    /// Runs until `shutdown`.
    pub async fn run(mut self, pulse: Pulse, shutdown: CancellationToken) {
        let refresh = self.trust.roster.refresh.clone();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = refresh.notified() => {}
                () = tokio::time::sleep(ROUND) => {}
            }
            if let Err(e) = self.round().await {
                error!(error = chain(&e), "trust cannot be brought up to date");
            }
            pulse.beat();
            tokio::time::sleep(PAUSE).await;
        }
        pulse.finish();
    }

    async fn round(&mut self) -> Result<(), KeeperError> {
        let revoked = certificates::revoked(&self.db, Time::now()).await?;
        let known = roster(&self.db, &revoked).await?;
        // First of all: it does not depend on files.
        self.roster.send_if_modified(|present| {
            let changed = **present != known;
            if changed {
                info!(agents = known.agents.len(), revoked = known.revoked.len(), "agents changed");
                *present = Arc::new(known);
            }
            changed
        });
        let (files, authority) = (self.files.clone(), self.trust.authority.clone());
        let (names, collector) = (self.names.clone(), self.collector.clone());
        let serials = serials(&revoked);
        let outdated =
            serials != self.listed.0 || Time::now().since_ms(self.listed.1).abs() > CRL_AGE_MS;
        let exchanged = tokio::task::spawn_blocking(move || {
            let renewed = renew(&files, &authority, &names, &collector)?;
            if outdated {
                write_crl(&files, &authority, &revoked)?;
            }
            (renewed || outdated).then(|| servers(&files, &authority)).transpose()
        })
        .await??;
        if let Some((mqtt, https)) = exchanged {
            self.trust.mqtt.store(Arc::new(mqtt));
            self.trust.https.store(Arc::new(https));
        }
        if outdated {
            self.listed = (serials, Time::now());
        }
        Ok(())
    }
}

/// Makes the server's and the collector's certificate anew where needed; says whether it did.
pub fn renew(
    files: &TrustFiles,
    authority: &Authority,
    names: &[String],
    collector: &str,
) -> Result<bool, EnrolError> {
    let mut renewed = false;
    if authority::must_renew(&files.server(), authority, names) {
        let issued = authority.server(names)?;
        write_pair(&files.server(), &files.server_key(), &issued)?;
        renewed = true;
    }
    let urn = vec![format!("{}{collector}", callhome_shared::id::COLLECTOR_URN)];
    if authority::must_renew(&files.collector(), authority, &urn) {
        let issued = authority.collector(collector)?;
        write_pair(&files.collector(), &files.collector_key(), &issued)?;
        renewed = true;
    }
    Ok(renewed)
}

fn write_pair(
    chain: &std::path::Path,
    key: &std::path::Path,
    issued: &Issued,
) -> Result<(), EnrolError> {
    // The chain last: a crash between the two leaves a pair that does not fit, which the next
    // start would not notice by the chain alone; so the old chain goes first.
    let _ = std::fs::remove_file(chain);
    files::write(key, issued.key.as_bytes(), 0o600)?;
    files::write(chain, issued.chain.as_bytes(), 0o644)?;
    info!(file = %chain.display(), "certificate renewed");
    Ok(())
}

/// Writes the revocation list.
pub fn write_crl(
    files: &TrustFiles,
    authority: &Authority,
    revoked: &[certificates::Certificate],
) -> Result<(), EnrolError> {
    let entries: Vec<(String, Time)> =
        revoked.iter().map(|c| (c.serial.clone(), c.revoked_at.unwrap_or_default())).collect();
    let list = authority.revocation_list(&entries)?;
    files::write(&files.crl(), list.as_bytes(), 0o644)
}

/// TLS settings of broker and HTTPS server from the files.
fn servers(
    files: &TrustFiles,
    authority: &Authority,
) -> Result<(ServerConfig, ServerConfig), KeeperError> {
    let key = zeroize::Zeroizing::new(files::read(&files.server_key())?);
    let chain = files::read(&files.server())?;
    let identity = || Identity::from_pem(&chain, &key);
    let crl = read_crl(&files::read(&files.crl())?)?;
    let required = ClientAuth::Required(vec![authority.certificate().clone()], vec![crl]);
    let mqtt = tls::server_config(identity()?, required)?;
    let https = tls_config(identity()?, ClientAuth::None)?;
    Ok((mqtt, https))
}

/// Who may connect, by the database.
pub async fn roster(db: &Db, revoked: &[certificates::Certificate]) -> Result<Roster, StoreError> {
    let agents = agents::admitted_ids(db).await?;
    Ok(Roster {
        agents: agents.iter().filter_map(|id| AgentId::new(id).ok()).collect(),
        revoked: serials(revoked),
    })
}

fn serials(revoked: &[certificates::Certificate]) -> HashSet<String> {
    revoked.iter().map(|c| c.serial.clone()).collect()
}
