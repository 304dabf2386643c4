//! After a change of configuration: what nothing watches any more is ended, and said to be.

use callhome_shared::alarm::{Alarm, Identity, RuleRef};
use callhome_shared::clear_all::{CONFIGURATION, ClearAll};
use callhome_shared::envelope::Kind;
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;

use super::decide::{Desk, json};
use super::run::Line;
use crate::alarm::{self, All, Unwatched};
use crate::outbox::{Decision, Draft};
use crate::redact::Redactor;

impl Line {
    /// Alarms that no rule can clear any more are cleared, and states that no rule can use are removed
    /// (those of a source that reads by a plan: as soon as that is known, [`Desk::batch`]). If that
    /// cannot be stored now, the next start does it.
    pub(super) async fn tidy(
        &mut self,
        states: Vec<String>,
        alarms: Vec<String>,
        redactor: &Redactor,
        now: Time,
    ) {
        let mut decision = self.desk.begin(now);
        let engine = &self.desk.engine;
        let known = |source: &str, rule: &RuleRef| engine.knows(source, &rule.pack, &rule.id);
        let same = |told_under: &str, alarm: &Alarm| {
            redactor.still_says(told_under, &alarm.device, &alarm.identity())
        };
        let lost = self.desk.alarms.clear_unwatched(known, same, now);
        let identities: Vec<Identity> = lost.iter().map(|lost| lost.alarm.identity()).collect();
        self.desk.engine.forget(&identities);
        self.desk.tell_unwatched(lost, &mut decision);
        decision.rules.extend(states.into_iter().map(|key| (key, None)));
        decision.alarms.extend(alarms.into_iter().map(|key| (key, None)));
        self.desk.finish(&mut decision);
        if let Err(error) = self.store(decision).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "not tidied at the start");
        }
    }
}

impl Desk {
    /// The same for what was found to be watched by nothing: nobody is told of what was held back.
    pub(super) fn tell_unwatched(&mut self, lost: Vec<Unwatched>, decision: &mut Decision) {
        let told = lost.into_iter().filter(|lost| lost.told).map(|lost| lost.alarm);
        self.tell_ended(told.collect(), decision);
    }

    /// Adds the ends of alarms that nothing watches any more: in one word where it is many and nothing
    /// else of their device, or of the agent, stands. Their ends must be staged.
    pub(super) fn tell_ended(&mut self, ended: Vec<Alarm>, decision: &mut Decision) {
        if ended.is_empty() {
            return;
        }
        let ended = alarm::together(ended, &self.alarms.devices());
        for all in &ended.all {
            self.tell_all(all, decision);
        }
        for alarm in ended.each {
            tracing::info!(alarm_id = %alarm.alarm_id, "cleared: not watched, or told otherwise, now");
            self.tell(alarm, decision);
        }
    }

    fn tell_all(&mut self, all: &All, decision: &mut Decision) {
        let count = all.alarms.len() as u64;
        tracing::info!(
            device = all.device,
            alarms = count,
            "no alarm stands any more: not watched, or told otherwise, now"
        );
        self.staged.counts.cleared += count;
        self.staged.counts.clear_alls += 1;
        let reason = CONFIGURATION.to_owned();
        let said = ClearAll { at: decision.time, device: all.device.clone(), reason, count };
        let (kind, data) = (Kind::ClearAll, json(&said));
        decision.drafts.push(Draft { id: new_uuid(), kind, time: decision.time, data });
    }
}
