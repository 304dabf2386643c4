//! The HTTPS API, OpenAPI, live events and the console's files.
//!
//! [`server`] accepts connections, [`edge`] is around every answer, [`guard`] asks the table in
//! [`rights`] before a handler runs, [`routes`] names all of them. Handlers read the store; a
//! ticket is changed only through `flow::tickets`, which asks the state machine.

pub mod console;
pub mod error;
pub mod extract;
pub mod model;
pub mod pace;
pub mod probes;
mod record;
pub mod rights;
pub mod routes;
pub mod server;
pub mod session;

mod account;
mod alarms;
pub mod alertmanager;
mod attempts;
mod audit;
mod balance;
mod bearer;
mod bulk;
mod bundles;
mod clocks;
mod desk;
mod devices;
mod duty;
mod edge;
mod events;
pub mod explain;
mod fleet;
mod guard;
mod knowledge;
mod maintenance;
pub mod masters;
mod mine;
mod notices;
pub mod oidc;
mod params;
mod paths;
mod plans;
mod queue;
mod reports;
mod resyncs;
mod rosters;
mod tickets;
pub mod tokens;
mod trust;
mod views;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::ArcSwap;
use axum::body::Bytes;
use tokio::sync::{Semaphore, broadcast, mpsc};

use self::alertmanager::Alerts;
use self::attempts::{Attempts, TokenTries};
use self::events::Streams;
use self::oidc::Door;
use self::pace::{Paces, RequestLimits};
use self::record::{Reads, Refusals};
use crate::bundle::Bundles;
use crate::diagnosis::ending::End;
use crate::flow::Event;
use crate::flow::record::Verifier;
use crate::flow::scribe::Scribe;
use crate::health::Health;
use crate::link::Downward;
use crate::metrics::Metrics;
use crate::store::Db;

/// Log-ins that are being checked or wait for it; one more is told that the collector is busy.
const LOGINS_AT_ONCE: usize = 32;
/// Exports of the record at the same time; one more is told that the collector is busy.
const EXPORTS_AT_ONCE: usize = 2;
/// Ended sessions that a slow stream may miss before it asks the database instead.
const ENDED: usize = 64;

/// What all handlers share.
pub struct Api {
    /// The store.
    db: Db,
    /// What the flow has just committed.
    events: broadcast::Sender<Event>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    /// Failed log-ins.
    attempts: Mutex<Attempts>,
    /// Wrong tokens of programs.
    token_tries: Mutex<TokenTries>,
    /// Writes into the record of trust.
    scribe: Arc<Scribe>,
    /// Reads that are recorded.
    reads: Mutex<Reads>,
    /// Refused log-ins that are recorded.
    refusals: Mutex<Refusals>,
    /// How fast users and sources ask.
    paces: Mutex<Paces>,
    /// Bounds the log-ins at the same time.
    logins: Semaphore,
    /// Sessions that were ended by logging out, tokens that were revoked: their streams end.
    ended: broadcast::Sender<Arc<str>>,
    /// Open event streams.
    streams: Arc<Streams>,
    /// The OpenAPI document.
    document: Bytes,
    /// The collector's own certificates, as the keeper reads them.
    ends: OnceLock<Arc<ArcSwap<Vec<End>>>>,
    /// The files of bundles.
    bundles: OnceLock<Bundles>,
    /// To agents, while somebody takes what is for them.
    down: OnceLock<mpsc::WeakSender<Downward>>,
    /// Looks along the record's chain.
    verifier: Arc<Verifier>,
    /// Bounds the exports at the same time.
    exports: Arc<Semaphore>,
    /// By what Alertmanager's alerts are taken.
    alerts: OnceLock<Alerts>,
    /// Bounds its notifications at the same time.
    alert_places: Semaphore,
    /// Log-in by an OpenID provider.
    oidc: OnceLock<Door>,
}

impl Api {
    /// Puts it together.
    pub fn new(
        db: Db,
        events: broadcast::Sender<Event>,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        limits: RequestLimits,
    ) -> Arc<Self> {
        let verifier = Verifier::new(db.clone(), metrics.clone());
        let document = routes::document().to_pretty_json().unwrap_or_default();
        let scribe = Scribe::new(db.clone());
        Arc::new(Api {
            db,
            scribe,
            reads: Mutex::default(),
            refusals: Mutex::default(),
            events,
            streams: Streams::new(metrics.clone()),
            metrics,
            health,
            attempts: Mutex::default(),
            token_tries: Mutex::default(),
            paces: Mutex::new(Paces::new(limits)),
            logins: Semaphore::new(LOGINS_AT_ONCE),
            ended: broadcast::channel(ENDED).0,
            document: document.into(),
            ends: OnceLock::new(),
            bundles: OnceLock::new(),
            down: OnceLock::new(),
            verifier,
            exports: Arc::new(Semaphore::new(EXPORTS_AT_ONCE)),
            alerts: OnceLock::new(),
            alert_places: Semaphore::new(alertmanager::AT_ONCE),
            oidc: OnceLock::new(),
        })
    }

    /// From here it knows when the collector's own certificates end.
    pub fn watch_certificates(&self, ends: Arc<ArcSwap<Vec<End>>>) {
        // A second one would be the same one.
        let _ = self.ends.set(ends);
    }

    /// From here it reads bundles.
    pub fn read_bundles(&self, bundles: Bundles) {
        // A second one would be the same one.
        let _ = self.bundles.set(bundles);
    }

    /// From here it takes what Alertmanager says.
    pub fn take_alerts(&self, alerts: Alerts) {
        // A second one would be the same one.
        let _ = self.alerts.set(alerts);
    }

    /// From here people log in by an OpenID provider, too.
    pub fn let_in(&self, door: Door) {
        // A second one would be the same one.
        let _ = self.oidc.set(door);
    }

    /// From here it can tell agents at once.
    pub fn reach_agents(&self, down: mpsc::WeakSender<Downward>) {
        // A second one would be the same one.
        let _ = self.down.set(down);
    }

    /// Tells agents. What finds no room they are told after their next heartbeat.
    fn tell_agents(&self, messages: Vec<Downward>) {
        let Some(down) = self.down.get().and_then(mpsc::WeakSender::upgrade) else { return };
        for message in messages {
            if down.try_send(message).is_err() {
                tracing::info!("agents are told after their next heartbeats");
                return;
            }
        }
    }

    /// What looks along the record's chain: somebody has to [`Verifier::run`] it.
    pub fn verifier(&self) -> Arc<Verifier> {
        self.verifier.clone()
    }

    fn ends(&self) -> Arc<Vec<End>> {
        self.ends.get().map(|ends| ends.load_full()).unwrap_or_default()
    }
}
