//! The server's limits, and its TLS.

use std::time::Duration;

use callhome_shared::tls;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::site::{Site, certificate, refusal};
use crate::api::pace::RequestLimits;
use crate::api::rights::Role;
use crate::api::server::Limits;
use crate::broker::places::PlaceLimits;

async fn connect(site: &Site, alpn: &[u8]) -> TlsStream<TcpStream> {
    let mut config = tls::client_config(std::slice::from_ref(&site.root), None).unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(site.address).await.unwrap();
    let connector = TlsConnector::from(std::sync::Arc::new(config));
    connector.connect("localhost".try_into().unwrap(), stream).await.unwrap()
}

/// Whether the server closes the connection within a few seconds.
async fn closed(stream: &mut (impl AsyncReadExt + Unpin)) -> bool {
    let reading = async {
        let mut buffer = [0; 1024];
        while let Ok(1..) = stream.read(&mut buffer).await {}
    };
    tokio::time::timeout(Duration::from_secs(5), reading).await.is_ok()
}

#[tokio::test]
async fn who_does_not_finish_a_handshake_or_a_request_is_let_go() {
    let short = Duration::from_millis(300);
    let limits = Limits { handshake: short, head: short, ..Limits::default() };
    let site = Site::with(limits, 16).await;
    let mut silent = TcpStream::connect(site.address).await.unwrap();
    assert!(closed(&mut silent).await, "no handshake");
    let mut idle = connect(&site, b"http/1.1").await;
    assert!(closed(&mut idle).await, "no request");
    let mut slow = connect(&site, b"http/1.1").await;
    slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    assert!(closed(&mut slow).await, "half a request");
    let mut mute = connect(&site, b"h2").await;
    assert!(closed(&mut mute).await, "HTTP/2 without a word");
    let mut plain = TcpStream::connect(site.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(closed(&mut plain).await, "no TLS");
    assert_eq!(site.browser().get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_counted() {
    let limits = Limits {
        places: PlaceLimits { in_all: 2, ..Limits::default().places },
        ..Limits::default()
    };
    let site = Site::with(limits, 16).await;
    let first = connect(&site, b"http/1.1").await;
    let _second = connect(&site, b"http/1.1").await;
    let mut third = TcpStream::connect(site.address).await.unwrap();
    assert!(closed(&mut third).await);
    let text = site.metrics.text();
    assert!(
        text.contains("connections_refused_total{listener=\"https\",reason=\"in-all\"} 1"),
        "{text}"
    );
    assert!(text.contains("callhome_collector_connections{listener=\"https\"} 2"), "{text}");
    drop(first);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _again = connect(&site, b"http/1.1").await;
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::Expert).await;
    let number = site.ticket("PSU 2 failed", "major").await;
    let path = format!("/api/v1/tickets/{number}/comments");
    let large = browser.post(&path, json!({ "text": "x".repeat(70_000) })).await;
    assert_eq!(refusal(large).await, (413, "too_large".into()));
    let long = browser.post(&path, json!({ "text": "x".repeat(20_000) })).await;
    assert_eq!(refusal(long).await, (400, "malformed".into()));
}

#[tokio::test]
async fn speaks_http_2_and_compresses() {
    let site = Site::start().await;
    let mut config = tls::client_config(std::slice::from_ref(&site.root), None).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .resolve("localhost", site.address)
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/api/openapi.json", site.address.port());
    let answer = client.get(&url).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert!(answer.bytes().await.unwrap().starts_with(&[0x1f, 0x8b]));
}

#[tokio::test]
async fn a_new_certificate_needs_no_restart() {
    let mut site = Site::start().await;
    let old = site.browser();
    assert_eq!(old.get("/healthz").await.status(), 200);
    let (root, config) = certificate();
    site.tls.store(std::sync::Arc::new(config));
    assert!(site.browser().request(Method::GET, "/healthz").send().await.is_err());
    site.root = root;
    assert_eq!(site.browser().get("/healthz").await.status(), 200);
    assert_eq!(old.get("/healthz").await.status(), 200, "open connections stay");
}

#[tokio::test]
async fn a_connection_that_does_not_end_is_cut_off_at_the_deadline() {
    let limits = Limits { drain: Duration::from_millis(300), ..Limits::default() };
    let mut site = Site::with(limits, 16).await;
    let mut stuck = connect(&site, b"http/1.1").await;
    let head = b"POST /api/v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stuck.write_all(head).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let drained = tokio::time::timeout(Duration::from_secs(5), site.stop()).await.unwrap().unwrap();
    assert_eq!(drained.cut_off, 1);
}

#[tokio::test]
async fn who_asks_too_fast_is_refused_and_told_when() {
    let requests = RequestLimits { per_user: 2, per_source: 100 };
    let site = Site::paced(Limits::default(), 16, requests).await;
    let fast = site.logged_in(Role::Expert).await;
    let other = site.logged_in(Role::Manager).await;
    let mut refused = Vec::new();
    for n in 0..60 {
        let answer = fast.get("/api/v1/me").await;
        let field = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(field("ratelimit-policy"), "\"user\";q=20;w=10", "{n}");
        let (limit, room) = (field("ratelimit"), answer.status() == 200);
        assert!(limit.starts_with("\"user\";r="), "{limit}");
        if !room {
            assert!(limit.contains(";r=0;"), "{limit}");
            refused.push(field("retry-after"));
            assert_eq!(refusal(answer).await, (429, "too_many_requests".into()));
        }
    }
    assert!(refused.iter().all(|wait| wait == "1"), "{refused:?}");
    let told = format!("requests_refused_total{{limit=\"user\"}} {}", refused.len());
    assert!(!refused.is_empty() && site.metrics.text().contains(&told), "{}", site.metrics.text());
    assert_eq!(other.get("/api/v1/me").await.status(), 200, "nobody else is held");
    // Whoever waits as told is let in.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fast.get("/api/v1/me").await.status(), 200);
}

#[tokio::test]
async fn one_address_is_held_before_anything_is_looked_up_but_probes_and_files_are_not() {
    let requests = RequestLimits { per_user: 1000, per_source: 1 };
    let site = Site::paced(Limits::default(), 16, requests).await;
    let nobody = site.browser();
    let mut codes = Vec::new();
    for _ in 0..40 {
        codes.push(refusal(nobody.get("/api/v1/tickets").await).await.0);
    }
    assert_eq!(codes[..10], [401; 10]);
    let held = codes.iter().filter(|code| **code == 429).count();
    assert!(held > 0 && codes.iter().all(|code| [401, 429].contains(code)), "{codes:?}");
    assert!(site.metrics.text().contains("requests_refused_total{limit=\"source\"}"));
    for path in ["/healthz", "/", "/assets/none.js"] {
        assert_ne!(nobody.get(path).await.status(), 429, "{path}");
    }
}
