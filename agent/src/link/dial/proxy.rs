//! HTTP CONNECT (RFC 9110, §9.3.6) with Basic authentication (RFC 7617).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::link::Failure;
use crate::settings::{Proxy, Road};

/// Largest head of an answer.
const MAX_HEAD: usize = 8 * 1024;
/// A proxy may itself wait for the collector.
const ANSWER: Duration = Duration::from_secs(20);

/// Asks the proxy at the other end of `stream` for a tunnel to the collector.
pub(super) async fn tunnel<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    proxy: &Proxy,
    road: &Road,
) -> Result<S, Failure> {
    let asked = request(proxy, &road.authority());
    let talk = async {
        stream.write_all(asked.as_bytes()).await?;
        stream.flush().await?;
        read_head(&mut stream).await
    };
    let failed = |why: String| Failure::Proxy(format!("{proxy}: {why}"));
    let head = timeout(ANSWER, talk)
        .await
        .map_err(|_| Failure::Timeout("no answer of the proxy to CONNECT"))?
        .map_err(|e| failed(e.to_string()))?;
    let (status, reason) = status(&head).map_err(failed)?;
    match status {
        200..300 => Ok(stream),
        // 401 is what tinyproxy answers to a wrong password.
        401 | 407 => Err(Failure::ProxyAuth(match &proxy.login {
            Some(login) => {
                format!("{proxy} refuses user {:?} or the password ({status} {reason})", login.user)
            }
            None => format!("{proxy} asks for user and password ({status} {reason})"),
        })),
        _ => Err(failed(format!("answers {status} {reason} to CONNECT {}", road.authority()))),
    }
}

fn request(proxy: &Proxy, authority: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"));
    if let Some(login) = &proxy.login {
        let pair = Zeroizing::new(format!("{}:{}", login.user, *login.password));
        let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        text.push_str("Proxy-Authorization: Basic ");
        text.push_str(&encoded);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text
}

/// The head of an HTTP answer up to the empty line. Byte by byte: what follows belongs to others.
pub(super) async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Vec<u8>> {
    let bad = |why: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, why);
    let mut head = Vec::with_capacity(512);
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_HEAD {
            return Err(bad("the answer's head is too long"));
        }
        if stream.read(&mut byte).await? == 0 {
            return Err(bad("closed without an HTTP answer"));
        }
        head.push(byte[0]);
        if head.len() == 5 && head != b"HTTP/" {
            return Err(bad("answers something that is not HTTP"));
        }
    }
    Ok(head)
}

/// Status code and reason of an answer's head.
pub(super) fn status(head: &[u8]) -> Result<(u16, String), String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut headers);
    answer.parse(head).map_err(|e| format!("no HTTP answer: {e}"))?;
    let code = answer.code.ok_or("no HTTP answer")?;
    let reason = answer.reason.unwrap_or_default().chars().filter(|c| !c.is_control()).take(80);
    Ok((code, reason.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{ProxyLogin, RoadKind};
    use proptest::prelude::*;

    fn road() -> Road {
        Road {
            kind: RoadKind::Mqtt,
            host: "2001:db8::1".into(),
            port: 8883,
            path: String::new(),
            proxy: None,
        }
    }

    fn proxy(login: bool) -> Proxy {
        let login = login.then(|| ProxyLogin {
            user: "Aladdin".into(),
            password: "open sesame".to_owned().into(),
        });
        Proxy { host: "p".into(), port: 3128, login }
    }

    async fn answered(answer: &'static [u8], login: bool) -> (String, Result<(), Failure>) {
        let (ours, mut theirs) = tokio::io::duplex(10_000);
        let talking = tokio::spawn(async move {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(theirs.read_u8().await.unwrap());
            }
            theirs.write_all(answer).await.unwrap();
            String::from_utf8(asked).unwrap()
        });
        let result = tunnel(ours, &proxy(login), &road()).await.map(drop);
        (talking.await.unwrap(), result)
    }

    #[tokio::test]
    async fn asks_and_understands_every_answer() {
        let (asked, result) = answered(b"HTTP/1.0 200 Connection established\r\n\r\n", true).await;
        assert!(result.is_ok());
        assert!(asked.starts_with("CONNECT [2001:db8::1]:8883 HTTP/1.1\r\nHost: [2001"), "{asked}");
        // RFC 7617, §2.
        assert!(asked.contains("Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
        let refused: &[u8] = b"HTTP/1.1 407 Proxy Authentication Required\r\nX: y\r\n\r\n";
        for (answer, login, kind, says) in [
            (refused, true, "proxy-auth", "refuses user \"Aladdin\" or the password"),
            (b"HTTP/1.0 401 Unauthorized\r\n\r\n", true, "proxy-auth", "or the password (401"),
            (refused, false, "proxy-auth", "asks for user and password"),
            (b"HTTP/1.1 403 Filtered\r\n\r\n", false, "proxy", "403 Filtered to CONNECT"),
            (b"SSH-2.0-OpenSSH\r\n", false, "proxy", "not HTTP"),
            (b"HTTP/1.1 ", false, "proxy", "closed without"),
        ] {
            let (_, result) = answered(answer, login).await;
            let failure = result.unwrap_err();
            assert_eq!(failure.kind(), kind);
            let text = failure.to_string();
            assert!(text.contains(says) && !text.contains("sesame"), "{text}");
        }
        assert!(!format!("{:?}", proxy(true)).contains("sesame"));
    }

    proptest! {
        #[test]
        fn no_answer_panics(head: Vec<u8>, text in "HTTP/1.[01] [0-9]{0,5}.{0,40}\r\n\r\n") {
            let _ = status(&head);
            let _ = status(text.as_bytes());
        }
    }
}
