//! Sources that read by a plan: their rules come with it, and what it no longer watches ends.

use std::collections::BTreeMap;

use super::*;
use crate::rule::RuleSet;

fn rule(pack: &str) -> Arc<Rule> {
    let states = BTreeMap::from([("1".to_owned(), None), ("2".to_owned(), Some(Severity::Major))]);
    Arc::new(Rule {
        pack: pack.to_owned(),
        version: "1".to_owned(),
        id: "fan".to_owned(),
        metric: format!("{pack}.fan"),
        condition: Condition::StateMap { states, otherwise: None, for_ms: 0 },
        damping: None,
        template: Template { kind: format!("{pack}-fan"), ..Template::default() },
    })
}

/// A batch of a poll: the plan's packs, if it was just chosen, and fans (pack, number, state).
fn poll(plan: Option<&[&str]>, fans: &[(&str, u8, f64)]) -> Batch {
    let readings = fans.iter().map(|(pack, fan, state)| Reading {
        metric: format!("{pack}.fan").into(),
        resource: format!("fan {fan}"),
        value: Value::Number(*state),
        unit: "".into(),
        origin: "SNMP".into(),
        labels: vec![],
        occurred_at: None,
        observed_at: Time::now(),
    });
    let rules = plan.map(|packs| RuleSet::new(packs.iter().map(|pack| rule(pack))));
    Batch { kind: SourceKind::Snmp, rules, readings: readings.collect(), ..batch("switch", &[]) }
}

async fn transitions(bench: &Bench) -> Vec<(Transition, String, String)> {
    let alarms = bench.alarms().await;
    alarms.into_iter().map(|a| (a.transition, a.kind, a.resource)).collect()
}

#[tokio::test]
async fn alarms_from_before_a_start_stand_until_the_plan_is_chosen() {
    let (_guard, path) = place();
    let bench = Bench::start(&path);
    bench.send(poll(None, &[("a", 9, 2.0)])).await;
    bench.send(poll(Some(&["a", "b"]), &[("a", 1, 2.0), ("b", 1, 2.0), ("b", 2, 2.0)])).await;
    let status = bench.until(|s| s.active_alarms == 3).await;
    assert_eq!(status.rule_states, 3, "what came before the plan was looked at by nobody");
    bench.end().await;

    let bench = Bench::start(&path);
    let status = bench.until(|s| !s.active_digest.is_empty()).await;
    assert_eq!((status.active_alarms, status.rule_states), (3, 3), "nothing is known of it yet");
    bench.ack_all().await;
    bench.send(poll(None, &[])).await;
    bench.send(poll(Some(&["b", "c"]), &[("b", 2, 1.0), ("c", 1, 2.0)])).await;
    bench.until(|s| s.active_alarms == 2 && s.counts.cleared == 2).await;
    let expected = [
        (Transition::Cleared, "a-fan", "fan 1"),
        (Transition::Cleared, "b-fan", "fan 2"),
        (Transition::Raised, "c-fan", "fan 1"),
    ];
    let expected = expected.map(|(t, kind, resource)| (t, kind.to_owned(), resource.to_owned()));
    assert_eq!(transitions(&bench).await, expected);
    assert_eq!(bench.status.borrow().rule_states, 2);
    bench.end().await;
}

#[tokio::test]
async fn another_plan_while_running_ends_what_only_the_old_one_watched() {
    let (_guard, path) = place();
    let bench = Bench::start(&path);
    for _ in 0..5 {
        // Handed over at once: they may be decided on in one transaction or in several.
        bench.send(poll(Some(&["a"]), &[("a", 1, 2.0)])).await;
        bench.send(poll(Some(&["b"]), &[("a", 1, 2.0), ("b", 1, 2.0)])).await;
    }
    bench.until(|s| s.counts.batches == 10).await;
    let told = transitions(&bench).await;
    let count = |wanted: Transition, kind: &str| {
        told.iter().filter(|(t, k, _)| *t == wanted && k == kind).count()
    };
    assert_eq!((count(Transition::Raised, "a-fan"), count(Transition::Cleared, "a-fan")), (5, 5));
    assert_eq!((count(Transition::Raised, "b-fan"), count(Transition::Cleared, "b-fan")), (5, 4));
    let status = bench.status.borrow().clone();
    assert_eq!((status.active_alarms, status.rule_states), (1, 1));
    bench.end().await;
}
