//! Control socket (`status`, `test`, `probe`, `bundle`), health and metrics.
//!
//! One small HTTP/1 service. On the Unix socket it has everything; on TCP, for probes and scrapers,
//! only `/healthz`, `/readyz` and `/metrics`.

pub mod board;
pub mod bundles;
pub mod client;
pub mod maintenance;
pub mod metrics;
pub mod outbox;
mod pour;
mod prove;
pub mod reload;
pub mod report;
pub mod server;
pub mod show;
mod told;

pub use board::{Board, Liveness, Parts};
pub use report::{ProbeReport, StatusReport, TestReport};
