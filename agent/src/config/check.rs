//! What the written values mean, alone and together. Everything that is wrong is told at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::alarm::Device;
use callhome_shared::config_error::{Problem, did_you_mean};
use callhome_shared::limits::MAX_ID_BYTES;
use toml::Spanned;
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

use super::ReadFile;
use super::written::{self, Text};
use crate::settings::{LogSettings, OutboxSettings, Settings};

pub(super) const MIB: u64 = 1024 * 1024;

/// Collects the problems of one file.
pub(super) struct Checker<'a> {
    file: &'a str,
    text: &'a str,
    read: ReadFile<'a>,
    /// Configured devices by name, and each name's place.
    pub(super) devices: BTreeMap<String, Arc<Device>>,
    /// Names of sources so far.
    pub(super) source_names: Vec<String>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(file: &'a str, text: &'a str, read: ReadFile<'a>) -> Self {
        Checker {
            file,
            text,
            read,
            devices: BTreeMap::new(),
            source_names: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// All of it, or all that is wrong with it.
    pub(super) fn settings(mut self, file: written::File) -> Result<Settings, Vec<Problem>> {
        let agent = &file.agent;
        let state_dir = self.path(&agent.state_dir, "agent.state_dir");
        let control_socket = self.path(&agent.control_socket, "agent.control_socket");
        if control_socket.as_os_str().len() > 107 {
            let message = "agent.control_socket: a socket's path has at most 107 bytes";
            self.problem(agent.control_socket.span(), message);
        }
        let health_listen = self.health_listen(&agent.health_listen);
        let profiles_dir =
            agent.profiles_dir.as_ref().map(|dir| self.path(dir, "agent.profiles_dir"));
        self.log(&agent.log);
        let link = self.link(&file.collector, &state_dir);
        let outbox = self.outbox(&file.outbox);
        self.devices(&file);
        let mut privacy = self.privacy(&file.privacy);
        let profiles = self.library(&file, profiles_dir.as_deref());
        let sources = self.sources(&file, &state_dir, profiles.as_ref());
        privacy.note_sources(sources.iter().map(|source| &*source.name));
        let settings = Settings {
            site: self.label(&agent.site, "agent.site"),
            customer: self.label(&agent.customer, "agent.customer"),
            contract: self.label(&agent.contract, "agent.contract"),
            log: LogSettings { filter: agent.log.clone(), json: agent.log_json },
            control_socket,
            health_listen,
            bundle: self.bundle(&file.bundle, &link, &state_dir),
            link,
            outbox,
            privacy,
            ledger: crate::ledger::Settings {
                max_bytes: file.ledger.max_mib * MIB,
                keep_payloads_bytes: file.ledger.keep_payloads_bytes,
            },
            heartbeat: Duration::from_secs(file.heartbeat.interval_s),
            probe: Some(Duration::from_secs(file.probe.interval_s)).filter(|d| !d.is_zero()),
            read_from: [0; 32],
            profiles_dir: profiles_dir.clone(),
            devices: self.devices.values().cloned().collect(),
            windows: self.maintenance(&file.maintenance),
            sources,
            profiles,
            state_dir,
        };
        if self.problems.is_empty() { Ok(settings) } else { Err(self.problems) }
    }

    /// Notes a problem.
    pub(super) fn problem(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.problem_with(span, message, None);
    }

    /// Notes a problem with a hint.
    pub(super) fn problem_with(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let problem = Problem::at(self.file, self.text, span, message).hint(hint);
        self.problems.push(problem);
    }

    /// An absolute path.
    pub(super) fn path(&mut self, text: &Text, key: &str) -> PathBuf {
        let path = PathBuf::from(text.get_ref());
        if !path.is_absolute() {
            let message = format!("{key}: expected an absolute path, found {:?}", text.get_ref());
            self.problem(text.span(), message);
        }
        path
    }

    /// A name or another short text that alarms carry.
    pub(super) fn word(&mut self, text: &Text, key: &str) -> String {
        let found = text.get_ref();
        if found.is_empty() || found.len() > MAX_ID_BYTES || found.chars().any(char::is_control) {
            let message = format!(
                "{key}: expected 1 to {MAX_ID_BYTES} bytes without control characters, found {:?}",
                found.chars().take(40).collect::<String>()
            );
            self.problem(text.span(), message);
        }
        found.clone()
    }

    fn label(&mut self, text: &Option<Text>, key: &str) -> Option<String> {
        text.as_ref().map(|text| self.word(text, key))
    }

    /// First line of a secret file. A relative path is looked for among systemd's credentials first,
    /// then beside the configuration.
    pub(super) fn secret(&mut self, file: &Text, key: &str) -> Option<Zeroizing<String>> {
        let read = self.secret_places(file.get_ref()).into_iter().map(|path| (self.read)(&path));
        let mut last = None;
        for text in read {
            match text {
                Ok(text) => {
                    let text = Zeroizing::new(text);
                    let line = text.lines().next().unwrap_or_default();
                    if line.is_empty() {
                        let message = format!("{key}: the first line of the file is empty");
                        self.problem(file.span(), message);
                        return None;
                    }
                    return Some(Zeroizing::new(line.to_owned()));
                }
                Err(error) => last = Some(error),
            }
        }
        let why = last.map_or_else(|| "no such file".to_owned(), |e| e.to_string());
        self.problem(file.span(), format!("{key}: {:?} cannot be read: {why}", file.get_ref()));
        None
    }

    fn secret_places(&self, written: &str) -> Vec<PathBuf> {
        let path = Path::new(written);
        if path.is_absolute() {
            return vec![path.to_owned()];
        }
        let beside = Path::new(self.file).parent().map(|dir| dir.join(path));
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
        credentials.map(|dir| PathBuf::from(dir).join(path)).into_iter().chain(beside).collect()
    }

    fn health_listen(&mut self, text: &Text) -> Option<SocketAddr> {
        if text.get_ref().is_empty() {
            return None;
        }
        let address = text.get_ref().parse();
        if address.is_err() {
            let message = format!(
                "agent.health_listen: expected an IP address and port such as 127.0.0.1:9465, or \"\", found {:?}",
                text.get_ref()
            );
            self.problem(text.span(), message);
        }
        address.ok()
    }

    fn log(&mut self, filter: &str) {
        if let Err(e) = EnvFilter::try_new(filter) {
            let at = self.text.find(filter).unwrap_or_default();
            self.problem(at..at, format!("agent.log: {e}"));
        }
    }

    /// The text of a file that need not be there.
    pub(super) fn read_file(&self, path: &Path) -> Option<String> {
        (self.read)(path).ok()
    }

    fn outbox(&mut self, written: &written::Outbox) -> OutboxSettings {
        let preallocate = *written.preallocate_mib.get_ref();
        if preallocate > written.max_mib && !written.preallocate_mib.span().is_empty() {
            let message = format!(
                "outbox.preallocate_mib: expected at most outbox.max_mib ({}), found {preallocate}",
                written.max_mib,
            );
            self.problem(written.preallocate_mib.span(), message);
        }
        OutboxSettings {
            max_bytes: written.max_mib * MIB,
            preallocate_bytes: preallocate.min(written.max_mib) * MIB,
        }
    }

    fn devices(&mut self, file: &written::File) {
        let agent = &file.agent;
        let mut ids: BTreeMap<String, String> = BTreeMap::new();
        for (i, written) in file.device.iter().enumerate() {
            let at = format!("device[{}]", i + 1);
            let name = self.word(&written.name, &format!("{at}.name"));
            let serial = self.label(&written.serial, &format!("{at}.serial"));
            let id = serial.clone().unwrap_or_else(|| name.clone());
            let or = |own: &Option<Text>, all: &Option<Text>| {
                own.as_ref().or(all.as_ref()).map(|text| text.get_ref().clone())
            };
            for (key, text) in [("site", &written.site), ("customer", &written.customer)] {
                self.label(text, &format!("{at}.{key}"));
            }
            let (parent, parent_resource) = self.parent(&written.parent, &format!("{at}.parent"));
            let device = Device {
                vendor: self.label(&written.vendor, &format!("{at}.vendor")),
                model: self.label(&written.model, &format!("{at}.model")),
                firmware: self.label(&written.firmware, &format!("{at}.firmware")),
                parent,
                parent_resource,
                site: or(&written.site, &agent.site),
                customer: or(&written.customer, &agent.customer),
                contract: or(&written.contract, &agent.contract),
                id: id.clone(),
                name: name.clone(),
                serial,
            };
            if let Some(other) = ids.insert(id.clone(), name.clone()) {
                let span = written.serial.as_ref().unwrap_or(&written.name).span();
                let message = format!("{at}: {id:?} is taken by device {other:?} already");
                self.problem(span, message);
            } else if self.devices.contains_key(&name) {
                let message = format!("{at}.name: {name:?} is taken already");
                self.problem(written.name.span(), message);
            }
            self.devices.insert(name, Arc::new(device));
        }
    }

    /// The device that one hangs on, and which part of it.
    fn parent(
        &mut self,
        written: &Option<Spanned<toml::Value>>,
        key: &str,
    ) -> (Option<String>, Option<String>) {
        let Some(written) = written else { return (None, None) };
        let span = written.span();
        // Of which types they are the shape has said.
        let mut text = |value: Option<&toml::Value>, key: &str| {
            let found = value.and_then(toml::Value::as_str)?.to_owned();
            Some(self.word(&Text::new(span.clone(), found), key))
        };
        match written.get_ref() {
            toml::Value::Table(part) => (
                text(part.get("device"), &format!("{key}.device")),
                text(part.get("resource"), &format!("{key}.resource")),
            ),
            name => (text(Some(name), key), None),
        }
    }

    /// The device that a source names.
    pub(super) fn device(&mut self, name: &Text, key: &str) -> Arc<Device> {
        if let Some(device) = self.devices.get(name.get_ref()) {
            return device.clone();
        }
        let known: Vec<String> = self.devices.keys().cloned().collect();
        let hint = did_you_mean(name.get_ref(), known.iter().map(String::as_str)).or_else(|| {
            let add = format!("add [[device]] with name = {:?}", name.get_ref());
            Some(if known.is_empty() {
                add
            } else {
                format!("known: {}; or {add}", known.join(", "))
            })
        });
        let message = format!("{key}: there is no device {:?}", name.get_ref());
        self.problem_with(name.span(), message, hint);
        Arc::default()
    }
}
