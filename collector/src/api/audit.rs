//! The record of everything that touches trust: to read, to take along, and whether it is whole.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use callhome_shared::config_error::did_you_mean;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::Params;
use super::model::At;
use super::params::{limit, page};
use crate::audit::{self, Break, Deed, Row};
use crate::flow::record::Verdict;
use crate::store::audit::{self as rows, Filter};
use crate::store::{Db, StoreError};

/// Entries of one answer, unless told.
const PAGE: u32 = 50;
/// Rows of an export read, and sent, at a time.
const EXPORT_PAGE: i64 = 500;
/// How long an answer waits for the look that was asked for.
const LOOK: Duration = Duration::from_secs(20);
/// Longest name in a filter, bytes.
const MAX_NAME_BYTES: usize = audit::MAX_WORD_BYTES;

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
    /// Hash of the entry before it.
    previous: String,
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
            previous: row.previous,
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

/// Which entries, and how many.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Only what was done to this agent or by it.
    agent: Option<String>,
    /// Only what was done to this agent, user or CA.
    subject: Option<String>,
    /// Only what this one did: `user:li`, `cli:root`, `agent:a-1`, `collector`, or a name alone.
    who: Option<String>,
    /// Only deeds of this kind.
    what: Option<String>,
    /// Only from this moment on (RFC 3339).
    from: Option<String>,
    /// Only before this moment (RFC 3339).
    to: Option<String>,
    /// At most so many (1 to 200, 50 without it).
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the page before.
    before: Option<String>,
}

/// Which entries are exported.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditExportQuery {
    /// Only what was done to this agent or by it.
    agent: Option<String>,
    /// Only what was done to this agent, user or CA.
    subject: Option<String>,
    /// Only what this one did: `user:li`, `cli:root`, `agent:a-1`, `collector`, or a name alone.
    who: Option<String>,
    /// Only deeds of this kind.
    what: Option<String>,
    /// Only from this moment on (RFC 3339).
    from: Option<String>,
    /// Only before this moment (RFC 3339).
    to: Option<String>,
}

impl AuditExportQuery {
    fn filter(self) -> Answer<Filter> {
        let names = [("agent", &self.agent), ("subject", &self.subject), ("who", &self.who)];
        for (name, given) in names {
            if given.as_ref().is_some_and(|given| given.len() > MAX_NAME_BYTES) {
                let text = format!("{name}: longer than {MAX_NAME_BYTES} bytes");
                return Err(Problem::Malformed(text));
            }
        }
        if let Some(what) = self.what.as_deref().filter(|what| Deed::parse(what).is_none()) {
            let known = Deed::ALL.map(Deed::as_str);
            let hint =
                did_you_mean(what, known).map(|hint| format!("; {hint}")).unwrap_or_default();
            let what: String = what.chars().take(40).collect();
            return Err(Problem::Malformed(format!("what: there is no deed {what:?}{hint}")));
        }
        let (from, to) = (moment("from", self.from)?, moment("to", self.to)?);
        let AuditExportQuery { agent, subject, who, what, .. } = self;
        Ok(Filter { agent, subject, who, what, from, to })
    }
}

fn moment(name: &str, text: Option<String>) -> Answer<Option<Time>> {
    let read =
        |text: String| Time::parse(&text).map_err(|e| Problem::Malformed(format!("{name}: {e}")));
    text.map(read).transpose()
}

/// The record of everything that touches trust.
#[utoipa::path(get, path = "/api/v1/audit", operation_id = "list_audit", tag = "audit", params(AuditQuery), responses(
    (status = 200, description = "A page of the record, the latest first", body = AuditList),
    (status = 400, description = "Malformed query", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn list(
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
    let AuditQuery { agent, subject, who, what, from, to, .. } = query;
    let filter = AuditExportQuery { agent, subject, who, what, from, to }.filter()?;
    let found = rows::latest(&api.db, before, &filter, limit + 1).await;
    let (found, next) = page(found.map_err(Problem::internal)?, limit, |row| row.seq.to_string());
    Ok(Json(AuditList { items: found.into_iter().map(Into::into).collect(), next }))
}

/// The record as a file: one JSON object a line, the earliest first, as `audit export` writes it.
#[utoipa::path(get, path = "/api/v1/audit/export", operation_id = "export_audit", tag = "audit", params(AuditExportQuery), responses(
    (status = 200, description = "The entries, as an attachment", body = String, content_type = "application/x-ndjson"),
    (status = 400, description = "Malformed query", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 503, description = "Too many exports at the same time", body = ProblemBody),
))]
pub async fn export(
    State(api): State<Arc<Api>>,
    Params(query): Params<AuditExportQuery>,
) -> Answer<Response> {
    let filter = query.filter()?;
    let turn = api.exports.clone().try_acquire_owned().map_err(|_| Problem::Busy)?;
    // What is appended from now on is not part of it: it has an end.
    let (head, _) = rows::head(&api.db).await.map_err(Problem::internal)?;
    let (out, pages) = mpsc::channel(1);
    let db = api.db.clone();
    tokio::spawn(async move {
        let _turn = turn;
        if let Err(e) = pages_of(&db, head, &filter, &out).await {
            tracing::warn!(error = &e as &dyn std::error::Error, "audit export ended early");
            // A file that is cut off must not look whole: the connection breaks.
            let _ = out.send(Err(std::io::Error::other("the store failed"))).await;
        }
    });
    let mut response = Body::from_stream(ReceiverStream::new(pages)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    let name = HeaderValue::from_static("attachment; filename=\"callhome-audit.jsonl\"");
    headers.insert(CONTENT_DISPOSITION, name);
    Ok(response)
}

type Piece = Result<Bytes, std::io::Error>;

async fn pages_of(
    db: &Db,
    head: i64,
    filter: &Filter,
    out: &mpsc::Sender<Piece>,
) -> Result<(), StoreError> {
    let mut last = 0;
    loop {
        let page = rows::between(db, (last, head), filter, EXPORT_PAGE).await?;
        let Some(end) = page.last().map(|row| row.seq) else { return Ok(()) };
        let mut text = String::new();
        for row in &page {
            text += &audit::exported(row).to_string();
            text.push('\n');
        }
        // Nobody listening: the reader has gone.
        if out.send(Ok(text.into())).await.is_err() {
            return Ok(());
        }
        last = end;
    }
}

/// A broken place in the chain.
#[derive(Serialize, ToSchema)]
pub struct AuditBreak {
    /// The first row that is not as it should be.
    row: String,
    /// The last one of a row of them.
    to: String,
    /// `missing`, `altered`, `unlinked`, `misnumbered`, `cut-off`, `added`, `wrong-head` or
    /// `not-the-noted`.
    kind: String,
    /// For people, English.
    text: String,
}

impl From<&Break> for AuditBreak {
    fn from(broken: &Break) -> Self {
        let to = match broken {
            Break::Missing { to, .. } => *to,
            Break::WrongEnd { found, head } => *found.max(head),
            _ => broken.row(),
        };
        AuditBreak {
            row: broken.row().to_string(),
            to: to.to_string(),
            kind: broken.code().to_owned(),
            text: broken.to_string(),
        }
    }
}

/// What a look along the whole chain found.
#[derive(Serialize, ToSchema)]
pub struct AuditVerdict {
    /// When it began.
    at: At,
    /// Whether the chain is whole.
    whole: bool,
    /// Up to this row everything is as it was written.
    good_up_to: String,
    /// Rows that were looked at.
    rows: u64,
    /// The last row, `row:hash`: to be noted elsewhere and given to `audit verify --noted`.
    head: String,
    /// The broken places, the earliest first; at most twenty.
    breaks: Vec<AuditBreak>,
}

impl From<&Verdict> for AuditVerdict {
    fn from(verdict: &Verdict) -> Self {
        AuditVerdict {
            at: At(verdict.at),
            whole: verdict.breaks.is_empty(),
            good_up_to: verdict.good_up_to().to_string(),
            rows: verdict.rows,
            head: format!("{}:{}", verdict.head, verdict.hash),
            breaks: verdict.breaks.iter().map(Into::into).collect(),
        }
    }
}

/// Whether the record is whole.
#[derive(Serialize, ToSchema)]
pub struct AuditState {
    /// What the last look found; null: none has ended since the collector was started.
    #[schema(required)]
    verdict: Option<AuditVerdict>,
}

/// What the last look along the record's chain found. The collector looks at its start and every hour.
#[utoipa::path(get, path = "/api/v1/audit/verification", operation_id = "get_audit_verification", tag = "audit", responses(
    (status = 200, description = "What the last look found", body = AuditState),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn verification(State(api): State<Arc<Api>>) -> Json<AuditState> {
    Json(AuditState { verdict: api.verifier.last().as_deref().map(Into::into) })
}

/// Look along the whole chain now.
#[utoipa::path(post, path = "/api/v1/audit/verification", operation_id = "verify_audit", tag = "audit", responses(
    (status = 200, description = "What it found", body = AuditState),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is missing or wrong", body = ProblemBody),
    (status = 503, description = "It takes longer (its verdict comes with GET), or the store cannot be read", body = ProblemBody),
))]
pub async fn verify(State(api): State<Arc<Api>>) -> Answer<Json<AuditState>> {
    let verdict = api.verifier.look(LOOK).await.ok_or(Problem::Busy)?;
    Ok(Json(AuditState { verdict: Some((&*verdict).into()) }))
}
