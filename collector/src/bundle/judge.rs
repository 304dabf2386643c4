//! What is accepted and why not. Pure.

use std::time::Duration;

use callhome_shared::bundle::{Declaration, MAX_CHUNK, MAX_MISMATCHES, State};
use callhome_shared::time::Time;

/// The least that a bundle counts in the quotas, bytes: many small ones need room, too.
pub const LEAST_WEIGHT: u64 = 64 * 1024;
/// An upload that has rested for so long may go on at another collector, from its beginning.
pub const TAKE_OVER_MS: i64 = 15 * 60 * 1000;

/// What may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One bundle, bytes.
    pub max: u64,
    /// All of one agent, bytes by weight.
    pub agent: u64,
    /// All together, bytes by weight.
    pub total: u64,
    /// Open uploads of one agent.
    pub open: u32,
}

/// Why a request is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No agent's certificate, or one that has ended.
    #[error("an agent's valid client certificate is needed here")]
    NoCertificate,
    /// It cannot be understood.
    #[error("{0}")]
    Malformed(String),
    /// The chunk has no digest that can be checked.
    #[error("the header Content-Digest is missing or has no sha-256")]
    NoDigest,
    /// The chunk is not what its digest says.
    #[error("the chunk's SHA-256 is not that of its Content-Digest: nothing of it was kept")]
    WrongDigest,
    /// Ticket or alarm are another agent's.
    #[error("the ticket or the alarm is not this agent's")]
    Foreign,
    /// No such ticket or alarm; the alarm may be on its way.
    #[error("there is no such ticket or alarm yet")]
    UnknownSubject,
    /// No such upload of this agent.
    #[error("there is no such upload: declare it again")]
    UnknownUpload,
    /// The id is taken.
    #[error("this id was declared differently before")]
    OtherDeclaration,
    /// The chunk does not begin where the kept bytes end.
    #[error("the next byte is number {offset}")]
    WrongOffset {
        /// Bytes that are kept.
        offset: u64,
        /// Whether that is all.
        complete: bool,
    },
    /// It is not whole yet.
    #[error("{offset} of {size} bytes are here")]
    Incomplete {
        /// Bytes that are kept.
        offset: u64,
        /// Bytes that were declared.
        size: u64,
    },
    /// A complete one is not given up.
    #[error("the bundle is complete")]
    Complete,
    /// It was refused for good.
    #[error("{0}")]
    Refused(String),
    /// Larger than is taken.
    #[error("{0}")]
    TooLarge(String),
    /// The whole file has another SHA-256.
    #[error("the whole file has another SHA-256 than declared: nothing of it was kept, begin anew")]
    WrongHash,
    /// Another collector keeps it.
    #[error("this upload is at the collector {0:?}")]
    Elsewhere(String),
    /// Too many open uploads.
    #[error("the agent has {0} open uploads already")]
    TooManyOpen(i64),
    /// Too many requests or bytes.
    #[error("faster than an agent may upload")]
    TooFast(Duration),
    /// The agent's quota is full.
    #[error("the agent's room for bundles is full ({taken} of {limit} bytes are taken)")]
    AgentFull {
        /// Bytes by weight.
        taken: u64,
        /// Bytes.
        limit: u64,
    },
    /// Everybody's quota is full.
    #[error("the collector's room for bundles is full ({taken} of {limit} bytes are taken)")]
    Full {
        /// Bytes by weight.
        taken: u64,
        /// Bytes.
        limit: u64,
    },
    /// The disk is full.
    #[error("the collector's disk is full: what was kept stays, the upload can go on later")]
    DiskFull,
    /// Something else is being done, or there is no room to work.
    #[error("the collector is busy with this or other uploads; try again")]
    Busy,
    /// Ours. The log says why.
    #[error("something went wrong in the collector; its log says what")]
    Internal,
}

/// Whose the subject is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// This agent's; the ticket's id.
    Own(String),
    /// Another agent's.
    Foreign,
    /// Not known here (yet).
    Unknown,
}

/// An upload of that id that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// It is this agent's.
    pub own: bool,
    /// As it was declared; `None`: it cannot be read any more.
    pub declaration: Option<Declaration>,
    /// How it is: `open`, `complete`, `refused`, `removed`.
    pub state: String,
    /// Whether its file is with this collector.
    pub here: bool,
    /// The collector that keeps it.
    pub collector: String,
    /// The last sign of its upload.
    pub active_at: Time,
}

/// How much room is taken, bytes by weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Open uploads of the agent.
    pub open: i64,
    /// Of the agent.
    pub agent: u64,
    /// Of all.
    pub total: u64,
}

/// What a declaration leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// A new upload for the ticket of that id, counting so much.
    New {
        /// The ticket's id.
        ticket: String,
        /// See [`weight`].
        weight: u64,
    },
    /// A known one that goes on here.
    TakeOver,
    /// It is known.
    Known,
}

/// What a declaration of `size` bytes counts.
pub fn weight(size: u64) -> u64 {
    size.max(LEAST_WEIGHT)
}

/// What is known of an id is asked before anything else: a declaration that is sent again is
/// answered again whatever the quotas say by now.
pub fn declare(
    said: &Declaration,
    known: Option<&Known>,
    subject: &Subject,
    taken: Taken,
    limits: Limits,
    now: Time,
) -> Result<Ruling, Refusal> {
    if let Some(known) = known {
        return again(said, known, now);
    }
    if said.size > limits.max {
        let text = format!("a bundle has at most {} bytes, this one {}", limits.max, said.size);
        return Err(Refusal::TooLarge(text));
    }
    let ticket = match subject {
        Subject::Own(ticket) => ticket.clone(),
        Subject::Foreign => return Err(Refusal::Foreign),
        Subject::Unknown => return Err(Refusal::UnknownSubject),
    };
    if taken.open >= i64::from(limits.open) {
        return Err(Refusal::TooManyOpen(taken.open));
    }
    let weight = weight(said.size);
    if taken.agent.saturating_add(weight) > limits.agent {
        return Err(Refusal::AgentFull { taken: taken.agent, limit: limits.agent });
    }
    if taken.total.saturating_add(weight) > limits.total {
        return Err(Refusal::Full { taken: taken.total, limit: limits.total });
    }
    Ok(Ruling::New { ticket, weight })
}

fn again(said: &Declaration, known: &Known, now: Time) -> Result<Ruling, Refusal> {
    // Of another agent's nothing is told but that the id is taken.
    if !known.own || known.declaration.as_ref() != Some(said) {
        return Err(Refusal::OtherDeclaration);
    }
    if known.here || known.state != State::Open.as_str() {
        return Ok(Ruling::Known);
    }
    if now.since_ms(known.active_at) >= TAKE_OVER_MS {
        return Ok(Ruling::TakeOver);
    }
    Err(Refusal::Elsewhere(known.collector.clone()))
}

/// Whether a chunk of `len` bytes from `offset` goes after the `have` bytes of `size`.
pub fn chunk(have: u64, size: u64, offset: u64, len: usize) -> Result<(), Refusal> {
    if offset != have {
        return Err(Refusal::WrongOffset { offset: have, complete: false });
    }
    if len == 0 {
        return Err(Refusal::Malformed("the chunk is empty".to_owned()));
    }
    if len > MAX_CHUNK {
        return Err(Refusal::TooLarge(format!("a chunk has at most {MAX_CHUNK} bytes")));
    }
    let len = u64::try_from(len).unwrap_or(u64::MAX);
    if have.checked_add(len).is_none_or(|end| end > size) {
        let text = format!("the bundle was declared with {size} bytes, {have} are here");
        return Err(Refusal::TooLarge(text));
    }
    Ok(())
}

/// What a wrong whole SHA-256 leads to, after so many wrong ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It begins anew.
    Again,
    /// It is refused for good.
    ForGood,
}

/// See [`Wrong`].
pub fn wrong(mismatches_before: i64) -> Wrong {
    if mismatches_before.saturating_add(1) >= i64::from(MAX_MISMATCHES) {
        Wrong::ForGood
    } else {
        Wrong::Again
    }
}

/// What a file of the bundles' directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// It belongs to a row.
    No,
    /// It belongs to nothing.
    Remove,
    /// It is whole, and no row knows it: perhaps the database is an older one. It stays for a while.
    Wait,
}

/// Whole files that no row knows are kept for so long.
pub const STRAY_MS: i64 = 7 * 24 * 3600 * 1000;

/// What is to be done with a file: `part` is an unfinished one, `state` that of its row, if there is
/// one, `changed_at` when it was last written.
pub fn stray(part: bool, state: Option<&str>, changed_at: Time, now: Time) -> Stray {
    match (part, state) {
        (_, Some("open")) | (false, Some("complete")) => Stray::No,
        (true, _) | (false, Some(_)) => Stray::Remove,
        (false, None) if now.since_ms(changed_at) >= STRAY_MS => Stray::Remove,
        (false, None) => Stray::Wait,
    }
}

#[cfg(test)]
mod tests {
    use callhome_shared::bundle::{Approved, How, Subject as Named};
    use callhome_shared::id::new_uuid;
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { max: 1_000_000, agent: 2_000_000, total: 3_000_000, open: 2 };

    fn said(size: u64) -> Declaration {
        Declaration {
            id: new_uuid(),
            subject: Named { ticket: Some("T-000001".into()), alarm_id: None },
            name: "a".into(),
            size,
            sha256: "0".repeat(64),
            created_at: Time(1),
            note: None,
            contents: Vec::new(),
            approved: Approved { by: "li".into(), at: Time(1), how: How::Person },
        }
    }

    fn own() -> Subject {
        Subject::Own("t".into())
    }

    fn new(size: u64, subject: &Subject, taken: Taken) -> Result<Ruling, Refusal> {
        declare(&said(size), None, subject, taken, LIMITS, Time(0))
    }

    #[test]
    fn new_ones_by_subject_size_and_room() {
        let free = Taken::default();
        let ticket = "t".to_owned();
        assert_eq!(new(1, &own(), free), Ok(Ruling::New { ticket, weight: LEAST_WEIGHT }));
        assert!(matches!(new(1_000_000, &own(), free), Ok(Ruling::New { weight: 1_000_000, .. })));
        assert!(matches!(new(1_000_001, &own(), free), Err(Refusal::TooLarge(_))));
        assert_eq!(new(1, &Subject::Foreign, free), Err(Refusal::Foreign));
        assert_eq!(new(1, &Subject::Unknown, free), Err(Refusal::UnknownSubject));
        let taken = Taken { open: 2, ..free };
        assert_eq!(new(1, &own(), taken), Err(Refusal::TooManyOpen(2)));
        let taken = Taken { agent: 1_900_000, total: 1_900_000, open: 0 };
        let full = Err(Refusal::AgentFull { taken: 1_900_000, limit: 2_000_000 });
        assert_eq!(new(500_000, &own(), taken), full);
        let taken = Taken { total: 2_999_999, ..free };
        assert!(matches!(new(1, &own(), taken), Err(Refusal::Full { .. })));
    }

    #[test]
    fn known_ones_are_answered_whatever_the_room() {
        let first = said(5);
        let mut known = Known {
            own: true,
            declaration: Some(first.clone()),
            state: "open".into(),
            here: true,
            collector: "b".into(),
            active_at: Time(0),
        };
        let full = Taken { open: 9, agent: u64::MAX, total: u64::MAX };
        let ask = |said: &Declaration, known: &Known, now: i64| {
            declare(said, Some(known), &Subject::Unknown, full, LIMITS, Time(now))
        };
        assert_eq!(ask(&first, &known, 1), Ok(Ruling::Known));
        let other = Declaration { size: 6, ..first.clone() };
        assert_eq!(ask(&other, &known, 1), Err(Refusal::OtherDeclaration));
        known.here = false;
        assert_eq!(ask(&first, &known, 1), Err(Refusal::Elsewhere("b".into())));
        assert_eq!(ask(&first, &known, TAKE_OVER_MS), Ok(Ruling::TakeOver));
        known.state = "complete".into();
        assert_eq!(ask(&first, &known, TAKE_OVER_MS), Ok(Ruling::Known));
        known.own = false;
        assert_eq!(ask(&first, &known, 1), Err(Refusal::OtherDeclaration));
    }

    #[test]
    fn three_wrong_hashes_are_enough() {
        assert_eq!(
            [0, 1, 2, 3].map(wrong),
            [Wrong::Again, Wrong::Again, Wrong::ForGood, Wrong::ForGood]
        );
    }

    #[test]
    fn strays_go_and_whole_ones_wait() {
        let (old, now) = (Time(0), Time(STRAY_MS));
        for (part, state, changed, expected) in [
            (true, Some("open"), old, Stray::No),
            (false, Some("open"), old, Stray::No),
            (false, Some("complete"), old, Stray::No),
            (true, Some("complete"), old, Stray::Remove),
            (false, Some("removed"), now, Stray::Remove),
            (true, None, now, Stray::Remove),
            (false, None, now, Stray::Wait),
            (false, None, old, Stray::Remove),
        ] {
            assert_eq!(stray(part, state, changed, now), expected, "{part} {state:?}");
        }
    }

    proptest! {
        #[test]
        fn prop_kept_bytes_never_pass_the_size(size in 1u64..200, chunks in proptest::collection::vec((0u64..250, 0usize..80), 0..60)) {
            let mut have = 0u64;
            for (offset, len) in chunks {
                match chunk(have, size, offset, len) {
                    Ok(()) => {
                        prop_assert_eq!(offset, have);
                        have += len as u64;
                    }
                    Err(Refusal::WrongOffset { offset: told, .. }) => {
                        prop_assert!(offset != have && told == have);
                    }
                    Err(Refusal::Malformed(_)) => prop_assert_eq!(len, 0),
                    Err(Refusal::TooLarge(_)) => prop_assert!(have + len as u64 > size),
                    Err(other) => prop_assert!(false, "{:?}", other),
                }
                prop_assert!(have <= size);
            }
        }

        #[test]
        fn no_chunk_panics(have: u64, size: u64, offset: u64, len: usize) {
            let _ = chunk(have, size, offset, len);
        }

        #[test]
        fn prop_what_is_taken_fits(size: u64, open in 0i64..5, agent: u64, total: u64) {
            let taken = Taken { open, agent, total };
            if let Ok(Ruling::New { weight, .. }) = new(size, &own(), taken) {
                prop_assert!(agent + weight <= LIMITS.agent && total + weight <= LIMITS.total);
                prop_assert!(size <= LIMITS.max && open < 2);
            }
        }
    }
}
