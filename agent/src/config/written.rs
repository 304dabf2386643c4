//! The configuration as it is written: names, types, limits and defaults. The published JSON Schema
//! is made from these types, and [`super::shape`] checks a file against it; what values mean together
//! is checked in [`super::check`].

use callhome_shared::severity::Severity;
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// A text whose place is needed for a message.
pub(super) type Text = Spanned<String>;

/// The configuration of callhome-agent.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "callhome-agent")]
pub(super) struct File {
    /// The agent itself.
    pub(super) agent: Agent,
    /// The collector it calls.
    pub(super) collector: Collector,
    /// What is kept until the collector has it.
    pub(super) outbox: Outbox,
    /// Signs of life.
    pub(super) heartbeat: Heartbeat,
    /// What is watched.
    pub(super) device: Vec<Device>,
    /// Devices polled over SNMP.
    pub(super) snmp: Vec<Snmp>,
    /// Serial consoles.
    pub(super) serial: Vec<Serial>,
    /// Log files.
    pub(super) logfile: Vec<Logfile>,
    /// The host the agent runs on. Without this table it is not watched.
    #[schemars(with = "Host")]
    pub(super) host: Option<Host>,
}

/// The agent itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Agent {
    /// Directory of the outbox and the identity.
    #[schemars(with = "String")]
    pub(super) state_dir: Text,
    /// Unix socket of `callhome-agent status` and `test`, mode 0660.
    #[schemars(with = "String")]
    pub(super) control_socket: Text,
    /// Plain HTTP for `/healthz`, `/readyz`, `/metrics`; `""` turns it off.
    #[schemars(with = "String")]
    pub(super) health_listen: Text,
    /// Directory of SNMP profiles; one with the name of a built-in profile goes before it.
    #[schemars(with = "String")]
    pub(super) profiles_dir: Option<Text>,
    /// Site of all devices that name none.
    #[schemars(with = "String")]
    pub(super) site: Option<Text>,
    /// Customer of all devices that name none.
    #[schemars(with = "String")]
    pub(super) customer: Option<Text>,
    /// Service contract of all devices that name none.
    #[schemars(with = "String")]
    pub(super) contract: Option<Text>,
    /// Log filter: a level or directives such as `info,callhome_agent=debug`.
    pub(super) log: String,
    /// JSON lines instead of text.
    pub(super) log_json: bool,
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
pub(super) struct Collector {
    /// `mqtts://host:port`. Default: what the enrolment token named.
    #[schemars(with = "String")]
    pub(super) mqtt: Option<Text>,
    /// PEM file of the CA. Default: `identity/ca.pem` in the state directory.
    #[schemars(with = "String")]
    pub(super) ca_file: Option<Text>,
    /// PEM file of the agent's certificate chain. Default: `identity/agent.pem`.
    #[schemars(with = "String")]
    pub(super) certificate_file: Option<Text>,
    /// PEM file of the agent's key. Default: `identity/agent.key`.
    #[schemars(with = "String")]
    pub(super) key_file: Option<Text>,
    /// Seconds after which an envelope without the collector's acknowledgement is sent again.
    #[schemars(range(min = 1, max = 3600))]
    pub(super) ack_timeout_s: u64,
    /// MQTT keep-alive, seconds.
    #[schemars(range(min = 5, max = 3600))]
    pub(super) keep_alive_s: u64,
    /// First wait after a failed connection, milliseconds; doubled each time, with jitter.
    #[schemars(range(min = 50, max = 60_000))]
    pub(super) backoff_first_ms: u64,
    /// Longest wait, seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub(super) backoff_max_s: u64,
}

impl Default for Collector {
    fn default() -> Self {
        Collector {
            mqtt: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            ack_timeout_s: 20,
            keep_alive_s: 30,
            backoff_first_ms: 500,
            backoff_max_s: 60,
        }
    }
}

/// What is kept until the collector has it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Outbox {
    /// Budget of what is stored, MiB. When it is full, samples go first and the changes of one alarm
    /// are folded into its present state; no standing fault is forgotten.
    #[schemars(range(min = 1, max = 16_384))]
    pub(super) max_mib: u64,
    /// Size the file is grown to at the start, MiB.
    #[schemars(with = "u64", range(min = 1, max = 16_384))]
    pub(super) preallocate_mib: Spanned<u64>,
}

impl Default for Outbox {
    fn default() -> Self {
        Outbox { max_mib: 64, preallocate_mib: Spanned::new(0..0, 4) }
    }
}

/// Signs of life.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Heartbeat {
    /// Between two heartbeats, seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub(super) interval_s: u64,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Heartbeat { interval_s: callhome_shared::limits::HEARTBEAT_S }
    }
}

/// Something that is watched.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Device {
    /// Unique name; sources name their device by it.
    #[schemars(with = "String")]
    pub(super) name: Text,
    /// Serial number. Where it is known it identifies the device in alarms, else the name does.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) serial: Option<Text>,
    /// Vendor.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) vendor: Option<Text>,
    /// Model.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) model: Option<Text>,
    /// Firmware version.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) firmware: Option<Text>,
    /// Site; default `agent.site`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) site: Option<Text>,
    /// Customer; default `agent.customer`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) customer: Option<Text>,
    /// Service contract; default `agent.contract`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) contract: Option<Text>,
    /// Name of the device that it hangs on.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) parent: Option<Text>,
}

/// A device polled over SNMP.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Snmp {
    /// Unique name of the source.
    #[schemars(with = "String")]
    pub(super) name: Text,
    /// Name of the device.
    #[schemars(with = "String")]
    pub(super) device: Text,
    /// `host:port`; without a port, 161.
    #[schemars(with = "String")]
    pub(super) address: Text,
    /// Protocol version.
    #[schemars(with = "SnmpVersion")]
    pub(super) version: Spanned<SnmpVersion>,
    /// Version 2c: file whose first line is the community.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) community_file: Option<Text>,
    /// Version 2c: the community itself; better in a file of its own.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) community: Option<Text>,
    /// Between two polls, seconds.
    #[serde(default = "sixty")]
    #[schemars(range(min = 1, max = 86_400))]
    pub(super) interval_s: u64,
    /// For one answer, milliseconds.
    #[serde(default = "two_thousand")]
    #[schemars(range(min = 50, max = 60_000))]
    pub(super) timeout_ms: u64,
    /// Requests after the first one that is not answered.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 10))]
    pub(super) retries: u32,
    /// Rows asked for in one GETBULK.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1, max = 200))]
    pub(super) max_repetitions: u32,
    /// GETBULK; `false` for agents that stumble over it.
    #[serde(default = "yes")]
    pub(super) bulk: bool,
    /// Names of profiles. Default: those that claim the device's sysObjectID, else all generic ones.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) profiles: Option<Vec<Text>>,
    /// Version 3: user-based security.
    #[serde(default)]
    #[schemars(with = "SnmpV3")]
    pub(super) v3: Option<Spanned<SnmpV3>>,
}

/// SNMP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(super) enum SnmpVersion {
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
pub(super) struct SnmpV3 {
    /// User name.
    #[schemars(with = "String")]
    pub(super) user: Text,
    /// Authentication; without it nothing is authenticated.
    #[serde(default)]
    #[schemars(with = "SnmpAuth")]
    pub(super) auth: Option<Spanned<SnmpAuth>>,
    /// File whose first line is the authentication password, at least 8 characters.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) auth_password_file: Option<Text>,
    /// Privacy; without it nothing is encrypted. Needs `auth`.
    #[serde(default, rename = "priv")]
    #[schemars(with = "SnmpPriv")]
    pub(super) privacy: Option<Spanned<SnmpPriv>>,
    /// File whose first line is the privacy password, at least 8 characters.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) priv_password_file: Option<Text>,
    /// Context name.
    #[serde(default)]
    pub(super) context: String,
}

/// SNMPv3 authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SnmpAuth {
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
pub(super) enum SnmpPriv {
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

/// A serial console.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Serial {
    /// Unique name of the source.
    #[schemars(with = "String")]
    pub(super) name: Text,
    /// Name of the device.
    #[schemars(with = "String")]
    pub(super) device: Text,
    /// Device file, for instance `/dev/ttyUSB0` or a link in `/dev/serial/by-id/`.
    #[schemars(with = "String")]
    pub(super) port: Text,
    /// Line speed.
    #[serde(default = "baud")]
    #[schemars(range(min = 50, max = 4_000_000))]
    pub(super) baud: u32,
    /// A prompt without end of line counts as a line after this much silence, milliseconds.
    #[serde(default = "five_hundred")]
    #[schemars(range(min = 10, max = 60_000))]
    pub(super) idle_flush_ms: u64,
    /// Longer lines are cut and marked.
    #[serde(default = "serial_line")]
    #[schemars(range(min = 80, max = 1_048_576))]
    pub(super) max_line_bytes: usize,
    /// Faults in lines that come by themselves.
    #[serde(default)]
    pub(super) pattern: Vec<Pattern>,
    /// Commands sent on a schedule.
    #[serde(default)]
    pub(super) command: Vec<Command>,
    /// An alarm when the console says nothing for long.
    #[serde(default)]
    #[schemars(with = "Silence")]
    pub(super) silence: Option<Silence>,
}

/// A command sent on a schedule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Command {
    /// Unique within the console: letters, digits, `-`, `_`.
    #[schemars(with = "String")]
    pub(super) id: Text,
    /// What is sent, its end of line included.
    #[schemars(with = "String")]
    pub(super) send: Text,
    /// From one sending to the next, seconds.
    #[schemars(range(min = 1, max = 604_800))]
    pub(super) every_s: u64,
    /// The answer must be complete by then, milliseconds.
    #[serde(default = "five_thousand")]
    #[schemars(range(min = 50, max = 600_000))]
    pub(super) timeout_ms: u64,
    /// Regular expression of the line (usually the prompt) that ends the answer.
    #[schemars(with = "String")]
    pub(super) until: Text,
    /// Faults in lines of the answer. An alarm that no line of a complete later answer raises again is
    /// cleared.
    #[serde(default)]
    pub(super) pattern: Vec<Pattern>,
}

/// A log file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Logfile {
    /// Unique name of the source.
    #[schemars(with = "String")]
    pub(super) name: Text,
    /// Name of the device.
    #[schemars(with = "String")]
    pub(super) device: Text,
    /// The file.
    #[schemars(with = "String")]
    pub(super) path: Text,
    /// Where a file begins that was never seen before.
    #[serde(default = "end")]
    pub(super) from: From,
    /// Longer lines are cut and marked.
    #[serde(default = "logfile_line")]
    #[schemars(range(min = 80, max = 1_048_576))]
    pub(super) max_line_bytes: usize,
    /// Faults in its lines.
    #[serde(default)]
    pub(super) pattern: Vec<Pattern>,
    /// An alarm when nothing is written for long.
    #[serde(default)]
    #[schemars(with = "Silence")]
    pub(super) silence: Option<Silence>,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum From {
    /// At the first byte.
    Start,
    /// At the end: only what is written from now on.
    End,
}

/// A fault recognised in a line.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pattern {
    /// Unique within its source: letters, digits, `-`, `_`, `.`.
    #[schemars(with = "String")]
    pub(super) id: Text,
    /// Regular expression of the line that raises; named groups fill `${name}` in the texts.
    #[serde(rename = "match")]
    #[schemars(with = "String")]
    pub(super) raise: Text,
    /// Regular expression of the line that clears the alarm with the same resource and qualifier.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) clear: Option<Text>,
    /// Alarm type, for instance `psu-failed`.
    #[serde(rename = "type")]
    #[schemars(with = "String")]
    pub(super) kind: Text,
    /// How bad it is.
    #[schemars(with = "SeverityName")]
    pub(super) severity: Severity,
    /// What has the fault, for instance `PSU ${psu}`; empty: the device itself.
    #[serde(default = "empty")]
    #[schemars(with = "String")]
    pub(super) resource: Text,
    /// Tells apart several alarms of one type on one resource.
    #[serde(default = "empty")]
    #[schemars(with = "String")]
    pub(super) qualifier: Text,
    /// The alarm's text; empty: the line.
    #[serde(default = "empty")]
    #[schemars(with = "String")]
    pub(super) text: Text,
    /// Stable key of a knowledge article.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) fault_code: Option<Text>,
    /// What usually mends it.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) repair: Option<Text>,
}

/// An alarm when nothing comes for long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Silence {
    /// After so many seconds.
    #[schemars(with = "u64", range(min = 1, max = 31_536_000))]
    pub(super) after_s: Spanned<u64>,
    /// How bad it is.
    #[serde(default = "warning")]
    #[schemars(with = "SeverityName")]
    pub(super) severity: Severity,
}

/// How bad a fault is.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[allow(dead_code, reason = "stands for the shared Severity in the schema")]
pub(super) enum SeverityName {
    /// Service is affected and must be mended at once.
    Critical,
    /// Service is affected and must be mended soon.
    Major,
    /// No service is affected yet.
    Minor,
    /// A potential fault.
    Warning,
    /// It could not be told.
    Indeterminate,
}

/// The host the agent runs on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    /// Unique name of the source.
    #[serde(default = "host")]
    #[schemars(with = "String")]
    pub(super) name: Text,
    /// Name of the device.
    #[schemars(with = "String")]
    pub(super) device: Text,
    /// Between two readings, seconds.
    #[serde(default = "thirty")]
    #[schemars(range(min = 1, max = 86_400))]
    pub(super) interval_s: u64,
    /// Used space of a file system that is a warning, percent.
    #[serde(default = "p85")]
    #[schemars(with = "f64", range(min = 1, max = 100))]
    pub(super) disk_warning_pct: Spanned<f64>,
    /// The same, critical.
    #[serde(default = "p95")]
    #[schemars(with = "f64", range(min = 1, max = 100))]
    pub(super) disk_critical_pct: Spanned<f64>,
    /// Used memory that is a warning, percent.
    #[serde(default = "p90")]
    #[schemars(with = "f64", range(min = 1, max = 100))]
    pub(super) memory_warning_pct: Spanned<f64>,
    /// The same, critical.
    #[serde(default = "p97")]
    #[schemars(with = "f64", range(min = 1, max = 100))]
    pub(super) memory_critical_pct: Spanned<f64>,
    /// A sensor's temperature that is a warning, °C.
    #[serde(default = "p80")]
    #[schemars(with = "f64", range(min = -50, max = 200))]
    pub(super) temperature_warning_c: Spanned<f64>,
    /// The same, critical.
    #[serde(default = "p95")]
    #[schemars(with = "f64", range(min = -50, max = 200))]
    pub(super) temperature_critical_c: Spanned<f64>,
    /// Load average over one minute and per core that is a warning.
    #[serde(default = "p4")]
    #[schemars(with = "f64", range(min = 0.1, max = 1000))]
    pub(super) load_warning_per_core: Spanned<f64>,
    /// A limit must be exceeded so long before it counts, seconds.
    #[serde(default = "sixty")]
    #[schemars(range(min = 0, max = 86_400))]
    pub(super) for_s: u64,
    /// Mount points that are not watched.
    #[serde(default)]
    pub(super) ignore_mounts: Vec<String>,
}

fn text(text: &str) -> Text {
    Spanned::new(0..0, text.to_owned())
}

macro_rules! defaults {
    ($($name:ident: $type:ty = $value:expr;)*) => { $(fn $name() -> $type { $value })* };
}

defaults! {
    empty: Text = text("");
    host: Text = text("host");
    yes: bool = true;
    two: u32 = 2;
    twenty: u32 = 20;
    thirty: u64 = 30;
    sixty: u64 = 60;
    five_hundred: u64 = 500;
    two_thousand: u64 = 2000;
    five_thousand: u64 = 5000;
    baud: u32 = 9600;
    serial_line: usize = 8192;
    logfile_line: usize = 1024 * 1024;
    end: From = From::End;
    warning: Severity = Severity::Warning;
    p4: Spanned<f64> = Spanned::new(0..0, 4.0);
    p80: Spanned<f64> = Spanned::new(0..0, 80.0);
    p85: Spanned<f64> = Spanned::new(0..0, 85.0);
    p90: Spanned<f64> = Spanned::new(0..0, 90.0);
    p95: Spanned<f64> = Spanned::new(0..0, 95.0);
    p97: Spanned<f64> = Spanned::new(0..0, 97.0);
}
