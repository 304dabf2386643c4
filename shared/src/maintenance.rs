//! Windows of maintenance that the support centre sets: what is raised in them is held back at the agent.
//!
//! An agent is always told all of its windows, present ones and later ones, under a revision. It keeps them,
//! and every heartbeat says which revision it has; another one than the collector's is told again. So
//! repetition, lost messages and an agent that was away need nothing of their own.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::heartbeat::hex;
use crate::limits::MAX_ID_BYTES;
use crate::time::Time;

/// Windows of one agent at most, present ones and later ones.
pub const MAX_WINDOWS: usize = 64;
/// Devices, or sites, of a window at most.
pub const MAX_NAMES: usize = 100;
/// Longest reason, bytes.
pub const MAX_REASON_BYTES: usize = 1024;
/// All windows of an agent as they are told, bytes at most.
pub const MAX_BYTES: usize = 48 * 1024;

/// One window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its id at the collector.
    pub id: String,
    /// Names of devices, as the agent tells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// Sites. Neither a device nor a site: everything that the agent watches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
    /// The first moment.
    pub from: Time,
    /// The first moment after it.
    pub until: Time,
    /// Why.
    pub reason: String,
    /// Who said so, at the centre.
    pub by: String,
}

/// All windows of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// Tells it from every other set; empty where there is no window.
    pub revision: String,
    /// In the order of their ids.
    #[serde(default)]
    pub windows: Vec<Window>,
}

impl Set {
    /// The set of these windows.
    pub fn of(mut windows: Vec<Window>) -> Self {
        windows.sort_by(|a, b| a.id.cmp(&b.id));
        if windows.is_empty() {
            return Set::default();
        }
        // Texts and numbers only: this cannot fail.
        let said = serde_json::to_vec(&windows).unwrap_or_default();
        let mut revision = hex(&Sha256::digest(said));
        revision.truncate(32);
        Set { revision, windows }
    }

    /// Whether an agent can keep it. The text says what is too much.
    pub fn validate(&self) -> Result<(), String> {
        let plain = |text: &str, most: usize| {
            !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control)
        };
        if self.revision.len() > 64 || self.revision.chars().any(|c| !c.is_ascii_alphanumeric()) {
            return Err("revision: expected at most 64 letters and digits".to_owned());
        }
        if self.windows.len() > MAX_WINDOWS {
            let found = self.windows.len();
            return Err(format!("windows: expected at most {MAX_WINDOWS}, found {found}"));
        }
        for window in &self.windows {
            let names = window.devices.iter().chain(&window.sites);
            if window.devices.len().max(window.sites.len()) > MAX_NAMES {
                return Err(format!("a window names more than {MAX_NAMES} devices or sites"));
            }
            if !plain(&window.id, 64)
                || !plain(&window.reason, MAX_REASON_BYTES)
                || !plain(&window.by, MAX_ID_BYTES)
                || !names.clone().all(|name| plain(name, MAX_ID_BYTES))
            {
                return Err("a window's id, name, reason or author is no plain text, or too long"
                    .to_owned());
            }
            if window.until <= window.from {
                return Err(format!("window {}: it ends before it begins", window.id));
            }
        }
        let bytes = serde_json::to_vec(&self.windows).map_or(0, |said| said.len());
        if bytes > MAX_BYTES {
            return Err(format!("windows: expected at most {MAX_BYTES} bytes, found {bytes}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn window(id: &str, until: i64) -> Window {
        Window {
            id: id.to_owned(),
            devices: vec!["array-1".to_owned()],
            sites: Vec::new(),
            from: Time(0),
            until: Time(until),
            reason: "firmware".to_owned(),
            by: "li".to_owned(),
        }
    }

    #[test]
    fn a_revision_is_that_of_what_is_said() {
        assert_eq!(Set::of(Vec::new()), Set::default());
        let (a, b) = (window("a", 5), window("b", 5));
        let set = Set::of(vec![b.clone(), a.clone()]);
        assert_eq!((set.revision.len(), &set), (32, &Set::of(vec![a.clone(), b.clone()])));
        assert_ne!(set.revision, Set::of(vec![a.clone(), window("b", 6)]).revision);
        assert_ne!(set.revision, Set::of(vec![a]).revision);
        set.validate().unwrap();
    }

    #[test]
    fn what_cannot_be_kept_is_named() {
        let many = Set::of((0..=MAX_WINDOWS).map(|n| window(&format!("w{n}"), 5)).collect());
        assert!(many.validate().unwrap_err().contains("at most 64, found 65"));
        let named = Window { devices: vec!["x".to_owned(); MAX_NAMES + 1], ..window("a", 5) };
        assert!(Set::of(vec![named]).validate().is_err());
        let long =
            |n: usize| Window { devices: vec!["x".repeat(250); 90], ..window(&format!("w{n}"), 5) };
        assert!(Set::of((0..3).map(long).collect()).validate().unwrap_err().contains("bytes"));
        for odd in [
            Window { reason: String::new(), ..window("a", 5) },
            Window { by: "a\nb".to_owned(), ..window("a", 5) },
            window("", 5),
            window("a", 0),
        ] {
            assert!(Set::of(vec![odd.clone()]).validate().is_err(), "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn prop_no_set_panics(text in ".{0,200}", revision in ".{0,80}", id in ".{0,80}", from: i64, until: i64) {
            let _ = serde_json::from_str::<Set>(&text);
            let odd = Window { id, from: Time(from), until: Time(until), ..window("a", 1) };
            let _ = Set { revision, windows: vec![odd] }.validate();
        }
    }
}
