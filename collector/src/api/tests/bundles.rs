//! Bundles as people see and read them.

use axum::body::Body;
use axum::http::Request;
use callhome_shared::bundle::{
    Approved, CHUNK_TYPE, CONTENT_DIGEST, Content, Declaration, How, PATH, Redacted, Subject,
    UPLOAD_OFFSET, content_digest, hex,
};
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::time::Time;
use reqwest::Method;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

use super::site::{Site, refusal};
use crate::api::rights::Role;
use crate::bundle::files::agent_hash;
use crate::enrol::visitor::{Standing, Visitor};
use crate::store::audit;

impl Site {
    async fn upload(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> u16 {
        let mut request = Request::builder().method(method.as_str()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let agent = AgentId::new("a-1").unwrap();
        let visitor = Visitor { agent, serial: "01".into(), standing: Standing::Valid };
        let request = request.extension(visitor).body(Body::from(body.to_vec())).unwrap();
        self.uploads.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    /// An upload of the agent `a-1` for that ticket. Its id.
    pub(super) async fn upload_open(&self, number: &str, name: &str, bytes: &[u8]) -> String {
        let said = Declaration {
            id: new_uuid(),
            subject: Subject { ticket: Some(number.to_owned()), alarm_id: None },
            name: name.to_owned(),
            size: bytes.len() as u64,
            sha256: hex(&Sha256::digest(bytes)),
            created_at: Time::now(),
            note: Some("请看".into()),
            contents: vec![
                Content { name: "a.log".into(), size: 7, redacted: Redacted::Replaced(3) },
                Content { name: "core".into(), size: 9, redacted: Redacted::Binary },
            ],
            approved: Approved { by: "wang".into(), at: Time::now(), how: How::Person },
        };
        let json = [("content-type", "application/json")];
        let body = serde_json::to_vec(&said).unwrap();
        assert_eq!(self.upload(Method::POST, PATH, &json, &body).await, 201);
        let digest = content_digest(bytes);
        let headers =
            [("content-type", CHUNK_TYPE), (UPLOAD_OFFSET, "0"), (CONTENT_DIGEST, &*digest)];
        let path = format!("{PATH}/{}", said.id);
        assert_eq!(self.upload(Method::PATCH, &path, &headers, bytes).await, 204);
        said.id.to_string()
    }

    /// [`Site::upload_open`], and it is complete.
    pub(super) async fn bundle(&self, number: &str, name: &str, bytes: &[u8]) -> String {
        let id = self.upload_open(number, name, bytes).await;
        let path = format!("{PATH}/{id}/complete");
        assert_eq!(self.upload(Method::POST, &path, &[], b"").await, 200);
        id
    }
}

#[tokio::test]
async fn a_bundle_is_on_its_ticket_and_can_be_read() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::SupportEngineer).await;
    let number = site.ticket("PSU 2 failed", "major").await;
    site.agent("a-1").await;
    let bytes: Vec<u8> = (0..200_000u32).flat_map(|n| (n % 251).to_be_bytes()).collect();
    let id = site.bundle(&number, "日志\"; x=.tar.gz", &bytes).await;
    let open = site.upload_open(&number, "open.tar.gz", b"not all").await;

    let page: Value = browser.get(&format!("/api/v1/tickets/{number}")).await.json().await.unwrap();
    let shown = &page["bundles"];
    assert_eq!(shown[0]["state"], "complete", "{shown}");
    assert_eq!(shown[0]["sha256"], hex(&Sha256::digest(&bytes)));
    assert_eq!(
        (&shown[0]["approved_by"], &shown[0]["approved_how"]),
        (&"wang".into(), &"person".into())
    );
    assert_eq!(
        (&shown[0]["contents"][0]["replaced"], &shown[0]["contents"][1]["replaced"]),
        (&3.into(), &Value::Null)
    );
    assert_eq!((&shown[1]["state"], &shown[1]["received"]), (&"open".into(), &7.into()));
    let entry =
        page["timeline"].as_array().unwrap().iter().find(|e| e["what"] == "bundle").unwrap();
    assert_eq!(
        (&entry["who"], &entry["detail"]["bundle"]),
        (&"agent:a-1".into(), &id.clone().into())
    );
    let agent: Value = browser.get("/api/v1/agents/a-1").await.json().await.unwrap();
    assert_eq!(
        (&agent["bundles"][0]["id"], &agent["bundles"][0]["ticket"]),
        (&open.clone().into(), &number.clone().into())
    );
    assert_eq!(agent["bundles"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn its_content_is_read_in_whole_and_in_part() {
    let site = Site::start().await;
    let browser = site.logged_in(Role::SupportEngineer).await;
    let number = site.ticket("PSU 2 failed", "major").await;
    let bytes: Vec<u8> = (0..200_000u32).flat_map(|n| (n % 251).to_be_bytes()).collect();
    let id = site.bundle(&number, "日志\"; x=.tar.gz", &bytes).await;
    let open = site.upload_open(&number, "open.tar.gz", b"not all").await;
    let path = format!("/api/v1/bundles/{id}/content");
    let whole =
        browser.request(Method::GET, &path).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(whole.status(), 200);
    let headers = whole.headers().clone();
    let digest = content_digest(&bytes);
    for (name, value) in [
        ("content-type", "application/octet-stream"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("accept-ranges", "bytes"),
        ("content-digest", digest.as_str()),
        ("repr-digest", digest.as_str()),
        (
            "content-disposition",
            "attachment; filename=\"____ x_.tar.gz\"; filename*=UTF-8''%E6%97%A5%E5%BF%97%22%3B%20x%3D.tar.gz",
        ),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(!headers.contains_key("content-encoding"), "the digest is of the bytes as they are");
    assert_eq!(whole.bytes().await.unwrap(), bytes);

    let part =
        browser.request(Method::GET, &path).header("range", "bytes=100-299").send().await.unwrap();
    assert_eq!(
        (part.status().as_u16(), &part.headers()["content-range"]),
        (206, &"bytes 100-299/800000".parse().unwrap())
    );
    assert_eq!(part.headers()["repr-digest"], digest.as_str());
    assert_eq!(part.bytes().await.unwrap(), bytes[100..300]);
    let stale =
        browser.request(Method::GET, &path).header("range", "bytes=5-").header("if-range", "\"x\"");
    assert_eq!(stale.send().await.unwrap().status(), 200);
    let outside =
        browser.request(Method::GET, &path).header("range", "bytes=800000-").send().await.unwrap();
    assert_eq!(outside.headers()["content-range"], "bytes */800000");
    assert_eq!(refusal(outside).await, (416, "no_such_range".into()));

    // Every reading is recorded, a refused one is none.
    let recorded = audit::latest(&site.db, None, &audit::Filter::about(&id), 10).await.unwrap();
    let recorded: Vec<_> = recorded.iter().map(|r| (r.what.as_str(), r.who.as_str())).collect();
    assert_eq!(recorded, [("bundle-read", "user:u-support_engineer"); 3]);

    // An open one has no content yet; a lost one says so and is marked.
    let of_open = browser.get(&format!("/api/v1/bundles/{open}/content")).await;
    assert_eq!(refusal(of_open).await, (404, "not_found".into()));
    std::fs::remove_file(site.dir.join("bundles").join(agent_hash("a-1")).join(&id)).unwrap();
    assert_eq!(refusal(browser.get(&path).await).await, (410, "file_missing".into()));
    let page: Value = browser.get(&format!("/api/v1/tickets/{number}")).await.json().await.unwrap();
    assert_eq!(page["bundles"][0]["missing"], true);
}

#[tokio::test]
async fn who_may_read() {
    let site = Site::start().await;
    let number = site.ticket("PSU 2 failed", "major").await;
    let id = site.bundle(&number, "a", b"content").await;
    let path = format!("/api/v1/bundles/{id}/content");
    assert_eq!(refusal(site.browser().get(&path).await).await, (401, "not_logged_in".into()));
    for role in Role::ALL {
        let browser = site.logged_in(role).await;
        let expected = if role == Role::Customer { 403 } else { 200 };
        assert_eq!(browser.get(&path).await.status(), expected, "{}", role.as_str());
    }
}
