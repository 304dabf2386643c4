//! Refusals and standings as HTTP answers.

use std::time::Duration;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use callhome_shared::bundle::{Refusal as Body, RefusalDetail, UPLOAD_COMPLETE, UPLOAD_OFFSET};

use super::judge::Refusal;
use crate::metrics::Metrics;

/// Status, stable word (of the answer and of the counter) and after how many seconds another try
/// makes sense.
fn mapped(refusal: &Refusal) -> (StatusCode, &'static str, Option<u64>) {
    match refusal {
        Refusal::NoCertificate => (StatusCode::FORBIDDEN, "no_certificate", None),
        Refusal::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed", None),
        Refusal::NoDigest => (StatusCode::BAD_REQUEST, "no_digest", None),
        Refusal::WrongDigest => (StatusCode::UNPROCESSABLE_ENTITY, "wrong_digest", None),
        Refusal::Foreign => (StatusCode::FORBIDDEN, "foreign_subject", None),
        Refusal::UnknownSubject => (StatusCode::NOT_FOUND, "unknown_subject", Some(10)),
        Refusal::UnknownUpload => (StatusCode::NOT_FOUND, "unknown_upload", None),
        Refusal::OtherDeclaration => (StatusCode::CONFLICT, "other_declaration", None),
        Refusal::WrongOffset { .. } => (StatusCode::CONFLICT, "wrong_offset", None),
        Refusal::Incomplete { .. } => (StatusCode::CONFLICT, "incomplete", None),
        Refusal::Complete => (StatusCode::CONFLICT, "complete", None),
        Refusal::Refused(_) => (StatusCode::GONE, "refused", None),
        Refusal::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", None),
        Refusal::WrongHash => (StatusCode::UNPROCESSABLE_ENTITY, "wrong_hash", None),
        Refusal::Elsewhere(_) => (StatusCode::MISDIRECTED_REQUEST, "other_collector", Some(5)),
        Refusal::TooManyOpen(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_open", Some(60)),
        Refusal::TooFast(wait) => (StatusCode::TOO_MANY_REQUESTS, "too_fast", Some(up(*wait))),
        Refusal::AgentFull { .. } => (StatusCode::INSUFFICIENT_STORAGE, "agent_full", Some(600)),
        Refusal::Full { .. } => (StatusCode::INSUFFICIENT_STORAGE, "full", Some(600)),
        Refusal::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "disk_full", Some(60)),
        Refusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", Some(2)),
        Refusal::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", Some(60)),
    }
}

fn up(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(1)
}

/// The refusal, counted.
pub(super) fn refused(refusal: &Refusal, metrics: &Metrics) -> Response {
    let (status, code, retry) = mapped(refusal);
    metrics.bundle_event(code);
    let error = RefusalDetail { code: code.to_owned(), message: refusal.to_string() };
    let mut response = (status, Json(Body { error })).into_response();
    if let Some(seconds) = retry {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    match refusal {
        Refusal::WrongOffset { offset, complete } => say_offset(&mut response, *offset, *complete),
        Refusal::Incomplete { offset, .. } => say_offset(&mut response, *offset, false),
        Refusal::WrongHash => say_offset(&mut response, 0, false),
        _ => {}
    }
    response
}

/// How far the upload is.
pub(super) fn say_offset(response: &mut Response, offset: u64, complete: bool) {
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(UPLOAD_OFFSET), HeaderValue::from(offset));
    let complete = HeaderValue::from_static(if complete { "?1" } else { "?0" });
    headers.insert(HeaderName::from_static(UPLOAD_COMPLETE), complete);
}

/// 204 with how far it is.
pub(super) fn progress(offset: u64, complete: bool) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    say_offset(&mut response, offset, complete);
    response
}
