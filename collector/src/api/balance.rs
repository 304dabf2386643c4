//! The balance on an agent's page.

use callhome_shared::envelope::Lane;
use callhome_shared::heartbeat::{Heartbeat, LaneState};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use crate::inbox;
use crate::store::StoreError;
use crate::store::streams::{self, Stream};

/// The balance of one lane of the outbox's present life: made = committed + passed + missing + on the
/// way.
#[derive(Serialize, ToSchema)]
pub struct LaneBalance {
    /// `alarm` or `bulk`.
    lane: String,
    /// Envelopes that the agent made, as far as is known here.
    made: u64,
    /// Committed here, refused ones too.
    committed: u64,
    /// Of these, refused.
    rejected: u64,
    /// Given up by the agent and declared: folded in the alarm lane, lost in the bulk lane.
    passed: u64,
    /// Acknowledged by a store before this one was restored: not here.
    missing: u64,
    /// Neither here nor declared yet.
    on_the_way: u64,
    /// `closes`, `unknown` (the agent has not told its side), `agent_differs` (its own account does not
    /// close) or `missing`.
    verdict: String,
    /// The agent's account of it, from its newest heartbeat.
    #[schema(required)]
    agent: Option<AgentAccount>,
}

/// A lane as the agent accounts for it: made = acked + folded + evicted + depth.
#[derive(Serialize, ToSchema)]
pub struct AgentAccount {
    /// Envelopes made.
    made: u64,
    /// Acknowledged, refused ones too.
    acked: u64,
    /// Folded into later ones of the same alarm at the disk budget.
    folded: u64,
    /// Given up at the disk budget.
    evicted: u64,
    /// Waiting.
    depth: u64,
}

/// The balance of the outbox's life that the newest heartbeat names, else of the newest one known.
pub(super) async fn balances(
    api: &Api,
    heartbeat: Option<&str>,
    known: &[Stream],
) -> Result<Vec<LaneBalance>, StoreError> {
    let beat = heartbeat.and_then(|json| serde_json::from_str::<Heartbeat>(json).ok());
    let told = beat.as_ref().and_then(|beat| beat.epoch).map(|epoch| epoch.to_string());
    let Some(epoch) = told.clone().or(known.first().map(|s| s.key.epoch.clone())) else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for lane in Lane::ALL {
        let stream = known.iter().find(|s| s.key.epoch == epoch && s.key.lane == lane.as_str());
        let state = beat.as_ref().filter(|_| told.is_some());
        let state = state.and_then(|beat| beat.lanes.iter().find(|l| l.lane == lane));
        let mut ours = inbox::Account::default();
        if let Some(stream) = stream {
            let number = |n: i64| u64::try_from(n).unwrap_or(0);
            let (ahead, passed) = streams::beside(&api.db, &stream.key, stream.acked_seq).await?;
            ours = inbox::Account {
                acked_seq: number(stream.acked_seq),
                ahead,
                highest_seq: number(stream.highest_seq),
                passed,
                rejected: number(stream.rejected),
                missing: number(stream.missing),
            };
        }
        all.push(lane_balance(lane, ours, state));
    }
    Ok(all)
}

fn lane_balance(lane: Lane, ours: inbox::Account, told: Option<&LaneState>) -> LaneBalance {
    let balance = inbox::balance(ours, told);
    LaneBalance {
        lane: lane.as_str().to_owned(),
        made: balance.made,
        committed: balance.committed,
        rejected: ours.rejected,
        passed: balance.passed,
        missing: balance.missing,
        on_the_way: balance.on_the_way,
        verdict: balance.verdict.as_str().to_owned(),
        agent: told.map(|told| AgentAccount {
            made: told.last_seq,
            acked: told.acked,
            folded: told.folded,
            evicted: told.evicted,
            depth: told.depth,
        }),
    }
}
