//! What makes the two sides differ heals by itself, and who falls silent gets a ticket: the collector's
//! database altered by hand, the collector restored from a backup, the agent killed and stopped.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::api::Api;
use callhome_tests::harness::until;
use callhome_tests::harness::world::{AGENT, Broker, Ports, World};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

/// A few heartbeats of 1 s, and a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_differs_heals_and_who_is_silent_is_told() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("array.log");
    std::fs::write(&log, "")?;
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    world.enrol(&sources(&log)).await?;
    let slow = std::fs::read_to_string(world.agent_config())?;
    let quick = slow.replace("[heartbeat]\ninterval_s = 5", "[heartbeat]\ninterval_s = 1");
    ensure!(quick != slow, "the harness writes other heartbeats now: {slow}");
    std::fs::write(world.agent_config(), quick)?;
    world.start_agent().await?;
    world.agent_ready().await?;
    let lived = live(&mut world, &log, dir.path()).await;
    world.stop().await?;
    lived
}

fn sources(log: &Path) -> String {
    format!(
        "[[device]]\nname = \"array-1\"\nserial = \"SN-7\"\n\n[[logfile]]\nname = \"messages\"\n\
         device = \"array-1\"\npath = \"{}\"\nfrom = \"start\"\n\n[[logfile.pattern]]\nid = \"psu\"\n\
         match = 'PSU (?P<psu>\\d+) failed'\nclear = 'PSU (?P<psu>\\d+) ok'\ntype = \"psu-failed\"\n\
         severity = \"major\"\nresource = \"PSU ${{psu}}\"\n",
        log.display()
    )
}

fn say(log: &Path, lines: &[&str]) -> Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).open(log)?;
    for line in lines {
        writeln!(file, "{line}")?;
    }
    Ok(())
}

async fn live(world: &mut World, log: &Path, dir: &Path) -> Result<()> {
    let api = world.api().await?;
    say(log, &["PSU 1 failed", "PSU 2 failed", "PSU 3 failed"])?;
    stands(&api, &["PSU 1 major", "PSU 2 major", "PSU 3 major"]).await?;

    alter(world).await?;
    let altered = Instant::now();
    ensure!(active(&api).await?.contains("PSU 9 major"), "nothing was altered");
    stands(&api, &["PSU 1 major", "PSU 2 major", "PSU 3 major"]).await?;
    println!("altered by hand: healed after {:.1} s", altered.elapsed().as_secs_f64());
    for (fault, tickets) in api.tickets_by_fault().await? {
        ensure!(tickets.len() == 1, "{fault:?}: {tickets:?}");
    }

    restored(world, log, dir).await?;
    silent(world).await
}

/// What is active of the device, with severities.
async fn active(api: &Api) -> Result<BTreeSet<String>> {
    let all = api.all("/api/v1/alarms?active=1&limit=100").await?;
    let text = |alarm: &Value, name: &str| alarm[name].as_str().unwrap_or_default().to_owned();
    let faults = all.iter().filter(|alarm| alarm["type"] == "psu-failed");
    Ok(faults.map(|a| format!("{} {}", text(a, "resource"), text(a, "severity"))).collect())
}

async fn stands(api: &Api, expected: &[&str]) -> Result<()> {
    let expected: BTreeSet<String> = expected.iter().map(|text| (*text).to_owned()).collect();
    until("the alarms as they are", PATIENCE, PAUSE, || async {
        let found = active(api).await?;
        if found == expected { Ok(Some(())) } else { anyhow::bail!("{found:?}") }
    })
    .await
}

/// One alarm forgotten, one cleared, one made up, one worse: nobody told the collector so.
async fn alter(world: &World) -> Result<()> {
    let url = format!("sqlite://{}", world.data_dir().join("callhome.db").display());
    let mut db = SqliteConnection::connect(&url).await?;
    for sql in [
        "PRAGMA busy_timeout = 20000",
        "CREATE TEMP TABLE made_up AS SELECT * FROM alarms WHERE resource = 'PSU 3'",
        "UPDATE made_up SET alarm_id = '018f0000-0000-7000-8000-00000000dead', resource = 'PSU 9'",
        "BEGIN IMMEDIATE",
        "INSERT INTO alarms SELECT * FROM made_up",
        "DELETE FROM case_alarms WHERE alarm_id IN (SELECT alarm_id FROM alarms WHERE resource = 'PSU 1')",
        "DELETE FROM alarms WHERE resource = 'PSU 1'",
        "UPDATE alarms SET active = 0, cleared_at = raised_at WHERE resource = 'PSU 2'",
        "UPDATE alarms SET severity = 'critical' WHERE resource = 'PSU 3'",
        "COMMIT",
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut db).await.context(sql)?;
    }
    db.close().await?;
    Ok(())
}

/// The collector goes back to a backup: what was raised since is raised again, what was cleared since is
/// cleared, and both sides say what happened.
async fn restored(world: &mut World, log: &Path, dir: &Path) -> Result<()> {
    let file = dir.join("backup.tar").display().to_string();
    world.collector_cli(&["backup", &file]).await?;
    say(log, &["PSU 4 failed", "PSU 1 ok"])?;
    stands(&world.api().await?, &["PSU 2 major", "PSU 3 major", "PSU 4 major"]).await?;
    let collector = world.take_collector().context("no collector")?;
    collector.stop(Duration::from_secs(20)).await?;
    std::fs::rename(world.data_dir(), dir.join("lost"))?;
    world.collector_cli(&["restore", &file]).await?;
    let back = Instant::now();
    world.start_collector().await?;
    let api = world.api().await?;
    stands(&api, &["PSU 2 major", "PSU 3 major", "PSU 4 major"]).await?;
    println!("restored from a backup: healed after {:.1} s", back.elapsed().as_secs_f64());
    let page = api.get(&format!("/api/v1/agents/{AGENT}")).await?;
    let told = page["losses"].as_array().into_iter().flatten();
    ensure!(told.filter(|l| l["reason"] == "collector-restored").count() >= 1, "{page}");
    let status: Value = serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?;
    ensure!(status["outbox"]["store_changes"] == 1, "{status}");
    ensure!(silences(&api).await?.is_empty(), "a collector that was away called its agent silent");
    Ok(())
}

async fn silences(api: &Api) -> Result<Vec<Value>> {
    let mut all = api.all_tickets().await?;
    let key = |t: &Value| t["title"]["key"].as_str().unwrap_or_default().to_owned();
    all.retain(|ticket| key(ticket).starts_with("agent.silent."));
    Ok(all)
}

/// The only silence there is, once it is as wanted.
async fn silence(api: &Api, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    until("the ticket of the silence", PATIENCE, PAUSE, || async {
        let found = silences(api).await?;
        ensure!(found.len() <= 1, "{found:?}");
        Ok(found.into_iter().find(|ticket| wanted(ticket)))
    })
    .await
}

/// Killed: a ticket. Back: cleared. Stopped on purpose: the same ticket, with other words.
async fn silent(world: &mut World) -> Result<()> {
    let api = world.api().await?;
    let over = |ticket: &Value| !ticket["condition_cleared_at"].is_null();
    world.take_agent().context("no agent")?.kill9().await?;
    let killed = Instant::now();
    let opened = silence(&api, |ticket| !over(ticket)).await?;
    println!("killed: {} after {:.1} s", opened["title"], killed.elapsed().as_secs_f64());
    ensure!(opened["title"]["key"] == "agent.silent.lost", "{opened}");
    ensure!(opened["title"]["arguments"]["last_alarms"] == "3", "{opened}");
    ensure!(opened["priority"] == "p2", "{opened}");
    world.start_agent().await?;
    let cleared = silence(&api, over).await?;
    ensure!(cleared["number"] == opened["number"] && cleared["state"] == "recorded", "{cleared}");

    let agent = world.take_agent().context("no agent")?;
    agent.stop(Duration::from_secs(20)).await?;
    let again = silence(&api, |ticket| !over(ticket)).await?;
    ensure!(again["recurrences"] == 1, "{again}");
    let number = again["number"].as_str().unwrap_or_default();
    let detail = api.get(&format!("/api/v1/tickets/{number}")).await?;
    let lives = detail["alarms"].as_array().cloned().unwrap_or_default();
    let keys: BTreeSet<&str> = lives.iter().filter_map(|a| a["message"]["key"].as_str()).collect();
    ensure!(keys == BTreeSet::from(["agent.silent.lost", "agent.silent.stopped"]), "{detail}");
    world.start_agent().await?;
    silence(&api, over).await?;
    println!("stopped and started: {number}, {} silences in one ticket", lives.len());
    // None of it has touched the faults.
    stands(&api, &["PSU 2 major", "PSU 3 major", "PSU 4 major"]).await
}
