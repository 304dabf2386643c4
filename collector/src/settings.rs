//! What was resolved from the configuration: checked, with defaults filled in.

use std::net::SocketAddr;
use std::path::PathBuf;

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
    /// `/healthz`, `/readyz`, `/metrics` in plain HTTP; loopback by default.
    pub health_listen: Option<SocketAddr>,
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
        /// Connections at the same time.
        max_connections: usize,
        /// Publishes per second and agent.
        max_rate_per_agent: u32,
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
}
