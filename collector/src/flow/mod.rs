//! Load → decide (pure) → one transaction → acknowledge.
//!
//! [`intake`] does it for what agents deliver, [`tickets`] for what people do. Both write through
//! one transaction and tell [`Event`]s afterwards, never before.

pub mod tickets;

mod events;

pub use events::Event;
