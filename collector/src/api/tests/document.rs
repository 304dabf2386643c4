//! The OpenAPI document against what the server really answers, and against its published copy.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use super::schema::check;
use super::site::{PASSWORD, Site};
use crate::api::rights::Role;
use crate::api::routes;

fn document() -> Value {
    serde_json::to_value(routes::document()).unwrap()
}

/// `UPDATE=1 cargo nextest run -p callhome-collector published_copy` writes it anew.
#[test]
fn the_published_copy_is_the_present_document() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let present = routes::document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &present).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(published == present, "docs/openapi.json is old: run this test with UPDATE=1");
}

#[test]
fn operations_have_names_and_texts_of_their_own() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            assert!(operation["summary"].is_string(), "{method} {path} says nothing");
            assert!(operation["tags"].is_array(), "{method} {path} has no tag");
        }
    }
}

/// One real request for every operation (and for some refusals): status, method, pattern, path, body.
fn requests(number: &str) -> Vec<(u16, Method, &'static str, String, Value)> {
    let ticket = format!("/api/v1/tickets/{number}");
    let (get, post) = (Method::GET, Method::POST);
    let login = json!({ "name": "u-manager", "password": PASSWORD });
    let wrong = json!({ "name": "u-manager", "password": "wrong password" });
    let step = json!({ "to": "in_progress", "version": 1 });
    let change = json!({ "old": PASSWORD, "new": "another password" });
    let mut all: Vec<(u16, Method, &'static str, String, Value)> = vec![
        (200, post.clone(), "/api/v1/login", "/api/v1/login".into(), login),
        (401, post.clone(), "/api/v1/login", "/api/v1/login".into(), wrong),
        (400, post.clone(), "/api/v1/login", "/api/v1/login".into(), json!({})),
        (
            200,
            post.clone(),
            "/api/v1/tickets/{number}/transitions",
            format!("{ticket}/transitions"),
            step.clone(),
        ),
        (
            409,
            post.clone(),
            "/api/v1/tickets/{number}/transitions",
            format!("{ticket}/transitions"),
            step,
        ),
        (
            400,
            post.clone(),
            "/api/v1/tickets/{number}/transitions",
            format!("{ticket}/transitions"),
            json!({}),
        ),
        (
            200,
            post.clone(),
            "/api/v1/tickets/{number}/comments",
            format!("{ticket}/comments"),
            json!({ "text": "ok" }),
        ),
        (200, get.clone(), "/api/v1/tickets/{number}", ticket, Value::Null),
        (404, get.clone(), "/api/v1/tickets/{number}", "/api/v1/tickets/T-9".into(), Value::Null),
        (200, get.clone(), "/api/v1/agents/{id}", "/api/v1/agents/a-1".into(), Value::Null),
        (404, get.clone(), "/api/v1/agents/{id}", "/api/v1/agents/none".into(), Value::Null),
        (
            200,
            get.clone(),
            "/api/v1/agents/{id}/losses",
            "/api/v1/agents/a-1/losses".into(),
            Value::Null,
        ),
        (
            404,
            get.clone(),
            "/api/v1/agents/{id}/losses",
            "/api/v1/agents/none/losses".into(),
            Value::Null,
        ),
        (400, get.clone(), "/api/v1/tickets", "/api/v1/tickets?limit=0".into(), Value::Null),
        (503, get.clone(), "/readyz", "/readyz".into(), Value::Null),
    ];
    for path in [
        "/healthz",
        "/api/openapi.json",
        "/api/v1/me",
        "/api/v1/tickets",
        "/api/v1/alarms",
        "/api/v1/agents",
        "/api/v1/devices",
        "/api/v1/events",
    ] {
        all.push((200, get.clone(), path, path.into(), Value::Null));
    }
    let language = json!({ "language": "en" });
    all.push((204, post.clone(), "/api/v1/me/language", "/api/v1/me/language".into(), language));
    all.push((204, post.clone(), "/api/v1/me/password", "/api/v1/me/password".into(), change));
    all.push((204, post.clone(), "/api/v1/logout", "/api/v1/logout".into(), Value::Null));
    all
}

#[tokio::test]
async fn real_answers_are_what_the_document_says() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::Manager).await;
    let number = site.ticket("PSU 2 failed", "major").await;
    site.agent("a-1").await;
    let document = document();
    let mut answered = BTreeSet::new();
    for (status, method, pattern, path, body) in requests(&number) {
        let request = browser.request(method.clone(), &path);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.unwrap();
        let at = format!("{method} {path}");
        assert_eq!(answer.status(), status, "{at}");
        let method = method.as_str().to_lowercase();
        let operation = &document["paths"][pattern][&method];
        let described = &operation["responses"][status.to_string()];
        assert!(described.is_object(), "{at}: status {status} is not in the document");
        if (200..300).contains(&status) {
            answered.insert(operation["operationId"].as_str().unwrap().to_owned());
        }
        check_body(&document, described, answer, &at).await;
    }
    // Ready, too.
    site.health.set_broker_listening(true);
    let ready = browser.get("/readyz").await;
    assert_eq!(ready.status(), 200);
    let described = &document["paths"]["/readyz"]["get"]["responses"]["200"];
    check_body(&document, described, ready, "GET /readyz").await;
    answered.insert("readyz".into());

    let all: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(answered, all, "every operation was asked");
}

async fn check_body(document: &Value, described: &Value, answer: reqwest::Response, at: &str) {
    let Some(content) = described["content"].as_object() else {
        assert_eq!(answer.text().await.unwrap(), "", "{at}: a body that is not described");
        return;
    };
    let media = answer.headers()["content-type"].to_str().unwrap().to_owned();
    let schema = &content.get(&media).unwrap_or_else(|| panic!("{at}: {media}"))["schema"];
    if media == "text/event-stream" {
        return;
    }
    let body: Value = answer.json().await.unwrap();
    check(document, schema, &body, at).unwrap();
}
