//! How our trust stands: written by the upkeep, read by status, heartbeat and metrics.

use std::sync::{Mutex, MutexGuard, PoisonError};

use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};

/// A picture of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustReport {
    /// When the certificate begins.
    pub begins_at: Time,
    /// When it ends.
    pub expires_at: Time,
    /// Certificate and key are given by a PKI of the customer's: they are not renewed here.
    pub given: bool,
    /// When it is (or will be) renewed next.
    #[serde(default)]
    pub renews_at: Option<Time>,
    /// How often it was renewed since the start.
    pub renewed: u64,
    /// Attempts to renew it that failed since it was last renewed.
    pub failures: u64,
    /// Why the last of them failed.
    #[serde(default)]
    pub last_failure: Option<String>,
    /// Number of CA certificates that we trust.
    pub roots: u64,
    /// How often certificate and key were read anew since the start.
    pub exchanged: u64,
}

/// The picture's place.
#[derive(Debug)]
pub struct TrustStatus(Mutex<TrustReport>);

impl TrustStatus {
    /// Of a certificate that is valid from and to these.
    pub fn new((begins_at, expires_at): (Time, Time), given: bool) -> Self {
        TrustStatus(Mutex::new(TrustReport {
            begins_at,
            expires_at,
            given,
            renews_at: None,
            renewed: 0,
            failures: 0,
            last_failure: None,
            roots: 0,
            exchanged: 0,
        }))
    }

    /// All of it.
    pub fn report(&self) -> TrustReport {
        self.lock().clone()
    }

    /// When the certificate ends.
    pub fn expires_at(&self) -> Time {
        self.lock().expires_at
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut TrustReport)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, TrustReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
