//! Enrolment through the routes, on a database of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::body::Body;
use axum::http::Request;
use callhome_shared::time::Time;
use callhome_shared::tls::{self, Peer};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::enrol::authority::{Authority, Lives};
use crate::enrol::csr::tests::request;
use crate::enrol::files::{self, TrustFiles};
use crate::enrol::token;
use crate::enrol::visitor::Standing;
use crate::settings::{Database, Https, Mqtt, Settings};
use crate::store::{agents, certificates};

struct House {
    _dir: tempfile::TempDir,
    settings: Settings,
    db: Db,
    app: Router,
    ca: Arc<ArcSwap<Cas>>,
    enrolled: Arc<Notify>,
}

fn settings(data_dir: PathBuf) -> Settings {
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Settings {
        name: "main".into(),
        organisation: "Example".into(),
        log_filter: "info".into(),
        log_json: false,
        names: vec!["localhost".into()],
        database: Database::Sqlite { path: data_dir.join("callhome.db") },
        mqtt: Mqtt::Embedded { listen: address, limits: crate::broker::Limits::default() },
        mqtt_public_address: "mqtts://localhost:8883".into(),
        https: Https {
            listen: address,
            public_url: "https://localhost:8443".into(),
            places: crate::api::server::Limits::default().places,
            requests: crate::api::pace::RequestLimits::default(),
        },
        health_listen: None,
        certificates: Default::default(),
        bundles: Default::default(),
        oidc: None,
        notices: Default::default(),
        service: Default::default(),
        diagnosis: Default::default(),
        alertmanager: Default::default(),
        written: Default::default(),
        data_dir,
    }
}

impl House {
    async fn new() -> House {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path().join("data"));
        let trust = TrustFiles::new(&settings.data_dir);
        trust.make_dirs().unwrap();
        let ca = Authority::generate("Example", "CA").unwrap();
        let root = Authority::generate("Example", "root").unwrap();
        files::write_new(&trust.ca(), ca.pem().as_bytes(), 0o600).unwrap();
        files::write_new(&trust.ca_key(), ca.key_pem().unwrap().as_bytes(), 0o600).unwrap();
        let ca = Arc::new(ArcSwap::from_pointee(Cas::load(&trust, Lives::default()).unwrap()));
        files::write_new(&trust.root(), root.pem().as_bytes(), 0o600).unwrap();
        let db = Db::open(&settings.database).await.unwrap();
        let enrolled = Arc::new(Notify::new());
        let grace = settings.certificates.expired_grace;
        let app = routes(Est::new(db.clone(), ca.clone(), grace, enrolled.clone()));
        House { _dir: dir, settings, db, app, ca, enrolled }
    }

    async fn token(&self, agent: &str) -> String {
        let request = token::Request {
            agent: AgentId::new(agent).unwrap(),
            site: None,
            customer: None,
            valid_hours: 24,
            by: "test".into(),
        };
        token::issue(&self.db, &self.settings, request).await.unwrap().secret
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
        let answer = self.app.clone().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn enrol(&self, agent: &str, secret: &str, csr: &[u8]) -> (StatusCode, String) {
        let (status, _, body) = self.ask(enrol_request(agent, secret, csr, 1)).await;
        (status, body)
    }
}

fn enrol_request(agent: &str, secret: &str, csr: &[u8], source: u8) -> Request<Body> {
    let login = STANDARD.encode(format!("{agent}:{secret}"));
    let from: SocketAddr = ([192, 0, 2, source], 1).into();
    Request::post("/.well-known/est/simpleenroll")
        .header("authorization", format!("Basic {login}"))
        .header("content-type", "application/pkcs10")
        .extension(Source(from))
        .body(Body::from(STANDARD.encode(csr)))
        .unwrap()
}

/// The certificates that openssl reads out of an answer; `None` where there is no openssl.
fn openssl(base64: &str) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p7");
    std::fs::write(&path, format!("-----BEGIN PKCS7-----\n{base64}-----END PKCS7-----\n")).unwrap();
    let out = std::process::Command::new("openssl")
        .args(["pkcs7", "-print_certs", "-in"])
        .arg(&path)
        .output();
    let Ok(out) = out else {
        eprintln!("skipped: openssl is not installed");
        return None;
    };
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(out.stdout)
}

#[tokio::test]
async fn ca_certificates() {
    let house = House::new().await;
    let get = Request::get("/.well-known/est/cacerts").body(Body::empty()).unwrap();
    let (status, headers, body) = house.ask(get).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "application/pkcs7-mime");
    if let Some(pem) = openssl(&body) {
        assert_eq!(
            &tls::read_certificates(&pem).unwrap()[0],
            house.ca.load().issuing.certificate()
        );
    }
}

#[tokio::test]
async fn a_token_is_good_once() {
    let house = House::new().await;
    let secret = house.token("a").await;
    let csr = request("a", &["urn:callhome:agent:a"]);
    let (status, body) = house.enrol("a", &secret, &csr).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    if let Some(pem) = openssl(&body) {
        let leaf = tls::read_certificates(&pem).unwrap().remove(0);
        assert_eq!(tls::peer(&leaf).unwrap(), Peer::Agent(AgentId::new("a").unwrap()));
        let year = 365 * 24 * 3_600_000;
        let left = tls::not_after(&leaf).unwrap().since_ms(Time::now());
        assert!((year - 60_000..=year).contains(&left), "{left}");
        let kept = certificates::get(&house.db, &tls::serial(&leaf).unwrap()).await.unwrap();
        assert_eq!(kept.unwrap().fingerprint, tls::fingerprint(&leaf));
    }
    tokio::time::timeout(Duration::from_secs(1), house.enrolled.notified()).await.unwrap();
    let (status, body) = house.enrol("a", &secret, &csr).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(body.contains("used before"), "{body}");
}

#[tokio::test]
async fn of_many_at_once_one_gets_a_certificate() {
    let house = House::new().await;
    let secret = house.token("a").await;
    let csr = request("a", &[]);
    let tries = (0..8).map(|n| house.ask(enrol_request("a", &secret, &csr, n)));
    let mut answers = Vec::new();
    for answer in futures(tries).await {
        answers.push(answer.0);
    }
    assert_eq!(answers.iter().filter(|s| **s == StatusCode::OK).count(), 1, "{answers:?}");
    let kept = certificates::of_agent(&house.db, "a").await.unwrap();
    assert_eq!(kept.len(), 1);
}

/// All of them, polled together.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = all.map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in &mut pending {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *done = Some(value);
            }
        }
        if pending.iter().all(|(_, done)| done.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    pending.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test]
async fn what_is_refused_leaves_the_token_good() {
    let house = House::new().await;
    let secret = house.token("a").await;
    house.token("b").await;
    let good = request("a", &[]);
    for (agent, password, csr, wanted) in [
        ("b", secret.as_str(), request("b", &[]), StatusCode::UNAUTHORIZED),
        ("a", "wrong", good.clone(), StatusCode::UNAUTHORIZED),
        ("a/b", secret.as_str(), good.clone(), StatusCode::UNAUTHORIZED),
        ("a", secret.as_str(), request("b", &[]), StatusCode::FORBIDDEN),
        (
            "a",
            secret.as_str(),
            request("a", &["urn:callhome:collector:main"]),
            StatusCode::FORBIDDEN,
        ),
        ("a", secret.as_str(), b"nonsense".to_vec(), StatusCode::BAD_REQUEST),
        ("a", secret.as_str(), Vec::new(), StatusCode::BAD_REQUEST),
    ] {
        let (status, body) = house.enrol(agent, password, &csr).await;
        assert_eq!(status, wanted, "{agent} {body}");
        assert!(!body.contains(&secret));
    }
    let (status, body) = house.enrol("a", &secret, &good).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

#[tokio::test]
async fn expired_and_revoked() {
    let house = House::new().await;
    let secret = house.token("a").await;
    let sql = "UPDATE enrol_tokens SET expires_at = 1000";
    house.db.execute(sql, Vec::new()).await.unwrap();
    let (status, body) = house.enrol("a", &secret, &request("a", &[])).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(body.contains("expired"), "{body}");

    let secret = house.token("b").await;
    let sql = "UPDATE agents SET revoked_at = 1000 WHERE id = 'b'";
    house.db.execute(sql, Vec::new()).await.unwrap();
    let (status, body) = house.enrol("b", &secret, &request("b", &[])).await;
    assert_eq!((status, body.contains("revoked")), (StatusCode::FORBIDDEN, true), "{body}");
    agents::revoke_alone(&house.db, "a", Time::now()).await.unwrap();
    let again = token::Request {
        agent: AgentId::new("a").unwrap(),
        site: None,
        customer: None,
        valid_hours: 1,
        by: "test".into(),
    };
    let refused = token::issue(&house.db, &house.settings, again).await;
    assert!(matches!(refused, Err(token::TokenError::Revoked(_))));
    let own_name = token::Request {
        agent: AgentId::new("main").unwrap(),
        site: None,
        customer: None,
        valid_hours: 1,
        by: "test".into(),
    };
    let refused = token::issue(&house.db, &house.settings, own_name).await;
    assert!(matches!(refused, Err(token::TokenError::CollectorsName(_))));
}

fn renew_request(visitor: Option<Visitor>, csr: &[u8]) -> Request<Body> {
    let mut request = Request::post("/.well-known/est/simplereenroll")
        .header("content-type", "application/pkcs10")
        .body(Body::from(STANDARD.encode(csr)))
        .unwrap();
    if let Some(visitor) = visitor {
        request.extensions_mut().insert(visitor);
    }
    request
}

fn visitor(serial: &str, standing: Standing) -> Visitor {
    Visitor { agent: AgentId::new("a").unwrap(), serial: serial.into(), standing }
}

#[tokio::test]
async fn a_certificate_is_renewed_with_itself() {
    let house = House::new().await;
    let secret = house.token("a").await;
    assert_eq!(house.enrol("a", &secret, &request("a", &[])).await.0, StatusCode::OK);
    let serial = certificates::of_agent(&house.db, "a").await.unwrap().remove(0).serial;
    let ago = |days: i64| Standing::Expired(Time::now().plus_ms(-days * 24 * 3_600_000));
    let good = request("a", &["urn:callhome:agent:a"]);
    for (shown, csr, wanted, words) in [
        (None, &good, StatusCode::FORBIDDEN, "show the certificate"),
        (Some(visitor("ff", Standing::Valid)), &good, StatusCode::FORBIDDEN, "not issued by"),
        (Some(visitor(&serial, ago(366))), &good, StatusCode::FORBIDDEN, "too long ago"),
        (
            Some(visitor(&serial, Standing::Valid)),
            &request("b", &[]),
            StatusCode::FORBIDDEN,
            "not CN=a",
        ),
    ] {
        let (status, _, body) = house.ask(renew_request(shown, csr)).await;
        assert_eq!(status, wanted, "{body}");
        assert!(body.contains(words), "{words}: {body}");
    }
    for standing in [Standing::Valid, ago(364)] {
        let (status, _, body) =
            house.ask(renew_request(Some(visitor(&serial, standing)), &good)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    let all = certificates::of_agent(&house.db, "a").await.unwrap();
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|c| c.superseded_at.is_none()), "none of them was used yet");
    agents::revoke_alone(&house.db, "a", Time::now()).await.unwrap();
    let shown = Some(visitor(&serial, Standing::Valid));
    let (status, _, body) = house.ask(renew_request(shown, &good)).await;
    assert_eq!((status, body.contains("revoked")), (StatusCode::FORBIDDEN, true), "{body}");

    let words = |row: crate::audit::Row| row.what;
    let recorded: Vec<String> =
        audit::after(&house.db, 0, 100).await.unwrap().into_iter().map(words).collect();
    let refused = "renewal-refused";
    let wanted =
        ["token-made", "enrolled", refused, refused, refused, "renewed", "renewed", refused];
    assert_eq!(recorded, wanted);
}

#[tokio::test]
async fn what_an_agent_trusts_is_noted() {
    let house = House::new().await;
    house.token("a").await;
    let digest = house.ca.load().digest();
    for (told, kept) in [("sha256:xyz", None), (digest.as_str(), Some(digest.clone()))] {
        let mut get = Request::get("/.well-known/est/cacerts").body(Body::empty()).unwrap();
        get.headers_mut().insert(tls::ROOTS_HEADER, told.parse().unwrap());
        get.extensions_mut().insert(visitor("0a", Standing::Valid));
        assert_eq!(house.ask(get).await.0, StatusCode::OK);
        assert_eq!(agents::get(&house.db, "a").await.unwrap().unwrap().roots, kept);
    }
}

#[tokio::test]
async fn a_collector_without_its_cas_key_says_so() {
    let house = House::new().await;
    let secret = house.token("a").await;
    let bare = Authority::verifying(house.ca.load().issuing.pem().as_bytes()).unwrap();
    let cas = Cas { issuing: bare, next: None, former: None, crossed: false };
    house.ca.store(Arc::new(cas));
    let (status, body) = house.enrol("a", &secret, &request("a", &[])).await;
    assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
    assert!(body.contains("issues none"), "{body}");
}

#[tokio::test]
async fn too_many_tries() {
    let house = House::new().await;
    for _ in 0..10 {
        assert_eq!(house.enrol("a", "x", b"x").await.0, StatusCode::UNAUTHORIZED);
    }
    let (status, headers, body) = house.ask(enrol_request("a", "x", b"x", 1)).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert!(headers.contains_key("retry-after") && body.contains("try again in"), "{body}");
    let other = house.ask(enrol_request("a", "x", b"x", 2)).await;
    assert_eq!(other.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_a_log_in_or_with_a_large_body() {
    let house = House::new().await;
    let post = || Request::post("/.well-known/est/simpleenroll");
    let (status, headers, _) = house.ask(post().body(Body::from("x")).unwrap()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(headers.contains_key("www-authenticate"));
    let large = post().body(Body::from("x".repeat(64 * 1024))).unwrap();
    assert_eq!(house.ask(large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

proptest::proptest! {
    #[test]
    fn no_request_panics(header in ".{0,60}", user in ".{0,20}", secret in ".{0,20}", body: Vec<u8>, text in "[A-Za-z0-9+/=\n]{0,200}") {
        let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")));
        for value in [header, basic] {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(header::AUTHORIZATION, value);
                if let Some((agent, _)) = credentials(&headers) {
                    proptest::prop_assert!(AgentId::new(agent.as_str()).is_ok());
                }
            }
        }
        let a = AgentId::new("a").unwrap();
        for body in [&body[..], text.as_bytes()] {
            if let Some(der) = decode(body) {
                let _ = crate::enrol::csr::public_key(&der, &a);
            }
        }
    }
}
