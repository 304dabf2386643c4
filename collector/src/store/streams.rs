//! How far each agent's lanes are committed.

use callhome_shared::time::Time;

use super::rows::{insert, read_as, select_in};
use super::{Db, Result, Row, Tx, Val};
use crate::args;

/// One lane of one outbox life of one agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// The agent.
    pub agent_id: String,
    /// The outbox's life.
    pub epoch: String,
    /// `alarm` or `bulk`.
    pub lane: String,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Which.
    pub key: StreamKey,
    /// Highest sequence number up to which everything is committed (or given up by the agent).
    pub acked_seq: i64,
    /// Highest sequence number that is committed; above `acked_seq` there is a gap between.
    pub highest_seq: i64,
    /// Of the committed ones, refused.
    pub rejected: i64,
    /// Numbers that another store acknowledged: they never come here.
    pub missing: i64,
    /// When it was last written.
    pub updated_at: Time,
}

fn from_row(row: &Row) -> Result<Stream> {
    Ok(Stream {
        key: StreamKey {
            agent_id: row.text("agent_id")?,
            epoch: row.text("epoch")?,
            lane: row.text("lane")?,
        },
        acked_seq: row.int("acked_seq")?,
        highest_seq: row.int("highest_seq")?,
        rejected: row.int("rejected")?,
        missing: row.int("missing")?,
        updated_at: Time(row.int("updated_at")?),
    })
}

/// The agent's streams, the newest first.
pub async fn of_agent(db: &Db, agent_id: &str) -> Result<Vec<Stream>> {
    let sql = "SELECT * FROM streams WHERE agent_id = $1 ORDER BY updated_at DESC, lane LIMIT 20";
    read_as(db, sql, args![agent_id], from_row).await
}

/// Streams of these outbox lives (of any agent: the caller looks at the key).
pub async fn load(tx: &mut Tx, epochs: &[String]) -> Result<Vec<Stream>> {
    let rows = select_in(tx, "SELECT * FROM streams WHERE epoch", epochs, "").await?;
    rows.iter().map(from_row).collect()
}

/// Writes how far they are, sorted by key.
pub async fn save(tx: &mut Tx, streams: &[Stream]) -> Result<()> {
    let rows = streams.iter().map(|s| {
        args![
            &s.key.agent_id,
            &s.key.epoch,
            &s.key.lane,
            s.acked_seq,
            s.highest_seq,
            s.rejected,
            s.missing,
            s.updated_at
        ]
    });
    let head = "INSERT INTO streams \
                (agent_id, epoch, lane, acked_seq, highest_seq, rejected, missing, updated_at)";
    let tail = "ON CONFLICT (agent_id, epoch, lane) DO UPDATE SET acked_seq = excluded.acked_seq, \
                highest_seq = excluded.highest_seq, rejected = excluded.rejected, \
                missing = excluded.missing, updated_at = excluded.updated_at \
                WHERE excluded.acked_seq >= streams.acked_seq";
    insert(tx, head, rows.collect(), tail).await.map(drop)
}

/// Numbers `first..=last` that the agent gave up: they count as passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Whose.
    pub key: StreamKey,
    /// The first number.
    pub first: i64,
    /// The last number.
    pub last: i64,
}

/// Ranges that [`passed_above`] answers at most.
pub const PASSED_PAGE: usize = 1000;

/// The passed ranges that end above `above`, ascending, at most [`PASSED_PAGE`].
pub async fn passed_above(tx: &mut Tx, key: &StreamKey, above: i64) -> Result<Vec<Passed>> {
    let sql = "SELECT first_seq, last_seq FROM passed_ranges WHERE agent_id = $1 AND epoch = $2 \
               AND lane = $3 AND last_seq > $4 ORDER BY first_seq LIMIT 1000";
    let rows = tx.query(sql, args![&key.agent_id, &key.epoch, &key.lane, above]).await?;
    rows.iter()
        .map(|row| {
            Ok(Passed {
                key: key.clone(),
                first: row.int("first_seq")?,
                last: row.int("last_seq")?,
            })
        })
        .collect()
}

/// Keeps passed ranges, sorted by key and number.
pub async fn pass(tx: &mut Tx, all: &[Passed]) -> Result<()> {
    let rows =
        all.iter().map(|p| args![&p.key.agent_id, &p.key.epoch, &p.key.lane, p.first, p.last]);
    let head = "INSERT INTO passed_ranges (agent_id, epoch, lane, first_seq, last_seq)";
    let tail = "ON CONFLICT (agent_id, epoch, lane, first_seq) DO NOTHING";
    insert(tx, head, rows.collect(), tail).await.map(drop)
}

/// Ranges that a balance reads at most; beyond them its numbers are lower bounds.
const BALANCE_RANGES: i64 = 100_000;

/// What is beside the marks: numbers above the contiguous one that are here or passed, and passed
/// numbers that did not come either.
pub async fn beside(db: &Db, key: &StreamKey, acked_seq: i64) -> Result<(u64, u64)> {
    let args = || args![&key.agent_id, &key.epoch, &key.lane];
    let sql = "SELECT first_seq, last_seq FROM passed_ranges WHERE agent_id = $1 AND epoch = $2 \
               AND lane = $3 ORDER BY first_seq LIMIT $4";
    let mut with_limit = args();
    with_limit.extend(args![BALANCE_RANGES]);
    let ranges: Vec<(i64, i64)> =
        read_as(db, sql, with_limit, |row| Ok((row.int("first_seq")?, row.int("last_seq")?)))
            .await?;
    let mut above = args();
    above.extend(args![acked_seq]);
    let ahead = "SELECT COUNT(*) AS n FROM envelopes WHERE agent_id = $1 AND epoch = $2 \
                 AND lane = $3 AND seq > $4";
    let ahead = count(db, ahead, above).await?;
    if ranges.is_empty() {
        return Ok((ahead.unsigned_abs(), 0));
    }
    // A number may be declared while its envelope was on its way.
    let both = "SELECT COUNT(DISTINCT e.seq) AS n FROM passed_ranges p JOIN envelopes e \
                ON e.agent_id = p.agent_id AND e.epoch = p.epoch AND e.lane = p.lane \
                AND e.seq >= p.first_seq AND e.seq <= p.last_seq \
                WHERE p.agent_id = $1 AND p.epoch = $2 AND p.lane = $3 AND e.seq > $4";
    let (mut anywhere, mut above) = (args(), args());
    anywhere.extend(args![0i64]);
    above.extend(args![acked_seq]);
    let came = count(db, both, anywhere).await?;
    let came_above = count(db, both, above).await?;
    let (all, all_above) = (numbers(&ranges, 0), numbers(&ranges, acked_seq));
    let ahead = ahead + all_above - came_above;
    Ok((ahead.unsigned_abs(), (all - came).max(0).unsigned_abs()))
}

async fn count(db: &Db, sql: &'static str, args: Vec<Val>) -> Result<i64> {
    let rows: Vec<i64> = read_as(db, sql, args, |row| row.int("n")).await?;
    Ok(rows.into_iter().next().unwrap_or(0))
}

/// How many numbers above `above` are in the ranges, which are sorted and may overlap.
fn numbers(ranges: &[(i64, i64)], above: i64) -> i64 {
    let mut reached = above;
    let mut count = 0i64;
    for (first, last) in ranges {
        let from = (*first).max(reached.saturating_add(1));
        if *last >= from {
            count = count.saturating_add(last - from + 1);
            reached = *last;
        }
    }
    count
}
