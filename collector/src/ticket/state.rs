//! The state machine.

use callhome_shared::time::Time;
use serde_json::json;

use super::{Entry, MAX_COMMENT_BYTES, Standing};

/// Where a ticket is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nobody has taken it up.
    New,
    /// Somebody works on it.
    InProgress,
    /// The fault is mended, or explained; waiting for confirmation.
    Resolved,
    /// Confirmed. The next fault of the same identity opens another ticket.
    Closed,
}

impl State {
    /// All of them, in order.
    pub const ALL: [State; 4] = [State::New, State::InProgress, State::Resolved, State::Closed];

    /// The name in rows and on the API.
    pub fn as_str(self) -> &'static str {
        match self {
            State::New => "new",
            State::InProgress => "in_progress",
            State::Resolved => "resolved",
            State::Closed => "closed",
        }
    }

    /// Reads [`State::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        State::ALL.into_iter().find(|s| s.as_str() == text)
    }
}

/// One allowed step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// From here.
    pub from: State,
    /// To there.
    pub to: State,
    /// Whether the person must say why.
    pub comment_required: bool,
}

const fn to(from: State, to: State, comment_required: bool) -> Move {
    Move { from, to, comment_required }
}

/// Every step a person may take. Resolving needs what was found and done, reopening needs a reason.
pub const MOVES: &[Move] = &[
    to(State::New, State::InProgress, false),
    to(State::InProgress, State::Resolved, true),
    to(State::Resolved, State::Closed, false),
    to(State::Resolved, State::InProgress, true),
    to(State::Closed, State::InProgress, true),
];

/// The steps that may be taken from `state`.
pub fn allowed(state: State) -> impl Iterator<Item = &'static Move> {
    MOVES.iter().filter(move |m| m.from == state)
}

/// Why a step was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not in [`MOVES`].
    #[error("a ticket cannot go from {} to {}", .from.as_str(), .to.as_str())]
    NotAllowed {
        /// Where it is.
        from: State,
        /// Where it should have gone.
        to: State,
    },
    /// The step needs a comment.
    #[error("this step needs a comment")]
    CommentRequired,
    /// The comment is over [`MAX_COMMENT_BYTES`].
    #[error("a comment has at most {MAX_COMMENT_BYTES} bytes")]
    CommentTooLong,
}

/// A person moves the ticket.
pub fn step(
    standing: &mut Standing,
    to: State,
    comment: Option<&str>,
    at: Time,
) -> Result<Entry, Refused> {
    let from = standing.state;
    let comment = comment.map(str::trim).filter(|c| !c.is_empty());
    let taken = allowed(from).find(|m| m.to == to).ok_or(Refused::NotAllowed { from, to })?;
    if taken.comment_required && comment.is_none() {
        return Err(Refused::CommentRequired);
    }
    if comment.is_some_and(|c| c.len() > MAX_COMMENT_BYTES) {
        return Err(Refused::CommentTooLong);
    }
    enter(standing, to, at);
    let mut detail = json!({ "from": from.as_str(), "to": to.as_str() });
    if let (Some(object), Some(comment)) = (detail.as_object_mut(), comment) {
        object.insert("comment".into(), comment.into());
    }
    Ok(Entry { what: "state", detail })
}

/// Sets the state and the times that go with it.
pub(super) fn enter(standing: &mut Standing, to: State, at: Time) {
    standing.state = to;
    match to {
        State::New | State::InProgress => {
            standing.resolved_at = None;
            standing.closed_at = None;
        }
        State::Resolved => standing.resolved_at = Some(at),
        State::Closed => standing.closed_at = Some(at),
    }
}
