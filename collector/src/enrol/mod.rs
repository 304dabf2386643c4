//! Certificates: the CA, one-time tokens, EST (RFC 7030).
//!
//! [`authority`] signs, [`cas`] are all CAs and the exchange of one, [`token`] makes one-time tokens,
//! [`issue`] turns a token (or the present certificate) and a request into a certificate in one
//! transaction, [`est`] is its HTTP side. [`visitor`] says at the HTTPS door which agent it is, and
//! keeps one whose certificate has ended to what it may. [`keeper`] renews what ends and tells the
//! servers who may come in.

pub mod authority;
pub mod cas;
pub mod csr;
pub mod est;
pub mod files;
pub mod issue;
pub mod keeper;
pub mod pkcs7;
pub mod rotation;
pub mod token;
pub mod visitor;

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
    /// The CA's key is not here.
    #[error("the key of the CA is not here: this collector verifies certificates and issues none")]
    NoCaKey,
    /// The CA's key is not here, and no server certificate is given.
    #[error(
        "the key of the CA is not here, so the servers' certificate must be given: set \
         certificates.server_certificate_file and certificates.server_key_file"
    )]
    NoServer,
    /// The servers' certificate and key do not belong together.
    #[error("the servers' key is not the key of their certificate")]
    NoPair,
    /// A step of exchanging the CA cannot be done now.
    #[error("{0}")]
    Rotation(String),
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
