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
    /// Of those that a newer one has taken the place of, too long ago to be let in.
    pub superseded: HashSet<String>,
}

impl Roster {
    /// Whether `agent` may connect with the certificate `serial`.
    pub fn admits(&self, agent: &AgentId, serial: &str) -> bool {
        self.agents.contains(agent) && !self.revoked.contains(serial) && !self.is_superseded(serial)
    }

    fn is_superseded(&self, serial: &str) -> bool {
        self.superseded.contains(serial)
    }
}

/// The broker's side of the roster.
#[derive(Clone, Debug)]
pub struct RosterReader {
    /// The newest roster.
    pub newest: watch::Receiver<Arc<Roster>>,
    /// Asks for a new one.
    pub refresh: Arc<Notify>,
    /// Serial numbers of certificates that were let in, or not because they are superseded. What finds it full is told at the next
    /// connection.
    pub used: mpsc::Sender<String>,
}

impl RosterReader {
    /// Whether it may connect; asks once for a newer roster before it says no.
    pub(crate) async fn admits(&self, agent: &AgentId, serial: &str) -> bool {
        let admitted = self.knows(agent, serial).await;
        // The use of one that is superseded is to be recorded, too.
        if admitted || self.newest.borrow().is_superseded(serial) {
            let _ = self.used.try_send(serial.to_owned());
        }
        admitted
    }

    async fn knows(&self, agent: &AgentId, serial: &str) -> bool {
        let mut newest = self.newest.clone();
        if newest.borrow_and_update().admits(agent, serial) {
            return true;
        }
        let out = |roster: &Roster| roster.revoked.contains(serial) || roster.is_superseded(serial);
        if out(&newest.borrow()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_let_in_and_whose_use_is_told() {
        let agent = AgentId::new("a").unwrap();
        let roster = Roster {
            agents: HashSet::from([agent.clone()]),
            revoked: HashSet::from(["bad".to_owned()]),
            superseded: HashSet::from(["old".to_owned()]),
        };
        let (newest, read) = watch::channel(Arc::new(roster));
        let (uses, mut used) = mpsc::channel(8);
        let reader = RosterReader { newest: read, refresh: Arc::new(Notify::new()), used: uses };
        assert!(reader.admits(&agent, "new").await);
        assert!(!reader.admits(&agent, "old").await);
        assert!(!reader.admits(&agent, "bad").await);
        assert_eq!(
            (used.recv().await.as_deref(), used.recv().await.as_deref()),
            (Some("new"), Some("old"))
        );
        assert!(used.try_recv().is_err(), "the revoked one is nobody's use");
        // An open connection ends when its certificate is superseded long enough.
        let mut later = Roster::clone(&newest.borrow());
        later.superseded.insert("new".to_owned());
        newest.send_replace(Arc::new(later));
        reader.expelled(&agent, "new").await;
    }
}
