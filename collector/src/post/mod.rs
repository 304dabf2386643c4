//! The road of last resort: agents that cannot reach the broker post their envelopes over HTTPS.
//!
//! `POST /callhome/v1/events` takes a CloudEvents batch from an agent with its client certificate,
//! hands each event to the flow as a broker would, and answers with what waits for the agent
//! (acknowledgements, receipts, control); `?wait=<seconds>` lets it wait for that. Rights are the
//! broker's: the certificate names the agent, the roster says whether it is let in.

pub mod batch;
pub mod mailroom;
pub mod routes;

pub use mailroom::{Letter, Mailroom};
pub use routes::{Post, routes};
