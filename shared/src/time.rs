//! Points in time: milliseconds since the Unix epoch inside, RFC 3339 outside.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A wall-clock instant, milliseconds since 1970-01-01T00:00:00Z. JSON: an RFC 3339 string in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Time {
    /// The present instant of the system clock.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Milliseconds since the Unix epoch.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// `self` moved by `ms` milliseconds, saturating.
    pub fn plus_ms(self, ms: i64) -> Self {
        Time(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`; negative where the clock went back.
    pub fn since_ms(self, earlier: Time) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads an RFC 3339 timestamp.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        text.parse::<jiff::Timestamp>()
            .map(|t| Time(t.as_millisecond()))
            .map_err(|_| TimeError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Time::parse(&text).map_err(de::Error::custom)
    }
}

/// A text that is no RFC 3339 timestamp.
#[derive(Debug, thiserror::Error)]
#[error("expected an RFC 3339 timestamp such as 2026-01-31T08:00:00Z, found {0:?}")]
pub struct TimeError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        let t = Time(1_769_846_400_123);
        assert_eq!(t.to_string(), "2026-01-31T08:00:00.123Z");
        assert_eq!(Time::parse(&t.to_string()).unwrap(), t);
        assert!(Time::parse("yesterday").is_err());
    }
}
