//! The host itself: disks, memory, temperatures, load.

use std::path::PathBuf;
use std::time::Duration;

/// What to read.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// Between two readings.
    pub interval: Duration,
    /// Mount points that are not watched.
    pub ignore_mounts: Vec<PathBuf>,
}

/// Limits of the built-in rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostLimits {
    /// Used share of a file system, %.
    pub disk_warning_pct: f64,
    /// See `disk_warning_pct`.
    pub disk_critical_pct: f64,
    /// Used share of memory, %.
    pub memory_warning_pct: f64,
    /// See `memory_warning_pct`.
    pub memory_critical_pct: f64,
    /// A sensor's temperature, °C.
    pub temperature_warning_c: f64,
    /// See `temperature_warning_c`.
    pub temperature_critical_c: f64,
    /// Load average over one minute, per core.
    pub load_warning_per_core: f64,
    /// How long a limit must be exceeded before it counts, ms.
    pub for_ms: i64,
}
