//! What a request carries: body, query and path, refused in plain words when they do not fit.

use std::error::Error as _;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use tower_http::timeout::TimeoutError;

use super::error::Problem;

/// Largest request body.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// A JSON body of at most `MAX` bytes (a route with another limit than the usual one sets it, too).
pub struct Body<T, const MAX: usize = MAX_BODY_BYTES>(pub T);

impl<T: DeserializeOwned, S: Send + Sync, const MAX: usize> FromRequest<S> for Body<T, MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(Problem::NotJson);
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|e| unread(&e, MAX))?;
        parse(&bytes).map(Body)
    }
}

/// A JSON body of at most `MAX` bytes as it came.
pub struct RawJson<const MAX: usize>(pub Bytes);

impl<S: Send + Sync, const MAX: usize> FromRequest<S> for RawJson<MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(Problem::NotJson);
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|e| unread(&e, MAX))?;
        Ok(RawJson(bytes))
    }
}

fn is_json(request: &Request) -> bool {
    let declared = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let mime = declared.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    mime.eq_ignore_ascii_case("application/json")
}

fn unread(rejection: &BytesRejection, max: usize) -> Problem {
    let causes = std::iter::successors(rejection.source(), |cause| (*cause).source());
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::TooLarge(max),
        _ if causes.into_iter().any(|cause| cause.is::<TimeoutError>()) => Problem::TooSlow,
        _ => Problem::Malformed("the body could not be read to its end".to_owned()),
    }
}

/// Reads JSON; an error says where in the document it is and what was expected there.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Every body is an object; serde would also take its values as a list.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::Malformed("body: expected an object, found a list".to_owned()));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|e| {
        let path = e.path().to_string();
        let place = if path == "." { "body".to_owned() } else { path };
        Problem::Malformed(format!("{place}: {}", e.inner()))
    })?;
    deserializer.end().map_err(|e| Problem::Malformed(format!("body: {e}")))?;
    Ok(value)
}

/// The query string.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(params)| Params(params))
            .map_err(|e| Problem::Malformed(e.body_text()))
    }
}

/// The path's one variable part.
pub struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::<String>::from_request_parts(parts, state)
            .await
            .map(|Path(name)| Name(name))
            .map_err(|e| Problem::Malformed(e.body_text()))
    }
}

/// The path's two variable parts.
pub struct Names(pub String, pub String);

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Path::<(String, String)>::from_request_parts(parts, &())
            .await
            .map(|Path((one, other))| Names(one, other))
            .map_err(|e| Problem::Malformed(e.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Wanted {
        version: i64,
        #[serde(default)]
        tags: Vec<String>,
    }

    #[tokio::test]
    async fn a_body_that_pauses_too_long_is_too_slow() {
        use axum::routing::post;
        use tower::ServiceExt as _;
        use tower_http::timeout::RequestBodyTimeoutLayer;

        let handler = |Body(_): Body<Wanted>| async {};
        let pause = std::time::Duration::from_millis(20);
        let app = axum::Router::new()
            .route("/", post(handler))
            .layer(RequestBodyTimeoutLayer::new(pause));
        let never = tokio_stream::pending::<Result<Bytes, std::io::Error>>();
        let request = Request::post("/").header(CONTENT_TYPE, "application/json");
        let request = request.body(axum::body::Body::from_stream(never)).unwrap();
        let response = app.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[test]
    fn says_where_and_what() {
        for (body, expected) in [
            (r#"{"version":"x"}"#, "version: invalid type: string \"x\", expected i64"),
            (r#"{"version":1,"tags":["a",2]}"#, "tags[1]: invalid type: integer `2`"),
            (r#"{"version":1,"colour":2}"#, "colour: unknown field `colour`"),
            (r#"{}"#, "body: missing field `version`"),
            (r#"[1, []]"#, "body: expected an object, found a list"),
            ("", "body: EOF while parsing"),
            (r#"{"version":1} x"#, "body: trailing characters"),
        ] {
            let problem = parse::<Wanted>(body.as_bytes()).unwrap_err().to_string();
            assert!(problem.starts_with(expected), "{body} gave {problem}");
        }
    }
}
