//! Tickets are found by their words, and listed by the time that is left.

use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use tokio::sync::broadcast;

use super::World;
use super::agent::Agent;
use crate::flow::search::catch_up;
use crate::flow::tickets::manual::{self, Intake, Recorded};
use crate::flow::tickets::{self as actions, Action};
use crate::store::queue::{self, Assignee, Filter, Left, States};
use crate::store::search;
use crate::ticket::{Class, Priority, State};

fn recorded(text: &str) -> Recorded {
    Recorded {
        text: text.to_owned(),
        priority: Priority::P2,
        class: Class::ServiceRequest,
        category: None,
        site: String::new(),
        serial: String::new(),
        contract: String::new(),
        error_code: String::new(),
        assignee: None,
        intake: Intake::default(),
    }
}

async fn found(world: &World, words: &str) -> Vec<i64> {
    let filter = Filter {
        words: Some(words.to_owned()),
        states: States::All,
        limit: 100,
        ..Filter::default()
    };
    let rows = queue::list(&world.db, &filter).await.unwrap();
    rows.into_iter().map(|row| row.ordinal).collect()
}

async fn comment(world: &World, number: &str, text: &str) {
    let events = broadcast::channel(8).0;
    let action = Action { user: "li", number, at: Time::now() };
    actions::comment(&world.db, &events, action, text, false).await.unwrap();
}

pub(super) async fn tickets_are_found_by_their_words(world: World) {
    let mut agent = Agent::new("a-1");
    world.feed([agent.raise("PSU 1").1]).await;
    let events = broadcast::channel(8).0;
    // "The mail server is slow"
    let intake = Intake { contact: "\u{738b}\u{5de5}".into(), ..Intake::default() };
    let slow = Recorded {
        intake,
        serial: "CN-77-4410X".into(),
        error_code: "E-9".into(),
        ..recorded("\u{90ae}\u{4ef6}\u{670d}\u{52a1}\u{5668}\u{5f88}\u{6162}")
    };
    manual::open(&world.db, &events, "li", &slow, Time::now()).await.unwrap();
    for (words, expected) in [
        ("\u{670d}\u{52a1}\u{5668}", vec![2]),  // server
        ("\u{90ae}\u{4ef6} \u{6162}", vec![2]), // mail, slow
        ("\u{52a1}\u{670d}", vec![]),           // in another order
        ("\u{738b}\u{5de5}", vec![2]),          // who called
        ("410x", vec![2]),
        ("e-9", vec![2]),
        ("psu", vec![1]),
        ("T-000002", vec![2]),
        ("", vec![2, 1]),
        ("psu \u{90ae}\u{4ef6}", vec![]),
    ] {
        assert_eq!(found(&world, words).await, expected, "{words:?}");
    }
    // What is said later finds it from then on: comments, reasons, the closing report.
    assert_eq!(found(&world, "firmware").await, [0; 0]);
    comment(&world, "T-000001", "needs Firmware 7.2, \u{5907}\u{4ef6}\u{5df2}\u{53d1}").await;
    assert_eq!(found(&world, "firmware 7 \u{5907}\u{4ef6}").await, [1], "spare part");
    world.take("T-000001", &[State::InDiagnosis, State::Resolved, State::Closed]).await;
    let fix = crate::store::tickets::get(&world.db, "T-000001").await.unwrap().unwrap();
    let fix: crate::ticket::Closing = serde_json::from_str(&fix.service.closing.unwrap()).unwrap();
    assert_eq!(found(&world, &fix.fix).await, [1]);
    world.check().await;
}

pub(super) async fn old_tickets_are_read_bit_by_bit(world: World) {
    let mut agent = Agent::new("a-1");
    for n in 1..=230 {
        world.feed([agent.raise(&format!("Slot{n}")).1]).await;
    }
    comment(&world, "T-000007", "waits for spare").await;
    // As if there had been no search when they were opened.
    world.db.execute("DELETE FROM ticket_terms", vec![]).await.unwrap();
    let mut tx = world.db.begin().await.unwrap();
    search::set_below(&mut tx, 231).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(found(&world, "slot17").await, [0; 0]);
    let (one, other) = tokio::join!(catch_up(&world.db), catch_up(&world.db));
    assert!(!one.unwrap() && !other.unwrap(), "both see the end");
    assert_eq!(
        found(&world, "slot17").await,
        [179, 178, 177, 176, 175, 174, 173, 172, 171, 170, 17]
    );
    assert_eq!(found(&world, "slot230").await, [230]);
    assert_eq!(found(&world, "slot1 000001").await, [1]);
    assert_eq!(found(&world, "spare").await, [7]);
}

pub(super) async fn the_queue_by_time_left_filters_and_pages(world: World) {
    crate::flow::clocks::stock(&world.db, Time::now()).await.unwrap();
    let mut agent = Agent::new("a-1");
    for (n, severity) in [Severity::Minor, Severity::Critical, Severity::Major, Severity::Critical]
        .iter()
        .enumerate()
    {
        world.feed([agent.raise_at(&format!("Disk {n}"), *severity).1]).await;
    }
    let at = |ordinal: i64, due: Option<i64>| (ordinal, due);
    // What is due when, whatever plan promised it; the third ticket is promised nothing.
    for (ordinal, due) in [at(1, Some(4000)), at(2, Some(1000)), at(3, None), at(4, Some(1000))] {
        let sql = "DELETE FROM ticket_plans WHERE ticket_id = (SELECT id FROM tickets WHERE ordinal = $1)";
        world.db.execute(sql, crate::args![ordinal]).await.unwrap();
        let Some(due) = due else { continue };
        let sql = "INSERT INTO ticket_plans (ticket_id, plan, plan_version, time_zone, state, priority, due_at, \
                   due_clock) SELECT id, 'p', 1, 'UTC', state, priority, $2, 'respond' FROM tickets WHERE ordinal = $1";
        world.db.execute(sql, crate::args![ordinal, due]).await.unwrap();
    }
    let walk = async |filter: Filter| {
        let (mut seen, mut after) = (Vec::new(), Left::START);
        loop {
            let rows = queue::by_left(&world.db, &filter, after).await.unwrap();
            let Some((_, last)) = rows.last() else { break };
            after = *last;
            seen.extend(rows.into_iter().map(|(row, _)| row.ordinal));
        }
        seen
    };
    for limit in [1, 2, 3, 10] {
        let all = Filter { limit, ..Filter::default() };
        assert_eq!(walk(all.clone()).await, [2, 4, 1, 3], "pages of {limit}");
        let critical = Filter { severity: Some("critical".into()), ..all.clone() };
        assert_eq!(walk(critical).await, [2, 4]);
        let disk =
            Filter { words: Some("disk".into()), priority: Some("p3".into()), ..all.clone() };
        assert_eq!(walk(disk).await, [1]);
        let nobody = Filter { assignee: Some(Assignee::Nobody), ..all.clone() };
        assert_eq!(walk(nobody).await, [2, 4, 1, 3]);
        let li = Filter { assignee: Some(Assignee::Is("li".into())), ..all };
        assert_eq!(walk(li).await, [0; 0]);
    }
    let rows = queue::list(&world.db, &Filter { limit: 9, ..Filter::default() }).await.unwrap();
    let mut dues = queue::dues(&world.db, &rows).await.unwrap();
    dues.sort_by_key(|due| due.at);
    assert_eq!(dues.iter().map(|due| due.at.millis()).collect::<Vec<_>>(), [1000, 1000, 4000]);
    assert_eq!(dues[0].clock, "respond");
}
