//! One HTTP request on a connection of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, USER_AGENT};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::Dialer;
use crate::link::Failure;
use crate::settings::Road;

/// For the request and its whole answer, once the connection stands.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An answer.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Sends `request` (path and headers; the host is filled in) along the road and reads the answer, of at most
/// `most` bytes.
pub async fn ask(
    dialer: &Dialer,
    road: &Arc<Road>,
    mut request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Answer, Failure> {
    let head = |text: &str| text.parse().map_err(|_| Failure::Post(format!("header {text:?}")));
    request.headers_mut().insert(HOST, head(&road.authority())?);
    let agent = concat!("callhome-agent/", env!("CARGO_PKG_VERSION"));
    request.headers_mut().insert(USER_AGENT, head(agent)?);
    let stream = dialer.dial(road).await?;
    let talk = async {
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|e| Failure::from_http(&e))?;
        let answer = async {
            let answer = sender.send_request(request).await.map_err(|e| Failure::from_http(&e))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, most).collect().await;
            let body = body.map_err(|e| match e.is::<LengthLimitError>() {
                true => Failure::Post(format!("the answer has more than {most} bytes")),
                false => Failure::Lost(format!("answer: {e}")),
            })?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        tokio::pin!(connection);
        tokio::pin!(answer);
        // The connection moves what is asked and answered; it may end before the answer is looked at.
        tokio::select! {
            answer = &mut answer => answer,
            ended = &mut connection => match ended {
                Ok(()) => answer.await,
                Err(e) => Err(Failure::from_http(&e)),
            },
        }
    };
    timeout(TIMEOUT, talk).await.unwrap_or(Err(Failure::Timeout("no answer to an HTTPS request")))
}
