//! Tokens with which programs ask the API: made, listed and ended by administrators.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use callhome_shared::config_error::did_you_mean;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{Body, Name};
use super::model::At;
use super::rights::{self, Role};
use super::session::LoggedIn;
use crate::access::Scope;
use crate::flow::access::{self, AccessError, DAYS, MAX_TOKENS, Wish};
use crate::store::api_tokens::{self, ApiToken};
use crate::store::{Db, users};

/// A token that is wished for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenWish {
    /// What people call it.
    #[schema(max_length = 128)]
    name: String,
    /// What it opens, such as `alarms:write`.
    scopes: Vec<String>,
    /// The user for whom it acts: it may never more than he may. You, if nobody is named.
    #[serde(default)]
    owner: Option<String>,
    /// The sites that it is limited to; none: not limited.
    #[serde(default)]
    sites: Vec<String>,
    /// For how many days it is good, 1 to 3660; 365 unless told.
    #[serde(default)]
    valid_days: Option<u32>,
}

/// A token without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiToken)]
pub struct TokenShown {
    /// Its id.
    id: String,
    /// What people call it.
    name: String,
    /// What it opens.
    scopes: Vec<&'static str>,
    /// For whom it acts.
    owner: String,
    /// The sites that it is limited to; none: not limited.
    sites: Vec<String>,
    /// When it was made.
    created_at: At,
    /// Who made it.
    created_by: String,
    /// After this it is worth nothing.
    expires_at: At,
    /// The last request with it, to the minute.
    #[schema(required)]
    last_used_at: Option<At>,
    /// When it was ended by hand.
    #[schema(required)]
    revoked_at: Option<At>,
    /// Whether it is good now.
    good: bool,
}

/// All tokens, the latest first, those that ended in the last 400 days included.
#[derive(Serialize, ToSchema)]
pub struct TokenList {
    /// The tokens.
    items: Vec<TokenShown>,
    /// All scopes that there are.
    scopes: Vec<&'static str>,
}

/// A new token with its text.
#[derive(Serialize, ToSchema)]
pub struct TokenMade {
    /// The text, for `Authorization: Bearer`. It is shown this one time.
    text: String,
    /// The token.
    token: TokenShown,
}

fn shown(token: ApiToken, now: Time) -> TokenShown {
    let good = token.lives(now);
    TokenShown {
        id: token.id,
        name: token.name,
        scopes: token.scopes.into_iter().map(Scope::as_str).collect(),
        owner: token.owner,
        sites: token.sites,
        created_at: At(token.created_at),
        created_by: token.created_by,
        expires_at: At(token.expires_at),
        last_used_at: token.last_used_at.map(At),
        revoked_at: token.revoked_at.map(At),
        good,
    }
}

/// The tokens of programs.
#[utoipa::path(get, path = "/api/v1/tokens", operation_id = "list_tokens", tag = "access", responses(
    (status = 200, description = "The tokens", body = TokenList),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn list(State(api): State<Arc<Api>>) -> Answer<Json<TokenList>> {
    let now = Time::now();
    let tokens = api_tokens::list(&api.db, MAX_TOKENS).await.map_err(Problem::internal)?;
    let items = tokens.into_iter().map(|token| shown(token, now)).collect();
    Ok(Json(TokenList { items, scopes: Scope::ALL.map(Scope::as_str).into() }))
}

/// Make a token. Its text is answered this one time.
#[utoipa::path(post, path = "/api/v1/tokens", operation_id = "make_token", tag = "access", request_body = TokenWish, responses(
    (status = 200, description = "Made", body = TokenMade),
    (status = 400, description = "Malformed, no such scope or user, or the user may not what it opens", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token", body = ProblemBody),
    (status = 409, description = "There are too many tokens", body = ProblemBody),
))]
pub async fn make(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Body(wish): Body<TokenWish>,
) -> Answer<Json<TokenMade>> {
    let me = &logged_in.user.name;
    let owner = wish.owner.unwrap_or_else(|| me.clone());
    let scopes = read_scopes(&wish.scopes).map_err(Problem::Malformed)?;
    check_owner(&api.db, &owner, &scopes).await?.map_err(Problem::Malformed)?;
    let wish = Wish {
        name: wish.name,
        scopes,
        owner,
        sites: wish.sites,
        valid_days: wish.valid_days.unwrap_or(DAYS),
        by: format!("user:{me}"),
    };
    let now = Time::now();
    let made = access::issue(&api.db, wish, now).await;
    let (token, text) = made.map_err(|e| match e {
        AccessError::Wrong(text) => Problem::Malformed(text),
        AccessError::Full => Problem::NotAllowed(e.to_string()),
        e => Problem::internal(e),
    })?;
    tracing::info!(token = token.id, name = token.name, by = me, "API token made");
    Ok(Json(TokenMade { text: text.as_str().to_owned(), token: shown(token, now) }))
}

/// Scopes from their words; an error names the nearest.
pub fn read_scopes(words: &[String]) -> Result<Vec<Scope>, String> {
    let read = |word: &String| {
        Scope::parse(word).ok_or_else(|| {
            let hint = did_you_mean(word, Scope::ALL.map(Scope::as_str)).unwrap_or_default();
            format!("scopes: there is no scope {word:?} {hint}").trim_end().to_owned()
        })
    };
    words.iter().map(read).collect()
}

/// Whether that user is there and his role includes what the scopes open; the inner error is for people.
pub async fn check_owner(db: &Db, name: &str, scopes: &[Scope]) -> Answer<Result<(), String>> {
    let owner = users::get(db, name).await.map_err(Problem::internal)?;
    let Some(owner) = owner.filter(|owner| owner.disabled_at.is_none()) else {
        return Ok(Err(format!("owner: there is no user {name:?} who may log in")));
    };
    let role = Role::parse(&owner.role);
    let beyond = scopes.iter().find(|scope| !role.is_some_and(|r| rights::grants(r, **scope)));
    Ok(beyond.map_or(Ok(()), |scope| {
        let (scope, role) = (scope.as_str(), &owner.role);
        Err(format!("scopes: {scope} opens nothing for {name}, whose role is {role}"))
    }))
}

/// End a token. Its event streams end, too.
#[utoipa::path(post, path = "/api/v1/tokens/{id}/revocation", operation_id = "revoke_token", tag = "access",
    params(("id" = String, Path, description = "The token's id")), responses(
    (status = 204, description = "Ended"),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token", body = ProblemBody),
    (status = 404, description = "There is no such token, or it was ended by hand before", body = ProblemBody),
))]
pub async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(id): Name,
) -> Answer<StatusCode> {
    let by = format!("user:{}", logged_in.user.name);
    let ended = access::revoke(&api.db, &id, &by, Time::now()).await.map_err(Problem::internal)?;
    if !ended {
        return Err(Problem::NotFound("such token that is not ended"));
    }
    tracing::info!(token = id, by, "API token ended");
    // Nobody listening is fine: there was no stream.
    let _ = api.ended.send(id.as_str().into());
    Ok(StatusCode::NO_CONTENT)
}
