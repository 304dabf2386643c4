//! What can be wrong with a request: one type, and its one mapping to HTTP.

use axum::Json;
use axum::http::header::{ALLOW, CONTENT_RANGE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Scope;

use super::pace::{BURST_S, Standing, TooFast};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Why a request is not done. Knows nothing of HTTP but its mapping below.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The request says something that cannot be understood; the text says where and what was
    /// expected.
    #[error("{0}")]
    Malformed(String),
    /// The body is not `application/json`.
    #[error("the body must be JSON (content-type: application/json)")]
    NotJson,
    /// The body is larger than the limit.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The body did not come in time.
    #[error("the request took too long")]
    TooSlow,
    /// Nobody is logged in.
    #[error("not logged in, or the session has ended")]
    NotLoggedIn,
    /// Name or password are wrong; which one is not told.
    #[error("name or password is wrong")]
    WrongPassword,
    /// The old password is not the present one. Not [`Problem::WrongPassword`]: the session lives.
    #[error("the old password is wrong")]
    WrongOldPassword,
    /// Too many failed log-ins.
    #[error("too many failed log-ins; try again in {0} s")]
    TooManyAttempts(u64),
    /// The password is right, but this person logs in another way.
    #[error("by password only administrators log in here: use the other way to log in")]
    PasswordLoginOff,
    /// The one-time password must be changed first.
    #[error("the password must be changed first")]
    PasswordChangeRequired,
    /// The role does not include this.
    #[error("your role does not include this")]
    Forbidden,
    /// No token has that text, or it is ended.
    #[error("no such API token, or it has ended")]
    WrongToken,
    /// The token does not open this.
    #[error("{}", out_of_scope(.0.as_ref()))]
    OutOfScope(Option<Scope>),
    /// The request does not carry the session's token.
    #[error("the header X-CSRF-Token is missing or wrong")]
    Csrf,
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(&'static str),
    /// The path exists, but not with this method.
    #[error("this path takes {0}")]
    WrongMethod(String),
    /// Somebody else changed the ticket first.
    #[error("the ticket was changed by somebody else; its version is {0} now")]
    VersionConflict(i64),
    /// Somebody else changed a plan or a calendar first; 0: it is not there.
    #[error("it was changed by somebody else; its version is {0} now")]
    Changed(i64),
    /// Somebody else changed the record first; its version and how it is now.
    #[error("it was changed by somebody else; its version is {0} now")]
    RecordConflict(i64, serde_json::Value),
    /// The ticket's state does not allow it.
    #[error("{0}")]
    NotAllowed(String),
    /// The file is kept by another collector.
    #[error("this file is kept by the collector {0:?}: ask there")]
    Elsewhere(String),
    /// The file of a bundle is not there.
    #[error("{0}")]
    FileMissing(&'static str),
    /// The wished part of a file is not in it; the file has so many bytes.
    #[error("the file has {0} bytes")]
    NoSuchRange(u64),
    /// Too many live-event streams.
    #[error("too many live-event streams")]
    TooManyStreams,
    /// The API is asked too fast.
    #[error("too many requests; try again in {} s", .0.wait_s)]
    TooManyRequests(TooFast),
    /// Something takes too long or has no room; a later try may succeed.
    #[error("the collector is busy, try again")]
    Busy,
    /// Our fault. The cause goes to the log, never to the caller.
    #[error("something went wrong in the collector; its log says what")]
    Internal(#[source] anyhow::Error),
}

/// The body of every refusal.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// What is wrong.
    pub error: ProblemDetail,
}

/// What is wrong, for programs and for people.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemDetail {
    /// Stable code.
    #[schema(example = "not_found")]
    pub code: String,
    /// For people, English.
    pub message: String,
    /// Its present version (`version_conflict` only).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub version: Option<i64>,
    /// The record as it is now (`version_conflict` of a record only).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false, value_type = Option<super::masters::Master>)]
    pub present: Option<serde_json::Value>,
}

impl Problem {
    /// An internal failure with its cause.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        Problem::Internal(cause.into())
    }

    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Problem::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed"),
            Problem::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json"),
            Problem::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Problem::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow"),
            Problem::NotLoggedIn => (StatusCode::UNAUTHORIZED, "not_logged_in"),
            Problem::WrongPassword => (StatusCode::UNAUTHORIZED, "wrong_password"),
            Problem::WrongOldPassword => (StatusCode::FORBIDDEN, "wrong_password"),
            Problem::TooManyAttempts(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts"),
            Problem::PasswordLoginOff => (StatusCode::FORBIDDEN, "password_login_off"),
            Problem::PasswordChangeRequired => (StatusCode::FORBIDDEN, "password_change_required"),
            Problem::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Problem::WrongToken => (StatusCode::UNAUTHORIZED, "wrong_token"),
            Problem::OutOfScope(_) => (StatusCode::FORBIDDEN, "out_of_scope"),
            Problem::Csrf => (StatusCode::FORBIDDEN, "csrf"),
            Problem::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Problem::WrongMethod(_) => (StatusCode::METHOD_NOT_ALLOWED, "wrong_method"),
            Problem::VersionConflict(_) | Problem::Changed(_) | Problem::RecordConflict(..) => {
                (StatusCode::CONFLICT, "version_conflict")
            }
            Problem::NotAllowed(_) => (StatusCode::CONFLICT, "not_allowed"),
            Problem::Elsewhere(_) => (StatusCode::MISDIRECTED_REQUEST, "other_collector"),
            Problem::FileMissing(_) => (StatusCode::GONE, "file_missing"),
            Problem::NoSuchRange(_) => (StatusCode::RANGE_NOT_SATISFIABLE, "no_such_range"),
            Problem::TooManyStreams => (StatusCode::TOO_MANY_REQUESTS, "too_many_streams"),
            Problem::TooManyRequests(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Problem::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Problem::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// Seconds after which another try makes sense.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Problem::TooManyAttempts(seconds) => Some(*seconds),
            Problem::TooManyStreams => Some(15),
            Problem::TooManyRequests(refused) => Some(refused.wait_s),
            Problem::Busy => Some(2),
            _ => None,
        }
    }
}

fn out_of_scope(scope: Option<&Scope>) -> String {
    match scope {
        Some(scope) => format!("the token does not have the scope {}", scope.as_str()),
        None => "this is for people, not for tokens".to_owned(),
    }
}

impl Problem {
    /// As it is told. The cause of what is our fault goes to the log.
    pub(super) fn detail(&self) -> ProblemDetail {
        if let Problem::Internal(cause) = self {
            tracing::error!(error = format!("{cause:#}"), "request failed");
        }
        let (version, present) = match self {
            Problem::VersionConflict(version) | Problem::Changed(version) => (Some(*version), None),
            Problem::RecordConflict(version, now) => (Some(*version), Some(now.clone())),
            _ => (None, None),
        };
        let (_, code) = self.status_and_code();
        ProblemDetail { code: code.to_owned(), message: self.to_string(), version, present }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, _) = self.status_and_code();
        let error = self.detail();
        let mut response = (status, Json(ProblemBody { error })).into_response();
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Problem::TooManyRequests(refused) = &self {
            say_standing(response.headers_mut(), &refused.standing);
        }
        if let Problem::NoSuchRange(size) = &self
            && let Ok(range) = HeaderValue::from_str(&format!("bytes */{size}"))
        {
            response.headers_mut().insert(CONTENT_RANGE, range);
        }
        if let Problem::WrongMethod(methods) = &self
            && let Ok(allow) = HeaderValue::from_str(methods)
        {
            response.headers_mut().insert(ALLOW, allow);
        }
        response
    }
}

/// Says how a limit stands, after draft-ietf-httpapi-ratelimit-headers-10.
pub(super) fn say_standing(headers: &mut HeaderMap, standing: &Standing) {
    let Standing { limit, quota, remaining, reset_s } = standing;
    let fields = [
        (RATE_LIMIT_POLICY, format!("\"{limit}\";q={quota};w={BURST_S}")),
        (RATE_LIMIT, format!("\"{limit}\";r={remaining};t={reset_s}")),
    ];
    for (name, text) in fields {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}

/// What a handler answers.
pub type Answer<T> = Result<T, Problem>;
