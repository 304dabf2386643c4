//! Asks the table of rights before any handler runs.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use callhome_shared::time::Time;

use super::error::{self, Answer, Problem};
use super::pace::{Paces, Standing, TooFast};
use super::rights::{self, Permit, Record, Ruling, Who};
use super::server::Source;
use super::session::{self, LoggedIn, Means};
use super::{Api, bearer, record};

/// Lets the request through, with its [`session::LoggedIn`], or refuses it.
pub async fn guard(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    match admit(&api, &mut request).await {
        Ok(None) => next.run(request).await,
        Ok(Some(Admitted { standing, record, logged_in })) => {
            let mut response = record::through(api, record, logged_in, request, next).await;
            error::say_standing(response.headers_mut(), &standing);
            response
        }
        Err(problem) => problem.into_response(),
    }
}

/// A request of somebody.
struct Admitted {
    /// How his limit stands.
    standing: Standing,
    /// What of it goes into the record.
    record: Record,
    logged_in: LoggedIn,
}

/// Answers who asks, if it matters.
async fn admit(api: &Api, request: &mut Request) -> Answer<Option<Admitted>> {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or("", MatchedPath::as_str);
    let source = request.extensions().get::<Source>().map(|Source(address)| address.ip());
    // Before anything is looked up. Not the probes: a supervisor would take a refusal for an illness.
    if path.starts_with("/api/") {
        let pace = |source| lock(api).from_source(source, Instant::now());
        source.map(pace).transpose().map_err(|e| too_fast(api, e, "", source))?;
    }
    let right = match rights::ruling(request.method(), path) {
        Ruling::For(right) => right,
        Ruling::OtherMethod => return Err(Problem::WrongMethod(rights::methods(path))),
        Ruling::Unknown => return Err(Problem::NotFound("such path")),
    };
    let (who, scope) = (right.who, right.scope);
    if who == Who::Anyone {
        return Ok(None);
    }
    let now = Time::now();
    let logged_in = who_asks(api, request.headers(), source, now).await?;
    let (name, must_change) = match &logged_in.means {
        Means::Session(_) => (logged_in.user.name.clone(), logged_in.user.must_change),
        // A program's pace is its own. A name has no colon.
        Means::Token(token) => (format!("token:{}", token.id), false),
    };
    let standing = lock(api).of_user(&name, Instant::now());
    let standing = standing.map_err(|e| too_fast(api, e, &name, None))?;
    if let Means::Token(token) = &logged_in.means
        && !scope.is_some_and(|scope| token.scopes.contains(&scope))
    {
        return Err(Problem::OutOfScope(scope));
    }
    match rights::permits(who, logged_in.role(), must_change) {
        Permit::Yes => {}
        Permit::No => return Err(Problem::Forbidden),
        Permit::PasswordFirst => return Err(Problem::PasswordChangeRequired),
    }
    if let Means::Session(session) = &logged_in.means {
        // A browser sends its cookie by itself, but never a token.
        if changes(request.method()) && !session::csrf_fits(session, request.headers()) {
            return Err(Problem::Csrf);
        }
        session::touch(&api.db, session, now).await;
    }
    request.extensions_mut().insert(logged_in.clone());
    Ok(Some(Admitted { standing, record: right.record(), logged_in }))
}

/// By a token where one is shown, else by the session.
async fn who_asks(
    api: &Api,
    headers: &HeaderMap,
    source: Option<IpAddr>,
    now: Time,
) -> Answer<LoggedIn> {
    if let Some(text) = bearer::shown(headers) {
        let source = source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        return bearer::prove(api, text, source, now).await;
    }
    let found = session::of_request(&api.db, headers, now).await;
    found.map_err(Problem::internal)?.ok_or(Problem::NotLoggedIn)
}

fn lock(api: &Api) -> MutexGuard<'_, Paces> {
    api.paces.lock().unwrap_or_else(PoisonError::into_inner)
}

fn too_fast(api: &Api, refused: TooFast, user: &str, source: Option<IpAddr>) -> Problem {
    let limit = refused.standing.limit;
    api.metrics.request_refused(limit);
    if refused.first {
        tracing::warn!(limit, user.name = user, source.address = ?source, "API asked too fast");
    }
    Problem::TooManyRequests(refused)
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
