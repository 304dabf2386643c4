//! `/healthz`, `/readyz` and `/metrics`: for supervisors and Prometheus.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tower::Service as _;
use utoipa::ToSchema;

use super::Api;
use crate::broker::places::{PlaceLimits, Places};
use crate::store::{Db, agents, tickets};

/// Time for the database to answer.
const DATABASE_WITHIN: Duration = Duration::from_secs(3);
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Name in metrics and logs.
const LISTENER: &str = "probes";
/// Supervisors and Prometheus are few.
const PLACES: PlaceLimits = PlaceLimits { in_all: 64, per_source: 32, pace_per_source: 50 };
/// A request's head.
const HEAD: Duration = Duration::from_secs(5);
/// A connection, from its first byte to its last.
const LIFE: Duration = Duration::from_secs(30);

/// What a probe found.
#[derive(Serialize, ToSchema)]
pub struct Probe {
    /// Whether all is well.
    ok: bool,
    /// What is not.
    problems: Vec<String>,
}

impl Probe {
    fn answer(problems: Vec<String>) -> (StatusCode, Json<Probe>) {
        let ok = problems.is_empty();
        let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(Probe { ok, problems }))
    }
}

/// Alive: every task moves.
#[utoipa::path(get, path = "/healthz", tag = "probes", responses(
    (status = 200, description = "Alive", body = Probe),
    (status = 503, description = "A task is stuck", body = Probe),
))]
pub async fn healthz(State(api): State<Arc<Api>>) -> (StatusCode, Json<Probe>) {
    let stuck = api.health.stuck();
    let text = |(task, silent): (&str, Duration)| {
        format!("task {task} has not moved for {} s", silent.as_secs())
    };
    Probe::answer(stuck.into_iter().map(text).collect())
}

/// Ready: the database answers and agents can connect.
#[utoipa::path(get, path = "/readyz", tag = "probes", responses(
    (status = 200, description = "Ready", body = Probe),
    (status = 503, description = "Not ready", body = Probe),
))]
pub async fn readyz(State(api): State<Arc<Api>>) -> (StatusCode, Json<Probe>) {
    let mut problems = Vec::new();
    if !database_answers(&api.db).await {
        problems.push("the database does not answer".to_owned());
    }
    if !api.health.broker_listening() {
        problems.push("agents cannot connect: no broker".to_owned());
    }
    Probe::answer(problems)
}

async fn database_answers(db: &Db) -> bool {
    let asked = db.read_one("SELECT 1 AS one", Vec::new());
    match tokio::time::timeout(DATABASE_WITHIN, asked).await {
        Ok(Ok(row)) => row.is_some(),
        Ok(Err(e)) => {
            tracing::warn!(error = &e as &dyn std::error::Error, "the database does not answer");
            false
        }
        Err(_) => false,
    }
}

/// All metrics. What only the database knows is counted now.
async fn metrics(State(api): State<Arc<Api>>) -> impl IntoResponse {
    if let Err(e) = count(&api).await {
        tracing::warn!(error = &e as &dyn std::error::Error, "not everything could be counted");
    }
    ([(CONTENT_TYPE, OPENMETRICS)], api.metrics.text())
}

async fn count(api: &Api) -> crate::store::Result<()> {
    let by_state = tickets::count_by_state(&api.db).await?;
    let closed = crate::ticket::State::Closed.as_str();
    let open = by_state.iter().filter(|(state, _)| state != closed).map(|(_, n)| n).sum();
    api.metrics.set_tickets_open(open);
    let online = agents::list(&api.db).await?.iter().filter(|a| a.agent.online).count();
    api.metrics.set_agents_online(i64::try_from(online).unwrap_or(i64::MAX));
    Ok(())
}

/// Serves the probes in plain HTTP until `shutdown` is done.
pub async fn serve(
    listener: TcpListener,
    api: Arc<Api>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let metrics_of_refusals = api.metrics.clone();
    let app = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(api);
    let places = Places::new(PLACES);
    let tasks = TaskTracker::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (stream, from) = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    tracing::warn!(listener = LISTENER, error = %e, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            },
        };
        match places.take(from.ip(), Instant::now()) {
            Ok(place) => {
                let app = app.clone();
                tasks.spawn(async move {
                    let _place = place;
                    let _ = tokio::time::timeout(LIFE, answer(stream, app)).await;
                });
            }
            Err(why) => metrics_of_refusals.connection_refused(LISTENER, why.as_str()),
        }
    }
    tasks.close();
    let _ = tokio::time::timeout(Duration::from_secs(2), tasks.wait()).await;
    Ok(())
}

/// One request, one answer: who asks again connects again.
async fn answer(stream: TcpStream, app: Router) -> hyper::Result<()> {
    let service =
        service_fn(move |request: Request<Incoming>| app.clone().call(request.map(Body::new)));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(16 * 1024)
        .keep_alive(false);
    builder.serve_connection(TokioIo::new(stream), service).await
}
