//! Two customers beside each other: each sees its own, over every route, and the other's is not there.

use axum::http::Method;
use callhome_shared::time::Time;
use reqwest::Response;
use serde_json::{Value, json};

use super::site::{Browser, PASSWORD, Site, refusal};
use crate::api::rights::{RIGHTS, Right, Role, Who};
use crate::flow::mine;
use crate::store::mine::Place;

const BIND: [(&str, &str, &[&str]); 3] =
    [("anna", "acme", &[]), ("bert", "borg", &[]), ("cleo", "acme", &["acme-2"])];

fn place(customer: &str, sites: &[&str]) -> Place {
    let sites = sites.iter().map(|site| (*site).to_owned()).collect();
    Place { customer: customer.to_owned(), sites }
}

/// A house with two customers: `acme` has two sites, `borg` one; each site has a device and a ticket.
struct House {
    site: Site,
    boss: Browser,
    /// Of `acme-1`, `acme-2`, `borg-1`.
    tickets: Vec<String>,
}

async fn done(answer: Response) -> Value {
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

impl House {
    async fn new() -> House {
        let site = Site::start().await;
        let boss = site.logged_in(Role::Administrator).await;
        let add = async |kind: &str, id: &str, values: Value| {
            let path = format!("/api/v1/masters/{kind}");
            done(boss.post(&path, json!({ "id": id, "values": values })).await).await;
        };
        for customer in ["acme", "borg"] {
            add("customers", customer, json!({ "name": format!("{customer} Ltd") })).await;
        }
        let mut tickets = Vec::new();
        for (name, customer) in [("acme-1", "acme"), ("acme-2", "acme"), ("borg-1", "borg")] {
            add("sites", name, json!({ "name": format!("Site {name}"), "customer": customer }))
                .await;
            let device = json!({ "name": format!("array of {name}"), "site": name });
            add("devices", &format!("serial-{name}"), device).await;
            let text = json!({ "text": format!("disk of {name}"), "site": name,
                "serial": format!("serial-{name}") });
            let ticket = done(boss.post("/api/v1/tickets", text).await).await;
            assert_eq!(ticket["customer"], customer);
            tickets.push(ticket["number"].as_str().unwrap().to_owned());
        }
        for (name, customer, sites) in BIND {
            site.user(name, "customer").await;
            let place = place(customer, sites);
            mine::bind(&site.db, name, &place, "cli:tests", Time::now()).await.unwrap();
        }
        House { site, boss, tickets }
    }

    async fn browser(&self, name: &str) -> Browser {
        let mut browser = self.site.browser();
        assert_eq!(browser.log_in(name, PASSWORD).await.status(), 200);
        browser
    }

    /// The centre takes the ticket to `verified`.
    async fn verify(&self, number: &str) -> i64 {
        let path = format!("/api/v1/tickets/{number}");
        for to in ["in_diagnosis", "resolved", "verified"] {
            let now = done(self.boss.get(&path).await).await;
            let version = now["ticket"]["version"].as_i64().unwrap();
            let step = json!({ "to": to, "version": version, "comment": "internal words" });
            done(self.boss.post(&format!("{path}/transitions"), step).await).await;
        }
        done(self.boss.get(&path).await).await["ticket"]["version"].as_i64().unwrap()
    }
}

/// Every route of the API with names of the other customer's things.
fn path(right: &Right, number: &str) -> String {
    let path = right.path.replace("{number}", number).replace("{kind}", "sites");
    path.replace("{id}", "borg-1").replace("{name}", "carrier")
}

#[tokio::test]
async fn over_every_route_nothing_of_the_other_customer_is_in_an_answer() {
    let house = House::new().await;
    let mut anna = house.browser("anna").await;
    let theirs = house.tickets[2].clone();
    let mut asked = 0;
    for right in RIGHTS {
        let path = path(right, &theirs);
        let bodies = match right.path {
            "/api/v1/mine/tickets" if right.method == Method::POST => vec![
                json!({ "text": "x", "site": "borg-1" }),
                json!({ "text": "x", "site": "acme-1", "serial": "serial-borg-1" }),
                json!({ "text": "x", "site": "acme-1", "serial": "serial-acme-2" }),
            ],
            "/api/v1/mine/tickets/{number}/comments" => vec![json!({ "text": "let me in" })],
            "/api/v1/mine/tickets/{number}/confirmation" => {
                vec![json!({ "version": 1, "fixed": true })]
            }
            _ => vec![json!({})],
        };
        for body in bodies {
            let request = anna.request(right.method.as_str().parse().unwrap(), &path);
            let request = if right.method == Method::GET { request } else { request.json(&body) };
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let text = answer.text().await.unwrap();
            for foreign in ["disk of borg", "array of borg", "Site borg", "borg Ltd"] {
                assert!(!text.contains(foreign), "{right:?}: {text}");
            }
            let theirs_too = Who::Roles(&[Role::Customer]) == right.who;
            match right.who {
                _ if theirs_too && right.path.contains("{number}") => {
                    assert_eq!(status, 404, "{right:?}: {text}");
                }
                _ if theirs_too && right.method == Method::POST => {
                    assert_eq!(status, 400, "{right:?}: {text}");
                }
                _ if theirs_too => assert_eq!(status, 200, "{right:?}: {text}"),
                Who::Roles(roles) if !roles.contains(&Role::Customer) => {
                    assert_eq!(status, 403, "{right:?}: {text}");
                }
                _ => {}
            }
            asked += 1;
        }
        if ["/api/v1/logout", "/api/v1/me/password"].contains(&right.path) {
            anna = house.browser("anna").await;
        }
    }
    println!("{asked} requests over {} routes", RIGHTS.len());
    let still = done(house.boss.get(&format!("/api/v1/tickets/{theirs}")).await).await;
    assert!(!still.to_string().contains("let me in"));
}

#[tokio::test]
async fn each_sees_its_own_sites_devices_and_tickets() {
    let house = House::new().await;
    for (name, sites) in
        [("anna", vec!["acme-1", "acme-2"]), ("bert", vec!["borg-1"]), ("cleo", vec!["acme-2"])]
    {
        let browser = house.browser(name).await;
        let whose = done(browser.get("/api/v1/mine").await).await;
        let of = |all: &Value, field: &str| -> Vec<String> {
            let all = all.as_array().unwrap().iter();
            let mut all: Vec<String> =
                all.map(|one| one[field].as_str().unwrap().to_owned()).collect();
            all.sort();
            all
        };
        assert_eq!(of(&whose["sites"], "id"), sites, "{name}");
        let devices = done(browser.get("/api/v1/mine/devices").await).await;
        assert_eq!(of(&devices["items"], "site"), sites, "{name}");
        let tickets = done(browser.get("/api/v1/mine/tickets?all=1").await).await;
        assert_eq!(of(&tickets["items"], "site"), sites, "{name}");
        for (number, site) in house.tickets.iter().zip(["acme-1", "acme-2", "borg-1"]) {
            let answer = browser.get(&format!("/api/v1/mine/tickets/{number}")).await;
            let expected = if sites.contains(&site) { 200 } else { 404 };
            assert_eq!(answer.status(), expected, "{name} {site}");
        }
    }
    // Page by page.
    let anna = house.browser("anna").await;
    let first = done(anna.get("/api/v1/mine/tickets?limit=1").await).await;
    let next = first["next"].as_str().unwrap();
    let second = done(anna.get(&format!("/api/v1/mine/tickets?limit=1&before={next}")).await).await;
    assert_eq!(second["items"][0]["number"], json!(house.tickets[0]));
    assert_eq!(second["next"], Value::Null);
}

#[tokio::test]
async fn a_customer_opens_comments_and_confirms_and_hears_no_internal_word() {
    let house = House::new().await;
    let anna = house.browser("anna").await;
    let new = json!({ "text": "no light\nat all", "site": "acme-1", "serial": "serial-acme-1" });
    let page = done(anna.post("/api/v1/mine/tickets", new).await).await;
    let number = page["ticket"]["number"].as_str().unwrap().to_owned();
    assert_eq!(page["ticket"]["device"], "array of acme-1");
    let path = format!("/api/v1/mine/tickets/{number}");
    done(anna.post(&format!("{path}/comments"), json!({ "text": "still dark" })).await).await;
    let centre = format!("/api/v1/tickets/{number}/comments");
    done(house.boss.post(&centre, json!({ "text": "they forgot the fuse" })).await).await;
    let told = json!({ "text": "we are on it", "visible": true });
    done(house.boss.post(&centre, told).await).await;
    let page = done(anna.get(&path).await).await;
    let lines = page["timeline"].as_array().unwrap();
    let said: Vec<(&str, &str)> = lines
        .iter()
        .filter(|line| line["what"] == "comment")
        .map(|line| (line["by"].as_str().unwrap(), line["text"].as_str().unwrap()))
        .collect();
    assert_eq!(said, [("customer", "still dark"), ("support", "we are on it")]);
    assert!(!page.to_string().contains("fuse") && !page.to_string().contains("u-admin"), "{page}");

    let early = json!({ "version": 1, "fixed": true });
    let answer = refusal(anna.post(&format!("{path}/confirmation"), early).await).await;
    assert_eq!(answer, (409, "not_allowed".into()));
    let version = house.verify(&number).await;
    let stale = json!({ "version": version - 1, "fixed": true });
    let answer = refusal(anna.post(&format!("{path}/confirmation"), stale).await).await;
    assert_eq!(answer, (409, "version_conflict".into()));
    let not = json!({ "version": version, "fixed": false });
    let answer = refusal(anna.post(&format!("{path}/confirmation"), not).await).await;
    assert_eq!(answer, (400, "malformed".into()), "a comment is needed");
    let not = json!({ "version": version, "fixed": false, "comment": "dark again" });
    let page = done(anna.post(&format!("{path}/confirmation"), not).await).await;
    assert_eq!(page["ticket"]["state"], "in_diagnosis");
    assert!(page.to_string().contains("dark again") && !page.to_string().contains("internal"));
    let now = done(anna.get(&path).await).await;
    assert_eq!(now["may_confirm"], false);
    let step = json!({ "to": "resolved", "version": now["ticket"]["version"], "comment": "fuse" });
    done(house.boss.post(&format!("/api/v1/tickets/{number}/transitions"), step).await).await;
    let now = done(anna.get(&path).await).await;
    let step = json!({ "to": "verified", "version": now["ticket"]["version"] });
    done(house.boss.post(&format!("/api/v1/tickets/{number}/transitions"), step).await).await;
    let now = done(anna.get(&path).await).await;
    assert_eq!(now["may_confirm"], true);
    let fixed = json!({ "version": now["ticket"]["version"], "fixed": true });
    let page = done(anna.post(&format!("{path}/confirmation"), fixed).await).await;
    assert_eq!(page["ticket"]["state"], "confirmed");
}

#[tokio::test]
async fn only_customers_are_tied_and_only_to_what_there_is() {
    let house = House::new().await;
    let db = &house.site.db;
    let now = Time::now();
    for (user, place, expected) in [
        ("nobody", place("acme", &[]), "there is no user nobody"),
        ("u-administrator", place("acme", &[]), "u-administrator is administrator"),
        ("anna", place("acmee", &[]), "there is no customer \"acmee\""),
        ("anna", place("acme", &["borg-1"]), "\"borg-1\" is no site of \"acme\""),
        ("anna", place("acme", &["none"]), "\"none\" is no site of \"acme\""),
    ] {
        let refused = mine::bind(db, user, &place, "cli:tests", now).await.unwrap_err();
        assert!(refused.to_string().starts_with(expected), "{refused}");
    }
    // Who is tied anew is logged out, and sees the other's from then on.
    let anna = house.browser("anna").await;
    mine::bind(db, "anna", &place("borg", &[]), "cli:tests", now).await.unwrap();
    assert_eq!(anna.get("/api/v1/mine").await.status(), 401);
    let anna = house.browser("anna").await;
    assert_eq!(done(anna.get("/api/v1/mine").await).await["customer"], "borg");
    house.site.user("dora", "customer").await;
    let dora = house.browser("dora").await;
    let answer = refusal(dora.get("/api/v1/mine/tickets").await).await;
    assert_eq!(answer, (409, "not_allowed".into()));
}
