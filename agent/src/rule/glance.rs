//! What a rule says of one value alone, apart from what came before and how long it has lasted.

use callhome_shared::severity::Severity;

use super::{Condition, Measure, state_map};
use crate::source::{Reading, Value};

/// What one value means to one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// A fault.
    Bad(Severity),
    /// Healthy.
    Good,
    /// A state that the rule does not know.
    Unknown,
}

/// Looks at a value; `None` = the rule judges something else than values, or has no limit for it.
pub fn glance(condition: &Condition, reading: &Reading) -> Option<Glance> {
    match condition {
        Condition::StateMap { states, otherwise, .. } => {
            Some(match state_map::judge(states, *otherwise, &reading.value) {
                state_map::Judgement::Bad(severity) => Glance::Bad(severity),
                state_map::Judgement::Good => Glance::Good,
                state_map::Judgement::Unknown => Glance::Unknown,
            })
        }
        Condition::Threshold { levels, measure: Measure::Value, .. } => {
            let Value::Number(number) = reading.value else { return None };
            let levels: Vec<_> = levels.iter().filter_map(|limit| limit.level(reading)).collect();
            let beyond = levels.iter().filter(|level| level.is_reached(number));
            let worst = beyond.map(|level| level.severity).max();
            (!levels.is_empty()).then(|| worst.map_or(Glance::Good, Glance::Bad))
        }
        _ => None,
    }
}
