//! Scheduled commands: when to send which, and which lines are the answer. Pure: the caller tells the time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::SerialCommand;

/// A command waits at most so many of its time-outs for a quiet console.
const MAX_WAIT_FOR_QUIET: u32 = 4;

/// What a line means to the command that waits for its answer: metrics to hand it out as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// It belongs to this answer (`answer:<id>`).
    pub part: Option<Arc<str>>,
    /// It completes this answer (`answer-end:<id>`).
    pub end: Option<Arc<str>>,
    /// The command that is answered now.
    pub answered: Option<Arc<str>>,
}

/// The timetable and the answer that is being read.
#[derive(Debug)]
pub(super) struct Commands {
    timetable: Vec<Entry>,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Entry {
    command: SerialCommand,
    metric: Arc<str>,
    end_metric: Arc<str>,
    due: Instant,
}

#[derive(Debug)]
struct Waiting {
    index: usize,
    deadline: Instant,
}

impl Commands {
    /// All are due at once.
    pub(super) fn new(commands: &[SerialCommand], now: Instant) -> Self {
        let entry = |command: &SerialCommand| Entry {
            command: command.clone(),
            metric: Arc::from(format!("answer:{}", command.id)),
            end_metric: Arc::from(format!("answer-end:{}", command.id)),
            due: now,
        };
        Commands { timetable: commands.iter().map(entry).collect(), waiting: None }
    }

    /// The command to send now, if one is due, none waits, and the console is quiet: an answer that
    /// is late must not be taken for the next one's.
    pub(super) fn send_now(&mut self, now: Instant, quiet: bool) -> Option<String> {
        if self.waiting.is_some() {
            return None;
        }
        let (index, entry) = self
            .timetable
            .iter_mut()
            .enumerate()
            .filter(|(_, e)| e.due <= now)
            .min_by_key(|(_, e)| e.due)?;
        let patience = entry.command.timeout.saturating_mul(MAX_WAIT_FOR_QUIET);
        if !quiet && now < entry.due + patience {
            return None;
        }
        entry.due = now + entry.command.every.max(Duration::from_secs(1));
        self.waiting = Some(Waiting { index, deadline: now + entry.command.timeout });
        Some(entry.command.send.clone())
    }

    /// What this line is. Ends the wait where it completes the answer.
    pub(super) fn line(&mut self, text: &str) -> Answer {
        let Some((_, entry)) = self.current() else { return Answer::default() };
        let part = Some(Arc::clone(&entry.metric));
        if !entry.command.until.is_match(text) {
            return Answer { part, ..Answer::default() };
        }
        let end = Some(Arc::clone(&entry.end_metric));
        let answered = Some(Arc::clone(&entry.command.id));
        self.waiting = None;
        Answer { part, end, answered }
    }

    /// No complete answer can come any more: a line of it was lost, or it was never asked for.
    pub(super) fn abandon(&mut self) {
        self.waiting = None;
    }

    /// The command whose time is over without a complete answer.
    pub(super) fn timed_out(&mut self, now: Instant) -> Option<Arc<str>> {
        let (waiting, entry) = self.current()?;
        if waiting.deadline > now {
            return None;
        }
        let id = Arc::clone(&entry.command.id);
        self.waiting = None;
        Some(id)
    }

    /// When to look again.
    pub(super) fn next(&self) -> Option<Instant> {
        match &self.waiting {
            Some(waiting) => Some(waiting.deadline),
            None => self.timetable.iter().map(|e| e.due).min(),
        }
    }

    fn current(&self) -> Option<(&Waiting, &Entry)> {
        let waiting = self.waiting.as_ref()?;
        Some((waiting, self.timetable.get(waiting.index)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(now: Instant) -> Commands {
        let command = |id: &str| SerialCommand {
            id: Arc::from(id),
            send: format!("show {id}\r"),
            every: Duration::from_secs(60),
            timeout: Duration::from_secs(5),
            until: regex::Regex::new(r"^\S+[>#]\s*$").unwrap(),
        };
        Commands::new(&[command("env"), command("disk")], now)
    }

    #[tokio::test]
    async fn one_after_the_other_and_complete_answers_end() {
        let now = Instant::now();
        let mut c = commands(now);
        assert_eq!(c.send_now(now, true).as_deref(), Some("show env\r"));
        assert_eq!(c.send_now(now, true), None, "one waits");
        let answer = |part: &str, end: Option<&str>, answered: Option<&str>| Answer {
            part: Some(Arc::from(part)),
            end: end.map(Arc::from),
            answered: answered.map(Arc::from),
        };
        assert_eq!(c.line("PSU 1 ok"), answer("answer:env", None, None));
        assert_eq!(c.line("sw1# "), answer("answer:env", Some("answer-end:env"), Some("env")));
        assert_eq!(c.line("unasked"), Answer::default());
        assert_eq!(c.send_now(now, false), None, "not quiet");
        assert_eq!(c.send_now(now, true).as_deref(), Some("show disk\r"));
    }

    #[tokio::test]
    async fn neither_a_late_nor_a_spoiled_answer_is_complete() {
        let now = Instant::now();
        let mut c = commands(now);
        c.send_now(now, true).unwrap();
        assert_eq!(c.timed_out(now + Duration::from_secs(4)), None);
        assert_eq!(c.timed_out(now + Duration::from_secs(5)).as_deref(), Some("env"));
        assert_eq!(c.line("sw1#"), Answer::default());
        c.send_now(now, true).unwrap();
        c.abandon();
        assert_eq!(c.line("sw1#"), Answer::default());
    }

    #[tokio::test]
    async fn a_console_that_is_never_quiet_does_not_starve_a_command() {
        let now = Instant::now();
        let mut c = commands(now);
        assert_eq!(c.send_now(now + Duration::from_secs(19), false), None);
        assert!(c.send_now(now + Duration::from_secs(20), false).is_some());
    }
}
