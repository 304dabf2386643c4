//! What is held back: alarms of devices under maintenance, and of devices behind one that is down. Pure:
//! the line asks with the present time, stores what is to be stored, and raises what still stands when the
//! reason is gone.

mod book;
mod part;
mod window;

#[cfg(test)]
mod tests;

use callhome_shared::alarm::Device;
use serde::{Deserialize, Serialize};

pub use book::{Ask, Book, MAX_WINDOWS, STORED_AS, Shown};
pub use part::{DOWN_PARTS, behind, is_part};
pub use window::{Scope, When, Window};

/// The type of the alarm by which a device counts as down for those that hang on it.
pub const DOWN: &str = "device-unreachable";
/// What was held for a parent is judged again for so long after the parent is back, before it is raised.
pub const SETTLE_MS: i64 = 120_000;

/// Why an alarm is held back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// A window of maintenance: its id.
    Maintenance(String),
    /// The device that it hangs on is down: its name.
    Parent(String),
    /// The part of a device that it hangs on is down.
    Part {
        /// The device's name.
        device: String,
        /// The part, as it is configured.
        resource: String,
    },
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Hold::Maintenance(id) => write!(f, "maintenance {id}"),
            Hold::Parent(name) => write!(f, "{name} is down"),
            Hold::Part { device, resource } => write!(f, "{resource} of {device} is down"),
        }
    }
}

/// What of a device says whether its alarms are held, as it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Its name.
    pub device: String,
    /// Its site.
    pub site: Option<String>,
    /// The device that it hangs on.
    pub parent: Option<String>,
    /// The part of it.
    pub parent_resource: Option<String>,
    /// Whether the alarm says that the device is down.
    pub is_silence: bool,
}

impl Subject {
    /// Of an alarm of this type.
    pub fn of(device: &Device, kind: &str) -> Self {
        Subject {
            device: device.name.clone(),
            site: device.site.clone(),
            parent: device.parent.clone(),
            parent_resource: device.parent_resource.clone(),
            is_silence: kind == DOWN,
        }
    }
}
