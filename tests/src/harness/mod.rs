//! One harness for everything that needs the whole system.

pub mod api;
pub mod console;
pub mod fleet;
pub mod gate;
pub mod identity;
pub mod live;
pub mod logs;
pub mod mosquitto;
pub mod mqtt;
pub mod oracle;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod snmpd;
pub mod stages;
pub mod storm;
pub mod world;

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

/// Where the built programs are: `CALLHOME_BIN_DIR`, else the folder this test was built into.
pub fn program(name: &str) -> Result<PathBuf> {
    let mut tried = Vec::new();
    if let Ok(dir) = std::env::var("CALLHOME_BIN_DIR") {
        let root = workspace_root();
        tried.push(root.join(dir).join(name));
    } else {
        let exe = std::env::current_exe().context("own path")?;
        // Tests live in <profile>/deps, programs in <profile>.
        tried.extend(exe.ancestors().skip(1).take(2).map(|dir| dir.join(name)));
    }
    match tried.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => bail!("{name} is not built (cargo build --workspace --bins); looked at {tried:?}"),
    }
}

/// The workspace's top folder.
pub fn workspace_root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// A TCP port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A UDP port that was free a moment ago.
pub fn free_udp_port() -> Result<u16> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Whether the harness runs as root (mounts and privileged ports are possible).
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Tries `probe` every `every` until it gives something or `limit` is over.
pub async fn until<T, F, Fut>(
    what: &str,
    limit: Duration,
    every: Duration,
    mut probe: F,
) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Option<T>>>,
{
    let start = std::time::Instant::now();
    loop {
        let last_error = match probe().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => None,
            Err(e) => Some(e),
        };
        if start.elapsed() > limit {
            return match last_error {
                Some(e) => Err(e.context(format!("{what}: not within {limit:?}"))),
                None => bail!("{what}: not within {limit:?}"),
            };
        }
        tokio::time::sleep(every).await;
    }
}
