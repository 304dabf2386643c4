//! The agents' routes. The door (see `enrol::visitor`) has verified the certificate; one that has
//! ended does not come this far.

use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Path, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{head, post};
use axum::{Json, Router};
use callhome_shared::bundle::{
    CHUNK_TYPE, CONTENT_DIGEST, Declaration, MAX_CHUNK, MAX_DECLARATION, PATH, State as Is,
    UPLOAD_OFFSET, parse_digest, parse_offset,
};
use callhome_shared::id::AgentId;
use uuid::Uuid;

use super::answer::{progress, refused, say_offset};
use super::desk::Bundles;
use super::failure::Failure;
use super::judge::Refusal;
use super::pace::Visit;
use crate::enrol::visitor::{Standing, Visitor};

/// The routes, for [`crate::api::routes::app`].
pub fn routes(bundles: Bundles) -> Router {
    let declaring = post(declare).layer(DefaultBodyLimit::max(MAX_DECLARATION));
    let sending = head(offset).patch(chunk).delete(cancel);
    Router::new()
        .route(PATH, declaring)
        .route(&format!("{PATH}/{{id}}"), sending.layer(DefaultBodyLimit::max(MAX_CHUNK)))
        .route(&format!("{PATH}/{{id}}/complete"), post(complete))
        .with_state(bundles)
}

/// Who asks.
fn caller(extensions: &Extensions) -> Result<AgentId, Refusal> {
    let visitor = extensions.get::<Visitor>().filter(|v| v.standing == Standing::Valid);
    visitor.map(|visitor| visitor.agent.clone()).ok_or(Refusal::NoCertificate)
}

/// A request about an upload.
struct Asked {
    /// Who asks.
    agent: AgentId,
    /// Which upload.
    id: Uuid,
    /// His place among those who upload, until he is answered.
    visit: Visit,
}

/// Lets a request about an upload in. What cannot be an upload's id names none.
fn asked(bundles: &Bundles, extensions: &Extensions, id: &str) -> Result<Asked, Refusal> {
    let agent = caller(extensions)?;
    let visit = bundles.enter(&agent)?;
    let id = Uuid::parse_str(id).map_err(|_| Refusal::UnknownUpload)?;
    Ok(Asked { agent, id, visit })
}

fn answer(bundles: &Bundles, done: Result<Response, Failure>) -> Response {
    done.unwrap_or_else(|failure| refused(&failure.refusal(), &bundles.metrics))
}

fn is_type(headers: &HeaderMap, wanted: &str) -> bool {
    let declared = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    declared.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The whole body, within the route's limit.
async fn body(request: Request) -> Result<Bytes, Refusal> {
    Bytes::from_request(request, &()).await.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge("the body is too large".to_owned()),
        _ => Refusal::Malformed("the body could not be read to its end".to_owned()),
    })
}

async fn declare(State(bundles): State<Bundles>, request: Request) -> Response {
    let done = declared(&bundles, request).await;
    answer(&bundles, done)
}

async fn declared(bundles: &Bundles, request: Request) -> Result<Response, Failure> {
    let agent = &caller(request.extensions())?;
    let visit = bundles.enter(agent)?;
    if !is_type(request.headers(), "application/json") {
        return Err(Refusal::Malformed("expected content-type application/json".to_owned()).into());
    }
    let body = body(request).await?;
    let said = read(&body)?;
    let done = bundles.declare(agent, &said).await;
    if let Err(Failure::Refused(Refusal::Foreign)) = done {
        bundles.record_foreign(agent, &visit, &said).await;
    }
    let (new, standing) = done?;
    bundles.metrics.bundle_event(if new { "declared" } else { "declared-again" });
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    let (offset, whole) = (standing.offset, standing.state == Is::Complete);
    let mut response = (status, Json(standing)).into_response();
    say_offset(&mut response, offset, whole);
    Ok(response)
}

/// Reads a declaration; an error says where and what was expected.
fn read(body: &[u8]) -> Result<Declaration, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let said: Declaration = serde_path_to_error::deserialize(&mut json)
        .map_err(|e| Refusal::Malformed(format!("{}: {}", e.path(), e.inner())))?;
    json.end().map_err(|e| Refusal::Malformed(e.to_string()))?;
    said.check().map_err(Refusal::Malformed)?;
    Ok(said)
}

async fn offset(
    State(bundles): State<Bundles>,
    Path(id): Path<String>,
    extensions: Extensions,
) -> Response {
    let done = async {
        let by = asked(&bundles, &extensions, &id)?;
        let standing = bundles.offset(&by.agent, by.id).await?;
        Ok(progress(standing.offset, standing.state == Is::Complete))
    };
    answer(&bundles, done.await)
}

async fn chunk(
    State(bundles): State<Bundles>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let done = take_chunk(&bundles, &id, request).await;
    answer(&bundles, done)
}

async fn take_chunk(bundles: &Bundles, id: &str, request: Request) -> Result<Response, Failure> {
    let Asked { agent, id, visit } = &asked(bundles, request.extensions(), id)?;
    let id = *id;
    let headers = request.headers();
    if !is_type(headers, CHUNK_TYPE) {
        return Err(Refusal::Malformed(format!("expected content-type {CHUNK_TYPE}")).into());
    }
    let Some(offset) = text(headers, UPLOAD_OFFSET).and_then(parse_offset) else {
        let expected = "the header Upload-Offset: expected a number of bytes";
        return Err(Refusal::Malformed(expected.to_owned()).into());
    };
    let digest = text(headers, CONTENT_DIGEST).and_then(parse_digest).ok_or(Refusal::NoDigest)?;
    let most = u64::try_from(MAX_CHUNK).unwrap_or(u64::MAX);
    let said = text(headers, CONTENT_LENGTH.as_str()).and_then(|n| n.parse().ok());
    if said.is_some_and(|length: u64| length > most) {
        return Err(Refusal::TooLarge(format!("a chunk has at most {MAX_CHUNK} bytes")).into());
    }
    bundles.expect(agent, id).await?;
    let hold = visit.bytes(said.unwrap_or(most), Instant::now())?;
    if !hold.is_zero() {
        bundles.metrics.bundle_event("slowed-down");
        tokio::time::sleep(hold).await;
    }
    let _room = bundles.chunk_room().await?;
    let chunk = body(request).await?;
    let kept = bundles.append(agent, id, offset, digest, chunk).await?;
    bundles.metrics.bundle_event("chunk");
    Ok(progress(kept, false))
}

async fn complete(
    State(bundles): State<Bundles>,
    Path(id): Path<String>,
    extensions: Extensions,
) -> Response {
    let done = async {
        let by = asked(&bundles, &extensions, &id)?;
        let standing = bundles.complete(&by.agent, by.id).await?;
        let offset = standing.offset;
        let mut response = Json(standing).into_response();
        say_offset(&mut response, offset, true);
        Ok(response)
    };
    answer(&bundles, done.await)
}

async fn cancel(
    State(bundles): State<Bundles>,
    Path(id): Path<String>,
    extensions: Extensions,
) -> Response {
    let done = async {
        let by = asked(&bundles, &extensions, &id)?;
        bundles.cancel(&by.agent, by.id).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answer(&bundles, done.await)
}
