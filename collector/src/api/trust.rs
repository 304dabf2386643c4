//! How trust stands: what of the collector's own ends when.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use callhome_shared::time::Time;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::error::ProblemBody;
use super::model::At;
use crate::diagnosis::ending::End;

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
