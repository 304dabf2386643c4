//! What is promised of tickets, and what clocks make of it.

use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use serde_json::{Value, json};

use super::World;
use super::agent::Agent;
use crate::calendar::Calendar;
use crate::clock::{Plan, Promise, presets};
use crate::flow::clocks::{
    By, Hand, HandError, ShelfError, Wish, by_hand, put_calendar, put_plan, remove, seed, sweep,
};
use crate::flow::tickets::{self, Action, desk};
use crate::store::clocks::ClockRow;
use crate::store::plans::{self, Shelf};
use crate::store::{self, Db};
use crate::ticket::{self, State};

const MIN: i64 = 60_000;
const HOUR: i64 = 60 * MIN;
/// Where a ticket is worked on.
const WORK: State = State::InDiagnosis;

/// A store whose tickets are promised this plan.
async fn promised(world: &World, plan: &str) {
    let promise = Promise {
        plan: plan.to_owned(),
        calendar: None,
        time_zone: Some("Asia/Shanghai".to_owned()),
    };
    seed(&world.db, &promise, Time::now()).await.unwrap();
}

/// A ticket of that severity with its clocks.
async fn opened(world: &World, severity: Severity) -> Agent {
    let mut agent = Agent::new("a-1");
    let (_, raise) = agent.raise_at("PSU 1", severity);
    world.feed([raise]).await;
    agent
}

async fn clocks(db: &Db, number: &str) -> Vec<ClockRow> {
    let mut tx = db.begin().await.unwrap();
    let ticket = store::tickets::get_in(&mut tx, number).await.unwrap().unwrap();
    store::clocks::of_tickets(&mut tx, &[ticket.id]).await.unwrap()
}

async fn clock(db: &Db, name: &str) -> ClockRow {
    let all = clocks(db, "T-000001").await;
    all.into_iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no clock {name}"))
}

/// What clocks told in the timeline: word, clock, whom.
async fn told(world: &World, number: &str) -> Vec<(String, String, String)> {
    let row = store::tickets::get(&world.db, number).await.unwrap().unwrap();
    let all = store::timeline::of_ticket(&world.db, &row.id, 1000).await.unwrap();
    let text = |detail: &Value, key: &str| detail[key].as_str().unwrap_or_default().to_owned();
    let mut told: Vec<_> = all
        .into_iter()
        .filter(|e| matches!(e.what.as_str(), "clock-warning" | "clock-breached" | "escalated"))
        .map(|e| {
            let detail: Value = serde_json::from_str(&e.detail).unwrap();
            (e.what, text(&detail, "clock"), text(&detail, "to"))
        })
        .collect();
    told.sort();
    told
}

fn row(what: &str, clock: &str, to: &str) -> (String, String, String) {
    (what.to_owned(), clock.to_owned(), to.to_owned())
}

fn li(number: &str, at: Time) -> Action<'_> {
    Action { user: "li", number, at }
}

pub(super) async fn a_ticket_begins_its_clocks(world: World) {
    promised(&world, "carrier").await;
    opened(&world, Severity::Critical).await;
    let ticket = world.ticket().await;
    let all = clocks(&world.db, "T-000001").await;
    let due: Vec<_> = all
        .iter()
        .map(|c| (c.name.as_str(), c.due_at.unwrap().since_ms(ticket.opened_at)))
        .collect();
    assert_eq!(due, [("on_site", HOUR), ("respond", 10 * MIN), ("restore", 2 * HOUR)]);
    let promise = store::clocks::promise_of(&world.db, &ticket.id).await.unwrap().unwrap();
    assert_eq!(promise.due_clock.as_deref(), Some("respond"));
    assert_eq!(promise.due_at, Some(ticket.opened_at.plus_ms(10 * MIN)));
    // A comment answers; a result ends the rest.
    let at = ticket.opened_at.plus_ms(4 * MIN);
    tickets::comment(&world.db, &world.events, li("T-000001", at), "we look", false).await.unwrap();
    let respond = clock(&world.db, "respond").await;
    assert_eq!((respond.state.as_str(), respond.verdict.as_deref()), ("stopped", Some("kept")));
    assert_eq!((respond.elapsed_ms, respond.due_at), (4 * MIN, None));
    let promise = store::clocks::promise_of(&world.db, &ticket.id).await.unwrap().unwrap();
    assert_eq!(promise.due_clock.as_deref(), Some("on_site"));
    let go = async |to: State, minutes: i64| {
        let version = world.ticket().await.version;
        let action = li("T-000001", ticket.opened_at.plus_ms(minutes * MIN));
        let wish = ticket::Wish::to(to, Some("x"));
        tickets::transition(&world.db, &world.events, action, version, &wish).await.unwrap()
    };
    go(WORK, 5).await;
    go(State::Resolved, 30).await;
    for name in ["on_site", "restore"] {
        let done = clock(&world.db, name).await;
        assert_eq!((done.state.as_str(), done.elapsed_ms), ("stopped", 30 * MIN), "{name}");
    }
    // Not mended after all: what passed in between does not count.
    go(WORK, 90).await;
    let again = clock(&world.db, "restore").await;
    assert_eq!((again.state.as_str(), again.elapsed_ms), ("running", 30 * MIN));
    assert_eq!(again.due_at, Some(ticket.opened_at.plus_ms(3 * HOUR)));
    assert_eq!(clock(&world.db, "respond").await.state, "stopped");
    world.check().await;
}

pub(super) async fn without_a_promise_there_are_no_clocks(world: World) {
    opened(&world, Severity::Critical).await;
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM clocks").await, 0);
    promised(&world, "").await;
    let mut agent = Agent::new("a-2");
    world.feed([agent.raise("PSU 2").1]).await;
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM clocks").await, 0);
    // A plan that is not there is no reason to lose a ticket.
    promised(&world, "nowhere").await;
    world.feed([agent.raise("PSU 3").1]).await;
    assert_eq!(world.tickets().await.len(), 3);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM clocks").await, 0);
    assert_eq!(sweep(&world.db, &world.events, Time::now()).await.unwrap(), 0);
    world.check().await;
}

pub(super) async fn each_step_is_told_once(world: World) {
    promised(&world, "carrier").await;
    opened(&world, Severity::Critical).await;
    let from = world.ticket().await.opened_at;
    let look = async |minutes: i64| {
        sweep(&world.db, &world.events, from.plus_ms(minutes * MIN)).await.unwrap()
    };
    assert_eq!(look(4).await, 0);
    // Respond: L2 at half of ten minutes, L3 and the warning at three quarters.
    assert_eq!(look(5).await, 1);
    assert_eq!(look(5).await, 0);
    assert_eq!(look(8).await, 2);
    // The end belongs to the limit.
    assert_eq!(look(10).await, 0);
    assert_eq!(look(11).await, 2);
    assert_eq!(clock(&world.db, "respond").await.verdict.as_deref(), Some("missed"));
    let wanted = [
        row("clock-breached", "respond", ""),
        row("clock-warning", "respond", ""),
        row("escalated", "respond", "l2"),
        row("escalated", "respond", "l3"),
        row("escalated", "respond", "manager"),
    ];
    assert_eq!(told(&world, "T-000001").await, wanted);
    // The machine's clock goes back by a day and on again: nothing is told twice.
    assert_eq!(look(11 - 24 * 60).await, 0);
    assert_eq!(look(11).await, 0);
    // The collector was away for two days: all of the rest at once, once.
    let world = world.reopen().await;
    assert_eq!(sweep(&world.db, &world.events, from.plus_ms(48 * HOUR)).await.unwrap(), 10);
    assert_eq!(sweep(&world.db, &world.events, from.plus_ms(96 * HOUR)).await.unwrap(), 0);
    assert_eq!(told(&world, "T-000001").await.len(), 15);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM clocks WHERE next_at IS NOT NULL").await, 0);
    world.check().await;
}

pub(super) async fn two_collectors_tell_it_once(world: World) {
    promised(&world, "carrier").await;
    let mut agent = Agent::new("a-1");
    let raises: Vec<_> =
        (0..12).map(|n| agent.raise_at(&format!("Disk {n}"), Severity::Critical).1).collect();
    world.feed(raises).await;
    let later = Time::now().plus_ms(24 * HOUR);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..4 {
        // A store of its own, as of another collector.
        let (settings, events) = (world.settings.clone(), world.events.clone());
        all.spawn(async move {
            let db = Db::open(&settings).await.unwrap();
            let told = sweep(&db, &events, later).await.unwrap();
            db.close().await;
            told
        });
    }
    let counted: usize = all.join_all().await.into_iter().sum();
    // Whoever met another one left it for later.
    let rest = sweep(&world.db, &world.events, later).await.unwrap();
    assert_eq!(counted + rest, 12 * 15);
    let sql = "SELECT COUNT(*) AS n FROM ticket_events WHERE what IN ('clock-warning', 'clock-breached', 'escalated')";
    assert_eq!(world.count(sql).await, 12 * 15);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM clock_steps").await, 12 * 15);
    world.check().await;
}

pub(super) async fn a_worse_fault_is_promised_more(world: World) {
    promised(&world, "carrier").await;
    let mut agent = opened(&world, Severity::Minor).await;
    let from = world.ticket().await.opened_at;
    assert_eq!(clock(&world.db, "restore").await.budget_ms, 24 * HOUR);
    assert_eq!(clock(&world.db, "respond").await.due_at, None, "P3 has no such limit");
    world.feed([agent.raise_at("PSU 1", Severity::Critical).1]).await;
    assert_eq!(world.ticket().await.priority, "p1");
    let restore = clock(&world.db, "restore").await;
    assert_eq!(restore.due_at, Some(from.plus_ms(2 * HOUR)), "from the beginning on");
    assert_eq!(clock(&world.db, "respond").await.due_at, Some(from.plus_ms(10 * MIN)));
    let mut tx = world.db.begin().await.unwrap();
    let events = store::clocks::events(&mut tx, &[restore.id]).await.unwrap();
    let words: Vec<String> = events
        .iter()
        .map(|e| {
            serde_json::from_str::<Value>(&e.body).unwrap()["what"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(words, ["started", "retimed"]);
    drop(tx);
    // Tests are promised nothing.
    world.check().await;
}

pub(super) async fn parts_are_started_by_hand(world: World) {
    promised(&world, "vendor-diamond").await;
    opened(&world, Severity::Major).await;
    let from = world.ticket().await.opened_at;
    let hand = async |clock: &str, by: By<'_>, hours: i64| {
        let at = from.plus_ms(hours * HOUR);
        by_hand(&world.db, Hand { number: "T-000001", clock, by, user: "li", at }).await
    };
    let names = async || {
        let all = clocks(&world.db, "T-000001").await;
        all.into_iter().map(|c| c.name).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["on_site", "respond", "restore"], "parts wait for a person");
    assert!(matches!(hand("replacement", By::Stop, 1).await, Err(HandError::NotNow(_))));
    assert!(matches!(hand("restore", By::Start, 1).await, Err(HandError::NotNow(_))));
    assert!(matches!(hand("coffee", By::Start, 1).await, Err(HandError::NoLimit(_))));
    hand("replacement", By::Start, 1).await.unwrap();
    let part = clock(&world.db, "replacement").await;
    assert_eq!(part.due_at, Some(from.plus_ms(5 * HOUR)), "four hours after the request");
    assert!(matches!(hand("replacement", By::Start, 2).await, Err(HandError::NotNow(_))));
    hand("replacement", By::Stop, 4).await.unwrap();
    let part = clock(&world.db, "replacement").await;
    assert_eq!((part.verdict.as_deref(), part.elapsed_ms), (Some("kept"), 3 * HOUR));
    // The failed part must be back, whatever becomes of the ticket.
    hand("part_return", By::Start, 4).await.unwrap();
    world.take("T-000001", &[WORK, State::Resolved, State::Closed]).await;
    assert_eq!(clock(&world.db, "part_return").await.state, "running");
    assert_eq!(clock(&world.db, "restore").await.state, "stopped");
    world.check().await;
}

pub(super) async fn a_person_lets_a_clock_rest(world: World) {
    promised(&world, "carrier").await;
    opened(&world, Severity::Minor).await;
    let from = world.ticket().await.opened_at;
    let hand = async |by: By<'_>, hours: i64| {
        let at = from.plus_ms(hours * HOUR);
        by_hand(&world.db, Hand { number: "T-000001", clock: "restore", by, user: "li", at }).await
    };
    assert!(matches!(hand(By::Resume, 1).await, Err(HandError::NotNow("this clock runs"))));
    hand(By::Pause("the customer's hall is locked until Monday"), 2).await.unwrap();
    assert!(matches!(hand(By::Pause("again"), 3).await, Err(HandError::NotNow(_))));
    let resting = clock(&world.db, "restore").await;
    assert_eq!((resting.state.as_str(), resting.due_at), ("paused", None));
    // What a person let rest is not set going by the ticket's way.
    let action = Action { user: "li", number: "T-000001", at: from.plus_ms(4 * HOUR) };
    let row = world.ticket().await;
    let step = ticket::Wish::to(WORK, None);
    tickets::transition(&world.db, &world.events, action, row.version, &step).await.unwrap();
    assert_eq!(clock(&world.db, "restore").await.state, "paused");
    hand(By::Resume, 50).await.unwrap();
    let going = clock(&world.db, "restore").await;
    assert_eq!(going.due_at, Some(from.plus_ms((24 + 48) * HOUR)), "48 hours do not count");
    let entries = store::timeline::of_ticket(&world.db, &row.id, 100).await.unwrap();
    let paused = entries.iter().find(|e| e.what == "clock-paused").unwrap();
    let detail: Value = serde_json::from_str(&paused.detail).unwrap();
    assert_eq!(detail["text"], "the customer's hall is locked until Monday");
    assert!(entries.iter().any(|e| e.what == "clock-resumed"));
    hand(By::Stop, 51).await.unwrap();
    assert!(matches!(hand(By::Pause("late"), 52).await, Err(HandError::NotNow(_))));
    world.check().await;
}

pub(super) async fn another_plan_is_promised(world: World) {
    promised(&world, "carrier").await;
    opened(&world, Severity::Major).await;
    let row = world.ticket().await;
    let from = row.opened_at;
    let restore = async || clock(&world.db, "restore").await;
    assert_eq!(restore().await.due_at, Some(from.plus_ms(4 * HOUR)));
    let at = from.plus_ms(2 * HOUR);
    // The engineer answered in time by what was promised then.
    let comment = tickets::comment(
        &world.db,
        &world.events,
        li("T-000001", from.plus_ms(MIN)),
        "on it",
        false,
    );
    let row = comment.await.unwrap();
    let promise = async |plan: &str, reason: &str, version: i64| {
        let action = li("T-000001", at);
        desk::promise(&world.db, &world.events, action, version, plan, reason).await
    };
    let refused =
        promise("third-party-norma", "sold up", row.version).await.unwrap_err().to_string();
    assert!(
        refused.contains("there is no plan") && refused.contains("third-party-normal"),
        "{refused}"
    );
    assert!(promise("third-party-normal", " ", row.version).await.is_err(), "why is needed");
    assert!(promise("third-party-normal", "sold up", row.version - 1).await.is_err());
    let row = promise("third-party-normal", "sold up", row.version).await.unwrap();
    assert_eq!(row.service.plan.as_deref(), Some("third-party-normal"));
    let now = clocks(&world.db, "T-000001").await;
    let of = |name: &str| now.iter().find(|c| c.name == name).unwrap();
    assert_eq!(
        of("respond").verdict.as_deref(),
        Some("kept"),
        "what was done stays as it was judged"
    );
    assert_eq!(of("respond").stopped_at, Some(from.plus_ms(MIN)));
    assert_eq!(of("restore").due_at, Some(from.plus_ms(4 * HOUR)));
    // A limit that only the new plan has counts from the opening.
    assert_eq!(of("replacement").due_at, Some(from.plus_ms(12 * HOUR)));
    // And back to one without it: it rests, and what was due of it is told no more.
    let row = promise("carrier", "sold down", row.version).await.unwrap();
    assert_eq!(row.service.plan.as_deref(), Some("carrier"));
    let replacement = clock(&world.db, "replacement").await;
    assert_eq!((replacement.due_at, replacement.next_at), (None, None));
    assert_eq!(clock(&world.db, "respond").await.verdict.as_deref(), Some("kept"));
    // A more urgent priority later does not make a late answer of one that was in time.
    let urgent = desk::Change { priority: Some(ticket::Priority::P1), ..desk::Change::default() };
    let action = li("T-000001", from.plus_ms(3 * HOUR));
    desk::change(&world.db, &world.events, action, row.version, urgent).await.unwrap();
    let respond = clock(&world.db, "respond").await;
    assert_eq!(
        (respond.verdict.as_deref(), respond.stopped_at),
        (Some("kept"), Some(from.plus_ms(MIN)))
    );
    world.check().await;
}

pub(super) async fn plans_and_calendars_have_versions(world: World) {
    promised(&world, "third-party-windows").await;
    let shelf = plans::all(&world.db, Shelf::Plans).await.unwrap();
    assert_eq!(shelf.len(), presets().len());
    promised(&world, "third-party-windows").await;
    let sql = "SELECT COUNT(*) AS n FROM plans WHERE version > 1";
    assert_eq!(world.count(sql).await, 0, "what is there already stays as it is");
    let at = Time::now();
    let wish = |name: &'static str, version: i64| Wish { name, version, user: "li", at };
    let mut plan: Plan = presets().into_iter().find(|p| p.name == "carrier").unwrap().plan;
    plan.at_once = "5min".to_owned();
    assert_eq!(put_plan(&world.db, wish("own", 0), &plan).await.unwrap(), 1);
    let stale = put_plan(&world.db, wish("own", 0), &plan).await.unwrap_err();
    assert!(matches!(stale, ShelfError::Version { current: 1 }), "{stale}");
    plan.at_once = "soon".to_owned();
    let fault = put_plan(&world.db, wish("own", 1), &plan).await.unwrap_err();
    assert!(fault.to_string().starts_with("at_once: expected"), "{fault}");
    // What is needed stays; what was deleted may come again.
    let needed = remove(&world.db, Shelf::Plans, wish("third-party-windows", 1)).await;
    assert!(matches!(needed, Err(ShelfError::Needed(_))));
    let needed = remove(&world.db, Shelf::Plans, wish("carrier", 1)).await.unwrap_err();
    assert_eq!(needed.to_string(), "other plans are based on it");
    remove(&world.db, Shelf::Plans, wish("own", 1)).await.unwrap();
    assert_eq!(plans::get(&world.db, Shelf::Plans, "own").await.unwrap(), None);
    plan.at_once = "5min".to_owned();
    assert_eq!(put_plan(&world.db, wish("own", 0), &plan).await.unwrap(), 2);
    world.check().await;
}

/// Tomorrow and the two weeks after it, where the clocks are 8 hours ahead.
fn holidays(now: Time) -> Calendar {
    let day = |n: i64| now.plus_ms((24 * n + 8) * HOUR).to_string()[..10].to_owned();
    let days = json!([{ "from": day(1), "to": day(15), "kind": "holiday", "note": "厂休" }]);
    serde_json::from_value(json!({ "title": "x", "days": days })).unwrap()
}

pub(super) async fn a_calendar_that_changes_moves_what_is_due(world: World) {
    let promise = Promise {
        plan: "carrier".to_owned(),
        calendar: Some("plant".to_owned()),
        time_zone: Some("Asia/Shanghai".to_owned()),
    };
    let now = Time::now();
    seed(&world.db, &promise, now).await.unwrap();
    let wish = |version: i64| Wish { name: "plant", version, user: "li", at: Time::now() };
    put_calendar(&world.db, wish(0), &Calendar::default()).await.unwrap();
    opened(&world, Severity::Warning).await;
    let before = clock(&world.db, "respond").await;
    put_calendar(&world.db, wish(1), &holidays(now)).await.unwrap();
    let after = clock(&world.db, "respond").await;
    let (before, moved) = (before.due_at.unwrap(), after.due_at.unwrap());
    assert!(moved.since_ms(before) >= 11 * 24 * HOUR, "{before} {moved}");
    assert_eq!(after.events, 2);
    // And back.
    put_calendar(&world.db, wish(2), &Calendar::default()).await.unwrap();
    assert_eq!(clock(&world.db, "respond").await.due_at, Some(before));
    world.check().await;
}
