//! The table of rights against the router: every route, every role, both ways.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::json;

use super::site::{Browser, PASSWORD, Site};
use crate::access::Scope;
use crate::api::rights::{RIGHTS, Right, Role, Who};
use crate::api::routes;

fn method(right: &Right) -> reqwest::Method {
    right.method.as_str().parse().unwrap()
}

fn path(right: &Right) -> String {
    let path = right.path.replace("{number}", "T-999999").replace("{id}", "none");
    path.replace("{kind}", "sites").replace("{name}", "none")
}

async fn ask(browser: &Browser, right: &Right) -> (u16, String) {
    let request = browser.request(method(right), &path(right));
    let request = if right.method == Method::POST { request.json(&json!({})) } else { request };
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    // A live stream has no end: only a refusal is read.
    if status < 400 {
        return (status, String::new());
    }
    let body: serde_json::Value = response.json().await.unwrap_or_default();
    (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn the_table_and_the_router_name_the_same_routes() {
    let table: BTreeSet<(String, String)> =
        RIGHTS.iter().map(|r| (r.method.to_string(), r.path.to_owned())).collect();
    assert_eq!(table.len(), RIGHTS.len(), "no route twice");
    let document = serde_json::to_value(routes::document()).unwrap();
    let mut routed = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            routed.insert((method.to_uppercase(), path.clone()));
        }
    }
    assert_eq!(table, routed);
}

#[tokio::test]
async fn without_a_session_only_what_is_for_anyone() {
    let site = Site::start().await;
    let nobody = site.browser();
    for right in RIGHTS {
        let (status, code) = ask(&nobody, right).await;
        match right.who {
            Who::Anyone => assert_ne!(code, "not_logged_in", "{right:?}"),
            _ => assert_eq!((status, code.as_str()), (401, "not_logged_in"), "{right:?}"),
        }
    }
}

/// Asked of these, a session may be over: the next route is asked with another one.
fn ends_sessions(right: &Right) -> bool {
    ["/api/v1/login", "/api/v1/logout", "/api/v1/me/password"].contains(&right.path)
}

#[tokio::test]
async fn every_role_may_what_the_table_says_and_nothing_else() {
    let site = Site::start().await;
    for role in Role::ALL.map(Role::as_str).into_iter().chain(["visitor"]) {
        let name = format!("u-{role}");
        site.user(&name, role).await;
        let mut browser = site.browser();
        assert_eq!(browser.log_in(&name, PASSWORD).await.status(), 200);
        for right in RIGHTS {
            let (status, code) = ask(&browser, right).await;
            if ends_sessions(right) {
                browser = site.browser();
                assert_eq!(browser.log_in(&name, PASSWORD).await.status(), 200);
            }
            let may = match right.who {
                Who::Anyone | Who::LoggedIn => true,
                Who::Roles(roles) => Role::parse(role).is_some_and(|role| roles.contains(&role)),
            };
            if may {
                let refused = status == 401 && code == "not_logged_in" || code == "forbidden";
                assert!(!refused && status != 405, "{role} {right:?}: {status} {code}");
            } else {
                assert_eq!((status, code.as_str()), (403, "forbidden"), "{role} {right:?}");
            }
        }
    }
}

/// A route that would be over at once with the token's own end.
async fn ask_as_program(browser: &Browser, text: &str, right: &Right) -> (u16, String) {
    let request = browser.request(method(right), &path(right)).bearer_auth(text);
    let request = if right.method == Method::POST { request.json(&json!({})) } else { request };
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    if status < 400 {
        return (status, String::new());
    }
    let body: serde_json::Value = response.json().await.unwrap_or_default();
    (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn every_scope_opens_what_the_table_says_and_nothing_else() {
    let site = Site::start().await;
    let program = site.browser();
    site.user("boss", "administrator").await;
    for scope in Scope::ALL {
        assert!(RIGHTS.iter().any(|right| right.scope == Some(scope)), "{scope:?} opens nothing");
        let text = site.token("boss", &[scope]).await;
        for right in RIGHTS {
            let (status, code) = ask_as_program(&program, &text, right).await;
            if right.who == Who::Anyone {
                assert!(code != "out_of_scope" && code != "wrong_token", "{scope:?} {right:?}");
            } else if right.scope == Some(scope) {
                let refused = status == 401 || code == "forbidden" || code == "out_of_scope";
                assert!(!refused && status != 405, "{scope:?} {right:?}: {status} {code}");
            } else {
                let got = (status, code.as_str());
                assert_eq!(got, (403, "out_of_scope"), "{scope:?} {right:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_may_never_more_than_its_owner() {
    let site = Site::start().await;
    let program = site.browser();
    for role in Role::ALL.map(Role::as_str).into_iter().chain(["visitor"]) {
        let name = format!("o-{role}");
        site.user_with(&name, role, role == "manager").await;
        let text = site.token(&name, &Scope::ALL).await;
        for right in RIGHTS.iter().filter(|right| right.scope.is_some()) {
            let (status, code) = ask_as_program(&program, &text, right).await;
            let Who::Roles(roles) = right.who else { panic!("{right:?}: a scope, but no roles") };
            if Role::parse(role).is_some_and(|role| roles.contains(&role)) {
                let refused = status == 401 || status == 403 || status == 405;
                assert!(!refused, "{role} {right:?}: {status} {code}");
            } else {
                assert_eq!((status, code.as_str()), (403, "forbidden"), "{role} {right:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_one_time_password_opens_nothing_but_its_change() {
    let site = Site::start().await;
    site.user_with("new", "administrator", true).await;
    let mut browser = site.browser();
    browser.log_in("new", PASSWORD).await;
    for right in RIGHTS {
        let (status, code) = ask(&browser, right).await;
        if ends_sessions(right) {
            browser = site.browser();
            browser.log_in("new", PASSWORD).await;
        }
        if let Who::Roles(_) = right.who {
            assert_eq!((status, code.as_str()), (403, "password_change_required"), "{right:?}");
        } else {
            assert_ne!(code, "password_change_required", "{right:?}");
        }
    }
}

#[tokio::test]
async fn what_is_the_centres_is_closed_to_customers() {
    let site = Site::start().await;
    let number = site.ticket("PSU 2 failed", "major").await;
    let customer = site.logged_in(Role::Customer).await;
    for path in ["/api/v1/tickets", &format!("/api/v1/tickets/{number}"), "/api/v1/events"] {
        assert_eq!(customer.get(path).await.status(), 403, "{path}");
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_refused_in_json() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::Manager).await;
    for right in RIGHTS {
        let other = if right.method == Method::GET { "DELETE" } else { "PUT" };
        let answer = browser.request(other.parse().unwrap(), &path(right)).send().await.unwrap();
        assert_eq!(answer.status(), 405, "{right:?}");
        let allow = answer.headers()["allow"].to_str().unwrap().to_owned();
        assert!(allow.contains(right.method.as_str()), "{right:?}: {allow}");
    }
    for path in ["/api", "/api/", "/api/v1/none", "/api/v2/tickets", "/api/v1/tickets/T-1/x"] {
        let answer = super::site::refusal(browser.get(path).await).await;
        assert_eq!(answer, (404, "not_found".into()), "{path}");
    }
}
