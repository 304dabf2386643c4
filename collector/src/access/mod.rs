//! What programs may do with the API: scopes, and the text of a token. Pure.

pub mod oidc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callhome_shared::heartbeat::hex;
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

/// What a token opens. The table of rights says which route needs which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Alarms are brought in.
    AlarmsWrite,
    /// Alarms are read.
    AlarmsRead,
    /// Tickets with everything that is shown beside them.
    TicketsRead,
    /// Tickets are recorded, changed, moved, commented.
    TicketsWrite,
    /// Customers, sites, contacts, contracts, the installed base are read.
    MastersRead,
    /// They are changed and imported.
    MastersWrite,
    /// Agents and devices.
    FleetRead,
    /// Windows of maintenance are read.
    MaintenanceRead,
    /// They are set and ended.
    MaintenanceWrite,
    /// Articles are read.
    KnowledgeRead,
    /// They are written.
    KnowledgeWrite,
    /// Service plans and calendars are read.
    ServiceRead,
    /// They are changed.
    ServiceWrite,
    /// Who is on duty.
    DutyRead,
    /// Rosters, people and absences are changed.
    DutyWrite,
    /// Who was told what.
    NoticesRead,
    /// The content of evidence bundles.
    EvidenceRead,
    /// The record of everything that touches trust.
    AuditRead,
    /// Live events.
    EventsRead,
}

impl Scope {
    /// All of them.
    pub const ALL: [Scope; 19] = [
        Scope::AlarmsWrite,
        Scope::AlarmsRead,
        Scope::TicketsRead,
        Scope::TicketsWrite,
        Scope::MastersRead,
        Scope::MastersWrite,
        Scope::FleetRead,
        Scope::MaintenanceRead,
        Scope::MaintenanceWrite,
        Scope::KnowledgeRead,
        Scope::KnowledgeWrite,
        Scope::ServiceRead,
        Scope::ServiceWrite,
        Scope::DutyRead,
        Scope::DutyWrite,
        Scope::NoticesRead,
        Scope::EvidenceRead,
        Scope::AuditRead,
        Scope::EventsRead,
    ];

    /// The word in the database, on the command line and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::AlarmsWrite => "alarms:write",
            Scope::AlarmsRead => "alarms:read",
            Scope::TicketsRead => "tickets:read",
            Scope::TicketsWrite => "tickets:write",
            Scope::MastersRead => "masters:read",
            Scope::MastersWrite => "masters:write",
            Scope::FleetRead => "fleet:read",
            Scope::MaintenanceRead => "maintenance:read",
            Scope::MaintenanceWrite => "maintenance:write",
            Scope::KnowledgeRead => "knowledge:read",
            Scope::KnowledgeWrite => "knowledge:write",
            Scope::ServiceRead => "service:read",
            Scope::ServiceWrite => "service:write",
            Scope::DutyRead => "duty:read",
            Scope::DutyWrite => "duty:write",
            Scope::NoticesRead => "notices:read",
            Scope::EvidenceRead => "evidence:read",
            Scope::AuditRead => "audit:read",
            Scope::EventsRead => "events:read",
        }
    }

    /// Reads [`Scope::as_str`] back.
    pub fn parse(word: &str) -> Option<Self> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == word)
    }

    /// Whether a token with this scope may be limited to sites.
    pub fn knows_sites(self) -> bool {
        self == Scope::AlarmsWrite
    }
}

/// What every token begins with: searches for secrets that leaked find it.
const PREFIX: &str = "cht_";
/// A secret's 256 bits as base64url.
const SECRET_CHARS: usize = 43;

/// What a program shows.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// Which token it says it is.
    pub id: Uuid,
    secret: &'a str,
}

impl<'a> Shown<'a> {
    /// Reads `cht_<id>_<secret>`; `None` for anything else.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        if id.len() != 32 || secret.len() != SECRET_CHARS || !secret.bytes().all(fits) {
            return None;
        }
        Some(Shown { id: Uuid::try_parse(id).ok()?, secret })
    }

    /// What the database would keep of its secret.
    pub fn hash(&self) -> String {
        hash(self.secret)
    }
}

/// The text of a token, which is shown once, and the hash of its secret.
pub fn text(id: Uuid, secret: &[u8; 32]) -> (Zeroizing<String>, String) {
    let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret));
    let hash = hash(&secret);
    (Zeroizing::new(format!("{PREFIX}{}_{}", id.simple(), *secret)), hash)
}

/// A secret has 256 random bits: a plain hash cannot be searched.
fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_read_back() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
        }
        let words: std::collections::BTreeSet<_> = Scope::ALL.map(Scope::as_str).into();
        assert_eq!(words.len(), Scope::ALL.len());
        assert_eq!(Scope::parse("tickets"), None);
    }

    proptest! {
        #[test]
        fn prop_a_token_reads_back_and_no_text_panics(id: u128, secret: [u8; 32], other in ".{0,90}") {
            let (text, hash) = text(Uuid::from_u128(id), &secret);
            let shown = Shown::parse(&text).unwrap();
            prop_assert_eq!(shown.id, Uuid::from_u128(id));
            prop_assert_eq!(shown.hash(), hash);
            prop_assert!(Shown::parse(&text[..text.len() - 1]).is_none());
            let _ = Shown::parse(&other);
            let _ = Shown::parse(&format!("cht_{other}"));
        }
    }
}
