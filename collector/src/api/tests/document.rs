//! The OpenAPI document against what the server really answers, and against its published copy.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use super::schema::check;
use super::site::{Browser, PASSWORD, Site};
use crate::api::rights::Role;
use crate::api::routes;
use crate::clock::presets;

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

/// The other way in, where there is none.
fn door_requests() -> Vec<(u16, &'static str, Value)> {
    vec![
        (200, "GET /api/v1/login", Value::Null),
        (404, "GET /api/v1/oidc/start", Value::Null),
        (404, "GET /api/v1/oidc/callback", Value::Null),
    ]
}

/// Real requests: what the answer's status must be, method and pattern, body. The last ones end the
/// session.
fn requests() -> Vec<(u16, &'static str, Value)> {
    const MOVE: &str = "POST /api/v1/tickets/{number}/transitions";
    const CONTENT: &str = "GET /api/v1/bundles/{id}/content";
    let login = |password: &str| json!({ "name": "u-manager", "password": password });
    const WINDOWS: &str = "POST /api/v1/maintenance";
    let until = callhome_shared::time::Time::now().plus_ms(3_600_000).to_string();
    let window = json!({ "agent": "a-1", "until": until, "reason": "firmware" });
    // The bundle that has arrived was a change, too.
    let ask = json!({ "to": "waiting_approval", "version": 2, "comment": "no contract" });
    let approve =
        json!({ "to": "recorded", "version": 3, "comment": "known", "plan": "vendor-gold" });
    let step = json!({ "to": "in_diagnosis", "version": 4 });
    let before = vec![
        (200, "POST /api/v1/login", login(PASSWORD)),
        (401, "POST /api/v1/login", login("wrong password")),
        (400, "POST /api/v1/login", json!({})),
        (200, MOVE, ask),
        (200, "POST /api/v1/tickets/{number}/decision", approve),
        (200, MOVE, step.clone()),
        (409, MOVE, step.clone()),
        (404, MOVE, step),
        (400, MOVE, json!({})),
        (200, "POST /api/v1/tickets/{number}/comments", json!({ "text": "ok" })),
    ];
    let after = vec![
        (200, "GET /api/v1/tickets/{number}", Value::Null),
        (404, "GET /api/v1/tickets/{number}", Value::Null),
        (200, "GET /api/v1/tickets/{number}/explain", Value::Null),
        (404, "GET /api/v1/tickets/{number}/explain", Value::Null),
        (200, CONTENT, Value::Null),
        (404, CONTENT, Value::Null),
        (200, "GET /api/v1/tickets", Value::Null),
        (400, "GET /api/v1/tickets", Value::Null),
        (200, "GET /api/v1/alarms", Value::Null),
        (400, "GET /api/v1/alarms", Value::Null),
        (200, "GET /api/v1/agents", Value::Null),
        (200, "GET /api/v1/agents/{id}", Value::Null),
        (404, "GET /api/v1/agents/{id}", Value::Null),
        (200, "GET /api/v1/agents/{id}/losses", Value::Null),
        (404, "GET /api/v1/agents/{id}/losses", Value::Null),
        (200, "GET /api/v1/agents/{id}/paths", Value::Null),
        (404, "GET /api/v1/agents/{id}/paths", Value::Null),
        (200, "GET /api/v1/agents/{id}/resyncs", Value::Null),
        (404, "GET /api/v1/agents/{id}/resyncs", Value::Null),
        (200, "GET /api/v1/devices", Value::Null),
        (200, "POST /api/v1/maintenance/preview", window.clone()),
        (400, "POST /api/v1/maintenance/preview", json!({})),
        (200, WINDOWS, window),
        (400, WINDOWS, json!({ "until": until, "reason": "of nobody" })),
        (200, "GET /api/v1/maintenance", Value::Null),
        (204, "DELETE /api/v1/maintenance/{id}", Value::Null),
        (404, "DELETE /api/v1/maintenance/{id}", Value::Null),
        (200, "GET /api/v1/trust", Value::Null),
        (200, "GET /api/v1/audit", Value::Null),
        (400, "GET /api/v1/audit", Value::Null),
        (200, "GET /api/v1/audit/export", Value::Null),
        (400, "GET /api/v1/audit/export", Value::Null),
        (200, "POST /api/v1/audit/verification", Value::Null),
        (200, "GET /api/v1/audit/verification", Value::Null),
        (200, "GET /api/v1/events", Value::Null),
        (200, "GET /api/openapi.json", Value::Null),
        (200, "GET /healthz", Value::Null),
        (503, "GET /readyz", Value::Null),
        (200, "GET /api/v1/me", Value::Null),
        (204, "POST /api/v1/me/language", json!({ "language": "en" })),
        (204, "POST /api/v1/me/password", json!({ "old": PASSWORD, "new": "another password" })),
        (204, "POST /api/v1/logout", Value::Null),
    ];
    [before, desk_requests(), article_requests(), duty_requests(), access_requests(), after]
        .concat()
}

/// Tokens of programs, what Alertmanager brings, a device.
fn access_requests() -> Vec<(u16, &'static str, Value)> {
    const TOKENS: &str = "POST /api/v1/tokens";
    const ALERTS: &str = "POST /api/v1/alertmanager";
    vec![
        (200, ALERTS, json!({ "version": "4", "alerts": [] })),
        (400, ALERTS, json!({ "version": "3", "alerts": [] })),
        (200, "GET /api/v1/devices/{agent}/{id}", Value::Null),
        (404, "GET /api/v1/devices/{agent}/{id}", Value::Null),
        (200, "GET /api/v1/tokens", Value::Null),
        (200, TOKENS, json!({ "name": "x", "scopes": ["tickets:read"] })),
        (400, TOKENS, json!({ "name": "x", "scopes": ["tickets:reed"] })),
        (204, "POST /api/v1/tokens/{id}/revocation", Value::Null),
        (404, "POST /api/v1/tokens/{id}/revocation", Value::Null),
    ]
}

/// What the desk asks, after the first ticket has been taken up.
fn desk_requests() -> Vec<(u16, &'static str, Value)> {
    const CHANGES: &str = "POST /api/v1/tickets/{number}/changes";
    const LINKS: &str = "POST /api/v1/tickets/{number}/links";
    const PROMISE: &str = "POST /api/v1/tickets/{number}/plan";
    let promise =
        |version: i64, plan: &str| json!({ "version": version, "plan": plan, "reason": "agreed" });
    const MASTERS: &str = "POST /api/v1/masters/{kind}";
    const MASTER: &str = "POST /api/v1/masters/{kind}/{id}";
    vec![
        (
            200,
            "POST /api/v1/tickets",
            json!({ "text": "no light", "serial": "210235", "assignee": "u-manager" }),
        ),
        (400, "POST /api/v1/tickets", json!({ "text": " " })),
        (400, "POST /api/v1/tickets", json!({ "text": "x", "assignee": "u-manger" })),
        (
            200,
            CHANGES,
            json!({ "version": 6, "assignee": "u-manager", "priority": "p1", "major": true }),
        ),
        (409, CHANGES, json!({ "version": 6, "major": false })),
        (400, CHANGES, json!({ "version": 7, "category": "z" })),
        (404, CHANGES, json!({ "version": 1 })),
        (
            409,
            "POST /api/v1/tickets/{number}/decision",
            json!({ "to": "rejected", "version": 7, "comment": "no" }),
        ),
        (
            404,
            "POST /api/v1/tickets/{number}/decision",
            json!({ "to": "rejected", "version": 7, "comment": "no" }),
        ),
        (200, LINKS, json!({ "other": "T-000002" })),
        (200, LINKS, json!({ "other": "T-000002", "tied": false })),
        (400, LINKS, json!({ "other": "T-000001" })),
        (404, LINKS, json!({ "other": "T-000002" })),
        (200, PROMISE, promise(9, "carrier")),
        (409, PROMISE, promise(9, "carrier")),
        (400, PROMISE, promise(10, "carier")),
        (404, PROMISE, promise(10, "carrier")),
        (400, "POST /api/v1/tickets/{number}/merge", json!({ "version": 10, "into": "T-000001" })),
        (409, "POST /api/v1/tickets/{number}/merge", json!({ "version": 1, "into": "T-000002" })),
        (200, "POST /api/v1/tickets/{number}/merge", json!({ "version": 10, "into": "T-000002" })),
        (200, "GET /api/v1/people", Value::Null),
        (200, MASTERS, json!({ "id": "a-1", "values": { "time_zone": "Asia/Shanghai" } })),
        (409, MASTERS, json!({ "id": "a-1", "values": {} })),
        (400, MASTERS, json!({ "id": "b", "values": { "time_zone": "Asia/Shangai" } })),
        (200, "GET /api/v1/masters/{kind}", Value::Null),
        (400, "GET /api/v1/masters/{kind}", Value::Null),
        (404, "GET /api/v1/masters/{kind}", Value::Null),
        (200, "GET /api/v1/masters/{kind}/{id}", Value::Null),
        (404, "GET /api/v1/masters/{kind}/{id}", Value::Null),
        (200, MASTER, json!({ "version": 1, "values": { "name": "\u{4e0a}\u{6d77}" } })),
        (409, MASTER, json!({ "version": 1, "values": { "name": "x" } })),
        (400, MASTER, json!({ "version": 2, "values": { "nme": "x" } })),
        (404, MASTER, json!({ "version": 2, "values": {} })),
        (
            200,
            "POST /api/v1/imports/{kind}",
            json!({ "format": "csv", "text": "id,name\na-1,x\n", "dry_run": true }),
        ),
        (400, "POST /api/v1/imports/{kind}", json!({ "format": "json", "text": "[{}]" })),
        (404, "POST /api/v1/imports/{kind}", json!({ "format": "csv", "text": "" })),
        (200, "GET /api/v1/exports/{kind}", Value::Null),
        (404, "GET /api/v1/exports/{kind}", Value::Null),
        (409, "POST /api/v1/masters/{kind}/{id}/removal", json!({ "version": 1 })),
        (204, "POST /api/v1/masters/{kind}/{id}/removal", json!({ "version": 2 })),
        (404, "POST /api/v1/masters/{kind}/{id}/removal", json!({ "version": 2 })),
    ]
}

/// Two tickets are one, and two again.
async fn ask_to_split(site: &Site, browser: &Browser, document: &Value) -> Vec<String> {
    const SPLIT: &str = "POST /api/v1/tickets/{number}/split";
    let number = site.ticket("PSU 1 failed", "critical").await;
    let other = site.ticket("disk 7 failed", "major").await;
    let merge = format!("/api/v1/tickets/{other}/merge");
    let merged = browser.post(&merge, json!({ "version": 1, "into": number })).await;
    assert_eq!(merged.status(), 200);
    let page: Value = browser.get(&format!("/api/v1/tickets/{number}")).await.json().await.unwrap();
    let alarm = page["alarms"][0]["alarm_id"].as_str().unwrap();
    let split = |version: i64, reason: &str| json!({ "version": version, "alarms": [alarm], "reason": reason });
    let requests = vec![
        (404, SPLIT, split(1, "x")),
        (409, SPLIT, split(1, "x")),
        (400, SPLIT, split(2, "")),
        (200, SPLIT, split(2, "another matter")),
    ];
    ask_all(browser, document, requests, (&number, "none")).await
}

/// What is kept of the queue, and done to many of it.
fn queue_requests() -> Vec<(u16, &'static str, Value)> {
    vec![
        (
            200,
            "POST /api/v1/bulk",
            json!({ "tickets": [{ "number": "T-9", "version": 1 }], "priority": "p1" }),
        ),
        (400, "POST /api/v1/bulk", json!({ "tickets": [] })),
        (200, "GET /api/v1/reports", Value::Null),
        (400, "GET /api/v1/reports", Value::Null),
        (200, "GET /api/v1/reports/export", Value::Null),
        (400, "GET /api/v1/reports/export", Value::Null),
        (
            200,
            "POST /api/v1/views",
            json!({ "name": "mine", "query": "state=open", "shared": true }),
        ),
        (409, "POST /api/v1/views", json!({ "name": "mine", "query": "state=open" })),
        (400, "POST /api/v1/views", json!({ "name": "mine", "query": "state=opne" })),
        (200, "GET /api/v1/views", Value::Null),
        (200, "POST /api/v1/views/{id}", json!({ "version": 1, "name": "ours", "query": "" })),
        (409, "POST /api/v1/views/{id}", json!({ "version": 1, "name": "ours", "query": "" })),
        (400, "POST /api/v1/views/{id}", json!({ "version": 2, "name": "", "query": "" })),
        (404, "POST /api/v1/views/{id}", json!({ "version": 2, "name": "x", "query": "" })),
        (409, "POST /api/v1/views/{id}/removal", json!({ "version": 1 })),
        (204, "POST /api/v1/views/{id}/removal", json!({ "version": 2 })),
        (404, "POST /api/v1/views/{id}/removal", json!({ "version": 2 })),
    ]
}

/// What is written about faults.
fn article_requests() -> Vec<(u16, &'static str, Value)> {
    const ARTICLES: &str = "POST /api/v1/articles";
    const ARTICLE: &str = "POST /api/v1/articles/{id}";
    vec![
        (200, ARTICLES, json!({ "code": "A-1", "title": "disk failed" })),
        (409, ARTICLES, json!({ "code": "a-1", "title": "disk failed" })),
        (400, ARTICLES, json!({ "code": "", "title": "disk failed" })),
        (200, "GET /api/v1/articles", Value::Null),
        (400, "GET /api/v1/articles", Value::Null),
        (404, ARTICLE, json!({ "version": 1, "title": "x" })),
        (200, ARTICLE, json!({ "version": 1, "title": "disk has failed" })),
        (409, ARTICLE, json!({ "version": 1, "title": "x" })),
        (400, ARTICLE, json!({ "version": 2, "title": "" })),
        (200, "GET /api/v1/articles/{id}", Value::Null),
        (409, "POST /api/v1/articles/{id}/removal", json!({ "version": 1 })),
        (204, "POST /api/v1/articles/{id}/removal", json!({ "version": 2 })),
        (404, "GET /api/v1/articles/{id}", Value::Null),
        (404, "POST /api/v1/articles/{id}/removal", json!({ "version": 1 })),
        (200, "GET /api/v1/tickets/{number}/articles", Value::Null),
        (404, "GET /api/v1/tickets/{number}/articles", Value::Null),
        (200, "POST /api/v1/tickets/{number}/articles", Value::Null),
        (409, "POST /api/v1/tickets/{number}/articles", Value::Null),
        (404, "POST /api/v1/tickets/{number}/articles", Value::Null),
    ]
}

/// Plans, calendars, clocks.
fn service_requests() -> Vec<(u16, &'static str, Value)> {
    const PLAN: &str = "POST /api/v1/plans/{name}";
    const CALENDAR: &str = "POST /api/v1/calendars/{name}";
    const CLOCKS: &str = "POST /api/v1/tickets/{number}/clocks";
    let plan = serde_json::to_value(&presets()[0].plan).unwrap();
    let days = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261001\nEND:VEVENT\nEND:VCALENDAR";
    let seen = |version: i64| json!({ "version": version });
    vec![
        (200, PLAN, json!({ "version": 0, "plan": plan })),
        (409, PLAN, json!({ "version": 0, "plan": plan })),
        (400, PLAN, json!({})),
        (200, "GET /api/v1/plans", Value::Null),
        (200, "GET /api/v1/plans/{name}", Value::Null),
        (404, "GET /api/v1/plans/{name}", Value::Null),
        (409, "POST /api/v1/plans/{name}/removal", seen(7)),
        (200, "POST /api/v1/plans/{name}/removal", seen(1)),
        (200, CALENDAR, json!({ "version": 0, "calendar": { "time_zone": "Asia/Shanghai" } })),
        (400, CALENDAR, json!({})),
        (200, "POST /api/v1/calendars/{name}/days", json!({ "version": 1, "icalendar": days })),
        (400, "POST /api/v1/calendars/{name}/days", json!({ "version": 2, "icalendar": "x" })),
        (200, "GET /api/v1/calendars", Value::Null),
        (200, "GET /api/v1/calendars/{name}", Value::Null),
        (404, "GET /api/v1/calendars/{name}", Value::Null),
        (200, "POST /api/v1/calendars/{name}/removal", seen(2)),
        (200, "GET /api/v1/due", Value::Null),
        (400, "GET /api/v1/due", Value::Null),
        (200, "GET /api/v1/tickets/{number}/clocks", Value::Null),
        (404, "GET /api/v1/tickets/{number}/clocks", Value::Null),
        (200, CLOCKS, json!({ "clock": "on_site", "deed": "stop" })),
        (409, CLOCKS, json!({ "clock": "on_site", "deed": "stop" })),
        (400, CLOCKS, json!({ "clock": "coffee", "deed": "start" })),
    ]
}

/// Duty, after everything that the desk asks.
fn duty_requests() -> Vec<(u16, &'static str, Value)> {
    const PERSON: &str = "POST /api/v1/duty/people/{name}";
    const ROSTER: &str = "POST /api/v1/rosters/{name}";
    const PUBLICATION: &str = "POST /api/v1/rosters/{name}/publication";
    const SWAP: &str = "POST /api/v1/shifts/{id}/swap";
    const ACKNOWLEDGE: &str = "POST /api/v1/tickets/{number}/acknowledgement";
    let shift =
        json!({ "name": "day", "level": "l1", "hours": "00:00-24:00", "teams": [["u-manager"]] });
    let now = callhome_shared::time::Time::now();
    let (today, until) = (now.to_string()[..10].to_owned(), now.plus_ms(3_600_000).to_string());
    vec![
        (200, PERSON, json!({ "version": 0, "mail": "li@example.com", "skills": ["oceanstor"] })),
        (409, PERSON, json!({ "version": 0 })),
        (400, PERSON, json!({ "version": 1, "mail": "li" })),
        (404, PERSON, json!({ "version": 0 })),
        (200, "GET /api/v1/duty/people", Value::Null),
        (200, ROSTER, json!({ "version": 0, "roster": { "shifts": [shift] } })),
        (409, ROSTER, json!({ "version": 0, "roster": { "shifts": [shift] } })),
        (400, ROSTER, json!({ "version": 1, "roster": { "shifts": [] } })),
        (200, "GET /api/v1/rosters", Value::Null),
        (200, PUBLICATION, json!({ "version": 1, "until": today })),
        (400, PUBLICATION, json!({ "version": 1, "until": today })),
        (409, PUBLICATION, json!({ "version": 7, "until": today })),
        (204, SWAP, json!({ "to": "u-manager", "reason": "wedding" })),
        (400, SWAP, json!({ "to": "u-manger", "reason": "wedding" })),
        (404, SWAP, json!({ "to": "u-manager", "reason": "wedding" })),
        (200, "POST /api/v1/absences", json!({ "until": until, "reason": "ill" })),
        (400, "POST /api/v1/absences", json!({ "until": "soon", "reason": "ill" })),
        (404, "POST /api/v1/absences", json!({ "person": "no", "until": until, "reason": "ill" })),
        (200, "GET /api/v1/duty", Value::Null),
        (400, "GET /api/v1/duty", Value::Null),
        (200, "GET /api/v1/duty/board", Value::Null),
        (400, "GET /api/v1/duty/board", Value::Null),
        (204, "DELETE /api/v1/absences/{id}", Value::Null),
        (404, "DELETE /api/v1/absences/{id}", Value::Null),
        (200, "POST /api/v1/tickets", json!({ "text": "who takes it?" })),
        (200, ACKNOWLEDGE, json!({ "take": true })),
        (409, ACKNOWLEDGE, json!({ "take": true })),
        (404, ACKNOWLEDGE, json!({ "take": true })),
        (400, ACKNOWLEDGE, json!({})),
        (200, "GET /api/v1/tickets/{number}/calls", Value::Null),
        (404, "GET /api/v1/tickets/{number}/calls", Value::Null),
        (200, "GET /api/v1/tickets/{number}/notices", Value::Null),
        (404, "GET /api/v1/tickets/{number}/notices", Value::Null),
        (200, "GET /api/v1/notices", Value::Null),
        (400, "GET /api/v1/notices", Value::Null),
        (200, "POST /api/v1/me/notices", json!({ "mail": true, "without": ["resolved"] })),
        (400, "POST /api/v1/me/notices", json!({ "mail": true, "without": ["resoled"] })),
        (200, "GET /api/v1/me/notices", Value::Null),
        (409, "POST /api/v1/me/notices/test", json!({ "really": true })),
        (204, "POST /api/v1/me/notices/test", json!({ "really": false })),
        (409, "POST /api/v1/rosters/{name}/removal", json!({ "version": 7 })),
        (200, "POST /api/v1/rosters/{name}/removal", json!({ "version": 1 })),
    ]
}

/// A window of maintenance that stands.
const WINDOW: &str = "w-1";
/// A token that is good.
const TOKEN: &str = "t-1";
/// A shift, a view and an absence that stand.
const STANDING: &str = "d-1";

/// A path of that pattern that gives that status.
fn path(pattern: &str, status: u16, number: &str, bundle: &str) -> String {
    let id = match pattern {
        "/api/v1/bundles/{id}/content" => bundle,
        "/api/v1/maintenance/{id}" => WINDOW,
        // The device of every ticket of these tests.
        "/api/v1/devices/{agent}/{id}" => "210235",
        "/api/v1/tokens/{id}/revocation" => TOKEN,
        "/api/v1/shifts/{id}/swap"
        | "/api/v1/absences/{id}"
        | "/api/v1/views/{id}"
        | "/api/v1/views/{id}/removal" => STANDING,
        _ => "a-1",
    };
    let number = if pattern.ends_with("/acknowledgement") { "T-000003" } else { number };
    let (number, id) = if status == 404 { ("T-9", "none") } else { (number, id) };
    let path = pattern.replace("{number}", number).replace("{id}", id).replace("{agent}", "a-1");
    let ours = if pattern.contains("/duty/people/") { "u-manager" } else { "ours" };
    let path = path.replace("{name}", if status == 404 { "none" } else { ours });
    let kind = if status == 404 && !pattern.contains("{id}") { "site" } else { "sites" };
    let path = path.replace("{kind}", kind);
    if pattern.starts_with("/api/v1/imports") {
        return path;
    }
    match (status, pattern) {
        (400, "/api/v1/duty") => format!("{path}?at=noon"),
        (400, "/api/v1/duty/board") => format!("{path}?days=43"),
        (400, _) => format!("{path}?limit=0"),
        _ => path,
    }
}

#[tokio::test]
async fn real_answers_are_what_the_document_says() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::Manager).await;
    // What only an administrator may is asked, too.
    let promoted = "UPDATE users SET role = 'administrator'";
    site.db.execute(promoted, vec![]).await.unwrap();
    let number = super::clocks::promised(&site).await;
    site.agent("a-1").await;
    let bundle = site.bundle(&number, "a.tar.gz", b"content").await;
    let standing = "INSERT INTO maintenance (id, scope, agent_id, starts_at, ends_at, reason, created_by, \
                    created_at) VALUES ($1, 'agent', 'a-1', 0, 9000000000000, 'x', 'li', 0)";
    site.db.execute(standing, crate::args![WINDOW]).await.unwrap();
    let good = "INSERT INTO api_tokens (id, name, secret_hash, scopes, owner, sites, created_at, created_by, \
                expires_at) VALUES ($1, 'x', 'x', '', 'u-manager', '[]', 0, 'li', 9000000000000)";
    site.db.execute(good, crate::args![TOKEN]).await.unwrap();
    let report = json!({ "cause": "worn", "fix": "replaced", "category": "b" }).to_string();
    let reported = "UPDATE tickets SET closing = $1 WHERE number = $2";
    site.db.execute(reported, crate::args![report, &number]).await.unwrap();
    for standing in [
        "INSERT INTO shifts (id, roster, level, pattern, from_at, to_at, person, planned) \
         VALUES ($1, 'old', 'l1', 'day', 0, 9000000000000, 'li', 'li')",
        "INSERT INTO saved_views (id, owner, name, shared, query, columns, version, updated_at, updated_by) \
         VALUES ($1, 'u-manager', 'other', 0, '', '', 1, 0, 'u-manager')",
        "INSERT INTO absences (id, person, from_at, to_at, reason, created_at, created_by) \
         VALUES ($1, 'u-manager', 0, 9000000000000, 'ill', 0, 'user:u-manager')",
    ] {
        site.db.execute(standing, crate::args![STANDING]).await.unwrap();
    }
    let document = document();
    let mut answered = BTreeSet::new();
    let all = queue_requests()
        .into_iter()
        .chain(service_requests())
        .chain(door_requests())
        .chain(requests())
        .collect();
    let names = (number.as_str(), bundle.as_str());
    answered.extend(ask_all(&browser, &document, all, names).await);
    answered.extend(ask_as_customer(&site, &document).await);
    let mut again = site.browser();
    assert_eq!(again.log_in("u-manager", "another password").await.status(), 200);
    answered.extend(ask_to_split(&site, &again, &document).await);
    // Ready, too.
    site.health.set_broker_listening(true);
    let ready = browser.get("/readyz").await;
    assert_eq!(ready.status(), 200);
    let described = &document["paths"]["/readyz"]["get"]["responses"]["200"];
    check_body(&document, described, ready, "GET /readyz").await;
    answered.insert("readyz".into());
    // Where a provider is configured they send the browser on (303): asked in `oidc`.
    answered.extend(["start_oidc", "end_oidc"].map(str::to_owned));

    let all: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(answered, all, "every operation was asked");
}

/// Asks all of them; answers the names of the operations that were done.
async fn ask_all(
    browser: &Browser,
    document: &Value,
    requests: Vec<(u16, &'static str, Value)>,
    (number, bundle): (&str, &str),
) -> Vec<String> {
    let mut answered = Vec::new();
    for (status, operation, body) in requests {
        let (method, pattern) = operation.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let path = path(pattern, status, number, bundle);
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
            answered.push(operation["operationId"].as_str().unwrap().to_owned());
        }
        check_body(document, described, answer, &at).await;
    }
    answered
}

/// A customer's person asks for what is his.
async fn ask_as_customer(site: &Site, document: &Value) -> Vec<String> {
    const MINE: &str = "T-000003";
    const TICKETS: &str = "POST /api/v1/mine/tickets";
    const COMMENTS: &str = "POST /api/v1/mine/tickets/{number}/comments";
    const CONFIRMATION: &str = "POST /api/v1/mine/tickets/{number}/confirmation";
    site.user("anna", "customer").await;
    for sql in [
        "INSERT INTO customers (id, version, updated_at, updated_by) VALUES ('acme', 1, 0, 'li')",
        "INSERT INTO sites (id, customer, version, updated_at, updated_by) \
         VALUES ('acme-1', 'acme', 1, 0, 'li')",
        "INSERT INTO customer_users (user_name, customer, sites, bound_at, bound_by) \
         VALUES ('anna', 'acme', '[]', 0, 'li')",
        "UPDATE tickets SET customer = 'acme', state = 'verified' WHERE number = 'T-000003'",
    ] {
        site.db.execute(sql, vec![]).await.unwrap();
    }
    let version = crate::store::tickets::get(&site.db, MINE).await.unwrap().unwrap().version;
    let confirm = |version: i64| json!({ "version": version, "fixed": true });
    let requests = vec![
        (200, "GET /api/v1/mine", Value::Null),
        (200, "GET /api/v1/mine/devices", Value::Null),
        (400, "GET /api/v1/mine/devices", Value::Null),
        (200, "GET /api/v1/mine/tickets", Value::Null),
        (400, "GET /api/v1/mine/tickets", Value::Null),
        (200, TICKETS, json!({ "text": "no light", "site": "acme-1" })),
        (400, TICKETS, json!({ "text": "no light", "site": "other" })),
        (200, "GET /api/v1/mine/tickets/{number}", Value::Null),
        (404, "GET /api/v1/mine/tickets/{number}", Value::Null),
        (200, COMMENTS, json!({ "text": "still dark" })),
        (400, COMMENTS, json!({ "text": "" })),
        (404, COMMENTS, json!({ "text": "still dark" })),
        (404, CONFIRMATION, confirm(version + 1)),
        (200, CONFIRMATION, confirm(version + 1)),
        (409, CONFIRMATION, confirm(version + 2)),
    ];
    let mut anna = site.browser();
    assert_eq!(anna.log_in("anna", PASSWORD).await.status(), 200);
    ask_all(&anna, document, requests, (MINE, "none")).await
}

async fn check_body(document: &Value, described: &Value, answer: reqwest::Response, at: &str) {
    let Some(content) = described["content"].as_object() else {
        assert_eq!(answer.text().await.unwrap(), "", "{at}: a body that is not described");
        return;
    };
    let media = answer.headers()["content-type"].to_str().unwrap().to_owned();
    let schema = &content.get(&media).unwrap_or_else(|| panic!("{at}: {media}"))["schema"];
    if ["text/event-stream", "application/octet-stream", "application/x-ndjson"]
        .contains(&media.as_str())
    {
        return;
    }
    let body: Value = answer.json().await.unwrap();
    check(document, schema, &body, at).unwrap();
}
