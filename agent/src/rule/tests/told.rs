//! Faults that are told by the reading itself, and polls that look for their end.

use super::*;

fn told_rule() -> Arc<Rule> {
    let template = Template {
        kind: "${type}".to_owned(),
        qualifier: "${qualifier}".to_owned(),
        text: "${text}".to_owned(),
        ..Template::default()
    };
    Arc::new(Rule { template, ..(*rule("trap", "trap", Condition::Told)).clone() })
}

fn trap(resource: &str, severity: &str, ends_s: &str, at: i64) -> Reading {
    let text = "linkDown ifIndex=7".to_owned();
    let label = |name: &str, value: &str| (Arc::from(name), value.to_owned());
    Reading {
        resource: resource.to_owned(),
        value: Value::Line { text, truncated: false },
        labels: vec![
            label("trap", "linkDown"),
            label("type", "port-down"),
            label("severity", severity),
            label("ends_s", ends_s),
            label("text", "port 7 is down"),
        ],
        ..reading("trap", "", Value::Number(0.0), at)
    }
}

#[test]
fn a_trap_says_how_bad_it_is_and_when_it_is_over() {
    let mut bench = Bench::new(vec![told_rule()]);
    let raised = bench.read(&trap("port 7", "major", "", 1)).pop().unwrap();
    let identity = &raised.identity;
    assert_eq!((&*identity.kind, &*identity.resource), ("port-down", "port 7"));
    let Verdict::Raise(raise) = &raised.verdict else { panic!("{raised:?}") };
    assert_eq!((raise.severity, &*raise.text), (Severity::Major, "port 7 is down"));
    assert_eq!((raise.repeat, &*raise.message.key), (Repeat::Event, "trap.received"));
    assert_eq!(raise.message.arguments["trap"], "linkDown");
    let over = bench.read(&trap("port 7", "", "", 2)).pop().unwrap();
    assert_eq!(
        (over.verdict, over.identity),
        (Verdict::Clear { own_only: false }, raised.identity)
    );
    assert!(bench.engine.is_empty(), "nothing needs to be remembered of it");
    assert!(bench.read(&reading("trap", "", Value::Text("major".into()), 3)).is_empty());
}

#[test]
fn what_nothing_clears_ends_by_itself_even_after_a_restart() {
    let mut bench = Bench::new(vec![told_rule()]);
    assert_eq!(bench.short(&trap("a", "minor", "60", 0)), "+minor");
    assert_eq!(bench.short(&trap("b", "minor", "600", 0)), "+minor");
    assert_eq!(bench.short(&trap("a", "minor", "60", 30_000)), "+minor", "told again: it lasts on");
    assert!(bench.tick(60_000).is_empty());
    bench.restart(vec![told_rule()]);
    let ended = bench.tick(95_000).pop().unwrap();
    assert_eq!(
        (&*ended.identity.resource, ended.verdict),
        ("a", Verdict::Clear { own_only: true })
    );
    assert!(bench.tick(120_000).is_empty(), "once");
    assert_eq!(bench.engine.len(), 1);
    assert_eq!(bench.short(&trap("b", "", "", 130_000)), "-");
    assert!(bench.engine.is_empty());
}

#[test]
fn a_healthy_poll_is_told_only_where_an_event_said_otherwise() {
    let mut bench = Bench::new(vec![rule("port-down", "m", states(0))]);
    let up = |at| reading("m", "port 7", Value::Text("1".into()), at);
    assert_eq!(bench.short(&up(1)), "");
    bench.engine.look_for_ends(true);
    let told = bench.read(&up(2)).pop().unwrap();
    assert_eq!((&*told.identity.resource, &*told.identity.kind), ("port 7", "port-down"));
    assert_eq!(told.verdict, Verdict::Clear { own_only: true });
    assert!(bench.engine.is_empty());
    let unripe = rule("port-down", "m", states(60_000));
    let mut bench = Bench::new(vec![unripe]);
    bench.engine.look_for_ends(true);
    let down = reading("m", "port 7", Value::Text("2".into()), 3);
    assert_eq!(bench.short(&down), "", "bad, if not for long enough: no end of anything");
}

/// What damping remembers of an earlier fall does not leave a trap's word standing.
#[test]
fn a_healthy_poll_ends_what_an_event_raised_under_a_damped_rule_too() {
    let plain = rule("port-down", "m", states(0));
    let flapping = Some(Flapping::default());
    let damping = Some(Box::new(Damping { flapping, ..Damping::default() }));
    let damped = || vec![Arc::new(Rule { damping: damping.clone(), ..(*plain).clone() })];
    let port = |state: &str, at| reading("m", "port 7", Value::Text(state.into()), at);
    let mut bench = Bench::new(damped());
    assert_eq!(bench.short(&port("2", 1)), "+minor");
    assert_eq!(bench.short(&port("1", 2)), "-");
    assert_eq!(bench.short(&port("1", 3)), "", "nothing stands");
    bench.engine.look_for_ends(true);
    assert_eq!(bench.short(&port("1", 4)), "-", "the event's");
    bench.engine.look_for_ends(false);
    let mut at = 5;
    let mut last = String::new();
    while !last.ends_with('~') {
        last = bench.short(&port(["1", "2"][at as usize % 2], at));
        at += 1;
        assert!(at < 60, "it flaps");
    }
    bench.engine.look_for_ends(true);
    let up = at + i64::from(at % 2 != 0);
    assert_eq!(bench.short(&port("1", up)), "", "an alarm that flaps stands");
}
