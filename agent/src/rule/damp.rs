//! What the engine does beside judging single readings: rates and differences before, damping behind.

use std::borrow::Cow;

use callhome_shared::alarm::Identity;
use callhome_shared::time::Time;

use super::engine::{Engine, thing_key};
use super::finding::{Finding, Verdict};
use super::gate::{Gate, Manner, Say, Verdict as Word};
use super::sample;
use super::saying::Saying;
use super::table::{Memory, SEPARATOR};
use super::{ANSWER, Condition, Damping, Measure};
use crate::source::{ABSENT, Reading, SKIPPED, Value};

/// Behind a thing's key: the state of its damping.
const GATE: char = 'g';
/// Behind a thing's key: the last reading of it.
const SAMPLE: char = 's';

impl Engine {
    /// The reading as the rule's limits are on it; `None` = there is nothing to judge yet.
    pub(super) fn measured<'r>(
        &mut self,
        saying: Saying<'_>,
        measure: Measure,
        reading: &'r Reading,
    ) -> Option<Cow<'r, Reading>> {
        if measure == Measure::Value {
            return Some(Cow::Borrowed(reading));
        }
        let source = saying.context.source;
        let key = beside(&thing_key(saying.rule, &saying.id(&reading.resource)), SAMPLE);
        if is_gone(reading) {
            self.remember(source, &key, None, None, reading.observed_at);
            return Some(Cow::Borrowed(reading));
        }
        let last = match self.table.get(source, &key).map(|state| &state.memory) {
            Some(Memory::Sample(last)) => Some(last),
            _ => None,
        };
        let (next, derived) = sample::derive(measure, last, reading)?;
        let stands_still = last.is_some_and(|last| last.is_at(&next));
        let (memory, at) = (Memory::Sample(next), reading.observed_at);
        if stands_still {
            // Most counters of errors never move: only when they last stood there changes, which is
            // not worth a row in the file at each poll. After a restart the interval is longer.
            self.table.refresh(source, &key, memory, at);
        } else if !self.remember(source, &key, None, Some(memory), at) {
            return None;
        }
        let unit = match measure {
            Measure::Rate => format!("{}/s", reading.unit).into(),
            Measure::Value | Measure::Delta => reading.unit.clone(),
        };
        Some(Cow::Owned(Reading { value: Value::Number(derived?), unit, ..reading.clone() }))
    }

    /// Says what a rule found, or what damping makes of it. `key` is the thing's.
    pub(super) fn tell(
        &mut self,
        saying: Saying<'_>,
        key: &str,
        reading: &Reading,
        (identity, verdict): (Identity, Verdict),
        findings: &mut Vec<Finding>,
    ) {
        let Some(damping) = saying.rule.damping.as_deref() else {
            findings.push(saying.finding(reading, identity, verdict));
            return;
        };
        let at = reading.observed_at;
        let key = beside(key, GATE);
        let known = match self.table.get(saying.context.source, &key).map(|state| &state.memory) {
            Some(Memory::Gate(gate)) => Some((**gate).clone()),
            _ => None,
        };
        let (gate, say) = match (&verdict, known) {
            (Verdict::Clear { .. }, None) => return,
            (Verdict::Clear { .. }, Some(mut gate)) => {
                let manner = manner(saying);
                let say = match is_gone(reading) {
                    // It will not come and go any more.
                    true => gate.end(),
                    false => gate.step(damping, manner, Word::Good, at),
                };
                (gate, say)
            }
            (Verdict::Raise(raise), known) => {
                let mut gate = known.unwrap_or_else(|| Gate::new(identity, (**raise).clone(), at));
                gate.heed(raise);
                let say = gate.step(damping, manner(saying), Word::Bad, at);
                (gate, say)
            }
        };
        self.pronounce(saying, &key, gate, (say, Some(verdict)), reading, findings);
    }

    /// The fault that damping remembers of a thing.
    pub(super) fn damped(&self, saying: Saying<'_>, key: &str) -> Option<Identity> {
        saying.rule.damping.as_ref()?;
        match &self.table.get(saying.context.source, &beside(key, GATE))?.memory {
            Memory::Gate(gate) => Some(gate.identity.clone()),
            _ => None,
        }
    }

    /// Whether damping has an alarm standing on a thing.
    pub(super) fn stands(&self, saying: Saying<'_>, key: &str) -> bool {
        let state = self.table.get(saying.context.source, &beside(key, GATE));
        matches!(state.map(|state| &state.memory), Some(Memory::Gate(gate)) if gate.said.is_some())
    }

    /// Time passes for what a damped rule remembers.
    pub(super) fn wait(
        &mut self,
        saying: Saying<'_>,
        damping: &Damping,
        now: Time,
        findings: &mut Vec<Finding>,
    ) {
        let source = saying.context.source;
        for (key, state) in self.table.with_prefix(source, &thing_key(saying.rule, "")) {
            let Memory::Gate(mut gate) = state.memory else { continue };
            let say = gate.step(damping, manner(saying), Word::Later, now);
            self.pronounce(saying, &key, *gate, (say, None), &saying.later(now), findings);
        }
    }

    fn pronounce(
        &mut self,
        saying: Saying<'_>,
        key: &str,
        gate: Gate,
        (say, own): (Say, Option<Verdict>),
        reading: &Reading,
        findings: &mut Vec<Finding>,
    ) {
        let active = gate.said.is_some().then(|| gate.identity.clone());
        let (identity, words) = (gate.identity.clone(), gate.words.clone());
        let memory = (!gate.is_idle()).then(|| Memory::Gate(Box::new(gate)));
        if !self.remember(saying.context.source, key, active, memory, reading.observed_at) {
            return;
        }
        let verdict = match (say, own) {
            (Say::Nothing, _) | (Say::Pass, None) => return,
            (Say::Pass, Some(own)) => own,
            (Say::Raise, _) => Verdict::Raise(words),
            (Say::Clear, _) => Verdict::Clear { own_only: manner(saying) == Manner::Polled },
        };
        findings.push(saying.finding(reading, identity, verdict));
    }
}

/// A thing that is gone or does not count says nothing any more.
fn is_gone(reading: &Reading) -> bool {
    matches!(&reading.value, Value::Text(word) if [SKIPPED, ABSENT].contains(&word.as_str()))
}

fn manner(saying: Saying<'_>) -> Manner {
    match &saying.rule.condition {
        Condition::Pattern { clear: Some(_), .. } => Manner::Lines,
        // The end of a later answer clears.
        Condition::Pattern { .. } if saying.rule.metric.starts_with(ANSWER) => Manner::Lines,
        Condition::Pattern { .. } => Manner::Events,
        _ => Manner::Polled,
    }
}

fn beside(key: &str, what: char) -> String {
    format!("{key}{SEPARATOR}{SEPARATOR}{what}")
}
