//! The requests of an upload over one HTTPS connection, and what their answers mean.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use callhome_shared::bundle::{
    CHUNK_TYPE, CONTENT_DIGEST, PATH, Refusal, RefusalDetail, Standing, UPLOAD_COMPLETE,
    UPLOAD_OFFSET, parse_offset,
};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use uuid::Uuid;

use super::book::Event;
use crate::link::dial::Dialer;
use crate::link::dial::meter::Meters;
use crate::settings::{LinkSettings, Road};

/// For the answer to a request whose body is sent.
const ANSWER: Duration = Duration::from_secs(60);
/// Largest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;
/// Bytes handed over at once, so that what is sent beside them does not wait long.
const PIECE: usize = 16 * 1024;
/// Shortest and longest pause that the collector may ask for.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// A body that is handed over no faster than `rate` bytes a second (0: as fast as it goes).
pub(super) struct Paced {
    rest: Bytes,
    rate: u64,
    /// When the next piece may go.
    next: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    /// Begins not before `next`.
    pub(super) fn new(rest: Bytes, rate: u64, next: Instant) -> Self {
        Paced { rest, rate, next: next.max(Instant::now()), sleep: None }
    }
}

/// How long `bytes` take.
pub(super) fn takes(bytes: u64, rate: u64) -> Duration {
    match rate {
        0 => Duration::ZERO,
        rate => Duration::from_micros(bytes.saturating_mul(1_000_000) / rate),
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if self.rate > 0 {
            let next = self.next;
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(next)));
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        let len = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(len);
        let pause = takes(len as u64, self.rate);
        self.next += pause;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// An answer.
pub(super) struct Said {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Said {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn offset(&self) -> Option<(u64, bool)> {
        let complete = self.header(UPLOAD_COMPLETE) == Some("?1");
        self.header(UPLOAD_OFFSET).and_then(parse_offset).map(|offset| (offset, complete))
    }

    fn detail(&self) -> RefusalDetail {
        let read = serde_json::from_slice::<Refusal>(&self.body).map(|refusal| refusal.error);
        read.unwrap_or_else(|_| RefusalDetail {
            code: String::new(),
            message: format!("the collector answers {}", self.status),
        })
    }

    fn later(&self, why: String) -> Event {
        let asked = self.header(RETRY_AFTER.as_str()).and_then(|text| text.parse().ok());
        let wait = asked.map_or(Duration::from_secs(10), Duration::from_secs);
        Event::Later(wait.clamp(PAUSES.0, PAUSES.1), why)
    }

    /// What is the same for every request.
    fn otherwise(&self) -> Event {
        let RefusalDetail { code, message } = self.detail();
        match (self.status, code.as_str()) {
            (StatusCode::FORBIDDEN, "foreign_subject") => Event::Refused(message),
            (StatusCode::PAYLOAD_TOO_LARGE, "too_large") => Event::Refused(message),
            (StatusCode::BAD_REQUEST, "malformed") => Event::Refused(message),
            (StatusCode::NOT_FOUND, "unknown_upload") | (StatusCode::GONE, _) => Event::Unknown,
            // What a collector says that does not know of bundles.
            (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED, code)
                if code != "unknown_subject" =>
            {
                let wait = Duration::from_secs(600);
                Event::Later(wait, "the collector at this address takes no bundles".to_owned())
            }
            _ => self.later(message),
        }
    }

    /// To a declaration.
    pub(super) fn to_declaration(&self) -> Event {
        match self.status {
            StatusCode::OK | StatusCode::CREATED => {
                match serde_json::from_slice::<Standing>(&self.body) {
                    Ok(standing) => Event::Stands(standing),
                    Err(e) => self.later(format!("the answer is not a collector's: {e}")),
                }
            }
            StatusCode::CONFLICT | StatusCode::GONE => Event::Refused(self.detail().message),
            _ => match self.otherwise() {
                // It cannot be declared any more than it was.
                Event::Unknown => self.later(self.detail().message),
                event => event,
            },
        }
    }

    /// To the question how far it is. Answers to HEAD have no body.
    pub(super) fn to_look(&self) -> Event {
        match (self.status, self.offset()) {
            (StatusCode::NO_CONTENT | StatusCode::OK, Some((offset, complete))) => {
                Event::Offset(offset, complete)
            }
            (StatusCode::NOT_FOUND | StatusCode::GONE, _) => Event::Unknown,
            _ => self.otherwise(),
        }
    }

    /// To a chunk.
    pub(super) fn to_chunk(&self) -> Event {
        match (self.status, self.offset()) {
            (StatusCode::NO_CONTENT | StatusCode::CONFLICT, Some((offset, complete))) => {
                Event::Offset(offset, complete)
            }
            (StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE, _) => {
                Event::Damaged(self.detail().message)
            }
            _ => self.otherwise(),
        }
    }

    /// To `…/complete`.
    pub(super) fn to_complete(&self) -> Event {
        match (self.status, self.offset()) {
            (StatusCode::OK, _) => Event::Completed,
            (StatusCode::CONFLICT, Some((offset, complete))) => Event::Offset(offset, complete),
            (StatusCode::UNPROCESSABLE_ENTITY, _) => Event::Differs,
            _ => self.otherwise(),
        }
    }

    /// To `DELETE`.
    pub(super) fn to_withdrawal(&self) -> Event {
        match self.status {
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND | StatusCode::GONE => Event::Withdrawn,
            StatusCode::CONFLICT => Event::Completed,
            _ => self.otherwise(),
        }
    }
}

/// One connection, dialed when it is needed.
pub(super) struct Wire {
    settings: LinkSettings,
    meters: Meters,
    open: Option<Open>,
}

struct Open {
    road: Arc<Road>,
    sender: SendRequest<Paced>,
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A request of an upload.
pub(super) struct Ask {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Paced,
    /// How long the body takes at least.
    takes: Duration,
}

impl Ask {
    fn new(method: Method, path: String) -> Self {
        let body = Paced::new(Bytes::new(), 0, Instant::now());
        Ask { method, path, headers: Vec::new(), body, takes: Duration::ZERO }
    }

    pub(super) fn declare(json: Bytes) -> Self {
        let headers = vec![(CONTENT_TYPE.as_str(), "application/json".to_owned())];
        let body = Paced::new(json, 0, Instant::now());
        Ask { headers, body, ..Ask::new(Method::POST, PATH.to_owned()) }
    }

    pub(super) fn look(id: Uuid) -> Self {
        Ask::new(Method::HEAD, format!("{PATH}/{id}"))
    }

    /// `digest` as in `Content-Digest`.
    pub(super) fn chunk(id: Uuid, offset: u64, digest: String, body: Paced) -> Self {
        let headers = vec![
            (CONTENT_TYPE.as_str(), CHUNK_TYPE.to_owned()),
            (UPLOAD_OFFSET, offset.to_string()),
            (UPLOAD_COMPLETE, "?0".to_owned()),
            (CONTENT_DIGEST, digest),
        ];
        let pause = body.next.saturating_duration_since(Instant::now());
        let takes = pause + takes(body.rest.len() as u64, body.rate);
        Ask { headers, body, takes, ..Ask::new(Method::PATCH, format!("{PATH}/{id}")) }
    }

    pub(super) fn complete(id: Uuid) -> Self {
        Ask::new(Method::POST, format!("{PATH}/{id}/complete"))
    }

    pub(super) fn withdraw(id: Uuid) -> Self {
        Ask::new(Method::DELETE, format!("{PATH}/{id}"))
    }
}

impl Wire {
    pub(super) fn new(settings: LinkSettings, meters: Meters) -> Self {
        Wire { settings, meters, open: None }
    }

    /// Ends the connection, if there is one.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Makes sure that there is a connection by this road: what fails here has sent nothing.
    pub(super) async fn dial(&mut self, road: &Arc<Road>) -> Result<(), String> {
        let same = |open: &Open| open.road == *road && !open.sender.is_closed();
        if self.open.as_ref().is_some_and(same) {
            return Ok(());
        }
        self.open = None;
        let dialer = Dialer::new(&self.settings, &self.meters).map_err(|e| e.to_string())?;
        let stream = dialer.dial(road).await.map_err(|e| e.to_string())?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        let task = tokio::spawn(async move {
            // Its error is told to the request that meets it.
            let _ = connection.await;
        });
        self.open = Some(Open { road: road.clone(), sender, task });
        Ok(())
    }

    /// Asks over the dialed connection. After an error there is none any more.
    pub(super) async fn ask(&mut self, ask: Ask) -> Result<Said, String> {
        let patience = ANSWER + ask.takes + ask.takes;
        let said = timeout(patience, self.exchange(ask)).await;
        let said = said.unwrap_or_else(|_| Err("no answer from the collector".to_owned()));
        if said.is_err() {
            self.open = None;
        }
        said
    }

    async fn exchange(&mut self, ask: Ask) -> Result<Said, String> {
        let open = self.open.as_mut().ok_or("no connection")?;
        let agent = concat!("callhome-agent/", env!("CARGO_PKG_VERSION"));
        let mut request = Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header(HOST, open.road.authority())
            .header(USER_AGENT, agent);
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        let request = request.body(ask.body).map_err(|e| e.to_string())?;
        open.sender.ready().await.map_err(|e| lost(&e))?;
        let answer = open.sender.send_request(request).await.map_err(|e| lost(&e))?;
        read(answer).await
    }
}

fn lost(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("connection lost: {error}: {cause}"),
        None => format!("connection lost: {error}"),
    }
}

async fn read(answer: Response<Incoming>) -> Result<Said, String> {
    let (head, body) = answer.into_parts();
    let body =
        Limited::new(body, MAX_ANSWER).collect().await.map_err(|e| format!("answer: {e}"))?;
    Ok(Said { status: head.status, headers: head.headers, body: body.to_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(status: u16, headers: &[(&str, &str)], body: &str) -> Said {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = hyper::header::HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.insert(name, hyper::header::HeaderValue::from_str(value).unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        Said { status, headers: map, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    fn refusal(code: &str) -> String {
        format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"in words\"}}}}")
    }

    #[test]
    fn answers_mean_what_is_documented() {
        let words = || "in words".to_owned();
        let refused = said(403, &[], &refusal("foreign_subject"));
        assert_eq!(refused.to_declaration(), Event::Refused(words()));
        // In quarantine: after the renewal it goes on.
        let ended = said(403, &[], &refusal("no_certificate"));
        assert!(matches!(ended.to_declaration(), Event::Later(..)));
        let full = said(507, &[("retry-after", "600")], &refusal("full"));
        assert_eq!(full.to_chunk(), Event::Later(Duration::from_secs(600), words()));
        assert_eq!(full.to_declaration(), full.to_chunk());
        let at = [("upload-offset", "5"), ("upload-complete", "?0")];
        assert_eq!(said(204, &at, "").to_chunk(), Event::Offset(5, false));
        assert_eq!(said(409, &at, &refusal("wrong_offset")).to_chunk(), Event::Offset(5, false));
        assert_eq!(said(409, &at, &refusal("incomplete")).to_complete(), Event::Offset(5, false));
        let done = [("upload-offset", "9"), ("upload-complete", "?1")];
        assert_eq!(said(204, &done, "").to_look(), Event::Offset(9, true));
        assert_eq!(said(404, &[], "").to_look(), Event::Unknown);
        assert_eq!(said(404, &[], &refusal("unknown_upload")).to_chunk(), Event::Unknown);
        let unknown = said(404, &[("retry-after", "10")], &refusal("unknown_subject"));
        assert_eq!(unknown.to_declaration(), Event::Later(Duration::from_secs(10), words()));
        for none in [said(404, &[], "no such page"), said(405, &[], &refusal("method_not_allowed"))]
        {
            let Event::Later(_, why) = none.to_declaration() else { panic!("{}", none.status) };
            assert!(why.contains("no bundles"), "{why}");
        }
        let wrong = said(422, &[], &refusal("wrong_digest"));
        assert_eq!(wrong.to_chunk(), Event::Damaged(words()));
        assert_eq!(said(422, &at, &refusal("wrong_hash")).to_complete(), Event::Differs);
        assert_eq!(said(410, &[], &refusal("refused")).to_chunk(), Event::Unknown);
        assert_eq!(said(410, &[], &refusal("refused")).to_declaration(), Event::Refused(words()));
        assert_eq!(said(409, &[], &refusal("complete")).to_withdrawal(), Event::Completed);
        assert_eq!(said(404, &[], &refusal("unknown_upload")).to_withdrawal(), Event::Withdrawn);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_keeps_its_pace() {
        let began = Instant::now();
        let bytes = Bytes::from(vec![7; 100_000]);
        let body = Paced::new(bytes.clone(), 50_000, began + Duration::from_secs(1));
        assert_eq!(body.size_hint().exact(), Some(100_000));
        let sent = body.collect().await.unwrap().to_bytes();
        assert_eq!(sent, bytes);
        // The last piece leaves when those before it have had their time.
        let took = began.elapsed();
        let least = Duration::from_millis(1000 + 1900 - 328);
        assert!(took >= least && took < Duration::from_secs(4), "{took:?}");
    }

    proptest! {
        #[test]
        fn no_answer_panics(status in 100u16..600, offset in "[ -~]{0,20}", retry in "[ -~]{0,25}", body in ".{0,60}") {
            let said = said(status, &[("upload-offset", &offset), ("retry-after", &retry)], &body);
            for event in [
                said.to_declaration(), said.to_look(), said.to_chunk(), said.to_complete(), said.to_withdrawal(),
            ] {
                if let Event::Later(wait, _) = event {
                    prop_assert!(wait >= PAUSES.0 && wait <= PAUSES.1);
                }
            }
        }
    }
}
