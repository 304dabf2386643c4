//! Which alarms call home and to which case they belong. Pure.
//!
//! The same identity is the same fault: every alarm life that calls home belongs to exactly one case; an
//! identity has at most one open case. Which alarms call home, at once or after a while, is in [`rules`];
//! whether one follows from another in [`cause`], by what hangs on what ([`topology`]) and by their types
//! ([`effect`]); [`judge`] puts it together, and [`play`] plays it over a history.

use callhome_shared::alarm::Identity;
use callhome_shared::heartbeat::hex;
use sha2::{Digest, Sha256};

pub mod cause;
pub mod effect;
pub mod ending;
pub mod fleet;
pub mod judge;
pub mod own;
pub mod paths;
pub mod play;
pub mod rules;
pub mod silence;
pub mod topology;

/// The fault's identity over all agents: a hash of the agent's id and the identity's key. Tests
/// are apart, so that a test never joins the ticket of a real fault.
pub fn identity(agent: &str, identity: &Identity, test: bool) -> String {
    let mut hash = Sha256::new();
    hash.update(agent);
    hash.update("\u{1f}");
    hash.update(identity.key());
    if test {
        hash.update("\u{1f}test");
    }
    hex(&hash.finalize())
}

/// The identity of a fault that the collector itself finds with an agent: apart from everything that
/// the agent could say.
pub fn own_identity(agent: &str, kind: &str) -> String {
    let mut hash = Sha256::new();
    hash.update("collector\u{1f}");
    hash.update(kind);
    hash.update("\u{1f}");
    hash.update(agent);
    hex(&hash.finalize())
}

/// Where an alarm life belongs, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the case that it is in already.
    Stays,
    /// In the open case of its identity, as another life of the fault.
    Joins,
    /// In the open case of its identity, which stands by the word of the other side: agent and collector
    /// have both found the same fault.
    Confirms,
    /// In a new case.
    Opens,
}

impl Place {
    /// The reason, a stable word.
    pub fn reason(self) -> &'static str {
        match self {
            Place::Stays => "same-alarm",
            Place::Joins => "same-identity",
            Place::Confirms => "both-sides",
            Place::Opens => "no-open-case",
        }
    }
}

/// What is known of the open case of a fault's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenCase {
    /// Its condition stands, and only by the word of the other side (agent, collector).
    pub stands_by_other_side: bool,
}

/// Finds it: whether the life is in a case, and the open case of its identity.
pub fn place(in_a_case: bool, open: Option<OpenCase>) -> Place {
    match (in_a_case, open) {
        (true, _) => Place::Stays,
        (false, Some(open)) if open.stands_by_other_side => Place::Confirms,
        (false, Some(_)) => Place::Joins,
        (false, None) => Place::Opens,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_witness_is_no_recurrence() {
        let open = |stands_by_other_side| Some(OpenCase { stands_by_other_side });
        assert_eq!(place(true, open(true)), Place::Stays);
        assert_eq!(place(false, open(true)), Place::Confirms);
        assert_eq!(place(false, open(false)), Place::Joins);
        assert_eq!(place(false, None), Place::Opens);
    }

    #[test]
    fn identity_tells_agents_parts_and_tests_apart() {
        let psu = |resource: &str| Identity {
            device: "d".into(),
            resource: resource.into(),
            kind: "psu-failed".into(),
            qualifier: String::new(),
        };
        let all = [
            identity("a", &psu("PSU 1"), false),
            identity("a", &psu("PSU 2"), false),
            identity("b", &psu("PSU 1"), false),
            identity("a", &psu("PSU 1"), true),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(all[0], identity("a", &psu("PSU 1"), false));
    }
}
