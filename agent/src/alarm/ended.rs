//! How alarms that ended at once are told. Pure.

use std::collections::{BTreeMap, BTreeSet};

use callhome_shared::alarm::Alarm;

/// So many alarms that end together are worth one envelope for all of them.
pub const TOGETHER: usize = 8;

/// Alarms that ended together: no other of their device (or of the agent) stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct All {
    /// The device's id; `None`: the whole agent.
    pub device: Option<String>,
    /// Those that ended.
    pub alarms: Vec<Alarm>,
}

/// How what ended is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// In one envelope each.
    pub all: Vec<All>,
    /// One by one.
    pub each: Vec<Alarm>,
}

/// Sorts what ended: where nothing of the device (or of the whole agent) stands any more, and it is
/// many, one word says it for all of them. `standing`: the devices that have an alarm.
pub fn together(ended: Vec<Alarm>, standing: &BTreeSet<String>) -> Ended {
    if standing.is_empty() && ended.len() >= TOGETHER {
        return Ended { all: vec![All { device: None, alarms: ended }], each: Vec::new() };
    }
    let mut devices: BTreeMap<String, Vec<Alarm>> = BTreeMap::new();
    for alarm in ended {
        devices.entry(alarm.device.id.clone()).or_default().push(alarm);
    }
    let mut sorted = Ended::default();
    for (device, alarms) in devices {
        // As identities have it, see [`callhome_shared::alarm::Identity::key`].
        let stands = standing.contains(&device.replace('\u{1f}', " "));
        if alarms.len() >= TOGETHER && !stands {
            sorted.all.push(All { device: Some(device), alarms });
        } else {
            sorted.each.extend(alarms);
        }
    }
    sorted
}
