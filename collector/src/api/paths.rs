//! The proven paths of an agent: from each source's reader to a ticket.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::probe::{Missing, PathState, overdue_ms};
use callhome_shared::time::Time;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::Name;
use super::model::At;
use crate::store::agents;
use crate::store::probes::{self, ProbeRow};

/// Shadow tickets that an agent's page shows: the latest ones.
const SHOWN: i64 = 50;

/// Whether and when a source's path to a ticket was proven.
#[derive(Serialize, ToSchema)]
pub struct ProvenPath {
    /// The source.
    source: String,
    /// `snmp`, `serial`, `logfile` or `host`.
    kind: String,
    /// Between two probes, seconds.
    interval_s: u64,
    /// Whether the collector took a probe of it within the last seven quarters of the interval.
    proven: bool,
    /// When the collector last took one.
    #[schema(required)]
    proven_at: Option<At>,
    /// Its shadow ticket.
    #[schema(required)]
    ticket: Option<String>,
    /// Median from reader to receipt, as the agent measured its last probes, milliseconds.
    #[schema(required)]
    p50_ms: Option<u64>,
    /// 99th percentile of the same.
    #[schema(required)]
    p99_ms: Option<u64>,
    /// How many probes these are of.
    samples: u64,
    /// Where its probe is stuck by the agent's last word: `reader`, `rule`, `outbox`, `link`, `collector`
    /// or `receipt`; null while the agent misses nothing.
    #[schema(required)]
    hop: Option<String>,
    /// Why, in the agent's words.
    #[schema(required)]
    detail: Option<String>,
}

/// A shadow ticket: a probe that became a ticket apart from all others.
#[derive(Serialize, ToSchema)]
pub struct ShadowTicket {
    /// Its number.
    #[schema(example = "P-000123")]
    number: String,
    /// The source that the probe entered through.
    source: String,
    /// When it entered, by the agent's clock.
    started_at: At,
    /// When it was committed.
    proven_at: At,
}

impl From<ProbeRow> for ShadowTicket {
    fn from(row: ProbeRow) -> Self {
        ShadowTicket {
            number: row.ticket,
            source: row.source,
            started_at: At(row.started_at),
            proven_at: At(row.proven_at),
        }
    }
}

/// An agent's paths.
#[derive(Serialize, ToSchema)]
pub struct PathPage {
    /// One for each source that the agent probes, by its last heartbeat.
    paths: Vec<ProvenPath>,
    /// Paths that found no place in that heartbeat: of a very large agent, those that are well.
    left_out: u64,
    /// The latest 50 shadow tickets.
    shadow_tickets: Vec<ShadowTicket>,
}

/// Which paths of an agent are proven.
#[utoipa::path(get, path = "/api/v1/agents/{id}/paths", operation_id = "list_paths", tag = "fleet",
    params(("id" = String, Path, description = "The agent's id")), responses(
    (status = 200, description = "The agent's paths and its latest shadow tickets", body = PathPage),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such agent", body = ProblemBody),
))]
pub async fn paths(State(api): State<Arc<Api>>, Name(id): Name) -> Answer<Json<PathPage>> {
    let agent = agents::get(&api.db, &id).await.map_err(Problem::internal)?;
    let agent = agent.ok_or(Problem::NotFound("such agent"))?;
    let newest = probes::newest(&api.db, Some(&id)).await.map_err(Problem::internal)?;
    let latest = probes::of_agent(&api.db, &id, SHOWN).await.map_err(Problem::internal)?;
    let beat = agent.heartbeat.as_deref().unwrap_or_default();
    let told = serde_json::from_str::<Heartbeat>(beat).unwrap_or_default();
    let now = Time::now();
    let paths = told.paths.into_iter().map(|path| {
        let proof = newest.iter().find(|proof| proof.source == path.source);
        shown(path, proof, now)
    });
    Ok(Json(PathPage {
        paths: paths.collect(),
        left_out: told.paths_left_out,
        shadow_tickets: latest.into_iter().map(Into::into).collect(),
    }))
}

fn shown(path: PathState, proof: Option<&ProbeRow>, now: Time) -> ProvenPath {
    let overdue = overdue_ms(path.interval_s);
    let (hop, detail) = match path.missing {
        Some(Missing { hop, detail, .. }) => (Some(hop.as_str().to_owned()), Some(detail)),
        None => (None, None),
    };
    ProvenPath {
        source: path.source,
        kind: path.kind,
        interval_s: path.interval_s,
        proven: proof.is_some_and(|p| now.since_ms(p.proven_at) < overdue),
        proven_at: proof.map(|p| At(p.proven_at)),
        ticket: proof.map(|p| p.ticket.clone()),
        p50_ms: path.p50_ms,
        p99_ms: path.p99_ms,
        samples: path.samples,
        hop,
        detail,
    }
}
