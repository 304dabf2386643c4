//! From fault to the right engineer: assignment, calls, rosters.

use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use serde_json::{Value, json};

use super::World;
use super::agent::Agent;
use crate::clock::Promise;
use crate::flow::clocks::{self, ShelfError, Wish, seed};
use crate::flow::duty::actions::{self, By, Details, DutyError};
use crate::flow::duty::{answer, load, rosters, sweep, view};
use crate::flow::tickets::desk::Change;
use crate::flow::tickets::{self, Action, ActionError};
use crate::roster::Roster;
use crate::store;
use crate::store::calls::CallRow;
use crate::store::users::{self, User};
use crate::ticket::{Level, State};

const MIN: i64 = 60_000;

async fn person(world: &World, name: &str, role: &str) {
    let user = User {
        name: name.to_owned(),
        display_name: name.to_owned(),
        role: role.to_owned(),
        password_hash: String::new(),
        must_change: false,
        language: "en".to_owned(),
        created_at: Time(1),
        disabled_at: None,
    };
    assert!(users::insert_alone(&world.db, &user).await.unwrap());
}

fn wish(name: &str, version: i64) -> Wish<'_> {
    Wish { name, version, user: "boss", at: Time::now() }
}

fn roster(shifts: Value) -> Roster {
    serde_json::from_value(json!({ "time_zone": "Asia/Shanghai", "shifts": shifts })).unwrap()
}

fn shift(level: &str, team: &[&str]) -> Value {
    json!({ "name": level, "level": level, "hours": "00:00-24:00", "teams": [team] })
}

/// Two at L1, one at L2, one at L3, a manager on no roster.
pub(super) async fn house(world: &World) {
    for (name, role) in [
        ("boss", "manager"),
        ("chen", "support_engineer"),
        ("li", "field_engineer"),
        ("sun", "expert"),
        ("wang", "field_engineer"),
    ] {
        person(world, name, role).await;
    }
    let shifts = [shift("l1", &["li", "wang"]), shift("l2", &["chen"]), shift("l3", &["sun"])];
    rosters::put_roster(&world.db, wish("house", 0), &roster(shifts.into())).await.unwrap();
}

pub(super) async fn fault(world: &World, severity: Severity) -> Agent {
    let mut agent = Agent::new("a-1");
    let (_, raise) = agent.raise_at("PSU 1", severity);
    world.feed([raise]).await;
    agent
}

async fn calls(world: &World) -> Vec<CallRow> {
    view::calls(&world.db, &world.ticket().await.id).await.unwrap()
}

/// Who was called at which level, and how it ended.
async fn rung(world: &World) -> Vec<(String, String, String)> {
    let said = |c: CallRow| (c.person, c.level, c.ended.unwrap_or_else(|| "open".to_owned()));
    calls(world).await.into_iter().map(said).collect()
}

fn call(person: &str, level: &str, ended: &str) -> (String, String, String) {
    (person.to_owned(), level.to_owned(), ended.to_owned())
}

async fn detail(world: &World, what: &str) -> Value {
    let ticket = world.ticket().await;
    let all = store::timeline::of_ticket(&world.db, &ticket.id, 1000).await.unwrap();
    let one = all.into_iter().rev().find(|e| e.what == what);
    serde_json::from_str(&one.unwrap_or_else(|| panic!("no {what}")).detail).unwrap()
}

fn by<'a>(user: &'a str, number: &'a str) -> Action<'a> {
    Action { user, number, at: Time::now() }
}

async fn respond(world: &World) -> String {
    let mut tx = world.db.begin().await.unwrap();
    let all = store::clocks::of_tickets(&mut tx, &[world.ticket().await.id]).await.unwrap();
    all.into_iter().find(|c| c.name == "respond").unwrap().state
}

pub(super) async fn a_ticket_goes_to_who_is_on_duty(world: World) {
    house(&world).await;
    let promise = Promise { plan: "carrier".into(), calendar: None, time_zone: None };
    seed(&world.db, &promise, Time::now()).await.unwrap();
    // wang knows this model, li knows nothing of it.
    let details = Details {
        mail: "wang@example.com".into(),
        skills: vec!["psu-failed".into()],
        ..Details::default()
    };
    let manager = By { user: "boss", for_others: true, at: Time::now() };
    let row = actions::put_person(&world.db, "wang", 0, &details, manager).await.unwrap();
    assert_eq!((row.version, row.skills.as_str()), (1, "psu-failed"));
    let error = actions::put_person(&world.db, "wang", 0, &details, manager).await.unwrap_err();
    assert!(matches!(error, DutyError::Version(1)), "{error}");
    let wrong = Details { mail: "wang".into(), ..Details::default() };
    let error = actions::put_person(&world.db, "wang", 1, &wrong, manager).await.unwrap_err();
    assert!(error.to_string().starts_with("mail: expected an address such as"), "{error}");

    fault(&world, Severity::Critical).await;
    let ticket = world.ticket().await;
    assert_eq!(ticket.assignee.as_deref(), Some("wang"));
    // Only people take a ticket up: the promise to respond still waits.
    assert_eq!((ticket.state.as_str(), respond(&world).await.as_str()), ("recorded", "running"));
    let given = detail(&world, "assigned").await;
    assert_eq!((&given["to"], &given["by"]), (&json!("wang"), &json!("roster")));
    let why = |name: &str| {
        let reasons = given["reasons"].as_array().unwrap();
        reasons.iter().find(|r| r["person"] == name).unwrap()["why"].clone()
    };
    assert_eq!((why("wang"), why("li")), (json!("skill"), json!("other_skill")));
    assert_eq!(rung(&world).await, [call("wang", "l1", "open")]);

    let taken = answer::acknowledge(&world.db, &world.events, by("wang", &ticket.number), true)
        .await
        .unwrap();
    assert_eq!((taken.state.as_str(), taken.version), ("assigned", ticket.version + 1));
    assert_eq!(respond(&world).await, "stopped");
    assert_eq!(rung(&world).await, [call("wang", "l1", "answered")]);
    let error = answer::acknowledge(&world.db, &world.events, by("li", &ticket.number), true)
        .await
        .unwrap_err();
    assert!(matches!(error, ActionError::NotNow(_)), "{error}");
    assert_eq!(sweep(&world.db, &world.events, Time::now().plus_ms(60 * MIN)).await.unwrap(), 0);
    let said = world.timeline(&ticket).await;
    assert_eq!(said.iter().filter(|what| *what == "assigned").count(), 1, "{said:?}");

    // Less urgent: assigned, but nobody is woken. The other one has fewer tickets now.
    let mut agent = Agent::new("a-2");
    let mut alarm = super::agent::alarm(
        callhome_shared::id::new_uuid(),
        "FAN 1",
        callhome_shared::alarm::Transition::Raised,
    );
    alarm.kind = "fan-failed".into();
    world.feed([agent.send(callhome_shared::envelope::Kind::Alarm, &alarm)]).await;
    let second = world.tickets().await.pop().unwrap();
    assert_eq!(second.assignee.as_deref(), Some("li"));
    assert_eq!(view::calls(&world.db, &second.id).await.unwrap(), []);
}

pub(super) async fn a_call_that_nobody_answers_goes_on(world: World) {
    house(&world).await;
    fault(&world, Severity::Critical).await;
    let ticket = world.ticket().await;
    assert_eq!(ticket.assignee.as_deref(), Some("li"));
    let now = Time::now();
    assert_eq!(sweep(&world.db, &world.events, now).await.unwrap(), 0, "not yet");
    let mut expected = vec![call("li", "l1", "open")];
    // The next one of the level, then level by level, each once.
    for (n, (who, level)) in
        [("wang", "l1"), ("chen", "l2"), ("sun", "l3"), ("boss", "manager")].into_iter().enumerate()
    {
        let at = now.plus_ms((i64::try_from(n).unwrap() + 1) * 11 * MIN);
        assert_eq!(sweep(&world.db, &world.events, at).await.unwrap(), 1);
        assert_eq!(sweep(&world.db, &world.events, at).await.unwrap(), 0);
        expected[n].2 = "expired".to_owned();
        expected.push(call(who, level, "open"));
        assert_eq!(rung(&world).await, expected);
    }
    // Who does not answer does not keep it; a manager sees to it, but it is not his.
    assert_eq!(world.ticket().await.assignee.as_deref(), Some("sun"));
    assert_eq!(detail(&world, "call-expired").await["person"], "sun");
    let last = now.plus_ms(100 * MIN);
    assert_eq!(sweep(&world.db, &world.events, last).await.unwrap(), 1);
    assert_eq!(sweep(&world.db, &world.events, last.plus_ms(MIN)).await.unwrap(), 0);
    let nobody = detail(&world, "nobody-on-duty").await;
    assert_eq!(nobody["step"], "opened");
    // Somebody takes it up after all.
    let ticket = world.ticket().await;
    let taken = world.go(&ticket.number, State::InDiagnosis, ticket.version, None).await.unwrap();
    assert_eq!(taken.assignee.as_deref(), Some("sun"));
}

pub(super) async fn two_collectors_call_nobody_twice(world: World) {
    house(&world).await;
    fault(&world, Severity::Critical).await;
    let other = store::Db::open(&world.settings).await.unwrap();
    for round in 1..5 {
        let at = Time::now().plus_ms(round * 11 * MIN);
        let (a, b) =
            tokio::join!(sweep(&world.db, &world.events, at), sweep(&other, &world.events, at));
        // A sweep that came too late counts nothing; the call went on once.
        assert!(a.unwrap() + b.unwrap() <= 1);
        let all = calls(&world).await;
        assert_eq!(all.len(), usize::try_from(round).unwrap() + 1, "{all:#?}");
        assert_eq!(all.iter().filter(|c| c.ended.is_none()).count(), 1);
    }
    other.close().await;
}

pub(super) async fn steps_of_clocks_call_their_levels(world: World) {
    house(&world).await;
    let plan = json!({
        "title": { "zh-CN": "x", "en": "x" },
        "priorities": { "p3": { "restore": { "within": "4h", "steps": [
            { "at": "50%", "to": "l2" }, { "at": "75%", "to": "l3" }, { "at": "+30min", "to": "manager" } ] } } },
    });
    let plan: crate::clock::Plan = serde_json::from_value(plan).unwrap();
    clocks::put_plan(&world.db, wish("steps", 0), &plan).await.unwrap();
    let promise = Promise { plan: "steps".into(), calendar: None, time_zone: None };
    seed(&world.db, &promise, Time::now()).await.unwrap();
    fault(&world, Severity::Minor).await;
    let now = Time::now();
    assert_eq!(rung(&world).await, []);
    clocks::sweep(&world.db, &world.events, now.plus_ms(121 * MIN)).await.unwrap();
    assert_eq!(rung(&world).await, [call("chen", "l2", "open")]);
    let number = world.ticket().await.number;
    answer::acknowledge(&world.db, &world.events, by("chen", &number), true).await.unwrap();
    assert_eq!(world.ticket().await.assignee.as_deref(), Some("chen"));
    for minutes in [181, 181, 271, 271] {
        clocks::sweep(&world.db, &world.events, now.plus_ms(minutes * MIN)).await.unwrap();
    }
    let expected = [
        call("chen", "l2", "answered"),
        call("sun", "l3", "open"),
        call("boss", "manager", "open"),
    ];
    assert_eq!(rung(&world).await, expected);
    // The manager knows: it stays whose it is, and lower calls need no answer.
    answer::acknowledge(&world.db, &world.events, by("boss", &number), false).await.unwrap();
    assert_eq!(world.ticket().await.assignee.as_deref(), Some("chen"));
    assert!(rung(&world).await.iter().all(|c| c.2 == "answered"));
}

pub(super) async fn people_ask_and_a_major_incident_goes_to_a_manager(world: World) {
    house(&world).await;
    fault(&world, Severity::Minor).await;
    let ticket = world.ticket().await;
    let taken = world.go(&ticket.number, State::InDiagnosis, ticket.version, None).await.unwrap();
    let wish = crate::ticket::Wish {
        level: Some(Level::L2),
        ..crate::ticket::Wish::to(State::Escalated, Some("too hard"))
    };
    let action = by("li", &ticket.number);
    let up =
        tickets::transition(&world.db, &world.events, action, taken.version, &wish).await.unwrap();
    assert_eq!(rung(&world).await, [call("chen", "l2", "open")]);
    let major = Change { major: Some(true), ..Change::default() };
    tickets::desk::change(&world.db, &world.events, action, up.version, major).await.unwrap();
    let all = rung(&world).await;
    assert_eq!(all, [call("chen", "l2", "open"), call("boss", "manager", "open")]);
    // Working on it is an answer; what is resolved needs none.
    let version = world.ticket().await.version;
    let wish = crate::ticket::Wish::to(State::InDiagnosis, None);
    let action = by("chen", &ticket.number);
    tickets::transition(&world.db, &world.events, action, version, &wish).await.unwrap();
    assert_eq!(rung(&world).await[0], call("chen", "l2", "answered"));
    world.take(&ticket.number, &[State::Resolved]).await;
    assert_eq!(rung(&world).await[1], call("boss", "manager", "over"));
}

pub(super) async fn what_is_published_stays_and_is_swapped(world: World) {
    house(&world).await;
    let zone = crate::calendar::zone::zone("Asia/Shanghai").unwrap();
    let today = zone.local(Time::now()).date();
    let until = today.checked_add(jiff::Span::new().days(7)).unwrap().to_string();
    let (count, end) = rosters::publish(&world.db, wish("house", 1), &until).await.unwrap();
    // Four people, each today and seven days more.
    assert_eq!(count, 4 * 8);
    let again = rosters::publish(&world.db, wish("house", 1), &until).await.unwrap_err();
    assert!(again.to_string().contains("it is published until then"), "{again}");
    let late = rosters::publish(&world.db, wish("house", 7), &until).await.unwrap_err();
    assert!(matches!(late, ShelfError::Version { current: 1 }), "{late}");
    let further = today.checked_add(jiff::Span::new().days(8)).unwrap().to_string();
    assert_eq!(rosters::publish(&world.db, wish("house", 1), &further).await.unwrap().0, 4);

    // Another version: what is published stays, what comes after it is new.
    let shifts = json!([shift("l1", &["wang"]), shift("l2", &["chen"])]);
    rosters::put_roster(&world.db, wish("house", 1), &roster(shifts)).await.unwrap();
    let people_at = async |at: Time| {
        let mut tx = world.db.begin().await.unwrap();
        let board = load(&mut tx, at, at.plus_ms(1)).await.unwrap();
        board.shifts.into_iter().map(|s| s.person).collect::<Vec<_>>()
    };
    assert_eq!(people_at(end.plus_ms(-1)).await, ["li", "wang", "chen", "sun"]);
    let day = 24 * 60 * MIN;
    assert_eq!(people_at(end.plus_ms(day)).await, ["wang", "chen"]);

    // A swap says who, when and why; only who has it, or who leads, may.
    let board = view::days(&world.db, Time::now(), Time::now().plus_ms(1)).await.unwrap();
    let id = |person: &str| {
        board.shifts.iter().find(|s| s.person == person).and_then(|s| s.id.clone()).unwrap()
    };
    let own = |user: &'static str| By { user, for_others: false, at: Time::now() };
    let swap = async |shift: &str, to: Option<&str>, other: Option<&str>, user: &'static str| {
        actions::swap(&world.db, shift, to, other, "wedding", own(user)).await
    };
    let (li, wang, chen) = (id("li"), id("wang"), id("chen"));
    let error = swap(&li, Some("wang"), None, "wang").await.unwrap_err();
    assert!(matches!(error, DutyError::NotYours), "{error}");
    let error = swap(&chen, Some("li"), None, "chen").await.unwrap_err();
    assert_eq!(error.to_string(), "to: li is field_engineer, who does not do the work of l2");
    let error = swap(&li, Some("wnag"), None, "li").await.unwrap_err();
    assert!(error.to_string().contains("wang"), "{error}");
    swap(&li, Some("chen"), None, "li").await.unwrap();
    assert_eq!(people_at(Time::now()).await, ["chen", "wang", "chen", "sun"]);
    swap(&li, None, Some(&wang), "chen").await.unwrap();
    let after = view::days(&world.db, Time::now(), Time::now().plus_ms(1)).await.unwrap();
    let mine = after.shifts.iter().find(|s| s.id.as_ref() == Some(&li)).unwrap();
    assert_eq!((mine.person.as_str(), mine.planned.as_str()), ("wang", "li"));
    assert_eq!(after.swaps.len(), 3);
    assert!(after.swaps.iter().all(|s| s.reason == "wedding"));
}

pub(super) async fn who_is_absent_is_not_called(world: World) {
    house(&world).await;
    let now = Time::now();
    let own = By { user: "li", for_others: false, at: now };
    let range = (now.plus_ms(-MIN), now.plus_ms(600 * MIN));
    let error = actions::absent(&world.db, "wang", range, "ill", own).await.unwrap_err();
    assert!(matches!(error, DutyError::NotYours), "{error}");
    let error = actions::absent(&world.db, "li", (now, now), "ill", own).await.unwrap_err();
    assert!(error.to_string().starts_with("until: expected an end after"), "{error}");
    fault(&world, Severity::Critical).await;
    assert_eq!(world.ticket().await.assignee.as_deref(), Some("li"));
    let absence = actions::absent(&world.db, "li", range, "ill", own).await.unwrap();
    // What he has open is shown to who leads.
    let seen = view::now(&world.db, Time::now()).await.unwrap();
    assert_eq!(seen.orphans.len(), 1);
    assert_eq!((seen.orphans[0].0.as_str(), seen.orphans[0].2.as_str()), ("T-000001", "li"));
    let mut agent = Agent::new("a-2");
    let (_, raise) = agent.raise_at("PSU 9", Severity::Critical);
    world.feed([raise]).await;
    assert_eq!(world.tickets().await[1].assignee.as_deref(), Some("wang"));
    actions::present(&world.db, &absence.id, own).await.unwrap();
    assert!(view::now(&world.db, Time::now()).await.unwrap().orphans.is_empty());
    let error = actions::present(&world.db, &absence.id, own).await.unwrap_err();
    assert!(matches!(error, DutyError::NotFound(_)), "{error}");
}

pub(super) async fn without_a_roster_people_assign(world: World) {
    person(&world, "boss", "manager").await;
    fault(&world, Severity::Critical).await;
    let ticket = world.ticket().await;
    assert_eq!((ticket.assignee.as_deref(), ticket.state.as_str()), (None, "recorded"));
    assert_eq!(world.timeline(&ticket).await, ["opened"]);
    assert_eq!(calls(&world).await, []);
    // A roster that is removed counts no more.
    let shifts = json!([shift("manager", &["boss"])]);
    rosters::put_roster(&world.db, wish("r", 0), &roster(shifts)).await.unwrap();
    rosters::remove_roster(&world.db, wish("r", 1)).await.unwrap();
    let mut agent = Agent::new("a-2");
    let (_, raise) = agent.raise_at("PSU 9", Severity::Critical);
    world.feed([raise]).await;
    assert_eq!(world.tickets().await[1].assignee, None);
}
