//! How values look inside the file: JSON, so that a person can read what a tool dumps.

use std::borrow::Cow;

use callhome_shared::ack::Reject;
use callhome_shared::envelope::{Envelope, Kind, Lane};
use callhome_shared::heartbeat::hex;
use callhome_shared::id::AgentId;
use callhome_shared::time::Time;
use redb::TableDefinition;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
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
    /// The collector's store that has, or will have, the whole active set: another one than
    /// [`Meta::store`] is one that was restored or replaced, and has to be told everything again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) synced_store: Option<Uuid>,
    /// How often that happened.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) store_changes: u64,
    /// When it was noticed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) store_changed_at: Option<Time>,
    /// Transactions of this life: the newest account has the most.
    #[serde(default)]
    pub(super) transactions: u64,
    /// How often the damaged file before this one was tried to be taken over.
    #[serde(default)]
    pub(super) salvage: u8,
    /// The first 64 bits of the SHA-256 over the rest, as hexadecimal.
    #[serde(default)]
    sum: String,
}

impl Meta {
    /// From now on `store` is taken to know the whole active set.
    pub(super) fn sync_store(&mut self, store: Uuid, now: Time) {
        if self.synced_store.is_some_and(|known| known != store) {
            self.store_changes += 1;
            self.store_changed_at = Some(now);
        }
        self.synced_store = Some(store);
    }

    /// A life that begins.
    pub(super) fn new(agent: &AgentId, epoch: Uuid, created_at: Time) -> Self {
        Meta {
            format: FORMAT,
            agent: agent.clone(),
            epoch,
            created_at,
            commit: None,
            lanes: Lanes::default(),
            last_ack_at: None,
            store: None,
            synced_store: None,
            store_changes: 0,
            store_changed_at: None,
            transactions: 0,
            salvage: 0,
            sum: String::new(),
        }
    }

    /// As it is stored: one transaction more, and with its checksum.
    pub(super) fn stored(&mut self) -> Result<Vec<u8>, OutboxError> {
        self.transactions += 1;
        self.sum = self.checksum()?;
        serde_json::to_vec(self).map_err(json("meta"))
    }

    /// The account that `bytes` begin with, and its length. `None`: there is none, or it is not whole.
    pub(super) fn find_whole(bytes: &[u8]) -> Option<(Meta, usize)> {
        let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<Meta>();
        let meta = stream.next()?.ok()?;
        let whole = meta.format == FORMAT && meta.checksum().is_ok_and(|sum| sum == meta.sum);
        whole.then(|| (meta, stream.byte_offset()))
    }

    fn checksum(&self) -> Result<String, OutboxError> {
        let bare = Meta { sum: String::new(), ..self.clone() };
        let bytes = serde_json::to_vec(&bare).map_err(json("meta"))?;
        Ok(short(&Sha256::digest(bytes)))
    }
}

fn is_zero(n: &u64) -> bool {
    *n == 0
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

/// An entry as it is stored. It names its place and has a checksum, so that it can be found again in a
/// file whose tables cannot be read any more.
#[derive(Serialize, Deserialize)]
struct Frame<'a> {
    id: Uuid,
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    time: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lane: Option<Lane>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// See [`checksum`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sum: Option<Cow<'a, str>>,
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

/// Frames a draft at its place.
pub(super) fn write_envelope(
    epoch: Uuid,
    lane: Lane,
    seq: u64,
    draft: &Draft,
) -> Result<Vec<u8>, OutboxError> {
    let data: &RawValue = serde_json::from_slice(&draft.data).map_err(json("payload"))?;
    let mut frame = Frame {
        id: draft.id,
        kind: draft.kind.as_str().into(),
        time: draft.time,
        epoch: Some(epoch),
        lane: Some(lane),
        seq: Some(seq),
        sum: None,
        data,
    };
    frame.sum = Some(checksum(&frame).into());
    serde_json::to_vec(&frame).map_err(json("envelope"))
}

/// The first 64 bits of the SHA-256 over the frame without the checksum, as hexadecimal.
fn checksum(frame: &Frame<'_>) -> String {
    let Frame { id, kind, time, epoch, lane, seq, data, .. } = frame;
    let mut hash = Sha256::new();
    hash.update(id.as_bytes());
    hash.update(kind.as_bytes());
    hash.update(time.millis().to_le_bytes());
    hash.update(epoch.unwrap_or_default().as_bytes());
    hash.update(lane.map_or("", Lane::as_str).as_bytes());
    hash.update(seq.unwrap_or_default().to_le_bytes());
    hash.update(data.get().as_bytes());
    short(&hash.finalize())
}

fn short(digest: &[u8]) -> String {
    hex(digest.get(..8).unwrap_or_default())
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

/// A stored entry as it was before it had a number.
pub(super) fn read_draft(stored: &[u8]) -> Result<Draft, OutboxError> {
    let frame: Frame<'_> = serde_json::from_slice(stored).map_err(json("stored envelope"))?;
    let (kind, data) = (Kind::parse(&frame.kind), frame.data.get().as_bytes().to_vec());
    Ok(Draft { id: frame.id, kind, time: frame.time, data })
}

/// Where an entry was stored, if it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) epoch: Uuid,
    pub(super) lane: Lane,
    pub(super) seq: u64,
    pub(super) time: Time,
    /// Whether it is a `loss`, which may declare numbers as given up.
    pub(super) is_loss: bool,
}

/// The entry that `bytes` begin with: its place and its length. `None`: there is none, or it is not
/// whole.
pub(super) fn find_whole(bytes: &[u8]) -> Option<(Place, usize)> {
    let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<Frame<'_>>();
    let frame = stream.next()?.ok()?;
    let place = place_of_whole(&frame)?;
    Some((place, stream.byte_offset()))
}

/// Whether a stored entry is whole, and at its place. Entries of older versions have no checksum: they
/// count as whole.
pub(super) fn is_whole(epoch: Uuid, lane: Lane, seq: u64, stored: &[u8]) -> bool {
    let Ok(frame) = serde_json::from_slice::<Frame<'_>>(stored) else { return false };
    if frame.sum.is_none() {
        return true;
    }
    let place = place_of_whole(&frame);
    place.is_some_and(|p| (p.epoch, p.lane, p.seq) == (epoch, lane, seq))
}

fn place_of_whole(frame: &Frame<'_>) -> Option<Place> {
    let (epoch, lane, seq) = (frame.epoch?, frame.lane?, frame.seq?);
    let whole = frame.sum.as_deref()? == checksum(frame);
    let is_loss = Kind::parse(&frame.kind) == Kind::Loss;
    whole.then_some(Place { epoch, lane, seq, time: frame.time, is_loss })
}

/// The id of a stored envelope.
pub(super) fn read_id(stored: &[u8]) -> Option<Uuid> {
    serde_json::from_slice::<Frame<'_>>(stored).ok().map(|frame| frame.id)
}

/// When a stored envelope was made.
pub(super) fn read_time(stored: &[u8]) -> Option<Time> {
    serde_json::from_slice::<Frame<'_>>(stored).ok().map(|frame| frame.time)
}

/// What a stored envelope is, and its payload.
pub(super) fn read_kind(stored: &[u8]) -> Option<(Kind, &[u8])> {
    let frame = serde_json::from_slice::<Frame<'_>>(stored).ok()?;
    Some((Kind::parse(&frame.kind), frame.data.get().as_bytes()))
}

/// Names the value that is no JSON.
pub(super) fn json(what: &'static str) -> impl Fn(serde_json::Error) -> OutboxError {
    move |source| OutboxError::Json { what, source }
}
