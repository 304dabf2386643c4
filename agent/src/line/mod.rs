//! The line: batches → rules → alarms → one transaction of the outbox.
//!
//! ```text
//! batches ──► gathered ──► Desk: rules, alarms, losses ──► Decision ──► outbox ──► kept
//!                              ▲                                           │
//!                              └────────────── discarded ◄── failed ───────┘
//! ```
//!
//! What is gathered is decided on in memory as staged changes. They count only after the transaction;
//! if it fails they are discarded and the same batches are decided on again. While the outbox is full
//! nothing more is taken from the channel: sources that can repeat wait, others drop and declare it.

mod decide;
mod gather;
mod hold;
mod probe;
mod rest;
mod resync;
mod run;
mod status;
mod stock;
mod test_alarm;
mod tidy;

#[cfg(test)]
mod redaction_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use callhome_shared::alarm::Device;
use tokio::sync::{mpsc, watch};

use crate::hold::Window;
use crate::outbox::{Handle, Loaded};
use crate::probe::Probes;
use crate::redact::Redactor;
use crate::rule::Watched;
use crate::settings::SourceSettings;
use crate::source::{SourceKind, readable};

pub use rest::Rest;
pub use run::run;
pub use status::{Command, Counts, Status, TestAlarm};

/// Batches that wait for the line; further ones make their sources wait.
pub const BATCHES: usize = 1024;
/// Commands that wait for the line.
pub const COMMANDS: usize = 16;

/// What the line works with.
pub struct Parts {
    /// The sources and their rules; see [`watched`].
    pub watched: Vec<Watched>,
    /// The configured devices: what a person may put under maintenance, and what is told of them where no
    /// source identifies them.
    pub devices: Vec<Arc<Device>>,
    /// Windows of maintenance of the configuration.
    pub windows: Vec<Window>,
    /// The device that test alarms are raised on.
    pub host: Arc<Device>,
    /// What every text goes through before it is stored.
    pub redactor: Arc<Redactor>,
    /// What the outbox held at the start; its positions are what the sources begin at.
    pub loaded: Loaded,
    /// The outbox.
    pub outbox: Handle,
    /// From the sources, which may have gone on since the line before: see [`run`].
    pub rest: Rest,
    /// From the control socket; [`COMMANDS`] deep.
    pub commands: mpsc::Receiver<Command>,
    /// Who wants to know of the probes that pass.
    pub probes: Probes,
    /// For what was handed over before the end; what is not decided on by then is the next line's, or, where
    /// none follows, is told again by its source or declared at the next start.
    pub patience: Duration,
    /// Where the line publishes how it is doing.
    pub status: watch::Sender<Status>,
}

/// The configured sources as the rules see them; each with the rule that it can be read at all.
pub fn watched(sources: &[SourceSettings]) -> Vec<Watched> {
    sources
        .iter()
        .map(|source| {
            let kind = source.spec.kind();
            let rules = source.rules.iter().cloned().chain(readable::builtin_rule(kind));
            Watched {
                source: source.name.clone(),
                kind,
                device: source.device.clone(),
                rules: rules.collect(),
            }
        })
        .collect()
}

/// Whether what arrives while nobody listens is gone.
fn is_ephemeral(kind: SourceKind) -> bool {
    matches!(kind, SourceKind::Serial | SourceKind::Syslog | SourceKind::Trap)
}
