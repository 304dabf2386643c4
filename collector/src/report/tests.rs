//! The report against a plain calculation over the same tickets.

use proptest::prelude::*;

use super::*;
use crate::calendar::zone;

const HOUR: i64 = 3_600_000;

fn at(text: &str) -> Time {
    Time::parse(text).unwrap()
}

fn any_item() -> impl Strategy<Value = Item> {
    let name = || prop::option::of(prop::sample::select(vec!["acme", "huadong", "x"]));
    let moment = || prop::option::of(-5_000_i64..50_000);
    let limits = prop::collection::btree_map("[rx]", any::<bool>(), 0..3);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let code = prop::sample::select(vec!["", "a", "b", "c"]);
    let names = (name(), name(), code);
    let times = (0_i64..100_000, moment(), moment(), moment(), moment());
    (times, flags, names, limits).prop_map(|(times, flags, names, limits)| {
        let (opened, fault, engineer, responded, restored) = times;
        let (by_hand, duplicate, recurred) = flags;
        Item {
            opened_at: Time(opened),
            fault_at: fault.map(Time),
            engineer_at: engineer.map(Time),
            responded_at: responded.map(Time),
            restored_at: restored.map(Time),
            by_hand,
            duplicate,
            recurred,
            customer: names.0.map(Into::into),
            site: names.1.map(Into::into),
            plan: None,
            code: names.2.to_owned(),
            limits: limits.into_iter().collect(),
        }
    })
}

/// The smallest of them that so many per cent do not exceed, by counting.
fn plain(all: &[i64], per_cent: usize) -> Option<i64> {
    let within = |x: i64| all.iter().filter(|y| **y <= x).count();
    all.iter().copied().filter(|x| within(*x) * 100 >= all.len() * per_cent).min()
}

fn same(found: Spread, all: &[i64]) {
    assert_eq!(found, Spread { count: all.len(), p50_ms: plain(all, 50), p90_ms: plain(all, 90) });
}

fn took(from: Option<Time>, to: Option<Time>) -> Option<i64> {
    Some((to?.0 - from?.0).max(0))
}

fn check_group(group: &Group, all: &[&Item]) {
    let count = |of: &dyn Fn(&Item) -> bool| all.iter().filter(|item| of(item)).count();
    assert_eq!(group.tickets, all.len());
    assert_eq!(group.automatic, count(&|item| !item.by_hand));
    assert_eq!(group.recurred, count(&|item| item.recurred));
    let names = ["r", "x"]
        .into_iter()
        .filter(|name| all.iter().any(|item| item.limits.iter().any(|(limit, _)| limit == name)));
    let told: Vec<&str> = group.limits.iter().map(|of| of.limit.as_str()).collect();
    assert_eq!(told, names.collect::<Vec<_>>());
    for of in &group.limits {
        let mine = |kept: &[bool]| {
            count(&|item| item.limits.iter().any(|l| l.0 == of.limit && kept.contains(&l.1)))
        };
        assert_eq!((of.decided, of.kept), (mine(&[true, false]), mine(&[true])));
    }
    let times = |to: &dyn Fn(&Item) -> Option<Time>| -> Vec<i64> {
        all.iter().filter_map(|item| took(Some(item.opened_at), to(item))).collect()
    };
    same(group.respond, &times(&|item| item.responded_at));
    same(group.restore, &times(&|item| item.restored_at));
}

fn check_side(side: &Side, all: &[&Item]) {
    assert_eq!(side.tickets, all.len());
    let times = |to: &dyn Fn(&Item) -> Option<Time>| -> Vec<i64> {
        all.iter().filter_map(|item| took(item.fault_at, to(item))).collect()
    };
    same(side.to_ticket, &times(&|item| Some(item.opened_at)));
    same(side.to_engineer, &times(&|item| item.engineer_at));
}

proptest! {
    #[test]
    fn prop_a_report_is_what_counting_says(items in prop::collection::vec(any_item(), 0..40)) {
        let mut builder = Builder::new(By::Customer, Zone::utc());
        items.iter().for_each(|item| builder.add(item));
        let report = builder.finish();
        let counted: Vec<&Item> = items.iter().filter(|item| !item.duplicate).collect();
        check_group(&report.all, &counted);
        let keys: std::collections::BTreeSet<String> =
            counted.iter().map(|item| item.customer.clone().unwrap_or_default()).collect();
        prop_assert_eq!(report.groups.len(), keys.len());
        for key in keys {
            let of = |item: &&&Item| item.customer.clone().unwrap_or_default() == key;
            let mine: Vec<&Item> = counted.iter().filter(of).copied().collect();
            check_group(report.groups.iter().find(|group| group.key == key).unwrap(), &mine);
        }
        let way = |code: &str, by_hand: bool| -> Vec<&Item> {
            items.iter().filter(|item| item.code == code && item.by_hand == by_hand).collect()
        };
        let both: Vec<&str> = ["a", "b", "c"]
            .into_iter()
            .filter(|code| !way(code, true).is_empty() && !way(code, false).is_empty())
            .collect();
        prop_assert_eq!(report.faults.len(), both.len());
        for code in &both {
            let fault = report.faults.iter().find(|fault| fault.code == **code).unwrap();
            check_side(&fault.automatic, &way(code, false));
            check_side(&fault.by_hand, &way(code, true));
        }
        let all = |by_hand| both.iter().flat_map(|code| way(code, by_hand)).collect::<Vec<_>>();
        check_side(&report.both.automatic, &all(false));
        check_side(&report.both.by_hand, &all(true));
        // The file has a line for each, and each line all columns.
        let limits = |group: &Group| 1 + group.limits.len();
        let lines = 1 + limits(&report.all) + report.groups.iter().map(limits).sum::<usize>();
        let text = csv(&report);
        prop_assert_eq!(text.lines().count(), lines + 2 * (1 + both.len()));
        prop_assert!(text.lines().all(|line| line.matches(',').count() == 14));
    }
}

#[test]
fn months_and_weeks_are_those_of_the_place() {
    let shanghai = || zone::zone("Asia/Shanghai").unwrap();
    let key = |by: By, zone: Zone, opened: &str| {
        let mut builder = Builder::new(by, zone);
        builder.add(&Item { opened_at: at(opened), ..Item::default() });
        builder.finish().groups.remove(0).key
    };
    assert_eq!(key(By::Month, Zone::utc(), "2026-10-31T16:30:00Z"), "2026-10");
    assert_eq!(key(By::Month, shanghai(), "2026-10-31T16:30:00Z"), "2026-11");
    // A year of 53 weeks: the first days of the next one belong to it.
    assert_eq!(key(By::Week, Zone::utc(), "2027-01-03T12:00:00Z"), "2026-W53");
    assert_eq!(key(By::Week, Zone::utc(), "2027-01-04T12:00:00Z"), "2027-W01");
    assert_eq!(key(By::Week, shanghai(), "2026-11-22T16:00:00Z"), "2026-W48");
}

#[test]
fn what_is_too_much_is_counted() {
    let mut builder = Builder::new(By::Week, Zone::utc());
    for week in 0..130 {
        let opened_at = Time(week * 168 * HOUR);
        builder.add(&Item { opened_at, ..Item::default() });
    }
    let report = builder.finish();
    assert_eq!((report.groups.len(), report.groups_left_out), (MAX_GROUPS, 30));
    assert_eq!(report.groups.last().unwrap().key, "1972-W25");
    let mut builder = Builder::new(By::Site, Zone::utc());
    for n in 0..60 {
        for by_hand in [true, false] {
            let (code, site) = (format!("e{n}"), Some(format!("=s{n}")));
            builder.add(&Item { by_hand, code, site, ..Item::default() });
        }
    }
    let report = builder.finish();
    assert_eq!((report.faults.len(), report.faults_left_out), (MAX_FAULTS, 10));
    assert_eq!((report.both.automatic.tickets, report.both.by_hand.tickets), (60, 60));
    // What a spreadsheet would calculate stays text.
    assert!(csv(&report).contains("group,'=s0,"), "{}", csv(&report));
}
