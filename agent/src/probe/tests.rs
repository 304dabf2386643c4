use std::sync::Arc;

use callhome_shared::ack::Receipt;
use callhome_shared::probe::Hop;
use callhome_shared::time::Time;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const INTERVAL_S: u64 = 3600;
const HOUR: i64 = 3_600_000;

fn at(mono_ms: i64) -> Moment {
    Moment { wall: Time(1_000_000 + mono_ms), mono_ms }
}

fn book(sources: &[&str]) -> Book {
    let sources = sources.iter().map(|s| (Arc::from(*s), "serial", None));
    Book::new(sources.collect::<Vec<_>>(), INTERVAL_S, at(0))
}

fn well() -> Facts {
    Facts { connected: true, ..Facts::default() }
}

fn asks(orders: &[Order]) -> Vec<(Arc<str>, Uuid)> {
    let ask = |order: &Order| match order {
        Order::Ask(source, nonce) => Some((source.clone(), *nonce)),
        Order::Tell(..) => None,
    };
    orders.iter().filter_map(ask).collect()
}

fn told(orders: &[Order]) -> Vec<bool> {
    let tell = |order: &Order| match order {
        Order::Tell(_, told) => Some(told.missing.is_some()),
        Order::Ask(..) => None,
    };
    orders.iter().filter_map(tell).collect()
}

fn receipt(alarm_id: Uuid) -> Receipt {
    let (envelope, case, ticket) = (Uuid::nil(), "c".to_owned(), "P-000001".to_owned());
    Receipt { envelope, alarm_id, case, ticket, committed_at: Time(0) }
}

/// The first probe of the only source, asked for.
fn first(book: &mut Book) -> (Uuid, i64) {
    for ms in (0..120_000).step_by(1000) {
        if let [(_, nonce)] = asks(&book.advance(at(ms), &well(), |_| String::new())).as_slice() {
            return (*nonce, ms);
        }
    }
    panic!("no probe within two minutes");
}

#[test]
fn a_path_is_proven_and_its_alarm_clears() {
    let mut book = book(&["tty"]);
    let (nonce, asked) = first(&mut book);
    assert!((15_000..80_000).contains(&asked), "{asked}");
    assert_eq!(book.about(nonce).unwrap().source, "tty");
    assert_eq!(book.about(Uuid::from_u128(9)), None, "nobody asked for it");
    let alarm = Uuid::from_u128(1);
    book.decided(nonce, alarm, at(asked + 10));
    assert!(!book.receipt(&receipt(Uuid::from_u128(2)), at(asked + 50)), "another's");
    book.stored(alarm, Uuid::nil(), 5);
    assert!(book.receipt(&receipt(alarm), at(asked + 50)));
    assert!(!book.receipt(&receipt(alarm), at(asked + 60)), "once");
    let [path] = book.report().try_into().unwrap();
    assert_eq!((path.took_ms, path.p50_ms, path.p99_ms), (Some(40), Some(40), Some(40)));
    assert_eq!((path.ticket.as_deref(), path.missing), (Some("P-000001"), None));
    // The line learns that the path is proven, and what to store, until it has taken it.
    for _ in 0..2 {
        let orders = book.advance(at(asked + 70), &well(), |_| String::new());
        let [Order::Tell(source, told)] = orders.as_slice() else { panic!("{orders:?}") };
        assert!(told.missing.is_none() && told.stored.is_some());
        let _ = (source, told);
    }
    let orders = book.advance(at(asked + 80), &well(), |_| String::new());
    let [Order::Tell(source, told)] = orders.as_slice() else { panic!("{orders:?}") };
    book.told(source, told);
    assert_eq!(book.advance(at(asked + 90), &well(), |_| String::new()), []);
    // A restart keeps the proof.
    let kept = Book::new([("tty".into(), "serial", told.stored.clone())], INTERVAL_S, at(0));
    assert_eq!(kept.report()[0].proven_at, path.proven_at);
    // The next one is due an interval later.
    let next = asks(&book.advance(at(asked + HOUR - 2000), &well(), |_| String::new()));
    assert_eq!(next, []);
    let next = asks(&book.advance(at(asked + HOUR), &well(), |_| String::new()));
    assert_eq!(next.len(), 1);
}

#[test]
fn each_hop_is_named_within_two_intervals() {
    let alarm = Uuid::from_u128(1);
    let epoch = Uuid::from_u128(7);
    let sent = Facts { epoch, acked_seq: 4, ..well() };
    let down = Facts { connected: false, link: "no route".into(), ..sent.clone() };
    let acked = Facts { acked_seq: 5, ..sent.clone() };
    let full = Facts { blocked_by: Some("full".into()), ..well() };
    let cases: [(u8, &Facts, Hop, &str); 6] = [
        (0, &well(), Hop::Reader, "gone"),
        (0, &full, Hop::Outbox, "full"),
        (1, &well(), Hop::Rule, "no rule"),
        (3, &down, Hop::Link, "no route"),
        (3, &sent, Hop::Collector, "acknowledge"),
        (3, &acked, Hop::Receipt, "ticket"),
    ];
    for (steps, facts, hop, words) in cases {
        let mut book = book(&["tty"]);
        let (nonce, _) = first(&mut book);
        match steps {
            1 => book.refused(nonce, "no rule took it"),
            3 => {
                book.decided(nonce, alarm, at(20_000));
                book.stored(alarm, epoch, 5);
            }
            _ => {}
        }
        // Just short of being overdue: the last probe under way is the first one still.
        let before = book.advance(at(HOUR * 7 / 4 - 1), facts, |_| "gone".into());
        assert!(told(&before).is_empty(), "{hop:?}");
        if matches!(hop, Hop::Rule) {
            let nonce = asks(&before)[0].1;
            book.refused(nonce, "no rule took it");
        }
        if matches!(hop, Hop::Receipt) {
            let nonce = asks(&before)[0].1;
            book.decided(nonce, alarm, at(20_000));
            book.stored(alarm, epoch, 5);
        }
        let orders = book.advance(at(HOUR * 7 / 4), facts, |_| "gone".into());
        assert_eq!(told(&orders), [true], "{hop:?}");
        let missing = book.report()[0].missing.clone().unwrap();
        assert_eq!(missing.hop, hop, "{}", missing.detail);
        assert!(missing.detail.contains(words), "{hop:?}: {}", missing.detail);
        assert!(book.whereabouts("tty", facts, "gone").contains(hop.as_str()));
    }
}

#[test]
fn an_outage_leaves_one_probe_under_way() {
    let mut book = book(&["tty"]);
    let (nonce, asked) = first(&mut book);
    let alarm = Uuid::from_u128(1);
    book.decided(nonce, alarm, at(asked));
    book.stored(alarm, Uuid::nil(), 5);
    let down = Facts { acked_seq: 4, ..Facts::default() };
    for hour in 1..50 {
        let orders = book.advance(at(asked + hour * HOUR), &down, |_| String::new());
        assert_eq!(asks(&orders), [], "one waits in the outbox already");
    }
    // It arrives late: that proves nothing of now, so the next one goes out at once.
    assert!(book.receipt(&receipt(alarm), at(asked + 50 * HOUR)));
    let orders = book.advance(at(asked + 50 * HOUR), &well(), |_| String::new());
    assert_eq!((asks(&orders).len(), told(&orders)), (1, vec![true]));
}

#[test]
fn hurrying_asks_once_and_moves_no_schedule() {
    let mut book = book(&["a", "b"]);
    assert_eq!(book.hurry(Some("c")), []);
    assert_eq!(book.hurry(Some("a")), [("a".to_owned(), 0)]);
    let asked = asks(&book.advance(at(1), &well(), |_| String::new()));
    assert_eq!(asked.len(), 1);
    assert_eq!(&*asked[0].0, "a");
    assert_eq!(asks(&book.advance(at(2), &well(), |_| String::new())), []);
    book.decided(asked[0].1, Uuid::from_u128(1), at(2));
    assert!(book.receipt(&receipt(Uuid::from_u128(1)), at(3)));
    assert_eq!(book.count("a"), 1);
    let again =
        (0..120).map(|s| asks(&book.advance(at(s * 1000 + 10), &well(), |_| String::new())));
    let again: Vec<Arc<str>> = again.flatten().map(|(source, _)| source).collect();
    assert_eq!(again.len(), 2, "the first regular ones: {again:?}");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(i64),
    Decide,
    Store,
    Receive,
    Refuse,
    Hurry,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0i64..4_000_000).prop_map(Step::Pass),
        3 => Just(Step::Decide),
        2 => Just(Step::Store),
        2 => Just(Step::Receive),
        1 => Just(Step::Refuse),
        1 => Just(Step::Hurry),
    ]
}

proptest! {
    /// Whatever happens in whatever order: at most one probe of a source is under way, a path is
    /// missed exactly when its newest proven probe began too long ago, and nothing panics.
    #[test]
    fn prop_the_book_keeps_its_word(steps in prop::collection::vec((any_step(), any::<bool>()), 1..80)) {
        let mut book = book(&["tty"]);
        let (mut now, mut alarms, mut base) = (0, 0u128, 0);
        let mut current: Option<(Uuid, Option<(Uuid, i64)>)> = None;
        for (step, well_off) in steps {
            let facts = match well_off {
                true => Facts { acked_seq: u64::MAX, ..well() },
                false => Facts { blocked_by: Some("x".into()), ..Facts::default() },
            };
            match (step, &mut current) {
                (Step::Pass(ms), _) => now += ms,
                (Step::Decide, Some((nonce, decided))) => {
                    alarms += 1;
                    book.decided(*nonce, Uuid::from_u128(alarms), at(now));
                    *decided = Some((Uuid::from_u128(alarms), now));
                }
                (Step::Store, Some((_, Some((alarm, _))))) => book.stored(*alarm, Uuid::nil(), 1),
                (Step::Receive, Some((_, Some((alarm, began))))) => {
                    prop_assert!(book.receipt(&receipt(*alarm), at(now)));
                    base = base.max(*began);
                    current = None;
                }
                (Step::Refuse, Some((nonce, decided))) => {
                    book.refused(*nonce, "no");
                    *decided = None;
                }
                (Step::Hurry, _) => drop(book.hurry(None)),
                _ => {}
            }
            let orders = book.advance(at(now), &facts, |_| String::new());
            let asked = asks(&orders);
            prop_assert!(asked.len() <= 1);
            if let Some((_, nonce)) = asked.first() {
                current = Some((*nonce, None));
            }
            let missed = book.report()[0].missing.is_some();
            prop_assert_eq!(missed, now - base >= HOUR * 7 / 4);
            for order in &orders {
                if let Order::Tell(source, told) = order {
                    prop_assert_eq!(told.missing.is_some(), missed);
                    book.told(source, told);
                }
            }
        }
    }
}
