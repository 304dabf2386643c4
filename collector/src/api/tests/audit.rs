//! The record of everything that touches trust: filtered, paged, taken along, looked along.

use callhome_shared::time::Time;
use serde_json::{Value, json};

use super::site::{Browser, Site, refusal};
use crate::api::rights::Role;
use crate::audit::{Deed, Entry, exported};
use crate::store::audit;

async fn fill(site: &Site) {
    for n in 1..=1200_i64 {
        let (deed, subject) = match n % 3 {
            0 => (Deed::TokenMade, "a-1"),
            1 => (Deed::Renewed, "a-2"),
            _ => (Deed::UserAdded, "li"),
        };
        let entry = Entry::new(Time(n * 1000), "cli:root", deed, subject, json!({ "n": n }));
        audit::note(&site.db, &entry).await.unwrap();
    }
}

async fn rows(browser: &Browser, query: &str) -> (Vec<String>, Option<String>) {
    let answer = browser.get(&format!("/api/v1/audit{query}")).await;
    assert_eq!(answer.status(), 200, "{query}");
    let body: Value = answer.json().await.unwrap();
    let rows = body["items"].as_array().unwrap().iter();
    let rows = rows.map(|item| item["row"].as_str().unwrap().to_owned()).collect();
    (rows, body["next"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn it_is_filtered_paged_and_exported_as_the_command_does() {
    let site = Site::start().await;
    fill(&site).await;
    let browser = site.logged_in(Role::Manager).await;
    let (first, next) = rows(&browser, "?agent=a-1&limit=3").await;
    assert_eq!(
        (first, next.as_deref()),
        (vec!["1200".into(), "1197".into(), "1194".into()], Some("1194"))
    );
    let (second, _) = rows(&browser, "?agent=a-1&limit=3&before=1194").await;
    assert_eq!(second, ["1191", "1188", "1185"]);
    let span = "?who=root&what=renewed&from=1970-01-01T00:00:07Z&to=1970-01-01T00:00:13Z";
    assert_eq!(rows(&browser, span).await, (vec!["10".into(), "7".into()], None));

    let file = browser.get("/api/v1/audit/export").await;
    assert_eq!(file.headers()["content-type"], "application/x-ndjson");
    assert!(file.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    let file = file.text().await.unwrap();
    let stored = audit::after(&site.db, 0, 10_000).await.unwrap();
    // After the rows of above: the manager's log-in, and, after what it took along, the export itself.
    let deeds: Vec<&str> = stored.iter().skip(1200).map(|row| row.what.as_str()).collect();
    assert_eq!(deeds, ["logged-in", "exported"]);
    let taken = stored.iter().take(1201);
    let wanted: String = taken.map(|row| format!("{}\n", exported(row))).collect();
    assert!(file == wanted, "{} lines", file.lines().count());
    let part = browser.get(&format!("/api/v1/audit/export{span}")).await.text().await.unwrap();
    let lines: Vec<Value> = part.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["seq"].as_i64().unwrap()).collect::<Vec<_>>(), [7, 10]);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_in_plain_words() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::Administrator).await;
    for (query, says) in [
        ("what=token-mad", "what: there is no deed \"token-mad\"; did you mean \"token-made\"?"),
        ("from=today", "from: "),
        ("before=x", "before: expected the number of a row"),
        ("colour=red", "unknown field `colour`"),
    ] {
        let answer = browser.get(&format!("/api/v1/audit?{query}")).await;
        assert_eq!(answer.status(), 400, "{query}");
        let body: Value = answer.json().await.unwrap();
        assert!(body["error"]["message"].as_str().unwrap().contains(says), "{body}");
    }
    let long = browser.get(&format!("/api/v1/audit/export?who={}", "x".repeat(300))).await;
    assert_eq!(refusal(long).await, (400, "malformed".into()));
}

#[tokio::test]
async fn a_broken_chain_is_told_with_its_row() {
    let site = Site::start().await;
    for n in 1..=9 {
        let entry = Entry::new(Time(n), "cli:root", Deed::TokenMade, "a-1", json!({}));
        audit::note(&site.db, &entry).await.unwrap();
    }
    let browser = site.logged_in(Role::Manager).await;
    let path = "/api/v1/audit/verification";
    let whole: Value = browser.post(path, json!({})).await.json().await.unwrap();
    assert_eq!(whole["verdict"]["whole"], true, "{whole}");
    assert_eq!(
        (&whole["verdict"]["good_up_to"], &whole["verdict"]["rows"]),
        (&json!("10"), &json!(10)),
        "the nine of above and the log-in"
    );
    site.db.execute("UPDATE audit SET subject = 'a-2' WHERE seq = 6", vec![]).await.unwrap();
    site.db.execute("DELETE FROM audit WHERE seq = 8", vec![]).await.unwrap();
    let before: Value = browser.get(path).await.json().await.unwrap();
    assert_eq!(before, whole, "nobody has looked since");
    let broken: Value = browser.post(path, json!({})).await.json().await.unwrap();
    let verdict = &broken["verdict"];
    assert_eq!((&verdict["whole"], &verdict["good_up_to"]), (&json!(false), &json!("5")));
    let breaks = verdict["breaks"].as_array().unwrap();
    let told: Vec<(&str, &str)> =
        breaks.iter().map(|b| (b["kind"].as_str().unwrap(), b["row"].as_str().unwrap())).collect();
    assert_eq!(told, [("altered", "6"), ("missing", "8")]);
    let after: Value = browser.get(path).await.json().await.unwrap();
    assert_eq!(after, broken);
}
