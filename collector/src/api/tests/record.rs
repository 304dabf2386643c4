//! Log-ins, reads of evidence, exports and changes in the record of trust.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::{Value, json};

use super::site::{PASSWORD, Site};
use crate::access::Scope;
use crate::api::rights::{RIGHTS, Record, Role};
use crate::audit;
use crate::flow::record;

async fn rows(site: &Site) -> Vec<audit::Row> {
    crate::store::audit::after(&site.db, 0, 10_000).await.unwrap()
}

async fn counts(site: &Site) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for row in rows(site).await {
        *counts.entry(row.what).or_default() += 1;
    }
    counts
}

fn detail(row: &audit::Row) -> Value {
    serde_json::from_str(&row.detail).unwrap()
}

#[tokio::test]
async fn who_came_in_read_and_changed_is_recorded() {
    let site = Site::start().await;
    let number = site.ticket("PSU 2 failed", "major").await;
    let boss = site.logged_in(Role::Manager).await;
    let path = format!("/api/v1/tickets/{number}");
    for _ in 0..5 {
        assert_eq!(boss.get(&path).await.status(), 200);
    }
    assert_eq!(boss.get("/api/v1/tickets/T-000099").await.status(), 404);
    let said = boss.post(&format!("{path}/comments"), json!({ "text": "secret words" })).await;
    assert_eq!(said.status(), 200);
    let wrong = boss.post(&format!("{path}/comments"), json!({ "text": "" })).await;
    assert!(wrong.status().is_client_error());
    let new = json!({ "id": "上海", "values": { "name": "x" } });
    assert_eq!(boss.post("/api/v1/masters/sites", new).await.status(), 200);
    let changed = json!({ "version": 1, "values": { "name": "y" } });
    let answer = boss.post("/api/v1/masters/sites/上海", changed).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(boss.get("/api/v1/exports/sites?format=csv").await.status(), 200);
    let text = site.token("u-manager", &[Scope::TicketsRead, Scope::TicketsWrite]).await;
    let program = site.browser();
    let comment = program.request(reqwest::Method::POST, &format!("{path}/comments"));
    let answer = comment.bearer_auth(&text).json(&json!({ "text": "x" })).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(boss.post("/api/v1/logout", json!({})).await.status(), 204);

    let all = rows(&site).await;
    let of = |what: &str| all.iter().filter(|row| row.what == what).collect::<Vec<_>>();
    assert_eq!((of("logged-in").len(), of("logged-out").len()), (1, 1));
    let reads = of("evidence-read");
    assert_eq!((reads.len(), reads[0].subject.as_str()), (1, number.as_str()), "once an hour");
    assert_eq!(of("exported")[0].subject, "sites");
    let changes = of("changed");
    let subjects: Vec<&str> = changes.iter().map(|row| row.subject.as_str()).collect();
    assert_eq!(subjects, [number.as_str(), "sites", "sites/上海", number.as_str()]);
    assert_eq!(detail(changes[0])["request"], format!("POST tickets/{number}/comments"));
    assert_eq!(detail(changes[0])["source"], "127.0.0.1");
    assert!(detail(changes[3])["token"].is_string() && changes[3].who == "user:u-manager");
    assert!(all.iter().all(|row| !row.detail.contains("secret") && !row.detail.contains(PASSWORD)));
    assert_eq!(record::verify(&site.db, Vec::new()).await.unwrap().breaks, []);
}

#[tokio::test]
async fn refused_log_ins_are_recorded_up_to_a_number() {
    let site = Site::start().await;
    site.user("li", "manager").await;
    for (name, password) in [("li", "wrong"), ("my password typed here", "x")] {
        assert_eq!(site.browser().log_in(name, password).await.status(), 401);
    }
    for _ in 0..40 {
        let request = site.browser().request(reqwest::Method::GET, "/api/v1/tickets");
        let answer = request.bearer_auth("cht_none").send().await.unwrap();
        assert!([401, 429].contains(&answer.status().as_u16()));
    }
    let all = rows(&site).await;
    let refused: Vec<_> = all.iter().filter(|row| row.what == "login-refused").collect();
    assert_eq!((refused[0].subject.as_str(), refused[1].subject.as_str()), ("li", "unknown"));
    assert!(all.iter().all(|row| !row.subject.contains("typed") && !row.detail.contains("typed")));
    assert_eq!(refused.len(), 20, "of one source an hour");
    assert_eq!(detail(refused[2])["why"], "token");
}

/// What changes nothing, or writes an entry of its own beside its deed.
const UNRECORDED: [(&str, &str); 13] = [
    ("POST", "/api/v1/login"),
    ("POST", "/api/v1/logout"),
    ("POST", "/api/v1/me/password"),
    ("POST", "/api/v1/me/language"),
    ("POST", "/api/v1/me/notices"),
    ("POST", "/api/v1/me/notices/test"),
    ("POST", "/api/v1/maintenance"),
    ("DELETE", "/api/v1/maintenance/{id}"),
    ("POST", "/api/v1/maintenance/preview"),
    ("POST", "/api/v1/tokens"),
    ("POST", "/api/v1/tokens/{id}/revocation"),
    ("POST", "/api/v1/audit/verification"),
    ("POST", "/api/v1/alertmanager"),
];

#[test]
fn every_route_that_changes_something_is_recorded_but_those_that_are_named_here() {
    for right in RIGHTS {
        let named = UNRECORDED.contains(&(right.method.as_str(), right.path));
        match right.record() {
            Record::Nothing => assert!(named || right.method == Method::GET, "{right:?}"),
            Record::Change => assert!(!named && right.method != Method::GET, "{right:?}"),
            Record::Evidence | Record::Export => assert_eq!(right.method, Method::GET, "{right:?}"),
        }
    }
}

#[tokio::test]
async fn tokens_and_windows_are_recorded_once() {
    let site = Site::start().await;
    site.agent("a-1").await;
    let boss = site.logged_in(Role::Administrator).await;
    let wish = json!({ "name": "x", "scopes": ["tickets:read"] });
    assert_eq!(boss.post("/api/v1/tokens", wish).await.status(), 200);
    let until = callhome_shared::time::Time::now().plus_ms(3_600_000).to_string();
    let window = json!({ "agent": "a-1", "until": until, "reason": "firmware" });
    assert_eq!(boss.post("/api/v1/maintenance", window).await.status(), 200);
    let counts = counts(&site).await;
    let expected = [("api-token-made", 1), ("logged-in", 1), ("maintenance-begun", 1)];
    assert_eq!(counts, expected.map(|(what, n)| (what.to_owned(), n)).into());
}
