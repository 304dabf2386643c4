//! Web sessions: the cookie, its secret, how long it lives.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callhome_shared::heartbeat::hex;
use callhome_shared::time::Time;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::{Answer, Problem};
use super::rights::Role;
use crate::store::api_tokens::ApiToken;
use crate::store::sessions::{self, Session};
use crate::store::users::User;
use crate::store::{Db, StoreError};

/// The cookie's name.
pub const SESSION_COOKIE: &str = "callhome_session";
/// The header that changing requests carry.
pub const CSRF_HEADER: &str = "x-csrf-token";
/// A session lives no longer than this.
pub const ABSOLUTE_MS: i64 = 12 * 3600 * 1000;
/// Without a request it ends after this.
pub const IDLE_MS: i64 = 60 * 60 * 1000;
/// Requests closer together than this are one write.
const TOUCH_MS: i64 = 60 * 1000;

/// Who asks. In the extensions of requests that need a session.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// By what.
    pub means: Means,
    /// Whose it is.
    pub user: User,
}

/// By what somebody asks.
#[derive(Clone, Debug)]
pub enum Means {
    /// A person's browser.
    Session(Session),
    /// A program.
    Token(ApiToken),
}

impl LoggedIn {
    /// The user's role; `None` when this program does not know it.
    pub fn role(&self) -> Option<Role> {
        Role::parse(&self.user.role)
    }

    /// The session. What needs one is closed to tokens by the table of rights.
    pub fn session(&self) -> Answer<&Session> {
        match &self.means {
            Means::Session(session) => Ok(session),
            Means::Token(_) => Err(Problem::NotLoggedIn),
        }
    }
}

/// Whether the header carries the session's token.
pub fn csrf_fits(session: &Session, headers: &HeaderMap) -> bool {
    let shown = headers.get(CSRF_HEADER).map(HeaderValue::as_bytes).unwrap_or_default();
    bool::from(shown.ct_eq(session.csrf.as_bytes()))
}

/// Begins a session; answers it and the cookie that carries its secret.
pub async fn begin(db: &Db, user: &User, now: Time) -> Answer<(Session, HeaderValue)> {
    let secret = secret()?;
    let session = Session {
        id_hash: hash(&secret),
        user_name: user.name.clone(),
        csrf: self::secret()?,
        created_at: now,
        expires_at: expiry(now, now),
        last_used_at: now,
    };
    sessions::insert(db, &session).await.map_err(Problem::internal)?;
    let cookie = cookie(&secret, ABSOLUTE_MS / 1000)?;
    Ok((session, cookie))
}

/// The living session that the request's cookie names, if any.
pub async fn of_request(
    db: &Db,
    headers: &HeaderMap,
    now: Time,
) -> Result<Option<LoggedIn>, StoreError> {
    let Some(secret) = cookie_value(headers) else { return Ok(None) };
    let found = sessions::get(db, &hash(secret), now).await?;
    Ok(found.map(|(session, user)| LoggedIn { means: Means::Session(session), user }))
}

/// Notes that the session is in use, now and then.
pub async fn touch(db: &Db, session: &Session, now: Time) {
    if now.since_ms(session.last_used_at) < TOUCH_MS {
        return;
    }
    let until = expiry(session.created_at, now);
    if let Err(e) = sessions::touch(db, &session.id_hash, now, until).await {
        // The request itself is fine; at worst the session ends earlier than it should.
        tracing::warn!(error = &e as &dyn std::error::Error, "session not prolonged");
    }
}

/// The cookie that makes the browser forget the session.
pub fn no_cookie() -> Answer<HeaderValue> {
    cookie("", 0)
}

fn expiry(created: Time, now: Time) -> Time {
    now.plus_ms(IDLE_MS).min(created.plus_ms(ABSOLUTE_MS))
}

fn cookie(value: &str, max_age_s: i64) -> Answer<HeaderValue> {
    let text = format!(
        "{SESSION_COOKIE}={value}; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age={max_age_s}"
    );
    HeaderValue::from_str(&text).map_err(Problem::internal)
}

/// 256 random bits.
pub(super) fn secret() -> Answer<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|e| Problem::Internal(anyhow::anyhow!("no randomness: {e}")))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

fn cookie_value(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == SESSION_COOKIE && !value.is_empty() && value.len() <= 64)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_among_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(cookie_value(&headers), None);
        headers.append(COOKIE, HeaderValue::from_static("a=b; callhome_session=xyz; c"));
        assert_eq!(cookie_value(&headers), Some("xyz"));
        headers.clear();
        headers.append(COOKIE, HeaderValue::from_static("callhome_session="));
        assert_eq!(cookie_value(&headers), None);
    }

    #[test]
    fn idle_never_outlives_absolute() {
        let created = Time(0);
        assert_eq!(expiry(created, Time(0)), Time(IDLE_MS));
        assert_eq!(expiry(created, Time(ABSOLUTE_MS - 5)), Time(ABSOLUTE_MS));
    }

    #[test]
    fn secrets_are_long_and_differ() {
        let (a, b) = (secret().unwrap(), secret().unwrap());
        assert_eq!(a.len(), 43);
        assert_ne!(a, b);
        assert_eq!(hash("x").len(), 64);
    }
}
