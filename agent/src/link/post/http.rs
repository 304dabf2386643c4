//! One HTTPS connection on a road, dialed when it is needed, and what its answers mean.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use callhome_shared::post::{Answer, BATCH_TYPE, PATH};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PAUSE;
use crate::link::Failure;
use crate::link::dial::Dialer;
use crate::settings::Road;

/// Beyond the time that the collector was asked to wait.
const ANSWER: Duration = Duration::from_secs(25);
/// Largest answer that is read: the collector keeps at most 4 MiB for us.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// Longest pause that the collector may impose.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What a request led to.
pub(super) enum Reply {
    /// It was taken.
    Answer(Answer),
    /// It may be repeated after a pause; why.
    Later(Duration, String),
}

/// One connection, dialed when it is needed.
pub(super) struct Http {
    dialer: Dialer,
    road: Arc<Road>,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Http {
    pub(super) fn new(dialer: Dialer, road: Arc<Road>) -> Self {
        Http { dialer, road, open: None }
    }

    pub(super) async fn post(&mut self, body: Bytes, wait_s: u64) -> Result<Reply, Failure> {
        let limit = Duration::from_secs(wait_s) + ANSWER;
        timeout(limit, self.post_unlimited(body, wait_s))
            .await
            .unwrap_or(Err(Failure::Timeout("no answer to an HTTPS request")))
    }

    async fn post_unlimited(&mut self, body: Bytes, wait_s: u64) -> Result<Reply, Failure> {
        // A connection that the other side closed while it idled is made anew, once.
        let reused = self.open.is_some();
        let sent = match self.send(body.clone(), wait_s).await {
            Err(Failed::Unsent(_)) if reused => self.send(body, wait_s).await,
            sent => sent,
        };
        let answer = sent.map_err(|failed| {
            self.open = None;
            match failed {
                Failed::Dial(failure) => failure,
                Failed::Unsent(e) | Failed::Http(e) => Failure::from_http(&e),
            }
        })?;
        read(answer).await.inspect_err(|_| self.open = None)
    }

    async fn send(
        &mut self,
        body: Bytes,
        wait_s: u64,
    ) -> Result<Response<hyper::body::Incoming>, Failed> {
        if self.open.as_ref().is_some_and(|open| open.sender.is_closed()) {
            self.open = None;
        }
        if self.open.is_none() {
            self.open = Some(self.dial().await?);
        }
        let Some(open) = &mut self.open else {
            return Err(Failed::Dial(Failure::Lost("no connection".into())));
        };
        let request = Request::post(format!("{PATH}?wait={wait_s}"))
            .header(HOST, self.road.authority())
            .header(USER_AGENT, concat!("callhome-agent/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, BATCH_TYPE)
            .body(Full::new(body))
            .map_err(|e| Failed::Dial(Failure::Post(e.to_string())))?;
        open.sender.ready().await.map_err(Failed::Unsent)?;
        let sent = open.sender.send_request(request).await;
        sent.map_err(|e| {
            let unsent = e.is_canceled() || e.is_incomplete_message();
            self.open = None;
            if unsent { Failed::Unsent(e) } else { Failed::Http(e) }
        })
    }

    async fn dial(&self) -> Result<Open, Failed> {
        let stream = self.dialer.dial(&self.road).await.map_err(Failed::Dial)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(Failed::Http)?;
        let task = tokio::spawn(async move {
            // Its error is told to the request that meets it.
            let _ = connection.await;
        });
        Ok(Open { sender, task })
    }
}

/// Why a request has no answer.
enum Failed {
    Dial(Failure),
    /// The connection was closed before an answer began. Sending twice is safe: the collector
    /// recognises what it has.
    Unsent(hyper::Error),
    Http(hyper::Error),
}

async fn read(answer: Response<hyper::body::Incoming>) -> Result<Reply, Failure> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|e| Failure::Lost(format!("answer: {e}")))?.to_bytes();
    understand(head.status, head.headers.get(RETRY_AFTER), &body)
}

fn understand(
    status: StatusCode,
    retry_after: Option<&HeaderValue>,
    body: &[u8],
) -> Result<Reply, Failure> {
    let said = || {
        let text = String::from_utf8_lossy(body);
        text.trim().chars().filter(|c| !c.is_control()).take(200).collect::<String>()
    };
    match status {
        StatusCode::OK => serde_json::from_slice(body)
            .map(Reply::Answer)
            .map_err(|e| Failure::Post(format!("the answer is not a collector's: {e}"))),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let seconds = retry_after.and_then(|v| v.to_str().ok()?.parse().ok());
            let pause = Duration::from_secs(seconds.unwrap_or(1)).clamp(PAUSE, MAX_PAUSE);
            Ok(Reply::Later(pause, said()))
        }
        StatusCode::FORBIDDEN => Err(Failure::Refused(said())),
        StatusCode::NOT_FOUND => Err(Failure::Post("there is no delivery at this address".into())),
        status => Err(Failure::Post(format!("the collector answers {status}: {}", said()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_means_what_it_says() {
        let wait = HeaderValue::from_static("7");
        let told = understand(StatusCode::TOO_MANY_REQUESTS, Some(&wait), b"slower\x1b[31m");
        assert!(matches!(told, Ok(Reply::Later(pause, text))
            if pause == Duration::from_secs(7) && text == "slower[31m"));
        assert!(matches!(understand(StatusCode::FORBIDDEN, None, b"no"), Err(Failure::Refused(_))));
        assert!(matches!(understand(StatusCode::OK, None, b"<html>"), Err(Failure::Post(_))));
        let good = br#"{"standing": "full", "withheld": 0, "messages": []}"#;
        assert!(matches!(understand(StatusCode::OK, None, good), Ok(Reply::Answer(_))));
    }

    proptest::proptest! {
        #[test]
        fn no_answer_panics(
            status in 100_u16..600,
            retry in proptest::option::of("[ -~]{0,24}"),
            body: Vec<u8>,
            json in "[\\[\\]{}:,\"a-z0-9 ]{0,60}",
        ) {
            let status = StatusCode::from_u16(status).unwrap();
            let retry = retry.and_then(|text| HeaderValue::from_str(&text).ok());
            for body in [&body[..], json.as_bytes()] {
                if let Ok(Reply::Later(pause, text)) = understand(status, retry.as_ref(), body) {
                    proptest::prop_assert!((PAUSE..=MAX_PAUSE).contains(&pause));
                    proptest::prop_assert!(!text.chars().any(char::is_control));
                }
            }
        }
    }
}
