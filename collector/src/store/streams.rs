//! How far each agent's lanes are committed.

use callhome_shared::time::Time;

use super::rows::{insert, read_as, select_in};
use super::{Db, Result, Row, Tx};
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
        args![&s.key.agent_id, &s.key.epoch, &s.key.lane, s.acked_seq, s.highest_seq, s.updated_at]
    });
    let head = "INSERT INTO streams (agent_id, epoch, lane, acked_seq, highest_seq, updated_at)";
    let tail = "ON CONFLICT (agent_id, epoch, lane) DO UPDATE SET acked_seq = excluded.acked_seq, \
                highest_seq = excluded.highest_seq, updated_at = excluded.updated_at \
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

/// The passed ranges that end above `above`, ascending.
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
