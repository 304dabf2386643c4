//! `[[maintenance]]`.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::Text;

/// A window of maintenance: what is raised in it is held back until it ends. Once (`from`, `until`) or every
/// week (`days`, `at`, `for_s`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// Unique name: letters, digits, `-`, `_`, `.`.
    #[schemars(with = "String")]
    pub name: Text,
    /// Why.
    #[schemars(with = "String")]
    pub reason: Text,
    /// Names of devices. Where neither devices nor sites are named, it is about everything.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub devices: Vec<Text>,
    /// Sites.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub sites: Vec<Text>,
    /// Once: when it begins, RFC 3339.
    #[serde(default)]
    #[schemars(with = "String")]
    pub from: Option<Text>,
    /// Once: when it ends, RFC 3339.
    #[serde(default)]
    #[schemars(with = "String")]
    pub until: Option<Text>,
    /// Every week: on these days it begins.
    #[serde(default)]
    pub days: Vec<Day>,
    /// Every week: at this time of the day, `02:30`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub at: Option<Text>,
    /// Every week: for so many seconds, at most a week.
    #[serde(default)]
    #[schemars(with = "u64", range(min = 1, max = 604_800))]
    pub for_s: Option<Spanned<u64>>,
    /// Every week: time zone of `at`, such as `Asia/Shanghai`. Default: the host's.
    #[serde(default)]
    #[schemars(with = "String")]
    pub timezone: Option<Text>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}
