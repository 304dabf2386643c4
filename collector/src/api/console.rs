//! The console's files, inside the program.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use callhome_shared::heartbeat::hex;
use rust_embed::{EmbeddedFile, RustEmbed};

use super::error::Problem;

/// What `make web` has built. A debug build reads the folder itself.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Files;

const INDEX: &str = "index.html";
/// Its files have a hash of their content in their names.
const HASHED: &str = "assets/";

/// Says in both languages how to build it.
const NOT_BUILT: &str = include_str!("not_built.html");

/// Whether the console is inside.
pub fn is_built() -> bool {
    Files::get(INDEX).is_some()
}

/// Everything that no route takes: a file of the console, its start page for the console's own
/// paths, or a refusal.
pub async fn fallback(request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if path == "api" || path.starts_with("api/") || path.starts_with(".well-known/") {
        return Problem::NotFound("such path").into_response();
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Problem::WrongMethod("GET".to_owned()).into_response();
    }
    match Files::get(path).filter(|_| !path.is_empty()) {
        Some(file) => answer(&request, path, file),
        // A missing file is missing; only what looks like a page is the console's to show.
        None if path.rsplit('/').next().is_some_and(|name| name.contains('.')) => {
            Problem::NotFound("such file").into_response()
        }
        None => match Files::get(INDEX) {
            Some(index) => answer(&request, INDEX, index),
            None => not_built(),
        },
    }
}

fn not_built() -> Response {
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    (StatusCode::OK, headers, NOT_BUILT).into_response()
}

fn answer(request: &Request, path: &str, file: EmbeddedFile) -> Response {
    let tag = format!("\"{}\"", hex(&file.metadata.sha256_hash()));
    let cache =
        if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = request.headers().get(IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    let mut response = if known.is_some_and(|known| known.contains(&tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(file.data.into_owned()).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(CONTENT_TYPE, media_type(path));
    // Weak: the same file is also sent compressed.
    if let Ok(tag) = HeaderValue::from_str(&format!("W/{tag}")) {
        headers.insert(ETAG, tag);
    }
    response
}

fn media_type(path: &str) -> HeaderValue {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let text = match (guess.type_().as_str(), guess.subtype().as_str()) {
        ("text", _) | (_, "javascript" | "json" | "xml") => format!("{guess}; charset=utf-8"),
        _ => guess.to_string(),
    };
    HeaderValue::from_str(&text)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"))
}
