//! How values look inside the file: JSON, so that a person can read what a tool dumps.

use callhome_shared::ack::Reject;
use callhome_shared::envelope::{Envelope, Kind, Lane};
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use redb::TableDefinition;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::lanes::Lanes;
use super::{Committed, Draft, OutboxError};

/// One row, [`META_KEY`]: [`Meta`].
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// The only key of [`META`].
pub(super) const META_KEY: &str = "meta";
/// Envelopes by (lane, sequence number).
pub(super) const ENVELOPES: TableDefinition<'_, (u8, u64), &[u8]> =
    TableDefinition::new("envelopes");
/// Positions by source: the source's own bytes.
pub(super) const POSITIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("positions");
/// Until when an ephemeral source surely heard: milliseconds.
pub(super) const HEARD: TableDefinition<'_, &str, i64> = TableDefinition::new("heard");
/// Rule state by key.
pub(super) const RULES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rules");
/// Active alarms by identity key.
pub(super) const ALARMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("alarms");
/// Receipts by alarm id (version 7: the order of ids is the order of time).
pub(super) const RECEIPTS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("receipts");
/// Refused envelopes by (lane, sequence number).
pub(super) const REJECTS: TableDefinition<'_, (u8, u64), &[u8]> = TableDefinition::new("rejects");

/// The form of the file; another one is not read.
pub(super) const FORMAT: u32 = 1;

/// What the outbox knows about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// Whose outbox it is.
    pub(super) agent: AgentId,
    /// This life.
    pub(super) epoch: Uuid,
    /// Since when.
    pub(super) created_at: Time,
    /// The last decision that was stored.
    pub(super) commit: Option<Committed>,
    /// Sequence numbers and counters.
    pub(super) lanes: Lanes,
    /// When the last acknowledgement was written down.
    pub(super) last_ack_at: Option<Time>,
    /// The collector's store that gave it.
    pub(super) store: Option<Uuid>,
}

/// A refused envelope with the reason.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RejectRow {
    /// When the refusal came.
    pub at: Time,
    /// The lane.
    pub lane: Lane,
    /// What the collector said.
    #[serde(flatten)]
    pub reject: Reject,
    /// The envelope as it was stored; absent if it was gone already.
    pub envelope: Option<Box<RawValue>>,
}

#[derive(Serialize, Deserialize)]
struct Frame<'a> {
    id: Uuid,
    #[serde(rename = "type")]
    kind: std::borrow::Cow<'a, str>,
    time: Time,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The key of a lane.
pub(super) fn lane_key(lane: Lane) -> u8 {
    match lane {
        Lane::Alarm => 0,
        Lane::Bulk => 1,
    }
}

/// Frames a draft.
pub(super) fn write_envelope(draft: &Draft) -> Result<Vec<u8>, OutboxError> {
    let data = serde_json::from_slice(&draft.data).map_err(json("payload"))?;
    let kind = draft.kind.as_str().into();
    let frame = Frame { id: draft.id, kind, time: draft.time, data };
    serde_json::to_vec(&frame).map_err(json("envelope"))
}

/// Reads an envelope back.
pub(super) fn read_envelope(
    meta: &Meta,
    lane: Lane,
    seq: u64,
    stored: &[u8],
) -> Result<Envelope, OutboxError> {
    let frame: Frame<'_> = serde_json::from_slice(stored).map_err(json("stored envelope"))?;
    Ok(Envelope {
        id: frame.id,
        source: meta.agent.clone(),
        kind: Kind::parse(&frame.kind),
        time: frame.time,
        epoch: meta.epoch,
        lane,
        seq,
        data: frame.data.get().as_bytes().to_vec(),
    })
}

/// The id of a stored envelope.
pub(super) fn read_id(stored: &[u8]) -> Option<Uuid> {
    serde_json::from_slice::<Frame<'_>>(stored).ok().map(|frame| frame.id)
}

/// When a stored envelope was made.
pub(super) fn read_time(stored: &[u8]) -> Option<Time> {
    serde_json::from_slice::<Frame<'_>>(stored).ok().map(|frame| frame.time)
}

/// Names the value that is no JSON.
pub(super) fn json(what: &'static str) -> impl Fn(serde_json::Error) -> OutboxError {
    move |source| OutboxError::Json { what, source }
}
