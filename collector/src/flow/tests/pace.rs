//! How fast it is, beside the database's own floor: the same payloads into a bare table, in transactions of the same
//! size, in the same run. Prints; `make bench` runs it optimised, or `--run-ignored all --no-capture`.

use std::time::{Duration, Instant};

use callhome_shared::time::Time;

use super::World;
use super::agent::Agent;
use super::postgres::Server;
use super::world;
use crate::args;
use crate::clock::Promise;
use crate::flow::clocks::seed;
use crate::link::Delivery;

/// What the intake commits together at most.
const TOGETHER: usize = 64;

/// The payloads into a bare table, so many in a transaction.
async fn floor(world: &World, name: &str, all: &[Delivery], together: usize) -> Duration {
    let sql = format!("CREATE TABLE {name} (id TEXT PRIMARY KEY, body TEXT NOT NULL)");
    world.db.execute(sql, vec![]).await.unwrap();
    let sql = format!("INSERT INTO {name} (id, body) VALUES ($1, $2)");
    let started = Instant::now();
    for (n, some) in all.chunks(together).enumerate() {
        let mut tx = world.db.begin().await.unwrap();
        for (m, delivery) in some.iter().enumerate() {
            let body = String::from_utf8(delivery.payload.to_vec()).unwrap();
            tx.execute(sql.clone(), args![format!("{n}-{m}"), body]).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    started.elapsed()
}

/// What is waited for last; percentiles of the middle and the end.
fn said(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    println!("{name}: p50 {:.1?}, p99 {:.1?}", at(50), at(99));
}

/// A flood of new faults and clears, each a ticket with its clocks; then single alarms one after the other.
async fn measure(world: World) {
    let name = if world.db.is_postgres() { "PostgreSQL" } else { "SQLite" };
    let zone = Some("Asia/Shanghai".to_owned());
    let promise = Promise { plan: "carrier".into(), calendar: None, time_zone: zone };
    seed(&world.db, &promise, Time(1)).await.unwrap();
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
    let bytes: usize = all.iter().map(|one| one.payload.len()).sum();
    let count = u32::try_from(all.len()).unwrap();
    let rate = |took: Duration| f64::from(count) / took.as_secs_f64();
    let bare = floor(&world, "floor_many", &all, TOGETHER).await;
    let started = Instant::now();
    world.feed(all.clone()).await;
    let took = started.elapsed();
    let tickets = world.count("SELECT COUNT(*) AS n FROM tickets").await;
    println!(
        "{name}: {count} alarms ({bytes} bytes) to {tickets} committed tickets: {:.0} a second; the floor {:.0} a second; {:.1} times its time",
        rate(took),
        rate(bare),
        took.as_secs_f64() / bare.as_secs_f64(),
    );
    let mut times = Vec::new();
    let mut single = Vec::new();
    for n in 0..200 {
        let raise = agents[0].raise(&format!("Fan {n}")).1;
        single.push(raise.clone());
        let started = Instant::now();
        world.feed([raise]).await;
        times.push(started.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    said(&format!("{name}: one alarm"), times);
    let mut bare = Vec::new();
    for (n, one) in single.iter().enumerate() {
        bare.push(floor(&world, &format!("floor_{n}"), std::slice::from_ref(one), 1).await);
    }
    said(&format!("{name}: one payload, the floor"), bare);
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
