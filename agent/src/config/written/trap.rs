//! `[trap]`.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{SnmpAuth, SnmpPriv, Text, defaults, text};

/// SNMP traps and informs, which devices send by themselves.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trap {
    /// Unique name of the source.
    #[serde(default = "traps")]
    #[schemars(with = "String")]
    pub name: Text,
    /// Name of the device whose alarm it is when nothing can be heard: mostly the agent's own host.
    #[schemars(with = "String")]
    pub device: Text,
    /// Where to listen, `address:port`.
    #[serde(default = "everywhere")]
    #[schemars(with = "Vec<String>")]
    pub listen: Vec<Text>,
    /// Files whose first lines are communities: versions 1 and 2c are taken with one of these only.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub community_files: Vec<Text>,
    /// Our engine's id for informs of version 3, hexadecimal. Default: made at the first start and kept.
    #[serde(default)]
    #[schemars(with = "String")]
    pub engine_id: Option<Text>,
    /// Messages a second that are taken of one sender, over time.
    #[serde(default = "fifty")]
    #[schemars(range(min = 1, max = 100_000))]
    pub rate: u32,
    /// Messages that are taken of one sender at once.
    #[serde(default = "five_hundred")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: u32,
    /// What becomes of a trap that nobody knows: counted and shown, or an alarm of its own.
    #[serde(default = "count")]
    pub unknown: UnknownTrap,
    /// Seconds after which an alarm ends that no trap and no poll ends.
    #[serde(default = "day")]
    #[schemars(range(min = 60, max = 31_536_000))]
    pub clear_after_s: u64,
    /// Directory of files that say what further traps mean; they go before the shipped ones.
    #[serde(default)]
    #[schemars(with = "String")]
    pub dir: Option<Text>,
    /// Addresses and prefixes of hosts that forward other devices' traps.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub relays: Vec<Text>,
    /// Devices that are not polled, or that send from other addresses than they are polled at.
    #[serde(default)]
    pub sender: Vec<TrapSender>,
    /// Users of version 3.
    #[serde(default)]
    pub user: Vec<TrapUser>,
}

/// What becomes of a trap that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnknownTrap {
    /// It is counted and shown in `status`.
    Count,
    /// An alarm of type `unknown-trap`, indeterminate.
    Alarm,
}

/// Where a device sends from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrapSender {
    /// Name of the device.
    #[schemars(with = "String")]
    pub device: Text,
    /// Its addresses, or prefixes such as `192.0.2.0/28`.
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<Text>,
}

/// A user of version 3 whose traps and informs are taken, at exactly this level.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrapUser {
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
    /// The engine that it belongs to, hexadecimal. Default: any.
    #[serde(default)]
    #[schemars(with = "String")]
    pub engine_id: Option<Text>,
}

defaults! {
    count: UnknownTrap = UnknownTrap::Count;
    day: u64 = 86_400;
    everywhere: Vec<Text> = vec![text("[::]:162")];
    fifty: u32 = 50;
    five_hundred: u32 = 500;
    traps: Text = text("traps");
}
