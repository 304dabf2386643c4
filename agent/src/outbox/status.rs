//! How the outbox is doing, for status, heartbeat and metrics.

use callhome_shared::envelope::Lane;
use callhome_shared::heartbeat::LaneState;
use callhome_shared::time::Time;
use serde::Serialize;
use uuid::Uuid;

/// A picture of the outbox after its last change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// This life.
    pub epoch: Uuid,
    /// Since when.
    pub created_at: Time,
    /// Alarm and bulk.
    pub lanes: Vec<LaneStatus>,
    /// Bytes of envelopes in the file.
    pub stored_bytes: u64,
    /// The limit for them.
    pub budget_bytes: u64,
    /// When the last acknowledgement came.
    pub last_ack_at: Option<Time>,
    /// The collector's store that gave it.
    pub store: Option<Uuid>,
    /// The collector's store that was told the whole active set, or had it from the beginning.
    pub synced_store: Option<Uuid>,
    /// How often the collector had another store than before: it was restored or replaced.
    pub store_changes: u64,
    /// When that was noticed last.
    pub store_changed_at: Option<Time>,
    /// Transactions since the start.
    pub commits: u64,
    /// Transactions since the start that failed.
    pub commit_errors: u64,
    /// Transactions since the start that were put off because the budget is used up.
    pub refused_full: u64,
    /// Files set aside since the start.
    pub set_aside: u64,
    /// Older ones of them removed since the start.
    pub aside_removed: u64,
    /// Envelopes taken over from damaged files since the start.
    pub salvaged: u64,
    /// Epochs since the start that were begun because the collector knew our numbers already.
    pub renewed: u64,
}

/// One lane. The balance: `last_seq = acked + folded + evicted + depth`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneStatus {
    /// Which lane.
    pub lane: Lane,
    /// Last sequence number given out: envelopes of this life.
    pub last_seq: u64,
    /// Last sequence number acknowledged.
    pub acked_seq: u64,
    /// Entries not yet acknowledged.
    pub depth: u64,
    /// When the oldest of them was made.
    pub oldest_at: Option<Time>,
    /// Bytes in the file.
    pub bytes: u64,
    /// Envelopes acknowledged.
    pub acked: u64,
    /// Of these, refused by the collector.
    pub rejected: u64,
    /// Envelopes given up at the disk budget, declared as lost.
    pub evicted: u64,
    /// Envelopes folded into later ones of the same alarm at the disk budget, declared.
    pub folded: u64,
}

impl LaneStatus {
    /// Whether every envelope that was made is accounted for.
    pub fn balances(&self) -> bool {
        self.last_seq == self.acked + self.folded + self.evicted + self.depth
    }
}

impl Status {
    /// The lanes as a heartbeat tells them.
    pub fn lane_states(&self, now: Time) -> Vec<LaneState> {
        self.lanes
            .iter()
            .map(|lane| LaneState {
                lane: lane.lane,
                last_seq: lane.last_seq,
                acked_seq: lane.acked_seq,
                depth: lane.depth,
                oldest_s: lane
                    .oldest_at
                    .map_or(0, |at| u64::try_from(now.since_ms(at) / 1000).unwrap_or_default()),
                acked: lane.acked,
                rejected: lane.rejected,
                folded: lane.folded,
                evicted: lane.evicted,
            })
            .collect()
    }
}
