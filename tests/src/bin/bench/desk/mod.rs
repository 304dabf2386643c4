//! A centre with many stored tickets and many people at their consoles: how long the queue and a ticket's page take.

mod grow;
mod people;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::api::Api;
use callhome_tests::harness::fleet::{Fleet, Kind, Plan, unmount_leftovers};
use callhome_tests::harness::postgres::Server;
use callhome_tests::harness::until;
use callhome_tests::harness::world::{Broker, Ports, World};
use serde_json::{Value, json};

use super::process::{cpu_s, status_mib};
use grow::Store;

/// Tickets that the collector itself makes; the others are copies of them.
const MADE: usize = 600;
/// Of these by hand, in Chinese.
const BY_HAND: usize = 100;
/// Of these still open at the end.
const OPEN: usize = 30;

/// Measures with so many tickets and people on both databases and prints.
pub async fn measure(dir: &Path, tickets: usize, people: usize, seconds: u64) -> Result<()> {
    on(dir, "SQLite", tickets, people, seconds).await?;
    if Server::is_installed() {
        on(dir, "PostgreSQL", tickets, people, seconds).await?;
    } else {
        println!("PostgreSQL is not installed: left out");
    }
    Ok(())
}

async fn on(dir: &Path, name: &str, tickets: usize, people: usize, seconds: u64) -> Result<()> {
    let dir = dir.join(name);
    std::fs::create_dir_all(&dir)?;
    let server = match name {
        "SQLite" => None,
        _ => Server::start(&dir.join("server")).await?,
    };
    let database = match &server {
        Some(server) => format!("[database]\nurl = \"{}\"\n", server.url),
        None => String::new(),
    };
    let (world_dir, ports) = (dir.join("world"), Ports::free()?);
    let mut world = World::create_with(&world_dir, Broker::Embedded, ports, &database).await?;
    let measured = one(&mut world, server.as_ref(), name, (tickets, people, seconds)).await;
    world.stop().await?;
    if let Some(server) = server {
        server.stop().await?;
    }
    std::fs::remove_dir_all(&dir)?;
    measured
}

async fn one(
    world: &mut World,
    server: Option<&Server>,
    name: &str,
    (tickets, people, seconds): (usize, usize, u64),
) -> Result<()> {
    make(world).await?;
    let collector = world.take_collector().context("no collector")?;
    collector.end(rustix::process::Signal::TERM, Duration::from_secs(20)).await?;
    let store = match server {
        Some(server) => Store::postgres(&server.url).await?,
        None => Store::sqlite(&world.data_dir().join("callhome.db")).await?,
    };
    let started = Instant::now();
    let copies = tickets.saturating_sub(MADE) / (MADE - OPEN);
    store.grow(copies).await?;
    let cookies = store.seat(people).await?;
    let (stored, terms) = (store.count("tickets").await?, store.count("ticket_terms").await?);
    let mib = store.mib().await?;
    println!(
        "{name}: {stored} tickets stored, {mib:.0} MiB, {terms} words of theirs; filled in {:.0?}",
        started.elapsed()
    );
    store.close().await;
    world.start_collector().await?;
    let pid = world.collector().and_then(|p| p.id()).context("not running")?;
    let before = cpu_s(pid)?;
    let asked = people::work(world, cookies, Duration::from_secs(seconds)).await?;
    let cpu = cpu_s(pid)? - before;
    println!("{name}: {people} people for {seconds} s, a page every 2 to 6 s each:");
    for (page, ms) in asked {
        println!("  {}", super::row(page, ms));
    }
    println!(
        "  collector: {:.0} % of a core, {:.0} MiB resident",
        cpu / seconds as f64 * 100.0,
        status_mib(pid, "VmRSS:")?
    );
    Ok(())
}

/// The tickets that are copied: by an agent's faults and by hand, most of them worked on to their end.
async fn make(world: &mut World) -> Result<()> {
    let plan = Plan { array_disks: 0, snmpd_files: 0, host_disks: 0, poll_s: 10 };
    let fleet_dir = world.dir.join("fleet");
    let mut fleet = Fleet::start(&fleet_dir, plan).await?;
    world.quiet().await?;
    world.enrol(&fleet.agent_toml()?).await?;
    world.start_agent().await?;
    world.agent_ready().await?;
    let api = world.api().await?;
    for n in 1..=MADE - BY_HAND {
        fleet.inject(Kind::Log, n)?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for n in 1..=BY_HAND {
        let text = format!(
            "\u{5b58}\u{50a8}\u{9635}\u{5217} {n} \u{7684}\u{63a7}\u{5236}\u{5668}\u{62a5}\u{8b66}\u{ff0c}\u{4e1a}\u{52a1}\u{53d8}\u{6162}\u{ff0c}\u{8bf7}\u{5c3d}\u{5feb}\u{5904}\u{7406}"
        );
        let wish = json!({"text": text, "priority": "p2", "serial": format!("SN{n:05}"), "contact": "\u{738b}\u{5de5}"});
        api.post("/api/v1/tickets", &wish).await?;
    }
    let all =
        until("all tickets", Duration::from_secs(120), Duration::from_millis(500), || async {
            let all = api.all_tickets().await?;
            Ok((all.len() >= MADE).then_some(all))
        })
        .await?;
    ensure!(all.len() == MADE, "{} tickets of {MADE}", all.len());
    for n in 1..=MADE - BY_HAND {
        fleet.mend(Kind::Log, n)?;
    }
    for ticket in &all[OPEN..] {
        while let Err(error) = close(&api, ticket).await {
            // One person is not let do so much in so little time; or the agent's word came in between.
            let told = error.to_string();
            ensure!(told.contains("429") || told.contains("409"), "{told}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    if let Some(agent) = world.take_agent() {
        agent.end(rustix::process::Signal::TERM, Duration::from_secs(20)).await?;
    }
    fleet.stop().await?;
    unmount_leftovers(&fleet_dir);
    Ok(())
}

/// From which state to which a ticket is worked on.
const COURSE: [(&str, &str); 5] = [
    ("recorded", "in_diagnosis"),
    ("in_diagnosis", "resolved"),
    ("resolved", "verified"),
    ("verified", "confirmed"),
    ("confirmed", "closed"),
];

/// Works on a ticket to its end, from where it is.
async fn close(api: &Api, ticket: &Value) -> Result<()> {
    let number = ticket["number"].as_str().context("no number")?;
    let path = format!("/api/v1/tickets/{number}");
    for (from, to) in COURSE {
        let page = api.get(&path).await?;
        if page["ticket"]["state"] != from {
            continue;
        }
        let version = &page["ticket"]["version"];
        let mut wish =
            json!({"to": to, "version": version, "comment": "\u{66f4}\u{6362}\u{786c}\u{76d8}"});
        if to == "closed" {
            wish["closing"] = json!({"cause": "worn", "fix": "disk replaced", "category": "a"});
        }
        api.post(&format!("{path}/transitions"), &wish).await?;
        if from == "recorded" {
            let said =
                "\u{5df2}\u{8054}\u{7cfb}\u{73b0}\u{573a}\u{ff0c}\u{66f4}\u{6362}\u{5907}\u{4ef6}";
            api.post(&format!("{path}/comments"), &json!({"text": said})).await?;
        }
    }
    Ok(())
}
