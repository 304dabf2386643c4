//! The command line's side of the control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::bundles::{self, Shown as ShownBundle};
use super::maintenance;
use super::outbox::{Contents, Query};
use super::pour::Pour;
use super::prove;
use super::reload::Taken;
use super::report::{ProbeReport, StatusReport, TestReport, Trouble};
use crate::bundle::Record;
use crate::hold::{Ask, Shown};
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

/// `POST /reload`.
pub async fn reload(socket: &Path) -> Result<Taken, ControlError> {
    ask(socket, Method::POST, "/reload", Duration::from_secs(40)).await
}

/// `GET` or `POST /maintenance`.
pub async fn maintenance(socket: &Path, ask: &Ask) -> Result<Vec<Shown>, ControlError> {
    let method = if *ask == Ask::List { Method::GET } else { Method::POST };
    self::ask(socket, method, &maintenance::path(ask), Duration::from_secs(30)).await
}

/// `GET /bundles`.
pub async fn bundles(socket: &Path) -> Result<Vec<Record>, ControlError> {
    ask(socket, Method::GET, bundles::PREFIX, Duration::from_secs(30)).await
}

/// `GET /bundles/{id}`.
pub async fn bundle(socket: &Path, id: &str) -> Result<ShownBundle, ControlError> {
    ask(socket, Method::GET, &bundles::path(id, ""), Duration::from_secs(30)).await
}

/// `POST /bundles/{id}/approve`, `deny` or `cancel`.
pub async fn decide(socket: &Path, id: &str, what: &str) -> Result<Record, ControlError> {
    let path = bundles::path(id, &format!("/{what}"));
    ask(socket, Method::POST, &path, Duration::from_secs(30)).await
}

/// `POST /bundles`: frames out of a channel. The agent may answer before their end.
pub async fn make_bundle(
    socket: &Path,
    frames: mpsc::Receiver<io::Result<Bytes>>,
) -> Result<Record, ControlError> {
    let answer = send(socket, Method::POST, bundles::PREFIX, Pour(frames)).await?;
    let (status, body) = whole(answer).await?;
    understood(status, &body)
}

/// `GET /bundles/{id}/file`: hands each piece to `take`.
pub async fn bundle_file(
    socket: &Path,
    id: &str,
    name: &str,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), ControlError> {
    let path = bundles::file_path(id, name);
    let answer = send(socket, Method::GET, &path, Empty::<Bytes>::new()).await?;
    if answer.status() != StatusCode::OK {
        let (status, body) = whole(answer).await?;
        return understood::<()>(status, &body);
    }
    let strange = |e: &dyn std::fmt::Display| ControlError::Answer(e.to_string());
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| strange(&e))?;
        if let Some(piece) = frame.data_ref() {
            take(piece).map_err(|e| strange(&e))?;
        }
    }
    Ok(())
}

async fn ask<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    patience: Duration,
) -> Result<T, ControlError> {
    let asking = async { whole(send(socket, method, path, Empty::<Bytes>::new()).await?).await };
    let (status, body) = timeout(patience, asking).await.map_err(|_| ControlError::Timeout)??;
    understood(status, &body)
}

fn understood<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, ControlError> {
    if status == StatusCode::OK {
        return serde_json::from_slice(body).map_err(|e| ControlError::Answer(e.to_string()));
    }
    match serde_json::from_slice::<Trouble>(body) {
        Ok(trouble) => Err(ControlError::Refused(trouble.error)),
        Err(_) => Err(ControlError::Answer(status.to_string())),
    }
}

async fn whole(answer: Response<Incoming>) -> Result<(StatusCode, Bytes), ControlError> {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
        .collect()
        .await
        .map_err(|e| ControlError::Answer(e.to_string()))?
        .to_bytes();
    Ok((status, body))
}

/// The connection lives as long as its answer is read: its task ends with it.
async fn send<B>(
    socket: &Path,
    method: Method,
    path: &str,
    body: B,
) -> Result<Response<Incoming>, ControlError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let strange = |e: hyper::Error| ControlError::Answer(e.to_string());
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| ControlError::Connect { path: socket.to_owned(), source })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(strange)?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "agent")
        .body(body)
        .map_err(|e| ControlError::Answer(e.to_string()))?;
    sender.send_request(request).await.map_err(strange)
}
