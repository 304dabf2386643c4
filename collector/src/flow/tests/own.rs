//! Faults that the collector finds by itself: paths that are not proven, ends of its own certificates.

use std::time::Duration;

use callhome_shared::alarm::{Alarm, Device, Transition};
use callhome_shared::envelope::Kind;
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::id::new_uuid;
use callhome_shared::probe::{Hop, Missing, PATH_TYPE, PathState};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use super::agent::{Agent, alarm};
use super::probes::probe;
use super::world::World;
use crate::diagnosis::ending::End;
use crate::flow::ending;
use crate::flow::paths::{self, Watch};
use crate::flow::tickets::{Action, desk, split};
use crate::link::Delivery;
use crate::store::tickets::TicketRow;
use crate::store::{agents, alarms};
use crate::ticket::State;

const DAY_MS: i64 = 86_400_000;

/// A heartbeat of an agent that probes these sources every minute.
fn beat(agent: &Agent, sources: &[&str]) -> Delivery {
    let mut said: Heartbeat = serde_json::from_slice(&agent.beat(true, 0).payload).unwrap();
    let missing = Missing { hop: Hop::Reader, since: Time(5), detail: "port gone".into() };
    let path = |source: &&str| PathState {
        source: (*source).into(),
        kind: "serial".into(),
        interval_s: 60,
        proven_at: None,
        ticket: None,
        took_ms: None,
        p50_ms: None,
        p99_ms: None,
        samples: 0,
        missing: Some(missing.clone()),
    };
    said.paths = sources.iter().map(path).collect();
    agent.heartbeat(said)
}

/// What the agent itself says of its path.
fn word(agent: &Agent, source: &str, id: uuid::Uuid, transition: Transition) -> Alarm {
    let device = Device { id: agent.id.to_string(), name: "x".into(), ..Device::default() };
    Alarm { kind: PATH_TYPE.into(), device, ..alarm(id, source, transition) }
}

struct Looker<'a> {
    world: &'a World,
    watch: Watch,
    start: Time,
}

impl<'a> Looker<'a> {
    fn new(world: &'a World) -> Self {
        Looker { world, watch: Watch::default(), start: Time::now() }
    }

    fn at(&self, seconds: i64) -> Time {
        self.start.plus_ms(seconds * 1000)
    }

    async fn look(&mut self, seconds: i64) {
        let (now, World { db, events, metrics, .. }) = (self.at(seconds), self.world);
        let every = Duration::from_secs(3600);
        paths::look(db, events, metrics, &mut self.watch, now, every).await.unwrap();
    }

    async fn prove(&self, agent: &mut Agent, source: &str, seconds: i64) {
        let sent = agent.send(Kind::Probe, &probe(source, new_uuid()));
        self.world.feed([sent]).await;
        let sql = "UPDATE probes SET proven_at = $1 WHERE source = $2 AND agent_id = $3";
        let args = crate::args![self.at(seconds), source, agent.id.as_str()];
        self.world.db.execute(sql, args).await.unwrap();
    }
}

fn stands(ticket: &TicketRow) -> bool {
    ticket.condition_cleared_at.is_none()
}

pub(super) async fn a_missed_path_is_a_ticket(world: World) {
    let mut agent = Agent::new("a-1");
    let mut looker = Looker::new(&world);
    world.feed([beat(&agent, &["tty", "log"])]).await;
    looker.prove(&mut agent, "log", 0).await;
    looker.look(1).await;
    looker.look(100).await;
    assert_eq!(world.tickets().await, vec![]);
    looker.prove(&mut agent, "log", 100).await;
    looker.look(110).await;
    let ticket = world.ticket().await;
    assert_eq!(
        (&*ticket.kind, &*ticket.resource, &*ticket.device_name, &*ticket.severity),
        (PATH_TYPE, "tty", "a-1", "major")
    );
    assert_eq!(ticket.title.key, "path.missed");
    assert_eq!(
        (&*ticket.title.arguments["hop"], &*ticket.title.arguments["source"]),
        ("reader", "tty")
    );
    assert!(ticket.text.contains("it never was; stuck at reader"), "{}", ticket.text);
    assert_eq!(ticket.site.as_deref(), Some("SH-01"));

    // Said once, also by a collector that has started anew, and while the agent is away.
    looker.look(120).await;
    let mut again = Looker { watch: Watch::default(), world: &world, start: looker.start };
    again.look(121).await;
    world.feed([agent.beat(false, 0)]).await;
    looker.look(130).await;
    again.look(130).await;
    let ticket = world.ticket().await;
    assert!(stands(&ticket) && ticket.recurrences == 0);
    // The same fault again is the same ticket, until it is closed.
    world.feed([beat(&agent, &["tty", "log"])]).await;
    looker.prove(&mut agent, "tty", 131).await;
    looker.prove(&mut agent, "log", 131).await;
    looker.look(132).await;
    let ticket = world.ticket().await;
    assert!(!stands(&ticket));
    looker.prove(&mut agent, "log", 200).await;
    looker.look(240).await;
    let ticket = world.ticket().await;
    assert_eq!((stands(&ticket), ticket.recurrences), (true, 1));
    let events = crate::store::timeline::of_ticket(&world.db, &ticket.id, 10).await.unwrap();
    assert!(events.iter().all(|e| e.who == "collector"), "{events:?}");
    assert!(events.iter().any(|e| e.detail.contains("\"reason\":\"proven\"")), "{events:?}");
    world.take(&ticket.number, &[State::InDiagnosis, State::Resolved, State::Closed]).await;
    looker.look(241).await;
    assert_eq!(world.tickets().await.len(), 1, "closed while it stands: it was told");
}

pub(super) async fn a_missed_path_that_is_not_to_be_proven_is_over(world: World) {
    let (agent, other) = (Agent::new("a-1"), Agent::new("a-2"));
    let mut looker = Looker::new(&world);
    world.feed([beat(&agent, &["tty", "log"]), beat(&other, &["tty"])]).await;
    // Not one that no configuration can hold.
    world.feed([beat(&other, &["tty", "a\0b", ""])]).await;
    for seconds in [0, 106, 110] {
        looker.look(seconds).await;
    }
    assert_eq!(world.tickets().await.len(), 3);
    world.feed([beat(&agent, &["log"])]).await;
    let mut tx = world.db.begin().await.unwrap();
    assert!(agents::revoke(&mut tx, "a-2", Time::now()).await.unwrap());
    tx.commit().await.unwrap();
    looker.look(111).await;
    let standing: Vec<(String, String)> = world
        .tickets()
        .await
        .into_iter()
        .filter(stands)
        .map(|t| (t.agent_id, t.resource))
        .collect();
    assert_eq!(standing, [("a-1".to_owned(), "log".to_owned())]);
    // So many and no more.
    let many: Vec<String> = (0..100).map(|n| format!("s{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    world.feed([beat(&agent, &many)]).await;
    for seconds in [112, 230, 231] {
        looker.look(seconds).await;
    }
    let sql = "SELECT COUNT(*) AS n FROM alarms WHERE own = 1 AND active = 1";
    assert_eq!(world.count(sql).await, 64);
}

pub(super) async fn a_list_that_leaves_paths_out_closes_nothing(world: World) {
    let mut agent = Agent::new("a-1");
    let mut looker = Looker::new(&world);
    world.feed([beat(&agent, &["tty", "log", "far"])]).await;
    looker.look(0).await;
    looker.look(110).await;
    let standing = async || {
        let tickets = world.tickets().await.into_iter().filter(stands);
        let mut all: Vec<String> = tickets.map(|t| t.resource).collect();
        all.sort();
        all.join(" ")
    };
    assert_eq!(standing().await, "far log tty");
    // Two found no place: nothing is known of them.
    let mut cut: Heartbeat = serde_json::from_slice(&beat(&agent, &["tty"]).payload).unwrap();
    cut.paths_left_out = 2;
    world.feed([agent.heartbeat(cut.clone())]).await;
    for seconds in [111, 112, 300] {
        looker.look(seconds).await;
        assert_eq!(standing().await, "far log tty", "after {seconds} s");
    }
    // A proof is a proof, named or not.
    looker.prove(&mut agent, "log", 301).await;
    looker.look(302).await;
    assert_eq!(standing().await, "far tty");
    // The same list as the whole one: the others are given up.
    cut.paths_left_out = 0;
    world.feed([agent.heartbeat(cut)]).await;
    looker.look(303).await;
    assert_eq!(standing().await, "tty");
}

pub(super) async fn both_sides_are_one_ticket(world: World) {
    let mut agent = Agent::new("a-1");
    let mut looker = Looker::new(&world);
    let heartbeat = beat(&agent, &["tty"]);
    world.feed([heartbeat.clone()]).await;
    looker.look(0).await;
    looker.look(110).await;
    // The collector first: the agent confirms it.
    let life = new_uuid();
    let said = word(&agent, "tty", life, Transition::Raised);
    let sent = agent.alarm(&said);
    world.feed([sent.clone(), sent]).await;
    let ticket = world.ticket().await;
    assert_eq!((stands(&ticket), ticket.recurrences), (true, 0));
    assert_eq!(world.timeline(&ticket).await.iter().filter(|w| *w == "confirmed").count(), 1);
    world.check().await;
    // It is over when neither says it.
    looker.prove(&mut agent, "tty", 111).await;
    looker.look(112).await;
    assert!(stands(&world.ticket().await));
    let said = word(&agent, "tty", life, Transition::Cleared);
    let sent = agent.alarm(&said);
    world.feed([sent]).await;
    assert!(!stands(&world.ticket().await));
    // The agent first: the collector has nothing to add.
    let said = word(&agent, "tty", new_uuid(), Transition::Raised);
    let sent = agent.alarm(&said);
    world.feed([sent]).await;
    looker.look(230).await;
    looker.look(240).await;
    let ticket = world.ticket().await;
    assert_eq!((stands(&ticket), ticket.recurrences), (true, 1));
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM alarms WHERE own = 1").await, 1);
}

pub(super) async fn what_both_sides_told_is_split_off_whole(world: World) {
    let mut agent = Agent::new("a-1");
    let mut looker = Looker::new(&world);
    world.feed([beat(&agent, &["tty"])]).await;
    looker.look(0).await;
    looker.look(110).await;
    let sent = agent.alarm(&word(&agent, "tty", new_uuid(), Transition::Raised));
    world.feed([sent]).await;
    let (_, raise) = agent.raise_at("Fan 1", Severity::Minor);
    world.feed([raise]).await;
    let (db, events) = (&world.db, &world.events);
    let go = |number| Action { user: "li", number, at: Time::now() };
    let (_, one) = desk::merge(db, events, go("T-000002"), 1, "T-000001").await.unwrap();
    assert_eq!(one.recurrences, 1);
    world.check().await;
    // One of the two words of the same fault is named: both go, and neither is a recurrence.
    let paths = "SELECT alarm_id FROM alarms WHERE own = 1";
    let named = world.db.read_one(paths, vec![]).await.unwrap().unwrap().text("alarm_id").unwrap();
    let (rest, new) =
        split::split(db, events, go("T-000001"), one.version, &[named], "x").await.unwrap();
    assert_eq!((rest.recurrences, new.recurrences), (0, 0));
    assert_eq!(alarms::of_ticket(db, &new.id, 9).await.unwrap().len(), 2);
    assert_eq!(world.timeline(&new).await.iter().filter(|w| *w == "confirmed").count(), 1);
    world.check().await;
}

pub(super) async fn a_certificate_of_ours_that_ends_is_a_ticket(world: World) {
    let start = Time::now();
    let end = |what, days: i64| End {
        what,
        name: "CN=collector".into(),
        from: start.plus_ms(-300 * DAY_MS),
        to: start.plus_ms(days * DAY_MS),
    };
    let look = async |days: i64, ends: &[End]| {
        let now = start.plus_ms(days * DAY_MS);
        let World { db, events, metrics, .. } = &world;
        ending::look(db, "main", ends, events, metrics, now).await.unwrap();
        // Another collector on the same database has nothing to do with it.
        ending::look(db, "two", &[], events, metrics, now).await.unwrap();
    };
    let ends = [end("server", 65), end("ca", 5000)];
    look(0, &ends).await;
    assert_eq!(world.tickets().await, vec![]);
    for (day, severity, priority) in [
        (36, "warning", "p4"),
        (37, "warning", "p4"),
        (59, "major", "p2"),
        (64, "major", "p2"),
        (66, "critical", "p1"),
    ] {
        look(day, &ends).await;
        let ticket = world.ticket().await;
        assert_eq!((&*ticket.severity, &*ticket.priority), (severity, priority), "day {day}");
        assert_eq!((&*ticket.kind, &*ticket.resource), ("certificate-ending", "server"));
        assert_eq!((&*ticket.agent_id, &*ticket.device_name), ("", "main"));
        assert!(stands(&ticket));
    }
    let ticket = world.ticket().await;
    assert_eq!(ticket.title.key, "certificate.ending", "a title stays");
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM alarms").await, 1, "one life");
    assert_eq!(world.timeline(&ticket).await.iter().filter(|w| *w == "severity").count(), 2);
    // Renewed.
    look(66, &[end("server", 400), end("ca", 5000)]).await;
    let ticket = world.ticket().await;
    assert!(!stands(&ticket));
    look(67, &[end("server", 400), end("ca", 80)]).await;
    assert_eq!(world.tickets().await.len(), 2, "the CA is another fault");
    world.check().await;
}
