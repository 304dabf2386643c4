//! Customers, sites, contracts; what tickets are promised; what the desk does with them.

use std::collections::BTreeMap;

use callhome_shared::alarm::Transition;
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;

use super::World;
use super::agent::{Agent, alarm};
use crate::entitlement::{Verdict, Why};
use crate::flow::clocks::stock;
use crate::flow::masters::{self, By, Imported, MasterError};
use crate::flow::tickets::desk::{self, Change};
use crate::flow::tickets::manual::{self, Intake, Recorded};
use crate::flow::tickets::{self, Action, ActionError};
use crate::masters::{Kind, read_csv};
use crate::store::masters::{self as rows, Filter};
use crate::store::tickets::TicketRow;
use crate::store::users::{self, User};
use crate::store::{self, links, timeline};
use crate::ticket::{Category, Class, Priority, Refused, State, Wish};

fn by() -> By<'static> {
    By { who: "user:li", at: Time::now() }
}

fn li(number: &str) -> Action<'_> {
    Action { user: "li", number, at: Time::now() }
}

fn values(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

async fn add(world: &World, kind: Kind, id: &str, all: &[(&str, &str)]) {
    // Contracts name plans.
    stock(&world.db, Time::now()).await.unwrap();
    masters::create(&world.db, kind, id, &values(all), by()).await.unwrap();
}

async fn import(world: &World, kind: Kind, text: &str, dry: bool) -> Result<Imported, MasterError> {
    stock(&world.db, Time::now()).await.unwrap();
    let read = read_csv(kind, "f", text).unwrap();
    masters::import(&world.db, kind, ("f", text), read, dry, by()).await
}

async fn count(world: &World, kind: Kind) -> usize {
    let filter = Filter { limit: 1000, ..Filter::default() };
    rows::list_of(&world.db, kind, &filter).await.unwrap().len()
}

async fn person(world: &World, name: &str, role: &str) {
    let user = User {
        name: name.into(),
        display_name: name.into(),
        role: role.into(),
        password_hash: "x".into(),
        must_change: false,
        language: "zh-CN".into(),
        created_at: Time(1),
        disabled_at: (name == "gone").then_some(Time(2)),
    };
    assert!(users::insert_alone(&world.db, &user).await.unwrap());
}

/// A ticket of a device with this serial number, on this site.
async fn fault(world: &World, agent: &mut Agent, serial: &str, site: &str) -> TicketRow {
    let mut one = alarm(new_uuid(), "PSU 1", Transition::Raised);
    one.device.id = serial.to_owned();
    one.device.serial = Some(serial.to_owned());
    one.device.site = Some(site.to_owned());
    let before = world.tickets().await.len();
    world.feed([agent.alarm(&one)]).await;
    let mut all = world.tickets().await;
    assert_eq!(all.len(), before + 1, "a fault is never hidden");
    all.remove(before)
}

fn verdict(ticket: &TicketRow) -> Option<Verdict> {
    ticket.service.entitlement.as_deref().map(|json| serde_json::from_str(json).unwrap())
}

const CONTRACT: &[(&str, &str)] = &[
    ("customer", "c"),
    ("plan", "carrier"),
    ("valid_from", "2020-01-01"),
    ("valid_until", "2099-12-31"),
    ("covers", "devices"),
    ("serials", "S1; S2 ;S1"),
];

pub(super) async fn two_people_editing_at_once_lose_nothing(world: World) {
    add(&world, Kind::Customers, "c", &[("name", "\u{5ba2}\u{6237}")]).await;
    let twice =
        masters::create(&world.db, Kind::Customers, "c", &values(&[("name", "x")]), by()).await;
    assert!(matches!(twice, Err(MasterError::Exists("customer", _))), "{twice:?}");
    let note = |text: &'static str| {
        let (db, given) = (world.db.clone(), values(&[("note", text)]));
        async move { masters::change(&db, Kind::Customers, "c", 1, &given, by()).await }
    };
    let (a, b) = tokio::join!(note("a"), note("b"));
    let (won, lost) = match (a, b) {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
        both => panic!("one wins: {both:?}"),
    };
    let MasterError::Version(now) = lost else { panic!("{lost}") };
    assert_eq!(
        (now.version, &now.values["note"]),
        (2, &won.values["note"]),
        "it is told how it is now"
    );
    assert_eq!(now.values["name"], "\u{5ba2}\u{6237}", "what was not named stays");
    for (kind, id, all, expected) in [
        (
            Kind::Sites,
            "s",
            &[("customer", "d")][..],
            "values.customer: customer: there is no customer \"d\"",
        ),
        (
            Kind::Sites,
            "s",
            &[("time_zone", "Asia/Shangai")],
            "values.time_zone: expected an IANA time zone",
        ),
        (
            Kind::Sites,
            "s",
            &[("nme", "x")],
            "values.nme: a site has no such field; expected name, customer",
        ),
        (Kind::Sites, " ", &[], "id: expected an id of 1 to 100"),
        (
            Kind::Contracts,
            "k",
            &[("customer", "c")],
            "values.plan: expected the name of a service plan, found nothing",
        ),
    ] {
        let refused = masters::create(&world.db, kind, id, &values(all), by()).await.unwrap_err();
        assert!(refused.to_string().starts_with(expected), "{refused}");
    }
    add(&world, Kind::Sites, "SH-09", &[("customer", "c")]).await;
    let used = masters::remove(&world.db, Kind::Customers, "c", 2).await.unwrap_err();
    assert_eq!(used.to_string(), "the site \"SH-09\" refers to it");
    let late = masters::remove(&world.db, Kind::Sites, "SH-09", 7).await.unwrap_err();
    assert!(matches!(late, MasterError::Version(_)), "{late}");
    masters::remove(&world.db, Kind::Sites, "SH-09", 1).await.unwrap();
    masters::remove(&world.db, Kind::Customers, "c", 2).await.unwrap();
    let gone = masters::remove(&world.db, Kind::Customers, "c", 2).await.unwrap_err();
    assert!(matches!(gone, MasterError::NotFound("customer", _)), "{gone}");
}

pub(super) async fn a_faulty_file_changes_nothing(world: World) {
    let good = "id,name\nc1,One\nc2,Two\n";
    let all = |new, changed, unchanged| Imported { new, changed, unchanged };
    assert_eq!(import(&world, Kind::Customers, good, true).await.unwrap(), all(2, 0, 0));
    assert_eq!(count(&world, Kind::Customers).await, 0, "a dry run only says it");
    assert_eq!(import(&world, Kind::Customers, good, false).await.unwrap(), all(2, 0, 0));
    let more = "id,name,version\nc1,One,\nc2,Zwei,1\nc3,Three,\n";
    assert_eq!(import(&world, Kind::Customers, more, false).await.unwrap(), all(1, 1, 1));
    let refused = import(&world, Kind::Customers, more, false).await.unwrap_err().to_string();
    assert!(
        refused.contains("f:3:9: it was changed since this file was written: its version is 2 now"),
        "{refused}"
    );
    let sites = "id,customer\nA,c1\nB,c11\nC,zzz\n";
    let before = count(&world, Kind::Sites).await;
    let refused = import(&world, Kind::Sites, sites, false).await.unwrap_err().to_string();
    assert!(refused.contains("f:3:3: customer: there is no customer \"c11\""), "{refused}");
    assert!(refused.contains("did you mean \"c1\"?"), "{refused}");
    assert!(refused.contains("f:4:3: customer: there is no customer \"zzz\""), "{refused}");
    assert_eq!(count(&world, Kind::Sites).await, before, "not even the good row");
    let unknown = "id,customer,plan,valid_from,valid_until,covers\nK,c1,carier,2026-01-01,2026-12-31,customer\n";
    let refused = import(&world, Kind::Contracts, unknown, false).await.unwrap_err().to_string();
    assert!(refused.contains("f:2:6: plan: there is no service plan \"carier\""), "{refused}");
    assert!(refused.contains("did you mean \"carrier\"?"), "{refused}");
    let calendar = "id,calendar\nA,china\n";
    let refused = import(&world, Kind::Sites, calendar, false).await.unwrap_err().to_string();
    assert!(refused.contains("f:2:3: calendar: there is no calendar \"china\""), "{refused}");
    let contract = "id,customer,plan,valid_from,valid_until,covers,sites\nK,c1,p,2026-01-01,2025-01-01,customer,\n";
    let refused = import(&world, Kind::Contracts, contract, false).await.unwrap_err().to_string();
    assert!(
        refused.contains("f:2:19: valid_until: expected a day from 2026-01-01 on"),
        "{refused}"
    );
}

pub(super) async fn cover_is_told_and_hides_no_fault(world: World) {
    let mut agent = Agent::new("a-1");
    let before = fault(&world, &mut agent, "S0", "SH-01").await;
    assert_eq!(
        (before.state.as_str(), verdict(&before)),
        ("recorded", None),
        "no house, no contracts"
    );
    add(&world, Kind::Customers, "c", &[("name", "C")]).await;
    add(&world, Kind::Contracts, "K-1", CONTRACT).await;
    let covered = fault(&world, &mut agent, "S1", "SH-01").await;
    let expected = Verdict::Covered {
        contract: "K-1".into(),
        plan: "carrier".into(),
        until: "2099-12-31".into(),
    };
    assert_eq!((covered.state.as_str(), verdict(&covered)), ("recorded", Some(expected)));
    assert_eq!(
        (covered.contract.as_deref(), covered.service.plan.as_deref()),
        (Some("K-1"), Some("carrier"))
    );
    let other = fault(&world, &mut agent, "S9", "SH-01").await;
    let expected = Verdict::NotCovered { why: Why::None, contract: None, day: None };
    assert_eq!((other.state.as_str(), verdict(&other)), ("waiting_approval", Some(expected)));
    let events = timeline::of_ticket(&world.db, &other.id, 9).await.unwrap();
    let what: Vec<&str> = events.iter().map(|e| e.what.as_str()).collect();
    assert_eq!(what, ["opened", "entitlement", "state"]);
    let open = store::tickets::Filter { limit: 9, ..Default::default() };
    let open = store::tickets::list(&world.db, &open).await.unwrap();
    assert_eq!(open.len(), 3, "waiting is open");

    let decide = async |to: State, version: i64, manager: bool, comment: Option<&str>| {
        let wish = Wish { manager, plan: Some("vendor-gold"), ..Wish::to(to, comment) };
        tickets::transition(&world.db, &world.events, li(&other.number), version, &wish).await
    };
    let no = decide(State::Recorded, 1, false, Some("x")).await.unwrap_err();
    assert!(matches!(no, ActionError::Refused(Refused::ManagersOnly)), "{no}");
    let silent = decide(State::Rejected, 1, true, None).await.unwrap_err();
    assert!(matches!(silent, ActionError::Refused(Refused::CommentRequired)), "{silent}");
    let rejected = decide(State::Rejected, 1, true, Some("not ours")).await.unwrap();
    assert!(rejected.closed_at.is_some());
    world.check().await;
    // The fault comes again: it is there again, and asks again.
    let again = fault(&world, &mut agent, "S9", "SH-01").await;
    assert_eq!(again.state, "waiting_approval");
    let back = decide(State::WaitingApproval, 2, false, Some("please")).await.unwrap_err();
    assert!(
        matches!(&back, ActionError::NewerOpen { number } if *number == again.number),
        "{back}"
    );
    let wish = Wish {
        manager: true,
        plan: Some("vendor-gold"),
        ..Wish::to(State::Recorded, Some("good customer"))
    };
    let approved = tickets::transition(&world.db, &world.events, li(&again.number), 1, &wish).await;
    let approved = approved.unwrap();
    assert_eq!(
        (approved.state.as_str(), approved.service.plan.as_deref()),
        ("recorded", Some("vendor-gold"))
    );
    world.check().await;
    appeared(&world, &mut agent).await;
}

/// What agents named is there, to be completed.
async fn appeared(world: &World, agent: &mut Agent) {
    let waiting = Filter { to_complete: Some(true), limit: 99, ..Filter::default() };
    let devices = rows::list_of(&world.db, Kind::Devices, &waiting).await.unwrap();
    let ids: Vec<&str> = devices.iter().map(|d| d.id.as_str()).collect();
    assert_eq!(ids, ["S0", "S1", "S9"]);
    assert_eq!(devices[0].values["site"], "SH-01");
    let sites = rows::list_of(&world.db, Kind::Sites, &waiting).await.unwrap();
    assert_eq!(sites.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["SH-01"]);
    world.feed([agent.beat(true, 0)]).await;
    let sites = rows::list_of(&world.db, Kind::Sites, &waiting).await.unwrap();
    assert_eq!(sites.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["SH-01", "by-agent"]);
}

pub(super) async fn cover_by_site_and_customer_as_they_are_kept(world: World) {
    let mut agent = Agent::new("a-1");
    add(&world, Kind::Customers, "c", &[("name", "C")]).await;
    add(&world, Kind::Sites, "BJ-01", &[("customer", "c"), ("time_zone", "Asia/Shanghai")]).await;
    add(&world, Kind::Sites, "BJ-02", &[("customer", "c")]).await;
    let with = |covers: &'static str, sites: &'static str| {
        let mut all: Vec<_> =
            CONTRACT.iter().copied().filter(|(name, _)| *name != "serials").collect();
        all.retain(|(name, _)| *name != "covers");
        all.extend([("covers", covers), ("sites", sites)]);
        all
    };
    add(&world, Kind::Contracts, "K-S", &with("sites", "BJ-01")).await;
    let on_site = fault(&world, &mut agent, "S1", "BJ-01").await;
    assert_eq!(
        (on_site.contract.as_deref(), on_site.customer.as_deref()),
        (Some("K-S"), Some("c"))
    );
    assert_eq!(fault(&world, &mut agent, "S2", "BJ-02").await.state, "waiting_approval");
    add(&world, Kind::Contracts, "K-C", &with("customer", "")).await;
    assert_eq!(fault(&world, &mut agent, "S3", "BJ-02").await.contract.as_deref(), Some("K-C"));
    // A device's own contract goes first, but must cover it.
    add(&world, Kind::Devices, "S4", &[("contract", "K-C"), ("asset", "4711")]).await;
    assert_eq!(fault(&world, &mut agent, "S4", "BJ-01").await.contract.as_deref(), Some("K-C"));
    world.check().await;
}

fn recorded(text: &str, serial: &str, contract: &str) -> Recorded {
    Recorded {
        text: text.into(),
        priority: Priority::P2,
        class: Class::ServiceRequest,
        category: Some(Category::Fault),
        site: String::new(),
        serial: serial.into(),
        contract: contract.into(),
        error_code: "0x42".into(),
        assignee: None,
        intake: Intake { contact: "\u{5f20}".into(), access: "vpn 7".into(), ..Intake::default() },
    }
}

pub(super) async fn a_person_records_a_ticket(world: World) {
    let mut agent = Agent::new("a-1");
    fault(&world, &mut agent, "S1", "SH-01").await;
    add(&world, Kind::Customers, "c", &[("name", "C")]).await;
    add(&world, Kind::Contracts, "K-1", CONTRACT).await;
    person(&world, "wang", "support_engineer").await;
    person(&world, "gone", "support_engineer").await;
    person(&world, "guest", "customer").await;
    let open =
        async |one: Recorded| manual::open(&world.db, &world.events, "li", &one, Time::now()).await;
    let row =
        open(Recorded { assignee: Some("wang".into()), ..recorded("no light\nat all", "S1", "") })
            .await
            .unwrap();
    assert_eq!(
        (row.number.as_str(), row.state.as_str(), row.priority.as_str()),
        ("T-000002", "assigned", "p2")
    );
    assert_eq!(
        (row.agent_id.as_str(), row.site.as_deref()),
        ("a-1", Some("SH-01")),
        "what an agent knows"
    );
    assert_eq!((row.contract.as_deref(), row.fault_code.as_deref()), (Some("K-1"), Some("0x42")));
    assert_eq!(row.title.arguments["text"], "no light");
    assert_eq!(row.service.opened_by.as_deref(), Some("li"));
    let by_number = open(recorded("question", "", "K-1")).await.unwrap();
    assert!(verdict(&by_number).unwrap().is_covered(), "the number is believed");
    let other = open(recorded("question", "S7", "K-1")).await.unwrap();
    assert_eq!(other.state, "waiting_approval");
    assert!(matches!(verdict(&other), Some(Verdict::NotCovered { why: Why::OtherDevice, .. })));
    for (one, expected) in [
        (recorded(" ", "S1", ""), "text: expected what is wrong"),
        (recorded("x", "S1\n", ""), "serial: expected one line"),
        (
            Recorded { assignee: Some("wnag".into()), ..recorded("x", "S1", "") },
            "there is nobody in service by the name \"wnag\"; did you mean \"wang\"?",
        ),
        (
            Recorded { assignee: Some("guest".into()), ..recorded("x", "S1", "") },
            "there is nobody in service by the name \"guest\"",
        ),
        (
            Recorded { assignee: Some("gone".into()), ..recorded("x", "S1", "") },
            "there is nobody in service by the name \"gone\"",
        ),
    ] {
        let refused = open(one).await.unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{refused}");
    }
    world.check().await;
}

pub(super) async fn assigned_set_apart_and_only_once(world: World) {
    let mut agent = Agent::new("a-1");
    let one = fault(&world, &mut agent, "S1", "SH-01").await;
    person(&world, "wang", "field_engineer").await;
    let go = async |version: i64, change: Change<'_>| {
        desk::change(&world.db, &world.events, li(&one.number), version, change).await
    };
    let assigned = go(1, Change { assignee: Some("wang"), ..Change::default() }).await.unwrap();
    assert_eq!((assigned.state.as_str(), assigned.assignee.as_deref()), ("assigned", Some("wang")));
    let late = go(1, Change { major: Some(true), ..Change::default() }).await.unwrap_err();
    assert!(matches!(late, ActionError::Version { current: 2 }), "{late}");
    let all = Change {
        major: Some(true),
        class: Some(Class::ScheduledEvent),
        category: Some(Category::Defect),
        priority: Some(Priority::P1),
        ..Change::default()
    };
    let row = go(2, all).await.unwrap();
    assert_eq!(
        (row.version, row.service.major, row.service.class.as_str()),
        (3, true, "scheduled_event")
    );
    assert_eq!(go(3, all).await.unwrap().version, 3, "nothing new is no change");
    let what = world.timeline(&row).await;
    assert_eq!(what, ["opened", "assigned", "state", "priority", "major", "class", "category"]);
    // A major incident is reviewed, by a manager.
    world
        .take(&one.number, &[State::InDiagnosis, State::Escalated, State::Resolved, State::Closed])
        .await;
    let version = store::tickets::get(&world.db, &one.number).await.unwrap().unwrap().version;
    let review = Wish { manager: true, ..Wish::to(State::Reviewed, Some("learned")) };
    let reviewed =
        tickets::transition(&world.db, &world.events, li(&one.number), version, &review).await;
    let reviewed = reviewed.unwrap();
    assert_eq!(
        (reviewed.state.as_str(), reviewed.service.level.as_deref()),
        ("reviewed", Some("engineering"))
    );
    world.check().await;
}

pub(super) async fn a_duplicate_gives_its_alarms_away(world: World) {
    let mut agent = Agent::new("a-1");
    let (first, raise) = agent.raise("PSU 1");
    world.feed([raise, agent.raise("PSU 2").1]).await;
    let merge = async |version: i64, from: &str, into: &str| {
        desk::merge(&world.db, &world.events, li(from), version, into).await
    };
    let itself = merge(1, "T-000001", "t-1").await.unwrap_err();
    assert!(matches!(itself, ActionError::Wrong("into", _)), "{itself}");
    let (from, into) = merge(1, "T-000001", "T-000002").await.unwrap();
    assert_eq!(
        (from.state.as_str(), from.service.merged_into.as_deref()),
        ("merged", Some("T-000002"))
    );
    assert_eq!((into.recurrences, into.condition_cleared_at), (1, None));
    world.check().await;
    let over = merge(into.version, "T-000002", "T-000001").await.unwrap_err();
    assert!(matches!(over, ActionError::Refused(Refused::NotAllowed { .. })), "{over}");
    // The alarms tell the ticket that has them now.
    let clear = agent.clear(first, "PSU 1");
    world.feed([clear, agent.raise("PSU 1").1]).await;
    let all = world.tickets().await;
    assert_eq!((all.len(), all[0].version, all[1].recurrences), (2, from.version, 2));
    world.check().await;
    let again = recorded("it again", "", "");
    let manual = manual::open(&world.db, &world.events, "li", &again, Time::now()).await.unwrap();
    let (_, into) = merge(all[1].version, "T-000002", &manual.number).await.unwrap();
    assert_eq!((into.severity.as_str(), into.recurrences), (all[1].severity.as_str(), 3));
    world.check().await;
    let link = async |other: &str, tied: bool| {
        desk::link(&world.db, &world.events, li(&manual.number), other, tied).await.unwrap().version
    };
    assert_eq!((link("T-000001", true).await, link("T-000001", true).await), (3, 3));
    assert_eq!(
        links::of(&world.db, "T-000001").await.unwrap(),
        std::slice::from_ref(&manual.number)
    );
    assert_eq!(link("T-000001", false).await, 4);
    world.check().await;
}
