//! Serial console: reads lines as they come and sends commands on a schedule.
//!
//! An ephemeral source: what arrives while nobody listens is gone. So it never stops reading while
//! the line is busy, says until when it surely heard, and declares every interval in which it could not.

mod command;
mod console;
mod lines;
mod outgoing;
mod port;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::backoff::Backoff;
use callhome_shared::time::Time;

use super::{Assignment, Gap};
use console::{Console, Ended};

/// First and longest wait before the port is opened again.
const REOPEN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// What to read.
#[derive(Clone, Debug, PartialEq)]
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

impl PartialEq for SerialCommand {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
            && self.send == other.send
            && self.every == other.every
            && self.timeout == other.timeout
            && self.until.as_str() == other.until.as_str()
    }
}

/// Listens until stopped, through every loss of the port.
///
/// The first batch is an empty one that says "listening". It declares nothing: how long the agent
/// itself was away is known to the line, which stores `heard_until`.
pub async fn run(assignment: Assignment, settings: SerialSettings) {
    let health = &assignment.health;
    let mut console = Console::new(&assignment, &settings);
    let mut backoff = Backoff::new(REOPEN.0, REOPEN.1);
    // When the port was lost, by what it surely heard last.
    let mut deaf_since: Option<Time> = None;
    loop {
        match port::open(&settings.port, settings.baud) {
            Ok(opened) => {
                let gap = deaf_since.take().map(|from| Gap {
                    from,
                    to: Time::now(),
                    reason: "port-gone",
                    count: None,
                });
                match console.listen(opened, gap).await {
                    Ended::Stopped => return,
                    Ended::Gone { why, heard_until, lasted } => {
                        health.failed(&format!("{}: {why}", settings.port.display()));
                        deaf_since = Some(heard_until);
                        // A port that opens and is gone at once must not be tried without pause.
                        if lasted > REOPEN.1 {
                            backoff.reset();
                        }
                    }
                }
            }
            Err(error) => health.failed(&format!("{}: {error}", settings.port.display())),
        }
        if console.wait(backoff.next_delay()).await {
            return;
        }
    }
}
