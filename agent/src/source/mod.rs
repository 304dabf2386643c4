//! Sources: each reads one thing of the outside world and hands out [`Batch`]es.
//!
//! A source knows nothing of alarms, the outbox or the link. Its position (how far it has read)
//! travels as an opaque token with the batch and is stored in the same transaction as what the
//! batch led to; on the next start the source gets the last stored token back.
//!
//! Every source is a function `run(assignment, settings)`: who it is for and where its batches go is
//! the same for all ([`Assignment`]), what it reads is its own.

pub mod assignment;
pub mod health;
pub mod host;
pub mod known;
pub mod listener;
pub mod logfile;
pub mod missed;
pub mod origins;
pub mod probe;
pub mod readable;
pub mod reading;
pub mod senders;
pub mod serial;
pub mod snmp;
pub mod syslog;
pub mod trap;

pub use assignment::Assignment;
pub use health::{Health, HealthBoard};
pub use known::Known;
pub use reading::{
    ABSENT, Batch, COUNTER32, COUNTER64, Gap, Origin, Position, Reading, SKIPPED, SourceKind,
    Stored, UPTIME, Value,
};
