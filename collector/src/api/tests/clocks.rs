//! What is promised, on the API.

use callhome_shared::time::Time;
use serde_json::{Value, json};

use super::site::{Browser, Site, refusal};
use crate::api::rights::Role;
use crate::clock::Promise;
use crate::flow::clocks::{opened, seed, sweep};
use crate::store::tickets;

const MIN: i64 = 60_000;

/// A site whose tickets are promised a carrier's limits; the number of one.
pub(super) async fn promised(site: &Site) -> String {
    let promise = Promise {
        plan: "carrier".to_owned(),
        calendar: None,
        time_zone: Some("Asia/Shanghai".to_owned()),
    };
    seed(&site.db, &promise, Time::now()).await.unwrap();
    begun(site, "critical").await
}

async fn begun(site: &Site, severity: &str) -> String {
    let number = site.ticket("PSU 2 failed", severity).await;
    let row = tickets::get(&site.db, &number).await.unwrap().unwrap();
    let mut tx = site.db.begin().await.unwrap();
    opened(&mut tx, &[(&row, None)], Time::now()).await.unwrap();
    tx.commit().await.unwrap();
    number
}

async fn read(browser: &Browser, path: &str) -> Value {
    let answer = browser.get(path).await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.unwrap()
}

#[tokio::test]
async fn a_ticket_shows_its_clocks_and_why() {
    let site = Site::start().await;
    let number = promised(&site).await;
    let li = site.logged_in(Role::SupportEngineer).await;
    let path = format!("/api/v1/tickets/{number}/clocks");
    let shown = read(&li, &path).await;
    assert_eq!((&shown["plan"], &shown["time_zone"]), (&json!("carrier"), &json!("Asia/Shanghai")));
    let clocks = shown["clocks"].as_array().unwrap();
    assert!(!clocks.is_empty());
    for clock in clocks {
        let sum: i64 = clock["explain"]
            .as_array()
            .unwrap()
            .iter()
            .map(|l| l["counted_ms"].as_i64().unwrap())
            .sum();
        assert_eq!(Some(sum), clock["elapsed_ms"].as_i64());
        let (budget, left) =
            (clock["budget_ms"].as_i64().unwrap(), clock["left_ms"].as_i64().unwrap());
        assert_eq!(budget - left, sum);
    }
    let names: Vec<_> = clocks.iter().map(|c| c["name"].as_str().unwrap()).collect();
    let due = read(&li, "/api/v1/due").await;
    assert_eq!(due["items"][0]["ticket"]["number"], json!(number));
    assert!(names.contains(&due["items"][0]["clock"].as_str().unwrap()));
    let wish = |clock: &str, deed: &str| json!({ "clock": clock, "deed": deed });
    let stopped = li.post(&path, wish("on_site", "stop")).await;
    assert_eq!(stopped.status(), 200);
    let stopped: Value = stopped.json().await.unwrap();
    let clock =
        stopped["clocks"].as_array().unwrap().iter().find(|c| c["name"] == "on_site").unwrap();
    assert_eq!((&clock["state"], &clock["due_at"]), (&json!("stopped"), &Value::Null));
    assert_eq!(refusal(li.post(&path, wish("on_site", "stop")).await).await.0, 409);
    assert_eq!(refusal(li.post(&path, wish("coffee", "start")).await).await.0, 400);
    assert_eq!(refusal(li.get("/api/v1/tickets/T-999999/clocks").await).await.0, 404);
}

#[tokio::test]
async fn the_queue_by_time_left_holds_every_ticket_once() {
    let site = Site::start().await;
    promised(&site).await;
    for severity in ["critical", "major", "minor", "critical"] {
        begun(&site, severity).await;
    }
    let li = site.logged_in(Role::ServiceDesk).await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    for _ in 0..6 {
        let page = read(&li, &format!("/api/v1/due?limit=2{after}")).await;
        for item in page["items"].as_array().unwrap() {
            seen.push((
                item["due_at"].as_str().unwrap().to_owned(),
                item["ticket"]["number"].clone(),
            ));
        }
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.windows(2).all(|w| w[0].0 <= w[1].0), "{seen:?}");
    for bad in ["after=x", "after=x.y", "limit=0", "sort=1"] {
        let answer = li.get(&format!("/api/v1/due?{bad}")).await;
        assert_eq!(refusal(answer).await.0, 400, "{bad}");
    }
    let later = Time::now().plus_ms(7 * MIN);
    assert!(sweep(&site.db, &site.events, later).await.unwrap() > 0);
}

#[tokio::test]
async fn plans_are_written_read_and_removed() {
    let site = Site::start().await;
    promised(&site).await;
    let wang = site.logged_in(Role::Manager).await;
    let all = read(&wang, "/api/v1/plans").await;
    assert_eq!(all["items"].as_array().unwrap().len(), crate::clock::presets().len());
    let mut plan = read(&wang, "/api/v1/plans/carrier").await["plan"].take();
    // What was exported goes in again, changed.
    plan["at_once"] = json!("5min");
    let put = async |version: i64, plan: &Value| {
        wang.post("/api/v1/plans/ours", json!({ "version": version, "plan": plan })).await
    };
    assert_eq!(put(0, &plan).await.status(), 200);
    let shown = read(&wang, "/api/v1/plans/ours").await;
    assert_eq!((&shown["version"], &shown["plan"]), (&json!(1), &plan));
    let answer = put(0, &plan).await;
    assert_eq!(answer.status(), 409);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["error"]["version"], json!(1));
    plan["priorities"]["p1"]["restore"]["hours"] = json!("7x25");
    let answer: Value = put(1, &plan).await.json().await.unwrap();
    let text = answer["error"]["message"].as_str().unwrap();
    assert!(text.starts_with("priorities.p1.restore.hours: expected"), "{text}");
    assert!(text.contains("did you mean \"7x24\"?"), "{text}");
    plan["priorities"]["p1"]["restore"] = json!({ "within": "2h", "hour": "7x24" });
    let answer: Value = put(1, &plan).await.json().await.unwrap();
    let text = answer["error"]["message"].as_str().unwrap();
    assert!(text.contains("unknown field `hour`"), "{text}");
    let removal = json!({ "version": 1 });
    assert_eq!(wang.post("/api/v1/plans/ours/removal", removal.clone()).await.status(), 200);
    assert_eq!(wang.get("/api/v1/plans/ours").await.status(), 404);
    let kept = wang.post("/api/v1/plans/carrier/removal", removal).await;
    assert_eq!(kept.status(), 409, "it is the default");
    let desk = site.logged_in(Role::ServiceDesk).await;
    let answer = desk.post("/api/v1/plans/ours", json!({ "version": 0, "plan": plan })).await;
    assert_eq!(answer.status(), 403);
}

#[tokio::test]
async fn calendars_take_icalendar_files() {
    let site = Site::start().await;
    let wang = site.logged_in(Role::Manager).await;
    let days = |version: i64, text: &str| json!({ "version": version, "icalendar": text });
    let text = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20261001\nDTEND;VALUE=DATE:20261008\n\
                SUMMARY:国庆节\nEND:VEVENT\nEND:VCALENDAR\n";
    let path = "/api/v1/calendars/cn/days";
    assert_eq!(wang.post(path, days(0, text)).await.status(), 200);
    assert_eq!(wang.post(path, days(1, text)).await.status(), 200);
    let shown = read(&wang, "/api/v1/calendars/cn").await;
    assert_eq!(shown["version"], json!(2));
    let wanted =
        json!([{ "from": "2026-10-01", "to": "2026-10-07", "kind": "holiday", "note": "国庆节" }]);
    assert_eq!(shown["calendar"]["days"], wanted, "once");
    let bad = text.replace("20261001", "20261301");
    let answer: Value = wang.post(path, days(2, &bad)).await.json().await.unwrap();
    let text = answer["error"]["message"].as_str().unwrap();
    assert!(text.starts_with("icalendar: line 3: DTSTART: expected a whole day"), "{text}");
    let zone = json!({ "version": 2, "calendar": { "time_zone": "Asia/Shangai", "days": [] } });
    let answer: Value = wang.post("/api/v1/calendars/cn", zone).await.json().await.unwrap();
    let text = answer["error"]["message"].as_str().unwrap();
    assert!(text.contains("did you mean \"Asia/Shanghai\"?"), "{text}");
    let list = read(&wang, "/api/v1/calendars").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let removal = json!({ "version": 2 });
    assert_eq!(wang.post("/api/v1/calendars/cn/removal", removal).await.status(), 200);
    assert_eq!(wang.get("/api/v1/calendars/cn").await.status(), 404);
}
