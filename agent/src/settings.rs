//! What was resolved from the configuration: checked, with defaults filled in and files read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::alarm::Device;
use zeroize::Zeroizing;

use crate::enrol::ending::Limits;
use crate::rule::Rule;
use crate::source::SourceKind;

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
    /// The record of what left.
    pub ledger: crate::ledger::Settings,
    /// Evidence bundles.
    pub bundle: crate::bundle::Settings,
    /// Between heartbeats.
    pub heartbeat: Duration,
    /// Between two probes of a source's path; `None` = they are turned off.
    pub probe: Option<Duration>,
    /// Directory of the operator's own profiles.
    pub profiles_dir: Option<PathBuf>,
    /// What it was made from: two with the same say the same.
    pub read_from: Digest,
    /// The configured devices, site and customer filled in.
    pub devices: Vec<Arc<Device>>,
    /// When alarms are held back.
    pub windows: Vec<crate::hold::Window>,
    /// What to watch.
    pub sources: Vec<SourceSettings>,
}

/// SHA-256 of everything that a configuration was made from.
pub type Digest = [u8; 32];

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
    /// The ways to the collector, the preferred first: configured, or from the enrolment. Empty
    /// before it.
    pub roads: Vec<Arc<Road>>,
    /// The proxy of roads that name none, and of the enrolment.
    pub proxy: Option<Arc<Proxy>>,
    /// Failed attempts in a row on one road before the next is tried.
    pub tries: u32,
    /// While a lower road is in use: between two looks whether a preferred one works again.
    pub failback: Duration,
    /// Directory for the sockets between dialer and MQTT client; made with mode 0700.
    pub socket_dir: PathBuf,
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
    /// When the end of our certificate is an alarm.
    pub ending: Limits,
}

/// One way to the collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Road {
    /// What is spoken.
    pub kind: RoadKind,
    /// A DNS name or an IP address (IPv6 without brackets).
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// WebSocket: path of the request. Else empty.
    pub path: String,
    /// HTTP proxy to go through.
    pub proxy: Option<Arc<Proxy>>,
}

/// What is spoken on a road.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoadKind {
    /// MQTT 5 over TLS, `mqtts://`.
    Mqtt,
    /// MQTT 5 in a secure WebSocket, `wss://`.
    WebSocket,
    /// CloudEvents batches by HTTPS POST, `https://`.
    Post,
}

impl RoadKind {
    /// A stable word: `mqtt`, `wss` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            RoadKind::Mqtt => "mqtt",
            RoadKind::WebSocket => "wss",
            RoadKind::Post => "https",
        }
    }
}

/// An HTTP proxy that understands CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// A DNS name or an IP address (IPv6 without brackets).
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User and password for HTTP Basic.
    pub login: Option<ProxyLogin>,
}

/// A log-in at a proxy. Its `Debug` form keeps the password to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyLogin {
    /// User.
    pub user: String,
    /// Password.
    pub password: Zeroizing<String>,
}

impl std::fmt::Debug for ProxyLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxyLogin").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Road {
    /// The URL, without the proxy.
    pub fn url(&self) -> String {
        let scheme = match self.kind {
            RoadKind::Mqtt => "mqtts",
            RoadKind::WebSocket => "wss",
            RoadKind::Post => "https",
        };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }

    /// `host:port`, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

impl std::fmt::Display for Road {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url())?;
        match &self.proxy {
            Some(proxy) => write!(f, " via {proxy}"),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}", authority(&self.host, self.port))
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
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
    /// Syslog messages.
    Syslog(Box<crate::source::syslog::SyslogSettings>),
    /// Traps and informs.
    Trap(Box<crate::source::trap::TrapSettings>),
}

impl SourceSettings {
    /// Whether the source that runs by these reads what `next` wants: then it goes on as it is. Its rules are
    /// not its own affair, and the rest [`SourceSettings::take_over`] tells it.
    pub fn is_like(&self, next: &Self) -> bool {
        self.name == next.name && self.device == next.device && self.spec.is_like(&next.spec)
    }

    /// Tells the source that runs by these what it can learn of `next` while it runs: whose an address is.
    pub fn take_over(&self, next: &Self) {
        match (&self.spec, &next.spec) {
            (SourceSpec::Syslog(old), SourceSpec::Syslog(next)) => {
                old.origins.take_over(&next.origins);
            }
            (SourceSpec::Trap(old), SourceSpec::Trap(next)) => {
                old.origins.take_over(&next.origins);
            }
            _ => {}
        }
    }
}

impl SourceSpec {
    fn is_like(&self, next: &Self) -> bool {
        match (self, next) {
            (SourceSpec::Snmp(old), SourceSpec::Snmp(next)) => old.is_like(next),
            (SourceSpec::Serial(old), SourceSpec::Serial(next)) => old == next,
            (SourceSpec::Logfile(old), SourceSpec::Logfile(next)) => old == next,
            (SourceSpec::Host(old), SourceSpec::Host(next)) => old == next,
            (SourceSpec::Syslog(old), SourceSpec::Syslog(next)) => old.is_like(next),
            (SourceSpec::Trap(old), SourceSpec::Trap(next)) => old.is_like(next),
            _ => false,
        }
    }

    /// The kind of source that reads it.
    pub fn kind(&self) -> SourceKind {
        match self {
            SourceSpec::Snmp(_) => SourceKind::Snmp,
            SourceSpec::Serial(_) => SourceKind::Serial,
            SourceSpec::Logfile(_) => SourceKind::Logfile,
            SourceSpec::Host(_) => SourceKind::Host,
            SourceSpec::Syslog(_) => SourceKind::Syslog,
            SourceSpec::Trap(_) => SourceKind::Trap,
        }
    }
}
