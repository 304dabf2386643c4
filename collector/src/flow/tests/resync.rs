//! Anti-entropy: digests, requests, whole sets.

use callhome_shared::alarm::{Alarm, Transition};
use callhome_shared::envelope::{Kind, Lane};
use callhome_shared::heartbeat::{AsOf, Heartbeat, LaneState, active_digest};
use callhome_shared::id::new_uuid;
use callhome_shared::resync::Page;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use uuid::Uuid;

use super::World;
use super::agent::{Agent, alarm};
use crate::link::Delivery;
use crate::store::{alarms, resync_history};
use crate::ticket::State;

pub(super) type Set = Vec<(Uuid, &'static str)>;

impl Agent {
    /// A heartbeat with everything acknowledged and this set.
    pub(super) fn beat_with(&self, set: &Set) -> Delivery {
        let lane = LaneState {
            lane: Lane::Alarm,
            last_seq: self.seq,
            acked_seq: self.seq,
            depth: 0,
            oldest_s: 0,
            acked: self.seq,
            rejected: 0,
            folded: 0,
            evicted: 0,
        };
        self.heartbeat(Heartbeat {
            online: true,
            at: Time::now(),
            interval_s: 30,
            reconnect_s: 60,
            epoch: Some(self.epoch),
            lanes: vec![lane],
            active_alarms: set.len() as u64,
            active_digest: active_digest(set.iter().map(|(id, s)| (id.to_string(), *s))),
            active_as_of: Some(AsOf { epoch: self.epoch, seq: self.seq }),
            ..Heartbeat::default()
        })
    }

    /// A snapshot of these alarms, so many on a page.
    fn snapshot(&mut self, alarms: &[Alarm], per_page: usize) -> Vec<Delivery> {
        self.told(alarms, per_page, "digest-differs".into())
    }

    /// The same for this reason.
    fn told(&mut self, alarms: &[Alarm], per_page: usize, reason: String) -> Vec<Delivery> {
        let sheets: Vec<&[Alarm]> =
            if alarms.is_empty() { vec![&[]] } else { alarms.chunks(per_page).collect() };
        let (snapshot, at, pages) = (new_uuid(), Time::now(), sheets.len() as u32);
        let numbered = (1..).zip(sheets).map(|(page, alarms)| Page {
            snapshot,
            at,
            page,
            pages,
            reason: reason.clone(),
            alarms: alarms.to_vec(),
        });
        numbered.map(|page| self.send(Kind::Resync, &page)).collect()
    }
}

impl World {
    pub(super) async fn active(&self, agent: &str) -> Vec<String> {
        let filter = alarms::Filter {
            active: Some(true),
            agent: Some(agent.into()),
            limit: 1000,
            ..Default::default()
        };
        let mut all: Vec<String> = alarms::list(&self.db, &filter)
            .await
            .unwrap()
            .into_iter()
            .map(|a| format!("{} {}", a.alarm.resource, a.alarm.severity))
            .collect();
        all.sort_unstable();
        all
    }

    async fn open_controls(&self) -> i64 {
        self.count("SELECT COUNT(*) AS n FROM controls WHERE done_at IS NULL").await
    }

    pub(super) async fn ticket_of(&self, resource: &str) -> crate::store::tickets::TicketRow {
        let all = self.tickets().await;
        let found: Vec<_> = all.into_iter().filter(|t| t.resource == resource).collect();
        assert_eq!(found.len(), 1, "{found:#?}");
        found.into_iter().next().unwrap()
    }
}

pub(super) async fn a_difference_is_asked_for_and_healed(world: World) {
    let mut agent = Agent::new("a-1");
    let names = ["PSU 1", "PSU 2", "PSU 3", "PSU 4"];
    let (ids, raises): (Vec<Uuid>, Vec<Delivery>) =
        names.map(|n| agent.raise(n)).into_iter().unzip();
    world.feed(raises).await;
    world.feed([agent.clear(ids[2], "PSU 3")]).await;
    let set: Set = vec![(ids[0], "minor"), (ids[1], "minor"), (ids[3], "minor")];
    assert!(world.feed([agent.beat_with(&set)]).await.controls.is_empty(), "equal");
    let old = agent.beat_with(&vec![]);
    world.feed([agent.raise("Fan 1").1]).await;
    assert!(world.feed([old]).await.controls.is_empty(), "of a time that is past");
    let fan = world.active("a-1").await;
    assert_eq!(fan, ["Fan 1 minor", "PSU 1 minor", "PSU 2 minor", "PSU 4 minor"]);
    agent.seq -= 1;
    make_different(&world).await;
    world.take("T-000002", &[State::InDiagnosis, State::Resolved, State::Closed]).await;

    let answers = world.feed([agent.beat_with(&set)]).await;
    assert_eq!(answers.controls.len(), 1);
    assert_eq!(
        (&*answers.controls[0].kind, &*answers.controls[0].reason),
        ("resync", "digest-differs")
    );
    assert!(world.feed([agent.beat_with(&set)]).await.controls.is_empty(), "not so soon again");
    let later = "UPDATE controls SET sent_at = sent_at - 20001";
    world.db.execute(later, vec![]).await.unwrap();
    let again = world.feed([agent.beat_with(&set)]).await;
    assert_eq!(again.controls, answers.controls, "the same request");

    let standing = |n: usize| alarm(ids[n], names[n], Transition::Raised);
    let pages = agent.snapshot(&[standing(0), standing(1), standing(3)], 1);
    assert_eq!(pages.len(), 3);
    let (first, rest) = pages.split_at(1);
    assert_eq!(
        world.feed([rest[1].clone(), rest[1].clone(), rest[0].clone()]).await.receipts.len(),
        0
    );
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM resync_pages").await, 2);
    assert_eq!(world.open_controls().await, 1, "not whole yet");
    let answers = world.feed(first.to_vec()).await;
    assert_eq!(answers.last_seq(), 8);
    assert_eq!(answers.receipts.len(), 3, "raised, raised again, another severity");
    let healed = ["PSU 1 minor", "PSU 2 minor", "PSU 4 minor"];
    assert_eq!(world.active("a-1").await, healed);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM resync_pages").await, 0);
    assert_eq!(world.open_controls().await, 0);
    assert_eq!(world.ticket_of("PSU 1").await.recurrences, 1, "into its case");
    let second = world.ticket_of("PSU 2").await;
    assert_eq!((second.state.as_str(), second.condition_cleared_at), ("in_diagnosis", None));
    let told = world.timeline(&second).await;
    assert_eq!(told[told.len() - 2..], ["raised-again", "state"]);
    let third = world.ticket_of("PSU 3").await;
    assert!(third.condition_cleared_at.is_some());
    let sql = "SELECT COUNT(*) AS n FROM ticket_events WHERE what = 'cleared' AND detail LIKE '%\"reason\":\"resync\"%'";
    assert_eq!(world.count(sql).await, 1);

    // Everything once more, and it is as it was; equal sets need nothing.
    let before = world.tickets().await;
    world.feed(pages).await;
    assert_eq!(world.tickets().await, before);
    assert!(world.feed([agent.beat_with(&set)]).await.controls.is_empty());
    counted(&world);
    let told = resync_history::of_agent(&world.db, "a-1").await.unwrap();
    assert_eq!(told.len(), 1, "{told:#?}");
    let one = &told[0];
    assert_eq!((&*one.reason, one.asked, one.ended_at), ("digest-differs", 2, None));
    assert!(one.asked_at.is_some() && one.answered_at >= one.asked_at, "{one:?}");
    let counts = [one.alarms, one.raised, one.changed, one.cleared, one.unchanged, one.refused];
    assert_eq!(counts, [3, 2, 1, 1, 0, 0]);
}

/// Asked and answered, asked and of no use any more, told unasked; the last 50 are kept.
pub(super) async fn the_last_whole_sets_are_kept(world: World) {
    let mut agent = Agent::new("a-1");
    let (id, raise) = agent.raise("PSU 1");
    world.feed([raise]).await;
    let other: Set = vec![(id, "critical")];
    assert_eq!(world.feed([agent.beat_with(&other)]).await.controls.len(), 1);
    world.feed([agent.beat_with(&vec![(id, "minor")])]).await;
    let ended = resync_history::of_agent(&world.db, "a-1").await.unwrap();
    assert!(ended[0].ended_at.is_some() && ended[0].answered_at.is_none(), "{ended:?}");
    for _ in 0..55 {
        let standing = alarm(id, "PSU 1", Transition::Raised);
        let mut sheets = agent.told(&[standing], 1, "store-changed \u{7}of whatever".repeat(9));
        world.feed(sheets.drain(..)).await;
    }
    let told = resync_history::of_agent(&world.db, "a-1").await.unwrap();
    assert_eq!(told.len(), 50);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM resync_history").await, 50);
    assert!(told.iter().all(|row| row.asked_at.is_none() && row.unchanged == 1), "{told:#?}");
    assert!(
        told.iter().all(|row| row.reason.starts_with("store-changed of") && row.reason.len() <= 64)
    );
    let text = world.metrics.text();
    assert!(text.contains("resync_alarms_total{change=\"unchanged\"} 55"), "{text}");
    world.check().await;
}

/// The store is made another one than the agent's set.
async fn make_different(world: &World) {
    world.db.execute("DELETE FROM case_alarms WHERE alarm_id = (SELECT alarm_id FROM alarms WHERE resource = 'Fan 1')", vec![]).await.unwrap();
    for sql in [
        // The store is made another one than the agent's set: a life unknown, one held to be cleared
        // (its ticket closed by a person on the strength of it), one held to stand, another severity.
        "DELETE FROM alarms WHERE resource = 'Fan 1'",
        "DELETE FROM case_alarms WHERE alarm_id IN (SELECT alarm_id FROM alarms WHERE resource = 'PSU 1')",
        "DELETE FROM alarms WHERE resource = 'PSU 1'",
        "UPDATE alarms SET active = 0, cleared_at = 5 WHERE resource = 'PSU 2'",
        "UPDATE alarms SET active = 1, cleared_at = NULL WHERE resource = 'PSU 3'",
        "UPDATE tickets SET condition_cleared_at = NULL WHERE resource = 'PSU 3'",
        "UPDATE tickets SET condition_cleared_at = 5 WHERE resource = 'PSU 2'",
        "UPDATE alarms SET severity = 'critical' WHERE resource = 'PSU 4'",
        "DELETE FROM envelopes WHERE seq = 6",
        "UPDATE streams SET acked_seq = 5, highest_seq = 5",
    ] {
        world.db.execute(sql, vec![]).await.unwrap();
    }
}

fn counted(world: &World) {
    let text = world.metrics.text();
    for line in [
        "resyncs_total{step=\"asked\"} 2",
        "resyncs_total{step=\"applied\"} 1",
        "resync_alarms_total{change=\"raised\"} 2",
        "resync_alarms_total{change=\"changed\"} 1",
        "resync_alarms_total{change=\"cleared\"} 1",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

pub(super) async fn what_came_after_the_snapshot_stays(world: World) {
    let mut agent = Agent::new("a-1");
    let (a, raise_a) = agent.raise("PSU 1");
    let snapshot = agent.snapshot(&[alarm(a, "PSU 1", Transition::Raised)], 1);
    let (b, raise_b) = agent.raise("PSU 2");
    let clear_a = agent.clear(a, "PSU 1");
    let worse_b = agent.change(b, "PSU 2", Severity::Critical);
    world.feed([raise_b, clear_a, worse_b]).await;
    world.feed(snapshot).await;
    world.feed([raise_a]).await;
    assert_eq!(world.active("a-1").await, ["PSU 2 critical"]);
    assert_eq!(world.tickets().await.len(), 2);
    world.check().await;
}

pub(super) async fn a_later_snapshot_replaces_an_unfinished_one(world: World) {
    let mut agent = Agent::new("a-1");
    let (a, raise_a) = agent.raise("PSU 1");
    let (b, raise_b) = agent.raise("PSU 2");
    world.feed([raise_a, raise_b]).await;
    let both = [alarm(a, "PSU 1", Transition::Raised), alarm(b, "PSU 2", Transition::Raised)];
    let unfinished = agent.snapshot(&both, 1);
    world.feed([unfinished[0].clone()]).await;
    let one = agent.snapshot(&both[..1], 1);
    world.feed(one).await;
    assert_eq!(world.active("a-1").await, ["PSU 1 minor"]);
    let other = agent.snapshot(&both[..1], 1);
    world.feed([other[0].clone(), unfinished[1].clone()]).await;
    assert_eq!(world.active("a-1").await, ["PSU 1 minor"], "a straggler of a snapshot long past");
    // A straggler alone begins to wait, and the next snapshot sweeps it away.
    let next = agent.snapshot(&[], 1);
    world.feed(next).await;
    assert!(world.active("a-1").await.is_empty());
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM resync_pages").await, 0);
    world.check().await;
}

pub(super) async fn another_store_is_told_at_once(world: World) {
    let mut agent = Agent::new("a-1");
    world.feed([agent.raise("PSU 1").1]).await;
    let ours = crate::store::meta::store_id(&world.db).await.unwrap();
    let beat = |store| {
        let mut said: Heartbeat = serde_json::from_slice(&agent.beat(true, 1).payload).unwrap();
        said.store = store;
        agent.heartbeat(said)
    };
    for store in [None, Some(ours)] {
        assert!(world.feed([beat(store)]).await.acks.is_empty(), "nothing new: {store:?}");
    }
    let answers = world.feed([beat(Some(Uuid::from_u128(9)))]).await;
    assert_eq!((answers.acks.len(), answers.acks[0].store, answers.last_seq()), (1, ours, 1));
}

pub(super) async fn a_rolled_back_agent_ends_with_the_truth(world: World) {
    let mut future = Agent::new("a-1");
    let (a, raise_a) = future.raise("PSU 1");
    let (_, raise_b) = future.raise("PSU 2");
    let (_, raise_d) = future.raise("PSU 4");
    world.feed([raise_a, raise_b, raise_d]).await;
    // Rolled back to after the first: it does not know of PSU 2 and 4, and finds PSU 3.
    let mut agent = Agent { id: future.id.clone(), epoch: future.epoch, seq: 1 };
    let (c, raise_c) = agent.raise("PSU 3");
    assert_eq!(world.feed([raise_c]).await.reasons(), ["duplicate-seq"]);
    let mut renewed = Agent::new("a-1");
    world.feed([renewed.alarm(&alarm(c, "PSU 3", Transition::Raised))]).await;
    assert_eq!(world.active("a-1").await.len(), 4);
    let set: Set = vec![(a, "minor"), (c, "minor")];
    let answers = world.feed([renewed.beat_with(&set)]).await;
    assert_eq!(answers.controls.len(), 1);
    let mut told = [alarm(a, "PSU 1", Transition::Raised), alarm(c, "PSU 3", Transition::Raised)];
    // Its clock was rolled back with it: the new life counts all the same.
    told[0].observed_at = Time(1000);
    let mut page = renewed.snapshot(&told, 9).remove(0);
    let mut said: Page = serde_json::from_slice(&page.payload).unwrap();
    said.at = Time(2000);
    page.payload = serde_json::to_vec(&said).unwrap().into();
    world.feed([page]).await;
    assert_eq!(world.active("a-1").await, ["PSU 1 minor", "PSU 3 minor"]);
    assert_eq!(world.tickets().await.len(), 4, "every fault in one case");
    assert!(world.feed([renewed.beat_with(&set)]).await.controls.is_empty());
    world.check().await;
}

pub(super) async fn asking_is_bounded(world: World) {
    let (mut agent, mut other) = (Agent::new("a-1"), Agent::new("a-2"));
    let (theirs, raise) = other.raise("PSU 1");
    world.feed([raise]).await;
    let set: Set = vec![(theirs, "minor")];
    let mut asked = 0;
    for _ in 0..30 {
        asked += world.feed([agent.beat_with(&set)]).await.controls.len();
        let page = agent.snapshot(&[alarm(theirs, "PSU 1", Transition::Raised)], 1);
        world.feed(page).await;
    }
    assert_eq!(asked, 1, "it can never be equal, and is not asked for ever");
    assert_eq!(world.count("SELECT in_a_row AS n FROM resyncs").await, 30);
    assert!(world.active("a-1").await.is_empty());
    assert_eq!(world.active("a-2").await.len(), 1, "another agent's alarm is safe");
    assert!(world.feed([agent.beat_with(&vec![])]).await.controls.is_empty());
    assert_eq!(world.count("SELECT in_a_row AS n FROM resyncs").await, 0, "equal at last");
    assert_eq!(world.feed([agent.beat_with(&set)]).await.controls.len(), 1);
    world.check().await;
}

pub(super) async fn bad_pages_are_refused(world: World) {
    let mut agent = Agent::new("a-1");
    let two = [
        alarm(new_uuid(), "PSU 1", Transition::Raised),
        alarm(new_uuid(), "PSU 2", Transition::Raised),
    ];
    let pages = agent.snapshot(&two, 1);
    let altered = |change: fn(&mut Page)| {
        let mut page: Page = serde_json::from_slice(&pages[1].payload).unwrap();
        change(&mut page);
        page
    };
    world.feed([pages[0].clone()]).await;
    let bad = [
        altered(|p| p.page = 0),
        altered(|p| p.page = 3),
        altered(|p| p.pages = 100_000),
        altered(|p| p.pages = 3),
    ];
    let bad: Vec<Delivery> = bad.iter().map(|page| agent.send(Kind::Resync, page)).collect();
    assert_eq!(world.feed(bad).await.reasons(), ["bad-payload"; 4]);
    // A cleared alarm, or one without a type, is no part of an active set; the rest counts.
    let mut odd = alarm(new_uuid(), "PSU 3", Transition::Raised);
    odd.kind = String::new();
    let over = alarm(new_uuid(), "PSU 4", Transition::Cleared);
    world.feed(agent.snapshot(&[odd, over, two[0].clone()], 9)).await;
    assert_eq!(world.active("a-1").await, ["PSU 1 minor"]);
    world.check().await;
}

/// An agent that raises, changes, clears and takes snapshots; its envelopes come in any order, twice,
/// in any batches. What is active in the end is what the agent holds to be.
pub(super) async fn any_order_ends_with_the_agents_set(world: World) {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut dice = move |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % n
    };
    let severities = [Severity::Minor, Severity::Major, Severity::Critical];
    let mut snapshots = 0;
    for round in 0..12 {
        let mut agent = Agent::new("a-1");
        let mut held: Vec<Alarm> = Vec::new();
        let mut all: Vec<Delivery> = Vec::new();
        for _ in 0..25 {
            let resource = format!("Disk {}", dice(6));
            let there = held.iter().position(|a| a.resource == resource);
            match (dice(5), there) {
                (0, _) => {
                    all.extend(agent.snapshot(&held, 1 + dice(3)));
                    snapshots += 1;
                }
                (1, Some(n)) => {
                    let gone = held.remove(n);
                    all.push(agent.clear(gone.alarm_id, &resource));
                }
                (_, Some(n)) => {
                    held[n].severity = severities[dice(3)];
                    let (id, severity) = (held[n].alarm_id, held[n].severity);
                    all.push(agent.change(id, &resource, severity));
                }
                (_, None) => {
                    let new = alarm(new_uuid(), &resource, Transition::Raised);
                    all.push(agent.alarm(&new));
                    held.push(new);
                }
            }
        }
        let last = all.len();
        all.extend(agent.snapshot(&held, 2));
        snapshots += 1;
        for n in (1..last).rev() {
            all.swap(n, dice(n + 1));
        }
        let mut rest = all;
        while !rest.is_empty() {
            let batch: Vec<Delivery> = rest.drain(..rest.len().min(1 + dice(6))).collect();
            if dice(3) == 0 {
                world.feed(batch.clone()).await;
            }
            world.feed(batch).await;
        }
        let mut expected: Vec<String> =
            held.iter().map(|a| format!("{} {}", a.resource, a.severity.as_str())).collect();
        expected.sort_unstable();
        assert_eq!(world.active("a-1").await, expected, "round {round}");
        let set = held.iter().map(|a| (a.alarm_id, a.severity.as_str())).collect();
        assert!(world.feed([agent.beat_with(&set)]).await.controls.is_empty(), "round {round}");
        world.check().await;
    }
    println!("12 lives, {snapshots} snapshots");
    assert!(world.tickets().await.len() <= 6, "every fault in one case");
}
