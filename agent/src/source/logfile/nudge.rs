//! Says when a log was written to, so that a fault does not wait for the next look. Only a nudge:
//! where there is no inotify (a network file system, the user's limit reached) looking must do.

use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use super::siblings::place;

const EVENT_BYTES: usize = 4096;

/// Watches the log's folder for changes of the log.
#[derive(Debug)]
pub(super) struct Nudge {
    /// None where the folder cannot be watched.
    events: Option<AsyncFd<OwnedFd>>,
    name: OsString,
}

impl Nudge {
    pub(super) fn new(log: &Path) -> Self {
        let (folder, name) = place(log);
        let events = watch(&folder).inspect_err(|error| {
            tracing::debug!(path = %folder.display(), %error, "folder not watched");
        });
        Nudge { events: events.ok(), name }
    }

    pub(super) fn is_watching(&self) -> bool {
        self.events.is_some()
    }

    /// Returns once the log was written to, made, renamed or removed since the last call.
    pub(super) async fn changed(&self) {
        let Some(events) = &self.events else { return std::future::pending().await };
        loop {
            let Ok(mut ready) = events.readable().await else {
                return std::future::pending().await;
            };
            if self.take(events.get_ref()) {
                return;
            }
            ready.clear_ready();
        }
    }

    /// Empties the queue; whether it held something about the log.
    fn take(&self, events: &OwnedFd) -> bool {
        let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
        let mut reader = inotify::Reader::new(events, &mut buffer);
        let mut found = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    let ours =
                        event.file_name().is_some_and(|n| n.to_bytes() == self.name.as_bytes());
                    found |= ours || event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                }
                Err(Errno::INTR) => {}
                Err(_) => return found,
            }
        }
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for the sake of types that may close their descriptor; an OwnedFd does not"
)]
fn watch(folder: &Path) -> std::io::Result<AsyncFd<OwnedFd>> {
    let events = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let what = WatchFlags::MODIFY
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVE
        | WatchFlags::ONLYDIR;
    inotify::add_watch(&events, folder, what)?;
    AsyncFd::new(events)
}
