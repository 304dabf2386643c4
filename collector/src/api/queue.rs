//! The queue: which tickets a list shows, in which order, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::Params;
use super::model::{At, SeverityName, TicketSummary};
use super::params::{Flag, limit, page};
use super::session::LoggedIn;
use crate::store::queue::{self, Left};
use crate::store::tickets::{self, Assignee, Filter, States, TicketRow};
use crate::ticket;

/// Longest search text, characters.
const MAX_WORDS: usize = 200;
/// Tickets of one answer, unless told.
const PAGE: u32 = 50;

/// Which tickets.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TicketQuery {
    /// Where they stand; `open` (without it) means not closed.
    #[param(inline)]
    state: Option<StateFilter>,
    /// Only of this severity.
    #[param(inline)]
    severity: Option<SeverityName>,
    /// Only of this priority: `p1` to `p4`.
    priority: Option<String>,
    /// Only this person's (a user's name); `me`: yours, `none`: nobody's.
    #[param(max_length = 100)]
    assignee: Option<String>,
    /// Only of this site (its id).
    #[param(max_length = 200)]
    site: Option<String>,
    /// Only of this customer (its id).
    #[param(max_length = 200)]
    customer: Option<String>,
    /// Only those in which all these words are found, Chinese or Latin: number, device and any part of its serial
    /// number, resource, type, code, site, customer, contract, contact, texts, comments, closing report.
    #[param(max_length = 200)]
    q: Option<String>,
    /// `1`: only tests. `0`: no tests.
    #[param(inline)]
    test: Option<Flag>,
    /// At most so many (1 to 200, 50 without it).
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// In which order; `number` (without it): the latest first.
    #[param(inline)]
    sort: Option<Sort>,
    /// `next` of the page before, in the same order.
    #[param(example = "T-000123")]
    before: Option<String>,
}

/// In which order.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Sort {
    #[default]
    Number,
    Left,
}

/// Which states.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StateFilter {
    Open,
    All,
    Recorded,
    WaitingApproval,
    Rejected,
    Assigned,
    InDiagnosis,
    Escalated,
    Dispatched,
    WaitingCustomer,
    Resolved,
    Verified,
    Confirmed,
    Closed,
    Reviewed,
    Merged,
}

impl StateFilter {
    fn states(self) -> States {
        use ticket::State as S;
        let state = match self {
            StateFilter::Open => return States::Open,
            StateFilter::All => return States::All,
            StateFilter::Recorded => S::Recorded,
            StateFilter::WaitingApproval => S::WaitingApproval,
            StateFilter::Rejected => S::Rejected,
            StateFilter::Assigned => S::Assigned,
            StateFilter::InDiagnosis => S::InDiagnosis,
            StateFilter::Escalated => S::Escalated,
            StateFilter::Dispatched => S::Dispatched,
            StateFilter::WaitingCustomer => S::WaitingCustomer,
            StateFilter::Resolved => S::Resolved,
            StateFilter::Verified => S::Verified,
            StateFilter::Confirmed => S::Confirmed,
            StateFilter::Closed => S::Closed,
            StateFilter::Reviewed => S::Reviewed,
            StateFilter::Merged => S::Merged,
        };
        States::One(state.as_str().to_owned())
    }
}

impl TicketQuery {
    /// What its types alone do not say.
    pub(super) fn check(&self) -> Answer<()> {
        limit(self.limit, PAGE)?;
        if self.q.as_ref().is_some_and(|q| q.chars().count() > MAX_WORDS) {
            return Err(Problem::Malformed(format!("q: longer than {MAX_WORDS} characters")));
        }
        let priority = self.priority.as_deref();
        if priority.is_some_and(|text| ticket::Priority::parse(text).is_none()) {
            return Err(Problem::Malformed("priority: expected p1, p2, p3 or p4".to_owned()));
        }
        Ok(())
    }
}

/// When the first limit of a ticket is over.
#[derive(Serialize, ToSchema)]
pub struct Due {
    /// The ticket's number.
    number: String,
    /// Which limit.
    clock: String,
    /// When.
    due_at: At,
}

/// A page of tickets.
#[derive(Serialize, ToSchema)]
pub struct TicketList {
    /// The tickets.
    items: Vec<TicketSummary>,
    /// Of those whose time runs.
    due: Vec<Due>,
    /// What to give as `before` for the next page; null when this is the last.
    #[schema(required)]
    next: Option<String>,
}

/// List tickets.
#[utoipa::path(get, path = "/api/v1/tickets", operation_id = "list_tickets", tag = "tickets", params(TicketQuery), responses(
    (status = 200, description = "A page of tickets: the latest first, or the least time left first", body = TicketList),
    (status = 400, description = "Malformed query", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn list(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Params(query): Params<TicketQuery>,
) -> Answer<Json<TicketList>> {
    query.check()?;
    let limit = limit(query.limit, PAGE)?;
    let sort = query.sort.unwrap_or_default();
    let filter = Filter {
        states: query.state.unwrap_or(StateFilter::Open).states(),
        severity: query.severity.map(|s| s.as_str().to_owned()),
        priority: query.priority,
        assignee: query.assignee.filter(|name| !name.is_empty()).map(|name| match name.as_str() {
            "none" => Assignee::Nobody,
            "me" => Assignee::Is(logged_in.user.name.clone()),
            _ => Assignee::Is(name),
        }),
        site: query.site,
        customer: query.customer,
        words: query.q,
        test: query.test.map(bool::from),
        agent: None,
        before: None,
        // One more tells whether there is another page.
        limit: limit + 1,
    };
    let (rows, next) = match sort {
        Sort::Number => by_number(&api, filter, query.before, limit).await?,
        Sort::Left => by_left(&api, &filter, query.before.as_deref(), limit).await?,
    };
    let dues = queue::dues(&api.db, &rows).await.map_err(Problem::internal)?;
    let dues = dues.into_iter().filter_map(|due| {
        let row = rows.iter().find(|row| row.id == due.ticket_id)?;
        Some(Due { number: row.number.clone(), clock: due.clock, due_at: At(due.at) })
    });
    let due = dues.collect();
    let items = rows.into_iter().map(Into::into).collect();
    Ok(Json(TicketList { items, due, next }))
}

type Page = (Vec<TicketRow>, Option<String>);

async fn by_number(api: &Api, filter: Filter, before: Option<String>, limit: i64) -> Answer<Page> {
    if before.as_deref().is_some_and(|before| tickets::ordinal(before).is_none()) {
        let text = "before: expected a ticket's number such as T-000123";
        return Err(Problem::Malformed(text.to_owned()));
    }
    let filter = Filter { before, ..filter };
    let rows = tickets::list(&api.db, &filter).await.map_err(Problem::internal)?;
    Ok(page(rows, limit, |row| row.number.clone()))
}

async fn by_left(api: &Api, filter: &Filter, before: Option<&str>, limit: i64) -> Answer<Page> {
    let wrong = || Problem::Malformed("before: expected next of the page before".to_owned());
    let after = before.map_or(Some(Left::START), Left::read).ok_or_else(wrong)?;
    let rows = queue::by_left(&api.db, filter, after).await.map_err(Problem::internal)?;
    let (rows, next) = page(rows, limit, |(_, place)| place.cursor());
    Ok((rows.into_iter().map(|(row, _)| row).collect(), next))
}
