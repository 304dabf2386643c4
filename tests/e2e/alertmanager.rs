//! A real Alertmanager as a source of alarms: what fires is a ticket, what is resolved clears it, and nothing is
//! lost while the collector is away.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_shared::time::Time;
use callhome_shared::tls;
use callhome_tests::harness::world::{Broker, Ports, READER, World};
use callhome_tests::harness::{free_port, until};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(250);

fn program() -> Option<&'static Path> {
    ["/usr/bin/prometheus-alertmanager", "/usr/bin/alertmanager"]
        .map(Path::new)
        .into_iter()
        .find(|path| path.is_file())
}

/// Alertmanager with a group a second, which brings everything to the collector.
fn start(program: &Path, dir: &Path, world: &World, token: &Path, port: u16) -> Result<Child> {
    let config = format!(
        "route: {{receiver: callhome, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers:\n- name: callhome\n  webhook_configs:\n  - url: {}/api/v1/alertmanager\n    send_resolved: true\n    \
         http_config:\n      authorization: {{type: Bearer, credentials_file: {}}}\n      tls_config: {{ca_file: {}}}\n",
        world.url(),
        token.display(),
        world.ca().display(),
    );
    let file = dir.join("alertmanager.yml");
    std::fs::write(&file, config)?;
    let log = std::fs::File::create(dir.join("alertmanager.log"))?;
    let child = Command::new(program)
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.path={}", dir.join("am").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

/// What Prometheus would say.
async fn say(
    client: &reqwest::Client,
    port: u16,
    disks: &[&str],
    ends: Option<Time>,
) -> Result<()> {
    let one = |disk: &&str| {
        let mut alert = json!({
            "labels": { "alertname": "DiskFailing", "instance": "sto-1:9100", "device": disk,
                "severity": "critical", "site": "SH-01" },
            "annotations": { "description": format!("磁盘 {disk} 即将失效") },
            "generatorURL": "http://prometheus.example/graph",
        });
        if let Some(ends) = ends {
            alert["endsAt"] = json!(ends);
        }
        alert
    };
    let alerts: Vec<Value> = disks.iter().map(one).collect();
    let url = format!("http://127.0.0.1:{port}/api/v2/alerts");
    let request = client.post(url).header("content-type", "application/json");
    let answer = request.body(json!(alerts).to_string()).send().await?;
    ensure!(answer.status() == 200, "{}: {}", answer.status(), answer.text().await?);
    Ok(())
}

/// The list shows that the token was used; once it is ended it brings nothing.
async fn an_ended_token_brings_nothing(
    world: &World,
    client: &reqwest::Client,
    port: u16,
    dir: &Path,
) -> Result<()> {
    let list = world.collector_cli(&["token", "api", "list", "--json"]).await?;
    let list: Value = serde_json::from_str(&list)?;
    ensure!(list[0]["state"] == "good" && list[0]["last_used_at"].is_string(), "{list}");
    let id = list[0]["id"].as_str().context("no id")?;
    world.collector_cli(&["token", "api", "revoke", id]).await?;
    say(client, port, &["sdc"], None).await?;
    let log = dir.join("alertmanager.log");
    until("Alertmanager's word of the refusal", PATIENCE, PAUSE, || async {
        Ok(std::fs::read_to_string(&log)?.contains("401").then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fires_in_alertmanager_is_a_ticket_and_its_end_clears_it() -> Result<()> {
    let Some(program) = program() else {
        println!("SKIPPED: Alertmanager is not installed (make deps-test)");
        return Ok(());
    };
    let dir = tempfile::tempdir()?;
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    let token = dir.path().join("token");
    let made = world
        .collector_cli(&[
            "token",
            "api",
            "create",
            "alertmanager",
            "--scope",
            "alarms:write",
            "--site",
            "SH-01",
            "--owner",
            READER,
            "--out",
            &token.display().to_string(),
        ])
        .await?;
    ensure!(made.contains("good until"), "{made}");
    let port = free_port()?;
    let _alertmanager = start(program, dir.path(), &world, &token, port)?;
    // Plain HTTP; a client must be able to speak TLS all the same.
    let roots = tls::read_certificates(&std::fs::read(world.ca())?)?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config(&roots, None)?)
        .timeout(Duration::from_secs(10))
        .build()?;
    let ready = format!("http://127.0.0.1:{port}/-/ready");
    until("Alertmanager", PATIENCE, PAUSE, || async {
        Ok((client.get(&ready).send().await?.status() == 200).then_some(()))
    })
    .await?;

    say(&client, port, &["sda"], None).await?;
    let api = world.api().await?;
    let ticket = until("the ticket", PATIENCE, PAUSE, || async {
        Ok(api.all_tickets().await?.into_iter().next())
    })
    .await?;
    ensure!(ticket["device"]["name"] == "sto-1" && ticket["resource"] == "sda", "{ticket}");
    ensure!(ticket["severity"] == "critical" && ticket["site"] == "SH-01", "{ticket}");
    ensure!(ticket["text"] == "磁盘 sda 即将失效", "{ticket}");

    // The collector is killed; meanwhile a second disk fails. Alertmanager tells it when it is back.
    world.take_collector().context("no collector")?.kill9().await?;
    say(&client, port, &["sda", "sdb"], None).await?;
    world.start_collector().await?;
    let api = world.api().await?;
    until("the second ticket", PATIENCE, PAUSE, || async {
        Ok((api.all_tickets().await?.len() == 2).then_some(()))
    })
    .await?;

    say(&client, port, &["sda", "sdb"], Some(Time::now())).await?;
    let tickets = until("both conditions cleared", PATIENCE, PAUSE, || async {
        let all = api.all_tickets().await?;
        Ok(all.iter().all(|t| !t["condition_cleared_at"].is_null()).then_some(all))
    })
    .await?;
    ensure!(tickets.len() == 2, "{tickets:?}");
    let alarms = api.all("/api/v1/alarms?limit=200").await?;
    ensure!(alarms.len() == 2 && alarms.iter().all(|a| a["active"] == false), "{alarms:?}");

    an_ended_token_brings_nothing(&world, &client, port, dir.path()).await?;
    ensure!(api.all_tickets().await?.len() == 2);
    Ok(())
}
