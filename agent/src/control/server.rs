//! The HTTP/1 service: few routes, small requests, bounded time and number of connections.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::unix::UCred;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::outbox::Query;
use super::pour::Pour;
use super::report::Trouble;
use super::{bundles, maintenance, metrics, outbox, prove};

/// Connections at the same time, per listener; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 16;
/// For the head of a request.
const HEAD: Duration = Duration::from_secs(5);
/// For a whole connection over TCP.
const PROBE: Duration = Duration::from_secs(15);
/// Longest wait of `test`; a connection over the socket may last a little longer.
pub const LONGEST_TEST: Duration = Duration::from_secs(600);
/// Wait of `test` unless it says otherwise.
const USUAL_TEST: Duration = Duration::from_secs(60);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 8 * 1024;

/// Who may ask for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// The Unix socket: everything.
    Control,
    /// TCP: probes and metrics.
    Probes,
}

/// What is answered: a page, or a file piece by piece.
pub(super) type Page = Either<Full<Bytes>, Pour>;

/// Makes the control socket, mode 0660. A socket left by a dead agent is replaced: the caller holds
/// the lock of the state directory, so no living one can own it.
pub fn bind_control(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) => {
            use std::os::unix::fs::FileTypeExt as _;
            if !found.file_type().is_socket() {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is no socket"));
            }
            std::fs::remove_file(path)?;
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Serves the control socket until `stop`.
pub async fn serve_control(listener: UnixListener, board: Board, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Some(place) = place(&places, &stop).await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let limit = LONGEST_TEST + Duration::from_secs(30);
                let peer = stream.peer_cred().ok();
                let serving = serve(stream, board.clone(), (Door::Control, peer), limit);
                spawn_until(serving, place, stop.clone());
            }
            Err(e) => pause_after(&e).await,
        }
    }
}

/// Serves `/healthz`, `/readyz`, `/metrics` until `stop`.
pub async fn serve_probes(listener: TcpListener, board: Board, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Some(place) = place(&places, &stop).await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let serving = serve(stream, board.clone(), (Door::Probes, None), PROBE);
                spawn_until(serving, place, stop.clone());
            }
            Err(e) => pause_after(&e).await,
        }
    }
}

type Place = tokio::sync::OwnedSemaphorePermit;

async fn place(places: &Arc<Semaphore>, stop: &CancellationToken) -> Option<Place> {
    tokio::select! {
        place = places.clone().acquire_owned() => place.ok(),
        () = stop.cancelled() => None,
    }
}

fn spawn_until(
    serving: impl Future<Output = ()> + Send + 'static,
    place: Place,
    stop: CancellationToken,
) {
    tokio::spawn(async move {
        tokio::select! {
            () = serving => {}
            () = stop.cancelled() => {}
        }
        drop(place);
    });
}

/// Out of file descriptors, mostly: trying again at once would spin.
async fn pause_after(error: &io::Error) {
    tracing::warn!(error = error as &dyn std::error::Error, "control: accept failed");
    tokio::time::sleep(Duration::from_millis(200)).await;
}

async fn serve<S>(stream: S, board: Board, caller: (Door, Option<UCred>), limit: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let board = board.clone();
        async move { Ok::<_, Infallible>(answered(request, &board, caller).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(limit, serving).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "control: connection failed");
    }
}

async fn answered(
    request: Request<Incoming>,
    board: &Board,
    (door, peer): (Door, Option<UCred>),
) -> Response<Page> {
    match door {
        Door::Control if request.uri().path().starts_with(bundles::PREFIX) => {
            bundles::route(request, board, peer).await
        }
        Door::Control if request.uri().path() == maintenance::PATH => {
            let query = request.uri().query();
            maintenance::route(request.method(), query, board, peer).await.map(Either::Left)
        }
        _ => route(&request, board, door).await.map(Either::Left),
    }
}

/// All other routes. Bodies of requests are never read.
async fn route(request: &Request<Incoming>, board: &Board, door: Door) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path(), door) {
        (&Method::GET, "/healthz", _) => verdict(board.healthy()),
        (&Method::GET, "/readyz", _) => verdict(board.ready()),
        (&Method::GET, "/metrics", _) => page(board),
        (&Method::GET, "/status", Door::Control) => json(StatusCode::OK, &board.report().await),
        (&Method::POST, "/test", Door::Control) => test(request, board).await,
        (&Method::GET, "/outbox", Door::Control) => match Query::parse(request.uri().query()) {
            Ok(query) => answer(outbox::contents(board, query).await),
            Err(why) => trouble(StatusCode::BAD_REQUEST, why),
        },
        (&Method::GET, "/outbox/check", Door::Control) => {
            match Query::parse(request.uri().query()) {
                Ok(query) => answer(outbox::check(board, query).await),
                Err(why) => trouble(StatusCode::BAD_REQUEST, why),
            }
        }
        (&Method::POST, "/probe", Door::Control) => probe(request, board).await,
        (&Method::POST, "/reload", Door::Control) => match board.reload().await {
            Ok(taken) => json(StatusCode::OK, &taken),
            Err(why) => trouble(StatusCode::CONFLICT, &why),
        },
        _ => trouble(StatusCode::NOT_FOUND, "no such page"),
    }
}

fn verdict(found: Result<(), String>) -> Response<Full<Bytes>> {
    match found {
        Ok(()) => text(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".into()),
        Err(why) => {
            let why = format!("{why}\n");
            text(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", why)
        }
    }
}

fn page(board: &Board) -> Response<Full<Bytes>> {
    match metrics::encode(board.snapshot()) {
        Ok(page) => text(StatusCode::OK, metrics::CONTENT_TYPE, page),
        Err(_) => trouble(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be written"),
    }
}

async fn test(request: &Request<Incoming>, board: &Board) -> Response<Full<Bytes>> {
    match patience(request.uri().query()) {
        Err(why) => trouble(StatusCode::BAD_REQUEST, why),
        Ok(patience) => match board.test(patience).await {
            Ok(report) => json(StatusCode::OK, &report),
            Err(why) => trouble(StatusCode::GATEWAY_TIMEOUT, &why),
        },
    }
}

async fn probe(request: &Request<Incoming>, board: &Board) -> Response<Full<Bytes>> {
    match prove::read(request.uri().query(), patience) {
        Err(why) => trouble(StatusCode::BAD_REQUEST, why),
        Ok(asked) => match board.prove(&asked).await {
            Ok(reports) => json(StatusCode::OK, &reports),
            Err(why) => trouble(StatusCode::NOT_FOUND, &why),
        },
    }
}

/// `timeout_s=…` of a query.
fn patience(query: Option<&str>) -> Result<Duration, &'static str> {
    let Some(query) = query else { return Ok(USUAL_TEST) };
    query
        .strip_prefix("timeout_s=")
        .and_then(|seconds| seconds.parse().ok())
        .map(Duration::from_secs)
        .filter(|d| (Duration::from_secs(1)..=LONGEST_TEST).contains(d))
        .ok_or("expected timeout_s=1 to 600")
}

fn answer(found: Result<impl Serialize, String>) -> Response<Full<Bytes>> {
    match found {
        Ok(body) => json(StatusCode::OK, &body),
        Err(why) => trouble(StatusCode::INTERNAL_SERVER_ERROR, &why),
    }
}

pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string(body) {
        Ok(body) => text(status, "application/json", body),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", String::new()),
    }
}

pub(super) fn trouble(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    json(status, &Trouble { error: why.to_owned() })
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_bounded() {
        assert_eq!(patience(None), Ok(Duration::from_secs(60)));
        assert_eq!(patience(Some("timeout_s=5")), Ok(Duration::from_secs(5)));
        for bad in [
            "timeout_s=0",
            "timeout_s=601",
            "timeout_s=-1",
            "x=1",
            "timeout_s=99999999999999999999",
        ] {
            assert!(patience(Some(bad)).is_err(), "{bad}");
        }
    }
}
