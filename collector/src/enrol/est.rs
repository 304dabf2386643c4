//! EST (RFC 7030) for agents: `cacerts`, `simpleenroll` and `simplereenroll`.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::tls;
use serde_json::json;
use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::attempts::{Attempts, Budget};
use super::cas::Cas;
use super::csr::BadRequest;
use super::issue::{self, Refusal};
use super::visitor::Visitor;
use super::{EnrolError, pkcs7};
use crate::api::server::Source;
use crate::audit::{Deed, Entry};
use crate::store::{Db, agents, audit};

/// Largest body: a request in base64 with line breaks.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// What a certificate is answered as.
const CERTS_ONLY: &str = "application/pkcs7-mime; smime-type=certs-only";
/// A log-in of `simpleenroll`: agent id and secret in base64.
const MAX_CREDENTIALS_BYTES: usize = 512;

/// What the routes need.
pub struct Est {
    db: Db,
    cas: Arc<ArcSwap<Cas>>,
    /// How long after its end a certificate may still be renewed.
    grace: Duration,
    attempts: Mutex<Attempts>,
    /// Refusals that are still recorded one by one.
    recorded: Mutex<Budget>,
    /// Nudged when an agent got a certificate: the broker should know it at once.
    enrolled: Arc<Notify>,
}

impl Est {
    /// Puts it together.
    pub fn new(
        db: Db,
        cas: Arc<ArcSwap<Cas>>,
        grace: Duration,
        enrolled: Arc<Notify>,
    ) -> Arc<Self> {
        let (attempts, recorded) = (Mutex::default(), Mutex::default());
        Arc::new(Est { db, cas, grace, attempts, recorded, enrolled })
    }

    fn try_once(&self, from: IpAddr) -> Result<(), Duration> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).take(from, Instant::now())
    }

    /// Records a refusal; a flood of them as one row with their number.
    async fn record(&self, deed: Deed, agent: &AgentId, from: IpAddr, why: &str) {
        let budget =
            self.recorded.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
        let Some(unrecorded_before) = budget else { return };
        let mut detail = json!({ "from": from.to_string(), "why": why });
        if unrecorded_before > 0 {
            detail["not_recorded_before"] = unrecorded_before.into();
        }
        let who = format!("agent:{agent}");
        let entry = Entry::new(Time::now(), &who, deed, agent.as_str(), detail);
        if let Err(error) = audit::note(&self.db, &entry).await {
            tracing::error!(error = super::chain(&error), "a refusal cannot be recorded");
        }
    }
}

/// The routes, for [`crate::api::routes::app`].
pub fn routes(est: Arc<Est>) -> Router {
    Router::new()
        .route("/.well-known/est/cacerts", get(cacerts))
        .route("/.well-known/est/simpleenroll", post(simple_enroll))
        .route("/.well-known/est/simplereenroll", post(simple_reenroll))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(est)
}

/// All CAs that are trusted here, the one that issues first. An agent that shows its certificate
/// says beside it ([`tls::ROOTS_HEADER`]) what it trusts by now.
async fn cacerts(
    State(est): State<Arc<Est>>,
    visitor: Option<Extension<Visitor>>,
    headers: HeaderMap,
) -> Response {
    let told = headers.get(tls::ROOTS_HEADER).and_then(|v| v.to_str().ok());
    if let (Some(Extension(visitor)), Some(told)) = (visitor, told)
        && is_digest(told)
    {
        let agent = visitor.agent.as_str();
        match agents::get(&est.db, agent).await {
            Ok(Some(known)) if known.roots.as_deref() != Some(told) => {
                if let Err(error) = agents::note_roots(&est.db, agent, told, Time::now()).await {
                    tracing::error!(error = super::chain(&error), "what an agent trusts");
                }
            }
            Err(error) => tracing::error!(error = super::chain(&error), "what an agent trusts"),
            Ok(_) => {}
        }
    }
    let roots = est.cas.load().roots();
    let roots: Vec<&[u8]> = roots.iter().map(AsRef::as_ref).collect();
    certificates("application/pkcs7-mime", &roots)
}

fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

async fn simple_enroll(
    State(est): State<Arc<Est>>,
    source: Option<Extension<Source>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let from = address(source);
    if let Err(wait) = est.try_once(from) {
        return too_often(wait);
    }
    let Some((agent, secret)) = credentials(&headers) else {
        return not_logged_in("log in with the agent's id and the token's secret (HTTP Basic)");
    };
    let Some(request) = decode(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "the body is not a PKCS#10 request in base64");
    };
    let cas = est.cas.load_full();
    match issue::issue(&est.db, &cas.issuing, &agent, &secret, &request).await {
        Ok(certificate) => {
            est.enrolled.notify_one();
            certificates(CERTS_ONLY, &[&certificate])
        }
        Err(refusal) => {
            if is_worth_recording(&refusal) {
                est.record(Deed::TokenRefused, &agent, from, &refusal.to_string()).await;
            }
            refused(&refusal, &agent, from)
        }
    }
}

/// The agent logs in with the certificate of its connection.
async fn simple_reenroll(
    State(est): State<Arc<Est>>,
    source: Option<Extension<Source>>,
    visitor: Option<Extension<Visitor>>,
    body: Bytes,
) -> Response {
    let from = address(source);
    if let Err(wait) = est.try_once(from) {
        return too_often(wait);
    }
    let Some(Extension(visitor)) = visitor else {
        let text = "show the certificate that is to be renewed (TLS client certificate)";
        return refuse(StatusCode::FORBIDDEN, text);
    };
    let Some(request) = decode(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "the body is not a PKCS#10 request in base64");
    };
    let cas = est.cas.load_full();
    match issue::renew(&est.db, &cas.issuing, &visitor, est.grace, &request).await {
        Ok(certificate) => {
            est.enrolled.notify_one();
            certificates(CERTS_ONLY, &[&certificate])
        }
        Err(refusal) => {
            if is_worth_recording(&refusal) {
                let why = refusal.to_string();
                est.record(Deed::RenewalRefused, &visitor.agent, from, &why).await;
            }
            refused(&refusal, &visitor.agent, from)
        }
    }
}

fn address(source: Option<Extension<Source>>) -> IpAddr {
    source.map_or(IpAddr::from([0, 0, 0, 0]), |Extension(Source(from))| from.ip())
}

/// Not what is our own fault.
fn is_worth_recording(refusal: &Refusal) -> bool {
    !matches!(refusal, Refusal::Enrol(_) | Refusal::Store(_))
}

fn refused(refusal: &Refusal, agent: &AgentId, from: IpAddr) -> Response {
    let text = refusal.to_string();
    let status = match refusal {
        Refusal::Unknown | Refusal::Used(_) | Refusal::Expired(_) => StatusCode::UNAUTHORIZED,
        Refusal::Revoked(_)
        | Refusal::NotOurs(_)
        | Refusal::TooLate(..)
        | Refusal::Superseded(..)
        | Refusal::Request(BadRequest::Foreign(_)) => StatusCode::FORBIDDEN,
        Refusal::Enrol(EnrolError::NoCaKey) => {
            tracing::warn!(agent.id = %agent, peer = %from, why = text, "enrolment refused");
            return refuse(StatusCode::NOT_IMPLEMENTED, &text);
        }
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

fn certificates(content_type: &'static str, all: &[&[u8]]) -> Response {
    let body = STANDARD.encode(pkcs7::certs_only(all));
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
