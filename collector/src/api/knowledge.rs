//! Articles about faults: read, searched, written, offered on tickets.

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
use super::params::{limit, page};
use super::session::LoggedIn;
use crate::flow::knowledge::{self as actions, Author, KnowledgeError};
use crate::knowledge::Article as Said;
use crate::store::articles::{self as rows, ArticleRow};

/// Rows without a wish.
const PAGE: u32 = 50;
/// Longest question, characters.
const MAX_QUESTION: usize = 200;

/// An article.
#[derive(Serialize, ToSchema)]
pub struct Article {
    /// Its code in small letters.
    id: String,
    /// The fault code, or the alarm's type where the device has none.
    code: String,
    /// One line.
    title: String,
    /// What is seen.
    symptom: String,
    /// Why it happens.
    cause: String,
    /// What mends it.
    fix: String,
    /// The ticket that it was written from.
    #[schema(required)]
    ticket: Option<String>,
    /// +1 per change.
    version: i64,
    /// When it last changed.
    updated_at: At,
    /// Who changed it.
    updated_by: String,
}

impl From<ArticleRow> for Article {
    fn from(row: ArticleRow) -> Self {
        Article {
            id: row.id,
            code: row.article.code,
            title: row.article.title,
            symptom: row.article.symptom,
            cause: row.article.cause,
            fix: row.article.fix,
            ticket: row.ticket,
            version: row.version,
            updated_at: At(row.updated_at),
            updated_by: row.updated_by,
        }
    }
}

/// A page of articles.
#[derive(Serialize, ToSchema)]
pub struct ArticleList {
    /// The articles.
    items: Vec<Article>,
    /// What to give as `after` for the next page; null when this is the last, and with a question.
    #[schema(required)]
    next: Option<String>,
}

/// What is offered on a ticket.
#[derive(Serialize, ToSchema)]
pub struct OfferedArticles {
    /// The code by which the ticket's own article is found; null: a ticket by hand without a code.
    #[schema(required)]
    code: Option<String>,
    /// The one of its code.
    #[schema(required)]
    own: Option<Article>,
    /// Others that speak of the same, the best first.
    similar: Vec<Article>,
}

/// What to look for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ArticleQuery {
    /// Words that must all be there, Chinese or other; the best is first. At most 200 characters.
    q: Option<String>,
    /// At most so many (1 to 200, 50 without it).
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next` of the page before (without a question).
    after: Option<String>,
}

/// What an article is to say.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArticleWish {
    /// The version that the person saw; 0: there was none.
    #[serde(default)]
    version: i64,
    /// The fault code, or an alarm's type. Of one that exists it stays.
    #[serde(default)]
    code: String,
    /// One line.
    #[schema(min_length = 1)]
    title: String,
    /// What is seen.
    #[serde(default)]
    symptom: String,
    /// Why it happens.
    #[serde(default)]
    cause: String,
    /// What mends it.
    #[serde(default)]
    fix: String,
}

impl ArticleWish {
    fn said(self) -> (i64, Said) {
        let ArticleWish { version, code, title, symptom, cause, fix } = self;
        (version, Said { code, title, symptom, cause, fix })
    }
}

/// Which version is to go.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArticleRemoval {
    /// The version that the person saw.
    version: i64,
}

fn refused(error: KnowledgeError) -> Problem {
    match error {
        KnowledgeError::NotFound("ticket") => Problem::NotFound("such ticket"),
        KnowledgeError::NotFound(_) => Problem::NotFound("such article"),
        KnowledgeError::Version(version) => Problem::Changed(version),
        e @ (KnowledgeError::Exists(_) | KnowledgeError::NotClosed | KnowledgeError::NoCode) => {
            Problem::NotAllowed(e.to_string())
        }
        e @ KnowledgeError::Wrong(_) => Problem::Malformed(e.to_string()),
        e @ KnowledgeError::Store(_) => Problem::internal(e),
    }
}

fn author(logged_in: &LoggedIn) -> Author<'_> {
    Author { user: &logged_in.user.name, at: Time::now() }
}

/// Articles: those in which all words are, or all of them by code.
#[utoipa::path(get, path = "/api/v1/articles", operation_id = "list_articles", tag = "knowledge", params(ArticleQuery), responses(
    (status = 200, description = "A page of articles", body = ArticleList),
    (status = 400, description = "Malformed query", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
))]
pub async fn list(
    State(api): State<Arc<Api>>,
    Params(query): Params<ArticleQuery>,
) -> Answer<Json<ArticleList>> {
    let limit = limit(query.limit, PAGE)?;
    let question = query.q.unwrap_or_default();
    if question.chars().count() > MAX_QUESTION {
        let text = format!("q: expected at most {MAX_QUESTION} characters");
        return Err(Problem::Malformed(text));
    }
    let after = query.after.unwrap_or_default();
    let found = actions::search(&api.db, &question, &after, limit + 1).await;
    let (found, next) = page(found.map_err(Problem::internal)?, limit, |row| row.id.clone());
    let next = next.filter(|_| question.trim().is_empty());
    Ok(Json(ArticleList { items: found.into_iter().map(Article::from).collect(), next }))
}

/// One article.
#[utoipa::path(get, path = "/api/v1/articles/{id}", operation_id = "get_article", tag = "knowledge",
    params(("id" = String, Path, description = "Its code")), responses(
    (status = 200, description = "The article", body = Article),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such article", body = ProblemBody),
))]
pub async fn show(State(api): State<Arc<Api>>, Name(id): Name) -> Answer<Json<Article>> {
    let id = crate::knowledge::id(&id);
    let row = rows::get(&api.db, &id).await.map_err(Problem::internal)?;
    Ok(Json(row.ok_or(Problem::NotFound("such article"))?.into()))
}

/// Write an article about a code that has none.
#[utoipa::path(post, path = "/api/v1/articles", operation_id = "add_article", tag = "knowledge",
    request_body = ArticleWish, responses(
    (status = 200, description = "The article", body = Article),
    (status = 400, description = "Malformed: which field and what was expected", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 409, description = "There is an article of that code", body = ProblemBody),
))]
pub async fn add(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Body(wish): Body<ArticleWish>,
) -> Answer<Json<Article>> {
    let (_, said) = wish.said();
    let row = actions::create(&api.db, &said, author(&logged_in)).await.map_err(refused)?;
    Ok(Json(row.into()))
}

/// Change an article.
#[utoipa::path(post, path = "/api/v1/articles/{id}", operation_id = "change_article", tag = "knowledge",
    params(("id" = String, Path, description = "Its code")), request_body = ArticleWish, responses(
    (status = 200, description = "The article as it is now", body = Article),
    (status = 400, description = "Malformed: which field and what was expected", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such article", body = ProblemBody),
    (status = 409, description = "Somebody was faster", body = ProblemBody),
))]
pub async fn change(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(id): Name,
    Body(wish): Body<ArticleWish>,
) -> Answer<Json<Article>> {
    let (version, said) = wish.said();
    let row = actions::change(&api.db, &id, version, &said, author(&logged_in)).await;
    Ok(Json(row.map_err(refused)?.into()))
}

/// Remove an article.
#[utoipa::path(post, path = "/api/v1/articles/{id}/removal", operation_id = "remove_article", tag = "knowledge",
    params(("id" = String, Path, description = "Its code")), request_body = ArticleRemoval, responses(
    (status = 204, description = "Gone"),
    (status = 400, description = "Malformed", body = ProblemBody),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such article", body = ProblemBody),
    (status = 409, description = "Somebody was faster", body = ProblemBody),
))]
pub async fn remove(
    State(api): State<Arc<Api>>,
    Name(id): Name,
    Body(removal): Body<ArticleRemoval>,
) -> Answer<StatusCode> {
    actions::remove(&api.db, &id, removal.version).await.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is known about a ticket's fault.
#[utoipa::path(get, path = "/api/v1/tickets/{number}/articles", operation_id = "offered_articles", tag = "knowledge",
    params(("number" = String, Path, description = "The ticket's number")), responses(
    (status = 200, description = "The article of its code, and others that speak of the same", body = OfferedArticles),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
))]
pub async fn offered(
    State(api): State<Arc<Api>>,
    Name(number): Name,
) -> Answer<Json<OfferedArticles>> {
    let offered = actions::offered(&api.db, &number).await.map_err(Problem::internal)?;
    let offered = offered.ok_or(Problem::NotFound("such ticket"))?;
    Ok(Json(OfferedArticles {
        code: offered.code,
        own: offered.own.map(Article::from),
        similar: offered.similar.into_iter().map(Article::from).collect(),
    }))
}

/// Write an article from a closed ticket's report.
#[utoipa::path(post, path = "/api/v1/tickets/{number}/articles", operation_id = "article_from_ticket", tag = "knowledge",
    params(("number" = String, Path, description = "The ticket's number")), responses(
    (status = 200, description = "The article", body = Article),
    (status = 401, description = "Not logged in", body = ProblemBody),
    (status = 403, description = "Not with this role, or X-CSRF-Token is wrong", body = ProblemBody),
    (status = 404, description = "No such ticket", body = ProblemBody),
    (status = 409, description = "The ticket has no closing report or no code, or its code has an article", body = ProblemBody),
))]
pub async fn from_ticket(
    State(api): State<Arc<Api>>,
    Extension(logged_in): Extension<LoggedIn>,
    Name(number): Name,
) -> Answer<Json<Article>> {
    let row = actions::from_ticket(&api.db, &number, author(&logged_in)).await.map_err(refused)?;
    let _ = api.events.send(crate::flow::Event::Ticket { number, at: row.updated_at });
    Ok(Json(row.into()))
}
