//! The payload of a `clear-all` envelope: no alarm stands any more, of an agent or of one of its devices.
//!
//! It says in one envelope what else would be one `cleared` for each alarm. It is the agent's word on
//! everything before it in the alarm lane and on nothing after it: an alarm that is raised later stands.

use serde::{Deserialize, Serialize};

use crate::limits::MAX_ID_BYTES;
use crate::time::Time;

/// Longest reason, bytes.
const MAX_REASON_BYTES: usize = 64;
/// The reason of alarms that a change of the configuration ended: nothing watches them any more, or
/// what they are about is told under another name now.
pub const CONFIGURATION: &str = "configuration";

/// Of this scope no alarm stands any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearAll {
    /// Since when, by the agent's clock.
    pub at: Time,
    /// Of which device ([`crate::alarm::Device::id`]); absent: of the whole agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Why, a stable word of lower-case letters, digits and `-`: [`CONFIGURATION`].
    pub reason: String,
    /// How many alarms of it stood at the agent, for people. The collector ends those that it knows.
    #[serde(default)]
    pub count: u64,
}

impl ClearAll {
    /// Whether its parts make sense. The text says which one does not.
    pub fn validate(&self) -> Result<(), String> {
        if let Some(device) = &self.device
            && !(1..=MAX_ID_BYTES).contains(&device.len())
        {
            let found = device.len();
            return Err(format!("device: expected 1 to {MAX_ID_BYTES} bytes, found {found}"));
        }
        let word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let sound = (1..=MAX_REASON_BYTES).contains(&self.reason.len());
        if !sound || !self.reason.bytes().all(word) {
            return Err(format!(
                "reason: expected a word of 1 to {MAX_REASON_BYTES} lower-case letters, digits and -"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_reads_back_and_nonsense_is_named() {
        let whole = ClearAll { at: Time(5), device: None, reason: CONFIGURATION.into(), count: 3 };
        let json = serde_json::to_string(&whole).unwrap();
        assert!(!json.contains("device"), "{json}");
        assert_eq!(serde_json::from_str::<ClearAll>(&json).unwrap(), whole);
        whole.validate().unwrap();
        let of_device = |device: &str| ClearAll { device: Some(device.into()), ..whole.clone() };
        of_device("SN-1").validate().unwrap();
        assert!(of_device("").validate().unwrap_err().starts_with("device: expected 1 to 256"));
        assert!(of_device(&"x".repeat(257)).validate().is_err());
        for reason in ["", "Two Words", "a\nb", &"x".repeat(65)] {
            let wrong = ClearAll { reason: reason.into(), ..whole.clone() };
            assert!(wrong.validate().unwrap_err().starts_with("reason: expected"), "{reason:?}");
        }
    }

    proptest! {
        #[test]
        fn prop_no_text_panics(text in ".{0,200}", device in proptest::option::of(".{0,300}"), reason in ".{0,80}") {
            let _ = serde_json::from_str::<ClearAll>(&text);
            let said = ClearAll { at: Time(1), device, reason, count: 0 };
            if said.validate().is_ok() {
                prop_assert!(said.reason.is_ascii() && said.device.is_none_or(|d| !d.is_empty()));
            }
        }
    }
}
