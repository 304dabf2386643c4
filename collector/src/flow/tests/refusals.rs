//! What is refused, and what that must not hold up.

use bytes::Bytes;
use callhome_shared::alarm::{Alarm, Transition};
use callhome_shared::envelope::Kind;
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use serde_json::json;

use super::World;
use super::agent::{Agent, alarm, evidence};
use crate::link::Delivery;
use crate::store::{agents, rejects};

pub(super) async fn each_is_kept_answered_and_passed(world: World) {
    let mut agent = Agent::new("a-1");
    let bad = agent.send(Kind::Alarm, &json!({ "alarm_id": "x" }));
    let unknown = agent.send(Kind::Other("weather".into()), &json!({}));
    let mut large = agent.send(Kind::Alarm, &json!({}));
    large.payload = Bytes::from(vec![b'x'; 200 * 1024]);
    let mut foreign = agent.raise("PSU 1").1;
    for (name, value) in &mut foreign.properties {
        if name == "source" {
            *value = "urn:callhome:agent:a-2".into();
        }
    }
    let (_, fine) = agent.raise("PSU 2");
    let mut stray = fine.clone();
    stray.properties.clear();
    let all = [bad, unknown, large, foreign, stray, fine];
    let answers = world.feed(all.clone()).await;
    let reasons = ["bad-payload", "unknown-type", "too-large", "source-mismatch"];
    assert_eq!(answers.reasons(), reasons);
    assert_eq!(answers.last_seq(), 5, "none of them holds up what follows");
    assert_eq!(world.ticket().await.resource, "PSU 2");
    let kept = rejects::of_agent(&world.db, "a-1", 100).await.unwrap();
    assert_eq!(kept.len(), 5);
    assert!(kept.iter().all(|r| r.payload.as_ref().is_some_and(|p| p.len() <= 4096)));
    assert!(kept.iter().any(|r| r.seq == Some(1) && r.text.starts_with("alarm_id: ")));
    // Sent again: the same answer, and nothing more is kept of those that have a number.
    let answers = world.feed(all.into_iter().take(4)).await;
    assert_eq!(answers.reasons(), reasons);
    assert_eq!(rejects::of_agent(&world.db, "a-1", 100).await.unwrap().len(), 5);
    world.check().await;
}

pub(super) async fn what_the_database_does_not_take_is_refused_alone(world: World) {
    let poison = if world.db.is_postgres() {
        "ALTER TABLE alarms ADD CONSTRAINT no_poison CHECK (resource <> 'poison')"
    } else {
        "CREATE TRIGGER no_poison BEFORE INSERT ON alarms WHEN NEW.resource = 'poison' \
         BEGIN SELECT RAISE(ABORT, 'poison'); END"
    };
    world.db.execute(poison, vec![]).await.unwrap();
    let mut agent = Agent::new("a-1");
    let names = ["PSU 1", "poison", "PSU 2", "PSU 3"];
    let all: Vec<_> = names.iter().map(|name| agent.raise(name).1).collect();
    let answers = world.feed(all).await;
    assert_eq!(answers.reasons(), ["not-storable"]);
    assert_eq!(answers.last_seq(), 4);
    assert_eq!(answers.receipts.len(), 3);
    assert_eq!(world.tickets().await.len(), 3);
    world.check().await;
}

pub(super) async fn strangers_are_not_heard(world: World) {
    let mut stranger = Agent::new("nobody");
    let answers = world.feed([stranger.raise("PSU 1").1, stranger.beat(true, 0)]).await;
    assert!(answers.acks.is_empty() && answers.receipts.is_empty());
    agents::revoke_alone(&world.db, "a-2", Time::now()).await.unwrap();
    assert!(!agents::is_admitted(&world.db, "a-2").await.unwrap());
    let mut revoked = Agent::new("a-2");
    let mut fine = Agent::new("a-1");
    let answers = world.feed([revoked.raise("PSU 1").1, fine.raise("PSU 1").1]).await;
    assert_eq!(answers.acks.len(), 1);
    assert_eq!(world.ticket().await.agent_id, "a-1");
    assert!(world.metrics.text().contains("rejects_total{reason=\"not-admitted\"} 2"));
    world.check().await;
}

pub(super) async fn other_agents_alarms_are_safe(world: World) {
    let mut victim = Agent::new("a-1");
    let mut hostile = Agent::new("a-2");
    let (id, raise) = victim.raise("PSU 1");
    world.feed([raise]).await;
    let more = json!({ "alarm_id": id, "evidence": [evidence("forged")] });
    let all: Vec<Delivery> = vec![
        hostile.clear(id, "PSU 1"),
        hostile.send(Kind::Evidence, &more),
        // The same agent may not use one id for two faults either.
        victim.clear(id, "PSU 9"),
    ];
    let answers = world.feed(all).await;
    assert_eq!(answers.reasons(), ["alarm-mismatch"; 3]);
    let ticket = world.ticket().await;
    assert_eq!(ticket.condition_cleared_at, None);
    // Ahead of the alarm nobody can tell: it is kept, and shown with the sender's own alarm only.
    let later = new_uuid();
    let more = json!({ "alarm_id": later, "evidence": [evidence("forged")] });
    world.feed([hostile.send(Kind::Evidence, &more)]).await;
    let raised =
        Alarm { evidence: vec![evidence("true")], ..alarm(later, "PSU 2", Transition::Raised) };
    world.feed([victim.alarm(&raised)]).await;
    let shown = &world.tickets().await[1];
    let shown = crate::store::evidence::of_ticket(&world.db, &shown.id, 10).await.unwrap();
    assert_eq!(shown.iter().map(|e| e.evidence.text.as_str()).collect::<Vec<_>>(), ["true"]);
    world.check().await;
}

pub(super) async fn refusals_are_bounded(world: World) {
    let agent = Agent::new("a-1");
    let mut stray = agent.beat(true, 0);
    stray.payload = Bytes::from_static(b"{");
    world.feed(std::iter::repeat_n(stray, 1200)).await;
    let kept = rejects::of_agent(&world.db, "a-1", 5000).await.unwrap().len();
    assert_eq!(i64::try_from(kept).unwrap(), rejects::KEPT_PER_AGENT);
}

pub(super) async fn evidence_is_bounded(world: World) {
    let mut agent = Agent::new("a-1");
    let (id, raise) = agent.raise("PSU 1");
    let mut all = vec![raise];
    for _ in 0..5 {
        let items: Vec<_> = (0..250).map(|n| evidence(&format!("line {n}"))).collect();
        all.push(agent.send(Kind::Evidence, &json!({ "alarm_id": id, "evidence": items })));
    }
    let answers = world.feed(all).await;
    assert_eq!((answers.last_seq(), answers.reasons()), (6, vec!["evidence-full"]));
    let many =
        Alarm { evidence: vec![evidence("more")], ..alarm(id, "PSU 1", Transition::Changed) };
    assert!(world.feed([agent.alarm(&many)]).await.reasons().is_empty(), "the alarm counts");
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM evidence").await, 1000);
}
