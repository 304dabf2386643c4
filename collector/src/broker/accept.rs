//! The accept loop. Nothing in it waits for a client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt5::broker::resource_monitor::ResourceMonitor;
use mqtt5::broker::sys_topics::BrokerStats;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::desk::{Desks, Speeds};
use super::places::Places;
use super::websocket::{self, Visitor};
use super::{Ends, Limits, Shared, connection, no_limits};
use crate::link::Downward;
use crate::metrics::Metrics;

/// Names in metrics.
const MQTT: &str = "mqtt";
const WEBSOCKET: &str = "mqtt-websocket";
/// Pause after an accept that failed for want of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(200);
/// Time for connections to say goodbye and for what they sent to be handed over.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves until `shutdown`; then closes all connections and returns when what they had sent is
/// handed over (or nobody takes it for a few seconds).
pub async fn serve(ends: Ends, limits: Limits, shutdown: CancellationToken) {
    let tasks = TaskTracker::new();
    let speeds = Speeds { publishes: limits.max_rate_per_agent, bytes: limits.max_bytes_per_agent };
    let desks = Desks::new(speeds, ends.up, ends.metrics.clone(), tasks.clone());
    let shared = Arc::new(Shared {
        tls: ends.tls,
        roster: ends.roster,
        desks,
        callers: Arc::default(),
        metrics: ends.metrics,
        stats: Arc::new(BrokerStats::new()),
        resources: Arc::new(ResourceMonitor::new(no_limits())),
        shutdown: shutdown.clone(),
    });
    let (mut down, mut visitors) = (ends.down, ends.visitors);
    let places = Places::new(limits.places);
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = accept(&shared, &ends.listener, &places, &tasks) => {}
        () = receive(&shared, &mut visitors, &places, &tasks) => {}
        () = send_down(&shared, &mut down) => {}
    }
    drop((ends.listener, visitors));
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        warn!(tasks = tasks.len(), "broker: some connections did not end in time");
    }
}

async fn accept(
    shared: &Arc<Shared>,
    listener: &TcpListener,
    places: &Arc<Places>,
    tasks: &TaskTracker,
) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                warn!(error = %e, "broker: accept failed");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let place = match places.take(from.ip(), Instant::now()) {
            Ok(place) => place,
            Err(why) => {
                shared.metrics.connection_refused(MQTT, why.as_str());
                continue;
            }
        };
        let shared = shared.clone();
        tasks.spawn(async move {
            let _counted = Counted::new(shared.metrics.clone(), MQTT);
            connection::serve(shared, stream, from).await;
            drop(place);
        });
    }
}

/// The same for those who come through the HTTPS port, which has done the handshake. Never ends.
async fn receive(
    shared: &Arc<Shared>,
    visitors: &mut mpsc::Receiver<Visitor>,
    places: &Arc<Places>,
    tasks: &TaskTracker,
) {
    while let Some(visitor) = visitors.recv().await {
        let place = match places.take(visitor.from().ip(), Instant::now()) {
            Ok(place) => place,
            Err(why) => {
                shared.metrics.connection_refused(WEBSOCKET, why.as_str());
                continue;
            }
        };
        let shared = shared.clone();
        tasks.spawn(async move {
            let _counted = Counted::new(shared.metrics.clone(), WEBSOCKET);
            websocket::serve(shared, visitor).await;
            drop(place);
        });
    }
    std::future::pending::<()>().await;
}

/// Never ends: when nobody sends any more, agents may still connect and be heard.
async fn send_down(shared: &Shared, down: &mut mpsc::Receiver<Downward>) {
    while let Some(message) = down.recv().await {
        shared.desks.send_down(message).await;
    }
    std::future::pending::<()>().await;
}

/// One open connection in the metrics, also when its task panics.
struct Counted(Arc<Metrics>, &'static str);

impl Counted {
    fn new(metrics: Arc<Metrics>, listener: &'static str) -> Self {
        metrics.connected(listener);
        Counted(metrics, listener)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.disconnected(self.1);
    }
}
