//! All tables as JSON lines: `["table", {"column": value, …}]`. Written from PostgreSQL, read into
//! either database.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};

use serde_json::{Map, Value};
use sqlx::{Column, Row as _, TypeInfo};

use super::db::{Db, Tx};
use super::rows::insert;
use super::value::{Row, Val};
use super::{Result, StoreError};

/// Every table with rows of ours; what is referred to comes before what refers.
const TABLES: &[&str] = &[
    "meta",
    "agents",
    "enrol_tokens",
    "certificates",
    "streams",
    "passed_ranges",
    "envelopes",
    "rejects",
    "losses",
    "devices",
    "inventories",
    "modules",
    "module_changes",
    "customers",
    "sites",
    "contacts",
    "contracts",
    "contract_cover",
    "contact_sites",
    "installed",
    "alarms",
    "evidence",
    "tickets",
    "ticket_number",
    "cases",
    "case_alarms",
    "decisions",
    "probes",
    "ticket_events",
    "plans",
    "calendars",
    "ticket_plans",
    "clocks",
    "clock_events",
    "clock_steps",
    "ticket_links",
    "fleet_problems",
    "fleet_tickets",
    "bundles",
    "bundle_room",
    "controls",
    "maintenance",
    "maintenance_devices",
    "articles",
    "article_terms",
    "ticket_terms",
    "ticket_search",
    "saved_views",
    "resyncs",
    "resync_pages",
    "resync_history",
    "presence",
    "users",
    "people",
    "rosters",
    "published",
    "shifts",
    "swaps",
    "absences",
    "calls",
    "notices",
    "notice_attempts",
    "web_sessions",
    "api_tokens",
    "customer_users",
    "oidc_users",
    "audit",
    "audit_head",
];
/// Rows held at a time.
const PAGE: usize = 500;

fn failed(why: impl std::fmt::Display) -> StoreError {
    StoreError::Schema(format!("dump: {why}"))
}

/// Writes everything as it is at one moment; answers the number of rows. PostgreSQL only: SQLite
/// copies its file.
pub(super) async fn write(db: &Db, file: File) -> Result<u64> {
    let mut out = BufWriter::new(file);
    let mut tx = db.begin().await?;
    tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", vec![]).await?;
    let mut count = 0;
    for table in TABLES {
        tx.execute(format!("DECLARE rows_of_{table} CURSOR FOR SELECT * FROM {table}"), vec![])
            .await?;
        loop {
            let page = tx.query(format!("FETCH {PAGE} FROM rows_of_{table}"), vec![]).await?;
            for row in &page {
                let line = Value::Array(vec![(*table).into(), Value::Object(object(row)?)]);
                writeln!(out, "{line}").map_err(failed)?;
                count += 1;
            }
            if page.len() < PAGE {
                break;
            }
        }
    }
    tx.rollback().await?;
    out.into_inner().map_err(failed)?.sync_all().map_err(failed)?;
    Ok(count)
}

fn object(row: &Row) -> Result<Map<String, Value>> {
    let columns: Vec<(String, bool)> = match row {
        Row::Pg(row) => described(row.columns()),
        Row::Lite(row) => described(row.columns()),
    };
    let mut object = Map::new();
    for (name, is_text) in columns {
        let value = if is_text {
            row.opt_text(&name)?.map_or(Value::Null, Value::String)
        } else {
            row.opt_int(&name)?.map_or(Value::Null, Value::from)
        };
        object.insert(name, value);
    }
    Ok(object)
}

fn described<C: Column>(columns: &[C]) -> Vec<(String, bool)> {
    columns.iter().map(|c| (c.name().to_owned(), c.type_info().name() == "TEXT")).collect()
}

/// Reads a dump into a store that has nothing but its schema.
pub(super) async fn read(db: &Db, file: File) -> Result<u64> {
    let mut tx = db.begin().await?;
    let used = tx.query_one("SELECT COUNT(*) AS n FROM agents", vec![]).await?;
    if used.map_or(Ok(0), |row| row.int("n"))? > 0 {
        return Err(failed("the database is in use already"));
    }
    for table in [
        "meta",
        "ticket_number",
        "ticket_search",
        "audit_head",
        "bundle_room",
        "plans",
        "calendars",
    ] {
        tx.execute(format!("DELETE FROM {table}"), vec![]).await?;
    }
    let mut count = 0;
    let mut lines = BufReader::new(file).lines().peekable();
    while lines.peek().is_some() {
        let page: Vec<String> =
            lines.by_ref().take(PAGE).collect::<io::Result<_>>().map_err(failed)?;
        count += u64::try_from(page.len()).unwrap_or(0);
        insert_page(&mut tx, &page).await?;
    }
    // A dump of a version that kept no record of trust.
    let sql = "INSERT INTO audit_head (only_row, seq, hash) VALUES (1, 0, $1) ON CONFLICT (only_row) DO NOTHING";
    tx.execute(sql, vec![Val::from(crate::audit::GENESIS)]).await?;
    // One of a version that proved no paths.
    let sql = "INSERT INTO ticket_number (only_row, last) VALUES (2, 0) ON CONFLICT (only_row) DO NOTHING";
    tx.execute(sql, vec![]).await?;
    // One of a version that took no bundles.
    let sql =
        "INSERT INTO bundle_room (only_row, taken) VALUES (1, 0) ON CONFLICT (only_row) DO NOTHING";
    tx.execute(sql, vec![]).await?;
    // One of a version whose tickets were not searched by words: all of them have to be read.
    let sql = "INSERT INTO ticket_search (only_row, below) SELECT 1, last + 1 FROM ticket_number WHERE only_row = 1 \
               ON CONFLICT (only_row) DO NOTHING";
    tx.execute(sql, vec![]).await?;
    tx.commit().await?;
    Ok(count)
}

async fn insert_page(tx: &mut Tx, page: &[String]) -> Result<()> {
    let mut pending: Option<(String, Vec<Vec<Val>>)> = None;
    for line in page {
        let (table, row): (String, Map<String, Value>) =
            serde_json::from_str(line).map_err(failed)?;
        if !TABLES.contains(&table.as_str()) || !row.keys().all(|c| is_name(c)) {
            return Err(failed(format!("no table or column of ours: {table}")));
        }
        let columns: Vec<&str> = row.keys().map(String::as_str).collect();
        let head = format!("INSERT INTO {table} ({})", columns.join(", "));
        // NULL has no type of its own; text is what nearly all optional columns are.
        let values = row.values().zip(&columns).map(|(value, column)| value_of(value, column));
        let values: Vec<Val> = values.collect::<Result<_>>()?;
        match &mut pending {
            Some((same, rows)) if *same == head => rows.push(values),
            _ => {
                flush(tx, pending.take()).await?;
                pending = Some((head, vec![values]));
            }
        }
    }
    flush(tx, pending).await
}

async fn flush(tx: &mut Tx, pending: Option<(String, Vec<Vec<Val>>)>) -> Result<()> {
    match pending {
        Some((head, rows)) => insert(tx, &head, rows, "").await.map(drop),
        None => Ok(()),
    }
}

fn is_name(column: &str) -> bool {
    !column.is_empty() && column.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// Our optional integers are times (`…_at`), numbers and counts.
fn value_of(value: &Value, column: &str) -> Result<Val> {
    match value {
        Value::String(text) => Ok(Val::Text(text.clone())),
        Value::Number(number) => number.as_i64().map(Val::Int).ok_or_else(|| failed(number)),
        Value::Null if column.ends_with("_at") || matches!(column, "seq" | "count") => {
            Ok(Val::OptInt(None))
        }
        Value::Null => Ok(Val::OptText(None)),
        other => Err(failed(format!("{column}: {other}"))),
    }
}
