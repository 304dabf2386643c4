//! One-time tokens: made by an administrator, used up by the enrolment.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callhome_shared::heartbeat::hex;
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::tls;
use callhome_shared::token::TokenFile;
use serde_json::json;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::files::{self, TrustFiles};
use super::{EnrolError, authority};
use crate::audit::{Deed, Entry};
use crate::settings::Settings;
use crate::store::{Db, agents, audit, tokens};

/// What an administrator says about a new token.
pub struct Request {
    /// The agent.
    pub agent: AgentId,
    /// Its site, if it is new.
    pub site: Option<String>,
    /// Its customer, if it is new.
    pub customer: Option<String>,
    /// For how long it is good.
    pub valid_hours: u32,
    /// Who makes it.
    pub by: String,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The agent was revoked.
    #[error("the agent {0} was revoked; give the device another id")]
    Revoked(AgentId),
    /// A broker that names clients by their CN would take it for the collector.
    #[error("{0} is the collector's own name; an agent needs another id")]
    CollectorsName(AgentId),
    /// The store.
    #[error("data store")]
    Store(#[from] crate::store::StoreError),
    /// The files of CA and root.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
}

/// Makes a token, and the agent if it is new. Only a hash of the secret is kept.
pub async fn issue(
    db: &Db,
    settings: &Settings,
    request: Request,
) -> Result<TokenFile, TokenError> {
    let Request { agent, site, customer, valid_hours, by } = request;
    if agent.as_str() == settings.name {
        return Err(TokenError::CollectorsName(agent));
    }
    let trust = TrustFiles::new(&settings.data_dir);
    let ca = authority::first(&files::read(&trust.ca())?)?;
    let root = authority::first(&files::read(&trust.root())?)?;
    let now = Time::now();
    if !trust.ca_key().exists() {
        return Err(EnrolError::NoCaKey.into());
    }
    let mut tx = db.begin().await?;
    agents::create(&mut tx, agent.as_str(), site.as_deref(), customer.as_deref(), now).await?;
    if agents::admitted(&mut tx, &[agent.to_string()]).await?.is_empty() {
        return Err(TokenError::Revoked(agent));
    }
    let mut secret = Zeroizing::new([0_u8; 32]);
    getrandom::fill(secret.as_mut()).map_err(|e| EnrolError::Random(e.to_string()))?;
    let secret = URL_SAFE_NO_PAD.encode(secret.as_ref());
    let expires_at = now.plus_ms(i64::from(valid_hours) * 3_600_000);
    let token = tokens::Token {
        id: callhome_shared::id::new_uuid().to_string(),
        agent_id: agent.to_string(),
        secret_hash: hash(&secret),
        created_at: now,
        created_by: by,
        expires_at,
        used_at: None,
    };
    tokens::insert(&mut tx, &token).await?;
    let detail = json!({ "token": token.id, "expires_at": expires_at.to_string() });
    let entry = Entry::new(now, &token.created_by, Deed::TokenMade, agent.as_str(), detail);
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    Ok(TokenFile {
        agent,
        collector: settings.https.public_url.clone(),
        mqtt: settings.mqtt_public_address.clone(),
        ca_fingerprint: tls::fingerprint(&ca),
        root_fingerprint: tls::fingerprint(&root),
        secret,
        expires_at,
    })
}

/// What is kept of a secret. It has 256 random bits: a plain hash cannot be searched.
pub fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}
