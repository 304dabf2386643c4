//! The door, with certificates that are good, ended, revoked, unknown.

use std::collections::HashSet;

use axum::body::Body;
use axum::routing::any;
use http_body_util::BodyExt as _;
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use tokio::sync::{Notify, mpsc, watch};
use tower::ServiceExt as _;

use super::*;
use crate::broker::Roster;
use crate::settings::Database;
use crate::store::certificates::Certificate;

struct House {
    _dir: tempfile::TempDir,
    db: Db,
    app: Router,
    used: mpsc::Receiver<String>,
}

async fn seen(visitor: Option<axum::Extension<Visitor>>) -> String {
    visitor.map_or("nobody".into(), |v| format!("{} {:?}", v.agent, v.standing))
}

impl House {
    async fn new() -> House {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&Database::Sqlite { path: dir.path().join("db") }).await.unwrap();
        agents::create_alone(&db, "a", None, None, Time(1)).await.unwrap();
        let roster = Roster {
            agents: [AgentId::new("a").unwrap()].into(),
            revoked: HashSet::from(["0bad".to_owned()]),
            ..Roster::default()
        };
        let (_keep, newest) = watch::channel(Arc::new(roster));
        let (uses, used) = mpsc::channel(8);
        let doorkeeper = Doorkeeper {
            db: db.clone(),
            roster: RosterReader { newest, refresh: Arc::new(Notify::new()), used: uses },
            grace: Duration::from_secs(86_400),
            superseded_grace: Duration::from_secs(3600),
            metrics: Arc::new(Metrics::new()),
        };
        let app = Router::new().fallback(any(seen));
        House { _dir: dir, db, app: guard(app, Arc::new(doorkeeper)), used }
    }

    async fn ask(&self, path: &str, leaf: Option<&CertificateDer<'static>>) -> (u16, String) {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        if let Some(leaf) = leaf {
            let chain = ClientCertificates(Arc::new([leaf.clone()]));
            request.extensions_mut().insert(chain);
        }
        let answer = self.app.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Keeps a certificate as issued; it ended so long ago.
    async fn issued(&self, leaf: &CertificateDer<'_>) -> String {
        let serial = tls::serial(leaf).unwrap();
        let mut tx = self.db.begin().await.unwrap();
        let row = Certificate {
            serial: serial.clone(),
            agent_id: "a".into(),
            fingerprint: "sha256:00".into(),
            not_after: tls::not_after(leaf).unwrap(),
            ..Certificate::default()
        };
        certificates::insert(&mut tx, &row).await.unwrap();
        tx.commit().await.unwrap();
        serial
    }
}

/// A certificate of `name` that ends so many seconds from now.
fn leaf(name: &str, ends_in_s: i64, serial: &[u8]) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let uri = format!("urn:callhome:agent:{name}");
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params.serial_number = Some(serial.to_vec().into());
    let now = std::time::SystemTime::now();
    let by = Duration::from_secs(ends_in_s.unsigned_abs());
    params.not_before = (now - Duration::from_secs(864_000)).into();
    params.not_after = if ends_in_s < 0 { now - by } else { now + by }.into();
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

#[tokio::test]
async fn the_good_pass_and_are_noted_the_revoked_and_unknown_do_not() {
    let mut house = House::new().await;
    assert_eq!(house.ask("/x", None).await, (200, "nobody".into()));
    let good = leaf("a", 3600, &[0x0a]);
    assert_eq!(house.ask("/x", Some(&good)).await, (200, "a Valid".into()));
    assert_eq!(house.used.recv().await.unwrap(), "0a");
    for refused in [leaf("b", 3600, &[0x0b]), leaf("a", 3600, &[0x0b, 0xad])] {
        let (status, body) = house.ask("/x", Some(&refused)).await;
        assert!(status == 403 && body.contains("agent_refused"), "{body}");
    }
}

#[tokio::test]
async fn an_ended_one_may_renew_and_bring_alarms_and_is_told_what_else_it_may_not() {
    let house = House::new().await;
    let ended = leaf("a", -600, &[0x0c]);
    let (status, body) = house.ask("/.well-known/est/simplereenroll", Some(&ended)).await;
    assert!(status == 403 && body.contains("not issued by this collector"), "{body}");
    let serial = house.issued(&ended).await;
    for path in EXPIRED_MAY {
        let (status, body) = house.ask(path, Some(&ended)).await;
        assert!(status == 200 && body.starts_with("a Expired"), "{path}: {body}");
    }
    for path in ["/", "/mqtt", "/api/v1/tickets", "/callhome/v1/events/x", "/.well-known/est/"] {
        let (status, body) = house.ask(path, Some(&ended)).await;
        assert!(status == 403 && body.contains("certificate_expired"), "{path}: {body}");
    }
    let kept = certificates::get(&house.db, &serial).await.unwrap().unwrap();
    assert!(kept.quarantined_at.is_some());
    let recorded = audit::after(&house.db, 0, 10).await.unwrap();
    assert_eq!(recorded.len(), 1, "the entry once: {recorded:?}");
    assert_eq!(recorded[0].what, "quarantined");

    let long_ago = leaf("a", -2 * 86_400, &[0x0d]);
    house.issued(&long_ago).await;
    let (status, body) = house.ask("/.well-known/est/simplereenroll", Some(&long_ago)).await;
    assert!(status == 403 && body.contains("too long ago"), "{body}");
    agents::revoke_alone(&house.db, "a", Time::now()).await.unwrap();
    let (status, body) = house.ask("/callhome/v1/events", Some(&ended)).await;
    assert!(status == 403 && body.contains("revoked"), "{body}");
}
