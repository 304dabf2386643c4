//! The units are hardened as promised: `systemd-analyze security` says how exposed each is (0 to 10).

use anyhow::{Context, Result, ensure};
use callhome_tests::harness::process::run;
use callhome_tests::harness::workspace_root;
use std::path::Path;

/// Unit and the highest exposure that is accepted. The agent needs devices, logs and packets.
const LIMITS: [(&str, f64); 2] =
    [("callhome-collector.service", 2.0), ("callhome-agent.service", 2.5)];

#[tokio::test]
async fn exposure_is_low() -> Result<()> {
    let Some(program) = ["/usr/bin/systemd-analyze", "/bin/systemd-analyze"]
        .iter()
        .map(Path::new)
        .find(|p| p.is_file())
    else {
        println!("SKIPPED: systemd-analyze is not installed");
        return Ok(());
    };
    for (unit, limit) in LIMITS {
        let path = workspace_root().join("systemd").join(unit).display().to_string();
        let out = run(program, &["security", "--offline=true", "--no-pager", &path], None).await?;
        let exposure = overall(&out).with_context(|| format!("no overall level in\n{out}"))?;
        println!("{unit}: exposure {exposure} (limit {limit})");
        ensure!(exposure <= limit, "{unit}: exposure {exposure} is above {limit}\n{out}");
    }
    Ok(())
}

/// `→ Overall exposure level for x.service: 1.8 OK`
fn overall(out: &str) -> Option<f64> {
    let line = out.lines().find(|l| l.contains("Overall exposure level"))?;
    line.rsplit(": ").next()?.split_whitespace().next()?.parse().ok()
}
