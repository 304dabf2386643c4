//! What administrators do every day, through the command lines.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::fleet::{Fleet, Plan};
use callhome_tests::harness::process::run_any;
use callhome_tests::harness::world::{AGENT, Broker, Ports, World, plain_get};
use callhome_tests::harness::{program, until};
use serde_json::Value;

const SMALL: Plan = Plan { array_disks: 4, snmpd_files: 2, host_disks: 0, poll_s: 1 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyday_commands() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let fleet = Fleet::start(&dir.path().join("fleet"), SMALL).await?;
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    world.enrol(&fleet.agent_toml()?).await?;
    let checked = world.agent_cli(&["check"]).await?;
    println!("check: {}", checked.trim());
    world.collector_cli(&["check"]).await?;
    world.start_agent().await?;
    world.agent_ready().await?;

    test_alarm(&world).await?;
    status(&world).await?;
    metrics(&world).await?;
    lists(&world).await?;
    backup(&world, dir.path()).await?;
    revoke(&world).await?;
    // A revoked agent keeps running and says so; the collector stops cleanly all the same.
    world.stop().await?;
    fleet.stop().await
}

async fn test_alarm(world: &World) -> Result<()> {
    let started = Instant::now();
    let out = world.agent_cli(&["test", "--timeout", "30"]).await?;
    println!("test: {} (whole command {:?})", out.trim(), started.elapsed());
    let number =
        out.split_whitespace().find(|w| w.starts_with("T-")).context("no ticket number")?;
    let shown =
        world.collector_cli(&["ticket", "show", number.trim_end_matches([',', '.', ':'])]).await?;
    ensure!(shown.contains("callhome-test"), "ticket show: {shown}");
    Ok(())
}

async fn status(world: &World) -> Result<()> {
    // The first polls need a moment.
    let status =
        until("all sources ok", Duration::from_secs(15), Duration::from_millis(300), || async {
            let status: Value =
                serde_json::from_str(&world.agent_cli(&["status", "--json"]).await?)?;
            let sources = status["sources"].as_array().cloned().unwrap_or_default();
            let ok = !sources.is_empty() && sources.iter().all(|s| s["state"] == "ok");
            Ok(ok.then_some(status))
        })
        .await?;
    println!("status: {status}");
    let text = world.agent_cli(&["status"]).await?;
    for part in ["array-1-snmp", "switch-1-console", "messages"] {
        ensure!(text.contains(part), "status does not name {part}:\n{text}");
    }
    Ok(())
}

async fn metrics(world: &World) -> Result<()> {
    for (port, prefix) in [
        (world.ports.agent_health, "callhome_agent_"),
        (world.ports.collector_health, "callhome_collector_"),
    ] {
        plain_get(port, "/healthz").await?;
        plain_get(port, "/readyz").await?;
        let metrics = plain_get(port, "/metrics").await?;
        let names = metrics.lines().filter(|l| l.starts_with(prefix)).count();
        ensure!(names > 5, "only {names} samples of {prefix}");
        ensure!(metrics.trim_end().ends_with("# EOF"), "no OpenMetrics end mark");
    }
    Ok(())
}

async fn lists(world: &World) -> Result<()> {
    let agents = world.collector_cli(&["agent", "list"]).await?;
    ensure!(agents.contains(AGENT), "agent list: {agents}");
    let tickets: Value =
        serde_json::from_str(&world.collector_cli(&["ticket", "list", "--json"]).await?)?;
    println!("ticket list --json: {tickets}");
    Ok(())
}

async fn backup(world: &World, dir: &std::path::Path) -> Result<()> {
    let file = dir.join("backup.tar").display().to_string();
    world.collector_cli(&["backup", &file]).await?;
    let config = dir.join("restored.toml");
    let text = std::fs::read_to_string(world.collector_config())?;
    let restored = dir.join("restored");
    let text =
        text.replace(&world.data_dir().display().to_string(), &restored.display().to_string());
    std::fs::write(&config, text)?;
    let config = config.display().to_string();
    let program = program("callhome-collector")?;
    let (status, out, err) =
        run_any(&program, &["--config", &config, "restore", &file], None).await?;
    ensure!(status.success(), "restore: {out}{err}");
    let (status, out, err) =
        run_any(&program, &["--config", &config, "ticket", "list", "--json"], None).await?;
    ensure!(status.success() && out.contains("T-"), "the restored data has no ticket: {out}{err}");
    let (status, _, _) = run_any(&program, &["--config", &config, "restore", &file], None).await?;
    ensure!(!status.success(), "restore wrote over existing data");
    Ok(())
}

async fn revoke(world: &World) -> Result<()> {
    let started = Instant::now();
    world.collector_cli(&["agent", "revoke", AGENT]).await?;
    let port = world.ports.agent_health;
    until(
        "the agent to be cut off",
        Duration::from_secs(70),
        Duration::from_millis(500),
        || async { Ok(plain_get(port, "/readyz").await.is_err().then_some(())) },
    )
    .await?;
    println!("revocation took effect after {:?}", started.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_configuration_is_explained() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for (name, program_name, text, wanted) in [
        (
            "agent.toml",
            "callhome-agent",
            "[agent]\nstate_dir = \"/tmp/x\"\n\n[[logfile]]\nname = \"l\"\ndevise = \"d\"\npath = \"/x\"\n",
            ["agent.toml:6:1", "device"],
        ),
        (
            "agent2.toml",
            "callhome-agent",
            "[[device]]\nname = \"array-1\"\n\n[[snmp]]\nname = \"s\"\ndevice = \"aray-1\"\naddress = \"127.0.0.1:161\"\nversion = \"2c\"\ncommunity = \"x\"\n",
            ["agent2.toml:6:", "array-1"],
        ),
        (
            "collector.toml",
            "callhome-collector",
            "[collector]\nname = \"main\"\n\n[mqtt]\nmode = \"embeded\"\n",
            ["collector.toml:5:", "embedded"],
        ),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, text)?;
        let path = path.display().to_string();
        let (status, out, err) =
            run_any(&program(program_name)?, &["--config", &path, "check"], None).await?;
        let said = format!("{out}{err}");
        println!("{said}");
        ensure!(status.code() == Some(78), "{name}: exit {status}, wanted 78\n{said}");
        for part in wanted {
            ensure!(said.contains(part), "{name}: {part:?} is not in\n{said}");
        }
    }
    Ok(())
}
