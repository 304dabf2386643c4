//! `[[snmp]]`.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{Text, defaults};

/// A device polled over SNMP.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Snmp {
    /// Unique name of the source.
    #[schemars(with = "String")]
    pub name: Text,
    /// Name of the device.
    #[schemars(with = "String")]
    pub device: Text,
    /// `host:port`; without a port, 161.
    #[schemars(with = "String")]
    pub address: Text,
    /// Protocol version.
    #[schemars(with = "SnmpVersion")]
    pub version: Spanned<SnmpVersion>,
    /// Versions 1 and 2c: file whose first line is the community.
    #[serde(default)]
    #[schemars(with = "String")]
    pub community_file: Option<Text>,
    /// Versions 1 and 2c: the community itself; better in a file of its own.
    #[serde(default)]
    #[schemars(with = "String")]
    pub community: Option<Text>,
    /// Between two polls, seconds.
    #[serde(default = "sixty")]
    #[schemars(range(min = 1, max = 86_400))]
    pub interval_s: u64,
    /// For one answer, milliseconds.
    #[serde(default = "two_thousand")]
    #[schemars(range(min = 50, max = 60_000))]
    pub timeout_ms: u64,
    /// Requests after the first one that is not answered.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 10))]
    pub retries: u32,
    /// Rows asked for in one GETBULK.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1, max = 200))]
    pub max_repetitions: u32,
    /// GETBULK; `false` for agents that stumble over it. Version 1 has none.
    #[serde(default = "yes")]
    pub bulk: bool,
    /// A restart of the device is an alarm, too: `device-restarted`, a warning for an hour.
    #[serde(default)]
    pub restart_alarm: bool,
    /// Names of profiles. Default: those that claim the device's sysObjectID, else all generic ones.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub profiles: Option<Vec<Text>>,
    /// Version 3: user-based security.
    #[serde(default)]
    #[schemars(with = "SnmpV3")]
    pub v3: Option<Spanned<SnmpV3>>,
}

/// SNMP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum SnmpVersion {
    /// Community-based, the first one: no GETBULK, no 64-bit counters.
    #[serde(rename = "1")]
    V1,
    /// Community-based.
    #[serde(rename = "2c")]
    V2c,
    /// User-based security.
    #[serde(rename = "3")]
    V3,
}

/// SNMP user-based security.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnmpV3 {
    /// User name.
    #[schemars(with = "String")]
    pub user: Text,
    /// Authentication; without it nothing is authenticated.
    #[serde(default)]
    #[schemars(with = "SnmpAuth")]
    pub auth: Option<Spanned<SnmpAuth>>,
    /// File whose first line is the authentication password, at least 8 characters.
    #[serde(default)]
    #[schemars(with = "String")]
    pub auth_password_file: Option<Text>,
    /// Privacy; without it nothing is encrypted. Needs `auth`.
    #[serde(default, rename = "priv")]
    #[schemars(with = "SnmpPriv")]
    pub privacy: Option<Spanned<SnmpPriv>>,
    /// File whose first line is the privacy password, at least 8 characters.
    #[serde(default)]
    #[schemars(with = "String")]
    pub priv_password_file: Option<Text>,
    /// Context name.
    #[serde(default)]
    pub context: String,
}

/// SNMPv3 authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SnmpAuth {
    /// HMAC-MD5-96; broken, for old devices only.
    Md5,
    /// HMAC-SHA-96.
    Sha1,
    /// HMAC-128-SHA-224.
    Sha224,
    /// HMAC-192-SHA-256.
    Sha256,
    /// HMAC-256-SHA-384.
    Sha384,
    /// HMAC-384-SHA-512.
    Sha512,
}

/// SNMPv3 privacy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SnmpPriv {
    /// CBC-DES; broken, for old devices only.
    Des,
    /// CFB128-AES-128.
    Aes128,
    /// CFB128-AES-192 with Blumenthal's key extension.
    Aes192,
    /// CFB128-AES-256 with Blumenthal's key extension.
    Aes256,
    /// CFB128-AES-192 with Reeder's key extension, as Cisco and others do it.
    Aes192c,
    /// CFB128-AES-256 with Reeder's key extension, as Cisco and others do it.
    Aes256c,
}

defaults! {
    sixty: u64 = 60;
    twenty: u32 = 20;
    two: u32 = 2;
    two_thousand: u64 = 2000;
    yes: bool = true;
}
