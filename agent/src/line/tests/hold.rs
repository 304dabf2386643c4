//! Maintenance, and devices behind one that is down: held back, told afterwards.

use std::collections::BTreeMap;

use super::*;
use crate::hold::{Ask, Scope, Shown};

/// Lines of a device, with the site and the parent that it has.
fn of(name: &str, parent: Option<&str>, lines: &[&str]) -> Batch {
    let device = Device {
        id: name.to_owned(),
        name: name.to_owned(),
        site: Some("SH-01".to_owned()),
        parent: parent.map(str::to_owned),
        ..Device::default()
    };
    Batch { device: Arc::new(device), ..batch("log", lines) }
}

async fn ask(bench: &Bench, ask: Ask) -> Result<Vec<Shown>, String> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    bench.commands.send(Command::Maintenance { ask, reply }).await.unwrap();
    answer.await.unwrap()
}

fn start(device: &str) -> Ask {
    let scope = Scope { devices: vec![device.to_owned()], sites: Vec::new() };
    let (reason, by) = ("firmware".to_owned(), "root".to_owned());
    Ask::Start { scope, length_ms: 3_600_000, reason, by }
}

async fn told(bench: &Bench) -> Vec<(Transition, String)> {
    let alarms = bench.alarms().await;
    alarms
        .into_iter()
        .filter(|a| a.transition != Transition::Changed)
        .map(|a| (a.transition, format!("{} {}", a.device.name, a.resource)))
        .collect()
}

#[tokio::test]
async fn maintenance_holds_back_and_what_still_stands_is_raised_at_its_end() {
    let (_guard, path) = place();
    let bench = Bench::start(&path);
    // A device is known by its name once it is watched.
    bench.send(of("array-1", None, &["hello", "PSU 9 failed"])).await;
    bench.until(|s| s.counts.raised == 1).await;
    let refused = ask(&bench, start("aray-1")).await.unwrap_err();
    assert!(refused.contains("no device \"aray-1\"") && refused.contains("array-1"), "{refused}");
    let shown = ask(&bench, start("array-1")).await.unwrap();
    assert_eq!((&*shown[0].id, shown[0].until.is_some()), ("m1", true));
    let lines = ["PSU 1 failed", "PSU 2 failed", "PSU 2 ok", "PSU 9 ok"];
    bench.send(of("array-1", None, &lines)).await;
    let status = bench.until(|s| s.held.maintenance == 1 && s.counts.cleared == 1).await;
    assert_eq!((status.counts.held, status.counts.held_ended), (2, 1));
    assert_eq!(status.active_alarms, 0, "nobody was told of it");
    let mut expected = vec![
        (Transition::Raised, "array-1 PSU 9".to_owned()),
        (Transition::Cleared, "array-1 PSU 9".to_owned()),
    ];
    assert_eq!(told(&bench).await, expected);
    bench.end().await;

    // Over a restart it goes on; another device is told of.
    let bench = Bench::start(&path);
    bench.send(of("array-2", None, &["PSU 1 failed"])).await;
    bench.until(|s| s.counts.raised == 1 && s.held.maintenance == 1).await;
    expected.push((Transition::Raised, "array-2 PSU 1".to_owned()));
    assert_eq!(told(&bench).await, expected);
    assert!(ask(&bench, Ask::End { id: "m7".to_owned() }).await.is_err());
    assert!(ask(&bench, Ask::End { id: "m1".to_owned() }).await.unwrap().is_empty());
    let status = bench.until(|s| s.held.maintenance == 0).await;
    assert_eq!((status.counts.released, status.active_alarms), (1, 2));
    expected.push((Transition::Raised, "array-1 PSU 1".to_owned()));
    assert_eq!(told(&bench).await, expected);
    bench.end().await;
}

/// A device that says nothing any more, or speaks again.
fn reachable(name: &str, is: bool) -> Batch {
    let value = Value::Number(if is { 1.0 } else { 0.0 });
    let mut batch = of(name, Some("switch-1").filter(|_| name != "switch-1"), &["x"]);
    for reading in &mut batch.readings {
        (reading.metric, reading.value) = ("snmp.reachable".into(), value.clone());
    }
    batch
}

#[tokio::test]
async fn what_hangs_on_a_device_that_is_down_is_held_back() {
    let (_guard, path) = place();
    let states = BTreeMap::from([("0".to_owned(), Some(Severity::Major)), ("1".to_owned(), None)]);
    let down = Arc::new(Rule {
        pack: "builtin".to_owned(),
        version: "1".to_owned(),
        id: "down".to_owned(),
        metric: "snmp.reachable".to_owned(),
        condition: Condition::StateMap { states, otherwise: None, for_ms: 0 },
        damping: None,
        template: Template { kind: crate::hold::DOWN.to_owned(), ..Template::default() },
    });
    let bench = Bench::start_with(&path, 8 * 1024 * 1024, [rules(), vec![down]].concat());
    bench.send(of("array-1", Some("switch-1"), &["PSU 1 failed"])).await;
    bench.send(Batch { source: "tty".into(), ..reachable("switch-1", false) }).await;
    bench.until(|s| s.counts.raised == 2).await;
    bench.send(of("array-1", Some("switch-1"), &["PSU 2 failed", "PSU 3 failed"])).await;
    bench.send(reachable("array-1", false)).await;
    let status = bench.until(|s| s.held.parent == 3).await;
    assert_eq!((status.active_alarms, status.counts.raised), (2, 2));
    let (reply, answer) = tokio::sync::oneshot::channel();
    bench.commands.send(Command::Held { limit: 2, reply }).await.unwrap();
    let held = answer.await.unwrap();
    assert_eq!(held.len(), 2);
    assert!(held.iter().all(|(_, hold)| *hold == crate::hold::Hold::Parent("switch-1".to_owned())));
    // Who hears of the switch hears what is silent behind it.
    let status = bench.until(|s| s.counts.changed == 1).await;
    let alarms = bench.alarms().await;
    let switch = alarms.iter().find(|a| a.device.name == "switch-1").unwrap();
    let says = alarms.iter().find(|a| a.transition == Transition::Changed).unwrap();
    assert_eq!((says.alarm_id, says.began_at()), (switch.alarm_id, switch.began_at()));
    assert_eq!((says.severity, status.active_alarms), (Severity::Major, 2));
    let [evidence] = says.evidence.as_slice() else { panic!("{:?}", says.evidence) };
    let lines: Vec<&str> = evidence.text.lines().collect();
    assert_eq!(
        (evidence.kind.as_str(), lines[0].starts_with("= ")),
        (crate::alarm::EVIDENCE, true)
    );
    assert!(lines[1].ends_with(" · major · psu · array-1 · PSU 2"), "{lines:?}");
    // The switch is back: what it hid is judged again before it is told.
    bench.send(Batch { source: "tty".into(), ..reachable("switch-1", true) }).await;
    bench.send(of("array-1", Some("switch-1"), &["PSU 2 ok"])).await;
    bench.send(reachable("array-1", true)).await;
    let status = bench.until(|s| s.held.parent == 1 && s.counts.cleared == 1).await;
    assert_eq!((status.counts.held, status.counts.held_ended), (3, 2));
    assert_eq!(told(&bench).await.len(), 3, "two raised, the switch cleared");
    bench.end().await;
}
