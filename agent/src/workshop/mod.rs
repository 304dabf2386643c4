//! The profile workshop: `callhome-agent profile …`, for whoever writes and tries device profiles.
//!
//! ```text
//! recording ──┐
//!             ├─► Snapshot ─► Rig { examine → rules → alarms, with a clock of its own } ─► lines
//! device ─────┘
//! ```

pub mod command;
pub mod device;
pub mod explain;
pub mod import;
pub mod lint;
pub mod read;
pub mod record;
pub mod recording;
pub mod rig;
pub mod trial;
pub mod verdict;
mod yaml;

#[cfg(test)]
mod tests;

pub use command::{Command, run};
pub use recording::Recording;
pub use rig::{Rig, Row};
pub use verdict::Verdict;

use std::sync::Arc;

use callhome_shared::config_error::Problems;

use crate::profile::oid::Oid;
use crate::profile::{Library, Profile};
use crate::source::snmp::evaluate::Snapshot;
use crate::source::snmp::value::Value;

const SYS_OBJECT_ID: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 2, 0];

/// What was read of one device, and by which profiles.
pub struct Survey {
    /// The profiles.
    pub profiles: Vec<Arc<Profile>>,
    /// The values.
    pub snapshot: Snapshot,
    /// What could not be read.
    pub faults: Vec<String>,
    /// What the device says it is, where that is known.
    pub sysobjectid: Option<Oid>,
}

impl Survey {
    /// Reads a recording with the profiles for it.
    pub fn of_recording(recording: &Recording, library: &Library) -> Result<Self, Problems> {
        Ok(Survey::with(recording, select(recording, library)?))
    }

    /// Reads a recording with these profiles.
    pub fn with(recording: &Recording, profiles: Vec<Arc<Profile>>) -> Self {
        let plan = crate::source::snmp::plan::Plan::new(&profiles);
        let snapshot = recording.snapshot(&plan);
        Survey { profiles, snapshot, faults: Vec::new(), sysobjectid: sysobjectid(recording) }
    }
}

/// The profiles that a device chooses which was recorded.
fn select(recording: &Recording, library: &Library) -> Result<Vec<Arc<Profile>>, Problems> {
    let find = |oid: &Oid| recording.first(oid).and_then(Value::text);
    library.select(sysobjectid(recording).as_ref(), &find)
}

fn sysobjectid(recording: &Recording) -> Option<Oid> {
    match recording.get(&Oid::new(SYS_OBJECT_ID)) {
        Some(Value::Oid(oid)) => Some(oid.clone()),
        _ => None,
    }
}
