//! What waits, what follows from what, what opens nothing: the engine with its rows.

use std::sync::Arc;

use callhome_shared::alarm::{Alarm, Device, Transition};
use callhome_shared::id::new_uuid;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use uuid::Uuid;

use super::World;
use super::agent::{self, Agent};
use crate::diagnosis::rules::{Rule, Rules, Then};
use crate::flow::diagnosis::Diagnosis;
use crate::link::Delivery;
use crate::masters::Kind;
use crate::store::masters::{self, Master};
use crate::store::tickets::TicketRow;
use crate::store::{decisions, timeline};
use crate::ticket::State;

/// The installed base: a feed, a PDU and a switch on it, `devices` behind both.
async fn install(world: &World, devices: usize) {
    let one = |id: String, hangs_on: &str, powered_by: &str| {
        let mut values: crate::masters::Values =
            Kind::Devices.fields().iter().map(|field| (field.name, String::new())).collect();
        values.insert("hangs_on", hangs_on.to_owned());
        values.insert("powered_by", powered_by.to_owned());
        Master {
            id,
            values,
            to_complete: false,
            version: 1,
            updated_at: Time(1),
            updated_by: "cli:test".into(),
        }
    };
    let mut all = vec![one("PDU".into(), "", "FEED"), one("SWITCH".into(), "", "PDU")];
    all.extend((0..devices).map(|n| one(format!("D{n:03}"), "SWITCH", "PDU")));
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let mut tx = world.db.begin().await.unwrap();
    masters::save(&mut tx, Kind::Devices, &all).await.unwrap();
    tx.commit().await.unwrap();
}

/// A fault of a device of the house.
fn fault(device: &str, kind: &str, part: &str, severity: Severity) -> Alarm {
    Alarm {
        severity,
        kind: kind.into(),
        device: Device {
            id: device.into(),
            name: format!("name of {device}"),
            serial: Some(device.into()),
            model: Some("M".into()),
            ..Device::default()
        },
        ..agent::alarm(new_uuid(), part, Transition::Raised)
    }
}

fn then(alarm: &Alarm, transition: Transition, severity: Severity) -> Alarm {
    Alarm { transition, severity, raised_at: Some(alarm.observed_at), ..alarm.clone() }
}

/// A sequence from a seed: xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(n).unwrap()).unwrap()
    }
}

/// Later than every wait.
fn later() -> Time {
    Time::now().plus_ms(31_000)
}

impl World {
    async fn standing(&self) -> Vec<TicketRow> {
        self.tickets().await.into_iter().filter(|t| t.state != "merged").collect()
    }

    /// Diagnosis looks until nothing waits.
    async fn find_all(&self) {
        for n in 1..10 {
            self.find_out(Time::now().plus_ms(31_000 * n)).await;
        }
        assert_eq!(decisions::waiting(&self.db).await.unwrap(), 0);
    }
}

pub(super) async fn ten_thousand_events_of_one_feed_and_a_disk_are_two_tickets(world: World) {
    install(&world, 200).await;
    let mut agents = [Agent::new("a-1"), Agent::new("a-2")];
    let mut left: Vec<(usize, Alarm)> = vec![
        (0, fault("FEED", "power-lost", "", Severity::Major)),
        (0, fault("PDU", "input-power-bad", "", Severity::Major)),
        (1, fault("SWITCH", "device-unreachable", "", Severity::Critical)),
        (1, fault("D007", "disk-failed", "Disk 3", Severity::Minor)),
    ];
    for n in 0..200 {
        let device = format!("D{n:03}");
        left.push((n % 2, fault(&device, "device-unreachable", "", Severity::Critical)));
        for part in ["PSU 1", "PSU 2"] {
            left.push((n % 2, fault(&device, "psu-failed", part, Severity::Minor)));
        }
    }
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut told: Vec<(usize, Alarm)> = Vec::new();
    let mut events: Vec<Delivery> = Vec::new();
    while events.len() < 10_000 {
        if !left.is_empty() && (told.is_empty() || dice.below(4) == 0) {
            let (of, one) = left.swap_remove(dice.below(left.len()));
            events.push(agents[of].alarm(&one));
            told.push((of, one));
        } else {
            let (of, one) = told[dice.below(told.len())].clone();
            let severity = if dice.below(2) == 0 { Severity::Minor } else { Severity::Major };
            events.push(agents[of].alarm(&then(&one, Transition::Changed, severity)));
        }
    }
    assert!(left.is_empty() && told.iter().any(|(_, one)| one.device.id == "FEED"));
    let started = std::time::Instant::now();
    for (n, some) in events.chunks(1000).enumerate() {
        world.feed(some.iter().cloned()).await;
        // However slow the machine: nothing gives up waiting before the cause is told.
        if n >= 4 {
            world.find_out(Time::now().plus_ms(6_000)).await;
        }
    }
    let fed = started.elapsed();
    world.find_all().await;
    println!("10000 events: {fed:?} with looks, {:?} until all was decided", started.elapsed());
    let tickets = world.tickets().await;
    assert_eq!(tickets.len(), 2, "{:?}", tickets.iter().map(|t| &t.kind).collect::<Vec<_>>());
    world.check().await;
    let feed = tickets.iter().find(|t| t.kind == "power-lost").unwrap();
    assert_eq!(feed.severity, "critical", "the worst of its consequences");
    assert_eq!(decisions::counts(&world.db, &feed.id).await.unwrap(), (1, 602, 602));
    let told = timeline::of_ticket(&world.db, &feed.id, 1000).await.unwrap();
    assert!(told.len() < 40, "{}", told.len());
    let disk = tickets.iter().find(|t| t.kind == "disk-failed").unwrap();
    assert_eq!(decisions::counts(&world.db, &disk.id).await.unwrap(), (1, 0, 0));
}

pub(super) async fn a_cause_that_comes_late_takes_what_nobody_touched(world: World) {
    install(&world, 3).await;
    let mut agent = Agent::new("a-1");
    let away: Vec<Alarm> = (0..3)
        .map(|n| fault(&format!("D{n:03}"), "device-unreachable", "", Severity::Major))
        .collect();
    world.feed(away.iter().map(|one| agent.alarm(one))).await;
    assert_eq!(world.tickets().await.len(), 0, "they wait for their cause");
    world.check().await;
    world.find_out(later()).await;
    assert_eq!(world.tickets().await.len(), 3, "nothing explains them");
    let touched = world.tickets().await[0].number.clone();
    world.take(&touched, &[State::InDiagnosis]).await;
    let feed = fault("FEED", "power-lost", "", Severity::Minor);
    world.feed([agent.alarm(&feed)]).await;
    world.find_out(later()).await;
    let standing = world.standing().await;
    assert_eq!(standing.len(), 2);
    let taker = standing.iter().find(|t| t.kind == "power-lost").unwrap();
    assert_eq!((taker.severity.as_str(), taker.recurrences), ("major", 0));
    assert_eq!(decisions::counts(&world.db, &taker.id).await.unwrap(), (1, 2, 2));
    assert!(standing.iter().any(|t| t.number == touched), "somebody works on it");
    world.check().await;
    // Two collectors that look at once, and once more: nothing changes.
    let again = later();
    tokio::join!(world.find_out(again), world.find_out(again));
    assert_eq!(world.standing().await.len(), 2);
    world.check().await;
}

pub(super) async fn a_consequence_that_comes_again_alone_is_a_fault_of_its_own(world: World) {
    install(&world, 1).await;
    let mut agent = Agent::new("a-1");
    let feed = fault("FEED", "power-lost", "", Severity::Major);
    let away = fault("D000", "device-unreachable", "", Severity::Major);
    world.feed([agent.alarm(&feed), agent.alarm(&away)]).await;
    world.find_out(Time::now().plus_ms(6_000)).await;
    let ticket = world.ticket().await;
    assert_eq!(decisions::counts(&world.db, &ticket.id).await.unwrap(), (1, 1, 1));
    assert!(world.timeline(&ticket).await.contains(&"consequence".to_owned()));
    // The cause is over; the consequence still stands, and so does the ticket's condition.
    world.feed([agent.alarm(&then(&feed, Transition::Cleared, Severity::Major))]).await;
    assert_eq!(world.ticket().await.condition_cleared_at, None);
    world.check().await;
    // It gets worse: the ticket does.
    world.feed([agent.alarm(&then(&away, Transition::Changed, Severity::Critical))]).await;
    assert_eq!(world.ticket().await.severity, "critical");
    world.feed([agent.alarm(&then(&away, Transition::Cleared, Severity::Critical))]).await;
    assert!(world.ticket().await.condition_cleared_at.is_some());
    world.check().await;
    // A life much later, without the cause.
    let hour = 3_600_000;
    let alone =
        Alarm { alarm_id: new_uuid(), observed_at: Time::now().plus_ms(hour), ..away.clone() };
    world.feed([agent.alarm(&alone)]).await;
    world.find_out(later()).await;
    let all = world.standing().await;
    assert_eq!(all.len(), 2);
    assert_eq!((all[1].kind.as_str(), all[1].recurrences), ("device-unreachable", 0));
    world.check().await;
    // The first one is closed and opened again: its cases do not meet the other ticket's.
    world.take(&all[0].number, &[State::InDiagnosis, State::Resolved, State::Closed]).await;
    world.check().await;
    world.take(&all[0].number, &[State::InDiagnosis]).await;
    world.check().await;
}

fn rule(name: &str, severity: Severity, then: Then) -> Rule {
    Rule {
        name: name.into(),
        severities: vec![severity],
        types: vec![],
        rules: vec![],
        sites: vec![],
        devices: vec![],
        then,
    }
}

fn by(world: World, call_home: Vec<Rule>) -> World {
    let rules = Rules { call_home, ..Rules::default() };
    World { diagnosis: Arc::new(Diagnosis::new(rules)), ..world }
}

pub(super) async fn transients_are_held_down_and_flapping_is_one_ticket(world: World) {
    let world = by(world, vec![rule("a minute", Severity::Minor, Then::Hold(60_000))]);
    let mut agent = Agent::new("a-1");
    let life = |_| fault("D000", "fan-failed", "Fan 1", Severity::Minor);
    let lives: Vec<Alarm> = (0..8).map(life).collect();
    for (n, one) in lives.iter().enumerate() {
        let over = then(one, Transition::Cleared, Severity::Minor);
        let answers = world.feed([agent.alarm(one), agent.alarm(&over)]).await;
        assert_eq!(answers.last_seq(), agent.seq, "acknowledged like any other");
        assert_eq!(world.tickets().await.len(), usize::from(n >= 4), "life {n}");
        world.check().await;
    }
    let ticket = world.ticket().await;
    assert!(ticket.service.flapping);
    assert_eq!(ticket.recurrences, 3);
    assert_eq!(decisions::transients(&world.db, &ticket.id).await.unwrap(), 4);
    let told = world.timeline(&ticket).await;
    assert_eq!(told.iter().filter(|what| *what == "flapping").count(), 1, "{told:?}");
    // One that stays is a ticket when its time is over, and not before.
    let stays = fault("D001", "fan-failed", "Fan 1", Severity::Minor);
    world.feed([agent.alarm(&stays)]).await;
    world.find_out(later()).await;
    assert_eq!(world.tickets().await.len(), 1);
    world.find_out(Time::now().plus_ms(61_000)).await;
    assert_eq!(world.tickets().await.len(), 2);
    world.check().await;
    // One that gets worse does not wait any longer.
    let worse = fault("D002", "fan-failed", "Fan 1", Severity::Minor);
    world.feed([agent.alarm(&worse)]).await;
    world.feed([agent.alarm(&then(&worse, Transition::Changed, Severity::Major))]).await;
    let all = world.tickets().await;
    assert_eq!((all.len(), all[2].severity.as_str()), (3, "major"));
    world.check().await;
}

pub(super) async fn what_never_calls_home_does_when_it_gets_worse(world: World) {
    let world = by(world, vec![rule("quiet", Severity::Warning, Then::Never)]);
    let mut agent = Agent::new("a-1");
    let quiet = fault("D000", "fan-failed", "Fan 1", Severity::Warning);
    world.feed([agent.alarm(&quiet)]).await;
    world.find_all().await;
    assert_eq!(world.tickets().await.len(), 0);
    let row = decisions::of_alarm(&world.db, &quiet.alarm_id.to_string()).await.unwrap().unwrap();
    assert_eq!((row.outcome.as_str(), row.rule.as_deref()), ("recorded", Some("quiet")));
    world.check().await;
    world.feed([agent.alarm(&then(&quiet, Transition::Changed, Severity::Major))]).await;
    assert_eq!(world.ticket().await.severity, "major");
    world.check().await;
    // Tests always open a ticket.
    let test = Alarm { test: true, alarm_id: Uuid::new_v4(), ..quiet };
    world.feed([agent.alarm(&test)]).await;
    assert_eq!(world.tickets().await.len(), 2);
}

pub(super) async fn an_agents_parent_explains_too(world: World) {
    let mut agent = Agent::new("a-1");
    let mut away = fault("D000", "source-unreadable", "log", Severity::Minor);
    away.device.parent = Some("name of SWITCH".into());
    away.device.parent_resource = Some("Gi1/0/7".into());
    world.feed([agent.alarm(&away)]).await;
    assert_eq!(world.tickets().await.len(), 0, "a device's first alarm tells of its parent");
    let port = fault("SWITCH", "port-down", "interface Gi1/0/7", Severity::Major);
    world.feed([agent.alarm(&port)]).await;
    world.find_out(Time::now().plus_ms(6_000)).await;
    let ticket = world.ticket().await;
    assert_eq!(ticket.kind, "port-down");
    let all = decisions::consequences(&world.db, &ticket.id, 10).await.unwrap();
    assert_eq!(all.len(), 1);
    let detail: serde_json::Value = serde_json::from_str(&all[0].detail).unwrap();
    assert_eq!(detail["cause"]["relation"], "parent");
    assert_eq!(detail["cause"]["path"], serde_json::json!(["name of SWITCH"]));
    world.check().await;
}

pub(super) async fn the_same_fault_on_three_sites_is_a_problem_of_the_fleet(world: World) {
    let mut agent = Agent::new("a-1");
    let mut at = |site: &str, n: u8| {
        let mut one = fault(&format!("F{n}"), "disk-failed", "Disk 1", Severity::Minor);
        one.device.site = Some(site.into());
        agent.alarm(&one)
    };
    let two = [at("S1", 1), at("S1", 2), at("S2", 3)];
    world.feed(two).await;
    world.find_all().await;
    let fleet = |told: Vec<String>| told.iter().filter(|what| *what == "fleet").count();
    for ticket in world.tickets().await {
        assert_eq!(fleet(world.timeline(&ticket).await), 0, "two sites");
    }
    world.feed([at("S3", 4)]).await;
    world.find_all().await;
    world.feed([at("S1", 5)]).await;
    world.find_all().await;
    let all = world.tickets().await;
    assert_eq!(all.len(), 5);
    for ticket in &all {
        assert_eq!(fleet(world.timeline(ticket).await), 1, "{}", ticket.number);
    }
    let of = crate::store::fleet::of_ticket(&world.db, &all[0].id).await.unwrap().unwrap();
    assert_eq!((of.sites, of.others.len(), of.model.as_str()), (3, 4, "M"));
    world.check().await;
}
