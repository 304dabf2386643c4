//! What is held back: windows of maintenance, and devices behind one that is down.

use callhome_shared::config_error::did_you_mean;
use callhome_shared::time::Time;

use super::decide::{Desk, set};
use super::run::Line;
use crate::alarm::ActiveSet;
use crate::hold::{self, Ask, Book, Hold, STORED_AS, Scope, Shown, Subject, Window};
use crate::outbox::{Decision, OutboxError};
use crate::redact::Redactor;
use crate::rule::{Finding, Verdict};
use crate::source::Position;

/// What the agent says of itself comes from sources that no configuration can name: it is never held.
const OWN: char = '\u{1}';

impl Desk {
    /// For what an alarm that is raised now is held back.
    pub(super) fn hold(&self, told: &Finding, now: Time) -> Option<Hold> {
        let Verdict::Raise(raise) = &told.verdict else { return None };
        if raise.test || told.source.starts_with(OWN) {
            return None;
        }
        why(&self.windows, &self.alarms, &Subject::of(&told.device, &told.identity.kind), now)
    }

    /// Time has passed for windows and for what is held: what is held for nothing any more is told.
    pub(super) fn look_at_windows(&mut self, now: Time, decision: &mut Decision) {
        self.windows_unsaved |= self.windows.advance(now);
        if self.windows_unsaved {
            let position = Position(self.windows.stored());
            set(&mut decision.positions, &STORED_AS.into(), position);
        }
        let windows = &self.windows;
        let told = self.alarms.release(|alarms, subject| why(windows, alarms, subject, now), now);
        for alarm in told {
            tracing::info!(alarm_id = %alarm.alarm_id, kind = alarm.kind, "held alarm still stands: raised");
            self.staged.counts.released += 1;
            self.tell(alarm, decision);
        }
    }
}

impl Desk {
    /// Alarms that hold others back say which.
    pub(super) fn look_at_held(&mut self, now: Time, decision: &mut Decision) {
        for alarm in self.alarms.tell_held(now) {
            self.tell(alarm, decision);
        }
    }
}

impl Line {
    /// Does what a person asks of the windows. What they no longer hold is told at once.
    pub(super) async fn maintain(
        &mut self,
        ask: Ask,
    ) -> Result<Result<Vec<Shown>, String>, OutboxError> {
        let now = Time::now();
        let changes = ask != Ask::List;
        if let Some(why) = self.unknown(&ask) {
            return Ok(Err(why));
        }
        let ask = told_ask(ask, &self.desk.redactor);
        let shown = match self.desk.windows.ask(ask, now) {
            Ok(shown) => shown,
            Err(why) => return Ok(Err(why)),
        };
        if changes {
            self.desk.windows_unsaved = true;
            let mut decision = self.desk.begin(now);
            self.desk.look_at_windows(now, &mut decision);
            self.desk.finish(&mut decision);
            match self.store(decision).await {
                Err(OutboxError::Closed) => return Err(OutboxError::Closed),
                // It is in force; the next tick stores it.
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "maintenance not stored yet"
                ),
                Ok(()) => {}
            }
        }
        Ok(Ok(shown))
    }
}

impl Line {
    /// Which of the names is none that is watched: such a window would hold nothing.
    fn unknown(&self, ask: &Ask) -> Option<String> {
        let Ask::Start { scope, .. } = ask else { return None };
        let names: Vec<&str> = self.devices.iter().map(|device| device.name.as_str()).collect();
        let sites: Vec<&str> =
            self.devices.iter().filter_map(|device| device.site.as_deref()).collect();
        let missing = |what: &str, wanted: &[String], known: &[&str]| {
            let name = wanted.iter().find(|name| !known.contains(&name.as_str()))?;
            let hint = did_you_mean(name, known.iter().copied()).map(|hint| format!("; {hint}"));
            Some(format!("no {what} {name:?} is configured{}", hint.unwrap_or_default()))
        };
        missing("device", &scope.devices, &names)
            .or_else(|| missing("device at the site", &scope.sites, &sites))
    }
}

fn why(windows: &Book, alarms: &ActiveSet, subject: &Subject, now: Time) -> Option<Hold> {
    let parent = || {
        let is_part_down = |device: &str, part: &str| alarms.is_part_down(device, part);
        hold::behind(subject, |device| alarms.is_down(device), is_part_down)
    };
    windows.holds(subject, now).or_else(parent)
}

/// Names as they are told: alarms are compared with these.
pub(super) fn told_windows(windows: Vec<Window>, redactor: &Redactor) -> Vec<Window> {
    let told = |window: Window| Window { scope: told_scope(window.scope, redactor), ..window };
    windows.into_iter().map(told).collect()
}

fn told_scope(scope: Scope, redactor: &Redactor) -> Scope {
    let devices = scope.devices.iter().map(|name| redactor.id(name).into_owned());
    Scope { devices: devices.collect(), sites: scope.sites }
}

fn told_ask(ask: Ask, redactor: &Redactor) -> Ask {
    match ask {
        Ask::Start { scope, length_ms, reason, by } => {
            let reason = redactor.text(&reason).into_owned();
            Ask::Start { scope: told_scope(scope, redactor), length_ms, reason, by }
        }
        // The centre names devices as they are told to it.
        other => other,
    }
}
