//! One thing done to many tickets, and views of the queue.

use serde_json::{Value, json};

use super::site::{Browser, Site, refusal};
use crate::api::rights::Role;

async fn bulk(browser: &Browser, body: Value) -> Value {
    let answer = browser.post("/api/v1/bulk", body).await;
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

#[tokio::test]
async fn each_ticket_has_an_answer_of_its_own() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::ServiceDesk).await;
    let mut all = Vec::new();
    for n in 0..4 {
        all.push(site.ticket(&format!("fan {n}"), "major").await);
    }
    let pick = |version: i64, all: &[String]| -> Vec<Value> {
        all.iter().map(|number| json!({ "number": number, "version": version })).collect()
    };
    let done = bulk(&browser, json!({ "tickets": pick(1, &all[..2]), "priority": "p1" })).await;
    assert_eq!((done["done"].as_i64(), &done["results"][1]["version"]), (Some(2), &json!(2)));
    // Two were changed since, one is not there: those are refused, the others are done.
    let mut some = pick(1, &all);
    some.push(json!({ "number": "T-009999", "version": 1 }));
    let done = bulk(&browser, json!({ "tickets": some, "assignee": "u-service_desk" })).await;
    assert_eq!(done["done"], 2, "{done}");
    let codes: Vec<&Value> =
        done["results"].as_array().unwrap().iter().map(|one| &one["error"]["code"]).collect();
    assert_eq!(
        codes,
        ["version_conflict", "version_conflict", "", "", "not_found"]
            .map(|code| { if code.is_empty() { Value::Null } else { json!(code) } })
            .iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(done["results"][0]["error"]["version"], 2);
    // A comment takes nothing away from what was done meanwhile.
    let comment =
        json!({ "tickets": pick(1, &all), "comment": "waits for parts", "visible": true });
    assert_eq!(bulk(&browser, comment).await["done"], 4);
    let found: Value = browser.get("/api/v1/tickets?q=parts").await.json().await.unwrap();
    assert_eq!(found["items"].as_array().unwrap().len(), 4);
    let link = json!({ "tickets": pick(1, &all[..2]), "link": all[3] });
    assert_eq!(bulk(&browser, link).await["done"], 2);
    // Duplicates: three of them go into the last one, which is none of itself.
    let versions: Vec<Value> = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ticket| {
            let number = ticket["number"].as_str().unwrap();
            let linked = i64::from(number == all[0] || number == all[1]);
            json!({ "number": number, "version": ticket["version"].as_i64().unwrap() + linked })
        })
        .collect();
    let done = bulk(&browser, json!({ "tickets": versions, "merge": all[3] })).await;
    assert_eq!(done["done"], 3, "{done}");
    let page: Value =
        browser.get(&format!("/api/v1/tickets/{}", all[3])).await.json().await.unwrap();
    assert_eq!(page["alarms"].as_array().unwrap().len(), 4);
    assert_eq!(page["links"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_not_one_thing_for_1_to_100_tickets_is_refused() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::ServiceDesk).await;
    let number = site.ticket("fan", "major").await;
    let one = json!({ "number": number, "version": 1 });
    let many: Vec<Value> =
        (0..101).map(|n| json!({ "number": format!("T-{n:06}"), "version": 1 })).collect();
    for body in [
        json!({ "tickets": [one] }),
        json!({ "tickets": [one], "priority": "p1", "comment": "x" }),
        json!({ "tickets": [one], "priority": "p9" }),
        json!({ "tickets": [], "priority": "p1" }),
        json!({ "tickets": [one, one], "priority": "p1" }),
        json!({ "tickets": many, "priority": "p1" }),
    ] {
        let answer = refusal(browser.post("/api/v1/bulk", body.clone()).await).await;
        assert_eq!(answer, (400, "malformed".into()), "{body}");
    }
    let page: Value = browser.get(&format!("/api/v1/tickets/{number}")).await.json().await.unwrap();
    assert_eq!(page["ticket"]["version"], 1, "nothing was done");
}

#[tokio::test]
async fn a_view_is_what_a_list_can_be_asked() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::ServiceDesk).await;
    let view = |query: &str| json!({ "name": "夜班", "query": query, "columns": ["left"] });
    for query in ["state=opne", "priority=p9", "limit=0", "sort=luck", "nonsense=1", "q=a b\n"] {
        let answer = refusal(browser.post("/api/v1/views", view(query)).await).await;
        assert_eq!(answer, (400, "malformed".into()), "{query}");
    }
    let query = "state=open&priority=p1&assignee=none&q=%E7%94%B5%E6%BA%90&sort=left&test=0";
    let kept = browser.post("/api/v1/views", view(query)).await;
    assert_eq!(kept.status(), 200);
    let all: Value = browser.get("/api/v1/views").await.json().await.unwrap();
    assert_eq!((&all[0]["query"], &all[0]["name"]), (&json!(query), &json!("夜班")));
    let asked = browser.get(&format!("/api/v1/tickets?{query}")).await;
    assert_eq!(asked.status(), 200);
}
