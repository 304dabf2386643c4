//! The HTTPS door for agents: which agent a request comes from, by the certificate of its
//! connection; and what one may do whose certificate has ended.
//!
//! The server's TLS lets in certificates that were good until they ended (chain, signature,
//! revocation list). Here such a visitor is *marked*, its certificate is looked up (issued here, not
//! revoked, not ended too long ago), and everything that is not in [`EXPIRED_MAY`] is answered with 403.
//! A request without a client certificate passes untouched: people and first enrolments.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use callhome_shared::tls::{self, Peer};
use rustls_pki_types::CertificateDer;
use serde_json::json;

use super::issue::{self, Refusal};
use crate::api::server::ClientCertificates;
use crate::audit::{Deed, Entry};
use crate::broker::RosterReader;
use crate::metrics::Metrics;
use crate::store::{Db, agents, audit, certificates};

/// Paths that a visitor may ask for whose certificate has ended. Who serves one of them looks at
/// [`Visitor::standing`] where not everything below it is allowed then.
pub const EXPIRED_MAY: [&str; 4] = [
    "/.well-known/est/cacerts",
    "/.well-known/est/simplereenroll",
    "/.well-known/est/simpleenroll",
    // Alarms; see the handler.
    "/callhome/v1/events",
];

/// The agent at the other end. In the extensions of requests whose connection showed an agent's
/// certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Who.
    pub agent: AgentId,
    /// Its certificate's serial number, lower-case hex.
    pub serial: String,
    /// How the certificate is.
    pub standing: Standing,
}

/// How a visitor's certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Good.
    Valid,
    /// It ended then: the agent is in quarantine. It may renew and deliver alarms, nothing else.
    Expired(Time),
}

impl Visitor {
    /// Reads who shows this (verified) leaf; `None` when it is no agent's.
    pub fn read(leaf: &CertificateDer<'_>, now: Time) -> Option<Self> {
        let Ok(Peer::Agent(agent)) = tls::peer(leaf) else { return None };
        let (serial, end) = (tls::serial(leaf).ok()?, tls::not_after(leaf).ok()?);
        let standing = if now > end { Standing::Expired(end) } else { Standing::Valid };
        Some(Visitor { agent, serial, standing })
    }
}

/// Stands at the door.
pub struct Doorkeeper {
    /// For certificates that have ended.
    pub db: Db,
    /// Who may come in.
    pub roster: RosterReader,
    /// How long after its end a certificate may still be renewed.
    pub grace: Duration,
    /// How long after it was superseded a certificate is let in.
    pub superseded_grace: Duration,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Puts the doorkeeper before `app`.
pub fn guard(app: Router, doorkeeper: Arc<Doorkeeper>) -> Router {
    app.layer(middleware::from_fn_with_state(doorkeeper, ask))
}

async fn ask(State(door): State<Arc<Doorkeeper>>, mut request: Request, next: Next) -> Response {
    let leaf = request.extensions().get::<ClientCertificates>().and_then(|c| c.0.first());
    let Some(visitor) = leaf.and_then(|leaf| Visitor::read(leaf, Time::now())) else {
        return next.run(request).await;
    };
    let admitted = match visitor.standing {
        Standing::Valid => door.admit(&visitor).await,
        Standing::Expired(end) => door.admit_expired(&visitor, end, request.uri().path()).await,
    };
    match admitted {
        Ok(()) => {
            request.extensions_mut().insert(visitor);
            next.run(request).await
        }
        Err(refused) => refused,
    }
}

impl Doorkeeper {
    async fn admit(&self, visitor: &Visitor) -> Result<(), Response> {
        if self.roster.admits(&visitor.agent, &visitor.serial).await {
            return Ok(());
        }
        self.metrics.broker_event("agent-refused");
        tracing::warn!(agent.id = %visitor.agent, "request refused: agent unknown or revoked, or its certificate superseded");
        let text = format!(
            "the agent {} is unknown or revoked, or another certificate has taken this one's place",
            visitor.agent
        );
        Err(refuse(StatusCode::FORBIDDEN, "agent_refused", &text))
    }

    async fn admit_expired(
        &self,
        visitor: &Visitor,
        end: Time,
        path: &str,
    ) -> Result<(), Response> {
        if !EXPIRED_MAY.contains(&path) {
            self.metrics.broker_event("quarantine-refused");
            let text = format!(
                "the certificate of {} ended at {end}: it may be renewed and alarms may be \
                 delivered, nothing else",
                visitor.agent
            );
            return Err(refuse(StatusCode::FORBIDDEN, "certificate_expired", &text));
        }
        self.enter_quarantine(visitor).await.map_err(|refusal| match refusal {
            Refusal::Store(_) | Refusal::Enrol(_) => {
                let error = super::chain(&refusal);
                tracing::error!(agent.id = %visitor.agent, error, "quarantine");
                let text = "the collector cannot look the certificate up now; its log says why";
                refuse(StatusCode::SERVICE_UNAVAILABLE, "busy", text)
            }
            refusal => {
                self.metrics.broker_event("quarantine-refused");
                let text = refusal.to_string();
                tracing::warn!(agent.id = %visitor.agent, why = text, "not let into quarantine");
                refuse(StatusCode::FORBIDDEN, "agent_refused", &text)
            }
        })
    }

    /// Looks an ended certificate up; the first time it is let in is recorded.
    async fn enter_quarantine(&self, visitor: &Visitor) -> Result<(), Refusal> {
        let (agent, now) = (&visitor.agent, Time::now());
        let shown = certificates::get(&self.db, &visitor.serial).await?;
        let Some(shown) = shown.filter(|c| c.agent_id == agent.as_str()) else {
            return Err(Refusal::NotOurs(agent.clone()));
        };
        if shown.revoked_at.is_some() || !agents::is_admitted(&self.db, agent.as_str()).await? {
            return Err(Refusal::Revoked(agent.clone()));
        }
        issue::not_outlived(&shown, self.superseded_grace, now)?;
        issue::may_still_renew(visitor, self.grace, now)?;
        if shown.quarantined_at.is_some() {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        if certificates::note_quarantine(&mut tx, &visitor.serial, now).await? {
            let who = format!("agent:{agent}");
            let detail = json!({ "serial": shown.serial, "ended_at": shown.not_after.to_string() });
            let entry = Entry::new(now, &who, Deed::Quarantined, agent.as_str(), detail);
            audit::append(&mut tx, &entry).await?;
        }
        tx.commit().await?;
        self.metrics.broker_event("quarantined");
        tracing::warn!(
            agent.id = %agent,
            certificate.ended_at = %shown.not_after,
            "the agent's certificate has ended: it is in quarantine until it has renewed it"
        );
        Ok(())
    }
}

/// The body is that of the API's refusals.
fn refuse(status: StatusCode, code: &str, text: &str) -> Response {
    let body = json!({ "error": { "code": code, "message": text } }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests;
