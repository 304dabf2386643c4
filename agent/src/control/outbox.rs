//! What the outbox holds, over the control socket: `GET /outbox` and `GET /outbox/check`.

use callhome_shared::envelope::Lane;
use callhome_shared::id::AgentId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::board::Board;
use super::report::LaneReport;
use crate::outbox::{Checked, LaneStatus, OutboxError, Page};

/// Envelopes of one answer.
pub const MAX_COUNT: usize = 200;
/// Bytes of one answer's payloads, about.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Entries that one question lets check.
pub const MAX_CHECKED: u64 = 512;

/// Some of what waits, with the account of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Contents {
    /// Whose outbox it is.
    pub agent: AgentId,
    /// Its life.
    pub epoch: Uuid,
    /// The balance of each lane.
    pub lanes: Vec<LaneReport>,
    /// In order of sequence numbers: structured CloudEvents.
    pub envelopes: Vec<Box<RawValue>>,
}

impl From<&LaneStatus> for LaneReport {
    fn from(lane: &LaneStatus) -> Self {
        LaneReport {
            lane: lane.lane,
            last_seq: lane.last_seq,
            acked: lane.acked,
            rejected: lane.rejected,
            evicted: lane.evicted,
            folded: lane.folded,
            depth: lane.depth,
            oldest_at: lane.oldest_at,
        }
    }
}

impl Contents {
    /// A page, as it is told.
    pub fn new(agent: AgentId, lanes: &[LaneStatus], page: Page) -> Result<Self, String> {
        let structured = page.envelopes.iter().map(|envelope| {
            let json = envelope.to_structured().map_err(|e| e.to_string())?;
            let text = String::from_utf8(json).map_err(|e| e.to_string())?;
            RawValue::from_string(text).map_err(|e| e.to_string())
        });
        Ok(Contents {
            agent,
            epoch: page.epoch,
            lanes: lanes.iter().map(Into::into).collect(),
            envelopes: structured.collect::<Result<_, String>>()?,
        })
    }
}

/// What is asked for: `lane=…&after=…&count=…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Of which lane.
    pub lane: Lane,
    /// Above this sequence number.
    pub after: u64,
    /// At most so many.
    pub count: u64,
}

impl Query {
    /// Reads it; everything may be left out. The error says what was expected.
    pub fn parse(query: Option<&str>) -> Result<Query, &'static str> {
        let mut read = Query { lane: Lane::Alarm, after: 0, count: 100 };
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "lane" => read.lane = Lane::parse(value).ok_or("expected lane=alarm or bulk")?,
                "after" => read.after = value.parse().map_err(|_| "expected after=<number>")?,
                "count" => read.count = value.parse().map_err(|_| "expected count=<number>")?,
                _ => return Err("expected lane, after or count"),
            }
        }
        Ok(read)
    }

    /// As it is sent.
    pub fn text(&self) -> String {
        format!("lane={}&after={}&count={}", self.lane.as_str(), self.after, self.count)
    }

    /// Envelopes, within the limit of one answer.
    pub fn envelopes(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX).clamp(1, MAX_COUNT)
    }
}

/// Answers `GET /outbox`.
pub(super) async fn contents(board: &Board, query: Query) -> Result<Contents, String> {
    let outbox = board.outbox();
    let said = |error: OutboxError| error.to_string();
    let page = outbox.pending(query.lane, query.after, query.envelopes(), MAX_BYTES);
    let page = page.await.map_err(said)?;
    let lanes = outbox.status().borrow().lanes.clone();
    Contents::new(board.agent_id().clone(), &lanes, page)
}

/// Answers `GET /outbox/check`.
pub(super) async fn check(board: &Board, query: Query) -> Result<Checked, String> {
    let count = query.count.clamp(1, MAX_CHECKED);
    let checked = board.outbox().check(query.lane, query.after, count);
    checked.await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn queries_are_read_back() {
        let query = Query { lane: Lane::Bulk, after: 7, count: 9 };
        assert_eq!(Query::parse(Some(&query.text())), Ok(query));
        assert_eq!(Query::parse(None).map(|q| q.count), Ok(100));
        for bad in ["lane=x", "after=-1", "count=", "size=3", "lane"] {
            assert!(Query::parse(Some(bad)).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn fuzz_no_query_panics(query in ".{0,60}") {
            let _ = Query::parse(Some(&query));
        }
    }
}
