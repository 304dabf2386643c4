//! Alarms: findings → raise, change, clear. Pure.
//!
//! The [`ActiveSet`] holds every living alarm by its identity. Like the rules' states, changes are
//! staged until the line has stored them.

mod set;

#[cfg(test)]
mod tests;

pub use set::{ActiveSet, CHANGE_INTERVAL_MS, MAX_ACTIVE};
