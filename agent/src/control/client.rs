//! The command line's side of the control socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::outbox::{Contents, Query};
use super::prove;
use super::report::{ProbeReport, StatusReport, TestReport, Trouble};
use crate::outbox::Checked;

/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Why the running agent cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("no running agent at {path}: {source}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It speaks strangely.
    #[error("the agent's answer: {0}")]
    Answer(String),
    /// Nothing in time.
    #[error("the agent does not answer")]
    Timeout,
    /// It refuses, in its own words.
    #[error("{0}")]
    Refused(String),
}

/// `GET /status`.
pub async fn status(socket: &Path) -> Result<StatusReport, ControlError> {
    ask(socket, Method::GET, "/status", Duration::from_secs(30)).await
}

/// `POST /test`.
pub async fn test(socket: &Path, patience: Duration) -> Result<TestReport, ControlError> {
    let path = format!("/test?timeout_s={}", patience.as_secs());
    ask(socket, Method::POST, &path, patience + Duration::from_secs(5)).await
}

/// `GET /outbox`.
pub async fn outbox(socket: &Path, query: Query) -> Result<Contents, ControlError> {
    let path = format!("/outbox?{}", query.text());
    ask(socket, Method::GET, &path, Duration::from_secs(60)).await
}

/// `GET /outbox/check`.
pub async fn outbox_check(socket: &Path, query: Query) -> Result<Checked, ControlError> {
    let path = format!("/outbox/check?{}", query.text());
    ask(socket, Method::GET, &path, Duration::from_secs(60)).await
}

/// `POST /probe`.
pub async fn probe(
    socket: &Path,
    source: Option<&str>,
    patience: Duration,
) -> Result<Vec<ProbeReport>, ControlError> {
    let path = prove::path(source, patience);
    ask(socket, Method::POST, &path, patience + Duration::from_secs(5)).await
}

async fn ask<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    patience: Duration,
) -> Result<T, ControlError> {
    let asking = exchange(socket, method, path);
    let (status, body) = timeout(patience, asking).await.map_err(|_| ControlError::Timeout)??;
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|e| ControlError::Answer(e.to_string()));
    }
    match serde_json::from_slice::<Trouble>(&body) {
        Ok(trouble) => Err(ControlError::Refused(trouble.error)),
        Err(_) => Err(ControlError::Answer(status.to_string())),
    }
}

async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
) -> Result<(StatusCode, Bytes), ControlError> {
    let strange = |e: hyper::Error| ControlError::Answer(e.to_string());
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| ControlError::Connect { path: socket.to_owned(), source })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(strange)?;
    let driver = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "agent")
        .body(Empty::<Bytes>::new())
        .map_err(|e| ControlError::Answer(e.to_string()))?;
    let answer = sender.send_request(request).await.map_err(strange)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
        .collect()
        .await
        .map_err(|e| ControlError::Answer(e.to_string()))?
        .to_bytes();
    driver.abort();
    Ok((status, body))
}
