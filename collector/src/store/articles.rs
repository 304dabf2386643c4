//! Articles and the words by which they are found.

use std::collections::BTreeMap;

use callhome_shared::time::Time;

use super::rows::{insert, read_as, tuple};
use super::{Db, Result, Row, StoreError, Tx, Val};
use crate::args;
use crate::knowledge::{Article, Asked};

/// Articles that one term may bring in: those that it weighs most in.
const MOST_PER_TERM: i64 = 2_000;

/// An article with who wrote it when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArticleRow {
    /// `knowledge::id` of its code.
    pub id: String,
    /// What it says.
    pub article: Article,
    /// Number of the ticket that it was written from.
    pub ticket: Option<String>,
    /// +1 per change.
    pub version: i64,
    /// When it was written.
    pub created_at: Time,
    /// By whom: a user's name.
    pub created_by: String,
    /// When it last changed.
    pub updated_at: Time,
    /// By whom.
    pub updated_by: String,
}

fn from_row(row: &Row) -> Result<ArticleRow> {
    Ok(ArticleRow {
        id: row.text("id")?,
        article: Article {
            code: row.text("code")?,
            title: row.text("title")?,
            symptom: row.text("symptom")?,
            cause: row.text("cause")?,
            fix: row.text("fix")?,
        },
        ticket: row.opt_text("ticket")?,
        version: row.int("version")?,
        created_at: Time(row.int("created_at")?),
        created_by: row.text("created_by")?,
        updated_at: Time(row.int("updated_at")?),
        updated_by: row.text("updated_by")?,
    })
}

/// Sorted by id, after this one.
pub async fn list(db: &Db, after: &str, limit: i64) -> Result<Vec<ArticleRow>> {
    let sql = "SELECT * FROM articles WHERE id > $1 ORDER BY id LIMIT $2";
    read_as(db, sql, args![after, limit], from_row).await
}

/// One.
pub async fn get(db: &Db, id: &str) -> Result<Option<ArticleRow>> {
    let row = db.read_one("SELECT * FROM articles WHERE id = $1", args![id]).await?;
    row.as_ref().map(from_row).transpose()
}

/// One, within a transaction.
pub async fn get_in(tx: &mut Tx, id: &str) -> Result<Option<ArticleRow>> {
    let row = tx.query_one("SELECT * FROM articles WHERE id = $1", args![id]).await?;
    row.as_ref().map(from_row).transpose()
}

/// Writes one with its terms. One that exists must have been read at version − 1, else
/// [`StoreError::Changed`].
pub async fn save(tx: &mut Tx, row: &ArticleRow, terms: &[(String, i64)]) -> Result<()> {
    let sql = "INSERT INTO articles (id, code, title, symptom, cause, fix, ticket, version, created_at, created_by, \
               updated_at, updated_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
               ON CONFLICT (id) DO UPDATE SET code = excluded.code, title = excluded.title, \
               symptom = excluded.symptom, cause = excluded.cause, fix = excluded.fix, version = excluded.version, \
               updated_at = excluded.updated_at, updated_by = excluded.updated_by \
               WHERE articles.version = excluded.version - 1";
    let a = &row.article;
    let all = args![
        &row.id,
        &a.code,
        &a.title,
        &a.symptom,
        &a.cause,
        &a.fix,
        &row.ticket,
        row.version,
        row.created_at,
        &row.created_by,
        row.updated_at,
        &row.updated_by
    ];
    if tx.execute(sql, all).await? == 0 {
        return Err(StoreError::Changed("article"));
    }
    tx.execute("DELETE FROM article_terms WHERE article_id = $1", args![&row.id]).await?;
    let rows = terms.iter().map(|(term, weight)| args![term, &row.id, *weight]);
    let head = "INSERT INTO article_terms (term, article_id, weight)";
    insert(tx, head, rows.collect(), "").await.map(drop)
}

/// Removes one at that version; `false`: it is another version, or not there.
pub async fn remove(tx: &mut Tx, id: &str, version: i64) -> Result<bool> {
    let known = get_in(tx, id).await?.is_some_and(|row| row.version == version);
    if known {
        tx.execute("DELETE FROM article_terms WHERE article_id = $1", args![id]).await?;
        let sql = "DELETE FROM articles WHERE id = $1 AND version = $2";
        return Ok(tx.execute(sql, args![id, version]).await? > 0);
    }
    Ok(false)
}

/// Ids and weights of the articles that a term is in.
async fn having(db: &Db, asked: &Asked) -> Result<BTreeMap<String, i64>> {
    let (sql, all) = match asked {
        Asked::Term(term) => ("term = $1", args![term, MOST_PER_TERM]),
        Asked::Beginning(begin) => {
            // The first text after all that begin so.
            let last = format!("{begin}\u{10ffff}");
            ("term >= $1 AND term < $3", args![begin, MOST_PER_TERM, last])
        }
    };
    let sql = format!(
        "SELECT article_id, CAST(SUM(weight) AS BIGINT) AS weight FROM article_terms WHERE {sql} GROUP BY article_id \
         ORDER BY SUM(weight) DESC, article_id LIMIT $2"
    );
    let rows =
        read_as(db, sql, all, |row| Ok((row.text("article_id")?, row.int("weight")?))).await?;
    Ok(rows.into_iter().collect())
}

/// Those in which at least `need` of the terms are that are asked for, the best first.
pub async fn find(db: &Db, asked: &[Asked], need: usize, limit: usize) -> Result<Vec<ArticleRow>> {
    let mut found: BTreeMap<String, (usize, i64)> = BTreeMap::new();
    for one in asked {
        for (id, weight) in having(db, one).await? {
            let known = found.entry(id).or_default();
            *known = (known.0 + 1, known.1 + weight);
        }
    }
    let mut best: Vec<_> = found.into_iter().filter(|(_, (terms, _))| *terms >= need).collect();
    best.sort_by(|a, b| (b.1).cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    best.truncate(limit);
    if best.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = best.into_iter().map(|(id, _)| id).collect();
    let sql = format!("SELECT * FROM articles WHERE id IN {}", tuple(1, ids.len()));
    let all = ids.iter().map(Val::from).collect();
    let mut rows = read_as(db, sql, all, from_row).await?;
    rows.sort_by_key(|row| ids.iter().position(|id| *id == row.id));
    Ok(rows)
}
