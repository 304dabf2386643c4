//! The schema: every file of `migrations/` once, in order, all in one transaction.

use callhome_shared::heartbeat::hex;
use callhome_shared::id::new_uuid;
use callhome_shared::time::Time;
use sha2::{Digest, Sha256};

use super::db::{Db, Tx};
use super::error::StoreError;
use crate::args;

/// Number, name and text. Append; never change what was shipped.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../../migrations/0001_first.sql")),
    (10, "balance", include_str!("../../migrations/0010_balance.sql")),
    (20, "silence", include_str!("../../migrations/0020_silence.sql")),
    (40, "audit", include_str!("../../migrations/0040_audit.sql")),
    (70, "probes", include_str!("../../migrations/0070_probes.sql")),
    (90, "bundles", include_str!("../../migrations/0090_bundles.sql")),
    (95, "own", include_str!("../../migrations/0095_own.sql")),
    (100, "desk", include_str!("../../migrations/0100_desk.sql")),
    (110, "desk5", include_str!("../../migrations/0110_desk5.sql")),
    (120, "clocks", include_str!("../../migrations/0120_clocks.sql")),
    (130, "maintenance", include_str!("../../migrations/0130_maintenance.sql")),
    (140, "diagnosis", include_str!("../../migrations/0140_diagnosis.sql")),
    (141, "fleet", include_str!("../../migrations/0141_fleet.sql")),
    (150, "duty", include_str!("../../migrations/0150_duty.sql")),
    (151, "notices", include_str!("../../migrations/0151_notices.sql")),
    (160, "articles", include_str!("../../migrations/0160_articles.sql")),
    (170, "api_tokens", include_str!("../../migrations/0170_api_tokens.sql")),
    (171, "customers", include_str!("../../migrations/0171_customers.sql")),
    (172, "oidc", include_str!("../../migrations/0172_oidc.sql")),
    (180, "search", include_str!("../../migrations/0180_search.sql")),
    (181, "views", include_str!("../../migrations/0181_views.sql")),
    (182, "reports", include_str!("../../migrations/0182_reports.sql")),
    (200, "modules", include_str!("../../migrations/0200_modules.sql")),
    (210, "topology", include_str!("../../migrations/0210_topology.sql")),
];

/// One collector at a time upgrades a PostgreSQL server: the number is arbitrary, but ours.
const LOCK: &str = "SELECT pg_advisory_xact_lock(4242170501)";

/// Brings the schema up to date.
pub(super) async fn run(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    if db.is_postgres() {
        tx.query(LOCK, vec![]).await?;
    }
    tx.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations (number BIGINT PRIMARY KEY, name TEXT NOT NULL, \
         sha256 TEXT NOT NULL, applied_at BIGINT NOT NULL)",
        vec![],
    )
    .await?;
    let applied =
        tx.query("SELECT number, name, sha256 FROM schema_migrations ORDER BY number", vec![]);
    let mut done = Vec::new();
    for row in applied.await? {
        done.push(row.int("number")?);
        check(row.int("number")?, &row.text("name")?, &row.text("sha256")?)?;
    }
    for (number, name, text) in MIGRATIONS.iter().filter(|(number, ..)| !done.contains(number)) {
        apply(&mut tx, *number, name, text).await?;
    }
    tx.execute(
        "INSERT INTO meta (key, value) VALUES ('store', $1) ON CONFLICT (key) DO NOTHING",
        args![new_uuid()],
    )
    .await?;
    tx.commit().await
}

async fn apply(tx: &mut Tx, number: i64, name: &str, text: &'static str) -> Result<(), StoreError> {
    for statement in statements(text) {
        tx.execute(statement, vec![]).await?;
    }
    tx.execute(
        "INSERT INTO schema_migrations (number, name, sha256, applied_at) VALUES ($1, $2, $3, $4)",
        args![number, name, digest(text), Time::now()],
    )
    .await?;
    tracing::info!(migration = number, name, "store.schema.migrated");
    Ok(())
}

fn check(number: i64, name: &str, sha256: &str) -> Result<(), StoreError> {
    let Some((.., text)) = MIGRATIONS.iter().find(|(known, ..)| *known == number) else {
        let text = format!("the database was made by a newer version (migration {number} {name})");
        return Err(StoreError::Schema(text));
    };
    if digest(text) == sha256 {
        return Ok(());
    }
    Err(StoreError::Schema(format!(
        "migration {number} {name} is not the one this database was made with"
    )))
}

fn digest(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// Splits SQL at `;` outside of quotes and comments, and leaves comments out.
fn statements(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut one = String::new();
    let mut chars = text.chars().peekable();
    let mut quote: Option<char> = None;
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), _) => {
                one.push(c);
                quote = (c != open).then_some(open);
            }
            (None, '\'' | '"') => {
                one.push(c);
                quote = Some(c);
            }
            (None, '-') if chars.peek() == Some(&'-') => {
                for skipped in chars.by_ref() {
                    if skipped == '\n' {
                        one.push('\n');
                        break;
                    }
                }
            }
            (None, ';') => all.push(std::mem::take(&mut one)),
            (None, _) => one.push(c),
        }
    }
    all.push(one);
    all.into_iter().map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::{MIGRATIONS, statements};

    #[test]
    fn every_file_of_the_folder_is_listed_in_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        let mut files: Vec<String> =
            entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        files.sort_unstable();
        let listed: Vec<String> =
            MIGRATIONS.iter().map(|(number, name, _)| format!("{number:04}_{name}.sql")).collect();
        assert_eq!(files, listed);
    }

    #[test]
    fn splits_outside_of_quotes_and_comments() {
        let text = "-- a; b 'c\nCREATE t (x); INSERT ';''--;' -- end;\n;;\nSELECT \"a;b\"";
        assert_eq!(statements(text), ["CREATE t (x)", "INSERT ';''--;'", "SELECT \"a;b\""]);
    }
}
