//! A probe on its way through the line: raised and over in one envelope of its own kind.

use callhome_shared::envelope::Kind;
use callhome_shared::id::new_uuid;
use callhome_shared::probe::Probe;
use callhome_shared::time::Time;

use super::decide::{Desk, json};
use crate::outbox::{Committed, Decision, Draft};
use crate::rule::{Finding, Verdict};
use crate::source::probe::Entered;

impl Desk {
    /// Takes a probe that came through a reader, with what the rules found of it.
    pub(super) fn probe(
        &mut self,
        entered: Entered,
        finding: Option<Finding>,
        decision: &mut Decision,
    ) {
        let nonce = entered.nonce();
        // One that nobody waits for any more was asked for again.
        let Some(about) = self.probes.about(nonce) else { return };
        let Some(finding) = finding else {
            self.probes.refused(nonce, "no rule took it");
            return;
        };
        let device = self.redactor.device(&finding.device);
        let finding = Finding { device, ..finding };
        let under = self.redactor.fingerprint();
        // Asked first: a probe that found no place is no fault that is lost.
        let room = !self.alarms.is_full();
        let raised = room.then(|| self.alarms.apply(&finding, under, None, new_uuid));
        let Some(alarm) = raised.flatten() else {
            self.probes.refused(nonce, "the set of active alarms is full");
            return;
        };
        // Over at once: no active set, count or digest ever holds it.
        let over = Finding { verdict: Verdict::Clear { own_only: true }, ..finding };
        self.alarms.apply(&over, under, None, new_uuid);
        let passed = i64::try_from(entered.began().elapsed().as_millis()).unwrap_or_default();
        let alarm_id = alarm.alarm_id;
        let probe = Probe {
            source: self.redactor.id(&about.source).into_owned(),
            source_kind: about.kind,
            started_at: Time::now().plus_ms(-passed),
            interval_s: about.interval_s,
            alarm,
        };
        decision.drafts.push(Draft {
            id: new_uuid(),
            kind: Kind::Probe,
            time: decision.time,
            data: json(&probe),
        });
        // Told before it is stored: its receipt may be faster than our own answer from the disk.
        self.probes.decided(nonce, alarm_id, entered.began());
        self.staged.probes.push(alarm_id);
    }

    /// The last decision is in the outbox.
    pub(super) fn probes_stored(&mut self, committed: Committed) {
        for alarm_id in std::mem::take(&mut self.stored_probes) {
            self.probes.stored(alarm_id, committed.epoch, committed.last_seq);
        }
    }
}
