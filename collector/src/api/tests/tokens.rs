//! Tokens of programs: made, used, refused, ended.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::site::{Browser, Site, refusal};
use crate::access::Scope;
use crate::api::rights::Role;
use crate::audit::Deed;
use crate::store::{api_tokens, audit};

const TICKETS: &str = "/api/v1/tickets";

async fn ask(program: &Browser, text: &str, path: &str) -> reqwest::Response {
    program.request(Method::GET, path).bearer_auth(text).send().await.unwrap()
}

#[tokio::test]
async fn a_token_is_made_shown_once_used_and_ended() {
    let site = Site::start().await;
    let number = site.ticket("PSU 2 failed", "major").await;
    let boss = site.logged_in(Role::Administrator).await;
    site.user("li", "support_engineer").await;
    let wish =
        json!({ "name": "CMDB 同步", "owner": "li", "scopes": ["tickets:write", "tickets:read"] });
    let made: Value = boss.post("/api/v1/tokens", wish).await.json().await.unwrap();
    let text = made["text"].as_str().unwrap().to_owned();
    assert_eq!(made["token"]["scopes"], json!(["tickets:read", "tickets:write"]));
    let id = made["token"]["id"].as_str().unwrap().to_owned();

    let program = site.browser();
    let list: Value = ask(&program, &text, TICKETS).await.json().await.unwrap();
    assert_eq!(list["items"][0]["number"], json!(number));
    // What it changes its owner has changed, and there is no cookie that a page could make use of.
    let path = format!("{TICKETS}/{number}/comments");
    let comment = program.request(Method::POST, &path).bearer_auth(&text);
    let answer = comment.json(&json!({ "text": "seen" })).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let ticket: Value = boss.get(&format!("{TICKETS}/{number}")).await.json().await.unwrap();
    assert!(ticket.to_string().contains("user:li"), "{ticket}");

    let all = boss.get("/api/v1/tokens").await.text().await.unwrap();
    let secret = text.rsplit_once('_').unwrap().1;
    assert!(all.contains(&id) && !all.contains(secret) && !all.contains(&text), "{all}");
    let listed: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(listed["items"][0]["good"], json!(true));
    assert!(listed["items"][0]["last_used_at"].is_string());
    let (kept, _) = api_tokens::get(&site.db, &id).await.unwrap().unwrap();
    assert!(kept.secret_hash != secret && kept.secret_hash.len() == 64);

    let ended = boss.post(&format!("/api/v1/tokens/{id}/revocation"), json!({})).await;
    assert_eq!(ended.status(), 204);
    assert_eq!(refusal(ask(&program, &text, TICKETS).await).await, (401, "wrong_token".into()));
    let again = boss.post(&format!("/api/v1/tokens/{id}/revocation"), json!({})).await;
    assert_eq!(again.status(), 404);
    for deed in [Deed::ApiTokenMade, Deed::ApiTokenRevoked] {
        let row = audit::last_of(&site.db, deed).await.unwrap().unwrap();
        assert_eq!((row.who.as_str(), row.subject.as_str()), ("user:u-administrator", "CMDB 同步"));
        assert!(row.detail.contains(&id) && !row.detail.contains(secret), "{}", row.detail);
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_in_plain_words() {
    let site = Site::start().await;
    let boss = site.logged_in(Role::Administrator).await;
    site.user("guest", "customer").await;
    for (wish, expected) in [
        (json!({ "name": "x", "scopes": [] }), "scopes: expected at least one"),
        (json!({ "name": "", "scopes": ["tickets:read"] }), "name: expected 1 to 128 bytes"),
        (
            json!({ "name": "x", "scopes": ["ticket:read"] }),
            "scopes: there is no scope \"ticket:read\"",
        ),
        (
            json!({ "name": "x", "scopes": ["tickets:read"], "owner": "nobody" }),
            "owner: there is no user",
        ),
        (
            json!({ "name": "x", "scopes": ["tickets:write"], "owner": "guest" }),
            "scopes: tickets:write opens nothing for guest",
        ),
        (
            json!({ "name": "x", "scopes": ["tickets:read"], "valid_days": 0 }),
            "valid_days: expected",
        ),
        (
            json!({ "name": "x", "scopes": ["tickets:read"], "sites": ["SH-01"] }),
            "sites: a token for tickets:read cannot be limited to sites",
        ),
    ] {
        let answer = boss.post("/api/v1/tokens", wish.clone()).await;
        assert_eq!(answer.status(), 400, "{wish}");
        let body: Value = answer.json().await.unwrap();
        let text = body["error"]["message"].as_str().unwrap();
        assert!(text.starts_with(expected), "{wish} gave {text}");
    }
}

#[tokio::test]
async fn expired_tokens_and_those_of_disabled_owners_open_nothing() {
    let site = Site::start().await;
    site.user("li", "manager").await;
    let text = site.token("li", &[Scope::TicketsRead]).await;
    let program = site.browser();
    assert_eq!(ask(&program, &text, TICKETS).await.status(), 200);
    let other = ["x".repeat(43), "_".repeat(43)].map(|s| format!("{}{s}", &text[..37]));
    for wrong in ["x", "cht_", other[0].as_str(), other[1].as_str()] {
        let answer = refusal(ask(&program, wrong, TICKETS).await).await;
        assert_eq!(answer, (401, "wrong_token".into()), "{wrong}");
    }
    site.db.execute("UPDATE users SET disabled_at = 1", vec![]).await.unwrap();
    assert_eq!(ask(&program, &text, TICKETS).await.status(), 401);
    site.db.execute("UPDATE users SET disabled_at = NULL", vec![]).await.unwrap();
    assert_eq!(ask(&program, &text, TICKETS).await.status(), 200);
    site.db.execute("UPDATE api_tokens SET expires_at = 1", vec![]).await.unwrap();
    assert_eq!(ask(&program, &text, TICKETS).await.status(), 401);
}

#[tokio::test]
async fn an_address_with_wrong_tokens_has_to_wait_but_not_a_proven_token() {
    let site = Site::start().await;
    site.user("li", "manager").await;
    let text = site.token("li", &[Scope::TicketsRead]).await;
    let late = site.token("li", &[Scope::TicketsRead]).await;
    let program = site.browser();
    assert_eq!(ask(&program, &text, TICKETS).await.status(), 200);
    for _ in 0..20 {
        assert_eq!(ask(&program, "cht_x_y", TICKETS).await.status(), 401);
    }
    // The wait is 5 s at first, and longer with each further failure: it is waited for no longer than that.
    let locked = ask(&program, &late, TICKETS).await;
    assert!(locked.headers().contains_key("retry-after"));
    assert_eq!(refusal(locked).await, (429, "too_many_attempts".into()));
    assert_eq!(ask(&program, &text, TICKETS).await.status(), 200);
    assert!(site.metrics.text().contains("logins_refused_total{reason=\"token\"} 20"));
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let site = Site::start().await;
    let boss = site.logged_in(Role::Administrator).await;
    let text = site.token("u-administrator", &[Scope::EventsRead]).await;
    let program = site.browser();
    let mut stream = ask(&program, &text, "/api/v1/events").await;
    assert_eq!(stream.status(), 200);
    let listed: Value = boss.get("/api/v1/tokens").await.json().await.unwrap();
    let id = listed["items"][0]["id"].as_str().unwrap();
    let ended = boss.post(&format!("/api/v1/tokens/{id}/revocation"), json!({})).await;
    assert_eq!(ended.status(), 204);
    let over = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(Duration::from_secs(60), over).await.unwrap();
}
