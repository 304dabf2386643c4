//! The EST requests (RFC 7030): `cacerts`, `simpleenroll` and `simplereenroll`.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::tls;
use callhome_shared::token::TokenFile;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER};
use hyper::{HeaderMap, Request, StatusCode, Uri};
use rustls_pki_types::CertificateDer;

use super::{EnrolError, pkcs7};
use crate::link::dial::Dialer;
use crate::link::dial::ask::{Answer, ask};
use crate::link::dial::meter::Meters;
use crate::link::{Departure, Exit};
use crate::settings::{Proxy, Road, RoadKind};

/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// A difference of clocks worth a word.
const CLOCK_TOLERANCE_MS: u64 = 120_000;

/// Whom requests go to, and who notes them before they leave.
pub struct Way<'a> {
    /// Us.
    pub agent: &'a AgentId,
    /// The collector's HTTPS address.
    pub road: Arc<Road>,
    /// Counts the bytes.
    pub meters: &'a Meters,
    /// Is told of every request.
    pub exit: &'a Exit,
}

impl Way<'_> {
    /// Notes it, then asks.
    async fn ask(
        &self,
        config: rustls::ClientConfig,
        (kind, said): (&str, &[u8]),
        request: hyper::http::Result<Request<Full<Bytes>>>,
    ) -> Result<Vec<u8>, EnrolError> {
        let road = self.road.to_string();
        let url = |path: &str| format!("{}{path}", self.road.url());
        let request = request.map_err(|e| EnrolError::Key(e.to_string()))?;
        let url = url(request.uri().path());
        let departure = Departure { kind, envelope: None, road: &road, payload: said };
        self.exit.passes(departure);
        let dialer = Dialer::with(self.agent.clone(), config, self.meters);
        // On the heap: the dialing's state is large, and is kept in every caller's otherwise.
        let answer = Box::pin(ask(&dialer, &self.road, request, MAX_ANSWER_BYTES)).await;
        accept(answer.map_err(|failure| EnrolError::Connect { url, why: failure.to_string() })?)
    }
}

/// The road to an address `https://host[:port]`; nothing may be behind it.
pub fn road(url: &str, proxy: Option<Arc<Proxy>>) -> Result<Road, EnrolError> {
    let bad = |why: &str| EnrolError::Connect { url: url.to_owned(), why: why.to_owned() };
    let uri: Uri = url.parse().map_err(|_| bad("expected https://host:port"))?;
    let place = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
    let place = place.ok_or_else(|| bad("expected https://host:port"))?;
    let behind = !matches!(uri.path(), "" | "/") || uri.query().is_some();
    if behind || place.as_str().contains('@') || url.contains('#') {
        return Err(bad("expected https://host:port and nothing behind it"));
    }
    let host = place.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = match place.port() {
        Some(port) => port.as_u16(),
        None if place.as_str().ends_with(place.host()) => 443,
        None => return Err(bad("the port is no number up to 65535")),
    };
    if host.is_empty() || port == 0 {
        return Err(bad("expected https://host:port"));
    }
    Ok(Road { kind: RoadKind::Post, host, port, path: String::new(), proxy })
}

fn get(path: &str) -> hyper::http::request::Builder {
    Request::get(path).header(ACCEPT, "application/pkcs7-mime")
}

fn post(path: &str) -> hyper::http::request::Builder {
    Request::post(path)
        .header(CONTENT_TYPE, "application/pkcs10")
        .header("content-transfer-encoding", "base64")
        .header(ACCEPT, "application/pkcs7-mime")
}

fn full(body: &str) -> Full<Bytes> {
    Full::new(Bytes::copy_from_slice(body.as_bytes()))
}

fn bad_ca(error: tls::TlsError) -> EnrolError {
    EnrolError::Ca(error.to_string())
}

/// `GET /.well-known/est/cacerts` from a server that shows the CA `fingerprint`; that CA's certificate.
pub async fn ca_certificates(
    way: &Way<'_>,
    fingerprint: &str,
) -> Result<CertificateDer<'static>, EnrolError> {
    let config = tls::pinned_client_config(fingerprint).map_err(bad_ca)?;
    let request = get("/.well-known/est/cacerts").body(full(""));
    let body = way.ask(config, ("ca-query", b""), request).await?;
    decode(&body)?
        .into_iter()
        .find(|certificate| tls::fingerprint(certificate) == fingerprint)
        .ok_or_else(|| {
            let url = way.road.url();
            EnrolError::Ca(format!("{url} does not give the CA {fingerprint} that the token names"))
        })
}

/// A certificate request as it travels.
pub fn body(csr: &[u8]) -> String {
    STANDARD.encode(csr)
}

/// `POST /.well-known/est/simpleenroll` of a [`body`] with the token as password; trusts only `ca`.
pub async fn simple_enroll(
    way: &Way<'_>,
    ca: &CertificateDer<'static>,
    token: &TokenFile,
    request: &str,
) -> Result<Vec<CertificateDer<'static>>, EnrolError> {
    let config = tls::client_config(std::slice::from_ref(ca), None).map_err(bad_ca)?;
    let pair = zeroize::Zeroizing::new(format!("{}:{}", token.agent, token.secret));
    let login = zeroize::Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut login = hyper::header::HeaderValue::from_str(&login)
        .map_err(|_| EnrolError::Token("its secret cannot be sent".into()))?;
    login.set_sensitive(true);
    let post = post("/.well-known/est/simpleenroll").header(AUTHORIZATION, login);
    let body = way.ask(config, ("enrol", request.as_bytes()), post.body(full(request))).await?;
    decode(&body)
}

/// A collector that we are enrolled at.
pub struct Server<'a> {
    /// The way to it.
    pub way: Way<'a>,
    /// The CAs that it must be of.
    pub roots: Vec<CertificateDer<'static>>,
    /// What we show.
    pub identity: tls::Identity,
}

impl Server<'_> {
    fn config(&self) -> Result<rustls::ClientConfig, EnrolError> {
        let chain = self.identity.chain.clone();
        let shown = tls::Identity { chain, key: self.identity.key.clone_key() };
        tls::client_config(&self.roots, Some(shown)).map_err(bad_ca)
    }
}

/// `GET /.well-known/est/cacerts` from a collector that is trusted already; tells it beside that which
/// CAs we trust ([`tls::roots_digest`]).
pub async fn trusted_ca_certificates(
    server: &Server<'_>,
    digest: &str,
) -> Result<Vec<CertificateDer<'static>>, EnrolError> {
    let request = get("/.well-known/est/cacerts").header(tls::ROOTS_HEADER, digest);
    let said = ("ca-query", digest.as_bytes());
    decode(&server.way.ask(server.config()?, said, request.body(full(""))).await?)
}

/// `POST /.well-known/est/simplereenroll` with our present certificate, which may have ended.
pub async fn simple_reenroll(
    server: &Server<'_>,
    request: &str,
) -> Result<Vec<CertificateDer<'static>>, EnrolError> {
    let post = post("/.well-known/est/simplereenroll").body(full(request));
    decode(&server.way.ask(server.config()?, ("renew", request.as_bytes()), post).await?)
}

/// The body of a 200; anything else becomes an error with the server's words.
fn accept(answer: Answer) -> Result<Vec<u8>, EnrolError> {
    let Answer { status, headers, body } = answer;
    if status == StatusCode::OK {
        return Ok(body.to_vec());
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
    let date = headers.get(DATE)?.to_str().ok()?;
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
    fn addresses() {
        let url = |text: &str| road(text, None).map(|road| road.url());
        assert_eq!(url("https://c.example:8443/").unwrap(), "https://c.example:8443");
        assert_eq!(url("https://c.example").unwrap(), "https://c.example:443");
        assert_eq!(url("https://[::1]:8443").unwrap(), "https://[::1]:8443");
        for bad in [
            "http://c",
            "c:8443",
            "https://c/path",
            "https://u@c",
            "https://c/?x",
            "https://c:99999",
            "https://c:0",
            "https://",
            "",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Tue, 01 Jan 2019 00:00:00 GMT".parse().unwrap());
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
                headers.insert(DATE, date.parse().unwrap());
                headers.insert(RETRY_AFTER, retry.parse().unwrap());
                let _ = refusal(status, &headers, &body);
            }
            let _ = (decode(&body), decode(base64.as_bytes()));
        }
    }
}
