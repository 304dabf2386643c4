//! How far a stream is: the highest number up to which everything is committed or given up.
//!
//! A stream that the collector does not know (a new agent, a new outbox life, a collector that was
//! restored or emptied) begins at 0, or where the agent's heartbeat says that it has been
//! acknowledged already: those numbers will never be sent again. Until a heartbeat tells, an
//! envelope ahead of number 1 is committed but nothing is acknowledged, so nothing that might still
//! be on its way is given up; the agent sends a heartbeat on every connect. Beginning at the lowest
//! number seen instead could lose: a broker may drop or overtake the ones before it.

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::envelope::Lane;
use callhome_shared::heartbeat::Heartbeat;
use callhome_shared::time::Time;

use super::ledger::{Held, Ledger};
use crate::store::streams::{self, Passed, Stream, StreamKey};
use crate::store::{Result, Tx, envelopes};

/// Numbers looked at in one go.
const PAGE: i64 = 4096;

/// What an agent says it has been told of a lane.
pub(super) fn told(heartbeat: &Heartbeat, lane: Lane) -> i64 {
    let state = heartbeat.lanes.iter().find(|l| l.lane == lane);
    state.map_or(0, |l| i64::try_from(l.acked_seq).unwrap_or(i64::MAX))
}

/// Whether it says that something of a lane waits for an acknowledgement.
pub(super) fn waits(heartbeat: &Heartbeat, lane: Lane) -> bool {
    heartbeat.lanes.iter().any(|l| l.lane == lane && l.depth > 0)
}

impl Ledger {
    /// The stream of that key; one that is unknown begins where the agent's last heartbeat says.
    pub(super) fn stream(&mut self, key: &StreamKey) -> &mut Held<Stream> {
        let start = || {
            let agent = self.agents.get(&key.agent_id);
            let json = agent.and_then(|a| a.heartbeat.as_deref()).unwrap_or_default();
            let beat = serde_json::from_str::<Heartbeat>(json).ok();
            let beat = beat.filter(|b| b.epoch.is_some_and(|e| e.to_string() == key.epoch));
            let lane = Lane::parse(&key.lane);
            beat.zip(lane).map_or(0, |(beat, lane)| told(&beat, lane))
        };
        let now = self.now;
        self.streams.entry(key.clone()).or_insert_with(|| {
            let acked_seq = start();
            let row = Stream {
                key: key.clone(),
                acked_seq,
                highest_seq: acked_seq,
                rejected: 0,
                missing: acked_seq,
                updated_at: now,
            };
            Held { row, changed: true }
        })
    }

    /// Moves every stream of the batch on as far as it goes.
    pub(super) async fn advance(&mut self, tx: &mut Tx) -> Result<()> {
        let mut news: BTreeMap<&StreamKey, BTreeSet<i64>> = BTreeMap::new();
        for row in &self.added.envelopes {
            news.entry(&row.stream).or_default().insert(row.seq);
        }
        let none = BTreeSet::new();
        for (key, held) in &mut self.streams {
            let new = news.get(key).unwrap_or(&none);
            let passed = self.added.passed.iter().filter(|p| p.key == *key);
            let passed: Vec<&Passed> = passed.collect();
            let before = held.row.clone();
            let ahead = held.row.highest_seq > held.row.acked_seq;
            let highest =
                new.last().copied().into_iter().chain(passed.iter().map(|p| p.last)).max();
            held.row.highest_seq = held.row.highest_seq.max(highest.unwrap_or(0));
            if ahead {
                advance_through_stored(tx, &mut held.row, new, &passed).await?;
            } else {
                step_over(&mut held.row.acked_seq, new, &passed);
            }
            held.row.highest_seq = held.row.highest_seq.max(held.row.acked_seq);
            held.changed |= held.row != before;
        }
        Ok(())
    }
}

/// With earlier envelopes ahead of a gap: they count once the gap is filled.
async fn advance_through_stored(
    tx: &mut Tx,
    row: &mut Stream,
    new: &BTreeSet<i64>,
    passed: &[&Passed],
) -> Result<()> {
    loop {
        let stored_ranges = streams::passed_above(tx, &row.key, row.acked_seq).await?;
        let ranges: Vec<&Passed> = stored_ranges.iter().chain(passed.iter().copied()).collect();
        let stored = envelopes::numbers_above(tx, &row.key, row.acked_seq, PAGE).await?;
        let full = stored.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX)
            || stored_ranges.len() >= streams::PASSED_PAGE;
        let before = row.acked_seq;
        let numbers: BTreeSet<i64> = stored.into_iter().chain(new.iter().copied()).collect();
        step_over(&mut row.acked_seq, &numbers, &ranges);
        if !full || row.acked_seq == before {
            return Ok(());
        }
    }
}

/// Moves `acked` over the numbers and ranges that follow it without a gap.
fn step_over(acked: &mut i64, numbers: &BTreeSet<i64>, ranges: &[&Passed]) {
    loop {
        let before = *acked;
        let following = numbers.range(acked.saturating_add(1)..);
        for number in following {
            if *number != acked.saturating_add(1) {
                break;
            }
            *acked = *number;
        }
        for range in ranges {
            if range.first <= acked.saturating_add(1) && range.last > *acked {
                *acked = range.last;
            }
        }
        if *acked == before {
            return;
        }
    }
}

/// A heartbeat says that the agent was told of numbers that this store does not know: another
/// store acknowledged them. They never come again. Answers how many are missing.
pub(super) async fn catch_up(
    tx: &mut Tx,
    held: &mut Held<Stream>,
    told: i64,
    now: Time,
) -> Result<i64> {
    let row = &mut held.row;
    if told <= row.acked_seq {
        return Ok(0);
    }
    let mut between = 0;
    if row.highest_seq > row.acked_seq {
        between = envelopes::count_between(tx, &row.key, row.acked_seq, told).await?;
    }
    let missing = told - row.acked_seq - between;
    row.missing += missing;
    row.acked_seq = told;
    row.highest_seq = row.highest_seq.max(told);
    row.updated_at = now;
    held.changed = true;
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64) -> Passed {
        let key = StreamKey { agent_id: "a".into(), epoch: "e".into(), lane: "bulk".into() };
        Passed { key, first, last }
    }

    #[test]
    fn stops_at_a_gap_and_passes_declared_ranges() {
        let check = |start: i64, numbers: &[i64], ranges: &[Passed], end: i64| {
            let mut acked = start;
            let numbers: BTreeSet<i64> = numbers.iter().copied().collect();
            let ranges: Vec<&Passed> = ranges.iter().collect();
            step_over(&mut acked, &numbers, &ranges);
            assert_eq!(acked, end, "{start} {numbers:?} {ranges:?}");
        };
        check(0, &[], &[], 0);
        check(0, &[1, 2, 3], &[], 3);
        check(0, &[2, 3], &[], 0);
        check(1, &[1, 2, 4, 5], &[], 2);
        check(2, &[9], &[range(3, 5), range(6, 8)], 9);
        check(2, &[9], &[range(6, 8), range(3, 5)], 9);
        check(2, &[3], &[range(5, 8)], 3);
        check(7, &[9], &[range(3, 8)], 9);
        check(i64::MAX, &[i64::MAX], &[], i64::MAX);
    }
}
