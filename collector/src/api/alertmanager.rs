//! What Alertmanager brings: alarms.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{Params, RawJson};
use super::session::{LoggedIn, Means};
use crate::alertmanager::{MAX_BYTES, Mapping, read, source_id};
use crate::flow::alerts::{Intake, Source, Tally};
use crate::flow::diagnosis::Diagnosis;

/// Notifications that are taken at the same time; one more is told that the collector is busy.
pub const AT_ONCE: usize = 4;

/// By what alerts are taken.
pub struct Alerts {
    /// Which alarms call home.
    pub diagnosis: Arc<Diagnosis>,
    /// What labels mean.
    pub mapping: Mapping,
}

/// Which Alertmanager.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AlertmanagerQuery {
    /// Its name, 1 to 32 letters, digits or `-`; `main` without it. The members of a cluster share one.
    source: Option<String>,
}

/// What became of a notification.
#[derive(Serialize, ToSchema)]
pub struct AlertsTaken {
    /// Alerts that changed something.
    taken: u64,
    /// Alerts that said what was known.
    known: u64,
    /// Alerts about what is known to be over.
    late: u64,
    /// Alerts that the token may not bring; they are kept as rejects with the reason.
    refused: Vec<AlertRefused>,
}

/// An alert that was not taken.
#[derive(Serialize, ToSchema)]
pub struct AlertRefused {
    /// Its fingerprint.
    fingerprint: String,
    /// Why.
    why: String,
}

impl From<Tally> for AlertsTaken {
    fn from(tally: Tally) -> Self {
        let refused = tally.refused.into_iter();
        let refused = refused.map(|r| AlertRefused { fingerprint: r.fingerprint, why: r.why });
        AlertsTaken {
            taken: tally.taken,
            known: tally.known,
            late: tally.late,
            refused: refused.collect(),
        }
    }
}

/// Take a notification of Alertmanager (its webhook, version 4). The answer comes after the commit.
#[utoipa::path(post, path = "/api/v1/alertmanager", operation_id = "take_alerts", tag = "alarms",
    params(AlertmanagerQuery),
    request_body(content = Object, content_type = "application/json",
        description = "As Alertmanager writes it: `version` is \"4\", `alerts` have `status`, `labels`, `annotations`, \
            `startsAt`, `endsAt`, `generatorURL`, `fingerprint`; at most 4000 alerts and 4 MiB. More is passed over."),
    responses(
    (status = 200, description = "Committed", body = AlertsTaken),
    (status = 400, description = "Malformed; the message says where", body = ProblemBody),
    (status = 401, description = "No good token", body = ProblemBody),
    (status = 403, description = "Not with this token or role", body = ProblemBody),
    (status = 413, description = "Larger than 4 MiB", body = ProblemBody),
    (status = 503, description = "Busy; send it again", body = ProblemBody),
))]
pub async fn take(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Params(query): Params<AlertmanagerQuery>,
    RawJson(body): RawJson<MAX_BYTES>,
) -> Answer<Json<AlertsTaken>> {
    let name = query.source.as_deref().unwrap_or("main");
    let id = source_id(name).ok_or_else(|| {
        Problem::Malformed("source: expected 1 to 32 letters, digits or -".to_owned())
    })?;
    let alerts = api.alerts.get().ok_or(Problem::Busy)?;
    let _place = api.alert_places.try_acquire().map_err(|_| Problem::Busy)?;
    let said = read(&body).map_err(Problem::Malformed)?;
    drop(body);
    let sites = match &logged_in.means {
        Means::Token(token) => token.sites.clone(),
        Means::Session(_) => Vec::new(),
    };
    let intake = Intake {
        db: &api.db,
        diagnosis: &alerts.diagnosis,
        mapping: &alerts.mapping,
        events: &api.events,
        metrics: &api.metrics,
    };
    let tally = intake.take(&Source { id, sites }, &said).await.map_err(Problem::internal)?;
    Ok(Json(tally.into()))
}
