//! What people do to tickets.

use callhome_shared::time::Time;

use super::World;
use super::agent::Agent;
use crate::flow::tickets::{self, Action, ActionError};
use crate::store;
use crate::ticket::{Closing, Refused, State, Wish};

fn li(number: &str) -> Action<'_> {
    Action { user: "li", number, at: Time::now() }
}

async fn with_ticket(world: &World) -> Agent {
    let mut agent = Agent::new("a-1");
    world.feed([agent.raise("PSU 1").1]).await;
    agent
}

pub(super) async fn the_way_of_a_ticket(world: World) {
    with_ticket(&world).await;
    let go = async |to: State, version: i64, comment: Option<&str>| {
        world.go("T-000001", to, version, comment).await
    };
    let refused = go(State::Closed, 1, None).await.unwrap_err();
    assert!(matches!(refused, ActionError::Refused(Refused::NotAllowed { .. })), "{refused}");
    let taken_up = go(State::InDiagnosis, 1, None).await.unwrap();
    assert_eq!((taken_up.version, taken_up.assignee.as_deref()), (2, Some("li")));
    let stale = go(State::Resolved, 1, Some("x")).await.unwrap_err();
    assert!(matches!(stale, ActionError::Version { current: 2 }), "{stale}");
    let silent = go(State::Resolved, 2, Some("  ")).await.unwrap_err();
    assert!(matches!(silent, ActionError::Refused(Refused::CommentRequired)), "{silent}");
    assert!(go(State::Resolved, 2, Some("replaced")).await.unwrap().resolved_at.is_some());
    let early = go(State::Closed, 3, None).await.unwrap_err();
    assert!(matches!(early, ActionError::Refused(Refused::NotAllowed { .. })), "{early}");
    assert!(go(State::Verified, 3, None).await.unwrap().closed_at.is_none());
    go(State::Confirmed, 4, None).await.unwrap();
    let bare = Wish::to(State::Closed, None);
    let bare = tickets::transition(&world.db, &world.events, li("T-000001"), 5, &bare).await;
    assert!(matches!(bare, Err(ActionError::Refused(Refused::ReportRequired))), "{bare:?}");
    let closed = go(State::Closed, 5, None).await.unwrap();
    assert!(closed.closed_at.is_some() && closed.service.closing.is_some(), "{closed:?}");
    assert_eq!(closed.service.category.as_deref(), Some("a"));
    world.check().await;
    let open = go(State::InDiagnosis, 6, Some("not mended")).await.unwrap();
    assert_eq!((open.resolved_at, open.closed_at), (None, None));
    let row = tickets::comment(
        &world.db,
        &world.events,
        li("t-1"),
        " \u{5df2}\u{66f4}\u{6362}\u{7535}\u{6e90} ",
        false,
    )
    .await
    .unwrap();
    assert_eq!(row.version, 8);
    let timeline = store::timeline::of_ticket(&world.db, &row.id, 100).await.unwrap();
    let last = timeline.last().unwrap();
    assert_eq!((last.who.as_str(), last.what.as_str()), ("user:li", "comment"));
    assert_eq!(last.detail, "{\"text\":\"\u{5df2}\u{66f4}\u{6362}\u{7535}\u{6e90}\"}");
    assert_eq!(timeline.iter().filter(|e| e.what == "state").count(), 6);
    for number in ["T-000002", "T-0", "x", ""] {
        let missing = tickets::comment(&world.db, &world.events, li(number), "x", false).await;
        assert!(matches!(missing.unwrap_err(), ActionError::NotFound(_)));
    }
    world.check().await;
}

pub(super) async fn of_two_at_once_one_wins(world: World) {
    with_ticket(&world).await;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (db, events) = (world.db.clone(), world.events.clone());
        all.spawn(async move {
            let wish = Wish::to(State::InDiagnosis, None);
            tickets::transition(&db, &events, li("T-000001"), 1, &wish).await
        });
    }
    let done = all.join_all().await;
    assert_eq!(done.iter().filter(|d| d.is_ok()).count(), 1);
    for lost in done.into_iter().filter_map(Result::err) {
        assert!(matches!(lost, ActionError::Version { current: 2 }), "{lost}");
    }
    let mut all = tokio::task::JoinSet::new();
    for n in 0..4 {
        let (db, events) = (world.db.clone(), world.events.clone());
        all.spawn(async move {
            let text = format!("comment {n}");
            tickets::comment(&db, &events, li("T-000001"), &text, false).await
        });
    }
    for done in all.join_all().await {
        done.unwrap();
    }
    assert_eq!(world.ticket().await.version, 6, "no comment is lost");
}

pub(super) async fn people_and_agents_at_once(world: World) {
    let mut agent = with_ticket(&world).await;
    let mut deliveries = Vec::new();
    for _ in 0..40 {
        let (id, raise) = agent.raise("PSU 1");
        deliveries.push(raise);
        deliveries.push(agent.clear(id, "PSU 1"));
    }
    let (db, events) = (world.db.clone(), world.events.clone());
    let people = tokio::spawn(async move {
        let way =
            [State::InDiagnosis, State::Resolved, State::Verified, State::Confirmed, State::Closed];
        let closing = Closing { cause: "worn".into(), fix: "new".into(), category: "a".into() };
        let mut moved = 0;
        for turn in 0..100 {
            let filter = store::tickets::Filter { limit: 1, ..Default::default() };
            let all = store::tickets::list(&db, &filter);
            let Some(ticket) = all.await.unwrap().into_iter().next() else { continue };
            let wish = Wish { closing: Some(&closing), ..Wish::to(way[turn % 5], Some("x")) };
            let action = Action { user: "li", number: &ticket.number, at: Time::now() };
            let done = tickets::transition(&db, &events, action, ticket.version, &wish).await;
            match done {
                Ok(_) => moved += 1,
                Err(ActionError::Store(e)) => panic!("{e:?}"),
                Err(_) => {}
            }
            tokio::task::yield_now().await;
        }
        moved
    });
    for chunk in deliveries.chunks(3) {
        world.feed(chunk.to_vec()).await;
        world.check().await;
    }
    assert!(people.await.unwrap() > 0);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM alarms").await, 41);
    world.check().await;
}

pub(super) async fn a_closed_ticket_stays_closed_while_a_newer_one_is_open(world: World) {
    let mut agent = with_ticket(&world).await;
    let way = [State::InDiagnosis, State::Resolved, State::Closed];
    world.take("T-000001", &way).await;
    world.feed([agent.raise("PSU 1").1]).await;
    let reopen = async || {
        let version = world.tickets().await[0].version;
        world.go("T-000001", State::InDiagnosis, version, Some("x")).await
    };
    let refused = reopen().await.unwrap_err();
    assert!(matches!(&refused, ActionError::NewerOpen { number } if number == "T-000002"));
    world.check().await;
    world.take("T-000002", &way).await;
    assert_eq!(reopen().await.unwrap().state, "in_diagnosis");
    world.check().await;
}
