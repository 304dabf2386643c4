//! What was resolved from the configuration: checked, with defaults filled in and files read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::alarm::Device;

use crate::rule::Rule;

/// All of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the outbox and the identity live.
    pub state_dir: PathBuf,
    /// Site, customer, contract that alarms carry unless a device says otherwise.
    pub site: Option<String>,
    /// See `site`.
    pub customer: Option<String>,
    /// See `site`.
    pub contract: Option<String>,
    /// Log filter and form.
    pub log: LogSettings,
    /// Unix socket for `status` and `test`, mode 0660.
    pub control_socket: PathBuf,
    /// `/healthz`, `/readyz`, `/metrics`; none if absent.
    pub health_listen: Option<SocketAddr>,
    /// SNMP profiles, where something is read by them.
    pub profiles: Option<Arc<crate::profile::Library>>,
    /// The collector.
    pub link: LinkSettings,
    /// The outbox.
    pub outbox: OutboxSettings,
    /// What is taken out of everything that leaves.
    pub privacy: crate::redact::Settings,
    /// Between heartbeats.
    pub heartbeat: Duration,
    /// What to watch.
    pub sources: Vec<SourceSettings>,
}

/// Logging.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// `info` or directives.
    pub filter: String,
    /// JSON lines instead of text.
    pub json: bool,
}

/// Where the collector is and who we are.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// The collector's MQTT endpoint: configured, or from the enrolment. `None` before it.
    pub address: Option<MqttAddress>,
    /// PEM: the CA's certificate(s).
    pub ca_file: PathBuf,
    /// PEM: our certificate chain.
    pub certificate_file: PathBuf,
    /// PEM: our key.
    pub key_file: PathBuf,
    /// First and longest delay between attempts.
    pub backoff: (Duration, Duration),
    /// Resend what is not acknowledged end to end after this long.
    pub ack_timeout: Duration,
    /// MQTT keep-alive.
    pub keep_alive: Duration,
}

/// `mqtts://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttAddress {
    /// A DNS name or an IPv4 address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl std::fmt::Display for MqttAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "mqtts://{}:{}", self.host, self.port)
    }
}

/// Limits of the outbox.
#[derive(Clone, Debug)]
pub struct OutboxSettings {
    /// Budget of stored payloads over both lanes, bytes.
    pub max_bytes: u64,
    /// Size the file is grown to at once, bytes.
    pub preallocate_bytes: u64,
}

/// One source with the device it watches and the rules for it.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// Unique name.
    pub name: Arc<str>,
    /// The device as configured; site, customer and contract filled in.
    pub device: Arc<Device>,
    /// Rules on its readings.
    pub rules: Vec<Arc<Rule>>,
    /// What to read.
    pub spec: SourceSpec,
}

/// What to read.
#[derive(Clone, Debug)]
pub enum SourceSpec {
    /// SNMP polling.
    Snmp(crate::source::snmp::SnmpSettings),
    /// A serial console.
    Serial(crate::source::serial::SerialSettings),
    /// A log file.
    Logfile(crate::source::logfile::LogfileSettings),
    /// The host itself.
    Host(crate::source::host::HostSettings),
}
