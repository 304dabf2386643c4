//! A collector's HTTPS side on a port of its own, with users and tickets to look at.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use callhome_shared::alarm::{Device, Evidence, Message, RuleRef};
use callhome_shared::envelope::Loss;
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use callhome_shared::tls::{self, ClientAuth, Identity};
use reqwest::{Method, RequestBuilder, Response};
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::Scope;
use crate::alertmanager::Mapping;
use crate::api::alertmanager::Alerts;
use crate::api::pace::RequestLimits;
use crate::api::rights::Role;
use crate::api::server::{self, Drained, Limits, Server};
use crate::api::{Api, routes};
use crate::bundle::{self, Bundles};
use crate::flow::Event;
use crate::flow::access::{self, Wish};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::settings::Database;
use crate::store::alarms::AlarmRow;
use crate::store::cases::CaseRow;
use crate::store::evidence::EvidenceRow;
use crate::store::losses::LossRow;
use crate::store::rejects::RejectRow;
use crate::store::streams::{Stream, StreamKey};
use crate::store::tickets::TicketRow;
use crate::store::users::User;
use crate::store::{
    Db, agents, alarms, cases, devices, evidence, losses, rejects, streams, tickets, timeline,
    users,
};

pub(super) const PASSWORD: &str = "correct horse battery";

/// The server and what a test wants to reach behind it.
pub(super) struct Site {
    pub address: SocketAddr,
    pub db: Db,
    pub events: broadcast::Sender<Event>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub api: Arc<Api>,
    pub tls: Arc<ArcSwap<ServerConfig>>,
    pub root: CertificateDer<'static>,
    /// The agents' way in for bundles, without its door.
    pub uploads: Router,
    pub dir: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<Drained>>,
    _dir: TempDir,
}

/// Somebody's browser.
pub(super) struct Browser {
    client: reqwest::Client,
    base: String,
    pub cookie: String,
    pub csrf: String,
}

impl Site {
    pub(super) async fn start() -> Site {
        Site::with(Limits::default(), 256).await
    }

    pub(super) async fn with(limits: Limits, events: usize) -> Site {
        Site::paced(limits, events, RequestLimits::default()).await
    }

    pub(super) async fn paced(limits: Limits, events: usize, requests: RequestLimits) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::Sqlite { path: dir.path().join("callhome.db") };
        let db = Db::open(&database).await.unwrap();
        crate::flow::clocks::stock(&db, Time::now()).await.unwrap();
        let (events, _) = broadcast::channel(events);
        let (metrics, health) = (Arc::new(Metrics::new()), Arc::new(Health::default()));
        let api = Api::new(db.clone(), events.clone(), metrics.clone(), health.clone(), requests);
        tokio::spawn(api.verifier().run(CancellationToken::new()));
        let desk = bundles(&db, &events, &metrics, dir.path());
        api.read_bundles(desk.clone());
        api.take_alerts(Alerts { diagnosis: Arc::default(), mapping: Mapping::default() });
        let uploads = bundle::routes(desk);
        let (root, config) = certificate();
        let tls = Arc::new(ArcSwap::from_pointee(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = Server {
            tls: tls.clone(),
            app: routes::app(api.clone(), Router::new()),
            limits,
            metrics: metrics.clone(),
            pulse: health.watch("https", Duration::from_secs(15)),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(server::serve(listener, served, async {
            let _ = stopped.await;
        }));
        let (stop, server) = (Some(stop), Some(server));
        Site {
            address,
            db,
            events,
            metrics,
            health,
            api,
            tls,
            root,
            uploads,
            dir: dir.path().to_owned(),
            stop,
            server,
            _dir: dir,
        }
    }

    /// Ends the server as a signal would.
    pub(super) fn stop(&mut self) -> JoinHandle<Drained> {
        let _ = self.stop.take().unwrap().send(());
        self.server.take().unwrap()
    }

    pub(super) async fn user(&self, name: &str, role: &str) {
        self.user_with(name, role, false).await;
    }

    pub(super) async fn user_with(&self, name: &str, role: &str, must_change: bool) {
        // Hashed once: argon2 is slow on purpose.
        static HASH: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
        let hash = HASH
            .get_or_init(|| async {
                crate::password::hash_password(PASSWORD.to_owned().into()).await.unwrap()
            })
            .await;
        let user = User {
            name: name.to_owned(),
            display_name: format!("{name} 王"),
            role: role.to_owned(),
            password_hash: hash.clone(),
            must_change,
            language: "zh-CN".to_owned(),
            created_at: Time::now(),
            disabled_at: None,
        };
        assert!(users::insert_alone(&self.db, &user).await.unwrap());
    }

    /// The text of a new token.
    pub(super) async fn token(&self, owner: &str, scopes: &[Scope]) -> String {
        let wish = Wish {
            name: "tests".to_owned(),
            scopes: scopes.to_vec(),
            owner: owner.to_owned(),
            sites: Vec::new(),
            valid_days: 1,
            by: "cli:tests".to_owned(),
        };
        let (_, text) = access::issue(&self.db, wish, Time::now()).await.unwrap();
        text.to_string()
    }

    /// A browser where nobody is logged in.
    pub(super) fn browser(&self) -> Browser {
        let tls = tls::client_config(std::slice::from_ref(&self.root), None).unwrap();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .resolve("localhost", self.address)
            .build()
            .unwrap();
        let base = format!("https://localhost:{}", self.address.port());
        Browser { client, base, cookie: String::new(), csrf: String::new() }
    }

    /// A browser where a new user of this role is logged in.
    pub(super) async fn logged_in(&self, role: Role) -> Browser {
        let name = format!("u-{}", role.as_str());
        self.user(&name, role.as_str()).await;
        let mut browser = self.browser();
        assert_eq!(browser.log_in(&name, PASSWORD).await.status(), 200);
        browser
    }

    /// A ticket with an alarm, evidence and a timeline. Its number.
    pub(super) async fn ticket(&self, text: &str, severity: &str) -> String {
        let mut tx = self.db.begin().await.unwrap();
        let ordinal = tickets::take_ordinals(&mut tx, 1).await.unwrap();
        let alarm = alarm(ordinal, text, severity);
        let ticket = ticket(ordinal, text, severity);
        let case = CaseRow {
            id: new_uuid().to_string(),
            identity: alarm.identity.clone(),
            ticket_id: ticket.id.clone(),
            opened_at: ticket.opened_at,
            closed_at: None,
            consequence: false,
        };
        let shown = Evidence {
            kind: "log".into(),
            origin: "/var/log/messages".into(),
            at: ticket.opened_at,
            text: format!("kernel: {text}"),
            truncated: false,
        };
        let shown = EvidenceRow {
            id: format!("{}/0", new_uuid()),
            agent_id: alarm.agent_id.clone(),
            alarm_id: alarm.alarm_id.clone(),
            evidence: shown,
        };
        let entry = timeline::Entry {
            id: new_uuid().to_string(),
            ticket_id: ticket.id.clone(),
            at: ticket.opened_at,
            who: "agent:a-1".into(),
            what: "opened".into(),
            detail: json!({ "alarm_id": alarm.alarm_id }).to_string(),
        };
        let attached = [(alarm.alarm_id.clone(), case.id.clone(), ticket.opened_at, false)];
        devices::note(&mut tx, &[("a-1".into(), device(), ticket.opened_at)]).await.unwrap();
        alarms::save(&mut tx, &[alarm]).await.unwrap();
        tickets::save(&mut tx, std::slice::from_ref(&ticket)).await.unwrap();
        crate::flow::search::opened(&mut tx, &[&ticket]).await.unwrap();
        cases::insert_all(&mut tx, &[case]).await.unwrap();
        cases::attach(&mut tx, &attached).await.unwrap();
        evidence::insert_all(&mut tx, &[shown]).await.unwrap();
        timeline::insert_all(&mut tx, &[entry]).await.unwrap();
        tx.commit().await.unwrap();
        ticket.number
    }

    /// An agent with a heartbeat, a loss, a reject and a stream.
    pub(super) async fn agent(&self, id: &str) {
        let now = Time::now();
        agents::create_alone(&self.db, id, Some("SH-01"), Some("客户"), now).await.unwrap();
        let mut tx = self.db.begin().await.unwrap();
        let heartbeat = json!({ "online": true, "at": now, "sources": [] }).to_string();
        let sign = agents::Sign {
            id: id.to_owned(),
            online: true,
            at: now,
            heartbeat: Some(heartbeat),
            version: Some("0.1.0".into()),
            site: None,
            customer: None,
        };
        agents::note_sign(&mut tx, sign).await.unwrap();
        let loss = Loss {
            source: "console".into(),
            from: now.plus_ms(-1000),
            to: now,
            reason: "restart".into(),
            count: Some(3),
        };
        let loss =
            LossRow { id: new_uuid().to_string(), agent_id: id.to_owned(), loss, received_at: now };
        losses::insert_all(&mut tx, &[loss]).await.unwrap();
        let reject = RejectRow {
            id: new_uuid().to_string(),
            agent_id: id.to_owned(),
            epoch: None,
            lane: Some("alarm".into()),
            seq: Some(7),
            envelope_id: None,
            reason: "malformed".into(),
            text: "no JSON".into(),
            payload: Some("x".into()),
            received_at: now,
        };
        rejects::insert_all(&mut tx, &[reject]).await.unwrap();
        let key = StreamKey {
            agent_id: id.to_owned(),
            epoch: new_uuid().to_string(),
            lane: "alarm".into(),
        };
        streams::save(
            &mut tx,
            &[Stream {
                key,
                acked_seq: 12,
                highest_seq: 12,
                rejected: 0,
                missing: 0,
                updated_at: now,
            }],
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }
}

impl Browser {
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if !self.cookie.is_empty() {
            request = request.header("cookie", format!("callhome_session={}", self.cookie));
        }
        if !self.csrf.is_empty() {
            request = request.header("x-csrf-token", &self.csrf);
        }
        request
    }

    pub(super) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Response {
        self.request(Method::POST, path).json(&body).send().await.unwrap()
    }

    /// Logs in and keeps what the answer gives.
    pub(super) async fn log_in(&mut self, name: &str, password: &str) -> Response {
        let response =
            self.post("/api/v1/login", json!({ "name": name, "password": password })).await;
        if response.status() != 200 {
            return response;
        }
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        for part in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let value = cookie.strip_prefix("callhome_session=").unwrap();
        self.cookie = value.split(';').next().unwrap().to_owned();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        self.csrf = body["csrf"].as_str().unwrap().to_owned();
        axum::http::Response::builder().status(status).body(body.to_string()).unwrap().into()
    }
}

fn bundles(
    db: &Db,
    events: &broadcast::Sender<Event>,
    metrics: &Arc<Metrics>,
    dir: &Path,
) -> Bundles {
    let settings = crate::settings::Bundles {
        dir: dir.join("bundles"),
        shared: false,
        max_bytes: 1 << 20,
        agent_bytes: 1 << 20,
        total_bytes: 1 << 20,
        keep_free_bytes: 0,
        open_per_agent: 4,
        idle: Duration::from_secs(3600),
        keep: Duration::from_secs(3600),
        bytes_per_second: 1 << 20,
    };
    Bundles::open(db.clone(), settings, "main", events.clone(), metrics.clone())
}

/// A new self-signed certificate for `localhost`, and a server that shows it.
pub(super) fn certificate() -> (CertificateDer<'static>, ServerConfig) {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let root = key.cert.der().clone();
    let identity =
        Identity::from_pem(key.cert.pem().as_bytes(), key.signing_key.serialize_pem().as_bytes());
    (root, server::tls_config(identity.unwrap(), ClientAuth::None).unwrap())
}

/// Status and error code of a refusal.
pub(super) async fn refusal(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    assert!(body["error"]["message"].is_string(), "{body}");
    (status, body["error"]["code"].as_str().unwrap().to_owned())
}

fn device() -> Device {
    Device {
        id: "210235".into(),
        name: "array-1".into(),
        serial: Some("210235".into()),
        vendor: Some("Inspur".into()),
        ..Device::default()
    }
}

fn message() -> Message {
    let arguments = [("resource".to_owned(), "PSU 2".to_owned())].into();
    Message { key: "pattern.matched".into(), arguments }
}

fn alarm(ordinal: i64, text: &str, severity: &str) -> AlarmRow {
    let now = Time::now();
    AlarmRow {
        alarm_id: new_uuid().to_string(),
        agent_id: "a-1".into(),
        device_id: "210235".into(),
        identity: format!("identity-{ordinal}"),
        resource: "PSU 2".into(),
        kind: "psu-failed".into(),
        qualifier: String::new(),
        severity: severity.to_owned(),
        active: true,
        fault_code: None,
        message: message(),
        text: text.to_owned(),
        rule: RuleRef { pack: "config".into(), version: "1".into(), id: "psu".into() },
        proposed_repair: Some("更换电源".into()),
        raised_at: now,
        changed_at: now,
        cleared_at: None,
        test: false,
        shadow: false,
        flapping: false,
        own: false,
        last_epoch: new_uuid().to_string(),
        last_seq: ordinal,
        last_at: now,
    }
}

fn ticket(ordinal: i64, text: &str, severity: &str) -> TicketRow {
    let now = Time::now();
    TicketRow {
        id: new_uuid().to_string(),
        ordinal,
        number: tickets::number(ordinal),
        state: "recorded".into(),
        priority: "p2".into(),
        severity: severity.to_owned(),
        title: message(),
        text: text.to_owned(),
        agent_id: "a-1".into(),
        device_id: "210235".into(),
        device_name: "array-1".into(),
        resource: "PSU 2".into(),
        kind: "psu-failed".into(),
        site: Some("上海一号机房".into()),
        customer: None,
        contract: None,
        fault_code: None,
        proposed_repair: Some("更换电源".into()),
        assignee: None,
        opened_at: now,
        updated_at: now,
        condition_cleared_at: None,
        resolved_at: None,
        closed_at: None,
        recurrences: 0,
        test: false,
        shadow: false,
        service: Default::default(),
        version: 1,
    }
}
