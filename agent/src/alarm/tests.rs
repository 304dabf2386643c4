use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use callhome_shared::alarm::{Alarm, Device, Identity, Message, RuleRef, Transition};
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::rule::{Finding, Raise, Repeat, Verdict};

fn finding(resource: &str, verdict: Verdict, at: i64) -> Finding {
    Finding {
        source: "s".into(),
        rule: RuleRef { pack: "config".into(), version: "1".into(), id: "r".into() },
        identity: Identity {
            device: "serial-1".to_owned(),
            resource: resource.to_owned(),
            kind: "psu".to_owned(),
            qualifier: String::new(),
        },
        device: Arc::new(Device { id: "name".into(), name: "n".repeat(300), ..Device::default() }),
        occurred_at: None,
        clock_skew_s: None,
        observed_at: Time(at),
        evidence: None,
        verdict,
    }
}

fn raise(severity: Severity, text: &str, repeat: Repeat) -> Verdict {
    Verdict::Raise(Box::new(Raise {
        severity,
        message: Message::default(),
        text: text.to_owned(),
        fault_code: None,
        proposed_repair: None,
        repeat,
        flapping: false,
        test: false,
    }))
}

fn clear() -> Verdict {
    Verdict::Clear { own_only: true }
}

/// Applies, with ids that count up.
fn apply(set: &mut ActiveSet, ids: &mut u128, finding: &Finding) -> Option<Alarm> {
    set.apply(finding, "", None, || {
        *ids += 1;
        Uuid::from_u128(*ids)
    })
}

#[test]
fn a_life_from_raise_to_clear() {
    let (mut set, mut ids) = (ActiveSet::default(), 0);
    let standing = |severity, at| finding("1", raise(severity, "t", Repeat::Standing), at);
    let raised = apply(&mut set, &mut ids, &standing(Severity::Minor, 0)).unwrap();
    assert_eq!(raised.transition, Transition::Raised);
    assert_eq!(raised.device.id, "serial-1", "the identity's, whatever the device says now");
    raised.validate().unwrap();
    assert_eq!(apply(&mut set, &mut ids, &standing(Severity::Minor, 1)), None);
    let changed = apply(&mut set, &mut ids, &standing(Severity::Major, 2)).unwrap();
    assert_eq!((changed.transition, changed.alarm_id), (Transition::Changed, raised.alarm_id));
    let mut other = finding("1", clear(), 3);
    other.rule.id = "another".to_owned();
    assert_eq!(apply(&mut set, &mut ids, &other), None, "not its own");
    let mut other = finding("1", clear(), 3);
    other.source = "another".into();
    assert_eq!(apply(&mut set, &mut ids, &other), None, "not its own either");
    let cleared = apply(&mut set, &mut ids, &finding("1", clear(), 4)).unwrap();
    assert_eq!((cleared.transition, cleared.severity), (Transition::Cleared, Severity::Major));
    assert_eq!(cleared.observed_at, Time(4));
    assert_eq!(apply(&mut set, &mut ids, &finding("1", clear(), 5)), None);
    assert!(set.is_empty());
}

#[test]
fn repeated_events_tell_other_words_once_a_minute() {
    let (mut set, mut ids) = (ActiveSet::default(), 0);
    let event = |text, at| finding("1", raise(Severity::Major, text, Repeat::Event), at);
    let mut at = |text, time| {
        apply(&mut set, &mut ids, &event(text, time)).map(|alarm| alarm.text).unwrap_or_default()
    };
    assert_eq!(at("a", 0), "a");
    assert_eq!(at("b", 59_999), "");
    assert_eq!(at("a", 60_000), "", "the same words");
    assert_eq!(at("b", 60_000), "b");
    assert_eq!(at("c", 60_001), "");
    assert_eq!(at("c", 10), "c", "a clock that was set back");
}

#[test]
fn the_set_is_bounded() {
    let (mut set, mut ids) = (ActiveSet::default(), 0);
    let nth =
        |n: usize, severity| finding(&n.to_string(), raise(severity, "", Repeat::Standing), 0);
    for n in 0..MAX_ACTIVE + 3 {
        apply(&mut set, &mut ids, &nth(n, Severity::Minor));
        set.keep();
    }
    assert_eq!((set.len(), set.take_refused()), (MAX_ACTIVE, 3));
    assert!(apply(&mut set, &mut ids, &nth(0, Severity::Major)).is_some(), "the active go on");
    assert!(apply(&mut set, &mut ids, &finding("1", clear(), 1)).is_some());
    assert!(apply(&mut set, &mut ids, &nth(MAX_ACTIVE, Severity::Minor)).is_some());
}

#[test]
fn alarms_that_nothing_watches_are_cleared() {
    let (mut set, mut ids) = (ActiveSet::default(), 0);
    let one =
        apply(&mut set, &mut ids, &finding("1", raise(Severity::Minor, "", Repeat::Event), 0));
    set.keep();
    assert!(
        set.clear_unwatched(|source, rule| source == "s" && rule.id == "r", |_, _| true, Time(9))
            .is_empty()
    );
    let gone = set.clear_unwatched(|_, _| false, |_, _| true, Time(9));
    assert_eq!(gone.len(), 1);
    assert_eq!(
        (gone[0].alarm.alarm_id, gone[0].alarm.transition),
        (one.unwrap().alarm_id, Transition::Cleared)
    );
    assert!(set.is_empty());
}

#[test]
fn many_that_end_together_are_one_word_where_nothing_else_stands() {
    let of = |device: &str, n: usize| {
        let mut finding = finding(&n.to_string(), raise(Severity::Minor, "", Repeat::Standing), 0);
        finding.identity.device = device.into();
        finding
    };
    let filled = |counts: &[(&str, usize)]| {
        let (mut set, mut ids) = (ActiveSet::default(), 0);
        for (device, count) in counts {
            for n in 0..*count {
                apply(&mut set, &mut ids, &of(device, n)).unwrap();
            }
        }
        set.keep();
        set
    };
    let end = |set: &mut ActiveSet, gone: &[&str], but: Option<&str>| {
        let watched = |_: &str, _: &RuleRef| true;
        let same = |_: &str, alarm: &Alarm| {
            !gone.contains(&alarm.device.id.as_str()) || Some(alarm.resource.as_str()) == but
        };
        let ended = set.clear_unwatched(watched, same, Time(9));
        let count = ended.len();
        let ended = ended.into_iter().map(|lost| lost.alarm).collect();
        let sorted = together(ended, &set.devices());
        let told = sorted.all.iter().map(|all| all.alarms.len()).sum::<usize>() + sorted.each.len();
        assert_eq!(told, count, "every end is told once");
        let all: Vec<_> = sorted.all.iter().map(|a| (a.device.clone(), a.alarms.len())).collect();
        (all, sorted.each.len())
    };
    let many = TOGETHER;
    let some = |device: &str| Some(device.to_owned());
    // Everything, a device, a device that is few, a device of which one stays.
    let mut set = filled(&[("d1", many), ("d2", 1)]);
    assert_eq!(end(&mut set, &["d1", "d2"], None), (vec![(None, many + 1)], 0));
    let mut set = filled(&[("d1", many), ("d2", many), ("d3", 2), ("d4", 1)]);
    let ended = end(&mut set, &["d1", "d2", "d3"], None);
    assert_eq!(ended, (vec![(some("d1"), many), (some("d2"), many)], 2));
    let mut set = filled(&[("d1", many - 1)]);
    assert_eq!(end(&mut set, &["d1"], None), (vec![], many - 1), "few are told one by one");
    let mut set = filled(&[("d1", many + 1)]);
    assert_eq!(end(&mut set, &["d1"], Some("0")), (vec![], many), "one of the device stands");
    assert_eq!(set.len(), 1);
}

fn any_finding() -> impl Strategy<Value = Finding> {
    let severity = prop_oneof![Just(Severity::Minor), Just(Severity::Major)];
    let repeat = prop_oneof![Just(Repeat::Standing), Just(Repeat::Event)];
    let raised = (severity, "[ab]", repeat).prop_map(|(s, text, repeat)| raise(s, &text, repeat));
    let verdict = prop_oneof![2 => raised, 1 => Just(clear())];
    ("[123]", verdict, 0i64..200_000).prop_map(|(r, verdict, at)| finding(&r, verdict, at))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Raise and clear alternate per identity, every life has an id of its own, failed transactions and
    /// restarts leave no trace, and the set is what the transitions add up to.
    #[test]
    fn prop_lives_alternate(steps in proptest::collection::vec((any_finding(), 0u8..5), 1..80)) {
        let (mut set, mut ids) = (ActiveSet::default(), 0);
        let mut living: BTreeMap<String, (Uuid, Severity)> = BTreeMap::new();
        let mut used = BTreeSet::new();
        for (finding, shake) in &steps {
            match shake {
                0 => {
                    apply(&mut set, &mut ids, finding);
                    set.discard();
                }
                1 => {
                    let stored = set.everything().into_iter().filter_map(|(k, v)| Some((k, v?)));
                    let mut next = ActiveSet::default();
                    prop_assert!(next.load(stored.collect()).is_empty());
                    set = next;
                }
                _ => {}
            }
            let key = finding.identity.key();
            if let Some(alarm) = apply(&mut set, &mut ids, finding) {
                prop_assert_eq!(alarm.identity().key(), key.clone());
                let before = living.get(&key).copied();
                match alarm.transition {
                    Transition::Raised => {
                        prop_assert!(before.is_none() && used.insert(alarm.alarm_id));
                        living.insert(key, (alarm.alarm_id, alarm.severity));
                    }
                    Transition::Changed => {
                        prop_assert_eq!(before.map(|(id, _)| id), Some(alarm.alarm_id));
                        living.insert(key, (alarm.alarm_id, alarm.severity));
                    }
                    Transition::Cleared => {
                        prop_assert_eq!(before, Some((alarm.alarm_id, alarm.severity)));
                        living.remove(&key);
                    }
                }
            }
            set.keep();
            prop_assert_eq!(set.len(), living.len());
        }
        let expected = callhome_shared::heartbeat::active_digest(
            living.values().map(|(id, severity)| (id.to_string(), severity.as_str())),
        );
        prop_assert_eq!(set.digest(), expected);
    }
}

/// What a device hid that was down is told only after it was judged again; a clock that is set back begins
/// the wait anew.
#[test]
fn what_was_hidden_settles_before_it_is_told() {
    use crate::hold::{Hold, SETTLE_MS};
    let hold = || Some(Hold::Parent("switch".to_owned()));
    let mut set = ActiveSet::default();
    let found = finding("r", raise(Severity::Major, "x", Repeat::Standing), 1);
    assert_eq!(set.apply(&found, "", hold(), || Uuid::from_u128(1)), None);
    assert_eq!((set.held().parent, set.len(), set.take_held()), (1, 1, (1, 0)));
    set.keep();
    assert_eq!(set.digest(), ActiveSet::default().digest(), "nobody was told of it");
    assert!(set.release(|_, _| hold(), Time(10)).is_empty());
    for now in [20, 20 + SETTLE_MS - 1, 5, 5 + SETTLE_MS - 1] {
        assert!(set.release(|_, _| None, Time(now)).is_empty(), "{now}");
    }
    let told = set.release(|_, _| None, Time(5 + SETTLE_MS));
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].transition, told[0].observed_at), (Transition::Raised, Time(1)));
    set.keep();
    assert_eq!(set.held().parent, 0);
    assert_ne!(set.digest(), ActiveSet::default().digest());
}

#[test]
fn an_event_is_ended_by_a_later_look_at_the_thing_and_counted_until_then() {
    let (mut set, mut ids) = (ActiveSet::default(), 0);
    let event = |at| finding("1", raise(Severity::Major, "t", Repeat::Event), at);
    let healthy = |at| {
        let mut healthy = finding("1", clear(), at);
        (healthy.source, healthy.rule.id) = ("poll".into(), "state".to_owned());
        healthy
    };
    apply(&mut set, &mut ids, &event(10)).unwrap();
    assert!(set.has_events() && set.has_event("serial-1") && !set.has_event("serial-2"));
    set.discard();
    assert!(!set.has_events(), "it did not happen");
    apply(&mut set, &mut ids, &event(10)).unwrap();
    set.keep();
    assert_eq!(apply(&mut set, &mut ids, &healthy(10)), None, "read before, or then");
    let over = apply(&mut set, &mut ids, &healthy(11)).unwrap();
    assert_eq!(over.transition, Transition::Cleared);
    assert!(!set.has_events());
    set.discard();
    assert!(set.has_event("serial-1"), "not stored: it still stands");
    let stored = set.everything().into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
    let mut next = ActiveSet::default();
    assert!(next.load(stored).is_empty() && next.has_event("serial-1"), "known after a restart");
    // A poll that calls it worse makes it its own: only that poll ends it then.
    let worse = finding("1", raise(Severity::Critical, "t", Repeat::Standing), 12);
    apply(&mut next, &mut ids, &worse).unwrap();
    assert!(!next.has_events());
    assert_eq!(apply(&mut next, &mut ids, &healthy(13)), None);
}

/// What can happen to a device behind a port.
#[derive(Clone, Copy, Debug)]
enum Step {
    Port(bool),
    Device(bool),
    Pass(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<bool>().prop_map(Step::Port),
        any::<bool>().prop_map(Step::Device),
        (1i64..200_000).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens in whatever order: the silence of a device is never told while the port that it hangs on
    /// is down, and it is told when the port has been up for long enough and the device is still silent.
    #[test]
    fn prop_silence_behind_a_port_is_held_until_the_port_is_up(
        steps in proptest::collection::vec(any_step(), 0..60),
    ) {
        use crate::hold::{DOWN, SETTLE_MS, Subject, behind};
        let switch = Arc::new(Device { id: "sw".into(), name: "sw".into(), ..Device::default() });
        let array = Arc::new(Device {
            id: "array".into(),
            name: "array".into(),
            parent: Some("sw".into()),
            parent_resource: Some("Gi1/0/7".into()),
            ..Device::default()
        });
        let of = |device: &Arc<Device>, kind: &str, resource: &str, bad: bool, at: i64| {
            let verdict = if bad { raise(Severity::Major, "x", Repeat::Standing) } else { clear() };
            let mut found = finding(resource, verdict, at);
            found.device = device.clone();
            (found.identity.device, found.identity.kind) = (device.id.clone(), kind.to_owned());
            found
        };
        let why = |set: &ActiveSet, subject: &Subject| {
            behind(subject, |d| set.is_down(d), |d, p| set.is_part_down(d, p))
        };
        let (mut set, mut id, mut now) = (ActiveSet::default(), 0u128, 1_000i64);
        let (mut port_down, mut silent, mut told) = (false, false, false);
        let tail = [Step::Port(false), Step::Pass(1), Step::Pass(SETTLE_MS), Step::Pass(1)];
        for step in steps.into_iter().chain(tail) {
            let mut next = |set: &mut ActiveSet, found: &Finding| {
                id += 1;
                let subject = Subject::of(&found.device, &found.identity.kind);
                let hold = why(set, &subject);
                set.apply(found, "", hold, || Uuid::from_u128(id))
            };
            match step {
                Step::Port(down) => {
                    port_down = down;
                    next(&mut set, &of(&switch, "port-down", "port Gi1/0/7", down, now));
                }
                Step::Device(is_silent) => {
                    silent = is_silent;
                    let said = next(&mut set, &of(&array, DOWN, "", is_silent, now));
                    if let Some(said) = said {
                        let raised = said.transition == Transition::Raised;
                        prop_assert!(!raised || !port_down, "told behind a port that is down");
                        told = raised;
                    }
                }
                Step::Pass(ms) => now += ms,
            }
            set.keep();
            for said in set.release(why, Time(now)) {
                prop_assert!(!port_down && silent, "{said:?}");
                told = true;
            }
            set.keep();
        }
        prop_assert_eq!(told, silent, "what still stands is told, and nothing else");
        prop_assert_eq!(set.held().parent, 0);
    }
}
