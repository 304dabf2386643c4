//! A report of what was stored.

use callhome_shared::alarm::Transition;
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;

use super::World;
use super::agent::{Agent, alarm};
use crate::calendar::Zone;
use crate::clock::Promise;
use crate::flow::clocks::seed;
use crate::flow::report;
use crate::flow::tickets::manual::{self, Intake, Recorded};
use crate::flow::tickets::{Action, ActionError, desk};
use crate::report::{By, Kept, Report};
use crate::store::reports::Range;
use crate::store::tickets::{self, TicketRow};
use crate::ticket::{Class, Priority, State};

const HOUR: i64 = 3_600_000;

async fn by_hand(world: &World, code: &str, noticed_at: &str) -> Result<TicketRow, ActionError> {
    let one = Recorded {
        text: "no light".into(),
        priority: Priority::P2,
        class: Class::ServiceRequest,
        category: None,
        site: "SH-01".into(),
        serial: String::new(),
        contract: String::new(),
        error_code: code.into(),
        assignee: None,
        intake: Intake { noticed_at: noticed_at.into(), ..Intake::default() },
    };
    manual::open(&world.db, &world.events, "li", &one, Time::now()).await
}

async fn of(world: &World, range: &Range, by: By) -> Report {
    let now = Time::now();
    let (report, whole) = report::of(&world.db, range, by, Zone::utc(), now).await.unwrap();
    assert!(whole);
    report
}

pub(super) async fn both_paths_stand_beside_each_other(world: World) {
    let promise = Promise { plan: "carrier".to_owned(), calendar: None, time_zone: None };
    let begun = Time::now();
    seed(&world.db, &promise, begun).await.unwrap();
    let mut agent = Agent::new("a-1");
    // Seen by the agent three seconds ago, and a line of another code.
    for (resource, code) in [("PSU 1", "0x42"), ("PSU 2", "0X42 "), ("Fan 1", "0x7")] {
        let mut one = alarm(new_uuid(), resource, Transition::Raised);
        one.fault_code = Some(code.to_owned());
        one.observed_at = begun.plus_ms(-3_000);
        world.feed([agent.alarm(&one)]).await;
    }
    let two_hours_ago = begun.plus_ms(-2 * HOUR).to_string();
    let told = by_hand(&world, "0x42", &two_hours_ago).await.unwrap();
    by_hand(&world, "0x42", "").await.unwrap();
    let twin = by_hand(&world, "0x42", &two_hours_ago).await.unwrap();
    for wrong in ["soon", &begun.plus_ms(HOUR).to_string()] {
        let why = by_hand(&world, "0x42", wrong).await.unwrap_err();
        assert!(matches!(why, ActionError::Wrong("noticed_at", _)), "{wrong}: {why}");
    }
    let action = Action { user: "li", number: &twin.number, at: Time::now() };
    desk::merge(&world.db, &world.events, action, twin.version, "T-000001").await.unwrap();
    world.take("T-000001", &[State::InDiagnosis, State::Resolved]).await;
    world.take(&told.number, &[State::InDiagnosis]).await;
    let whole = Range {
        from: begun.plus_ms(-HOUR),
        to: begun.plus_ms(HOUR),
        customer: None,
        site: None,
        plan: None,
    };
    let report = of(&world, &whole, By::Plan).await;
    assert_eq!((report.all.tickets, report.all.automatic, report.all.recurred), (5, 3, 0));
    assert_eq!(report.groups.len(), 1, "{report:?}");
    let group = report.groups.first().unwrap();
    assert_eq!((group.key.as_str(), group.tickets), ("carrier", 5));
    let kept = |limit: &str, decided| Kept { limit: limit.into(), decided, kept: decided };
    let told_of = |limit: &str| group.limits.iter().find(|of| of.limit == limit);
    assert_eq!(told_of("respond"), Some(&kept("respond", 2)));
    assert_eq!(told_of("restore"), Some(&kept("restore", 1)));
    assert_eq!((group.respond.count, group.restore.count), (2, 1));
    let other = |plan: &str| Range { plan: Some(plan.to_owned()), ..whole.clone() };
    assert_eq!(of(&world, &other("carrier"), By::Plan).await.all.tickets, 5);
    assert_eq!(of(&world, &other("vendor-gold"), By::Plan).await.all.tickets, 0);
    // The fault of one code came both ways, the other one did not.
    let [fault] = report.faults.as_slice() else { panic!("{report:?}") };
    assert_eq!((fault.code.as_str(), report.faults_left_out), ("0x42", 0));
    assert_eq!((fault.automatic, fault.by_hand), (report.both.automatic, report.both.by_hand));
    assert_eq!((fault.automatic.tickets, fault.by_hand.tickets), (2, 3));
    assert_eq!((fault.automatic.to_ticket.count, fault.by_hand.to_ticket.count), (2, 2));
    // As the rows say it, by themselves.
    let took = async |number: &str, since: Time| {
        let row = tickets::get(&world.db, number).await.unwrap().unwrap();
        row.opened_at.millis() - since.millis()
    };
    let seen = begun.plus_ms(-3_000);
    let (one, two) = (took("T-000001", seen).await, took("T-000002", seen).await);
    assert_eq!(fault.automatic.to_ticket.p50_ms, Some(one.min(two)));
    assert_eq!(fault.automatic.to_ticket.p90_ms, Some(one.max(two)));
    let since = Time::parse(&two_hours_ago).unwrap();
    let (one, two) = (took(&told.number, since).await, took(&twin.number, since).await);
    assert_eq!(fault.by_hand.to_ticket.p50_ms, Some(one.min(two)));
    assert!(one.min(two) >= 2 * HOUR);
    // Who took it up is who it stayed with; nobody has the others.
    assert_eq!((fault.automatic.to_engineer.count, fault.by_hand.to_engineer.count), (1, 1));
    assert!(fault.by_hand.to_engineer.p50_ms >= fault.by_hand.to_ticket.p50_ms);
}

pub(super) async fn a_report_goes_through_all_pages_of_its_time(world: World) {
    // More than two pages; several of the same millisecond, as a flood has them.
    let at = Time::now();
    for _ in 0..150 {
        by_hand(&world, "", "").await.unwrap();
    }
    let sql = "UPDATE tickets SET opened_at = $1 + ordinal / 50";
    world.db.execute(sql, crate::args![at]).await.unwrap();
    let range = |from: i64, to: i64, site: Option<&str>| Range {
        from: at.plus_ms(from),
        to: at.plus_ms(to),
        customer: None,
        site: site.map(Into::into),
        plan: None,
    };
    // Ordinals 1 to 49, 50 to 99, 100 to 149, and 150.
    for (from, to, site, expected) in [
        (0, 4, None, 150),
        (1, 3, None, 100),
        (3, 4, Some("SH-01"), 1),
        (0, 4, Some("SH-02"), 0),
        (4, 9, None, 0),
    ] {
        let report = of(&world, &range(from, to, site), By::Site).await;
        assert_eq!(report.all.tickets, expected, "{from} {to} {site:?}");
        assert_eq!(report.groups.len(), usize::from(expected > 0));
    }
}
