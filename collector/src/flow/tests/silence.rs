//! Agents that fall silent.

use std::time::Duration;

use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::time::Time;

use super::World;
use super::agent::Agent;
use crate::flow::silence;
use crate::store::agents;
use crate::store::tickets::TicketRow;
use crate::ticket::State;

const LONG: Duration = Duration::from_secs(10_000);

impl World {
    /// A look so many milliseconds from now; how many were found silent.
    async fn look(&self, in_ms: i64, listened: Duration) -> usize {
        let now = Time::now().plus_ms(in_ms);
        silence::look(&self.db, &self.events, &self.metrics, now, listened).await.unwrap()
    }

    async fn silences(&self) -> Vec<TicketRow> {
        self.tickets().await.into_iter().filter(|t| t.kind == "agent-silent").collect()
    }
}

pub(super) async fn five_missed_are_one_ticket(world: World) {
    let mut agent = Agent::new("a-1");
    assert_eq!(world.look(900_000, LONG).await, 0, "agents that were never heard are not missed");
    world.feed([agent.beat(true, 0), agent.raise("PSU 1").1]).await;
    assert_eq!(world.look(140_000, LONG).await, 0);
    assert_eq!(world.look(151_000, LONG).await, 1);
    assert_eq!(world.look(152_000, LONG).await, 0, "noted once");
    let found = world.silences().await;
    assert_eq!(found.len(), 1);
    let ticket = &found[0];
    assert_eq!(
        (&*ticket.severity, &*ticket.priority, &*ticket.device_name),
        ("major", "p2", "a-1")
    );
    assert_eq!(ticket.site.as_deref(), Some("SH-01"));
    assert_eq!(ticket.title.key, "agent.silent.quiet");
    assert_eq!(ticket.title.arguments["agent"], "a-1");
    assert_eq!(ticket.title.arguments["interval_s"], "30");
    assert_eq!(ticket.title.arguments["last_alarms"], "0");
    assert_eq!(ticket.contract, None, "whatever the contract");
    assert_eq!(ticket.condition_cleared_at, None);
    world.check().await;

    // A last will, or a message of somebody else, is no sign of life.
    world.feed([agent.beat(false, 0), Agent::new("a-2").beat(true, 0)]).await;
    assert_eq!(world.silences().await[0].condition_cleared_at, None);
    assert!(world.feed([agent.beat(true, 0)]).await.controls.is_empty());
    let back = world.silences().await;
    assert!(back[0].condition_cleared_at.is_some());
    // (The looks were in the future, so the order of the entries says nothing.)
    let events = crate::store::timeline::of_ticket(&world.db, &back[0].id, 10).await.unwrap();
    assert!(events.len() == 2 && events.iter().all(|e| e.who == "collector"), "{events:?}");
    let cleared = events.iter().find(|e| e.what == "cleared").unwrap();
    assert!(cleared.detail.contains("\"reason\":\"heard\""), "{}", cleared.detail);

    // The next silence attaches; a delivery ends it, too. After closing it is another ticket.
    assert_eq!(world.look(151_000, LONG).await, 2, "and a-2");
    let again = world.silences().await;
    assert_eq!((again.len(), again[0].recurrences, again[0].condition_cleared_at), (2, 1, None));
    world.feed([agent.raise("PSU 2").1]).await;
    assert!(world.silences().await[0].condition_cleared_at.is_some());
    world.take(&again[0].number, &[State::InDiagnosis, State::Resolved, State::Closed]).await;
    assert_eq!(world.look(151_000, LONG).await, 1);
    assert_eq!(world.silences().await.len(), 3);
    let text = world.metrics.text();
    assert!(text.contains("callhome_collector_agents_silent 2"), "{text}");
    world.check().await;
}

pub(super) async fn good_byes_and_wills_are_told_apart(world: World) {
    let (one, two) = (Agent::new("a-1"), Agent::new("a-2"));
    world.feed([one.beat(true, 0), two.beat(true, 0)]).await;
    let good_bye = Heartbeat { stopped: true, at: Time::now(), ..Heartbeat::default() };
    let will = Heartbeat { at: Time::now(), ..Heartbeat::default() };
    let seen = agents::get(&world.db, "a-2").await.unwrap().unwrap().last_seen_at;
    world.feed([one.heartbeat(good_bye), two.heartbeat(will)]).await;
    let after = agents::get(&world.db, "a-2").await.unwrap().unwrap();
    assert_eq!((after.last_seen_at, after.online), (seen, false), "a will is the broker's word");
    assert_eq!(world.look(151_000, LONG).await, 2);
    let keys: Vec<String> = world.silences().await.into_iter().map(|t| t.title.key).collect();
    assert_eq!(keys, ["agent.silent.stopped", "agent.silent.lost"]);
    // Back, it is as if it had never left.
    world.feed([one.beat(true, 0)]).await;
    assert_eq!(world.look(151_000, LONG).await, 1);
    let last = &world.silences().await[0];
    assert_eq!((last.recurrences, &*last.title.key), (1, "agent.silent.stopped"));
    let sql = "SELECT COUNT(*) AS n FROM alarms WHERE message LIKE '%agent.silent.quiet%'";
    assert_eq!(world.count(sql).await, 1, "the second life has words of its own");
    world.check().await;
}

pub(super) async fn only_who_has_listened_long_enough_judges(world: World) {
    let (one, two) = (Agent::new("a-1"), Agent::new("a-2"));
    let quick = |agent: &Agent| {
        let mut beat: Heartbeat = serde_json::from_slice(&agent.beat(true, 0).payload).unwrap();
        (beat.interval_s, beat.reconnect_s) = (5, 2);
        agent.heartbeat(beat)
    };
    world.feed([one.beat(true, 0), quick(&two)]).await;
    let listened = Duration::from_secs;
    assert_eq!(world.look(900_000, listened(26)).await, 0, "a collector that has just started");
    assert_eq!(world.look(26_000, listened(27)).await, 1, "five heartbeats of its own");
    assert_eq!(world.silences().await[0].agent_id, "a-2");
    assert_eq!(world.look(900_000, listened(209)).await, 0);
    assert_eq!(world.look(900_000, listened(210)).await, 1);
    world.check().await;
}

pub(super) async fn the_site_is_looked_at(world: World) {
    let mut tx = world.db.begin().await.unwrap();
    for (agent, customer) in [("b-1", "ACME"), ("b-2", "ACME"), ("b-3", "ACME"), ("c-1", "Another")]
    {
        agents::create(&mut tx, agent, Some("BJ-02"), Some(customer), Time(1)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let all = ["b-1", "b-2", "b-3", "c-1", "a-1"].map(Agent::new);
    world.feed(all.iter().map(|a| a.beat(true, 0))).await;
    let sql = "UPDATE agents SET last_seen_at = last_seen_at - 100000 WHERE id IN ('b-1', 'b-2')";
    world.db.execute(sql, vec![]).await.unwrap();
    assert_eq!(world.look(51_000, LONG).await, 2);
    let found = world.silences().await;
    for ticket in &found {
        assert_eq!(ticket.title.arguments["some_silent"], "1", "of two others");
        assert_eq!(ticket.title.arguments["site"], "BJ-02");
    }
    // The third has only missed two, but then it is the whole site.
    assert_eq!(world.look(151_000, LONG).await, 3);
    let all = world.silences().await;
    let third = all.iter().find(|t| t.agent_id == "b-3").unwrap();
    assert_eq!(third.title.arguments["all_silent"], "2");
    assert!(third.text.contains("line or power"), "{}", third.text);
    let alone = all.iter().find(|t| t.agent_id == "c-1").unwrap();
    assert!(!alone.title.arguments.contains_key("site"), "another customer's site of that name");
    world.check().await;
}

pub(super) async fn the_revoked_are_not_expected(world: World) {
    world.feed([Agent::new("a-1").beat(true, 0)]).await;
    assert_eq!(world.look(151_000, LONG).await, 1);
    let mut tx = world.db.begin().await.unwrap();
    assert!(agents::revoke(&mut tx, "a-1", Time::now()).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(world.look(152_000, LONG).await, 0);
    let ticket = &world.silences().await[0];
    assert!(ticket.condition_cleared_at.is_some() && ticket.state == "recorded");
    assert_eq!(world.look(900_000, LONG).await, 0);
    world.check().await;
}

pub(super) async fn a_clock_that_was_set_back_hides_nobody(world: World) {
    world.feed([Agent::new("a-1").beat(true, 0)]).await;
    let ahead = "UPDATE agents SET last_seen_at = last_seen_at + 86400000";
    world.db.execute(ahead, vec![]).await.unwrap();
    assert_eq!(world.look(0, LONG).await, 0, "heard now at the latest");
    assert_eq!(world.look(140_000, LONG).await, 0);
    assert_eq!(world.look(152_000, LONG).await, 1);
}
