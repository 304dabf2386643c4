//! What is done again and again until the end.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// A timer that ends. A round that took longer than the time between two puts the next one off.
pub struct Rounds {
    timer: Interval,
    stop: CancellationToken,
}

impl Rounds {
    /// The first one at once, then one each `period`, until `stop` is cancelled.
    pub fn new(period: Duration, stop: CancellationToken) -> Self {
        let mut timer = tokio::time::interval(period);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Rounds { timer, stop }
    }

    /// Waits for the next one; `false`: it is over.
    pub async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.timer.tick() => true,
            () = self.stop.cancelled() => false,
        }
    }
}
