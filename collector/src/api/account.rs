//! Logging in and out, and what people change about themselves.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::Body;
use super::oidc::Door;
use super::record;
use super::rights::Role;
use super::server::Source;
use super::session::{self, LoggedIn};
use crate::audit::{Deed, Entry};
use crate::password::{self, PasswordError};
use crate::store::users::{self, User};
use crate::store::{Db, StoreError, audit, sessions};

/// Longest name that is looked up.
const MAX_NAME_BYTES: usize = 128;

/// Name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Log-in name.
    #[schema(max_length = 128)]
    name: String,
    /// Password.
    #[schema(value_type = String, format = Password)]
    password: Zeroizing<String>,
}

/// The old password and the new one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The present one.
    #[schema(value_type = String, format = Password)]
    old: Zeroizing<String>,
    /// At least 10 characters, at most 1024 bytes, and not the old one.
    #[schema(value_type = String, format = Password, min_length = 10)]
    new: Zeroizing<String>,
}

/// The wished language.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LanguageChange {
    /// Language of the console.
    language: Language,
}

/// A language of the console.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
pub enum Language {
    /// Chinese, simplified.
    #[serde(rename = "zh-CN")]
    Chinese,
    /// English.
    #[serde(rename = "en")]
    English,
}

/// Who is logged in.
#[derive(Serialize, ToSchema)]
pub struct Me {
    /// The user.
    user: Person,
    /// What changing requests carry in `X-CSRF-Token`.
    csrf: String,
}

/// A user, as he sees himself.
#[derive(Serialize, ToSchema)]
pub struct Person {
    /// Log-in name.
    name: String,
    /// Name shown to others.
    display_name: String,
    /// Role.
    #[schema(example = "support_engineer")]
    role: String,
    /// Language of the console.
    #[schema(value_type = Language)]
    language: String,
    /// Until it is changed, only that can be done.
    must_change_password: bool,
}

fn me_of(user: User, csrf: String) -> Me {
    let user = Person {
        name: user.name,
        display_name: user.display_name,
        role: user.role,
        language: user.language,
        must_change_password: user.must_change,
    };
    Me { user, csrf }
}

/// Log in. Answers a session's cookie. Failures delay further tries, per account and per address.
#[utoipa::path(post, path = "/api/v1/login", operation_id = "log_in", tag = "account", request_body = Login, responses(
    (status = 200, description = "Logged in", body = Me,
        headers(("Set-Cookie" = String, description = "The session"))),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Name or password are wrong", body = ProblemBody),
    (status = 403, description = "By password only administrators log in here", body = ProblemBody),
    (status = 415, description = "Not JSON", body = ProblemBody),
    (status = 429, description = "Too many failures; see Retry-After", body = ProblemBody),
))]
pub async fn login(
    State(api): State<Arc<Api>>,
    Extension(Source(source)): Extension<Source>,
    Body(login): Body<Login>,
) -> Answer<([(HeaderName, HeaderValue); 1], Json<Me>)> {
    if login.name.len() > MAX_NAME_BYTES {
        let text = format!("name: longer than {MAX_NAME_BYTES} bytes");
        return Err(Problem::Malformed(text));
    }
    let ip = source.ip();
    let proven = prove(&api, &login.name, login.password, ip).await;
    let user = match proven.and_then(|user| by_password(&api, user)) {
        Ok(user) => user,
        Err(problem) => {
            let why = match problem {
                Problem::WrongPassword => Some("password"),
                Problem::TooManyAttempts(_) => Some("rate"),
                Problem::PasswordLoginOff => Some("password-off"),
                _ => None,
            };
            if let Some(why) = why {
                record::refused(&api, &login.name, ip, why).await;
            }
            return Err(problem);
        }
    };
    let (session, cookie) = session::begin(&api.db, &user, Time::now()).await?;
    let detail = json!({ "source": ip.to_string() });
    record::session(&api, Deed::LoggedIn, &user.name, detail).await?;
    tracing::info!(user.name = user.name, source.address = %source, "logged in");
    Ok(([(SET_COOKIE, cookie)], Json(me_of(user, session.csrf))))
}

/// The user, if he may log in by password. Told only to who knows it.
fn by_password(api: &Api, user: User) -> Answer<User> {
    let closed = api.oidc.get().is_some_and(Door::administrators_only);
    if closed && Role::parse(&user.role) != Some(Role::Administrator) {
        return Err(Problem::PasswordLoginOff);
    }
    Ok(user)
}

/// The user, if this is the password. What goes wrong is counted.
async fn prove(api: &Api, name: &str, password: Zeroizing<String>, source: IpAddr) -> Answer<User> {
    let _turn = api.logins.try_acquire().map_err(|_| Problem::Busy)?;
    attempt(api, name, source)?;
    let user = users::get(&api.db, name).await.map_err(Problem::internal)?;
    let user = user.filter(|user| user.disabled_at.is_none());
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    // Without a user this takes as long.
    let fits = password::verify_password(password, hash).await.map_err(Problem::internal)?;
    match user.filter(|_| fits) {
        Some(user) => {
            api.attempts.lock().unwrap_or_else(PoisonError::into_inner).succeeded(name, source);
            Ok(user)
        }
        None => {
            api.metrics.login_refused("password");
            tracing::warn!(source.address = %source, "log-in refused");
            Err(Problem::WrongPassword)
        }
    }
}

fn attempt(api: &Api, name: &str, source: IpAddr) -> Answer<()> {
    let mut attempts = api.attempts.lock().unwrap_or_else(PoisonError::into_inner);
    attempts.begin(name, source, Instant::now()).map_err(|wait| {
        api.metrics.login_refused("rate");
        Problem::TooManyAttempts(wait.as_secs() + 1)
    })
}

/// Log out: the session ends, its event streams too.
#[utoipa::path(post, path = "/api/v1/logout", operation_id = "log_out", tag = "account", responses(
    (status = 204, description = "Logged out"),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "X-CSRF-Token is missing or wrong", body = ProblemBody),
))]
pub async fn logout(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
) -> Answer<(StatusCode, [(HeaderName, HeaderValue); 1])> {
    let id_hash = &logged_in.session()?.id_hash;
    sessions::delete(&api.db, id_hash).await.map_err(Problem::internal)?;
    record::session(&api, Deed::LoggedOut, &logged_in.user.name, json!({})).await?;
    // Nobody listening is fine: there was no stream.
    let _ = api.ended.send(id_hash.as_str().into());
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, session::no_cookie()?)]))
}

/// Who is logged in.
#[utoipa::path(get, path = "/api/v1/me", operation_id = "get_me", tag = "account", responses(
    (status = 200, description = "Who is logged in", body = Me),
    (status = 401, description = "Nobody", body = ProblemBody),
))]
pub async fn me(Extension(logged_in): Extension<LoggedIn>) -> Answer<Json<Me>> {
    let csrf = logged_in.session()?.csrf.clone();
    Ok(Json(me_of(logged_in.user, csrf)))
}

/// Change the password. All other sessions of the user end.
#[utoipa::path(post, path = "/api/v1/me/password", operation_id = "change_password", tag = "account", request_body = PasswordChange, responses(
    (status = 204, description = "Changed"),
    (status = 400, description = "Malformed, or the new password will not do", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "The old password is wrong, or X-CSRF-Token", body = ProblemBody),
    (status = 429, description = "Too many failures; see Retry-After", body = ProblemBody),
))]
pub async fn change_password(
    State(api): State<Arc<Api>>,
    Extension(Source(source)): Extension<Source>,
    Extension(logged_in): Extension<LoggedIn>,
    Body(change): Body<PasswordChange>,
) -> Answer<StatusCode> {
    if *change.old == *change.new {
        return Err(Problem::Malformed("new: is the old password".to_owned()));
    }
    let name = &logged_in.user.name;
    prove(&api, name, change.old, source.ip()).await.map_err(|e| match e {
        Problem::WrongPassword => Problem::WrongOldPassword,
        e => e,
    })?;
    let hash = password::hash_password(change.new).await.map_err(|e| match e {
        PasswordError::TooShort | PasswordError::TooLong => Problem::Malformed(format!("new: {e}")),
        _ => Problem::internal(e),
    })?;
    let keep = Some(logged_in.session()?.id_hash.as_str());
    let known = set_own_password(&api.db, name, &hash, keep).await;
    if !known.map_err(Problem::internal)? {
        return Err(Problem::NotFound("such user"));
    }
    tracing::info!(user.name = name, "password changed");
    Ok(StatusCode::NO_CONTENT)
}

async fn set_own_password(
    db: &Db,
    name: &str,
    hash: &str,
    keep: Option<&str>,
) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    let known = users::set_password(&mut tx, name, hash, false, keep).await?;
    if known {
        let who = format!("user:{name}");
        let detail = json!({ "one_time": false });
        let entry = Entry::new(Time::now(), &who, Deed::PasswordSet, name, detail);
        audit::append(&mut tx, &entry).await?;
    }
    tx.commit().await?;
    Ok(known)
}

/// Choose the console's language.
#[utoipa::path(post, path = "/api/v1/me/language", operation_id = "change_language", tag = "account", request_body = LanguageChange, responses(
    (status = 204, description = "Kept"),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "X-CSRF-Token is missing or wrong", body = ProblemBody),
))]
pub async fn change_language(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Body(change): Body<LanguageChange>,
) -> Answer<StatusCode> {
    let language = match change.language {
        Language::Chinese => "zh-CN",
        Language::English => "en",
    };
    let name = &logged_in.user.name;
    users::set_language(&api.db, name, language).await.map_err(Problem::internal)?;
    Ok(StatusCode::NO_CONTENT)
}
