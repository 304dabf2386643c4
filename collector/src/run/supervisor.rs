//! Towards systemd and the shell: signals, readiness, the watchdog.

use std::sync::Arc;

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::health::Health;

/// Tells systemd that the program lives, as long as its tasks do.
pub(super) async fn watchdog(health: Arc<Health>, stop: CancellationToken) -> anyhow::Result<()> {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        stop.cancelled().await;
        return Ok(());
    };
    let mut timer = tokio::time::interval(limit / 3);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = timer.tick() => {}
        }
        let stuck = health.stuck();
        if stuck.is_empty() {
            notify(&[NotifyState::Watchdog]);
        } else {
            warn!(tasks = ?stuck, "tasks do not move: systemd is not told that all is well");
        }
    }
}

/// Without systemd this does nothing.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        warn!(error = %e, "systemd cannot be told");
    }
}

pub(super) struct Signals {
    term: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("signals");
        Ok(Signals { term: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
