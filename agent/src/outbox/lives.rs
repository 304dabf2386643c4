//! Which queued entries belong to which alarm life, and which of them a later one makes dispensable.
//!
//! Two small tables beside the envelopes, written in the same transaction, so that folding never
//! searches the queue.

use callhome_shared::alarm::Transition;
use callhome_shared::envelope::Kind;
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::Deserialize;
use uuid::Uuid;

use super::frame;
use super::{OutboxError, database};

/// Queued entries of the alarm lane by (alarm id, sequence number): what each is, see [`What`].
const LIVES: TableDefinition<'_, (u128, u64), u8> = TableDefinition::new("lives");
/// What may be folded, in the order in which it goes: (rank, sequence number) to alarm id.
const FOLDABLE: TableDefinition<'_, (u8, u64), u128> = TableDefinition::new("foldable");

/// Ranks of [`FOLDABLE`]: what is missed least goes first.
pub(super) const RANKS: [u8; 3] = [0, 1, 2];

/// What an entry says of its alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Raised,
    Changed,
    Cleared,
    Evidence,
}

impl What {
    fn code(self) -> u8 {
        match self {
            What::Raised => b'r',
            What::Changed => b'c',
            What::Cleared => b'x',
            What::Evidence => b'e',
        }
    }

    fn parse(code: u8) -> What {
        match code {
            b'r' => What::Raised,
            b'x' => What::Cleared,
            b'e' => What::Evidence,
            _ => What::Changed,
        }
    }

    /// Evidence goes first, then what lay between, and the raise, which has evidence of its own, last.
    fn rank(self) -> u8 {
        match self {
            What::Evidence => 0,
            What::Changed | What::Cleared => 1,
            What::Raised => 2,
        }
    }
}

#[derive(Deserialize)]
struct Peek {
    alarm_id: Uuid,
    #[serde(default)]
    transition: Option<Transition>,
}

fn peek(kind: &Kind, data: &[u8]) -> Option<(u128, What)> {
    let what = |peek: &Peek| match (kind, peek.transition) {
        (Kind::Evidence, _) => Some(What::Evidence),
        (Kind::Alarm, Some(Transition::Raised)) => Some(What::Raised),
        (Kind::Alarm, Some(Transition::Changed)) => Some(What::Changed),
        (Kind::Alarm, Some(Transition::Cleared)) => Some(What::Cleared),
        _ => None,
    };
    if !matches!(kind, Kind::Alarm | Kind::Evidence) {
        return None;
    }
    let peek: Peek = serde_json::from_slice(data).ok()?;
    Some((peek.alarm_id.as_u128(), what(&peek)?))
}

/// The two tables, open in a transaction.
pub(super) struct Lives<'t> {
    lives: Table<'t, (u128, u64), u8>,
    foldable: Table<'t, (u8, u64), u128>,
}

impl<'t> Lives<'t> {
    pub(super) fn open(txn: &'t WriteTransaction) -> Result<Self, OutboxError> {
        Ok(Lives {
            lives: txn.open_table(LIVES).map_err(database)?,
            foldable: txn.open_table(FOLDABLE).map_err(database)?,
        })
    }

    /// An entry was appended: what it says supersedes the entries of the same life before it.
    pub(super) fn appended(
        &mut self,
        kind: &Kind,
        data: &[u8],
        seq: u64,
    ) -> Result<(), OutboxError> {
        let Some((life, what)) = peek(kind, data) else { return Ok(()) };
        if what != What::Evidence {
            let before = self.lives.range((life, 0)..(life, seq)).map_err(database)?;
            let mut superseded = Vec::new();
            for row in before.rev() {
                let (key, code) = row.map_err(database)?;
                let what = What::parse(code.value());
                superseded.push((what.rank(), key.value().1));
                // Those before a transition were superseded by it.
                if what != What::Evidence {
                    break;
                }
            }
            for key in superseded {
                self.foldable.insert(key, life).map_err(database)?;
            }
        }
        self.lives.insert((life, seq), what.code()).map_err(database)?;
        Ok(())
    }

    /// An entry is gone; `stored` is what it was.
    pub(super) fn removed(&mut self, stored: &[u8], seq: u64) -> Result<(), OutboxError> {
        let found = frame::read_kind(stored).and_then(|(kind, data)| peek(&kind, data));
        let Some((life, what)) = found else { return Ok(()) };
        self.lives.remove((life, seq)).map_err(database)?;
        self.foldable.remove((what.rank(), seq)).map_err(database)?;
        Ok(())
    }

    /// The oldest of this rank above `above` that may be folded, at most `limit`.
    pub(super) fn foldable(
        &self,
        rank: u8,
        above: u64,
        limit: usize,
    ) -> Result<Vec<u64>, OutboxError> {
        let range = (rank, above.saturating_add(1))..=(rank, u64::MAX);
        let rows = self.foldable.range(range).map_err(database)?.take(limit);
        rows.map(|row| row.map(|(key, _)| key.value().1).map_err(database)).collect()
    }

    /// Forgets everything: the numbers begin anew.
    pub(super) fn clear(&mut self) -> Result<(), OutboxError> {
        self.lives.retain(|_, _| false).map_err(database)?;
        self.foldable.retain(|_, _| false).map_err(database)
    }
}
