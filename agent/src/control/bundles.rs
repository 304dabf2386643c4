//! Evidence bundles over the control socket: make, list, show, decide. Who asks is what the kernel says.

use callhome_shared::bundle::Content;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::net::unix::UCred;
use uuid::Uuid;

use super::board::Board;
use super::pour::Pour;
use super::prove::{decoded, encoded};
use super::server::{Page, json, trouble};
use crate::bundle::{Bundles, Record, ShelfError, who};

/// Prefix of the routes.
pub(super) const PREFIX: &str = "/bundles";

/// `GET /bundles/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// What is remembered of it.
    pub record: Record,
    /// What is in it.
    pub contents: Vec<Content>,
}

/// The path of one bundle, or of what is to be done with it.
pub(super) fn path(id: &str, what: &str) -> String {
    format!("{PREFIX}/{}{what}", encoded(id))
}

/// The path of one of its files.
pub(super) fn file_path(id: &str, name: &str) -> String {
    path(id, &format!("/file?name={}", encoded(name)))
}

/// Answers everything below [`PREFIX`].
pub(super) async fn route(
    request: Request<Incoming>,
    board: &Board,
    peer: Option<UCred>,
) -> Response<Page> {
    let bundles = board.bundles();
    let (head, body) = request.into_parts();
    let rest = head.uri.path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
    let mut parts = rest.trim_matches('/').splitn(2, '/');
    let id = parts.next().filter(|id| !id.is_empty());
    let (Some(id), what) = (id, parts.next().unwrap_or_default()) else {
        return match head.method {
            Method::GET => json(StatusCode::OK, &bundles.shelf().records()).map(Either::Left),
            Method::POST => plain(create(body, bundles, peer).await),
            _ => trouble(StatusCode::NOT_FOUND, "no such page").map(Either::Left),
        };
    };
    let known = decoded(id).ok_or_else(|| ShelfError::Unknown(id.to_owned()));
    let id = match known.and_then(|id| bundles.shelf().find(&id)) {
        Ok(id) => id,
        Err(error) => return refusal(&error).map(Either::Left),
    };
    let by = who::person(peer);
    match (&head.method, what) {
        (&Method::GET, "") => plain(shown(bundles, id)),
        (&Method::GET, "file") => file(bundles, id, head.uri.query()),
        (&Method::POST, "approve") => plain(told(bundles.approve(id, by).await, bundles, id)),
        (&Method::POST, "deny") => plain(told(bundles.deny(id, by).await, bundles, id)),
        (&Method::POST, "cancel") => plain(told(bundles.cancel(id, by).await, bundles, id)),
        _ => trouble(StatusCode::NOT_FOUND, "no such page").map(Either::Left),
    }
}

fn plain(answer: Result<impl Serialize, ShelfError>) -> Response<Page> {
    let response = match answer {
        Ok(body) => json(StatusCode::OK, &body),
        Err(error) => refusal(&error),
    };
    response.map(Either::Left)
}

fn refusal(error: &ShelfError) -> Response<Full<Bytes>> {
    let status = match error {
        ShelfError::Unknown(_) => StatusCode::NOT_FOUND,
        ShelfError::Refused(_) => StatusCode::CONFLICT,
        ShelfError::Disk { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    trouble(status, &error.to_string())
}

fn told(done: Result<(), ShelfError>, bundles: &Bundles, id: Uuid) -> Result<Record, ShelfError> {
    done.and_then(|()| bundles.shelf().record(id))
}

fn shown(bundles: &Bundles, id: Uuid) -> Result<Shown, ShelfError> {
    Ok(Shown { record: bundles.shelf().record(id)?, contents: bundles.contents(id)? })
}

fn file(bundles: &Bundles, id: Uuid, query: Option<&str>) -> Response<Page> {
    let name = query.and_then(|query| decoded(query.strip_prefix("name=")?));
    let Some(name) = name else {
        return trouble(StatusCode::BAD_REQUEST, "expected name=…").map(Either::Left);
    };
    match bundles.file(id, &name) {
        Ok(pieces) => {
            let mut response = Response::new(Either::Right(Pour(pieces)));
            let kind = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Err(error) => refusal(&error).map(Either::Left),
    }
}

/// Hands the body to the packer as it comes. When the packer refuses, the rest is not read.
async fn create(
    mut body: Incoming,
    bundles: &Bundles,
    peer: Option<UCred>,
) -> Result<Record, ShelfError> {
    let making = bundles.create(who::person(peer))?;
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        if making.body.send(data).await.is_err() {
            // Refused: the answer goes out at once, and what still comes is not kept.
            tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
            break;
        }
    }
    drop(making.body);
    let gone = |_| ShelfError::Refused("packing ended without an answer".to_owned());
    making.made.await.unwrap_or_else(|e| Err(gone(e)))
}
