//! Asks the table of rights before any handler runs.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use callhome_shared::time::Time;

use super::Api;
use super::error::{Answer, Problem};
use super::rights::{self, Permit, Ruling, Who};
use super::session;

/// Lets the request through, with its [`session::LoggedIn`], or refuses it.
pub async fn guard(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    match admit(&api, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn admit(api: &Api, request: &mut Request) -> Answer<()> {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or("", MatchedPath::as_str);
    let who = match rights::ruling(request.method(), path) {
        Ruling::For(who) => who,
        Ruling::OtherMethod => return Err(Problem::WrongMethod(rights::methods(path))),
        Ruling::Unknown => return Err(Problem::NotFound("such path")),
    };
    if who == Who::Anyone {
        return Ok(());
    }
    let now = Time::now();
    let found = session::of_request(&api.db, request.headers(), now).await;
    let logged_in = found.map_err(Problem::internal)?.ok_or(Problem::NotLoggedIn)?;
    match rights::permits(who, logged_in.role(), logged_in.user.must_change) {
        Permit::Yes => {}
        Permit::No => return Err(Problem::Forbidden),
        Permit::PasswordFirst => return Err(Problem::PasswordChangeRequired),
    }
    if changes(request.method()) && !logged_in.csrf_fits(request.headers()) {
        return Err(Problem::Csrf);
    }
    session::touch(&api.db, &logged_in.session, now).await;
    request.extensions_mut().insert(logged_in);
    Ok(())
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
