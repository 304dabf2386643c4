//! What was resolved from the configuration: checked, with defaults filled in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::enrol::authority::Lives;

use crate::api::pace::RequestLimits;
use crate::broker::places::PlaceLimits;
use crate::clock::Promise;
use crate::diagnosis::rules::Rules;
use crate::notice::{Outlet, Plan};
use zeroize::Zeroizing;

/// All of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Collector's name (part of its certificate).
    pub name: String,
    /// The support organisation's name.
    pub organisation: String,
    /// CA, certificates, database, backups.
    pub data_dir: PathBuf,
    /// Log filter (`info` or directives).
    pub log_filter: String,
    /// JSON lines instead of text.
    pub log_json: bool,
    /// Host names and addresses that agents and people use; in the server certificate.
    pub names: Vec<String>,
    /// The data store.
    pub database: Database,
    /// MQTT.
    pub mqtt: Mqtt,
    /// The MQTT address that token files name: `mqtts://host:port`.
    pub mqtt_public_address: String,
    /// API, console, enrolment.
    pub https: Https,
    /// Lives of certificates, and what comes from a PKI of yours.
    pub certificates: Certificates,
    /// Evidence bundles.
    pub bundles: Bundles,
    /// What tickets are promised that are promised nothing else.
    pub service: Promise,
    /// Which alarms become tickets.
    pub diagnosis: Rules,
    /// What the labels of Alertmanager's alerts mean.
    pub alertmanager: crate::alertmanager::Mapping,
    /// Where notices go.
    pub notices: Notices,
    /// Log-in by an OpenID provider.
    pub oidc: Option<Oidc>,
    /// The configuration file, for the record.
    pub written: Written,
    /// `/healthz`, `/readyz`, `/metrics` in plain HTTP; loopback by default.
    pub health_listen: Option<SocketAddr>,
}

/// Lives of certificates, and what comes from a PKI of yours.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// How long new ones live.
    pub lives: Lives,
    /// How long after its end an agent's certificate may still be renewed.
    pub expired_grace: Duration,
    /// How long after a newer one was used first a certificate is still let in.
    pub superseded_grace: Duration,
    /// The servers' chain and key (PEM), if they are given.
    pub server: Option<(PathBuf, PathBuf)>,
    /// A given revocation list (PEM), beside our own.
    pub crl_file: Option<PathBuf>,
}

impl Default for Certificates {
    fn default() -> Self {
        let year = Duration::from_secs(365 * 86_400);
        Certificates {
            lives: Lives::default(),
            expired_grace: year,
            superseded_grace: Duration::from_secs(86_400),
            server: None,
            crl_file: None,
        }
    }
}

/// Evidence bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundles {
    /// Where their files are.
    pub dir: PathBuf,
    /// Other collectors of the same database use the same directory.
    pub shared: bool,
    /// Largest bundle, bytes.
    pub max_bytes: u64,
    /// All of one agent, bytes.
    pub agent_bytes: u64,
    /// All together, bytes.
    pub total_bytes: u64,
    /// What stays free on their file system, bytes.
    pub keep_free_bytes: u64,
    /// Open uploads of one agent.
    pub open_per_agent: u32,
    /// Uploads that nobody goes on with are let go after this time.
    pub idle: Duration,
    /// Bundles are removed after this time.
    pub keep: Duration,
    /// Bytes a second of one agent.
    pub bytes_per_second: u64,
}

impl Default for Bundles {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Bundles {
            dir: PathBuf::from("/var/lib/callhome-collector/bundles"),
            shared: false,
            max_bytes: 256 * MIB,
            agent_bytes: 1024 * MIB,
            total_bytes: 20_480 * MIB,
            keep_free_bytes: 1024 * MIB,
            open_per_agent: 4,
            idle: Duration::from_secs(48 * 3600),
            keep: Duration::from_secs(365 * 86_400),
            bytes_per_second: 8 * MIB,
        }
    }
}

/// A secret: it is in no log.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes it.
    pub fn new(text: String) -> Self {
        Secret(Zeroizing::new(text))
    }

    /// Shows it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// How the line to a mail server is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// TLS from the beginning.
    Wrapped,
    /// STARTTLS, or nothing is sent.
    StartTls,
    /// No TLS.
    Plain,
}

/// A mail server.
#[derive(Clone, Debug)]
pub struct MailServer {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the line is kept.
    pub tls: MailTls,
    /// Address that mail is from.
    pub from: String,
    /// User and password.
    pub login: Option<(String, Secret)>,
    /// PEM of a CA beside the system's.
    pub ca: Option<String>,
}

/// A receiver with its address.
#[derive(Clone, Debug)]
pub struct OutletAddress {
    /// What decides what it is told.
    pub outlet: Outlet,
    /// Where it is; a robot's address is a secret.
    pub url: Secret,
    /// With what messages are signed.
    pub secret: Option<Secret>,
    /// Messages a minute.
    pub per_minute: usize,
}

/// Where notices go.
#[derive(Clone, Debug, Default)]
pub struct Notices {
    /// Mail.
    pub mail: Option<MailServer>,
    /// The receivers.
    pub outlets: Vec<OutletAddress>,
    /// Where the console is: `https://host:port`.
    pub base: String,
}

impl Notices {
    /// What decides what is written.
    pub fn plan(&self) -> Plan {
        let outlets = self.outlets.iter().map(|one| one.outlet.clone()).collect();
        Plan { mail: self.mail.is_some(), outlets }
    }
}

/// Log-in by an OpenID provider.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// The provider, as it calls itself.
    pub issuer: String,
    /// This collector's id there.
    pub client_id: String,
    /// Its secret there, if it has one.
    pub secret: Option<Secret>,
    /// What the button says.
    pub label: Option<String>,
    /// The claim with groups or roles.
    pub role_claim: String,
    /// Which role a value of it gives.
    pub roles: BTreeMap<String, String>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// PEM of a CA beside the system's.
    pub ca: Option<String>,
    /// Only administrators log in by password.
    pub administrators_only: bool,
    /// Where the provider sends browsers back to.
    pub redirect: String,
}

/// A configuration file as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Which file.
    pub file: String,
    /// SHA-256 of its content, hex.
    pub sha256: String,
}

/// Where the data are.
#[derive(Clone, Debug)]
pub enum Database {
    /// `<data_dir>/callhome.db`.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// A PostgreSQL server.
    Postgres {
        /// `postgres://user@host/db`, password filled in from its file.
        url: String,
    },
}

/// Which broker carries the messages.
#[derive(Clone, Debug)]
pub enum Mqtt {
    /// The embedded one.
    Embedded {
        /// Where it listens (TLS, client certificates).
        listen: SocketAddr,
        /// What it keeps within.
        limits: crate::broker::Limits,
    },
    /// An external MQTT 5 broker, reached with the collector's certificate.
    External {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// Keep its rights with mosquitto's dynamic security plugin.
        provision: bool,
    },
}

/// The HTTPS server.
#[derive(Clone, Debug)]
pub struct Https {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The address people and agents use: `https://host:port`.
    pub public_url: String,
    /// Connections.
    pub places: PlaceLimits,
    /// Requests of the API.
    pub requests: RequestLimits,
}
