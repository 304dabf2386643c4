//! What the last reading of a device was like: for the people who look after it. Bounded, so that it can
//! travel with every heartbeat.

use serde::{Deserialize, Serialize};

use crate::limits::cut;
use crate::time::Time;

/// Most profiles that are named.
pub const MAX_PROFILES: usize = 8;
/// Longest name or object identifier, bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// One reading of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readout {
    /// When it ended, whether or not it brought anything.
    pub at: Time,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// Values that it brought.
    #[serde(default)]
    pub values: u64,
    /// Objects that could not be read, or not wholly.
    #[serde(default)]
    pub faults: u64,
    /// What was waited for longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest: Option<Slowest>,
    /// The profiles that it is read by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// Why these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// What the device says it is (sysObjectID).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sysobjectid: Option<String>,
    /// What to check, when something is not as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<Hint>,
}

/// What took longest in a reading.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slowest {
    /// The first object of the question.
    pub oid: String,
    /// How long its answer took, milliseconds.
    pub ms: u64,
}

/// Why a device is read by its profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chosen {
    /// The configuration names them.
    Configured,
    /// One was made for what the device says it is.
    Device,
    /// None was made for it: the generic ones.
    Generic,
    /// A word of a newer agent.
    #[serde(other)]
    Other,
}

/// What to check at a device that brings less than it should. The console has a text for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hint {
    /// Its name does not resolve.
    Name,
    /// The request cannot be sent: route, address.
    Route,
    /// Its port is closed: SNMP may not be enabled.
    PortClosed,
    /// No answer: power, network, access list, or a wrong community.
    Silent,
    /// It was found but does not answer: privacy password or context.
    SilentAfterDiscovery,
    /// It answers, but nothing of it can be used.
    Unusable,
    /// It refuses user, password or security level.
    Refused,
    /// It answers with an SNMP error: its view may not include what is asked.
    View,
    /// Reading takes longer than the interval.
    Interval,
    /// It answers, but has none of the objects of its profiles.
    NothingRead,
    /// Some objects cannot be read.
    Partly,
    /// No profile was made for it.
    NoProfile,
    /// A word of a newer agent.
    #[serde(other)]
    Other,
}

impl Hint {
    /// What to check, English.
    pub fn advice(self) -> &'static str {
        match self {
            Hint::Name => "check the name in the configuration and the name service",
            Hint::Route => "check the address and the route to it",
            Hint::PortClosed => "switch SNMP on at the device, or correct the port",
            Hint::Silent => {
                "check power and network, the device's list of permitted managers, and the community or user"
            }
            Hint::SilentAfterDiscovery => "check the privacy password and the context name",
            Hint::Unusable => "check what answers at this address",
            Hint::Refused => "check user, passwords and security level at the device",
            Hint::View => "widen the view that the device grants to this community or user",
            Hint::Interval => "lengthen the interval, or choose fewer profiles",
            Hint::NothingRead => {
                "check the view that the device grants, and whether the profiles fit the device"
            }
            Hint::Partly => "see which objects; the device's view or firmware may leave them out",
            Hint::NoProfile => "no profile was made for it: name one, or write one",
            Hint::Other => "see the agent's log",
        }
    }
}

impl Readout {
    /// The same within its limits.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.profiles.truncate(MAX_PROFILES);
        let names = self.profiles.iter_mut().chain(&mut self.sysobjectid);
        for name in names.chain(self.slowest.as_mut().map(|slowest| &mut slowest.oid)) {
            cut(name, MAX_NAME_BYTES);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_the_published_ones_and_newer_ones_are_read() {
        let text = r#"{"at":"2026-01-31T08:00:00Z","took_ms":7,"chosen":"device","hint":"silent-after-discovery"}"#;
        let read: Readout = serde_json::from_str(text).unwrap();
        assert_eq!(
            (read.chosen, read.hint),
            (Some(Chosen::Device), Some(Hint::SilentAfterDiscovery))
        );
        let newer = text.replace("device", "oracle").replace("silent-after-discovery", "moon");
        let read: Readout = serde_json::from_str(&newer).unwrap();
        assert_eq!((read.chosen, read.hint), (Some(Chosen::Other), Some(Hint::Other)));
    }

    proptest! {
        #[test]
        fn prop_bounded_is_bounded(
            profiles in prop::collection::vec("[\u{1}-\u{ffff}]{0,300}", 0..20), oid in ".{0,5000}",
        ) {
            let slowest = Some(Slowest { oid: oid.clone(), ms: u64::MAX });
            let one = Readout {
                took_ms: u64::MAX, values: u64::MAX, faults: u64::MAX, profiles, slowest,
                sysobjectid: Some(oid), chosen: Some(Chosen::Configured),
                hint: Some(Hint::SilentAfterDiscovery), ..Readout::default()
            };
            let one = one.bounded();
            prop_assert!(one.profiles.len() <= MAX_PROFILES);
            let names = one.profiles.iter().chain(&one.sysobjectid);
            prop_assert!(names.chain(one.slowest.iter().map(|s| &s.oid)).all(|n| n.len() <= MAX_NAME_BYTES));
            prop_assert_eq!(one.clone().bounded(), one);
        }
    }
}
