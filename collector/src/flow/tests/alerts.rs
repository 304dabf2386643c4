//! What Alertmanager's alerts make of tickets.

use std::collections::BTreeMap;

use callhome_shared::severity::Severity;
use callhome_shared::time::Time;

use super::World;
use super::agent::Agent;
use crate::alertmanager::{Alert, Mapping, Notification};
use crate::diagnosis::rules::{Rule, Rules, Then};
use crate::flow::alerts::{Intake, Source, Tally};
use crate::flow::diagnosis::Diagnosis;
use crate::ticket::State;

fn alert(disk: &str, firing: bool, start: i64) -> Alert {
    let labels = [
        ("alertname", "DiskFailing"),
        ("instance", "sto-1:9100"),
        ("device", disk),
        ("severity", "major"),
        ("site", "SH-01"),
    ];
    let words = |all: &[(&str, &str)]| -> BTreeMap<String, String> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    Alert {
        firing,
        labels: words(&labels),
        annotations: words(&[("summary", "failing")]),
        starts_at: Time(start),
        ends_at: (!firing).then_some(Time(start + 60_000)),
        generator: String::new(),
        fingerprint: format!("{:016x}", disk.bytes().fold(7_u64, |h, b| h * 31 + u64::from(b))),
    }
}

fn source(sites: &[&str]) -> Source {
    let sites = sites.iter().map(|site| (*site).to_owned()).collect();
    Source { id: "alertmanager:main".to_owned(), sites }
}

async fn take_from(world: &World, source: Source, alerts: Vec<Alert>) -> Tally {
    let mapping = Mapping::default();
    let intake = Intake {
        db: &world.db,
        diagnosis: &world.diagnosis,
        mapping: &mapping,
        events: &world.events,
        metrics: &world.metrics,
    };
    intake.take(&source, &Notification { alerts, truncated: 0 }).await.unwrap()
}

async fn take(world: &World, alerts: Vec<Alert>) -> (u64, u64, u64) {
    let tally = take_from(world, source(&[]), alerts).await;
    assert_eq!(tally.refused, []);
    (tally.taken, tally.known, tally.late)
}

pub(super) async fn an_alert_becomes_a_ticket_and_its_end_clears_it(world: World) {
    let fired = vec![alert("sda", true, 1000)];
    assert_eq!(take(&world, fired.clone()).await, (1, 0, 0));
    // Alertmanager repeats itself, and sends again what was not answered.
    assert_eq!(take(&world, fired).await, (0, 1, 0));
    let ticket = world.ticket().await;
    assert_eq!(
        (ticket.agent_id.as_str(), ticket.device_name.as_str()),
        ("alertmanager:main", "sto-1")
    );
    assert_eq!((ticket.severity.as_str(), ticket.text.as_str()), ("major", "failing"));
    assert_eq!(ticket.site.as_deref(), Some("SH-01"));
    assert_eq!(take(&world, vec![alert("sda", false, 1000)]).await, (1, 0, 0));
    assert_eq!(take(&world, vec![alert("sda", false, 1000)]).await, (0, 0, 1));
    let ticket = world.ticket().await;
    assert!(ticket.condition_cleared_at.is_some());
    assert_eq!(world.timeline(&ticket).await, ["opened", "cleared"]);
    let who = "SELECT COUNT(*) AS n FROM ticket_events WHERE who = 'alertmanager:main'";
    assert_eq!(world.count(who).await, 2);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM evidence").await, 1);
    world.check().await;
}

pub(super) async fn another_start_is_the_same_fault_and_a_late_word_none(world: World) {
    take(&world, vec![alert("sda", true, 1000)]).await;
    // Prometheus was started anew.
    assert_eq!(take(&world, vec![alert("sda", true, 900_000)]).await, (0, 1, 0));
    assert_eq!(take(&world, vec![alert("sda", false, 900_000)]).await, (1, 0, 0));
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM alarms WHERE active = 1").await, 0);
    // The other member of the cluster is late with the start that was told first.
    assert_eq!(take(&world, vec![alert("sda", true, 1000)]).await, (0, 0, 1));
    assert!(world.ticket().await.condition_cleared_at.is_some());
    // With another start it is a new life of the fault.
    assert_eq!(take(&world, vec![alert("sda", true, 2_000_000)]).await, (1, 0, 0));
    let ticket = world.ticket().await;
    assert_eq!((ticket.recurrences, ticket.condition_cleared_at), (1, None));
    world.check().await;
}

pub(super) async fn what_fired_again_with_the_same_start_is_not_lost(world: World) {
    take(&world, vec![alert("sda", true, 1000)]).await;
    take(&world, vec![alert("sda", false, 1000)]).await;
    // Prometheus was away for two minutes; the alert comes with its old start.
    let ago = "UPDATE alarms SET last_at = last_at - 120000";
    world.db.execute(ago, vec![]).await.unwrap();
    assert_eq!(take(&world, vec![alert("sda", true, 1000)]).await, (1, 0, 0));
    assert_eq!(take(&world, vec![alert("sda", true, 1000)]).await, (0, 1, 0));
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM alarms WHERE active = 1").await, 1);
    assert_eq!(world.ticket().await.recurrences, 1);
    world.check().await;
}

pub(super) async fn a_flood_of_alerts_is_taken_once_by_two_at_once(world: World) {
    let flood: Vec<Alert> = (0..300).map(|n| alert(&format!("sd{n}"), true, 1000 + n)).collect();
    let (one, two) = tokio::join!(take(&world, flood.clone()), take(&world, flood.clone()));
    assert_eq!((one.0 + two.0, one.1 + two.1), (300, 300), "{one:?} {two:?}");
    assert_eq!(world.tickets().await.len(), 300);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM alarms").await, 300);
    // One that began and ended before anybody said so is a fault, too; one body may hold both words.
    let both = vec![alert("x", true, 5000), alert("x", false, 5000), alert("y", false, 5000)];
    assert_eq!(take(&world, both).await, (3, 0, 0));
    assert_eq!(world.tickets().await.len(), 302);
    world.check().await;
}

pub(super) async fn a_token_for_a_site_speaks_for_that_site_alone(world: World) {
    take(&world, vec![alert("sda", true, 1000)]).await;
    let mut foreign = alert("sda", false, 1000);
    let tally = take_from(&world, source(&["BJ-01"]), vec![foreign.clone()]).await;
    assert_eq!((tally.taken, tally.refused.len()), (0, 1));
    assert!(tally.refused[0].why.contains("SH-01"), "{tally:?}");
    // With its own site in the label it is about a device of its own.
    foreign.labels.insert("site".to_owned(), "BJ-01".to_owned());
    let tally = take_from(&world, source(&["BJ-01"]), vec![foreign]).await;
    assert_eq!((tally.taken, tally.refused.len()), (1, 0));
    let standing =
        "SELECT COUNT(*) AS n FROM alarms WHERE active = 1 AND device_id = 'SH-01/sto-1'";
    assert_eq!(world.count(standing).await, 1, "the other site's fault stands");
    let kept = "SELECT COUNT(*) AS n FROM rejects WHERE agent_id = 'alertmanager:main'";
    assert_eq!(world.count(kept).await, 1);
    let said = Notification { alerts: Vec::new(), truncated: 7 };
    let mapping = Mapping::default();
    let intake = Intake {
        db: &world.db,
        diagnosis: &world.diagnosis,
        mapping: &mapping,
        events: &world.events,
        metrics: &world.metrics,
    };
    intake.take(&source(&[]), &said).await.unwrap();
    let lost = "SELECT COUNT(*) AS n FROM losses WHERE reason = 'truncated' AND count = 7";
    assert_eq!(world.count(lost).await, 1);
    world.check().await;
}

pub(super) async fn alerts_go_by_the_rules_of_diagnosis_and_beside_agents(mut world: World) {
    let never = Rule {
        name: "watchdogs".to_owned(),
        severities: vec![Severity::Major],
        types: vec!["Disk*".to_owned()],
        rules: vec!["alertmanager/*".to_owned()],
        sites: Vec::new(),
        devices: Vec::new(),
        then: Then::Never,
    };
    let rules = Rules { call_home: vec![never], ..Rules::default() };
    world.diagnosis = std::sync::Arc::new(Diagnosis::new(rules));
    assert_eq!(take(&world, vec![alert("sda", true, 1000)]).await, (1, 0, 0));
    assert_eq!(world.tickets().await.len(), 0);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM alarms").await, 1);
    world.feed([Agent::new("a-1").raise("PSU 1").1]).await;
    let ticket = world.ticket().await;
    assert_eq!(ticket.agent_id, "a-1");
    world.take(&ticket.number, &[State::InDiagnosis, State::Resolved, State::Closed]).await;
    world.check().await;
}
