//! Rules: (state, reading, now) → findings. Pure: no clock, no file, no network, no task.

pub mod definition;

pub use definition::{Condition, Level, Op, Rule, Template};
