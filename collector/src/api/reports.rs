//! How the service did over a time.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use callhome_shared::config_error::did_you_mean;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::Params;
use super::model::At;
use crate::calendar::{Zone, zone};
use crate::flow::report;
use crate::report::{self as told, By};
use crate::store::reports::Range;

const DAY_MS: i64 = 86_400_000;
/// What a report is about, unless told, days.
const DAYS: i64 = 30;
/// Longest time of one report, days.
const MAX_DAYS: i64 = 400;
/// Longest id in a filter, bytes.
const MAX_NAME_BYTES: usize = 200;

/// Which tickets, and how they are grouped.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// Opened at this moment or later (RFC 3339); 30 days before `to` without it.
    from: Option<String>,
    /// Opened before this moment (RFC 3339); now without it. At most 400 days after `from`.
    to: Option<String>,
    /// `month` (without it), `week`, `customer`, `site` or `plan`.
    by: Option<String>,
    /// Whose months and weeks (IANA); UTC without it.
    time_zone: Option<String>,
    /// Only of this customer (id).
    customer: Option<String>,
    /// Only of this site (id).
    site: Option<String>,
    /// Only those that are promised this service plan.
    plan: Option<String>,
}

/// Durations; percentiles by nearest rank.
#[derive(Serialize, ToSchema)]
pub struct Spread {
    /// How many.
    count: usize,
    /// Half of them are at most this long, milliseconds; null: there is none.
    #[schema(required)]
    p50_ms: Option<i64>,
    /// Nine of ten are at most this long, milliseconds; null: there is none.
    #[schema(required)]
    p90_ms: Option<i64>,
}

/// How often a limit was kept.
#[derive(Serialize, ToSchema)]
pub struct LimitKept {
    /// Which limit.
    limit: String,
    /// So many are decided: by a person's step, or because they are over.
    decided: usize,
    /// So many of these were kept.
    kept: usize,
}

/// What is told of some tickets.
#[derive(Serialize, ToSchema)]
pub struct ReportGroup {
    /// What they have in common; empty: nothing was known, or all tickets.
    key: String,
    /// How many, without tests and duplicates.
    tickets: usize,
    /// So many were opened by alarms; the others by people.
    automatic: usize,
    /// Of so many the fault came again.
    recurred: usize,
    /// By the limit's name.
    limits: Vec<LimitKept>,
    /// From the opening to the first human step, of those with a limit for it.
    respond: Spread,
    /// From the opening until it was resolved.
    restore: Spread,
}

/// One of the two paths.
#[derive(Serialize, ToSchema)]
pub struct ReportSide {
    /// Tickets of these faults, duplicates too.
    tickets: usize,
    /// From the fault (seen by the agent; noticed by people, as they told) to the ticket.
    to_ticket: Spread,
    /// From the fault until the person whom the ticket stayed with was given it, or took it.
    to_engineer: Spread,
}

/// A fault that came both ways.
#[derive(Serialize, ToSchema)]
pub struct ReportFault {
    /// Its code, or the alarm's type; empty: all of them.
    code: String,
    /// Tickets that alarms opened.
    automatic: ReportSide,
    /// Tickets that people recorded.
    by_hand: ReportSide,
}

/// The report.
#[derive(Serialize, ToSchema)]
pub struct Report {
    /// Opened at this moment or later.
    from: At,
    /// Opened before this moment.
    to: At,
    /// By what they are grouped.
    by: String,
    /// Whether it is about all tickets of that time: the first 50,000 otherwise.
    whole: bool,
    /// All tickets.
    all: ReportGroup,
    /// At most 100: the latest months or weeks in their order; others with the most tickets first.
    groups: Vec<ReportGroup>,
    /// Groups that are not told.
    groups_left_out: usize,
    /// All faults that came both ways, together.
    both: ReportFault,
    /// Faults that came both ways, the most tickets first; at most 50.
    faults: Vec<ReportFault>,
    /// Faults that are not told.
    faults_left_out: usize,
}

impl From<told::Spread> for Spread {
    fn from(of: told::Spread) -> Self {
        Spread { count: of.count, p50_ms: of.p50_ms, p90_ms: of.p90_ms }
    }
}

impl From<told::Group> for ReportGroup {
    fn from(group: told::Group) -> Self {
        let limits = group.limits.into_iter().map(|of| LimitKept {
            limit: of.limit,
            decided: of.decided,
            kept: of.kept,
        });
        ReportGroup {
            key: group.key,
            tickets: group.tickets,
            automatic: group.automatic,
            recurred: group.recurred,
            limits: limits.collect(),
            respond: group.respond.into(),
            restore: group.restore.into(),
        }
    }
}

impl From<told::Side> for ReportSide {
    fn from(side: told::Side) -> Self {
        ReportSide {
            tickets: side.tickets,
            to_ticket: side.to_ticket.into(),
            to_engineer: side.to_engineer.into(),
        }
    }
}

impl From<told::Fault> for ReportFault {
    fn from(fault: told::Fault) -> Self {
        ReportFault {
            code: fault.code,
            automatic: fault.automatic.into(),
            by_hand: fault.by_hand.into(),
        }
    }
}

/// What a query asks for.
struct Asked {
    range: Range,
    by: By,
    zone: Zone,
    now: Time,
}

impl ReportQuery {
    fn read(self, now: Time) -> Answer<Asked> {
        let to = moment("to", self.to)?.unwrap_or(now);
        let from = moment("from", self.from)?.unwrap_or(to.plus_ms(-DAYS * DAY_MS));
        let days = to.millis().saturating_sub(from.millis());
        if days <= 0 || days > MAX_DAYS * DAY_MS {
            let text = format!("from: expected a moment before to, at most {MAX_DAYS} days");
            return Err(Problem::Malformed(text));
        }
        let by = self.by.as_deref().unwrap_or("month");
        let by = By::parse(by).ok_or_else(|| {
            let hint = did_you_mean(by, By::ALL.map(By::as_str));
            let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            let text = format!("by: expected month, week, customer, site or plan{hint}");
            Problem::Malformed(text)
        })?;
        let zone = match self.time_zone.as_deref() {
            None => Zone::utc(),
            Some(name) => {
                zone::zone(name).map_err(|e| Problem::Malformed(format!("time_zone: {e}")))?
            }
        };
        for (name, given) in
            [("customer", &self.customer), ("site", &self.site), ("plan", &self.plan)]
        {
            if given.as_ref().is_some_and(|given| given.len() > MAX_NAME_BYTES) {
                let text = format!("{name}: longer than {MAX_NAME_BYTES} bytes");
                return Err(Problem::Malformed(text));
            }
        }
        let ReportQuery { customer, site, plan, .. } = self;
        Ok(Asked { range: Range { from, to, customer, site, plan }, by, zone, now })
    }
}

fn moment(name: &str, text: Option<String>) -> Answer<Option<Time>> {
    let read =
        |text: String| Time::parse(&text).map_err(|e| Problem::Malformed(format!("{name}: {e}")));
    text.map(read).transpose()
}

/// How the service did over a time: limits that were kept, times to respond and to restore, faults that came
/// again, and what alarms opened beside what people recorded, on the same faults.
#[utoipa::path(get, path = "/api/v1/reports", operation_id = "get_report", tag = "tickets", params(ReportQuery), responses(
    (status = 200, description = "The report", body = Report),
    (status = 400, description = "Malformed query", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 503, description = "Too many reports and exports at the same time", body = ProblemBody),
))]
pub async fn get(
    State(api): State<Arc<Api>>,
    Params(query): Params<ReportQuery>,
) -> Answer<Json<Report>> {
    let Asked { range, by, zone, now } = query.read(Time::now())?;
    let _turn = api.exports.clone().try_acquire_owned().map_err(|_| Problem::Busy)?;
    let made = report::of(&api.db, &range, by, zone, now).await;
    let (report, whole) = made.map_err(Problem::internal)?;
    Ok(Json(Report {
        from: At(range.from),
        to: At(range.to),
        by: by.as_str().to_owned(),
        whole,
        all: report.all.into(),
        groups: report.groups.into_iter().map(Into::into).collect(),
        groups_left_out: report.groups_left_out,
        both: report.both.into(),
        faults: report.faults.into_iter().map(Into::into).collect(),
        faults_left_out: report.faults_left_out,
    }))
}

/// A report as a table (CSV).
#[utoipa::path(get, path = "/api/v1/reports/export", operation_id = "export_report", tag = "tickets", params(ReportQuery), responses(
    (status = 200, description = "The file", content_type = "application/octet-stream", body = Vec<u8>),
    (status = 400, description = "Malformed query", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 503, description = "Too many reports and exports at the same time", body = ProblemBody),
))]
pub async fn export(
    State(api): State<Arc<Api>>,
    Params(query): Params<ReportQuery>,
) -> Answer<(HeaderMap, String)> {
    let Asked { range, by, zone, now } = query.read(Time::now())?;
    let _turn = api.exports.clone().try_acquire_owned().map_err(|_| Problem::Busy)?;
    let made = report::of(&api.db, &range, by, zone, now).await;
    let (report, _) = made.map_err(Problem::internal)?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    let name = HeaderValue::from_static("attachment; filename=\"callhome-report.csv\"");
    headers.insert(CONTENT_DISPOSITION, name);
    // Spreadsheets take it for UTF-8 by its mark.
    Ok((headers, format!("\u{feff}{}", told::csv(&report))))
}
