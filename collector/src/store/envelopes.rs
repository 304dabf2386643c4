//! Which envelopes are committed: the deduplication rows.

use callhome_shared::time::Time;

use super::rows::{insert, select_in, tuples};
use super::streams::StreamKey;
use super::{Db, Result, Row, Tx};
use crate::args;

/// What became of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its effect is committed.
    Applied,
    /// It was refused; see its reason.
    Rejected,
    /// Its effect was committed before, in another life of the agent's outbox.
    Repeated,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Applied => "applied",
            Outcome::Rejected => "rejected",
            Outcome::Repeated => "repeated",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "rejected" => Outcome::Rejected,
            "repeated" => Outcome::Repeated,
            _ => Outcome::Applied,
        }
    }
}

/// One envelope that is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its stream.
    pub stream: StreamKey,
    /// Its sequence number.
    pub seq: i64,
    /// Its id.
    pub id: String,
    /// CloudEvents type.
    pub kind: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused: the stable word and the text for a person.
    pub reason: Option<(String, String)>,
    /// When it came in.
    pub received_at: Time,
}

fn from_row(row: &Row) -> Result<Committed> {
    let reason = row.opt_text("reason")?;
    let text = row.opt_text("reason_text")?.unwrap_or_default();
    Ok(Committed {
        stream: StreamKey {
            agent_id: row.text("agent_id")?,
            epoch: row.text("epoch")?,
            lane: row.text("lane")?,
        },
        seq: row.int("seq")?,
        id: row.text("id")?,
        kind: row.text("kind")?,
        outcome: Outcome::parse(&row.text("outcome")?),
        reason: reason.map(|word| (word, text)),
        received_at: Time(row.int("received_at")?),
    })
}

/// Those of `places` (stream and number) that are committed.
pub async fn at_places(tx: &mut Tx, places: &[(StreamKey, i64)]) -> Result<Vec<Committed>> {
    let mut found = Vec::new();
    for chunk in places.chunks(32) {
        let size = chunk.len().next_power_of_two();
        let padded = chunk.iter().chain(chunk.last().into_iter().cycle().take(size - chunk.len()));
        let args = padded.flat_map(|(s, seq)| args![&s.agent_id, &s.epoch, &s.lane, *seq]);
        // A join, so that both databases go through the key once per place.
        let sql = format!(
            "WITH want (a, e, l, s) AS (VALUES {}) SELECT DISTINCT x.* FROM want \
             JOIN envelopes x ON x.agent_id = a AND x.epoch = e AND x.lane = l AND x.seq = s",
            tuples(4, size)
        );
        let rows = tx.query(sql, args.collect()).await?;
        found.extend(rows.iter().map(from_row).collect::<Result<Vec<_>>>()?);
    }
    Ok(found)
}

/// Those with one of these ids.
pub async fn with_ids(tx: &mut Tx, ids: &[String]) -> Result<Vec<Committed>> {
    let rows = select_in(tx, "SELECT * FROM envelopes WHERE id", ids, "").await?;
    rows.iter().map(from_row).collect()
}

/// Committed numbers above `above`, ascending, at most `limit`: what came ahead of a gap.
pub async fn numbers_above(
    tx: &mut Tx,
    stream: &StreamKey,
    above: i64,
    limit: i64,
) -> Result<Vec<i64>> {
    let sql = "SELECT seq FROM envelopes WHERE agent_id = $1 AND epoch = $2 AND lane = $3 AND seq > $4 \
               ORDER BY seq LIMIT $5";
    let args = args![&stream.agent_id, &stream.epoch, &stream.lane, above, limit];
    tx.query(sql, args).await?.iter().map(|row| row.int("seq")).collect()
}

/// Keeps new ones, sorted by stream and number.
pub async fn insert_all(tx: &mut Tx, all: &[Committed]) -> Result<()> {
    let rows = all.iter().map(|c| {
        let (reason, text) = c.reason.clone().unzip();
        args![
            &c.stream.agent_id,
            &c.stream.epoch,
            &c.stream.lane,
            c.seq,
            &c.id,
            &c.kind,
            c.outcome.as_str(),
            reason,
            text,
            c.received_at
        ]
    });
    let head = "INSERT INTO envelopes (agent_id, epoch, lane, seq, id, kind, outcome, reason, reason_text, received_at)";
    insert(tx, head, rows.collect(), "").await.map(drop)
}

/// Forgets at most `limit` rows that came before `before` and are below their stream's mark.
/// An envelope that is sent again after that is applied again, which changes nothing.
pub async fn forget(db: &Db, before: Time, limit: i64) -> Result<u64> {
    let sql = "DELETE FROM envelopes WHERE (agent_id, epoch, lane, seq) IN ( \
               SELECT e.agent_id, e.epoch, e.lane, e.seq FROM envelopes e JOIN streams s \
               ON s.agent_id = e.agent_id AND s.epoch = e.epoch AND s.lane = e.lane \
               WHERE e.received_at < $1 AND e.seq <= s.acked_seq ORDER BY e.received_at LIMIT $2)";
    db.execute(sql, args![before, limit]).await
}

/// How many of the numbers above `above` up to `up_to` are committed.
pub async fn count_between(tx: &mut Tx, stream: &StreamKey, above: i64, up_to: i64) -> Result<i64> {
    let sql = "SELECT COUNT(*) AS n FROM envelopes WHERE agent_id = $1 AND epoch = $2 AND lane = $3 \
               AND seq > $4 AND seq <= $5";
    let args = args![&stream.agent_id, &stream.epoch, &stream.lane, above, up_to];
    let row = tx.query_one(sql, args).await?;
    row.map_or(Ok(0), |row| row.int("n"))
}
