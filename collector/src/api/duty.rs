//! Who is on duty: now, this week; people, swaps, absence; calls and their answers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{Body, Name, Params};
use super::model::At;
use super::rights::Role;
use super::session::LoggedIn;
use crate::flow::duty::actions::{self, By, Details, DutyError};
use crate::flow::duty::view;
use crate::roster::{Post, Shift};
use crate::store::duty::{AbsenceRow, PersonRow};

/// Longest board, days.
const MAX_DAYS: i64 = 42;
const DAY_MS: i64 = 86_400_000;

/// Somebody on duty.
#[derive(Serialize, ToSchema)]
pub struct OnDuty {
    /// `desk`, `l1`, `l2`, `l3`, `dispatcher`, `manager`.
    level: String,
    /// Log-in name.
    person: String,
    /// Name shown to others.
    display_name: String,
    /// Telephone number; empty: none is known.
    phone: String,
    /// The roster.
    roster: String,
    /// The shift's name.
    pattern: String,
    /// Since when.
    from: At,
    /// Until when.
    until: At,
    /// Is on the roster, but not there.
    absent: bool,
}

/// An open ticket whose engineer is absent.
#[derive(Serialize, ToSchema)]
pub struct Orphan {
    /// The ticket's number.
    number: String,
    /// The device.
    device: String,
    /// Who works on it.
    assignee: String,
    /// `p1` … `p4`.
    priority: String,
}

/// Until when a roster is published.
#[derive(Serialize, ToSchema)]
pub struct Published {
    /// The roster.
    roster: String,
    /// Shifts that begin before this are fixed: a change is a swap.
    until: At,
}

/// Who is on duty.
#[derive(Serialize, ToSchema)]
pub struct DutyNow {
    /// The moment.
    at: At,
    /// Who is on duty then, by level.
    items: Vec<OnDuty>,
    /// Levels (l1, l2, l3, manager) at which nobody is there.
    nobody: Vec<String>,
    /// Open tickets of people who are absent, the most urgent first: at most 200.
    orphans: Vec<Orphan>,
    /// How far the rosters are published.
    published: Vec<Published>,
}

/// Which moment.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Moment {
    /// RFC 3339; now without it.
    at: Option<String>,
}

/// Which days.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Range {
    /// RFC 3339; now without it.
    from: Option<String>,
    /// So many days, 1 to 42; 7 without it.
    days: Option<i64>,
}

/// A shift.
#[derive(Serialize, ToSchema)]
pub struct ShiftView {
    /// Its id; null: it is planned, not published.
    #[schema(required)]
    id: Option<String>,
    /// The roster.
    roster: String,
    /// The shift's name.
    pattern: String,
    /// The level.
    level: String,
    /// Its beginning.
    from: At,
    /// Its end.
    until: At,
    /// Who has it.
    person: String,
    /// Who had it when it was published.
    planned: String,
}

/// Somebody is not there.
#[derive(Serialize, ToSchema)]
pub struct Absence {
    /// Its id.
    id: String,
    /// Who.
    person: String,
    /// From then.
    from: At,
    /// Until then.
    until: At,
    /// Why.
    reason: String,
    /// Who wrote it down.
    by: String,
}

/// A shift went to somebody else.
#[derive(Serialize, ToSchema)]
pub struct Swap {
    /// The shift.
    shift: String,
    /// Who had it.
    from: String,
    /// Who has it.
    to: String,
    /// Why.
    reason: String,
    /// When.
    at: At,
    /// Who did it.
    by: String,
}

/// The board of some days.
#[derive(Serialize, ToSchema)]
pub struct DutyBoard {
    /// Its beginning.
    from: At,
    /// Its end.
    until: At,
    /// The shifts, in order.
    shifts: Vec<ShiftView>,
    /// Who is not there.
    absences: Vec<Absence>,
    /// The latest 50 swaps, whatever the days.
    swaps: Vec<Swap>,
}

/// A person, as far as duty goes.
#[derive(Serialize, ToSchema)]
pub struct DutyPerson {
    /// Log-in name.
    name: String,
    /// Name shown to others.
    display_name: String,
    /// See the roles.
    role: String,
    /// `l1`, … as the role says.
    #[schema(required)]
    level: Option<String>,
    /// May not log in any more.
    disabled: bool,
    /// E-mail address; empty: none.
    mail: String,
    /// Telephone number; empty: none.
    phone: String,
    /// What the person knows.
    skills: Vec<String>,
    /// Sites that the person goes to; with neither sites nor customers: all.
    sites: Vec<String>,
    /// Customers to whose sites the person goes.
    customers: Vec<String>,
    /// +1 per change; 0: nothing was written yet.
    version: i64,
}

/// What is to be known of a person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonWish {
    /// The version that was seen.
    version: i64,
    /// E-mail address.
    #[serde(default)]
    mail: String,
    /// Telephone number.
    #[serde(default)]
    phone: String,
    /// Words that are looked for in vendor, model and kind of fault.
    #[serde(default)]
    skills: Vec<String>,
    /// Sites.
    #[serde(default)]
    sites: Vec<String>,
    /// Customers.
    #[serde(default)]
    customers: Vec<String>,
}

/// A swap that is wanted: either `to` or `other`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SwapWish {
    /// The person who is to have it.
    #[serde(default)]
    to: Option<String>,
    /// The shift that is given for it.
    #[serde(default)]
    other: Option<String>,
    /// Why.
    reason: String,
}

/// An absence that is to be known.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AbsenceWish {
    /// Who; oneself without it.
    #[serde(default)]
    person: Option<String>,
    /// RFC 3339; now without it.
    #[serde(default)]
    from: Option<String>,
    /// RFC 3339; two years after its beginning at most.
    until: String,
    /// Why.
    reason: String,
}

fn moment(key: &str, text: &str) -> Result<Time, Problem> {
    Time::parse(text).map_err(|_| {
        let expected = "expected a time such as 2026-12-01T02:00:00+08:00";
        Problem::Malformed(format!("{key}: {expected}"))
    })
}

fn refused(error: DutyError) -> Problem {
    match error {
        e @ DutyError::Wrong(..) => Problem::Malformed(e.to_string()),
        DutyError::NotFound(what) => Problem::NotFound(match what {
            "person" => "such person",
            "absence" => "such absence, or it was taken back",
            _ => "such published shift",
        }),
        DutyError::Version(version) => Problem::Changed(version),
        DutyError::NotYours => Problem::Forbidden,
        e @ DutyError::Store(_) => Problem::internal(e),
    }
}

/// Who acts, and for whom he may.
fn by(logged_in: &LoggedIn) -> By<'_> {
    let leads = [Role::Dispatcher, Role::Manager, Role::Administrator];
    let for_others = logged_in.role().is_some_and(|role| leads.contains(&role));
    By { user: &logged_in.user.name, for_others, at: Time::now() }
}

fn shift(s: Shift) -> ShiftView {
    ShiftView {
        id: s.id,
        roster: s.roster,
        pattern: s.pattern,
        level: s.level.as_str().to_owned(),
        from: At(s.from),
        until: At(s.to),
        person: s.person,
        planned: s.planned,
    }
}

fn absence(a: AbsenceRow) -> Absence {
    Absence {
        id: a.id,
        person: a.person,
        from: At(a.from),
        until: At(a.to),
        reason: a.reason,
        by: a.created_by,
    }
}

fn person(p: PersonRow) -> DutyPerson {
    let all = |text: &str| crate::masters::list(text).map(str::to_owned).collect();
    DutyPerson {
        level: Post::of_role(&p.role).map(|post| post.as_str().to_owned()),
        skills: all(&p.skills),
        sites: all(&p.sites),
        customers: all(&p.customers),
        name: p.name,
        display_name: p.display_name,
        role: p.role,
        disabled: p.disabled,
        mail: p.mail,
        phone: p.phone,
        version: p.version,
    }
}

/// Who is on duty.
#[utoipa::path(get, path = "/api/v1/duty", operation_id = "get_duty", tag = "duty", params(Moment), responses(
    (status = 200, description = "Who is on duty, by level", body = DutyNow),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn now(
    State(api): State<Arc<Api>>,
    Params(when): Params<Moment>,
) -> Answer<Json<DutyNow>> {
    let at = when.at.as_deref().map_or_else(|| Ok(Time::now()), |text| moment("at", text))?;
    let view = view::now(&api.db, at).await.map_err(Problem::internal)?;
    let there = |post: Post| {
        view.shifts.iter().any(|s| s.level == post && !view.board.is_absent(&s.person, at))
    };
    let posts = [Post::L1, Post::L2, Post::L3, Post::Manager];
    let nobody = posts.into_iter().filter(|post| !there(*post));
    let nobody = nobody.map(|post| post.as_str().to_owned()).collect();
    let mut shifts = view.shifts.clone();
    shifts.sort_by(|a, b| (a.level, &a.person).cmp(&(b.level, &b.person)));
    let items = shifts.into_iter().map(|s| {
        let of = view.people.get(&s.person);
        OnDuty {
            level: s.level.as_str().to_owned(),
            display_name: of.map_or_else(|| s.person.clone(), |p| p.display_name.clone()),
            phone: of.map(|p| p.phone.clone()).unwrap_or_default(),
            absent: view.board.is_absent(&s.person, at),
            person: s.person,
            roster: s.roster,
            pattern: s.pattern,
            from: At(s.from),
            until: At(s.to),
        }
    });
    let items = items.collect();
    let orphans = view.orphans.into_iter().map(|(number, device, assignee, priority)| Orphan {
        number,
        device,
        assignee,
        priority,
    });
    let published = view.published.into_iter();
    let published = published.map(|(roster, until)| Published { roster, until: At(until) });
    Ok(Json(DutyNow {
        at: At(at),
        items,
        nobody,
        orphans: orphans.collect(),
        published: published.collect(),
    }))
}

/// The board of some days: shifts, absence, swaps.
#[utoipa::path(get, path = "/api/v1/duty/board", operation_id = "get_duty_board", tag = "duty", params(Range), responses(
    (status = 200, description = "The board", body = DutyBoard),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn board(
    State(api): State<Arc<Api>>,
    Params(range): Params<Range>,
) -> Answer<Json<DutyBoard>> {
    let from =
        range.from.as_deref().map_or_else(|| Ok(Time::now()), |text| moment("from", text))?;
    let days = range.days.unwrap_or(7);
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(Problem::Malformed(format!("days: expected 1 to {MAX_DAYS}, found {days}")));
    }
    let until = from.plus_ms(days * DAY_MS);
    let view = view::days(&api.db, from, until).await.map_err(Problem::internal)?;
    let swaps = view.swaps.into_iter().map(|s| Swap {
        shift: s.shift_id,
        from: s.from_person,
        to: s.to_person,
        reason: s.reason,
        at: At(s.at),
        by: s.who,
    });
    Ok(Json(DutyBoard {
        from: At(from),
        until: At(until),
        shifts: view.shifts.into_iter().map(shift).collect(),
        absences: view.absences.into_iter().map(absence).collect(),
        swaps: swaps.collect(),
    }))
}

/// Everybody in service, as far as duty goes.
#[utoipa::path(get, path = "/api/v1/duty/people", operation_id = "list_duty_people", tag = "duty", responses(
    (status = 200, description = "By name", body = Vec<DutyPerson>),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn people(State(api): State<Arc<Api>>) -> Answer<Json<Vec<DutyPerson>>> {
    let all = view::people(&api.db).await.map_err(Problem::internal)?;
    Ok(Json(all.into_iter().map(person).collect()))
}

/// Write what duty knows of a person.
#[utoipa::path(post, path = "/api/v1/duty/people/{name}", operation_id = "put_duty_person", tag = "duty",
    params(("name" = String, Path, description = "Log-in name")), request_body = PersonWish, responses(
    (status = 200, description = "As it is now", body = DutyPerson),
    (status = 400, description = "Malformed: the text says where", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such person", body = ProblemBody),
    (status = 409, description = "Somebody was faster", body = ProblemBody),
))]
pub async fn put_person(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(name): Name,
    Body(wish): Body<PersonWish>,
) -> Answer<Json<DutyPerson>> {
    let details = Details {
        mail: wish.mail,
        phone: wish.phone,
        skills: wish.skills,
        sites: wish.sites,
        customers: wish.customers,
    };
    let row = actions::put_person(&api.db, &name, wish.version, &details, by(&logged_in)).await;
    Ok(Json(person(row.map_err(refused)?)))
}

/// Give a published shift to another person, or for another shift.
#[utoipa::path(post, path = "/api/v1/shifts/{id}/swap", operation_id = "swap_shift", tag = "duty",
    params(("id" = String, Path, description = "The shift's id")), request_body = SwapWish, responses(
    (status = 204, description = "Done"),
    (status = 400, description = "Malformed: the text says where", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Another person's, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such published shift", body = ProblemBody),
))]
pub async fn swap(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(id): Name,
    Body(wish): Body<SwapWish>,
) -> Answer<StatusCode> {
    let (to, other) = (wish.to.as_deref(), wish.other.as_deref());
    let done = actions::swap(&api.db, &id, to, other, &wish.reason, by(&logged_in)).await;
    done.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Say that somebody will not be there.
#[utoipa::path(post, path = "/api/v1/absences", operation_id = "add_absence", tag = "duty", request_body = AbsenceWish, responses(
    (status = 200, description = "The absence", body = Absence),
    (status = 400, description = "Malformed: the text says where", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Another person's, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such person", body = ProblemBody),
))]
pub async fn add_absence(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Body(wish): Body<AbsenceWish>,
) -> Answer<Json<Absence>> {
    let by = by(&logged_in);
    let from = wish.from.as_deref().map_or(Ok(by.at), |text| moment("from", text))?;
    let until = moment("until", &wish.until)?;
    let person = wish.person.as_deref().unwrap_or(by.user);
    let row = actions::absent(&api.db, person, (from, until), &wish.reason, by).await;
    Ok(Json(absence(row.map_err(refused)?)))
}

/// Take an absence back.
#[utoipa::path(delete, path = "/api/v1/absences/{id}", operation_id = "end_absence", tag = "duty",
    params(("id" = String, Path, description = "The absence's id")), responses(
    (status = 204, description = "It is taken back"),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Another person's, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such absence, or it was taken back", body = ProblemBody),
))]
pub async fn end_absence(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(id): Name,
) -> Answer<StatusCode> {
    actions::present(&api.db, &id, by(&logged_in)).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}
