//! Whatever the order and however often: the same end.

use callhome_shared::severity::Severity;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use uuid::Uuid;

use super::World;
use super::agent::Agent;
use crate::link::Delivery;

#[derive(Clone, Debug)]
struct Plan {
    /// Per life: its resource, its severities after the raise, whether it is cleared.
    lives: Vec<(u8, Vec<u8>, bool)>,
    /// Which envelope (modulo their number) comes next; then all in order, so that none is missing.
    order: Vec<usize>,
    /// How many come together.
    batch: usize,
}

fn plans() -> impl Strategy<Value = Plan> {
    let life = (0u8..3, proptest::collection::vec(0u8..5, 0..3), any::<bool>());
    let lives = proptest::collection::vec(life, 1..7);
    let order = proptest::collection::vec(any::<usize>(), 0..60);
    (lives, order, 1usize..20).prop_map(|(lives, order, batch)| Plan { lives, order, batch })
}

fn envelopes(agent: &mut Agent, plan: &Plan) -> Vec<Delivery> {
    let mut all = Vec::new();
    let mut open: Vec<(Uuid, String, bool)> = Vec::new();
    for (resource, severities, cleared) in &plan.lives {
        let resource = format!("{} {resource}", agent.epoch);
        let (id, raise) = agent.raise(&resource);
        all.push(raise);
        for severity in severities {
            let severity = Severity::ALL[usize::from(*severity)];
            all.push(agent.change(id, &resource, severity));
        }
        open.push((id, resource, *cleared));
    }
    for (id, resource, _) in open.into_iter().filter(|(.., cleared)| *cleared) {
        all.push(agent.clear(id, &resource));
    }
    all
}

/// Tickets by resource: (recurrences, severity, condition stands), whatever their numbers are.
async fn end(world: &World, agent: &Agent) -> Vec<(String, i64, String, bool)> {
    let prefix = agent.epoch.to_string();
    let mut all: Vec<_> = world
        .tickets()
        .await
        .into_iter()
        .filter(|t| t.resource.starts_with(&prefix))
        .map(|t| {
            let resource = t.resource.replace(&prefix, "");
            (resource, t.recurrences, t.severity, t.condition_cleared_at.is_none())
        })
        .collect();
    all.sort();
    all
}

async fn alarms(world: &World, agent: &Agent) -> Vec<(String, String, bool)> {
    let filter = crate::store::alarms::Filter { limit: 100_000, ..Default::default() };
    let prefix = agent.epoch.to_string();
    let mut all: Vec<_> = crate::store::alarms::list(&world.db, &filter)
        .await
        .unwrap()
        .into_iter()
        .filter(|a| a.alarm.resource.starts_with(&prefix))
        .map(|a| (a.alarm.resource.replace(&prefix, ""), a.alarm.severity, a.alarm.active))
        .collect();
    all.sort();
    all
}

pub(super) async fn every_order_ends_the_same(world: World) {
    let cases = if world.db.is_postgres() { 12 } else { 40 };
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..cases {
        let plan = plans().new_tree(&mut runner).unwrap().current();
        let mut tidy = Agent::new("a-1");
        world.feed(envelopes(&mut tidy, &plan)).await;
        let mut wild = Agent::new("a-2");
        let all = envelopes(&mut wild, &plan);
        let chaos = plan.order.iter().map(|i| all[i % all.len()].clone());
        let mixed: Vec<Delivery> = chaos.chain(all.iter().rev().cloned()).collect();
        let mut last = 0;
        for chunk in mixed.chunks(plan.batch) {
            last = world.feed(chunk.to_vec()).await.last_seq();
        }
        assert_eq!(last, u64::try_from(all.len()).unwrap(), "{plan:?}");
        assert_eq!(end(&world, &wild).await, end(&world, &tidy).await, "{plan:?}");
        assert_eq!(alarms(&world, &wild).await, alarms(&world, &tidy).await, "{plan:?}");
        world.check().await;
    }
}
