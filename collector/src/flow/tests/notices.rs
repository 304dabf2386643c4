//! Notices, to real receivers: a mail server with STARTTLS and a password, HTTP servers.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use serde_json::{Value, json};

use super::World;
use super::agent::Agent;
use super::duty::{fault, house};
use crate::flow::duty::actions::{self, By, Details};
use crate::flow::notices::{Courier, choices, round, seed};
use crate::flow::tickets::{Action, desk};
use crate::notice::{Choices, Event, Kind, Outlet, Quiet};
use crate::settings::{MailServer, MailTls, Notices, OutletAddress, Secret};
use crate::store::notices::{self as rows, NoticeRow};
use crate::store::{self, Db};

const MIN: i64 = 60_000;
const PYTHON: &str = "/usr/bin/python3";

/// A mail server.
struct MailBox {
    child: Child,
    lines: Receiver<Value>,
    port: u16,
    dir: tempfile::TempDir,
    ca: Option<String>,
}

impl MailBox {
    /// `None`: it is not installed.
    fn start(tls: bool) -> Option<Self> {
        let there =
            Command::new(PYTHON).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: python3-aiosmtpd is not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let (mut pem, mut ca) = (String::new(), None);
        if tls {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
            let file = dir.path().join("server.pem");
            std::fs::write(&file, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
            (pem, ca) = (file.display().to_string(), Some(made.cert.pem()));
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/flow/tests/receiver.py");
        let mut child = Command::new(PYTHON)
            .arg(script)
            .arg(pem)
            .arg(dir.path().join("busy"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).expect("the mail server's port");
        let port = u16::try_from(said["port"].as_u64().unwrap()).unwrap();
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if tell.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        Some(MailBox { child, lines, port, dir, ca })
    }

    fn settings(&self) -> MailServer {
        let login =
            self.ca.as_ref().map(|_| ("collector".to_owned(), Secret::new("pass word".to_owned())));
        MailServer {
            host: if self.ca.is_some() { "localhost" } else { "127.0.0.1" }.to_owned(),
            port: self.port,
            tls: if self.ca.is_some() { MailTls::StartTls } else { MailTls::Plain },
            from: "callhome@example.com".to_owned(),
            login,
            ca: self.ca.clone(),
        }
    }

    /// The next mail: the server tells us before it tells the sender.
    fn next(&self) -> Value {
        self.lines.recv_timeout(Duration::from_secs(60)).expect("a mail")
    }
}

impl Drop for MailBox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came to a receiver: query, headers, body.
type Letters = Arc<Mutex<Vec<(String, HeaderMap, String)>>>;

/// An HTTP server that keeps what comes and answers that.
async fn receiver(status: u16, answer: &'static str) -> (String, Letters) {
    let letters = Letters::default();
    let status = StatusCode::from_u16(status).unwrap();
    let take =
        async move |State(kept): State<Letters>, uri: Uri, headers: HeaderMap, body: String| {
            let query = uri.query().unwrap_or_default().to_owned();
            kept.lock().unwrap().push((query, headers, body));
            (status, answer)
        };
    let app = Router::new().fallback(take).with_state(letters.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?key=k", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, letters)
}

fn outlet(name: &str, kind: Kind, url: &str, events: &[Event]) -> OutletAddress {
    let events = events.iter().map(|event| event.as_str().to_owned()).collect();
    let signed = kind != Kind::Wecom;
    OutletAddress {
        outlet: Outlet {
            name: name.to_owned(),
            kind,
            language: "en".to_owned(),
            events,
            quiet: None,
        },
        url: Secret::new(url.to_owned()),
        secret: signed.then(|| Secret::new("s3cret".to_owned())),
        per_minute: 20,
    }
}

fn settings(mail: Option<MailServer>, outlets: Vec<OutletAddress>) -> Notices {
    Notices { mail, outlets, base: "https://centre.example:8443".to_owned() }
}

async fn address(world: &World, name: &str) {
    let details = Details {
        mail: format!("{name}@example.com"),
        phone: "13800000000".into(),
        ..Details::default()
    };
    let by = By { user: "boss", for_others: true, at: Time::now() };
    actions::put_person(&world.db, name, 0, &details, by).await.unwrap();
}

async fn all(db: &Db) -> Vec<NoticeRow> {
    let mut all = rows::list(db, "", i64::MAX, 10_000).await.unwrap();
    all.sort_by(|a, b| (a.created_at, &a.event, &a.lane).cmp(&(b.created_at, &b.event, &b.lane)));
    all
}

async fn states(db: &Db) -> Vec<(String, String, String)> {
    all(db).await.into_iter().map(|n| (n.event, n.recipient, n.state)).collect()
}

fn row(event: &str, recipient: &str, state: &str) -> (String, String, String) {
    (event.to_owned(), recipient.to_owned(), state.to_owned())
}

/// HMAC-SHA-256 as Python reckons it: another hand than ours.
fn mac(key: &str, text: &str, form: &str) -> String {
    let code = "import sys,hmac,base64;m=hmac.new(sys.argv[1].encode(),sys.argv[2].encode(),'sha256').digest();\
                print(m.hex() if sys.argv[3]=='hex' else base64.b64encode(m).decode(),end='')";
    let out = Command::new(PYTHON).args(["-c", code, key, text, form]).output().unwrap();
    assert!(out.status.success());
    String::from_utf8(out.stdout).unwrap()
}

pub(super) async fn what_is_told_is_written_with_it(world: World) {
    house(&world).await;
    // Nothing is configured: nothing is written.
    fault(&world, Severity::Critical).await;
    assert_eq!(all(&world.db).await, []);
    let everything = Event::ALL;
    let ops = outlet("ops", Kind::Webhook, "http://127.0.0.1:9/", &everything);
    let mail = MailServer {
        host: "127.0.0.1".into(),
        port: 9,
        tls: MailTls::Plain,
        from: "c@example.com".into(),
        login: None,
        ca: None,
    };
    seed(&world.db, &settings(Some(mail), vec![ops]).plan()).await.unwrap();
    address(&world, "wang").await;
    let mut agent = Agent::new("a-2");
    world.feed([agent.raise_at("PSU 1", Severity::Critical).1]).await;
    // Who is called is not told twice that it is his; the receiver hears all of it.
    let expected = [
        row("assigned", "ops", "waiting"),
        row("called", "wang", "waiting"),
        row("called", "ops", "waiting"),
        row("opened", "ops", "waiting"),
    ];
    assert_eq!(states(&world.db).await, expected);
    // Another life of the same fault is no new ticket.
    world.feed([agent.raise_at("PSU 1", Severity::Critical).1]).await;
    let ticket = world.tickets().await.pop().unwrap();
    let told = async |what: &'static str| {
        all(&world.db).await.into_iter().filter(|n| n.event == what).collect::<Vec<_>>()
    };
    // A major incident goes to the managers, who has no address is told so.
    let number = ticket.number.clone();
    let action = Action { user: "li", number: &number, at: Time::now() };
    let major = desk::Change { major: Some(true), ..Default::default() };
    desk::change(&world.db, &world.events, action, ticket.version, major).await.unwrap();
    let major = told("major").await;
    let boss = major.iter().find(|n| n.recipient == "boss").unwrap();
    assert_eq!(
        (boss.state.as_str(), boss.result.as_str()),
        ("dropped", "no e-mail address is known")
    );
    assert!(boss.urgent);
    let facts: Value = serde_json::from_str(&boss.facts).unwrap();
    assert_eq!(
        (&facts["number"], &facts["device"], &facts["major"]),
        (&json!(number), &json!("array-1"), &json!(true))
    );
}

pub(super) async fn mail_goes_and_is_tried_again(world: World) {
    let Some(server) = MailBox::start(true) else { return };
    house(&world).await;
    let settings = settings(Some(server.settings()), vec![]);
    seed(&world.db, &settings.plan()).await.unwrap();
    address(&world, "li").await;
    let courier = Courier::new(&settings).unwrap();
    std::fs::write(server.dir.path().join("busy"), "").unwrap();
    fault(&world, Severity::Critical).await;
    let now = Time::now();
    assert_eq!(round(&world.db, &courier, &world.metrics, now).await.unwrap(), 0);
    let one = all(&world.db).await.remove(0);
    assert_eq!((one.state.as_str(), one.attempts), ("waiting", 1));
    assert!(one.result.contains("try again later"), "{}", one.result);
    assert_eq!(one.next_at, now.plus_ms(10_000));
    assert_eq!(round(&world.db, &courier, &world.metrics, now.plus_ms(9_000)).await.unwrap(), 0);
    assert_eq!(all(&world.db).await[0].attempts, 1, "not yet");
    std::fs::remove_file(server.dir.path().join("busy")).unwrap();
    assert_eq!(round(&world.db, &courier, &world.metrics, now.plus_ms(10_000)).await.unwrap(), 1);
    let one = all(&world.db).await.remove(0);
    assert_eq!((one.state.as_str(), one.attempts), ("sent", 2));
    let mut tx = world.db.begin().await.unwrap();
    let attempts = rows::attempts(&mut tx, std::slice::from_ref(&one.id)).await.unwrap();
    drop(tx);
    assert_eq!(attempts.iter().map(|a| a.ok).collect::<Vec<_>>(), [false, true]);
    let mail = server.next();
    assert_eq!((&mail["tls"], &mail["user"]), (&json!(true), &json!("collector")));
    assert_eq!(
        (&mail["to"], &mail["automatic"]),
        (&json!(["li@example.com"]), &json!("auto-generated"))
    );
    assert_eq!(mail["subject"], "[T-000001 P1] Call for li – array-1");
    assert_eq!(mail["id"], format!("<{}@example.com>", one.id));
    let text = mail["text"].as_str().unwrap();
    assert!(text.contains("https://centre.example:8443/tickets/T-000001"), "{text}");
    assert!(text.contains("PSU 1 failed \u{7535}\u{6e90}"), "{text}");
    // A test to oneself; who is not known there is not tried for ever.
    choices::try_out(&world.db, "li", Time::now()).await.unwrap();
    let mut tx = world.db.begin().await.unwrap();
    tx.execute("UPDATE people SET mail = 'nobody@example.com'", vec![]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(round(&world.db, &courier, &world.metrics, now.plus_ms(20_000)).await.unwrap(), 0);
    let failed = rows::list(&world.db, "failed", i64::MAX, 10).await.unwrap();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].result.contains("no such user"), "{}", failed[0].result);
    assert!(server.lines.try_recv().is_err(), "each mail came once");
}

pub(super) async fn receivers_get_what_they_can_check(world: World) {
    house(&world).await;
    address(&world, "li").await;
    let (webhook, hooks) = receiver(204, "").await;
    let (alerts, alertmanager) = receiver(200, "ok").await;
    let (wecom, wecoms) = receiver(200, r#"{"errcode":0,"errmsg":"ok"}"#).await;
    let (dingtalk, dings) = receiver(200, r#"{"errcode":0,"errmsg":"ok"}"#).await;
    let (feishu, feishus) = receiver(200, r#"{"code":0,"msg":"success"}"#).await;
    let (refusing, refused) =
        receiver(200, r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#).await;
    let called = [Event::Called];
    let settings = settings(
        None,
        vec![
            outlet("hook", Kind::Webhook, &webhook, &called),
            outlet("alerts", Kind::Alertmanager, &alerts, &called),
            outlet("wecom", Kind::Wecom, &wecom, &called),
            outlet("ding", Kind::Dingtalk, &dingtalk, &called),
            outlet("feishu", Kind::Feishu, &feishu, &called),
            outlet("refusing", Kind::Wecom, &refusing, &called),
        ],
    );
    seed(&world.db, &settings.plan()).await.unwrap();
    let courier = Courier::new(&settings).unwrap();
    fault(&world, Severity::Critical).await;
    assert_eq!(round(&world.db, &courier, &world.metrics, Time::now()).await.unwrap(), 5);
    let body =
        |letters: &Letters| -> (String, HeaderMap, String) { letters.lock().unwrap()[0].clone() };
    for letters in [&hooks, &alertmanager] {
        let (_, headers, body) = body(letters);
        let signature = headers["x-callhome-signature"].to_str().unwrap().to_owned();
        let (at, given) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        assert_eq!(given, mac("s3cret", &format!("{at}.{body}"), "hex"));
    }
    let hook: Value = serde_json::from_str(&body(&hooks).2).unwrap();
    assert_eq!(hook["notices"][0]["person"], "li");
    assert_eq!(hook["notices"][0]["link"], "https://centre.example:8443/tickets/T-000001");
    let alert: Value = serde_json::from_str(&body(&alertmanager).2).unwrap();
    assert_eq!((&alert["version"], &alert["status"]), (&json!("4"), &json!("firing")));
    assert_eq!(alert["alerts"][0]["labels"]["ticket"], "T-000001");
    let said: Value = serde_json::from_str(&body(&wecoms).2).unwrap();
    assert_eq!(said["text"]["mentioned_mobile_list"], json!(["13800000000"]));
    let (query, _, ding) = body(&dings);
    let ding: Value = serde_json::from_str(&ding).unwrap();
    assert_eq!(ding["at"]["atMobiles"], json!(["13800000000"]));
    let pairs: std::collections::HashMap<String, String> =
        reqwest::Url::parse(&format!("http://x/?{query}"))
            .unwrap()
            .query_pairs()
            .into_owned()
            .collect();
    assert_eq!(pairs["key"], "k");
    assert_eq!(pairs["sign"], mac("s3cret", &format!("{}\ns3cret", pairs["timestamp"]), "base64"));
    let said: Value = serde_json::from_str(&body(&feishus).2).unwrap();
    let at = said["timestamp"].as_str().unwrap();
    assert_eq!(said["sign"], mac(&format!("{at}\ns3cret"), "", "base64"));
    // A robot that says no in the body has not taken it.
    assert_eq!(refused.lock().unwrap().len(), 1);
    let waiting = rows::list(&world.db, "waiting", i64::MAX, 10).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert!(waiting[0].result.contains("93000"), "{}", waiting[0].result);
    assert!(!waiting[0].result.contains("key=k"));
}

pub(super) async fn quiet_hours_and_choices(world: World) {
    house(&world).await;
    address(&world, "li").await;
    address(&world, "wang").await;
    let (url, letters) = receiver(200, "").await;
    let zone = crate::calendar::zone::zone("Asia/Shanghai").unwrap();
    let now = Time::now();
    let clock = |at: Time| zone.local(at).strftime("%H:%M").to_string();
    // From an hour ago to an hour from now, whatever the time is.
    let hours = format!("{}-{}", clock(now.plus_ms(-60 * MIN)), clock(now.plus_ms(60 * MIN)));
    let quiet = Some(Quiet { hours, time_zone: "Asia/Shanghai".into() });
    let mut ops = outlet("ops", Kind::Webhook, &url, &[Event::Assigned, Event::Called]);
    ops.outlet.quiet = quiet.clone();
    let settings = settings(None, vec![ops]);
    let mut plan = settings.plan();
    plan.mail = true;
    seed(&world.db, &plan).await.unwrap();
    let wrong = Choices { without: vec!["asigned".into()], ..Choices::default() };
    let error = choices::choose(&world.db, "li", &wrong, now).await.unwrap_err();
    assert!(error.to_string().contains("assigned"), "{error}");
    let wanted = Choices { without: vec!["assigned".into()], quiet, mail: true };
    assert_eq!(choices::choose(&world.db, "li", &wanted, now).await.unwrap(), "li@example.com");
    assert_eq!(choices::of(&world.db, "li").await.unwrap().1, wanted);
    // p3: the receiver waits for the end of its quiet hours; li does not want to know.
    fault(&world, Severity::Minor).await;
    assert_eq!(world.ticket().await.assignee.as_deref(), Some("li"));
    let held = all(&world.db).await;
    assert_eq!(held.len(), 1, "{held:#?}");
    assert!(
        held[0].next_at > now.plus_ms(50 * MIN) && held[0].result.starts_with("quiet hours until")
    );
    let courier = Courier::new(&settings).unwrap();
    assert_eq!(round(&world.db, &courier, &world.metrics, now).await.unwrap(), 0);
    // p1 does not wait.
    let mut agent = Agent::new("a-2");
    world.feed([agent.raise_at("PSU 9", Severity::Critical).1]).await;
    let urgent = all(&world.db).await.into_iter().filter(|n| n.urgent);
    assert!(urgent.into_iter().all(|n| n.next_at == n.created_at));
    let mut tx = world.db.begin().await.unwrap();
    tx.execute("DELETE FROM notices WHERE lane = 'mail'", vec![]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(round(&world.db, &courier, &world.metrics, Time::now()).await.unwrap(), 2);
    let later = now.plus_ms(62 * MIN);
    assert_eq!(round(&world.db, &courier, &world.metrics, later).await.unwrap(), 1);
    assert_eq!(letters.lock().unwrap().len(), 3);
}

pub(super) async fn a_storm_is_folded_and_a_dead_receiver_delays_no_other(world: World) {
    house(&world).await;
    let (url, letters) = receiver(200, "").await;
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}/", dead.local_addr().unwrap());
    drop(dead);
    let mut ops = outlet("ops", Kind::Webhook, &url, &[Event::Opened]);
    ops.per_minute = 5;
    let settings =
        settings(None, vec![outlet("dead", Kind::Webhook, &gone, &[Event::Opened]), ops]);
    seed(&world.db, &settings.plan()).await.unwrap();
    let courier = Courier::new(&settings).unwrap();
    let mut agent = Agent::new("a-1");
    let storm: Vec<_> =
        (0..30).map(|n| agent.raise_at(&format!("PSU {n}"), Severity::Minor).1).collect();
    world.feed(storm).await;
    let now = Time::now();
    assert_eq!(round(&world.db, &courier, &world.metrics, now).await.unwrap(), 5);
    let kept: Vec<Value> =
        letters.lock().unwrap().iter().map(|l| serde_json::from_str(&l.2).unwrap()).collect();
    let told: Vec<usize> = kept.iter().map(|l| l["notices"].as_array().unwrap().len()).collect();
    assert_eq!(told, [1, 1, 1, 1, 26]);
    let mut counts = std::collections::BTreeMap::new();
    for (_, recipient, state) in states(&world.db).await {
        *counts.entry(format!("{recipient} {state}")).or_insert(0) += 1;
    }
    let expected = [("dead waiting", 30), ("ops folded", 26), ("ops sent", 4)];
    assert_eq!(counts, expected.map(|(k, n)| (k.to_owned(), n)).into());
    // Of the dead one only one was tried: the others wait for it.
    let tried: i64 =
        all(&world.db).await.iter().filter(|n| n.recipient == "dead").map(|n| n.attempts).sum();
    assert_eq!(tried, 1);
    // At last it is given up.
    let mut at = now;
    for _ in 0..40 {
        at = at.plus_ms(3 * 3600 * 1000);
        round(&world.db, &courier, &world.metrics, at).await.unwrap();
    }
    assert!(rows::list(&world.db, "waiting", i64::MAX, 100).await.unwrap().is_empty());
    let failed = rows::list(&world.db, "failed", i64::MAX, 100).await.unwrap();
    assert_eq!(failed.len(), 30);
    assert!(failed.iter().all(|n| n.attempts <= 8));
}

pub(super) async fn two_collectors_send_once(world: World) {
    house(&world).await;
    let (url, letters) = receiver(200, "").await;
    let settings = settings(None, vec![outlet("ops", Kind::Webhook, &url, &[Event::Opened])]);
    seed(&world.db, &settings.plan()).await.unwrap();
    let (one, two) = (Courier::new(&settings).unwrap(), Courier::new(&settings).unwrap());
    let other = Db::open(&world.settings).await.unwrap();
    let mut agent = Agent::new("a-1");
    let faults: Vec<_> =
        (0..10).map(|n| agent.raise_at(&format!("PSU {n}"), Severity::Minor).1).collect();
    world.feed(faults).await;
    let now = Time::now();
    let (a, b) = tokio::join!(
        round(&world.db, &one, &world.metrics, now),
        round(&other, &two, &world.metrics, now)
    );
    assert_eq!(a.unwrap() + b.unwrap(), 10);
    assert_eq!(letters.lock().unwrap().len(), 10);
    let numbers: std::collections::BTreeSet<String> =
        letters.lock().unwrap().iter().map(|l| l.2.clone()).collect();
    assert_eq!(numbers.len(), 10);
    other.close().await;
    let _ = store::notices::counts(&world.db).await.unwrap();
}
