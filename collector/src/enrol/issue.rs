//! From token and request to certificate, in one transaction.

use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::tls;
use rustls_pki_types::CertificateDer;
use subtle::ConstantTimeEq;

use super::authority::Authority;
use super::{EnrolError, csr, token};
use crate::store::certificates::Certificate;
use crate::store::tokens::Taken;
use crate::store::{Db, agents, certificates, tokens};

/// Why no certificate is given.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// User or password is wrong. Which one is not told.
    #[error("no such token for this agent")]
    Unknown,
    /// The token was used.
    #[error("the token was used before; ask for a new one: callhome-collector agent token {0}")]
    Used(AgentId),
    /// The token came too late.
    #[error("the token has expired; ask for a new one: callhome-collector agent token {0}")]
    Expired(AgentId),
    /// The agent was revoked.
    #[error("the agent {0} was revoked")]
    Revoked(AgentId),
    /// The request is bad.
    #[error(transparent)]
    Request(#[from] csr::BadRequest),
    /// The CA cannot sign it.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The store.
    #[error("data store")]
    Store(#[from] crate::store::StoreError),
}

/// Uses the token up and gives `agent` a certificate for the request's key: both or nothing.
pub async fn issue(
    db: &Db,
    authority: &Authority,
    agent: &AgentId,
    secret: &str,
    request: &[u8],
) -> Result<CertificateDer<'static>, Refusal> {
    let now = Time::now();
    let mut tx = db.begin().await?;
    let hash = token::hash(secret);
    let found = tokens::take(&mut tx, &hash, now).await?;
    // Who knows a secret learns what became of it; who does not learns nothing. An early return
    // drops the transaction: the token is as it was.
    match found {
        Taken::Yes(token) if fits(&token, agent, &hash) => {}
        Taken::Used(token) if fits(&token, agent, &hash) => {
            return Err(Refusal::Used(agent.clone()));
        }
        Taken::Expired(token) if fits(&token, agent, &hash) => {
            return Err(Refusal::Expired(agent.clone()));
        }
        Taken::Yes(_) | Taken::Used(_) | Taken::Expired(_) | Taken::Unknown => {
            return Err(Refusal::Unknown);
        }
    }
    if agents::admitted(&mut tx, &[agent.to_string()]).await?.is_empty() {
        return Err(Refusal::Revoked(agent.clone()));
    }
    let public_key = csr::public_key(request, agent)?;
    let certificate = authority.agent(agent, &public_key)?;
    let row = Certificate {
        serial: tls::serial(&certificate).map_err(EnrolError::from)?,
        agent_id: agent.to_string(),
        fingerprint: tls::fingerprint(&certificate),
        issued_at: now,
        not_after: tls::not_after(&certificate).map_err(EnrolError::from)?,
        revoked_at: None,
    };
    certificates::insert(&mut tx, &row).await?;
    tx.commit().await?;
    tracing::info!(
        agent.id = %agent,
        certificate.serial = row.serial,
        certificate.not_after = %row.not_after,
        "agent enrolled"
    );
    Ok(certificate)
}

fn fits(token: &tokens::Token, agent: &AgentId, hash: &str) -> bool {
    let same_agent = token.agent_id.as_bytes().ct_eq(agent.as_str().as_bytes());
    let same_secret = token.secret_hash.as_bytes().ct_eq(hash.as_bytes());
    (same_agent & same_secret).into()
}
