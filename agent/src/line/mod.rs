//! The line: batches → rules → alarms → one transaction of the outbox.

mod status;

pub use status::{Command, Counts, Status, TestAlarm};

/// Batches that wait for the line; further ones make their sources wait.
pub const BATCHES: usize = 256;
/// Commands that wait for the line.
pub const COMMANDS: usize = 16;
