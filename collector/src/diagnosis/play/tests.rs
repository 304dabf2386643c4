//! Storms, orders, flapping.

use proptest::prelude::*;

use super::*;
use crate::diagnosis::rules::{Rule, Then};
use crate::diagnosis::topology::Written;

fn row(id: String, hangs_on: &[&str], powered_by: &[&str]) -> Written {
    let all = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
    Written { id, hangs_on: all(hangs_on), powered_by: all(powered_by) }
}

/// One feed, two PDUs on it, a switch, `devices` behind switch and PDUs.
fn house(devices: usize) -> Topology {
    let mut rows = vec![
        row("pdu-1".into(), &[], &["feed"]),
        row("pdu-2".into(), &[], &["feed"]),
        row("switch".into(), &[], &["pdu-1"]),
        row("elsewhere".into(), &[], &[]),
    ];
    rows.extend((0..devices).map(|n| row(format!("d{n:03}"), &["switch"], &["pdu-1", "pdu-2"])));
    Topology::build(&[], &rows)
}

fn life(topology: &Topology, on: &str, kind: &str, part: &str, severity: Severity) -> Life {
    let node = (0..10_000).find(|n| topology.name(*n) == on);
    Life {
        alarm_id: format!("{on}/{part}/{kind}"),
        identity: format!("{on}/{part}/{kind}"),
        node,
        kind: kind.into(),
        resource: part.into(),
        severity,
        rule: ("p".into(), kind.into()),
        site: "S".into(),
        device: (on.into(), on.into()),
    }
}

/// What is left when what became part of another ticket is left out.
fn standing(tickets: &[Ticket]) -> Vec<&Ticket> {
    tickets.iter().filter(|t| t.merged_into.is_none()).collect()
}

/// The lives of a lost feed, with one disk that has nothing to do with it: (moment, life).
fn outage(topology: &Topology, devices: usize) -> Vec<Life> {
    let mut all = vec![
        life(topology, "feed", "power-lost", "", Severity::Major),
        life(topology, "pdu-1", "input-power-bad", "", Severity::Major),
        life(topology, "switch", "device-unreachable", "", Severity::Critical),
        life(topology, "d007", "disk-failed", "Disk 3", Severity::Minor),
    ];
    for n in 0..devices {
        let on = format!("d{n:03}");
        all.push(life(topology, &on, "device-unreachable", "", Severity::Critical));
        for psu in ["PSU 1", "PSU 2"] {
            all.push(life(topology, &on, "psu-failed", psu, Severity::Minor));
        }
    }
    all
}

/// A sequence from a seed: xorshift, good enough to shuffle.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(n.max(1)).unwrap()).unwrap()
    }
}

#[test]
fn ten_thousand_events_of_one_feed_and_a_disk_are_two_tickets() {
    let (rules, topology) = (Rules::default(), house(200));
    for seed in 1..=10_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut left = outage(&topology, 200);
        let mut play = Play::new(&rules, &topology);
        let (mut ms, mut events, mut told): (i64, usize, Vec<String>) = (0, 0, Vec::new());
        // All within twenty seconds: raised in any order, then changed again and again.
        while events < 10_000 {
            ms += 2;
            events += 1;
            if !left.is_empty() && (told.is_empty() || dice.below(3) == 0) {
                let one = left.swap_remove(dice.below(left.len()));
                told.push(one.alarm_id.clone());
                play.hear(Time(ms), What::Raised(one));
            } else {
                let id = told[dice.below(told.len())].clone();
                let severity = if dice.below(2) == 0 { Severity::Minor } else { Severity::Major };
                play.hear(Time(ms), What::Changed(id, severity));
            }
        }
        assert!(left.is_empty());
        let (tickets, lives) = play.end();
        let standing = standing(&tickets);
        assert_eq!(standing.len(), 2, "seed {seed}: {standing:#?}");
        assert_eq!(tickets.len(), 2, "seed {seed}: none was opened in vain");
        let feed = standing.iter().find(|t| t.alarm_id.starts_with("feed")).unwrap();
        assert_eq!((feed.consequences, feed.severity), (602, Severity::Critical));
        assert_eq!(lives.len(), 604);
    }
}

#[test]
fn a_cause_that_comes_late_takes_over() {
    let (rules, topology) = (Rules::default(), house(3));
    let mut play = Play::new(&rules, &topology);
    for n in 0..3 {
        let one = life(&topology, &format!("d{n:03}"), "device-unreachable", "", Severity::Major);
        play.hear(Time(n), What::Raised(one));
    }
    let feed = life(&topology, "feed", "power-lost", "", Severity::Minor);
    play.hear(Time(200_000), What::Raised(feed));
    let (tickets, _) = play.end();
    assert_eq!((tickets.len(), standing(&tickets).len()), (4, 1));
    assert_eq!((tickets[3].consequences, tickets[3].severity), (3, Severity::Major));
}

#[test]
fn a_transient_is_counted_and_flapping_is_one_ticket() {
    let rule = Rule {
        name: "wait a minute".into(),
        severities: vec![Severity::Minor],
        types: vec!["fan-*".into()],
        rules: vec![],
        sites: vec![],
        devices: vec![],
        then: Then::Hold(60_000),
    };
    let rules = Rules { call_home: vec![rule], ..Rules::default() };
    let topology = house(1);
    let mut play = Play::new(&rules, &topology);
    let nth = |n: i64| {
        let one = life(&topology, "d000", "fan-failed", "Fan 1", Severity::Minor);
        Life { alarm_id: n.to_string(), ..one }
    };
    for n in 0..8 {
        play.hear(Time(n * 20_000), What::Raised(nth(n)));
        play.hear(Time(n * 20_000 + 10_000), What::Cleared(n.to_string()));
    }
    let (tickets, lives) = play.end();
    assert_eq!(tickets.len(), 1);
    assert!(tickets[0].flapping);
    assert_eq!((tickets[0].alarm_id.as_str(), tickets[0].recurrences), ("4", 3));
    let gone = lives.values().filter(|l| l.fate == Fate::Transient).count();
    assert_eq!(gone, 4);
    assert_eq!(lives["0"].rule.as_deref(), Some("wait a minute"));
}

#[test]
fn what_is_only_recorded_gets_through_when_it_gets_worse() {
    let rule = Rule {
        name: "quiet".into(),
        severities: vec![Severity::Warning],
        types: vec![],
        rules: vec![],
        sites: vec![],
        devices: vec![],
        then: Then::Never,
    };
    let rules = Rules { call_home: vec![rule], ..Rules::default() };
    let topology = house(0);
    let mut play = Play::new(&rules, &topology);
    let one = life(&topology, "switch", "fan-failed", "", Severity::Warning);
    play.hear(Time(0), What::Raised(one.clone()));
    play.hear(Time(5), What::Changed(one.alarm_id.clone(), Severity::Major));
    let (tickets, _) = play.end();
    assert_eq!((tickets.len(), tickets[0].severity), (1, Severity::Major));
}

#[derive(Clone, Debug)]
struct Plan {
    /// Device, type, severity, moment, whether it clears soon after.
    lives: Vec<(usize, usize, usize, i64, bool)>,
}

const PLACES: &[&str] = &["feed", "pdu-1", "pdu-2", "switch", "d000", "d001", "d002", "elsewhere"];
const KINDS: &[&str] =
    &["power-lost", "input-power-bad", "device-unreachable", "psu-failed", "disk-failed"];

fn plans() -> impl Strategy<Value = Plan> {
    let life = (0..PLACES.len(), 0..KINDS.len(), 0usize..5, 0i64..25_000, any::<bool>());
    proptest::collection::vec(life, 1..25).prop_map(|lives| Plan { lives })
}

fn run(
    plan: &Plan,
    moments: &[i64],
    topology: &Topology,
) -> (Vec<Ticket>, BTreeMap<String, Played>) {
    let rules = Rules::default();
    let mut events: Vec<(i64, usize, What)> = Vec::new();
    let mut seen = BTreeSet::new();
    for (n, (place, kind, severity, _, _)) in plan.lives.iter().enumerate() {
        let severity = Severity::ALL[*severity];
        let one = life(topology, PLACES[*place], KINDS[*kind], "", severity);
        if seen.insert(one.alarm_id.clone()) {
            events.push((moments[n], n, What::Raised(one)));
        }
    }
    events.sort_by_key(|(at, n, _)| (*at, *n));
    let mut play = Play::new(&rules, topology);
    for (at, _, what) in events {
        play.hear(Time(at), what);
    }
    play.end()
}

proptest! {
    #[test]
    fn prop_any_order_within_the_wait_gives_as_many_tickets(plan in plans(), turn in 0usize..25) {
        let topology = house(3);
        let moments: Vec<i64> = plan.lives.iter().map(|life| life.3).collect();
        let mut turned = moments.clone();
        turned.rotate_left(turn % moments.len());
        let (one, _) = run(&plan, &moments, &topology);
        let (other, _) = run(&plan, &turned, &topology);
        let roots = |all: &[Ticket]| standing(all).iter().map(|t| t.alarm_id.clone()).collect::<BTreeSet<_>>();
        prop_assert_eq!(roots(&one), roots(&other));
    }

    #[test]
    fn prop_no_severity_is_lost(plan in plans()) {
        let topology = house(3);
        let moments: Vec<i64> = plan.lives.iter().map(|life| life.3 * 10).collect();
        let (tickets, lives) = run(&plan, &moments, &topology);
        for played in lives.values() {
            let (Fate::Opened(t) | Fate::Joined(t) | Fate::Consequence(t, _)) = &played.fate else {
                prop_assert!(false, "{played:?} has no ticket");
                return Ok(());
            };
            let mut at = *t;
            while let Some(into) = tickets[at].merged_into {
                at = into;
            }
            prop_assert!(tickets[at].severity >= played.life.severity);
        }
    }
}
