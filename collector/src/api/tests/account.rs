//! Logging in and out, and all that can go wrong with it.

use callhome_shared::time::Time;
use reqwest::Method;
use serde_json::{Value, json};

use super::site::{PASSWORD, Site, refusal};
use crate::api::rights::Role;
use crate::api::session::{ABSOLUTE_MS, IDLE_MS};
use crate::args;

#[tokio::test]
async fn a_life_from_the_one_time_password_to_the_log_out() {
    let site = Site::start().await;
    site.user_with("lan", "support_engineer", true).await;
    let mut lan = site.browser();
    assert_eq!(refusal(lan.get("/api/v1/me").await).await, (401, "not_logged_in".into()));

    let me: Value = lan.log_in("lan", PASSWORD).await.json().await.unwrap();
    assert_eq!(me["user"]["must_change_password"], true);
    assert_eq!(me["user"]["display_name"], "lan 王");
    let blocked = (403, "password_change_required".to_owned());
    assert_eq!(refusal(lan.get("/api/v1/tickets").await).await, blocked);
    assert_eq!(refusal(lan.get("/api/v1/events").await).await, blocked);
    assert_eq!(lan.get("/api/v1/me").await.status(), 200);

    for (old, new, expected) in [
        ("not the one", "a new password", (403, "wrong_password")),
        (PASSWORD, "short", (400, "malformed")),
        (PASSWORD, PASSWORD, (400, "malformed")),
    ] {
        let answer = lan.post("/api/v1/me/password", json!({ "old": old, "new": new })).await;
        assert_eq!(refusal(answer).await, (expected.0, expected.1.to_owned()), "{new}");
    }
    let mut elsewhere = site.browser();
    elsewhere.log_in("lan", PASSWORD).await;
    let change = json!({ "old": PASSWORD, "new": "电源模块已更换完毕了呢" });
    assert_eq!(lan.post("/api/v1/me/password", change).await.status(), 204);
    assert_eq!(lan.get("/api/v1/tickets").await.status(), 200, "this session lives on");
    assert_eq!(elsewhere.get("/api/v1/me").await.status(), 401, "the other one has ended");
    assert_eq!(elsewhere.log_in("lan", PASSWORD).await.status(), 401);

    let language = lan.post("/api/v1/me/language", json!({ "language": "en" })).await;
    assert_eq!(language.status(), 204);
    let me: Value = lan.get("/api/v1/me").await.json().await.unwrap();
    assert_eq!(me["user"]["language"], "en");
    assert_eq!(me["csrf"], lan.csrf);

    let out = lan.post("/api/v1/logout", json!({})).await;
    assert_eq!(out.status(), 204);
    let cookie = out.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("Max-Age=0"), "{cookie}");
    assert_eq!(lan.get("/api/v1/me").await.status(), 401);
    let dump = site.db.read("SELECT id_hash FROM web_sessions", vec![]).await.unwrap();
    for row in dump {
        let hash = row.text("id_hash").unwrap();
        assert!(hash.len() == 64 && hash != lan.cookie, "only a hash is kept");
    }
}

#[tokio::test]
async fn changing_requests_need_the_token() {
    let site = Site::start().await;
    let mut lan = site.logged_in(Role::ServiceDesk).await;
    let right = std::mem::take(&mut lan.csrf);
    let language = json!({ "language": "en" });
    let answer = lan.post("/api/v1/me/language", language.clone()).await;
    assert_eq!(refusal(answer).await, (403, "csrf".into()));
    for wrong in ["x", &right[1..], &right.to_uppercase()] {
        lan.csrf = wrong.to_owned();
        let answer = lan.post("/api/v1/me/language", language.clone()).await;
        assert_eq!(refusal(answer).await, (403, "csrf".into()), "{wrong}");
    }
    lan.csrf = right;
    assert_eq!(lan.post("/api/v1/me/language", language).await.status(), 204);
    let form = lan.request(Method::POST, "/api/v1/login").form(&[("name", "a"), ("password", "b")]);
    let answer = form.send().await.unwrap();
    assert_eq!(refusal(answer).await, (415, "not_json".into()), "a form of another site");
}

#[tokio::test]
async fn sessions_end_when_idle_and_after_their_longest_life() {
    let site = Site::start().await;
    let lan = site.logged_in(Role::Manager).await;
    let row = site.db.read_one("SELECT * FROM web_sessions", vec![]).await.unwrap().unwrap();
    let (created, expires) = (row.int("created_at").unwrap(), row.int("expires_at").unwrap());
    assert_eq!(expires - created, IDLE_MS);

    // Used last two minutes ago: the next request prolongs it.
    let now = Time::now().millis();
    let move_to = |created: i64, used: i64, expires: i64| {
        let sql = "UPDATE web_sessions SET created_at = $1, last_used_at = $2, expires_at = $3";
        site.db.execute(sql, args![created, used, expires])
    };
    move_to(now - 120_000, now - 120_000, now + 1000).await.unwrap();
    assert_eq!(lan.get("/api/v1/me").await.status(), 200);
    let row = site.db.read_one("SELECT * FROM web_sessions", vec![]).await.unwrap().unwrap();
    assert!(row.int("expires_at").unwrap() >= now + IDLE_MS);

    // Nearly twelve hours old: no request prolongs it beyond them.
    let created = now - ABSOLUTE_MS + 90_000;
    move_to(created, now - 120_000, now + 60_000).await.unwrap();
    assert_eq!(lan.get("/api/v1/me").await.status(), 200);
    let row = site.db.read_one("SELECT * FROM web_sessions", vec![]).await.unwrap().unwrap();
    assert_eq!(row.int("expires_at").unwrap(), created + ABSOLUTE_MS);

    move_to(now - 120_000, now - 120_000, now - 1).await.unwrap();
    assert_eq!(lan.get("/api/v1/me").await.status(), 401);
}

#[tokio::test]
async fn a_disabled_user_is_out_at_once() {
    let site = Site::start().await;
    let mut lan = site.logged_in(Role::Expert).await;
    let sql = "UPDATE users SET disabled_at = 1";
    site.db.execute(sql, vec![]).await.unwrap();
    assert_eq!(lan.get("/api/v1/me").await.status(), 401);
    let answer = lan.log_in("u-expert", PASSWORD).await;
    assert_eq!(refusal(answer).await, (401, "wrong_password".into()));
}

#[tokio::test]
async fn guessing_is_slowed_down_and_tells_nothing() {
    let site = Site::start().await;
    site.user("lan", "support_engineer").await;
    let mut thief = site.browser();
    let mut texts = Vec::new();
    for name in ["lan", "nobody"] {
        let answer = thief.log_in(name, "a wrong password").await;
        assert_eq!(answer.status(), 401);
        texts.push(answer.text().await.unwrap());
    }
    assert_eq!(texts[0], texts[1], "whether a name exists is not told");
    for _ in 0..4 {
        assert_eq!(thief.log_in("lan", "a wrong password").await.status(), 401);
    }
    let answer = thief.log_in("lan", PASSWORD).await;
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=6).contains(&wait), "{wait}");
    assert_eq!(refusal(answer).await, (429, "too_many_attempts".into()));
    assert_eq!(thief.log_in("other", "a wrong password").await.status(), 401, "others may");
    let text = site.metrics.text();
    assert!(text.contains("logins_refused_total{reason=\"rate\"} 1"), "{text}");
}

#[tokio::test]
async fn an_unknown_name_takes_as_long_as_a_wrong_password() {
    let site = Site::start().await;
    site.user("lan", "support_engineer").await;
    let mut browser = site.browser();
    browser.log_in("warm", "up the connection").await;
    let mut best = [u128::MAX; 2];
    for _ in 0..5 {
        for (name, best) in ["lan", "nobody"].iter().zip(&mut best) {
            let began = std::time::Instant::now();
            browser.log_in(name, "a wrong password").await;
            *best = (*best).min(began.elapsed().as_micros());
        }
    }
    let [known, unknown] = best;
    // Wide, because other tests run beside it; without the work it would be a hundredth.
    assert!(unknown * 5 > known && known * 5 > unknown, "{known} µs, {unknown} µs");
}
