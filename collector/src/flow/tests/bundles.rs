//! Evidence bundles: the agents' routes on a real store and real files. The visitor stands in the
//! request as the door puts it there.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use callhome_shared::bundle::{
    Approved, CHUNK_TYPE, CONTENT_DIGEST, Content, Declaration, How, PATH, Redacted, Refusal,
    Standing, State, Subject, Told, UPLOAD_COMPLETE, UPLOAD_OFFSET, content_digest, hex,
};
use callhome_shared::envelope::Kind;
use callhome_shared::id::{AgentId, new_uuid};
use callhome_shared::time::Time;
use http_body_util::BodyExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::World;
use super::agent::Agent;
use crate::bundle::files::{Ended, Files, agent_hash};
use crate::bundle::{self, Bundles};
use crate::enrol::visitor::{self, Visitor};
use crate::settings;
use crate::store::{audit, bundles};

mod ends;

pub(super) use ends::{
    a_wrong_hash_is_found_three_times, an_envelope_names_a_bundle_once, two_collectors_do_not_mix,
    what_is_over_goes_and_what_differs_is_told,
};

const MIB: u64 = 1024 * 1024;

/// A collector's upload side over a world's store.
struct Desk {
    app: Router,
    bundles: Bundles,
    settings: settings::Bundles,
}

/// What came back.
struct Got {
    status: u16,
    offset: Option<u64>,
    complete: Option<String>,
    retry: bool,
    body: String,
}

impl Got {
    fn code(&self) -> String {
        let refusal: Refusal = serde_json::from_str(&self.body).unwrap_or_else(|e| {
            panic!("{} {:?}: {e}", self.status, self.body);
        });
        assert!(!refusal.error.message.is_empty());
        refusal.error.code
    }

    fn is(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", self.body);
    }

    fn standing(&self) -> Standing {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{} {e}", self.body))
    }
}

fn room(dir: &Path) -> settings::Bundles {
    settings::Bundles {
        dir: dir.to_owned(),
        shared: false,
        max_bytes: 8 * MIB,
        agent_bytes: 20 * MIB,
        total_bytes: 30 * MIB,
        keep_free_bytes: 0,
        open_per_agent: 4,
        idle: Duration::from_secs(3600),
        keep: Duration::from_secs(86_400),
        bytes_per_second: 1 << 30,
    }
}

fn valid(agent: &str) -> Option<Visitor> {
    let standing = visitor::Standing::Valid;
    Some(Visitor { agent: AgentId::new(agent).unwrap(), serial: "01".into(), standing })
}

impl Desk {
    fn open(world: &World, settings: settings::Bundles, name: &str) -> Desk {
        let (db, events, metrics) = (world.db.clone(), world.events.clone(), world.metrics.clone());
        let bundles = Bundles::open(db, settings.clone(), name, events, metrics);
        Desk { app: bundle::routes(bundles.clone()), bundles, settings }
    }

    async fn ask(
        &self,
        who: Option<Visitor>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let (Some(who), Some(extensions)) = (who, request.extensions_mut()) {
            extensions.insert(who);
        }
        let request = request.body(Body::from(body)).unwrap();
        let (head, body) = self.app.clone().oneshot(request).await.unwrap().into_parts();
        let text = |name: &str| head.headers.get(name).map(|v| v.to_str().unwrap().to_owned());
        let body = body.collect().await.unwrap().to_bytes();
        Got {
            status: head.status.as_u16(),
            offset: text(UPLOAD_OFFSET).map(|n| n.parse().unwrap()),
            complete: text(UPLOAD_COMPLETE),
            retry: head.headers.contains_key("retry-after"),
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn declare(&self, agent: &str, said: &Declaration) -> Got {
        let body = serde_json::to_vec(said).unwrap();
        self.ask(valid(agent), "POST", PATH, &[("content-type", "application/json")], body).await
    }

    async fn patch(&self, agent: &str, id: Uuid, offset: u64, chunk: &[u8]) -> Got {
        self.patch_as(agent, id, offset, chunk, &content_digest(chunk)).await
    }

    async fn patch_as(
        &self,
        agent: &str,
        id: Uuid,
        offset: u64,
        chunk: &[u8],
        digest: &str,
    ) -> Got {
        let offset = offset.to_string();
        let headers = [
            ("content-type", CHUNK_TYPE),
            (UPLOAD_OFFSET, offset.as_str()),
            (CONTENT_DIGEST, digest),
        ];
        self.ask(valid(agent), "PATCH", &format!("{PATH}/{id}"), &headers, chunk.to_vec()).await
    }

    async fn head(&self, agent: &str, id: Uuid) -> Got {
        self.ask(valid(agent), "HEAD", &format!("{PATH}/{id}"), &[], vec![]).await
    }

    async fn complete(&self, agent: &str, id: Uuid) -> Got {
        self.ask(valid(agent), "POST", &format!("{PATH}/{id}/complete"), &[], vec![]).await
    }

    async fn delete(&self, agent: &str, id: Uuid) -> Got {
        self.ask(valid(agent), "DELETE", &format!("{PATH}/{id}"), &[], vec![]).await
    }

    /// All of it, in chunks.
    async fn upload(&self, agent: &str, id: Uuid, bytes: &[u8]) {
        let mut offset = 0;
        for chunk in bytes.chunks(1 << 20) {
            let got = self.patch(agent, id, offset, chunk).await;
            offset += chunk.len() as u64;
            assert_eq!((got.status, got.offset), (204, Some(offset)), "{}", got.body);
        }
    }

    fn file(&self, agent: &str, id: Uuid) -> PathBuf {
        self.settings.dir.join(agent_hash(agent)).join(id.to_string())
    }

    fn part(&self, agent: &str, id: Uuid) -> PathBuf {
        self.settings.dir.join(agent_hash(agent)).join(format!("{id}.part"))
    }
}

/// Bytes that do not repeat.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 32);
    let mut block = Sha256::digest(len.to_le_bytes());
    while bytes.len() < len {
        bytes.extend_from_slice(&block);
        block = Sha256::digest(block);
    }
    bytes.truncate(len);
    bytes
}

fn declaration(number: &str, bytes: &[u8]) -> Declaration {
    Declaration {
        id: new_uuid(),
        subject: Subject { ticket: Some(number.to_owned()), alarm_id: None },
        name: "日志 2026.tar.gz".into(),
        size: bytes.len() as u64,
        sha256: hex(&Sha256::digest(bytes)),
        created_at: Time::now(),
        note: Some("请看".into()),
        contents: vec![Content {
            name: "var/log/messages".into(),
            size: 7,
            redacted: Redacted::Replaced(3),
        }],
        approved: Approved { by: "wang".into(), at: Time::now(), how: How::Person },
    }
}

/// The ticket of a new alarm of this agent: its number, and the alarm's id.
async fn ticket(world: &World, agent: &mut Agent, resource: &str) -> (String, Uuid) {
    let (alarm_id, delivery) = agent.raise(resource);
    let answers = world.feed([delivery]).await;
    (answers.receipts[0].ticket.clone(), alarm_id)
}

fn start(world: &World) -> (Desk, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(world, room(&dir.path().join("bundles")), "main");
    (desk, dir)
}

pub(super) async fn a_bundle_arrives_once(world: World) {
    let (desk, _dir) = start(&world);
    let (number, _) = ticket(&world, &mut Agent::new("a-1"), "PSU 1").await;
    let bytes = noise(3 * MIB as usize + 5);
    let said = declaration(&number, &bytes);
    let id = said.id;
    let mut events = world.events.subscribe();

    let first = desk.declare("a-1", &said).await;
    assert_eq!((first.status, first.standing().state, first.offset), (201, State::Open, Some(0)));
    let again = desk.declare("a-1", &said).await;
    assert_eq!((again.status, again.standing().offset), (200, 0));
    let other = Declaration { note: None, ..said.clone() };
    desk.declare("a-1", &other).await.is(409, "other_declaration");

    // What does not fit changes nothing.
    let chunk = &bytes[..MIB as usize];
    let got = desk.patch("a-1", id, 7, chunk).await;
    got.is(409, "wrong_offset");
    assert_eq!(got.offset, Some(0));
    desk.patch_as("a-1", id, 0, chunk, &content_digest(b"x")).await.is(422, "wrong_digest");
    desk.patch_as("a-1", id, 0, chunk, "md5=:AQ==:").await.is(400, "no_digest");
    desk.patch("a-1", id, 0, &[]).await.is(400, "malformed");
    desk.patch("a-1", id, 0, &bytes[..MIB as usize + 1]).await.is(413, "too_large");
    assert_eq!(desk.head("a-1", id).await.offset, Some(0), "nothing was kept");

    let got = desk.patch("a-1", id, 0, chunk).await;
    assert_eq!((got.status, got.offset, got.complete.as_deref()), (204, Some(MIB), Some("?0")));
    let repeated = desk.patch("a-1", id, 0, chunk).await;
    repeated.is(409, "wrong_offset");
    assert_eq!(repeated.offset, Some(MIB), "the agent learns where to go on");
    let overlapping = desk.patch("a-1", id, MIB - 10, chunk).await;
    assert_eq!((overlapping.status, overlapping.offset), (409, Some(MIB)));
    let early = desk.complete("a-1", id).await;
    early.is(409, "incomplete");
    assert_eq!(early.offset, Some(MIB));

    // Another process takes over, as after a crash in the middle of a write.
    std::fs::write(desk.part("a-1", id), &bytes[..MIB as usize + 10]).unwrap();
    let desk = Desk::open(&world, desk.settings.clone(), "main");
    let at = MIB as usize + 10;
    assert_eq!(desk.head("a-1", id).await.offset, Some(at as u64));
    let mut offset = at;
    for piece in bytes[at..].chunks(MIB as usize) {
        offset += piece.len();
        let got = desk.patch("a-1", id, (offset - piece.len()) as u64, piece).await;
        assert_eq!(got.offset, Some(offset as u64), "{}", got.body);
    }
    desk.patch("a-1", id, bytes.len() as u64, b"more").await.is(413, "too_large");

    // Asked many times at once it happens once.
    let asked = (0..4).map(|_| desk.complete("a-1", id));
    for got in futures(asked).await {
        assert_eq!((got.status, got.standing().state), (200, State::Complete), "{}", got.body);
    }
    assert_eq!(desk.complete("a-1", id).await.status, 200);
    let file = desk.file("a-1", id);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!desk.part("a-1", id).exists());
    let shown = world.ticket().await;
    let timeline = world.timeline(&shown).await;
    assert_eq!(timeline.iter().filter(|what| *what == "bundle").count(), 1, "{timeline:?}");
    assert!(events.try_recv().is_ok_and(|e| format!("{e:?}").contains(&number)));
    assert!(events.try_recv().is_err());

    let late = desk.patch("a-1", id, bytes.len() as u64, b"x").await;
    late.is(409, "wrong_offset");
    assert_eq!(late.complete.as_deref(), Some("?1"));
    desk.delete("a-1", id).await.is(409, "complete");
    let head = desk.head("a-1", id).await;
    assert_eq!((head.offset, head.complete.as_deref()), (Some(said.size), Some("?1")));
    let row = &bundles::of_ticket(&world.db, &shown.id, 10).await.unwrap()[0];
    assert_eq!((row.state.as_str(), row.name.as_str()), ("complete", "日志 2026.tar.gz"));
    assert_eq!(desk.declare("a-1", &said).await.standing().state, State::Complete);
}

async fn futures<F: Future<Output = T>, T>(all: impl Iterator<Item = F>) -> Vec<T> {
    let mut set: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = set.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in set.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().map(Option::unwrap).collect()
}

pub(super) async fn strangers_and_tricks_are_refused(world: World) {
    let (desk, _dir) = start(&world);
    let mut agent = Agent::new("a-1");
    let (number, alarm_id) = ticket(&world, &mut agent, "PSU 1").await;
    let bytes = noise(1000);
    let said = declaration(&number, &bytes);

    let json = [("content-type", "application/json")];
    let body = serde_json::to_vec(&said).unwrap();
    desk.ask(None, "POST", PATH, &json, body.clone()).await.is(403, "no_certificate");
    let ended =
        valid("a-1").map(|v| Visitor { standing: visitor::Standing::Expired(Time(0)), ..v });
    desk.ask(ended, "POST", PATH, &json, body.clone()).await.is(403, "no_certificate");
    let plain = [("content-type", "text/plain")];
    desk.ask(valid("a-1"), "POST", PATH, &plain, body.clone()).await.is(400, "malformed");
    let large = vec![b' '; 64 * 1024 + 1];
    desk.ask(valid("a-1"), "POST", PATH, &json, large).await.is(413, "too_large");

    // Another agent's ticket and alarm: refused, and recorded once a minute.
    desk.declare("a-2", &declaration(&number, &bytes)).await.is(403, "foreign_subject");
    let mut by_alarm = declaration(&number, &bytes);
    by_alarm.subject = Subject { ticket: None, alarm_id: Some(alarm_id) };
    desk.declare("a-2", &by_alarm).await.is(403, "foreign_subject");
    let recorded = audit::latest(&world.db, None, &audit::Filter::about("a-2"), 10).await.unwrap();
    let recorded: Vec<_> = recorded.iter().map(|r| (r.what.as_str(), r.who.as_str())).collect();
    assert_eq!(recorded, [("bundle-refused", "agent:a-2")]);

    let unknown = desk.declare("a-1", &declaration("T-999999", &bytes)).await;
    unknown.is(404, "unknown_subject");
    assert!(unknown.retry, "the alarm may be on its way");
    let mut early = declaration(&number, &bytes);
    early.subject = Subject { ticket: None, alarm_id: Some(new_uuid()) };
    desk.declare("a-1", &early).await.is(404, "unknown_subject");

    for name in ["../../../etc/passwd", "/etc/passwd", "..", "a\0b", "a\r\nX: y", ""] {
        let tricky = Declaration { name: name.into(), ..said.clone() };
        desk.declare("a-1", &tricky).await.is(400, "malformed");
    }
    let large = Declaration { size: 8 * MIB + 1, ..declaration(&number, &bytes) };
    desk.declare("a-1", &large).await.is(413, "too_large");

    // By alarm it finds the alarm's ticket.
    assert_eq!(desk.declare("a-1", &by_alarm).await.status, 201);
    // Another agent's upload does not exist, its id is taken.
    let id = by_alarm.id;
    desk.declare("a-2", &by_alarm).await.is(409, "other_declaration");
    desk.patch("a-2", id, 0, &bytes).await.is(404, "unknown_upload");
    desk.complete("a-2", id).await.is(404, "unknown_upload");
    desk.delete("a-2", id).await.is(404, "unknown_upload");
    assert_eq!(desk.head("a-2", id).await.status, 404);
    for path in ["..%2f..%2fx", "x", "%00", "0", &format!("{id}.part")] {
        let path = format!("{PATH}/{path}");
        let got = desk.ask(valid("a-1"), "DELETE", &path, &[], vec![]).await;
        got.is(404, "unknown_upload");
    }
    let headers = [("content-type", CHUNK_TYPE), (UPLOAD_OFFSET, "-1")];
    let path = format!("{PATH}/{id}");
    desk.ask(valid("a-1"), "PATCH", &path, &headers, bytes.clone()).await.is(400, "malformed");
    assert_eq!(desk.head("a-1", id).await.offset, Some(0));

    // A link in the way is not followed.
    let victim = desk.settings.dir.join("victim");
    std::fs::write(&victim, "mine").unwrap();
    let part = desk.part("a-1", id);
    std::fs::create_dir_all(part.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&victim, &part).unwrap();
    desk.patch("a-1", id, 0, &bytes).await.is(500, "internal");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    std::fs::remove_file(&part).unwrap();
    std::fs::hard_link(&victim, &part).unwrap();
    desk.patch("a-1", id, 0, &bytes).await.is(500, "internal");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
}

pub(super) async fn room_is_bounded(world: World) {
    let (desk, dir) = start(&world);
    let (one, _) = ticket(&world, &mut Agent::new("a-1"), "PSU 1").await;
    let (two, _) = ticket(&world, &mut Agent::new("a-2"), "PSU 1").await;
    let of =
        |number: &str, mib: u64| Declaration { size: mib * MIB, ..declaration(number, &noise(10)) };

    // Two hundred declarations at once, by two agents: as many as may be open, not one more.
    let all: Vec<_> = (0..200).map(|n| of(if n % 2 == 0 { &one } else { &two }, 4)).collect();
    let mut taken = Vec::new();
    for some in all.chunks(8) {
        let agent = |said: &Declaration| {
            if said.subject.ticket.as_deref() == Some(one.as_str()) { "a-1" } else { "a-2" }
        };
        let asked = some.iter().map(|said| desk.declare(agent(said), said));
        for (got, said) in futures(asked).await.iter().zip(some) {
            match got.status {
                201 => taken.push((agent(said), said.id)),
                _ => assert!(got.retry && [429, 507].contains(&got.status), "{}", got.body),
            }
        }
    }
    // 30 MiB in all: seven of 4 MiB.
    assert_eq!(taken.len(), 7);
    let last =
        if taken.iter().filter(|(agent, _)| *agent == "a-1").count() == 3 { "a-1" } else { "a-2" };
    let number = if last == "a-1" { &one } else { &two };
    desk.declare(last, &of(number, 4)).await.is(507, "full");
    let fits = of(number, 2);
    assert_eq!(desk.declare(last, &fits).await.status, 201);
    desk.declare(last, &of(number, 1)).await.is(429, "too_many_open");
    for (agent, id) in taken.into_iter().chain([(last, fits.id)]) {
        assert_eq!(desk.delete(agent, id).await.status, 204);
        desk.delete(agent, id).await.is(404, "unknown_upload");
    }
    for _ in 0..2 {
        assert_eq!(desk.declare("a-1", &of(&one, 8)).await.status, 201);
    }
    desk.declare("a-1", &of(&one, 5)).await.is(507, "agent_full");

    // Many tiny ones need room, too.
    let census = bundles::census(&world.db).await.unwrap();
    assert_eq!((census.open, census.taken), (2, 16 * MIB as i64));
    let tiny = declaration(&one, &noise(1));
    assert_eq!(desk.declare("a-1", &tiny).await.status, 201);
    let census = bundles::census(&world.db).await.unwrap();
    assert_eq!(census.taken, 16 * MIB as i64 + 64 * 1024);

    // What must stay free on the disk stays free; later the upload goes on.
    let full = settings::Bundles { keep_free_bytes: 1 << 60, ..desk.settings.clone() };
    let full = Desk::open(&world, full, "main");
    full.patch("a-1", tiny.id, 0, &noise(1)).await.is(507, "disk_full");
    full.declare("a-2", &of(&two, 1)).await.is(507, "disk_full");
    assert_eq!(full.declare("a-1", &tiny).await.status, 200, "a known one is answered");
    assert_eq!(desk.head("a-1", tiny.id).await.offset, Some(0));
    desk.upload("a-1", tiny.id, &noise(1)).await;
    assert_eq!(desk.complete("a-1", tiny.id).await.status, 200);

    // Faster than it may be.
    let slow = settings::Bundles { bytes_per_second: 65_536, ..desk.settings.clone() };
    let slow = Desk::open(&world, slow, "main");
    let bytes = noise(2 * MIB as usize);
    let said = declaration(&two, &bytes);
    assert_eq!(slow.declare("a-2", &said).await.status, 201);
    assert_eq!(slow.patch("a-2", said.id, 0, &bytes[..MIB as usize]).await.status, 204);
    let fast = slow.patch("a-2", said.id, MIB, &bytes[MIB as usize..]).await;
    fast.is(429, "too_fast");
    assert!(fast.retry);
    drop(dir);
}
