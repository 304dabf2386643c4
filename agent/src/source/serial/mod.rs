//! Serial console: reads lines as they come and sends commands on a schedule.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What to read.
#[derive(Clone, Debug)]
pub struct SerialSettings {
    /// The port's device file.
    pub port: PathBuf,
    /// Line speed.
    pub baud: u32,
    /// A prompt without end of line is a line after this much silence.
    pub idle_flush: Duration,
    /// Longer lines are cut here and marked truncated.
    pub max_line_bytes: usize,
    /// Commands sent on a schedule.
    pub commands: Vec<SerialCommand>,
}

/// A command whose answer is read.
#[derive(Clone, Debug)]
pub struct SerialCommand {
    /// Unique within the source; names the metrics `answer:<id>` and `answer-end:<id>`.
    pub id: Arc<str>,
    /// Sent as it is, end of line included.
    pub send: String,
    /// From one sending to the next.
    pub every: Duration,
    /// An answer that is not complete by then is none.
    pub timeout: Duration,
    /// The line (usually the prompt) that completes the answer.
    pub until: regex::Regex,
}
