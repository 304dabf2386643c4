//! Evidence bundles: what agents upload over HTTPS for a ticket, in chunks that can be resumed.
//!
//! ```text
//! agent ──HTTPS──► routes ──► desk (declare, complete) ──► judge (pure: what is accepted, what a chunk changes)
//!                              ├────► files (the bytes, named by ids only, synced before the answer)
//!                              └────► store::bundles + the ticket's timeline, one transaction
//! ```
//!
//! How far an open upload is, its file knows: a chunk costs the database a look-up and, every ten
//! seconds, a note for people. File work runs outside of transactions, a few at a time. [`sweep`]
//! lets go what is over and compares rows with files.

pub mod desk;
pub mod files;
pub mod judge;
pub mod routes;
pub mod sweep;

mod answer;
mod complete;
mod declare;
mod failure;
mod pace;

pub use desk::Bundles;
pub use routes::routes;
