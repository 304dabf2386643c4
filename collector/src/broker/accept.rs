//! The accept loop. Nothing in it waits for a client.

use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::resource_monitor::ResourceMonitor;
use mqtt5::broker::sys_topics::BrokerStats;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::desk::Desks;
use super::places::Places;
use super::{Ends, Limits, Shared, connection, no_limits};
use crate::link::Downward;
use crate::metrics::Metrics;

/// Pause after an accept that failed for want of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(200);
/// Time for connections to say goodbye and for what they sent to be handed over.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves until `shutdown`; then closes all connections and returns when what they had sent is
/// handed over (or nobody takes it for a few seconds).
pub async fn serve(ends: Ends, limits: Limits, shutdown: CancellationToken) {
    let tasks = TaskTracker::new();
    let desks = Desks::new(limits.max_rate_per_agent, ends.up, ends.metrics.clone(), tasks.clone());
    let shared = Arc::new(Shared {
        tls: ends.tls,
        roster: ends.roster,
        desks,
        metrics: ends.metrics,
        stats: Arc::new(BrokerStats::new()),
        resources: Arc::new(ResourceMonitor::new(no_limits())),
        shutdown: shutdown.clone(),
    });
    let mut down = ends.down;
    let places = Places::new(limits.max_connections);
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = accept(&shared, &ends.listener, &places, &tasks) => {}
        () = send_down(&shared, &mut down) => {}
    }
    drop(ends.listener);
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
        let Some(place) = places.take(from.ip()) else {
            shared.metrics.connection_refused("mqtt");
            continue;
        };
        let shared = shared.clone();
        tasks.spawn(async move {
            let _counted = Counted::new(shared.metrics.clone());
            connection::serve(shared, stream, from).await;
            drop(place);
        });
    }
}

/// Never ends: when nobody sends any more, agents may still connect and be heard.
async fn send_down(shared: &Shared, down: &mut mpsc::Receiver<Downward>) {
    while let Some(message) = down.recv().await {
        shared.desks.send_down(message).await;
    }
    std::future::pending::<()>().await;
}

/// One open connection in the metrics, also when its task panics.
struct Counted(Arc<Metrics>);

impl Counted {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.connected("mqtt");
        Counted(metrics)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.disconnected("mqtt");
    }
}
