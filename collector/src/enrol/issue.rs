//! From token or present certificate, and request, to certificate: each in one transaction.

use std::time::Duration;

use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::tls;
use rustls_pki_types::CertificateDer;
use serde_json::json;
use subtle::ConstantTimeEq;

use super::authority::Authority;
use super::visitor::{Standing, Visitor};
use super::{EnrolError, csr, token};
use crate::audit::{Deed, Entry};
use crate::store::certificates::Certificate;
use crate::store::tokens::Taken;
use crate::store::{Db, Tx, agents, audit, certificates, tokens};

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
    /// The certificate shown was not issued here.
    #[error(
        "the certificate of {0} was not issued by this collector: renew it where it comes from"
    )]
    NotOurs(AgentId),
    /// The certificate ended too long ago.
    #[error(
        "the certificate of {0} ended at {1}, too long ago to be renewed; \
         enrol again with a token: callhome-collector agent token {0}"
    )]
    TooLate(AgentId, Time),
    /// Another certificate of the agent has taken its place.
    #[error(
        "another certificate took the place of this one of {0} at {1}; if the machine was set back, \
         enrol again with a token: callhome-collector agent token {0}"
    )]
    Superseded(AgentId, Time),
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
    let token = match found {
        Taken::Yes(token) if fits(&token, agent, &hash) => token,
        Taken::Used(token) if fits(&token, agent, &hash) => {
            return Err(Refusal::Used(agent.clone()));
        }
        Taken::Expired(token) if fits(&token, agent, &hash) => {
            return Err(Refusal::Expired(agent.clone()));
        }
        Taken::Yes(_) | Taken::Used(_) | Taken::Expired(_) | Taken::Unknown => {
            return Err(Refusal::Unknown);
        }
    };
    let (certificate, row) = sign(&mut tx, authority, agent, request, now).await?;
    let who = format!("agent:{agent}");
    let detail = json!({
        "token": token.id, "serial": row.serial, "not_after": row.not_after.to_string(),
    });
    let entry = Entry::new(now, &who, Deed::Enrolled, agent.as_str(), detail);
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    tracing::info!(
        agent.id = %agent,
        certificate.serial = row.serial,
        certificate.not_after = %row.not_after,
        "agent enrolled"
    );
    Ok(certificate)
}

/// Gives the agent that shows its present certificate (which may have ended within `grace`) a new
/// one for the request's key (RFC 7030, 4.2.2). The present one stays good until it ends.
pub async fn renew(
    db: &Db,
    authority: &Authority,
    visitor: &Visitor,
    grace: Duration,
    request: &[u8],
) -> Result<CertificateDer<'static>, Refusal> {
    let now = Time::now();
    let agent = &visitor.agent;
    let mut tx = db.begin().await?;
    let shown = certificates::find(&mut tx, &visitor.serial).await?;
    let Some(shown) = shown.filter(|c| c.agent_id == agent.as_str()) else {
        return Err(Refusal::NotOurs(agent.clone()));
    };
    if shown.revoked_at.is_some() {
        return Err(Refusal::Revoked(agent.clone()));
    }
    may_still_renew(visitor, grace, now)?;
    let (certificate, row) = sign(&mut tx, authority, agent, request, now).await?;
    let who = format!("agent:{agent}");
    let detail = json!({
        "serial_before": shown.serial, "serial": row.serial,
        "not_after": row.not_after.to_string(),
        "had_ended": matches!(visitor.standing, Standing::Expired(_)),
    });
    let entry = Entry::new(now, &who, Deed::Renewed, agent.as_str(), detail);
    audit::append(&mut tx, &entry).await?;
    tx.commit().await?;
    tracing::info!(
        agent.id = %agent,
        certificate.serial = row.serial,
        certificate.not_after = %row.not_after,
        "certificate renewed"
    );
    Ok(certificate)
}

/// Refuses a certificate that ended longer ago than `grace`.
pub(super) fn may_still_renew(
    visitor: &Visitor,
    grace: Duration,
    now: Time,
) -> Result<(), Refusal> {
    let grace_ms = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
    match visitor.standing {
        Standing::Expired(end) if now.since_ms(end) > grace_ms => {
            Err(Refusal::TooLate(visitor.agent.clone(), end))
        }
        _ => Ok(()),
    }
}

/// Refuses a certificate whose place another one took longer ago than `grace`.
pub(super) fn not_outlived(shown: &Certificate, grace: Duration, now: Time) -> Result<(), Refusal> {
    let grace_ms = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
    match (shown.superseded_at, AgentId::new(&shown.agent_id)) {
        (Some(at), Ok(agent)) if now.since_ms(at) > grace_ms => Err(Refusal::Superseded(agent, at)),
        _ => Ok(()),
    }
}

/// Signs the request of an agent that is not revoked, and keeps what was signed.
async fn sign(
    tx: &mut Tx,
    authority: &Authority,
    agent: &AgentId,
    request: &[u8],
    now: Time,
) -> Result<(CertificateDer<'static>, Certificate), Refusal> {
    if agents::admitted(tx, &[agent.to_string()]).await?.is_empty() {
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
        issuer: Some(tls::fingerprint(authority.certificate())),
        ..Certificate::default()
    };
    certificates::insert(tx, &row).await?;
    Ok((certificate, row))
}

fn fits(token: &tokens::Token, agent: &AgentId, hash: &str) -> bool {
    let same_agent = token.agent_id.as_bytes().ct_eq(agent.as_str().as_bytes());
    let same_secret = token.secret_hash.as_bytes().ct_eq(hash.as_bytes());
    (same_agent & same_secret).into()
}
