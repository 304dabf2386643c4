//! What is held back: alarms of devices under maintenance, and of devices behind one that is down. Pure:
//! the line asks with the present time, stores what is to be stored, and raises what still stands when the
//! reason is gone.

mod book;
mod window;

#[cfg(test)]
mod tests;

use callhome_shared::alarm::Device;
use serde::{Deserialize, Serialize};

pub use book::{Ask, Book, MAX_WINDOWS, STORED_AS, Shown};
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
}

impl From<&Device> for Subject {
    fn from(device: &Device) -> Self {
        Subject {
            device: device.name.clone(),
            site: device.site.clone(),
            parent: device.parent.clone(),
        }
    }
}
