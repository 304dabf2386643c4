//! Faults that are told: what a reading says of them is all that is known.

use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use super::{Engine, thing_key};
use crate::rule::finding::{Finding, Verdict};
use crate::rule::saying::{Saying, words_of};
use crate::rule::table::{Memory, SEPARATOR, State};
use crate::source::{Reading, Value};

/// From one look for faults that end by themselves to the next.
const LOOK_MS: i64 = 5_000;

impl Engine {
    pub(super) fn judge_told(
        &mut self,
        saying: Saying<'_>,
        reading: &Reading,
        findings: &mut Vec<Finding>,
    ) {
        if !matches!(reading.value, Value::Line { .. }) {
            return;
        }
        let words = saying.words(reading, None);
        let identity = saying.identity(&words);
        let severity = Severity::parse(words_of(reading, "severity"));
        let ends_s: Option<i64> = words_of(reading, "ends_s").parse().ok();
        let at = reading.observed_at;
        let ends =
            ends_s.filter(|_| severity.is_some()).map(|s| at.plus_ms(s.saturating_mul(1000)));
        let parts = [&identity.device, &identity.resource, &identity.kind, &identity.qualifier];
        let thing = parts.map(String::as_str).join(&SEPARATOR.to_string());
        let key = thing_key(saying.rule, &thing);
        let active = ends.map(|_| identity.clone());
        // Without a place it is raised all the same, but does not end by itself.
        self.remember(saying.context.source, &key, active, ends.map(Memory::Told), at);
        let verdict = match severity {
            Some(severity) => saying.raise(&words, severity, saying.told(reading, &identity)),
            None => Verdict::Clear { own_only: false },
        };
        findings.push(saying.finding(reading, identity, verdict));
    }

    /// Ends what was told so long ago that it is not true any more.
    pub(super) fn end_told(&mut self, saying: Saying<'_>, now: Time, findings: &mut Vec<Finding>) {
        let source = saying.context.source;
        for (key, state) in self.table.with_prefix(source, &thing_key(saying.rule, "")) {
            let State { active: Some(identity), memory: Memory::Told(ends), .. } = state else {
                continue;
            };
            if now < ends {
                continue;
            }
            self.remember(source, &key, None, None, now);
            let reading = saying.later(now);
            findings.push(saying.finding(&reading, identity, Verdict::Clear { own_only: true }));
        }
    }

    /// The faults that end by themselves were looked at.
    pub(super) fn told_checked(&mut self, now: Time) {
        if now >= self.told_next {
            self.told_next = now.plus_ms(LOOK_MS);
        }
    }
}
