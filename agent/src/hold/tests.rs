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
    Subject { device: device.to_owned(), site: Some(site.to_owned()), ..Subject::default() }
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
fn the_centre_says_all_of_its_windows_at_once() {
    use callhome_shared::maintenance::{Set, Window};
    let window = |id: &str, device: &str, from, until| Window {
        id: id.to_owned(),
        devices: vec![device.to_owned()],
        sites: Vec::new(),
        from: Time(from),
        until: Time(until),
        reason: "firmware".to_owned(),
        by: "li".to_owned(),
    };
    let mut book = Book::default();
    let (a, b) = (subject("a", "x"), subject("b", "x"));
    let first = Set::of(vec![window("w1", "a", 100, 200), window("w2", "b", 300, 400)]);
    for _ in 0..3 {
        assert_eq!(book.ask(Ask::Centre(first.clone()), Time(50)).unwrap().len(), 2, "repeated");
    }
    assert_eq!(book.revision(), first.revision);
    assert_eq!((book.holds(&a, Time(99)), book.holds(&a, Time(200))), (None, None));
    assert_eq!(book.holds(&a, Time(100)), Some(Hold::Maintenance("w1".to_owned())));
    assert_eq!((book.holds(&b, Time(199)), book.holds(&b, Time(300)).is_some()), (None, true));
    let refused = book.ask(Ask::End { id: "w1".to_owned() }, Time(150)).unwrap_err();
    assert!(refused.contains("support centre"), "{refused}");
    let mut again = Book::new(Vec::new(), Some(&book.stored()), Time(150));
    assert_eq!((again.revision(), again.list(Time(150))), (&*first.revision, book.list(Time(150))));
    assert_eq!(again.list(Time(150))[0].by, "centre: li");
    again.ask(start(of_device("b"), 1000), Time(150)).unwrap();
    // What is missing in the next set is over; what a person began here is not touched.
    again.ask(Ask::Centre(Set::default()), Time(160)).unwrap();
    assert_eq!((again.revision(), again.holds(&a, Time(160))), ("", None));
    assert_eq!(again.holds(&b, Time(160)), Some(Hold::Maintenance("m1".to_owned())));
    let odd = Set { windows: vec![window("w", "a", 5, 5)], ..Set::default() };
    assert!(again.ask(Ask::Centre(odd), Time(170)).is_err());
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

#[test]
fn a_part_is_known_by_its_own_name_and_holds_only_silence() {
    for (resource, named, is) in [
        ("port Gi1/0/7", "Gi1/0/7", true),
        ("port Gi1/0/7", "gi1/0/7", true),
        ("port Gi1/0/7", "port Gi1/0/7", true),
        ("PDU 1 outlet 7", "outlet 7", true),
        ("port Gi1/0/17", "7", false),
        ("port Gi1/0/7", "Gi1/0/17", false),
        ("port Gi1/0/7", "", false),
        ("", "Gi1/0/7", false),
    ] {
        assert_eq!(is_part(resource, named), is, "{resource} {named}");
    }
    let mut subject = subject("array-1", "x");
    assert_eq!(behind(&subject, |_| true, |_, _| true), None, "it hangs on nothing");
    subject.parent = Some("switch-1".to_owned());
    subject.is_silence = true;
    assert_eq!(behind(&subject, |_| false, |_, _| true), None, "on no part");
    subject.parent_resource = Some("Gi1/0/7".to_owned());
    let part = Hold::Part { device: "switch-1".to_owned(), resource: "Gi1/0/7".to_owned() };
    assert_eq!(behind(&subject, |_| false, |_, _| true), Some(part));
    let device = Some(Hold::Parent("switch-1".to_owned()));
    assert_eq!(behind(&subject, |_| true, |_, _| true), device, "the greater one");
    subject.is_silence = false;
    assert_eq!(behind(&subject, |_| false, |_, _| true), None, "it can still speak");
}

proptest! {
    /// No name panics, and a part's own name always names it.
    #[test]
    fn prop_parts_never_panic(resource in ".{0,40}", named in ".{0,40}") {
        let _ = is_part(&resource, &named);
        prop_assert!(resource.trim().is_empty() || is_part(&resource, &resource));
        let whole = format!("port {resource}");
        prop_assert!(resource.trim().is_empty() || is_part(&whole, &resource));
    }

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
