//! The queue, one ticket, and what people do to it.

use serde_json::{Value, json};

use super::site::{Browser, Site, refusal};
use crate::api::rights::Role;

async fn numbers(browser: &Browser, query: &str) -> (Vec<String>, Option<String>) {
    let answer = browser.get(&format!("/api/v1/tickets?{query}")).await;
    assert_eq!(answer.status(), 200, "{query}");
    let list: Value = answer.json().await.unwrap();
    let items = list["items"].as_array().unwrap();
    let numbers = items.iter().map(|t| t["number"].as_str().unwrap().to_owned()).collect();
    (numbers, list["next"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn pages_hold_every_ticket_once() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::Dispatcher).await;
    let mut expected = Vec::new();
    for n in 0..7 {
        expected.push(site.ticket(&format!("fault {n}"), "minor").await);
    }
    expected.reverse();
    let (mut seen, mut before) = (Vec::new(), String::new());
    for _ in 0..3 {
        let (page, next) = numbers(&browser, &format!("limit=3{before}")).await;
        seen.extend(page);
        let Some(next) = next else { break };
        before = format!("&before={next}");
    }
    assert_eq!(seen, expected);
    assert_eq!(numbers(&browser, "limit=7").await.1, None, "a full last page has no next one");
    for bad in ["limit=0", "limit=201", "limit=x", "before=7", "state=lost", "test=2", "sort=x"] {
        let answer = browser.get(&format!("/api/v1/tickets?{bad}")).await;
        assert_eq!(refusal(answer).await, (400, "malformed".into()), "{bad}");
    }
}

#[tokio::test]
async fn alarms_and_losses_page_too() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::Dispatcher).await;
    for n in 0..5 {
        site.ticket(&format!("fault {n}"), "minor").await;
    }
    for _ in 0..3 {
        site.agent("a-1").await;
    }
    for (path, name, expected) in [
        ("/api/v1/alarms?active=all", "alarm_id", 5),
        ("/api/v1/alarms?active=1&agent=a-1&device=210235", "alarm_id", 5),
        ("/api/v1/alarms?active=0", "alarm_id", 0),
        ("/api/v1/agents/a-1/losses?", "from_at", 3),
    ] {
        let (mut seen, mut before) = (Vec::new(), String::new());
        for _ in 0..4 {
            let answer = browser.get(&format!("{path}&limit=2{before}")).await;
            let list: Value = answer.json().await.unwrap();
            let items = list["items"].as_array().unwrap();
            seen.extend(items.iter().map(|item| item[name].as_str().unwrap().to_owned()));
            let Some(next) = list["next"].as_str() else { break };
            before = format!("&before={next}");
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), expected, "{path}");
    }
    let answer = browser.get("/api/v1/alarms?active=2").await;
    assert_eq!(refusal(answer).await, (400, "malformed".into()));
}

#[tokio::test]
async fn filters_and_search_find_chinese_and_take_signs_literally() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::ServiceDesk).await;
    let fan = site.ticket("风扇 3 故障: 转速低于 20%", "critical").await;
    let disk = site.ticket("disk_0 media error", "warning").await;
    for (query, expected) in [
        ("q=%E9%A3%8E%E6%89%87", vec![&fan]),
        ("q=%E6%9C%BA%E6%88%BF", vec![&disk, &fan]),
        ("q=20%25", vec![&fan]),
        ("q=%25", vec![&disk, &fan]),
        ("q=disk_0", vec![&disk]),
        ("q=disk!0", vec![&disk]),
        ("q=isk", vec![]),
        ("q=%E6%89%87%E9%A3%8E", vec![]),
        ("q=0235", vec![&disk, &fan]),
        ("q=2&priority=p2", vec![&disk, &fan]),
        ("priority=p1", vec![]),
        ("assignee=none&q=disk", vec![&disk]),
        ("assignee=me", vec![]),
        ("site=nowhere", vec![]),
        (
            "site=%E4%B8%8A%E6%B5%B7%E4%B8%80%E5%8F%B7%E6%9C%BA%E6%88%BF&sort=left",
            vec![&disk, &fan],
        ),
        ("q=MEDIA", vec![&disk]),
        ("q='%20OR%201=1--", vec![]),
        ("severity=critical", vec![&fan]),
        ("state=closed", vec![]),
        ("state=recorded&test=0", vec![&disk, &fan]),
        ("test=1", vec![]),
    ] {
        let (found, _) = numbers(&browser, query).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    let long = "x".repeat(201);
    let answer = browser.get(&format!("/api/v1/tickets?q={long}")).await;
    assert_eq!(answer.status(), 400);
}

#[tokio::test]
async fn a_ticket_goes_its_way_and_only_that() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::SupportEngineer).await;
    let number = site.ticket("PSU 2 failed", "major").await;
    let path = format!("/api/v1/tickets/{number}");
    let page: Value = browser.get(&path).await.json().await.unwrap();
    assert_eq!(page["allowed"], json!(["in_diagnosis", "waiting_approval", "escalated"]));
    assert_eq!(page["alarms"][0]["ticket"], json!(number));
    assert_eq!(page["evidence"][0]["text"], "kernel: PSU 2 failed");
    assert_eq!(page["timeline"][0]["what"], "opened");

    let go = async |body: Value| browser.post(&format!("{path}/transitions"), body).await;
    let moved = go(json!({ "to": "in_diagnosis", "version": 1 })).await;
    assert_eq!(moved.status(), 200);
    let ticket: Value = moved.json().await.unwrap();
    assert_eq!((&ticket["state"], &ticket["version"]), (&json!("in_diagnosis"), &json!(2)));

    let late = go(json!({ "to": "resolved", "version": 1, "comment": "done" })).await;
    assert_eq!(late.status(), 409);
    let body: Value = late.json().await.unwrap();
    assert_eq!(body["error"]["code"], "version_conflict");
    assert_eq!(body["error"]["version"], 2, "the present version is told");

    let silent = go(json!({ "to": "resolved", "version": 2 })).await;
    assert_eq!(refusal(silent).await, (400, "malformed".into()), "resolving needs a comment");
    let skipping = go(json!({ "to": "closed", "version": 2 })).await;
    assert_eq!(refusal(skipping).await, (409, "not_allowed".into()));
    let resolved = go(json!({ "to": "resolved", "version": 2, "comment": "更换了电源" })).await;
    assert_eq!(resolved.status(), 200);

    let comments = format!("{path}/comments");
    let empty = browser.post(&comments, json!({ "text": "  " })).await;
    assert_eq!(refusal(empty).await, (400, "malformed".into()));
    let said = browser.post(&comments, json!({ "text": "客户已确认 <b>" })).await;
    assert_eq!(said.status(), 200);

    let page: Value = browser.get(&path).await.json().await.unwrap();
    assert_eq!(page["allowed"], json!(["verified", "in_diagnosis"]));
    assert_eq!(page["comment_required"], json!(["in_diagnosis"]));
    let timeline = page["timeline"].as_array().unwrap();
    let what: Vec<_> = timeline.iter().map(|e| e["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["opened", "state", "state", "comment"]);
    assert_eq!(timeline[3]["detail"]["text"], "客户已确认 <b>");
    assert_eq!(timeline[3]["who"], "user:u-support_engineer");
    let none = browser.get("/api/v1/tickets/T-000999").await;
    assert_eq!(refusal(none).await, (404, "not_found".into()));
}

#[tokio::test]
async fn of_two_at_the_same_time_one_wins() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::FieldEngineer).await;
    let number = site.ticket("PSU 2 failed", "major").await;
    let path = format!("/api/v1/tickets/{number}/transitions");
    let body = json!({ "to": "in_diagnosis", "version": 1 });
    let (a, b) = tokio::join!(browser.post(&path, body.clone()), browser.post(&path, body));
    let mut statuses = [a.status().as_u16(), b.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

#[tokio::test]
async fn bad_bodies_are_told_where_and_what() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::Expert).await;
    let number = site.ticket("PSU 2 failed", "major").await;
    let path = format!("/api/v1/tickets/{number}/transitions");
    for (body, expected) in [
        (json!({ "to": "done", "version": 1 }), "to: unknown variant `done`"),
        (json!({ "to": "closed", "version": "1" }), "version: invalid type"),
        (json!({ "to": "closed" }), "body: missing field `version`"),
        (json!({ "to": "closed", "version": 1, "x": 1 }), "x: unknown field"),
        (json!([1]), "body: "),
    ] {
        let answer: Value = browser.post(&path, body).await.json().await.unwrap();
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(expected), "{message}");
    }
}
