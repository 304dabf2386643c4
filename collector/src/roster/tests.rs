use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::time::Time;
use proptest::prelude::*;

use super::*;
use crate::calendar::{Calendar, Day, DayKind, Week, standard, zone};

const MIN: i64 = 60_000;

fn at(text: &str) -> Time {
    Time::parse(text).unwrap()
}

fn ground(zone_name: &str, days: Vec<Day>) -> Ground {
    let calendar = Calendar { days, ..Calendar::default() };
    Ground {
        zone: zone::zone(zone_name).unwrap(),
        days: calendar.read().unwrap().into(),
        week: Week::read(&standard("5x8").unwrap()).unwrap(),
    }
}

fn day(from: &str, to: Option<&str>, kind: DayKind) -> Day {
    Day { from: from.into(), to: to.map(Into::into), kind, hours: None, note: String::new() }
}

fn pattern(name: &str, level: &str, days: DayClass, hours: &str, teams: &[&[&str]]) -> Pattern {
    Pattern {
        name: name.into(),
        level: level.into(),
        days,
        hours: hours.into(),
        teams: teams.iter().map(|t| t.iter().map(ToString::to_string).collect()).collect(),
        turn: Turn::Week,
        from: "2026-09-28".into(),
        weeks: BTreeMap::new(),
    }
}

fn roster(shifts: Vec<Pattern>) -> Roster {
    Roster { shifts, call: vec!["p1".into()], ..Roster::default() }
}

fn at_work(roster: &Roster, ground: &Ground, moment: &str) -> Vec<(String, String)> {
    let moment = at(moment);
    let all = shifts("r", roster, ground, moment, moment.plus_ms(1));
    all.into_iter().map(|s| (s.pattern, s.person)).collect()
}

fn pair(pattern: &str, person: &str) -> Vec<(String, String)> {
    vec![(pattern.into(), person.into())]
}

/// China's National Day week of 2026 with its make-up Saturday.
#[test]
fn working_days_weekends_holidays_and_make_up_days() {
    let ground = ground(
        "Asia/Shanghai",
        vec![
            day("2026-10-01", Some("2026-10-07"), DayKind::Holiday),
            day("2026-10-10", None, DayKind::Working),
        ],
    );
    let roster = roster(vec![
        pattern("day", "l1", DayClass::WorkingDay, "09:00-18:00", &[&["li"], &["wang"]]),
        pattern("night", "l1", DayClass::WorkingDay, "18:00-09:00", &[&["zhao"]]),
        pattern("weekend", "l1", DayClass::Weekend, "00:00-24:00", &[&["sun"]]),
        pattern("holiday", "l1", DayClass::Holiday, "00:00-24:00", &[&["qian"]]),
    ]);
    let who = |moment: &str| at_work(&roster, &ground, moment);
    assert_eq!(who("2026-09-29T09:00:00+08:00"), pair("day", "li"));
    assert_eq!(who("2026-09-29T18:00:00+08:00"), pair("night", "zhao"));
    // The last night shift before the holiday lasts into it; the holiday's shift is there, too.
    let both = [("night".to_owned(), "zhao".to_owned()), ("holiday".to_owned(), "qian".to_owned())];
    assert_eq!(who("2026-10-01T08:59:59+08:00"), both);
    assert_eq!(who("2026-10-01T09:00:00+08:00"), pair("holiday", "qian"));
    assert_eq!(who("2026-10-08T10:00:00+08:00"), pair("day", "wang"));
    assert_eq!(who("2026-10-10T10:00:00+08:00"), pair("day", "wang"), "a make-up day");
    assert_eq!(who("2026-10-11T10:00:00+08:00"), pair("weekend", "sun"));
    assert_eq!(who("2026-10-12T10:00:00+08:00"), pair("day", "li"), "the next week");
}

#[test]
fn weeks_that_are_written_down_go_before_the_turn() {
    let ground = ground("Asia/Shanghai", vec![]);
    let mut one = pattern("day", "l2", DayClass::All, "00:00-24:00", &[&["li"], &["wang"]]);
    one.weeks.insert("2026-W48".into(), vec!["zhao".into(), "sun".into()]);
    let roster = roster(vec![one]);
    let who = |moment: &str| at_work(&roster, &ground, moment);
    assert_eq!(who("2026-11-22T23:59:59+08:00").len(), 1);
    let both = [("day".to_owned(), "sun".to_owned()), ("day".to_owned(), "zhao".to_owned())];
    assert_eq!(who("2026-11-23T00:00:00+08:00"), both);
    assert_eq!(who("2026-11-29T23:59:59+08:00"), both);
    assert_eq!(who("2026-11-30T00:00:00+08:00").len(), 1);
}

/// Berlin's clocks skip 02:00 to 03:00 on 2026-03-29 and show it twice on 2026-10-25.
#[test]
fn clocks_that_are_set_leave_no_gap_between_shifts() {
    let ground = ground("Europe/Berlin", vec![]);
    let roster = roster(vec![
        pattern("early", "l1", DayClass::All, "02:30-14:00", &[&["li"]]),
        pattern("late", "l1", DayClass::All, "14:00-02:30", &[&["wang"]]),
    ]);
    for (from, to, hours) in [
        ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 23),
        ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25),
    ] {
        let (from, to) = (at(from), at(to));
        assert_eq!(to.since_ms(from), hours * 60 * MIN);
        let mut moment = from;
        while moment < to {
            let there = shifts("r", &roster, &ground, moment, moment.plus_ms(1));
            assert_eq!(there.len(), 1, "{moment}: {there:?}");
            moment = moment.plus_ms(MIN);
        }
    }
    // 02:30 is not shown that night: the shift begins when the clocks go on.
    let all = shifts("r", &roster, &ground, at("2026-03-29T01:30:00Z"), at("2026-03-29T01:31:00Z"));
    assert_eq!(all[0].from, at("2026-03-29T01:00:00Z"));
}

fn person(name: &str, role: &str, skills: &[&str], sites: &[&str], load: i64) -> Person {
    let all = |of: &[&str]| of.iter().map(ToString::to_string).collect();
    Person {
        name: name.into(),
        role: role.into(),
        disabled: false,
        skills: all(skills),
        sites: all(sites),
        customers: Vec::new(),
        load,
    }
}

fn on(level: Post, person: &str) -> Shift {
    Shift {
        id: None,
        roster: "r".into(),
        level,
        pattern: "day".into(),
        from: Time(0),
        to: Time(1000),
        person: person.into(),
        planned: person.into(),
    }
}

fn board(people: Vec<Person>, shifts: Vec<Shift>) -> Board {
    Board {
        people: people.into_iter().map(|p| (p.name.clone(), p)).collect(),
        shifts,
        absences: Vec::new(),
        rosters: vec![Rules { name: "r".into(), roster: roster(vec![]) }],
    }
}

fn ask<'a>(level: Post, words: &'a str, asked: &'a BTreeSet<String>) -> Ask<'a> {
    Ask { at: Time(500), level, site: Some("SH-01"), customer: None, words, asked }
}

fn why(found: &Found, person: &str) -> Vec<Why> {
    found.reasons.iter().filter(|r| r.person == person).map(|r| r.why.clone()).collect()
}

#[test]
fn the_fitting_person_is_taken_and_the_others_told_why_not() {
    let mut board = board(
        vec![
            person("chen", "field_engineer", &["oceanstor"], &[], 5),
            person("li", "field_engineer", &[], &[], 0),
            person("sun", "field_engineer", &["switches"], &[], 0),
            person("wang", "support_engineer", &["OceanStor 5500"], &["BJ-02"], 0),
            person("zhao", "field_engineer", &["OceanStor"], &["SH-01"], 2),
        ],
        ["chen", "li", "sun", "wang", "zhao"].map(|name| on(Post::L1, name)).to_vec(),
    );
    let nobody = BTreeSet::new();
    let words = "Huawei OceanStor 5500 V3 psu-failed";
    let found = who(&board, &ask(Post::L1, words, &nobody));
    assert_eq!((found.person.as_deref(), found.level), (Some("zhao"), Post::L1));
    assert_eq!(why(&found, "zhao"), [Why::Skill("OceanStor".into())]);
    assert_eq!(why(&found, "chen"), [Why::Busier(5)]);
    assert_eq!(why(&found, "li"), [Why::OtherSkill]);
    assert_eq!(why(&found, "sun"), [Why::OtherSkill]);
    assert_eq!(why(&found, "wang"), [Why::OtherSite]);
    // Absence, then a generalist before somebody who knows other things.
    for name in ["zhao", "chen"] {
        board.absences.push(Absence { person: name.into(), from: Time(0), to: Time(501) });
    }
    let found = who(&board, &ask(Post::L1, words, &nobody));
    assert_eq!(found.person.as_deref(), Some("li"));
    assert_eq!(why(&found, "zhao"), [Why::Absent]);
}

#[test]
fn it_climbs_where_nobody_is_and_ends_with_a_manager() {
    let people = vec![
        person("boss", "manager", &[], &[], 0),
        person("l3", "expert", &[], &[], 0),
        person("root", "administrator", &[], &[], 0),
    ];
    let board = board(people, vec![on(Post::L3, "l3")]);
    let mut asked = BTreeSet::new();
    let found = who(&board, &ask(Post::L1, "", &asked));
    assert_eq!((found.person.as_deref(), found.level), (Some("l3"), Post::L3));
    assert_eq!(why(&found, ""), [Why::Nobody, Why::Nobody]);
    asked.insert("l3".to_owned());
    let found = who(&board, &ask(Post::L1, "", &asked));
    assert_eq!((found.person.as_deref(), found.level), (Some("boss"), Post::Manager));
    asked.insert("boss".to_owned());
    assert_eq!(who(&board, &ask(Post::L1, "", &asked)).person.as_deref(), Some("root"));
    asked.insert("root".to_owned());
    let found = who(&board, &ask(Post::L1, "", &asked));
    assert_eq!(found.person, None);
    assert_eq!(why(&found, "boss"), [Why::Asked]);
}

#[test]
fn rosters_for_a_site_go_before_those_for_all() {
    let mut board = board(
        vec![
            person("li", "field_engineer", &[], &[], 0),
            person("wang", "field_engineer", &[], &[], 0),
        ],
        vec![on(Post::L1, "li"), Shift { roster: "sh".into(), ..on(Post::L1, "wang") }],
    );
    let own = Roster { sites: vec!["SH-01".into()], ..roster(vec![]) };
    board.rosters.push(Rules { name: "sh".into(), roster: own });
    let nobody = BTreeSet::new();
    let one = ask(Post::L1, "", &nobody);
    assert_eq!(who(&board, &one).person.as_deref(), Some("wang"));
    let other = Ask { site: Some("BJ-02"), ..one };
    assert_eq!(who(&board, &other).person.as_deref(), Some("li"));
}

#[test]
fn skills_are_whole_words() {
    assert!(fits("5500", "OceanStor 5500 V3"));
    assert!(fits("oceanstor 5500", "Huawei OceanStor 5500"));
    assert!(!fits("550", "OceanStor 5500"));
    assert!(!fits("store", "OceanStor"));
    assert!(fits("存储", "华为存储阵列"));
    assert!(!fits(" ", "x"));
}

#[test]
fn faults_say_where_and_name_the_nearest() {
    let roles = BTreeMap::from([
        ("li".to_owned(), "field_engineer".to_owned()),
        ("wang".to_owned(), "expert".to_owned()),
    ]);
    let good =
        roster(vec![pattern("day", "l1", DayClass::All, "09:00-18:00", &[&["li"], &["wang"]])]);
    check(&good, &roles, &[]).unwrap();
    let fault = |change: &dyn Fn(&mut Roster)| {
        let mut roster = good.clone();
        change(&mut roster);
        check(&roster, &roles, &["china".to_owned()]).unwrap_err().to_string()
    };
    let text = fault(&|r| r.shifts[0].teams[1][0] = "wong".into());
    assert!(
        text.starts_with("shifts[0].teams[1][0]: expected somebody who may log in, found \"wong\""),
        "{text}"
    );
    assert!(text.contains("wang"), "{text}");
    let text = fault(&|r| r.shifts[0].level = "l3".into());
    assert_eq!(text, "shifts[0].teams[0][0]: li is field_engineer, who does not do the work of l3");
    let text = fault(&|r| r.calendar = Some("chna".into()));
    assert!(text.starts_with("calendar: expected a calendar") && text.contains("china"), "{text}");
    let text = fault(&|r| r.shifts[0].hours = "9-18".into());
    assert!(text.starts_with("shifts[0].hours: expected a window such as"), "{text}");
    let text = fault(&|r| {
        r.shifts[0].weeks.insert("2026-W54".into(), vec!["li".into()]);
    });
    assert!(text.starts_with("shifts[0].weeks: expected weeks such as 2026-W48"), "{text}");
    let text = fault(&|r| {
        r.acknowledge.insert("l1".into(), 0);
    });
    assert_eq!(text, "acknowledge.l1: expected 1 to 1440 minutes, found 0");
}

fn any_zone() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "Asia/Shanghai",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Africa/Casablanca",
        "UTC",
    ])
}

proptest! {
    /// Shifts that follow one another without a gap on the clock do so in time, whatever is done to the clocks.
    #[test]
    fn prop_round_the_clock_is_always_exactly_one(
        zone_name in any_zone(),
        cuts in prop::collection::btree_set(0_i64..1440, 2..5),
        moment in 0_i64..(60 * 366 * 1440),
    ) {
        let cuts: Vec<i64> = cuts.into_iter().collect();
        let clock = |m: i64| format!("{:02}:{:02}", m / 60, m % 60);
        let patterns = cuts.iter().enumerate().map(|(n, from)| {
            let to = cuts[(n + 1) % cuts.len()];
            let hours = format!("{}-{}", clock(*from), clock(to));
            pattern(&n.to_string(), "l1", DayClass::All, &hours, &[&["li"], &["wang"]])
        });
        let roster = roster(patterns.collect());
        let moment = Time(moment * MIN);
        // Apia left out a whole day: what was to be then is nowhere.
        let there = shifts("r", &roster, &ground(zone_name, vec![]), moment, moment.plus_ms(1));
        prop_assert!(there.len() == 1, "{} {}: {:?}", zone_name, moment, there);
        prop_assert!(there[0].is_at(moment));
    }

    /// Nobody is called who is not there, was asked, or may not.
    #[test]
    fn prop_who_is_called_is_there(
        roles in prop::collection::vec(prop::sample::select(vec!["field_engineer", "support_engineer", "expert", "manager", "customer", "administrator"]), 1..8),
        on_duty in prop::collection::vec((0_usize..8, 0_usize..4), 0..16),
        absent in prop::collection::btree_set(0_usize..8, 0..4),
        asked in prop::collection::btree_set(0_usize..8, 0..4),
        disabled in prop::collection::btree_set(0_usize..8, 0..3),
        level in 0_usize..4,
    ) {
        let posts = [Post::L1, Post::L2, Post::L3, Post::Manager];
        let name = |n: usize| format!("p{n}");
        let people = roles.iter().enumerate().map(|(n, role)| Person {
            disabled: disabled.contains(&n),
            ..person(&name(n), role, &[], &[], 0)
        });
        let shifts = on_duty.iter().map(|(n, post)| on(posts[*post], &name(*n)));
        let mut board = board(people.collect(), shifts.collect());
        board.absences = absent
            .iter()
            .map(|n| Absence { person: name(*n), from: Time(0), to: Time(501) })
            .collect();
        let asked: BTreeSet<String> = asked.into_iter().map(name).collect();
        let found = who(&board, &ask(posts[level], "", &asked));
        let may = |p: &Person, post: Post| {
            !p.disabled && post.may_be(&p.role) && !board.is_absent(&p.name, Time(500)) && !asked.contains(&p.name)
        };
        match &found.person {
            Some(taken) => {
                prop_assert!(may(&board.people[taken], found.level));
                prop_assert!(found.level >= posts[level]);
                let there = board.shifts.iter().any(|s| s.level == found.level && s.person == *taken);
                prop_assert!(there || found.level == Post::Manager);
                // Nobody on a lower level that was looked at could have come.
                for shift in &board.shifts {
                    let lower = shift.level >= posts[level] && shift.level < found.level;
                    let could = board.people.get(&shift.person).is_some_and(|p| may(p, shift.level));
                    prop_assert!(!(lower && could), "{:?} before {:?}", shift, found);
                }
            }
            None => {
                let manager = |p: &Person| matches!(p.role.as_str(), "manager" | "administrator") && may(p, Post::Manager);
                prop_assert!(!board.people.values().any(manager));
            }
        }
    }

    #[test]
    fn prop_no_text_panics(hours in "\\PC{0,12}", week in "\\PC{0,10}", from in "\\PC{0,12}", level in "\\PC{0,8}", at in any::<i64>()) {
        let mut one = pattern("x", &level, DayClass::All, &hours, &[&["li"]]);
        one.weeks.insert(week, vec!["li".into()]);
        one.from = from;
        let roster = roster(vec![one]);
        let _ = check(&roster, &BTreeMap::from([("li".to_owned(), "expert".to_owned())]), &[]);
        let moment = Time(at / 4);
        let _ = shifts("r", &roster, &ground("Europe/Berlin", vec![]), moment, moment.plus_ms(1));
    }
}
