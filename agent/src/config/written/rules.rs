//! What rules have in common: limits, counts, flapping; and `[[host.rule]]`.

use callhome_shared::severity::Severity;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::lines::{SeverityName, Silence};
use super::{Text, defaults, text};

/// A rule on the host's readings. One of `threshold`, `rate`, `delta` and `silence`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostRule {
    /// Unique within the host: letters, digits, `-`, `_`, `.`.
    #[schemars(with = "String")]
    pub id: Text,
    /// The reading, for instance `disk.used_percent`.
    #[schemars(with = "String")]
    pub metric: Text,
    /// Alarm type, for instance `disk-fills`.
    #[serde(rename = "type")]
    #[schemars(with = "String")]
    pub kind: Text,
    /// Limits on the value. The worst one that holds counts.
    #[serde(default)]
    pub threshold: Vec<Limit>,
    /// Limits on its change by the second.
    #[serde(default)]
    pub rate: Vec<Limit>,
    /// Limits on its change from one reading to the next.
    #[serde(default)]
    pub delta: Vec<Limit>,
    /// An alarm when nothing is read for long.
    #[serde(default)]
    #[schemars(with = "Silence")]
    pub silence: Option<Silence>,
    /// A limit must be exceeded so long before it counts, seconds.
    #[serde(default)]
    #[schemars(range(min = 0, max = 604_800))]
    pub for_s: u64,
    /// It must happen so often before it raises.
    #[serde(default)]
    #[schemars(with = "Count")]
    pub count: Option<Count>,
    /// One alarm for a fault that comes and goes.
    #[serde(default)]
    #[schemars(with = "Flapping")]
    pub flapping: Option<Flapping>,
    /// Tells apart several alarms of one type on one resource.
    #[serde(default = "empty")]
    #[schemars(with = "String")]
    pub qualifier: Text,
    /// The alarm's text; empty: the reading.
    #[serde(default = "empty")]
    #[schemars(with = "String")]
    pub text: Text,
    /// Stable key of a knowledge article.
    #[serde(default)]
    #[schemars(with = "String")]
    pub fault_code: Option<Text>,
    /// What usually mends it.
    #[serde(default)]
    #[schemars(with = "String")]
    pub repair: Option<Text>,
}

/// A limit: `above` or `below`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// At or above it is a fault.
    #[serde(default)]
    #[schemars(with = "f64")]
    pub above: Option<f64>,
    /// At or below it is a fault.
    #[serde(default)]
    #[schemars(with = "f64")]
    pub below: Option<f64>,
    /// Behind this it counts as back. Default: the limit itself.
    #[serde(default)]
    #[schemars(with = "f64")]
    pub clear: Option<Spanned<f64>>,
    /// How bad it is.
    #[schemars(with = "SeverityName")]
    pub severity: Spanned<Severity>,
}

/// A number of times within a window. The alarm ends when the window is empty and the fault is gone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// So often.
    #[schemars(with = "u32", range(min = 2, max = 100))]
    pub times: Spanned<u32>,
    /// Within so many seconds.
    #[schemars(range(min = 1, max = 2_592_000))]
    pub within_s: u64,
}

/// When a fault flaps: by the share of changes among the last 21 verdicts, newer ones weighing more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flapping {
    /// It flaps from this share of changes on, percent.
    #[serde(default = "p50")]
    #[schemars(range(min = 1, max = 100))]
    pub high: f64,
    /// It flaps no more below this share, percent.
    #[serde(default = "p25")]
    #[schemars(with = "f64", range(min = 1, max = 100))]
    pub low: Spanned<f64>,
    /// Lines: how far back the verdicts reach, seconds. (Values: 21 readings.)
    #[serde(default = "hour")]
    #[schemars(range(min = 20, max = 604_800))]
    pub within_s: u64,
}

defaults! {
    empty: Text = text("");
    hour: u64 = 3600;
    p25: Spanned<f64> = Spanned::new(0..0, 25.0);
    p50: f64 = 50.0;
}
