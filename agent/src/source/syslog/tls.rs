//! TLS of the listener (RFC 5425): certificate, key and client CA from files, read again when they
//! change.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use callhome_shared::tls::{ClientAuth, Identity, read_certificates, server_config};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use super::TlsFiles;

/// Between two looks whether the files have changed.
const LOOK: Duration = Duration::from_secs(10);

/// The files with what was read from them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tls(Arc<Shared>);

struct Shared {
    files: TlsFiles,
    loaded: Mutex<Option<Loaded>>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    changed: Vec<Option<SystemTime>>,
    looked: Instant,
}

impl Tls {
    pub(super) fn new(files: TlsFiles) -> Self {
        Tls(Arc::new(Shared { files, loaded: Mutex::new(None) }))
    }

    /// Reads the files; the error says which cannot be used.
    pub(super) fn check(&self) -> Result<(), String> {
        self.config().map(|_| ())
    }

    /// The handshake.
    pub(super) async fn accept(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
        let acceptor = TlsAcceptor::from(self.config()?);
        acceptor.accept(stream).await.map_err(|e| e.to_string())
    }

    /// What the files say now; while new ones cannot be used, what they said before.
    fn config(&self) -> Result<Arc<ServerConfig>, String> {
        let mut loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = loaded.as_ref()
            && loaded.looked.elapsed() < LOOK
        {
            return Ok(loaded.config.clone());
        }
        let changed = changed(&self.0.files);
        if let Some(loaded) = loaded.as_mut()
            && loaded.changed == changed
        {
            loaded.looked = Instant::now();
            return Ok(loaded.config.clone());
        }
        let looked = Instant::now();
        match (read(&self.0.files), loaded.as_mut()) {
            (Ok(config), _) => {
                *loaded = Some(Loaded { config: config.clone(), changed, looked });
                Ok(config)
            }
            (Err(error), Some(loaded)) => {
                tracing::warn!(error, "the listener's new certificate cannot be used");
                (loaded.changed, loaded.looked) = (changed, looked);
                Ok(loaded.config.clone())
            }
            (Err(error), None) => Err(error),
        }
    }
}

fn changed(files: &TlsFiles) -> Vec<Option<SystemTime>> {
    let paths = [Some(&files.certificate), Some(&files.key), files.client_ca.as_ref()];
    let paths = paths.into_iter().flatten();
    paths.map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok()).collect()
}

/// Reads the files of a listener; the error says which cannot be used.
pub(super) fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, String> {
    let bytes = |path: &std::path::Path| {
        std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
    };
    let (chain, key) = (bytes(&files.certificate)?, bytes(&files.key)?);
    let identity = Identity::from_pem(&chain, &key)
        .map_err(|e| format!("{}: {e}", files.certificate.display()))?;
    if !identity.is_pair() {
        let (key, chain) = (files.key.display(), files.certificate.display());
        return Err(format!("{key} is not the key of {chain}"));
    }
    let clients = match &files.client_ca {
        None => ClientAuth::None,
        Some(path) => {
            let roots =
                read_certificates(&bytes(path)?).map_err(|e| format!("{}: {e}", path.display()))?;
            ClientAuth::Required(roots, Vec::new())
        }
    };
    server_config(identity, clients).map(Arc::new).map_err(|e| e.to_string())
}
