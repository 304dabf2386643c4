//! Shadow tickets: through the same tables, apart from everything that people see of faults.

use std::time::Duration;

use callhome_shared::alarm::Transition;
use callhome_shared::envelope::Kind;
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::id::new_uuid;
use callhome_shared::probe::{PROBE_TYPE, PathState, Probe};
use callhome_shared::time::Time;
use uuid::Uuid;

use super::agent::{Agent, alarm};
use super::world::World;
use crate::flow::paths::{self, Watch};
use crate::flow::{Event, sweep};
use crate::store::{self, alarms, probes};

/// A probe of `source` with an alarm life of its own.
pub(super) fn probe(source: &str, alarm_id: Uuid) -> Probe {
    let mut alarm = alarm(alarm_id, "", Transition::Raised);
    alarm.kind = PROBE_TYPE.into();
    alarm.qualifier = alarm_id.to_string();
    alarm.test = true;
    Probe {
        source: source.into(),
        source_kind: "serial".into(),
        started_at: Time::now(),
        interval_s: 60,
        alarm,
    }
}

async fn listed_alarms(world: &World) -> usize {
    let filter = alarms::Filter { limit: 100, ..Default::default() };
    alarms::list(&world.db, &filter).await.unwrap().len()
}

pub(super) async fn a_probe_becomes_a_shadow_ticket(world: World) {
    let mut agent = Agent::new("a-1");
    let mut events = world.events.subscribe();
    let sent = probe("tty", new_uuid());
    let delivery = agent.send(Kind::Probe, &sent);
    for _ in 0..2 {
        let answers = world.feed([delivery.clone()]).await;
        assert_eq!((answers.last_seq(), answers.reasons()), (1, vec![]));
        let [receipt] = answers.receipts.as_slice() else { panic!("{:?}", answers.receipts) };
        assert_eq!((receipt.alarm_id, &*receipt.ticket), (sent.alarm.alarm_id, "P-000001"));
    }
    assert_eq!(world.tickets().await, vec![], "not in the queue");
    assert_eq!(store::tickets::count_by_state(&world.db).await.unwrap(), vec![]);
    assert_eq!(listed_alarms(&world).await, 0);
    while let Ok(event) = events.try_recv() {
        assert!(matches!(event, Event::Agent { .. }), "{event:?}");
    }
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM devices").await, 0);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM cases WHERE closed_at IS NULL").await, 0);
    let shadow = store::tickets::get(&world.db, "P-000001").await.unwrap().unwrap();
    assert_eq!((shadow.shadow, &*shadow.state), (true, "closed"));
    assert_eq!(world.timeline(&shadow).await, ["opened", "cleared"]);
    // Real ones are numbered as if there were no probes, in the same batch too.
    let fault = alarm(new_uuid(), "PSU 1", Transition::Raised);
    let (before, after) = (probe("tty", new_uuid()), probe("log", new_uuid()));
    let mixed =
        [agent.send(Kind::Probe, &before), agent.alarm(&fault), agent.send(Kind::Probe, &after)];
    let answers = world.feed(mixed).await;
    let mut numbers: Vec<&str> = answers.receipts.iter().map(|r| &*r.ticket).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, ["P-000002", "P-000003", "T-000001"]);
    assert_eq!(
        (world.ticket().await.number.as_str(), listed_alarms(&world).await),
        ("T-000001", 1)
    );
    let newest = probes::newest(&world.db, Some("a-1")).await.unwrap();
    let newest: Vec<(&str, bool)> =
        newest.iter().map(|p| (&*p.source, p.ticket.starts_with("P-"))).collect();
    assert_eq!(newest, [("log", true), ("tty", true)]);
}

pub(super) async fn what_is_no_probe_is_refused(world: World) {
    let mut agent = Agent::new("a-1");
    let mut real = probe("tty", new_uuid());
    real.alarm.test = false;
    let mut other = probe("tty", new_uuid());
    other.alarm.kind = "psu-failed".into();
    let never = Probe { interval_s: 0, ..probe("tty", new_uuid()) };
    let bad = [&real, &other, &never].map(|probe| agent.send(Kind::Probe, probe));
    assert_eq!(world.feed(bad).await.reasons(), ["bad-payload"; 3]);
    // One life is proven once, and no real fault can be hidden behind a probe's life.
    let life = new_uuid();
    let fault = alarm(life, "PSU 1", Transition::Raised);
    let deliveries = [agent.alarm(&fault), agent.send(Kind::Probe, &probe("tty", life))];
    assert_eq!(world.feed(deliveries).await.reasons(), ["alarm-mismatch"]);
    let life = new_uuid();
    let first = agent.send(Kind::Probe, &probe("tty", life));
    let again = agent.send(Kind::Probe, &probe("tty", life));
    assert_eq!(world.feed([first, again]).await.reasons(), ["alarm-mismatch"]);
    let hidden = alarm(life, "PSU 2", Transition::Raised);
    let delivery = agent.alarm(&hidden);
    assert_eq!(world.feed([delivery]).await.reasons(), ["alarm-mismatch"]);
    assert_eq!(world.tickets().await.len(), 1);
}

pub(super) async fn old_shadow_tickets_go(world: World) {
    let mut agent = Agent::new("a-1");
    let fault = alarm(new_uuid(), "PSU 1", Transition::Raised);
    let first = agent.alarm(&fault);
    world.feed([first]).await;
    for source in ["tty", "log"] {
        let kept = usize::try_from(probes::KEPT_PER_PATH).unwrap();
        let sent: Vec<_> =
            (0..kept + 7).map(|_| agent.send(Kind::Probe, &probe(source, new_uuid()))).collect();
        world.feed(sent).await;
    }
    let all = probes::of_agent(&world.db, "a-1", 1000).await.unwrap();
    assert_eq!(all.len(), 114);
    sweep::sweep(&world.db, &world.events, &world.metrics, Time::now()).await.unwrap();
    let left = probes::of_agent(&world.db, "a-1", 1000).await.unwrap();
    assert_eq!(left.len(), 100);
    for (table, shadows) in [
        ("tickets", "SELECT COUNT(*) AS n FROM tickets WHERE shadow = 1"),
        ("alarms", "SELECT COUNT(*) AS n FROM alarms WHERE shadow = 1"),
    ] {
        assert_eq!(world.count(shadows).await, 100, "{table}");
    }
    for (table, all) in [
        ("cases", "SELECT COUNT(*) AS n FROM cases"),
        ("links", "SELECT COUNT(*) AS n FROM case_alarms"),
    ] {
        assert_eq!(world.count(all).await, 101, "{table}");
    }
    assert_eq!(world.ticket().await.number, "T-000001");
}

pub(super) async fn a_path_that_is_not_proven_is_missed(world: World) {
    let mut agent = Agent::new("a-1");
    let mut beat = agent.beat(true, 0);
    let mut said: Heartbeat = serde_json::from_slice(&beat.payload).unwrap();
    said.paths = vec![PathState {
        source: "tty".into(),
        kind: "serial".into(),
        interval_s: 60,
        proven_at: None,
        ticket: None,
        took_ms: None,
        p50_ms: None,
        p99_ms: None,
        samples: 0,
        missing: None,
    }];
    beat.payload = serde_json::to_vec(&said).unwrap().into();
    let mut watch = Watch::default();
    let every = Duration::from_secs(3600);
    let now = Time::now();
    let mut missed = async |seconds: i64| {
        let at = now.plus_ms(seconds * 1000);
        paths::look(&world.db, &world.events, &world.metrics, &mut watch, at, every).await.unwrap();
        watch.missed.len()
    };
    assert_eq!(missed(0).await, 0, "nobody says that there is a path");
    let first = agent.send(Kind::Probe, &probe("tty", new_uuid()));
    world.feed([beat.clone(), first]).await;
    assert_eq!((missed(1).await, missed(104).await), (0, 0));
    assert_eq!(missed(120).await, 1, "within two intervals");
    let sql = "UPDATE probes SET proven_at = $1";
    world.db.execute(sql, crate::args![now.plus_ms(119_000)]).await.unwrap();
    assert_eq!(missed(121).await, 0, "proven again");
    assert_eq!(missed(230).await, 1);
    let gone = agent.beat(false, 0);
    world.feed([gone]).await;
    assert_eq!(missed(231).await, 0, "a silent agent is another matter");
    world.feed([beat]).await;
    assert_eq!((missed(232).await, missed(300).await), (0, 0), "not for the time it was silent");
    assert_eq!(missed(340).await, 1);
}
