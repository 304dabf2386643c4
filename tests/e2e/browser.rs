//! The console in a real browser: Chromium drives the real collector; screenshots stay in
//! `tests/artifacts/`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::fleet::{Fleet, Kind, Plan};
use callhome_tests::harness::workspace_root;
use callhome_tests::harness::world::{AGENT, Broker, Ports, World};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn console_in_a_real_browser() -> Result<()> {
    let script = workspace_root().join("tests/browser");
    if !Path::new("/usr/bin/chromium").is_file() || !script.join("node_modules").is_dir() {
        println!("SKIPPED: chromium or tests/browser/node_modules is missing (make deps-test)");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let plan = Plan { array_disks: 4, snmpd_files: 0, host_disks: 0, poll_s: 1 };
    let mut fleet = Fleet::start(&dir.path().join("fleet"), plan).await?;
    let mut world =
        World::create(&dir.path().join("world"), Broker::Embedded, Ports::free()?).await?;
    world.enrol(&fleet.agent_toml()?).await?;
    world.start_agent().await?;
    world.agent_ready().await?;
    fleet.inject(Kind::Array, 1)?;
    fleet.inject(Kind::Log, 1)?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let driven = drive(&script, &world, &mut fleet).await;
    world.stop().await?;
    fleet.stop().await?;
    driven
}

async fn drive(script: &Path, world: &World, fleet: &mut Fleet) -> Result<()> {
    let password = world.dir.join("admin-password");
    std::fs::write(&password, &world.admin_password)?;
    let shots = workspace_root().join("tests/artifacts");
    std::fs::create_dir_all(&shots)?;
    let mut child = tokio::process::Command::new("node")
        .arg(script.join("console.mjs"))
        .args(["--url", &world.url(), "--user", "admin"])
        .arg("--password-file")
        .arg(&password)
        .arg("--shots")
        .arg(&shots)
        .args([
            "--expect-device",
            "array-1",
            "--expect-resource",
            "Disk 2",
            "--expect-agent",
            AGENT,
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .context("start node")?;
    let mut lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
    let talk = async {
        while let Some(line) = lines.next_line().await? {
            println!("browser: {line}");
            if line.contains("READY-FOR-FAULT") {
                fleet.inject(Kind::Array, 2)?;
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(150), talk)
        .await
        .context("the browser test hangs")??;
    let status = child.wait().await?;
    ensure!(status.success(), "the browser test failed with {status}");
    Ok(())
}
