//! Hands a dialed stream to rumqttc, which takes only connections that it makes itself: it connects to
//! a Unix socket of ours, and a task carries the bytes between the two.
//!
//! The socket lies in a directory that only we may enter, has a random name, takes one connection from
//! this very process, and is gone from the file system before a byte passes.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use callhome_shared::websocket::Role;
use callhome_shared::websocket::pump::pump;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Stream;
use crate::link::Failure;

/// For rumqttc to connect; it is in the same process.
const ACCEPT: Duration = Duration::from_secs(10);
/// For the good-bye of TLS.
const GOODBYE: Duration = Duration::from_secs(2);
/// Longest path of a Unix socket on Linux, without its final NUL.
const MAX_PATH: usize = 107;

/// What the carrying task knows about the network's end.
#[derive(Clone, Default)]
pub struct Reason(Arc<Mutex<Option<Failure>>>);

impl Reason {
    /// Why the network failed, if it did and was not asked before.
    pub fn take(&self) -> Option<Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, failure: Failure) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }
}

/// A socket that waits for rumqttc.
pub struct Handoff {
    /// Where rumqttc connects.
    pub path: String,
    /// Why the network failed.
    pub reason: Reason,
    /// Ends the carrying when dropped.
    pub carrier: Carrier,
}

/// The carrying task.
pub struct Carrier(JoinHandle<()>);

impl Drop for Carrier {
    fn drop(&mut self) {
        // A task that is saying good-bye is let: it ends by itself within its limit.
        if !self.0.is_finished() {
            let carrying = self.0.abort_handle();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move {
                    tokio::time::sleep(2 * GOODBYE).await;
                    carrying.abort();
                });
            } else {
                carrying.abort();
            }
        }
    }
}

/// Opens the socket for `stream`; `framed` where MQTT goes in a WebSocket.
pub fn offer(dir: &Path, stream: Stream, framed: bool) -> Result<Handoff, Failure> {
    let failed = |e: io::Error| Failure::Socket(format!("{}: {e}", dir.display()));
    private(dir).map_err(failed)?;
    let name = uuid::Uuid::new_v4().simple().to_string();
    let path = dir.join(name.get(..12).unwrap_or(&name));
    if path.as_os_str().len() > MAX_PATH {
        let text = format!("{}: a socket's path has at most {MAX_PATH} bytes", path.display());
        return Err(Failure::Socket(text));
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    let file = Unlink(path);
    let text = file.0.to_str().ok_or_else(|| Failure::Socket("its path is no UTF-8".into()))?;
    let (path, reason) = (text.to_owned(), Reason::default());
    let why = reason.clone();
    let task = tokio::spawn(async move {
        let accepted = timeout(ACCEPT, accept(&listener)).await;
        drop((listener, file));
        let carried = match accepted {
            Ok(Ok(client)) if framed => pump(stream, client, Role::Client, Vec::new()).await,
            Ok(Ok(client)) => carry(stream, client).await,
            Ok(Err(e)) => Err(e),
            // rumqttc never came: it was given up.
            Err(_) => Ok(()),
        };
        if let Err(e) = carried {
            why.put(Failure::from_stream(&e, Failure::Lost));
        }
    });
    Ok(Handoff { path, reason, carrier: Carrier(task) })
}

/// The directory: made if it is not there, and ours alone.
fn private(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        Ok(()) => return Ok(()),
        Err(_) => {}
    }
    let found = std::fs::symlink_metadata(dir)?;
    if !found.is_dir() {
        return Err(io::Error::other("is no directory"));
    }
    if found.permissions().mode() & 0o777 != 0o700 {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Removes what a crash left. For the start, while nothing is handed over.
pub fn clean(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let _ = std::fs::remove_file(entry.path());
    }
}

/// Removes the socket's name.
struct Unlink(PathBuf);

impl Drop for Unlink {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The first connection, if it is from this process.
async fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
    let (client, _) = listener.accept().await?;
    let peer = client.peer_cred()?;
    let ours = i32::try_from(std::process::id()).ok();
    if peer.uid() != rustix::process::geteuid().as_raw() || peer.pid() != ours {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "another process connected"));
    }
    Ok(client)
}

/// Both ways until either end closes; an error is the network's.
async fn carry(net: Stream, client: UnixStream) -> io::Result<()> {
    let (mut net_read, mut net_write) = tokio::io::split(net);
    let (mut client_read, mut client_write) = client.into_split();
    let ended = tokio::select! {
        down = tokio::io::copy(&mut net_read, &mut client_write) => down,
        up = tokio::io::copy(&mut client_read, &mut net_write) => up,
    };
    let _ = timeout(GOODBYE, net_write.shutdown()).await;
    ended.map(drop)
}
