//! Certificates: the CA, one-time tokens, EST (RFC 7030).
//!
//! [`authority`] signs, [`token`] makes one-time tokens, [`issue`] turns a token and a request into
//! a certificate in one transaction, [`est`] is its HTTP side. [`keeper`] renews what ends and tells
//! the servers who may come in.

pub mod authority;
pub mod csr;
pub mod est;
pub mod files;
pub mod issue;
pub mod keeper;
pub mod pkcs7;
pub mod token;

mod attempts;

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

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}
