//! EST (RFC 7030) for agents: `cacerts` and `simpleenroll`.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callhome_shared::id::AgentId;
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::attempts::Attempts;
use super::authority::Authority;
use super::csr::BadRequest;
use super::issue::{self, Refusal};
use super::pkcs7;
use crate::api::server::Source;
use crate::store::Db;

/// Largest body: a request in base64 with line breaks.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// A log-in of `simpleenroll`: agent id and secret in base64.
const MAX_CREDENTIALS_BYTES: usize = 512;

/// What the routes need.
pub struct Est {
    db: Db,
    authority: Arc<Authority>,
    attempts: Mutex<Attempts>,
    /// Nudged when an agent got a certificate: the broker should know it at once.
    enrolled: Arc<Notify>,
}

impl Est {
    /// Puts it together.
    pub fn new(db: Db, authority: Arc<Authority>, enrolled: Arc<Notify>) -> Arc<Self> {
        Arc::new(Est { db, authority, attempts: Mutex::default(), enrolled })
    }
}

/// The routes, for [`crate::api::routes::app`].
pub fn routes(est: Arc<Est>) -> Router {
    Router::new()
        .route("/.well-known/est/cacerts", get(cacerts))
        .route("/.well-known/est/simpleenroll", post(simple_enroll))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(est)
}

async fn cacerts(State(est): State<Arc<Est>>) -> Response {
    certificates("application/pkcs7-mime", est.authority.certificate())
}

async fn simple_enroll(
    State(est): State<Arc<Est>>,
    source: Option<Extension<Source>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let from = source.map_or(IpAddr::from([0, 0, 0, 0]), |Extension(Source(from))| from.ip());
    let tried =
        est.attempts.lock().unwrap_or_else(PoisonError::into_inner).take(from, Instant::now());
    if let Err(wait) = tried {
        return too_often(wait);
    }
    let Some((agent, secret)) = credentials(&headers) else {
        return not_logged_in("log in with the agent's id and the token's secret (HTTP Basic)");
    };
    let Some(request) = decode(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "the body is not a PKCS#10 request in base64");
    };
    match issue::issue(&est.db, &est.authority, &agent, &secret, &request).await {
        Ok(certificate) => {
            est.enrolled.notify_one();
            certificates("application/pkcs7-mime; smime-type=certs-only", &certificate)
        }
        Err(refusal) => refused(&refusal, &agent, from),
    }
}

fn refused(refusal: &Refusal, agent: &AgentId, from: IpAddr) -> Response {
    let text = refusal.to_string();
    let status = match refusal {
        Refusal::Unknown | Refusal::Used(_) | Refusal::Expired(_) => StatusCode::UNAUTHORIZED,
        Refusal::Revoked(_) | Refusal::Request(BadRequest::Foreign(_)) => StatusCode::FORBIDDEN,
        Refusal::Request(BadRequest::Malformed(_)) => StatusCode::BAD_REQUEST,
        Refusal::Enrol(_) | Refusal::Store(_) => {
            let error = super::chain(refusal);
            tracing::error!(agent.id = %agent, error, "enrolment failed");
            let text = "the collector cannot enrol now; its log says why";
            return refuse(StatusCode::INTERNAL_SERVER_ERROR, text);
        }
    };
    tracing::warn!(agent.id = %agent, peer = %from, why = text, "enrolment refused");
    if status == StatusCode::UNAUTHORIZED { not_logged_in(&text) } else { refuse(status, &text) }
}

/// HTTP Basic: agent id and secret.
fn credentials(headers: &HeaderMap) -> Option<(AgentId, Zeroizing<String>)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > MAX_CREDENTIALS_BYTES {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((AgentId::new(user).ok()?, Zeroizing::new(password.to_owned())))
}

/// Base64 with any line breaks.
fn decode(body: &[u8]) -> Option<Vec<u8>> {
    let compact: Vec<u8> = body.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    STANDARD.decode(compact).ok().filter(|der| !der.is_empty())
}

fn certificates(content_type: &'static str, certificate: &[u8]) -> Response {
    let body = STANDARD.encode(pkcs7::certs_only(&[certificate]));
    let mut lines = String::with_capacity(body.len() + body.len() / 64 + 1);
    for (n, letter) in body.chars().enumerate() {
        if n > 0 && n % 64 == 0 {
            lines.push('\n');
        }
        lines.push(letter);
    }
    lines.push('\n');
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::HeaderName::from_static("content-transfer-encoding"), "base64"),
    ];
    (headers, lines).into_response()
}

fn not_logged_in(text: &str) -> Response {
    let mut answer = refuse(StatusCode::UNAUTHORIZED, text);
    let challenge = HeaderValue::from_static("Basic realm=\"callhome enrolment\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    answer
}

fn too_often(wait: Duration) -> Response {
    let seconds = wait.as_secs() + 1;
    let text = format!("too many enrolments are being tried; try again in {seconds} s");
    let mut answer = refuse(StatusCode::TOO_MANY_REQUESTS, &text);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

fn refuse(status: StatusCode, text: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n"))
        .into_response()
}

#[cfg(test)]
mod tests;
