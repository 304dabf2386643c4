use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::days::{Calendar, Day};
use super::super::week::{Hours, standard};
use super::super::zone::zone;
use super::*;

fn at(text: &str) -> Time {
    Time::parse(text).unwrap()
}

fn schedule(name: &str, hours: &Hours, days: Vec<Day>) -> Schedule {
    let days = Calendar { days, ..Calendar::default() }.read().unwrap();
    Schedule::new(zone(name).unwrap(), Week::read(hours).unwrap(), Arc::new(days))
}

fn week(lines: &[(&str, &[&str])]) -> Hours {
    let line = |(days, windows): &(&str, &[&str])| {
        (days.to_string(), windows.iter().map(ToString::to_string).collect())
    };
    Hours { week: lines.iter().map(line).collect(), holidays: true }
}

fn day(from: &str, to: Option<&str>, kind: DayKind, note: &str) -> Day {
    Day { from: from.into(), to: to.map(Into::into), kind, hours: None, note: note.into() }
}

/// China's national holiday of 2026: seven days off, two weekend days made up for.
fn national_day() -> Vec<Day> {
    vec![
        day("2026-10-01", Some("2026-10-07"), DayKind::Holiday, "国庆节"),
        day("2026-09-20", None, DayKind::Working, "国庆节补班"),
        day("2026-10-10", None, DayKind::Working, "国庆节补班"),
    ]
}

const HOUR: i64 = 3_600_000;

#[test]
fn holidays_and_make_up_days_of_china() {
    let shanghai = schedule("Asia/Shanghai", &standard("5x8").unwrap(), national_day());
    // Wednesday 16:00 there: an hour is left, then come seven days off.
    let asked = at("2026-09-30T08:00:00Z");
    assert_eq!(shanghai.instant_after(asked, HOUR), Some(at("2026-09-30T09:00:00Z")));
    assert_eq!(shanghai.instant_after(asked, HOUR + 1), Some(at("2026-10-08T01:00:00.001Z")));
    assert_eq!(shanghai.end_of_next_day(asked, 1), Some(at("2026-10-08T09:00:00Z")));
    // Friday, then the Saturday that is worked, then Monday.
    let friday = at("2026-10-09T08:00:00Z");
    assert_eq!(shanghai.end_of_next_day(friday, 1), Some(at("2026-10-10T09:00:00Z")));
    assert_eq!(shanghai.end_of_next_day(friday, 2), Some(at("2026-10-12T09:00:00Z")));
    assert_eq!(
        shanghai.working_time_between(at("2026-10-01T00:00:00Z"), at("2026-10-08T00:00:00Z")),
        0
    );
    // Hours that know no holidays: the next day is tomorrow.
    let daily = schedule("Asia/Shanghai", &standard("7x8").unwrap(), national_day());
    assert_eq!(daily.end_of_next_day(asked, 1), Some(at("2026-10-01T09:00:00Z")));
}

#[test]
fn the_clocks_of_berlin_skip_and_repeat_an_hour() {
    let night = week(&[("mon-sun", &["01:00-04:00"])]);
    let berlin = schedule("Europe/Berlin", &night, vec![]);
    let day = |date: &str| {
        let from = at(&format!("{date}T12:00:00Z"));
        berlin.working_time_between(from, from.plus_ms(24 * HOUR))
    };
    assert_eq!(day("2026-03-27"), 3 * HOUR);
    assert_eq!(day("2026-03-28"), 2 * HOUR, "02:00 to 03:00 is not there");
    assert_eq!(day("2026-10-24"), 4 * HOUR, "02:00 to 03:00 is there twice");
    // A window inside the hour that is not there: the day has no hours.
    let gap = schedule("Europe/Berlin", &week(&[("mon-sun", &["02:10-02:50"])]), vec![]);
    let asked = at("2026-03-28T12:00:00Z");
    assert_eq!(gap.end_of_next_day(asked, 1), Some(at("2026-03-30T00:50:00Z")));
}

#[test]
fn a_night_shift_belongs_to_its_beginning() {
    let nights = schedule(
        "Asia/Shanghai",
        &week(&[("fri", &["22:00-06:00"])]),
        vec![day("2026-11-27", None, DayKind::Holiday, "x")],
    );
    let monday = at("2026-11-16T00:00:00Z");
    assert_eq!(nights.working_time_between(monday, monday.plus_ms(7 * 24 * HOUR)), 8 * HOUR);
    let next = monday.plus_ms(7 * 24 * HOUR);
    assert_eq!(nights.working_time_between(next, next.plus_ms(7 * 24 * HOUR)), 0);
    assert_eq!(nights.instant_after(monday, 8 * HOUR), Some(at("2026-11-20T22:00:00Z")));
}

#[test]
fn spans_say_why() {
    let shanghai = schedule("Asia/Shanghai", &standard("5x8").unwrap(), national_day());
    let spans = shanghai.spans(at("2026-09-30T08:30:00Z"), at("2026-10-10T02:00:00Z"));
    let told: Vec<(String, bool, &Why)> =
        spans.iter().map(|s| (s.to.to_string(), s.counts, &s.why)).collect();
    let (holiday, made_up) = (Why::Holiday("国庆节".into()), Why::Special("国庆节补班".into()));
    let wanted: Vec<(String, bool, &Why)> = [
        ("2026-09-30T09:00:00Z", true, &Why::Inside),
        ("2026-09-30T16:00:00Z", false, &Why::Outside),
        ("2026-10-07T16:00:00Z", false, &holiday),
        ("2026-10-08T01:00:00Z", false, &Why::Outside),
        ("2026-10-08T09:00:00Z", true, &Why::Inside),
        ("2026-10-09T01:00:00Z", false, &Why::Outside),
        ("2026-10-09T09:00:00Z", true, &Why::Inside),
        ("2026-10-10T01:00:00Z", false, &Why::Outside),
        ("2026-10-10T02:00:00Z", true, &made_up),
    ]
    .into_iter()
    .map(|(to, counts, why)| (at(to).to_string(), counts, why))
    .collect();
    assert_eq!(told, wanted);
}

#[test]
fn nothing_that_counts_is_found_within_ten_years() {
    let holidays = vec![day("2026-01-01", Some("2036-12-01"), DayKind::Holiday, "closed")];
    let closed = schedule("UTC", &standard("5x8").unwrap(), holidays);
    assert_eq!(closed.instant_after(at("2026-01-01T00:00:00Z"), 1), None);
    assert_eq!(closed.end_of_next_day(at("2026-01-01T00:00:00Z"), 1), None);
    assert_eq!(
        closed.instant_after(at("2026-01-01T00:00:00Z"), 0),
        Some(at("2026-01-01T00:00:00Z"))
    );
}

/// The same by another road: the local clock is read at every minute, nothing else.
fn counts(zone: &Zone, lines: &[Windows; 7], days: &BTreeMap<i64, Special>, at: i64) -> bool {
    use jiff::civil::date;
    let local = zone.local(Time(at));
    let today = local.date().duration_since(date(1970, 1, 1)).as_hours() / 24;
    let minute = i64::from(local.hour()) * 60 + i64::from(local.minute());
    let windows = |day: i64| -> Vec<(i64, i64)> {
        let usual = lines[usize::try_from((day + 3).rem_euclid(7)).unwrap()].clone();
        match days.get(&day) {
            None => usual,
            Some(None) => Vec::new(),
            Some(Some(own)) => own.clone(),
        }
    };
    windows(today).iter().any(|(from, to)| minute >= *from && minute < *to)
        || windows(today - 1).iter().any(|(_, to)| minute < to - 1440)
}

/// Zones whose clocks change in many ways: at midnight, by half an hour, over the date line, seldom.
const ZONES: [&str; 8] = [
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Kathmandu",
];

fn a_window() -> impl Strategy<Value = (i64, i64)> {
    (0i64..1440, 1i64..=1440).prop_map(|(from, long)| (from, from + long))
}

fn a_week() -> impl Strategy<Value = [Windows; 7]> {
    let day = prop_oneof![
        2 => Just(vec![(540, 1020)]),
        1 => Just(vec![]),
        1 => Just(vec![(0, 1440)]),
        2 => prop::collection::vec(a_window(), 0..3),
    ];
    prop::array::uniform7(day)
}

/// From and to, minutes of a day.
type Windows = Vec<(i64, i64)>;
/// By day: none, or these.
type Special = Option<Windows>;
type Case = (usize, [Windows; 7], Vec<(i64, Special)>, i64, i64);

/// Beginnings near changes of the clocks between 1995 and 2035; up to 2 days.
fn a_case() -> impl Strategy<Value = Case> {
    let special = prop::option::of(prop::collection::vec(a_window(), 0..2));
    let days = prop::collection::vec((-2i64..5, special), 0..4);
    let near = (0..ZONES.len(), 0i64..40 * 12, 0i64..2 * 1440);
    (near, a_week(), days, 0i64..2 * 1440).prop_map(
        |((zone_of, month, before), lines, days, long)| {
            let base = at("1995-01-01T00:00:00Z").millis() + month * 30 * DAY;
            let found = zone(ZONES[zone_of]).unwrap();
            let change = found.stretches(base).next().map_or(base, |s| s.to);
            let from = if change == i64::MAX { base } else { change } - before * MINUTE;
            (zone_of, lines, days, from, long)
        },
    )
}

fn built(case: &Case) -> (Schedule, BTreeMap<i64, Special>) {
    let (zone_of, lines, days, from, _) = case;
    let zone = zone(ZONES[*zone_of]).unwrap();
    let window = |(from, to): &(i64, i64)| Window { from: *from, to: *to };
    let sorted = |all: &[(i64, i64)]| {
        let mut all: Vec<Window> = all.iter().map(window).collect();
        all.sort_unstable();
        all
    };
    let first = (from + zone.offset(*from)).div_euclid(DAY);
    let days: BTreeMap<_, _> = days.iter().map(|(n, own)| (first + n, own.clone())).collect();
    let rule = |own: &Special| super::super::days::Rule {
        kind: if own.is_some() { DayKind::Working } else { DayKind::Holiday },
        windows: own.as_deref().map(sorted),
        note: "n".into(),
    };
    let rules = days.iter().map(|(day, own)| (*day, rule(own))).collect();
    let week = Week { days: std::array::from_fn(|n| sorted(&lines[n])), holidays: true };
    (Schedule::new(zone, week, Arc::new(Days { rules })), days)
}

proptest! {
    #[test]
    fn prop_equal_to_looking_at_every_minute(case in a_case()) {
        let (schedule, days) = built(&case);
        let (_, lines, _, from, long) = &case;
        let mut sum = 0;
        let mut spans = schedule.spans(Time(*from), Time(from + long * MINUTE)).into_iter().peekable();
        for minute in 0..*long {
            let now = from + minute * MINUTE;
            let wanted = counts(schedule.zone(), lines, &days, now);
            while spans.peek().is_some_and(|s| s.to.millis() <= now) { spans.next(); }
            prop_assert_eq!(spans.peek().map(|s| s.counts), Some(wanted), "{}", Time(now));
            if wanted {
                // The first moment by which so much counts, and it counts on from here.
                if minute % 61 == 0 {
                    prop_assert_eq!(schedule.instant_after(Time(*from), sum + 1), Some(Time(now + 1)));
                }
                sum += MINUTE;
            }
        }
        prop_assert_eq!(schedule.working_time_between(Time(*from), Time(from + long * MINUTE)), sum);
    }

    #[test]
    fn prop_parts_are_the_whole_and_there_and_back(case in a_case(), cut in 0i64..4 * DAY, much in 0i64..10 * DAY) {
        let (schedule, _) = built(&case);
        let (from, to) = (Time(case.3), Time(case.3 + case.4 * MINUTE));
        let cut = Time((case.3 + cut).min(to.millis()));
        let whole = schedule.working_time_between(from, to);
        prop_assert!(whole >= 0 && whole <= to.since_ms(from));
        prop_assert_eq!(schedule.working_time_between(from, cut) + schedule.working_time_between(cut, to), whole);
        prop_assert_eq!(schedule.working_time_between(to, from).min(0), 0);
        if let Some(end) = schedule.instant_after(from, much) {
            prop_assert_eq!(schedule.working_time_between(from, end), much);
            if much > 0 {
                prop_assert_eq!(schedule.working_time_between(from, end.plus_ms(-1)), much - 1);
            }
        }
        let spans = schedule.spans(from, to);
        prop_assert_eq!(spans.iter().map(|s| s.to.since_ms(s.from)).sum::<i64>(), to.since_ms(from));
        prop_assert!(spans.iter().all(|s| s.to > s.from));
        prop_assert!(spans.windows(2).all(|w| w[0].to == w[1].from));
    }

    #[test]
    fn prop_no_moment_panics(case in a_case(), from in any::<i64>(), to in any::<i64>(), count in 0u32..5) {
        let (schedule, _) = built(&case);
        let (from, to) = (Time(from / 1000), Time(to / 1000));
        let near = Time(from.millis().saturating_add(to.millis() % (30 * DAY)));
        prop_assert!(schedule.working_time_between(from, near) >= 0);
        schedule.end_of_next_day(from, count);
        schedule.instant_after(from, 5);
    }
}
