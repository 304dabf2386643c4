//! What the written values mean, alone and together. All problems are told at once.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use callhome_shared::config_error::{Problem, Problems, did_you_mean};
use callhome_shared::heartbeat::hex;
use callhome_shared::id::AgentId;
use sha2::{Digest as _, Sha256};
use toml::Spanned;

use super::address;
use super::written;
use crate::settings::{Database, Settings};

pub(super) type Text = Option<Spanned<String>>;

/// Collects the problems of one file.
pub(super) struct Checker<'a> {
    file: &'a str,
    text: &'a str,
    /// Reads the secret files that the configuration names.
    pub(super) read: &'a dyn Fn(&Path) -> std::io::Result<String>,
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
        let service = self.service(&file.service);
        let diagnosis = self.diagnosis(&file.diagnosis);
        let alertmanager = self.alertmanager(&file.alertmanager);
        let notices = self.notices(&file.notice, &https.public_url);
        let oidc = self.oidc(&file.oidc, &https.public_url);
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
            service,
            diagnosis,
            alertmanager,
            notices,
            oidc,
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

    pub(super) fn secret(&mut self, file: &Spanned<String>) -> Option<String> {
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
}

pub(super) fn or(written: &Text, default: &str) -> String {
    written.as_ref().map_or_else(|| default.to_owned(), |t| t.get_ref().clone())
}
