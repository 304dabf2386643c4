//! Rules: (state, reading, now) → findings. Pure: no clock, no file, no network, no task.
//!
//! The [`Engine`] holds what rules remember between readings. Changes are staged: the line stores
//! [`Engine::changes`] with everything else that follows from a batch and then calls
//! [`Engine::keep`], or [`Engine::discard`] if the transaction failed.
//!
//! Two metrics are special. Lines of a scheduled command's answer come as `answer:<command id>`, and
//! the end of a complete answer as `answer-end:<command id>`: an alarm that a pattern on the answer
//! raised, and that no line of this answer raised again, is cleared by it.

mod damp;
pub mod definition;
mod engine;
mod expression;
mod finding;
mod gate;
mod glance;
mod pattern;
mod sample;
mod saying;
mod set;
mod state_map;
mod table;
mod template;
mod threshold;

#[cfg(test)]
mod tests;

pub use definition::{
    Condition, Count, Damping, Flapping, Level, Limit, MAX_COUNT, Measure, Op, Rule, Template,
};
pub use engine::{Context, Engine, Watched};
pub use expression::Expression;
pub use finding::{Finding, Raise, Repeat, Verdict};
pub use glance::{Glance, glance};
pub use set::RuleSet;
pub use table::STATES_PER_SOURCE;

/// A device's id as alarms carry it.
pub fn told_id(
    redactor: &crate::redact::Redactor,
    device: &callhome_shared::alarm::Device,
) -> String {
    template::id(&redactor.device_id(device))
}

/// Metric of whether a source's path to a ticket is proven: 1, or 0 with the labels `hop` and `detail`.
/// Only rules of the agent's own look at it, on a source that no configuration can name.
pub const PATH: &str = "callhome.path";
/// Prefix of the metric of an answer's lines.
pub const ANSWER: &str = "answer:";
/// Prefix of the metric that ends a complete answer.
pub const ANSWER_END: &str = "answer-end:";
