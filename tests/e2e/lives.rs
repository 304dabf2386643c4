//! One open ticket per fault: recurrences and clears attach to it, a person closes it, the next raise
//! after that opens a new one. With the real snmpd (v3), a scheduled console command and a log.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::api::Api;
use callhome_tests::harness::fleet::{COMMAND, Fault, Fleet, Kind, Plan, unmount_leftovers};
use callhome_tests::harness::logs::Rotation;
use callhome_tests::harness::until;
use callhome_tests::harness::world::{Broker, Ports, World};
use serde_json::{Value, json};

const SMALL: Plan = Plan { array_disks: 4, snmpd_files: 2, host_disks: 1, poll_s: 1 };
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lives_on_sqlite() -> Result<()> {
    lives("").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lives_on_postgresql() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(server) = crate::postgres::Server::start(dir.path()).await? else {
        println!("SKIPPED: PostgreSQL's server programs are not installed");
        return Ok(());
    };
    let lived = lives(&format!("[database]\nurl = \"{}\"\n", server.url)).await;
    server.stop().await?;
    lived
}

async fn lives(database: &str) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut fleet = Fleet::start(&dir.path().join("fleet"), SMALL).await?;
    let ports = Ports::free()?;
    let mut world =
        World::create_with(&dir.path().join("world"), Broker::Embedded, ports, database).await?;
    world.enrol(&fleet.agent_toml()?).await?;
    world.start_agent().await?;
    world.agent_ready().await?;
    let api = world.api().await?;
    let lived = every_kind(&mut fleet, &api).await;
    let answered = scheduled_command(&fleet, &api).await;
    let ends = clean_end(&mut fleet, &api).await;
    world.stop().await?;
    fleet.stop().await?;
    unmount_leftovers(&dir.path().join("fleet"));
    lived?;
    answered?;
    ends
}

async fn ticket(api: &Api, fault: &Fault, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    until("the ticket as expected", PATIENCE, PAUSE, || async {
        let by_fault = api.tickets_by_fault().await?;
        let key = (fault.device.to_owned(), fault.resource.clone());
        let found = by_fault.get(&key).cloned().unwrap_or_default();
        ensure!(found.len() <= 1, "{} tickets for {key:?}", found.len());
        Ok(found.into_iter().find(|t| wanted(t)))
    })
    .await
    .with_context(|| format!("{}/{}", fault.device, fault.resource))
}

/// raise → clear → raise: one ticket, marked "condition cleared" in between, one recurrence.
async fn every_kind(fleet: &mut Fleet, api: &Api) -> Result<()> {
    for kind in fleet.kinds() {
        let fault = fleet.inject(kind, 1)?;
        let first = ticket(api, &fault, |_| true).await?;
        fleet.mend(kind, 1)?;
        let cleared = ticket(api, &fault, |t| !t["condition_cleared_at"].is_null()).await?;
        ensure!(cleared["state"] == "recorded", "a clear must not close: {cleared}");
        if kind == Kind::Log {
            fleet.rotate_log(Rotation::Rename)?;
        }
        fleet.inject(kind, 1)?;
        let again = ticket(api, &fault, |t| t["recurrences"] == 1).await?;
        ensure!(again["number"] == first["number"], "another ticket: {again}");
        ensure!(again["condition_cleared_at"].is_null(), "still marked cleared: {again}");
        let number = first["number"].as_str().unwrap_or_default();
        let detail = api.get(&format!("/api/v1/tickets/{number}")).await?;
        let lives = detail["alarms"].as_array().map_or(0, Vec::len);
        let evidence = detail["evidence"].as_array().map_or(0, Vec::len);
        let steps: Vec<&str> = detail["timeline"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|e| e["what"].as_str())
            .collect();
        println!("{kind}: {number}, {lives} alarm lives, {evidence} pieces of evidence, {steps:?}");
        ensure!(lives == 2 && evidence >= 2, "{detail}");
        if kind == Kind::Log {
            let text = detail["evidence"][0]["text"].as_str().unwrap_or_default();
            ensure!(text.contains("I/O error on sd1"), "the evidence is not readable: {detail}");
        }
    }
    Ok(())
}

async fn scheduled_command(fleet: &Fleet, api: &Api) -> Result<()> {
    fleet.console.set_answer(COMMAND, "PSU 1   ok\nPSU 2   FAILED\nFAN 1   ok");
    let fault = Fault { kind: Kind::Console, device: "switch-1", resource: "PSU 2".into(), at: 0 };
    let opened = ticket(api, &fault, |_| true).await?;
    ensure!(opened["severity"] == "critical", "{opened}");
    fleet.console.set_answer(COMMAND, "PSU 1   ok\nPSU 2   ok\nFAN 1   ok");
    ticket(api, &fault, |t| !t["condition_cleared_at"].is_null()).await?;
    println!("scheduled command: {} raised and cleared by the answers", opened["number"]);
    Ok(())
}

/// A person takes, resolves and closes; the next raise opens a new ticket.
async fn clean_end(fleet: &mut Fleet, api: &Api) -> Result<()> {
    let fault = fleet.inject(Kind::Log, 9)?;
    let mut present = ticket(api, &fault, |_| true).await?;
    let number = present["number"].as_str().unwrap_or_default().to_owned();
    let stale = api
        .post(
            &format!("/api/v1/tickets/{number}/transitions"),
            &json!({"to": "in_diagnosis", "version": 999_999}),
        )
        .await;
    ensure!(stale.is_err_and(|e| e.to_string().contains("409")), "a stale version was accepted");
    let report = json!({"cause": "worn", "fix": "disk replaced", "category": "a"});
    for to in ["in_diagnosis", "resolved", "verified", "confirmed", "closed"] {
        let mut body = json!({"to": to, "version": present["version"], "comment": "disk replaced"});
        if to == "closed" {
            body["closing"] = report.clone();
        }
        api.post(&format!("/api/v1/tickets/{number}/transitions"), &body).await?;
        present = ticket(api, &fault, |t| t["state"] == to).await?;
    }
    fleet.mend(Kind::Log, 9)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    fleet.inject(Kind::Log, 9)?;
    let two = until("a second ticket", PATIENCE, PAUSE, || async {
        let by_fault = api.tickets_by_fault().await?;
        let found =
            by_fault.get(&(fault.device.to_owned(), fault.resource.clone())).map_or(0, Vec::len);
        Ok((found == 2).then_some(found))
    })
    .await?;
    println!("closed by a person, raised again: {two} tickets");
    Ok(())
}
