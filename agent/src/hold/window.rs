//! One window.

use callhome_shared::time::Time;
use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::Subject;

/// A time in which alarms are held.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Unique.
    pub id: String,
    /// Whose alarms.
    pub scope: Scope,
    /// When.
    pub when: When,
    /// Why.
    pub reason: String,
    /// Who said so: `configuration`, or a person.
    pub by: String,
}

/// Whose alarms are held. Empty = everything that is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Scope {
    /// Names of devices, as told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// Sites.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
}

impl Scope {
    /// Whether it is about this device.
    pub fn covers(&self, subject: &Subject) -> bool {
        let everything = self.devices.is_empty() && self.sites.is_empty();
        everything
            || self.devices.contains(&subject.device)
            || subject.site.as_ref().is_some_and(|site| self.sites.contains(site))
    }
}

/// When a window is.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Once.
    Once {
        /// The first moment.
        from: Time,
        /// The first moment after it.
        until: Time,
    },
    /// Every week.
    Weekly {
        /// On these days it begins.
        days: Vec<civil::Weekday>,
        /// At this time of the day.
        at: civil::Time,
        /// And lasts so long, ms; at most a week.
        length_ms: i64,
        /// Of this place.
        zone: TimeZone,
    },
}

impl When {
    /// Until when it lasts, if it is now.
    pub fn ends(&self, now: Time) -> Option<Time> {
        match self {
            When::Once { from, until } => (*from <= now && now < *until).then_some(*until),
            When::Weekly { days, at, length_ms, zone } => {
                let here = Timestamp::from_millisecond(now.millis()).ok()?.to_zoned(zone.clone());
                // The latest of those that have begun: a window of a week may have begun a week ago.
                let ends = (0..=8).filter_map(|ago| {
                    let day = here.date().checked_sub(i64::from(ago).days()).ok()?;
                    if !days.contains(&day.weekday()) {
                        return None;
                    }
                    // A time that the clocks skip is the one after, one that comes twice the first.
                    let begins = day.to_datetime(*at).to_zoned(zone.clone()).ok()?;
                    let begins = begins.timestamp().as_millisecond();
                    let until = begins.checked_add(*length_ms)?;
                    (begins <= now.millis() && now.millis() < until).then_some(Time(until))
                });
                ends.max()
            }
        }
    }
}
