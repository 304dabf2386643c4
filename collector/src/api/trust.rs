//! How trust stands: what of the collector's own ends when, and the record of everything that touches
//! trust.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::Params;
use super::model::At;
use super::params::{limit, page};
use crate::audit::Row;
use crate::diagnosis::ending::End;
use crate::store::audit;

/// Entries of one answer, unless told.
const PAGE: u32 = 50;

/// A certificate of the collector's own.
#[derive(Serialize, ToSchema)]
pub struct OwnCertificate {
    /// `server`, `ca`, `next-ca` or `former-ca`.
    what: String,
    /// Its subject.
    name: String,
    /// When it ends.
    not_after: At,
    /// How urgent that is: `warning`, `major`, `critical` (it has ended); null: it is not.
    #[schema(required)]
    severity: Option<String>,
}

impl OwnCertificate {
    fn of(end: &End, now: Time) -> Self {
        OwnCertificate {
            what: end.what.to_owned(),
            name: end.name.clone(),
            not_after: At(end.to),
            severity: end.severity(now).map(|severity| severity.as_str().to_owned()),
        }
    }
}

/// How trust stands.
#[derive(Serialize, ToSchema)]
pub struct TrustState {
    /// The collector's own certificates.
    certificates: Vec<OwnCertificate>,
}

/// The collector's own certificates.
#[utoipa::path(get, path = "/api/v1/trust", operation_id = "get_trust", tag = "fleet", responses(
    (status = 200, description = "What of the collector's own ends when", body = TrustState),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn trust(State(api): State<Arc<Api>>) -> Json<TrustState> {
    let (ends, now) = (api.ends(), Time::now());
    Json(TrustState { certificates: ends.iter().map(|e| OwnCertificate::of(e, now)).collect() })
}

/// An entry of the record.
#[derive(Serialize, ToSchema)]
pub struct AuditEntry {
    /// 1, 2, 3, ...
    row: String,
    /// When.
    at: At,
    /// `cli:<user>`, `user:<name>`, `agent:<id>` or `collector`.
    who: String,
    /// A stable word.
    what: String,
    /// What it was done to.
    subject: String,
    /// More, canonical JSON.
    detail: String,
    /// Its hash in the chain.
    hash: String,
}

impl From<Row> for AuditEntry {
    fn from(row: Row) -> Self {
        AuditEntry {
            row: row.seq.to_string(),
            at: At(row.at),
            who: row.who,
            what: row.what,
            subject: row.subject,
            detail: row.detail,
            hash: row.hash,
        }
    }
}

/// A page of the record, the latest first.
#[derive(Serialize, ToSchema)]
pub struct AuditList {
    /// The entries.
    items: Vec<AuditEntry>,
    /// What to give as `before` for the next page; null when this is the last.
    #[schema(required)]
    next: Option<String>,
}

/// Which entries.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Only what was done to this agent, user or CA.
    subject: Option<String>,
    /// At most so many (1 to 200, 50 without it).
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the page before.
    before: Option<String>,
}

/// The record of everything that touches trust.
#[utoipa::path(get, path = "/api/v1/audit", operation_id = "list_audit", tag = "fleet", params(AuditQuery), responses(
    (status = 200, description = "A page of the record, the latest first", body = AuditList),
    (status = 400, description = "Malformed query", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn record(
    State(api): State<Arc<Api>>,
    Params(query): Params<AuditQuery>,
) -> Answer<Json<AuditList>> {
    let limit = limit(query.limit, PAGE)?;
    let before = match query.before.as_deref().map(str::parse) {
        None => None,
        Some(Ok(before)) => Some(before),
        Some(Err(_)) => {
            return Err(Problem::Malformed("before: expected the number of a row".to_owned()));
        }
    };
    let found = audit::latest(&api.db, before, query.subject.as_deref(), limit + 1).await;
    let (found, next) = page(found.map_err(Problem::internal)?, limit, |row| row.seq.to_string());
    Ok(Json(AuditList { items: found.into_iter().map(Into::into).collect(), next }))
}
