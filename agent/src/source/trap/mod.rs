//! SNMP traps and informs, versions 1, 2c and 3.
//!
//! ```text
//! socket ─► limits of each sender ─► decode ─► security ─► device ─► db: what it means ─► batches
//!                                                                                          │
//!        answer to an inform ◄──────────────── stored in the outbox ◄──────────────────────┘
//! ```
//!
//! Traps are an ephemeral source: what comes while nobody listens is gone, and such intervals are
//! declared. An inform is confirmed: it is answered only after the transaction that holds what it said,
//! so its sender repeats it until then. What a trap means is data ([`db`]); its alarm has the identity of
//! the polled state, so that both are one fault.

pub mod db;
pub mod decode;
mod ear;
mod own;
mod probe;
pub mod security;
mod socket;
pub mod tell;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::backoff::Backoff;
use zeroize::Zeroizing;

use super::known::Known;
use super::origins::Origins;
use super::senders::Limits;
use super::snmp::names::Names;
use super::snmp::usm::Credentials;
use super::{Assignment, Gap};
use db::Db;
use ear::Ear;

pub use tell::rule;

/// First and longest wait before the sockets are opened again.
const REOPEN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What to listen to, and whom to believe.
#[derive(Clone, Debug)]
pub struct TrapSettings {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Communities whose version 1 and 2c messages are taken. None: no such messages are.
    pub communities: Vec<Community>,
    /// Users whose version 3 messages are taken.
    pub users: Vec<TrapUser>,
    /// Our engine's id; `None` = one is made at the first start and kept.
    pub engine_id: Option<Vec<u8>>,
    /// Whose an address is.
    pub origins: Origins,
    /// How much of one sender is taken.
    pub limits: Limits,
    /// Whether a trap that nobody knows is an alarm; else it is counted and shown.
    pub unknown_is_alarm: bool,
    /// When a fault ends that nothing else ends.
    pub clear_after: Duration,
    /// What traps mean.
    pub db: Arc<Db>,
    /// The folder that some of it is from.
    pub dir: Option<PathBuf>,
}

impl TrapSettings {
    /// Whether one that listens by these listens as `next` wants; whose an address is can be told to it.
    pub fn is_like(&self, next: &Self) -> bool {
        // Taken apart, so that no new field is forgotten here.
        let TrapSettings {
            listen,
            communities,
            users,
            engine_id,
            origins: _,
            limits,
            unknown_is_alarm,
            clear_after,
            db,
            dir: _,
        } = self;
        *listen == next.listen
            && *communities == next.communities
            && *users == next.users
            && *engine_id == next.engine_id
            && *limits == next.limits
            && *unknown_is_alarm == next.unknown_is_alarm
            && *clear_after == next.clear_after
            && (Arc::ptr_eq(db, &next.db) || *db == next.db)
    }
}

/// A community: a password sent in clear, so never shown.
#[derive(Clone, PartialEq)]
pub struct Community(pub Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Community {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Community(…)")
    }
}

/// A user of version 3.
#[derive(Clone, Debug, PartialEq)]
pub struct TrapUser {
    /// Name and passwords.
    pub credentials: Credentials,
    /// The engine it belongs to; `None` = any.
    pub engine: Option<Vec<u8>>,
}

/// Listens until stopped.
pub async fn run(assignment: Assignment, settings: TrapSettings, known: Known, names: Names) {
    let stop = assignment.stop.clone();
    let mut ear = Ear::new(&assignment, &settings, known, names).await;
    tokio::spawn(ear.origins.clone().resolve(stop.clone()));
    let mut backoff = Backoff::new(REOPEN.0, REOPEN.1);
    let mut deaf: Option<Gap> = None;
    loop {
        match socket::open(&settings.listen).await {
            Ok(sockets) => {
                let gap =
                    deaf.take().map(|gap| Gap { to: callhome_shared::time::Time::now(), ..gap });
                match ear.listen(sockets, gap).await {
                    ear::Ended::Stopped => return,
                    ear::Ended::Lost { why, heard_until } => {
                        assignment.health.failed(&why);
                        deaf = Some(Gap {
                            from: heard_until,
                            to: heard_until,
                            reason: "socket-lost",
                            count: None,
                        });
                    }
                }
            }
            Err(why) => assignment.health.failed(&why),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(backoff.next_delay()) => {}
        }
    }
}
