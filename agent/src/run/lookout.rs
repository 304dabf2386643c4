//! The service manager's view: ready, alive, stopping. The watchdog is fed only while the line
//! answers and the link moves.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::control::Board;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);

/// Looks at the tasks and feeds the watchdog until `stop`.
pub(super) async fn watch(board: Board, stop: CancellationToken) {
    let wanted = sd_notify::watchdog_enabled();
    let every = wanted.map_or(LOOK, |limit| LOOK.min(limit / 3)).max(Duration::from_millis(100));
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sick = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        board.feel_pulse().await;
        match board.healthy() {
            Ok(()) => {
                if std::mem::take(&mut sick) {
                    tracing::info!("everything moves again");
                }
                if wanted.is_some() {
                    tell(NotifyState::Watchdog);
                }
            }
            Err(why) if !sick => {
                sick = true;
                tracing::error!(why, "the watchdog is not fed");
            }
            Err(_) => {}
        }
    }
}

/// Start-up is done.
pub(super) fn ready() {
    tell(NotifyState::Ready);
}

/// The end begins.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(error = &error as &dyn std::error::Error, "service manager not told");
    }
}
