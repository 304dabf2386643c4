//! The link: the session with the collector, over whichever road leads to it.
//!
//! Every connection starts clean (`clean_start`, no session expiry) with a client of its own: the
//! outbox is the session. Nothing that rumqttc or the broker would carry from one connection to the
//! next is worth keeping, because only the collector's end-to-end acknowledgement frees an entry and
//! everything not acknowledged is sent again anyway. Carried state is what goes wrong: requests
//! dropped when the broker forgot the session, packet ids that collide with those of a lost one,
//! acknowledgements of a former life. That is also why a change of road loses nothing.
//!
//! ```text
//! Link::run ── which road: roads ── per connection ──► dial ──► mqtt | post (one task)
//!    │   └─ on a lower road: looks at the preferred ones     │ News (bounded)
//!    └─ session: window, resend ◄────────────────────────────┘
//!         │ Request (bounded)
//!         ▼
//!       outbox (through `run`)
//! ```

pub mod client;
pub mod dial;
pub mod downward;
pub mod exit;
pub mod failure;
mod mqtt;
pub mod outgoing;
pub mod post;
pub mod roads;
pub mod session;
pub mod status;
pub mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use exit::{Departure, Exit};
pub use failure::Failure;
pub use outgoing::{Pending, PendingQuery, Request};
pub use status::{LinkReport, LinkStatus, Phase, RoadReport};

use crate::settings::{LinkSettings, Road, RoadKind};
use client::Connected;
use dial::Dialer;
use dial::meter::Meters;
use roads::Roads;
use session::Session;
use status::Count;

/// A connection that held this long ends a series of failures.
const STEADY: Duration = Duration::from_secs(20);
/// A session has so long to say good-bye to a road when another one takes over.
const HAND_OVER: Duration = Duration::from_secs(5);

/// Everything the link needs from outside.
pub struct Link {
    /// Roads, files, time limits, back-off.
    pub settings: LinkSettings,
    /// Counts what leaves the house.
    pub meters: Meters,
    /// Is told of everything before it is sent.
    pub exit: Exit,
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
    /// Another link follows at once: a stop waits for none.
    pub hurry: CancellationToken,
    /// Counts how often certificate and key were exchanged: the link connects anew with them.
    pub exchanged: watch::Receiver<u64>,
}

/// How the link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything in the outbox was acknowledged.
    Drained,
    /// Something stays in the outbox for the next start.
    WithRemainder,
}

/// How a connection ended that did not fail.
enum Turn {
    /// After a stop.
    Ended(Ended),
    /// A preferred road works again: its number, and a connection that stands on it.
    Better(usize, Connected),
    /// Another certificate is there.
    Exchanged,
}

impl Link {
    /// Connects, again and again, until `stop`; then drains within the limit.
    pub async fn run(self, stop: CancellationToken) -> Ended {
        let mut roads =
            Roads::new(self.settings.roads.len(), self.settings.tries, self.settings.backoff);
        dial::handoff::clean(&self.settings.socket_dir);
        self.status.roads(&self.settings.roads, &self.meters);
        let mut standing = None;
        let mut exchanged = self.exchanged.clone();
        loop {
            if standing.is_none() {
                exchanged.mark_unchanged();
            }
            let road = roads.current();
            let connection = self.connection(road, standing.take(), exchanged.clone(), &stop);
            let failure = match connection.await {
                Ok(Turn::Ended(ended)) => {
                    self.status.stopped();
                    return ended;
                }
                Ok(Turn::Better(better, connected)) => {
                    tracing::info!(link.road = better + 1, "back to a preferred road");
                    roads.moved_to(better);
                    self.status.add(Count::Failbacks, 1);
                    standing = Some(connected);
                    continue;
                }
                Ok(Turn::Exchanged) => {
                    tracing::info!("connecting anew with another certificate");
                    roads.moved_to(0);
                    continue;
                }
                Err(failure) => failure,
            };
            let delay = roads.failed(self.status.was_steady(STEADY));
            if roads.current() != road {
                self.status.add(Count::Failovers, 1);
            }
            self.status.failed(road, &failure, delay);
            if !self.wait(delay, &stop, exchanged.clone()).await {
                self.status.stopped();
                return Ended::WithRemainder;
            }
        }
    }

    /// One connection from its first packet (or from where `standing` is) to its end. `Ok` only after
    /// a stop or for a better road.
    async fn connection(
        &self,
        index: usize,
        standing: Option<Connected>,
        mut exchanged: watch::Receiver<u64>,
        stop: &CancellationToken,
    ) -> Result<Turn, Failure> {
        self.status.connecting(index);
        let connected = match standing {
            Some(connected) => connected,
            None => tokio::select! {
                connected = self.connect(index) => connected?,
                () = stop.cancelled() => return Ok(Turn::Ended(Ended::WithRemainder)),
            },
        };
        let (leave, looking) = (CancellationToken::new(), AtomicBool::new(false));
        let session = Session::new(self, index, connected).run(stop, &leave);
        let mut session = std::pin::pin!(session);
        let mut better = std::pin::pin!(self.better_road(index, &looking));
        tokio::select! {
            ended = &mut session => {
                // A broker ends the old connection the moment it admits the new one.
                if ended.is_err() && looking.load(Ordering::Relaxed) && !stop.is_cancelled() {
                    tokio::select! {
                        (better, connected) = &mut better => {
                            return Ok(Turn::Better(better, connected));
                        }
                        () = until_clear(&looking) => {}
                    }
                }
                ended.map(Turn::Ended)
            }
            () = another(&mut exchanged) => {
                leave.cancel();
                let _ = tokio::time::timeout(HAND_OVER, session).await;
                if stop.is_cancelled() {
                    return Ok(Turn::Ended(Ended::WithRemainder));
                }
                Ok(Turn::Exchanged)
            }
            (better, connected) = &mut better => {
                leave.cancel();
                let _ = tokio::time::timeout(HAND_OVER, session).await;
                if stop.is_cancelled() {
                    return Ok(Turn::Ended(Ended::WithRemainder));
                }
                Ok(Turn::Better(better, connected))
            }
        }
    }

    async fn connect(&self, index: usize) -> Result<Connected, Failure> {
        let road = self.road(index)?;
        let dialer = Dialer::new(&self.settings, &self.meters)?;
        match road.kind {
            RoadKind::Post => post::connect(dialer, road, self.settings.keep_alive).await,
            RoadKind::Mqtt | RoadKind::WebSocket => {
                mqtt::connect(dialer, &self.settings, road, &self.exit).await
            }
        }
    }

    fn road(&self, index: usize) -> Result<&Arc<Road>, Failure> {
        let road = self.settings.roads.get(index);
        road.ok_or_else(|| Failure::Identity("no road to the collector is known".into()))
    }

    /// Now and then looks whether a road before `index` works; ends with a connection on it. Pends for
    /// ever on the first road. `looking` is set while it tries.
    async fn better_road(&self, index: usize, looking: &AtomicBool) -> (usize, Connected) {
        if index == 0 {
            std::future::pending::<()>().await;
        }
        loop {
            tokio::time::sleep(self.settings.failback).await;
            looking.store(true, Ordering::Relaxed);
            for better in 0..index {
                match self.connect(better).await {
                    Ok(connected) => return (better, connected),
                    Err(failure) => self.status.road_failed(better, &failure),
                }
            }
            looking.store(false, Ordering::Relaxed);
        }
    }

    /// Sleeps in short steps, so that a watchdog sees the loop alive; another certificate ends it.
    /// `false` = stop.
    async fn wait(
        &self,
        delay: Duration,
        stop: &CancellationToken,
        mut exchanged: watch::Receiver<u64>,
    ) -> bool {
        let until = tokio::time::Instant::now() + delay;
        while tokio::time::Instant::now() < until {
            self.status.moved();
            let step = until.min(tokio::time::Instant::now() + Duration::from_secs(1));
            tokio::select! {
                () = tokio::time::sleep_until(step) => {}
                () = another(&mut exchanged) => return true,
                () = stop.cancelled() => return false,
            }
        }
        true
    }
}

/// Ends when certificate and key were exchanged; pends where nobody exchanges them.
async fn another(exchanged: &mut watch::Receiver<u64>) {
    if exchanged.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Ends when `flag` is clear.
async fn until_clear(flag: &AtomicBool) {
    while flag.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
