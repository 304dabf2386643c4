//! Clocks: what a service plan promises of a ticket, and how much of it has passed. Pure.
//!
//! A [`Plan`] says, by priority, which limits there are (respond, on site, diagnose, restore, further ones), in
//! which hours they run, when there is a warning and who is told when. A ticket's [`Promise`] makes
//! [`Terms`] of it; a clock's [`Life`] is a [`fold`] over its events, [`moments`] says what is due
//! when, [`explain`] why.

mod check;
mod explain;
mod follow;
mod life;
mod moments;
mod plan;
mod preset;
mod promise;
mod within;

pub use check::{WORDS, check, is_name};
pub use explain::{Because, Line, explain};
pub use follow::{deed, follow};
pub use life::{At, Event, Life, Rest, State, Terms, What, fold};
pub use moments::{Due, Moment, moments};
pub use plan::{Escalation, LEVELS, LIMITS, Limit, PRIORITIES, Plan, Start, Step, Title};
pub use preset::{Preset, presets};
pub use promise::{Named, Promise, terms};
pub use within::{UNLIMITED, Within, length};

#[cfg(test)]
mod tests;
