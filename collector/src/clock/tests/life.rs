use std::convert::Infallible;
use std::sync::Arc;

use callhome_shared::time::Time;
use proptest::prelude::*;

use super::super::*;
use crate::calendar::{Calendar, Hours, Schedule, Week, standard, zone::zone};

const MIN: i64 = 60_000;
const HOUR: i64 = 60 * MIN;

pub(super) fn at(text: &str) -> Time {
    Time::parse(text).unwrap()
}

pub(super) fn term(within: &str, hours: &str) -> Terms {
    let step = |at: &str, to: &str| Step { at: at.into(), to: to.into() };
    Terms {
        plan: "p".into(),
        plan_version: 1,
        priority: "p1".into(),
        within: within.into(),
        at_once_ms: 10 * MIN,
        warn_at: 75,
        steps: vec![step("50%", "l2"), step("100%", "manager"), step("+30min", "manager")],
        hours_name: hours.into(),
        hours: standard(hours).unwrap(),
        time_zone: "Asia/Shanghai".into(),
        calendar: None,
    }
}

fn schedule(terms: &Terms) -> Result<Arc<Schedule>, Infallible> {
    let days = Calendar::default().read().unwrap();
    let week = Week::read(&terms.hours).unwrap();
    Ok(Arc::new(Schedule::new(zone(&terms.time_zone).unwrap(), week, Arc::new(days))))
}

pub(super) fn life(events: &[(Time, What)]) -> Life {
    let events: Vec<Event> =
        events.iter().map(|(at, what)| Event { at: *at, what: what.clone() }).collect();
    fold(&events, schedule).unwrap().unwrap()
}

fn paused() -> What {
    What::Paused { reason: "waiting_customer".into() }
}

fn stopped() -> What {
    What::Stopped { by: "resolved".into() }
}

#[test]
fn a_pause_moves_the_end() {
    let t = at("2026-11-23T02:00:00Z");
    let started = (t, What::Started { terms: term("4h", "7x24") });
    let running = life(std::slice::from_ref(&started));
    assert_eq!(running.due(), Some(t.plus_ms(4 * HOUR)));
    assert_eq!(running.elapsed(t.plus_ms(HOUR)), HOUR);
    let rest = (t.plus_ms(HOUR), paused());
    let resting = life(&[started.clone(), rest.clone()]);
    assert_eq!((resting.state(), resting.due()), (State::Paused, None));
    assert_eq!(resting.elapsed(t.plus_ms(9 * HOUR)), HOUR);
    assert!(
        moments(&resting).iter().all(|m| m.at <= t.plus_ms(HOUR)),
        "while it rests nothing comes"
    );
    let again = (t.plus_ms(3 * HOUR), What::Resumed);
    let on = life(&[started.clone(), rest.clone(), again.clone()]);
    assert_eq!(on.due(), Some(t.plus_ms(6 * HOUR)));
    assert_eq!(on.left(t.plus_ms(4 * HOUR)), Some(2 * HOUR));
    let kept =
        life(&[started.clone(), rest.clone(), again.clone(), (t.plus_ms(6 * HOUR), stopped())]);
    assert_eq!(kept.kept(t.plus_ms(99 * HOUR)), Some(true), "the end belongs to the limit");
    let late = life(&[started, rest, again, (t.plus_ms(6 * HOUR + 1), stopped())]);
    assert_eq!(late.kept(t.plus_ms(99 * HOUR)), Some(false));
    assert_eq!(late.left(t.plus_ms(99 * HOUR)), Some(-1));
}

#[test]
fn a_priority_changes_what_is_promised_and_not_what_has_passed() {
    let t = at("2026-11-23T02:00:00Z");
    let started = (t, What::Started { terms: term("24h", "7x24") });
    let urgent = What::Retimed { terms: term("2h", "7x24"), why: "priority".into() };
    let hour = life(&[started.clone(), (t.plus_ms(HOUR), urgent.clone())]);
    assert_eq!(hour.elapsed(t.plus_ms(HOUR)), HOUR);
    assert_eq!(hour.due(), Some(t.plus_ms(2 * HOUR)));
    // After five hours two are over already: since when is known.
    let late = life(&[started.clone(), (t.plus_ms(5 * HOUR), urgent.clone())]);
    assert_eq!(late.due(), Some(t.plus_ms(2 * HOUR)));
    assert_eq!(late.kept(t.plus_ms(5 * HOUR)), Some(false));
    // And back: nothing is lost.
    let calm = What::Retimed { terms: term("24h", "7x24"), why: "priority".into() };
    let back = life(&[started, (t.plus_ms(HOUR), urgent), (t.plus_ms(2 * HOUR), calm)]);
    assert_eq!(back.due(), Some(t.plus_ms(24 * HOUR)));
}

#[test]
fn other_hours_count_from_where_they_begin_to_hold() {
    // Friday 16:00 in Shanghai.
    let t = at("2026-11-20T08:00:00Z");
    let started = (t, What::Started { terms: term("4h", "5x8") });
    assert_eq!(life(std::slice::from_ref(&started)).due(), Some(at("2026-11-23T04:00:00Z")));
    let always = What::Retimed { terms: term("4h", "7x24"), why: "priority".into() };
    // One hour has counted by 19:00; from then on every hour does.
    let retimed = life(&[started, (t.plus_ms(3 * HOUR), always)]);
    assert_eq!(retimed.elapsed(t.plus_ms(3 * HOUR)), HOUR);
    assert_eq!(retimed.due(), Some(t.plus_ms(6 * HOUR)));
    let lines = explain(&retimed, t.plus_ms(4 * HOUR));
    let told: Vec<(i64, i64)> =
        lines.iter().map(|l| (l.counted_ms / MIN, l.elapsed_ms / MIN)).collect();
    assert_eq!(told, [(60, 60), (0, 60), (60, 120)]);
}

#[test]
fn next_business_day_ends_with_its_hours() {
    let due = |from: &str, within: &str, hours: &str| {
        life(&[(at(from), What::Started { terms: term(within, hours) })]).due().unwrap()
    };
    // Friday evening, Saturday, Monday morning before and in the hours (Shanghai is 8 hours ahead).
    assert_eq!(due("2026-11-20T12:00:00Z", "next day", "5x8"), at("2026-11-23T09:00:00Z"));
    assert_eq!(due("2026-11-21T12:00:00Z", "next day", "5x8"), at("2026-11-23T09:00:00Z"));
    assert_eq!(due("2026-11-22T23:00:00Z", "next day", "5x8"), at("2026-11-24T09:00:00Z"));
    assert_eq!(due("2026-11-23T03:00:00Z", "next day", "5x8"), at("2026-11-24T09:00:00Z"));
    assert_eq!(due("2026-11-20T12:00:00Z", "next day", "7x8"), at("2026-11-21T09:00:00Z"));
    assert_eq!(due("2026-11-20T12:00:00Z", "next 10 days", "5x8"), at("2026-12-04T09:00:00Z"));
    assert_eq!(due("2026-11-20T12:00:00Z", "at once", "7x24"), at("2026-11-20T12:10:00Z"));
}

#[test]
fn what_is_due_comes_in_order_and_has_stable_names() {
    let t = at("2026-11-23T02:00:00Z");
    let told = |life: &Life| -> Vec<(String, i64)> {
        moments(life).iter().map(|m| (m.due.key(), m.at.since_ms(t))).collect()
    };
    let running = life(&[(t, What::Started { terms: term("2h", "7x24") })]);
    let wanted = [
        ("l2@50%", HOUR),
        ("warning", 90 * MIN),
        ("breach", 2 * HOUR + 1),
        ("manager@100%", 2 * HOUR + 1),
        ("manager@+30min", 150 * MIN),
    ];
    assert_eq!(told(&running), wanted.map(|(key, ms)| (key.to_owned(), ms)));
}

#[test]
fn what_cannot_happen_changes_nothing() {
    let t = at("2026-11-23T02:00:00Z");
    let started = (t, What::Started { terms: term("2h", "7x24") });
    let plain = life(&[started.clone(), (t.plus_ms(HOUR), stopped())]);
    let odd = life(&[
        started.clone(),
        (t, What::Resumed),
        (t, What::Continued),
        (t.plus_ms(MIN), started.1.clone()),
        (t.plus_ms(HOUR), stopped()),
        (t.plus_ms(HOUR), stopped()),
        (t.plus_ms(HOUR), paused()),
    ]);
    for hours in [0, 1, 5] {
        let now = t.plus_ms(hours * HOUR);
        assert_eq!(odd.elapsed(now), plain.elapsed(now));
        assert_eq!(explain(&odd, now), explain(&plain, now));
    }
    assert_eq!(odd.stopped_at(), Some(t.plus_ms(HOUR)));
    let nothing = fold(&[Event { at: t, what: stopped() }], schedule).unwrap();
    assert!(nothing.is_none());
    let merged = What::Merged;
    let merged =
        life(&[started.clone(), (t.plus_ms(HOUR), merged), (t.plus_ms(9 * HOUR), stopped())]);
    assert_eq!((merged.state(), merged.kept(t.plus_ms(9 * HOUR))), (State::Dropped, None));
    assert_eq!(merged.elapsed(t.plus_ms(9 * HOUR)), HOUR);
    // The machine's clock was set back by a day.
    let back = life(&[
        started.clone(),
        (t.plus_ms(HOUR), paused()),
        (t.plus_ms(-24 * HOUR), What::Resumed),
    ]);
    assert_eq!(back.elapsed(t.plus_ms(-23 * HOUR)), 0);
    assert_eq!(back.due(), Some(t.plus_ms(2 * HOUR)));
    // Opened again: the time for which it was thought to be done does not count.
    let again = (t.plus_ms(5 * HOUR), What::Continued);
    let again = life(&[started, (t.plus_ms(HOUR), stopped()), again]);
    assert_eq!(again.due(), Some(t.plus_ms(6 * HOUR)));
    assert_eq!(again.state(), State::Running);
}

fn an_event() -> impl Strategy<Value = (i64, u8)> {
    // Mostly on, sometimes back: machines' clocks jump.
    (prop_oneof![8 => 0i64..12 * HOUR, 1 => -30 * HOUR..0], 0u8..9)
}

fn what(kind: u8) -> What {
    match kind {
        0 | 1 => paused(),
        2 | 3 => What::Resumed,
        4 => stopped(),
        5 => What::Continued,
        6 => What::Retimed { terms: term("30min", "7x24"), why: "priority".into() },
        7 => What::Retimed { terms: term("16h", "5x8"), why: "priority".into() },
        _ => What::Retimed { terms: term("next day", "7x8"), why: "plan".into() },
    }
}

/// A simple clock that goes minute by minute and knows nothing of intervals.
fn minute_by_minute(from: Time, events: &[(Time, What)], until: Time) -> i64 {
    let (mut running, mut stopped, mut hours) = (true, false, "7x24".to_owned());
    let (mut counted, mut next) = (0, 0);
    let mut latest = from;
    let mut now = from;
    while now < until {
        while let Some((at, what)) = events.get(next) {
            latest = latest.max(*at);
            if latest > now {
                break;
            }
            match what {
                What::Paused { .. } if !stopped => running = false,
                What::Resumed if !stopped => running = true,
                What::Stopped { .. } => (running, stopped) = (false, true),
                What::Continued if stopped => (running, stopped) = (true, false),
                What::Retimed { terms, .. } => hours.clone_from(&terms.hours_name),
                _ => {}
            }
            next += 1;
        }
        // Shanghai's clocks are eight hours ahead, always; 1970 began on a Thursday.
        let local = now.millis() + 8 * HOUR;
        let (weekday, hour) = ((local / (24 * HOUR) + 3) % 7, local / HOUR % 24);
        let open = match hours.as_str() {
            "7x24" => true,
            "7x8" => (9..17).contains(&hour),
            _ => weekday < 5 && (9..17).contains(&hour),
        };
        counted += i64::from(running && open);
        now = now.plus_ms(MIN);
    }
    counted * MIN
}

proptest! {
    #[test]
    fn prop_equal_to_a_clock_that_goes_minute_by_minute(
        start in 0i64..14 * 24 * 60,
        steps in prop::collection::vec(an_event(), 0..7),
        until in 0i64..3 * 24 * 60,
    ) {
        let from = at("2026-11-16T00:00:00Z").plus_ms(start * MIN);
        let mut now = from;
        let mut rest = Vec::new();
        for (after, kind) in steps {
            now = now.plus_ms(after / MIN * MIN);
            rest.push((now, what(kind)));
        }
        let mut events = vec![(from, What::Started { terms: term("4h", "7x24") })];
        events.extend(rest.iter().cloned());
        let life = life(&events);
        let end = from.plus_ms(until * MIN);
        let elapsed = life.elapsed(end);
        prop_assert_eq!(elapsed, minute_by_minute(from, &rest, end));
        prop_assert!(elapsed >= 0 && elapsed <= until * MIN);
        // It never goes back, and the lines of the explanation are its sum.
        prop_assert!(life.elapsed(end.plus_ms(-HOUR)) <= elapsed);
        let lines = explain(&life, end);
        prop_assert_eq!(lines.iter().map(|l| l.counted_ms).sum::<i64>(), elapsed);
        prop_assert_eq!(lines.last().map_or(0, |l| l.elapsed_ms), elapsed);
        prop_assert!(lines.windows(2).all(|w| w[0].to == w[1].from && w[0].elapsed_ms <= w[1].elapsed_ms));
        // The end of the limit is where as much has counted as may.
        if let (Some(due), Some(budget)) = (life.due(), life.budget()) {
            prop_assert_eq!(life.elapsed(due), budget);
            prop_assert_eq!(life.left(due), Some(0));
        }
    }

    #[test]
    fn prop_pauses_add_up_in_any_order(
        lengths in prop::collection::vec((1i64..300, 1i64..300), 1..6), turn in 0usize..6,
    ) {
        let from = at("2026-11-23T02:00:00Z");
        let total: i64 = lengths.iter().map(|(on, _)| on).sum();
        let due = |lengths: &[(i64, i64)]| {
            let mut now = from;
            let mut events = vec![(from, What::Started { terms: term("8000h", "7x24") })];
            for (on, off) in lengths {
                now = now.plus_ms(on * MIN);
                events.push((now, paused()));
                now = now.plus_ms(off * MIN);
                events.push((now, What::Resumed));
            }
            let life = life(&events);
            (life.elapsed(now), life.due())
        };
        let mut turned = lengths.clone();
        turned.rotate_left(turn % lengths.len());
        prop_assert_eq!(due(&lengths), due(&turned));
        prop_assert_eq!(due(&lengths).0, total * MIN);
        let off: i64 = lengths.iter().map(|(_, off)| off).sum();
        prop_assert_eq!(due(&lengths).1, Some(from.plus_ms(8000 * HOUR + off * MIN)));
    }

    #[test]
    fn prop_no_text_of_a_plan_panics(
        within in "(at once|next [0-9]{0,12} days|[0-9]{0,21}(min|h|d)|\\PC{0,8})",
        step in "([0-9]{0,12}%|\\+[0-9]{0,21}(min|h)|\\PC{0,8})",
        window in "([0-9]{0,3}:[0-9]{0,3}-[0-9]{0,3}:[0-9]{0,3}|\\PC{0,8})",
        day in "((mon|tue|sun|x)[-,]?){0,3}",
    ) {
        let hours = Hours { week: [(day, vec![window])].into(), holidays: true };
        let mut plan = presets().remove(0).plan;
        plan.hours = [("own".to_owned(), hours)].into();
        plan.steps = vec![Step { at: step, to: "l2".to_owned() }];
        for limit in plan.priorities.values_mut().flat_map(|limits| limits.values_mut()) {
            limit.within.clone_from(&within);
            limit.hours = Some("own".to_owned());
        }
        if check(&plan, None).is_ok() {
            let named = Named { name: "x".to_owned(), version: 1, body: plan };
            for (terms, _) in terms(&named, None, None, "Asia/Shanghai", "p1").into_values() {
                let life = life(&[(at("2026-11-23T02:00:00Z"), What::Started { terms: terms.clone() })]);
                prop_assert!(life.due().is_some() || terms.within == UNLIMITED);
                moments(&life);
            }
        }
    }
}
