//! Certificates: the CA, one-time tokens, EST (RFC 7030).

pub mod authority;
pub mod files;
pub mod pkcs7;

use std::path::Path;

/// Why trust cannot be set up, read or given.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// A file cannot be read or written.
    #[error("{path}")]
    File {
        /// Which one.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate or a key cannot be made.
    #[error("certificate")]
    Certificate(#[from] rcgen::Error),
    /// A certificate cannot be read.
    #[error(transparent)]
    Tls(#[from] callhome_shared::tls::TlsError),
    /// The CA cannot be used.
    #[error("the CA cannot be used: {0}")]
    BadCa(String),
    /// The system gives no randomness.
    #[error("no randomness: {0}")]
    Random(String),
}

impl EnrolError {
    fn file(path: &Path, source: std::io::Error) -> Self {
        EnrolError::File { path: path.display().to_string(), source }
    }
}
