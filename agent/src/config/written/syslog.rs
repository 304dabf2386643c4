//! `[[syslog]]`.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{Pattern, Silence, Text, defaults};

/// A listener for syslog messages.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Syslog {
    /// Unique name of the source.
    #[schemars(with = "String")]
    pub name: Text,
    /// Name of the device that the listener itself belongs to, usually the agent's host.
    #[schemars(with = "String")]
    pub device: Text,
    /// `address:port` to take datagrams at, for instance `0.0.0.0:514`; several are possible.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub udp: Vec<Text>,
    /// `address:port` to take connections at, for instance `0.0.0.0:601`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub tcp: Vec<Text>,
    /// `address:port` to take connections with TLS at, for instance `0.0.0.0:6514`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub tls: Vec<Text>,
    /// TLS: PEM file of the listener's certificate chain.
    #[serde(default)]
    #[schemars(with = "String")]
    pub certificate_file: Option<Text>,
    /// TLS: PEM file of its key.
    #[serde(default)]
    #[schemars(with = "String")]
    pub key_file: Option<Text>,
    /// TLS: PEM file of CAs; senders must show a certificate under one of them. Default: they need none.
    #[serde(default)]
    #[schemars(with = "String")]
    pub client_ca_file: Option<Text>,
    /// Longer messages are cut and marked.
    #[serde(default = "line")]
    #[schemars(range(min = 480, max = 65_535))]
    pub max_line_bytes: usize,
    /// Connections at once; one sender may have a quarter of them.
    #[serde(default = "connections")]
    #[schemars(range(min = 1, max = 4096))]
    pub connections: usize,
    /// Messages a second that one sender may go on sending. Datagrams beyond it are dropped and
    /// declared, connections are read more slowly.
    #[serde(default = "rate")]
    #[schemars(range(min = 1, max = 100_000))]
    pub rate_per_s: u32,
    /// Messages that one sender may send at once.
    #[serde(default = "burst")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: u32,
    /// Senders that are told apart.
    #[serde(default = "senders")]
    #[schemars(range(min = 16, max = 65_536))]
    pub senders: usize,
    /// Time zone of messages that name none, such as `Asia/Shanghai` or `+08:00`. Default: found out.
    #[serde(default)]
    #[schemars(with = "String")]
    pub time_zone: Option<Text>,
    /// Addresses or prefixes of relays: their messages are from the host that they name.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub relays: Vec<Text>,
    /// What becomes of messages of senders that no device is known by.
    #[serde(default = "ignore")]
    pub unknown: Unknown,
    /// Shipped message catalogues to use. Default: all.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub catalogues: Option<Vec<Text>>,
    /// Devices and where they send from. Devices polled over SNMP are known by their address already.
    #[serde(default)]
    pub sender: Vec<SyslogSender>,
    /// Faults in messages, beside those of the catalogues.
    #[serde(default)]
    pub pattern: Vec<Pattern>,
    /// An alarm when no message comes for long, of whatever sender.
    #[serde(default)]
    #[schemars(with = "Silence")]
    pub silence: Option<Silence>,
}

/// What becomes of messages of unknown senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// They are counted and not looked at.
    Ignore,
    /// They count as messages of the listener's own device.
    Listener,
}

/// A device that sends.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyslogSender {
    /// Name of the device.
    #[schemars(with = "String")]
    pub device: Spanned<String>,
    /// Addresses it sends from, or prefixes such as `192.0.2.0/28`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<Text>,
    /// Host names it says of itself, beside the device's own name.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub hosts: Vec<Text>,
    /// Time zone of its messages that name none. Default: the listener's.
    #[serde(default)]
    #[schemars(with = "String")]
    pub time_zone: Option<Text>,
}

defaults! {
    burst: u32 = 2000;
    connections: usize = 256;
    ignore: Unknown = Unknown::Ignore;
    line: usize = 8192;
    rate: u32 = 200;
    senders: usize = 1024;
}
