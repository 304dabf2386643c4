//! A store with as many tickets as asked for: whole copies, row by row, of those that the collector made.

use std::path::Path;

use anyhow::Result;
use callhome_tests::harness::world::READER;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;
use sqlx::{AssertSqlSafe, Row as _};

/// Copies' numbers begin above this.
const ABOVE: i64 = 100_000;
/// Copies of every ticket in one transaction.
const TOGETHER: usize = 20;
/// Tables that belong to tickets, in the order of their references: name, condition on a row `r`.
const TABLES: [(&str, &str); 10] = [
    ("tickets", "r.state = 'closed'"),
    (
        "alarms",
        "r.alarm_id IN (SELECT ca.alarm_id FROM case_alarms ca JOIN cases c ON c.id = ca.case_id JOIN made m ON m.id = c.ticket_id)",
    ),
    ("cases", "r.ticket_id IN (SELECT id FROM made)"),
    ("case_alarms", "r.case_id IN (SELECT c.id FROM cases c JOIN made m ON m.id = c.ticket_id)"),
    (
        "evidence",
        "r.alarm_id IN (SELECT ca.alarm_id FROM case_alarms ca JOIN cases c ON c.id = ca.case_id JOIN made m ON m.id = c.ticket_id)",
    ),
    ("ticket_events", "r.ticket_id IN (SELECT id FROM made)"),
    ("ticket_plans", "r.ticket_id IN (SELECT id FROM made)"),
    ("clocks", "r.ticket_id IN (SELECT id FROM made)"),
    ("notices", "r.ticket_id IN (SELECT id FROM made)"),
    ("ticket_terms", "r.ordinal IN (SELECT ordinal FROM made)"),
];
/// Columns whose text is another one in each copy.
const KEYS: [&str; 8] =
    ["id", "ticket_id", "alarm_id", "case_id", "identity", "entry_id", "event_id", "envelope_id"];

/// One of the two databases.
pub enum Store {
    Sqlite(SqlitePool, std::path::PathBuf),
    Postgres(PgPool),
}

impl Store {
    pub async fn sqlite(path: &Path) -> Result<Self> {
        let url = format!("sqlite://{}", path.display());
        Ok(Store::Sqlite(SqlitePool::connect(&url).await?, path.to_owned()))
    }

    pub async fn postgres(url: &str) -> Result<Self> {
        Ok(Store::Postgres(PgPool::connect(url).await?))
    }

    async fn execute(&self, sql: String) -> Result<()> {
        match self {
            Store::Sqlite(pool, _) => {
                sqlx::query(AssertSqlSafe(sql)).execute(pool).await.map(drop)?
            }
            Store::Postgres(pool) => {
                sqlx::query(AssertSqlSafe(sql)).execute(pool).await.map(drop)?
            }
        }
        Ok(())
    }

    async fn texts(&self, sql: String) -> Result<Vec<String>> {
        Ok(match self {
            Store::Sqlite(pool, _) => {
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(pool).await?;
                rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?
            }
            Store::Postgres(pool) => {
                let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(pool).await?;
                rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?
            }
        })
    }

    /// Rows of a table.
    pub async fn count(&self, table: &str) -> Result<i64> {
        let sql = format!("SELECT CAST(COUNT(*) AS TEXT) FROM {table}");
        Ok(self.texts(sql).await?.concat().parse()?)
    }

    /// How large it is on disk.
    pub async fn mib(&self) -> Result<f64> {
        let bytes: f64 = match self {
            Store::Sqlite(_, path) => std::fs::metadata(path)?.len() as f64,
            Store::Postgres(_) => {
                let sql = "SELECT CAST(pg_database_size(current_database()) AS TEXT)";
                self.texts(sql.into()).await?.concat().parse()?
            }
        };
        Ok(bytes / 1_048_576.0)
    }

    pub async fn close(self) {
        match self {
            Store::Sqlite(pool, _) => pool.close().await,
            Store::Postgres(pool) => pool.close().await,
        }
    }

    async fn columns(&self, table: &str) -> Result<Vec<String>> {
        let sql = match self {
            Store::Sqlite(..) => format!("SELECT name FROM pragma_table_info('{table}')"),
            Store::Postgres(_) => format!(
                "SELECT CAST(column_name AS TEXT) FROM information_schema.columns WHERE table_name = '{table}'"
            ),
        };
        self.texts(sql).await
    }

    /// Copies every closed ticket so many times, with all that belongs to it.
    pub async fn grow(&self, copies: usize) -> Result<()> {
        if let Store::Sqlite(..) = self {
            self.execute("PRAGMA synchronous = OFF".into()).await?;
        }
        self.execute(
            "CREATE TABLE made AS SELECT id, ordinal FROM tickets WHERE state = 'closed'".into(),
        )
        .await?;
        self.execute("CREATE UNIQUE INDEX made_id ON made(id)".into()).await?;
        self.execute("CREATE UNIQUE INDEX made_ordinal ON made(ordinal)".into()).await?;
        self.execute("CREATE TABLE copies (k BIGINT PRIMARY KEY)".into()).await?;
        // What is copied, apart: the tables grow while they are read.
        let mut inserts = Vec::new();
        for (table, which) in TABLES {
            self.execute(format!(
                "CREATE TABLE made_{table} AS SELECT r.* FROM {table} r WHERE {which}"
            ))
            .await?;
            let columns = self.columns(table).await?;
            let values: Vec<String> = columns.iter().map(|c| value(table, c)).collect();
            // Search words in the order of their table, so that it is written from its beginning to its end.
            let order = if table == "ticket_terms" {
                "ORDER BY c.k, r.ordinal, r.term"
            } else {
                "ORDER BY c.k"
            };
            inserts.push(format!(
                "INSERT INTO {table} ({}) SELECT {} FROM made_{table} r CROSS JOIN copies c {order}",
                columns.join(", "),
                values.join(", "),
            ));
        }
        let mut k = 1;
        while k <= copies {
            let to = (k + TOGETHER - 1).min(copies);
            let rows: Vec<String> = (k..=to).map(|k| format!("({k})")).collect();
            self.execute("DELETE FROM copies".into()).await?;
            self.execute(format!("INSERT INTO copies (k) VALUES {}", rows.join(", "))).await?;
            for insert in &inserts {
                self.execute(insert.clone()).await?;
            }
            k = to + 1;
        }
        self.execute("UPDATE ticket_number SET last = (SELECT MAX(ordinal) FROM tickets)".into())
            .await?;
        let mut leftovers: Vec<String> =
            TABLES.iter().map(|(table, _)| format!("made_{table}")).collect();
        leftovers.extend(["made".into(), "copies".into()]);
        for table in leftovers {
            self.execute(format!("DROP TABLE {table}")).await?;
        }
        self.execute("ANALYZE".into()).await
    }

    /// So many engineers, each with a living session: what their browsers' cookies hold.
    pub async fn seat(&self, people: usize) -> Result<Vec<String>> {
        let now = callhome_tests::harness::now_ms();
        let columns = self.columns("users").await?;
        let mut cookies = Vec::new();
        for n in 0..people {
            let values: Vec<String> = columns
                .iter()
                .map(|column| match column.as_str() {
                    "name" => format!("'engineer-{n}'"),
                    "role" => "'support_engineer'".to_owned(),
                    "must_change" => "0".to_owned(),
                    other => other.to_owned(),
                })
                .collect();
            self.execute(format!(
                "INSERT INTO users ({}) SELECT {} FROM users WHERE name = '{READER}'",
                columns.join(", "),
                values.join(", ")
            ))
            .await?;
            let secret = format!("{:032x}", rand::random::<u128>());
            let hash: String =
                Sha256::digest(secret.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
            let ends = now + 3_600_000;
            self.execute(format!(
                "INSERT INTO web_sessions (id_hash, user_name, csrf, created_at, expires_at, last_used_at) \
                 VALUES ('{hash}', 'engineer-{n}', 'none', {now}, {ends}, {now})"
            ))
            .await?;
            cookies.push(secret);
        }
        Ok(cookies)
    }
}

/// What a column of a copy holds.
fn value(table: &str, column: &str) -> String {
    match (table, column) {
        (_, "ordinal") => format!("r.ordinal + {ABOVE} + 1000 * c.k"),
        ("tickets", "number") => format!("'T-' || CAST(r.ordinal + {ABOVE} + 1000 * c.k AS TEXT)"),
        _ if KEYS.contains(&column) => format!("r.{column} || '-' || CAST(c.k AS TEXT)"),
        _ => format!("r.{column}"),
    }
}
