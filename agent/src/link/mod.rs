//! The link: MQTT 5 to the collector.
//!
//! Every connection starts clean (`clean_start`, no session expiry) with a client of its own: the
//! outbox is the session. Nothing that rumqttc or the broker would carry from one connection to the
//! next is worth keeping, because only the collector's end-to-end acknowledgement frees an entry and
//! everything not acknowledged is sent again anyway. Carried state is what goes wrong: requests
//! dropped when the broker forgot the session, packet ids that collide with those of a lost one,
//! acknowledgements of a former life.
//!
//! ```text
//! Link::run ── per connection ──► client::poll (one task: only polls, never blocks)
//!    │                                 │ Event (bounded)
//!    └─ session: window, resend ◄──────┘
//!         │ Request (bounded)
//!         ▼
//!       outbox (through `run`)
//! ```

pub mod client;
pub mod downward;
pub mod failure;
pub mod outgoing;
pub mod session;
pub mod status;
pub mod window;

use std::sync::Arc;
use std::time::Duration;

use callhome_shared::backoff::Backoff;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

pub use failure::Failure;
pub use outgoing::{Pending, PendingQuery, Request};
pub use status::{LinkReport, LinkStatus, Phase};

use crate::settings::{LinkSettings, MqttAddress};
use session::Session;

/// A connection that held this long ends a series of failures.
const STEADY: Duration = Duration::from_secs(20);

/// Everything the link needs from outside.
pub struct Link {
    /// Files, time limits, back-off.
    pub settings: LinkSettings,
    /// Where the collector's broker is.
    pub address: MqttAddress,
    /// Between heartbeats.
    pub heartbeat: Duration,
    /// Questions and news to the outbox.
    pub requests: mpsc::Sender<Request>,
    /// Rung when the outbox has something new.
    pub nudge: Arc<Notify>,
    /// What others may see.
    pub status: Arc<LinkStatus>,
    /// How long a stop may wait for acknowledgements.
    pub drain: Duration,
}

/// How the link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything in the outbox was acknowledged.
    Drained,
    /// Something stays in the outbox for the next start.
    WithRemainder,
}

impl Link {
    /// Connects, again and again, until `stop`; then drains within the limit.
    pub async fn run(self, stop: CancellationToken) -> Ended {
        let (first, max) = self.settings.backoff;
        let mut backoff = Backoff::new(first, max);
        loop {
            let failure = match self.connection(&stop).await {
                Ok(ended) => {
                    self.status.stopped();
                    return ended;
                }
                Err(failure) => failure,
            };
            if self.status.was_steady(STEADY) {
                backoff.reset();
            }
            let delay = backoff.next_delay();
            self.status.failed(&failure, delay);
            if !self.wait(delay, &stop).await {
                self.status.stopped();
                return Ended::WithRemainder;
            }
        }
    }

    /// One connection from its first packet to its end. `Ok` only after a stop.
    async fn connection(&self, stop: &CancellationToken) -> Result<Ended, Failure> {
        self.status.connecting(&self.address);
        let connecting = client::connect(&self.settings, &self.address);
        let connected = tokio::select! {
            connected = connecting => connected?,
            () = stop.cancelled() => return Ok(Ended::WithRemainder),
        };
        Session::new(self, connected).run(stop).await
    }

    /// Sleeps in short steps, so that a watchdog sees the loop alive. `false` = stop.
    async fn wait(&self, delay: Duration, stop: &CancellationToken) -> bool {
        let until = tokio::time::Instant::now() + delay;
        while tokio::time::Instant::now() < until {
            self.status.moved();
            let step = until.min(tokio::time::Instant::now() + Duration::from_secs(1));
            tokio::select! {
                () = tokio::time::sleep_until(step) => {}
                () = stop.cancelled() => return false,
            }
        }
        true
    }
}
