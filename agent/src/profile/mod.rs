//! Device profiles: YAML in the Datadog SNMP profile format with an `alarms:` block of our own,
//! compiled to what is polled and to rules. The format: `docs/profiles.md`.
//!
//! [`Library::load`] reads the shipped profiles and those of a directory over them; every fault
//! is told with file, line, column, what was expected and the nearest valid name. Keys of
//! Datadog's that mean nothing here are left out and noted ([`Library::notes`]).

pub mod alarms;
pub mod compile;
mod convert;
mod damping;
mod extract;
pub mod library;
pub mod name;
pub mod node;
pub mod oid;
pub mod plan;
pub mod reader;
pub mod symbols;
mod text;
mod thresholds;

#[cfg(test)]
mod tests;

pub use library::Library;
pub use plan::Profile;
