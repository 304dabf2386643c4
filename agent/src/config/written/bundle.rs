//! `[bundle]`.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::Text;

/// Evidence bundles.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bundle {
    /// Whether each bundle waits for a person who approves it, or goes as soon as it is packed.
    pub approve: Approve,
    /// Largest bundle, MiB: of its files together, and packed.
    #[schemars(range(min = 1, max = 16_384))]
    pub max_mib: u64,
    /// Budget of all packed bundles on the disk, MiB. When it is full, sent and denied ones are removed, the
    /// oldest first; then new ones are refused.
    #[schemars(with = "u64", range(min = 1, max = 1_048_576))]
    pub budget_mib: Spanned<u64>,
    /// Days for which the archive of a sent or denied bundle is kept.
    #[schemars(range(min = 0, max = 3650))]
    pub keep_days: u64,
    /// Upload speed, bytes a second; 0: as fast as it goes.
    #[schemars(range(min = 0, max = 10_000_000_000_u64))]
    pub max_bytes_per_s: u64,
    /// `https://host:port` of the collector. Default: the `https` roads, else the `wss` roads' hosts and ports,
    /// else the address of the enrolment.
    #[schemars(with = "String")]
    pub url: Option<Text>,
}

impl Default for Bundle {
    fn default() -> Self {
        Bundle {
            approve: Approve::Hold,
            max_mib: 256,
            budget_mib: Spanned::new(0..0, 1024),
            keep_days: 7,
            max_bytes_per_s: 1024 * 1024,
            url: None,
        }
    }
}

/// Who approves bundles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Approve {
    /// A person, each of them.
    Hold,
    /// Nobody: they go.
    Auto,
}
