//! Many rows in few statements.

use super::db::Tx;
use super::value::{Row, Val};
use super::{Db, Result};

/// Rows per statement. SQLite gets slower with more (measured: 256 took three times as long).
const CHUNK: usize = 32;

/// `($1, $2, …)` of `count` placeholders, the first one being `$first`.
pub(super) fn tuple(first: usize, count: usize) -> String {
    let all: Vec<String> = (first..first + count).map(|n| format!("${n}")).collect();
    format!("({})", all.join(", "))
}

/// `(…), (…)`: `rows` tuples of `columns` placeholders each.
pub(super) fn tuples(columns: usize, rows: usize) -> String {
    let all: Vec<String> = (0..rows).map(|row| tuple(row * columns + 1, columns)).collect();
    all.join(", ")
}

/// `<head> VALUES (…), (…) <tail>` over all rows; answers the number of rows touched. The caller
/// sorts them: two transactions that write the same rows in different order would deadlock.
pub(super) async fn insert(
    tx: &mut Tx,
    head: &str,
    rows: Vec<Vec<Val>>,
    tail: &str,
) -> Result<u64> {
    let mut touched = 0;
    let mut rows = rows.into_iter().peekable();
    while let Some(columns) = rows.peek().map(Vec::len) {
        // Powers of two: few different statements are prepared, and kept, per table.
        let left = rows.len().min(CHUNK);
        let size = if left.is_power_of_two() { left } else { left.next_power_of_two() / 2 };
        let chunk: Vec<Vec<Val>> = rows.by_ref().take(size).collect();
        let sql = format!("{head} VALUES {} {tail}", tuples(columns, chunk.len()));
        touched += tx.execute(sql, chunk.into_iter().flatten().collect()).await?;
    }
    Ok(touched)
}

/// `<head> IN (…) <tail>` over all of `keys`.
pub(super) async fn select_in(
    tx: &mut Tx,
    head: &str,
    keys: &[String],
    tail: &str,
) -> Result<Vec<Row>> {
    let mut found = Vec::new();
    for chunk in keys.chunks(CHUNK * 2) {
        let args: Vec<Val> = padded(chunk).map(Val::from).collect();
        let sql = format!("{head} IN {} {tail}", tuple(1, args.len()));
        found.extend(tx.query(sql, args).await?);
    }
    Ok(found)
}

/// The last key repeated up to a power of two, so that few different statements are prepared.
fn padded(keys: &[String]) -> impl Iterator<Item = &String> {
    let fill = keys.len().next_power_of_two() - keys.len();
    keys.iter().chain(keys.last().into_iter().cycle().take(fill))
}

/// Reads rows into `T`.
pub(super) async fn read_as<T>(
    db: &Db,
    sql: impl Into<super::Sql>,
    args: Vec<Val>,
    from: impl Fn(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    db.read(sql, args).await?.iter().map(from).collect()
}

/// A LIKE pattern for "contains these words", lower case, escaped with `!`.
pub(super) fn contains(words: &str) -> String {
    let mut pattern = String::from("%");
    for c in words.to_lowercase().chars().take(200) {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
