//! The EST requests (RFC 7030): `cacerts`, `simpleenroll` and `simplereenroll`.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callhome_shared::time::Time;
use callhome_shared::tls;
use callhome_shared::token::TokenFile;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use rustls_pki_types::CertificateDer;

use super::{EnrolError, pkcs7};
use crate::link::failure::{rustls_cause, tls_words};
use crate::settings::Proxy;

/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);
/// A difference of clocks worth a word.
const CLOCK_TOLERANCE_MS: u64 = 120_000;

/// `GET /.well-known/est/cacerts` from a server that shows the CA `fingerprint`; that CA's certificate.
pub async fn ca_certificates(
    collector: &str,
    fingerprint: &str,
    proxy: Option<&Proxy>,
) -> Result<CertificateDer<'static>, EnrolError> {
    let config =
        tls::pinned_client_config(fingerprint).map_err(|e| EnrolError::Ca(e.to_string()))?;
    let url = format!("{collector}/.well-known/est/cacerts");
    let sent =
        client(config, proxy)?.get(&url).header(ACCEPT, "application/pkcs7-mime").send().await;
    let answer = sent.map_err(|e| unreachable_because(&url, &e))?;
    let body = accept(answer).await?;
    decode(&body)?
        .into_iter()
        .find(|certificate| tls::fingerprint(certificate) == fingerprint)
        .ok_or_else(|| {
            EnrolError::Ca(format!("{url} does not give the CA {fingerprint} that the token names"))
        })
}

/// A certificate request as it travels.
pub fn body(csr: &[u8]) -> String {
    STANDARD.encode(csr)
}

/// `POST /.well-known/est/simpleenroll` of a [`body`] with the token as password; trusts only `ca`.
pub async fn simple_enroll(
    collector: &str,
    ca: &CertificateDer<'static>,
    token: &TokenFile,
    request: String,
    proxy: Option<&Proxy>,
) -> Result<Vec<CertificateDer<'static>>, EnrolError> {
    let config = tls::client_config(std::slice::from_ref(ca), None)
        .map_err(|e| EnrolError::Ca(e.to_string()))?;
    let url = format!("{collector}/.well-known/est/simpleenroll");
    let sent = client(config, proxy)?
        .post(&url)
        .basic_auth(token.agent.as_str(), Some(&token.secret))
        .header(CONTENT_TYPE, "application/pkcs10")
        .header("Content-Transfer-Encoding", "base64")
        .header(ACCEPT, "application/pkcs7-mime")
        .body(request)
        .send()
        .await;
    let answer = sent.map_err(|e| unreachable_because(&url, &e))?;
    let body = accept(answer).await?;
    decode(&body)
}

/// A collector that we are enrolled at.
pub struct Server<'a> {
    /// Its HTTPS address.
    pub collector: &'a str,
    /// The CAs that it must be of.
    pub roots: Vec<CertificateDer<'static>>,
    /// What we show.
    pub identity: tls::Identity,
    /// Proxy to it.
    pub proxy: Option<&'a Proxy>,
}

impl Server<'_> {
    fn client(&self) -> Result<Client, EnrolError> {
        let chain = self.identity.chain.clone();
        let shown = tls::Identity { chain, key: self.identity.key.clone_key() };
        let config = tls::client_config(&self.roots, Some(shown));
        client(config.map_err(|e| EnrolError::Ca(e.to_string()))?, self.proxy)
    }
}

/// `GET /.well-known/est/cacerts` from a collector that is trusted already; tells it beside that which
/// CAs we trust ([`tls::roots_digest`]).
pub async fn trusted_ca_certificates(
    server: &Server<'_>,
    digest: &str,
) -> Result<Vec<CertificateDer<'static>>, EnrolError> {
    let url = format!("{}/.well-known/est/cacerts", server.collector);
    let request = server.client()?.get(&url).header(ACCEPT, "application/pkcs7-mime");
    let sent = request.header(tls::ROOTS_HEADER, digest).send().await;
    let body = accept(sent.map_err(|e| unreachable_because(&url, &e))?).await?;
    decode(&body)
}

/// `POST /.well-known/est/simplereenroll` with our present certificate, which may have ended.
pub async fn simple_reenroll(
    server: &Server<'_>,
    request: String,
) -> Result<Vec<CertificateDer<'static>>, EnrolError> {
    let url = format!("{}/.well-known/est/simplereenroll", server.collector);
    let sent = server
        .client()?
        .post(&url)
        .header(CONTENT_TYPE, "application/pkcs10")
        .header("Content-Transfer-Encoding", "base64")
        .header(ACCEPT, "application/pkcs7-mime")
        .body(request)
        .send()
        .await;
    let body = accept(sent.map_err(|e| unreachable_because(&url, &e))?).await?;
    decode(&body)
}

fn client(config: rustls::ClientConfig, proxy: Option<&Proxy>) -> Result<Client, EnrolError> {
    let failed = |e: reqwest::Error| EnrolError::Connect { url: String::new(), why: e.to_string() };
    // Only what is configured, never what the environment says.
    let mut builder = Client::builder().no_proxy();
    if let Some(proxy) = proxy {
        let mut through = reqwest::Proxy::all(proxy.to_string()).map_err(failed)?;
        if let Some(login) = &proxy.login {
            through = through.basic_auth(&login.user, &login.password);
        }
        builder = builder.proxy(through);
    }
    builder
        .tls_backend_preconfigured(config)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .build()
        .map_err(failed)
}

/// The innermost cause of a failed request, in words a person can act on.
fn unreachable_because(url: &str, error: &reqwest::Error) -> EnrolError {
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        why = cause.to_string();
        let tls = cause.downcast_ref::<rustls::Error>();
        let inside = cause.downcast_ref::<io::Error>().and_then(rustls_cause);
        if let Some(tls) = tls.or(inside) {
            why = format!("TLS: {}", tls_words(tls));
            break;
        }
        source = cause.source();
    }
    if error.is_timeout() {
        why = "no answer in time".into();
    }
    if let Some(words) = proxy_words(&why) {
        why = words.to_owned();
    }
    EnrolError::Connect { url: url.to_owned(), why }
}

/// What the HTTP client's words about a proxy's tunnel mean. It tells no status but 407; tinyproxy
/// answers 401 to a wrong password.
fn proxy_words(why: &str) -> Option<&'static str> {
    match why.strip_prefix("tunnel error: ")? {
        "proxy authorization required" => {
            Some("the proxy asks for user and password, or refuses those given")
        }
        "unsuccessful" => Some(
            "the proxy does not let us through: it refuses user and password or this address, or \
             cannot reach it",
        ),
        "failed to create underlying connection" => Some("the proxy cannot be reached"),
        _ => Some("the proxy does not answer as a proxy"),
    }
}

/// The body of a 200; anything else becomes an error with the server's words.
async fn accept(mut answer: Response) -> Result<Vec<u8>, EnrolError> {
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| EnrolError::Answer(e.to_string()))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(EnrolError::Answer(format!("more than {MAX_ANSWER_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    if status == StatusCode::OK {
        return Ok(body);
    }
    Err(EnrolError::Refused { status: status.as_u16(), why: refusal(status, &headers, &body) })
}

fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> String {
    let words = match status {
        StatusCode::UNAUTHORIZED => {
            "the token is unknown, used already, expired, or for another agent; ask for a new one"
        }
        StatusCode::FORBIDDEN => "this agent, or its token, may not have that",
        StatusCode::ACCEPTED => "it wants to be asked again later",
        StatusCode::NOT_FOUND => "no EST service there; is this the collector's HTTPS address?",
        StatusCode::TOO_MANY_REQUESTS => "too many attempts",
        _ if status.is_server_error() => "it has a fault of its own",
        _ => "unexpected status",
    };
    let mut text = words.to_owned();
    if let Some(after) = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()) {
        text.push_str(&format!(" (retry after {after})"));
    }
    let said: String = server_words(body).chars().filter(|c| !c.is_control()).take(300).collect();
    if !said.is_empty() {
        text.push_str(&format!("; it says: {said}"));
    }
    if let Some(off_s) = clock_difference_s(headers) {
        text.push_str(&format!("; this host's clock is {off_s} s off the collector's"));
    }
    text
}

/// `error.message` of a JSON answer, else its text.
fn server_words(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|j| j.pointer("/error/message")?.as_str());
    match message {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

/// Ours minus theirs by their `Date`, if it is worth a word.
fn clock_difference_s(headers: &HeaderMap) -> Option<i64> {
    let date = headers.get(reqwest::header::DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_millisecond();
    let off_ms = Time::now().millis() - theirs;
    (off_ms.unsigned_abs() > CLOCK_TOLERANCE_MS).then_some(off_ms / 1000)
}

fn decode(body: &[u8]) -> Result<Vec<CertificateDer<'static>>, EnrolError> {
    // RFC 8951: base64 whatever the transfer encoding says, possibly broken into lines.
    let text: Vec<u8> = body.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    let der = STANDARD
        .decode(text)
        .map_err(|e| EnrolError::Answer(format!("expected base64 of PKCS#7: {e}")))?;
    pkcs7::certificates(&der).map_err(|e| EnrolError::Answer(format!("PKCS#7: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_named_as_the_cause() {
        for why in ["proxy authorization required", "unsuccessful", "unexpected end of file"] {
            let words = proxy_words(&format!("tunnel error: {why}"));
            assert!(words.is_some_and(|words| words.contains("the proxy")), "{why}");
        }
        assert_eq!(proxy_words("connection refused"), None);
    }

    #[test]
    fn refusals_say_what_to_do() {
        let mut headers = HeaderMap::new();
        headers.insert(reqwest::header::DATE, "Tue, 01 Jan 2019 00:00:00 GMT".parse().unwrap());
        headers.insert(RETRY_AFTER, "30".parse().unwrap());
        let body = br#"{"error":{"code":"token","message":"token used at 2026-01-01"}}"#;
        let text = refusal(StatusCode::UNAUTHORIZED, &headers, body);
        for part in ["used already", "retry after 30", "token used at 2026-01-01", "s off"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(refusal(StatusCode::NOT_FOUND, &HeaderMap::new(), b"").contains("EST"));
    }

    proptest::proptest! {
        #[test]
        fn no_answer_panics(
            status in 100_u16..600,
            date in "[ -~]{0,40}",
            day in 0_u32..40,
            retry in "[ -~]{0,12}",
            body: Vec<u8>,
            base64 in "[A-Za-z0-9+/=\r\n]{0,200}",
        ) {
            let status = StatusCode::from_u16(status).unwrap();
            for date in [date, format!("Tue, {day:02} Jan 2019 00:00:00 GMT")] {
                let mut headers = HeaderMap::new();
                headers.insert(reqwest::header::DATE, date.parse().unwrap());
                headers.insert(RETRY_AFTER, retry.parse().unwrap());
                let _ = refusal(status, &headers, &body);
            }
            let _ = (decode(&body), decode(base64.as_bytes()));
        }
    }
}
