//! Keeps our certificate and the CAs we trust up to date while the agent runs.
//!
//! - The files are looked at every two seconds. Another pair in them, whoever wrote it, is used from the
//!   next connection on, and the link is told to make one.
//! - What we enrolled for is renewed at two thirds of its life with itself (EST `simplereenroll`), also
//!   when it has ended already; a failure is tried again for ever.
//! - The CAs are asked for regularly (EST `cacerts`): a new one is learned while an old one still vouches
//!   for it. What was told is stored only after the collector was seen to be trusted with it alone.

use std::sync::Arc;
use std::time::Duration;

use callhome_shared::alarm::Device;
use callhome_shared::backoff::Backoff;
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::tls::{self, Identity, Peer};
use rustls_pki_types::CertificateDer;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::ending::{self, Limits, State};
use super::est::{self, Server, Way};
use super::key::AgentKey;
use super::pair::{self, Files};
use super::trust::TrustStatus;
use super::{EnrolError, identity};
use crate::link::Exit;
use crate::link::dial::meter::Meters;
use crate::settings::Road;
use crate::source::Batch;

/// Between two looks at files and clock.
const LOOK: Duration = Duration::from_secs(2);
/// Shortest and longest time between two questions for the CAs; a twelfth of the certificate's life
/// between them.
const ROOTS_MS: (i64, i64) = (3_000, 86_400_000);
/// Most CA certificates that are taken.
const MAX_ROOTS: usize = 16;

/// What it works with.
pub struct Upkeep {
    /// Us.
    pub agent: AgentId,
    /// The files.
    pub files: Files,
    /// The way to the collector's HTTPS address; `None` where the files are given and nothing is renewed
    /// here.
    pub collector: Option<Arc<Road>>,
    /// Counts the bytes.
    pub meters: Meters,
    /// When its end is an alarm.
    pub limits: Limits,
    /// The device that the alarm is about.
    pub host: Arc<Device>,
    /// What others see.
    pub status: Arc<TrustStatus>,
    /// Counted up when another pair is there.
    pub exchanged: watch::Sender<u64>,
    /// To the line.
    pub batches: mpsc::Sender<Batch>,
    /// Notes what leaves.
    pub exit: Exit,
}

/// The files as they were seen last.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    certificate: Vec<u8>,
    key: zeroize::Zeroizing<Vec<u8>>,
    ca: Vec<u8>,
}

/// The task's memory.
struct Round {
    seen: Option<Seen>,
    leaf: Option<CertificateDer<'static>>,
    renew_at: Time,
    retry: Backoff,
    roots_at: Time,
    roots_retry: Backoff,
    said: Option<State>,
}

impl Upkeep {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let now = Time::now();
        let (retry, roots_retry) = (self.backoff(), self.backoff());
        let mut round = Round {
            seen: None,
            leaf: None,
            renew_at: now,
            retry,
            roots_at: now,
            roots_retry,
            said: None,
        };
        loop {
            self.look(&mut round);
            let now = Time::now();
            if let Some(collector) = &self.collector {
                if now.since_ms(round.renew_at) >= 0 {
                    let tried = stop.run_until_cancelled(self.renew(collector)).await;
                    let Some(tried) = tried else { return };
                    self.renewed(tried, &mut round);
                    // What was written is in force at once.
                    self.look(&mut round);
                }
                if now.since_ms(round.roots_at) >= 0 {
                    let asked = stop.run_until_cancelled(self.learn_roots(collector)).await;
                    let Some(asked) = asked else { return };
                    self.learned(asked, &mut round);
                }
            }
            self.say_how_near_the_end(&mut round).await;
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn life_ms(&self) -> i64 {
        let report = self.status.report();
        report.expires_at.since_ms(report.begins_at).max(1)
    }

    /// From a hundredth of the life to a twentieth, at most a minute and an hour.
    fn backoff(&self) -> Backoff {
        let part = |of: i64, least: i64, most: i64| {
            let ms = (self.life_ms() / of).clamp(least, most);
            Duration::from_millis(u64::try_from(ms).unwrap_or(1000))
        };
        Backoff::new(part(100, 500, 60_000), part(20, 1_000, 3_600_000))
    }

    /// Looks at the files; another pair that fits is in force from now on.
    fn look(&self, round: &mut Round) {
        let read = |path: &std::path::Path| std::fs::read(path).unwrap_or_default();
        let seen = Seen {
            certificate: read(&self.files.certificate),
            key: read(&self.files.key).into(),
            ca: read(&self.files.ca),
        };
        if round.seen.as_ref() == Some(&seen) {
            return;
        }
        let first = round.seen.is_none();
        match self.check(&seen) {
            Ok((leaf, validity, roots)) => {
                self.status.change(|report| {
                    (report.begins_at, report.expires_at) = validity;
                    report.roots = roots;
                });
                if round.leaf.as_ref() != Some(&leaf) {
                    round.renew_at = self.renewal(validity);
                    let renews_at = self.collector.is_some().then_some(round.renew_at);
                    self.status.change(|report| report.renews_at = renews_at);
                    round.retry = self.backoff();
                    if Time::now() > validity.1 {
                        tracing::error!(
                            since = %validity.1,
                            "our certificate has ended: in quarantine until it is renewed"
                        );
                    }
                    if !first {
                        tracing::info!(until = %validity.1, "another certificate is in force");
                        self.status.change(|report| report.exchanged += 1);
                        self.exchanged.send_modify(|n| *n += 1);
                    }
                    round.leaf = Some(leaf);
                }
            }
            // Somebody is writing them, perhaps: what is in force stays so until they fit.
            Err(why) => tracing::warn!(why, "certificate files do not fit; the former are kept"),
        }
        round.seen = Some(seen);
    }

    /// Whether the files are a pair of ours; the leaf, its validity, and the number of CAs.
    fn check(&self, seen: &Seen) -> Result<(CertificateDer<'static>, (Time, Time), u64), String> {
        let identity =
            Identity::from_pem(&seen.certificate, &seen.key).map_err(|e| e.to_string())?;
        if !identity.is_pair() {
            return Err("the key is not the certificate's".into());
        }
        let roots = tls::read_certificates(&seen.ca).map_err(|e| e.to_string())?;
        let leaf = identity.chain.into_iter().next().ok_or("no certificate")?;
        match tls::peer(&leaf).map_err(|e| e.to_string())? {
            Peer::Agent(agent) if agent == self.agent => {}
            other => return Err(format!("it is for {other:?}; a restart is needed for that")),
        }
        let validity = tls::validity(&leaf).map_err(|e| e.to_string())?;
        Ok((leaf, validity, u64::try_from(roots.len()).unwrap_or(u64::MAX)))
    }

    /// Two thirds of the life, and a little later at random, so that a fleet does not come at once.
    fn renewal(&self, (from, to): (Time, Time)) -> Time {
        let life = to.since_ms(from).max(0);
        let jitter = rand::random_range(0..=life / 30);
        from.plus_ms(life / 3 * 2 + jitter)
    }

    fn server(&self, collector: &Arc<Road>) -> Result<(Server<'_>, Identity), EnrolError> {
        let read = |path: &std::path::Path| {
            std::fs::read(path).map_err(|source| EnrolError::File { path: path.to_owned(), source })
        };
        let wrong = |e: tls::TlsError| EnrolError::Certificate(e.to_string());
        let chain = read(&self.files.certificate)?;
        let key = zeroize::Zeroizing::new(read(&self.files.key)?);
        let identity = Identity::from_pem(&chain, &key).map_err(wrong)?;
        let roots = tls::read_certificates(&read(&self.files.ca)?).map_err(wrong)?;
        let shown = Identity { chain: identity.chain.clone(), key: identity.key.clone_key() };
        let (agent, road) = (&self.agent, collector.clone());
        let way = Way { agent, road, meters: &self.meters, exit: &self.exit };
        Ok((Server { way, roots, identity: shown }, identity))
    }

    async fn renew(&self, collector: &Arc<Road>) -> Result<Time, EnrolError> {
        let (server, present) = self.server(collector)?;
        let key = AgentKey::generate()?;
        let request = est::body(&key.request(&self.agent)?);
        let issued = est::simple_reenroll(&server, &request).await?;
        let chain = identity::check_issued(issued, &key, &self.agent, &server.roots)?;
        pair::exchange(&self.files, &present, &key, &chain)?;
        identity::not_after(&chain)
    }

    fn renewed(&self, tried: Result<Time, EnrolError>, round: &mut Round) {
        match tried {
            Ok(until) => {
                tracing::info!(%until, "certificate renewed");
                self.status.change(|report| {
                    report.renewed += 1;
                    (report.failures, report.last_failure) = (0, None);
                });
            }
            Err(error) => {
                let delay = round.retry.next_delay();
                let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
                round.renew_at = Time::now().plus_ms(delay_ms);
                let (text, at) = (error.to_string(), round.renew_at);
                tracing::warn!(why = text, next = %at, "certificate not renewed");
                self.status.change(|report| {
                    report.failures += 1;
                    report.last_failure = Some(text);
                    report.renews_at = Some(at);
                });
            }
        }
    }

    /// Whether other CA certificates were taken.
    async fn learn_roots(&self, collector: &Arc<Road>) -> Result<bool, EnrolError> {
        let (server, identity) = self.server(collector)?;
        let present = tls::roots_digest(&server.roots);
        let told = told(est::trusted_ca_certificates(&server, &present).await?)?;
        let digest = tls::roots_digest(&told);
        if digest == present {
            return Ok(false);
        }
        // Stored only if the collector can be trusted with these alone.
        let server = Server { roots: told.clone(), identity, ..server };
        let again = self::told(est::trusted_ca_certificates(&server, &present).await?)?;
        if tls::roots_digest(&again) != digest {
            return Err(EnrolError::Answer(
                "the CA certificates changed between two answers".into(),
            ));
        }
        pair::exchange_roots(&self.files, &told)?;
        Ok(true)
    }

    fn learned(&self, asked: Result<bool, EnrolError>, round: &mut Round) {
        let in_ms = match asked {
            Ok(true) => {
                tracing::info!("other CA certificates were taken from the collector");
                round.roots_retry = self.backoff();
                // At once again: the collector waits to be told.
                0
            }
            Ok(false) => {
                round.roots_retry.reset();
                (self.life_ms() / 12).clamp(ROOTS_MS.0, ROOTS_MS.1)
            }
            Err(error) => {
                tracing::debug!(why = error.to_string(), "the CA certificates cannot be asked for");
                i64::try_from(round.roots_retry.next_delay().as_millis()).unwrap_or(ROOTS_MS.1)
            }
        };
        round.roots_at = Time::now().plus_ms(in_ms);
    }

    async fn say_how_near_the_end(&self, round: &mut Round) {
        let (report, now) = (self.status.report(), Time::now());
        let state = ending::state((report.begins_at, report.expires_at), now, self.limits);
        if round.said == Some(state) {
            return;
        }
        let why = match (&report.last_failure, report.given) {
            (Some(why), _) => format!("renewal fails: {why}"),
            (None, true) => "its files are given and were not exchanged yet".to_owned(),
            (None, false) => "it is being renewed".to_owned(),
        };
        match state {
            State::Good => {}
            State::Ended => tracing::error!(
                since = %report.expires_at,
                why,
                "our certificate has ended: only renewal and alarms are taken"
            ),
            _ => tracing::warn!(until = %report.expires_at, why, "our certificate ends soon"),
        }
        let batch = ending::batch(&self.host, state, report.expires_at, &why, now);
        if self.batches.send(batch).await.is_ok() {
            round.said = Some(state);
        }
    }
}

/// What of an answer can be trusted: CA certificates, each once.
fn told(answer: Vec<CertificateDer<'static>>) -> Result<Vec<CertificateDer<'static>>, EnrolError> {
    let mut roots: Vec<CertificateDer<'static>> = Vec::new();
    for certificate in answer {
        if tls::is_ca(&certificate).unwrap_or(false) && !roots.contains(&certificate) {
            roots.push(certificate);
        }
    }
    match roots.len() {
        1..=MAX_ROOTS => Ok(roots),
        n => Err(EnrolError::Answer(format!("{n} CA certificates, expected 1 to {MAX_ROOTS}"))),
    }
}
