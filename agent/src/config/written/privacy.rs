//! `[privacy]` and `[ledger]`.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::Text;

/// What is taken out of everything that leaves.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Privacy {
    /// Built-in rules that are not applied.
    #[schemars(with = "Vec<String>")]
    pub disable: Vec<Text>,
    /// What is told under a stable pseudonym: `ip-3fa9…` instead of an address.
    pub pseudonyms: Vec<Pseudonym>,
    /// Domains whose host names are told under a pseudonym.
    #[schemars(with = "Vec<String>")]
    pub domains: Vec<Text>,
    /// Own rules; they come before the built-in ones.
    pub rule: Vec<PrivacyRule>,
}

/// The record of what left.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// Budget of the entries, MiB. When it is full, the oldest eighth is removed and that is declared.
    #[schemars(range(min = 1, max = 1024))]
    pub max_mib: u64,
    /// Budget of the payloads kept for `ledger show`, bytes; 0 keeps none.
    #[schemars(range(min = 0, max = 1_073_741_824_u64))]
    pub keep_payloads_bytes: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        let crate::ledger::Settings { max_bytes, keep_payloads_bytes } = Default::default();
        Ledger { max_mib: max_bytes / (1024 * 1024), keep_payloads_bytes }
    }
}

/// What can be told under a pseudonym.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pseudonym {
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 addresses.
    Ipv6,
    /// MAC addresses and world-wide names.
    Mac,
    /// Host names in `privacy.domains`.
    Host,
    /// Names of configured devices.
    Device,
}

/// An own rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivacyRule {
    /// Unique name, as counted in `status`: letters, digits, `-`, `_`, `.`.
    #[schemars(with = "String")]
    pub name: Text,
    /// Regular expression of what must not leave; of a group named `secret`, if it has one.
    #[serde(rename = "match")]
    #[schemars(with = "String")]
    pub pattern: Text,
    /// What stands in its place; may hold `${group}`. Default: `[redacted:<name>]`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub replacement: Option<Spanned<String>>,
}
