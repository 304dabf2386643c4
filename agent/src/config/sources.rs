//! Sources: each with its device, what to read and its rules.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use callhome_shared::alarm::Device;

use super::check::Checker;
use super::written::{self, Text};
use crate::profile::Library;
use crate::rule::Rule;
use crate::settings::{SourceSettings, SourceSpec};
use crate::source::host::{HostLimits, HostSettings};
use crate::source::logfile::{LogfileSettings, StartFrom};
use crate::source::serial::{SerialCommand, SerialSettings};
use crate::source::snmp::Plans;

/// Readings of lines that come by themselves.
const LINE: &str = "line";

impl Checker<'_> {
    pub(super) fn sources(
        &mut self,
        file: &written::File,
        state_dir: &Path,
        library: Option<&Arc<Library>>,
    ) -> Vec<SourceSettings> {
        let mut all = Vec::new();
        let plans = library.cloned().map(Plans::new);
        for (i, snmp) in file.snmp.iter().enumerate() {
            all.extend(self.snmp(snmp, &format!("snmp[{}]", i + 1), plans.as_ref()));
        }
        for (i, serial) in file.serial.iter().enumerate() {
            all.push(self.serial(serial, &format!("serial[{}]", i + 1)));
        }
        for (i, logfile) in file.logfile.iter().enumerate() {
            all.push(self.logfile(logfile, &format!("logfile[{}]", i + 1), state_dir));
        }
        for (i, syslog) in file.syslog.iter().enumerate() {
            all.extend(self.syslog(file, syslog, &format!("syslog[{}]", i + 1)));
        }
        if let Some(trap) = &file.trap {
            all.push(self.trap(file, trap));
        }
        if let Some(host) = &file.host {
            all.push(self.host(host));
        }
        all
    }

    /// A source with its device and rules.
    fn source(
        &mut self,
        name: &Text,
        device: &Text,
        at: &str,
        rules: Vec<Rule>,
        spec: SourceSpec,
    ) -> SourceSettings {
        let (name, device) = self.name_and_device(name, device, at);
        SourceSettings { name, device, rules: rules.into_iter().map(Arc::new).collect(), spec }
    }

    /// A source's unique name and its device.
    pub(super) fn name_and_device(
        &mut self,
        name: &Text,
        device: &Text,
        at: &str,
    ) -> (Arc<str>, Arc<Device>) {
        let key = format!("{at}.name");
        let known = self.word(name, &key);
        if self.source_names.contains(&known) {
            let message = format!("{key}: {known:?} is taken by another source already");
            self.problem(name.span(), message);
        }
        self.source_names.push(known.clone());
        (known.into(), self.device(device, &format!("{at}.device")))
    }

    fn serial(&mut self, written: &written::Serial, at: &str) -> SourceSettings {
        let mut rules = Vec::new();
        self.patterns(&written.pattern, LINE, at, &mut rules);
        let mut commands: Vec<SerialCommand> = Vec::new();
        for (i, command) in written.command.iter().enumerate() {
            let at = format!("{at}.command[{}]", i + 1);
            commands.extend(self.command(command, &at, &commands));
            let metric = format!("answer:{}", command.id.get_ref());
            self.patterns(&command.pattern, &metric, &at, &mut rules);
        }
        self.silence(&written.silence, LINE, &mut rules);
        let spec = SourceSpec::Serial(SerialSettings {
            port: self.path(&written.port, &format!("{at}.port")),
            baud: written.baud,
            idle_flush: Duration::from_millis(written.idle_flush_ms),
            max_line_bytes: written.max_line_bytes,
            commands,
        });
        self.source(&written.name, &written.device, at, rules, spec)
    }

    fn command(
        &mut self,
        written: &written::Command,
        at: &str,
        others: &[SerialCommand],
    ) -> Option<SerialCommand> {
        let id = self.id(&written.id, &format!("{at}.id"));
        if others.iter().any(|other| *other.id == *id) {
            self.problem(written.id.span(), format!("{at}.id: {id:?} is taken already"));
        }
        if written.send.get_ref().is_empty() {
            self.problem(written.send.span(), format!("{at}.send: expected a text to send"));
        }
        Some(SerialCommand {
            id: id.into(),
            send: written.send.get_ref().clone(),
            every: Duration::from_secs(written.every_s),
            timeout: Duration::from_millis(written.timeout_ms),
            until: self.regex(&written.until, &format!("{at}.until"))?,
        })
    }

    fn logfile(
        &mut self,
        written: &written::Logfile,
        at: &str,
        state_dir: &Path,
    ) -> SourceSettings {
        let mut rules = Vec::new();
        self.patterns(&written.pattern, LINE, at, &mut rules);
        self.silence(&written.silence, LINE, &mut rules);
        let path = self.path(&written.path, &format!("{at}.path"));
        if path.starts_with(state_dir) {
            let message = format!("{at}.path: the agent's own state cannot be watched");
            self.problem(written.path.span(), message);
        }
        let spec = SourceSpec::Logfile(LogfileSettings {
            path,
            from: match written.from {
                written::From::Start => StartFrom::Start,
                written::From::End => StartFrom::End,
            },
            max_line_bytes: written.max_line_bytes,
        });
        self.source(&written.name, &written.device, at, rules, spec)
    }

    fn host(&mut self, written: &written::Host) -> SourceSettings {
        for (key, warning, critical) in [
            ("disk_critical_pct", &written.disk_warning_pct, &written.disk_critical_pct),
            ("memory_critical_pct", &written.memory_warning_pct, &written.memory_critical_pct),
            (
                "temperature_critical_c",
                &written.temperature_warning_c,
                &written.temperature_critical_c,
            ),
        ] {
            if critical.get_ref() <= warning.get_ref() {
                // Point at the one that was written; a default has no place.
                let span =
                    if critical.span().is_empty() { warning.span() } else { critical.span() };
                let (found, limit) = (critical.get_ref(), warning.get_ref());
                let message =
                    format!("host.{key}: expected more than the warning at {limit}, found {found}");
                self.problem(span, message);
            }
        }
        let limits = HostLimits {
            disk_warning_pct: *written.disk_warning_pct.get_ref(),
            disk_critical_pct: *written.disk_critical_pct.get_ref(),
            memory_warning_pct: *written.memory_warning_pct.get_ref(),
            memory_critical_pct: *written.memory_critical_pct.get_ref(),
            temperature_warning_c: *written.temperature_warning_c.get_ref(),
            temperature_critical_c: *written.temperature_critical_c.get_ref(),
            load_warning_per_core: *written.load_warning_per_core.get_ref(),
            for_ms: i64::try_from(written.for_s.saturating_mul(1000)).unwrap_or(i64::MAX),
        };
        let mut rules = crate::source::host::builtin_rules(&limits);
        self.host_rules(&written.rule, &mut rules);
        let spec = SourceSpec::Host(HostSettings {
            interval: Duration::from_secs(written.interval_s),
            ignore_mounts: written.ignore_mounts.iter().map(Into::into).collect(),
        });
        self.source(&written.name, &written.device, "host", rules, spec)
    }
}
