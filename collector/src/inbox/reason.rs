//! Why something is refused.

use callhome_shared::limits::cut;

/// Longest explanation, bytes: it travels back to the agent.
const MAX_TEXT: usize = 300;

/// The stable words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A type that this version does not know.
    UnknownType,
    /// The attributes are not those of an envelope.
    BadEnvelope,
    /// The payload is not what its type promises.
    BadPayload,
    /// The payload is over the limit.
    TooLarge,
    /// It names another agent as its source than the one that sent it.
    SourceMismatch,
    /// It came in a lane where its type does not belong.
    WrongLane,
    /// Another envelope was committed under this number: a copied or rolled-back agent.
    DuplicateSeq,
    /// The alarm's id is another agent's or another fault's.
    AlarmMismatch,
    /// The alarm has as much evidence as is kept of one.
    EvidenceFull,
    /// It says that a bundle has arrived, and there is none of that id of this agent here.
    UnknownBundle,
    /// The database does not take this very content.
    NotStorable,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 11] = [
        Reason::UnknownType,
        Reason::BadEnvelope,
        Reason::BadPayload,
        Reason::TooLarge,
        Reason::SourceMismatch,
        Reason::WrongLane,
        Reason::DuplicateSeq,
        Reason::AlarmMismatch,
        Reason::EvidenceFull,
        Reason::UnknownBundle,
        Reason::NotStorable,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::UnknownType => "unknown-type",
            Reason::BadEnvelope => "bad-envelope",
            Reason::BadPayload => "bad-payload",
            Reason::TooLarge => "too-large",
            Reason::SourceMismatch => "source-mismatch",
            Reason::WrongLane => "wrong-lane",
            Reason::DuplicateSeq => "duplicate-seq",
            Reason::AlarmMismatch => "alarm-mismatch",
            Reason::EvidenceFull => "evidence-full",
            Reason::UnknownBundle => "unknown-bundle",
            Reason::NotStorable => "not-storable",
        }
    }
}

/// A reasoned refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The stable word.
    pub reason: Reason,
    /// What was wrong, for a person.
    pub text: String,
}

impl Rejection {
    /// Cuts the text to its limit and keeps control characters out of it.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        let mut text: String = text.into().replace(char::is_control, " ");
        cut(&mut text, MAX_TEXT);
        Rejection { reason, text }
    }
}
