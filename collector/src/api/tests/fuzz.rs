//! Whatever comes in: an answer below 500, in JSON where it is a refusal.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::site::{Browser, Site};
use crate::api::rights::{RIGHTS, Right, Role};
use crate::api::routes;
use crate::api::server::{Closing, Source};

struct Target {
    runtime: Runtime,
    app: Router,
    browser: Browser,
    _site: Site,
}

impl Target {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let (site, browser) = runtime.block_on(async {
            let site = Site::start().await;
            site.ticket("PSU 2 failed", "major").await;
            let browser = site.logged_in(Role::Expert).await;
            (site, browser)
        });
        let app = routes::app(site.api.clone(), Router::new());
        Target { runtime, app, browser, _site: site }
    }

    /// Sends it without a network; `None` when it is no HTTP request at all.
    fn send(&self, method: Method, target: &str, body: Vec<u8>) -> Option<(StatusCode, String)> {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("cookie", format!("callhome_session={}", self.browser.cookie))
            .header("x-csrf-token", &self.browser.csrf)
            .header("content-type", "application/json")
            .extension(Source(SocketAddr::from(([192, 0, 2, 1], 4711))))
            .extension(Closing(CancellationToken::new()))
            .body(Body::from(body))
            .ok()?;
        Some(self.runtime.block_on(async {
            let response = self.app.clone().oneshot(request).await.unwrap();
            let status = response.status();
            let is_stream = response.headers().get("content-type")
                == Some(&axum::http::HeaderValue::from_static("text/event-stream"));
            if is_stream {
                return (status, String::new());
            }
            let body = to_bytes(response.into_body(), 10_000_000).await.unwrap();
            (status, String::from_utf8_lossy(&body).into_owned())
        }))
    }
}

fn is_refusal(status: StatusCode, body: &str) -> bool {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    status.is_client_error() && body["error"]["code"].is_string()
}

/// Signs that parsers trip over.
const SIGNS: &str = "[a-z0-9/%.?&=+#~'\"\\\\<>;:@{}\\[\\]!* é风\\x00\\x7f-]{0,40}";

fn posts() -> impl Strategy<Value = &'static Right> {
    let posts: Vec<&'static Right> = RIGHTS.iter().filter(|r| r.method == Method::POST).collect();
    proptest::sample::select(posts)
}

fn gets() -> impl Strategy<Value = &'static Right> {
    let gets: Vec<&'static Right> = RIGHTS.iter().filter(|r| r.method == Method::GET).collect();
    proptest::sample::select(gets)
}

fn fill(path: &str) -> String {
    let path = path.replace("{number}", "T-000001").replace("{id}", "a-1");
    path.replace("{kind}", "sites").replace("{name}", "carrier")
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    let keys = prop_oneof![
        Just("to".to_owned()),
        Just("version".to_owned()),
        Just("comment".to_owned()),
        Just("text".to_owned()),
        Just("language".to_owned()),
        Just("old".to_owned()),
        Just("values".to_owned()),
        Just("format".to_owned()),
        Just("into".to_owned()),
        Just("major".to_owned()),
        ".{0,8}",
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::hash_map(keys.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn run<S: Strategy>(strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let cases = Config::default().cases.clamp(300, 5000);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(strategy, test).unwrap();
}

#[test]
fn any_path_and_query() {
    let target = Target::new();
    run(&(gets(), SIGNS, SIGNS), |(right, name, query)| {
        let name = name.replace(['?', '#'], "");
        let filled = right.path.replace("{number}", &name).replace("{id}", &name);
        let filled = filled.replace("{name}", &name);
        let filled =
            filled.replace("{kind}", if name.len() % 2 == 0 { "contracts" } else { &name });
        for path in [format!("{filled}?{query}"), format!("/api/v1/{name}"), format!("/{name}")] {
            let Some((status, body)) = target.send(Method::GET, &path, Vec::new()) else {
                continue;
            };
            let well = status.is_success() || status == 503 || is_refusal(status, &body);
            prop_assert!(
                well && (status != 503 || path.starts_with("/readyz")),
                "{path}: {status} {body}"
            );
        }
        Ok(())
    });
}

#[test]
fn any_query_value() {
    let target = Target::new();
    let names = [
        "state",
        "severity",
        "q",
        "test",
        "limit",
        "before",
        "active",
        "agent",
        "device",
        "after",
        "format",
        "to_complete",
    ];
    run(&(gets(), proptest::sample::select(names.to_vec()), ".{0,30}"), |(right, name, value)| {
        let encoded: String = value.bytes().map(|b| format!("%{b:02x}")).collect();
        let path = format!("{}?{name}={encoded}", fill(right.path));
        let (status, body) = target.send(Method::GET, &path, Vec::new()).unwrap();
        let well = status.is_success() || is_refusal(status, &body) || right.path == "/readyz";
        prop_assert!(well, "{path}: {status} {body}");
        Ok(())
    });
}

#[test]
fn any_bytes_as_body() {
    let target = Target::new();
    run(&(posts(), proptest::collection::vec(any::<u8>(), 0..200)), |(right, body)| {
        if right.path.ends_with("/logout") {
            return Ok(());
        }
        let (status, answer) = target.send(Method::POST, &fill(right.path), body).unwrap();
        prop_assert!(is_refusal(status, &answer), "{}: {status} {answer}", right.path);
        Ok(())
    });
}

#[test]
fn any_json_as_body() {
    let target = Target::new();
    run(&(posts(), any_json()), |(right, body)| {
        if right.path.ends_with("/logout") {
            return Ok(());
        }
        let bytes = body.to_string().into_bytes();
        let (status, answer) = target.send(Method::POST, &fill(right.path), bytes).unwrap();
        // Free text is what these take.
        let free = ["/comments", "/tickets"].iter().any(|end| right.path.ends_with(end));
        prop_assert!(
            free && status.is_success() || is_refusal(status, &answer),
            "{}: {status} {answer}",
            right.path
        );
        Ok(())
    });
}
