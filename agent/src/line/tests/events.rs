//! One fault told by an event and by a poll is one alarm, and either may end it.

use std::collections::BTreeMap;

use super::*;
use crate::rule::RuleSet;

const IDENTITY: (&str, &str) = ("psu", "PSU 1");

fn polled(state: f64) -> Batch {
    let states = BTreeMap::from([("1".to_owned(), None), ("2".to_owned(), Some(Severity::Major))]);
    let rule = Arc::new(Rule {
        pack: "p".to_owned(),
        version: "1".to_owned(),
        id: "psu".to_owned(),
        metric: "psu".to_owned(),
        condition: Condition::StateMap { states, otherwise: None, for_ms: 0 },
        damping: None,
        template: Template { kind: IDENTITY.0.to_owned(), ..Template::default() },
    });
    let reading = Reading {
        metric: "psu".into(),
        resource: IDENTITY.1.to_owned(),
        value: Value::Number(state),
        unit: "".into(),
        origin: "SNMP".into(),
        labels: vec![],
        occurred_at: None,
        observed_at: Time::now(),
    };
    let rules = Some(RuleSet::new([rule]));
    Batch { kind: SourceKind::Snmp, rules, readings: vec![reading], ..batch("switch", &[]) }
}

/// The line's own rules of these tests raise and clear by lines.
fn line(text: &str) -> Batch {
    batch("log", &[text])
}

async fn told(bench: &Bench) -> Vec<(Transition, uuid::Uuid)> {
    bench.alarms().await.into_iter().map(|a| (a.transition, a.alarm_id)).collect()
}

#[tokio::test]
async fn a_poll_ends_what_an_event_raised_though_it_never_saw_it_bad() {
    let (_guard, path) = place();
    let bench = Bench::start(&path);
    bench.send(line("PSU 1 failed")).await;
    let status = bench.until(|s| s.counts.raised == 1).await;
    assert_eq!(status.active_alarms, 1);
    let kind = bench.alarms().await[0].kind.clone();
    assert_eq!(kind, IDENTITY.0, "the two rules must mean one fault");
    // What was read before the event proves nothing.
    let mut early = polled(1.0);
    early.readings[0].observed_at = Time::now().plus_ms(-60_000);
    bench.send(early).await;
    bench.until(|s| s.counts.batches == 2).await;
    assert_eq!(bench.status.borrow().active_alarms, 1);
    bench.send(polled(2.0)).await;
    bench.until(|s| s.counts.batches == 3).await;
    assert_eq!(bench.status.borrow().counts.raised, 1, "the poll confirms: no second alarm");
    bench.end().await;
    // Known over a restart, too.
    let bench = Bench::start(&path);
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    bench.send(polled(1.0)).await;
    bench.until(|s| s.counts.cleared == 1).await;
    let all = told(&bench).await;
    let [(Transition::Raised, raised), (Transition::Cleared, cleared)] = all[..] else {
        panic!("{all:?}")
    };
    assert_eq!(raised, cleared, "one life");
    assert_eq!(bench.status.borrow().active_alarms, 0);
    bench.end().await;
}

#[tokio::test]
async fn an_event_ends_what_a_poll_raised() {
    let (_guard, path) = place();
    let bench = Bench::start(&path);
    bench.send(polled(2.0)).await;
    bench.until(|s| s.counts.raised == 1).await;
    bench.send(line("PSU 1 ok")).await;
    bench.until(|s| s.counts.cleared == 1).await;
    bench.send(polled(1.0)).await;
    let status = bench.until(|s| s.counts.batches == 3).await;
    assert_eq!((status.active_alarms, status.counts.raised, status.counts.cleared), (0, 1, 1));
    bench.end().await;
}
