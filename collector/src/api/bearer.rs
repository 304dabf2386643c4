//! Programs that show a token instead of a session.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::Instant;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use callhome_shared::time::Time;
use subtle::ConstantTimeEq as _;

use super::error::{Answer, Problem};
use super::session::{LoggedIn, Means};
use super::{Api, record};
use crate::access::Shown;
use crate::store::api_tokens::{self, ApiToken};

/// Requests closer together than this are one write.
const TOUCH_MS: i64 = 60 * 1000;

/// What the header `Authorization` carries after `Bearer`, if it does.
pub fn shown(headers: &HeaderMap) -> Option<&str> {
    let (scheme, text) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| text.trim())
}

/// Whose token it is. A wrong one counts against the address that it comes from: after too many of
/// them nothing is let in from there for a while but tokens that were right from there before.
pub async fn prove(api: &Api, text: &str, source: IpAddr, now: Time) -> Answer<LoggedIn> {
    let claim = Shown::parse(text);
    let id = claim.as_ref().map(|claim| claim.id.to_string()).unwrap_or_default();
    let wait = with_tries(api, |tries| tries.wait(source, &id, Instant::now()));
    if let Some(wait) = wait {
        api.metrics.login_refused("rate");
        return Err(Problem::TooManyAttempts(wait.as_secs() + 1));
    }
    let found = match &claim {
        Some(_) => api_tokens::get(&api.db, &id).await.map_err(Problem::internal)?,
        None => None,
    };
    // An unknown token is compared, too.
    let known = found.as_ref().map_or("", |(token, _)| token.secret_hash.as_str());
    let hash = claim.map(|claim| claim.hash()).unwrap_or_default();
    let fits = bool::from(known.as_bytes().ct_eq(hash.as_bytes())) && !known.is_empty();
    let good =
        found.filter(|(token, owner)| fits && token.lives(now) && owner.disabled_at.is_none());
    let Some((token, user)) = good else {
        with_tries(api, |tries| tries.failed(source, Instant::now()));
        api.metrics.login_refused("token");
        tracing::warn!(source.address = %source, token = id, "API token refused");
        record::refused(api, "", source, "token").await;
        return Err(Problem::WrongToken);
    };
    with_tries(api, |tries| tries.succeeded(source, &id, Instant::now()));
    touch(api, &token, now).await;
    Ok(LoggedIn { means: Means::Token(token), user })
}

fn with_tries<T>(api: &Api, what: impl FnOnce(&mut super::attempts::TokenTries) -> T) -> T {
    what(&mut api.token_tries.lock().unwrap_or_else(PoisonError::into_inner))
}

async fn touch(api: &Api, token: &ApiToken, now: Time) {
    if token.last_used_at.is_some_and(|used| now.since_ms(used) < TOUCH_MS) {
        return;
    }
    if let Err(e) = api_tokens::touch(&api.db, &token.id, now).await {
        // The request itself is fine; the list shows an older time.
        tracing::warn!(error = &e as &dyn std::error::Error, "use of a token not noted");
    }
}
