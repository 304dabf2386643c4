//! The upload's book: what is to be done next, and what an answer changes. Pure.

use std::time::Duration;

use callhome_shared::bundle::{MAX_CHUNK, MAX_MISMATCHES, Standing, State as There};
use callhome_shared::time::Time;

use super::record::{Record, State, Trouble};

/// Smallest chunk, unless less is left.
pub const MIN_CHUNK: u64 = 64 * 1024;
/// What is not tried before is tried at the latest after so long: clocks are set back.
pub const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Longest text of a failure that is kept.
const MAX_TROUBLE: usize = 300;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Say what is coming.
    Declare,
    /// Ask how far it is.
    Look,
    /// Send so many bytes from there.
    Chunk {
        /// The first byte.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// All bytes are there: have them verified.
    Complete,
    /// Say in an envelope that it is there.
    Tell,
    /// It was given up: say so.
    Withdraw,
    /// Nothing.
    Rest,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The declaration was answered.
    Stands(Standing),
    /// So many bytes are there, and whether that is all.
    Offset(u64, bool),
    /// The collector knows no such upload, or no longer takes its bytes: it is declared again.
    Unknown,
    /// A chunk arrived other than it was sent.
    Damaged(String),
    /// All of it is there and verified.
    Completed,
    /// The whole of it has another SHA-256: from the beginning.
    Differs,
    /// The collector will never take it.
    Refused(String),
    /// Not now; after so long.
    Later(Duration, String),
    /// No answer.
    Lost(String),
    /// The envelope is stored for sending.
    Told,
    /// It is given up on the other side, too.
    Withdrawn,
}

/// Whether a change is written to the disk at once. What is not is learnt again after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It is.
    Heavy,
    /// Memory is enough.
    Light,
}

/// Largest chunk at `rate` bytes a second (0: unlimited): about a quarter of a second's.
pub fn largest_chunk(rate: u64) -> u64 {
    let most = MAX_CHUNK as u64;
    if rate == 0 { most } else { (rate / 4).clamp(MIN_CHUNK, most) }
}

/// What is to be done for a bundle, with chunks of at most `chunk` bytes.
pub fn next(record: &Record, chunk: u64) -> Step {
    let upload = &record.upload;
    match record.state {
        State::Approved if upload.complete => Step::Tell,
        State::Approved if !upload.declared => Step::Declare,
        State::Approved if !upload.known => Step::Look,
        State::Approved if upload.offset < record.size => {
            let len = (record.size - upload.offset).min(chunk.max(1));
            Step::Chunk { offset: upload.offset, len }
        }
        State::Approved => Step::Complete,
        _ if upload.withdraw => Step::Withdraw,
        _ => Step::Rest,
    }
}

/// How long until something may be done for it; `None`: there is nothing to do.
pub fn due(record: &Record, now: Time) -> Option<Duration> {
    if next(record, 1) == Step::Rest {
        return None;
    }
    let wait = record.upload.not_before.map_or(0, |at| at.since_ms(now).max(0));
    Some(Duration::from_millis(wait.unsigned_abs()).min(LONGEST_WAIT))
}

/// What an event changes.
pub fn apply(record: &mut Record, event: Event, now: Time) -> Weight {
    let upload = &mut record.upload;
    let failed =
        matches!(event, Event::Later(..) | Event::Lost(_) | Event::Damaged(_) | Event::Differs);
    if !failed {
        (upload.failures, upload.not_before) = (0, None);
    }
    if record.state != State::Approved {
        return gave_up(record, event, now);
    }
    match event {
        Event::Stands(standing) => stands(record, &standing, now),
        Event::Offset(offset, complete) => {
            upload.trouble = None;
            upload.offset = if complete { record.size } else { offset.min(record.size) };
            upload.known = true;
            Weight::Light
        }
        Event::Unknown => {
            (upload.declared, upload.known, upload.offset) = (false, false, 0);
            Weight::Heavy
        }
        Event::Damaged(why) => {
            upload.known = false;
            trouble(record, why, Duration::from_secs(1), now)
        }
        Event::Completed => {
            (upload.complete, upload.trouble) = (true, None);
            upload.offset = record.size;
            Weight::Heavy
        }
        Event::Differs => {
            upload.mismatches += 1;
            (upload.known, upload.offset) = (false, 0);
            if upload.mismatches >= MAX_MISMATCHES {
                let why =
                    "what arrived had another SHA-256 each time: is the archive's disk in order?";
                return refuse(record, why.to_owned(), now);
            }
            let why = "what arrived had another SHA-256: from the beginning".to_owned();
            trouble(record, why, Duration::from_secs(1), now);
            Weight::Heavy
        }
        Event::Refused(why) => refuse(record, why, now),
        Event::Later(wait, why) => trouble(record, why, wait, now),
        Event::Lost(why) => {
            upload.known = false;
            trouble(record, why, Duration::ZERO, now)
        }
        Event::Told => {
            (record.state, record.over_at) = (State::Sent, Some(now));
            Weight::Heavy
        }
        Event::Withdrawn => Weight::Light,
    }
}

/// Events of one that a person gave up meanwhile.
fn gave_up(record: &mut Record, event: Event, now: Time) -> Weight {
    match event {
        Event::Withdrawn | Event::Unknown | Event::Refused(_) => {
            record.upload.withdraw = false;
            Weight::Heavy
        }
        // It was faster than the person.
        Event::Completed if record.state == State::Cancelled => {
            record.upload.withdraw = false;
            record.upload.complete = true;
            record.upload.offset = record.size;
            record.state = State::Approved;
            record.over_at = None;
            Weight::Heavy
        }
        Event::Stands(_) => {
            (record.upload.declared, record.upload.withdraw) = (true, true);
            Weight::Heavy
        }
        Event::Later(wait, why) => trouble(record, why, wait, now),
        Event::Lost(why) | Event::Damaged(why) => {
            // What was on its way may have arrived.
            record.upload.withdraw = record.state == State::Cancelled;
            trouble(record, why, Duration::ZERO, now);
            Weight::Heavy
        }
        _ => Weight::Light,
    }
}

fn stands(record: &mut Record, standing: &Standing, now: Time) -> Weight {
    let upload = &mut record.upload;
    (upload.declared, upload.known, upload.trouble) = (true, true, None);
    match standing.state {
        There::Open => upload.offset = standing.offset.min(record.size),
        There::Complete => (upload.complete, upload.offset) = (true, record.size),
        There::Refused | There::Cancelled => {
            let why = standing.reason.clone();
            let why = why.unwrap_or_else(|| format!("it is {} there", standing.state.as_str()));
            return refuse(record, why, now);
        }
    }
    Weight::Heavy
}

fn refuse(record: &mut Record, why: String, now: Time) -> Weight {
    record.reason = Some(bounded(&why));
    (record.state, record.over_at) = (State::Refused, Some(now));
    Weight::Heavy
}

fn trouble(record: &mut Record, why: String, wait: Duration, now: Time) -> Weight {
    let upload = &mut record.upload;
    upload.failures = upload.failures.saturating_add(1);
    upload.trouble = Some(Trouble { at: now, text: bounded(&why) });
    let wait = i64::try_from(wait.min(LONGEST_WAIT).as_millis()).unwrap_or(0);
    upload.not_before = (wait > 0).then(|| now.plus_ms(wait));
    Weight::Light
}

fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TROUBLE).collect()
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
