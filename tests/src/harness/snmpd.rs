//! Debian's `snmpd` with a configuration of its own: v2c and v3, and files whose size is a fault
//! (UCD-SNMP-MIB `fileTable`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::Process;

/// net-snmp takes at most this many `file` lines.
pub const MAX_FILES: usize = 20;
/// Above this a watched file is a fault, kilobytes.
pub const LIMIT_KB: u64 = 64;
/// The v3 user.
pub const USER: &str = "callhome";
/// Its authentication password (SHA-256).
pub const AUTH_PASSWORD: &str = "auth-pass-4711";
/// Its privacy password (AES-128).
pub const PRIV_PASSWORD: &str = "priv-pass-0815";

/// A running snmpd.
pub struct Snmpd {
    /// UDP port on 127.0.0.1.
    pub port: u16,
    process: Process,
    dir: PathBuf,
    files: usize,
}

/// Where Debian puts it; `None` where it is not installed.
pub fn program() -> Option<PathBuf> {
    ["/usr/sbin/snmpd", "/usr/bin/snmpd"].iter().map(PathBuf::from).find(|p| p.is_file())
}

impl Snmpd {
    /// Starts it in `dir`, watching `files` files.
    pub async fn start(dir: &Path, files: usize) -> Result<Self> {
        let program = program().context("snmpd is not installed")?;
        std::fs::create_dir_all(dir)?;
        let port = super::free_udp_port()?;
        // The machine's own load is no fault of ours, however busy it is: its limit is out of reach.
        let mut conf = format!(
            "agentaddress udp:127.0.0.1:{port}\nload 10000 10000 10000\nrocommunity public 127.0.0.1\n\
             createUser {USER} SHA-256 {AUTH_PASSWORD} AES {PRIV_PASSWORD}\nrouser {USER} priv\n\
             sysName demo-server\nsysLocation rack 7\n"
        );
        for n in 1..=files.min(MAX_FILES) {
            let path = watched(dir, n);
            std::fs::write(&path, b"")?;
            conf.push_str(&format!("file {} {LIMIT_KB}\n", path.display()));
        }
        let conf_path = dir.join("snmpd.conf");
        std::fs::write(&conf_path, conf)?;
        let persistent = dir.join("persistent");
        std::fs::create_dir_all(&persistent)?;
        let args = ["-f", "-Le", "-C", "-c", &conf_path.display().to_string()].map(String::from);
        let envs = [("SNMP_PERSISTENT_DIR", persistent.display().to_string())];
        let envs: Vec<(&str, &str)> = envs.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let process =
            Process::start("snmpd", &program, &args, &envs, &dir.join("snmpd.log")).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(Snmpd { port, process, dir: dir.to_owned(), files: files.min(MAX_FILES) })
    }

    /// Makes file `n` (from 1) too large, or small again.
    pub fn set_fault(&self, n: usize, faulty: bool) -> Result<()> {
        let size = if faulty { (LIMIT_KB + 64) * 1024 } else { 0 };
        let file = std::fs::OpenOptions::new().write(true).open(watched(&self.dir, n))?;
        file.set_len(size)?;
        Ok(())
    }

    /// The resource name that file `n` has in alarms.
    pub fn resource(&self, n: usize) -> String {
        format!("file {}", watched(&self.dir, n).display())
    }

    /// Number of watched files.
    pub fn files(&self) -> usize {
        self.files
    }

    /// Stops it for a while, or lets it go on.
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Ends it.
    pub async fn stop(self) -> Result<()> {
        self.process.kill9().await.map(drop)
    }
}

fn watched(dir: &Path, n: usize) -> PathBuf {
    dir.join(format!("spool-{n:02}"))
}
