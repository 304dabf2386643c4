//! How fast it is. Prints; run with `--run-ignored all --no-capture`.

use std::time::{Duration, Instant};

use super::World;
use super::agent::Agent;
use super::postgres::Server;
use super::world;

/// A flood of new faults and clears, then single alarms one after the other.
async fn measure(world: World) {
    let name = if world.db.is_postgres() { "PostgreSQL" } else { "SQLite" };
    let mut agents = ["a-1", "a-2"].map(Agent::new);
    let mut all = Vec::new();
    for n in 0..1500 {
        for agent in &mut agents {
            let (id, raise) = agent.raise(&format!("Disk {n}"));
            all.push(raise);
            if n % 2 == 0 {
                all.push(agent.clear(id, &format!("Disk {n}")));
            }
        }
    }
    let count = u32::try_from(all.len()).unwrap();
    let started = Instant::now();
    world.feed(all).await;
    let took = started.elapsed();
    let rate = f64::from(count) / took.as_secs_f64();
    println!("{name}: {count} transitions in {took:?}: {rate:.0} per second");
    let mut times = Vec::new();
    for n in 0..200 {
        let raise = agents[0].raise(&format!("Fan {n}")).1;
        let started = Instant::now();
        world.feed([raise]).await;
        times.push(started.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    times.sort();
    println!("{name}: one alarm: p50 {:?}, p99 {:?}", times[100], times[197]);
    world.check().await;
}

#[test]
#[ignore = "a measurement"]
fn pace() {
    world::on_sqlite(measure);
    if let Some(server) = Server::start() {
        world::on_postgres(&server, measure);
    }
}
