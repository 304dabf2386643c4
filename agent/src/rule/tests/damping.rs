//! Rates, counts, durations of lines, flapping: each on written-down input with a clock of its own.

use super::*;
use crate::rule::gate::flapping_percent;
use crate::source::{ABSENT, COUNTER32, UPTIME};

fn damped(rule: &Arc<Rule>, damping: Damping) -> Arc<Rule> {
    Arc::new(Rule { damping: Some(Box::new(damping)), ..(**rule).clone() })
}

fn link(clear: Option<&str>, damping: Damping) -> Arc<Rule> {
    damped(&pattern("link", "line", r"port (?P<psu>\d+) down", clear), damping)
}

fn count(times: u32, within_ms: i64) -> Damping {
    Damping { count: Some(Count { times, within_ms }), ..Damping::default() }
}

fn flapping(within_ms: i64) -> Damping {
    Damping { flapping: Some(Flapping { within_ms, ..Flapping::default() }), ..Damping::default() }
}

/// What is told of a recording: `<ms> <line>`, or `<ms>` alone for the passing of time. The engine is
/// put away and taken up again before every step, and every step is first made in vain.
fn play(rules: &dyn Fn() -> Vec<Arc<Rule>>, recording: &str) -> Vec<String> {
    let mut bench = Bench::new(rules());
    let mut told = Vec::new();
    for step in recording.lines().map(str::trim).filter(|step| !step.is_empty()) {
        let (at, words) = step.split_once(' ').unwrap_or((step, ""));
        let at: i64 = at.parse().unwrap();
        let one = |bench: &mut Bench| match words {
            "" => bench.tick(at),
            words => bench.read(&match words.parse() {
                Ok(number) => reading("a", "", Value::Number(number), at),
                Err(_) => line("line", words, at),
            }),
        };
        bench.engine.keep();
        one(&mut bench);
        bench.engine.discard();
        bench.restart(rules());
        for finding in one(&mut bench) {
            told.push(format!("{at} {}", short(&[finding])));
        }
    }
    told
}

#[test]
fn a_line_must_stand_for_so_long() {
    let damping = Damping { for_ms: 1000, ..Damping::default() };
    let rules = || vec![link(Some(r"port (?P<psu>\d+) up"), damping.clone())];
    let told = play(
        &rules,
        "0 port 1 down
         999
         999 port 1 up
         2000
         3000 port 1 down
         3500 port 1 down
         3900
         4000
         4100 port 1 down
         5000
         6000 port 1 up
         9000",
    );
    assert_eq!(told, ["4000 +major", "4100 +major", "6000 -"]);
    let mut bench = Bench::new(rules());
    bench.read(&line("line", "port 1 down", 0));
    let raised = bench.tick(1000);
    let Verdict::Raise(raise) = &raised[0].verdict else { panic!("{raised:?}") };
    assert_eq!((&*raise.text, &*raised[0].identity.resource), ("port 1 down", "PSU 1"));
    bench.read(&line("line", "port 1 up", 1001));
    bench.engine.keep();
    assert!(bench.engine.is_empty(), "nothing is left of it");
}

#[test]
fn so_often_within_so_long() {
    // Nothing says when it is over: the window does.
    let told = play(
        &|| vec![link(None, count(3, 1000))],
        "0 port 1 down
         500 port 1 down
         1001 port 1 down
         1002 port 2 down
         1400 port 1 down
         1900
         2399
         2400
         3000",
    );
    assert_eq!(told, ["1400 +major", "2400 -"]);
    // A line says it: then the window must be empty, and the last word good.
    let told = play(
        &|| vec![link(Some(r"port (?P<psu>\d+) up"), count(2, 1000))],
        "0 port 1 down
         10 port 1 up
         20 port 1 down
         30 port 1 up
         1019
         1020
         2000 port 1 down
         2010 port 1 down
         9000
         9001 port 1 up",
    );
    assert_eq!(told, ["20 +major", "1020 -", "2010 +major", "9001 -"]);
    // Values: each time that it becomes bad.
    let told = play(
        &|| vec![damped(&rule("full", "a", above(0)), count(3, 1000))],
        "0 90\n 1 90\n 2 90\n 3 90\n 4 10\n 5 90\n 6 10\n 7 10\n 8 96\n 9 10\n 1007\n 1008",
    );
    assert_eq!(told, ["8 +critical", "1008 -"]);
}

#[test]
fn what_comes_and_goes_is_one_alarm() {
    let rules = || vec![damped(&rule("full", "a", above(0)), flapping(1))];
    let mut recording = String::from("0 10\n 1 90\n 2 90\n 3 10\n");
    for at in 4..40 {
        recording += &format!("{at} {}\n", if at % 2 == 0 { 90 } else { 10 });
    }
    for at in 40..70 {
        recording += &format!("{at} 10\n");
    }
    let told = play(&rules, &recording);
    let (first, rest) = told.split_at(3);
    assert_eq!(first, ["1 +warning", "2 +warning", "3 -"]);
    let storm: Vec<_> = rest.iter().filter(|told| told.ends_with('~')).collect();
    assert_eq!(storm.len(), 1, "{rest:?}");
    assert!(rest.len() < 20, "before it flaps each change is told: {rest:?}");
    let (last, clears) = (rest.last().unwrap(), rest.iter().filter(|t| t.ends_with('-')).count());
    let end: i64 = last.split(' ').next().unwrap().parse().unwrap();
    assert!(last.ends_with('-') && (45..62).contains(&end), "{rest:?}");
    assert!(clears < 8, "{rest:?}");
    // It stays bad at last: the alarm stays, and no longer says that it flaps.
    let bad = recording.replace(" 10\n", " X\n").replace(" 90\n", " 10\n").replace(" X\n", " 90\n");
    let told = play(&rules, &bad);
    assert!(told.iter().any(|t| t.ends_with('~')) && !told.last().unwrap().ends_with('-'));
    let settled = told.iter().rposition(|t| t.ends_with('~')).unwrap();
    assert!(told[settled + 1].ends_with("+warning"), "{told:?}");
    // And what is gone does not flap any more.
    let mut bench = Bench::new(rules());
    for at in 0..30 {
        let value = if at % 2 == 0 { 90.0 } else { 10.0 };
        bench.read(&reading("a", "", Value::Number(value), at));
    }
    let gone = reading("a", "", Value::Text(ABSENT.to_owned()), 31);
    assert_eq!(bench.short(&gone), "-");
    bench.engine.keep();
    assert!(bench.engine.is_empty());
}

#[test]
fn flapping_lines_calm_down_with_time() {
    let rules = || vec![link(Some(r"port (?P<psu>\d+) up"), flapping(20_000))];
    let mut recording = String::new();
    for n in 0..8 {
        recording += &format!("{} port 1 down\n {} port 1 up\n", n * 100, n * 100 + 50);
    }
    recording += "5000\n 10000\n 15000\n 25000\n 50000";
    let told = play(&rules, &recording);
    assert_eq!(told.iter().filter(|told| told.ends_with('~')).count(), 1, "{told:?}");
    let last = told.last().unwrap();
    assert!(last.ends_with('-') && last != "750 -", "by the passing of time alone: {told:?}");
}

#[test]
fn the_share_of_changes_is_nagioss() {
    let alternating = 0b1_0101_0101_0101_0101_0101;
    let close = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-9, "{found}");
    close(flapping_percent(0), 0.0);
    close(flapping_percent((1 << 21) - 1), 0.0);
    close(flapping_percent(alternating), 100.0);
    close(flapping_percent(1), 6.25);
    close(flapping_percent(1 << 20), 3.75);
}

#[test]
fn rates_have_limits_like_values() {
    let level = Level { severity: Severity::Minor, op: Op::Above, limit: 10.0, clear: 5.0 };
    let rules = |measure| {
        let condition = Condition::Threshold { levels: vec![level.into()], for_ms: 0, measure };
        vec![rule("errors", "errors", condition)]
    };
    let counted = |count: u32, at: i64, uptime: i64| {
        let mut one = reading("errors", "port 1", Value::Number(f64::from(count)), at);
        one.unit = "".into();
        one.labels.push((COUNTER32.into(), count.to_string()));
        one.labels.push((UPTIME.into(), uptime.to_string()));
        one
    };
    let mut bench = Bench::new(rules(Measure::Rate));
    assert_eq!(bench.short(&counted(u32::MAX - 99, 0, 6_000)), "");
    let found = bench.read(&counted(500, 60_000, 12_000));
    assert_eq!(short(&found), "+minor", "600 in a minute, beyond the wrap");
    let Verdict::Raise(raise) = &found[0].verdict else { panic!() };
    assert_eq!((&*raise.text, &*raise.message.arguments["unit"]), ("errors[port 1] = 10 /s", "/s"));
    bench.restart(rules(Measure::Rate));
    assert_eq!(bench.short(&counted(5, 120_000, 3_000)), "", "started in between: nothing is said");
    assert_eq!(bench.short(&counted(5 + 360, 180_000, 9_000)), "+minor", "6/s: not back yet");
    assert_eq!(bench.short(&counted(5 + 600, 240_000, 15_000)), "-");
    let gone = reading("errors", "port 1", Value::Text(ABSENT.to_owned()), 300_000);
    assert_eq!(bench.short(&gone), "");
    bench.engine.keep();
    assert!(bench.engine.is_empty(), "nor is the last reading of a thing that is gone kept");

    let mut bench = Bench::new(rules(Measure::Delta));
    let gauge = |value: f64, at| reading("errors", "port 1", Value::Number(value), at);
    assert_eq!(bench.short(&gauge(5.0, 0)), "");
    assert_eq!(bench.short(&gauge(15.0, 600_000)), "+minor", "however long it took");
    assert_eq!(bench.short(&gauge(15.0, 600_001)), "-");
}

/// Counters that do not move are most of them: they are not stored at each poll, and still measure.
#[test]
fn a_counter_that_stands_still_is_not_stored_again() {
    let rules = |measure| {
        let level = Level { op: Op::Above, limit: 5.0, clear: 5.0, severity: Severity::Minor };
        let condition = Condition::Threshold { levels: vec![level.into()], for_ms: 0, measure };
        vec![rule("errors", "errors", condition)]
    };
    let gauge = |value: f64, at| reading("errors", "port 1", Value::Number(value), at);
    for (measure, grown) in [(Measure::Delta, 6.0), (Measure::Rate, 60.0)] {
        let mut bench = Bench::new(rules(measure));
        assert_eq!(bench.short(&gauge(100.0, 0)), "");
        assert_eq!(bench.engine.changes().len(), 1, "the first reading is stored");
        bench.engine.keep();
        assert_eq!(bench.short(&gauge(100.0, 600_000)), "");
        assert_eq!(bench.engine.changes().len(), 0, "nothing has happened");
        bench.engine.discard();
        assert_eq!(bench.short(&gauge(100.0, 600_000)), "");
        bench.engine.keep();
        // Ten seconds after the last reading, not ten minutes after the first.
        assert_eq!(bench.short(&gauge(100.0 + grown, 610_000)), "+minor");
        assert_eq!(bench.engine.changes().len(), 2, "the new count and the alarm");
    }
}

/// What happened between two polls and is over at the next stands for as long as is asked.
#[test]
fn once_is_enough_for_an_alarm_that_stays() {
    let level = Level { op: Op::Above, limit: 1.0, clear: 1.0, severity: Severity::Warning };
    let measure = Measure::Delta;
    let condition = Condition::Threshold { levels: vec![level.into()], for_ms: 0, measure };
    let mut bench = Bench::new(vec![damped(&rule("errors", "errors", condition), count(1, 500))]);
    let gauge = |value: f64, at| reading("errors", "disk 1", Value::Number(value), at);
    assert_eq!(bench.short(&gauge(7.0, 0)), "");
    assert_eq!(bench.short(&gauge(8.0, 100)), "+warning");
    assert_eq!(bench.short(&gauge(8.0, 200)), "");
    assert_eq!(bench.short(&gauge(9.0, 400)), "+warning", "once more: the window begins anew");
    assert_eq!(bench.short(&gauge(9.0, 700)), "");
    assert_eq!(bench.short(&gauge(9.0, 900)), "-");
}

fn steps() -> impl Strategy<Value = Vec<(u8, i64)>> {
    proptest::collection::vec((0u8..4, 0i64..400), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes: an alarm is raised before it is cleared, is cleared once, and at the end, when all
    /// is good for long enough, nothing stands and nothing is remembered.
    #[test]
    fn prop_damped_rules_raise_before_they_clear_and_calm_down(steps in steps(), kind in 0u8..5, times in 2u32..5) {
        let up = Some(r"port (?P<psu>\d+) up");
        let rules = || vec![match kind {
            0 => link(up, Damping { for_ms: 300, ..Damping::default() }),
            1 => link(up, count(times, 500)),
            2 => link(None, count(times, 500)),
            3 => link(up, flapping(2000)),
            _ => damped(&rule("full", "a", above(0)), Damping { count: count(times, 500).count, ..flapping(1) }),
        }];
        let mut bench = Bench::new(rules());
        let (mut stands, mut flaps, mut now) = (false, 0, 0);
        let mut check = |findings: Vec<Finding>| {
            for finding in findings {
                match finding.verdict {
                    Verdict::Raise(raise) => {
                        stands = true;
                        flaps += u32::from(raise.flapping);
                    }
                    Verdict::Clear { .. } => assert!(std::mem::take(&mut stands), "cleared without standing"),
                }
            }
            stands
        };
        for (step, pause) in &steps {
            now += pause;
            let found = match (step, kind) {
                (0 | 1, 4) => bench.read(&reading("a", "", Value::Number(if *step == 0 { 90.0 } else { 1.0 }), now)),
                (0, _) => bench.read(&line("line", "port 1 down", now)),
                (1, _) => bench.read(&line("line", "port 1 up", now)),
                (2, _) => { bench.restart(rules()); Vec::new() }
                _ => bench.tick(now),
            };
            check(found);
        }
        let mut standing = true;
        for n in 1..50 {
            let good = if kind == 4 { reading("a", "", Value::Number(1.0), now + n * 1000) } else { line("line", "port 1 up", now + n * 1000) };
            check(bench.read(&good));
            standing = check(bench.tick(now + n * 1000 + 1));
        }
        prop_assert!(!standing);
        bench.engine.keep();
        prop_assert!(bench.engine.is_empty());
    }
}
