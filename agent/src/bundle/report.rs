//! How the bundles are doing, for `status` and metrics.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::record::{Record, State};
use super::shelf::Shelf;

/// How the bundles are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Remembered ones by state, those without any left out.
    pub states: Vec<(String, u64)>,
    /// Bytes of archives on the disk.
    pub used_bytes: u64,
    /// The limit for them.
    pub budget_bytes: u64,
    /// Bundles refused because of a limit, since the start.
    pub refused: u64,
    /// Folders whose record cannot be read.
    pub strange: u64,
    /// Where they go; none where no HTTPS address of the collector is known.
    pub road: Option<String>,
    /// Content bytes handed over since the start.
    pub sent_bytes: u64,
    /// Chunks.
    pub chunks: u64,
    /// Uploads interrupted since the start, by a failure or by the collector's wish for a pause.
    pub interruptions: u64,
    /// What is going out now, or waits to go on.
    pub uploading: Option<Uploading>,
}

/// The bundle whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploading {
    /// Which.
    pub id: Uuid,
    /// Bytes that the collector has.
    pub offset: u64,
    /// Of so many.
    pub size: u64,
    /// The last failure.
    #[serde(default)]
    pub trouble: Option<String>,
}

impl Report {
    /// Of what is on the shelf.
    pub(super) fn of(shelf: &Shelf) -> Report {
        let records = shelf.records();
        let all = [
            State::Held,
            State::Approved,
            State::Sent,
            State::Denied,
            State::Cancelled,
            State::Refused,
        ];
        let count = |state: State| records.iter().filter(|r| r.state == state).count() as u64;
        let states = all.map(|state| (state.as_str().to_owned(), count(state)));
        let turn = records.iter().find(|record| record.state == State::Approved);
        let uploading = |record: &Record| Uploading {
            id: record.id,
            offset: record.upload.offset,
            size: record.size,
            trouble: record.upload.trouble.as_ref().map(|trouble| trouble.text.clone()),
        };
        Report {
            states: states.into_iter().filter(|(_, n)| *n > 0).collect(),
            used_bytes: shelf.used(),
            budget_bytes: shelf.limits().budget_bytes,
            refused: shelf.refused(),
            strange: shelf.strange(),
            uploading: turn.map(uploading),
            ..Report::default()
        }
    }
}
