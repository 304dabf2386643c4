//! What people write about faults that were solved, and what is offered to the next ticket.

use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use serde_json::json;

use crate::knowledge::{self, Article, MAX_TITLE, Wrong};
use crate::store::articles::{self as rows, ArticleRow};
use crate::store::tickets::TicketRow;
use crate::store::{Db, StoreError, Tx, tickets, timeline};
use crate::ticket::Closing;

/// Articles beside a ticket's own that are offered.
const SIMILAR: usize = 4;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum KnowledgeError {
    /// There is none.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// There is one of that code.
    #[error("there is an article of the code {0:?}")]
    Exists(String),
    /// Somebody was faster; its version now.
    #[error("it was changed by somebody else; its version is {0} now")]
    Version(i64),
    /// A field is wrong.
    #[error("{}: expected {}", .0.field, .0.expected)]
    Wrong(Wrong),
    /// The ticket has no closing report.
    #[error("the ticket has no closing report yet: close it first")]
    NotClosed,
    /// The ticket has no code.
    #[error("the ticket has no fault code: write the article with one of its own")]
    NoCode,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Who writes, and when.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// A user's name.
    pub user: &'a str,
    /// When.
    pub at: Time,
}

/// Writes a new one.
pub async fn create(
    db: &Db,
    article: &Article,
    author: Author<'_>,
) -> Result<ArticleRow, KnowledgeError> {
    let mut tx = db.begin().await?;
    let row = add(&mut tx, article, None, author).await?;
    commit(tx, row).await
}

async fn add(
    tx: &mut Tx,
    article: &Article,
    ticket: Option<&str>,
    author: Author<'_>,
) -> Result<ArticleRow, KnowledgeError> {
    let article = knowledge::checked(article).map_err(KnowledgeError::Wrong)?;
    let id = knowledge::id(&article.code);
    if rows::get_in(tx, &id).await?.is_some() {
        return Err(KnowledgeError::Exists(article.code));
    }
    let row = ArticleRow {
        id,
        article,
        ticket: ticket.map(str::to_owned),
        version: 1,
        created_at: author.at,
        created_by: author.user.to_owned(),
        updated_at: author.at,
        updated_by: author.user.to_owned(),
    };
    rows::save(tx, &row, &knowledge::index(&row.article)).await.map_err(|e| raced(e, &row))?;
    Ok(row)
}

/// Somebody wrote it at the same time.
fn raced(error: StoreError, row: &ArticleRow) -> KnowledgeError {
    match error {
        StoreError::Changed(_) => KnowledgeError::Exists(row.article.code.clone()),
        error => error.into(),
    }
}

async fn commit(tx: Tx, row: ArticleRow) -> Result<ArticleRow, KnowledgeError> {
    match tx.commit().await {
        Err(e) if e.is_unique_violation() => Err(KnowledgeError::Exists(row.article.code)),
        done => Ok(done.map(|()| row)?),
    }
}

/// Changes one that the person saw at `version`; its code stays.
pub async fn change(
    db: &Db,
    id: &str,
    version: i64,
    article: &Article,
    author: Author<'_>,
) -> Result<ArticleRow, KnowledgeError> {
    let mut tx = db.begin().await?;
    let found = rows::get_in(&mut tx, &knowledge::id(id)).await?;
    let mut row = found.ok_or(KnowledgeError::NotFound("article"))?;
    if row.version != version {
        return Err(KnowledgeError::Version(row.version));
    }
    let wished = Article { code: row.article.code.clone(), ..article.clone() };
    row.article = knowledge::checked(&wished).map_err(KnowledgeError::Wrong)?;
    row.version += 1;
    (row.updated_at, row.updated_by) = (author.at, author.user.to_owned());
    match rows::save(&mut tx, &row, &knowledge::index(&row.article)).await {
        Err(StoreError::Changed(_)) => return Err(KnowledgeError::Version(row.version)),
        done => done?,
    }
    tx.commit().await?;
    Ok(row)
}

/// Removes one that the person saw at `version`.
pub async fn remove(db: &Db, id: &str, version: i64) -> Result<(), KnowledgeError> {
    let mut tx = db.begin().await?;
    let id = knowledge::id(id);
    if !rows::remove(&mut tx, &id, version).await? {
        let now = rows::get_in(&mut tx, &id).await?;
        return Err(now.map_or(KnowledgeError::NotFound("article"), |row| {
            KnowledgeError::Version(row.version)
        }));
    }
    Ok(tx.commit().await?)
}

/// Writes one from a ticket's closing report, in one step; the ticket's record tells of it.
pub async fn from_ticket(
    db: &Db,
    number: &str,
    author: Author<'_>,
) -> Result<ArticleRow, KnowledgeError> {
    let mut tx = db.begin().await?;
    let ticket = tickets::get_in(&mut tx, number).await?;
    let ticket = ticket.ok_or(KnowledgeError::NotFound("ticket"))?;
    let report = ticket.service.closing.as_deref().and_then(|json| serde_json::from_str(json).ok());
    let report: Closing = report.ok_or(KnowledgeError::NotClosed)?;
    let code = knowledge::code_of(ticket.fault_code.as_deref(), &ticket.kind);
    let code = code.ok_or(KnowledgeError::NoCode)?.to_owned();
    let row = add(&mut tx, &drawn(&ticket, code, report), Some(&ticket.number), author).await?;
    let entry = timeline::Entry {
        id: new_uuid().to_string(),
        ticket_id: ticket.id.clone(),
        at: author.at,
        who: format!("user:{}", author.user),
        what: "article".to_owned(),
        detail: json!({ "article": row.id, "code": row.article.code }).to_string(),
    };
    timeline::insert_all(&mut tx, &[entry]).await?;
    commit(tx, row).await
}

/// What the ticket knows, as an article.
fn drawn(ticket: &TicketRow, code: String, report: Closing) -> Article {
    let first = ticket.text.lines().map(str::trim).find(|line| !line.is_empty());
    let title = first.unwrap_or(&code).chars().filter(|c| !c.is_control()).take(MAX_TITLE);
    let plain = |text: &str| -> String {
        text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
    };
    Article {
        title: title.collect(),
        symptom: plain(&ticket.text),
        cause: plain(&report.cause),
        fix: plain(&report.fix),
        code,
    }
}

/// Articles in which all is that is asked for, the best first; with nothing asked, those after `after`.
pub async fn search(
    db: &Db,
    question: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<ArticleRow>, StoreError> {
    let asked = knowledge::asked(question);
    if asked.is_empty() {
        return rows::list(db, after, limit).await;
    }
    rows::find(db, &asked, asked.len(), usize::try_from(limit).unwrap_or(0)).await
}

/// What is offered on a ticket's page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// The code by which its own article would be found, if it has one.
    pub code: Option<String>,
    /// The one of its code.
    pub own: Option<ArticleRow>,
    /// Others that speak of the same, the best first.
    pub similar: Vec<ArticleRow>,
}

/// What is offered on the page of the ticket of that number; `None`: there is none.
pub async fn offered(db: &Db, number: &str) -> Result<Option<Offered>, StoreError> {
    let Some(ticket) = tickets::get(db, number).await? else { return Ok(None) };
    let code = knowledge::code_of(ticket.fault_code.as_deref(), &ticket.kind).map(str::to_owned);
    let own = match &code {
        Some(code) => rows::get(db, &knowledge::id(code)).await?,
        None => None,
    };
    let mut similar = Vec::new();
    let kind = ticket.kind.as_str();
    let kind = if kind == knowledge::BY_HAND { "" } else { kind };
    for question in [ticket.text.as_str(), kind, ticket.resource.as_str()] {
        let asked = knowledge::asked(question);
        if asked.is_empty() || similar.len() >= SIMILAR {
            continue;
        }
        // Half of its words, and at least two: one alone says little.
        let need = (asked.len() / 2).max(2).min(asked.len());
        for row in rows::find(db, &asked, need, SIMILAR + 1).await? {
            let known = own.iter().chain(&similar).any(|known: &ArticleRow| known.id == row.id);
            if !known && similar.len() < SIMILAR {
                similar.push(row);
            }
        }
    }
    Ok(Some(Offered { code, own, similar }))
}
