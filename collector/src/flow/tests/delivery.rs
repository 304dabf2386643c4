//! Numbering, deduplication, acknowledgements.

use callhome_shared::alarm::{Alarm, Transition};
use callhome_shared::envelope::{Kind, Lane};
use callhome_shared::id::new_uuid;
use callhome_shared::severity::Severity;
use callhome_shared::time::Time;
use serde_json::json;

use super::World;
use super::agent::{Agent, alarm, evidence};
use crate::flow::Event;
use crate::flow::intake::{self, Tally};
use crate::store::{agents, devices, losses, streams};

pub(super) async fn a_fault_becomes_a_ticket(world: World) {
    let mut events = world.events.subscribe();
    let mut agent = Agent::new("a-1");
    let id = new_uuid();
    let raised = Alarm {
        evidence: vec![evidence("PSU 2 failed"), evidence("NUL \0 inside")],
        ..alarm(id, "PSU 2", Transition::Raised)
    };
    let answers = world.feed([agent.alarm(&raised)]).await;
    let ticket = world.ticket().await;
    assert_eq!((ticket.number.as_str(), ticket.state.as_str()), ("T-000001", "recorded"));
    assert_eq!((ticket.priority.as_str(), ticket.severity.as_str()), ("p3", "minor"));
    assert_eq!(ticket.text, "PSU 2 failed \u{7535}\u{6e90}\u{6545}\u{969c}");
    assert_eq!(ticket.site.as_deref(), Some("SH-01"), "from the agent, the alarm names none");
    assert_eq!(answers.last_seq(), 1);
    assert_eq!(answers.receipts.len(), 1);
    assert_eq!(answers.receipts[0].ticket, "T-000001");
    assert_eq!(answers.receipts[0].alarm_id, id);
    let more = json!({ "alarm_id": id, "evidence": [evidence("and more")] });
    world.feed([agent.send(Kind::Evidence, &more)]).await;
    let shown = crate::store::evidence::of_ticket(&world.db, &ticket.id, 100).await.unwrap();
    let texts: Vec<&str> = shown.iter().map(|e| e.evidence.text.as_str()).collect();
    assert_eq!(texts, ["PSU 2 failed", "NUL \u{fffd} inside", "and more"]);
    assert_eq!(world.timeline(&ticket).await, ["opened"]);
    let seen = devices::list(&world.db, Some("a-1"), 10).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].device.model.as_deref(), seen[0].active_alarms), (Some("M"), 1));
    assert!(
        matches!(events.try_recv().unwrap(), Event::Ticket { number, .. } if number == "T-000001")
    );
    assert!(matches!(events.try_recv().unwrap(), Event::Alarm { .. }));
    world.check().await;
}

pub(super) async fn duplicates_change_nothing_and_are_answered_again(world: World) {
    let mut agent = Agent::new("a-1");
    let (id, raise) = agent.raise("PSU 1");
    let clear = agent.clear(id, "PSU 1");
    let all = [&raise, &raise, &clear, &raise, &clear].map(Clone::clone);
    let answers = world.feed(all).await;
    assert_eq!(answers.acks.len(), 1, "one for the stream in one batch");
    assert_eq!(answers.last_seq(), 2);
    assert_eq!(answers.receipts.len(), 5);
    let before = world.ticket().await;
    for _ in 0..3 {
        let answers = world.feed([clear.clone(), raise.clone()]).await;
        assert_eq!((answers.last_seq(), answers.receipts.len()), (2, 2));
        assert!(answers.receipts.iter().all(|r| r.ticket == "T-000001"));
    }
    assert_eq!(world.ticket().await, before);
    let metrics = world.metrics.text();
    assert!(metrics.contains("envelopes_total{outcome=\"applied\"} 2"), "{metrics}");
    assert!(metrics.contains("envelopes_total{outcome=\"duplicate\"} 9"), "{metrics}");
    world.check().await;
}

pub(super) async fn a_gap_holds_the_mark_and_filling_it_counts_what_came_ahead(world: World) {
    let mut agent = Agent::new("a-1");
    let all: Vec<_> = (1..=6).map(|n| agent.raise(&format!("PSU {n}")).1).collect();
    let part = |from: &[usize]| from.iter().map(|i| all[*i].clone()).collect::<Vec<_>>();
    assert_eq!(world.feed(part(&[0, 2, 3])).await.last_seq(), 1);
    assert_eq!(world.feed(part(&[5])).await.last_seq(), 1);
    assert_eq!(world.tickets().await.len(), 4, "what is ahead is committed all the same");
    assert_eq!(world.feed(part(&[1])).await.last_seq(), 4);
    assert_eq!(world.feed(part(&[4])).await.last_seq(), 6);
    assert_eq!(world.tickets().await.len(), 6);
    world.check().await;
}

pub(super) async fn an_unknown_stream_waits_for_the_heartbeat(world: World) {
    let mut agent = Agent::new("a-1");
    agent.seq = 6;
    let (_, seventh) = agent.raise("PSU 7");
    let (_, eighth) = agent.raise("PSU 8");
    let answers = world.feed([eighth]).await;
    assert_eq!(answers.last_seq(), 0, "committed, but what lies before is not known");
    assert_eq!(answers.receipts.len(), 1);
    let told = world.feed([agent.beat(true, 6)]).await;
    assert_eq!(
        (told.acks.len(), told.last_seq()),
        (1, 6),
        "somebody is here, and waits for the seventh"
    );
    assert_eq!(world.feed([seventh]).await.last_seq(), 8);
    let declared = losses::of_agent(&world.db, "a-1", None, 10).await.unwrap();
    assert_eq!(declared.len(), 1, "another store had acknowledged six");
    assert_eq!(declared[0].loss.reason, "collector-restored");
    assert_eq!(declared[0].loss.count, Some(6));
    let again = world.feed([agent.beat(true, 6)]).await;
    assert_eq!(again.last_seq(), 8, "the agent does not know yet: told again");
    assert_eq!(losses::of_agent(&world.db, "a-1", None, 10).await.unwrap().len(), 1);
    world.check().await;
}

pub(super) async fn a_known_heartbeat_says_where_a_stream_begins(world: World) {
    let mut agent = Agent::new("a-1");
    agent.seq = 9;
    world.feed([agent.beat(true, 9)]).await;
    assert_eq!(world.feed([agent.raise("PSU 1").1]).await.last_seq(), 10);
    // A new outbox life begins at 1, whatever the old one's heartbeat said.
    let mut renewed = Agent::new("a-1");
    renewed.seq = 1;
    let (_, second) = renewed.raise("PSU 2");
    assert_eq!(world.feed([second]).await.last_seq(), 0);
    renewed.seq = 0;
    assert_eq!(world.feed([renewed.raise("PSU 3").1]).await.last_seq(), 2);
    assert_eq!(streams::of_agent(&world.db, "a-1").await.unwrap().len(), 2);
    world.check().await;
}

pub(super) async fn an_envelope_that_was_salvaged_into_a_new_epoch_counts_once(world: World) {
    let old = Agent::new("a-1");
    let renewed = Agent::new("a-1");
    let id = new_uuid();
    let raised = alarm(new_uuid(), "PSU 1", Transition::Raised);
    world.feed([old.at(1, id, Kind::Alarm, &raised)]).await;
    let answers = world.feed([renewed.at(1, id, Kind::Alarm, &raised)]).await;
    assert_eq!((answers.last_seq(), answers.receipts.len()), (1, 1));
    assert_eq!(answers.acks[0].epoch, renewed.epoch);
    assert_eq!(world.ticket().await.recurrences, 0);
    // Both at once, too.
    let id = new_uuid();
    let cleared = alarm(raised.alarm_id, "PSU 1", Transition::Cleared);
    let both = [old.at(2, id, Kind::Alarm, &cleared), renewed.at(2, id, Kind::Alarm, &cleared)];
    assert_eq!(world.feed(both).await.acks.len(), 2);
    assert_eq!(world.timeline(&world.ticket().await).await, ["opened", "cleared"]);
    world.check().await;
}

pub(super) async fn a_copied_agent_is_refused(world: World) {
    let mut original = Agent::new("a-1");
    world.feed([original.raise("PSU 1").1, original.raise("PSU 2").1]).await;
    let mut copy = Agent { id: original.id.clone(), epoch: original.epoch, seq: 1 };
    let (_, other) = copy.raise("PSU 9");
    let answers = world.feed([other.clone()]).await;
    assert_eq!(answers.reasons(), ["duplicate-seq"]);
    assert_eq!((answers.last_seq(), answers.receipts.len()), (2, 0));
    assert_eq!(world.feed([other]).await.reasons(), ["duplicate-seq"], "said every time");
    assert_eq!(world.tickets().await.len(), 2);
    assert!(world.feed([original.raise("PSU 3").1]).await.reasons().is_empty());
    world.check().await;
}

pub(super) async fn given_up_numbers_are_passed(world: World) {
    let mut agent = Agent::new("a-1");
    let given_up = |first: u64, last: u64| {
        json!({ "source": "outbox", "from": "2026-01-31T08:00:00Z", "to": "2026-01-31T09:00:00Z",
            "reason": "evicted", "count": last - first + 1,
            "lane": "bulk", "first_seq": first.to_string(), "last_seq": last.to_string() })
    };
    let early = agent.send(Kind::Loss, &given_up(1, 4));
    let late = agent.send(Kind::Loss, &given_up(5, 9));
    let bulk_seq = |answers: &super::world::Answers| {
        answers.acks.iter().find(|a| a.lane == Lane::Bulk).map(|a| a.seq)
    };
    // Bulk envelopes are of no known type yet: refused by number, which passes them too.
    let tenth = agent.at(10, new_uuid(), Kind::Samples, &json!({}));
    assert_eq!(bulk_seq(&world.feed([tenth]).await), Some(0));
    assert_eq!(bulk_seq(&world.feed([late]).await), Some(0), "1 to 4 are still open");
    assert_eq!(bulk_seq(&world.feed([early]).await), Some(10));
    assert_eq!(losses::of_agent(&world.db, "a-1", None, 10).await.unwrap().len(), 2);
}

/// What an agent folded at its disk budget: a life told by its last transition alone, and the
/// declaration that comes ahead of its place and again in it.
pub(super) async fn a_folded_life_is_told_and_its_numbers_are_passed(world: World) {
    let mut agent = Agent::new("a-1");
    let began = Time::now().plus_ms(-60_000);
    let (first, raise) = agent.raise("PSU 1");
    // 2 to 4: another life, folded into its clear, number 5. 6 and 8: changes of the first, into 9.
    let told = |alarm: Alarm| Alarm { raised_at: Some(began), ..alarm };
    let other = new_uuid();
    let clear = told(alarm(other, "PSU 2", Transition::Cleared));
    let clear = agent.at(5, new_uuid(), Kind::Alarm, &clear);
    let seventh =
        agent.at(7, new_uuid(), Kind::Alarm, &alarm(new_uuid(), "PSU 3", Transition::Raised));
    let worse =
        Alarm { severity: Severity::Critical, ..alarm(first, "PSU 1", Transition::Changed) };
    let worse = agent.at(9, new_uuid(), Kind::Alarm, &told(worse));
    let declaration = json!({ "source": "outbox", "from": "2026-01-31T08:00:00Z",
        "to": "2026-01-31T09:00:00Z", "reason": "folded", "count": 5, "lane": "alarm",
        "epoch": agent.epoch, "ranges": [["2", "4"], ["6", "6"], ["8", "8"]] });
    let declaration = agent.at(10, new_uuid(), Kind::Loss, &declaration);
    assert_eq!(world.feed([raise, clear.clone(), worse.clone()]).await.last_seq(), 1);
    assert_eq!(world.feed([declaration.clone()]).await.last_seq(), 6, "ahead of its place");
    assert_eq!(world.feed([seventh, clear, worse, declaration]).await.last_seq(), 10);
    assert_eq!(losses::of_agent(&world.db, "a-1", None, 10).await.unwrap().len(), 1);
    let tickets = world.tickets().await;
    let of = |resource: &str| tickets.iter().find(|t| t.resource == resource).unwrap();
    assert_eq!(tickets.len(), 3);
    assert!(of("PSU 2").condition_cleared_at.is_some());
    assert_eq!(of("PSU 1").severity, "critical");
    let alarms = crate::store::alarms::of_ticket(&world.db, &of("PSU 2").id, 9).await.unwrap();
    assert_eq!(alarms[0].alarm.raised_at, began, "the raise was not seen, its time is known");
    world.check().await;
}

/// A file that was carried here, before, between and after the same over the network.
pub(super) async fn carried_by_hand_or_by_wire_is_the_same(world: World) {
    let mut agent = Agent::new("a-1");
    let mut all = Vec::new();
    for n in 0..100 {
        let resource = format!("Disk {}", n % 10);
        let (id, raise) = agent.raise(&resource);
        all.push(raise);
        all.push(agent.clear(id, &resource));
    }
    all.push(agent.send(Kind::Other("odd".into()), &json!({})));
    let tally = |applied, known, rejected| Tally { applied, known, rejected, not_admitted: 0 };
    assert_eq!(world.feed(all[..40].to_vec()).await.last_seq(), 40);
    assert_eq!(
        intake::take(&world.db, &all[..120], &world.diagnosis).await.unwrap(),
        tally(80, 40, 0)
    );
    let rows = async || {
        (world.tickets().await.len(), world.count("SELECT COUNT(*) AS n FROM alarms").await)
    };
    assert_eq!(world.feed(all[100..].to_vec()).await.last_seq(), 201);
    let (tickets, alarms) = rows().await;
    assert_eq!((tickets, alarms), (10, 100));
    assert_eq!(intake::take(&world.db, &all, &world.diagnosis).await.unwrap(), tally(0, 200, 1));
    assert_eq!(world.feed(all.clone()).await.last_seq(), 201);
    assert_eq!(rows().await, (tickets, alarms), "nothing twice");
    // Beside a collector that takes the same from the network at the same time.
    let mut other = Agent::new("a-2");
    let both: Vec<_> = (0..300).map(|n| other.raise(&format!("Disk {n}")).1).collect();
    let (carried, answers) =
        tokio::join!(intake::take(&world.db, &both, &world.diagnosis), world.feed(both.clone()));
    let carried = carried.unwrap();
    assert_eq!((carried.applied + carried.known, carried.rejected), (300, 0));
    assert_eq!(answers.last_seq(), 300);
    assert_eq!(rows().await, (310, 400));
    let stranger = Agent::new("nobody").raise("PSU 1").1;
    assert_eq!(
        intake::take(&world.db, &[stranger], &world.diagnosis).await.unwrap().not_admitted,
        1
    );
    let refused = streams::of_agent(&world.db, "a-1").await.unwrap();
    assert_eq!((refused[0].acked_seq, refused[0].rejected, refused[0].missing), (201, 1, 0));
    world.check().await;
}

/// What the balance of a stream is made of.
pub(super) async fn the_balance_counts_what_is_beside_the_marks(world: World) {
    let mut agent = Agent::new("a-1");
    let one = agent.raise("PSU 1").1;
    let sixth =
        agent.at(6, new_uuid(), Kind::Alarm, &alarm(new_uuid(), "PSU 2", Transition::Raised));
    let third =
        agent.at(3, new_uuid(), Kind::Alarm, &alarm(new_uuid(), "PSU 3", Transition::Raised));
    // 3 was folded while it was on its way; 4 did not come.
    let folded = json!({ "source": "outbox", "from": "2026-01-31T08:00:00Z",
        "to": "2026-01-31T09:00:00Z", "reason": "folded", "count": 2, "lane": "alarm",
        "epoch": agent.epoch, "first_seq": "3", "last_seq": "4" });
    let folded = agent.at(7, new_uuid(), Kind::Loss, &folded);
    world.feed([one, sixth, third, folded]).await;
    let stream = streams::of_agent(&world.db, "a-1").await.unwrap().remove(0);
    assert_eq!((stream.acked_seq, stream.highest_seq), (1, 7));
    let beside = streams::beside(&world.db, &stream.key, stream.acked_seq).await.unwrap();
    assert_eq!(beside, (4, 1), "3, 4, 6 and 7 are above the mark; 4 alone did not come");
    let second =
        agent.at(2, new_uuid(), Kind::Alarm, &alarm(new_uuid(), "PSU 4", Transition::Raised));
    let fifth =
        agent.at(5, new_uuid(), Kind::Alarm, &alarm(new_uuid(), "PSU 5", Transition::Raised));
    assert_eq!(world.feed([second, fifth]).await.last_seq(), 7);
    let beside = streams::beside(&world.db, &stream.key, 7).await.unwrap();
    assert_eq!(beside, (0, 1));
    // Another store has acknowledged up to 12.
    agent.seq = 12;
    world.feed([agent.beat(true, 12)]).await;
    let stream = streams::of_agent(&world.db, "a-1").await.unwrap().remove(0);
    assert_eq!((stream.acked_seq, stream.missing), (12, 5));
}

pub(super) async fn a_flood_over_many_agents(world: World) {
    let mut agents: Vec<Agent> = ["a-1", "a-2"].map(Agent::new).into();
    let mut all = Vec::new();
    for n in 0..150 {
        for agent in &mut agents {
            let resource = format!("Disk {}", n % 50);
            let (id, raise) = agent.raise(&resource);
            all.push(raise);
            if n % 3 == 0 {
                all.push(agent.clear(id, &resource));
            }
        }
    }
    let answers = world.feed(all).await;
    assert_eq!(answers.acks.iter().map(|a| a.seq).max(), Some(200));
    assert_eq!(answers.receipts.len(), 400);
    assert_eq!(world.tickets().await.len(), 100);
    world.check().await;
}

pub(super) async fn heartbeats_and_wills(world: World) {
    let mut agent = Agent::new("a-1");
    world.feed([agent.beat(true, 0)]).await;
    let get = async || agents::get(&world.db, "a-1").await.unwrap().unwrap();
    let there = get().await;
    assert!(there.online && there.heartbeat.is_some());
    assert_eq!(there.version.as_deref(), Some("0.1.0"));
    assert_eq!(there.site.as_deref(), Some("SH-01"), "the administrator's word stands");
    assert_eq!(there.customer.as_deref(), Some("ACME"));
    world.feed([agent.beat(false, 0)]).await;
    let gone = get().await;
    assert!(!gone.online);
    assert_eq!(gone.heartbeat, there.heartbeat, "a will leaves the last heartbeat");
    world.feed([agent.raise("PSU 1").1]).await;
    assert!(get().await.online, "who delivers is there");
    world.feed([agent.beat(true, 0), agent.beat(false, 0)]).await;
    let summary = agents::list(&world.db).await.unwrap();
    assert_eq!(summary.len(), 2);
    assert_eq!((summary[0].active_alarms, summary[0].agent.online), (1, false));
}

/// An agent whose envelopes were lost on their way hears that somebody is here, and sends them again.
pub(super) async fn a_heartbeat_of_one_who_waits_is_answered(world: World) {
    let mut agent = Agent::new("a-1");
    let (_, lost) = agent.raise("PSU 1");
    let answers = world.feed([agent.beat(true, 0)]).await;
    assert_eq!((answers.acks.len(), answers.last_seq()), (1, 0), "nothing of it has come yet");
    assert_eq!(answers.acks[0].epoch, agent.epoch);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM streams").await, 0, "and nothing is kept");
    assert_eq!(world.feed([lost]).await.last_seq(), 1);
    let (_, late) = agent.raise("PSU 2");
    assert_eq!(world.feed([agent.beat(true, 1)]).await.last_seq(), 1);
    assert_eq!(world.feed([late]).await.last_seq(), 2);
    assert!(world.feed([agent.beat(true, 2)]).await.acks.is_empty(), "nothing waits");
    world.check().await;
}
