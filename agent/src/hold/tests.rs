use callhome_shared::time::Time;
use jiff::civil;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::book::CORRECTION_MS;
use super::*;

fn at(text: &str) -> Time {
    Time::parse(text).unwrap()
}

fn subject(device: &str, site: &str) -> Subject {
    Subject { device: device.to_owned(), site: Some(site.to_owned()), parent: None }
}

fn start(scope: Scope, length_ms: i64) -> Ask {
    Ask::Start { scope, length_ms, reason: "firmware".to_owned(), by: "root".to_owned() }
}

fn of_device(name: &str) -> Scope {
    Scope { devices: vec![name.to_owned()], ..Scope::default() }
}

#[test]
fn a_window_holds_what_it_is_about_and_no_longer_than_was_said() {
    let mut book = Book::default();
    let (a, b) = (subject("a", "x"), subject("b", "x"));
    assert_eq!(book.ask(start(of_device("a"), 1000), Time(0)).unwrap().len(), 1);
    let hold = Some(Hold::Maintenance("m1".to_owned()));
    assert_eq!((book.holds(&a, Time(999)), book.holds(&b, Time(999))), (hold.clone(), None));
    assert_eq!(book.holds(&a, Time(1000)), None);
    let site = Scope { sites: vec!["x".to_owned()], ..Scope::default() };
    book.ask(start(site, 5000), Time(10)).unwrap();
    assert_eq!(book.holds(&a, Time(20)), Some(Hold::Maintenance("m2".to_owned())), "the longest");
    assert_eq!(book.holds(&subject("a", "y"), Time(20)), hold);
    let again = Book::new(Vec::new(), Some(&book.stored()), Time(30));
    assert_eq!(again.list(Time(30)), book.list(Time(30)), "over a restart");
    book.ask(Ask::End { id: "m2".to_owned() }, Time(40)).unwrap();
    assert_eq!(book.holds(&b, Time(41)), None);
    assert!(
        book.ask(Ask::End { id: "m2".to_owned() }, Time(42))
            .unwrap_err()
            .contains("no maintenance")
    );
    assert!(book.advance(Time(1000)), "it is over, and that is stored");
    assert!(book.list(Time(1000)).is_empty() && !book.advance(Time(1001)));
    for n in 0..MAX_WINDOWS {
        assert!(book.ask(start(Scope::default(), 1), Time(2000)).is_ok(), "{n}");
    }
    assert!(book.ask(start(Scope::default(), 1), Time(2000)).unwrap_err().contains("at most"));
}

#[test]
fn clocks_that_are_set_back_lengthen_nothing() {
    let hour = 3_600_000;
    let mut book = Book::default();
    book.advance(Time(100 * hour));
    book.ask(start(Scope::default(), 2 * hour), Time(100 * hour)).unwrap();
    book.advance(Time(101 * hour));
    // An hour is left, and the clock goes back by three days.
    assert!(book.advance(Time(29 * hour)));
    let any = subject("d", "s");
    assert!(book.holds(&any, Time(30 * hour - 1)).is_some());
    assert!(book.holds(&any, Time(30 * hour)).is_none());
    // The same while the agent does not run: it lasts two hours at most.
    let again = Book::new(Vec::new(), Some(&book.stored()), Time(hour));
    assert!(again.holds(&any, Time(3 * hour - 1)).is_some());
    assert!(again.holds(&any, Time(3 * hour)).is_none());
}

#[test]
fn every_week_by_the_clock_of_a_place() {
    let weekly = |days: &[civil::Weekday], h, m, length_ms, zone: &str| When::Weekly {
        days: days.to_vec(),
        at: civil::time(h, m, 0, 0),
        length_ms,
        zone: TimeZone::get(zone).unwrap(),
    };
    let hour = 3_600_000;
    let when = weekly(&[civil::Weekday::Sunday], 2, 0, 2 * hour, "Asia/Shanghai");
    // Sunday 22 November 2026, 02:00 in Shanghai is Saturday 18:00 in UTC.
    assert_eq!(when.ends(at("2026-11-21T17:59:59Z")), None);
    let until = Some(at("2026-11-21T20:00:00Z"));
    assert_eq!(when.ends(at("2026-11-21T18:00:00Z")), until);
    assert_eq!(when.ends(at("2026-11-21T19:59:59Z")), until);
    assert_eq!(when.ends(at("2026-11-21T20:00:00Z")), None);
    // Over midnight, and for a whole week.
    let late = weekly(&[civil::Weekday::Saturday], 23, 0, 3 * hour, "UTC");
    assert!(late.ends(at("2026-11-22T01:59:00Z")).is_some());
    let always = weekly(&[civil::Weekday::Monday], 0, 0, 7 * 24 * hour, "UTC");
    assert!(always.ends(at("2026-11-22T23:59:59Z")).is_some());
    // Berlin, 29 March 2026: 02:30 does not exist; it begins at 03:30 (01:30 in UTC).
    let spring = weekly(&[civil::Weekday::Sunday], 2, 30, hour, "Europe/Berlin");
    assert_eq!(spring.ends(at("2026-03-29T01:29:00Z")), None);
    assert_eq!(spring.ends(at("2026-03-29T01:30:00Z")), Some(at("2026-03-29T02:30:00Z")));
    // 25 October: 02:30 comes twice; the first counts.
    assert_eq!(spring.ends(at("2026-10-25T00:30:00Z")), Some(at("2026-10-25T01:30:00Z")));
    assert_eq!(spring.ends(at("2026-10-25T01:30:00Z")), None);
}

proptest! {
    /// Whatever the clock does: no window of a person holds for more ticks than its length has.
    #[test]
    fn prop_no_window_outlives_its_length(
        length in 1i64..50, jumps in proptest::collection::vec(-200_000i64..200_000, 1..100),
    ) {
        let mut book = Book::default();
        let (mut now, any) = (1_000_000_000i64, subject("d", "s"));
        book.advance(Time(now));
        book.ask(start(Scope::default(), length * 1000), Time(now)).unwrap();
        let (mut held, mut unseen) = (0, 0);
        for jump in jumps {
            // A second passes; seldom the clock is set.
            let passed = 1000 + if jump % 5 == 0 { jump } else { 0 };
            now += passed;
            // Of this second the clock shows less: nothing, where it was set back so far that the window is
            // moved with it; less than nothing, where that passes for a correction.
            unseen += if passed < -CORRECTION_MS { 1000 } else { (1000 - passed).max(0) };
            book.advance(Time(now));
            held += i64::from(book.holds(&any, Time(now)).is_some());
            if jump % 7 == 0 {
                book = Book::new(Vec::new(), Some(&book.stored()), Time(now));
                book.advance(Time(now));
            }
        }
        prop_assert!(held * 1000 <= length * 1000 + unseen, "{held} of {length}, {unseen} ms unseen");
    }

    /// Nothing that is stored panics.
    #[test]
    fn prop_stored_windows_never_panic(junk: Vec<u8>, now: i64, from: i64, until: i64) {
        let _ = Book::new(Vec::new(), Some(&junk), Time(now));
        let text = format!(r#"{{"last":{},"windows":[{{"id":"m1","scope":{{}},"from":{from},"until":{until},"reason":"","by":""}}]}}"#, u64::MAX);
        let mut book = Book::new(Vec::new(), Some(text.as_bytes()), Time(now));
        book.advance(Time(until));
        book.advance(Time(from));
        let _ = book.ask(start(Scope::default(), i64::MAX), Time(now));
        let _ = book.list(Time(now));
    }
}
