//! What a rule is, as resolved from a profile or the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use callhome_shared::severity::Severity;

use super::Expression;
use crate::source::Reading;

/// One rule: which readings it looks at, when it is a fault, and what the alarm says.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The pack it came from: a profile's name, `config`, or `builtin`.
    pub pack: String,
    /// The pack's version.
    pub version: String,
    /// Unique within its pack and source.
    pub id: String,
    /// [`crate::source::Reading::metric`] it looks at.
    pub metric: String,
    /// When it is a fault.
    pub condition: Condition,
    /// What must come together before it is told; `None` = each verdict is told as it comes.
    pub damping: Option<Box<Damping>>,
    /// What the alarm says.
    pub template: Template,
}

impl Rule {
    /// Whether the passing of time alone says something to it.
    pub fn minds_time(&self) -> bool {
        self.damping.is_some()
            || matches!(self.condition, Condition::Silence { .. } | Condition::Told)
    }
}

/// When a reading is a fault.
#[derive(Clone, Debug)]
pub enum Condition {
    /// A number beyond a limit. The worst level that holds counts.
    Threshold {
        /// Levels, any order.
        levels: Vec<Limit>,
        /// It must hold this long (by the readings' `observed_at`) before it raises, ms.
        for_ms: i64,
        /// What the limits are on.
        measure: Measure,
    },
    /// An enumerated state. Keys are the value as text (numbers without fraction: `3`).
    StateMap {
        /// `None` = this state is healthy and clears.
        states: BTreeMap<String, Option<Severity>>,
        /// For values that are not in the map, likewise: `None` = they say nothing (neither raise nor clear).
        otherwise: Option<Option<Severity>>,
        /// It must hold this long before it raises, ms.
        for_ms: i64,
    },
    /// A line that matches. Captures fill the template (`${name}`, `${1}`).
    Pattern {
        /// Raises.
        raise: Expression,
        /// Clears the alarm with the same resource and qualifier, filled from its own captures.
        clear: Option<Expression>,
        /// Severity of what it raises.
        severity: Severity,
    },
    /// A probe came through the source's reader: a synthetic fault, raised at once. Only
    /// [`crate::source::Value::Probe`] is one, whatever a metric is called.
    Probe,
    /// The reading itself is the word of a fault (a trap): its label `severity` says how bad, and without
    /// one the fault is over. Label `ends_s`: it ends by itself after so many seconds.
    Told,
    /// Nothing of this metric was read for so long. Cleared by the next reading.
    Silence {
        /// How long, ms.
        after_ms: i64,
        /// Severity.
        severity: Severity,
    },
}

/// What a limit is on: the value read, or what became of it since the reading before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measure {
    /// The value.
    #[default]
    Value,
    /// Its change by the second. Wraps of counters are taken into account; an interval in which the
    /// device was started gives nothing.
    Rate,
    /// Its change from one reading to the next, likewise.
    Delta,
}

/// What must come together before a fault is told, and what is told of one that comes and goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Damping {
    /// Lines: no clearing line may follow for so long, ms. (Values have it in their condition.)
    pub for_ms: i64,
    /// It must happen so often.
    pub count: Option<Count>,
    /// One alarm for a fault that comes and goes.
    pub flapping: Option<Flapping>,
}

/// A number of times within a window. The alarm ends when the window is empty and the fault is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// So often, at most [`MAX_COUNT`].
    pub times: u32,
    /// Within so long, ms.
    pub within_ms: i64,
}

/// Times that a [`Count`] may ask for: each is remembered.
pub const MAX_COUNT: u32 = 100;

/// When a fault flaps: by the share of changes among the last 21 verdicts, newer ones weighing more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flapping {
    /// It flaps from this share on, percent.
    pub high: f64,
    /// It flaps no more below this share, percent.
    pub low: f64,
    /// Lines: how far back the verdicts reach, ms. (Values: 21 readings.)
    pub within_ms: i64,
}

impl Default for Flapping {
    fn default() -> Self {
        Flapping { high: 50.0, low: 25.0, within_ms: 3_600_000 }
    }
}

/// A limit as the rule gives it: a number, or where the device says it.
#[derive(Clone, Debug, PartialEq)]
pub enum Limit {
    /// The rule says it.
    Fixed(Level),
    /// The device says it: it is in a label of the reading, and where that is absent there is no limit.
    Read {
        /// Severity beyond it.
        severity: Severity,
        /// Which side is bad.
        op: Op,
        /// The label.
        label: Arc<str>,
        /// How far behind the limit it counts as back, in the reading's unit.
        back: f64,
    },
}

impl From<Level> for Limit {
    fn from(level: Level) -> Self {
        Limit::Fixed(level)
    }
}

impl Limit {
    /// The limit for this reading.
    pub fn level(&self, reading: &Reading) -> Option<Level> {
        match self {
            Limit::Fixed(level) => Some(*level),
            Limit::Read { severity, op, label, back } => {
                let said = reading.labels.iter().find(|(name, _)| name == label);
                let limit: f64 = said?.1.parse().ok()?;
                let clear = match op {
                    Op::Above => limit - back,
                    Op::Below => limit + back,
                };
                Some(Level { severity: *severity, op: *op, limit, clear })
            }
        }
    }
}

/// One limit of a threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Severity beyond it.
    pub severity: Severity,
    /// Which side is bad.
    pub op: Op,
    /// The limit, in the reading's unit. Reaching it is beyond it.
    pub limit: f64,
    /// Where it counts as back (hysteresis): below `clear` for [`Op::Above`], above it for [`Op::Below`].
    pub clear: f64,
}

impl Level {
    /// Whether a value is at or beyond the limit.
    pub fn is_reached(&self, value: f64) -> bool {
        match self.op {
            Op::Above => value >= self.limit,
            Op::Below => value <= self.limit,
        }
    }

    /// Whether a value is back behind `clear`.
    pub fn is_back(&self, value: f64) -> bool {
        match self.op {
            Op::Above => value < self.clear.min(self.limit),
            Op::Below => value > self.clear.max(self.limit),
        }
    }
}

/// Which side of a limit is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Values at or above the limit.
    Above,
    /// Values at or below the limit.
    Below,
}

/// What the alarm says. Texts may hold `${…}`: a capture's name or number, a label of the reading,
/// `resource`, `metric`, `value`, `unit`, `device`.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// Alarm type, for instance `disk-failed`.
    pub kind: String,
    /// Tells apart several alarms of one type on one resource.
    pub qualifier: String,
    /// Resource; empty = the reading's own.
    pub resource: String,
    /// The device's words; empty = the line, or `metric = value unit`.
    pub text: String,
    /// Knowledge key.
    pub fault_code: Option<String>,
    /// What usually mends it.
    pub proposed_repair: Option<String>,
}
