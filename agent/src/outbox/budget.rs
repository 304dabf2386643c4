//! The disk budget: what is given up when it is reached, in which order, and how it is said.
//!
//! 1. The bulk lane goes, oldest first, declared as lost.
//! 2. In the alarm lane the queued entries of one alarm life are folded into its last one: first
//!    evidence, then what lay between, then the raise (every `changed` and `cleared` says itself when
//!    the life began). The last transition of a life is never given up, so no standing fault is
//!    forgotten and no life goes untold. The numbers are declared as passed.
//! 3. When nothing can be folded the decision is refused; see [`OutboxError::Full`].

use callhome_shared::envelope::{Kind, Lane, Loss};
use callhome_shared::id::new_uuid;
use callhome_shared::limits::MAX_RANGES;
use callhome_shared::time::Time;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::frame::{self, Meta, json};
use super::gaps::Gaps;
use super::lives::RANKS;
use super::queue::Queue;
use super::{Draft, OutboxError};

/// Entries that one transaction folds at most.
const FOLDED_AT_ONCE: usize = 4096;
/// Declarations of folded entries that wait at most; each names up to [`MAX_RANGES`] ranges.
const DECLARATIONS: usize = 64;
/// The reason of [`Declaration`]s of folded entries.
pub(super) const FOLDED: &str = "folded";
/// The reason of [`Declaration`]s of evicted entries.
const EVICTED: &str = "evicted";

/// A loss with the numbers that were given up, so that the collector's contiguous count can pass
/// over them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Declaration {
    #[serde(flatten)]
    loss: Loss,
    /// The outbox's life that the numbers belong to: the loss itself may travel in a later one.
    epoch: Uuid,
    lane: Lane,
    /// The range, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_seq: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_seq: Option<String>,
    /// The ranges, where there are several; at most [`MAX_RANGES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ranges: Vec<(String, String)>,
}

impl Declaration {
    fn new(loss: Loss, epoch: Uuid, lane: Lane, numbers: &Gaps) -> Self {
        let mut ranges: Vec<(String, String)> =
            numbers.ranges().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        let (mut first_seq, mut last_seq) = (None, None);
        if ranges.len() == 1
            && let Some((first, last)) = ranges.pop()
        {
            (first_seq, last_seq) = (Some(first), Some(last));
        }
        Declaration { loss, epoch, lane, first_seq, last_seq, ranges }
    }

    /// The numbers, none above `max`.
    fn numbers(&self, max: u64) -> Gaps {
        let one = self.first_seq.iter().zip(&self.last_seq);
        let several = self.ranges.iter().map(|(first, last)| (first, last));
        let mut numbers = Gaps::default();
        for (first, last) in one.chain(several) {
            let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else {
                continue;
            };
            (first..=last.min(max)).for_each(|seq| numbers.insert(seq));
        }
        numbers
    }

    fn draft(&self, now: Time) -> Result<Draft, OutboxError> {
        let data = serde_json::to_vec(self).map_err(json("loss"))?;
        Ok(Draft { id: new_uuid(), kind: Kind::Loss, time: now, data })
    }
}

/// Holds to the budget after a decision's entries were appended. `before` are the bytes without
/// them; `may_refuse`: something waited already (an empty lane takes any one decision).
pub(super) fn hold(
    queue: &mut Queue<'_>,
    meta: &mut Meta,
    budget: u64,
    (before, may_refuse): (u64, bool),
    now: Time,
) -> Result<(), OutboxError> {
    if meta.lanes.bytes() <= budget {
        return Ok(());
    }
    let wanted = meta.lanes.bytes().saturating_sub(before);
    // More than needed is given up at once, so that this is not done for every decision.
    let target = budget - budget / 16;
    evict_bulk(queue, meta, target, now)?;
    if meta.lanes.bytes() > budget {
        fold(queue, meta, target, now)?;
    }
    if meta.lanes.bytes() > budget && may_refuse {
        return Err(OutboxError::Full { stored: before, wanted, budget });
    }
    Ok(())
}

/// Gives up bulk entries, oldest first, and declares them as lost.
fn evict_bulk(
    queue: &mut Queue<'_>,
    meta: &mut Meta,
    target: u64,
    now: Time,
) -> Result<(), OutboxError> {
    let (mut from, mut numbers) = (None, Gaps::default());
    while meta.lanes.bulk.floor < meta.lanes.bulk.last_seq && meta.lanes.bytes() > target {
        let seq = meta.lanes.bulk.floor + 1;
        let gone = queue.take(meta, Lane::Bulk, seq)?;
        let book = &mut meta.lanes.bulk;
        book.raise_floor(seq);
        if seq <= book.acked_seq {
            book.acked += 1;
            continue;
        }
        book.evicted += 1;
        numbers.insert(seq);
        from = from.or(gone.and_then(|value| frame::read_time(&value)));
    }
    if numbers.total() == 0 {
        return Ok(());
    }
    tracing::warn!(count = numbers.total(), "outbox budget: bulk entries given up");
    let loss = loss(from.unwrap_or(now), now, EVICTED, numbers.total());
    let said = Declaration::new(loss, meta.epoch, Lane::Bulk, &numbers);
    queue.append(meta, &said.draft(now)?).map(drop)
}

/// Folds what later entries of the same life make dispensable, and declares the numbers.
fn fold(queue: &mut Queue<'_>, meta: &mut Meta, target: u64, now: Time) -> Result<(), OutboxError> {
    let mut folding = Folding { from: None, count: 0, numbers: Gaps::default() };
    for rank in RANKS {
        let seqs = queue.lives.foldable(rank, meta.lanes.alarm.acked_seq, FOLDED_AT_ONCE)?;
        for seq in seqs {
            let enough = meta.lanes.bytes() <= target || folding.numbers.len() >= MAX_RANGES - 1;
            if enough || folding.count >= FOLDED_AT_ONCE as u64 {
                break;
            }
            let gone = queue.take(meta, Lane::Alarm, seq)?;
            folding.gone(meta, seq, gone.as_deref());
        }
    }
    if folding.count == 0 {
        return Ok(());
    }
    tracing::warn!(count = folding.count, "outbox budget: entries of alarms folded");
    let folded = folding.count;
    folding.join_last(queue, meta)?;
    let loss = loss(folding.from.unwrap_or(now), now, FOLDED, folding.count);
    let said = Declaration::new(loss, meta.epoch, Lane::Alarm, &folding.numbers);
    let seq = queue.append(meta, &said.draft(now)?)?;
    meta.lanes.alarm.declared.push(seq);
    if meta.lanes.alarm.declared.len() > DECLARATIONS {
        tracing::error!(folded, "outbox budget: too many declarations wait");
        return Err(OutboxError::Full { stored: meta.lanes.bytes(), wanted: 0, budget: target });
    }
    Ok(())
}

/// The numbers of a life that a stored entry declares as folded; none above `max`.
pub(super) fn folded(stored: &[u8], epoch: Uuid, max: u64) -> Gaps {
    let said = frame::read_kind(stored);
    let said = said.and_then(|(_, data)| serde_json::from_slice::<Declaration>(data).ok());
    let said = said.filter(|said| (said.epoch, said.lane) == (epoch, Lane::Alarm));
    said.map(|said| said.numbers(max)).unwrap_or_default()
}

/// What one folding gave up.
struct Folding {
    from: Option<Time>,
    count: u64,
    numbers: Gaps,
}

impl Folding {
    fn gone(&mut self, meta: &mut Meta, seq: u64, value: Option<&[u8]>) {
        let at = value.and_then(frame::read_time);
        self.from = match (self.from, at) {
            (Some(from), Some(at)) => Some(from.min(at)),
            (from, at) => from.or(at),
        };
        self.count += 1;
        self.numbers.insert(seq);
        meta.lanes.alarm.folded += 1;
        meta.lanes.alarm.gaps.insert(seq);
    }

    /// The last declaration that still waits goes into the new one, so that declarations do not fill
    /// the queue themselves.
    fn join_last(&mut self, queue: &mut Queue<'_>, meta: &mut Meta) -> Result<(), OutboxError> {
        let book = &meta.lanes.alarm;
        let Some(seq) = book.declared.last().copied().filter(|seq| *seq > book.acked_seq) else {
            return Ok(());
        };
        let Some(value) = queue.get(Lane::Alarm, seq)? else { return Ok(()) };
        let said = frame::read_kind(&value);
        let said = said.and_then(|(_, data)| serde_json::from_slice::<Declaration>(data).ok());
        let Some(said) = said.filter(|said| said.epoch == meta.epoch) else { return Ok(()) };
        let mut joined = self.numbers.clone();
        joined.insert(seq);
        for (first, last) in said.numbers(seq).ranges() {
            (first..=last).for_each(|n| joined.insert(n));
        }
        if joined.len() > MAX_RANGES {
            return Ok(());
        }
        queue.take(meta, Lane::Alarm, seq)?;
        meta.lanes.alarm.declared.pop();
        self.gone(meta, seq, None);
        self.numbers = joined;
        self.count += said.loss.count.unwrap_or(0);
        self.from = Some(self.from.map_or(said.loss.from, |from| from.min(said.loss.from)));
        Ok(())
    }
}

fn loss(from: Time, to: Time, reason: &str, count: u64) -> Loss {
    let (source, reason) = ("outbox".to_owned(), reason.to_owned());
    Loss { source, from, to, reason, count: Some(count) }
}
