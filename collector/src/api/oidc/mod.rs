//! Log-in by an OpenID provider: authorization code with PKCE (RFC 7636), state and nonce. What belongs to a log-in under
//! way is in the browser's cookie alone: the collector keeps nothing of it, so nothing fills up.

mod provider;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::Url;
use utoipa::{IntoParams, ToSchema};

use self::provider::{Provider, Shown};
use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::Params;
use super::record;
use super::rights::Role;
use super::server::Source;
use super::session::{self, secret};
use crate::access::oidc::{Refusal, role};
use crate::audit::Deed;
use crate::flow::oidc::{self, Identity, OidcError};
use crate::settings::Oidc;
use crate::store::users::User;

/// The cookie of a log-in under way. Its prefix keeps other hosts from setting it.
const COOKIE_NAME: &str = "__Host-callhome_oidc";
/// A log-in at the provider may take so long, seconds.
const UNDER_WAY_S: u32 = 600;
/// Log-ins at the same time; one more is told that the collector is busy. Those by password have places of their own.
pub(super) const AT_ONCE: usize = 16;
/// Longest code or state that is looked at, bytes.
const MAX_PARAM: usize = 4096;

/// The provider, and places for those who come from it.
pub struct Door {
    provider: Provider,
    places: tokio::sync::Semaphore,
}

impl Door {
    /// Gets ready; asks nobody yet.
    pub fn new(settings: Oidc) -> anyhow::Result<Self> {
        let places = tokio::sync::Semaphore::new(AT_ONCE);
        Ok(Door { provider: Provider::new(settings)?, places })
    }

    /// Whether only administrators log in by password.
    pub(super) fn administrators_only(&self) -> bool {
        self.provider.settings.administrators_only
    }
}

/// How people log in here.
#[derive(Serialize, ToSchema)]
pub struct Ways {
    /// Who logs in by password: `all`, or `administrators` where there is another way.
    #[schema(example = "all")]
    password: &'static str,
    /// The other way, if there is one: `GET /api/v1/oidc/start`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    oidc: Option<OidcWay>,
}

/// Log-in by an OpenID provider.
#[derive(Serialize, ToSchema)]
pub struct OidcWay {
    /// What the button says; without it what the console's language says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    label: Option<String>,
}

/// What the provider answers through the browser.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Answered {
    /// What is good for one ID token.
    code: Option<String>,
    /// Of the log-in that was begun.
    state: Option<String>,
    /// Which provider it is (RFC 9207).
    iss: Option<String>,
    /// Why not.
    error: Option<String>,
}

/// How people log in: by password, by an OpenID provider.
#[utoipa::path(get, path = "/api/v1/login", operation_id = "get_ways_to_log_in", tag = "account", responses(
    (status = 200, description = "The ways", body = Ways),
))]
pub async fn ways(State(api): State<Arc<Api>>) -> Json<Ways> {
    let door = api.oidc.get();
    let password = match door {
        Some(door) if door.administrators_only() => "administrators",
        _ => "all",
    };
    let way = |door: &Door| OidcWay { label: door.provider.settings.label.clone() };
    Json(Ways { password, oidc: door.map(way) })
}

/// Begin a log-in at the OpenID provider: sends the browser there.
#[utoipa::path(get, path = "/api/v1/oidc/start", operation_id = "start_oidc", tag = "account", responses(
    (status = 303, description = "To the provider, or to the console with the reason why not"),
    (status = 404, description = "No provider is configured", body = ProblemBody),
))]
pub async fn start(State(api): State<Arc<Api>>) -> Answer<Response> {
    let door = door(&api)?;
    let metadata = match door.provider.metadata().await {
        Ok(metadata) => metadata,
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "api.oidc.provider");
            return to_console(Some(Refusal::Provider), None);
        }
    };
    let (state, nonce, verifier) = (secret()?, secret()?, secret()?);
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    let settings = &door.provider.settings;
    let mut place = Url::parse(&metadata.authorization_endpoint).map_err(Problem::internal)?;
    place
        .query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &settings.client_id)
        .append_pair("redirect_uri", &settings.redirect)
        .append_pair("scope", &settings.scopes.join(" "))
        .append_pair("state", &state)
        .append_pair("nonce", &nonce)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    // Lax: the provider sends the browser back from another site.
    let cookie = format!(
        "{COOKIE_NAME}={state}.{nonce}.{verifier}; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age={UNDER_WAY_S}"
    );
    let cookie = HeaderValue::from_str(&cookie).map_err(Problem::internal)?;
    go(place.as_str(), [Some(cookie), None])
}

/// Where the provider sends the browser back to: logs in and goes on to the console.
#[utoipa::path(get, path = "/api/v1/oidc/callback", operation_id = "end_oidc", tag = "account", params(Answered), responses(
    (status = 303, description = "To the console: with a session's cookie, or with the reason why not (`?login=oidc-…`)",
        headers(("Set-Cookie" = String, description = "The session"))),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 404, description = "No provider is configured", body = ProblemBody),
))]
pub async fn callback(
    State(api): State<Arc<Api>>,
    Extension(Source(source)): Extension<Source>,
    headers: HeaderMap,
    Params(answered): Params<Answered>,
) -> Answer<Response> {
    let door = door(&api)?;
    let ip = source.ip();
    let refused = match enter(&api, door, &headers, &answered).await {
        Ok(user) => {
            let (_, cookie) = session::begin(&api.db, &user, Time::now()).await?;
            let detail = json!({ "source": ip.to_string(), "by": "oidc" });
            record::session(&api, Deed::LoggedIn, &user.name, detail).await?;
            tracing::info!(user.name = user.name, source.address = %source, "logged in by OIDC");
            return to_console(None, Some(cookie));
        }
        Err(OidcError::Refused(refusal, name)) => (refusal, name),
        Err(error) => return Err(Problem::internal(error)),
    };
    let (refusal, name) = refused;
    api.metrics.login_refused("oidc");
    tracing::warn!(source.address = %source, why = refusal.as_str(), "log-in by OIDC refused");
    record::refused(&api, name.as_deref().unwrap_or_default(), ip, refusal.as_str()).await;
    to_console(Some(refusal), None)
}

async fn enter(
    api: &Api,
    door: &Door,
    headers: &HeaderMap,
    answered: &Answered,
) -> Result<User, OidcError> {
    let refuse = |refusal| OidcError::Refused(refusal, None);
    let (state, nonce, verifier) = under_way(headers).ok_or(refuse(Refusal::State))?;
    let shown = answered.state.as_deref().unwrap_or_default();
    if !bool::from(shown.as_bytes().ct_eq(state.as_bytes())) {
        return Err(refuse(Refusal::State));
    }
    let _place = door.places.try_acquire().map_err(|_| refuse(Refusal::Busy))?;
    let provider = &door.provider;
    let settings = &provider.settings;
    let metadata = provider.metadata().await.map_err(|error| {
        tracing::warn!(error = format!("{error:#}"), "api.oidc.provider");
        refuse(Refusal::Provider)
    })?;
    match answered.iss.as_deref() {
        Some(iss) if iss != settings.issuer => return Err(refuse(Refusal::Mixed)),
        None if metadata.authorization_response_iss_parameter_supported => {
            return Err(refuse(Refusal::Mixed));
        }
        _ => {}
    }
    if answered.error.is_some() {
        return Err(refuse(Refusal::Denied));
    }
    let code = answered.code.as_deref().filter(|code| (1..=MAX_PARAM).contains(&code.len()));
    let code = code.ok_or(refuse(Refusal::Code))?;
    let now = Time::now();
    #[allow(clippy::cast_precision_loss)]
    let seconds = now.0 as f64 / 1000.0;
    let shown = Shown { code, verifier, nonce, now: seconds };
    let claims = provider.claims(&shown).await.map_err(refuse)?;
    let text = |name: &str| {
        let text = claims.get(name).and_then(serde_json::Value::as_str);
        text.map(str::trim).filter(|text| !text.is_empty() && text.len() <= 128).map(str::to_owned)
    };
    let english = text("locale").is_some_and(|locale| locale.starts_with("en"));
    let identity = Identity {
        issuer: settings.issuer.clone(),
        // Not trimmed: it is compared byte by byte.
        subject: claims["sub"].as_str().unwrap_or_default().to_owned(),
        name: text("preferred_username"),
        display_name: text("name").filter(|name| !name.chars().any(char::is_control)),
        language: if english { "en" } else { "zh-CN" },
        role: role(&claims, &settings.role_claim, &settings.roles, &Role::ALL.map(Role::as_str)),
    };
    oidc::admit(&api.db, &identity, now).await
}

fn door(api: &Api) -> Answer<&Door> {
    api.oidc.get().ok_or(Problem::NotFound("log-in by an OpenID provider here"))
}

/// State, nonce and verifier of the log-in that this browser began.
fn under_way(headers: &HeaderMap) -> Option<(&str, &str, &str)> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';'));
    let value = pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))?;
    let mut parts = value.split('.');
    let all = (parts.next()?, parts.next()?, parts.next()?);
    let whole = |part: &str| part.len() == 43;
    let good = whole(all.0) && whole(all.1) && whole(all.2) && parts.next().is_none();
    good.then_some(all)
}

/// To the console's beginning, with the session or the reason why there is none.
fn to_console(refused: Option<Refusal>, session: Option<HeaderValue>) -> Answer<Response> {
    let place = match refused {
        Some(refusal) => format!("/?login={}", refusal.as_str()),
        None => "/".to_owned(),
    };
    let over = format!("{COOKIE_NAME}=; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=0");
    let over = HeaderValue::from_str(&over).map_err(Problem::internal)?;
    go(&place, [Some(over), session])
}

fn go(place: &str, cookies: [Option<HeaderValue>; 2]) -> Answer<Response> {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let place = HeaderValue::from_str(place).map_err(Problem::internal)?;
    response.headers_mut().insert(LOCATION, place);
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}
