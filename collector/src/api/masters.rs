//! Customers, sites, contacts, contracts, the installed base: lists, changes, files.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{Body, Name, Names, Params};
use super::model::At;
use super::params::{Flag, limit, page};
use super::session::LoggedIn;
use crate::flow::masters::{self as actions, By, MasterError};
use crate::masters::{self, Kind};
use crate::store::masters::{self as rows, Filter};
use crate::store::users;

/// Largest file that is taken in one request, bytes; the command line takes larger ones.
pub const MAX_FILE_BYTES: usize = 4 << 20;
/// Rows of one answer, unless told.
const PAGE: u32 = 100;
/// Rows read at a time for a file.
const FILE_PAGE: i64 = 1000;
/// Longest search text, characters.
const MAX_WORDS: usize = 200;

/// A customer, a site, a contact, a contract or a device.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Master {
    /// Its id: a site's as agents name it, a contract's number, a device's serial number.
    pub id: String,
    /// What is known of it, by field; "" is not known. Lists are separated by `;`.
    pub values: BTreeMap<String, String>,
    /// An agent named it; nobody has looked at it yet.
    pub to_complete: bool,
    /// +1 per change; a change names the version it is based on.
    pub version: i64,
    /// When it last changed.
    pub updated_at: At,
    /// Who changed it: `user:<name>`, `cli:<name>` or `collector`.
    pub updated_by: String,
}

impl From<rows::Master> for Master {
    fn from(row: rows::Master) -> Self {
        Master {
            id: row.id,
            values: row.values.into_iter().map(|(name, text)| (name.to_owned(), text)).collect(),
            to_complete: row.to_complete,
            version: row.version,
            updated_at: At(row.updated_at),
            updated_by: row.updated_by,
        }
    }
}

fn kind(word: &str) -> Answer<Kind> {
    Kind::parse(word).ok_or(Problem::NotFound(
        "such kind; expected customers, sites, contacts, contracts or devices",
    ))
}

fn refused(error: MasterError) -> Problem {
    match error {
        MasterError::NotFound(..) => Problem::NotFound("such record"),
        MasterError::Version(now) => {
            let version = now.version;
            let present = serde_json::to_value(Master::from(*now)).unwrap_or_default();
            Problem::RecordConflict(version, present)
        }
        e @ (MasterError::Exists(..) | MasterError::InUse(..)) => {
            Problem::NotAllowed(e.to_string())
        }
        e @ (MasterError::Refused(..) | MasterError::File(_)) => Problem::Malformed(e.to_string()),
        MasterError::Store(e) => Problem::internal(e),
    }
}

/// Which ones.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MasterQuery {
    /// Only those where this text is in the id or a field.
    #[param(max_length = 200)]
    q: Option<String>,
    /// `1`: only those that are to be completed. `0`: only others.
    #[param(inline)]
    to_complete: Option<Flag>,
    /// At most so many (1 to 200, 100 without it).
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
}

/// A page, by id.
#[derive(Serialize, ToSchema)]
pub struct MasterList {
    /// The records.
    items: Vec<Master>,
    /// What to give as `after` for the next page; null when this is the last.
    #[schema(required)]
    next: Option<String>,
}

/// List customers, sites, contacts, contracts or devices.
#[utoipa::path(get, path = "/api/v1/masters/{kind}", operation_id = "list_masters", tag = "masters",
    params(("kind" = String, Path, description = "`customers`, `sites`, `contacts`, `contracts` or `devices`"), MasterQuery), responses(
    (status = 200, description = "A page, by id", body = MasterList),
    (status = 400, description = "Malformed query", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such kind", body = ProblemBody),
))]
pub async fn list(
    State(api): State<Arc<Api>>,
    Name(word): Name,
    Params(query): Params<MasterQuery>,
) -> Answer<Json<MasterList>> {
    let kind = kind(&word)?;
    let limit = limit(query.limit, PAGE)?;
    if query.q.as_ref().is_some_and(|q| q.chars().count() > MAX_WORDS) {
        return Err(Problem::Malformed(format!("q: longer than {MAX_WORDS} characters")));
    }
    let filter = Filter {
        words: query.q,
        to_complete: query.to_complete.map(bool::from),
        after: query.after.unwrap_or_default(),
        limit: limit + 1,
    };
    let found = rows::list_of(&api.db, kind, &filter).await.map_err(Problem::internal)?;
    let (found, next) = page(found, limit, |row| row.id.clone());
    Ok(Json(MasterList { items: found.into_iter().map(Into::into).collect(), next }))
}

/// One customer, site, contact, contract or device.
#[utoipa::path(get, path = "/api/v1/masters/{kind}/{id}", operation_id = "get_master", tag = "masters",
    params(("kind" = String, Path, description = "As in the list"), ("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "The record", body = Master),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such record", body = ProblemBody),
))]
pub async fn show(State(api): State<Arc<Api>>, Names(word, id): Names) -> Answer<Json<Master>> {
    let found = rows::get(&api.db, kind(&word)?, &id).await.map_err(Problem::internal)?;
    Ok(Json(found.ok_or(Problem::NotFound("such record"))?.into()))
}

/// A new record.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMaster {
    /// Its id; a contact may come without one.
    #[serde(default)]
    id: String,
    /// What is known of it, by field.
    values: BTreeMap<String, String>,
}

/// Add a customer, site, contact, contract or device.
#[utoipa::path(post, path = "/api/v1/masters/{kind}", operation_id = "add_master", tag = "masters",
    params(("kind" = String, Path, description = "As in the list")),
    request_body = NewMaster, responses(
    (status = 200, description = "The record", body = Master),
    (status = 400, description = "Malformed: which field, what was expected, the nearest valid name", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such kind", body = ProblemBody),
    (status = 409, description = "There is one of that id already", body = ProblemBody),
))]
pub async fn add(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(word): Name,
    Body(new): Body<NewMaster>,
) -> Answer<Json<Master>> {
    let who = format!("user:{}", logged_in.user.name);
    let by = By { who: &who, at: Time::now() };
    let done = actions::create(&api.db, kind(&word)?, &new.id, &new.values, by).await;
    Ok(Json(done.map_err(refused)?.into()))
}

/// What is different now.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MasterChange {
    /// The version that the person saw.
    version: i64,
    /// New texts by field; others stay as they are.
    values: BTreeMap<String, String>,
}

/// Change a customer, site, contact, contract or device.
#[utoipa::path(post, path = "/api/v1/masters/{kind}/{id}", operation_id = "change_master", tag = "masters",
    params(("kind" = String, Path, description = "As in the list"), ("id" = String, Path, description = "Its id")),
    request_body = MasterChange, responses(
    (status = 200, description = "The record as it is now", body = Master),
    (status = 400, description = "Malformed: which field, what was expected, the nearest valid name", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such record", body = ProblemBody),
    (status = 409, description = "Somebody was faster: `present` is the record as it is now", body = ProblemBody),
))]
pub async fn change(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Names(word, id): Names,
    Body(change): Body<MasterChange>,
) -> Answer<Json<Master>> {
    let who = format!("user:{}", logged_in.user.name);
    let by = By { who: &who, at: Time::now() };
    let kind = kind(&word)?;
    let done = actions::change(&api.db, kind, &id, change.version, &change.values, by).await;
    Ok(Json(done.map_err(refused)?.into()))
}

/// Which version is to go.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MasterRemoval {
    /// The version that the person saw.
    version: i64,
}

/// Remove a customer, site, contact, contract or device that nothing refers to.
#[utoipa::path(post, path = "/api/v1/masters/{kind}/{id}/removal", operation_id = "remove_master", tag = "masters",
    params(("kind" = String, Path, description = "As in the list"), ("id" = String, Path, description = "Its id")),
    request_body = MasterRemoval, responses(
    (status = 204, description = "Gone"),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such record", body = ProblemBody),
    (status = 409, description = "Somebody was faster, or something refers to it", body = ProblemBody),
))]
pub async fn remove(
    State(api): State<Arc<Api>>,
    Names(word, id): Names,
    Body(removal): Body<MasterRemoval>,
) -> Answer<axum::http::StatusCode> {
    actions::remove(&api.db, kind(&word)?, &id, removal.version).await.map_err(refused)?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

/// Forms of a file.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    Csv,
    Json,
}

/// A file.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Its form.
    #[schema(inline)]
    format: Format,
    /// Its text, at most 20,000 rows.
    text: String,
    /// Only say what it would do.
    #[serde(default)]
    dry_run: bool,
}

/// What a file changed, or would change.
#[derive(Serialize, ToSchema)]
pub struct ImportDone {
    /// Rows that are new.
    new: usize,
    /// Rows that differ from what was kept.
    changed: usize,
    /// Rows that say what was kept already.
    unchanged: usize,
}

/// Take a file: all of it or, when anything is wrong with it, nothing.
#[utoipa::path(post, path = "/api/v1/imports/{kind}", operation_id = "import_masters", tag = "masters",
    params(("kind" = String, Path, description = "As in the list")),
    request_body = Import, responses(
    (status = 200, description = "What it changed, or would change", body = ImportDone),
    (status = 400, description = "Every fault with line and column, what was expected, the nearest valid name; nothing is changed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such kind", body = ProblemBody),
))]
pub async fn import(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(word): Name,
    Body(file): Body<Import, MAX_FILE_BYTES>,
) -> Answer<Json<ImportDone>> {
    let kind = kind(&word)?;
    let who = format!("user:{}", logged_in.user.name);
    let by = By { who: &who, at: Time::now() };
    let (name, read) = match file.format {
        Format::Csv => {
            let name = format!("{word}.csv");
            let read = masters::read_csv(kind, &name, &file.text);
            (name, read)
        }
        Format::Json => {
            let name = format!("{word}.json");
            let read = masters::read_json(kind, &name, &file.text);
            (name, read)
        }
    };
    let read = read.map_err(|e| refused(MasterError::File(e)))?;
    let done = actions::import(&api.db, kind, (&name, &file.text), read, file.dry_run, by).await;
    let done = done.map_err(refused)?;
    Ok(Json(ImportDone { new: done.new, changed: done.changed, unchanged: done.unchanged }))
}

/// Which form.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// `csv` (without it) or `json`.
    #[param(inline)]
    format: Option<Format>,
}

/// All of a kind as a file that can be imported again.
#[utoipa::path(get, path = "/api/v1/exports/{kind}", operation_id = "export_masters", tag = "masters",
    params(("kind" = String, Path, description = "As in the list"), ExportQuery), responses(
    (status = 200, description = "The file", content_type = "application/octet-stream", body = Vec<u8>),
    (status = 400, description = "Malformed query", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such kind", body = ProblemBody),
))]
pub async fn export(
    State(api): State<Arc<Api>>,
    Name(word): Name,
    Params(query): Params<ExportQuery>,
) -> Answer<(HeaderMap, String)> {
    let kind = kind(&word)?;
    let all = everything(&api.db, kind).await.map_err(Problem::internal)?;
    let lines = all.iter().map(|row| (row.id.as_str(), row.version, &row.values));
    let (text, ending) = match query.format.unwrap_or(Format::Csv) {
        // Spreadsheets take it for UTF-8 by its mark.
        Format::Csv => (format!("\u{feff}{}", masters::export_csv(kind, lines)), "csv"),
        Format::Json => (masters::export_json(kind, lines), "json"),
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let name = format!("attachment; filename=\"{}.{ending}\"", kind.as_str());
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_str(&name).map_err(Problem::internal)?);
    Ok((headers, text))
}

/// All rows of a kind, page by page.
pub async fn everything(
    db: &crate::store::Db,
    kind: Kind,
) -> crate::store::Result<Vec<rows::Master>> {
    let mut all: Vec<rows::Master> = Vec::new();
    loop {
        let after = all.last().map(|row| row.id.clone()).unwrap_or_default();
        let filter = Filter { after, limit: FILE_PAGE, ..Filter::default() };
        let found = rows::list_of(db, kind, &filter).await?;
        if found.is_empty() {
            return Ok(all);
        }
        all.extend(found);
    }
}

/// Somebody who may be given a ticket.
#[derive(Serialize, ToSchema)]
pub struct Colleague {
    /// Log-in name.
    name: String,
    /// Name shown to others.
    display_name: String,
    /// Role.
    role: String,
}

/// Who may be given a ticket.
#[utoipa::path(get, path = "/api/v1/people", operation_id = "list_people", tag = "tickets", responses(
    (status = 200, description = "By name", body = Vec<Colleague>),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn people(State(api): State<Arc<Api>>) -> Answer<Json<Vec<Colleague>>> {
    let all = users::list(&api.db).await.map_err(Problem::internal)?;
    let all = all.into_iter().filter(|u| u.disabled_at.is_none() && u.role != "customer");
    let people = all
        .map(|u| Colleague { name: u.name, display_name: u.display_name, role: u.role })
        .collect();
    Ok(Json(people))
}
