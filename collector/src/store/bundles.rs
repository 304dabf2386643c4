//! Evidence bundles: what was declared and how it is. The bytes are files; see `crate::bundle`.

use callhome_shared::time::Time;

use super::rows::{read_as, select_in};
use super::{Db, Result, Row, StoreError, Tx};
use crate::args;

/// One bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleRow {
    /// Made by the agent.
    pub id: String,
    /// The agent.
    pub agent_id: String,
    /// The ticket's id.
    pub ticket_id: String,
    /// The alarm life that it is about, if one was named.
    pub alarm_id: Option<String>,
    /// For people.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Of the whole file, hex.
    pub sha256: String,
    /// As declared, JSON.
    pub declaration: String,
    /// `open`, `complete`, `refused` or `removed`.
    pub state: String,
    /// Why it is refused.
    pub reason: Option<String>,
    /// What it counts in the quotas, bytes.
    pub weight: i64,
    /// Bytes kept, as last noted.
    pub received: i64,
    /// How often the whole SHA-256 was another one.
    pub mismatches: i64,
    /// Complete, but its file is not there or has another size.
    pub missing: bool,
    /// The collector that keeps the file.
    pub collector: String,
    /// When it was declared.
    pub declared_at: Time,
    /// The last sign of its upload.
    pub active_at: Time,
    /// When it was complete.
    pub completed_at: Option<Time>,
    /// When the agent's envelope named it.
    pub told_at: Option<Time>,
    /// When its file was removed.
    pub removed_at: Option<Time>,
}

/// How much room is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Open uploads of the agent.
    pub open: i64,
    /// Bytes of the agent, by weight.
    pub agent: i64,
    /// Bytes of all, by weight.
    pub total: i64,
}

/// Counts for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Open uploads.
    pub open: i64,
    /// Complete bundles.
    pub complete: i64,
    /// Of them, without their file.
    pub missing: i64,
    /// Bytes taken, by weight.
    pub taken: i64,
}

fn from_row(row: &Row) -> Result<BundleRow> {
    Ok(BundleRow {
        id: row.text("id")?,
        agent_id: row.text("agent_id")?,
        ticket_id: row.text("ticket_id")?,
        alarm_id: row.opt_text("alarm_id")?,
        name: row.text("name")?,
        size: row.int("size")?,
        sha256: row.text("sha256")?,
        declaration: row.text("declaration")?,
        state: row.text("state")?,
        reason: row.opt_text("reason")?,
        weight: row.int("weight")?,
        received: row.int("received")?,
        mismatches: row.int("mismatches")?,
        missing: row.flag("missing")?,
        collector: row.text("collector")?,
        declared_at: Time(row.int("declared_at")?),
        active_at: Time(row.int("active_at")?),
        completed_at: row.opt_int("completed_at")?.map(Time),
        told_at: row.opt_int("told_at")?.map(Time),
        removed_at: row.opt_int("removed_at")?.map(Time),
    })
}

const BY_ID: &str = "SELECT * FROM bundles WHERE id = $1";

/// The bundle of that id.
pub async fn get(db: &Db, id: &str) -> Result<Option<BundleRow>> {
    db.read_one(BY_ID, args![id]).await?.as_ref().map(from_row).transpose()
}

/// [`get`] inside a transaction, to change it.
pub async fn get_in(tx: &mut Tx, id: &str) -> Result<Option<BundleRow>> {
    tx.query_one(BY_ID, args![id]).await?.as_ref().map(from_row).transpose()
}

/// A ticket's bundles, oldest first: the latest `limit`.
pub async fn of_ticket(db: &Db, ticket_id: &str, limit: i64) -> Result<Vec<BundleRow>> {
    let sql =
        "SELECT * FROM bundles WHERE ticket_id = $1 ORDER BY declared_at DESC, id DESC LIMIT $2";
    let mut found = read_as(db, sql, args![ticket_id, limit], from_row).await?;
    found.reverse();
    Ok(found)
}

/// An agent's open uploads with the numbers of their tickets, oldest first, at most `limit`.
pub async fn open_of_agent(
    db: &Db,
    agent_id: &str,
    limit: i64,
) -> Result<Vec<(BundleRow, String)>> {
    let sql = "SELECT b.*, t.number FROM bundles b JOIN tickets t ON t.id = b.ticket_id \
               WHERE b.agent_id = $1 AND b.state = 'open' ORDER BY b.declared_at, b.id LIMIT $2";
    read_as(db, sql, args![agent_id, limit], |row| Ok((from_row(row)?, row.text("number")?))).await
}

/// Makes every other declaration wait until this transaction is over, and says what is taken.
pub async fn taken(tx: &mut Tx, agent_id: &str) -> Result<Taken> {
    let sql = "UPDATE bundle_room SET taken = taken WHERE only_row = 1";
    if tx.execute(sql, vec![]).await? != 1 {
        return Err(StoreError::Schema("table bundle_room has no row".into()));
    }
    // PostgreSQL's sums of BIGINT are NUMERIC.
    let sql = "SELECT CAST(COALESCE(SUM(weight), 0) AS BIGINT) AS total, \
               CAST(COALESCE(SUM(CASE WHEN agent_id = $1 THEN weight ELSE 0 END), 0) AS BIGINT) AS agent, \
               CAST(COALESCE(SUM(CASE WHEN agent_id = $1 AND state = 'open' THEN 1 ELSE 0 END), 0) AS BIGINT) AS open \
               FROM bundles WHERE state IN ('open', 'complete', 'refused')";
    let row = tx.query_one(sql, args![agent_id]).await?;
    row.map_or(Ok(Taken::default()), |row| {
        Ok(Taken { open: row.int("open")?, agent: row.int("agent")?, total: row.int("total")? })
    })
}

/// Counts for metrics.
pub async fn census(db: &Db) -> Result<Census> {
    let sql = "SELECT state, COUNT(*) AS n, CAST(COALESCE(SUM(weight), 0) AS BIGINT) AS weight, \
               CAST(COALESCE(SUM(missing), 0) AS BIGINT) AS missing FROM bundles \
               WHERE state IN ('open', 'complete', 'refused') GROUP BY state";
    let mut census = Census::default();
    for row in db.read(sql, vec![]).await? {
        let n = row.int("n")?;
        match row.text("state")?.as_str() {
            "open" => census.open = n,
            "complete" => (census.complete, census.missing) = (n, row.int("missing")?),
            _ => {}
        }
        census.taken += row.int("weight")?;
    }
    Ok(census)
}

/// Keeps a new one.
pub async fn insert(tx: &mut Tx, row: &BundleRow) -> Result<()> {
    let sql = "INSERT INTO bundles (id, agent_id, ticket_id, alarm_id, name, size, sha256, declaration, state, \
               weight, collector, declared_at, active_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    let args = args![
        &row.id,
        &row.agent_id,
        &row.ticket_id,
        &row.alarm_id,
        &row.name,
        row.size,
        &row.sha256,
        &row.declaration,
        &row.state,
        row.weight,
        &row.collector,
        row.declared_at,
        row.active_at
    ];
    tx.execute(sql, args).await.map(drop)
}

/// The upload goes on at another collector, from its beginning.
pub async fn take_over(tx: &mut Tx, id: &str, collector: &str, now: Time) -> Result<()> {
    let sql = "UPDATE bundles SET collector = $2, received = 0, active_at = $3 \
               WHERE id = $1 AND state = 'open'";
    tx.execute(sql, args![id, collector, now]).await.map(drop)
}

/// Notes how far an open upload is.
pub async fn note_progress(db: &Db, id: &str, received: i64, now: Time) -> Result<()> {
    let sql = "UPDATE bundles SET received = $2, active_at = $3 WHERE id = $1 AND state = 'open'";
    db.execute(sql, args![id, received, now]).await.map(drop)
}

/// Says that it is complete; `false`: it was no open one.
pub async fn complete(tx: &mut Tx, id: &str, now: Time) -> Result<bool> {
    let sql = "UPDATE bundles SET state = 'complete', received = size, missing = 0, active_at = $2, \
               completed_at = $2 WHERE id = $1 AND state = 'open'";
    Ok(tx.execute(sql, args![id, now]).await? == 1)
}

/// One more wrong SHA-256: it begins anew, or it is refused for good with that reason, from then on
/// counting as `weight`.
pub async fn mismatch(
    tx: &mut Tx,
    id: &str,
    refused: Option<(&str, i64)>,
    now: Time,
) -> Result<()> {
    let sql = "UPDATE bundles SET mismatches = mismatches + 1, received = 0, active_at = $2 \
               WHERE id = $1 AND state = 'open'";
    tx.execute(sql, args![id, now]).await?;
    if let Some((reason, weight)) = refused {
        let sql = "UPDATE bundles SET state = 'refused', reason = $2, weight = $3 \
                   WHERE id = $1 AND state = 'open'";
        tx.execute(sql, args![id, reason, weight]).await?;
    }
    Ok(())
}

/// Lets an open one go; `false`: it was none. With `idle_since`: only if nothing came since then.
pub async fn drop_open(db: &Db, id: &str, idle_since: Option<Time>) -> Result<bool> {
    let sql = "DELETE FROM bundles WHERE id = $1 AND state = 'open' AND active_at < $2";
    let before = idle_since.unwrap_or(Time(i64::MAX));
    Ok(db.execute(sql, args![id, before]).await? == 1)
}

/// Those in that state that have not moved since `before`, oldest first, at most `limit`.
pub async fn resting(db: &Db, state: &str, before: Time, limit: i64) -> Result<Vec<BundleRow>> {
    let sql =
        "SELECT * FROM bundles WHERE state = $1 AND active_at < $2 ORDER BY active_at, id LIMIT $3";
    read_as(db, sql, args![state, before, limit], from_row).await
}

/// Lets refused ones go that have not moved since `before`.
pub async fn forget_refused(db: &Db, before: Time) -> Result<u64> {
    let sql = "DELETE FROM bundles WHERE state = 'refused' AND active_at < $1";
    db.execute(sql, args![before]).await
}

/// Its time is over: the row stays as a record, the file goes.
pub async fn remove(tx: &mut Tx, id: &str, now: Time) -> Result<bool> {
    let sql = "UPDATE bundles SET state = 'removed', removed_at = $2, missing = 0, weight = 0 \
               WHERE id = $1 AND state = 'complete'";
    Ok(tx.execute(sql, args![id, now]).await? == 1)
}

/// Whether its file is missing.
pub async fn set_missing(db: &Db, id: &str, missing: bool) -> Result<()> {
    let sql = "UPDATE bundles SET missing = $2 WHERE id = $1 AND state = 'complete'";
    db.execute(sql, args![id, missing]).await.map(drop)
}

/// Complete ones after `after` by id, at most `limit`: to go through all of them.
pub async fn complete_after(db: &Db, after: &str, limit: i64) -> Result<Vec<BundleRow>> {
    let sql = "SELECT * FROM bundles WHERE state = 'complete' AND id > $1 ORDER BY id LIMIT $2";
    read_as(db, sql, args![after, limit], from_row).await
}

/// Of these bundles those that there are: (bundle, agent).
pub async fn known(tx: &mut Tx, ids: &[String]) -> Result<Vec<(String, String)>> {
    let rows = select_in(tx, "SELECT id, agent_id FROM bundles WHERE id", ids, "").await?;
    rows.iter().map(|row| Ok((row.text("id")?, row.text("agent_id")?))).collect()
}

/// Notes that the agent's envelope named these of its bundles, sorted: (bundle, agent, when).
/// Named twice the first time counts.
pub async fn note_told(tx: &mut Tx, all: &[(String, String, Time)]) -> Result<()> {
    let sql = "UPDATE bundles SET told_at = COALESCE(told_at, $3) WHERE id = $1 AND agent_id = $2";
    for (id, agent, at) in all {
        tx.execute(sql, args![id, agent, *at]).await?;
    }
    Ok(())
}
