//! The database: SQLite (one writer, some readers) or a PostgreSQL pool, behind one set of calls.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, PgPool, Postgres, Sqlite, SqliteConnection,
    SqlitePool, Transaction,
};

use super::error::StoreError;
use super::value::{self, Row, Val};
use crate::settings::Database;

/// How long a statement waits for a connection or for SQLite's write lock.
const WAIT: Duration = Duration::from_secs(20);
/// Readers beside SQLite's single writer.
const READERS: u32 = 4;
/// What the write-ahead log is cut back to after a long reader (a backup) let it grow.
const WAL_BYTES: &str = "67108864";
/// Connections to PostgreSQL.
const CONNECTIONS: u32 = 10;
/// Prepared statements kept per connection: chunked statements come in several sizes.
const STATEMENTS: usize = 200;

/// The data store's database. Cheap to clone.
#[derive(Clone)]
pub enum Db {
    /// A file.
    Lite {
        /// The only connection that writes: SQLite has one writer anyway, and waiting for a
        /// connection is fair while waiting for its lock is not.
        writer: SqlitePool,
        /// Connections that cannot write.
        readers: SqlitePool,
        /// The file.
        path: PathBuf,
    },
    /// A server.
    Pg(PgPool),
}

/// SQL text: a literal, or one put together from literals (never from data).
pub type Sql = Cow<'static, str>;

impl Db {
    /// Opens the database, makes or upgrades its schema, and gives a new one its store id.
    pub async fn open(settings: &Database) -> Result<Self, StoreError> {
        let db = match settings {
            Database::Sqlite { path } => open_sqlite(path).await?,
            Database::Postgres { url } => open_postgres(url).await?,
        };
        super::migrate::run(&db).await?;
        Ok(db)
    }

    /// Whether it is PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        matches!(self, Db::Pg(_))
    }

    /// Reads outside any transaction: sees what is committed.
    pub async fn read(&self, sql: impl Into<Sql>, args: Vec<Val>) -> Result<Vec<Row>, StoreError> {
        let sql = sql.into();
        match self {
            Db::Lite { readers, .. } => lite_rows(readers, sql, args).await,
            Db::Pg(pool) => pg_rows(pool, sql, args).await,
        }
    }

    /// [`Db::read`] of at most one row.
    pub async fn read_one(
        &self,
        sql: impl Into<Sql>,
        args: Vec<Val>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.read(sql, args).await?.into_iter().next())
    }

    /// Begins a transaction that may write. Dropped without [`Tx::commit`] it is rolled back.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let begun = match self {
            // IMMEDIATE: a transaction that reads first and writes later could otherwise fail
            // at its first write, because another process wrote in between.
            Db::Lite { writer, .. } => writer.begin_with("BEGIN IMMEDIATE").await.map(Tx::Lite),
            Db::Pg(pool) => pool.begin().await.map(Tx::Pg),
        };
        begun.map_err(|e| StoreError::statement("begin", e))
    }

    /// One statement in a transaction of its own; answers the number of rows it touched.
    pub async fn execute(&self, sql: impl Into<Sql>, args: Vec<Val>) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let touched = tx.execute(sql, args).await?;
        tx.commit().await?;
        Ok(touched)
    }

    /// Waits for running statements and closes all connections.
    pub async fn close(&self) {
        match self {
            Db::Lite { writer, readers, .. } => {
                readers.close().await;
                writer.close().await;
            }
            Db::Pg(pool) => pool.close().await,
        }
    }
}

/// A transaction.
pub enum Tx {
    /// On SQLite's writer.
    Lite(Transaction<'static, Sqlite>),
    /// On a connection to PostgreSQL.
    Pg(Transaction<'static, Postgres>),
}

impl Tx {
    /// Runs a statement; answers the number of rows it touched.
    pub async fn execute(
        &mut self,
        sql: impl Into<Sql>,
        args: Vec<Val>,
    ) -> Result<u64, StoreError> {
        let sql = sql.into();
        let name = sql.clone();
        let done = match self {
            Tx::Lite(tx) => match value::lite(args) {
                Ok(args) => sqlx::query_with(AssertSqlSafe(sql), args)
                    .execute(&mut **tx)
                    .await
                    .map(|d| d.rows_affected()),
                Err(e) => Err(e),
            },
            Tx::Pg(tx) => match value::postgres(args) {
                Ok(args) => sqlx::query_with(AssertSqlSafe(sql), args)
                    .execute(&mut **tx)
                    .await
                    .map(|d| d.rows_affected()),
                Err(e) => Err(e),
            },
        };
        done.map_err(|e| StoreError::statement(&name, e))
    }

    /// Runs a statement that answers rows.
    pub async fn query(
        &mut self,
        sql: impl Into<Sql>,
        args: Vec<Val>,
    ) -> Result<Vec<Row>, StoreError> {
        let sql = sql.into();
        match self {
            Tx::Lite(tx) => lite_rows(&mut **tx, sql, args).await,
            Tx::Pg(tx) => pg_rows(&mut **tx, sql, args).await,
        }
    }

    /// [`Tx::query`] of at most one row.
    pub async fn query_one(
        &mut self,
        sql: impl Into<Sql>,
        args: Vec<Val>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, args).await?.into_iter().next())
    }

    /// Makes it lasting.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Tx::Lite(tx) => tx.commit().await,
            Tx::Pg(tx) => tx.commit().await,
        }
        .map_err(|e| StoreError::statement("commit", e))
    }

    /// Undoes it. Dropping does the same, a little later.
    pub async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Tx::Lite(tx) => tx.rollback().await,
            Tx::Pg(tx) => tx.rollback().await,
        }
        .map_err(|e| StoreError::statement("rollback", e))
    }
}

async fn lite_rows<'e>(
    on: impl sqlx::Executor<'e, Database = Sqlite>,
    sql: Sql,
    args: Vec<Val>,
) -> Result<Vec<Row>, StoreError> {
    let name = sql.clone();
    let rows = match value::lite(args) {
        Ok(args) => sqlx::query_with(AssertSqlSafe(sql), args).fetch_all(on).await,
        Err(e) => Err(e),
    };
    let rows = rows.map_err(|e| StoreError::statement(&name, e))?;
    Ok(rows.into_iter().map(Row::Lite).collect())
}

async fn pg_rows<'e>(
    on: impl sqlx::Executor<'e, Database = Postgres>,
    sql: Sql,
    args: Vec<Val>,
) -> Result<Vec<Row>, StoreError> {
    let name = sql.clone();
    let rows = match value::postgres(args) {
        Ok(args) => sqlx::query_with(AssertSqlSafe(sql), args).fetch_all(on).await,
        Err(e) => Err(e),
    };
    let rows = rows.map_err(|e| StoreError::statement(&name, e))?;
    Ok(rows.into_iter().map(Row::Pg).collect())
}

async fn open_sqlite(path: &Path) -> Result<Db, StoreError> {
    make_private(path)
        .map_err(|source| StoreError::File { path: path.display().to_string(), source })?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(WAIT)
        .foreign_keys(true)
        .pragma("journal_size_limit", WAL_BYTES)
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging();
    let opened = |source| StoreError::Open { what: path.display().to_string(), source };
    let pool = || {
        SqlitePoolOptions::new()
            .acquire_timeout(WAIT)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
    };
    let writer = pool()
        .max_connections(1)
        .before_acquire(|connection, _| Box::pin(is_usable(connection)))
        .connect_with(options.clone())
        .await
        .map_err(opened)?;
    let readers = pool()
        .max_connections(READERS)
        .connect_with(options.read_only(true))
        .await
        .map_err(opened)?;
    Ok(Db::Lite { writer, readers, path: path.to_owned() })
}

/// A full disk makes SQLite end a transaction by itself. sqlx then counts it as open for ever (its own
/// rollback fails), and could begin no other on this connection: such a one is given up for a new one.
async fn is_usable(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // What was queued for the connection before, a rollback for instance, is done when it answers.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// The file is made with mode 0600 (SQLite gives its companions the same): it holds password hashes.
fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map(drop)
}

async fn open_postgres(url: &str) -> Result<Db, StoreError> {
    let parse = |source| StoreError::Open { what: "PostgreSQL (its URL)".into(), source };
    let options = PgConnectOptions::from_str(url)
        .map_err(parse)?
        .application_name("callhome-collector")
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging();
    let what = format!("PostgreSQL {}:{}", options.get_host(), options.get_port());
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(WAIT)
        .connect_with(options)
        .await
        .map(Db::Pg)
        .map_err(|source| StoreError::Open { what, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_known_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("callhome.db");
        let db = Db::open(&Database::Sqlite { path }).await.unwrap();
        db.execute("CREATE TABLE t (x TEXT)", Vec::new()).await.unwrap();
        let Db::Lite { writer, .. } = &db else { unreachable!() };
        // SQLite's own end of the disk: the file may not grow beyond what it has.
        sqlx::query("PRAGMA max_page_count = 1").execute(writer).await.unwrap();
        let much = vec![Val::from("x".repeat(1024 * 1024))];
        let full = db.execute("INSERT INTO t VALUES ($1)", much).await.unwrap_err();
        assert!(full.is_disk_full(), "{full:?}");
        let other = db.execute("INSERT INTO nowhere VALUES (1)", Vec::new()).await.unwrap_err();
        assert!(!other.is_disk_full(), "{other:?}");
        db.close().await;
    }

    /// What a full disk does, without one: the transaction is over, and nobody told sqlx.
    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_by_itself_blocks_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let db =
            Db::open(&Database::Sqlite { path: dir.path().join("callhome.db") }).await.unwrap();
        db.execute("CREATE TABLE t (n BIGINT)", Vec::new()).await.unwrap();
        for _ in 0..3 {
            let mut tx = db.begin().await.unwrap();
            tx.execute("INSERT INTO t VALUES (1)", Vec::new()).await.unwrap();
            tx.execute("ROLLBACK", Vec::new()).await.unwrap();
            tx.commit().await.unwrap_err();
            let mut tx = db.begin().await.unwrap();
            tx.execute("ROLLBACK", Vec::new()).await.unwrap();
            drop(tx);
            db.execute("INSERT INTO t VALUES (2)", Vec::new()).await.unwrap();
        }
        let rows = db.read("SELECT n FROM t", Vec::new()).await.unwrap();
        let found: Vec<i64> = rows.iter().map(|row| row.int("n").unwrap()).collect();
        assert_eq!(found, [2, 2, 2]);
        db.close().await;
    }
}
