//! Views of the queue that people keep.

use callhome_shared::time::Time;

use super::rows::read_as;
use super::{Db, Result, Row, Tx};
use crate::args;

/// One.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewRow {
    /// Its id.
    pub id: String,
    /// Whose it is: a user's name.
    pub owner: String,
    /// What people call it.
    pub name: String,
    /// Everybody sees it.
    pub shared: bool,
    /// As in the address of `GET /api/v1/tickets`.
    pub query: String,
    /// Columns that are shown, in their order.
    pub columns: Vec<String>,
    /// +1 per change.
    pub version: i64,
    /// When it last changed.
    pub updated_at: Time,
    /// By whom.
    pub updated_by: String,
}

fn from_row(row: &Row) -> Result<ViewRow> {
    let columns = row.text("columns")?;
    Ok(ViewRow {
        id: row.text("id")?,
        owner: row.text("owner")?,
        name: row.text("name")?,
        shared: row.flag("shared")?,
        query: row.text("query")?,
        columns: columns.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        version: row.int("version")?,
        updated_at: Time(row.int("updated_at")?),
        updated_by: row.text("updated_by")?,
    })
}

/// A person's own and all that are shared, at most `limit`: the own ones first.
pub async fn seen_by(db: &Db, user: &str, limit: i64) -> Result<Vec<ViewRow>> {
    let sql = "SELECT * FROM saved_views WHERE owner = $1 OR shared = 1 \
               ORDER BY CASE WHEN owner = $1 THEN 0 ELSE 1 END, name, id LIMIT $2";
    read_as(db, sql, args![user, limit], from_row).await
}

/// How many a person has, and how many are shared.
pub async fn count(tx: &mut Tx, user: &str) -> Result<(i64, i64)> {
    let own = "SELECT COUNT(*) AS n FROM saved_views WHERE owner = $1";
    let own = tx.query_one(own, args![user]).await?.map_or(Ok(0), |row| row.int("n"))?;
    let shared = "SELECT COUNT(*) AS n FROM saved_views WHERE shared = 1";
    let shared = tx.query_one(shared, args![]).await?.map_or(Ok(0), |row| row.int("n"))?;
    Ok((own, shared))
}

/// One.
pub async fn get_in(tx: &mut Tx, id: &str) -> Result<Option<ViewRow>> {
    let row = tx.query_one("SELECT * FROM saved_views WHERE id = $1", args![id]).await?;
    row.as_ref().map(from_row).transpose()
}

/// Writes one that was read at version − 1, or is new; `false`: somebody was faster.
pub async fn save(tx: &mut Tx, row: &ViewRow) -> Result<bool> {
    let sql = "INSERT INTO saved_views (id, owner, name, shared, query, columns, version, updated_at, updated_by) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
               shared = excluded.shared, query = excluded.query, columns = excluded.columns, \
               version = excluded.version, updated_at = excluded.updated_at, updated_by = excluded.updated_by \
               WHERE saved_views.version = excluded.version - 1";
    let args = args![
        &row.id,
        &row.owner,
        &row.name,
        row.shared,
        &row.query,
        row.columns.join(","),
        row.version,
        row.updated_at,
        &row.updated_by
    ];
    Ok(tx.execute(sql, args).await? > 0)
}

/// Removes one at that version; `false`: it is another version.
pub async fn remove(tx: &mut Tx, id: &str, version: i64) -> Result<bool> {
    let sql = "DELETE FROM saved_views WHERE id = $1 AND version = $2";
    Ok(tx.execute(sql, args![id, version]).await? > 0)
}
