//! The console in a real browser: Chromium drives the real collector; screenshots stay in
//! `tests/artifacts/`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use callhome_shared::bundle::{self, Approved, Content, Declaration, How, Redacted, Subject};
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use callhome_shared::tls;
use callhome_tests::harness::fleet::{Fleet, Kind, Plan};
use callhome_tests::harness::world::{AGENT, Broker, Ports, World};
use callhome_tests::harness::{identity, workspace_root};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader};

/// The name of the bundle that is uploaded.
const BUNDLE: &str = "阵列日志 2026.tar.gz";

/// Uploads a bundle for that ticket as the agent, in two chunks.
async fn upload(world: &World, number: &str) -> Result<()> {
    let own = identity::read(&world.state_dir().join("identity"))?;
    let tls = tls::client_config(&identity::roots(world)?, Some(own))?;
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).build()?;
    let bytes: Vec<u8> = (0..1_500_000_u32).map(|n| (n % 251) as u8).collect();
    let sha256: [u8; 32] = Sha256::digest(&bytes).into();
    let content = |name: &str, size, redacted| Content { name: name.to_owned(), size, redacted };
    let said = Declaration {
        id: new_uuid(),
        subject: Subject { ticket: Some(number.to_owned()), alarm_id: None },
        name: BUNDLE.to_owned(),
        size: bytes.len() as u64,
        sha256: bundle::hex(&sha256),
        created_at: Time::now(),
        note: Some("控制器 A 重启前后的日志".to_owned()),
        contents: vec![
            content("var/log/messages", 1_200_000, Redacted::Replaced(17)),
            content("core.bin", 300_000, Redacted::Binary),
        ],
        approved: Approved { by: "王工".to_owned(), at: Time::now(), how: How::Person },
    };
    let base = format!("{}{}", world.url(), bundle::PATH);
    let declared = client.post(&base).header("content-type", "application/json");
    let declared = declared.body(serde_json::to_vec(&said)?).send().await?;
    ensure!(declared.status() == 201, "declaration: {}", declared.text().await?);
    let upload = format!("{base}/{}", said.id);
    for (n, chunk) in bytes.chunks(bundle::MAX_CHUNK).enumerate() {
        let sent = client
            .patch(&upload)
            .header("content-type", bundle::CHUNK_TYPE)
            .header(bundle::UPLOAD_OFFSET, n * bundle::MAX_CHUNK)
            .header(bundle::CONTENT_DIGEST, bundle::content_digest(chunk))
            .body(chunk.to_vec())
            .send()
            .await?;
        ensure!(sent.status() == 204, "chunk {n}: {}", sent.text().await?);
    }
    let done = client.post(format!("{upload}/complete")).send().await?;
    ensure!(done.status() == 200, "complete: {}", done.text().await?);
    let verified = world.collector_cli(&["bundle", "verify"]).await?;
    println!("bundle verify: {}", verified.trim());
    ensure!(verified.contains("1 bundles are as declared"), "{verified}");
    Ok(())
}

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
            "--expect-bundle",
            BUNDLE,
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
            if let Some(number) = line.strip_prefix("READY-FOR-BUNDLE ") {
                upload(world, number.trim()).await?;
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(400), talk)
        .await
        .context("the browser test hangs")??;
    let status = child.wait().await?;
    ensure!(status.success(), "the browser test failed with {status}");
    Ok(())
}
