//! The console's files, and what else is not the API.

use super::site::{Site, refusal};
use crate::api::console::is_built;

#[tokio::test]
async fn pages_of_the_console_are_its_start_page() {
    let site = Site::start().await;
    let browser = site.browser();
    for path in ["/", "/tickets/T-000001", "/fleet"] {
        let page = browser.get(path).await;
        assert_eq!(page.status(), 200, "{path}");
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        let text = page.text().await.unwrap();
        assert!(text.contains("callhome"), "{text}");
        assert_eq!(text.contains("make web"), !is_built(), "{text}");
    }
    for path in ["/none.js", "/assets/none-123.css", "/.well-known/none", "/..%2f..%2fCargo.toml"] {
        let answer = refusal(browser.get(path).await).await;
        assert_eq!(answer, (404, "not_found".into()), "{path}");
    }
    let posted = browser.post("/", serde_json::json!({})).await;
    assert_eq!(refusal(posted).await, (405, "wrong_method".into()));
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let site = Site::start().await;
    let browser = site.browser();
    for path in ["/", "/api/v1/me", "/api/openapi.json", "/none.js"] {
        let answer = browser.get(path).await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_ne!(header("cache-control"), "");
        assert!(header("strict-transport-security").starts_with("max-age="));
    }
}

#[tokio::test]
async fn built_files_are_cached_by_their_names() {
    if !is_built() {
        eprintln!("skipped: web/dist is not built (make web)");
        return;
    }
    let site = Site::start().await;
    let browser = site.browser();
    let index = browser.get("/").await;
    assert_eq!(index.headers()["cache-control"], "no-cache");
    let tag = index.headers()["etag"].to_str().unwrap().to_owned();
    let text = index.text().await.unwrap();
    let same = browser.request(reqwest::Method::GET, "/").header("if-none-match", tag);
    assert_eq!(same.send().await.unwrap().status(), 304);
    let script = text.split("src=\"").find(|s| s.starts_with("/assets/")).unwrap();
    let script = script.split('"').next().unwrap();
    let packed = browser.request(reqwest::Method::GET, script).header("accept-encoding", "gzip");
    let packed = packed.send().await.unwrap();
    assert_eq!(packed.status(), 200);
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert!(packed.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    assert!(packed.headers()["content-type"].to_str().unwrap().contains("javascript"));
}
