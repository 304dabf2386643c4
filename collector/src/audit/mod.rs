//! The record of everything that touches trust: what is said, and the chain that shows tampering.
//!
//! Pure. [`crate::store::audit`] keeps the rows; whoever does a deed appends its entry in the deed's
//! own transaction, so that there is no deed without its entry and no entry without its deed.

mod canonical;
mod chain;

pub use canonical::canonical;
pub use chain::{Break, Chain, GENESIS, Row, exported, hash};

use callhome_shared::time::Time;
use serde_json::Value;

/// What was done. The words are stable: programs may look for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// The collector's CA and offline root were made or taken over.
    Initialised,
    /// The running collector read its configuration.
    ConfigurationLoaded,
    /// An agent was made without a token (its certificate comes from elsewhere).
    AgentAdded,
    /// A one-time token was made.
    TokenMade,
    /// A token was shown that is unknown, used, expired or another agent's.
    TokenRefused,
    /// A token was used up and a certificate given for it.
    Enrolled,
    /// A certificate was renewed.
    Renewed,
    /// A renewal was refused.
    RenewalRefused,
    /// A certificate was used for the first time; those before it are superseded.
    CertificateUsed,
    /// A superseded certificate was used again: a copied key, or an agent set back.
    SupersededUsed,
    /// A superseded certificate was shown when its grace was over, and was not let in.
    SupersededRefused,
    /// An ended certificate was let in for renewal and alarms.
    Quarantined,
    /// An agent was revoked.
    Revoked,
    /// A new CA was announced beside the present one.
    CaAnnounced,
    /// The announced CA issues and serves from now on.
    CaSwitched,
    /// The former CA is no longer trusted.
    CaRetired,
    /// The rotation was given up before the switch.
    CaWithdrawn,
    /// A person was added.
    UserAdded,
    /// A person's password was set.
    PasswordSet,
    /// A person's role was changed.
    RoleChanged,
    /// A backup was written; it holds the CA's key.
    BackedUp,
    /// The store was restored from a backup.
    Restored,
    /// An exported outbox was read in.
    Imported,
    /// A person read a bundle's content.
    BundleRead,
    /// An agent declared a bundle for another agent's ticket or alarm.
    BundleRefused,
    /// A person set a window of maintenance: alarms are held back in it.
    MaintenanceBegun,
    /// A person ended one before its time.
    MaintenanceEnded,
    /// A token for the API was made.
    ApiTokenMade,
    /// A token for the API was ended.
    ApiTokenRevoked,
    /// A person logged in.
    LoggedIn,
    /// A person logged out.
    LoggedOut,
    /// Somebody was not let in.
    LoginRefused,
    /// A person or a program read evidence.
    EvidenceRead,
    /// A person or a program took much along at once.
    Exported,
    /// A person or a program changed something by the API.
    Changed,
    /// A customer's person was tied to a customer and its sites.
    UserBound,
    /// A person was tied to an identity at an OpenID provider.
    UserLinked,
    /// That was ended.
    UserUnlinked,
    /// A person may log in no more.
    UserDisabled,
    /// A person may log in again.
    UserEnabled,
}

impl Deed {
    /// All of them.
    pub const ALL: [Deed; 40] = [
        Deed::Initialised,
        Deed::ConfigurationLoaded,
        Deed::AgentAdded,
        Deed::TokenMade,
        Deed::TokenRefused,
        Deed::Enrolled,
        Deed::Renewed,
        Deed::RenewalRefused,
        Deed::CertificateUsed,
        Deed::SupersededUsed,
        Deed::SupersededRefused,
        Deed::Quarantined,
        Deed::Revoked,
        Deed::CaAnnounced,
        Deed::CaSwitched,
        Deed::CaRetired,
        Deed::CaWithdrawn,
        Deed::UserAdded,
        Deed::PasswordSet,
        Deed::RoleChanged,
        Deed::BackedUp,
        Deed::Restored,
        Deed::Imported,
        Deed::BundleRead,
        Deed::BundleRefused,
        Deed::MaintenanceBegun,
        Deed::MaintenanceEnded,
        Deed::ApiTokenMade,
        Deed::ApiTokenRevoked,
        Deed::LoggedIn,
        Deed::LoggedOut,
        Deed::LoginRefused,
        Deed::EvidenceRead,
        Deed::Exported,
        Deed::Changed,
        Deed::UserBound,
        Deed::UserLinked,
        Deed::UserUnlinked,
        Deed::UserDisabled,
        Deed::UserEnabled,
    ];

    /// Reads [`Deed::as_str`] back.
    pub fn parse(word: &str) -> Option<Self> {
        Deed::ALL.into_iter().find(|deed| deed.as_str() == word)
    }

    /// The word in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Deed::Initialised => "initialised",
            Deed::ConfigurationLoaded => "configuration-loaded",
            Deed::AgentAdded => "agent-added",
            Deed::TokenMade => "token-made",
            Deed::TokenRefused => "token-refused",
            Deed::Enrolled => "enrolled",
            Deed::Renewed => "renewed",
            Deed::RenewalRefused => "renewal-refused",
            Deed::CertificateUsed => "certificate-used",
            Deed::SupersededUsed => "superseded-used",
            Deed::SupersededRefused => "superseded-refused",
            Deed::Quarantined => "quarantined",
            Deed::Revoked => "revoked",
            Deed::CaAnnounced => "ca-announced",
            Deed::CaSwitched => "ca-switched",
            Deed::CaRetired => "ca-retired",
            Deed::CaWithdrawn => "ca-withdrawn",
            Deed::UserAdded => "user-added",
            Deed::PasswordSet => "password-set",
            Deed::RoleChanged => "role-changed",
            Deed::BackedUp => "backed-up",
            Deed::Restored => "restored",
            Deed::Imported => "imported",
            Deed::BundleRead => "bundle-read",
            Deed::BundleRefused => "bundle-refused",
            Deed::MaintenanceBegun => "maintenance-begun",
            Deed::MaintenanceEnded => "maintenance-ended",
            Deed::ApiTokenMade => "api-token-made",
            Deed::ApiTokenRevoked => "api-token-revoked",
            Deed::LoggedIn => "logged-in",
            Deed::LoggedOut => "logged-out",
            Deed::LoginRefused => "login-refused",
            Deed::EvidenceRead => "evidence-read",
            Deed::Exported => "exported",
            Deed::Changed => "changed",
            Deed::UserBound => "user-bound",
            Deed::UserLinked => "user-linked",
            Deed::UserUnlinked => "user-unlinked",
            Deed::UserDisabled => "user-disabled",
            Deed::UserEnabled => "user-enabled",
        }
    }
}

/// One entry that is to be appended.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub at: Time,
    /// `cli:<user>`, `user:<name>`, `agent:<id>` or `collector`.
    pub who: String,
    /// What was done.
    pub deed: Deed,
    /// What it was done to: an agent's id, a user's name, a CA's fingerprint.
    pub subject: String,
    /// More: an object of texts, whole numbers and truth values. Never a secret.
    pub detail: Value,
}

/// Longest subject and `who` that are kept, bytes; more is cut.
pub const MAX_WORD_BYTES: usize = 256;

impl Entry {
    /// Puts one together; what is too long is cut.
    pub fn new(at: Time, who: &str, deed: Deed, subject: &str, detail: Value) -> Self {
        Entry { at, who: word(who), deed, subject: word(subject), detail }
    }
}

fn word(text: &str) -> String {
    let mut word: String = text.chars().filter(|c| !c.is_control()).collect();
    callhome_shared::limits::cut(&mut word, MAX_WORD_BYTES);
    word
}

#[cfg(test)]
mod tests {
    use super::Deed;

    #[test]
    fn words_read_back_and_none_is_there_twice() {
        for deed in Deed::ALL {
            assert_eq!(Deed::parse(deed.as_str()), Some(deed));
        }
        assert_eq!(Deed::parse("none"), None);
    }
}
