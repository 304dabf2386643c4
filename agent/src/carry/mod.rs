//! The outbox for people: list, show, verify, export.
//!
//! While the agent runs it is asked over its control socket. While it does not, its file is read, under
//! the lock of the state directory and without changing it.

mod command;
mod export;
mod show;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use callhome_shared::envelope::Lane;
use uuid::Uuid;

use crate::control::client::{self, ControlError};
use crate::control::outbox::{Contents, MAX_BYTES, MAX_CHECKED, MAX_COUNT, Query};
use crate::lock;
use crate::outbox::{self, Checked, Shelf};
use crate::settings::Settings;

pub use command::{Command, run};
pub use export::{Exported, export};
pub use show::{Found, list, show};

/// Where the outbox is read.
pub enum Access {
    /// The running agent's control socket.
    Running(PathBuf),
    /// The file; the lock keeps an agent from starting meanwhile.
    Resting(Box<Shelf>, File),
}

impl Access {
    /// The running agent, or the file if none runs.
    pub async fn open(settings: &Settings) -> anyhow::Result<Access> {
        let socket = &settings.control_socket;
        let query = Query { lane: Lane::Alarm, after: u64::MAX, count: 1 };
        match client::outbox(socket, query).await {
            Ok(_) => return Ok(Access::Running(socket.clone())),
            Err(ControlError::Connect { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Access::file(&settings.state_dir)
    }

    /// The file of an agent that does not run.
    pub fn file(state_dir: &Path) -> anyhow::Result<Access> {
        let path = outbox::path_in(state_dir);
        anyhow::ensure!(path.exists(), "no outbox: {} does not exist", path.display());
        let lock = lock::take(state_dir)?;
        let shelf = Shelf::open(&path).with_context(|| format!("outbox {}", path.display()))?;
        Ok(Access::Resting(Box::new(shelf), lock))
    }

    /// What waits in a lane after a number.
    pub async fn contents(&self, lane: Lane, after: u64, count: usize) -> anyhow::Result<Contents> {
        match self {
            Access::Running(socket) => {
                let count = u64::try_from(count.min(MAX_COUNT)).unwrap_or(u64::MAX);
                Ok(client::outbox(socket, Query { lane, after, count }).await?)
            }
            Access::Resting(shelf, _) => {
                let page = shelf.pending(lane, after, count.min(MAX_COUNT), MAX_BYTES)?;
                let contents = Contents::new(shelf.agent().clone(), &shelf.lanes(), page);
                contents.map_err(anyhow::Error::msg)
            }
        }
    }

    async fn check(&self, lane: Lane, after: u64) -> anyhow::Result<Checked> {
        let count = MAX_CHECKED;
        match self {
            Access::Running(socket) => {
                Ok(client::outbox_check(socket, Query { lane, after, count }).await?)
            }
            Access::Resting(shelf, _) => Ok(shelf.check(lane, after, count)?),
        }
    }

    /// How it is read, for people.
    pub fn describe(&self) -> &'static str {
        match self {
            Access::Running(_) => "of the running agent",
            Access::Resting(..) => "of an agent that does not run",
        }
    }
}

/// What `verify` found.
#[derive(Debug, Default)]
pub struct Verified {
    /// What was checked and found, for people.
    pub text: String,
    /// Whether everything is as it should be.
    pub good: bool,
}

/// Reads every stored entry against its checksum and place, and the balance.
pub async fn verify(access: &Access) -> anyhow::Result<Verified> {
    use std::fmt::Write as _;
    let first = access.contents(Lane::Alarm, u64::MAX, 1).await?;
    let mut done = Verified { text: String::new(), good: true };
    let (agent, epoch) = (first.agent, first.epoch);
    let _ = writeln!(done.text, "outbox {}: agent {agent}, epoch {epoch}", access.describe());
    for lane in Lane::ALL {
        let (mut all, mut after) = (Checked::default(), Some(0));
        while let Some(from) = after {
            let some = access.check(lane, from).await?;
            after = some.next;
            all.entries += some.entries;
            all.bytes += some.bytes;
            all.damaged.extend(some.damaged);
            all.missing.extend(some.missing);
        }
        let name = lane.as_str();
        let _ = writeln!(
            done.text,
            "{name}: {} entries, {} bytes read: each is JSON, at its place, and has its checksum: {}",
            all.entries,
            all.bytes,
            if all.damaged.is_empty() {
                "yes".to_owned()
            } else {
                format!("NOT {:?}", all.damaged)
            }
        );
        if !all.missing.is_empty() {
            let _ = writeln!(done.text, "{name}: MISSING {:?}", all.missing);
        }
        done.good &= all.damaged.is_empty() && all.missing.is_empty();
    }
    for lane in &access.contents(Lane::Alarm, u64::MAX, 1).await?.lanes {
        let known = lane.acked + lane.folded + lane.evicted + lane.depth;
        let closes = known == lane.last_seq;
        let _ = writeln!(
            done.text,
            "{}: {} made = {} acknowledged + {} folded + {} given up + {} waiting: {}",
            lane.lane.as_str(),
            lane.last_seq,
            lane.acked,
            lane.folded,
            lane.evicted,
            lane.depth,
            if closes { "closes" } else { "DOES NOT CLOSE" }
        );
        done.good &= closes;
    }
    Ok(done)
}

/// Goes through all that waits, in order; `take` gets lane and envelope. The epoch must stay the same.
async fn each(
    access: &Access,
    mut take: impl FnMut(Lane, &str) -> anyhow::Result<()>,
) -> anyhow::Result<Contents> {
    let first = access.contents(Lane::Alarm, u64::MAX, 1).await?;
    for lane in Lane::ALL {
        let end = first.lanes.iter().find(|l| l.lane == lane).map_or(0, |l| l.last_seq);
        let mut after = 0;
        while after < end {
            let page = access.contents(lane, after, MAX_COUNT).await?;
            let same = page.epoch == first.epoch;
            anyhow::ensure!(same, "the outbox began a new epoch meanwhile: try again");
            let before = after;
            for envelope in &page.envelopes {
                let seq = seq_of(envelope.get())?;
                if seq > end {
                    break;
                }
                after = seq;
                take(lane, envelope.get())?;
            }
            if after == before {
                break;
            }
        }
    }
    Ok(first)
}

#[derive(serde::Deserialize)]
struct Numbered {
    #[serde(with = "callhome_shared::envelope::decimal")]
    seq: u64,
}

fn seq_of(envelope: &str) -> anyhow::Result<u64> {
    Ok(serde_json::from_str::<Numbered>(envelope).context("envelope")?.seq)
}

/// An envelope by its id, or by `lane/number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// By id.
    Id(Uuid),
    /// By its place.
    Place(Lane, u64),
}

impl std::str::FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(id) = Uuid::parse_str(text) {
            return Ok(Which::Id(id));
        }
        let place = text.split_once('/').and_then(|(lane, seq)| {
            Some(Which::Place(Lane::parse(lane)?, seq.parse().ok().filter(|seq| *seq > 0)?))
        });
        place.ok_or_else(|| "expected an envelope's id, or lane/number such as alarm/17".to_owned())
    }
}
