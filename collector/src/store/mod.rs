//! The data store: SQLite or PostgreSQL, one set of queries.
//!
//! [`Db`] and [`Tx`] are the only doors. The query modules are named after their tables; what
//! reads takes a [`Db`], what must be part of a larger transaction takes a [`Tx`]. Nothing here
//! decides anything.

pub mod agents;
pub mod alarms;
pub mod api_tokens;
pub mod articles;
pub mod audit;
pub mod backup;
pub mod bundles;
pub mod calls;
pub mod cases;
pub mod certificates;
pub mod clocks;
pub mod controls;
pub mod decisions;
pub mod devices;
pub mod duty;
pub mod envelopes;
pub mod evidence;
pub mod fleet;
pub mod history;
pub mod inventories;
pub mod links;
pub mod losses;
pub mod maintenance;
pub mod masters;
pub mod meta;
pub mod mine;
pub mod notices;
pub mod oidc;
pub mod plans;
pub mod presence;
pub mod probes;
pub mod queue;
pub mod rejects;
pub mod reports;
pub mod resync_history;
pub mod resyncs;
pub mod search;
pub mod sessions;
pub mod streams;
pub mod tickets;
pub mod timeline;
pub mod tokens;
pub mod topology;
pub mod users;
pub mod views;

mod archive;
mod db;
mod dump;
mod error;
mod migrate;
mod rows;
mod value;

pub use db::{Db, Sql, Tx};
pub use error::{Remedy, StoreError};
pub use value::{Row, Val};

/// What a query answers.
pub type Result<T> = std::result::Result<T, StoreError>;
