//! The configuration as it is written: names, types, limits and defaults. The published JSON Schema
//! is made from these types, and [`super::shape`] checks a file against it; what values mean together
//! is checked in [`super::check`].

mod bundle;
mod host;
mod lines;
mod maintenance;
mod privacy;
mod rules;
mod snmp;
mod syslog;
mod trap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

pub use bundle::{Approve, Bundle};
pub use host::Host;
pub use lines::{Command, From, Logfile, Pattern, Serial, Silence};
pub use maintenance::{Day, Maintenance};
pub use privacy::{Ledger, Privacy, PrivacyRule, Pseudonym};
pub use rules::{Count, Flapping, HostRule, Limit};
pub use snmp::{Snmp, SnmpAuth, SnmpPriv, SnmpV3, SnmpVersion};
pub use syslog::{Syslog, Unknown};
pub use trap::{Trap, TrapUser, UnknownTrap};

/// A text whose place is needed for a message.
pub type Text = Spanned<String>;

/// The configuration of callhome-agent.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "callhome-agent")]
pub struct File {
    /// The agent itself.
    pub agent: Agent,
    /// The collector it calls.
    pub collector: Collector,
    /// What is kept until the collector has it.
    pub outbox: Outbox,
    /// Signs of life.
    pub heartbeat: Heartbeat,
    /// What is taken out of everything that leaves.
    pub privacy: Privacy,
    /// The proof of the whole path.
    pub probe: Probe,
    /// The record of what left.
    pub ledger: Ledger,
    /// Evidence bundles.
    pub bundle: Bundle,
    /// What is watched.
    pub device: Vec<Device>,
    /// When alarms are held back.
    pub maintenance: Vec<Maintenance>,
    /// Devices polled over SNMP.
    pub snmp: Vec<Snmp>,
    /// Serial consoles.
    pub serial: Vec<Serial>,
    /// Log files.
    pub logfile: Vec<Logfile>,
    /// Listeners for syslog messages.
    pub syslog: Vec<Syslog>,
    /// Traps and informs that devices send by themselves. Without this table none are heard.
    #[schemars(with = "Trap")]
    pub trap: Option<Trap>,
    /// The host the agent runs on. Without this table it is not watched.
    #[schemars(with = "Host")]
    pub host: Option<Host>,
}

/// The agent itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// Directory of the outbox and the identity.
    #[schemars(with = "String")]
    pub state_dir: Text,
    /// Unix socket of `callhome-agent status`, `test`, `outbox` and `bundle`, mode 0660.
    #[schemars(with = "String")]
    pub control_socket: Text,
    /// Plain HTTP for `/healthz`, `/readyz`, `/metrics`; `""` turns it off.
    #[schemars(with = "String")]
    pub health_listen: Text,
    /// Directory of SNMP profiles; one with the name of a built-in profile goes before it.
    #[schemars(with = "String")]
    pub profiles_dir: Option<Text>,
    /// Site of all devices that name none.
    #[schemars(with = "String")]
    pub site: Option<Text>,
    /// Customer of all devices that name none.
    #[schemars(with = "String")]
    pub customer: Option<Text>,
    /// Service contract of all devices that name none.
    #[schemars(with = "String")]
    pub contract: Option<Text>,
    /// Log filter: a level or directives such as `info,callhome_agent=debug`.
    pub log: String,
    /// JSON lines instead of text.
    pub log_json: bool,
}

impl Default for Agent {
    fn default() -> Self {
        Agent {
            state_dir: text("/var/lib/callhome-agent"),
            control_socket: text("/run/callhome-agent/control.sock"),
            health_listen: text("127.0.0.1:9465"),
            profiles_dir: None,
            site: None,
            customer: None,
            contract: None,
            log: "info".to_owned(),
            log_json: false,
        }
    }
}

/// The collector it calls.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Collector {
    /// `mqtts://host:port`: a single road, for a short configuration without `[[collector.road]]`.
    #[schemars(with = "String")]
    pub mqtt: Option<Text>,
    /// Ways to the collector, the preferred first. Default: what the enrolment learnt.
    pub road: Vec<Road>,
    /// Failed attempts in a row on one road before the next is tried.
    #[schemars(range(min = 1, max = 100))]
    pub tries: u32,
    /// While a lower road is in use: seconds between two looks whether a preferred one works again.
    #[schemars(range(min = 1, max = 86_400))]
    pub failback_s: u64,
    /// HTTP proxy of all roads that name none, and of the enrolment: `http://host:port`.
    #[schemars(with = "String")]
    pub proxy: Option<Text>,
    /// User at the proxy.
    #[schemars(with = "String")]
    pub proxy_user: Option<Text>,
    /// File whose first line is the user's password at the proxy.
    #[schemars(with = "String")]
    pub proxy_password_file: Option<Text>,
    /// PEM file of the CA. Default: `identity/ca.pem` in the state directory.
    #[schemars(with = "String")]
    pub ca_file: Option<Text>,
    /// PEM file of the agent's certificate chain. Default: `identity/agent.pem`.
    #[schemars(with = "String")]
    pub certificate_file: Option<Text>,
    /// PEM file of the agent's key. Default: `identity/agent.key`.
    #[schemars(with = "String")]
    pub key_file: Option<Text>,
    /// The agent's certificate is a warning so many days before its end (for one that lives short, in the
    /// last sixth of its life).
    #[schemars(range(min = 1, max = 365))]
    pub certificate_warning_days: u32,
    /// The same, a major alarm (in the last twenty-fourth part).
    #[schemars(range(min = 1, max = 365))]
    pub certificate_major_days: u32,
    /// Seconds after which an envelope without the collector's acknowledgement is sent again.
    #[schemars(range(min = 1, max = 3600))]
    pub ack_timeout_s: u64,
    /// MQTT keep-alive, seconds; the collector takes no longer one than 600.
    #[schemars(range(min = 5, max = 600))]
    pub keep_alive_s: u64,
    /// First wait after a failed connection, milliseconds; doubled each time, with jitter.
    #[schemars(range(min = 50, max = 60_000))]
    pub backoff_first_ms: u64,
    /// Longest wait, seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub backoff_max_s: u64,
}

impl Default for Collector {
    fn default() -> Self {
        Collector {
            mqtt: None,
            road: Vec::new(),
            tries: 3,
            failback_s: 300,
            proxy: None,
            proxy_user: None,
            proxy_password_file: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            certificate_warning_days: 14,
            certificate_major_days: 3,
            ack_timeout_s: 20,
            keep_alive_s: 30,
            backoff_first_ms: 500,
            backoff_max_s: 60,
        }
    }
}

/// One way to the collector.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Road {
    /// `mqtts://host:port` (MQTT), `wss://host:port/mqtt` (MQTT in a WebSocket) or
    /// `https://host:port` (HTTPS POST).
    #[schemars(with = "String")]
    pub url: Text,
    /// HTTP proxy of this road, `http://host:port`; `""`: none, whatever `collector.proxy` says.
    #[serde(default)]
    #[schemars(with = "String")]
    pub proxy: Option<Text>,
    /// User at this road's own proxy.
    #[serde(default)]
    #[schemars(with = "String")]
    pub proxy_user: Option<Text>,
    /// File whose first line is the user's password at this road's own proxy.
    #[serde(default)]
    #[schemars(with = "String")]
    pub proxy_password_file: Option<Text>,
}

/// What is kept until the collector has it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Outbox {
    /// Budget of what is stored, MiB. When it is full, samples go first and the changes of one alarm
    /// are folded into its present state; no standing fault is forgotten.
    #[schemars(range(min = 1, max = 16_384))]
    pub max_mib: u64,
    /// Size the file is grown to at the start, MiB.
    #[schemars(with = "u64", range(min = 1, max = 16_384))]
    pub preallocate_mib: Spanned<u64>,
}

impl Default for Outbox {
    fn default() -> Self {
        Outbox { max_mib: 64, preallocate_mib: Spanned::new(0..0, 4) }
    }
}

/// Signs of life.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Heartbeat {
    /// Between two heartbeats, seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub interval_s: u64,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Heartbeat { interval_s: callhome_shared::limits::HEARTBEAT_S }
    }
}

/// The proof of the whole path: a synthetic fault through each source's reader, up to a ticket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Probe {
    /// Between two probes of a source, seconds; 0 turns them off.
    #[schemars(range(min = 0, max = 604_800))]
    pub interval_s: u64,
}

impl Default for Probe {
    fn default() -> Self {
        Probe { interval_s: 3600 }
    }
}

/// Something that is watched.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Unique name; sources name their device by it.
    #[schemars(with = "String")]
    pub name: Text,
    /// Serial number. Where it is known it identifies the device in alarms, else the name does.
    #[serde(default)]
    #[schemars(with = "String")]
    pub serial: Option<Text>,
    /// Vendor.
    #[serde(default)]
    #[schemars(with = "String")]
    pub vendor: Option<Text>,
    /// Model.
    #[serde(default)]
    #[schemars(with = "String")]
    pub model: Option<Text>,
    /// Firmware version.
    #[serde(default)]
    #[schemars(with = "String")]
    pub firmware: Option<Text>,
    /// Site; default `agent.site`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub site: Option<Text>,
    /// Customer; default `agent.customer`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub customer: Option<Text>,
    /// Service contract; default `agent.contract`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub contract: Option<Text>,
    /// The device that it hangs on: while that one is unreachable, this one's alarms are held back. Its name, or a
    /// part of it (an interface, an outlet): while that is down, this one's silence is held back.
    #[serde(default)]
    #[schemars(with = "Parent")]
    pub parent: Option<Spanned<toml::Value>>,
}

/// What a device hangs on, as it may be written. (Read by hand: a choice of types would lose the places.)
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
pub enum Parent {
    /// The device's name.
    Device(String),
    /// A part of it.
    Part(ParentPart),
}

/// A part of a device that another one hangs on.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
pub struct ParentPart {
    /// The device's name.
    pub device: String,
    /// Its part, as its alarms call it (`port Gi1/0/7`), or the end of that (`Gi1/0/7`).
    pub resource: String,
}

fn text(text: &str) -> Text {
    Spanned::new(0..0, text.to_owned())
}

/// Functions that serde's `default` names.
macro_rules! defaults {
    ($($name:ident: $type:ty = $value:expr;)*) => { $(fn $name() -> $type { $value })* };
}
use defaults;
