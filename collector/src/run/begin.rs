//! What must be there before anything begins: the lock, the listeners, the note of the configuration.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use callhome_shared::time::Time;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::audit::{Deed, Entry};
use crate::enrol::files::TrustFiles;
use crate::settings::{Mqtt, Settings};
use crate::store::{Db, StoreError, audit};

/// A full disk fails many things, in many words: it is said as what it is. The program does not begin
/// then, because it could not record that it did; a service manager starts it again.
pub(super) fn plainly(error: anyhow::Error, data_dir: &Path) -> anyhow::Error {
    let full = error.chain().any(|cause| {
        let file = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let store = cause.downcast_ref::<StoreError>();
        matches!(file, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
            || store.is_some_and(StoreError::is_disk_full)
    });
    if !full {
        return error;
    }
    let place = data_dir.display();
    error.context(format!(
        "the disk is full (that of {place} or of the database): make room there. Nothing is lost: what \
         the agents tell stays with them until it is stored here"
    ))
}

/// Records with which configuration this start is made, and whether it is another one than before.
pub(super) async fn note_configuration(db: &Db, settings: &Settings) -> Result<(), StoreError> {
    let written = &settings.written;
    let before = audit::last_of(db, Deed::ConfigurationLoaded).await?;
    let before = before.and_then(|row| serde_json::from_str::<Value>(&row.detail).ok());
    let changed = before.map(|detail| detail["sha256"] != written.sha256.as_str());
    let detail = json!({
        "sha256": written.sha256, "changed": changed, "version": env!("CARGO_PKG_VERSION"),
    });
    let deed = Deed::ConfigurationLoaded;
    let entry = Entry::new(Time::now(), "collector", deed, &written.file, detail);
    audit::note(db, &entry).await.map(drop)
}

/// One `serve` per data directory.
pub(super) fn lock(data_dir: &Path) -> anyhow::Result<File> {
    if !TrustFiles::new(data_dir).ca().exists() {
        bail!("{} is not initialised: run `callhome-collector init` first", data_dir.display());
    }
    let path = data_dir.join("serve.lock");
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another `serve` runs on {} already", data_dir.display())
        }
        Err(TryLockError::Error(e)) => Err(e).with_context(|| path.display().to_string()),
    }
}

/// Everything that listens, bound before anything is started.
pub(super) struct Listeners {
    pub(super) https: TcpListener,
    pub(super) mqtt: Option<TcpListener>,
    pub(super) health: Option<TcpListener>,
}

impl Listeners {
    pub(super) async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        async fn on(address: std::net::SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
            TcpListener::bind(address).await.with_context(|| format!("{what}: listen on {address}"))
        }
        let mqtt = match &settings.mqtt {
            Mqtt::Embedded { listen, .. } => Some(on(*listen, "mqtt.listen").await?),
            Mqtt::External { .. } => None,
        };
        let health = match settings.health_listen {
            Some(address) => Some(on(address, "collector.health_listen").await?),
            None => None,
        };
        Ok(Listeners { https: on(settings.https.listen, "https.listen").await?, mqtt, health })
    }
}
