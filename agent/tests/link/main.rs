//! The link against Debian's mosquitto, with the test in the roles of outbox and collector.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod mosquitto;
mod outbox;
mod peer;
mod program;

use std::sync::Arc;
use std::time::Duration;

use callhome_agent::enrol::ending::Limits;
use callhome_agent::link::dial::meter::Meters;
use callhome_agent::link::{Ended, Exit, Link, LinkStatus, Phase};
use callhome_agent::settings::{LinkSettings, Road, RoadKind};
use callhome_shared::ack::{Ack, Receipt, Reject};
use callhome_shared::envelope::Lane;
use callhome_shared::time::Time;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use mosquitto::{Certificates, Mosquitto};
use outbox::FakeOutbox;
use peer::Collector;

const ACK_TIMEOUT: Duration = Duration::from_secs(1);

struct Running {
    status: Arc<LinkStatus>,
    stop: CancellationToken,
    task: JoinHandle<Ended>,
}

fn start(certificates: &Certificates, road: Road, outbox: &FakeOutbox) -> Running {
    let status = Arc::new(LinkStatus::default());
    let link = Link {
        settings: LinkSettings {
            roads: vec![Arc::new(road)],
            proxy: None,
            tries: 3,
            failback: Duration::from_secs(1),
            socket_dir: certificates.path("link"),
            ca_file: certificates.path("ca.pem"),
            certificate_file: certificates.path("agent.pem"),
            key_file: certificates.path("agent.key"),
            backoff: (Duration::from_millis(50), Duration::from_millis(400)),
            ack_timeout: ACK_TIMEOUT,
            keep_alive: Duration::from_secs(5),
            ending: Limits { warning_days: 14, major_days: 3 },
        },
        exit: Exit::default(),
        meters: Meters::default(),
        heartbeat: Duration::from_secs(1),
        requests: outbox.serve(),
        nudge: outbox.added.clone(),
        status: status.clone(),
        drain: Duration::from_secs(3),
        hurry: CancellationToken::new(),
        exchanged: tokio::sync::watch::channel(0).1,
    };
    let stop = CancellationToken::new();
    let task = tokio::spawn(link.run(stop.clone()));
    Running { status, stop, task }
}

/// Waits until `met`, at most 20 s.
async fn until(what: &str, mut met: impl FnMut() -> bool) {
    for _ in 0..400 {
        if met() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited too long: {what}");
}

fn local(port: u16) -> Road {
    road("localhost", port)
}

fn road(host: &str, port: u16) -> Road {
    Road { kind: RoadKind::Mqtt, host: host.into(), port, path: String::new(), proxy: None }
}

#[tokio::test]
async fn in_order_until_acknowledged_through_a_killed_broker() {
    let certificates = Certificates::new();
    let Some(mut broker) = Mosquitto::start(&certificates).await else { return };
    let collector = Collector::start(&certificates, broker.port).await;
    let outbox = FakeOutbox::new();
    outbox.add(Lane::Alarm, 100);
    outbox.add(Lane::Bulk, 20);
    let running = start(&certificates, local(broker.port), &outbox);

    // Not acknowledged: sent again from the first one, always in order.
    until("resends", || collector.count(Lane::Alarm) >= 250).await;
    let seen = collector.seen(Lane::Alarm);
    assert_eq!(seen[..100], (1..=100).collect::<Vec<_>>());
    assert!(rounds_from_the_first(&seen), "{seen:?}");
    assert!(running.status.counts().resent > 0);

    // Acknowledged in part, with a reject and a receipt, which reach the outbox.
    let rejects =
        vec![Reject { seq: 3, id: Uuid::nil(), reason: "bad-payload".into(), text: "no".into() }];
    collector.ack(&outbox.ack_of(Lane::Alarm, 60, rejects)).await;
    let receipt = Receipt {
        envelope: Uuid::nil(),
        alarm_id: Uuid::from_u128(9),
        case: "c".into(),
        ticket: "T-1".into(),
        committed_at: Time::now(),
    };
    collector.receipt(&receipt).await;
    until("ack and receipt", || {
        outbox.acked(Lane::Alarm) == 60 && outbox.receipts() == [receipt.clone()]
    })
    .await;

    // The broker dies with what it had; more faults; it comes back.
    broker.kill();
    outbox.add(Lane::Alarm, 30);
    until("noticed", || !running.status.is_connected()).await;
    broker.restart(&certificates).await;
    collector.acknowledge_from_now_on();
    until("all", || outbox.acked(Lane::Alarm) == 130 && outbox.acked(Lane::Bulk) == 20).await;
    let counts = running.status.counts();
    assert!(counts.connects >= 2 && counts.rejects == 1 && counts.malformed == 0, "{counts:?}");
    assert!(collector.heartbeats().iter().any(|beat| beat.online));

    running.stop.cancel();
    assert_eq!(running.task.await.unwrap(), Ended::Drained);
    until("good-bye", || collector.heartbeats().last().is_some_and(|beat| !beat.online)).await;
}

/// Each number follows its predecessor or starts again at the first.
fn rounds_from_the_first(seen: &[u64]) -> bool {
    seen.windows(2).all(|pair| pair[1] == pair[0] + 1 || pair[1] == 1)
}

#[tokio::test]
async fn nonsense_from_above_changes_nothing() {
    let certificates = Certificates::new();
    let Some(broker) = Mosquitto::start(&certificates).await else { return };
    let collector = Collector::start(&certificates, broker.port).await;
    let outbox = FakeOutbox::new();
    outbox.add(Lane::Alarm, 5);
    let running = start(&certificates, local(broker.port), &outbox);
    until("connected", || running.status.is_connected()).await;
    for payload in [&b""[..], b"{}", b"\xff\xfe", b"[1,2,3]", &[b'{'; 4096]] {
        collector.say("down/ack", payload).await;
        collector.say("down/control", payload).await;
    }
    // Another life, and numbers never given out.
    let stranger = Ack { epoch: Uuid::from_u128(77), ..outbox.ack_of(Lane::Alarm, 5, vec![]) };
    collector.ack(&stranger).await;
    until("counted", || running.status.counts().malformed == 10).await;
    until("heard", || running.status.counts().acks == 1).await;
    assert!(running.status.is_connected());
    // The stranger's acknowledgement frees nothing in the link: it sends again.
    until("sent again", || running.status.counts().resent >= 5).await;
}

#[tokio::test]
async fn a_broker_that_hangs_is_left_and_found_again() {
    let certificates = Certificates::new();
    let Some(broker) = Mosquitto::start(&certificates).await else { return };
    let outbox = FakeOutbox::new();
    let running = start(&certificates, local(broker.port), &outbox);
    until("connected", || running.status.is_connected()).await;
    // The connection stands, but nobody is there any more.
    broker.signal("-STOP");
    outbox.add(Lane::Alarm, 1);
    until("left", || running.status.report().last_failure.is_some()).await;
    let report = running.status.report();
    assert_eq!(report.last_failure.map(|f| f.kind).as_deref(), Some("stalled"));
    assert_eq!(report.counts.stalls, 1);
    broker.signal("-CONT");
    until("found again", || running.status.is_connected()).await;
    until("sent again", || running.status.counts().published >= 2).await;
}

#[tokio::test]
async fn failures_are_told_apart() {
    let certificates = Certificates::new();
    let Some(broker) = Mosquitto::start(&certificates).await else { return };
    let foreign = Certificates::new();
    let closed = mosquitto::free_port();
    let dns = road("no-such-host.invalid", 1);
    for (certificates, address, kind, words) in [
        (&certificates, dns, "dns", "no-such-host"),
        (&certificates, local(closed), "connect", "refused"),
        (&foreign, local(broker.port), "tls", "another CA"),
        (&certificates.with_agent_of(&foreign), local(broker.port), "tls", "CA"),
    ] {
        let outbox = FakeOutbox::new();
        let running = start(certificates, address, &outbox);
        until("a failure", || running.status.report().last_failure.is_some()).await;
        let failure = running.status.report().last_failure.unwrap();
        assert_eq!(failure.kind, kind, "{failure:?}");
        assert!(failure.text.contains(words), "{failure:?}");
        running.stop.cancel();
        assert_eq!(running.task.await.unwrap(), Ended::WithRemainder);
        assert_eq!(running.status.report().phase, Phase::Stopped);
    }
}
