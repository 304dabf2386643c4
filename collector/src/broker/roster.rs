//! Who is let in: what the store says, held in memory so that no connection waits for it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::id::AgentId;
use tokio::sync::{Notify, mpsc, watch};

/// How long a new connection waits for a roster that knows its agent: it may have been enrolled a
/// moment ago.
const PATIENCE: Duration = Duration::from_secs(2);

/// The agents that may connect and the certificates that may not be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Agents that exist and are not revoked.
    pub agents: HashSet<AgentId>,
    /// Serial numbers (lower-case hex) of revoked certificates.
    pub revoked: HashSet<String>,
}

impl Roster {
    /// Whether `agent` may connect with the certificate `serial`.
    pub fn admits(&self, agent: &AgentId, serial: &str) -> bool {
        self.agents.contains(agent) && !self.revoked.contains(serial)
    }
}

/// The broker's side of the roster.
#[derive(Clone, Debug)]
pub struct RosterReader {
    /// The newest roster.
    pub newest: watch::Receiver<Arc<Roster>>,
    /// Asks for a new one.
    pub refresh: Arc<Notify>,
    /// Serial numbers of certificates that were let in. What finds it full is told at the next
    /// connection.
    pub used: mpsc::Sender<String>,
}

impl RosterReader {
    /// Whether it may connect; asks once for a newer roster before it says no.
    pub(crate) async fn admits(&self, agent: &AgentId, serial: &str) -> bool {
        let admitted = self.knows(agent, serial).await;
        if admitted {
            let _ = self.used.try_send(serial.to_owned());
        }
        admitted
    }

    async fn knows(&self, agent: &AgentId, serial: &str) -> bool {
        let mut newest = self.newest.clone();
        if newest.borrow_and_update().admits(agent, serial) {
            return true;
        }
        if newest.borrow().revoked.contains(serial) {
            return false;
        }
        self.refresh.notify_one();
        let known = newest.wait_for(|roster| roster.admits(agent, serial));
        matches!(tokio::time::timeout(PATIENCE, known).await, Ok(Ok(_)))
    }

    /// Waits until it may no longer be connected.
    pub(super) async fn expelled(&self, agent: &AgentId, serial: &str) {
        let mut newest = self.newest.clone();
        let gone = newest.wait_for(|roster| !roster.admits(agent, serial)).await.is_ok();
        if !gone {
            // Nobody writes the roster any more: the program is ending, which is told otherwise.
            std::future::pending::<()>().await;
        }
    }
}
