//! Facts about the store itself.

use uuid::Uuid;

use super::{Db, Result, Sql, StoreError, Tx};
use crate::args;

/// The store's id: a new one after a restore, so that agents know that something may be missing.
pub async fn store_id(db: &Db) -> Result<Uuid> {
    let value = get(db, "store").await?.unwrap_or_default();
    Uuid::parse_str(&value)
        .map_err(|e| StoreError::Column { column: "meta.store".into(), why: e.to_string() })
}

/// One fact.
pub async fn get(db: &Db, key: &str) -> Result<Option<String>> {
    let row = db.read_one("SELECT value FROM meta WHERE key = $1", args![key]).await?;
    row.map(|row| row.text("value")).transpose()
}

/// [`get`] in a transaction.
pub async fn get_in(tx: &mut Tx, key: &str) -> Result<Option<String>> {
    let row = tx.query_one("SELECT value FROM meta WHERE key = $1", args![key]).await?;
    row.map(|row| row.text("value")).transpose()
}

/// Sets a fact.
pub async fn set(tx: &mut Tx, key: &str, value: &str) -> Result<()> {
    let sql: Sql = "INSERT INTO meta (key, value) VALUES ($1, $2) \
                    ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        .into();
    tx.execute(sql, args![key, value]).await.map(drop)
}
