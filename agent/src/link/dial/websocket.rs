//! The client's side of the WebSocket handshake (RFC 6455, §4.1).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callhome_shared::websocket::{SUBPROTOCOL, accept_key};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::proxy::{read_head, status};
use crate::link::Failure;
use crate::settings::Road;

/// For the answer.
const ANSWER: Duration = Duration::from_secs(15);

/// Turns a fresh connection into a WebSocket.
pub(super) async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    road: &Road,
) -> Result<(), Failure> {
    let key = STANDARD.encode(uuid::Uuid::new_v4().as_bytes());
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n",
        road.path,
        road.authority()
    );
    let talk = async {
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        read_head(stream).await
    };
    let head = timeout(ANSWER, talk)
        .await
        .map_err(|_| Failure::Timeout("no answer to the WebSocket handshake"))?
        .map_err(|e| Failure::from_stream(&e, Failure::WebSocket))?;
    check(&head, &key).map_err(Failure::WebSocket)
}

/// Whether the answer agrees to what was asked for.
fn check(head: &[u8], key: &str) -> Result<(), String> {
    let (code, reason) = status(head)?;
    match code {
        101 => {}
        404 => return Err("there is no MQTT at this path (404)".into()),
        403 => return Err(format!("the collector refuses this agent (403 {reason})")),
        _ => return Err(format!("answers {code} {reason}, expected 101")),
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut headers);
    answer.parse(head).map_err(|e| e.to_string())?;
    let get = |name: &str| {
        let found = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).unwrap_or_default().trim()
    };
    if !get("upgrade").eq_ignore_ascii_case("websocket") {
        return Err("the answer does not upgrade to websocket".into());
    }
    if get("sec-websocket-accept") != accept_key(key) {
        return Err("the answer is to another request".into());
    }
    if get("sec-websocket-protocol") != SUBPROTOCOL {
        return Err("the answer does not speak mqtt".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_right_answer_is_taken() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let good = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                    Sec-WebSocket-Protocol: mqtt\r\n\r\n";
        assert_eq!(check(good.as_bytes(), key), Ok(()));
        for (from, to, says) in [
            ("101 Switching Protocols", "404 Not Found", "no MQTT at this path"),
            ("101 Switching Protocols", "403 Forbidden", "refuses this agent"),
            ("101 Switching Protocols", "502 Bad Gateway", "502 Bad Gateway"),
            ("WebSocket", "h2c", "does not upgrade"),
            ("s3pP", "aaaa", "another request"),
            (": mqtt", ": chat", "does not speak mqtt"),
        ] {
            let error = check(good.replace(from, to).as_bytes(), key).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(head: Vec<u8>, text in "HTTP/1.1 101 .{0,80}\r\n\r\n") {
            let _ = check(&head, "k");
            let _ = check(text.as_bytes(), "k");
        }
    }
}
