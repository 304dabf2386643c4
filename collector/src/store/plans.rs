//! Service plans, business calendars, rosters: every change is another version.

use callhome_shared::time::Time;

use super::rows::read_as;
use super::{Db, Result, Row, StoreError, Tx};
use crate::args;

/// Which of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// `plans`.
    Plans,
    /// `calendars`.
    Calendars,
    /// `rosters`.
    Rosters,
}

impl Shelf {
    fn table(self) -> &'static str {
        match self {
            Shelf::Plans => "plans",
            Shelf::Calendars => "calendars",
            Shelf::Rosters => "rosters",
        }
    }
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyRow {
    /// Its name.
    pub name: String,
    /// From 1 on.
    pub version: i64,
    /// JSON.
    pub body: String,
    /// As it came with the program.
    pub preset: bool,
    /// Since when.
    pub created_at: Time,
    /// `user:<name>` or `collector`.
    pub created_by: String,
    /// Nobody may choose it since then.
    pub deleted_at: Option<Time>,
}

fn from_row(row: &Row) -> Result<BodyRow> {
    Ok(BodyRow {
        name: row.text("name")?,
        version: row.int("version")?,
        body: row.text("body")?,
        preset: row.flag("preset")?,
        created_at: Time(row.int("created_at")?),
        created_by: row.text("created_by")?,
        deleted_at: row.opt_int("deleted_at")?.map(Time),
    })
}

/// The newest version of each that is not deleted, by name.
pub async fn all(db: &Db, shelf: Shelf) -> Result<Vec<BodyRow>> {
    let table = shelf.table();
    let sql = format!(
        "SELECT * FROM {table} t WHERE deleted_at IS NULL AND version = \
         (SELECT MAX(version) FROM {table} n WHERE n.name = t.name) ORDER BY name"
    );
    read_as(db, sql, vec![], from_row).await
}

/// The names of those that may be chosen.
pub async fn names(tx: &mut Tx, shelf: Shelf) -> Result<Vec<String>> {
    let table = shelf.table();
    let sql = format!(
        "SELECT name FROM {table} t WHERE deleted_at IS NULL AND version = \
         (SELECT MAX(version) FROM {table} n WHERE n.name = t.name) ORDER BY name"
    );
    tx.query(sql, vec![]).await?.iter().map(|row| row.text("name")).collect()
}

/// [`all`] inside a transaction.
pub async fn all_in(tx: &mut Tx, shelf: Shelf) -> Result<Vec<BodyRow>> {
    let table = shelf.table();
    let sql = format!(
        "SELECT * FROM {table} t WHERE deleted_at IS NULL AND version = \
         (SELECT MAX(version) FROM {table} n WHERE n.name = t.name) ORDER BY name"
    );
    tx.query(sql, vec![]).await?.iter().map(from_row).collect()
}

/// How many names there are, deleted ones among them.
pub async fn count(tx: &mut Tx, shelf: Shelf) -> Result<i64> {
    let sql = format!("SELECT COUNT(DISTINCT name) AS n FROM {}", shelf.table());
    tx.query_one(sql, vec![]).await?.map_or(Ok(0), |row| row.int("n"))
}

/// The newest version, deleted or not.
pub async fn newest(tx: &mut Tx, shelf: Shelf, name: &str) -> Result<Option<BodyRow>> {
    let sql =
        format!("SELECT * FROM {} WHERE name = $1 ORDER BY version DESC LIMIT 1", shelf.table());
    tx.query_one(sql, args![name]).await?.as_ref().map(from_row).transpose()
}

/// The newest version that may be chosen, outside of a transaction.
pub async fn get(db: &Db, shelf: Shelf, name: &str) -> Result<Option<BodyRow>> {
    let sql =
        format!("SELECT * FROM {} WHERE name = $1 ORDER BY version DESC LIMIT 1", shelf.table());
    let found = db.read_one(sql, args![name]).await?.as_ref().map(from_row).transpose()?;
    Ok(found.filter(|row| row.deleted_at.is_none()))
}

/// One version.
pub async fn version(
    tx: &mut Tx,
    shelf: Shelf,
    name: &str,
    version: i64,
) -> Result<Option<BodyRow>> {
    let sql = format!("SELECT * FROM {} WHERE name = $1 AND version = $2", shelf.table());
    tx.query_one(sql, args![name, version]).await?.as_ref().map(from_row).transpose()
}

/// Adds a version. Somebody was faster: [`StoreError::Changed`].
pub async fn add(tx: &mut Tx, shelf: Shelf, row: &BodyRow) -> Result<()> {
    let sql = format!(
        "INSERT INTO {} (name, version, body, preset, created_at, created_by) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (name, version) DO NOTHING",
        shelf.table()
    );
    let args =
        args![&row.name, row.version, &row.body, row.preset, row.created_at, &row.created_by];
    match tx.execute(sql, args).await? {
        0 => Err(StoreError::Changed("plan, calendar or roster")),
        _ => Ok(()),
    }
}

/// Nobody may choose it any more.
pub async fn delete(tx: &mut Tx, shelf: Shelf, name: &str, version: i64, at: Time) -> Result<u64> {
    let sql = format!(
        "UPDATE {} SET deleted_at = $3 WHERE name = $1 AND version = $2 AND deleted_at IS NULL",
        shelf.table()
    );
    tx.execute(sql, args![name, version, at]).await
}
