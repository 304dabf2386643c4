//! Keeps trust up to date while the collector runs: renews our own certificates, writes the
//! revocation list, exchanges the servers' TLS settings, tells the broker who may connect, notes
//! which certificates are used, and switches to the next CA when every agent knows it.
//!
//! The truth is in the database and in the files of the data directory, which other processes change
//! too (`agent revoke`, `ca rotate`, a PKI of yours): so they are read on a timer as well as on a
//! nudge, and a round that finds nothing new changes nothing. Connections that are open stay open
//! when settings are exchanged.

mod desk;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use callhome_shared::id::AgentId;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use callhome_shared::tls;
use rustls::ServerConfig;
use serde_json::json;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::desk::Desk;
pub use self::desk::{renew, write_crl};
use super::cas::Cas;
use super::files::TrustFiles;
use super::rotation::{self, RotationError};
use super::{EnrolError, chain};
use crate::audit::{Deed, Entry};
use crate::broker::{Roster, RosterReader};
use crate::diagnosis::ending::End;
use crate::health::Pulse;
use crate::settings::Settings;
use crate::store::{Db, StoreError, agents, audit, certificates};

/// Between two rounds: a revocation by another process takes effect within this.
const ROUND: Duration = Duration::from_secs(20);
/// Nudges closer together than this share a round.
const PAUSE: Duration = Duration::from_millis(200);
/// The revocation list is written anew at least this often.
const CRL_AGE_MS: i64 = 24 * 3_600_000;
/// Uses of certificates that wait to be noted.
const USES: usize = 1024;
/// Certificates that are remembered as noted; then all are looked up again.
const NOTED: usize = 100_000;
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
    /// The exchange of the CA.
    #[error("CA rotation")]
    Rotation(#[from] RotationError),
    /// A task of the program ended.
    #[error("a task ended: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// What the servers read.
#[derive(Clone)]
pub struct Trust {
    /// The CAs.
    pub cas: Arc<ArcSwap<Cas>>,
    /// The embedded broker's TLS settings.
    pub mqtt: Arc<ArcSwap<ServerConfig>>,
    /// The HTTPS server's.
    pub https: Arc<ArcSwap<ServerConfig>>,
    /// What ends when, of our own.
    pub ends: Arc<ArcSwap<Vec<End>>>,
    /// Who may connect.
    pub roster: RosterReader,
}

/// The task's side.
pub struct Keeper {
    db: Db,
    desk: Desk,
    trust: Trust,
    roster: watch::Sender<Arc<Roster>>,
    used: mpsc::Receiver<String>,
    /// Certificates whose use is noted.
    noted: HashSet<String>,
    /// Superseded ones whose refusal is noted.
    refused: HashSet<String>,
    /// The revoked certificates in the list that was written last, and when that was.
    listed: (HashSet<String>, Time),
    /// Urgent ends that were told.
    told: Vec<(End, Severity)>,
    /// Digest of the files that are in force.
    seen: Vec<u8>,
    /// Serial numbers that the given revocation list names.
    withdrawn: HashSet<String>,
}

impl Keeper {
    /// The first round: reads the CAs, makes what is missing, and has the servers' settings ready.
    pub async fn start(db: Db, settings: &Settings) -> Result<(Keeper, Trust), KeeperError> {
        let desk = Desk {
            files: TrustFiles::new(&settings.data_dir),
            names: settings.names.clone(),
            collector: settings.name.clone(),
            lives: settings.certificates.lives,
            given: settings.certificates.server.clone(),
            crl_file: settings.certificates.crl_file.clone(),
            superseded_grace: settings.certificates.superseded_grace,
        };
        let revoked = certificates::revoked(&db, Time::now()).await?;
        let made = desk.make(Some(&revoked))?;
        let mut known = roster(&db, &revoked, desk.superseded_grace).await?;
        known.revoked.extend(made.withdrawn.iter().cloned());
        let (roster, newest) = watch::channel(Arc::new(known));
        let (uses, used) = mpsc::channel(USES);
        let refresh = Arc::new(Notify::new());
        let trust = Trust {
            cas: Arc::new(ArcSwap::from_pointee(made.cas)),
            mqtt: Arc::new(ArcSwap::from_pointee(made.mqtt)),
            https: Arc::new(ArcSwap::from_pointee(made.https)),
            ends: Arc::new(ArcSwap::from_pointee(made.ends)),
            roster: RosterReader { newest, refresh, used: uses },
        };
        let keeper = Keeper {
            db,
            desk,
            trust: trust.clone(),
            roster,
            used,
            noted: HashSet::new(),
            refused: HashSet::new(),
            listed: (serials(&revoked), Time::now()),
            told: Vec::new(),
            seen: made.seen,
            withdrawn: made.withdrawn,
        };
        Ok((keeper, trust))
    }

    /// Runs until `shutdown`.
    pub async fn run(mut self, pulse: Pulse, shutdown: CancellationToken) {
        let refresh = self.trust.roster.refresh.clone();
        let mut next = tokio::time::Instant::now() + ROUND;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(serial) = self.used.recv() => {
                    if let Err(e) = self.note_use(serial).await {
                        error!(error = chain(&e), "the use of a certificate cannot be noted");
                    }
                    continue;
                }
                () = refresh.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            if let Err(e) = self.round().await {
                error!(error = chain(&e), "trust cannot be brought up to date");
            }
            next = tokio::time::Instant::now() + ROUND;
            pulse.beat();
            tokio::time::sleep(PAUSE).await;
        }
        pulse.finish();
    }

    /// The first use of a certificate supersedes those before it. A superseded one that is used again
    /// is let in (an agent may have been set back), and told: its key may have been copied.
    async fn note_use(&mut self, serial: String) -> Result<(), StoreError> {
        if self.roster.borrow().superseded.contains(&serial) {
            return self.note_refusal(serial).await;
        }
        if self.noted.contains(&serial) {
            return Ok(());
        }
        if self.noted.len() >= NOTED {
            self.noted.clear();
        }
        let now = Time::now();
        let mut tx = self.db.begin().await?;
        let superseded = certificates::note_first_use(&mut tx, &serial, now).await?;
        let known = certificates::find(&mut tx, &serial).await?;
        if let Some(known) = known {
            let who = format!("agent:{}", known.agent_id);
            let entry = |deed, detail| Entry::new(now, &who, deed, &known.agent_id, detail);
            match superseded {
                Some(superseded) => {
                    let detail = json!({ "serial": serial, "superseded": superseded });
                    audit::append(&mut tx, &entry(Deed::CertificateUsed, detail)).await?;
                    for old in superseded {
                        self.noted.remove(&old);
                    }
                }
                None if known.superseded_at.is_some() => {
                    let detail = json!({ "serial": serial });
                    audit::append(&mut tx, &entry(Deed::SupersededUsed, detail)).await?;
                    warn!(
                        agent.id = known.agent_id,
                        certificate.serial = serial,
                        "a superseded certificate is used again: the agent was set back, or its key was copied"
                    );
                }
                None => {}
            }
        }
        tx.commit().await?;
        self.noted.insert(serial);
        Ok(())
    }

    /// A superseded certificate was shown when its grace was over: recorded once while we run.
    async fn note_refusal(&mut self, serial: String) -> Result<(), StoreError> {
        if self.refused.contains(&serial) || self.refused.len() >= NOTED {
            return Ok(());
        }
        let now = Time::now();
        let mut tx = self.db.begin().await?;
        if let Some(known) = certificates::find(&mut tx, &serial).await? {
            let since = known.superseded_at.map(|at| at.to_string());
            let detail = json!({ "serial": serial, "superseded_at": since });
            let who = format!("agent:{}", known.agent_id);
            let deed = Deed::SupersededRefused;
            audit::append(&mut tx, &Entry::new(now, &who, deed, &known.agent_id, detail)).await?;
            warn!(
                agent.id = known.agent_id,
                certificate.serial = serial,
                "a superseded certificate was refused: the agent was set back, or its key was copied"
            );
        }
        tx.commit().await?;
        self.refused.insert(serial);
        Ok(())
    }

    async fn round(&mut self) -> Result<(), KeeperError> {
        let revoked = certificates::revoked(&self.db, Time::now()).await?;
        let known = roster(&self.db, &revoked, self.desk.superseded_grace).await?;
        // First of all: it does not depend on files.
        self.publish(known.clone());
        self.switch_when_known().await?;
        let serials = serials(&revoked);
        let outdated =
            serials != self.listed.0 || Time::now().since_ms(self.listed.1).abs() > CRL_AGE_MS;
        let (desk, seen) = (self.desk.clone(), self.seen.clone());
        let made = tokio::task::spawn_blocking(move || {
            if !outdated && desk.is_as_seen(&seen) && !desk.must_renew()? {
                return Ok::<_, KeeperError>(None);
            }
            desk.make(outdated.then_some(&revoked)).map(Some)
        })
        .await??;
        if let Some(made) = made {
            self.trust.cas.store(Arc::new(made.cas));
            self.trust.mqtt.store(Arc::new(made.mqtt));
            self.trust.https.store(Arc::new(made.https));
            self.trust.ends.store(Arc::new(made.ends));
            self.seen = made.seen;
            self.withdrawn = made.withdrawn;
            // Who is named by a given list is cut off like who was revoked here.
            self.publish(known);
            info!("certificates, CAs and revocation lists were read anew");
        }
        if outdated {
            self.listed = (serials, Time::now());
        }
        self.tell_ends();
        Ok(())
    }

    fn publish(&self, mut known: Roster) {
        known.revoked.extend(self.withdrawn.iter().cloned());
        self.roster.send_if_modified(|present| {
            let changed = **present != known;
            if changed {
                info!(agents = known.agents.len(), revoked = known.revoked.len(), "agents changed");
                *present = Arc::new(known);
            }
            changed
        });
    }

    /// Says when one of our own certificates comes near its end: each time it gets worse.
    fn tell_ends(&mut self) {
        let now = Time::now();
        let ends = self.trust.ends.load_full();
        let urgent: Vec<(End, Severity)> =
            ends.iter().filter_map(|end| Some((end.clone(), end.severity(now)?))).collect();
        for (end, severity) in urgent.iter().filter(|end| !self.told.contains(end)) {
            error!(
                certificate = end.what,
                name = end.name,
                ends = %end.to,
                severity = severity.as_str(),
                "a certificate of the collector ends soon or has ended"
            );
        }
        self.told = urgent;
    }

    /// The announced CA comes into use when every agent with a certificate has said that it trusts it.
    async fn switch_when_known(&mut self) -> Result<(), KeeperError> {
        let cas = self.trust.cas.load_full();
        if cas.next.is_none() {
            return Ok(());
        }
        let unaware = agents::not_knowing(&self.db, &cas.digest(), Time::now()).await?;
        if unaware.is_empty() {
            rotation::switch(&self.db, &self.desk.files, "collector", &[]).await?;
        } else {
            info!(agents = unaware.len(), first = unaware[0], "agents do not know the next CA yet");
        }
        Ok(())
    }
}

/// Who may connect, by the database.
pub async fn roster(
    db: &Db,
    revoked: &[certificates::Certificate],
    superseded_grace: Duration,
) -> Result<Roster, StoreError> {
    let now = Time::now();
    let grace_ms = i64::try_from(superseded_grace.as_millis()).unwrap_or(i64::MAX);
    let limit = Time(now.millis().saturating_sub(grace_ms));
    let superseded = certificates::outlived(db, limit, now).await?;
    let agents = agents::admitted_ids(db).await?;
    Ok(Roster {
        agents: agents.iter().filter_map(|id| AgentId::new(id).ok()).collect(),
        revoked: serials(revoked),
        superseded: superseded.into_iter().collect(),
    })
}

fn serials(revoked: &[certificates::Certificate]) -> HashSet<String> {
    revoked.iter().map(|c| c.serial.clone()).collect()
}
