//! `[host]`.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{HostRule, Text, defaults, text};

/// The host the agent runs on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Unique name of the source.
    #[serde(default = "host")]
    #[schemars(with = "String")]
    pub name: Text,
    /// Name of the device.
    #[schemars(with = "String")]
    pub device: Text,
    /// Between two readings, seconds.
    #[serde(default = "thirty")]
    #[schemars(range(min = 1, max = 86_400))]
    pub interval_s: u64,
    /// Used space of a file system that is a warning, percent.
    #[serde(default = "p85")]
    #[schemars(with = "f64", range(min = 1, max = 100))]
    pub disk_warning_pct: Spanned<f64>,
    /// The same, critical.
    #[serde(default = "p95")]
    #[schemars(with = "f64", range(min = 1, max = 100))]
    pub disk_critical_pct: Spanned<f64>,
    /// Used memory that is a warning, percent.
    #[serde(default = "p90")]
    #[schemars(with = "f64", range(min = 1, max = 100))]
    pub memory_warning_pct: Spanned<f64>,
    /// The same, critical.
    #[serde(default = "p97")]
    #[schemars(with = "f64", range(min = 1, max = 100))]
    pub memory_critical_pct: Spanned<f64>,
    /// A sensor's temperature that is a warning, °C.
    #[serde(default = "p80")]
    #[schemars(with = "f64", range(min = -50, max = 200))]
    pub temperature_warning_c: Spanned<f64>,
    /// The same, critical.
    #[serde(default = "p95")]
    #[schemars(with = "f64", range(min = -50, max = 200))]
    pub temperature_critical_c: Spanned<f64>,
    /// Load average over one minute and per core that is a warning.
    #[serde(default = "p4")]
    #[schemars(with = "f64", range(min = 0.1, max = 1000))]
    pub load_warning_per_core: Spanned<f64>,
    /// A limit must be exceeded so long before it counts, seconds.
    #[serde(default = "sixty")]
    #[schemars(range(min = 0, max = 86_400))]
    pub for_s: u64,
    /// Further rules on the host's readings.
    #[serde(default)]
    pub rule: Vec<HostRule>,
    /// Mount points that are not watched.
    #[serde(default)]
    pub ignore_mounts: Vec<String>,
}

defaults! {
    host: Text = text("host");
    p4: Spanned<f64> = Spanned::new(0..0, 4.0);
    p80: Spanned<f64> = Spanned::new(0..0, 80.0);
    p85: Spanned<f64> = Spanned::new(0..0, 85.0);
    p90: Spanned<f64> = Spanned::new(0..0, 90.0);
    p95: Spanned<f64> = Spanned::new(0..0, 95.0);
    p97: Spanned<f64> = Spanned::new(0..0, 97.0);
    sixty: u64 = 60;
    thirty: u64 = 30;
}
