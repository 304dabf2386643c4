//! Alarms: findings → raise, change, clear. Pure.
//!
//! The [`ActiveSet`] holds every living alarm by its identity. Like the rules' states, changes are
//! staged until the line has stored them.

mod behind;
mod ended;
mod held;
mod set;

#[cfg(test)]
mod tests;

pub use behind::EVIDENCE;
pub use ended::{All, Ended, TOGETHER, together};
pub use held::HeldCounts;
pub use set::{ActiveSet, CHANGE_INTERVAL_MS, MAX_ACTIVE, Unwatched};
