//! Enrolment: EST (RFC 7030) `simpleenroll` with a one-time token; and [`upkeep`], which renews what was
//! given then for as long as the agent runs.
//!
//! The key is made here and never leaves. The first contact trusts only a server that shows the CA
//! whose fingerprint the token names; everything after it trusts only that CA.

pub mod ending;
pub mod est;
pub mod identity;
pub mod key;
pub mod pair;
pub mod pkcs7;
pub mod trust;
pub mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use callhome_shared::config_error::parse_toml;
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::token::TokenFile;

use est::Way;
use identity::{Enrolment, IdentityFiles};
use key::AgentKey;

use crate::link::Exit;
use crate::link::dial::meter::Meters;
use crate::settings::Proxy;

/// What the caller asks for.
#[derive(Clone, Debug)]
pub struct EnrolRequest {
    /// The collector's HTTPS address; goes before the token file's.
    pub collector: Option<String>,
    /// The token file.
    pub token_file: PathBuf,
    /// Where `identity/` is written.
    pub state_dir: PathBuf,
    /// Put aside an identity that is there already.
    pub replace: bool,
    /// HTTP proxy to go through.
    pub proxy: Option<Arc<Proxy>>,
    /// Is told of each request before it is sent.
    pub exit: Exit,
    /// Counts the bytes.
    pub meters: Meters,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Who we are now.
    pub agent: AgentId,
    /// When the certificate ends.
    pub not_after: Time,
    /// Where the identity is.
    pub directory: PathBuf,
    /// The MQTT address that the token named.
    pub mqtt: String,
    /// Whether the used token file could be removed.
    pub token_removed: bool,
}

/// The step that failed.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The token file.
    #[error("token file: {0}")]
    Token(String),
    /// An identity is there already.
    #[error("{0} holds the identity of agent {1} already; --replace puts it aside")]
    Enrolled(PathBuf, AgentId),
    /// The key or the request cannot be made.
    #[error("key: {0}")]
    Key(String),
    /// Files cannot be written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The collector cannot be reached.
    #[error("{url}: {why}")]
    Connect {
        /// Where to.
        url: String,
        /// Why not.
        why: String,
    },
    /// The collector does not show, or not give, the CA that the token names.
    #[error("CA: {0}")]
    Ca(String),
    /// The collector refuses.
    #[error("the collector refuses ({status}): {why}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// In words.
        why: String,
    },
    /// The answer is no certificate.
    #[error("answer of the collector: {0}")]
    Answer(String),
    /// The certificate is not what was asked for.
    #[error("the certificate received is not ours: {0}")]
    Certificate(String),
}

/// Enrols and writes `identity/`.
pub async fn enrol(request: &EnrolRequest) -> Result<Enrolled, EnrolError> {
    let token = read_token(&request.token_file)?;
    let collector = request.collector.clone().unwrap_or_else(|| token.collector.clone());
    let road = Arc::new(est::road(&collector, request.proxy.clone())?);
    let collector = collector.trim_end_matches('/').to_owned();
    let files = IdentityFiles::new(&request.state_dir);
    if let Some(present) = files.present()
        && !request.replace
    {
        return Err(EnrolError::Enrolled(files.directory(), present));
    }
    let key = AgentKey::generate()?;
    let staged = files.stage(&key)?;
    let csr = key.request(&token.agent)?;

    let way = Way { agent: &token.agent, road, meters: &request.meters, exit: &request.exit };
    let ca = est::ca_certificates(&way, &token.ca_fingerprint).await?;
    let issued = est::simple_enroll(&way, &ca, &token, &est::body(&csr)).await?;
    let chain = identity::check_issued(issued, &key, &token.agent, std::slice::from_ref(&ca))?;
    let not_after = identity::not_after(&chain)?;

    staged.finish(
        &chain,
        &ca,
        &Enrolment {
            agent: token.agent.clone(),
            roads: identity::roads(&token.mqtt, &collector),
            collector,
            mqtt: token.mqtt.clone(),
            root_fingerprint: token.root_fingerprint.clone(),
            enrolled_at: Time::now(),
        },
    )?;
    let token_removed = std::fs::remove_file(&request.token_file).is_ok();
    Ok(Enrolled {
        agent: token.agent,
        not_after,
        directory: files.directory(),
        mqtt: token.mqtt,
        token_removed,
    })
}

fn read_token(path: &Path) -> Result<TokenFile, EnrolError> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| EnrolError::Token(format!("{}: {e}", path.display())))?;
    let token: TokenFile =
        parse_toml(&path.display().to_string(), &text).map_err(|mut problem| {
            // A line of a token file may hold the secret.
            problem.excerpt.clear();
            EnrolError::Token(problem.to_string())
        })?;
    let expired_for_ms = Time::now().since_ms(token.expires_at);
    if expired_for_ms >= 0 {
        return Err(EnrolError::Token(format!(
            "expired at {} (this host's clock says {}); ask for a new one",
            token.expires_at,
            Time::now(),
        )));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_token_file_never_shows_its_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        std::fs::write(&path, "agent = \"a\"\nsecret = \"hush-hush\" x\n").unwrap();
        let error = read_token(&path).unwrap_err().to_string();
        assert!(error.contains(":2:") && !error.contains("hush"), "{error}");
        let old = "agent = \"a\"\ncollector = \"https://c\"\nmqtt = \"mqtts://c\"\n\
                   ca_fingerprint = \"sha256:00\"\nroot_fingerprint = \"sha256:00\"\n\
                   secret = \"hush-hush\"\nexpires_at = \"2020-01-01T00:00:00Z\"\n";
        std::fs::write(&path, old).unwrap();
        let error = read_token(&path).unwrap_err().to_string();
        assert!(error.contains("expired") && !error.contains("hush"), "{error}");
    }
}
