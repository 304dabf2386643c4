//! Load → decide (pure) → one transaction → acknowledge.
//!
//! [`intake`] does it for what agents deliver, [`tickets`] for what people do, [`silence`] for what
//! agents no longer say, [`paths`] for paths that are not proven, [`ending`] for the collector's own
//! certificates; [`clocks`] for what is promised of tickets; [`sweep`] lets old rows go. All write through one transaction and tell [`Event`]s afterwards, never before.
//!
//! Of an intake batch: `batch` reads the deliveries, `ledger` loads the rows they touch, `decide`
//! applies them with the pure rooms, `save` writes what changed, `answer` makes the
//! acknowledgements and receipts.

pub mod access;
pub mod alerts;
pub mod clocks;
pub mod diagnosis;
pub mod duty;
pub mod ending;
pub mod findings;
pub mod intake;
pub mod knowledge;
pub mod masters;
pub mod mine;
pub mod notices;
pub mod oidc;
pub mod paths;
pub mod record;
pub mod report;
pub mod rounds;
pub mod scribe;
pub mod search;
pub mod silence;
pub mod sweep;
pub mod tickets;
pub mod views;

mod adopt;
mod answer;
mod batch;
mod clear_all;
mod decide;
mod entitle;
mod events;
mod fault;
mod fleet;
mod inventory;
mod ledger;
pub mod maintenance;
mod numbers;
mod own;
mod presence;
mod probe;
mod resync;
mod save;

pub use events::Event;

#[cfg(test)]
mod tests;
