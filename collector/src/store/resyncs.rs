//! Whole alarm sets: pages that wait for the rest of their snapshot, and how often sets differed.

use callhome_shared::time::Time;

use super::rows::{insert, select_in};
use super::{Db, Result, Row, Tx};
use crate::args;

/// A page that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRow {
    /// The agent.
    pub agent_id: String,
    /// Its place, from 1.
    pub page: i64,
    /// The snapshot.
    pub snapshot: String,
    /// How many pages that has.
    pub pages: i64,
    /// The outbox life it came in.
    pub epoch: String,
    /// Its envelope's number in it.
    pub seq: i64,
    /// The envelope's payload, JSON.
    pub payload: String,
    /// When it came in.
    pub received_at: Time,
}

/// How often an agent's set differed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResyncRow {
    /// The agent.
    pub agent_id: String,
    /// Snapshots applied after which the sets have not been equal.
    pub in_a_row: i64,
    /// It is not asked again before.
    pub not_before: Time,
    /// Snapshots applied.
    pub applied: i64,
    /// When the last one was.
    pub applied_at: Time,
    /// Alarms that all of them raised.
    pub raised: i64,
    /// Alarms whose severity they changed.
    pub changed: i64,
    /// Alarms that they cleared.
    pub cleared: i64,
}

fn page(row: &Row) -> Result<PageRow> {
    Ok(PageRow {
        agent_id: row.text("agent_id")?,
        page: row.int("page")?,
        snapshot: row.text("snapshot")?,
        pages: row.int("pages")?,
        epoch: row.text("epoch")?,
        seq: row.int("seq")?,
        payload: row.text("payload")?,
        received_at: Time(row.int("received_at")?),
    })
}

/// The pages of these agents that wait.
pub async fn pages(tx: &mut Tx, agents: &[String]) -> Result<Vec<PageRow>> {
    let head = "SELECT * FROM resync_pages WHERE agent_id";
    select_in(tx, head, agents, "").await?.iter().map(page).collect()
}

/// Keeps pages, sorted by agent and place.
pub async fn keep_pages(tx: &mut Tx, all: &[PageRow]) -> Result<()> {
    let rows = all.iter().map(|p| {
        args![&p.agent_id, p.page, &p.snapshot, p.pages, &p.epoch, p.seq, &p.payload, p.received_at]
    });
    let head = "INSERT INTO resync_pages (agent_id, page, snapshot, pages, epoch, seq, payload, received_at)";
    let tail = "ON CONFLICT (agent_id, page) DO UPDATE SET snapshot = excluded.snapshot, \
                pages = excluded.pages, epoch = excluded.epoch, seq = excluded.seq, \
                payload = excluded.payload, received_at = excluded.received_at";
    insert(tx, head, rows.collect(), tail).await.map(drop)
}

/// Lets the pages of an agent go.
pub async fn drop_pages(tx: &mut Tx, agent: &str) -> Result<()> {
    tx.execute("DELETE FROM resync_pages WHERE agent_id = $1", args![agent]).await.map(drop)
}

/// Lets pages go whose rest has not come since `before`.
pub async fn forget_pages(db: &Db, before: Time) -> Result<u64> {
    db.execute("DELETE FROM resync_pages WHERE received_at < $1", args![before]).await
}

/// How often the sets of these agents differed; none for those that never did.
pub async fn of_agents(tx: &mut Tx, agents: &[String]) -> Result<Vec<ResyncRow>> {
    let rows = select_in(tx, "SELECT * FROM resyncs WHERE agent_id", agents, "").await?;
    rows.iter()
        .map(|row| {
            Ok(ResyncRow {
                agent_id: row.text("agent_id")?,
                in_a_row: row.int("in_a_row")?,
                not_before: Time(row.int("not_before")?),
                applied: row.int("applied")?,
                applied_at: Time(row.int("applied_at")?),
                raised: row.int("raised")?,
                changed: row.int("changed")?,
                cleared: row.int("cleared")?,
            })
        })
        .collect()
}

/// Writes it, sorted by agent.
pub async fn save(tx: &mut Tx, all: &[ResyncRow]) -> Result<()> {
    let rows = all.iter().map(|r| {
        args![
            &r.agent_id,
            r.in_a_row,
            r.not_before,
            r.applied,
            r.applied_at,
            r.raised,
            r.changed,
            r.cleared
        ]
    });
    let head = "INSERT INTO resyncs (agent_id, in_a_row, not_before, applied, applied_at, raised, changed, cleared)";
    let tail = "ON CONFLICT (agent_id) DO UPDATE SET in_a_row = excluded.in_a_row, \
                not_before = excluded.not_before, applied = excluded.applied, \
                applied_at = excluded.applied_at, raised = excluded.raised, \
                changed = excluded.changed, cleared = excluded.cleared";
    insert(tx, head, rows.collect(), tail).await.map(drop)
}
