//! What the written values mean, alone and together. All problems are told at once.

use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use callhome_shared::config_error::{Problem, Problems, did_you_mean};
use callhome_shared::heartbeat::hex;
use callhome_shared::id::AgentId;
use callhome_shared::limits::MAX_PACKET_BYTES;
use sha2::{Digest as _, Sha256};
use toml::Spanned;

use super::address;
use super::written;
use crate::api::pace::RequestLimits;
use crate::broker::Limits;
use crate::broker::places::PlaceLimits;
use crate::settings::{Database, Https, Mqtt, Settings};

pub(super) type Text = Option<Spanned<String>>;

/// Collects the problems of one file.
pub(super) struct Checker<'a> {
    file: &'a str,
    text: &'a str,
    /// Reads the secret files that the configuration names.
    read: &'a dyn Fn(&Path) -> std::io::Result<String>,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(
        file: &'a str,
        text: &'a str,
        read: &'a dyn Fn(&Path) -> std::io::Result<String>,
    ) -> Self {
        Checker { file, text, read, problems: Vec::new() }
    }

    /// All of it, or all that is wrong with it.
    pub(super) fn settings(mut self, file: &written::File) -> Result<Settings, Problems> {
        let collector = &file.collector;
        let name = self.name(&collector.name);
        let data_dir = self.path(&collector.data_dir, "/var/lib/callhome-collector");
        let names = self.names(collector);
        let first_name = names.first().cloned().unwrap_or_default();
        let database = self.database(&file.database, &data_dir);
        let (mqtt, mqtt_public_address) = self.mqtt(&file.mqtt, &first_name, &name);
        let https = self.https(&file.https, &first_name);
        let health_listen = match &collector.health_listen {
            Some(text) if text.get_ref().is_empty() => None,
            text => Some(self.listen(text, "127.0.0.1:9464")),
        };
        self.different_ports(file, &mqtt, &https, health_listen);
        let certificates = self.certificates(&file.certificates);
        let bundles = self.bundles(&file.bundle, &data_dir);
        let settings = Settings {
            name,
            organisation: self.organisation(&collector.organisation),
            data_dir,
            log_filter: or(&collector.log, "info"),
            log_json: collector.log_json.unwrap_or(false),
            names,
            database,
            mqtt,
            mqtt_public_address,
            https,
            health_listen,
            certificates,
            bundles,
            written: crate::settings::Written {
                file: self.file.to_owned(),
                sha256: hex(&Sha256::digest(self.text)),
            },
        };
        if self.problems.is_empty() {
            Ok(settings)
        } else {
            self.problems.sort_by_key(|p| (p.line, p.column));
            Err(Problems(self.problems))
        }
    }

    pub(super) fn problem(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> &mut Problem {
        let at = self.problems.len();
        self.problems.push(Problem::at(self.file, self.text, span, message));
        &mut self.problems[at]
    }

    fn name(&mut self, written: &Text) -> String {
        if let Some(name) = written
            && AgentId::new(name.get_ref()).is_err()
        {
            self.problem(
                name.span(),
                format!(
                    "collector.name: expected 1 to 64 letters, digits or '-', found {:?}",
                    name.get_ref()
                ),
            );
        }
        or(written, "main")
    }

    fn organisation(&mut self, written: &Text) -> String {
        if let Some(text) = written
            && !(1..=64).contains(&text.get_ref().chars().count())
        {
            let message = "collector.organisation: expected 1 to 64 characters";
            self.problem(text.span(), message);
        }
        or(written, "callhome")
    }

    fn path(&mut self, written: &Text, default: &str) -> PathBuf {
        if let Some(path) = written
            && path.get_ref().is_empty()
        {
            self.problem(path.span(), "expected a path, found an empty text");
        }
        PathBuf::from(or(written, default))
    }

    fn names(&mut self, collector: &written::Collector) -> Vec<String> {
        let Some(written) = &collector.names else {
            return vec!["localhost".into(), "127.0.0.1".into()];
        };
        if written.get_ref().is_empty() {
            let message = "collector.names: expected at least one host name or address";
            self.problem(written.span(), message);
        }
        let mut names: Vec<String> = Vec::new();
        for name in written.get_ref() {
            if !address::is_host(name.get_ref()) {
                let found = name.get_ref();
                let message =
                    format!("collector.names: expected a host name or IP address, found {found:?}");
                self.problem(name.span(), message);
            }
            if !names.contains(name.get_ref()) {
                names.push(name.get_ref().clone());
            }
        }
        names
    }

    fn database(&mut self, written: &written::Database, data_dir: &Path) -> Database {
        let sqlite = Database::Sqlite { path: data_dir.join("callhome.db") };
        let Some(url) = written.url.as_ref().filter(|u| u.get_ref() != "sqlite") else {
            if let Some(file) = &written.password_file {
                let message = "database.password_file: SQLite has no password";
                self.problem(file.span(), message).hint = Some(
                    "set database.url to postgres://user@host/database or leave it out".into(),
                );
            }
            return sqlite;
        };
        if address::has_password(url.get_ref()) {
            let message = "database.url: a password does not belong into the configuration";
            self.problem(url.span(), message).hint = Some(
                "write it into a file of its own and name that in database.password_file".into(),
            );
            return sqlite;
        }
        let password = written.password_file.as_ref().and_then(|file| self.secret(file));
        match address::postgres_url(url.get_ref(), password.as_deref()) {
            Some(url) => Database::Postgres { url },
            None => {
                // The URL has no place for a password, or is none.
                let message =
                    "database.url: expected \"sqlite\" or \"postgres://user@host/database\"";
                let hint = did_you_mean(url.get_ref(), ["sqlite"]);
                self.problem(url.span(), message).hint = hint;
                sqlite
            }
        }
    }

    fn secret(&mut self, file: &Spanned<String>) -> Option<String> {
        match (self.read)(Path::new(file.get_ref())) {
            Ok(text) => match text.lines().next().filter(|line| !line.is_empty()) {
                Some(line) => Some(line.to_owned()),
                None => {
                    self.problem(file.span(), "the file's first line is empty");
                    None
                }
            },
            Err(e) => {
                self.problem(file.span(), format!("the file cannot be read: {e}"));
                None
            }
        }
    }

    fn mqtt(&mut self, written: &written::Mqtt, first_name: &str, name: &str) -> (Mqtt, String) {
        let mode = or(&written.mode, "embedded");
        if mode == "external" {
            return self.external(written, name);
        }
        if let Some(mode) = written.mode.as_ref().filter(|m| m.get_ref() != "embedded") {
            let found = mode.get_ref();
            let message =
                format!("mqtt.mode: expected \"embedded\" or \"external\", found {found:?}");
            self.problem(mode.span(), message).hint = did_you_mean(found, ["embedded", "external"]);
        } else if let Some(address) = &written.address {
            let message = "mqtt.address: only with mode = \"external\"";
            self.problem(address.span(), message);
        } else if let Some(provision) = &written.provision {
            let message = "mqtt.provision: only with mode = \"external\"";
            self.problem(provision.span(), message);
        }
        let listen = self.listen(&written.listen, "0.0.0.0:8883");
        let mqtt = Mqtt::Embedded { listen, limits: self.broker_limits(written) };
        let default = address::url("mqtts", first_name, listen.port());
        (mqtt, self.public(&written.public_address, "mqtts", default))
    }

    fn external(&mut self, written: &written::Mqtt, name: &str) -> (Mqtt, String) {
        let only_embedded = [
            ("listen", written.listen.as_ref().map(Spanned::span)),
            ("max_connections", written.max_connections.as_ref().map(Spanned::span)),
            ("max_rate_per_agent", written.max_rate_per_agent.as_ref().map(Spanned::span)),
            ("max_bytes_per_agent", written.max_bytes_per_agent.as_ref().map(Spanned::span)),
            (
                "max_connections_per_source",
                written.max_connections_per_source.as_ref().map(Spanned::span),
            ),
            (
                "max_connects_per_source",
                written.max_connects_per_source.as_ref().map(Spanned::span),
            ),
        ];
        for (key, span) in only_embedded {
            if let Some(span) = span {
                self.problem(span, format!("mqtt.{key}: only with mode = \"embedded\""));
            }
        }
        let found = written.address.as_ref().map(|a| address::host_port(a.get_ref(), "mqtts"));
        let (host, port) = match found {
            Some(Some(found)) => found,
            Some(None) => {
                let span = written.address.as_ref().map(Spanned::span).unwrap_or_default();
                self.problem(span, "mqtt.address: expected mqtts://host:port");
                (String::new(), 0)
            }
            None => {
                let span = written.mode.as_ref().map(Spanned::span).unwrap_or_default();
                self.problem(
                    span,
                    "mode = \"external\" needs mqtt.address = \"mqtts://host:port\"",
                );
                (String::new(), 0)
            }
        };
        let default = address::url("mqtts", &host, port);
        let provision = self.provision(written, name);
        let public = self.public(&written.public_address, "mqtts", default);
        (Mqtt::External { host, port, provision }, public)
    }

    fn provision(&mut self, written: &written::Mqtt, name: &str) -> bool {
        let Some(provision) = &written.provision else { return false };
        match provision.get_ref().as_str() {
            "none" => false,
            // X.520 allows 64 characters in the administrator's name, `<name>.admin`.
            "dynamic-security" if name.len() > 58 => {
                let message = "mqtt.provision: needs a collector.name of at most 58 characters";
                self.problem(provision.span(), message);
                false
            }
            "dynamic-security" => true,
            found => {
                let known = ["none", "dynamic-security"];
                let hint = did_you_mean(found, known);
                let message = format!(
                    "mqtt.provision: expected \"none\" or \"dynamic-security\", found {found:?}"
                );
                self.problem(provision.span(), message).hint = hint;
                false
            }
        }
    }

    fn https(&mut self, written: &written::Https, first_name: &str) -> Https {
        let listen = self.listen(&written.listen, "0.0.0.0:8443");
        let default = address::url("https", first_name, listen.port());
        let numbers = [
            &written.max_connections,
            &written.max_connections_per_source,
            &written.max_connects_per_source,
        ];
        Https {
            listen,
            public_url: self.public(&written.public_url, "https", default),
            places: self.places("https", numbers, 1024),
            requests: self.requests(written),
        }
    }

    fn requests(&mut self, written: &written::Https) -> RequestLimits {
        let (range, usual) = (1..=1_000_000, RequestLimits::default());
        let (user, source) = (&written.max_requests_per_user, &written.max_requests_per_source);
        let per_user =
            self.number(user, "https.max_requests_per_user", usual.per_user, range.clone());
        let per_source =
            self.number(source, "https.max_requests_per_source", usual.per_source, range);
        RequestLimits { per_user, per_source }
    }

    fn broker_limits(&mut self, written: &written::Mqtt) -> Limits {
        let numbers = [
            &written.max_connections,
            &written.max_connections_per_source,
            &written.max_connects_per_source,
        ];
        let places = self.places("mqtt", numbers, 1000);
        let rate = &written.max_rate_per_agent;
        let bytes = &written.max_bytes_per_agent;
        Limits {
            places,
            max_rate_per_agent: self.number(rate, "mqtt.max_rate_per_agent", 200, 1..=1_000_000),
            // Less would hold a connection back for longer than its keep-alive.
            max_bytes_per_agent: self.number(
                bytes,
                "mqtt.max_bytes_per_agent",
                1024 * 1024,
                MAX_PACKET_BYTES.into()..=1_000_000_000,
            ),
        }
    }

    /// `max_connections`, `max_connections_per_source` and `max_connects_per_source` of a table.
    fn places(
        &mut self,
        table: &str,
        [in_all, per_source, pace]: [&Option<Spanned<i64>>; 3],
        default: usize,
    ) -> PlaceLimits {
        const ANY: RangeInclusive<i64> = 1..=1_000_000;
        let key = |name: &str| format!("{table}.{name}");
        let in_all = self.number(in_all, &key("max_connections"), default, ANY);
        let quarter = (in_all / 4).max(8);
        let per_source = self.number(per_source, &key("max_connections_per_source"), quarter, ANY);
        let pace = self.number(pace, &key("max_connects_per_source"), 40, ANY);
        PlaceLimits { in_all, per_source, pace_per_source: pace }
    }

    fn public(&mut self, written: &Text, scheme: &str, default: String) -> String {
        let Some(text) = written else { return default };
        match address::host_port(text.get_ref(), scheme) {
            Some((host, port)) => address::url(scheme, &host, port),
            None => {
                let found = text.get_ref();
                let message = format!("expected {scheme}://host:port, found {found:?}");
                self.problem(text.span(), message);
                default
            }
        }
    }

    fn listen(&mut self, written: &Text, default: &str) -> SocketAddr {
        let text = or(written, default);
        match text.parse() {
            Ok(address) => address,
            Err(_) => {
                let span = written.as_ref().map(Spanned::span).unwrap_or_default();
                let message =
                    format!("expected an IP address and port such as {default}, found {text:?}");
                self.problem(span, message);
                SocketAddr::from(([127, 0, 0, 1], 0))
            }
        }
    }

    pub(super) fn number<T: TryFrom<i64>>(
        &mut self,
        written: &Option<Spanned<i64>>,
        key: &str,
        default: T,
        range: RangeInclusive<i64>,
    ) -> T {
        let Some(number) = written else { return default };
        match T::try_from(*number.get_ref()) {
            Ok(value) if range.contains(number.get_ref()) => value,
            _ => {
                let message = format!(
                    "{key}: expected {} to {}, found {}",
                    range.start(),
                    range.end(),
                    number.get_ref()
                );
                self.problem(number.span(), message);
                default
            }
        }
    }

    fn different_ports(
        &mut self,
        file: &written::File,
        mqtt: &Mqtt,
        https: &Https,
        health: Option<SocketAddr>,
    ) {
        let span = |text: &Text| text.as_ref().map(Spanned::span);
        let mut taken: Vec<(&str, SocketAddr)> = vec![("https.listen", https.listen)];
        let mqtt = match mqtt {
            Mqtt::Embedded { listen, .. } => Some(*listen),
            Mqtt::External { .. } => None,
        };
        let others = [
            ("mqtt.listen", mqtt, span(&file.mqtt.listen)),
            ("collector.health_listen", health, span(&file.collector.health_listen)),
        ];
        for (key, address, span) in others {
            let Some(address) = address else { continue };
            let clash = taken.iter().find(|(_, t)| overlap(*t, address)).map(|(name, _)| *name);
            if let Some(other) = clash {
                let place = span.or_else(|| file.https.listen.as_ref().map(Spanned::span));
                self.problem(
                    place.unwrap_or_default(),
                    format!("{key} and {other} are the same address {address}"),
                );
            }
            taken.push((key, address));
        }
    }
}

/// Whether both cannot be listened on at the same time. Port 0 is any free port.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.port() != 0
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

fn or(written: &Text, default: &str) -> String {
    written.as_ref().map_or_else(|| default.to_owned(), |t| t.get_ref().clone())
}
