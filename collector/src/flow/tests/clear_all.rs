//! `clear-all`: of an agent or a device no alarm stands any more.

use callhome_shared::alarm::{Alarm, Device, Transition};
use callhome_shared::clear_all::{CONFIGURATION, ClearAll};
use callhome_shared::envelope::Kind;
use callhome_shared::id::new_uuid;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use uuid::Uuid;

use super::World;
use super::agent::{Agent, alarm};
use super::resync::Set;
use crate::link::Delivery;
use crate::ticket::State;

impl Agent {
    fn clear_all(&mut self, device: Option<&str>) -> Delivery {
        let said = ClearAll {
            at: Time::now(),
            device: device.map(str::to_owned),
            reason: CONFIGURATION.into(),
            count: 0,
        };
        self.send(Kind::ClearAll, &said)
    }
}

/// An alarm of another device than the usual one.
fn elsewhere(resource: &str) -> Alarm {
    let device = Device { id: "SN-8".into(), name: "array-2".into(), ..Device::default() };
    Alarm { device, ..alarm(new_uuid(), resource, Transition::Raised) }
}

pub(super) async fn a_device_is_over_at_once_and_other_things_stay(world: World) {
    let (mut agent, mut other) = (Agent::new("a-1"), Agent::new("a-2"));
    let ids: Vec<Uuid> = (1..=12).map(|_| new_uuid()).collect();
    let raises: Vec<Delivery> = (1..)
        .zip(&ids)
        .map(|(n, id)| agent.alarm(&alarm(*id, &format!("Disk {n}"), Transition::Raised)))
        .collect();
    world.feed(raises).await;
    let stays = elsewhere("PSU 1");
    world.feed([agent.alarm(&stays), other.raise("Disk 1").1]).await;
    // One was cleared by itself before, and of one a person has resolved the ticket.
    world.feed([agent.clear(ids[11], "Disk 12")]).await;
    let twelfth = world.ticket_of_agent("a-1", "Disk 12").await;
    let third = world.ticket_of_agent("a-1", "Disk 3").await;
    world.take(&third.number, &[State::InDiagnosis, State::Resolved]).await;

    let over = agent.clear_all(Some("SN-7"));
    let answers = world.feed([over.clone()]).await;
    assert_eq!((answers.last_seq(), answers.reasons().len()), (15, 0));
    assert_eq!(world.active("a-1").await, ["PSU 1 minor"]);
    assert_eq!(world.active("a-2").await, ["Disk 1 minor"], "another agent's device of that name");
    let told = "SELECT COUNT(*) AS n FROM ticket_events WHERE what = 'cleared' AND detail LIKE '%\"reason\":\"configuration\"%'";
    assert_eq!(world.count(told).await, 11, "each life is ended once, that of before not again");
    let first = world.ticket_of_agent("a-1", "Disk 1").await;
    assert_eq!(first.state, "recorded", "clearing closes nothing");
    assert!(first.condition_cleared_at.is_some());
    let still = world.ticket_of_agent("a-1", "Disk 3").await;
    assert_eq!(still.state, "resolved");
    assert!(still.condition_cleared_at.is_some());
    assert_eq!(world.ticket_of_agent("a-1", "Disk 12").await, twelfth);

    // Again, and the digests are equal.
    let before = world.tickets().await;
    assert_eq!(world.feed([over]).await.last_seq(), 15);
    assert_eq!(world.tickets().await, before);
    assert_eq!(world.count(told).await, 11);
    let set: Set = vec![(stays.alarm_id, "minor")];
    assert!(world.feed([agent.beat_with(&set)]).await.controls.is_empty(), "the sets are equal");
    let text = world.metrics.text();
    for line in ["clear_alls_total 1", "clear_all_alarms_total 11"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    world.check().await;
}

pub(super) async fn the_whole_agent_is_over_and_nobody_else(world: World) {
    let (mut agent, mut other) = (Agent::new("a-1"), Agent::new("a-2"));
    world.feed([agent.raise("PSU 1").1, agent.alarm(&elsewhere("PSU 2"))]).await;
    world.feed([other.raise("PSU 1").1]).await;
    // What the collector says by itself of the agent is not the agent's to take back.
    let ours = crate::diagnosis::own_identity("a-1", "agent-silent");
    let said = alarm(new_uuid(), "", Transition::Raised);
    let mut ledger = crate::flow::ledger::Ledger::empty(Time::now());
    let mut tx = world.db.begin().await.unwrap();
    ledger.load_agents(&mut tx, &["a-1".to_owned()]).await.unwrap();
    assert!(ledger.say_own("a-1", &ours, &said).unwrap());
    crate::flow::save::save(&mut tx, &mut ledger).await.unwrap();
    tx.commit().await.unwrap();

    world.feed([agent.clear_all(None)]).await;
    let own = said.alarm_id.to_string();
    let stand: Vec<String> = world.active_ids("a-1").await;
    assert_eq!(stand, [own]);
    assert_eq!(world.active("a-2").await, ["PSU 1 minor"]);
    // The same fault comes back as a life of its own, into its ticket.
    world.feed([agent.raise("PSU 1").1]).await;
    assert_eq!(world.ticket_of_agent("a-1", "PSU 1").await.recurrences, 1);
    world.check().await;
}

pub(super) async fn what_came_after_it_stands(world: World) {
    let mut agent = Agent::new("a-1");
    let (a, raise_a) = agent.raise("PSU 1");
    let over = agent.clear_all(None);
    let (b, raise_b) = agent.raise("PSU 2");
    // It comes late: what was raised after it is not touched.
    world.feed([raise_a.clone(), raise_b]).await;
    let answers = world.feed([over]).await;
    assert_eq!(answers.last_seq(), 3);
    assert_eq!(world.active("a-1").await, ["PSU 2 minor"]);
    // Neither a straggler of the ended life nor the raise once more makes it stand again.
    let late = agent.change(a, "PSU 1", Severity::Critical);
    world.feed([raise_a, late]).await;
    assert_eq!(world.active("a-1").await, ["PSU 2 minor"]);
    let set: Set = vec![(b, "minor")];
    assert!(world.feed([agent.beat_with(&set)]).await.controls.is_empty());
    world.check().await;
}

pub(super) async fn bad_ones_are_refused(world: World) {
    let mut agent = Agent::new("a-1");
    world.feed([agent.raise("PSU 1").1]).await;
    let at = "2026-01-01T00:00:00Z";
    let bad = [
        serde_json::json!({}),
        serde_json::json!({ "at": at, "reason": "" }),
        serde_json::json!({ "at": at, "reason": "Because I say so" }),
        serde_json::json!({ "at": at, "reason": "configuration", "device": "" }),
        serde_json::json!({ "at": at, "reason": "configuration", "device": "x".repeat(300) }),
        serde_json::json!({ "at": "now", "reason": "configuration" }),
    ];
    let bad: Vec<Delivery> = bad.iter().map(|data| agent.send(Kind::ClearAll, data)).collect();
    assert_eq!(world.feed(bad).await.reasons(), ["bad-payload"; 6]);
    assert_eq!(world.active("a-1").await, ["PSU 1 minor"]);
    // A device that nobody has ever told of: nothing to end, and no reason to refuse it.
    assert!(world.feed([agent.clear_all(Some("SN-404"))]).await.reasons().is_empty());
    assert_eq!(world.active("a-1").await, ["PSU 1 minor"]);
    world.check().await;
}

/// Raises, ends of devices and of everything; all of it comes in order, in any batches, and what is not
/// acknowledged is sent again from anywhere. What stands in the end is what the agent holds.
pub(super) async fn whatever_is_sent_again_the_end_is_the_agents(world: World) {
    let mut seed = 0x1234_5678_9ABC_DEF1_u64;
    let mut dice = move |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % n
    };
    let mut ends = 0;
    for round in 0..10 {
        let mut agent = Agent::new("a-1");
        // What a former outbox life left behind stands at the collector.
        let mut all = vec![agent.clear_all(None)];
        let mut held: Vec<Alarm> = Vec::new();
        for n in 0..30 {
            let resource = format!("Disk {n}");
            match dice(8) {
                0 => {
                    all.push(agent.clear_all(None));
                    held.clear();
                    ends += 1;
                }
                1 => {
                    all.push(agent.clear_all(Some("SN-8")));
                    held.retain(|alarm| alarm.device.id != "SN-8");
                    ends += 1;
                }
                2 if !held.is_empty() => {
                    let gone = held.remove(dice(held.len()));
                    all.push(agent.alarm(&Alarm { transition: Transition::Cleared, ..gone }));
                }
                side => {
                    let new = match side % 2 {
                        0 => elsewhere(&resource),
                        _ => alarm(new_uuid(), &resource, Transition::Raised),
                    };
                    all.push(agent.alarm(&new));
                    held.push(new);
                }
            }
        }
        let mut at = 0;
        while at < all.len() {
            let next = (at + 1 + dice(6)).min(all.len());
            let again = dice(at + 1);
            world.feed(all[again..next].to_vec()).await;
            at = next;
        }
        let mut expected: Vec<String> =
            held.iter().map(|a| format!("{} {}", a.resource, a.severity.as_str())).collect();
        expected.sort_unstable();
        assert_eq!(world.active("a-1").await, expected, "round {round}");
        let set: Set = held.iter().map(|a| (a.alarm_id, a.severity.as_str())).collect();
        assert!(world.feed([agent.beat_with(&set)]).await.controls.is_empty(), "round {round}");
        world.check().await;
    }
    println!("10 outbox lives, {ends} times all at once");
}

impl World {
    async fn ticket_of_agent(
        &self,
        agent: &str,
        resource: &str,
    ) -> crate::store::tickets::TicketRow {
        let all = self.tickets().await;
        let found: Vec<_> = all
            .into_iter()
            .filter(|t| t.agent_id == agent && t.resource == resource && t.kind == "psu-failed")
            .collect();
        assert_eq!(found.len(), 1, "{found:#?}");
        found.into_iter().next().unwrap()
    }

    async fn active_ids(&self, agent: &str) -> Vec<String> {
        let filter = crate::store::alarms::Filter {
            active: Some(true),
            agent: Some(agent.into()),
            limit: 100,
            ..Default::default()
        };
        let all = crate::store::alarms::list(&self.db, &filter).await.unwrap();
        all.into_iter().map(|a| a.alarm.alarm_id).collect()
    }
}
