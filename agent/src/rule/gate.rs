//! Damping: what must come together before a fault is told, and what is told of one that comes and goes.
//! Between the rule's own verdict on each reading and the finding that leaves.

use callhome_shared::alarm::Identity;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};

use super::definition::Damping;
use super::finding::Raise;

/// Verdicts that flapping looks at, the newest included (as Nagios).
pub(super) const HISTORY: u32 = 21;
/// Weight of the oldest and of the newest change among them (as Nagios).
const WEIGHTS: (f64, f64) = (0.75, 1.25);

/// What is remembered of one fault of a damped rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Gate {
    /// The fault.
    pub(super) identity: Identity,
    /// How it is told.
    pub(super) words: Box<Raise>,
    /// The rule's last verdict.
    bad: bool,
    /// Since when.
    since: Time,
    /// The newest times at which it became bad (lines: was said), within the window of the count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    times: Vec<Time>,
    /// Whether the count was reached and the window has not been empty since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    counted: bool,
    /// The last [`HISTORY`] verdicts, a bit each, the newest lowest; set = bad.
    #[serde(default)]
    history: u32,
    /// Lines: when the history last moved on.
    #[serde(default)]
    moved: Time,
    /// Whether it flaps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    flapping: bool,
    /// What stands told: an alarm, and whether it flaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) said: Option<bool>,
}

/// What the rule itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The fault is there.
    Bad,
    /// It is gone.
    Good,
    /// Nothing was read: time passes.
    Later,
}

/// How the rule comes to its verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// By values that are read again and again.
    Polled,
    /// By lines that say when it is over.
    Lines,
    /// By lines that only say that it happened.
    Events,
}

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Say {
    /// Nothing new.
    Nothing,
    /// The alarm, with the words kept; whether it flaps is in them.
    Raise,
    /// The rule's own words on an alarm that stands.
    Pass,
    /// That it is over.
    Clear,
}

impl Gate {
    /// Nothing was seen of this fault yet.
    pub(super) fn new(identity: Identity, words: Raise, at: Time) -> Self {
        Gate {
            identity,
            words: Box::new(words),
            bad: false,
            since: at,
            times: Vec::new(),
            counted: false,
            history: 0,
            moved: at,
            flapping: false,
            said: None,
        }
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_idle(&self) -> bool {
        !self.bad && self.history == 0 && self.times.is_empty() && self.said.is_none()
    }

    /// Takes the words of a bad verdict: those it began with, or worse ones. (Not those of each
    /// reading: an alarm that stands must not be written again and again.)
    pub(super) fn heed(&mut self, raise: &Raise) {
        if !self.bad || raise.severity > self.words.severity {
            *self.words = raise.clone();
        }
    }

    /// The thing is gone: it is over at once, and nothing is remembered.
    pub(super) fn end(&mut self) -> Say {
        let identity = self.identity.clone();
        let say = if self.said.is_some() { Say::Clear } else { Say::Nothing };
        *self = Gate::new(identity, (*self.words).clone(), self.since);
        say
    }

    /// Moves on. The words of a bad verdict were heeded before.
    pub(super) fn step(
        &mut self,
        damping: &Damping,
        manner: Manner,
        verdict: Verdict,
        at: Time,
    ) -> Say {
        self.mind_the_clock(at);
        self.note(damping, manner, verdict, at);
        self.count(damping, manner, at);
        let ripe = self.bad && at.since_ms(self.since) >= damping.for_ms;
        let stands = match damping.count {
            Some(_) => self.counted,
            None => ripe,
        };
        if let Some(limits) = &damping.flapping {
            let share = flapping_percent(self.history);
            let limit = if self.flapping { limits.low } else { limits.high };
            // At the lower limit it still flaps.
            self.flapping = share >= limit;
        }
        self.words.flapping = self.flapping;
        let say = match (self.said, stands || self.flapping) {
            (None, false) => Say::Nothing,
            (None, true) => Say::Raise,
            (Some(_), false) => Say::Clear,
            (Some(told), true) if told != self.flapping => Say::Raise,
            (Some(_), true) if verdict == Verdict::Bad && !self.flapping => Say::Pass,
            (Some(_), true) => Say::Nothing,
        };
        match say {
            Say::Raise => self.said = Some(self.flapping),
            Say::Clear => self.said = None,
            Say::Nothing | Say::Pass => {}
        }
        say
    }

    /// A clock that was set back must not lengthen any wait: it begins anew.
    fn mind_the_clock(&mut self, at: Time) {
        self.since = self.since.min(at);
        self.moved = self.moved.min(at);
        for time in &mut self.times {
            *time = (*time).min(at);
        }
    }

    /// Takes the verdict.
    fn note(&mut self, damping: &Damping, manner: Manner, verdict: Verdict, at: Time) {
        let lines = manner != Manner::Polled;
        if let Some(flapping) = damping.flapping.as_ref().filter(|_| lines) {
            // Between lines nothing is judged again and again: the time that passes without one stands
            // for as many verdicts as would have been in it.
            let slot = (flapping.within_ms / i64::from(HISTORY - 1)).max(1);
            let slots = at.since_ms(self.moved) / slot;
            if slots > 0 {
                for _ in 0..slots.min(i64::from(HISTORY)) {
                    self.push(self.bad);
                }
                self.moved = Time(self.moved.millis().saturating_add(slots.saturating_mul(slot)));
            }
        }
        let bad = match verdict {
            Verdict::Later => return,
            Verdict::Bad => true,
            Verdict::Good => false,
        };
        if let (true, Some(count)) = (bad && (lines || !self.bad), &damping.count) {
            self.times.push(at);
            let most = usize::try_from(count.times).unwrap_or(usize::MAX);
            let surplus = self.times.len().saturating_sub(most);
            self.times.drain(..surplus);
        }
        if bad != self.bad {
            self.since = at;
            self.bad = bad;
        }
        if damping.flapping.is_some() {
            self.push(bad);
        }
    }

    /// Whether it happened often enough, and not yet rarely enough again.
    fn count(&mut self, damping: &Damping, manner: Manner, at: Time) {
        let Some(count) = &damping.count else { return };
        self.times.retain(|time| at.since_ms(*time) < count.within_ms);
        if self.times.len() >= usize::try_from(count.times).unwrap_or(usize::MAX) {
            self.counted = true;
        }
        if self.times.is_empty() && manner == Manner::Events {
            self.bad = false;
        }
        if self.times.is_empty() && !self.bad {
            self.counted = false;
        }
    }

    fn push(&mut self, bad: bool) {
        self.history = ((self.history << 1) | u32::from(bad)) & ((1 << HISTORY) - 1);
    }
}

/// How much of the last verdicts were changes, in percent; newer ones weigh more.
pub(super) fn flapping_percent(history: u32) -> f64 {
    let changes = HISTORY - 1;
    let step = (WEIGHTS.1 - WEIGHTS.0) / f64::from(changes - 1);
    let weight = |age: u32| {
        let changed = (history >> age) & 1 != (history >> (age + 1)) & 1;
        if changed { WEIGHTS.1 - step * f64::from(age) } else { 0.0 }
    };
    (0..changes).map(weight).sum::<f64>() * 100.0 / f64::from(changes)
}
