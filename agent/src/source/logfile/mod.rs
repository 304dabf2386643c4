//! Log file: follows a file through every kind of rotation from a saved position.

use std::path::PathBuf;

/// What to read.
#[derive(Clone, Debug)]
pub struct LogfileSettings {
    /// The file.
    pub path: PathBuf,
    /// Where a file begins that was never seen before.
    pub from: StartFrom,
    /// Longer lines are cut here and marked truncated.
    pub max_line_bytes: usize,
}

/// Where reading begins when there is no saved position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// At the first byte.
    Start,
    /// At the end: only what is written from now on.
    End,
}
