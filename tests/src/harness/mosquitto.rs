//! mosquitto with the configuration that is shipped (`docs/examples/mosquitto`), moved to a test's folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{is_root, workspace_root};

/// Where the plugin may be; Debian's folder depends on the architecture.
pub fn plugin() -> Option<PathBuf> {
    ["x86_64-linux-gnu", "aarch64-linux-gnu"]
        .iter()
        .map(|arch| PathBuf::from(format!("/usr/lib/{arch}/mosquitto_dynamic_security.so")))
        .find(|path| path.is_file())
}

/// Writes `mosquitto.conf` and the plugin's first file into `dir`. Every path of the shipped file
/// must be one that is replaced: a test must not read this machine's `/etc`.
pub fn write_shipped(dir: &Path, data_dir: &Path, port: u16) -> Result<()> {
    let examples = workspace_root().join("docs/examples/mosquitto");
    let conf = std::fs::read_to_string(examples.join("mosquitto.conf"))?;
    let plugin = plugin().context("mosquitto's dynamic security plugin is not installed")?;
    let first = dir.join("dynamic-security.json");
    let moved = [
        ("/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so", plugin),
        ("/var/lib/mosquitto/dynamic-security.json", first.clone()),
        ("/etc/mosquitto/callhome/ca.pem", data_dir.join("ca/ca.pem")),
        ("/etc/mosquitto/callhome/server.pem", data_dir.join("tls/server.pem")),
        ("/etc/mosquitto/callhome/server.key", data_dir.join("tls/server.key")),
        ("/etc/mosquitto/callhome/crl.pem", data_dir.join("tls/crl.pem")),
    ];
    let mut text = conf.replace("listener 8883", &format!("listener {port} 127.0.0.1"));
    for (from, to) in moved {
        ensure!(text.contains(from), "{from} is not in the shipped mosquitto.conf");
        text = text.replace(from, &to.display().to_string());
    }
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        ensure!(!line.contains("/etc/"), "a path that no test replaces: {line}");
    }
    // As root mosquitto would give up its rights and could not read the keys of this test.
    let user = if is_root() { "user root\n" } else { "" };
    std::fs::write(dir.join("mosquitto.conf"), format!("{user}{text}"))?;
    std::fs::copy(examples.join("dynamic-security.json"), first)?;
    Ok(())
}
