//! Alertmanager's way in.

use reqwest::Response;
use serde_json::{Value, json};

use super::site::{Browser, Site, refusal};
use crate::access::Scope;
use crate::api::rights::Role;
use crate::flow::access::{self, Wish};

const PATH: &str = "/api/v1/alertmanager";

fn body(site: &str, status: &str) -> Value {
    json!({ "version": "4", "alerts": [{
        "status": status, "labels": { "alertname": "Up", "instance": "sw-1", "site": site }, "annotations": {},
        "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2026-01-01T01:00:00Z", "fingerprint": "ab12"
    }] })
}

async fn post(program: &Browser, token: &str, path: &str, body: &Value) -> Response {
    let request = program.request(reqwest::Method::POST, path).bearer_auth(token);
    request.json(body).send().await.unwrap()
}

#[tokio::test]
async fn what_it_brings_is_a_ticket_and_what_it_may_not_is_told() {
    let site = Site::start().await;
    let boss = site.logged_in(Role::Manager).await;
    let program = site.browser();
    let wish = Wish {
        name: "am".to_owned(),
        scopes: vec![Scope::AlarmsWrite],
        owner: "u-manager".to_owned(),
        sites: vec!["SH-01".to_owned()],
        valid_days: 1,
        by: "cli:tests".to_owned(),
    };
    let now = callhome_shared::time::Time::now();
    let (_, token) = access::issue(&site.db, wish, now).await.unwrap();
    let taken: Value =
        post(&program, &token, PATH, &body("SH-01", "firing")).await.json().await.unwrap();
    assert_eq!(taken, json!({ "taken": 1, "known": 0, "late": 0, "refused": [] }));
    let refused: Value =
        post(&program, &token, PATH, &body("BJ-01", "firing")).await.json().await.unwrap();
    assert_eq!(refused["refused"][0]["fingerprint"], "ab12", "{refused}");
    let tickets: Value = boss.get("/api/v1/tickets").await.json().await.unwrap();
    assert_eq!(tickets["items"].as_array().unwrap().len(), 1);
    assert_eq!(tickets["items"][0]["agent"], "alertmanager:main", "{tickets}");
    let other = format!("{PATH}?source=lab");
    assert_eq!(post(&program, &token, &other, &body("SH-01", "firing")).await.status(), 200);
    let text = site.metrics.text();
    for line in ["{outcome=\"taken\"} 2", "{outcome=\"refused\"} 1"] {
        let line = format!("callhome_collector_alertmanager_alerts_total{line}");
        assert!(text.contains(&line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn what_it_cannot_mean_is_refused_in_plain_words() {
    let site = Site::start().await;
    site.user("li", "manager").await;
    let token = site.token("li", &[Scope::AlarmsWrite]).await;
    let program = site.browser();
    let wrong = post(&program, &token, PATH, &json!({ "version": "4", "alerts": [{}] })).await;
    assert_eq!(wrong.status(), 400);
    let text = wrong.text().await.unwrap();
    assert!(text.contains("alerts[0]: missing field `status`"), "{text}");
    let named = post(&program, &token, &format!("{PATH}?source=a%20b"), &body("x", "firing")).await;
    assert_eq!(refusal(named).await, (400, "malformed".into()));
    let large = json!({ "version": "4", "alerts": [], "x": "y".repeat(4 << 20) });
    assert_eq!(
        refusal(post(&program, &token, PATH, &large).await).await,
        (413, "too_large".into())
    );
    let read = site.token("li", &[Scope::AlarmsRead]).await;
    let answer = refusal(post(&program, &read, PATH, &body("x", "firing")).await).await;
    assert_eq!(answer, (403, "out_of_scope".into()));
}
