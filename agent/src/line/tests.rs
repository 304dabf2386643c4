//! The line on a real outbox: what goes in as readings is there as envelopes, after whatever happens.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::ack::{Ack, Receipt};
use callhome_shared::alarm::{Alarm, Device, Transition};
use callhome_shared::envelope::{Envelope, Kind, Lane, Loss};
use callhome_shared::id::AgentId;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

mod events;
mod hold;
mod planned;
mod resync;
mod stock;

use super::*;
use crate::outbox::{Outbox, OutboxError};
use crate::probe::{
    Book, Facts, Order, Probes, path_reading, path_source, path_watched, probe_rule,
};
use crate::redact::Redactor;
use crate::rule::{Condition, Rule, Template};
use crate::settings::OutboxSettings;
use crate::source::{Batch, Gap, Position, Reading, Value};

const WAIT: Duration = Duration::from_secs(20);

/// An agent's middle: outbox and line on a directory.
struct Bench {
    probes: Probes,
    batches: mpsc::Sender<Batch>,
    commands: mpsc::Sender<Command>,
    outbox: Handle,
    status: watch::Receiver<Status>,
    stop: CancellationToken,
    line: JoinHandle<Result<Rest, OutboxError>>,
    thread: std::thread::JoinHandle<()>,
    /// Positions found at the start.
    loaded: Loaded,
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("outbox.redb");
    (directory, path)
}

fn device() -> Arc<Device> {
    Arc::new(Device { id: "d".into(), name: "d".into(), ..Device::default() })
}

/// A device that nothing watches.
fn shelved() -> Arc<Device> {
    let site = Some("SH-01".into());
    Arc::new(Device { id: "array-1".into(), name: "array-1".into(), site, ..Device::default() })
}

fn rules() -> Vec<Arc<Rule>> {
    let condition = Condition::Pattern {
        raise: regex::Regex::new(r"PSU (?P<psu>\w+) failed").unwrap().into(),
        clear: Some(regex::Regex::new(r"PSU (?P<psu>\w+) ok").unwrap().into()),
        severity: Severity::Major,
    };
    let template =
        Template { kind: "psu".into(), resource: "PSU ${psu}".into(), ..Template::default() };
    let (pack, version, id) = ("config".into(), "1".into(), "psu".into());
    vec![Arc::new(Rule {
        pack,
        version,
        id,
        metric: "line".into(),
        condition,
        damping: None,
        template,
    })]
}

impl Bench {
    fn start(path: &Path) -> Bench {
        Bench::start_with(path, 8 * 1024 * 1024, rules())
    }

    fn start_with(path: &Path, max_bytes: u64, rules: Vec<Arc<Rule>>) -> Bench {
        Bench::start_patient(path, max_bytes, rules, WAIT)
    }

    /// `patience`: for what waits when it is stopped.
    fn start_patient(
        path: &Path,
        max_bytes: u64,
        rules: Vec<Arc<Rule>>,
        patience: Duration,
    ) -> Bench {
        let agent = AgentId::new("agent-1").unwrap();
        let settings = OutboxSettings { max_bytes, preallocate_bytes: 0 };
        let (outbox, loaded) = Outbox::open(path, &agent, &settings).unwrap();
        let (outbox, thread) = crate::outbox::spawn(outbox).unwrap();
        let probes = Probes::new(|now| Book::new([("tty".into(), "serial", None)], 3600, now));
        let mut watched = [("log", SourceKind::Logfile), ("tty", SourceKind::Serial)]
            .map(|(source, kind)| Watched {
                source: source.into(),
                kind,
                device: device(),
                rules: [rules.clone(), vec![probe_rule()]].concat(),
            })
            .to_vec();
        watched.push(path_watched("tty", &device()));
        let (source, kind) = ("switch".into(), SourceKind::Snmp);
        watched.push(Watched { source, kind, device: device(), rules: Vec::new() });
        let (batches, receiver) = mpsc::channel(BATCHES);
        let (commands, asked) = mpsc::channel(COMMANDS);
        let (publish, status) = watch::channel(Status::default());
        let stop = CancellationToken::new();
        let parts = Parts {
            watched,
            devices: vec![shelved()],
            patience,
            windows: Vec::new(),
            host: device(),
            redactor: Arc::new(Redactor::default()),
            loaded: loaded.clone(),
            outbox: outbox.clone(),
            rest: super::Rest::new(receiver),
            commands: asked,
            probes: probes.clone(),
            status: publish,
        };
        let line = tokio::spawn(run(parts, stop.clone()));
        Bench { probes, batches, commands, outbox, status, stop, line, thread, loaded }
    }

    /// Ends as `run` would: sources first, then the line, then the outbox.
    async fn end(self) {
        drop(self.batches);
        tokio::time::timeout(WAIT, self.line).await.unwrap().unwrap().unwrap();
        drop(self.outbox);
        tokio::task::spawn_blocking(move || self.thread.join().unwrap()).await.unwrap();
    }

    async fn send(&self, batch: Batch) {
        self.batches.send(batch).await.unwrap();
    }

    /// Waits until the line's status is as wanted.
    async fn until(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let mut status = self.status.clone();
        let found = tokio::time::timeout(WAIT, status.wait_for(|s| wanted(s))).await;
        found.unwrap_or_else(|_| panic!("{:?}", self.status.borrow())).unwrap().clone()
    }

    async fn envelopes(&self) -> Vec<Envelope> {
        self.outbox.pending(Lane::Alarm, 0, usize::MAX, usize::MAX).await.unwrap().envelopes
    }

    async fn alarms(&self) -> Vec<Alarm> {
        let envelopes = self.envelopes().await;
        let alarms = envelopes.iter().filter(|e| e.kind == Kind::Alarm);
        alarms.map(|e| serde_json::from_slice(&e.data).unwrap()).collect()
    }

    async fn losses(&self) -> Vec<Loss> {
        let envelopes = self.envelopes().await;
        let losses = envelopes.iter().filter(|e| e.kind == Kind::Loss);
        losses.map(|e| serde_json::from_slice(&e.data).unwrap()).collect()
    }

    async fn ack_all(&self) {
        let (epoch, seq) = {
            let status = self.outbox.status();
            let status = status.borrow();
            (status.epoch, status.lanes[0].last_seq)
        };
        let (store, lane) = (Uuid::nil(), Lane::Alarm);
        self.outbox.ack(Ack { store, epoch, lane, seq, rejects: vec![] }).await.unwrap();
    }
}

fn batch(source: &str, lines: &[&str]) -> Batch {
    let readings = lines.iter().map(|text| Reading {
        metric: "line".into(),
        resource: String::new(),
        value: Value::Line { text: (*text).to_owned(), truncated: false },
        unit: "".into(),
        origin: "/var/log/x".into(),
        labels: vec![],
        occurred_at: None,
        observed_at: Time::now(),
    });
    Batch {
        source: source.into(),
        kind: if source == "tty" { SourceKind::Serial } else { SourceKind::Logfile },
        device: device(),
        rules: None,
        readings: readings.collect(),
        position: None,
        gaps: vec![],
        heard_until: None,
        stored: None,
        inventory: None,
    }
}

fn at(position: &str, batch: Batch) -> Batch {
    Batch { position: Some(Position(position.as_bytes().to_vec())), ..batch }
}

#[tokio::test]
async fn what_cannot_be_decided_in_time_at_the_end_is_declared_at_the_next_start() {
    let (_directory, path) = place();
    let bench = Bench::start_patient(&path, 8 * 1024 * 1024, rules(), Duration::ZERO);
    let heard = |at: i64| Batch { heard_until: Some(Time(at)), ..batch("tty", &["hello"]) };
    bench.send(heard(1_000)).await;
    bench.until(|s| s.counts.batches == 1).await;
    // The line does not run between these: it is stopped with three batches before it.
    for at in [2_000, 3_000, 4_000] {
        bench.batches.try_send(heard(at)).unwrap();
    }
    bench.stop.cancel();
    let rest = tokio::time::timeout(WAIT, bench.line).await.unwrap().unwrap();
    let rest = rest.expect("an end in order");
    assert_eq!(rest.batches.len() + rest.held.len(), 3, "a line that follows has them");
    drop((rest, bench.outbox));
    tokio::task::spawn_blocking(move || bench.thread.join().unwrap()).await.unwrap();

    let bench = Bench::start(&path);
    bench.send(Batch { heard_until: Some(Time::now()), ..batch("tty", &["hello"]) }).await;
    bench.until(|s| s.counts.losses == 1).await;
    let losses = bench.losses().await;
    assert_eq!((losses[0].from, losses[0].reason.as_str()), (Time(1_000), "agent-down"));
    bench.end().await;
}

#[tokio::test]
async fn a_fault_lives_from_line_to_line_over_a_restart() {
    let (_directory, path) = place();
    let bench = Bench::start(&path);
    bench.send(at("1", batch("log", &["hello", "PSU 1 failed", "PSU 1 failed"]))).await;
    let status = bench.until(|s| s.counts.readings == 3 && !s.active_digest.is_empty()).await;
    assert_eq!((status.active_alarms, status.counts.raised), (1, 1));
    let alarms = bench.alarms().await;
    let [raised] = alarms.as_slice() else { panic!("{alarms:?}") };
    assert_eq!((&*raised.resource, raised.transition), ("PSU 1", Transition::Raised));
    assert_eq!((&*raised.evidence[0].kind, &*raised.evidence[0].text), ("log", "PSU 1 failed"));
    bench.ack_all().await;
    bench.end().await;

    let bench = Bench::start(&path);
    assert_eq!(bench.loaded.positions["log"], Position(b"1".to_vec()));
    bench.send(at("2", batch("log", &["PSU 1 failed"]))).await;
    bench.send(at("3", batch("log", &["PSU 1 ok"]))).await;
    bench.until(|s| s.active_alarms == 0 && s.counts.cleared == 1).await;
    let alarms = bench.alarms().await;
    let [cleared] = alarms.as_slice() else { panic!("{alarms:?}") };
    assert_eq!((cleared.alarm_id, cleared.transition), (raised.alarm_id, Transition::Cleared));
    bench.end().await;
}

#[tokio::test]
async fn deaf_intervals_are_declared() {
    let (_directory, path) = place();
    let bench = Bench::start(&path);
    let heard = Time::now().plus_ms(-5000);
    bench.send(Batch { heard_until: Some(heard), ..batch("tty", &["hello"]) }).await;
    let gap = Gap { from: Time(1), to: Time(2), reason: "port-gone", count: Some(3) };
    bench.send(Batch { gaps: vec![gap], ..batch("tty", &[]) }).await;
    bench.until(|s| s.counts.losses == 1).await;
    let losses = bench.losses().await;
    assert_eq!((&*losses[0].reason, losses[0].count), ("port-gone", Some(3)));
    bench.ack_all().await;
    bench.end().await;

    let bench = Bench::start(&path);
    bench.send(batch("tty", &[])).await;
    bench.until(|s| s.counts.batches == 1).await;
    assert_eq!(bench.losses().await, vec![], "it does not listen yet");
    for _ in 0..2 {
        let heard_until = Some(Time::now());
        bench.send(Batch { heard_until, ..batch("tty", &["PSU 1 failed"]) }).await;
    }
    bench.until(|s| s.counts.batches == 3).await;
    let losses = bench.losses().await;
    let [loss] = losses.as_slice() else { panic!("{losses:?}") };
    assert_eq!((&*loss.source, &*loss.reason, loss.from), ("tty", "agent-down", heard));
    assert!(loss.to >= loss.from && loss.to <= Time::now());
    bench.end().await;
}

#[tokio::test]
async fn a_clock_set_back_while_deaf_leaves_no_empty_interval() {
    let (_directory, path) = place();
    let bench = Bench::start(&path);
    let tomorrow = Time::now().plus_ms(86_400_000);
    bench.send(Batch { heard_until: Some(tomorrow), ..batch("tty", &["hello"]) }).await;
    bench.until(|s| s.counts.batches == 1).await;
    bench.end().await;

    let before = Time::now();
    let bench = Bench::start(&path);
    bench.send(Batch { heard_until: Some(before), ..batch("tty", &[]) }).await;
    bench.until(|s| s.counts.losses == 1).await;
    let losses = bench.losses().await;
    let [loss] = losses.as_slice() else { panic!("{losses:?}") };
    assert_eq!((&*loss.reason, loss.from), ("agent-down", tomorrow));
    assert!(before <= loss.to && loss.to <= Time::now(), "ends when it listens again: {loss:?}");
    bench.end().await;
}

#[tokio::test]
async fn a_full_outbox_holds_readings_back_and_loses_none() {
    let (_directory, path) = place();
    let bench = Bench::start_with(&path, 20_000, rules());
    let mut sent = 0;
    while bench.status.borrow().blocked_since.is_none() {
        sent += 1;
        let line = format!("PSU {sent} failed");
        bench.send(at(&sent.to_string(), batch("log", &[&line]))).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let more = sent + 60;
    for n in sent + 1..=more {
        let line = format!("PSU {n} failed");
        bench.send(at(&n.to_string(), batch("log", &[&line]))).await;
    }
    let mut raised = Vec::new();
    while raised.len() < more {
        raised.extend(bench.alarms().await.into_iter().map(|alarm| alarm.resource));
        bench.ack_all().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let expected: Vec<String> = (1..=more).map(|n| format!("PSU {n}")).collect();
    assert_eq!(raised, expected);
    bench.until(|s| s.blocked_since.is_none()).await;
    bench.end().await;
    let bench = Bench::start(&path);
    assert_eq!(bench.loaded.positions["log"], Position(more.to_string().into_bytes()));
    bench.end().await;
}

#[tokio::test]
async fn a_new_outbox_learns_all_that_memory_holds() {
    let (_directory, path) = place();
    let bench = Bench::start(&path);
    bench.send(at("1", batch("log", &["PSU 1 failed"]))).await;
    bench.until(|s| s.counts.raised == 1).await;
    std::fs::remove_file(&path).unwrap();
    bench.outbox.break_database().await;
    bench.send(batch("log", &["PSU 2 failed"])).await;
    bench.until(|s| s.counts.raised == 2).await;
    bench.end().await;
    let bench = Bench::start(&path);
    assert_eq!(bench.loaded.positions["log"], Position(b"1".to_vec()));
    assert_eq!(bench.loaded.alarms.len(), 2);
    bench.end().await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_happens_once() {
    let (_directory, path) = place();
    let bench = Bench::start(&path);
    for n in 1..=3 {
        bench.outbox.lose_answer().await;
        bench.send(at(&n.to_string(), batch("log", &[&format!("PSU {n} failed")]))).await;
        bench.until(|s| s.counts.raised == n && s.blocked_since.is_none()).await;
    }
    let found: Vec<String> = bench.alarms().await.into_iter().map(|a| a.resource).collect();
    assert_eq!(found, ["PSU 1", "PSU 2", "PSU 3"]);
    bench.end().await;
}

#[tokio::test]
async fn a_test_alarm_is_cleared_when_its_ticket_is_known() {
    let (_directory, path) = place();
    let bench = Bench::start(&path);
    let mut tests = Vec::new();
    for _ in 0..2 {
        let (reply, answer) = oneshot::channel();
        bench.commands.send(Command::TestAlarm { reply }).await.unwrap();
        tests.push(answer.await.unwrap().unwrap());
    }
    let envelopes = bench.envelopes().await;
    assert_eq!(
        envelopes.iter().map(|e| e.id).collect::<Vec<_>>(),
        [tests[0].envelope, tests[1].envelope]
    );
    let alarms = bench.alarms().await;
    assert!(alarms[0].test && alarms[0].alarm_id == tests[0].alarm_id);
    assert_eq!((&*alarms[0].kind, alarms[0].severity), ("callhome-test", Severity::Warning));
    let receipt = Receipt {
        envelope: tests[0].envelope,
        alarm_id: tests[0].alarm_id,
        case: "C".into(),
        ticket: "T".into(),
        committed_at: Time::now(),
    };
    let waiting = bench.outbox.wait_receipt(tests[0].alarm_id, WAIT);
    let (got, told) = tokio::join!(waiting, bench.outbox.receipt(receipt.clone()));
    told.unwrap();
    assert_eq!(got, Some(receipt));
    let none = bench.outbox.wait_receipt(tests[1].alarm_id, Duration::from_millis(20)).await;
    assert_eq!(none, None);
    let status = bench.until(|s| s.counts.cleared == 1).await;
    assert_eq!(status.active_alarms, 1);
    let (reply, answer) = oneshot::channel();
    bench.commands.send(Command::Active { limit: 10, reply }).await.unwrap();
    assert_eq!(answer.await.unwrap()[0].alarm_id, tests[1].alarm_id);
    bench.end().await;
}

#[tokio::test]
async fn alarms_of_rules_that_are_gone_are_cleared_at_the_start() {
    let (_directory, path) = place();
    let bench = Bench::start(&path);
    bench.send(batch("log", &["PSU 1 failed"])).await;
    bench.until(|s| s.counts.raised == 1).await;
    bench.end().await;
    let bench = Bench::start_with(&path, 8 * 1024 * 1024, vec![]);
    let status = bench.until(|s| s.counts.cleared == 1).await;
    assert_eq!(status.active_alarms, 0);
    let last = bench.alarms().await.pop().unwrap();
    assert_eq!((last.transition, last.text.as_str()), (Transition::Cleared, "PSU 1 failed"));
    bench.stop.cancel();
    bench.end().await;
}

#[tokio::test]
async fn many_alarms_of_rules_that_are_gone_are_cleared_in_one_word() {
    let (_directory, path) = place();
    let bench = Bench::start(&path);
    let lines: Vec<String> = (1..=300).map(|n| format!("PSU {n} failed")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    bench.send(batch("log", &lines)).await;
    bench.until(|s| s.counts.raised == 300).await;
    bench.ack_all().await;
    bench.end().await;
    let bench = Bench::start_with(&path, 8 * 1024 * 1024, vec![]);
    let status = bench.until(|s| s.counts.cleared == 300).await;
    assert_eq!((status.active_alarms, status.counts.clear_alls), (0, 1));
    let envelopes = bench.envelopes().await;
    let [envelope] = envelopes.as_slice() else { panic!("{} envelopes", envelopes.len()) };
    assert_eq!((&envelope.kind, envelope.lane), (&Kind::ClearAll, Lane::Alarm));
    let said: callhome_shared::clear_all::ClearAll =
        serde_json::from_slice(&envelope.data).unwrap();
    said.validate().unwrap();
    assert_eq!((said.device, said.count, &*said.reason), (None, 300, "configuration"));
    bench.stop.cancel();
    bench.end().await;
    // It is done once.
    let bench = Bench::start_with(&path, 8 * 1024 * 1024, vec![]);
    bench.until(|s| !s.active_digest.is_empty()).await;
    assert!(bench.loaded.alarms.is_empty());
    assert_eq!(bench.envelopes().await.len(), 1);
    bench.stop.cancel();
    bench.end().await;
}

/// A probe of the only probed source, as its reader hands it over.
fn entered(bench: &Bench) -> Reading {
    bench.probes.hurry(None);
    let facts = Facts { connected: true, ..Facts::default() };
    let orders = bench.probes.advance(&facts, |_| String::new());
    let [Order::Ask(_, nonce)] = orders.as_slice() else { panic!("{orders:?}") };
    let slot = crate::source::probe::Slot::default();
    slot.ask(*nonce);
    slot.enter(*nonce, std::time::Instant::now()).unwrap().reading("/dev/x")
}

#[tokio::test]
async fn a_probe_is_an_envelope_of_its_own_and_leaves_no_trace() {
    let (_directory, path) = place();
    let bench = Bench::start(&path);
    let before = bench.until(|s| !s.active_digest.is_empty()).await;
    let probe = entered(&bench);
    // What a line or a number says of itself makes it no probe, whatever its metric is called.
    let imitations = [
        Value::Line { text: "callhome-probe 1".into(), truncated: false },
        Value::Text("callhome.probe".into()),
        Value::Number(0.0),
    ];
    let imitations = imitations.map(|value| Reading { value, ..probe.clone() });
    let mut sent = batch("tty", &["hello"]);
    sent.readings.extend(imitations);
    bench
        .send(Batch { readings: [sent.readings.clone(), vec![probe.clone()]].concat(), ..sent })
        .await;
    bench.until(|s| s.counts.batches == 1).await;
    let envelopes = bench.envelopes().await;
    let [envelope] = envelopes.as_slice() else { panic!("{envelopes:?}") };
    assert_eq!(envelope.kind, Kind::Probe);
    let said: callhome_shared::probe::Probe = serde_json::from_slice(&envelope.data).unwrap();
    said.validate().unwrap();
    assert_eq!((&*said.source, &*said.source_kind, said.interval_s), ("tty", "serial", 3600));
    assert_eq!(said.alarm.message.key, "probe.entered");
    // The same reading again is nobody's: it is not under way any more once it is proven.
    let receipt = Receipt {
        envelope: envelope.id,
        alarm_id: said.alarm.alarm_id,
        case: "C".into(),
        ticket: "P-000001".into(),
        committed_at: Time::now(),
    };
    assert!(!bench.probes.receipt(&Receipt { ticket: "T-000001".into(), ..receipt.clone() }));
    assert!(bench.probes.receipt(&receipt));
    assert_eq!(bench.probes.count("tty"), 1);
    bench.send(Batch { readings: vec![probe], ..batch("tty", &[]) }).await;
    let after = bench.until(|s| s.counts.batches == 2).await;
    assert_eq!(bench.envelopes().await.len(), 1);
    assert_eq!((after.active_alarms, after.counts.raised, after.rule_states), (0, 0, 0));
    assert_eq!(after.active_digest, before.active_digest);
    bench.end().await;
    let bench = Bench::start(&path);
    assert!(bench.loaded.alarms.is_empty() && bench.loaded.rules.is_empty());
    bench.end().await;
}

#[tokio::test]
async fn a_path_that_is_not_proven_is_an_alarm_until_it_is() {
    let (_directory, path) = place();
    let bench = Bench::start(&path);
    let hop = callhome_shared::probe::Hop::Reader;
    let detail = "port gone".to_owned();
    let missing = callhome_shared::probe::Missing { hop, since: Time(1), detail };
    let told = |missing: Option<&callhome_shared::probe::Missing>| Batch {
        source: path_source("tty"),
        kind: SourceKind::Host,
        readings: vec![path_reading("tty", missing)],
        ..batch("tty", &[])
    };
    bench.send(told(None)).await;
    bench.send(told(Some(&missing))).await;
    bench.send(told(Some(&missing))).await;
    bench.until(|s| s.counts.batches == 3 && s.counts.raised == 1).await;
    bench.end().await;
    // The next run clears it: the rule's state is stored.
    let bench = Bench::start(&path);
    bench.send(told(None)).await;
    bench.until(|s| s.counts.cleared == 1).await;
    let alarms = bench.alarms().await;
    let [raised, cleared] = alarms.as_slice() else { panic!("{alarms:?}") };
    assert_eq!((raised.kind.as_str(), raised.resource.as_str()), ("path-not-proven", "tty"));
    assert_eq!(raised.message.key, "path.not-proven");
    assert_eq!(raised.message.arguments["hop"], "reader");
    assert!(raised.text.contains("port gone") && raised.evidence.is_empty());
    assert_eq!((cleared.alarm_id, cleared.transition), (raised.alarm_id, Transition::Cleared));
    bench.end().await;
}
