//! The state machine.

use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Entry, MAX_COMMENT_BYTES, Standing};

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The name in rows and on the API.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// Reads `as_str` back.
            pub fn parse(text: &str) -> Option<Self> {
                $name::ALL.iter().copied().find(|one| one.as_str() == text)
            }
        }
    };
}

words! {
    /// Where a ticket is on its way.
    State {
        /// It is there; nobody has taken it up.
        Recorded = "recorded",
        /// Out of contract: a manager has to decide.
        WaitingApproval = "waiting_approval",
        /// The manager refused it.
        Rejected = "rejected",
        /// Somebody is to take it up.
        Assigned = "assigned",
        /// Somebody looks for the cause.
        InDiagnosis = "in_diagnosis",
        /// Given to a higher level.
        Escalated = "escalated",
        /// Somebody is on the way to the device.
        Dispatched = "dispatched",
        /// The customer has to do or say something first.
        WaitingCustomer = "waiting_customer",
        /// The fault is mended, or explained.
        Resolved = "resolved",
        /// Somebody has made sure that it is.
        Verified = "verified",
        /// The customer says so, too.
        Confirmed = "confirmed",
        /// Done, with a report. The next fault of the same identity opens another ticket.
        Closed = "closed",
        /// A major incident that was looked back upon.
        Reviewed = "reviewed",
        /// A duplicate: another ticket has taken over what it was about.
        Merged = "merged",
    }
}

impl State {
    /// Whether nobody works on it any more: its cases are closed.
    pub fn is_over(self) -> bool {
        matches!(self, State::Rejected | State::Closed | State::Reviewed | State::Merged)
    }

    /// Whether the fault is held to be mended.
    pub fn is_settled(self) -> bool {
        use State::{Closed, Confirmed, Resolved, Reviewed, Verified};
        matches!(self, Resolved | Verified | Confirmed | Closed | Reviewed)
    }
}

words! {
    /// Where a ticket is escalated to.
    Level {
        /// Support engineers.
        L2 = "l2",
        /// Experts.
        L3 = "l3",
        /// Those who made it.
        Engineering = "engineering",
    }
}

words! {
    /// What kind of request it was.
    Category {
        /// Daily problem and fault.
        Fault = "a",
        /// Base environment: hardware, network, operating system.
        Environment = "b",
        /// Upgrade and patch.
        Upgrade = "c",
        /// Software defect.
        Defect = "d",
        /// Third-party software.
        ThirdParty = "e",
        /// Requirement or change.
        Change = "f",
        /// Service feedback.
        Feedback = "g",
    }
}

words! {
    /// Classes of work.
    Class {
        /// About a fault: interrupts everything else.
        ServiceRequest = "service_request",
        /// Planned work: first come, first served.
        ScheduledEvent = "scheduled_event",
    }
}

/// What is written when a ticket is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// Why it happened.
    pub cause: String,
    /// What was done.
    pub fix: String,
    /// `a` … `g`.
    pub category: String,
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
    /// Whether it is a manager's decision.
    pub manager: bool,
}

const fn to(from: State, to: State) -> Move {
    Move { from, to, comment_required: false, manager: false }
}

const fn why(from: State, to: State) -> Move {
    Move { from, to, comment_required: true, manager: false }
}

const fn decision(from: State, to: State) -> Move {
    Move { from, to, comment_required: true, manager: true }
}

/// Every step a person may take. Where nothing else says why it is done, the person does. Assigning and
/// merging are steps of their own ([`super::desk`]).
pub const MOVES: &[Move] = &[
    to(State::Recorded, State::InDiagnosis),
    why(State::Recorded, State::WaitingApproval),
    why(State::Recorded, State::Escalated),
    decision(State::WaitingApproval, State::Recorded),
    decision(State::WaitingApproval, State::Rejected),
    why(State::Rejected, State::WaitingApproval),
    to(State::Assigned, State::InDiagnosis),
    why(State::Assigned, State::Escalated),
    why(State::Assigned, State::Dispatched),
    why(State::InDiagnosis, State::Resolved),
    why(State::InDiagnosis, State::Escalated),
    why(State::InDiagnosis, State::Dispatched),
    why(State::InDiagnosis, State::WaitingCustomer),
    to(State::Escalated, State::InDiagnosis),
    why(State::Escalated, State::Resolved),
    why(State::Escalated, State::Escalated),
    why(State::Escalated, State::Dispatched),
    why(State::Escalated, State::WaitingCustomer),
    why(State::Dispatched, State::Resolved),
    why(State::Dispatched, State::InDiagnosis),
    why(State::Dispatched, State::Escalated),
    why(State::Dispatched, State::WaitingCustomer),
    to(State::WaitingCustomer, State::InDiagnosis),
    why(State::WaitingCustomer, State::Resolved),
    why(State::WaitingCustomer, State::Dispatched),
    to(State::Resolved, State::Verified),
    why(State::Resolved, State::InDiagnosis),
    to(State::Verified, State::Confirmed),
    why(State::Verified, State::InDiagnosis),
    to(State::Confirmed, State::Closed),
    why(State::Confirmed, State::InDiagnosis),
    decision(State::Closed, State::Reviewed),
    why(State::Closed, State::InDiagnosis),
    why(State::Reviewed, State::InDiagnosis),
];

/// The steps that may be taken from `state`, by a manager or by anybody; `major`: it is a major incident.
pub fn allowed(state: State, manager: bool, major: bool) -> impl Iterator<Item = &'static Move> {
    let fits = move |m: &&Move| {
        m.from == state && m.manager == manager && (major || m.to != State::Reviewed)
    };
    MOVES.iter().filter(fits)
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
    /// A manager decides this.
    #[error("a manager decides this")]
    ManagersOnly,
    /// Only a major incident is reviewed.
    #[error("only a major incident is reviewed")]
    NotMajor,
    /// The step needs a comment.
    #[error("this step needs a comment")]
    CommentRequired,
    /// The comment is over [`MAX_COMMENT_BYTES`].
    #[error("a comment has at most {MAX_COMMENT_BYTES} bytes")]
    CommentTooLong,
    /// Escalating needs the level; a ticket only climbs.
    #[error("escalating needs a level above the present one: l2, l3, engineering")]
    LevelRequired,
    /// Closing needs cause, fix and category.
    #[error(
        "closing needs a report: cause and fix (at most {MAX_COMMENT_BYTES} bytes each), category a to g"
    )]
    ReportRequired,
    /// The ticket is over.
    #[error("the ticket is over: reopen it first")]
    Over,
}

/// Where a person wants the ticket to go, and what goes with it.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// There.
    pub to: State,
    /// Why.
    pub comment: Option<&'a str>,
    /// Escalated to.
    pub level: Option<Level>,
    /// The closing report.
    pub closing: Option<&'a Closing>,
    /// The service plan that a manager promises to what is out of contract.
    pub plan: Option<&'a str>,
    /// Whether a manager wants it.
    pub manager: bool,
}

impl<'a> Wish<'a> {
    /// To there, because of that.
    pub fn to(to: State, comment: Option<&'a str>) -> Self {
        Wish { to, comment, level: None, closing: None, plan: None, manager: false }
    }
}

/// A person moves the ticket.
pub fn step(standing: &mut Standing, wish: &Wish<'_>, at: Time) -> Result<Entry, Refused> {
    let (from, to) = (standing.state, wish.to);
    let taken = MOVES.iter().find(|m| (m.from, m.to) == (from, to));
    let taken = taken.ok_or(Refused::NotAllowed { from, to })?;
    if taken.manager && !wish.manager {
        return Err(Refused::ManagersOnly);
    }
    if to == State::Reviewed && !standing.major {
        return Err(Refused::NotMajor);
    }
    let comment = wish.comment.map(str::trim).filter(|c| !c.is_empty());
    if taken.comment_required && comment.is_none() {
        return Err(Refused::CommentRequired);
    }
    if comment.is_some_and(|c| c.len() > MAX_COMMENT_BYTES) {
        return Err(Refused::CommentTooLong);
    }
    let mut detail = json!({ "from": from.as_str(), "to": to.as_str() });
    let mut add = |name: &str, value: serde_json::Value| {
        if let Some(object) = detail.as_object_mut() {
            object.insert(name.to_owned(), value);
        }
    };
    if to == State::Escalated {
        let level = wish.level.filter(|level| standing.level.is_none_or(|now| *level > now));
        let level = level.ok_or(Refused::LevelRequired)?;
        standing.level = Some(level);
        add("level", level.as_str().into());
    }
    if to == State::Closed {
        let closing = wish.closing.filter(|c| is_whole(c)).ok_or(Refused::ReportRequired)?;
        add("cause", closing.cause.trim().into());
        add("fix", closing.fix.trim().into());
        add("category", closing.category.as_str().into());
    }
    if let (State::WaitingApproval, State::Recorded, Some(plan)) = (from, to, wish.plan) {
        add("plan", plan.into());
    }
    if let Some(comment) = comment {
        add("comment", comment.into());
    }
    enter(standing, to, at);
    Ok(Entry { what: "state", detail })
}

fn is_whole(closing: &Closing) -> bool {
    let said = |text: &str| !text.trim().is_empty() && text.len() <= MAX_COMMENT_BYTES;
    said(&closing.cause) && said(&closing.fix) && Category::parse(&closing.category).is_some()
}

/// Sets the state and the times that go with it.
pub(super) fn enter(standing: &mut Standing, to: State, at: Time) {
    if standing.state.is_settled() && !to.is_settled() {
        // It climbs anew.
        standing.level = None;
    }
    standing.state = to;
    match to {
        State::Resolved => (standing.resolved_at, standing.closed_at) = (Some(at), None),
        State::Verified | State::Confirmed | State::Reviewed => {}
        State::Closed | State::Rejected | State::Merged => standing.closed_at = Some(at),
        _ => (standing.resolved_at, standing.closed_at) = (None, None),
    }
}
