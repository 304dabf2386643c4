//! `/healthz`, `/readyz` and `/metrics` in plain HTTP.

use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::site::Site;
use crate::api::probes;
use crate::metrics::Outcome;

#[tokio::test]
async fn alive_ready_and_counted() {
    let site = Site::start().await;
    site.agent("a-1").await;
    site.ticket("PSU 2 failed", "major").await;
    site.metrics.envelope(Outcome::Applied);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(probes::serve(listener, site.api.clone(), async {
        let _ = stopped.await;
    }));
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(
            callhome_shared::tls::client_config(std::slice::from_ref(&site.root), None).unwrap(),
        )
        .build()
        .unwrap();
    let get = async |path: &str| client.get(format!("{base}{path}")).send().await.unwrap();

    assert_eq!(get("/healthz").await.status(), 200);
    let waiting = get("/readyz").await;
    assert_eq!(waiting.status(), 503);
    let body: Value = waiting.json().await.unwrap();
    assert_eq!(body["problems"][0], "agents cannot connect: no broker");
    site.health.set_broker_listening(true);
    assert_eq!(get("/readyz").await.status(), 200);

    let pulse = site.health.watch("writer", Duration::ZERO);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let stuck = get("/healthz").await;
    assert_eq!(stuck.status(), 503);
    assert!(stuck.text().await.unwrap().contains("task writer has not moved"));
    pulse.finish();
    assert_eq!(get("/healthz").await.status(), 200);

    site.browser().get("/api/v1/me").await;
    let text = get("/metrics").await.text().await.unwrap();
    for line in [
        "callhome_collector_agents_online 1",
        "callhome_collector_tickets_open 1",
        "callhome_collector_envelopes_total{outcome=\"applied\"} 1",
        "callhome_collector_http_requests_total{method=\"GET\",route=\"/api/v1/me\",status=\"401\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    site.db.close().await;
    assert_eq!(get("/readyz").await.status(), 503, "the database is gone");
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap().unwrap();
}
